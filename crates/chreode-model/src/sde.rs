//! The model: drift, diffusion and growth under one flat parameter slice.

use std::ops::Range;

use chreode_core::{
    Diffusion, DiffusionVjp, FieldError, Growth, GrowthVjp, NoiseKind, ParamLayout, Real, Slot, VectorField,
    Vjp,
};

use crate::diffusion::Noise;
use crate::drift::Drift;
use crate::growth::GrowthNet;
use crate::init::Parts;
use crate::mlp::TILE;
use crate::{ConfigError, ModelConfig, ModelError};

/// A neural SDE `dX = f(X) dt + g(X) dW` (Itô) with an optional growth rate.
///
/// Autonomous, where [`ModelConfig::times`] is not set: the time of a call then only enters error messages. Parameters are passed to every
/// call in the order of [`Self::layout`]; the model holds scratch alone, so clone it once per worker. A row's bits depend
/// on that row and the parameters only.
///
/// # Units
/// Drift in state per time, diffusion in state per square root of time, growth per time. How diffusion is stored follows from its form:
/// [`NoiseKind`].
#[derive(Debug, Clone)]
pub struct NeuralSde<T: Real> {
    config: ModelConfig,
    layout: ParamLayout,
    drift: Drift<T>,
    drift_range: Range<usize>,
    noise: Noise<T>,
    noise_range: Range<usize>,
    growth: Option<GrowthNet<T>>,
    forcing: Option<Vec<T>>,
}

impl<T: Real> NeuralSde<T> {
    /// The model of a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field that is wrong.
    pub fn new(config: ModelConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut layout = ParamLayout::new();
        let drift = Drift::new(&config);
        let drift_range = layout.append("drift", drift.layout());
        let noise = Noise::new(&config);
        let noise_range = layout.append("diffusion", &noise.layout(config.dim()));
        let growth = config.growth.as_ref().map(|growth| GrowthNet::new(&config, growth, &mut layout));
        Ok(Self { config, layout, drift, drift_range, noise, noise_range, growth, forcing: None })
    }

    /// What the model was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Names, shapes and offsets of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// Initial parameters, the same for `f32` and `f64` up to rounding.
    ///
    /// Output layers start small: a free or potential drift is near zero, a production drift is balanced near
    /// `shift`, the diffusion is near its `initial_level`, growth near zero.
    pub fn init(&self, seed: u64) -> Vec<T> {
        Parts {
            config: &self.config,
            layout: &self.layout,
            drift: (&self.drift, self.drift_range.clone()),
            noise: (&self.noise, self.noise_range.clone()),
            growth: self.growth.as_ref(),
        }
        .init(seed)
    }

    /// Whether states are amounts that cannot be negative: true for a production drift.
    pub fn is_non_negative(&self) -> bool {
        matches!(self.drift, Drift::Production(_))
    }

    /// What the nets of drift and growth see of the time `t` behind the state; none without [`ModelConfig::times`].
    ///
    /// Two numbers: where it lies in all of the times, and where between the two that it is between, both from -√3 to √3.
    pub fn time_inputs(&self, t: f64) -> Option<[T; 2]> {
        self.drift.of_time(t)
    }

    /// The growth net as a field of its own, which takes the same parameters; none if the model has none.
    ///
    /// An adjoint needs model and growth at the same time, both mutably.
    pub fn growth_net(&self) -> Option<GrowthNet<T>> {
        self.growth.clone()
    }

    /// Sets a constant vector, `[d]` in state per time, that is added to the drift; `None` takes it away.
    ///
    /// Over-expression of coordinate `i` by an amount `u` is a forcing of `δ_i u` ([`Self::decay_rates`]).
    ///
    /// # Errors
    /// [`ModelError::Length`] if the vector is not `[d]`.
    pub fn set_forcing(&mut self, forcing: Option<Vec<T>>) -> Result<(), ModelError> {
        if let Some(forcing) = &forcing {
            length("forcing", forcing.len(), self.config.dim())?;
        }
        self.forcing = forcing;
        Ok(())
    }

    /// The vector that is added to the drift, if any.
    pub fn forcing(&self) -> Option<&[T]> {
        self.forcing.as_deref()
    }

    /// The decay rates `δ`, `[d]` per time, of a production drift.
    ///
    /// # Errors
    /// [`ModelError`] if the drift has another form or `p` another length.
    pub fn decay_rates(&self, p: &[T]) -> Result<Vec<T>, ModelError> {
        length("p", p.len(), self.layout.len())?;
        let Drift::Production(drift) = &self.drift else {
            return Err(ModelError::NoDecay { drift: self.config.drift.kind });
        };
        let mut decay = vec![T::ZERO; self.config.dim()];
        drift.decay_rates(&p[self.drift_range.clone()], &mut decay);
        Ok(decay)
    }

    /// Sets `psi`, `[n]`, to the potential whose gradient is the drift; cells move uphill.
    ///
    /// # Units
    /// State squared per time. A constant may be added, so only differences mean something.
    ///
    /// # Errors
    /// [`ModelError`] if the drift has another form or a slice another length.
    pub fn potential(&mut self, y: &[T], p: &[T], psi: &mut [T]) -> Result<(), ModelError> {
        length("p", p.len(), self.layout.len())?;
        length("y", y.len(), psi.len() * self.config.dim())?;
        let Drift::Potential(drift) = &mut self.drift else {
            return Err(ModelError::NoPotential { drift: self.config.drift.kind });
        };
        let p = &p[self.drift_range.clone()];
        for (y, psi) in y.chunks(TILE * self.config.dim()).zip(psi.chunks_mut(TILE)) {
            drift.potential_tile(psi.len(), y, p, psi);
        }
        Ok(())
    }

    /// Sets drift and diffusion where they are asked for, tile by tile; a drift that is a net is kept in the slot, if there is one.
    fn forward(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        mut f: Option<&mut [T]>,
        mut g: Option<&mut [T]>,
        slot: Option<Slot>,
    ) {
        self.drift.set_time(t);
        let d = self.config.dim();
        let (drift_p, noise_p) = (&p[self.drift_range.clone()], &p[self.noise_range.clone()]);
        for start in (0..y.len()).step_by(TILE * d) {
            let tile = start..(start + TILE * d).min(y.len());
            let (n, y) = (tile.len() / d, &y[tile.clone()]);
            let noise_tile = self.noise_tile(&tile);
            let f = f.as_deref_mut().map(|f| &mut f[tile.clone()]);
            let g = g.as_deref_mut().map(|g| &mut g[noise_tile]);
            let needs_drift = f.is_some() || matches!(self.noise, Noise::Langevin(_));
            if let (Drift::Production(drift), true) = (&mut self.drift, needs_drift) {
                drift.forward_tile(n, y, drift_p);
            }
            if let Some(f) = f {
                match &mut self.drift {
                    Drift::Free(drift) => {
                        drift.drift_tile(n, y, drift_p, f);
                        if let Some(slot) = slot {
                            drift.swap_kept(slot, start / (TILE * d));
                        }
                    }
                    Drift::Potential(drift) => drift.drift_tile(n, y, drift_p, f),
                    Drift::Production(drift) => drift.drift(y, f),
                }
                if let Some(forcing) = &self.forcing {
                    for row in f.chunks_exact_mut(d) {
                        row.iter_mut().zip(forcing).for_each(|(f, &u)| *f += u);
                    }
                }
            }
            if let Some(g) = g {
                match (&mut self.noise, &self.drift) {
                    (Noise::Net(noise), _) => noise.diffusion_tile(n, y, noise_p, g),
                    (Noise::Langevin(noise), Drift::Production(drift)) => {
                        noise.diffusion(drift, y, noise_p, g);
                    }
                    // `validate` lets Langevin noise through with a production drift only.
                    (Noise::Langevin(_), Drift::Free(_) | Drift::Potential(_)) => {}
                }
            }
        }
    }

    /// ADDS to `y_bar` and `p_bar` what comes from the adjoints that are given, tile by tile. A drift that is kept in the slot, if
    /// there is one, is not computed again.
    fn backward(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f_bar: Option<&[T]>,
        g_bar: Option<&[T]>,
        y_bar: &mut [T],
        p_bar: &mut [T],
        slot: Option<Slot>,
    ) {
        let slot = slot.filter(|&slot| self.drift.holds(slot));
        self.drift.set_time(t);
        let d = self.config.dim();
        let (drift_range, noise_range) = (self.drift_range.clone(), self.noise_range.clone());
        let (drift_p, noise_p) = (&p[drift_range.clone()], &p[noise_range.clone()]);
        for start in (0..y.len()).step_by(TILE * d) {
            let tile = start..(start + TILE * d).min(y.len());
            let noise_tile = self.noise_tile(&tile);
            let (n, y, y_bar) = (tile.len() / d, &y[tile.clone()], &mut y_bar[tile.clone()]);
            let f_bar = f_bar.map(|b| &b[tile.clone()]);
            let g_bar = g_bar.map(|b| &b[noise_tile]);
            let noise_p_bar = &mut p_bar[noise_range.clone()];
            if let (Noise::Net(noise), Some(g_bar)) = (&mut self.noise, g_bar) {
                noise.vjp_tile(n, y, noise_p, g_bar, y_bar, noise_p_bar);
            }
            let langevin = match (&mut self.noise, g_bar) {
                (Noise::Langevin(noise), Some(g_bar)) => Some((noise, g_bar)),
                _ => None,
            };
            match (&mut self.drift, f_bar) {
                (Drift::Production(drift), f_bar) if f_bar.is_some() || langevin.is_some() => {
                    drift.forward_tile(n, y, drift_p);
                    drift.clear_bars(n);
                    if let Some(f_bar) = f_bar {
                        drift.pull_drift(y, f_bar, y_bar);
                    }
                    if let Some((noise, g_bar)) = langevin {
                        let log_scale_bar = &mut p_bar[noise_range.clone()];
                        noise.pull_diffusion(drift, y, noise_p, g_bar, y_bar, log_scale_bar);
                    }
                    drift.backward_tile(n, drift_p, y_bar, &mut p_bar[drift_range.clone()]);
                }
                (Drift::Free(drift), Some(f_bar)) => {
                    let p_bar = &mut p_bar[drift_range.clone()];
                    if let Some(slot) = slot {
                        drift.vjp_kept_tile(slot, start / (TILE * d), n, drift_p, f_bar, y_bar, p_bar);
                    } else {
                        drift.vjp_tile(n, y, drift_p, f_bar, y_bar, p_bar);
                    }
                }
                (Drift::Potential(drift), Some(f_bar)) => {
                    drift.vjp_tile(n, y, drift_p, f_bar, y_bar, &mut p_bar[drift_range.clone()]);
                }
                _ => {}
            }
        }
    }

    fn check(&self, t: f64, y: &[T], p: &[T], like_y: &[usize]) -> Result<(), FieldError> {
        if !y.len().is_multiple_of(self.config.dim()) || like_y.iter().any(|&len| len != y.len()) {
            return Err(FieldError::Fatal { t, what: "a slice of states is not [n, d]" });
        }
        if p.len() != self.layout.len() {
            return Err(FieldError::Fatal { t, what: "the parameters are not those of this model" });
        }
        Ok(())
    }

    /// The values of the diffusion that belong to some whole rows of states.
    fn noise_tile(&self, rows: &Range<usize>) -> Range<usize> {
        let (d, values) = (self.config.dim(), self.noise.kind().values(self.config.dim()));
        rows.start / d * values..rows.end / d * values
    }

    fn check_noise(&self, t: f64, y: &[T], p: &[T], g: &[T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[])?;
        if g.len() != self.noise_tile(&(0..y.len())).len() {
            return Err(FieldError::Fatal { t, what: "a slice of the diffusion is not as its kind says" });
        }
        Ok(())
    }
}

fn length(what: &'static str, found: usize, expected: usize) -> Result<(), ModelError> {
    if found == expected { Ok(()) } else { Err(ModelError::Length { what, found, expected }) }
}

impl<T: Real> VectorField<T> for NeuralSde<T> {
    fn dim(&self) -> usize {
        self.config.dim()
    }

    fn n_params(&self) -> usize {
        self.layout.len()
    }

    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[dy.len()])?;
        self.forward(t, y, p, Some(dy), None, None);
        Ok(())
    }
}

impl<T: Real> Vjp<T> for NeuralSde<T> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[lambda.len(), y_bar.len()])?;
        self.check(t, y, p_bar, &[])?;
        y_bar.fill(T::ZERO);
        self.backward(t, y, p, Some(lambda), None, y_bar, p_bar, None);
        Ok(())
    }

    fn eval_kept(&mut self, slot: Slot, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[dy.len()])?;
        self.forward(t, y, p, Some(dy), None, Some(slot));
        Ok(())
    }

    fn kept_bytes(&self, n: usize) -> usize {
        self.drift.kept_bytes(n)
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
        self.check(t, y, p, &[lambda.len(), y_bar.len()])?;
        self.check(t, y, p_bar, &[])?;
        y_bar.fill(T::ZERO);
        self.backward(t, y, p, Some(lambda), None, y_bar, p_bar, Some(slot));
        Ok(())
    }

    fn defer(&mut self) {
        if let Drift::Free(drift) = &mut self.drift {
            drift.defer();
        }
        if let Noise::Net(noise) = &mut self.noise {
            noise.defer();
        }
    }

    fn settle(&mut self, p_bar: &mut [T]) {
        if let Drift::Free(drift) = &mut self.drift {
            drift.settle(&mut p_bar[self.drift_range.clone()]);
        }
        if let Noise::Net(noise) = &mut self.noise {
            noise.settle(&mut p_bar[self.noise_range.clone()]);
        }
    }
}

impl<T: Real> Diffusion<T> for NeuralSde<T> {
    fn noise_kind(&self) -> NoiseKind {
        self.noise.kind()
    }

    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.check_noise(t, y, p, g)?;
        self.forward(t, y, p, None, Some(g), None);
        Ok(())
    }

    fn drift_and_diffusion(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f: &mut [T],
        g: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[f.len()])?;
        self.check_noise(t, y, p, g)?;
        self.forward(t, y, p, Some(f), Some(g), None);
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for NeuralSde<T> {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[y_bar.len()])?;
        self.check_noise(t, y, p_bar, g_bar)?;
        self.backward(t, y, p, None, Some(g_bar), y_bar, p_bar, None);
        Ok(())
    }

    fn drift_and_diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f_bar: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[f_bar.len(), y_bar.len()])?;
        self.check_noise(t, y, p_bar, g_bar)?;
        y_bar.fill(T::ZERO);
        self.backward(t, y, p, Some(f_bar), Some(g_bar), y_bar, p_bar, None);
        Ok(())
    }
}

/// A model without a growth net grows at rate zero.
impl<T: Real> Growth<T> for NeuralSde<T> {
    fn growth(&mut self, t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[rate.len() * self.config.dim()])?;
        if let Some(growth) = &mut self.growth {
            return growth.growth(t, y, p, rate);
        }
        rate.fill(T::ZERO);
        Ok(())
    }
}

impl<T: Real> GrowthVjp<T> for NeuralSde<T> {
    fn growth_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rate_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[rate_bar.len() * self.config.dim(), y_bar.len()])?;
        self.growth.as_mut().map_or(Ok(()), |growth| growth.growth_vjp(t, y, p, rate_bar, y_bar, p_bar))
    }
}
