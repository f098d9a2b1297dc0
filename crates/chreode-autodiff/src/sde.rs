//! A stochastic equation as a field with every derivative.

use chreode_core::{
    Calculus, Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, Dynamics, FieldError, NoiseKind,
    Number, Real, VectorField, Vjp,
};

use crate::replay::Replay;
use crate::{Auto, Dual};

/// A stochastic equation whose drift and diffusion were written once, as a [`Diffusion`] with [`DiffusionJvp`],
/// [`DiffusionVjp`] and [`DiffusionJvpVjp`]: whatever the stochastic solvers and their adjoints ask for.
///
/// The diffusion is a [`Dynamics`] that gives one value a coordinate. Each coordinate has a Brownian motion of its own
/// ([`new`](Self::new)) or one motion drives all ([`scalar`](Self::scalar)). Both models read the same parameters.
/// Second derivatives come from the recorded program, backward on dual numbers. Nothing is allocated after the first
/// call of each kind.
///
/// ```
/// use chreode_autodiff::AutoSde;
/// use chreode_core::{Diffusion, DiffusionJvp, Dynamics, NoiseKind, Number, c, put, take};
/// struct Logistic;
/// impl Dynamics for Logistic {
///     fn dim(&self) -> usize { 1 }
///     fn n_params(&self) -> usize { 2 }
///     #[inline(always)]
///     fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
///         let ([y], [rate, _]) = (take(y), take(p));
///         put(dy, [rate * y * (c(1.0) - y)]);
///     }
/// }
/// struct Noise;
/// impl Dynamics for Noise {
///     fn dim(&self) -> usize { 1 }
///     fn n_params(&self) -> usize { 2 }
///     #[inline(always)]
///     fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], g: &mut [S]) {
///         let ([y], [_, level]) = (take(y), take(p));
///         put(g, [level * y]);
///     }
/// }
/// let mut sde: AutoSde<_, _> = AutoSde::new(Logistic, Noise)?;
/// assert_eq!(sde.noise_kind(), NoiseKind::Separable);
/// let mut slope = [0.0];
/// sde.diffusion_jvp(0.0, &[0.5], &[1.0, 0.3], &[2.0], &mut slope)?;
/// assert_eq!(slope, [0.6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AutoSde<F, G, T = f64> {
    drift: Auto<F, T>,
    diffusion: Auto<G, T>,
    noise: NoiseKind,
    calculus: Calculus,
    /// Pull-backs of the diffusion alone.
    bar: Vec<T>,
    /// State, its adjoint, that of the diffusion, parameters and their adjoint, along a direction.
    replay: Replay<Dual<f64, 1>>,
    point: Vec<Dual<f64, 1>>,
}

/// Drift and diffusion have another number of coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DimensionMismatch {
    /// Coordinates of the drift.
    pub drift: usize,
    /// Values of the diffusion.
    pub diffusion: usize,
}

impl std::fmt::Display for DimensionMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { drift, diffusion } = self;
        write!(f, "the drift has {drift} coordinates, the diffusion {diffusion} values")
    }
}

impl std::error::Error for DimensionMismatch {}

/// An equation of Itô's calculus is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotIto {
    /// Its noise, whose integral depends on the calculus.
    pub noise: NoiseKind,
}

impl std::fmt::Display for NotIto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} noise in Stratonovich's calculus: an Itô equation is needed", self.noise.name())
    }
}

impl std::error::Error for NotIto {}

impl<F: Dynamics, G: Dynamics, T: Real> AutoSde<F, G, T> {
    /// An Itô equation with diagonal noise. The recorded program tells whether it is [`NoiseKind::Additive`],
    /// [`NoiseKind::Separable`] or [`NoiseKind::Diagonal`].
    ///
    /// # Errors
    /// [`DimensionMismatch`].
    pub fn new(drift: F, diffusion: G) -> Result<Self, DimensionMismatch> {
        let mut sde = Self::scalar(drift, diffusion)?;
        let pattern = sde.diffusion.program().sparsity();
        let separable = (0..pattern.n_cols()).all(|j| pattern.column(j).iter().all(|&i| i == j));
        sde.noise = match (pattern.len(), separable) {
            (0, _) => NoiseKind::Additive,
            (_, true) => NoiseKind::Separable,
            (_, false) => NoiseKind::Diagonal,
        };
        Ok(sde)
    }

    /// An Itô equation with one Brownian motion for all coordinates.
    ///
    /// # Errors
    /// [`DimensionMismatch`].
    pub fn scalar(drift: F, diffusion: G) -> Result<Self, DimensionMismatch> {
        let (d, values) = (drift.dim(), diffusion.dim());
        if d != values {
            return Err(DimensionMismatch { drift: d, diffusion: values });
        }
        let diffusion: Auto<G, T> = Auto::new(diffusion);
        let np = diffusion.program().n_params();
        Ok(Self {
            drift: Auto::new(drift),
            noise: NoiseKind::Scalar,
            calculus: Calculus::Ito,
            bar: Vec::new(),
            replay: diffusion.program().replay(),
            point: vec![Dual::c(0.0); 3 * d + 2 * np],
            diffusion,
        })
    }

    /// CUDA C of drift and diffusion in f32, for paths on a device (`GeneratedSource` of `chreode-cuda`): structures `GeneratedField` and
    /// `GeneratedNoise`, which says whether one motion drives all coordinates.
    ///
    /// # Errors
    /// [`NotIto`] for noise in Stratonovich's calculus that is not additive: Euler-Maruyama would take it for Itô's.
    pub fn cuda_code(&self) -> Result<String, NotIto> {
        if self.calculus == Calculus::Stratonovich && self.noise != NoiseKind::Additive {
            return Err(NotIto { noise: self.noise });
        }
        let n_params = self.n_params();
        let scalar = self.noise == NoiseKind::Scalar;
        let constants = format!("    constexpr static bool SCALAR = {scalar};\n");
        let drift = self.drift.program().cuda_structure("GeneratedField", "", n_params);
        let noise = self.diffusion.program().cuda_structure("GeneratedNoise", &constants, n_params);
        Ok(format!("{drift}}};\n{noise}}};\n"))
    }

    /// The same coefficients, meant in this calculus.
    #[must_use]
    pub fn in_calculus(mut self, calculus: Calculus) -> Self {
        self.calculus = calculus;
        self
    }
}

impl<F: Dynamics, G: Dynamics, T: Real> VectorField<T> for AutoSde<F, G, T> {
    fn dim(&self) -> usize {
        self.drift.dim()
    }

    fn n_params(&self) -> usize {
        self.drift.n_params().max(self.diffusion.n_params())
    }

    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.drift.eval(t, y, p, dy)
    }
}

impl<F: Dynamics, G: Dynamics, T: Real> Vjp<T> for AutoSde<F, G, T> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.drift.vjp(t, y, p, lambda, y_bar, p_bar)
    }
}

impl<F: Dynamics, G: Dynamics, T: Real> Diffusion<T> for AutoSde<F, G, T> {
    fn noise_kind(&self) -> NoiseKind {
        self.noise
    }

    fn calculus(&self) -> Calculus {
        self.calculus
    }

    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        Some(self)
    }

    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.diffusion.eval(t, y, p, g)
    }
}

impl<F: Dynamics, G: Dynamics, T: Real> DiffusionJvp<T> for AutoSde<F, G, T> {
    fn diffusion_jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], gv: &mut [T]) -> Result<(), FieldError> {
        chreode_core::Jvp::jvp(&mut self.diffusion, t, y, p, v, gv)
    }
}

impl<F: Dynamics, G: Dynamics, T: Real> DiffusionVjp<T> for AutoSde<F, G, T> {
    fn with_jvp_vjp(&mut self) -> Option<&mut dyn DiffusionJvpVjp<T>> {
        Some(self)
    }

    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.bar.resize(y.len(), T::ZERO);
        self.diffusion.vjp(t, y, p, g_bar, &mut self.bar, p_bar)?;
        y_bar.iter_mut().zip(&self.bar).for_each(|(y_bar, &bar)| *y_bar += bar);
        Ok(())
    }
}

impl<F: Dynamics, G: Dynamics, T: Real> DiffusionJvpVjp<T> for AutoSde<F, G, T> {
    fn diffusion_jvp_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        gv_bar: &[T],
        y_bar: &mut [T],
        v_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let program = self.diffusion.program();
        let (d, np) = (program.dim(), program.n_params());
        if d == 0 {
            return Ok(());
        }
        let (inputs, bars) = self.point.split_at_mut(2 * d + np);
        let (states, rest) = inputs.split_at_mut(d);
        let (lambda, params) = rest.split_at_mut(d);
        let (y_out, p_out) = bars.split_at_mut(d);
        params.iter_mut().zip(p).for_each(|(to, p)| *to = Dual::c(p.f64()));
        p_out.fill(Dual::c(0.0));
        let rows = y.chunks_exact(d).zip(v.chunks_exact(d)).zip(gv_bar.chunks_exact(d));
        let out = y_bar.chunks_exact_mut(d).zip(v_bar.chunks_exact_mut(d));
        for (((y, v), gv_bar), (y_bar, v_bar)) in rows.zip(out) {
            for i in 0..d {
                states[i] = Dual { v: y[i].f64(), d: [v[i].f64()] };
                lambda[i] = Dual::c(gv_bar[i].f64());
            }
            program.vjp(&mut self.replay, Dual::c(t), states, params, lambda, y_out, p_out);
            // The derivative of a pull-back along v is the pull-back of the derivative along v.
            for i in 0..d {
                y_bar[i] += T::c(y_out[i].d[0]);
                v_bar[i] += T::c(y_out[i].v);
            }
        }
        p_bar.iter_mut().zip(&*p_out).for_each(|(p_bar, out)| *p_bar += T::c(out.d[0]));
        Ok(())
    }
}
