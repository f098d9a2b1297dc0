//! Hand-written CUDA kernels for neural stochastic equations, with safe wrappers.
//!
//! A leaf: it knows devices, memory and arithmetic, and nothing of models or training.
//!
//! * **Device**: [`probe`] says whether there is a driver, [`Device`] opens a device, a [`Stream`] is a queue of work, a [`Buffer`] is
//!   memory that knows its type, length and stream, a [`HostBuffer`] such memory of the host, for copies that nobody waits for. Failures
//!   are a [`CudaError`].
//! * **Nets**: [`Mlp`] evaluates perceptrons and pulls gradients back.
//! * **Paths**: [`Ensemble`] runs Euler-Maruyama for a whole ensemble in one launch, and its discrete adjoint; [`brownian_increments`].
//! * **Networks**: [`Network`] solves ensembles of polynomial equations by Tsitouras 5(4), stiff ones by `Rodas5P`, each trajectory with its own
//!   steps.
//! * **Generated kernels**: [`GeneratedEnsemble`] does the same for any model in CUDA C ([`GeneratedSource`]), and [`GeneratedPaths`] runs
//!   stochastic ones, compiled by NVRTC where it is there.
//! * **Clouds**: [`Divergence`], the debiased Sinkhorn divergence with its gradient, without the host; [`energy_rows`], [`softmin_rows`], [`transport_rows`], [`weighted_potential`], [`nearest`].
//! * **Optimisers**: [`adam`], [`rmsprop`].
//!
//! Kernels are `.cu` files with a device header of our own. Their PTX is committed, and loads on any driver since CUDA 11.8 and any device of
//! compute capability 8.0 or more; nothing of CUDA is needed to build. Where there is no driver every call is an error.

mod buffer;
mod device;
mod driver;
mod error;
mod host;
mod kernels;
mod nvrtc;
mod ops;

pub use buffer::{Buffer, Element};
pub use device::{Device, DeviceInfo, Stream};
pub use driver::probe;
pub use error::CudaError;
pub use host::HostBuffer;
pub use ops::{
    Activation, Adam, AdaptiveOptions, Cells, Divergence, DivergenceOptions, DivergenceReport, Ensemble,
    EnsembleShape, GeneratedEnsemble, GeneratedMethod, GeneratedPaths, GeneratedSource, GrowthShape, Mlp,
    NetShape, Network, Precision, RmsProp, Steps, Term, TrajectoryEnd, TransportCost, adam,
    brownian_increments, energy_rows, nearest, philox_words, rmsprop, softmin_rows, transport_rows,
    weighted_potential,
};
