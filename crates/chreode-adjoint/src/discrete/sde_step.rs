//! Steps of the stochastic methods, forward and backward.
//!
//! Both directions draw a step's increments by their key. With `λ'` for the adjoint after the step, `⊗` for the product
//! that belongs to the structure of `g`, and `[a, b](y)` for the pull-back of `a` by the drift and `b` by the diffusion:
//!
//! ```text
//! Euler-Maruyama   λ = λ' + [h λ', λ' ⊗ Δw](y)
//! Milstein         λ = λ' + [h λ', λ' ⊗ Δw + (∂g/∂y)ᵀ s](y) + (∂²g/∂y² g)ᵀ s       s = ½ (Δw² − h) λ'
//! Heun             λ = λ' + σ + [h (½ λ' + σ), (½ λ' + σ) ⊗ Δw](y)                 σ = [½ h λ', ½ λ' ⊗ Δw](ȳ)
//! ```
//!
//! Milstein's scheme without derivatives is differentiated as it stands: through `g(y + f h + g √h)`.

use chreode_core::{BrownianIncrements, Diffusion, DiffusionVjp, NoiseKind, Real};
use chreode_solve::{
    EulerMaruyama, Increments, Milstein, SdeMethod, SdeScheme, SolveError, StochasticHeun, noise_term,
};

use crate::AdjointError;

/// A method with the work arrays of both directions.
#[derive(Debug, Clone)]
pub(super) struct SdeStep<T> {
    scheme: Scheme<T>,
    d: usize,
    /// How `g` is stored.
    layout: NoiseKind,
    dw: Vec<T>,
    f_bar: Vec<T>,
    g_bar: Vec<T>,
    y_bar: Vec<T>,
    /// Of methods that evaluate the equation on the way back; empty with Euler-Maruyama. A point beside the start, and
    /// its adjoint.
    f: Vec<T>,
    g: Vec<T>,
    point: Vec<T>,
    point_bar: Vec<T>,
}

#[derive(Debug, Clone)]
enum Scheme<T> {
    EulerMaruyama(EulerMaruyama<T>),
    Milstein(Milstein<T>),
    StochasticHeun(StochasticHeun<T>),
}

/// How `g` is stored: all diagonal kinds count as one.
pub(crate) fn layout(kind: NoiseKind) -> NoiseKind {
    match kind {
        NoiseKind::Scalar | NoiseKind::General { .. } => kind,
        _ => NoiseKind::Diagonal,
    }
}

/// Sets `out`, stored as `g` is, to the adjoint of `g` where `a`, `[n, d]`, is that of `g Δw`.
pub(crate) fn outer<T: Real>(layout: NoiseKind, d: usize, a: &[T], dw: &[T], out: &mut [T]) {
    match layout {
        NoiseKind::Scalar => {
            for ((out, a), &dw) in out.chunks_exact_mut(d).zip(a.chunks_exact(d)).zip(dw) {
                out.iter_mut().zip(a).for_each(|(out, &a)| *out = a * dw);
            }
        }
        NoiseKind::General { motions } => {
            let rows = out.chunks_exact_mut(d * motions).zip(a.chunks_exact(d)).zip(dw.chunks_exact(motions));
            for ((out, a), dw) in rows {
                for (out, &a) in out.chunks_exact_mut(motions).zip(a) {
                    out.iter_mut().zip(dw).for_each(|(out, &dw)| *out = a * dw);
                }
            }
        }
        _ => out.iter_mut().zip(a).zip(dw).for_each(|((out, &a), &dw)| *out = a * dw),
    }
}

impl<T: Real> SdeStep<T> {
    /// Euler-Maruyama for diagonal noise.
    pub(super) fn euler_maruyama(max_rows: usize, d: usize) -> Self {
        let scheme = Scheme::EulerMaruyama(EulerMaruyama::new(max_rows, d));
        Self::with_scheme(scheme, max_rows, d, NoiseKind::Diagonal)
    }

    /// A method for the noise of an equation.
    pub(super) fn new(
        method: SdeMethod,
        max_rows: usize,
        sde: &dyn Diffusion<T>,
    ) -> Result<Self, AdjointError> {
        let scheme = match method {
            SdeMethod::EulerMaruyama => Scheme::EulerMaruyama(EulerMaruyama::for_sde(max_rows, sde)?),
            SdeMethod::Milstein => Scheme::Milstein(Milstein::new(max_rows, sde)?),
            SdeMethod::StochasticHeun => Scheme::StochasticHeun(StochasticHeun::new(max_rows, sde)?),
            _ => return Err(AdjointError::NoDiscreteAdjoint { method: method.name() }),
        };
        Ok(Self::with_scheme(scheme, max_rows, sde.dim(), layout(sde.noise_kind())))
    }

    fn with_scheme(scheme: Scheme<T>, max_rows: usize, d: usize, layout: NoiseKind) -> Self {
        let zeros = |len: usize| vec![T::ZERO; max_rows * len];
        let again = usize::from(!matches!(scheme, Scheme::EulerMaruyama(_)));
        let values = layout.values(d);
        Self {
            scheme,
            d,
            layout,
            dw: zeros(layout.motions(d)),
            f_bar: zeros(d),
            g_bar: zeros(values),
            y_bar: zeros(d),
            f: zeros(again * d),
            g: zeros(again * values),
            point: zeros(again * d),
            point_bar: zeros(again * d),
        }
    }

    /// Which method it is.
    pub(super) fn method(&self) -> SdeMethod {
        match &self.scheme {
            Scheme::EulerMaruyama(_) => SdeMethod::EulerMaruyama,
            Scheme::Milstein(_) => SdeMethod::Milstein,
            Scheme::StochasticHeun(_) => SdeMethod::StochasticHeun,
        }
    }

    /// The error if the noise is stored in another way than the arrays are for, or the method cannot treat it.
    pub(super) fn check(&self, sde: &dyn Diffusion<T>) -> Result<(), AdjointError> {
        let (noise, calculus) = (sde.noise_kind(), sde.calculus());
        if layout(noise) != self.layout {
            let method = "adjoint made for noise of another structure";
            return Err(SolveError::UnsupportedNoise { method, noise, calculus }.into());
        }
        Ok(self.method().check(sde)?)
    }

    /// Draws the increments of step `k` for `n` trajectories.
    fn draw(&mut self, noise: BrownianIncrements, first_trajectory: u64, k: usize, h: f64, n: usize) {
        let motions = self.layout.motions(self.d);
        noise.fill(k as u64, first_trajectory, motions, h, &mut self.dw[..n * motions]);
    }

    /// Advances `y`, `[n, d]`, by step `k`.
    pub(super) fn forward(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        noise: BrownianIncrements,
        first_trajectory: u64,
        k: usize,
        (t, h): (f64, f64),
        y: &mut [T],
        p: &[T],
    ) -> Result<(), SolveError> {
        let n = y.len() / self.d;
        self.draw(noise, first_trajectory, k, h, n);
        let increments = Increments { dw: &self.dw[..n * self.layout.motions(self.d)], area: &[] };
        let scheme: &mut dyn SdeScheme<T> = match &mut self.scheme {
            Scheme::EulerMaruyama(scheme) => scheme,
            Scheme::Milstein(scheme) => {
                // The gradient is that of what is computed: of the difference where the derivative has none of its own.
                scheme.set_derivative_free(sde.with_jvp_vjp().is_none());
                scheme
            }
            Scheme::StochasticHeun(scheme) => scheme,
        };
        scheme.advance(sde, increments, first_trajectory, t, h, y, p)
    }

    /// Pulls `lambda`, `[n, d]`, back through step `k`, which started from `y`; ADDS to `p_bar`.
    pub(super) fn backward(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        noise: BrownianIncrements,
        first_trajectory: u64,
        k: usize,
        step: (f64, f64),
        y: &[T],
        p: &[T],
        lambda: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.draw(noise, first_trajectory, k, step.1, y.len() / self.d);
        match self.scheme {
            Scheme::EulerMaruyama(_) => self.euler_maruyama_back(sde, step, y, p, lambda, p_bar),
            Scheme::Milstein(_) => self.milstein_back(sde, step, y, p, lambda, p_bar),
            Scheme::StochasticHeun(_) => self.heun_back(sde, step, y, p, lambda, p_bar),
        }
    }

    fn euler_maruyama_back(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        (t, h): (f64, f64),
        y: &[T],
        p: &[T],
        lambda: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (d, layout, len, n) = (self.d, self.layout, y.len(), y.len() / self.d);
        let (f_bar, y_bar) = (&mut self.f_bar[..len], &mut self.y_bar[..len]);
        let g_bar = &mut self.g_bar[..n * layout.values(d)];
        let h_t = T::c(h);
        f_bar.iter_mut().zip(&*lambda).for_each(|(f_bar, &l)| *f_bar = h_t * l);
        outer(layout, d, lambda, &self.dw[..n * layout.motions(d)], g_bar);
        sde.drift_and_diffusion_vjp(t, y, p, f_bar, g_bar, y_bar, p_bar)?;
        lambda.iter_mut().zip(&*y_bar).for_each(|(l, &bar)| *l += bar);
        Ok(())
    }

    fn milstein_back(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        (t, h): (f64, f64),
        y: &[T],
        p: &[T],
        lambda: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        // The scheme refuses matrices, so that `g` is one value a coordinate.
        let (d, layout, len, n) = (self.d, self.layout, y.len(), y.len() / self.d);
        let dw = &self.dw[..n * layout.motions(d)];
        let (f_bar, g_bar) = (&mut self.f_bar[..len], &mut self.g_bar[..len]);
        let (f, g, y_bar) = (&mut self.f[..len], &mut self.g[..len], &mut self.y_bar[..len]);
        let (point, bar) = (&mut self.point[..len], &mut self.point_bar[..len]);
        let (h_t, half) = (T::c(h), T::c(0.5));
        sde.drift_and_diffusion(t, y, p, f, g)?;
        f_bar.iter_mut().zip(&*lambda).for_each(|(f_bar, &l)| *f_bar = h_t * l);
        outer(layout, d, lambda, dw, g_bar);
        let per_motion = len / dw.len().max(1);
        // The adjoint of the derivative along g.
        let slope = |i: usize, l: T| {
            let dw = dw[i / per_motion];
            half * l * (dw * dw - h_t)
        };
        if let Some(sde) = sde.with_jvp_vjp() {
            for i in 0..len {
                bar[i] = slope(i, lambda[i]);
            }
            sde.diffusion_jvp_vjp(t, y, p, g, bar, lambda, g_bar, p_bar)?;
        } else {
            let root = T::c(h.sqrt());
            let inverse = T::c(1.0 / h.sqrt());
            for i in 0..len {
                point[i] = y[i] + f[i] * h_t + g[i] * root;
                f[i] = slope(i, lambda[i]) * inverse; // from here on the adjoint of g at the point
            }
            bar.fill(T::ZERO);
            sde.diffusion_vjp(t, point, p, f, bar, p_bar)?;
            for i in 0..len {
                f_bar[i] += h_t * bar[i];
                g_bar[i] += root * bar[i] - f[i];
                lambda[i] += bar[i];
            }
        }
        sde.drift_and_diffusion_vjp(t, y, p, f_bar, g_bar, y_bar, p_bar)?;
        lambda.iter_mut().zip(&*y_bar).for_each(|(l, &bar)| *l += bar);
        Ok(())
    }

    fn heun_back(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        (t, h): (f64, f64),
        y: &[T],
        p: &[T],
        lambda: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (d, layout, len, n) = (self.d, self.layout, y.len(), y.len() / self.d);
        let (dw, g_len) = (&self.dw[..n * layout.motions(d)], n * layout.values(d));
        let (f_bar, g_bar) = (&mut self.f_bar[..len], &mut self.g_bar[..g_len]);
        let (f, g, y_bar) = (&mut self.f[..len], &mut self.g[..g_len], &mut self.y_bar[..len]);
        let (point, bar) = (&mut self.point[..len], &mut self.point_bar[..len]);
        let (h_t, half) = (T::c(h), T::c(0.5));
        sde.drift_and_diffusion(t, y, p, f, g)?;
        noise_term(layout, d, g, dw, point);
        for i in 0..len {
            point[i] = y[i] + (f[i] * h_t + point[i]);
            f[i] = half * lambda[i]; // from here on what is pulled back
            f_bar[i] = h_t * f[i];
        }
        outer(layout, d, f, dw, g_bar);
        sde.drift_and_diffusion_vjp(t + h, point, p, f_bar, g_bar, bar, p_bar)?;
        for i in 0..len {
            lambda[i] += bar[i];
            f[i] += bar[i];
            f_bar[i] = h_t * f[i];
        }
        outer(layout, d, f, dw, g_bar);
        sde.drift_and_diffusion_vjp(t, y, p, f_bar, g_bar, y_bar, p_bar)?;
        lambda.iter_mut().zip(&*y_bar).for_each(|(l, &bar)| *l += bar);
        Ok(())
    }
}
