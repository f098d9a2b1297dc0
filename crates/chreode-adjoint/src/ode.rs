//! The discrete adjoint of explicit Runge-Kutta methods, with fixed or adaptive steps.
//!
//! The forward run records when its steps began and ended, and some of the states between them. The reverse
//! sweep computes states and stages again, to the bit, and differentiates step by step.
//! Nothing is interpolated: steps end where the solution is observed.
//! Not here: the time loop and the methods (`chreode-solve`), stochastic equations (`sde`).

use chreode_core::{FieldError, Real, Tolerance, VectorField, Vjp};
use chreode_solve::{
    Erk, ErkTableau, Observer, Rhs, SolveOptions, Stats, StepRecord, Stepper, solve_observed,
};

use crate::AdjointError;
use crate::error::{check_finite, check_len};

/// Gradients through an explicit Runge-Kutta run of `n` trajectories of `d` coordinates.
///
/// [`forward`](Self::forward) solves and records, [`backward`](Self::backward) returns the gradient of any
/// function of the states at the saved times. It is the exact gradient of the computed solution, for the steps
/// that were taken: it does not differentiate the choice of the step sizes. Steps end at the saved times, so the
/// adjoint state jumps there and no derivative of a dense output is needed.
///
/// # Memory
/// By default every state is stored: one `[n, d]` a step. With checkpoints at every `k`-th step, `steps / k + k`
/// states, and one more forward run; the gradient has the same bits. Buffers grow in the first run and are used
/// again: later runs of no more steps allocate nothing.
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
    every: usize,
    tape: Tape<T>,
    complete: bool,
    /// States at the starts of the steps between two checkpoints, computed again.
    replayed: Vec<T>,
    y: Vec<T>,
    /// Stage derivatives, inputs and their adjoints: `[stages, n, d]` each.
    k: Vec<T>,
    inputs: Vec<T>,
    input_bar: Vec<T>,
    lambda: Vec<T>,
}

/// What a forward run leaves behind.
#[derive(Debug, Clone)]
struct Tape<T> {
    every: usize,
    /// Start and end of each step.
    steps: Vec<(f64, f64)>,
    /// States at the start of every `every`-th step.
    checkpoints: Vec<T>,
    /// Steps taken before each saved time.
    saved_after: Vec<usize>,
}

/// Passes the caller's saves on and fills the tape.
struct Recorder<'a, T> {
    tape: &'a mut Tape<T>,
    save: &'a mut dyn FnMut(usize, f64, &[T]),
}

impl<T: Real> Observer<T> for Recorder<'_, T> {
    fn step(&mut self, r: StepRecord<'_, T>) {
        if self.tape.steps.len().is_multiple_of(self.tape.every) {
            self.tape.checkpoints.extend_from_slice(r.y);
        }
        self.tape.steps.push((r.t, r.t_end));
    }

    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        self.tape.saved_after.push(self.tape.steps.len());
        (self.save)(i, t, y);
    }
}

impl<T: Real> OdeAdjoint<T> {
    /// Work arrays for `n` trajectories of `d` coordinates; every state will be stored.
    ///
    /// # Panics
    /// As [`Erk::new`]: if the tableau is not consistent.
    pub fn new(tableau: &'static ErkTableau, n: usize, d: usize) -> Self {
        Self::with_checkpoints(tableau, n, d, 1)
    }

    /// As [`new`](Self::new), but the state is stored at the start of every `every`-th step only (0 counts as 1).
    /// Near the square root of the number of steps memory is least.
    ///
    /// # Panics
    /// As [`Erk::new`].
    pub fn with_checkpoints(tableau: &'static ErkTableau, n: usize, d: usize, every: usize) -> Self {
        let (nd, every) = (n * d, every.max(1));
        let zeros = |rows: usize| vec![T::ZERO; rows * nd];
        let stages = tableau.stages();
        Self {
            erk: Erk::new(tableau, n, d),
            dim: d,
            nd,
            every,
            tape: Tape { every, steps: Vec::new(), checkpoints: Vec::new(), saved_after: Vec::new() },
            complete: false,
            replayed: Vec::new(),
            y: zeros(1),
            k: zeros(stages),
            inputs: zeros(stages),
            input_bar: zeros(stages),
            lambda: zeros(1),
        }
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
        self.tape.steps.clear();
        self.tape.checkpoints.clear();
        self.tape.saved_after.clear();
        let options = SolveOptions { land_on_saves: true, ..*options };
        let mut recorder = Recorder { tape: &mut self.tape, save };
        let stats = solve_observed(&mut Rhs::Field(f), p, y, span, &mut self.erk, &options, &mut recorder)?;
        self.complete = true;
        Ok(stats)
    }

    /// Start and end of the steps of the last forward run.
    pub fn steps(&self) -> &[(f64, f64)] {
        &self.tape.steps
    }

    /// States that the last forward run stored.
    pub fn stored_states(&self) -> usize {
        self.tape.checkpoints.len().checked_div(self.nd).unwrap_or(0)
    }

    /// Goes back through the last forward run, which had the same field and `p`.
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
        if !self.complete {
            return Err(AdjointError::NoForwardPass);
        }
        check_len("state_bar (saved times)", state_bar.len(), self.tape.saved_after.len())?;
        check_len("dimension of the field", f.dim(), self.dim)?;
        check_len("y0_bar", y0_bar.len(), self.nd)?;
        check_len("p_bar", p_bar.len(), p.len())?;
        for bar in state_bar {
            check_len("an element of state_bar", bar.len(), self.nd)?;
        }
        y0_bar.fill(T::ZERO);
        let a = y0_bar; // the adjoint state: where it ends is what is asked for
        let mut saves = state_bar.len();
        for first in (0..self.tape.steps.len()).step_by(self.every).rev() {
            let count = self.replay(f, first, p)?;
            for i in (0..count).rev() {
                self.jump(first + i + 1, &mut saves, state_bar, a);
                self.y.copy_from_slice(&self.replayed[i * self.nd..(i + 1) * self.nd]);
                let (t, t_end) = self.tape.steps[first + i];
                self.step_back(f, t, t_end, p, a, p_bar)?;
                check_finite(a, self.dim, 0, t)?;
            }
        }
        self.jump(0, &mut saves, state_bar, a);
        check_finite(a, self.dim, 0, self.tape.steps.first().map_or(f64::NAN, |s| s.0))
    }

    /// Adds the gradients of the saves that were made after `steps` steps.
    fn jump(&self, steps: usize, saves: &mut usize, state_bar: &[&[T]], a: &mut [T]) {
        while *saves > 0 && self.tape.saved_after[*saves - 1] == steps {
            *saves -= 1;
            for (a, &bar) in a.iter_mut().zip(state_bar[*saves]) {
                *a += bar;
            }
        }
    }

    /// Computes the states of the steps from checkpoint `first` to the next one again; returns their number.
    fn replay(&mut self, f: &mut dyn Vjp<T>, first: usize, p: &[T]) -> Result<usize, FieldError> {
        let nd = self.nd;
        let count = self.every.min(self.tape.steps.len() - first);
        let from = first / self.every * nd;
        self.y.copy_from_slice(&self.tape.checkpoints[from..from + nd]);
        self.replayed.clear();
        self.replayed.extend_from_slice(&self.y);
        if count > 1 {
            // Where a step begins, the forward run evaluated the field at this time and state, so the bits agree.
            let f = &mut Rhs::Field(f);
            let mut at = f64::NAN;
            for &(t, t_end) in &self.tape.steps[first..first + count - 1] {
                if t != at {
                    // The first step, or the first one after a discontinuity.
                    self.erk.start(f, t, &self.y, p)?;
                }
                at = t_end;
                self.erk.step(f, t, t_end, &self.y, p, Tolerance::default())?;
                self.erk.accept(&mut self.y);
                self.replayed.extend_from_slice(&self.y);
            }
        }
        Ok(count)
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
