//! What a vector field is like: spectrum of its Jacobian and stiffness, divergence, Lyapunov exponents, local sensitivity,
//! fixed points. Everything is done for many states at once, each by itself: its bits depend on its own numbers alone, not on
//! what lies beside it or on the number of threads.
//!
//! Reading path: `spectrum.rs` and `stiffness.rs` (at states), `variational.rs` (a trajectory with its tangents), `lyapunov.rs`,
//! `sensitivity.rs`, `fixed_points.rs`; `dense.rs` is the Jacobian that the first of them and the last read.

mod dense;
pub(crate) mod error;
pub(crate) mod fixed_points;
pub(crate) mod jacobian;
pub(crate) mod kind;
pub(crate) mod lyapunov;
mod rows;
pub(crate) mod sensitivity;
pub(crate) mod spectrum;
pub(crate) mod stiffness;
mod variational;
