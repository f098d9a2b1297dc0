//! Backward differentiation formulas: multistep methods for stiff problems, one Newton system of the state's size a step.
//!
//! `differences` holds the history and its formulas, `step` takes the steps and chooses orders.
//! Not here: Jacobians and linear systems (`newton`), the time loop (`solve`).

pub(crate) mod differences;
pub(crate) mod step;
