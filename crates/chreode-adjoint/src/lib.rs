//! Gradients of solutions with respect to their start state and parameters.
//!
//! All are discrete adjoints: the exact gradient of the computed solution, step by step in reverse.
//! [`OdeAdjoint`] goes back through explicit Runge-Kutta runs, fixed or adaptive, with jumps of the adjoint state
//! at observation times.

mod error;
mod ode;

pub use error::AdjointError;
pub use ode::OdeAdjoint;
