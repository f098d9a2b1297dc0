//! Neural ODEs learn three systems that everybody knows from noisy series at irregular times, and go on for one period beyond
//! them: a spiral, predators and prey, and glycolysis. Squared error at the observation times; the gradient by the discrete
//! adjoint, whose state jumps there.
//!
//! One recipe serves all three. Nothing is chosen by what comes after the data: it is looked at once, at the end. The gradient is
//! compared with finite differences first. Draws `neural_ode_*.svg`: what was measured, what was learned, and the truth.
//! `cargo run --release -p chreode --example neural_ode`

use std::error::Error;
use std::time::Instant;

use chreode::core::BrownianIncrements;
use chreode::linalg::Activation;
use chreode::model::DiffusionConfig;
use chreode::prelude::*;
use chreode::report::{Lines, Series};
use chreode::solve::RK4;
use chreode::train::{Optimiser, OptimiserConfig, Schedule, squared_error};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measurements of each system.
const N: usize = 80;
/// Points of the truth that fit and continuation are compared with, each.
const GRID: usize = 200;

/// A system of two coordinates, with what is known of its measurements.
struct System {
    name: &'static str,
    file: &'static str,
    coordinates: [&'static str; 2],
    rhs: fn(&[f64], &mut [f64]),
    start: [f64; 2],
    /// Time of the last measurement, a good two periods, and about the period.
    end: f64,
    period: f64,
    /// Standard deviation of a measurement.
    sd: f64,
    /// Largest errors, relative to the spread of the truth, within the data and beyond.
    allowed: [f64; 2],
}

const SYSTEMS: [System; 3] = [
    // As in many tutorials, after Chen, Rubanova, Bettencourt, Duvenaud (2018), Neural ordinary differential equations.
    System {
        name: "Spiral",
        file: "neural_ode_spiral.svg",
        coordinates: ["x", "y"],
        rhs: |y, dy| (dy[0], dy[1]) = (-0.1 * y[0] + 2.0 * y[1], -2.0 * y[0] - 0.1 * y[1]),
        start: [2.0, 0.0],
        end: 7.0,
        period: 3.1,
        sd: 0.05,
        allowed: [0.1, 0.3],
    },
    // Lotka (1925), Volterra (1926): prey and predators.
    System {
        name: "Lotka-Volterra",
        file: "neural_ode_lotka_volterra.svg",
        coordinates: ["prey", "predators"],
        rhs: |y, dy| (dy[0], dy[1]) = (1.5 * y[0] - y[0] * y[1], 0.75 * y[0] * y[1] - 3.0 * y[1]),
        start: [2.5, 1.0],
        end: 7.0,
        period: 3.1,
        sd: 0.1,
        allowed: [0.1, 0.3],
    },
    // Sel'kov (1968), Self-oscillations in glycolysis.
    System {
        name: "Glycolysis",
        file: "neural_ode_glycolysis.svg",
        coordinates: ["ADP", "F6P"],
        rhs: |y, dy| {
            let turnover = (0.08 + y[0] * y[0]) * y[1];
            (dy[0], dy[1]) = (turnover - y[0], 0.6 - turnover);
        },
        start: [0.2, 0.6],
        end: 20.0,
        period: 9.6,
        sd: 0.05,
        allowed: [0.1, 0.3],
    },
];

/// The states of a field at `times` from the state at time 0.
fn states(f: &mut dyn VectorField<f64>, p: &[f64], y0: &[f64], times: &[f64]) -> Result<Vec<f64>> {
    let mut saved = Vec::with_capacity(2 * times.len());
    let options = SolveOptions { save_at: times, ..SolveOptions::tolerance(1e-8, 1e-8) };
    let (mut y, mut tsit5) = ([y0[0], y0[1]], Erk::new(&TSIT5, 1, 2));
    solve(f, p, &mut y, (0.0, times[times.len() - 1]), &mut tsit5, &options, &mut |_i, _t, y| {
        saved.extend_from_slice(y);
    })?;
    Ok(saved)
}

impl System {
    fn truth(&self, times: &[f64]) -> Result<Vec<f64>> {
        let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (self.rhs)(y, dy));
        states(&mut f, &[], &self.start, times)
    }

    /// Irregular times, and what is measured there: jitter and noise from the library's counter-based normals.
    fn measure(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let noise = BrownianIncrements::new(3);
        let (mut jitter, mut error) = ([0.0_f64; N], [0.0_f64; 2 * N]);
        noise.fill(0, 0, 1, 0.25 * 0.25, &mut jitter);
        noise.fill(1, 0, 2, self.sd * self.sd, &mut error);
        let place = |i: usize| (i as f64 + 1.0 + jitter[i].clamp(-0.9, 0.9)) * self.end / N as f64;
        let mut times: Vec<f64> = (0..N).map(place).collect();
        times.sort_by(f64::total_cmp);
        let measured = self.truth(&times)?.iter().zip(error).map(|(y, e)| y + e).collect();
        Ok((times, measured))
    }
}

/// Everything that is learned is one slice: the net's parameters, and then the start state.
struct Fit<'a> {
    net: NeuralSde<f64>,
    adjoint: OdeAdjoint<f64>,
    h: f64,
    sd: f64,
    times: &'a [f64],
    measured: &'a [f64],
    predicted: Vec<f64>,
    bars: Vec<f64>,
}

impl Fit<'_> {
    /// Mean squared error, in variances of a measurement, over the first `m` measurements; sets its gradient.
    fn loss(&mut self, all: &[f64], m: usize, gradient: &mut [f64]) -> Result<f64> {
        let (p, y0) = all.split_at(self.net.n_params());
        let (p_bar, y0_bar) = gradient.split_at_mut(p.len());
        let (times, predicted) = (&self.times[..m], &mut self.predicted[..2 * m]);
        // Fixed steps: then the loss is a smooth function, which the comparison with differences needs.
        let options = SolveOptions { save_at: times, ..SolveOptions::fixed(self.h) };
        let mut y = [y0[0], y0[1]];
        self.adjoint.forward(&mut self.net, p, &mut y, (0.0, times[m - 1]), &options, &mut |i, _t, y| {
            predicted[2 * i..2 * i + 2].copy_from_slice(y);
        })?;
        let bars = &mut self.bars[..2 * m];
        let loss = squared_error(predicted, &self.measured[..2 * m], &[self.sd], bars)?;
        let jumps: Vec<&[f64]> = bars.chunks_exact(2).collect();
        p_bar.fill(0.0); // the adjoint adds
        self.adjoint.backward(&mut self.net, p, &jumps, y0_bar, p_bar)?;
        Ok(loss)
    }
}

fn main() -> Result<()> {
    SYSTEMS.iter().try_for_each(learn)
}

fn learn(system: &System) -> Result<()> {
    let begin = Instant::now();
    let (times, measured) = system.measure()?;
    println!("\n{}: {N} measurements until t = {}", system.name, system.end);

    // The net sees standardised coordinates, in units of the data, and a sixth of a period is its unit of time.
    let column = |j: usize| measured.iter().skip(j).step_by(2);
    let mean = [0, 1].map(|j| column(j).sum::<f64>() / N as f64);
    let spread = [0, 1].map(|j| (column(j).map(|y| (y - mean[j]).powi(2)).sum::<f64>() / N as f64).sqrt());
    let mut config = ModelConfig::new(mean.to_vec(), spread.to_vec());
    config.time_scale = system.period / 6.0;
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
        h: system.period / 30.0,
        sd: system.sd,
        times: &times,
        measured: &measured,
        predicted: vec![0.0; 2 * N],
        bars: vec![0.0; 2 * N],
    };
    check_gradient(&mut fit, &all)?;

    // The horizon grows: a long series all at once has many false minima.
    let first = fit.loss(&all, N, &mut gradient)?;
    println!("mean squared error in units of the noise; before: {first:.1}");
    for (m, steps) in [(N / 4, 300), (N / 2, 300), (3 * N / 4, 300), (N, 1500)] {
        let mut adam = Optimiser::new(OptimiserConfig::adam(), all.len());
        let schedule = Schedule::Cosine { warm_up: 10, over: steps, floor: 0.02 };
        for step in 0..steps {
            fit.loss(&all, m, &mut gradient)?;
            adam.update(&mut all, &gradient, 0.02 * schedule.factor(step))?;
        }
        let loss = fit.loss(&all, m, &mut gradient)?;
        println!("  first {m:2} measurements, {steps} steps: {loss:.2}");
    }

    // Within the data, and one period beyond.
    let grid: Vec<f64> = (1..=2 * GRID)
        .map(|i| {
            let (within, beyond) = (i.min(GRID) as f64, i.saturating_sub(GRID) as f64);
            (system.end * within + system.period * beyond) / GRID as f64
        })
        .collect();
    let truth = system.truth(&grid)?;
    let (p, y0) = all.split_at(fit.net.n_params());
    let learned = states(&mut fit.net, p, y0, &grid)?;
    let mut series = Vec::new();
    for (j, name) in system.coordinates.into_iter().enumerate() {
        let along = |t: &[f64], y: &[f64]| -> Vec<[f64; 2]> {
            t.iter().zip(y.iter().skip(j).step_by(2)).map(|(&t, &y)| [t, y]).collect()
        };
        series.push(Series::new(format!("{name}, learned"), along(&grid, &learned)));
        series.push(Series::new(format!("{name}, truth"), along(&grid, &truth)).dashed());
        series.push(Series::new(format!("{name}, data"), along(&times, &measured)).dots());
    }
    let chart = Lines::new(series).labels("time", system.name).mark(system.end, "end of the data");
    std::fs::write(system.file, chart.svg())?;
    println!("drawn in {}; {:.1} s", system.file, begin.elapsed().as_secs_f64());

    println!("root mean square error over the spread of the truth, within the data and one period beyond:");
    let errors =
        [0, 1].map(|j| [0..GRID, GRID..2 * GRID].map(|window| relative(&learned, &truth, j, window)));
    for (name, [within, beyond]) in system.coordinates.into_iter().zip(errors) {
        println!("  {name}: {within:.3}, {beyond:.3}");
    }
    assert!(errors.iter().all(|e| e[0] < system.allowed[0]), "the data must be followed");
    assert!(errors.iter().all(|e| e[1] < system.allowed[1]), "it must go on as the truth does");
    Ok(())
}

/// Root mean square of the error of coordinate `j` over the standard deviation of the truth, in a window.
fn relative(learned: &[f64], truth: &[f64], j: usize, window: std::ops::Range<usize>) -> f64 {
    let n = window.len() as f64;
    let mean = window.clone().map(|i| truth[2 * i + j]).sum::<f64>() / n;
    let error: f64 = window.clone().map(|i| (learned[2 * i + j] - truth[2 * i + j]).powi(2)).sum();
    let spread: f64 = window.map(|i| (truth[2 * i + j] - mean).powi(2)).sum();
    (error / spread).sqrt()
}

/// The derivative along one direction in all that is learned, by the adjoint and by central differences.
fn check_gradient(fit: &mut Fit<'_>, all: &[f64]) -> Result<()> {
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
