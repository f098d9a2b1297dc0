//! Learning neural differential equations from snapshots of cells: losses between clouds of cells, optimisers,
//! and the trainer.
//!
//! * **Losses**: [`EnergyDistance`] and [`SinkhornDivergence`] between weighted clouds, with gradients to states and
//!   weights; [`squared_error`] of a measured series.
//! * **Optimisers**: [`Optimiser`] (Adam, `AdamW`, `RMSprop`), [`clip_global_norm`], [`Schedule`], [`ParamAverage`].
//! * **Couplings and matching**: [`Coupling`] of neighbouring times by unbalanced entropic transport;
//!   [`MatchingConfig`] learns from bridges between coupled cells, without simulation.
//! * **Engine**: [`CpuEngine`] simulates many paths and pulls a loss's gradient back to the parameters.
//! * **Trainer**: [`Trainer`] fits a [`Model`] to [`Snapshots`], with hold-out, early stopping and states that
//!   resume to the bit; [`Observer`] hears of it.
//! * **Evaluation**: [`distance_to_time`], [`sampling_floor`], [`effective_sample_size`].
//!
//! Everything has the same bits for any number of threads.

mod coupling;
mod data;
mod engine;
mod error;
mod evaluate;
mod loss;
mod matching;
mod model;
mod optim;
mod split;
mod trainer;

pub use coupling::{Coupling, CouplingConfig};
pub use data::Snapshots;
pub use engine::{CpuEngine, EngineError, Segment};
pub use error::{CheckpointError, TrainError};
pub use evaluate::{Comparison, SamplingFloor, distance_to_time, sampling_floor};
pub use loss::{
    Cloud, CloudBar, CloudLoss, Cost, EnergyDistance, LossConfig, LossError, LossReport, SinkhornConfig,
    SinkhornDivergence, SinkhornReport, Statistic, effective_sample_size, normalise_log_weights,
    normalise_log_weights_vjp, squared_error,
};
pub use matching::MatchingConfig;
pub use model::{Model, NoGrowth};
pub use optim::{Optimiser, OptimiserConfig, OptimiserError, ParamAverage, Schedule, clip_global_norm};
pub use split::{HoldOutBy, Split};
pub use trainer::{
    Evaluation, GrowthUse, NoObserver, Observer, Outcome, Paths, PlannedSegment, Standardise, StepReport,
    StopReason, Target, TermReport, TrainConfig, Trainer,
};
