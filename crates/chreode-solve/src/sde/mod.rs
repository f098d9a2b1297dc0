//! Stochastic differential equations `dX = f(t, X) dt + g(t, X) dW`, on fixed grids and with adaptive steps.
//!
//! Start with `ensemble` (the parallel run on a fixed grid, `time_grid`); `scheme` says what a method is and lists
//! them, each in a file of its own. `adaptive` chooses the steps of each trajectory along its `brownian_tree`; in `branching` they
//! divide and die.
//! Not here: the increments of fixed grids (`chreode_core::BrownianIncrements`), gradients (`chreode-adjoint`).

pub(crate) mod adaptive;
pub(crate) mod branching;
pub(crate) mod brownian_tree;
pub(crate) mod ensemble;
pub(crate) mod euler_maruyama;
pub(crate) mod milstein;
pub(crate) mod scheme;
pub(crate) mod sra1;
pub(crate) mod sriw1;
pub(crate) mod stochastic_heun;
pub(crate) mod time_grid;
