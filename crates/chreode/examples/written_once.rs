//! A model written once: Robertson's stiff reactions among three species. `Auto` makes its Jacobian, which Radau IIA takes,
//! and its pull-backs; the same model runs as an ensemble in the lanes of vectors, and as C.
//!
//! `cargo run --release -p chreode --example written_once`

use std::error::Error;

use chreode::autodiff::Auto;
use chreode::core::{Dynamics, Number, put, take};
use chreode::prelude::*;
use chreode::solve::{PerTrajectory, Radau5, solve_lanes, solve_with_jacobian};

/// `A -> B` slowly, `B + B -> C + B` fast, `B + C -> A + C`: rates from 1e-2 to 1e7.
#[derive(Clone, Copy)]
struct Robertson;

impl Dynamics for Robertson {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([a, b, c], [k1, k2, k3]) = (take(y), take(p));
        let (slow, fast, back) = (k1 * a, k2 * b * b, k3 * b * c);
        put(dy, [back - slow, slow - back - fast, fast]);
    }
}

const RATES: [f64; 3] = [0.04, 3e7, 1e4];

fn main() -> Result<(), Box<dyn Error>> {
    // One stiff run over eleven decades of time, with the Jacobian of the model.
    let mut model: Auto<_> = Auto::new(Robertson);
    let times: Vec<f64> = (0..12).map(|k| 0.4 * 10_f64.powi(k)).collect();
    let options = SolveOptions { save_at: &times, ..SolveOptions::tolerance(1e-8, &[1e-10, 1e-14, 1e-10]) };
    let (mut y, mut radau) = ([1.0, 0.0, 0.0], Radau5::new(1, 3));
    println!("{:>9}  {:>13} {:>13} {:>13}", "t", "A", "B", "C");
    let stats = solve_with_jacobian(
        &mut model,
        &RATES,
        &mut y,
        (0.0, 4e10),
        &mut radau,
        &options,
        &mut |_i, t, y| {
            println!("{t:9.1e}  {:13.6e} {:13.6e} {:13.6e}", y[0], y[1], y[2]);
        },
    )?;
    println!("{} steps, {} Jacobians", stats.accepted, stats.work.jacobians);
    // In the end B follows A in balance, and dA/dt = -k2 (k1 A / k3)².
    let late = 1.0 / (RATES[1] * (RATES[0] / RATES[2]).powi(2) * 4e10);
    if (y[0] / late - 1.0).abs() > 1e-2 {
        return Err(format!("A is {:e}, in the long run {late:e}", y[0]).into());
    }

    // What the rates of change owe to the rate constants.
    let (mut y_bar, mut p_bar) = ([0.0; 3], [0.0; 3]);
    model.vjp(0.0, &[0.9, 2e-5, 0.1], &RATES, &[0.0, 1.0, 0.0], &mut y_bar, &mut p_bar)?;
    println!("d(dB/dt) by the rate constants: {p_bar:?}");

    // A thousand runs with other slow rates, short enough for an explicit method.
    let rates: Vec<f64> = (0..1000).flat_map(|i| [0.04 + 1e-5 * f64::from(i), RATES[1], RATES[2]]).collect();
    let mut ends = [1.0, 0.0, 0.0].repeat(1000);
    let options = PerTrajectory::Same(SolveOptions::tolerance(1e-6, 1e-9));
    let runs = solve_lanes(&Robertson, &rates, &mut ends, PerTrajectory::Same((0.0, 0.1)), options)?;
    println!("1000 runs in lanes: {} steps; the last ends in {:?}", runs.total()?.accepted, &ends[2997..]);

    println!("\n{}", model.program().c_code("robertson"));
    Ok(())
}
