//! Safe operations: each checks lengths and sizes, and then launches kernels.
//!
//! `net` and `tile`: what the nets' kernels are told; `mlp`, `ensemble`, `network`: nets, paths, ordinary equations, `generated` of any model; `divergence`: clouds compared by transport, as a whole; `clouds`, `optimiser`, `noise`: one call each.

mod clouds;
mod divergence;
mod ensemble;
mod generated;
mod gradient;
mod mlp;
mod net;
mod network;
mod noise;
mod optimiser;
mod tile;

pub use clouds::{
    Cells, TransportCost, energy_rows, nearest, softmin_rows, transport_rows, weighted_potential,
};
pub use divergence::{Divergence, DivergenceOptions, DivergenceReport};
pub use ensemble::{Ensemble, EnsembleShape, GrowthShape, Steps};
pub use generated::{GeneratedEnsemble, GeneratedMethod, GeneratedPaths, GeneratedSource};
pub use mlp::Mlp;
pub use net::{Activation, NetShape, Precision};
pub use network::{AdaptiveOptions, Network, Term, TrajectoryEnd};
pub use noise::{brownian_increments, philox_words};
pub use optimiser::{Adam, RmsProp, adam, rmsprop};
