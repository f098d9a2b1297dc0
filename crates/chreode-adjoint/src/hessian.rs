//! Products with second derivatives of a loss through an explicit Runge-Kutta run: forward over adjoint.
//!
//! A sweep forward takes the recorded steps again together with their derivative in the asked direction; the reverse sweep of
//! the discrete adjoint then carries the derivative of its adjoint state along. Both are exact for the steps that were
//! taken. Source of the scheme: [GW08], chapter 5.
//! Not here: the gradient alone (`discrete::erk`), events, checkpoints.

use chreode_core::{FieldError, ParamJvp, Real, VectorField, VjpTangent};
use chreode_solve::{Erk, ErkTableau, Observer, Rhs, SolveOptions, Stats, StepRecord, solve_observed};

use crate::AdjointError;
use crate::error::{check_finite, check_gradient, check_len};

/// Tells the loss at a saved state: `(i, t, y, y_dot, bar, bar_dot)`. From the state `y` and its derivative `y_dot` in the
/// direction, both `[n, d]`, it sets `bar`, the gradient of the objective with respect to the state at `save_at[i]`, and
/// `bar_dot`, the derivative of `bar` in that direction (the loss's own second derivative times `y_dot`). Both are zero before.
pub type LossTangent<'a, T> = dyn FnMut(usize, f64, &[T], &[T], &mut [T], &mut [T]) + 'a;

/// Gradients and Hessian-vector products through an explicit Runge-Kutta run of `n` trajectories of `d` coordinates.
///
/// [`forward`](Self::forward) solves and records, [`product`](Self::product) may then be called for many directions. It takes
/// of each stage two evaluations, two products with the direction, and one pull-back with its derivative.
///
/// # Memory
/// Two states a step: the run's own, and its derivative. Buffers grow in the first run and the first product, and are used
/// again.
///
/// ```
/// use chreode_adjoint::OdeHessian;
/// use chreode_autodiff::Auto;
/// use chreode_solve::{SolveOptions, TSIT5};
/// use chreode_testkit::LotkaVolterra;
/// let mut f: Auto<_> = Auto::new(LotkaVolterra);
/// let (p, mut y) = ([1.5, 1.0, 0.75, 3.0], [1.0, 0.5]);
/// let mut hessian = OdeHessian::new(&TSIT5, 1, 2);
/// let options = SolveOptions { save_at: &[2.0], ..SolveOptions::tolerance(1e-8, 1e-8) };
/// hessian.forward(&mut f, &p, &mut y, (0.0, 2.0), &options, &mut |_, _, _| {})?;
/// // Half of the square of the prey at t = 2; in the direction of the first parameter.
/// let mut loss = |_: usize, _: f64, y: &[f64], y_dot: &[f64], bar: &mut [f64], bar_dot: &mut [f64]| {
///     (bar[0], bar_dot[0]) = (y[0], y_dot[0]);
/// };
/// let mut gradient = ([0.0; 2], [0.0; 4]);
/// let mut product = ([0.0; 2], [0.0; 4]);
/// let direction: (&[f64], &[f64]) = (&[0.0; 2], &[1.0, 0.0, 0.0, 0.0]);
/// hessian.product(
///     &mut f, &p, direction, &mut loss,
///     (&mut gradient.0, &mut gradient.1), (&mut product.0, &mut product.1),
/// )?;
/// assert!(product.1[0] != 0.0);
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct OdeHessian<T> {
    erk: Erk<T>,
    dim: usize,
    nd: usize,
    record: Record<T>,
    complete: bool,
    /// Derivatives of the recorded states, one a step and one at the end.
    tangents: Vec<T>,
    stages: Pair<T>,
    inputs: Pair<T>,
    input_bar: Pair<T>,
    lambda: Pair<T>,
    bar: Pair<T>,
}

/// A value and its derivative.
#[derive(Debug, Clone)]
struct Pair<T> {
    v: Vec<T>,
    dot: Vec<T>,
}

impl<T: Real> Pair<T> {
    fn zeros(len: usize) -> Self {
        Self { v: vec![T::ZERO; len], dot: vec![T::ZERO; len] }
    }

    fn clear(&mut self) {
        self.v.fill(T::ZERO);
        self.dot.fill(T::ZERO);
    }
}

/// Steps, the states where they began and the last one's end, and how many were taken before each saved time.
#[derive(Debug, Clone)]
struct Record<T> {
    steps: Vec<(f64, f64)>,
    states: Vec<T>,
    saved: Vec<(usize, f64)>,
}

struct Recorder<'a, T> {
    record: &'a mut Record<T>,
    save: &'a mut dyn FnMut(usize, f64, &[T]),
}

impl<T: Real> Observer<T> for Recorder<'_, T> {
    fn step(&mut self, r: StepRecord<'_, T>) {
        self.record.states.extend_from_slice(r.y);
        self.record.steps.push((r.t, r.t_end));
    }

    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        self.record.saved.push((self.record.steps.len(), t));
        (self.save)(i, t, y);
    }
}

impl<T: Real> OdeHessian<T> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    ///
    /// # Panics
    /// As [`Erk::new`]: if the tableau is not consistent.
    pub fn new(tableau: &'static ErkTableau, n: usize, d: usize) -> Self {
        let (nd, stages) = (n * d, tableau.stages());
        Self {
            erk: Erk::new(tableau, n, d),
            dim: d,
            nd,
            record: Record { steps: Vec::new(), states: Vec::new(), saved: Vec::new() },
            complete: false,
            tangents: Vec::new(),
            stages: Pair::zeros(stages * nd),
            inputs: Pair::zeros(stages * nd),
            input_bar: Pair::zeros(stages * nd),
            lambda: Pair::zeros(nd),
            bar: Pair::zeros(nd),
        }
    }

    /// Solves as [`chreode_solve::solve`] does, and records. `save(i, t, y)` is called at every saved time; steps land on them
    /// whatever the options say.
    ///
    /// # Errors
    /// Those of [`chreode_solve::solve`]; there are then no second derivatives.
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
        self.record.steps.clear();
        self.record.states.clear();
        self.record.saved.clear();
        let recorder = &mut Recorder { record: &mut self.record, save };
        let stats = solve_observed(&mut Rhs::Field(f), p, y, span, &mut self.erk, &options, recorder)?;
        self.record.states.extend_from_slice(y);
        self.complete = true;
        Ok(stats)
    }

    /// Start and end of the steps of the last forward run.
    pub fn steps(&self) -> &[(f64, f64)] {
        &self.record.steps
    }

    /// The gradient of an objective in the saved states, and its Hessian times a direction, through the last forward run,
    /// which had the same field and `p`.
    ///
    /// `direction` is that of the start state, `[n, d]`, and of the parameters, `[n_params]`. Sets the first of `gradient` and of
    /// `product`, `[n, d]`, which belong to the start state, and ADDS to the second ones, which belong to the parameters. `loss` is
    /// called for the saved times from the last to the first.
    ///
    /// # Errors
    /// [`AdjointError::NoForwardPass`], [`AdjointError::ShapeMismatch`], [`AdjointError::Field`], and
    /// [`AdjointError::NonFinite`] with the step at which the adjoint state or its derivative stopped to be finite;
    /// [`AdjointError::NonFiniteGradient`] if what belongs to the parameters alone is not finite in the end.
    pub fn product<F: ParamJvp<T> + VjpTangent<T> + ?Sized>(
        &mut self,
        f: &mut F,
        p: &[T],
        direction: (&[T], &[T]),
        loss: &mut LossTangent<'_, T>,
        gradient: (&mut [T], &mut [T]),
        product: (&mut [T], &mut [T]),
    ) -> Result<(), AdjointError> {
        if !self.complete {
            return Err(AdjointError::NoForwardPass);
        }
        check_len("dimension of the field", f.dim(), self.dim)?;
        check_len("parameters of the field", p.len(), f.n_params())?;
        for (what, got, expected) in [
            ("direction of the start state", direction.0.len(), self.nd),
            ("direction of the parameters", direction.1.len(), p.len()),
            ("gradient of the start state", gradient.0.len(), self.nd),
            ("gradient of the parameters", gradient.1.len(), p.len()),
            ("product of the start state", product.0.len(), self.nd),
            ("product of the parameters", product.1.len(), p.len()),
        ] {
            check_len(what, got, expected)?;
        }
        let (nd, steps, q) = (self.nd, self.record.steps.len(), direction.1);
        self.tangents.resize((steps + 1) * nd, T::ZERO);
        self.tangents[..nd].copy_from_slice(direction.0);
        for step in 0..steps {
            self.tangent_step(f, step, p, q)?;
        }
        let ((a, p_bar), (a_dot, p_bar_dot)) = (gradient, product);
        a.fill(T::ZERO);
        a_dot.fill(T::ZERO);
        let mut saves = self.record.saved.len();
        self.jump(steps, &mut saves, loss, a, a_dot);
        for step in (0..steps).rev() {
            self.take_stages(f, step, p, q)?;
            self.step_back(f, step, (p, q), (a, a_dot), (p_bar, p_bar_dot))?;
            self.jump(step, &mut saves, loss, a, a_dot);
            let t = self.record.steps[step].0;
            check_finite(a, self.dim, 0, t)?;
            check_finite(a_dot, self.dim, 0, t)?;
        }
        let (start, trajectories) =
            (self.record.steps.first().map_or(f64::NAN, |s| s.0), (0, nd / self.dim.max(1)));
        check_gradient(p_bar, trajectories, start)?;
        check_gradient(p_bar_dot, trajectories, start)
    }

    /// Stages of a method that the step's end depends on: the last one of an FSAL method belongs to the next step.
    fn stages(&self) -> usize {
        let m = self.erk.tableau();
        m.stages() - usize::from(m.fsal)
    }

    /// Sets stage inputs and stage values of a step, with their derivatives.
    fn take_stages<F: ParamJvp<T> + ?Sized>(
        &mut self,
        f: &mut F,
        step: usize,
        p: &[T],
        q: &[T],
    ) -> Result<(), FieldError> {
        let (m, nd, (t, t_end)) = (self.erk.tableau(), self.nd, self.record.steps[step]);
        let start = step * nd..(step + 1) * nd;
        let (y, y_dot, h) = (&self.record.states[start.clone()], &self.tangents[start], t_end - t);
        for i in 0..self.stages() {
            let row = i * nd..(i + 1) * nd;
            let (input, input_dot) = (&mut self.inputs.v[row.clone()], &mut self.inputs.dot[row.clone()]);
            m.stage_input(i, h, y, &self.stages.v, input);
            m.stage_input(i, h, y_dot, &self.stages.dot, input_dot);
            let time = m.stage_time(i, t, t_end);
            f.eval(time, input, p, &mut self.stages.v[row.clone()])?;
            f.param_jvp(time, input, p, input_dot, q, &mut self.stages.dot[row])?;
        }
        Ok(())
    }

    /// Takes the derivative of the state to the end of a step.
    fn tangent_step<F: ParamJvp<T> + ?Sized>(
        &mut self,
        f: &mut F,
        step: usize,
        p: &[T],
        q: &[T],
    ) -> Result<(), FieldError> {
        self.take_stages(f, step, p, q)?;
        let (m, nd, stages, (t, t_end)) =
            (self.erk.tableau(), self.nd, self.stages(), self.record.steps[step]);
        let (before, after) = self.tangents.split_at_mut((step + 1) * nd);
        let end = &mut after[..nd];
        end.copy_from_slice(&before[step * nd..]);
        for (i, k_dot) in self.stages.dot.chunks_exact(nd.max(1)).take(stages).enumerate() {
            let w = T::c((t_end - t) * m.b[i]);
            end.iter_mut().zip(k_dot).for_each(|(end, &k)| *end += w * k);
        }
        Ok(())
    }

    /// Pulls the adjoint state and its derivative back through a step whose stages are there.
    fn step_back<F: VjpTangent<T> + ?Sized>(
        &mut self,
        f: &mut F,
        step: usize,
        p_q: (&[T], &[T]),
        (a, a_dot): (&mut [T], &mut [T]),
        (p_bar, p_bar_dot): (&mut [T], &mut [T]),
    ) -> Result<(), FieldError> {
        let (m, nd, stages, (t, t_end)) =
            (self.erk.tableau(), self.nd, self.stages(), self.record.steps[step]);
        let h = T::c(t_end - t);
        let row = |i: usize| i * nd..(i + 1) * nd;
        for i in (0..stages).rev() {
            // λ_i = h (b_i a + Σ_{j > i} a_ji Ȳ_j), and its derivative alike
            let weights = |lambda: &mut [T], a: &[T], bars: &[T]| {
                let b = T::c(m.b[i]);
                lambda.iter_mut().zip(a).for_each(|(l, &a)| *l = b * a);
                for j in i + 1..stages {
                    let w = T::c(m.a[j][i]);
                    lambda.iter_mut().zip(&bars[row(j)]).for_each(|(l, &bar)| *l += w * bar);
                }
                lambda.iter_mut().for_each(|l| *l *= h);
            };
            weights(&mut self.lambda.v, a, &self.input_bar.v);
            weights(&mut self.lambda.dot, a_dot, &self.input_bar.dot);
            f.vjp_tangent(
                m.stage_time(i, t, t_end),
                (&self.inputs.v[row(i)], &self.inputs.dot[row(i)]),
                p_q,
                (&self.lambda.v, &self.lambda.dot),
                (&mut self.input_bar.v[row(i)], &mut self.input_bar.dot[row(i)]),
                (&mut *p_bar, &mut *p_bar_dot),
            )?;
        }
        for i in 0..stages {
            a.iter_mut().zip(&self.input_bar.v[row(i)]).for_each(|(a, &bar)| *a += bar);
            a_dot.iter_mut().zip(&self.input_bar.dot[row(i)]).for_each(|(a, &bar)| *a += bar);
        }
        Ok(())
    }

    /// Adds what the loss says of the saves that were made after `steps` steps.
    fn jump(
        &mut self,
        steps: usize,
        saves: &mut usize,
        loss: &mut LossTangent<'_, T>,
        a: &mut [T],
        a_dot: &mut [T],
    ) {
        let at = steps * self.nd..(steps + 1) * self.nd;
        while *saves > 0 && self.record.saved[*saves - 1].0 == steps {
            *saves -= 1;
            let t = self.record.saved[*saves].1;
            let (y, y_dot) = (&self.record.states[at.clone()], &self.tangents[at.clone()]);
            self.bar.clear();
            loss(*saves, t, y, y_dot, &mut self.bar.v, &mut self.bar.dot);
            a.iter_mut().zip(&self.bar.v).for_each(|(a, &bar)| *a += bar);
            a_dot.iter_mut().zip(&self.bar.dot).for_each(|(a, &bar)| *a += bar);
        }
    }
}
