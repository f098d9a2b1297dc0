//! The discrete adjoint of a run by any method, with fixed or adaptive steps.
//!
//! The forward run records when its steps began and ended, and some of the states between them. The reverse
//! sweep takes steps again to come to the states between, and differentiates step by step.
//! Observations inside a step are those of its dense output, where the method has one that can be pulled back; else steps end there.
//! Not here: how one step is taken again and differentiated (`method`, and a file for each family), the time loop
//! (`chreode-solve`), stochastic equations (`sde`), which states are kept (`checkpoint`).

use chreode_core::{FieldError, Real, Vjp};
use chreode_solve::{SolveOptions, Stats, StepSize, solve_events};

use super::method::{OdeMethod, StepAdjoint};
use super::tape::{Bars, Recorder, Tape};
use crate::AdjointError;
use crate::checkpoint::{Checkpoints, Store};
use crate::error::{check_finite, check_gradient, check_len};
use crate::event::{EventJump, EventVjp, watch};

/// What evaluations of a run may take where every state is stored, unless one says otherwise: 20 steps of RK4 of 64 rows through a net
/// of a million parameters take 41 million bytes.
const KEPT_BYTES: usize = 1 << 26;

/// Gradients through a run of `n` trajectories of `d` coordinates by one of the methods of [`OdeMethod`].
///
/// [`forward`](Self::forward) solves and records, [`backward`](Self::backward) returns the gradient of any
/// function of the states at the saved times. It is the exact gradient of the computed solution, for the steps
/// that were taken: it does not differentiate the choice of the step sizes.
///
/// The adjoint state jumps at the saved times. Explicit methods with adaptive steps need not stop for them, as [`chreode_solve::solve`] does not:
/// the state there is that of their dense output, which is pulled back to the stages. Fixed steps, implicit methods, runs that
/// watch for events, and those with [`land_on_saves`](SolveOptions::land_on_saves), end a step there.
///
/// # Implicit methods
/// Each step of the forward run is solved to rounding, from what Newton's iteration of the method found to a part of the tolerance, and is
/// differentiated by the implicit function theorem: the gradient is that of the computed numbers. With every state stored the stages are
/// stored too (3 to 7 states a step), and nothing is solved on the way back. With few states, steps are solved forward as they will be
/// solved again, from the state at their start alone, some times slower: what is taken again has the same bits, also over the jumps of
/// relaxation oscillations. A step that finds another solution than the forward run is an error
/// ([`ReplayDiffers`](AdjointError::ReplayDiffers)), not another gradient.
///
/// Rosenbrock methods have no iteration, but the Jacobian as a part of each step. Its derivative along the stages is that of the
/// field's pull-backs, if the field shows it ([`Vjp::as_vjp_tangent`], as models that are written once do): the gradient is then exact as
/// others are. For fields that do not it comes from central differences of pull-backs. These are exact to rounding where the field is
/// quadratic in the state, as reactions of two partners are; elsewhere a relative error of about 1e-8 is left (`f32`: 1e-4).
///
/// Steps of [`Bdf`](chreode_solve::Bdf) depend on those before: with few states its differences are kept beside each. Mass matrices and
/// systems without matrices ([`Bdf::with_krylov`](chreode_solve::Bdf::with_krylov)) have no discrete adjoint here: [`OdeMethod`] does not
/// offer them.
///
/// The field's Jacobian is used if [`Vjp::as_jacobian`] shows it, sparse ones too; else it is computed by `d` pull-backs.
///
/// # Memory
/// By default every state is stored: one `[n, d]` a step (and the stages of implicit methods), and going back again takes no step
/// again. Of explicit runs as many evaluations are kept beside as fit into 64 MiB ([`keep_evaluations`](Self::keep_evaluations)).
/// [`Checkpoints`] keep fewer states, no evaluations, and take steps again. The gradient has the same bits; only an implicit method
/// that stores every state differs from one that does not, by rounding. With a budget and fixed steps, whose number is known, the fewest possible are taken again
/// ([`recomputed_steps`](crate::recomputed_steps)); with adaptive ones, each at most as often as there. Beside states, 17 bytes a
/// step are kept. Buffers grow in the first run and are used again: later runs of no more steps allocate nothing.
///
/// ```
/// use chreode_adjoint::OdeAdjoint;
/// use chreode_solve::{SolveOptions, TSIT5};
/// use chreode_testkit::{LotkaVolterra, SmoothField};
/// let mut f = SmoothField(LotkaVolterra);
/// let (p, mut y) = ([1.5, 1.0, 0.75, 3.0], [1.0, 0.5]);
/// let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 2);
/// let options = SolveOptions { save_at: &[1.0, 2.0], ..SolveOptions::tolerance(1e-8, 1e-8) };
/// adjoint.forward(&mut f, &p, &mut y, (0.0, 2.0), &options, &mut |_i, _t, _y| {})?;
/// // Gradient of (prey at t = 1) + (predator at t = 2):
/// let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
/// adjoint.backward(&mut f, &p, &[&[1.0, 0.0], &[0.0, 1.0]], &mut y0_bar, &mut p_bar)?;
/// assert!(p_bar[0] > 0.0); // more prey when it multiplies faster
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
///
/// A field without pull-backs does not compile:
///
/// ```compile_fail,E0277
/// use chreode_adjoint::OdeAdjoint;
/// use chreode_core::field;
/// use chreode_solve::{SolveOptions, TSIT5};
/// let mut f = field(1, |_t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = -y[0]);
/// let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 1);
/// let _ = adjoint.forward(&mut f, &[], &mut [1.0], (0.0, 1.0), &SolveOptions::fixed(0.1), &mut |_i, _t, _y| {});
/// ```
#[derive(Debug)]
pub struct OdeAdjoint<T> {
    method: Box<dyn StepAdjoint<T>>,
    dim: usize,
    nd: usize,
    tape: Tape<T>,
    complete: bool,
    recomputed: u64,
    /// The state that the sweep has come to (and what the method remembers there, if that is kept), that at the end of the step before, and that at the end of the run.
    y: Vec<T>,
    y_next: Vec<T>,
    y_end: Vec<T>,
    lambda: Vec<T>,
    jump: EventJump<T>,
}

impl<T: Real> OdeAdjoint<T> {
    /// Work arrays for `n` trajectories of `d` coordinates; every state will be stored.
    ///
    /// # Panics
    /// If a tableau is not consistent, as [`Erk::new`](chreode_solve::Erk::new).
    pub fn new(method: impl Into<OdeMethod>, n: usize, d: usize) -> Self {
        match Self::with_checkpoints(method, n, d, Checkpoints::All) {
            Ok(adjoint) => adjoint,
            Err(_) => unreachable!("storing every state has no limit that could be too small"),
        }
    }

    /// As [`new`](Self::new), with a choice of the states that are stored.
    ///
    /// # Errors
    /// [`AdjointError::CheckpointsTooFew`] if not even the start state may be kept, with the least that will do.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_checkpoints(
        method: impl Into<OdeMethod>,
        n: usize,
        d: usize,
        checkpoints: Checkpoints,
    ) -> Result<Self, AdjointError> {
        let nd = n * d;
        let zeros = || vec![T::ZERO; nd];
        let mut method = method.into().steps(n, d);
        let memory = if checkpoints == Checkpoints::All { 0 } else { method.memory() };
        if checkpoints == Checkpoints::All {
            method.keep_evaluations(KEPT_BYTES);
        } else {
            method.take_again();
        }
        let states = Store::new(checkpoints, nd + memory)?;
        Ok(Self {
            method,
            dim: d,
            nd,
            tape: Tape::new(states, nd, memory),
            complete: false,
            recomputed: 0,
            y: vec![T::ZERO; nd + memory],
            y_next: zeros(),
            y_end: zeros(),
            lambda: zeros(),
            jump: EventJump::new(nd),
        })
    }

    /// Lets later runs of an explicit method keep the evaluations of their first steps, as many as fit into so many bytes: the states
    /// of the stages, and what the field keeps of them ([`Vjp::kept_bytes`]). A sweep need not make these again. A gradient through a
    /// net then takes three runs and not four, with the same bits. By default these are 64 MiB where every state is stored, and none
    /// where not.
    ///
    /// If another run goes through the same field between a forward run and its sweep, the field keeps what came last, and the sweep
    /// evaluates again what was lost: with trajectories in several parts, each part had better go forward and back before the next. A
    /// field keeps the room for its next run; a copy of a net has none of it. Runs that watch for events keep nothing, nor do implicit
    /// methods, whose sweep evaluates elsewhere.
    pub fn keep_evaluations(&mut self, bytes: usize) {
        self.method.keep_evaluations(bytes);
    }

    /// Solves as [`chreode_solve::solve`] does, and records. `save(i, t, y)` is called at every saved time. Unless the method is explicit and its steps
    /// adaptive, they land on them whatever the options say.
    ///
    /// # Errors
    /// Those of [`chreode_solve::solve`]; there is then nothing to go backward through.
    pub fn forward(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        y: &mut [T],
        span: (f64, f64),
        options: &SolveOptions<'_>,
        save: &mut dyn FnMut(usize, f64, &[T]),
    ) -> Result<Stats, AdjointError> {
        self.forward_events(f, p, y, span, options, &[], save)
    }

    /// As [`forward`](Self::forward), and watches for events, as [`chreode_solve::solve_events`] does. The states before and after
    /// each that resets or ends are kept, beside any checkpoints.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`AdjointError::EventsTogether`] for two at the same time: there is no
    /// derivative.
    pub fn forward_events(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        y: &mut [T],
        span: (f64, f64),
        options: &SolveOptions<'_>,
        events: &[&dyn EventVjp<T>],
        save: &mut dyn FnMut(usize, f64, &[T]),
    ) -> Result<Stats, AdjointError> {
        self.complete = false;
        let adaptive = matches!(options.step, StepSize::Adaptive { .. });
        let stays_free = adaptive && events.is_empty() && self.method.interpolates();
        let options = SolveOptions { land_on_saves: options.land_on_saves || !stays_free, ..*options };
        let known = options.known_steps(span).filter(|_| events.is_empty());
        let known = known.and_then(|steps| usize::try_from(steps).ok());
        self.tape.begin(known, events);
        let mut watched: Vec<_> = events.iter().map(|&e| watch(e)).collect();
        let mut recorder = Recorder { tape: &mut self.tape, save };
        let stats = self.method.with_stepper(f, events.is_empty(), &mut |f, stepper| {
            solve_events(f, p, y, span, stepper, &options, &mut watched, &mut recorder)
        })?;
        if let Some(t) = self.tape.endings.together {
            return Err(AdjointError::EventsTogether { t });
        }
        self.tape.endings.finish(y);
        self.y_end.copy_from_slice(y);
        self.complete = true;
        Ok(stats)
    }

    /// Start and end of the steps of the last forward run.
    pub fn steps(&self) -> &[(f64, f64)] {
        &self.tape.steps
    }

    /// Of each step of the last forward run, the power of its length that its error scales with, by which a method that changes its
    /// order tells it: one more than the number of stages of a Radau method. 0 for methods without an error estimate.
    pub fn error_orders(&self) -> &[u8] {
        &self.tape.orders
    }

    /// The state, `[n, d]`, at the start of a step of the last forward run, where that of every step is stored ([`Checkpoints::All`], or
    /// every first).
    pub fn state(&self, step: usize) -> Option<&[T]> {
        let taken = step < self.tape.steps.len();
        taken.then(|| self.tape.states.in_order(step)).flatten().map(|y| &y[..self.nd])
    }

    /// States that are stored now: those that the last forward run kept; after a backward one all or the start state.
    pub fn stored_states(&self) -> usize {
        self.tape.states.kept()
    }

    /// Bytes that the states (of Bdf with what it remembers) and stages take which are stored now, beside the
    /// [evaluations](Self::evaluation_bytes). Where the number of steps is not known
    /// and all are stored, arrays grow by an eighth: they may take as much more.
    pub fn stored_bytes(&self) -> usize {
        (self.stored_states() * self.y.len() + self.method.kept_values()) * size_of::<T>()
    }

    /// Bytes that the evaluations take which the last forward run kept ([`keep_evaluations`](Self::keep_evaluations)), with what the
    /// field keeps of them.
    pub fn evaluation_bytes(&self) -> usize {
        self.method.evaluation_bytes()
    }

    /// Steps that the last backward run took again.
    pub fn recomputed(&self) -> u64 {
        self.recomputed
    }

    /// Goes back through the last forward run, which had the same field and `p`. Going back once more takes its steps
    /// again, unless every state is stored.
    ///
    /// `state_bar[i]`, `[n, d]`, is the gradient of the objective with respect to the state at `save_at[i]`. Sets
    /// `y0_bar`, `[n, d]`, to the gradient with respect to the start state and ADDS that with respect to the
    /// parameters, summed over the trajectories, to `p_bar`.
    ///
    /// # Errors
    /// [`AdjointError::NoForwardPass`], [`AdjointError::ShapeMismatch`], [`AdjointError::Field`],
    /// [`AdjointError::NonFinite`] with the observation whose gradient is not finite, or the step at which the adjoint state stopped to
    /// be, [`AdjointError::NonFiniteGradient`] if `p_bar` alone is not finite in the end, and [`AdjointError::ReplayDiffers`] where an implicit step that is solved again ends elsewhere: with few states kept, a sign
    /// that the field or `p` is not that of the forward run.
    pub fn backward(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.sweep(f, p, &[], Bars::Each(state_bar), None, y0_bar, p_bar, None)
    }

    /// As [`backward`](Self::backward); also sets `time_bar[i]` to the gradient with respect to the time `save_at[i]`, and
    /// returns that with respect to the start time.
    ///
    /// These are `state_bar[i] · f` at the observation and `-λ · f` at the start: derivatives of the solution, right to the
    /// order of the method, and not of the rounding of its steps. The end of the run has a gradient only as an observation.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_with_times(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
        time_bar: &mut [T],
    ) -> Result<T, AdjointError> {
        self.with_times(f, p, &[], state_bar, None, y0_bar, p_bar, time_bar)
    }

    /// As [`backward`](Self::backward), through the last [`forward_events`](Self::forward_events), which had the same events.
    ///
    /// `end_bar` is the gradient with respect to the end of the run: the state there, after any reset, and the time, which
    /// counts if a terminal event ended it. An event's time moves with the state, `∂t/∂y = -∇g / (∇g · f + ∂g/∂t)` for its root `g`,
    /// and the adjoint state jumps accordingly [GFB99]. Where a root jumps at a discontinuity, the event stays there. The step that an event cuts short is differentiated as if the method had
    /// made it with that length, which is right to the order of its dense output; all others are exact.
    ///
    /// # Errors
    /// As [`backward`](Self::backward); the adjoint state is not finite where the root is tangent to zero.
    pub fn backward_events(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        state_bar: &[&[T]],
        end_bar: (&[T], T),
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.sweep(f, p, events, Bars::Each(state_bar), Some(end_bar), y0_bar, p_bar, None)
    }

    /// As [`backward_events`](Self::backward_events), and tells the gradients with respect to times as
    /// [`backward_with_times`](Self::backward_with_times): events keep to their own.
    ///
    /// # Errors
    /// As [`backward_events`](Self::backward_events).
    pub fn backward_events_with_times(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        state_bar: &[&[T]],
        end_bar: (&[T], T),
        y0_bar: &mut [T],
        p_bar: &mut [T],
        time_bar: &mut [T],
    ) -> Result<T, AdjointError> {
        self.with_times(f, p, events, state_bar, Some(end_bar), y0_bar, p_bar, time_bar)
    }

    fn with_times(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        state_bar: &[&[T]],
        end_bar: Option<(&[T], T)>,
        y0_bar: &mut [T],
        p_bar: &mut [T],
        time_bar: &mut [T],
    ) -> Result<T, AdjointError> {
        if self.complete {
            check_len("time_bar", time_bar.len(), self.tape.saved.len())?;
        }
        self.sweep(f, p, events, Bars::Each(state_bar), end_bar, y0_bar, p_bar, Some(time_bar))?;
        let Some(&(t, _)) = self.tape.steps.first() else { return Ok(T::ZERO) };
        f.eval(t, &self.y[..self.nd], p, &mut self.lambda)?;
        Ok(-dot(y0_bar, &self.lambda))
    }

    /// As [`backward`](Self::backward), with the gradients of all times in one slice, `[times, n, d]`.
    pub(super) fn backward_flat(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        state_bar: &[T],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let state_bar = Bars::Flat(state_bar, self.tape.saved.len());
        self.sweep(f, p, &[], state_bar, None, y0_bar, p_bar, None)
    }

    fn sweep(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        state_bar: Bars<'_, T>,
        end_bar: Option<(&[T], T)>,
        y0_bar: &mut [T],
        p_bar: &mut [T],
        mut time_bar: Option<&mut [T]>,
    ) -> Result<(), AdjointError> {
        if !self.complete {
            return Err(AdjointError::NoForwardPass);
        }
        check_len("state_bar (saved times)", state_bar.len(), self.tape.saved.len())?;
        check_len("events", events.len(), self.tape.endings.watched)?;
        check_len("dimension of the field", f.dim(), self.dim)?;
        check_len("parameters (at least)", p.len().min(f.n_params()), f.n_params())?;
        check_len("y0_bar", y0_bar.len(), self.nd)?;
        check_len("p_bar", p_bar.len(), p.len())?;
        for (i, &(_, t)) in self.tape.saved.iter().enumerate() {
            let bar = state_bar.get(i);
            check_len("an element of state_bar", bar.len(), self.nd)?;
            check_finite(bar, self.dim, 0, t)?;
        }
        self.recomputed = 0;
        self.tape.states.rewind(self.tape.steps.len());
        self.method.begin();
        self.y[..self.nd].copy_from_slice(&self.y_end);
        y0_bar.fill(T::ZERO);
        let a = y0_bar; // the adjoint state: where it ends is what is asked for
        let mut end_time_bar = T::ZERO;
        if let Some((bar, time_bar)) = end_bar {
            check_len("end_bar", bar.len(), self.nd)?;
            let t_end = self.tape.steps.last().map_or(0.0, |step| step.1);
            check_finite(bar, self.dim, 0, t_end)?;
            check_finite(&[time_bar], 1, 0, t_end)?;
            a.copy_from_slice(bar);
            end_time_bar = time_bar;
        }
        let mut saves = state_bar.len();
        for step in (0..self.tape.steps.len()).rev() {
            self.event_back(f, p, events, step, end_time_bar, a, p_bar)?;
            self.observe(f, p, step + 1, &mut saves, state_bar, a, &mut time_bar)?;
            self.y_next.copy_from_slice(&self.y[..self.nd]);
            self.go_to(f, step, p)?;
            let taken = self.tape.step(step);
            let from =
                (0..saves).rev().take_while(|&i| self.tape.inside(step, i).is_some()).last().unwrap_or(saves);
            if from < saves {
                let (tape, ends) = (&self.tape, (&self.y[..self.nd], &self.y_next[..]));
                let inside = |i| tape.inside(step, i).map(|theta| (theta, state_bar.get(i)));
                self.method.open(f, taken, p, ends.0, time_bar.is_some())?;
                self.method.inside(f, taken, p, ends, &mut (from..saves).filter_map(inside), a, p_bar)?;
                if let Some(time_bar) = &mut time_bar {
                    for (i, (theta, bar)) in (from..saves).zip((from..saves).filter_map(inside)) {
                        let y = self.method.state_inside(taken, ends.0, theta);
                        f.eval(self.tape.saved[i].1, y, p, &mut self.lambda)?;
                        time_bar[i] = dot(bar, &self.lambda);
                    }
                }
                saves = from;
            }
            self.method.back(f, taken, p, &self.y, &self.y_next, a, p_bar)?;
            check_finite(a, self.dim, 0, taken.t)?;
        }
        self.observe(f, p, 0, &mut saves, state_bar, a, &mut time_bar)?;
        self.tape.states.rewind(self.tape.steps.len());
        let start = self.tape.steps.first().map_or(f64::NAN, |s| s.0);
        check_finite(a, self.dim, 0, start)?;
        check_gradient(p_bar, (0, self.nd / self.dim.max(1)), start)
    }

    /// Pulls the adjoint state back through the event that ended `step`, if one did; `self.y` is then the state before it.
    fn event_back(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        step: usize,
        end_time_bar: T,
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let Some(ended @ (ending, before, _)) = self.tape.endings.of(step) else { return Ok(()) };
        self.jump.pull_back(f, p, events[ending.index], ended, end_time_bar, a, p_bar)?;
        self.y[..self.nd].copy_from_slice(before);
        Ok(())
    }

    /// Adds the gradients of the saves that were made after `steps` steps, where the state is `self.y`.
    fn observe(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        steps: usize,
        saves: &mut usize,
        state_bar: Bars<'_, T>,
        a: &mut [T],
        time_bar: &mut Option<&mut [T]>,
    ) -> Result<(), FieldError> {
        while *saves > 0 && self.tape.saved[*saves - 1].0 == steps {
            *saves -= 1; // none is inside the next step: those were met before
            let bar = state_bar.get(*saves);
            for (a, &bar) in a.iter_mut().zip(bar) {
                *a += bar;
            }
            if let Some(time_bar) = time_bar {
                f.eval(self.tape.saved[*saves].1, &self.y[..self.nd], p, &mut self.lambda)?;
                time_bar[*saves] = dot(bar, &self.lambda);
            }
        }
        Ok(())
    }

    /// Brings `self.y` to the start of `step`, from the last state kept before it; keeps others on the way as the
    /// schedule says.
    fn go_to(&mut self, f: &mut dyn Vjp<T>, step: usize, p: &[T]) -> Result<(), AdjointError> {
        let Some((mut at, y)) = self.tape.states.last() else { return Ok(()) }; // the start is always kept
        if at < step && self.tape.last == Some(step) && step + 1 == self.tape.steps.len() {
            self.y.copy_from_slice(&self.tape.y_last);
            return Ok(());
        }
        self.y.copy_from_slice(y);
        let mut goes_on = false;
        while at < step {
            let next = self.tape.states.next(at, step + 1);
            let to = next.unwrap_or(step);
            self.advance(f, at, to, &mut goes_on, p)?;
            at = to;
            if next.is_some() {
                self.tape.states.push(at, 0, &self.y);
            }
        }
        if step > 0 && self.tape.states.last().is_some_and(|(at, _)| at == step) {
            self.tape.states.pop();
        }
        Ok(())
    }

    /// Takes the steps `from..to` again. `goes_on`: whether the last one that was taken again led to the state.
    fn advance(
        &mut self,
        f: &mut dyn Vjp<T>,
        from: usize,
        to: usize,
        goes_on: &mut bool,
        p: &[T],
    ) -> Result<(), AdjointError> {
        for i in from..to {
            if let Some((_, _, after)) = self.tape.endings.of(i) {
                self.y[..self.nd].copy_from_slice(after); // not by a step alone
                *goes_on = false;
                continue;
            }
            let taken = self.tape.step(i);
            // Not over a discontinuity.
            *goes_on &= i > 0 && self.tape.steps[i - 1].1 == taken.t;
            self.method.again(f, taken, *goes_on, p, &mut self.y)?;
            *goes_on = true;
            self.recomputed += 1;
        }
        Ok(())
    }
}

pub(crate) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::ZERO, |sum, (&a, &b)| sum + a * b)
}
