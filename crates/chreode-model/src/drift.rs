//! The drift `f(x)` in its three forms.

use chreode_core::{ParamLayout, Real, Slot};

use crate::mlp::{Mlp, MlpShape, TangentNet};
use crate::production::Production;
use crate::standardise::{OF_TIME, Standardise, constants};
use crate::{DriftKind, ModelConfig};

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one a model, and it is never moved")]
pub(crate) enum Drift<T: Real> {
    Free(FreeDrift<T>),
    Potential(PotentialDrift<T>),
    Production(Production<T>),
}

impl<T: Real> Drift<T> {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        match config.drift.kind {
            DriftKind::Mlp => Self::Free(FreeDrift::new(config)),
            DriftKind::Potential => Self::Potential(PotentialDrift::new(config)),
            DriftKind::Production => Self::Production(Production::new(config)),
        }
    }

    /// Shows this time to the net, if it sees one.
    pub(crate) fn set_time(&mut self, t: f64) {
        match self {
            Self::Free(f) => f.standardise.set_time(t),
            Self::Potential(_) => {}
            Self::Production(f) => f.set_time(t),
        }
    }

    /// What the net sees of this time, if it sees it.
    pub(crate) fn of_time(&self, t: f64) -> Option<[T; OF_TIME]> {
        match self {
            Self::Free(f) => f.standardise.of_time(t),
            Self::Potential(_) => None,
            Self::Production(f) => f.of_time(t),
        }
    }

    /// Bytes that a slot takes for `n` trajectories; only a free drift keeps layers.
    pub(crate) fn kept_bytes(&self, n: usize) -> usize {
        if let Self::Free(f) = self { f.net.kept_bytes(n) } else { 0 }
    }

    /// Whether what was found for this slot is still here.
    pub(crate) fn holds(&self, slot: Slot) -> bool {
        if let Self::Free(f) = self { f.net.holds(slot) } else { false }
    }

    pub(crate) fn layout(&self) -> &ParamLayout {
        match self {
            Self::Free(f) => f.net.shape().layout(),
            Self::Potential(f) => f.net.shape().layout(),
            Self::Production(f) => f.layout(),
        }
    }
}

/// `f = unit ⊙ net(x̂)`, with `unit = scale / time_scale`.
#[derive(Debug, Clone)]
pub(crate) struct FreeDrift<T: Real> {
    net: Mlp<T>,
    standardise: Standardise<T>,
    unit: Vec<T>,
}

impl<T: Real> FreeDrift<T> {
    fn new(config: &ModelConfig) -> Self {
        let d = config.dim();
        let standardise = Standardise::new(&config.shift, &config.scale).with_times(config.times.as_deref());
        Self {
            net: Mlp::new(MlpShape::new(
                standardise.inputs(),
                &config.drift.hidden,
                d,
                config.drift.activation,
            )),
            standardise,
            unit: constants(config.scale.iter().map(|s| s / config.time_scale)),
        }
    }

    pub(crate) fn net_shape(&self) -> &MlpShape {
        self.net.shape()
    }

    fn forward_tile(&mut self, n: usize, y: &[T], p: &[T]) {
        self.standardise.apply(y, self.net.input(n));
        self.net.forward_tile(n, p);
    }

    pub(crate) fn drift_tile(&mut self, n: usize, y: &[T], p: &[T], f: &mut [T]) {
        self.forward_tile(n, y, p);
        scale_rows(&self.unit, self.net.output(n), f);
    }

    pub(crate) fn vjp_tile(
        &mut self,
        n: usize,
        y: &[T],
        p: &[T],
        f_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) {
        self.forward_tile(n, y, p);
        self.backward_tile(n, p, f_bar, y_bar, p_bar);
    }

    /// Exchanges the layers in hand and those that are kept of a tile.
    pub(crate) fn swap_kept(&mut self, slot: Slot, tile: usize) {
        self.net.swap_kept(slot, tile);
    }

    /// From here on pull-backs may keep back their part of `p_bar`, until [`settle`](Self::settle).
    pub(crate) fn defer(&mut self) {
        self.net.defer();
    }

    /// ADDS to `p_bar` what pull-backs kept back.
    pub(crate) fn settle(&mut self, p_bar: &mut [T]) {
        self.net.settle(p_bar);
    }

    /// As [`vjp_tile`](Self::vjp_tile), with the layers that are kept of the tile.
    pub(crate) fn vjp_kept_tile(
        &mut self,
        slot: Slot,
        tile: usize,
        n: usize,
        p: &[T],
        f_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) {
        self.swap_kept(slot, tile);
        self.backward_tile(n, p, f_bar, y_bar, p_bar);
        self.swap_kept(slot, tile);
    }

    /// As [`vjp_tile`](Self::vjp_tile), after the forward pass of the tile.
    fn backward_tile(&mut self, n: usize, p: &[T], f_bar: &[T], y_bar: &mut [T], p_bar: &mut [T]) {
        scale_rows(&self.unit, f_bar, self.net.output_and_bar(n).1);
        self.standardise.pull_back(self.net.backward_tile(n, p, p_bar), y_bar);
    }
}

/// `f = +∇ψ`, `ψ(x) = s²/time_scale · net((x - shift)/s)` with one `s`, the root mean square of `scale`.
#[derive(Debug, Clone)]
pub(crate) struct PotentialDrift<T: Real> {
    net: TangentNet<T>,
    standardise: Standardise<T>,
    /// `s / time_scale`, and `s² / time_scale`.
    unit: T,
    value_unit: T,
}

impl<T: Real> PotentialDrift<T> {
    fn new(config: &ModelConfig) -> Self {
        let d = config.dim();
        let s = (config.scale.iter().map(|s| s * s).sum::<f64>() / d as f64).sqrt();
        let shape = MlpShape::scalar_potential(d, &config.drift.hidden, config.drift.activation);
        Self {
            net: TangentNet::new(shape),
            standardise: Standardise::new(&config.shift, &vec![s; d]),
            unit: T::c(s / config.time_scale),
            value_unit: T::c(s * s / config.time_scale),
        }
    }

    pub(crate) fn net_shape(&self) -> &MlpShape {
        self.net.shape()
    }

    pub(crate) fn potential_tile(&mut self, n: usize, y: &[T], p: &[T], psi: &mut [T]) {
        self.standardise.apply(y, self.net.input(n));
        for (psi, &value) in psi.iter_mut().zip(self.net.value_tile(n, p)) {
            *psi = self.value_unit * value;
        }
    }

    pub(crate) fn drift_tile(&mut self, n: usize, y: &[T], p: &[T], f: &mut [T]) {
        self.standardise.apply(y, self.net.input(n));
        for (f, &gradient) in f.iter_mut().zip(self.net.gradient_tile(n, p)) {
            *f = self.unit * gradient;
        }
    }

    pub(crate) fn vjp_tile(
        &mut self,
        n: usize,
        y: &[T],
        p: &[T],
        f_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) {
        self.standardise.apply(y, self.net.input(n));
        for (tangent, &f_bar) in self.net.input_tangent(n).iter_mut().zip(f_bar) {
            *tangent = self.unit * f_bar;
        }
        self.standardise.pull_back(self.net.vjp_tile(n, p, p_bar), y_bar);
    }
}

/// `out = unit ⊙ x` in every row.
pub(crate) fn scale_rows<T: Real>(unit: &[T], x: &[T], out: &mut [T]) {
    let d = unit.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        for i in 0..d {
            out[i] = unit[i] * x[i];
        }
    }
}
