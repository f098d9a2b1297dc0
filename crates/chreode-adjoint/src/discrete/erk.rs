//! The discrete adjoint of explicit Runge-Kutta methods, with fixed or adaptive steps.
//!
//! The forward run records when its steps began and ended, and some of the states between them. The reverse
//! sweep computes states and stages again, to the bit, and differentiates step by step.
//! Nothing is interpolated: steps end where the solution is observed.
//! Not here: the time loop and the methods (`chreode-solve`), stochastic equations (`euler_maruyama`), which states
//! are kept (`checkpoint`).

use chreode_core::{FieldError, Real, Tolerance, VectorField, Vjp};
use chreode_solve::{
    Erk, ErkTableau, Observer, Rhs, SolveOptions, Stats, StepRecord, StepSize, Stepper, solve_observed,
};

use crate::AdjointError;
use crate::checkpoint::{Checkpoints, Store};
use crate::error::{check_finite, check_len};

/// Gradients through an explicit Runge-Kutta run of `n` trajectories of `d` coordinates.
///
/// [`forward`](Self::forward) solves and records, [`backward`](Self::backward) returns the gradient of any
/// function of the states at the saved times. It is the exact gradient of the computed solution, for the steps
/// that were taken: it does not differentiate the choice of the step sizes. Steps end at the saved times, so the
/// adjoint state jumps there and no derivative of a dense output is needed.
///
/// # Memory
/// By default every state is stored: one `[n, d]` a step. [`Checkpoints`] keep fewer, and take steps again; the gradient
/// has the same bits. With a budget and fixed steps, whose number is known, the fewest possible are taken again
/// ([`recomputed_steps`](crate::recomputed_steps)); with adaptive ones, each at most as often as there. Beside states, 16 bytes a
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
#[derive(Debug, Clone)]
pub struct OdeAdjoint<T> {
    erk: Erk<T>,
    dim: usize,
    nd: usize,
    tape: Tape<T>,
    complete: bool,
    recomputed: u64,
    /// The state that the sweep has come to, and the step whose first stage `erk` has ready.
    y: Vec<T>,
    y_end: Vec<T>,
    ready: Option<usize>,
    /// Stage derivatives, inputs and their adjoints: `[stages, n, d]` each.
    k: Vec<T>,
    inputs: Vec<T>,
    input_bar: Vec<T>,
    lambda: Vec<T>,
}

/// What a forward run leaves behind.
#[derive(Debug, Clone)]
struct Tape<T> {
    /// Start and end of each step.
    steps: Vec<(f64, f64)>,
    states: Store<T>,
    /// Steps taken before each saved time, and that time.
    saved: Vec<(usize, f64)>,
    /// The last step, if the number of steps is known, and the state at its start: the reverse sweep begins there.
    last: Option<usize>,
    y_last: Vec<T>,
}

/// Passes the caller's saves on and fills the tape.
struct Recorder<'a, T> {
    tape: &'a mut Tape<T>,
    save: &'a mut dyn FnMut(usize, f64, &[T]),
}

impl<T: Real> Observer<T> for Recorder<'_, T> {
    fn step(&mut self, r: StepRecord<'_, T>) {
        let step = self.tape.steps.len();
        self.tape.states.offer(step, r.y);
        if self.tape.last == Some(step) {
            self.tape.y_last.copy_from_slice(r.y);
        }
        self.tape.steps.push((r.t, r.t_end));
    }

    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        self.tape.saved.push((self.tape.steps.len(), t));
        (self.save)(i, t, y);
    }
}

/// The number of steps of a run that lands on its saved times, if it is fixed before.
fn known_steps(span: (f64, f64), options: &SolveOptions<'_>) -> Option<usize> {
    let StepSize::Fixed(h) = options.step else { return None };
    let sign = if span.1 >= span.0 { 1.0 } else { -1.0 };
    let (mut from, mut steps) = (span.0, 0);
    let (mut saves, mut breaks) = (options.save_at, options.discontinuities);
    while sign * (span.1 - from) > 0.0 {
        let mut stop = span.1;
        for list in [&mut saves, &mut breaks] {
            while let [first, rest @ ..] = *list
                && sign * (first - from) <= 0.0
            {
                *list = rest;
            }
            stop = list.first().map_or(stop, |&at| if sign * (at - stop) < 0.0 { at } else { stop });
        }
        steps += ((stop - from).abs() / h * (1.0 - 1e-9)).ceil().max(1.0) as usize;
        from = stop;
    }
    Some(steps)
}

impl<T: Real> OdeAdjoint<T> {
    /// Work arrays for `n` trajectories of `d` coordinates; every state will be stored.
    ///
    /// # Panics
    /// As [`Erk::new`]: if the tableau is not consistent.
    pub fn new(tableau: &'static ErkTableau, n: usize, d: usize) -> Self {
        match Self::with_checkpoints(tableau, n, d, Checkpoints::All) {
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
    /// As [`Erk::new`].
    pub fn with_checkpoints(
        tableau: &'static ErkTableau,
        n: usize,
        d: usize,
        checkpoints: Checkpoints,
    ) -> Result<Self, AdjointError> {
        let nd = n * d;
        let zeros = |rows: usize| vec![T::ZERO; rows * nd];
        let stages = tableau.stages();
        let states = Store::new(checkpoints, nd)?;
        Ok(Self {
            erk: Erk::new(tableau, n, d),
            dim: d,
            nd,
            tape: Tape { steps: Vec::new(), states, saved: Vec::new(), last: None, y_last: zeros(1) },
            complete: false,
            recomputed: 0,
            y: zeros(1),
            y_end: zeros(1),
            ready: None,
            k: zeros(stages),
            inputs: zeros(stages),
            input_bar: zeros(stages),
            lambda: zeros(1),
        })
    }

    /// Solves as [`chreode_solve::solve`] does, and records. `save(i, t, y)` is called at every saved time; steps
    /// land on them whatever the options say.
    ///
    /// # Errors
    /// Those of [`chreode_solve::solve`]; there is then nothing to go backward through.
    pub fn forward(
        &mut self,
        f: &mut dyn VectorField<T>,
        p: &[T],
        y: &mut [T],
        span: (f64, f64),
        options: &SolveOptions<'_>,
        save: &mut dyn FnMut(usize, f64, &[T]),
    ) -> Result<Stats, AdjointError> {
        self.complete = false;
        let options = SolveOptions { land_on_saves: true, ..*options };
        self.tape.steps.clear();
        self.tape.saved.clear();
        let known = known_steps(span, &options);
        self.tape.states.begin(known);
        self.tape.last = known.and_then(|steps| steps.checked_sub(1));
        let mut recorder = Recorder { tape: &mut self.tape, save };
        let stats = solve_observed(&mut Rhs::Field(f), p, y, span, &mut self.erk, &options, &mut recorder)?;
        self.y_end.copy_from_slice(y);
        self.complete = true;
        Ok(stats)
    }

    /// Start and end of the steps of the last forward run.
    pub fn steps(&self) -> &[(f64, f64)] {
        &self.tape.steps
    }

    /// States that are stored now: those that the last forward run kept; after a backward one, the start state.
    pub fn stored_states(&self) -> usize {
        self.tape.states.kept()
    }

    /// Steps that the last backward run took again.
    pub fn recomputed(&self) -> u64 {
        self.recomputed
    }

    /// Goes back through the last forward run, which had the same field and `p`. Going back once more takes its steps
    /// again.
    ///
    /// `state_bar[i]`, `[n, d]`, is the gradient of the objective with respect to the state at `save_at[i]`. Sets
    /// `y0_bar`, `[n, d]`, to the gradient with respect to the start state and ADDS that with respect to the
    /// parameters, summed over the trajectories, to `p_bar`.
    ///
    /// # Errors
    /// [`AdjointError::NoForwardPass`], [`AdjointError::ShapeMismatch`], [`AdjointError::Field`], and
    /// [`AdjointError::NonFinite`] with the step at which the adjoint state stopped to be finite.
    pub fn backward(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.sweep(f, p, state_bar, y0_bar, p_bar, None)
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
        if self.complete {
            check_len("time_bar", time_bar.len(), self.tape.saved.len())?;
        }
        self.sweep(f, p, state_bar, y0_bar, p_bar, Some(time_bar))?;
        let Some(&(t, _)) = self.tape.steps.first() else { return Ok(T::ZERO) };
        f.eval(t, &self.y, p, &mut self.lambda)?;
        Ok(-dot(y0_bar, &self.lambda))
    }

    fn sweep(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
        mut time_bar: Option<&mut [T]>,
    ) -> Result<(), AdjointError> {
        if !self.complete {
            return Err(AdjointError::NoForwardPass);
        }
        check_len("state_bar (saved times)", state_bar.len(), self.tape.saved.len())?;
        check_len("dimension of the field", f.dim(), self.dim)?;
        check_len("y0_bar", y0_bar.len(), self.nd)?;
        check_len("p_bar", p_bar.len(), p.len())?;
        for bar in state_bar {
            check_len("an element of state_bar", bar.len(), self.nd)?;
        }
        self.recomputed = 0;
        self.y.copy_from_slice(&self.y_end);
        y0_bar.fill(T::ZERO);
        let a = y0_bar; // the adjoint state: where it ends is what is asked for
        let mut saves = state_bar.len();
        for step in (0..self.tape.steps.len()).rev() {
            self.jump(f, p, step + 1, &mut saves, state_bar, a, &mut time_bar)?;
            self.go_to(f, step, p)?;
            let (t, t_end) = self.tape.steps[step];
            self.step_back(f, t, t_end, p, a, p_bar)?;
            check_finite(a, self.dim, 0, t)?;
        }
        self.jump(f, p, 0, &mut saves, state_bar, a, &mut time_bar)?;
        check_finite(a, self.dim, 0, self.tape.steps.first().map_or(f64::NAN, |s| s.0))
    }

    /// Adds the gradients of the saves that were made after `steps` steps, where the state is `self.y`.
    fn jump(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        steps: usize,
        saves: &mut usize,
        state_bar: &[&[T]],
        a: &mut [T],
        time_bar: &mut Option<&mut [T]>,
    ) -> Result<(), FieldError> {
        while *saves > 0 && self.tape.saved[*saves - 1].0 == steps {
            *saves -= 1;
            let bar = state_bar[*saves];
            for (a, &bar) in a.iter_mut().zip(bar) {
                *a += bar;
            }
            if let Some(time_bar) = time_bar {
                f.eval(self.tape.saved[*saves].1, &self.y, p, &mut self.lambda)?;
                time_bar[*saves] = dot(bar, &self.lambda);
            }
        }
        Ok(())
    }

    /// Brings `self.y` to the start of `step`, from the last state kept before it; keeps others on the way as the
    /// schedule says.
    fn go_to(&mut self, f: &mut dyn Vjp<T>, step: usize, p: &[T]) -> Result<(), FieldError> {
        self.ready = None;
        let Some((mut at, y)) = self.tape.states.last() else { return Ok(()) }; // the start is always kept
        if at < step && self.tape.last == Some(step) && step + 1 == self.tape.steps.len() {
            self.y.copy_from_slice(&self.tape.y_last);
            return Ok(());
        }
        self.y.copy_from_slice(y);
        while at < step {
            let next = self.tape.states.next(at, step + 1);
            let to = next.unwrap_or(step);
            self.advance(f, at, to, p)?;
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

    /// Takes the steps `from..to` again.
    fn advance(&mut self, f: &mut dyn Vjp<T>, from: usize, to: usize, p: &[T]) -> Result<(), FieldError> {
        let f = &mut Rhs::Field(f);
        for i in from..to {
            let (t, t_end) = self.tape.steps[i];
            // The first stage is there unless this is the first step, or the first one after a discontinuity. Where a step
            // begins, the forward run evaluated the field at this time and state, so the bits agree.
            if self.ready != Some(i) || self.tape.steps[i - 1].1 != t {
                self.erk.start(f, t, &self.y, p)?;
            }
            self.erk.step(f, t, t_end, &self.y, p, Tolerance::default())?;
            self.erk.accept(&mut self.y);
            self.ready = Some(i + 1);
            self.recomputed += 1;
        }
        Ok(())
    }

    /// Pulls the adjoint state `a` back through the step from `(t, self.y)` to `t_end`.
    fn step_back(
        &mut self,
        f: &mut dyn Vjp<T>,
        t: f64,
        t_end: f64,
        p: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (m, nd, h) = (self.erk.tableau(), self.nd, t_end - t);
        // The last stage of an FSAL method belongs to the next step.
        let stages = m.stages() - usize::from(m.fsal);
        let row = |i: usize| i * nd..(i + 1) * nd;
        for i in 0..stages {
            let input = &mut self.inputs[row(i)];
            m.stage_input(i, h, &self.y, &self.k, input);
            if i + 1 < stages {
                f.eval(m.stage_time(i, t, t_end), input, p, &mut self.k[row(i)])?;
            }
        }
        for i in (0..stages).rev() {
            // λ_i = h (b_i a + Σ_{j > i} a_ji Ȳ_j), Ȳ_i = (∂f/∂y)ᵀ λ_i
            let b = T::c(m.b[i]);
            for (l, &a) in self.lambda.iter_mut().zip(&*a) {
                *l = b * a;
            }
            for j in i + 1..stages {
                let w = T::c(m.a[j][i]);
                for (l, &bar) in self.lambda.iter_mut().zip(&self.input_bar[row(j)]) {
                    *l += w * bar;
                }
            }
            self.lambda.iter_mut().for_each(|l| *l *= T::c(h));
            let time = m.stage_time(i, t, t_end);
            f.vjp(time, &self.inputs[row(i)], p, &self.lambda, &mut self.input_bar[row(i)], p_bar)?;
        }
        for i in 0..stages {
            for (a, &bar) in a.iter_mut().zip(&self.input_bar[row(i)]) {
                *a += bar;
            }
        }
        Ok(())
    }
}

fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::ZERO, |sum, (&a, &b)| sum + a * b)
}
