//! Fits of PEtab problems: from many starts, on the parameters' scales, within their bounds; and how well they are determined.
//!
//! `starts.rs` draws starts, `single.rs` makes the fit from one of them, `multi.rs` that from each, `profile.rs` walks along each parameter, `report.rs` makes the
//! page, `tables.rs` the files. The minimisers are those of `chreode-train`. Not here: the objective (`petab/gradient.rs`).

mod multi;
mod profile;
mod report;
mod single;
mod starts;
mod tables;

pub use multi::{Fit, FitMethod, FitOptions, Fits, fit};
pub use profile::{End, Profile, ProfileOptions, ProfilePoint, profile};
pub use report::fit_page;
