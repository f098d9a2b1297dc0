//! Diagonally implicit Runge-Kutta methods with an explicit first stage: one real system, solved for one stage after the other.
//!
//! Start with `tableau`; `step` makes a step of any of them. Not here: the Jacobian and its factorisations (`newton`).

pub(crate) mod kencarp4;
pub(crate) mod step;
pub(crate) mod tableau;
