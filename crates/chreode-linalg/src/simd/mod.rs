//! Vector code: registers (`lane`), elementary functions (`elementary`, `trigonometry`), their slices (`slices`), rows
//! (`rows`) and weighted sums of them (`weighted`); transposes (`transpose`); models over vectors (`lanes`), and the way to
//! the best instruction set (`dispatch`).

pub(crate) mod dispatch;
pub(crate) mod elementary;
pub(crate) mod gibbs;
pub(crate) mod lane;
pub(crate) mod lanes;
#[cfg(target_arch = "x86_64")]
pub(crate) mod masked;
pub(crate) mod prefetch;
pub(crate) mod rows;
pub(crate) mod slices;
pub(crate) mod transpose;
mod trigonometry;
pub(crate) mod weighted;
