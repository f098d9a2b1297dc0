//! Proliferation and death as two rates of one net.

use std::ops::Range;

use chreode_core::{BirthDeath, FieldError, Growth, GrowthVjp, ParamLayout, Real, sub_seed};
use chreode_linalg::Activation;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::config::{POSITIVE, elements, is_positive, positive, widths};
use crate::mlp::{Mlp, MlpShape, TILE};
use crate::standardise::Standardise;
use crate::{ConfigError, NetConfig, Stored};

/// What a [`BirthDeathNet`] is made of. It sees the first coordinates of a state, as many as have a scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BirthDeathConfig {
    /// Centre of each coordinate, `[k]`.
    pub shift: Vec<f64>,
    /// Spread of each coordinate, `[k]`.
    pub scale: Vec<f64>,
    /// Coordinates of a state, at least `k`.
    pub dim: usize,
    /// Largest rate of division, per time.
    pub max_birth: f64,
    /// Largest rate of death, per time.
    pub max_death: f64,
    /// The hidden layers.
    #[serde(default)]
    pub net: NetConfig,
}

impl BirthDeathConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`], naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.shift.is_empty() {
            return Err(ConfigError::NoCoordinates);
        }
        elements("shift", &self.shift, self.shift.len(), f64::is_finite, "finite")?;
        elements("scale", &self.scale, self.shift.len(), is_positive, POSITIVE)?;
        if self.dim < self.shift.len() {
            return Err(ConfigError::Length { field: "shift", found: self.shift.len(), expected: self.dim });
        }
        positive("max_birth", self.max_birth)?;
        positive("max_death", self.max_death)?;
        widths("net.hidden", &self.net.hidden)
    }
}

/// Rates of division and death, `b = b_max sigmoid(z_1)` and `d = d_max sigmoid(z_2)`, with `z = net(x̂)`.
///
/// As a [`Growth`] it is their difference, a weight along a path; as a [`BirthDeath`] it serves simulations that branch
/// (`chreode_solve::simulate_branching`), whose cells have those weights on average. It may read its parameters from a longer
/// slice, from [`starting_at`](Self::starting_at) on, so that an equation and its growth share one.
///
/// ```
/// use chreode_core::BirthDeath;
/// use chreode_model::{BirthDeathConfig, BirthDeathNet, NetConfig};
/// let config = BirthDeathConfig {
///     shift: vec![0.0], scale: vec![1.0], dim: 1, max_birth: 2.0, max_death: 1.0, net: NetConfig::default(),
/// };
/// let mut rates = BirthDeathNet::<f32>::new(config)?;
/// let p = rates.init(1);
/// let (mut birth, mut death) = ([0.0], [0.0]);
/// rates.birth_and_death(0.0, &[0.3], &p, &mut birth, &mut death)?;
/// assert!(birth[0] > 0.0 && birth[0] < 2.0 && death[0] > 0.0 && death[0] < 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BirthDeathNet<T: Real> {
    config: BirthDeathConfig,
    net: Mlp<T>,
    standardise: Standardise<T>,
    range: Range<usize>,
    max: [T; 2],
    /// Sigmoids of a tile, `[TILE, 2]`.
    sigmoid: Vec<T>,
}

impl<T: Real> BirthDeathNet<T> {
    /// The rates of a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field that is wrong.
    pub fn new(config: BirthDeathConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let shape = MlpShape::new(config.shift.len(), &config.net.hidden, 2, config.net.activation);
        Ok(Self {
            range: 0..shape.layout().len(),
            net: Mlp::new(shape),
            standardise: Standardise::new(&config.shift, &config.scale),
            max: [T::c(config.max_birth), T::c(config.max_death)],
            sigmoid: vec![T::ZERO; 2 * TILE],
            config,
        })
    }

    /// The same rates, with their parameters at this place of the slice that calls bring.
    #[must_use]
    pub fn starting_at(mut self, start: usize) -> Self {
        self.range = start..start + self.range.len();
        self
    }

    /// Its own parameters before training: both rates near half of their largest, balanced where the largest are.
    pub fn init(&self, seed: u64) -> Vec<T> {
        let mut p = vec![0.0; self.range.len()];
        self.net.shape().init(&mut Pcg64::seed_from_u64(sub_seed(seed, "weights.growth")), 0.1, &mut p);
        p.into_iter().map(T::c).collect()
    }

    fn check(&self, t: f64, y: &[T], p: &[T], rates: &[usize]) -> Result<(), FieldError> {
        if rates.iter().any(|n| y.len() != n * self.config.dim) {
            return Err(FieldError::Fatal {
                t,
                what: "growth: states and rates do not have the same number of rows",
            });
        }
        if p.len() < self.range.end {
            return Err(FieldError::Fatal { t, what: "growth: too few parameters" });
        }
        Ok(())
    }

    fn forward_tile(&mut self, n: usize, y: &[T], p: &[T]) {
        let k = self.standardise.len();
        for (y, x) in y.chunks_exact(self.config.dim).zip(self.net.input(n).chunks_exact_mut(k)) {
            self.standardise.apply(&y[..k], x);
        }
        self.net.forward_tile(n, &p[self.range.clone()]);
        Activation::Sigmoid.apply(self.net.output(n), &mut self.sigmoid[..2 * n]);
    }
}

impl<T: Real> BirthDeath<T> for BirthDeathNet<T> {
    fn birth_and_death(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        birth: &mut [T],
        death: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[birth.len(), death.len()])?;
        let tiles = y.chunks(TILE * self.config.dim).zip(birth.chunks_mut(TILE)).zip(death.chunks_mut(TILE));
        for ((y, birth), death) in tiles {
            self.forward_tile(birth.len(), y, p);
            for ((b, d), s) in birth.iter_mut().zip(death).zip(self.sigmoid.chunks_exact(2)) {
                (*b, *d) = (self.max[0] * s[0], self.max[1] * s[1]);
            }
        }
        Ok(())
    }
}

impl<T: Real> Growth<T> for BirthDeathNet<T> {
    fn growth(&mut self, t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[rate.len()])?;
        for (y, rate) in y.chunks(TILE * self.config.dim).zip(rate.chunks_mut(TILE)) {
            self.forward_tile(rate.len(), y, p);
            for (rate, s) in rate.iter_mut().zip(self.sigmoid.chunks_exact(2)) {
                *rate = self.max[0] * s[0] - self.max[1] * s[1];
            }
        }
        Ok(())
    }
}

impl<T: Real> GrowthVjp<T> for BirthDeathNet<T> {
    fn growth_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rate_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[rate_bar.len()])?;
        if y_bar.len() != y.len() || p_bar.len() != p.len() {
            return Err(FieldError::Fatal {
                t,
                what: "growth: an adjoint has another length than its value",
            });
        }
        let (dim, k) = (self.config.dim, self.standardise.len());
        let tiles = y.chunks(TILE * dim).zip(y_bar.chunks_mut(TILE * dim)).zip(rate_bar.chunks(TILE));
        for ((y, y_bar), rate_bar) in tiles {
            let n = rate_bar.len();
            self.forward_tile(n, y, p);
            let (out, out_bar) = self.net.output_and_bar(n);
            for (bars, &rate_bar) in out_bar.chunks_exact_mut(2).zip(rate_bar) {
                bars.copy_from_slice(&[self.max[0] * rate_bar, -self.max[1] * rate_bar]);
            }
            Activation::Sigmoid.backward(out, &self.sigmoid[..2 * n], out_bar);
            let range = self.range.clone();
            let x_bar = self.net.backward_tile(n, &p[range.clone()], &mut p_bar[range]);
            for (x_bar, y_bar) in x_bar.chunks_exact(k).zip(y_bar.chunks_exact_mut(dim)) {
                self.standardise.pull_back(x_bar, &mut y_bar[..k]);
            }
        }
        Ok(())
    }
}

impl<T: Real> Stored for BirthDeathNet<T> {
    type Config = BirthDeathConfig;
    const FORMAT: &'static str = "chreode-growth/1";
    fn from_config(config: BirthDeathConfig) -> Result<Self, ConfigError> {
        Self::new(config)
    }
    fn config(&self) -> BirthDeathConfig {
        self.config.clone()
    }
    fn layout(&self) -> ParamLayout {
        self.net.shape().layout().clone()
    }
}
