//! Integrators of differential equations: stochastic ones, for ensembles of cells.
//!
//! # Where to start
//! * [`simulate`]: many trajectories of an SDE in parallel, saved at the times of a [`TimeGrid`], with or
//!   without growth ([`simulate_weighted`]).
//! * [`EulerMaruyama`]: one step of one tile, for those who keep their own loop.

mod error;
mod sde;

pub use error::SolveError;
pub use sde::{
    AfterStep, Ensemble, EnsembleOptions, EulerMaruyama, TILE, TimeGrid, simulate, simulate_weighted,
};
