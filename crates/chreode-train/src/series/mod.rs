//! Measured time series: a field learned from few trajectories that are observed at times of their own.
//!
//! Not here: the adjoint that jumps at observations (`chreode-adjoint`), snapshots of cells without trajectories (`trainer`).

mod config;
mod data;
mod error;
mod fit;
mod increments;
mod shooting;
mod smooth;
mod state;

pub use config::{SeriesConfig, SeriesLoss};
pub use data::{Series, Trajectory};
pub use error::SeriesError;
pub use fit::{SeriesEvent, SeriesFit, SeriesProgress, fit_series, fit_series_from};
pub use increments::{IncrementsConfig, IncrementsFit, fit_increments};
