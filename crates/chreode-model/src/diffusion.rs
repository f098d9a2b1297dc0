//! The noise of the cell model: a [`NoiseNet`], or the Langevin noise of a production drift.

use chreode_core::{NoiseKind, ParamLayout, Real};

use crate::noise::{NoiseConfig, NoiseForm, NoiseNet};
use crate::production::Langevin;
use crate::{DiffusionConfig, ModelConfig, NetConfig};

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a model has one")]
pub(crate) enum Noise<T: Real> {
    Net(NoiseNet<T>),
    Langevin(Langevin<T>),
}

impl<T: Real> Noise<T> {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let net = |form, net, initial_level: f64| {
            Self::Net(NoiseNet::new(&NoiseConfig {
                shift: config.shift.clone(),
                scale: config.scale.clone(),
                time_scale: config.time_scale,
                form,
                net,
                initial_level,
            }))
        };
        match &config.diffusion {
            DiffusionConfig::Diagonal { hidden, activation, initial_level } => {
                let layers = NetConfig { hidden: hidden.clone(), activation: *activation };
                net(NoiseForm::Diagonal, layers, *initial_level)
            }
            DiffusionConfig::Constant { initial_level } => {
                net(NoiseForm::Constant, NetConfig::default(), *initial_level)
            }
            DiffusionConfig::Langevin { kappa, floor, .. } => {
                Self::Langevin(Langevin::new(config, kappa.as_deref(), *floor))
            }
        }
    }

    pub(crate) fn layout(&self, d: usize) -> ParamLayout {
        match self {
            Self::Net(noise) => noise.layout().clone(),
            Self::Langevin(_) => {
                let mut layout = ParamLayout::new();
                layout.push("log_scale", &[d]);
                layout
            }
        }
    }

    pub(crate) fn kind(&self) -> NoiseKind {
        match self {
            Self::Net(noise) => noise.kind(),
            Self::Langevin(_) => NoiseKind::Diagonal,
        }
    }
}
