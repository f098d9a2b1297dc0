//! What a switch or an event does to sensitivities.
//!
//! If it happens at `t*` with `dt*/dφ = τ`, the state's derivative goes from `S⁻` to `r'(S⁻ + f⁻ τ) - f⁺ τ`, with `r` what events
//! make of the state, and the fields `f⁻` before and `f⁺` after. Source: [GFB99].

use chreode_autodiff::Dual;
use chreode_core::VectorField;

use super::{Derivatives, Tangent};
use crate::SimulationError;
use crate::model::{Location, QuantityKind};
use crate::simulate::field::Recorded;
use crate::simulate::run::Simulator;

/// Times of two switches at one place are the same to this part of their derivatives.
const SAME: f64 = 1e-8;

/// The derivatives of a function with one value.
fn slopes(root: &Recorded, output: usize, t: f64, y: &[f64], p: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
    let program = &root.program;
    let mut lambda = vec![0.0; program.n_out()];
    lambda[output] = 1.0;
    let (mut y_bar, mut p_bar) = (vec![0.0; program.dim()], vec![0.0; program.n_params()]);
    program.vjp(&mut program.replay(), t, y, p, &lambda, &mut y_bar, &mut p_bar);
    let constants = |x: &[f64]| -> Vec<Dual<f64, 1>> { x.iter().map(|&x| Dual { v: x, d: [0.0] }).collect() };
    let mut out = vec![Dual { v: 0.0, d: [0.0] }; program.n_out()];
    let time = Dual { v: t, d: [1.0] };
    program.eval(&mut program.replay(), time, &constants(y), &constants(p), &mut out);
    (out[output].d[0], y_bar, p_bar)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Simulator {
    /// The field at a state that is moved by `step` along itself.
    pub(super) fn beside(
        &mut self,
        t: f64,
        step: f64,
        y: &[f64],
        p: &[f64],
    ) -> Result<Vec<f64>, SimulationError> {
        let d = y.len();
        let mut rates = vec![0.0; self.field.dim()];
        let mut moved = y.to_vec();
        moved.resize(rates.len(), 0.0);
        self.field.eval(t + step, &moved, p, &mut rates).map_err(chreode_solve::SolveError::from)?;
        moved.iter_mut().zip(&rates).for_each(|(y, dy)| *y += step * dy);
        self.field.eval(t + step, &moved, p, &mut rates).map_err(chreode_solve::SolveError::from)?;
        rates.truncate(d);
        Ok(rates)
    }

    /// The derivatives of the time of a stop at `t`, where at least one function that is watched changes its sign between `aside` before
    /// and after; `slope` is the field before.
    pub(super) fn moves(
        &self,
        t: f64,
        aside: f64,
        at: &Tangent,
        slope: &[f64],
    ) -> Result<Vec<f64>, SimulationError> {
        let (m, d, np) = (at.columns(), at.y.len(), at.p.len());
        let not = |why| SimulationError::NotDifferentiable { t, why };
        let beside =
            |sign: f64| -> Vec<f64> { at.y.iter().zip(slope).map(|(y, f)| y + sign * aside * f).collect() };
        let (earlier, later) = (beside(-1.0), beside(1.0));
        let mut times: Option<Vec<f64>> = None;
        for root in self.switches.all() {
            let mut watched = root.clone();
            let (a, b) =
                (watched.values(t - aside, &earlier, &at.p)[0], watched.values(t + aside, &later, &at.p)[0]);
            if !(a * b <= 0.0 && a != b) {
                continue;
            }
            let (by_time, by_state, by_params) = slopes(root, 0, t, &at.y, &at.p);
            let speed = by_time + dot(&by_state, slope);
            let moves: Vec<f64> = (0..m)
                .map(|j| {
                    let s = dot(&by_state, &at.s[j * d..(j + 1) * d]);
                    -(s + dot(&by_params, &at.q[j * np..(j + 1) * np])) / speed
                })
                .collect();
            if moves.iter().any(|x| !x.is_finite()) {
                return Err(not("a switch or trigger only touches its threshold"));
            }
            if let Some(others) = &times {
                let size = moves.iter().chain(others).fold(0.0_f64, |a, x| a.max(x.abs()));
                if moves.iter().zip(others).any(|(a, b)| (a - b).abs() > SAME * size) {
                    return Err(not("two switches or triggers coincide, and move apart with the parameters"));
                }
            }
            times = Some(moves);
        }
        Ok(times.unwrap_or_else(|| vec![0.0; m]))
    }

    /// Carries the sensitivities over a stop at which these events made `y` and `p` of what was `before`. `old` and `new` are the fields
    /// before and after, `times` the derivatives of the stop's time.
    pub(super) fn jump(
        &self,
        derivatives: &Derivatives,
        t: f64,
        before: &Tangent,
        (y, p): (&[f64], &[f64]),
        executed: &[usize],
        (old, new): (&[f64], &[f64]),
        times: &[f64],
    ) -> Result<Tangent, SimulationError> {
        let d = before.y.len();
        let mut after = Tangent { y: y.to_vec(), p: p.to_vec(), s: before.s.clone(), q: before.q.clone() };
        // To the time of the stop as it moves, through the events, and back.
        for (s, tau) in after.s.chunks_exact_mut(d).zip(times) {
            s.iter_mut().zip(old).for_each(|(s, f)| *s += f * tau);
        }
        self.through_events(derivatives, t, before, &mut after, executed, times)?;
        for (s, tau) in after.s.chunks_exact_mut(d).zip(times) {
            s.iter_mut().zip(new).for_each(|(s, f)| *s -= f * tau);
        }
        Ok(after)
    }

    fn through_events(
        &self,
        derivatives: &Derivatives,
        t: f64,
        before: &Tangent,
        after: &mut Tangent,
        executed: &[usize],
        times: &[f64],
    ) -> Result<(), SimulationError> {
        let (d, np) = (before.y.len(), before.p.len());
        let not = |why| SimulationError::NotDifferentiable { t, why };
        let (mut y, mut p) = (before.y.clone(), before.p.clone());
        for &e in executed {
            let event = &self.model.events[e];
            if event.delay.is_some() {
                return Err(not("an event has a delay"));
            }
            if event
                .assignments
                .iter()
                .any(|(q, _)| self.model.quantities[*q].kind == QuantityKind::Compartment)
            {
                return Err(not("an event sets the size of a compartment"));
            }
            let assigned = &derivatives.assigned[e];
            let values = assigned.clone().values(t, &y, &p);
            let mut changes = Vec::new();
            for (k, (q, _)) in event.assignments.iter().enumerate() {
                let (by_time, by_state, by_params) = slopes(assigned, k, t, &y, &p);
                let column: Vec<f64> = (0..times.len())
                    .map(|j| {
                        let s = dot(&by_state, &after.s[j * d..(j + 1) * d]);
                        s + dot(&by_params, &after.q[j * np..(j + 1) * np]) + by_time * times[j]
                    })
                    .collect();
                changes.push((self.model.quantities[*q].location.clone(), values[k], column));
            }
            for (location, value, column) in changes {
                for (j, dx) in column.into_iter().enumerate() {
                    match location {
                        Location::State(i) => after.s[j * d + i] = dx,
                        Location::Param(i) => after.q[j * np + i] = dx,
                        Location::Assigned(_) => {}
                    }
                }
                match location {
                    Location::State(i) => y[i] = value,
                    Location::Param(i) => p[i] = value,
                    Location::Assigned(_) => {}
                }
            }
        }
        // What is replayed here must be what happened.
        let same = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).all(|(a, b)| {
                a == b || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()) || a.is_nan() && b.is_nan()
            })
        };
        if same(&y, &after.y) && same(&p, &after.p) {
            Ok(())
        } else {
            Err(not("events at the same time act on each other"))
        }
    }
}
