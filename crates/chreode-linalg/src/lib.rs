//! The linear algebra of chreode, usable without the rest of it.
//!
//! * **Dense layers** on row-major batches: [`layer_forward`], [`layer_backward_input`],
//!   [`layer_backward_params`], and the product below them, [`gemm`]. A row's bits do not depend on its
//!   neighbours, so a batch may be cut and shared between threads at will.
//! * **Activations**: [`Activation`] with first and second derivatives; vectorised elementary functions
//!   ([`vexp`], [`vtanh`] ..) with stated error bounds.
//! * **Rows**: [`log_sum_exp`], [`softmin_row`] (optimal transport), [`pairwise_sq_dists`].
//!
//! Instruction sets (AVX-512, AVX2 with FMA, baseline) are chosen at run time. Results are the same on
//! every run on one machine; between instruction sets they differ by rounding.

mod activation;
mod batch;
mod simd;

pub use activation::{Activation, UnknownActivation};
pub use batch::gemm::{GemmScratch, Transpose, gemm};
pub use batch::layer::{LayerShape, layer_backward_input, layer_backward_params, layer_forward};
pub use batch::pairwise::pairwise_sq_dists;
pub use simd::rows::{log_sum_exp, softmin_row};
pub use simd::slices::{vexp, vln, vsigmoid, vsilu, vsoftplus, vtanh};
