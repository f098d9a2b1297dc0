//! The same stochastic process in the other calculus.

use std::marker::PhantomData;

use chreode_core::{
    Calculus, Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, FieldError, NoiseKind, Real,
    VectorField, Vjp,
};

/// An equation written in a calculus of choice: the same process, with the drift that it has there.
///
/// `f_Stratonovich = f_Itô - c`, with `c_i = 1/2 Σ_k Σ_j g_jk ∂g_ik/∂x_j` [KP92, section 4.9], by products of the derivative of `g`: one for
/// each Brownian motion, one in all for scalar and separable noise, none for additive. The pull-back of the drift needs
/// second derivatives, [`DiffusionJvpVjp`].
///
/// ```
/// use chreode_core::{Calculus, Diffusion, VectorField, field};
/// use chreode_model::{InCalculus, NoiseConfig, NoiseForm, NoisyField};
/// let decay = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = -y[0]);
/// let config = NoiseConfig::new(vec![0.0], vec![1.0], NoiseForm::Scalar);
/// let mut ito = NoisyField::new(decay, config)?;
/// let p = ito.init_noise(1);
/// let mut heun = InCalculus::new(ito.clone(), Calculus::Stratonovich); // for stochastic Heun
/// let (mut f, mut g) = ([0.0], [0.0]);
/// heun.drift_and_diffusion(0.0, &[0.3], &p, &mut f, &mut g)?;
/// assert!(heun.calculus() == Calculus::Stratonovich && f[0] != -0.3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct InCalculus<T, S> {
    sde: S,
    calculus: Calculus,
    g: Vec<T>,
    v: Vec<T>,
    gv: Vec<T>,
    g_bar: Vec<T>,
    v_bar: Vec<T>,
    number: PhantomData<T>,
}

impl<T: Real, S: DiffusionJvp<T>> InCalculus<T, S> {
    /// The equation in this calculus.
    pub fn new(sde: S, calculus: Calculus) -> Self {
        let none = Vec::new;
        Self {
            sde,
            calculus,
            g: none(),
            v: none(),
            gv: none(),
            g_bar: none(),
            v_bar: none(),
            number: PhantomData,
        }
    }

    /// The equation as it was given.
    pub fn inner(&self) -> &S {
        &self.sde
    }

    /// What the correction is multiplied by; zero if there is nothing to correct.
    fn factor(&self) -> f64 {
        if self.sde.noise_kind() == NoiseKind::Additive {
            return 0.0;
        }
        match (self.sde.calculus(), self.calculus) {
            (Calculus::Ito, Calculus::Stratonovich) => -0.5,
            (Calculus::Stratonovich, Calculus::Ito) => 0.5,
            _ => 0.0,
        }
    }

    /// Number of products of derivatives, and scratch for `n` rows.
    fn prepare(&mut self, t: f64, y: &[T], p: &[T]) -> Result<usize, FieldError> {
        let (d, kind) = (self.sde.dim(), self.sde.noise_kind());
        let values = y.len() / d * kind.values(d);
        for (buffer, len) in [
            (&mut self.g, values),
            (&mut self.gv, values),
            (&mut self.g_bar, values),
            (&mut self.v, y.len()),
            (&mut self.v_bar, y.len()),
        ] {
            buffer.resize(len, T::ZERO);
        }
        self.sde.diffusion(t, y, p, &mut self.g)?;
        Ok(match kind {
            NoiseKind::Separable | NoiseKind::Scalar => 1,
            _ => kind.motions(d),
        })
    }

    /// Where, in a row of `g`, the values lie that product `k` is about: `(coordinate, place)`.
    fn column(&self, k: usize) -> impl Iterator<Item = (usize, usize)> + use<T, S> {
        let (d, kind) = (self.sde.dim(), self.sde.noise_kind());
        let (coordinates, step, start) = match kind {
            NoiseKind::General { motions } => (0..d, motions, k),
            NoiseKind::Separable | NoiseKind::Scalar => (0..d, 1, 0),
            _ => (k..k + 1, 1, 0), // diagonal: motion k drives coordinate k
        };
        coordinates.map(move |i| (i, i * step + start))
    }

    /// Sets the direction of product `k`, `g_k`.
    fn direct(&mut self, k: usize) {
        let (d, values) = (self.sde.dim(), self.sde.noise_kind().values(self.sde.dim()));
        let mut v = std::mem::take(&mut self.v);
        v.fill(T::ZERO);
        for (v, g) in v.chunks_exact_mut(d).zip(self.g.chunks_exact(values)) {
            self.column(k).for_each(|(i, place)| v[i] = g[place]);
        }
        self.v = v;
    }

    /// Adds the correction to a drift.
    fn correct(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let factor = self.factor();
        if factor == 0.0 {
            return Ok(());
        }
        let factor = T::c(factor);
        let (d, values) = (self.sde.dim(), self.sde.noise_kind().values(self.sde.dim()));
        for k in 0..self.prepare(t, y, p)? {
            self.direct(k);
            self.sde.diffusion_jvp(t, y, p, &self.v, &mut self.gv)?;
            for (dy, gv) in dy.chunks_exact_mut(d).zip(self.gv.chunks_exact(values)) {
                self.column(k).for_each(|(i, place)| dy[i] += factor * gv[place]);
            }
        }
        Ok(())
    }
}

impl<T: Real, S: DiffusionJvp<T>> VectorField<T> for InCalculus<T, S> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn n_params(&self) -> usize {
        self.sde.n_params()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.sde.eval(t, y, p, dy)?;
        self.correct(t, y, p, dy)
    }
}

impl<T: Real, S: DiffusionJvp<T>> Diffusion<T> for InCalculus<T, S> {
    fn noise_kind(&self) -> NoiseKind {
        self.sde.noise_kind()
    }
    fn calculus(&self) -> Calculus {
        self.calculus
    }
    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        Some(self)
    }
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.sde.diffusion(t, y, p, g)
    }
}

impl<T: Real, S: DiffusionJvp<T>> DiffusionJvp<T> for InCalculus<T, S> {
    fn diffusion_jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], gv: &mut [T]) -> Result<(), FieldError> {
        self.sde.diffusion_jvp(t, y, p, v, gv)
    }
}

impl<T: Real, S: DiffusionJvpVjp<T>> Vjp<T> for InCalculus<T, S> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.sde.vjp(t, y, p, lambda, y_bar, p_bar)?;
        let factor = self.factor();
        if factor == 0.0 {
            return Ok(());
        }
        let factor = T::c(factor);
        let (d, values) = (self.sde.dim(), self.sde.noise_kind().values(self.sde.dim()));
        let products = self.prepare(t, y, p)?;
        self.g_bar.fill(T::ZERO);
        for k in 0..products {
            self.direct(k);
            self.gv.fill(T::ZERO); // now its adjoint
            self.v_bar.fill(T::ZERO);
            let mut gv = std::mem::take(&mut self.gv);
            for (gv, lambda) in gv.chunks_exact_mut(values).zip(lambda.chunks_exact(d)) {
                self.column(k).for_each(|(i, place)| gv[place] = factor * lambda[i]);
            }
            self.gv = gv;
            self.sde.diffusion_jvp_vjp(t, y, p, &self.v, &self.gv, y_bar, &mut self.v_bar, p_bar)?;
            let mut g_bar = std::mem::take(&mut self.g_bar);
            for (g_bar, v_bar) in g_bar.chunks_exact_mut(values).zip(self.v_bar.chunks_exact(d)) {
                self.column(k).for_each(|(i, place)| g_bar[place] += v_bar[i]);
            }
            self.g_bar = g_bar;
        }
        self.sde.diffusion_vjp(t, y, p, &self.g_bar, y_bar, p_bar)
    }
}

impl<T: Real, S: DiffusionJvpVjp<T>> DiffusionVjp<T> for InCalculus<T, S> {
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
        self.sde.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
    }
}

impl<T: Real, S: DiffusionJvpVjp<T>> DiffusionJvpVjp<T> for InCalculus<T, S> {
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
        self.sde.diffusion_jvp_vjp(t, y, p, v, gv_bar, y_bar, v_bar, p_bar)
    }
}
