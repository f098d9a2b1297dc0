//! Learning neural differential equations from snapshots of cells: losses between clouds of cells, optimisers,
//! and the trainer.
//!
//! * **Losses**: [`EnergyDistance`], [`SinkhornDivergence`], [`MeanDiscrepancy`] and [`SlicedWasserstein`] between weighted
//!   clouds, with gradients to states and weights; [`exact_transport`] of few points; [`squared_error`] of a measured series.
//! * **Optimisers**: [`Optimiser`] (Adam, `AdamW`, `RMSprop`, gradient descent with momentum), [`clip_global_norm`], [`Schedule`], [`ParamAverage`];
//!   [`minimise_curved`] (Levenberg-Marquardt) and [`minimise_smooth`] (BFGS) of deterministic functions within bounds.
//! * **Couplings and matching**: [`Coupling`] of neighbouring times by unbalanced entropic transport;
//!   [`MatchingConfig`] learns from bridges between coupled cells, without simulation; [`choose_growth`] decides by the times between others
//!   whether growth is learned.
//! * **Engine**: [`CpuEngine`] simulates many paths and pulls a loss's gradient back to the parameters; with the feature `cuda`,
//!   `CudaEngine` does on a device; [`Trainer::place`] chooses by a [`DeviceChoice`].
//! * **Trainer**: [`Trainer`] fits a [`Model`] to [`Snapshots`], with hold-out, early stopping and states that
//!   resume to the bit; [`Observer`] hears of it.
//! * **Measured series**: [`fit_series`] learns a field from few trajectories by gradient matching, then multiple shooting,
//!   [`fit_series_from`] from a state of such a fit on; [`fit_increments`] a stochastic equation by the likelihood of its increments.
//! * **Evaluation**: [`distance_to_time`], [`sampling_floor`], [`effective_sample_size`]; [`clone_scores`] says how well a model follows clones.
//!
//! Everything has the same bits for any number of threads.

mod clones;
mod coupling;
mod data;
mod engine;
mod error;
mod evaluate;
mod gaussian;
mod likelihood;
mod loss;
mod matching;
mod model;
mod optim;
mod sealed;
mod series;
mod split;
mod states;
mod trainer;

pub use clones::{CloneCells, CloneScore, clone_scores};
pub use coupling::{Coupling, CouplingConfig, Extension, blur_over};
pub use data::Snapshots;
pub use engine::{
    CpuEngine, DeviceChoice, EngineError, PlaceError, Placement, Segment, Simulator, SimulatorError,
};
#[cfg(feature = "cuda")]
pub use engine::{CudaEngine, CudaEngineError};
pub use error::{CheckpointError, TrainError};
pub use evaluate::{Comparison, SamplingFloor, distance_to_time, sampling_floor};
pub use loss::{
    Cloud, CloudBar, CloudLoss, Cost, EnergyDistance, ExactTransport, LossConfig, LossError, LossReport,
    MeanDiscrepancy, MmdConfig, Potentials, SinkhornConfig, SinkhornDivergence, SinkhornReport, SlicedConfig,
    SlicedWasserstein, Statistic, effective_sample_size, exact_transport, normalise_log_weights,
    normalise_log_weights_vjp, squared_error,
};
pub use matching::{Between, BridgeNoise, GrowthChoice, MatchingConfig, choose_growth};
pub use model::{Model, NoGrowth};
pub use optim::{
    Curved, Minimum, Optimiser, OptimiserConfig, OptimiserError, ParamAverage, Schedule, Smooth, StopRule,
    StoppedBy, clip_global_norm, minimise_curved, minimise_smooth,
};
pub use series::{
    IncrementsConfig, IncrementsFit, Series, SeriesConfig, SeriesError, SeriesEvent, SeriesFit, SeriesLoss,
    SeriesProgress, Trajectory, fit_increments, fit_series, fit_series_from,
};
pub use split::{HoldOutBy, Split};
pub use states::{StateFile, StateWriter, States, StoredStates};
pub use trainer::{
    Astray, Evaluation, GrowthUse, NoObserver, Observer, Outcome, Paths, PlannedSegment, Standardise,
    StepReport, StopReason, Target, TermReport, TrainConfig, Trainer,
};
