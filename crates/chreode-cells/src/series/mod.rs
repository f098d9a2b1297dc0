//! Measured time series: a table in, a folder with what was learned out.
//!
//! Not here: how it is learned (`chreode_train::fit_series`), the page (`page`).

mod read;
mod results;

pub use read::{SeriesColumns, SeriesData};
pub use results::{Prediction, SeriesResults, SeriesRunConfig, is_series_run};
