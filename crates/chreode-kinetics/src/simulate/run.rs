//! A run of a model: pieces of smooth integration between switches and events.

use chreode_autodiff::Program;
use chreode_core::{Jacobian, VectorField};
use chreode_solve::{Bdf, Radau, Rhs, SolveError, Stepper};

use super::events::{EventPrograms, EventState, Point};
use super::field::RecordedField;
use super::piece::{Piece, horizon};
use super::switches::Switches;
use crate::SimulationError;
use crate::model::{Model, Start};

/// How exactly a model is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// Relative tolerance of the integrator.
    pub rtol: f64,
    /// Absolute tolerance, in units of the states; where the largest state starts below one, in units of that.
    pub atol: f64,
}

impl Default for Tolerances {
    /// `rtol = 1e-9`, `atol = 1e-13`: models that remember what has nearly died out lose four digits of these.
    fn default() -> Self {
        Self { rtol: 1e-9, atol: 1e-13 }
    }
}

/// From so many states on, a method whose steps cost one factorisation is faster.
pub(super) const LARGE: usize = 100;
/// How far ahead triggers are looked at, in units of the time or of the run's length.
pub(super) const AHEAD: f64 = 1e-10;
/// No more steps from one stop to the next, unless fewer are asked for.
pub(crate) const MOST_STEPS: u64 = 1_000_000;
/// No more stops in one run.
pub(super) const MOST_STOPS: u64 = 1_000_000;

/// A model that is ready to run: its formulas are recorded, once for all runs. Every thread takes a clone.
#[derive(Debug, Clone)]
pub struct Simulator {
    pub(crate) model: Model,
    pub(super) field: RecordedField,
    pub(super) switches: Switches,
    pub(super) events: EventPrograms,
    pub(crate) tolerances: Tolerances,
    /// Most steps from one stop to the next.
    pub(crate) most_steps: u64,
    /// The method for so many states.
    pub(crate) method: fn(usize) -> Box<dyn Stepper<f64>>,
}

impl Simulator {
    /// Records the formulas of a model.
    pub fn new(model: Model, tolerances: Tolerances) -> Self {
        let (field, switches) = (RecordedField::new(&model), Switches::new(&model));
        let events = EventPrograms::new(&model);
        Self { field, switches, events, model, tolerances, most_steps: MOST_STEPS, method: by_size }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The field and the entries of its Jacobian, column by column.
    pub(crate) fn recorded(&self) -> (&Program, &Program) {
        self.field.programs()
    }

    /// What is integrated.
    #[cfg(test)]
    pub(crate) fn field(&self) -> &RecordedField {
        &self.field
    }

    pub(super) fn stepper(&self) -> Box<dyn Stepper<f64>> {
        (self.method)(self.field.dim())
    }

    /// The absolute tolerance for a state.
    pub(super) fn absolute(&self, y: &[f64]) -> f64 {
        let largest = y.iter().fold(0.0_f64, |m, y| m.max(y.abs()));
        self.tolerances.atol * if largest > 0.0 { largest.min(1.0) } else { 1.0 }
    }

    /// The absolute tolerance of a run from a state at `t` that saves at `times`. What starts from nothing is as large as it soon
    /// becomes.
    pub(crate) fn absolute_of_run(&mut self, t: f64, y: &[f64], p: &[f64], times: &[f64]) -> f64 {
        if y.iter().any(|&y| y != 0.0) {
            return self.absolute(y);
        }
        let span = horizon(t, times) - t;
        let mut rates = vec![0.0; self.field.dim()];
        // A field that is recorded does not fail.
        let _ = self.field.eval(t, &vec![0.0; rates.len()], p, &mut rates);
        rates.iter_mut().for_each(|x| *x = if x.is_finite() { *x * span } else { 0.0 });
        self.absolute(&rates)
    }

    /// Runs from `t0` and tells `save(i, t, y, p)` at each of the times, which ascend from `t0`, until it answers false; what is saved at
    /// the time of an event is what the event leaves. Returns states and parameters where it ended.
    pub(crate) fn run(
        &mut self,
        t0: f64,
        start: Start<f64>,
        times: &[f64],
        save: &mut dyn FnMut(usize, f64, &[f64], &[f64]) -> bool,
    ) -> Result<Start<f64>, SimulationError> {
        let Start { mut y, mut p } = start;
        check_times(t0, times)?;
        let d = self.model.n_states();
        y.resize(self.field.dim(), 0.0);
        let t1 = times.last().copied().unwrap_or(t0);
        let atol = self.absolute_of_run(t0, &y, &p, times);
        let mut stepper = self.stepper();
        let mut events = EventState::new(&self.model);
        let (mut t, mut saved, mut stops, mut go_on) = (t0, 0, 0, true);
        // Until then triggers were looked at already.
        let mut looked = f64::NEG_INFINITY;
        let mut far = t1;
        loop {
            if t > looked {
                let mut at = Point { t, y: &mut y[..d], p: &mut p };
                events.settle(&self.model, &mut self.events, &mut at, None)?;
            } else {
                // What was seen to hold just after the last stop is not asked again before that.
                looked = self.look_ahead(&mut events, (t, far), &mut y, &mut p)?;
            }
            if stops == 0 {
                // An event at the start may give what nothing else does.
                self.check_start(t0, &y[..d], &p)?;
            }
            while go_on && times.get(saved).is_some_and(|&at| at <= t) {
                go_on = save(saved, t, &y[..d], &p);
                saved += 1;
            }
            if t >= t1 || !go_on {
                break;
            }
            far = horizon(t, times);
            if !self.model.events.is_empty() {
                looked = self.look_ahead(&mut events, (t, far), &mut y, &mut p)?;
            }
            // What is not finite is not integrated.
            let frozen = self.field.freeze(t, &mut y, &p).map_err(SolveError::from)?;
            let (piece, timed) = self.piece((t0, t, far), &p, &events, &times[saved..], atol);
            let switches = self.switches.watched(&timed);
            let rhs = &mut Rhs::Jacobian(&mut self.field as &mut dyn Jacobian<f64>);
            let whole = |y: &[f64]| frozen.whole(&y[..d]);
            let states;
            (t, states) = piece.integrate(rhs, &p, &mut y, &mut *stepper, &switches, &whole)?;
            self.field.thaw(&mut y);
            for (at, y) in states {
                go_on = go_on && save(saved, at, &frozen.whole(&y[..d]), &p);
                saved += 1;
            }
            stops += 1;
            if stops > MOST_STOPS {
                return Err(SimulationError::TooManyEvents { limit: MOST_STOPS, t });
            }
        }
        y.truncate(d);
        Ok(Start { y, p })
    }

    /// The piece of a run that began at `start` which follows on `t`, and which functions of time are to be watched on it.
    pub(super) fn piece<'a>(
        &mut self,
        (start, t, far): (f64, f64, f64),
        p: &[f64],
        events: &EventState,
        times: &'a [f64],
        atol: f64,
    ) -> (Piece<'a>, Vec<usize>) {
        let (stop, timed) = self.switches.next((t, far), p);
        let end = [stop, events.next()].into_iter().flatten().fold(far, f64::min);
        let (rtol, most_steps) = (self.tolerances.rtol, self.most_steps);
        (Piece { span: (t, end), start, far, times, rtol, atol, most_steps }, timed)
    }

    /// Triggers and executes what holds after a time, but not yet at it; returns how far that looked.
    fn look_ahead(
        &mut self,
        events: &mut EventState,
        (t, t1): (f64, f64),
        y: &mut [f64],
        p: &mut [f64],
    ) -> Result<f64, SimulationError> {
        let step = AHEAD * t.abs().max(t1 - t);
        let field = &mut self.field;
        let n = y.len();
        // A step of Runge and Kutta, since what a trigger watches may rest for a moment.
        let mut ahead = |t: f64, y: &[f64], p: &[f64]| {
            let mut start = y.to_vec();
            start.resize(n, 0.0);
            let (mut stage, mut rates, mut after) = (start.clone(), vec![0.0; n], start.clone());
            for (at, weight, next) in [(0.0, 1.0, 0.5), (0.5, 2.0, 0.5), (0.5, 2.0, 1.0), (1.0, 1.0, 0.0)] {
                // A field that is recorded does not fail.
                let _ = field.eval(t + at * step, &stage, p, &mut rates);
                for (i, dy) in rates.iter().enumerate() {
                    after[i] += weight / 6.0 * step * dy;
                    stage[i] = start[i] + next * step * dy;
                }
            }
            (t + step, after)
        };
        let d = self.model.n_states();
        let mut at = Point { t, y: &mut y[..d], p };
        events.settle(&self.model, &mut self.events, &mut at, Some(&mut ahead))?;
        Ok(t + step)
    }

    /// The error if a state has no rate of change at the start, or no value.
    pub(super) fn check_start(&mut self, t: f64, y: &[f64], p: &[f64]) -> Result<(), SimulationError> {
        let needs = || -> Vec<String> {
            let ids = self.model.param_ids().zip(p).filter(|(_, x)| x.is_nan());
            ids.map(|(id, _)| id.to_owned()).collect()
        };
        let id = |i: usize| self.model.quantities[self.model.states[i]].id.clone();
        if let Some(i) = y.iter().position(|x| x.is_nan()) {
            return Err(SimulationError::NoValue { id: id(i), needs: needs() });
        }
        let mut y = y.to_vec();
        let d = y.len();
        y.resize(self.field.dim(), 0.0);
        let mut rates = vec![0.0; y.len()];
        self.field.eval(t, &y, p, &mut rates).map_err(SolveError::from)?;
        if let Some(i) = rates[..d].iter().position(|x| !x.is_finite()) {
            return Err(SimulationError::NoRate { id: id(i), value: rates[i], t, needs: needs() });
        }
        Ok(())
    }
}

fn by_size(d: usize) -> Box<dyn Stepper<f64>> {
    if d >= LARGE { Box::new(Bdf::new(1, d)) } else { Box::new(Radau::new(1, d)) }
}

pub(super) fn check_times(t0: f64, times: &[f64]) -> Result<(), SimulationError> {
    let mut before = t0;
    for (i, &t) in times.iter().enumerate() {
        if !t.is_finite() || t < before || i > 0 && t == before {
            return Err(SimulationError::Times { start: t0, t });
        }
        before = t;
    }
    Ok(())
}
