//! Kinetic models of which nets are a part: rates that a net replaces or corrects, fitted with the model's own parameters.
//!
//! A net becomes formulas of the model (`formula.rs`), and its weights become rows of the parameter table, with priors that keep them
//! small. So simulation, exact gradients, fits, profiles and reports are those of any problem, under any condition, with events and
//! rules. Rates are those of [`chreode_model::Hybrid`]: they vanish with what they consume, and the stoichiometry stays the file's,
//! so that what it conserves stays conserved whatever the weights.
//!
//! Read `request.rs` (what is asked for), `resolve.rs` (scales and units from a problem), `config.rs` (what is kept in a file),
//! `formula.rs`, `along.rs` (what a fit conserves, and where its nets were asked). Not here: the fit (`fit`).

mod along;
mod config;
mod error;
mod formula;
mod report;
mod request;
mod resolve;

pub use along::{Along, AlongNet, Drift, NetRun};
pub use config::{Gate, HybridConfig, NetInput, RateNet, Target};
pub use error::HybridError;
pub use report::hybrid_section;
pub use request::{HybridRequest, NetOptions, Part, RateRequest};
