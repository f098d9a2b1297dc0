//! The solver alone: Lorenz's equations from a closure, with states at ten times and the cost of the run.

use chreode_solve::{Erk, SolveError, SolveOptions, TSIT5, field, solve};

fn main() -> Result<(), SolveError> {
    let mut lorenz = field(3, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| {
        dy[0] = p[0] * (y[1] - y[0]);
        dy[1] = y[0] * (p[1] - y[2]) - y[1];
        dy[2] = y[0] * y[1] - p[2] * y[2];
    });
    let p = [10.0, 28.0, 8.0 / 3.0];
    let times: Vec<f64> = (1..=10).map(f64::from).collect();
    let options = SolveOptions { save_at: &times, ..SolveOptions::tolerance(1e-9, 1e-9) };

    let mut y = [1.0, 0.0, 0.0];
    let mut tsit5 = Erk::new(&TSIT5, 1, 3);
    println!("     t          x          y          z");
    let stats = solve(&mut lorenz, &p, &mut y, (0.0, 10.0), &mut tsit5, &options, &mut |_i, t, y| {
        println!("{t:6.1} {:10.5} {:10.5} {:10.5}", y[0], y[1], y[2]);
    })?;
    println!("{} steps, {} rejected, {} evaluations", stats.accepted, stats.rejected, stats.work.evals);
    Ok(())
}
