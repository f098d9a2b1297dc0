//! Vector code: registers (`lane`), elementary functions (`elementary`, `trigonometry`), their slices (`slices`), rows
//! (`rows`) and weighted sums of them (`weighted`); models over vectors (`lanes`), and the way to the best instruction set
//! (`dispatch`).

pub(crate) mod dispatch;
pub(crate) mod elementary;
pub(crate) mod lane;
pub(crate) mod lanes;
pub(crate) mod rows;
pub(crate) mod slices;
mod trigonometry;
pub(crate) mod weighted;
