//! Radau IIA methods: fully implicit, collocation at Radau points.
//!
//! `coefficients` holds the numbers, `radau5` takes the steps. Not here: Jacobians and linear systems (`newton`).

pub(crate) mod coefficients;
pub(crate) mod radau5;
