//! The run folder: what a fit leaves behind, and all that the other commands need.
//!
//! Start with [`RunFolder`]. Everything is written atomically, and the training's checkpoints let a killed run
//! continue to the same bits.
//! Not here: what is trained (`chreode-train`) and how a model is stored (`chreode-model`).

mod clones;
mod config;
mod error;
mod fingerprint;
mod folder;
mod members;
mod metrics;
mod new_cells;
mod results;
mod training_cells;

pub use clones::HeldOutClones;
pub use config::{DataConfig, RunConfig};
pub use error::RunError;
pub use fingerprint::Fingerprint;
pub use folder::{ExistingRun, NewRun, RunFolder, TrainingLock};
pub use members::{MemberResult, Members};
pub use metrics::{MetricsLog, read_metrics};
pub use new_cells::Coordinates;
pub use results::{FateResult, ShiftResult, StoredShift};
pub use training_cells::TrainingCells;
