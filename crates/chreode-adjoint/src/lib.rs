//! Gradients of solutions with respect to their start state and parameters.
//!
//! All are discrete adjoints: the exact gradient of the computed solution, step by step in reverse.

mod error;

pub use error::AdjointError;
