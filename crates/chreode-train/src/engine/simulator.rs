//! Paths of a model, forward alone, where a choice says: what fates and simulated cells are made of.

use chreode_model::NeuralSde;
use chreode_solve::{Ensemble, TimeGrid};

use super::{DeviceChoice, PlaceError, Placement};

/// Runs the paths of one model on a device, or says that the processor shall (`chreode_solve::simulate`).
///
/// Both see the same noise; results differ by the rounding of f32. A path's bits do not depend on the paths beside it.
#[derive(Debug)]
pub struct Simulator {
    placement: Placement,
    #[cfg(feature = "cuda")]
    device: Option<chreode_cuda::Device>,
}

/// Paths on a device failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// One path ran away.
    #[error("path {trajectory} left the finite numbers in the step that begins at t = {t}")]
    Path {
        /// Number of the path, that of its noise.
        trajectory: u64,
        /// Where the step begins.
        t: f64,
    },
    /// The device failed.
    #[error("{reason}")]
    Device {
        /// What happened.
        reason: String,
    },
}

impl Simulator {
    /// Where `choice` says, and where there are kernels for the model.
    ///
    /// # Errors
    /// [`PlaceError`] if a device must be used and cannot.
    pub fn new(choice: DeviceChoice, model: &NeuralSde<f32>) -> Result<Self, PlaceError> {
        if choice == DeviceChoice::Cpu {
            return Ok(Self::on_processor(None));
        }
        match Self::on_device(model) {
            Err(why) if choice == DeviceChoice::Auto => Ok(Self::on_processor(Some(why))),
            result => result,
        }
    }

    fn on_processor(why: Option<PlaceError>) -> Self {
        Self {
            placement: Placement::Processor { why },
            #[cfg(feature = "cuda")]
            device: None,
        }
    }

    #[cfg(not(feature = "cuda"))]
    fn on_device(_: &NeuralSde<f32>) -> Result<Self, PlaceError> {
        Err(PlaceError::NotBuilt)
    }

    #[cfg(feature = "cuda")]
    fn on_device(model: &NeuralSde<f32>) -> Result<Self, PlaceError> {
        use super::{CudaEngine, CudaEngineError};
        // What has no kernel is said before a driver is looked for.
        CudaEngine::check(model)?;
        let device = chreode_cuda::Device::open(0).map_err(CudaEngineError::from)?;
        Ok(Self { placement: Placement::Cuda { name: device.info().name.clone() }, device: Some(device) })
    }

    /// Where the paths are.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Whether the paths are a device's.
    pub fn is_device(&self) -> bool {
        matches!(self.placement, Placement::Cuda { .. })
    }

    /// Runs paths from `start`, `[n, d]`, through a grid by Euler-Maruyama; row `i` is trajectory `first_trajectory + i` of the seed's noise. Log-weights
    /// are there if the model has growth. Nothing if the paths are the processor's.
    ///
    /// # Errors
    /// [`SimulatorError`] naming the first path that failed.
    pub fn simulate(
        &self,
        model: &NeuralSde<f32>,
        p: &[f32],
        start: &[f32],
        grid: &TimeGrid,
        seed: u64,
        first_trajectory: u64,
    ) -> Result<Option<Ensemble<f32>>, SimulatorError> {
        #[cfg(feature = "cuda")]
        if let Some(device) = &self.device {
            return run(device, model, p, start, grid, seed, first_trajectory).map(Some);
        }
        let _ = (model, p, start, grid, seed, first_trajectory);
        Ok(None)
    }
}

#[cfg(feature = "cuda")]
fn run(
    device: &chreode_cuda::Device,
    model: &NeuralSde<f32>,
    p: &[f32],
    start: &[f32],
    grid: &TimeGrid,
    seed: u64,
    first_trajectory: u64,
) -> Result<Ensemble<f32>, SimulatorError> {
    use super::{CudaEngine, CudaEngineError, Segment};
    use chreode_cuda::CudaError;
    let failed = |error: CudaEngineError| match error {
        CudaEngineError::Segment { source: CudaError::NonFinite { row, step }, .. } => {
            SimulatorError::Path { trajectory: first_trajectory + row as u64, t: grid.step(step).0 }
        }
        other => SimulatorError::Device { reason: other.to_string() },
    };
    let rows = start.len() / model.config().dim();
    let segments = vec![Segment { grid: grid.clone(), rows }];
    let mut engine = CudaEngine::without_gradients(device, model, segments).map_err(failed)?;
    engine.simulate(p, seed, &[first_trajectory], &[start.to_vec()]).map_err(failed)?;
    let seen = grid.observe().len();
    let weights = if model.config().growth.is_some() { seen } else { 0 };
    Ok(Ensemble {
        states: (0..seen).map(|i| engine.states(0, i).to_vec()).collect(),
        log_weights: (0..weights).map(|i| engine.log_weights(0, i).to_vec()).collect(),
    })
}
