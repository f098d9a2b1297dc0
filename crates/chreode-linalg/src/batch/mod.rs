//! Products of row-major matrices: the kernel (`tile`), packing (`pack`), the driver (`gemm`), dense layers
//! (`layer`) and distances between rows (`pairwise`). Start with `gemm`.

pub(crate) mod gemm;
pub(crate) mod layer;
mod pack;
pub(crate) mod pairwise;
pub(crate) mod tile;
