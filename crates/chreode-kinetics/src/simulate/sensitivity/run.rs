//! The loop of a run with sensitivities: as that without (`simulate/run.rs`), with a jump at each stop.

use chreode_core::{Jacobian, VectorField};
use chreode_solve::{Bdf, Rhs, Stepper};

use super::field::SensitiveField;
use super::{Derivatives, Tangent};
use crate::SimulationError;
use crate::simulate::events::{EventState, Point};
use crate::simulate::piece::horizon;
use crate::simulate::run::{AHEAD, MOST_STOPS, Simulator, check_times};

/// Fields that differ by less than this part on both sides of a stop do not jump there.
const NO_JUMP: f64 = 1e-7;

impl Simulator {
    pub(super) fn sensitive_stepper(&self, m: usize) -> Box<dyn Stepper<f64>> {
        // One factorisation a step serves all columns, which iterations of Radau's stages would multiply.
        Box::new(Bdf::new(1, (1 + m) * self.field.dim()).staggered())
    }

    /// As [`run`](Self::run), with derivatives: `save` is told state, parameters and the derivatives of both.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`SimulationError::NotDifferentiable`].
    pub(crate) fn run_sensitive(
        &mut self,
        derivatives: &mut Derivatives,
        t0: f64,
        start: Tangent,
        times: &[f64],
        save: &mut dyn FnMut(usize, f64, &Tangent) -> bool,
    ) -> Result<Tangent, SimulationError> {
        self.check_start(t0, &start.y, &start.p)?;
        check_times(t0, times)?;
        let (d, m) = (self.model.n_states(), start.columns());
        if d == 0 && !self.model.events.is_empty() {
            return Err(SimulationError::NotDifferentiable {
                t: t0,
                why: "a model without states has events",
            });
        }
        if d == 0 {
            // Nothing moves: the state is there at all times.
            for (i, &t) in times.iter().enumerate() {
                if !save(i, t, &start) {
                    break;
                }
            }
            return Ok(start);
        }
        let t1 = times.last().copied().unwrap_or(t0);
        let atol = self.absolute_of_run(t0, &start.y, &start.p, times);
        let mut stepper = self.sensitive_stepper(m);
        let mut events = EventState::new(&self.model);
        let (mut t, mut saved, mut stops, mut go_on) = (t0, 0, 0, true);
        let mut at = start;
        let mut far = horizon(t0, times);
        loop {
            let aside = AHEAD * t.abs().max(far - t0);
            let old = if stops > 0 { self.beside(t, -aside, &at.y, &at.p)? } else { vec![0.0; d] };
            let moves = if stops > 0 { None } else { Some(vec![0.0; m]) };
            let (mut y, mut p) = (at.y.clone(), at.p.clone());
            events.executed_now.clear();
            events.settle(&self.model, &mut self.events, &mut Point { t, y: &mut y, p: &mut p }, None)?;
            let (old, moves) =
                self.pass(derivatives, (t, aside), &mut at, (&y, &p), &events.executed_now, old, moves)?;
            while go_on && times.get(saved).is_some_and(|&time| time <= t) {
                go_on = save(saved, t, &at);
                saved += 1;
            }
            if t >= t1 || !go_on {
                break;
            }
            far = horizon(t, times);
            if !self.model.events.is_empty() {
                let aside = AHEAD * t.abs().max(far - t0);
                // Triggers that hold after this time, but not yet at it.
                let (field, mut rates) = (&mut self.field, vec![0.0; d]);
                let mut ahead = |t: f64, y: &[f64], p: &[f64]| {
                    // A field that is recorded does not fail.
                    let _ = field.eval(t, y, p, &mut rates);
                    (t + aside, y.iter().zip(&rates).map(|(y, dy)| y + aside * dy).collect())
                };
                let mut point = Point { t, y: &mut y, p: &mut p };
                events.executed_now.clear();
                events.settle(&self.model, &mut self.events, &mut point, Some(&mut ahead))?;
                if !events.executed_now.is_empty() {
                    self.pass(derivatives, (t, aside), &mut at, (&y, &p), &events.executed_now, old, moves)?;
                }
            }
            let (piece, timed) = self.piece((t0, t, far), &at.p, &events, &times[saved..], atol);
            let switches = self.switches.watched(&timed);
            let mut z = std::mem::take(&mut at.y);
            z.append(&mut at.s);
            let mut field = SensitiveField::new(&mut self.field, derivatives, &at.q, m, None);
            let rhs = &mut Rhs::Jacobian(&mut field as &mut dyn Jacobian<f64>);
            let whole = |z: &[f64]| z[..d].to_vec();
            let states;
            (t, states) = piece.integrate(rhs, &at.p, &mut z, &mut *stepper, &switches, &whole)?;
            for (time, mut z) in states {
                at.s = z.split_off(d);
                at.y = z;
                go_on = go_on && save(saved, time, &at);
                saved += 1;
            }
            at.s = z.split_off(d);
            at.y = z;
            stops += 1;
            if stops > MOST_STOPS {
                return Err(SimulationError::TooManyEvents { limit: MOST_STOPS, t });
            }
        }
        Ok(at)
    }

    /// Takes the sensitivities through a stop at which events made `y` and `p`. Returns the field after, and how the time of the stop
    /// moves, if that had to be found out; `old` is the field before.
    fn pass(
        &mut self,
        derivatives: &Derivatives,
        (t, aside): (f64, f64),
        at: &mut Tangent,
        (y, p): (&[f64], &[f64]),
        executed: &[usize],
        old: Vec<f64>,
        moves: Option<Vec<f64>>,
    ) -> Result<(Vec<f64>, Option<Vec<f64>>), SimulationError> {
        let starts = moves.is_some() && executed.is_empty();
        if starts {
            return Ok((old, moves));
        }
        let new = self.beside(t, aside, y, p)?;
        let largest = old.iter().chain(&new).fold(0.0_f64, |a, x| a.max(x.abs()));
        let smooth = old.iter().zip(&new).all(|(a, b)| (a - b).abs() <= NO_JUMP * largest);
        if smooth && executed.is_empty() {
            return Ok((new, moves));
        }
        let moves = match moves {
            Some(moves) => moves,
            None => self.moves(t, aside, at, &old)?,
        };
        *at = self.jump(derivatives, t, at, (y, p), executed, (&old, &new), &moves)?;
        Ok((new, Some(moves)))
    }
}
