//! Single cells: data in and out, preprocessing, neighbours.
//!
//! # Where to start
//! [`Table`] reads delimited text. Errors of everything that reads data are one type, [`DataError`].
//!
//! # Units
//! Time is as in the observation column, the state in its basis.

mod error;
mod names;
mod table;
pub mod virtual_blood;

pub use error::DataError;
pub use names::Known;
pub use table::{Table, TableData, TableRequest};
