//! Steps of Rosenbrock methods, again and backward.
//!
//! A stage holds the Jacobian: beside the cotangent `v` of stage `u` there is `∂(vᵀ J u)`, the derivative of the pull-back of `v` along `u`.
//! A field that shows its second derivatives ([`Vjp::as_vjp_tangent`]) gives it, of all stages in one call. Of others it is the difference
//! `(pull(y + ε u) - pull(y - ε u)) / 2ε`, exact to rounding where the field is quadratic, and to `ε²` elsewhere.

use chreode_core::{FieldError, Real, Tolerance, Vjp, VjpTangent};
use chreode_solve::{Rosenbrock, RosenbrockTableau, SolveError, Stats, StepFailure, Stepper};

use super::implicit::field::{Rows, pattern};
use super::implicit::system::StageSystem;
use super::method::{Run, StepAdjoint};
use super::tape::Taken;
use crate::AdjointError;

#[derive(Debug)]
pub(super) struct RosenbrockAdjoint<T: Real> {
    tableau: &'static RosenbrockTableau,
    stepper: Rosenbrock<T>,
    rows: Rows<T>,
    d: usize,
    nd: usize,
    system: StageSystem<T>,
    jac: Vec<T>,
    /// Whether the field depends on time at the step's start, and `∂f/∂t` there with the two times and weights that it comes from.
    ft: Vec<T>,
    differences: Option<[(f64, f64); 2]>,
    /// Stages, where the field is evaluated for them, and the adjoints of both: `[stages, n, d]` each.
    u: Vec<T>,
    inputs: Vec<T>,
    v: Vec<T>,
    input_bar: Vec<T>,
    f0: Vec<T>,
    tmp: Vec<T>,
    scaled: Vec<T>,
    product: Vec<T>,
    curved: Curved<T>,
}

/// Work space of second derivatives: the state once a stage, what pull-backs and their derivatives give, `[stages, n, d]` each; zeros;
/// and what pull-backs give of the parameters, which nobody asks for. Made for the first field that has them.
#[derive(Debug)]
struct Curved<T> {
    y: Vec<T>,
    bar: Vec<T>,
    bar_dot: Vec<T>,
    zeros: Vec<T>,
    p_bar: Vec<T>,
}

impl<T: Real> RosenbrockAdjoint<T> {
    pub(super) fn new(tableau: &'static RosenbrockTableau, n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = |rows: usize| vec![T::ZERO; rows * nd];
        let s = tableau.stages();
        Self {
            tableau,
            stepper: Rosenbrock::new(tableau, n, d),
            rows: Rows::new(d),
            d,
            nd,
            system: StageSystem::new(vec![1.0 / tableau.gamma], None, n, d),
            jac: Vec::new(),
            ft: zeros(1),
            differences: None,
            u: zeros(s),
            inputs: zeros(s),
            v: zeros(s),
            input_bar: zeros(s),
            f0: zeros(1),
            tmp: zeros(1),
            scaled: zeros(1),
            product: zeros(1),
            curved: Curved { y: vec![], bar: vec![], bar_dot: vec![], zeros: vec![], p_bar: vec![] },
        }
    }

    fn time(&self, i: usize, step: Taken) -> f64 {
        let c = self.tableau.c[i];
        if c == 1.0 { step.t_end } else { step.t + c * (step.t_end - step.t) }
    }

    /// `∂f/∂t`, by the difference that the forward method takes: a parabola through three points.
    fn time_derivative(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        y: &[T],
        p: &[T],
    ) -> Result<(), AdjointError> {
        let (t, h, eps) = (step.t, step.t_end - step.t, T::EPSILON.f64());
        let size = (eps.cbrt() * h.abs()).max(64.0 * eps * t.abs()).min(0.5 * h.abs()).copysign(h);
        let (t1, t2) = (t + 0.5 * size, t + size);
        f.eval(t1, y, p, &mut self.ft)?;
        if self.ft == self.f0 {
            self.ft.fill(T::ZERO);
            self.differences = None;
            return Ok(());
        }
        f.eval(t2, y, p, &mut self.tmp)?;
        let (d1, d2) = (t1 - t, t2 - t);
        let (w1, w2) = (d2 / (d1 * (d2 - d1)), -d1 / (d2 * (d2 - d1)));
        for ((ft, &f2), &f0) in self.ft.iter_mut().zip(&self.tmp).zip(&self.f0) {
            *ft = T::c(w1) * (*ft - f0) + T::c(w2) * (f2 - f0);
        }
        self.differences = Some([(t1, w1), (t2, w2)]);
        Ok(())
    }

    /// The stages of the step from `y`.
    fn stages(&mut self, f: &mut dyn Vjp<T>, step: Taken, p: &[T], y: &[T]) -> Result<(), AdjointError> {
        let (m, nd, h) = (self.tableau, self.nd, step.t_end - step.t);
        if self.system.shape(pattern(f)) {
            self.jac.clear();
            self.jac.resize(nd / self.d.max(1) * self.system.entries(), T::ZERO);
        }
        f.eval(step.t, y, p, &mut self.f0)?;
        self.time_derivative(f, step, y, p)?;
        self.rows.jacobians(f, step.t, y, p, &mut self.jac)?;
        if let Err(singular) = self.system.factor(h, &self.jac) {
            let failure = StepFailure::from(singular);
            return Err(SolveError::Unsolved { t: step.t, h: h.abs(), failure }.into());
        }
        for i in 0..m.stages() {
            let time = self.time(i, step);
            let (done, rest) = self.u.split_at_mut(i * nd);
            let (u, input) = (&mut rest[..nd], &mut self.inputs[i * nd..][..nd]);
            input.copy_from_slice(y);
            for (j, done) in done.chunks_exact(nd).enumerate() {
                let a = T::c(m.a[i][j]);
                input.iter_mut().zip(done).for_each(|(input, &u)| *input += a * u);
            }
            if i == 0 {
                u.copy_from_slice(&self.f0);
            } else {
                f.eval(time, input, p, u)?;
            }
            for (j, done) in done.chunks_exact(nd).enumerate() {
                let c = T::c(m.coupling[i][j] / h);
                u.iter_mut().zip(done).for_each(|(u, &before)| *u += c * before);
            }
            let weight = T::c(m.d[i] * h);
            u.iter_mut().zip(&self.ft).for_each(|(u, &ft)| *u += weight * ft);
            self.system.solve(u);
        }
        Ok(())
    }

    /// Adds to `a` and `p_bar` what the derivative of the Jacobian along the stages does for their adjoints.
    fn curvature(
        &mut self,
        f: &mut dyn VjpTangent<T>,
        t: f64,
        p: &[T],
        y: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (nd, len) = (self.nd.max(1), self.u.len());
        let Curved { y: again, bar, bar_dot, zeros, p_bar: unasked } = &mut self.curved;
        for (of, len) in
            [(&mut *again, len), (&mut *bar, len), (&mut *bar_dot, len), (&mut *unasked, p.len())]
        {
            of.resize(len, T::ZERO);
        }
        zeros.resize(len.max(p.len()), T::ZERO);
        again.chunks_exact_mut(nd).for_each(|row| row.copy_from_slice(y));
        unasked.fill(T::ZERO); // nor shall it grow
        let (states, params) = ((&again[..], &self.u[..]), (p, &zeros[..p.len()]));
        let bars = ((&mut bar[..], &mut bar_dot[..]), (&mut unasked[..], p_bar));
        f.vjp_tangent(t, states, params, (&self.v, &zeros[..len]), bars.0, bars.1)?;
        for row in bar_dot.chunks_exact(nd) {
            a.iter_mut().zip(row).for_each(|(a, &x)| *a += x);
        }
        Ok(())
    }

    /// As [`curvature`](Self::curvature) for the adjoint of stage `i` alone, by a difference.
    fn curvature_by_difference(
        &mut self,
        f: &mut dyn Vjp<T>,
        t: f64,
        i: usize,
        p: &[T],
        y: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (u, v) = (&self.u[i * self.nd..][..self.nd], &self.v[i * self.nd..][..self.nd]);
        // Each trajectory's own length: along the stage, the coordinates change by this part of their sizes at most, or all by this
        // part of the largest.
        let root = T::c(T::EPSILON.f64().cbrt());
        let d = self.d.max(1);
        for sign in [1.0, -1.0] {
            let sign = T::c(sign);
            let rows = y.chunks_exact(d).zip(u.chunks_exact(d)).zip(v.chunks_exact(d));
            let out = self.tmp.chunks_exact_mut(d).zip(self.scaled.chunks_exact_mut(d));
            for (((y, u), v), (input, scaled)) in rows.zip(out) {
                let most = |x: &[T]| x.iter().fold(T::ZERO, |most, x| most.max(x.abs()));
                let (size, along) = (most(y), most(u));
                let length = if along == T::ZERO { T::ZERO } else { root * size.max(along) / along };
                for k in 0..d {
                    input[k] = y[k] + sign * length * u[k];
                    scaled[k] = if length == T::ZERO { T::ZERO } else { sign * v[k] / (length + length) };
                }
            }
            f.vjp(t, &self.tmp, p, &self.scaled, &mut self.product, p_bar)?;
            a.iter_mut().zip(&self.product).for_each(|(a, &x)| *a += x);
        }
        Ok(())
    }
}

impl<T: Real> StepAdjoint<T> for RosenbrockAdjoint<T> {
    fn with_stepper(
        &mut self,
        f: &mut dyn Vjp<T>,
        _whole: bool,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError> {
        self.rows.run(f, &mut self.stepper, run)
    }

    fn again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        goes_on: bool,
        p: &[T],
        y: &mut [T],
    ) -> Result<(), AdjointError> {
        // No iteration: the forward method takes the step with the same bits.
        let stepper = &mut self.stepper;
        let mut failure = None;
        self.rows.with_jacobian(f, |f| -> Result<(), FieldError> {
            if !goes_on {
                stepper.start(f, step.t, y, p)?;
            }
            stepper.fixed_steps(true);
            stepper.step(f, step.t, step.t_end, y, p, Tolerance::default())?;
            failure = stepper.failure();
            if failure.is_none() {
                stepper.accept(y);
            }
            Ok(())
        })?;
        let h = (step.t_end - step.t).abs();
        failure.map_or(Ok(()), |failure| Err(SolveError::Unsolved { t: step.t, h, failure }.into()))
    }

    fn back(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        _y_end: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.stages(f, step, p, y)?;
        let (m, nd, h) = (self.tableau, self.nd, step.t_end - step.t);
        let (s, row) = (m.stages(), |i: usize| i * nd..(i + 1) * nd);
        for i in (0..s).rev() {
            // Of u_i: m_i a + Σ_{j > i} (a_ji Ȳ_j + coupling_ji / h v_j).
            let (rest, later) = self.v.split_at_mut((i + 1) * nd);
            let v = &mut rest[i * nd..];
            let weight = T::c(m.m[i]);
            v.iter_mut().zip(&*a).for_each(|(v, &a)| *v = weight * a);
            for j in i + 1..s {
                let (by, coupled) = (T::c(m.a[j][i]), T::c(m.coupling[j][i] / h));
                let later = &later[(j - i - 1) * nd..];
                for ((v, &bar), &later) in v.iter_mut().zip(&self.input_bar[row(j)]).zip(later) {
                    *v += by * bar + coupled * later;
                }
            }
            self.system.solve_transpose(v);
            let time = self.time(i, step);
            let (input, input_bar) = (&self.inputs[row(i)], &mut self.input_bar[row(i)]);
            f.vjp(time, input, p, &self.v[row(i)], input_bar, p_bar)?;
        }
        for i in 0..s {
            a.iter_mut().zip(&self.input_bar[row(i)]).for_each(|(a, &bar)| *a += bar);
        }
        if let Some(f) = f.as_vjp_tangent() {
            self.curvature(f, step.t, p, y, a, p_bar)?;
        } else {
            for i in 0..s {
                self.curvature_by_difference(f, step.t, i, p, y, a, p_bar)?;
            }
        }
        if let Some([first, second]) = self.differences {
            // Of h d_i ∂f/∂t, as that was computed.
            let start = (step.t, -first.1 - second.1);
            for (time, weight) in [start, first, second] {
                self.scaled.fill(T::ZERO);
                for (v, &d) in self.v.chunks_exact(nd.max(1)).zip(m.d) {
                    let weight = T::c(weight * h * d);
                    self.scaled.iter_mut().zip(v).for_each(|(w, &v)| *w += weight * v);
                }
                f.vjp(time, y, p, &self.scaled, &mut self.product, p_bar)?;
                a.iter_mut().zip(&self.product).for_each(|(a, &x)| *a += x);
            }
        }
        Ok(())
    }
}
