//! A neural ODE fitted to a measured series: two metabolites of an oscillating pathway, at irregular times, with
//! noise. Squared error at the observation times, the gradient by the discrete adjoint, whose state jumps there.
//!
//! The gradient is compared with finite differences, and the fit with the truth beyond the data.
//! `cargo run --release -p chreode --example neural_ode`

use std::error::Error;

use chreode::core::BrownianIncrements;
use chreode::linalg::Activation;
use chreode::model::DiffusionConfig;
use chreode::prelude::*;
use chreode::solve::RK4;
use chreode::train::{Optimiser, OptimiserConfig, Schedule, squared_error};

/// Measurements, and the time of the last one: about two periods.
const N: usize = 80;
const END: f64 = 20.0;
/// About the period of the oscillator.
const PERIOD: f64 = 9.6;
/// Standard deviation of a measurement.
const SD: f64 = 0.05;

/// The truth: Selkov's model of glycolysis, `y = [ADP, F6P]`, saved at `times` from the state at time 0.
fn truth(times: &[f64]) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut selkov = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        let turnover = (0.08 + y[0] * y[0]) * y[1];
        (dy[0], dy[1]) = (turnover - y[0], 0.6 - turnover);
    });
    let mut saved = Vec::new();
    let options = SolveOptions { save_at: times, ..SolveOptions::tolerance(1e-9, 1e-9) };
    let (mut y, mut tsit5) = ([0.2, 0.6], Erk::new(&TSIT5, 1, 2));
    let until = times[times.len() - 1];
    solve(&mut selkov, &[], &mut y, (0.0, until), &mut tsit5, &options, &mut |_i, _t, y| {
        saved.extend_from_slice(y);
    })?;
    Ok(saved)
}

/// The fit: everything that is learned is one slice, the net's parameters and then the start state.
struct Fit<'a> {
    net: NeuralSde<f64>,
    adjoint: OdeAdjoint<f64>,
    times: &'a [f64],
    measured: &'a [f64],
    predicted: Vec<f64>,
    bars: Vec<f64>,
}

impl Fit<'_> {
    /// Mean squared error, in variances of a measurement, over the first `m` measurements; sets its gradient.
    fn loss(&mut self, all: &[f64], m: usize, gradient: &mut [f64]) -> Result<f64, Box<dyn Error>> {
        let (p, y0) = all.split_at(self.net.n_params());
        let (p_bar, y0_bar) = gradient.split_at_mut(p.len());
        let (times, predicted) = (&self.times[..m], &mut self.predicted[..2 * m]);
        // Fixed steps: then the loss is a smooth function, which the comparison with differences needs.
        let options = SolveOptions { save_at: times, ..SolveOptions::fixed(0.3) };
        let mut y = [y0[0], y0[1]];
        self.adjoint.forward(&mut self.net, p, &mut y, (0.0, times[m - 1]), &options, &mut |i, _t, y| {
            predicted[2 * i..2 * i + 2].copy_from_slice(y);
        })?;
        let bars = &mut self.bars[..2 * m];
        let loss = squared_error(predicted, &self.measured[..2 * m], &[SD], bars)?;
        let jumps: Vec<&[f64]> = bars.chunks_exact(2).collect();
        p_bar.fill(0.0); // the adjoint adds
        self.adjoint.backward(&mut self.net, p, &jumps, y0_bar, p_bar)?;
        Ok(loss)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Irregular times, and noise: both from the library's counter-based normals.
    let noise = BrownianIncrements::new(3);
    let (mut jitter, mut error) = ([0.0_f64; N], [0.0_f64; 2 * N]);
    noise.fill(0, 0, 1, 0.25 * 0.25, &mut jitter);
    noise.fill(1, 0, 2, SD * SD, &mut error);
    let mut times: Vec<f64> =
        (0..N).map(|i| (i as f64 + 1.0 + jitter[i].clamp(-0.9, 0.9)) * END / N as f64).collect();
    times.sort_by(f64::total_cmp);
    let measured: Vec<f64> = truth(&times)?.iter().zip(error).map(|(y, e)| y + e).collect();

    let mut config = ModelConfig::new(vec![0.6, 1.2], vec![0.4, 0.4]);
    config.drift.hidden = vec![24, 24];
    config.drift.activation = Activation::Tanh;
    config.diffusion = DiffusionConfig::Constant { initial_level: 0.5 }; // not used by an ordinary equation
    let net = NeuralSde::new(config)?;
    let mut all = net.init(2);
    all.extend_from_slice(&measured[..2]); // the first guess of the start state
    let mut gradient = vec![0.0; all.len()];
    let mut fit = Fit {
        net,
        adjoint: OdeAdjoint::new(&RK4, 1, 2),
        times: &times,
        measured: &measured,
        predicted: vec![0.0; 2 * N],
        bars: vec![0.0; 2 * N],
    };

    check_gradient(&mut fit, &all)?;

    // The horizon grows: a long series all at once has many false minima.
    let stages = [(N / 4, 300), (N / 2, 300), (3 * N / 4, 300), (N, 1500)];
    let first = fit.loss(&all, N, &mut gradient)?;
    println!("\nmean squared error in units of the noise; before: {first:.1}");
    for (m, steps) in stages {
        let mut adam = Optimiser::new(OptimiserConfig::adam(), all.len());
        let schedule = Schedule::Cosine { warm_up: 10, over: steps, floor: 0.02 };
        for step in 0..steps {
            fit.loss(&all, m, &mut gradient)?;
            adam.update(&mut all, &gradient, 0.02 * schedule.factor(step))?;
        }
        let loss = fit.loss(&all, m, &mut gradient)?;
        println!("  first {m:2} measurements, {steps} steps: {loss:.2}");
    }
    let last = fit.loss(&all, N, &mut gradient)?;
    assert!(last < 2.0, "the fit must come near the noise");

    // One period beyond the data.
    let later: Vec<f64> = (1..=50).map(|i| END + PERIOD * f64::from(i) / 50.0).collect();
    let expected = truth(&later)?;
    let mut predicted = Vec::new();
    let (p, y0) = all.split_at(fit.net.n_params());
    let (mut y, mut tsit5) = ([y0[0], y0[1]], Erk::new(&TSIT5, 1, 2));
    let options = SolveOptions { save_at: &later, ..SolveOptions::tolerance(1e-8, 1e-8) };
    solve(&mut fit.net, p, &mut y, (0.0, later[49]), &mut tsit5, &options, &mut |_i, _t, y| {
        predicted.extend_from_slice(y);
    })?;
    println!("\nbeyond the data, over one period (root mean square error / spread of the truth):");
    for (j, name) in ["ADP", "F6P"].into_iter().enumerate() {
        let column = |v: &[f64]| v.iter().skip(j).step_by(2).copied().collect::<Vec<_>>();
        let (y, x) = (column(&expected), column(&predicted));
        let mean = y.iter().sum::<f64>() / 50.0;
        let rms = |d: &mut dyn Iterator<Item = f64>| (d.map(|d| d * d).sum::<f64>() / 50.0).sqrt();
        let relative = rms(&mut x.iter().zip(&y).map(|(x, y)| x - y)) / rms(&mut y.iter().map(|y| y - mean));
        println!("  {name} {relative:.3}");
        assert!(relative < 0.3, "{name} must go on as the truth does");
    }
    Ok(())
}

/// The derivative along one direction in all that is learned, by the adjoint and by central differences.
fn check_gradient(fit: &mut Fit<'_>, all: &[f64]) -> Result<(), Box<dyn Error>> {
    let (mut gradient, mut scratch) = (vec![0.0; all.len()], vec![0.0; all.len()]);
    fit.loss(all, N, &mut gradient)?;
    let mut direction = vec![0.0; all.len()];
    BrownianIncrements::new(5).fill(0, 0, 1, 1.0, &mut direction);
    let adjoint: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
    let mut at = |h: f64| {
        let moved: Vec<f64> = all.iter().zip(&direction).map(|(x, d)| x + h * d).collect();
        fit.loss(&moved, N, &mut scratch)
    };
    let h = 1e-5;
    let difference = (at(h)? - at(-h)?) / (2.0 * h);
    println!("derivative along a direction: adjoint {adjoint:.6}, differences {difference:.6}");
    assert!((adjoint / difference - 1.0).abs() < 1e-6);
    Ok(())
}
