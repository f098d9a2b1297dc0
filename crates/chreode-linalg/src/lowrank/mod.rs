//! Low-rank approximation of matrices that need not be stored densely: `operator`, and `truncated` over it.

pub(crate) mod operator;
pub(crate) mod truncated;
