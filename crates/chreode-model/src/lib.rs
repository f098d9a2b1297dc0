//! Neural models of cell dynamics, `dX = f(X) dt + g(X) dW` with a growth rate `γ(X)`.
//!
//! [`NeuralSde`] is built from a [`ModelConfig`] and implements the traits of `chreode-core`, so that any
//! solver and adjoint takes it. Beside it stand
//!
//! * [`Hybrid`]: reaction networks whose rates are laws, nets, or both; [`Reduced`] coordinates of them.
//! * [`MlpField`]: a perceptron of state, time and covariates; [`Mlp`] alone; [`SquareMlp`], with derivatives of
//!   second order; [`mass_action_net`], a polynomial as a perceptron.
//! * [`NoisyField`]: any field with a diffusion net; [`InCalculus`]: the same process in Itô's or Stratonovich's calculus.
//! * [`BirthDeathNet`]: proliferation and death; [`FieldEnsemble`]: several models as one; [`ResidualNet`]: Euler's steps as a network.
//!
//! Models are kept with their configuration in safetensors files by [`save`], [`load`] and [`load_as`]. Derivatives are derived by
//! hand, on batches of cells.
//!
//! ```
//! use chreode_core::{Diffusion, VectorField};
//! use chreode_model::{DriftKind, ModelConfig, NeuralSde};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two coordinates with the mean and the standard deviation of the data.
//! let mut config = ModelConfig::new(vec![0.4, 1.0], vec![0.3, 0.5]);
//! config.drift.kind = DriftKind::Production; // f = v sigmoid(net) - δ x
//! config.drift.hidden = vec![32, 32];
//! let mut sde = NeuralSde::<f32>::new(config)?;
//! let p = sde.init(7);
//!
//! let cells = [0.4, 1.0, 0.0, 0.2, 0.9, 0.1]; // three cells
//! let (mut f, mut g) = ([0.0; 6], [0.0; 6]);
//! sde.drift_and_diffusion(0.0, &cells, &p, &mut f, &mut g)?;
//! assert!(f[2] >= 0.0, "nothing decays below zero");
//! assert!(g.iter().all(|&g| g > 0.0));
//! # Ok(())
//! # }
//! ```
//! Not here: solving (`chreode-solve`), gradients through solutions (`chreode-adjoint`), fitting
//! (`chreode-train`).

mod birth_death;
mod calculus;
mod config;
mod diffusion;
mod drift;
mod ensemble;
mod error;
mod field;
mod growth;
mod hybrid;
mod init;
mod mlp;
mod noise;
mod noisy;
mod polynomial;
mod production;
mod residual;
mod sde;
mod standardise;
mod store;

pub use birth_death::{BirthDeathConfig, BirthDeathNet};
pub use calculus::InCalculus;
pub use config::{DiffusionConfig, DriftConfig, DriftKind, GrowthConfig, ModelConfig};
pub use ensemble::FieldEnsemble;
pub use error::{ConfigError, ModelError, StoreError};
pub use field::{MlpField, MlpFieldConfig};
pub use growth::GrowthNet;
pub use hybrid::{
    ChemicalNoise, Factor, Hybrid, HybridConfig, NetConfig, RateLaw, RateLaws, RatePart, Rates,
    ReactionConfig, Reduced,
};
pub use mlp::{Mlp, MlpShape, SquareMlp, TILE};
pub use noise::{NoiseConfig, NoiseForm};
pub use noisy::{NoisyConfig, NoisyField};
pub use polynomial::mass_action_net;
pub use residual::{ResidualConfig, ResidualNet};
pub use sde::NeuralSde;
pub use store::{Stored, load, load_as, save};
