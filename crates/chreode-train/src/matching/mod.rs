//! Training without simulation: bridges between coupled cells, on which drift, noise and growth are regressed.
//!
//! Neighbouring times are coupled once ([`crate::Coupling`]); a pair `(x0, x1)` is joined by a Brownian bridge `x_s`, and
//! the drift at `x_s` is regressed on `(x1 - x_s) / (t1 - s)`, whose mean given `x_s` is the drift that carries the one cloud
//! into the other [Shi, De Bortoli, Campbell & Doucet 2023, `NeurIPS`; Tong et al. 2024, AISTATS]. The noise of a bridge is, coordinate by
//! coordinate, the spread of the cells to which its start is coupled, at most that of the blur; or that of the blur, and the mean of the
//! drifts is then known for every point of a bridge ([`crate::Extension`]). Start with `bridges.rs`
//! (which pairs), then `regression.rs` (one update), then
//! `descendants.rs` (updates by simulation, against the same pairs); `between.rs` judges by the times between others, without training, and
//! `growth.rs` decides by it whether cells grow. Not here: the loop, hold-out and checkpoints (`trainer`).

mod between;
mod bridges;
mod config;
mod descendants;
mod growth;
mod regression;

pub use between::Between;
pub(crate) use bridges::Bridges;
pub use config::{BridgeNoise, MatchingConfig};
pub(crate) use descendants::Descendants;
pub use growth::{GrowthChoice, choose_growth};
pub(crate) use regression::Regression;
