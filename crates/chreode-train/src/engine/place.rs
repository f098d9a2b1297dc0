//! Where paths are simulated: the processor, or a device.

use serde::{Deserialize, Serialize};

/// Where a training simulates its paths and pulls gradients back. Losses, updates and steps by matching are the processor's.
///
/// Both see the same noise; results differ by the rounding of f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// On the processor.
    #[default]
    Cpu,
    /// On the first CUDA device; an error where that cannot be.
    Cuda,
    /// On the first CUDA device where that can be, else on the processor.
    Auto,
}

impl DeviceChoice {
    /// Whether a training of this choice would look for its paths on a device: one must be used, or may be and is there. Whether it has
    /// kernels for a model is not asked.
    pub fn finds_device(self) -> bool {
        match self {
            Self::Cpu => false,
            Self::Cuda => true,
            #[cfg(feature = "cuda")]
            Self::Auto => chreode_cuda::Device::open(0).is_ok(),
            #[cfg(not(feature = "cuda"))]
            Self::Auto => false,
        }
    }
}

/// Where the paths are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// On the processor, and why on no device if one was looked for.
    Processor {
        /// Why; none if the processor was asked for.
        why: Option<PlaceError>,
    },
    /// On a CUDA device.
    Cuda {
        /// The driver's name of it.
        name: String,
    },
}

/// Why a training cannot be on a CUDA device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// This build has no kernels.
    #[error("this build is without CUDA (feature `cuda`)")]
    NotBuilt,
    /// Driver or device are not there or not fit, or the device has no room.
    #[error("{reason}")]
    NoDevice {
        /// What was found.
        reason: String,
    },
    /// There are no kernels for a part of the model.
    #[error("there is no CUDA kernel for {what}")]
    Unsupported {
        /// Which part.
        what: &'static str,
    },
}
