//! Stoichiometric hybrids `dx/dt = S (r_known(x; k) + r_θ(x))`: reactions whose rates are laws, nets, or both.
//!
//! Read `config.rs` (what a network is), `laws.rs` (known rates with their pull-backs; [`Rates`] is how a caller brings its own),
//! `field.rs` (the field and its chemical Langevin noise; its traits in `field/traits.rs`), `reduced.rs` (coordinates without dependent species).
//! Not here: models read from SBML (`chreode-kinetics`).

mod config;
mod field;
mod laws;
mod reduced;

pub use config::{ChemicalNoise, Factor, HybridConfig, NetConfig, RateLaw, RatePart, ReactionConfig};
pub use field::Hybrid;
pub use laws::{RateLaws, Rates};
pub use reduced::Reduced;
