//! Gradients of solutions with respect to their start state and parameters.
//!
//! All are discrete adjoints: the exact gradient of the computed solution, step by step in reverse, with jumps
//! of the adjoint state at observation times. [`OdeAdjoint`] goes back through explicit Runge-Kutta runs, fixed
//! or adaptive; [`SdeAdjoint`] through Euler-Maruyama paths, drawing their noise again.

mod error;
mod ode;
mod sde;

pub use error::AdjointError;
pub use ode::OdeAdjoint;
pub use sde::SdeAdjoint;
