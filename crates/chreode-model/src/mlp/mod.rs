//! Multi-layer perceptrons as batch kernels: forward, and the VJP by recomputation.
//!
//! [`MlpShape`] says what the parameters are, [`Mlp`] evaluates them, [`TangentNet`] evaluates tangents with
//! their VJP, and the gradient of a scalar net. All work on tiles of [`TILE`] rows, so that scratch has one size and a row's bits depend on
//! neither the number of rows nor the row's place among them.
//! Not here: standardisation, units and positivity, which belong to the parts of the model (`drift`,
//! `diffusion`, `growth`).

mod net;
mod second_order;
mod shape;
mod tangent;

pub use net::Mlp;
pub use second_order::SquareMlp;
pub use shape::MlpShape;
pub(crate) use tangent::TangentNet;

/// Rows that are processed together: small enough for the second-level cache, large enough for the GEMM.
pub const TILE: usize = 64;
