//! Stochastic differential equations `dX = f(t, X) dt + g(t, X) dW` on fixed grids of steps.
//!
//! Start with `ensemble` (the parallel run); `euler_maruyama` is the scheme, `time_grid` its steps.
//! Not here: the Brownian increments (`chreode_core::BrownianIncrements`), gradients (`chreode-adjoint`).

pub(crate) mod ensemble;
pub(crate) mod euler_maruyama;
pub(crate) mod time_grid;
