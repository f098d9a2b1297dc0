//! The linear algebra of chreode, usable without the rest of it.
//!
//! * **Dense layers** on row-major batches: [`layer_forward`], [`layer_backward_input`],
//!   [`layer_backward_params`], and the product below them, [`gemm`]. A row's bits do not depend on its
//!   neighbours, so a batch may be cut and shared between threads at will. [`Bf16Layer`] multiplies rounded numbers, where the
//!   processor can.
//! * **Activations**: [`Activation`] with first and second derivatives; vectorised elementary functions
//!   ([`vexp`], [`vtanh`] ..) with stated error bounds.
//! * **Rows**: [`log_sum_exp`], [`softmin_row`] (optimal transport), [`pairwise_sq_dists`], [`weighted_sum`] (Runge-Kutta stages).
//!
//! * **Decompositions** in `f64`: [`Lu`], [`Cholesky`], [`qr()`], [`symmetric_eigen`], [`eigen`], [`eigenvalues`],
//!   [`svd()`], [`spectral_norm`].
//! * **Large systems**: [`SparseLu`] (analysed once, factored often), [`BandLu`], the best of both and of [`Lu`] ([`StructuredLu`]), [`Gmres`] for products alone, [`Coloring`]
//!   of a Jacobian's columns; [`inverse_norm_1`] for condition numbers of whatever was factored.
//! * **Many small systems**: [`BatchLu`], one in each SIMD lane. **Exact**: [`left_null_space`] of integer matrices.
//! * **Low rank**: [`truncated_svd`] of a [`LinearOperator`] (dense, sparse, centred and scaled), for PCA.
//!
//! * **Vectors of trajectories**: [`Lanes`] and [`Tuned`] are the number types of a model inside a [`Kernel`], which
//!   [`dispatch()`] runs on the best instruction set.
//!
//! Instruction sets (AVX-512, AVX2 with FMA, baseline) are chosen at run time. Results are the same on
//! every run on one machine; between instruction sets they differ by rounding.

mod activation;
mod batch;
mod condition;
mod dense;
mod error;
mod krylov;
mod lowrank;
mod nullspace;
mod scalar;
mod simd;
mod sparse;

pub use activation::{Activation, UnknownActivation};
pub use batch::bf16::{Bf16Layer, Bf16Unavailable};
pub use batch::gemm::{GemmScratch, Transpose, gemm};
pub use batch::layer::{LayerShape, layer_backward_input, layer_backward_params, layer_forward};
pub use batch::pairwise::pairwise_sq_dists;
pub use batch::small_lu::{BatchLu, SingularLane};
pub use condition::{inverse_norm_1, norm_1_dense, norm_1_sparse};
pub use dense::cholesky::{Cholesky, solve_spd};
pub use dense::eigen::{Eigen, SymmetricEigen, eigen, eigenvalues, symmetric_eigen};
pub use dense::lu::Lu;
pub use dense::qr::{Qr, qr};
pub use dense::svd::{Svd, singular_values, spectral_norm, svd};
pub use error::LinalgError;
pub use krylov::{Gmres, GmresOutcome};
pub use lowrank::operator::{CsrOperator, DenseOperator, LinearOperator, Standardised};
pub use lowrank::truncated::{TruncatedSvd, truncated_svd};
pub use nullspace::left_null_space;
pub use scalar::{Complex, Scalar};
pub use simd::dispatch::{Kernel, dispatch};
pub use simd::gibbs::{add_rows, gibbs_row, indices_below};
pub use simd::lanes::{LaneMask, Lanes, Tuned};
pub use simd::rows::{log_sum_exp, softmin_row};
pub use simd::slices::{vexp, vln, vsigmoid, vsilu, vsoftplus, vtanh};
pub use simd::weighted::weighted_sum;
pub use sparse::band::BandLu;
pub use sparse::coloring::Coloring;
pub use sparse::lu::SparseLu;
pub use sparse::structured::StructuredLu;
