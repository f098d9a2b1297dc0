//! Products of row-major matrices: the kernel (`tile`), the loops over blocks (`blocks`), the driver (`gemm`), dense layers (`layer`, in bf16 `bf16`) and distances between rows (`pairwise`); LU of many small matrices (`small_lu`). Start with `gemm`.

pub(crate) mod bf16;
mod blocks;
pub(crate) mod gemm;
pub(crate) mod layer;
pub(crate) mod pairwise;
pub(crate) mod small_lu;
pub(crate) mod tile;
