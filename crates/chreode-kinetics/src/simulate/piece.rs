//! What lies between two stops of a run: smooth integration, with or without sensitivities.

use chreode_solve::{
    Event, Observer, Rhs, SolveError, SolveOptions, StepRecord, StepSize, Stepper, Stopped, solve_events,
};

use super::run::AHEAD;
use super::switches::Switch;

/// If signs of functions are watched, no step is longer than this part of the run.
const LONGEST_STEP: f64 = 0.01;
/// A run is as long as this many times what is left to the next time that is saved: those of a run to rest double without end.
const LONGEST_LEAP: f64 = 1e3;

/// How far a run that is at `t` looks: to the last of the ascending `times`, but not much further than to the next.
pub(super) fn horizon(t: f64, times: &[f64]) -> f64 {
    let next = times.iter().find(|&&x| x > t).copied().unwrap_or(t);
    times.last().copied().unwrap_or(t).max(t).min(t + LONGEST_LEAP * (next - t))
}

/// A smooth piece of a run.
pub(super) struct Piece<'a> {
    /// From one stop to the next, if no sign changes before.
    pub(super) span: (f64, f64),
    /// Where the run began.
    pub(super) start: f64,
    /// The [`horizon`] at its start.
    pub(super) far: f64,
    /// What is left to save.
    pub(super) times: &'a [f64],
    pub(super) rtol: f64,
    pub(super) atol: f64,
    /// No more steps.
    pub(super) most_steps: u64,
}

impl Piece<'_> {
    /// Integrates until the end or until a function that is watched changes its sign; where the right-hand side jumps then, without a
    /// look at the other side. `whole` makes of `z` the states that formulas see. Returns where it ended and what was saved before.
    pub(super) fn integrate(
        &self,
        rhs: &mut Rhs<'_, f64>,
        p: &[f64],
        z: &mut [f64],
        stepper: &mut dyn Stepper<f64>,
        switches: &[&Switch],
        whole: &dyn Fn(&[f64]) -> Vec<f64>,
    ) -> Result<(f64, Vec<(f64, Vec<f64>)>), SolveError> {
        let (start, end) = self.span;
        let h_max = if switches.is_empty() { f64::INFINITY } else { LONGEST_STEP * (self.far - self.start) };
        let mut roots: Vec<Event<'_, f64>> = Vec::with_capacity(switches.len());
        for switch in switches {
            let mut root = switch.root.clone();
            // What is not a number has no sign.
            let sign = move |t, z: &[f64], p: &[f64]| match root.values(t, &whole(z), p)[0] {
                x if x.is_nan() => 0.0,
                x => x,
            };
            roots.push(Event::new(sign).terminal());
        }
        // What is saved at the end is saved after what happens there.
        let before = |end: f64| &self.times[..self.times.iter().take_while(|&&at| at < end).count()];
        let discontinuities = [start, end];
        let options = SolveOptions {
            save_at: before(end),
            discontinuities: &discontinuities,
            step: StepSize::Adaptive { h0: None, h_max },
            max_steps: self.most_steps,
            ..SolveOptions::tolerance(self.rtol, self.atol)
        };
        let (first, mut states) = (z.to_vec(), Vec::new());
        let mut saver = Saver(|_, t, z: &[f64]| states.push((t, z.to_vec())));
        let stats = solve_events(rhs, p, z, (start, end), stepper, &options, &mut roots, &mut saver)?;
        let Stopped::Event { index, t, .. } = stats.stopped else { return Ok((end, states)) };
        if switches[index].jumps && t - start > 1e-12 * t.abs().max(self.far - self.start) {
            // The last step has seen the other side of the jump: once more, up to it.
            z.copy_from_slice(&first);
            states.clear();
            let discontinuities = [start, t];
            let options = SolveOptions { save_at: before(t), discontinuities: &discontinuities, ..options };
            let mut saver = Saver(|_, t, z: &[f64]| states.push((t, z.to_vec())));
            solve_events(rhs, p, z, (start, t), stepper, &options, &mut [], &mut saver)?;
        }
        // What is saved at the time of an event is saved after it, to within the rounding of that time.
        let last = t - AHEAD * t.abs().max(self.far - t);
        states.retain(|(at, _)| *at < last);
        Ok((t, states))
    }
}

/// Passes saved states on.
struct Saver<F>(F);

impl<F: FnMut(usize, f64, &[f64])> Observer<f64> for Saver<F> {
    fn step(&mut self, _record: StepRecord<'_, f64>) {}
    fn save(&mut self, i: usize, t: f64, y: &[f64]) {
        (self.0)(i, t, y);
    }
}
