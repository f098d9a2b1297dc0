//! The debiased Sinkhorn divergence between two clouds and its gradient, one line of input a run: 50 coordinates, blur 0.05, single
//! precision. `N WHAT` is answered as [`crate::turns`] says; `sinkhorn.py` has the same clouds. `N! WHAT` is the gradient in double
//! precision with the marginals fitted to 1e-6.

use chreode_core::Real;
use chreode_train::{Cloud, CloudBar, SinkhornConfig, SinkhornDivergence};

use crate::gradient::noise;
use crate::turns::{Answer, Clock, serve_cases};

const DIM: usize = 50;
/// What is told: each so manieth number of the gradient.
const TOLD: usize = 101;

/// Reads cases, solves and answers, until the input ends.
pub fn serve() -> Result<(), String> {
    let solvers = ["gradient", "gradient-1e-2", "gradient-1e-6", "gradient-streaming"];
    serve_cases(&solvers, |case, what, exact| {
        let n: usize = case.parse().map_err(|_| format!("no case {case}"))?;
        let default = SinkhornConfig::default();
        let config = match what {
            "gradient" => default,
            "gradient-1e-2" => SinkhornConfig { tolerance: 1e-2, ..default },
            "gradient-1e-6" => SinkhornConfig { tolerance: 1e-6, max_iterations: 20_000, ..default },
            "gradient-streaming" => SinkhornConfig { memory_mib: 0, ..default },
            _ => return Err(format!("no solver {what}")),
        };
        if exact {
            run::<f64>(n, SinkhornConfig { tolerance: 1e-6, max_iterations: 50_000, ..default }, "reference")
        } else {
            run::<f32>(n, config, what)
        }
    })
}

/// The two clouds that `sinkhorn.py` makes.
fn clouds<T: Real>(n: usize) -> (Vec<T>, Vec<T>) {
    let cloud = |stream, shift: f64| {
        let at = |i: usize| {
            let scale = 3.0 - 2.5 * (i % DIM) as f64 / (DIM - 1) as f64;
            T::c(f64::from(((3.0_f64.sqrt() * noise(stream, i) + shift) * scale) as f32))
        };
        (0..n * DIM).map(at).collect()
    };
    (cloud(20, 0.0), cloud(21, 0.3))
}

fn run<T: Real>(n: usize, config: SinkhornConfig, what: &str) -> Result<Answer, String> {
    let (x, y) = clouds::<T>(n);
    let mut bar = vec![T::ZERO; n * DIM];
    let clock = Clock::start();
    let mut loss = SinkhornDivergence::new(DIM, config).map_err(|e| e.to_string())?;
    let x_bar = CloudBar { states: &mut bar, log_weights: &mut [] };
    let report = loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), Some(x_bar)).map_err(|e| e.to_string())?;
    let told = bar.iter().step_by(TOLD).map(|g| g.f64()).collect();
    let name = format!("chreode {what} (marginals {:.0e})", report.marginal_error);
    Ok(clock.stop(name, report.iterations as f64, told))
}
