//! Neural models of cell dynamics, `dX = f(X) dt + g(X) dW` with a growth rate `γ(X)`.
//!
//! [`NeuralSde`] is built from a [`ModelConfig`] and implements the traits of `chreode-core`, so that any
//! solver and adjoint takes it. [`Mlp`] can be used alone, or as a field ([`MlpField`]). Models are kept with their configuration in
//! safetensors files by [`save`] and [`load`]. Derivatives are derived by hand, on batches of cells.
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

mod config;
mod diffusion;
mod drift;
mod error;
mod growth;
mod init;
mod mlp;
mod production;
mod sde;
mod standardise;
mod store;

pub use config::{DiffusionConfig, DriftConfig, DriftKind, GrowthConfig, ModelConfig};
pub use error::{ConfigError, ModelError, StoreError};
pub use growth::GrowthNet;
pub use mlp::{Mlp, MlpField, MlpShape, TILE};
pub use sde::NeuralSde;
pub use store::{load, save};
