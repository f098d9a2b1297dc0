//! Updates of parameters, with PyTorch's definitions: the same as the processor's to rounding.
//!
//! References: [KB15] Kingma & Ba (2015), ICLR; [LH19] Loshchilov & Hutter (2019), ICLR; [TH12] Tieleman & Hinton (2012), lecture 6.5.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::Grid;
use crate::error::{check_len, int};
use crate::kernels;

/// Settings of [`adam`]; `AdamW` if `weight_decay` is not zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Memory of the mean.
    pub beta1: f64,
    /// Memory of the mean square.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// Settings of [`rmsprop`], not centred.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Memory of the mean square.
    pub alpha: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Memory of the velocity; zero for none.
    pub momentum: f64,
}

/// Moves `p` against `gradient`; `update` counts updates from 1, `first` and `second` are the moments, zero at the start.
///
/// # Errors
/// [`CudaError::Setting`] for update zero, [`CudaError::Shape`], [`CudaError::OtherStream`]; the launch's.
pub fn adam(
    config: Adam,
    update: u64,
    rate: f64,
    gradient: &Buffer<f32>,
    first: &mut Buffer<f32>,
    second: &mut Buffer<f32>,
    p: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    for (what, len) in
        [("gradient", gradient.len()), ("first moments", first.len()), ("second moments", second.len())]
    {
        check_len(what, len, p.len())?;
    }
    if update == 0 {
        let (name, rule) = ("the number of the update", "counts from one");
        return Err(CudaError::Setting { name, value: 0.0, rule });
    }
    let Adam { beta1, beta2, eps, weight_decay } = config;
    let k = update as f64;
    let (stream, grid, n) = (p.stream().clone(), Grid::per_item(p.len()), int("parameters", p.len())?);
    // SAFETY: all are as long as `p`.
    unsafe {
        kernels::adam(
            &stream,
            grid,
            n,
            beta1 as f32,
            (1.0 - beta1) as f32,
            beta2 as f32,
            (1.0 - beta2) as f32,
            eps as f32,
            (rate / (1.0 - beta1.powf(k))) as f32,
            (1.0 - beta2.powf(k)).sqrt().recip() as f32,
            (1.0 - rate * weight_decay) as f32,
            gradient,
            first,
            second,
            p,
        )
    }
}

/// Moves `p` against `gradient`; `velocity` may be empty without momentum. Both states are zero at the start.
///
/// # Errors
/// [`CudaError::Shape`], [`CudaError::OtherStream`]; the launch's.
pub fn rmsprop(
    config: RmsProp,
    rate: f64,
    gradient: &Buffer<f32>,
    velocity: &mut Buffer<f32>,
    second: &mut Buffer<f32>,
    p: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    let RmsProp { alpha, eps, momentum } = config;
    check_len("gradient", gradient.len(), p.len())?;
    check_len("second moments", second.len(), p.len())?;
    if momentum != 0.0 {
        check_len("velocities", velocity.len(), p.len())?;
    }
    let (stream, grid, n) = (p.stream().clone(), Grid::per_item(p.len()), int("parameters", p.len())?);
    let (alpha, rest, eps, rate) = (alpha as f32, (1.0 - alpha) as f32, eps as f32, rate as f32);
    // SAFETY: all are as long as `p`; velocities are not touched without momentum.
    unsafe {
        kernels::rmsprop(
            &stream,
            grid,
            n,
            alpha,
            rest,
            eps,
            rate,
            momentum as f32,
            gradient,
            velocity,
            second,
            p,
        )
    }
}
