//! Moving a training's simulation to a device.

use chreode_model::{GrowthNet, NeuralSde};

use super::Trainer;
use crate::engine::{DeviceChoice, PlaceError, Placement};

impl Trainer<f32, NeuralSde<f32>, GrowthNet<f32>> {
    /// Simulates from now on where `choice` says. May be called at any step, also after a restore: states of a training know no device.
    ///
    /// # Errors
    /// [`PlaceError`] if a device must be used and cannot; the training then stays where it is.
    pub fn place(&mut self, choice: DeviceChoice) -> Result<Placement, PlaceError> {
        if choice == DeviceChoice::Cpu {
            self.move_to_processor();
            return Ok(Placement::Processor { why: None });
        }
        match self.move_to_cuda() {
            Ok(name) => Ok(Placement::Cuda { name }),
            Err(why) if choice == DeviceChoice::Auto => {
                self.move_to_processor();
                Ok(Placement::Processor { why: Some(why) })
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn move_to_cuda(&mut self) -> Result<String, PlaceError> {
        Err(PlaceError::NotBuilt)
    }

    /// Puts both passes on the first device, or none.
    #[cfg(feature = "cuda")]
    fn move_to_cuda(&mut self) -> Result<String, PlaceError> {
        use crate::engine::{CudaEngine, CudaEngineError};
        // What has no kernel is said before a driver is looked for.
        CudaEngine::check(&self.model.sde)?;
        let device = chreode_cuda::Device::open(0).map_err(CudaEngineError::from)?;
        let name = device.info().name.clone();
        // Evaluations first: what training keeps of its steps takes as much memory as there is.
        let hold_out = match &self.hold_out {
            Some(pass) => {
                let segments = self.segments(pass);
                Some(CudaEngine::without_gradients(&device, &self.model.sde, segments)?)
            }
            None => None,
        };
        let train = CudaEngine::new(&device, &self.model.sde, self.segments(&self.train))?;
        self.train.engine = Box::new(train);
        if let (Some(pass), Some(engine)) = (&mut self.hold_out, hold_out) {
            pass.engine = Box::new(engine);
        }
        Ok(name)
    }
}
