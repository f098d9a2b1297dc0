//! Where paths are simulated.

use chreode_model::NeuralSde;
use chreode_train::{DeviceChoice, PlaceError, Placement, Simulator};
use clap::{Args, ValueEnum};

use crate::Context;

/// Where paths are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// The processor
    Cpu,
    /// The first CUDA device
    Cuda,
    /// The first CUDA device, or the processor where that cannot be
    Auto,
}

impl From<Device> for DeviceChoice {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda => Self::Cuda,
            Device::Auto => Self::Auto,
        }
    }
}

/// The option of commands that simulate a model's paths.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Where paths are simulated [default: cpu]
    #[arg(long, value_enum, value_name = "DEVICE", help_heading = "Paths")]
    device: Option<Device>,
}

impl PlaceArgs {
    /// Whether the option was given.
    pub(crate) fn is_given(&self) -> bool {
        self.device.is_some()
    }

    /// What runs the model's paths; says where, as [`describe_place`] does.
    pub(crate) fn simulator(
        &self,
        context: &Context,
        model: &NeuralSde<f32>,
    ) -> Result<Simulator, PlaceError> {
        let choice = self.device.map_or_else(DeviceChoice::default, DeviceChoice::from);
        let simulator = Simulator::new(choice, model)?;
        describe_place(context, simulator.placement());
        Ok(simulator)
    }
}

/// Says where paths are simulated, if that is not the processor by the user's wish.
pub(crate) fn describe_place(context: &Context, place: &Placement) {
    match place {
        Placement::Processor { why: None } => {}
        Placement::Processor { why: Some(why) } => {
            context.console.note(&format!("paths are simulated on the processor: {why}"));
        }
        Placement::Cuda { name } => context.console.note(&format!("paths are simulated on {name}")),
    }
}
