//! Radau IIA methods: fully implicit, collocation at Radau points.
//!
//! `coefficients` holds the numbers, `step` takes the steps, `order` chooses how many stages they have. Not here: Jacobians and
//! linear systems (`newton`).

pub(crate) mod coefficients;
mod order;
pub(crate) mod step;
