//! Running until nothing changes.
//!
//! A state is steady if twice in turn it did not change while the time that had passed doubled. The rate of change alone would not
//! tell: of fast processes it is the integrator's error, of slow ones it is small long before they end.

use chreode_core::{FieldError, Jacobian, LinearSolver, Sparsity, VectorField};
use chreode_solve::{SolveError, SolveOptions, solve_with_jacobian};

use super::field::RecordedField;
use super::run::Simulator;
use crate::SimulationError;
use crate::model::Start;

/// A change below this many tolerances is none.
const CHANGE: f64 = 10.0;
/// Doublings until a run is given up.
pub(super) const MOST_DOUBLINGS: u32 = 64;

/// Whether one state is the other, to within tolerances.
pub(crate) fn rests(before: &[f64], after: &[f64], rtol: f64, atol: f64) -> bool {
    before.iter().zip(after).all(|(a, b)| (a - b).abs() <= CHANGE * (atol + rtol * b.abs()))
}

/// A field at one time for good.
struct Frozen<'a> {
    field: &'a mut RecordedField,
    t: f64,
}

impl VectorField<f64> for Frozen<'_> {
    fn dim(&self) -> usize {
        self.field.dim()
    }
    fn n_params(&self) -> usize {
        self.field.n_params()
    }
    fn eval(&mut self, _t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.field.eval(self.t, y, p, dy)
    }
}

impl Jacobian<f64> for Frozen<'_> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.field.sparsity()
    }
    fn jacobian(&mut self, _t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        self.field.jacobian(self.t, y, p, values)
    }
}

impl Simulator {
    /// The steady state from a start under constant conditions: time stands still at `t`, and nothing triggers events.
    pub(crate) fn settle(&mut self, t: f64, start: Start<f64>) -> Result<Start<f64>, SimulationError> {
        let Start { mut y, p } = start;
        self.check_start(t, &y, &p)?;
        let d = y.len();
        y.resize(self.field.dim(), 0.0);
        let mut horizon = self.first_horizon(t, &y, &p)?;
        let atol = self.absolute_of_run(t, &y[..d], &p, &[t + horizon]);
        let rtol = self.tolerances.rtol;
        let options = SolveOptions { max_steps: self.most_steps, ..SolveOptions::tolerance(rtol, atol) };
        let mut stepper = self.stepper();
        let (mut passed, mut quiet) = (0.0, 0);
        for _ in 0..MOST_DOUBLINGS {
            let before = y.clone();
            let mut field = Frozen { field: &mut self.field, t };
            let span = (passed, horizon);
            solve_with_jacobian(&mut field, &p, &mut y, span, &mut *stepper, &options, &mut |_, _, _| {})?;
            (passed, horizon) = (horizon, 2.0 * horizon);
            quiet = if rests(&before, &y, rtol, atol) { quiet + 1 } else { 0 };
            if quiet == 2 {
                y.truncate(d);
                let mut rested = Start { y, p };
                self.finish(t, &mut rested);
                return Ok(rested);
            }
        }
        Err(self.not_steady(passed, &y, &p))
    }

    /// One step of Newton's method where the Jacobian is regular: what the integrator's tolerance left goes. Steps that lead further
    /// away than that are not taken, so that this never finds another state.
    fn finish(&mut self, t: f64, rested: &mut Start<f64>) {
        let d = rested.y.len();
        let Some((mut lu, scale)) = self.rest_factors(t, rested) else { return };
        let mut step = vec![0.0; d];
        // A field that is recorded does not fail.
        let _ = self.field.eval(t, &rested.y, &rested.p, &mut step);
        step.iter_mut().zip(&scale).for_each(|(f, scale)| *f *= scale);
        lu.solve(&mut step);
        let y: Vec<f64> = rested.y.iter().zip(&step).map(|(y, s)| y - s).collect();
        let (rtol, atol) = (self.tolerances.rtol, self.absolute(&rested.y));
        if rests(&rested.y, &y, rtol, atol) {
            rested.y = y;
        }
    }

    /// Times after `t` at which a run to a steady state is looked at.
    pub(crate) fn doublings(&mut self, t: f64, start: &Start<f64>) -> Result<Vec<f64>, SimulationError> {
        let mut y = start.y.clone();
        y.resize(self.field.dim(), 0.0);
        let first = self.first_horizon(t, &y, &start.p)?.max(t.abs());
        Ok((0..MOST_DOUBLINGS).map(|k| t + first * 2_f64.powi(k as i32)).collect())
    }

    pub(crate) fn not_steady(&mut self, t: f64, y: &[f64], p: &[f64]) -> SimulationError {
        let mut y = y.to_vec();
        y.resize(self.field.dim(), 0.0);
        let mut rates = vec![0.0; y.len()];
        // A field that is recorded does not fail.
        let _ = self.field.eval(t, &y, p, &mut rates);
        let relative = |i: &usize| rates[*i].abs() / (y[*i].abs() + 1e-300);
        let most = (0..self.model.n_states()).max_by(|a, b| relative(a).total_cmp(&relative(b)));
        let id = most.and_then(|i| self.model.state_ids().nth(i)).unwrap_or_default().to_owned();
        SimulationError::NotSteady { t, id, rate: most.map_or(0.0, |i| rates[i]) }
    }

    /// The longest time in which some state would change by itself, as it changes now.
    pub(super) fn first_horizon(&mut self, t: f64, y: &[f64], p: &[f64]) -> Result<f64, SimulationError> {
        let mut rates = vec![0.0; y.len()];
        self.field.eval(t, y, p, &mut rates).map_err(SolveError::from)?;
        let times =
            y.iter().zip(&rates).filter(|(y, dy)| **y != 0.0 && **dy != 0.0).map(|(y, dy)| (y / dy).abs());
        Ok(times.fold(1.0, f64::max).min(1e6))
    }
}
