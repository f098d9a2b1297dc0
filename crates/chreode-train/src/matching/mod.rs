//! Simulation-free training: bridges between coupled cells of neighbouring times.
//!
//! Cells of two neighbouring times are coupled by unbalanced entropic transport (`coupling`). Between the two cells of a pair a Brownian
//! bridge is drawn, and at a random place on it drift and diffusion are asked for the rest of the way: the likelihood of what is left
//! as one Gaussian step. So the drift is the mean of what is left to go over the time left (bridge matching), and the diffusion its
//! spread (variance matching). The growth rate is that by which the plan sends more from a cell than its share.
//! Not here: losses that compare simulated clouds (`loss`), the loop (`trainer`).

mod bridges;
mod config;
mod coupling;

pub(crate) use bridges::Bridges;
pub use bridges::CouplingReport;
pub use config::MatchingConfig;
