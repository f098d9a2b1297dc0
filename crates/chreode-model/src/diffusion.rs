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
        let form = match &config.diffusion {
            DiffusionConfig::Langevin { kappa, floor, .. } => {
                return Self::Langevin(Langevin::new(config, kappa.as_deref(), *floor));
            }
            DiffusionConfig::Constant { .. } => NoiseForm::Constant,
            DiffusionConfig::Scalar { .. } => NoiseForm::Scalar,
            DiffusionConfig::Diagonal { .. } => NoiseForm::Diagonal,
            DiffusionConfig::LowRank { rank, .. } => NoiseForm::LowRank { rank: *rank },
            DiffusionConfig::General { .. } => NoiseForm::General { motions: config.dim() },
        };
        let layers = config.diffusion.net();
        Self::Net(NoiseNet::new(&NoiseConfig {
            shift: config.shift.clone(),
            scale: config.scale.clone(),
            time_scale: config.time_scale,
            form,
            net: layers.map_or_else(NetConfig::default, |(hidden, activation)| NetConfig {
                hidden: hidden.to_vec(),
                activation,
            }),
            initial_level: config.diffusion.initial_level(),
        }))
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
