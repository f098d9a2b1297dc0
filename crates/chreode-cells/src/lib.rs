//! Single cells: data in and out, preprocessing, neighbours, fates, perturbations, trust.
//!
//! # Where to start
//! [`Dataset`] reads cells from either kind of file. Below it, [`H5ad`] reads AnnData files, [`Table`] delimited
//! text, and [`Transform`] goes from expression to coordinates; [`StateSpace`] says what they are. Errors of
//! everything that reads data are one type, [`DataError`]. [`NeighbourIndex`] finds nearest cells.
//!
//! # Units
//! Time is as in the observation column, the state in its basis.

mod analysis_error;
mod atomic;
mod column;
mod dataset;
pub mod demo;
mod error;
mod fate;
mod h5ad;
mod leave_out;
mod matrix;
mod memory;
mod moments;
mod names;
mod neighbours;
mod page;
mod paired;
mod perturb;
mod preprocess;
mod readout;
mod rollout;
pub mod run;
mod series;
mod staged;
mod state_space;
mod table;
mod transport;
mod trust;
pub mod virtual_blood;

pub use analysis_error::AnalysisError;
pub use atomic::{write_atomically, write_bytes_atomically};
pub use column::{Column, Labels};
pub use dataset::{Dataset, DatasetOptions, StateSource, TimePoint};
pub use error::DataError;
pub use fate::{Agreement, Fates};
pub use h5ad::{H5ad, H5adWriter, MatrixRows, Unstructured};
pub use leave_out::{LeftOut, MEASURES, Reference, measures};
pub use matrix::{CsrMatrix, DenseMatrix, Matrix, MatrixError};
pub use memory::{Memory, bytes};
pub use moments::mean_and_sd_of;
pub use names::Known;
pub use neighbours::{NeighbourError, NeighbourIndex, Neighbours};
pub use page::{
    CellFields, Convergence, DriftRates, FateView, HoldOutDistance, LossCurves, MemberSpread, MembersView,
    Outside, RunPage, RunTrust, ShiftView, TrustError, TrustSettings, demo_page, run_page, series_page,
};
pub use paired::{PairedDifference, Verdict};
pub use perturb::{GeneChange, GeneMove, Shift, shifts};
pub use preprocess::{ExpressionKind, Fitted, MissingCounts, PreprocessError, PreprocessOptions, Transform};
pub use readout::{LabelReadout, ReadoutQuality};
pub use rollout::{Chunk, Clamp, Rollout};
pub use series::{Prediction, SeriesColumns, SeriesData, SeriesResults, SeriesRunConfig, is_series_run};
pub use staged::StagedFolder;
pub use state_space::{
    ColumnSpace, GeneAxis, GeneUnit, GivenBasis, GivenPca, MissingLoadings, StateSpace, StateSpaceError,
};
pub use table::{Table, TableData, TableRequest};
pub use transport::{TransportError, TransportFates};
pub use trust::{Distances, Manifold};
