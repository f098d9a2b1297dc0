//! Simulation of many paths and its gradient: what a training step spends its time on.
//!
//! Two calls, `simulate` and `pull_back`: [`CpuEngine`] on the processor's cores, and with the feature `cuda` `CudaEngine` on a device.
//! The trainer sees both as an [`Engine`]. `place` chooses. [`Simulator`] is for paths without a training.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod place;
mod simulator;

pub use cpu::{CpuEngine, EngineError, Segment};
#[cfg(feature = "cuda")]
pub use cuda::{CudaEngine, CudaEngineError};
pub use place::{DeviceChoice, PlaceError, Placement};
pub use simulator::{Simulator, SimulatorError};

/// Why an engine could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The processor's.
    #[error(transparent)]
    Processor(#[from] EngineError),
    /// One path on a device ran away.
    #[cfg(feature = "cuda")]
    #[error("segment {segment}, row {row}: {source}")]
    DevicePath {
        /// Number of the segment.
        segment: usize,
        /// Row of the segment.
        row: usize,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The device failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Device(Box<dyn std::error::Error + Send + Sync>),
}

/// What the trainer asks of an engine: [`CpuEngine`]'s calls, with the noise as its seed.
pub(crate) trait Engine<T>: Send + Sync {
    fn simulate(
        &mut self,
        p: &[T],
        seed: u64,
        first_trajectory: &[u64],
        starts: &[Vec<T>],
    ) -> Result<(), Failure>;

    fn states(&self, segment: usize, i: usize) -> &[T];

    fn log_weights(&self, segment: usize, i: usize) -> &[T];

    /// The arguments before the gradients are those of the last `simulate`.
    fn pull_back(
        &mut self,
        p: &[T],
        seed: u64,
        first_trajectory: &[u64],
        state_bar: &[Vec<Vec<T>>],
        log_weight_bar: &[Vec<Vec<T>>],
        p_bar: &mut [T],
    ) -> Result<(), Failure>;
}
