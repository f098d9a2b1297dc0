//! Optimisers of a flat parameter slice: [`Optimiser`] (Adam, `AdamW`, `RMSprop`, gradient descent with momentum), gradient clipping, learning-rate
//! schedules and the moving average of the parameters; and minimisers of deterministic functions within bounds:
//! [`minimise_curved`] (Levenberg-Marquardt) and [`minimise_smooth`] (limited-memory BFGS).
//!
//! Updates allocate nothing and run in the order of the parameters; all state can be saved and restored to the
//! bit. Start with `optimiser.rs`.

mod average;
mod clip;
mod lbfgs;
mod minimise;
mod optimiser;
mod schedule;
mod trust_region;

pub use average::ParamAverage;
pub use clip::clip_global_norm;
pub use lbfgs::minimise_smooth;
pub use minimise::{Curved, Minimum, Smooth, StopRule, StoppedBy};
pub use optimiser::{Optimiser, OptimiserConfig, OptimiserError};
pub use schedule::Schedule;
pub use trust_region::minimise_curved;
