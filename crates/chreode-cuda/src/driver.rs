//! The driver: whether it is there, and its calls with typed errors.

#![allow(unsafe_code, reason = "calls of the driver")]

use std::sync::OnceLock;

use cudarc::driver::result::DriverError;
use cudarc::driver::sys;

use crate::CudaError;

/// Every function of the driver that this crate calls. All are looked for once, since cudarc panics at the first call of one
/// that is missing.
const SYMBOLS: &[&str] = &[
    "cuInit",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemsetD8Async",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
];

/// Looks for the driver and starts it, once in a process.
///
/// # Errors
/// [`CudaError::NoDriver`], [`CudaError::DriverLacks`], [`CudaError::NoDevice`], or what the driver says of its start.
pub fn probe() -> Result<(), CudaError> {
    static FOUND: OnceLock<Result<(), CudaError>> = OnceLock::new();
    FOUND.get_or_init(look).clone()
}

fn look() -> Result<(), CudaError> {
    // SAFETY: loads the driver's library, whose initialisers are the driver's own.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    for &symbol in SYMBOLS {
        // SAFETY: the library was found above; the symbol is only looked for, not called, so that its type does not matter.
        if unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_err() {
            return Err(CudaError::DriverLacks { symbol });
        }
    }
    cudarc::driver::result::init().map_err(|e| match e.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => CudaError::NoDevice,
        _ => failed("the driver's start", e),
    })
}

/// The driver's error, in our words.
pub(crate) fn failed(call: &'static str, error: DriverError) -> CudaError {
    let code = error.0 as u32;
    if is_lost(error) { CudaError::DeviceLost { call, code } } else { CudaError::Driver { call, code } }
}

/// Whether nothing more can be done in this process after the error.
pub(crate) fn is_lost(error: DriverError) -> bool {
    use sys::CUresult as R;
    matches!(
        error.0,
        R::CUDA_ERROR_DEVICE_UNAVAILABLE
            | R::CUDA_ERROR_ECC_UNCORRECTABLE
            | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | R::CUDA_ERROR_ILLEGAL_ADDRESS
            | R::CUDA_ERROR_HARDWARE_STACK_ERROR
            | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | R::CUDA_ERROR_MISALIGNED_ADDRESS
            | R::CUDA_ERROR_ASSERT
            | R::CUDA_ERROR_LAUNCH_TIMEOUT
            | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | R::CUDA_ERROR_LAUNCH_FAILED
    )
}
