//! Back through a run by the discrete adjoint, piece by piece between switches at times that do not move.

use chreode_adjoint::{AdjointError, OdeAdjoint, OdeMethod};
use chreode_core::VectorField;
use chreode_solve::{SolveError, SolveOptions};

use crate::SimulationError;
use crate::model::Start;
use crate::simulate::run::{LARGE, Simulator};

/// A run that can be gone back through.
#[derive(Debug)]
pub(crate) struct Backward {
    /// Each piece, with the number of times that it saved.
    pieces: Vec<(OdeAdjoint<f64>, usize)>,
    p: Vec<f64>,
    /// Times that were saved at the start itself.
    at_start: usize,
}

impl Simulator {
    /// Whether a run can be gone back through: it has states, no events, and no switch that depends on the state.
    pub(crate) fn has_adjoint(&self) -> bool {
        self.model.n_states() > 0 && self.model.events.is_empty() && self.switches.roots.is_empty()
    }

    /// The times between `t0` and `t1` at which formulas jump; none if they are not known before the run, or depend on a parameter that
    /// `moves`.
    pub(crate) fn stops(&mut self, (t0, t1): (f64, f64), p: &[f64], moves: &[bool]) -> Option<Vec<f64>> {
        let (mut stops, mut t) = (Vec::new(), t0);
        while self.has_adjoint() {
            let (stop, watched) = self.switches.next((t, t1), p);
            let Some(stop) = stop.filter(|stop| watched.is_empty() && *stop < t1) else {
                let all_known = watched.is_empty() && (stops.is_empty() || !self.moves_switches(moves));
                return all_known.then_some(stops);
            };
            stops.push(stop);
            t = stop;
        }
        None
    }

    fn moves_switches(&self, moves: &[bool]) -> bool {
        self.switches.all().any(|root| root.sees(moves))
    }

    /// Runs from `t0` as [`run`](Self::run), and remembers the way. None where switches have to be looked for, or where a switch's time
    /// depends on a parameter that `moves`.
    pub(crate) fn run_backward(
        &mut self,
        t0: f64,
        start: Start<f64>,
        times: &[f64],
        moves: &[bool],
        save: &mut dyn FnMut(usize, &[f64]),
    ) -> Result<Option<(Backward, Start<f64>)>, SimulationError> {
        let Start { mut y, p } = start;
        self.check_start(t0, &y, &p)?;
        let d = self.field.dim();
        let t1 = times.last().copied().unwrap_or(t0);
        let method = if d >= LARGE { OdeMethod::Bdf } else { OdeMethod::Radau };
        let atol = self.absolute_of_run(t0, &y, &p, times);
        let at_start = times.iter().take_while(|&&t| t <= t0).count();
        (0..at_start).for_each(|i| save(i, &y));
        let (mut saved, mut t) = (at_start, t0);
        let mut pieces = Vec::new();
        while t < t1 {
            let (stop, watched) = self.switches.next((t, t1), &p);
            if !watched.is_empty() || stop.is_some() && self.moves_switches(moves) {
                return Ok(None);
            }
            let end = stop.unwrap_or(t1);
            let count = times[saved..].iter().take_while(|&&at| at <= end).count();
            let options = SolveOptions {
                save_at: &times[saved..saved + count],
                discontinuities: &[t, end],
                max_steps: self.most_steps,
                ..SolveOptions::tolerance(self.tolerances.rtol, atol)
            };
            let mut adjoint = OdeAdjoint::new(method, 1, d);
            let mut told = |i: usize, _: f64, y: &[f64]| save(saved + i, y);
            adjoint.forward(&mut self.field, &p, &mut y, (t, end), &options, &mut told).map_err(failed)?;
            pieces.push((adjoint, count));
            (saved, t) = (saved + count, end);
        }
        Ok(Some((Backward { pieces, p: p.clone(), at_start }, Start { y, p })))
    }

    /// Sets `y_bar` to the gradient with respect to the start and adds that with respect to the parameters to `p_bar`. `bars`: with
    /// respect to the saved states; `end_bar`: to the last one.
    pub(crate) fn go_back(
        &mut self,
        run: &mut Backward,
        bars: &[Vec<f64>],
        end_bar: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), SimulationError> {
        let mut lambda = end_bar.to_vec();
        let mut last = bars.len();
        for (adjoint, count) in run.pieces.iter_mut().rev() {
            let own: Vec<&[f64]> = bars[last - *count..last].iter().map(Vec::as_slice).collect();
            last -= *count;
            adjoint
                .backward_events(&mut self.field, &run.p, &[], &own, (&lambda, 0.0), y_bar, p_bar)
                .map_err(failed)?;
            lambda.copy_from_slice(y_bar);
        }
        y_bar.copy_from_slice(&lambda);
        for bar in &bars[..run.at_start] {
            y_bar.iter_mut().zip(bar).for_each(|(y, bar)| *y += bar);
        }
        Ok(())
    }
}

fn failed(error: AdjointError) -> SimulationError {
    match error {
        AdjointError::Solve(error) => error.into(),
        AdjointError::Field(error) => SolveError::from(error).into(),
        AdjointError::NonFinite { t, .. } => {
            SimulationError::NotDifferentiable { t, why: "the adjoint state is not finite" }
        }
        AdjointError::NonFiniteGradient { t, .. } => {
            SimulationError::NotDifferentiable { t, why: "the gradient by a parameter is not finite" }
        }
        AdjointError::ReplayDiffers { t, .. } => {
            SimulationError::NotDifferentiable { t, why: "a step that was solved again ended elsewhere" }
        }
        AdjointError::EventsTogether { t } => {
            SimulationError::NotDifferentiable { t, why: "two events happen at once" }
        }
        _ => SimulationError::NotDifferentiable { t: f64::NAN, why: "the adjoint has no way back" },
    }
}
