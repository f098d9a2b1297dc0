//! Drift in production form, `f_i = v_i sigmoid(net_i(x̂)) - δ_i x_i`, and the Langevin noise that follows from it.
//!
//! `v_i = scale_i/time_scale · exp(log_production_i)` and `δ_i = exp(log_decay_i)/time_scale`, so that both stay
//! positive and a step of an optimiser changes them by a factor. The noise is the variance of a birth-death
//! process in a volume, `s (P + δx)` [Gil00], with production faded out below `κ`.

use std::ops::Range;

use chreode_core::{ParamLayout, Real};
use chreode_linalg::Activation;

use crate::ModelConfig;
use crate::mlp::{Mlp, MlpShape, TILE};
use crate::standardise::{OF_TIME, Standardise, constants};

#[derive(Debug, Clone)]
pub(crate) struct Production<T: Real> {
    net: Mlp<T>,
    standardise: Standardise<T>,
    layout: ParamLayout,
    net_range: Range<usize>,
    v_range: Range<usize>,
    decay_range: Range<usize>,
    /// `scale / time_scale` and `1 / time_scale`.
    v_unit: Vec<T>,
    decay_unit: T,
    /// Of the tile in hand: `v`, `δ`, `[d]`; `σ`, `P = v σ` and the adjoint of `P`, `[TILE, d]`; adjoint of `δ`.
    v: Vec<T>,
    decay: Vec<T>,
    sigmoid: Vec<T>,
    rate: Vec<T>,
    rate_bar: Vec<T>,
    decay_bar: Vec<T>,
}

impl<T: Real> Production<T> {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let d = config.dim();
        let standardise = Standardise::new(&config.shift, &config.scale).with_times(config.times.as_deref());
        let inputs = standardise.inputs();
        let net = Mlp::new(MlpShape::new(inputs, &config.drift.hidden, d, config.drift.activation));
        let mut layout = ParamLayout::new();
        let net_range = layout.append("net", net.shape().layout());
        let v_range = layout.push("log_production", &[d]);
        let decay_range = layout.push("log_decay", &[d]);
        Self {
            net,
            standardise,
            layout,
            net_range,
            v_range,
            decay_range,
            v_unit: constants(config.scale.iter().map(|s| s / config.time_scale)),
            decay_unit: T::c(1.0 / config.time_scale),
            v: vec![T::ZERO; d],
            decay: vec![T::ZERO; d],
            sigmoid: vec![T::ZERO; TILE * d],
            rate: vec![T::ZERO; TILE * d],
            rate_bar: vec![T::ZERO; TILE * d],
            decay_bar: vec![T::ZERO; d],
        }
    }

    pub(crate) fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// Shows this time to the net, if it sees one.
    pub(crate) fn set_time(&mut self, t: f64) {
        self.standardise.set_time(t);
    }

    /// What the net sees of this time, if it sees it.
    pub(crate) fn of_time(&self, t: f64) -> Option<[T; OF_TIME]> {
        self.standardise.of_time(t)
    }

    pub(crate) fn net_shape(&self) -> (&MlpShape, Range<usize>) {
        (self.net.shape(), self.net_range.clone())
    }

    /// Sets `δ`, `[d]`.
    pub(crate) fn decay_rates(&self, p: &[T], decay: &mut [T]) {
        for (decay, &log) in decay.iter_mut().zip(&p[self.decay_range.clone()]) {
            *decay = self.decay_unit * log.exp();
        }
    }

    /// Production and decay of a tile of `n` rows.
    pub(crate) fn forward_tile(&mut self, n: usize, y: &[T], p: &[T]) {
        let d = self.v.len();
        self.standardise.apply(y, self.net.input(n));
        self.net.forward_tile(n, &p[self.net_range.clone()]);
        Activation::Sigmoid.apply(self.net.output(n), &mut self.sigmoid[..n * d]);
        for ((v, &unit), &log) in self.v.iter_mut().zip(&self.v_unit).zip(&p[self.v_range.clone()]) {
            *v = unit * log.exp();
        }
        for (decay, &log) in self.decay.iter_mut().zip(&p[self.decay_range.clone()]) {
            *decay = self.decay_unit * log.exp();
        }
        let sigmoid = self.sigmoid[..n * d].chunks_exact(d);
        for (production, sigmoid) in self.rate[..n * d].chunks_exact_mut(d).zip(sigmoid) {
            for i in 0..d {
                production[i] = self.v[i] * sigmoid[i];
            }
        }
    }

    /// Sets the drift, after [`Self::forward_tile`].
    pub(crate) fn drift(&self, y: &[T], f: &mut [T]) {
        let d = self.v.len();
        let rows = f.chunks_exact_mut(d).zip(y.chunks_exact(d)).zip(self.rate.chunks_exact(d));
        for ((f, y), production) in rows {
            for i in 0..d {
                f[i] = production[i] - self.decay[i] * y[i];
            }
        }
    }

    /// Clears the adjoints of production and decay.
    pub(crate) fn clear_bars(&mut self, n: usize) {
        let len = n * self.v.len();
        self.rate_bar[..len].fill(T::ZERO);
        self.decay_bar.fill(T::ZERO);
    }

    /// Adds to the adjoints what comes from the drift's.
    pub(crate) fn pull_drift(&mut self, y: &[T], f_bar: &[T], y_bar: &mut [T]) {
        let d = self.v.len();
        let rows = y.chunks_exact(d).zip(f_bar.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d));
        for (((y, f_bar), y_bar), production_bar) in rows.zip(self.rate_bar.chunks_exact_mut(d)) {
            for i in 0..d {
                production_bar[i] += f_bar[i];
                self.decay_bar[i] += -f_bar[i] * y[i];
                y_bar[i] += -f_bar[i] * self.decay[i];
            }
        }
    }

    /// From the adjoints of production and decay: adds those of states and parameters.
    pub(crate) fn backward_tile(&mut self, n: usize, p: &[T], y_bar: &mut [T], p_bar: &mut [T]) {
        let d = self.v.len();
        let len = n * d;
        let log_v_bar = &mut p_bar[self.v_range.clone()];
        let out_bar = self.net.output_and_bar(n).1;
        let rows = self.rate_bar[..len].chunks_exact(d).zip(self.rate[..len].chunks_exact(d));
        let rows = rows.zip(self.sigmoid[..len].chunks_exact(d)).zip(out_bar.chunks_exact_mut(d));
        for (((bar, production), sigmoid), out_bar) in rows {
            for i in 0..d {
                let scaled = bar[i] * production[i]; // P̄ P: the adjoint of log v, and of the net through 1 - σ
                log_v_bar[i] += scaled;
                out_bar[i] = scaled * (T::ONE - sigmoid[i]);
            }
        }
        let log_decay_bar = &mut p_bar[self.decay_range.clone()];
        for ((log_bar, &bar), &decay) in log_decay_bar.iter_mut().zip(&self.decay_bar).zip(&self.decay) {
            *log_bar += bar * decay;
        }
        let range = self.net_range.clone();
        let x_bar = self.net.backward_tile(n, &p[range.clone()], &mut p_bar[range]);
        self.standardise.pull_back(x_bar, y_bar);
    }
}

/// `g_i² = s_i (P_i x_i/(x_i + κ_i) + δ_i x_i) + ε_i²`, with `s_i = scale_i exp(log_scale_i)` and `x` cut at zero.
#[derive(Debug, Clone)]
pub(crate) struct Langevin<T> {
    unit: Vec<T>,
    kappa: Vec<T>,
    floor_squared: Vec<T>,
    /// `s`, `[d]`, of the tile in hand.
    s: Vec<T>,
}

impl<T: Real> Langevin<T> {
    pub(crate) fn new(config: &ModelConfig, kappa: Option<&[f64]>, floor: f64) -> Self {
        let floor_squared = |s: f64| (floor * s).powi(2) / config.time_scale;
        Self {
            unit: constants(config.scale.iter().copied()),
            kappa: kappa.map_or_else(
                || constants(config.scale.iter().map(|s| 0.1 * s)),
                |k| constants(k.iter().copied()),
            ),
            floor_squared: constants(config.scale.iter().map(|&s| floor_squared(s))),
            s: vec![T::ZERO; config.dim()],
        }
    }

    fn prepare(&mut self, log_scale: &[T]) {
        for ((s, &unit), &log) in self.s.iter_mut().zip(&self.unit).zip(log_scale) {
            *s = unit * log.exp();
        }
    }

    /// Sets the diffusion, after `drift.forward_tile`; `log_scale` is `[d]`.
    pub(crate) fn diffusion(&mut self, drift: &Production<T>, y: &[T], log_scale: &[T], g: &mut [T]) {
        self.prepare(log_scale);
        let d = self.s.len();
        let rows = g.chunks_exact_mut(d).zip(y.chunks_exact(d)).zip(drift.rate.chunks_exact(d));
        for ((g, y), production) in rows {
            for i in 0..d {
                let x = y[i].max(T::ZERO);
                let rate = production[i] * x / (x + self.kappa[i]) + drift.decay[i] * x;
                g[i] = (self.s[i] * rate + self.floor_squared[i]).sqrt();
            }
        }
    }

    /// Adds to the adjoints what comes from the diffusion's, after `drift.forward_tile`.
    pub(crate) fn pull_diffusion(
        &mut self,
        drift: &mut Production<T>,
        y: &[T],
        log_scale: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        log_scale_bar: &mut [T],
    ) {
        self.prepare(log_scale);
        let d = self.s.len();
        let rows = y.chunks_exact(d).zip(g_bar.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d));
        let rows = rows.zip(drift.rate.chunks_exact(d)).zip(drift.rate_bar.chunks_exact_mut(d));
        for ((((y, g_bar), y_bar), production), production_bar) in rows {
            for i in 0..d {
                let x = y[i].max(T::ZERO);
                let below = T::ONE / (x + self.kappa[i]);
                let fade = x * below;
                let variance = self.s[i] * (production[i] * fade + drift.decay[i] * x);
                let g = (variance + self.floor_squared[i]).sqrt();
                let variance_bar = g_bar[i] / (g + g);
                let rate_bar = variance_bar * self.s[i];
                production_bar[i] += rate_bar * fade;
                drift.decay_bar[i] += rate_bar * x;
                log_scale_bar[i] += variance_bar * variance;
                let inside = if y[i] > T::ZERO { T::ONE } else { T::ZERO };
                y_bar[i] +=
                    inside * rate_bar * (production[i] * self.kappa[i] * below * below + drift.decay[i]);
            }
        }
    }
}
