//! Explicit Runge-Kutta methods.
//!
//! Start with `tableau` (the data of a method) and `tableaus/tsit5` (one method); `step` takes the steps,
//! `dense_output` the states between them, `combine` the weighted sums that both are made of; `tiny` takes those of a few values.
//! Not here: step size control and the time loop (`solve`); reverse mode (`chreode-adjoint`).

pub(crate) mod combine;
mod dense_output;
pub(crate) mod step;
pub(crate) mod tableau;
pub(crate) mod tableaus;
mod tiny;
