//! A stiff oscillator and its period: bursts of the Belousov-Zhabotinsky reaction, found as events of a run by Radau5.
//!
//! Equations: OREGO in section IV.10 of Hairer and Wanner, "Solving Ordinary Differential Equations II".

use chreode_solve::{
    Crossing, Event, Observer, Radau5, Rhs, SolveError, SolveOptions, StepRecord, field, solve_events,
};

/// Remembers when the bursts were.
#[derive(Default)]
struct Bursts(Vec<f64>);

impl Observer<f64> for Bursts {
    fn step(&mut self, _record: StepRecord<'_, f64>) {}
    fn save(&mut self, _i: usize, _t: f64, _y: &[f64]) {}
    fn event(&mut self, _i: usize, t: f64, y: &[f64]) {
        println!("burst at {t:8.3}: [{:.1}, {:.3}, {:.1}]", y[0], y[1], y[2]);
        self.0.push(t);
    }
}

fn main() -> Result<(), SolveError> {
    let mut orego = field(3, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| {
        dy[0] = p[0] * (y[1] + y[0] * (1.0 - p[1] * y[0] - y[1]));
        dy[1] = (y[2] - (1.0 + y[0]) * y[1]) / p[0];
        dy[2] = p[2] * (y[0] - y[2]);
    });
    let (p, mut y) = ([77.27, 8.375e-6, 0.161], [1.0, 2.0, 3.0]);
    let mut burst = [Event::new(|_t, y: &[f64], _p| y[0] - 1000.0).crossing(Crossing::Rising)];
    let (mut radau, mut bursts) = (Radau5::new(1, 3), Bursts::default());
    let options = SolveOptions::tolerance(1e-8, 1e-8);
    let rhs = &mut Rhs::Field(&mut orego);
    let stats = solve_events(rhs, &p, &mut y, (0.0, 1300.0), &mut radau, &options, &mut burst, &mut bursts)?;
    for two in bursts.0.windows(2) {
        println!("period {:.6}", two[1] - two[0]);
    }
    println!(
        "{} steps, {} rejected, {} evaluations, {} factorisations",
        stats.accepted, stats.rejected, stats.work.evals, stats.work.factorisations
    );
    Ok(())
}
