//! Losses between simulated and observed cells: values, and gradients to states and weights.
//!
//! A loss compares two weighted clouds of points: the energy distance ([`EnergyDistance`]), the debiased Sinkhorn divergence
//! ([`SinkhornDivergence`]), the maximum mean discrepancy ([`MeanDiscrepancy`]) and the sliced Wasserstein distance
//! ([`SlicedWasserstein`]). [`exact_transport`] is a reference for few points. Series in which every value has its own
//! observation are compared by [`squared_error`].
//! Start with `energy.rs`, then `sinkhorn.rs` and `transport/`, one transport problem.
//! Not here: which clouds are compared when (`trainer`), scaling of coordinates (the caller's).

mod cloud;
mod config;
mod energy;
mod error;
mod exact;
mod mmd;
mod origins;
mod sinkhorn;
mod sliced;
mod squared_error;
mod transport;

pub use cloud::{Cloud, CloudBar, effective_sample_size, normalise_log_weights, normalise_log_weights_vjp};
pub use config::{CloudLoss, LossConfig, LossReport};
pub use energy::{EnergyDistance, Statistic};
pub use error::LossError;
pub use exact::{ExactTransport, exact_transport};
pub use mmd::{MeanDiscrepancy, MmdConfig};
pub use sinkhorn::{Cost, Potentials, SinkhornConfig, SinkhornDivergence, SinkhornReport};
pub use sliced::{SlicedConfig, SlicedWasserstein};
pub use squared_error::squared_error;
