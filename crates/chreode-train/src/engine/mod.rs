//! Engines: simulate many paths and pull a loss's gradient back to the parameters.
//!
//! Two calls, `simulate` and `pull_back`: [`CpuEngine`] on the processor's cores, and with the feature `cuda` `CudaEngine` on a device.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

pub use cpu::{CpuEngine, EngineError, Segment};
#[cfg(feature = "cuda")]
pub use cuda::{CudaEngine, CudaEngineError};
