//! Stochastic differential equations `dX = f(t, X) dt + g(t, X) dW` on fixed grids of steps.
//!
//! Start with `ensemble` (the parallel run); `euler_maruyama` is the scheme, `time_grid` its steps.
//! Not here: the Brownian increments (`chreode_core::BrownianIncrements`), gradients (`chreode-adjoint`).

mod ensemble;
mod euler_maruyama;
mod time_grid;

pub use ensemble::{AfterStep, Ensemble, EnsembleOptions, TILE, simulate, simulate_weighted};
pub use euler_maruyama::EulerMaruyama;
pub use time_grid::TimeGrid;
