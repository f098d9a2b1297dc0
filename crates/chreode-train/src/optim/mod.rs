//! Optimisers of a flat parameter slice: [`Optimiser`] (Adam, `AdamW`, `RMSprop`), gradient clipping, learning-rate
//! schedules and the moving average of the parameters.
//!
//! Updates allocate nothing and run in the order of the parameters; all state can be saved and restored to the
//! bit. Start with `optimiser.rs`.

mod average;
mod clip;
mod optimiser;
mod schedule;

pub use average::ParamAverage;
pub use clip::clip_global_norm;
pub use optimiser::{Optimiser, OptimiserConfig, OptimiserError};
pub use schedule::Schedule;
