//! Vector code: registers (`lane`), elementary functions (`elementary`), their slices (`slices`), rows (`rows`),
//! weighted sums of rows (`weighted`).

pub(crate) mod elementary;
pub(crate) mod lane;
pub(crate) mod rows;
pub(crate) mod slices;
pub(crate) mod weighted;
