//! Losses between clouds of cells, optimisers and the trainer of neural differential equations.

mod loss;
mod optim;

pub use loss::{
    Cloud, CloudBar, Cost, EnergyDistance, LossError, SinkhornConfig, SinkhornDivergence, SinkhornReport,
    Statistic, effective_sample_size, normalise_log_weights, normalise_log_weights_vjp, squared_error,
};
pub use optim::{Optimiser, OptimiserConfig, OptimiserError, ParamAverage, Schedule, clip_global_norm};
