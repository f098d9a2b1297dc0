//! Radau IIA: fully implicit Runge-Kutta methods for stiff problems, stiffly accurate and L-stable.
//!
//! Start with `radau5`. Not here: Jacobians and linear systems (`newton`), the time loop (`solve`).

pub(crate) mod radau5;
