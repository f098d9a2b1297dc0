//! Any vector field with a diffusion net.

use chreode_core::{
    Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, FieldError, Jacobian, Jvp, NoiseKind,
    ParamLayout, Real, Slot, VectorField, Vjp,
};
use serde::{Deserialize, Serialize};

use crate::mlp::TILE;
use crate::noise::{NoiseConfig, NoiseNet};
use crate::{ConfigError, Stored};

/// `dX = f(X) dt + g(X) dW` (Itô) from a field and a diffusion net. Parameters: the field's, then the net's.
///
/// ```
/// use chreode_core::{Diffusion, NoiseKind, field};
/// use chreode_model::{NoiseConfig, NoiseForm, NoisyField};
/// let decay = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| { dy[0] = -y[0]; dy[1] = -y[1]; });
/// let config = NoiseConfig::new(vec![0.0; 2], vec![1.0; 2], NoiseForm::LowRank { rank: 1 });
/// let mut sde = NoisyField::new(decay, config)?;
/// let p: Vec<f64> = sde.init_noise(1);
/// let mut g = [0.0; 6];
/// sde.diffusion(0.0, &[0.5, 0.2], &p, &mut g)?;
/// assert_eq!(sde.noise_kind(), NoiseKind::General { motions: 3 });
/// assert!(g[0] > 0.0 && g[1] == 0.0 && g[4] > 0.0); // two rows: a diagonal and one column
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NoisyField<T: Real, F> {
    field: F,
    config: NoiseConfig,
    noise: NoiseNet<T>,
    own: usize,
    values: usize,
}

impl<T: Real, F: VectorField<T>> NoisyField<T, F> {
    /// The equation of a field and a noise on its first coordinates.
    ///
    /// # Errors
    /// [`ConfigError`], naming what is wrong.
    pub fn new(field: F, config: NoiseConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        if config.shift.len() > field.dim() {
            let (found, expected) = (config.shift.len(), field.dim());
            return Err(ConfigError::Length { field: "shift", found, expected });
        }
        let noise = NoiseNet::for_states(&config, field.dim());
        Ok(Self { own: field.n_params(), values: noise.values(), field, config, noise })
    }

    /// Parameters of the noise before training: a size near `initial_level`.
    pub fn init_noise(&self, seed: u64) -> Vec<T> {
        let mut p = vec![0.0; self.noise.layout().len()];
        self.noise.init(seed, &mut p);
        p.into_iter().map(T::c).collect()
    }

    /// The field.
    pub fn field(&self) -> &F {
        &self.field
    }

    /// What the noise was built from.
    pub fn noise(&self) -> &NoiseConfig {
        &self.config
    }

    /// Names, shapes and offsets of the noise's parameters, counted from the end of the field's.
    pub fn noise_layout(&self) -> &ParamLayout {
        self.noise.layout()
    }

    fn check_drift(&self, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.check(t, y, p, y.len() / self.field.dim() * self.values)
    }

    fn check(&self, t: f64, y: &[T], p: &[T], g: usize) -> Result<(), FieldError> {
        if !y.len().is_multiple_of(self.field.dim()) || g != y.len() / self.field.dim() * self.values {
            return Err(FieldError::Fatal {
                t,
                what: "noise: a slice is not [n, d], or g not as its kind says",
            });
        }
        if p.len() != self.n_params() {
            return Err(FieldError::Fatal { t, what: "noise: the parameters are not [field's, noise's]" });
        }
        Ok(())
    }
}

impl<T: Real, F: VectorField<T>> VectorField<T> for NoisyField<T, F> {
    fn dim(&self) -> usize {
        self.field.dim()
    }
    fn n_params(&self) -> usize {
        self.own + self.noise.layout().len()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check_drift(t, y, p)?;
        self.field.eval(t, y, &p[..self.own], dy)
    }
}

impl<T: Real, F: Jvp<T>> Jvp<T> for NoisyField<T, F> {
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        self.check_drift(t, y, p)?;
        self.field.jvp(t, y, &p[..self.own], v, jv)
    }
}

impl<T: Real, F: Vjp<T>> Vjp<T> for NoisyField<T, F> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check_drift(t, y, p)?;
        self.check_drift(t, y_bar, p_bar)?;
        self.field.vjp(t, y, &p[..self.own], lambda, y_bar, &mut p_bar[..self.own])
    }
    fn eval_kept(&mut self, slot: Slot, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check_drift(t, y, p)?;
        self.field.eval_kept(slot, t, y, &p[..self.own], dy)
    }
    fn kept_bytes(&self, n: usize) -> usize {
        self.field.kept_bytes(n)
    }
    fn vjp_kept(
        &mut self,
        slot: Slot,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check_drift(t, y, p)?;
        self.check_drift(t, y_bar, p_bar)?;
        self.field.vjp_kept(slot, t, y, &p[..self.own], lambda, y_bar, &mut p_bar[..self.own])
    }
    fn defer(&mut self) {
        self.field.defer();
    }
    fn settle(&mut self, p_bar: &mut [T]) {
        self.field.settle(&mut p_bar[..self.own]);
    }
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        None // its parameters are not the field's
    }
}

impl<T: Real, F: VectorField<T>> Diffusion<T> for NoisyField<T, F> {
    fn noise_kind(&self) -> NoiseKind {
        self.noise.kind()
    }
    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        Some(self)
    }
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, g.len())?;
        let d = self.field.dim();
        for (y, g) in y.chunks(TILE * d).zip(g.chunks_mut(TILE * self.values)) {
            self.noise.diffusion_tile(y.len() / d, y, &p[self.own..], g);
        }
        Ok(())
    }
}

impl<T: Real, F: VectorField<T>> DiffusionJvp<T> for NoisyField<T, F> {
    fn diffusion_jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], gv: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, gv.len())?;
        self.check(t, v, p, gv.len())?;
        let d = self.field.dim();
        for ((y, v), gv) in y.chunks(TILE * d).zip(v.chunks(TILE * d)).zip(gv.chunks_mut(TILE * self.values))
        {
            self.noise.jvp_tile(y.len() / d, y, &p[self.own..], v, gv);
        }
        Ok(())
    }
}

impl<T: Real, F: Vjp<T>> DiffusionVjp<T> for NoisyField<T, F> {
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
        self.check(t, y, p, g_bar.len())?;
        self.check(t, y_bar, p_bar, g_bar.len())?;
        let (d, values) = (self.field.dim(), self.values);
        let p_bar = &mut p_bar[self.own..];
        for ((y, g_bar), y_bar) in
            y.chunks(TILE * d).zip(g_bar.chunks(TILE * values)).zip(y_bar.chunks_mut(TILE * d))
        {
            self.noise.vjp_tile(y.len() / d, y, &p[self.own..], g_bar, y_bar, p_bar);
        }
        Ok(())
    }
}

impl<T: Real, F: Vjp<T>> DiffusionJvpVjp<T> for NoisyField<T, F> {
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
        self.check(t, y, p, gv_bar.len())?;
        self.check(t, y_bar, p_bar, gv_bar.len())?;
        self.check(t, v, p, gv_bar.len())?;
        self.check(t, v_bar, p, gv_bar.len())?;
        let (d, values) = (self.field.dim(), self.values);
        for (tile, gv_bar) in gv_bar.chunks(TILE * values).enumerate() {
            let n = gv_bar.len() / values;
            let rows = tile * TILE * d..(tile * TILE + n) * d;
            self.noise.jvp_vjp_tile(
                n,
                &y[rows.clone()],
                &p[self.own..],
                &v[rows.clone()],
                gv_bar,
                &mut y_bar[rows.clone()],
                &mut v_bar[rows],
                &mut p_bar[self.own..],
            );
        }
        Ok(())
    }
}

/// What a stored [`NoisyField`] is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoisyConfig<C> {
    /// The field.
    pub field: C,
    /// The noise.
    pub noise: NoiseConfig,
}

impl<T: Real, F: VectorField<T> + Stored> Stored for NoisyField<T, F> {
    type Config = NoisyConfig<F::Config>;
    const FORMAT: &'static str = "chreode-noisy/1";
    fn from_config(config: Self::Config) -> Result<Self, ConfigError> {
        Self::new(F::from_config(config.field)?, config.noise)
    }
    fn config(&self) -> Self::Config {
        NoisyConfig { field: self.field.config(), noise: self.config.clone() }
    }
    fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::new();
        layout.append("field", &self.field.layout());
        layout.append("diffusion", self.noise.layout());
        layout
    }
}
