//! The diffusion `g(x)`: diagonal, positive, in state per square root of time.

use chreode_core::{NoiseKind, ParamLayout, Real};
use chreode_linalg::Activation;

use crate::drift::scale_rows;
use crate::mlp::{Mlp, MlpShape, TILE};
use crate::production::Langevin;
use crate::standardise::{Standardise, constants};
use crate::{DiffusionConfig, ModelConfig};

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a model has one")]
pub(crate) enum Noise<T: Real> {
    Diagonal(DiagonalNoise<T>),
    Constant(ConstantNoise<T>),
    Langevin(Langevin<T>),
}

impl<T: Real> Noise<T> {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        match &config.diffusion {
            DiffusionConfig::Diagonal { hidden, activation, .. } => {
                Self::Diagonal(DiagonalNoise::new(config, hidden, *activation))
            }
            DiffusionConfig::Constant { .. } => {
                Self::Constant(ConstantNoise { unit: noise_unit(config), g: vec![T::ZERO; config.dim()] })
            }
            DiffusionConfig::Langevin { kappa, floor, .. } => {
                Self::Langevin(Langevin::new(config, kappa.as_deref(), *floor))
            }
        }
    }

    pub(crate) fn layout(&self, d: usize) -> ParamLayout {
        let mut layout = ParamLayout::new();
        match self {
            Self::Diagonal(noise) => return noise.net.shape().layout().clone(),
            Self::Constant(_) => layout.push("raw", &[d]),
            Self::Langevin(_) => layout.push("log_scale", &[d]),
        };
        layout
    }

    pub(crate) fn kind(&self) -> NoiseKind {
        match self {
            Self::Constant(_) => NoiseKind::Additive,
            Self::Diagonal(_) | Self::Langevin(_) => NoiseKind::Diagonal,
        }
    }
}

/// `scale / sqrt(time_scale)`.
fn noise_unit<T: Real>(config: &ModelConfig) -> Vec<T> {
    constants(config.scale.iter().map(|s| s / config.time_scale.sqrt()))
}

/// `g = unit ⊙ softplus(net(x̂))`.
#[derive(Debug, Clone)]
pub(crate) struct DiagonalNoise<T: Real> {
    net: Mlp<T>,
    standardise: Standardise<T>,
    unit: Vec<T>,
    /// `softplus(net)`, `[TILE, d]`.
    positive: Vec<T>,
}

impl<T: Real> DiagonalNoise<T> {
    fn new(config: &ModelConfig, hidden: &[usize], activation: Activation) -> Self {
        let d = config.dim();
        Self {
            net: Mlp::new(MlpShape::new(d, hidden, d, activation)),
            standardise: Standardise::new(&config.shift, &config.scale),
            unit: noise_unit(config),
            positive: vec![T::ZERO; TILE * d],
        }
    }

    pub(crate) fn net_shape(&self) -> &MlpShape {
        self.net.shape()
    }

    fn forward_tile(&mut self, n: usize, y: &[T], p: &[T]) {
        self.standardise.apply(y, self.net.input(n));
        self.net.forward_tile(n, p);
        Activation::Softplus.apply(self.net.output(n), &mut self.positive[..y.len()]);
    }

    pub(crate) fn diffusion_tile(&mut self, n: usize, y: &[T], p: &[T], g: &mut [T]) {
        self.forward_tile(n, y, p);
        scale_rows(&self.unit, &self.positive[..y.len()], g);
    }

    pub(crate) fn vjp_tile(
        &mut self,
        n: usize,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) {
        self.forward_tile(n, y, p);
        let (out, out_bar) = self.net.output_and_bar(n);
        scale_rows(&self.unit, g_bar, out_bar);
        Activation::Softplus.backward(out, &self.positive[..y.len()], out_bar);
        self.standardise.pull_back(self.net.backward_tile(n, p, p_bar), y_bar);
    }
}

/// `g = unit ⊙ softplus(raw)`, the same in every row.
#[derive(Debug, Clone)]
pub(crate) struct ConstantNoise<T> {
    unit: Vec<T>,
    g: Vec<T>,
}

impl<T: Real> ConstantNoise<T> {
    pub(crate) fn diffusion_tile(&mut self, p: &[T], g: &mut [T]) {
        Activation::Softplus.apply(p, &mut self.g);
        g.chunks_exact_mut(self.unit.len()).for_each(|row| scale_rows(&self.unit, &self.g, row));
    }

    /// Adds to the adjoint of `raw`; the state has no part.
    pub(crate) fn vjp_tile(&mut self, p: &[T], g_bar: &[T], p_bar: &mut [T]) {
        let d = self.unit.len();
        for i in 0..d {
            let slope = T::ONE / (T::ONE + (-p[i]).exp()); // the derivative of softplus
            let column: T = g_bar.chunks_exact(d).map(|row| row[i]).sum();
            p_bar[i] += column * self.unit[i] * slope;
        }
    }
}
