//! What can go wrong between the host and a device.

/// Why a device could not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// No library of the driver was found.
    #[error("there is no CUDA driver on this machine (libcuda.so, nvcuda.dll)")]
    NoDriver,
    /// The driver's library is there, and too old or broken.
    #[error("the CUDA driver has no function {symbol}: is it older than 11.8?")]
    DriverLacks {
        /// The function that was looked for.
        symbol: &'static str,
    },
    /// The driver sees no device.
    #[error("the CUDA driver finds no device")]
    NoDevice,
    /// A device that does not exist was asked for.
    #[error("there is no CUDA device {ordinal}: the driver finds {count}")]
    NoSuchDevice {
        /// Number of the device, from 0.
        ordinal: usize,
        /// Number of devices.
        count: usize,
    },
    /// The device is older than the kernels need.
    #[error("{name} has compute capability {major}.{minor}; 8.0 is needed")]
    UnsupportedDevice {
        /// The device's name.
        name: String,
        /// Compute capability.
        major: i32,
        /// Compute capability, after the point.
        minor: i32,
    },
    /// An allocation failed.
    #[error("the device has no room for {requested} bytes: {free} of {total} bytes are free")]
    OutOfMemory {
        /// Bytes that were asked for.
        requested: usize,
        /// Bytes that are free.
        free: usize,
        /// Bytes that the device has.
        total: usize,
    },
    /// The driver could not lock memory of the host.
    #[error("the host has no {requested} bytes of memory that the driver can lock")]
    HostMemory {
        /// Bytes that were asked for.
        requested: usize,
    },
    /// A run needs more memory than it may take, found before it began.
    #[error(
        "{rows} rows need {needed} bytes on the device, {available} are free: at most {fitting} rows fit"
    )]
    DoesNotFit {
        /// Rows of the run.
        rows: usize,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that it may take.
        available: usize,
        /// The most rows that would fit.
        fitting: usize,
    },
    /// A kernel did not start, or did not end.
    #[error("kernel {kernel} failed (CUDA error {code})")]
    LaunchFailed {
        /// The kernel.
        kernel: &'static str,
        /// Number of the driver's error.
        code: u32,
    },
    /// The compiled kernels do not hold this one.
    #[error("the module has no kernel {kernel}")]
    MissingKernel {
        /// The kernel.
        kernel: &'static str,
    },
    /// The driver refuses the compiled kernels.
    #[error("the driver cannot load the kernels of {module} (CUDA error {code})")]
    BadModule {
        /// Name of the kernels' file.
        module: &'static str,
        /// Number of the driver's error.
        code: u32,
    },
    /// The device is gone, or an earlier failure has made it useless to this process.
    #[error("the device was lost during {call} (CUDA error {code})")]
    DeviceLost {
        /// What was being done.
        call: &'static str,
        /// Number of the driver's error.
        code: u32,
    },
    /// Another failure of the driver.
    #[error("{call} failed (CUDA error {code})")]
    Driver {
        /// What was being done.
        call: &'static str,
        /// Number of the driver's error.
        code: u32,
    },
    /// No library that compiles kernels at run time was found.
    #[error(
        "there is no NVRTC library on this machine (libnvrtc.so, nvrtc64.dll): it comes with the CUDA toolkit"
    )]
    NoRuntimeCompiler,
    /// The library is there, and lacks a function.
    #[error("the NVRTC library has no function {symbol}")]
    RuntimeCompilerLacks {
        /// The function that was looked for.
        symbol: &'static str,
    },
    /// A generated kernel does not compile.
    #[error("the generated kernel does not compile:\n{log}")]
    DoesNotCompile {
        /// What the compiler said.
        log: String,
    },
    /// A kernel's name is no identifier of C.
    #[error("`{name}` cannot name a kernel: letters, digits and underscores, no digit first")]
    BadName {
        /// The name.
        name: String,
    },
    /// A generated kernel runs something else than what was asked of it.
    #[error("the kernel was generated for {method:?}, which cannot do this")]
    OtherMethod {
        /// What it runs.
        method: crate::GeneratedMethod,
    },
    /// A setting that cannot be.
    #[error("{name} is {value}: it {rule}")]
    Setting {
        /// Which one.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// Memory of one stream was given to another.
    #[error("{what} belongs to another stream")]
    OtherStream {
        /// Which argument.
        what: &'static str,
    },
    /// Something has another length than it must have.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Which argument, or which size.
        what: &'static str,
        /// What it must be.
        expected: usize,
        /// What it is.
        got: usize,
    },
    /// A size is beyond what the kernels can do.
    #[error("{what} is {got}; the device's kernels take {most} at most")]
    TooLarge {
        /// Which size.
        what: &'static str,
        /// What was asked for.
        got: usize,
        /// The most that works.
        most: usize,
    },
    /// A path ran away.
    #[error("row {row} is not finite after step {step}")]
    NonFinite {
        /// Row of the run.
        row: usize,
        /// Number of the step.
        step: usize,
    },
}

/// Checks a length.
pub(crate) fn check_len(what: &'static str, got: usize, expected: usize) -> Result<(), CudaError> {
    if got == expected { Ok(()) } else { Err(CudaError::Shape { what, expected, got }) }
}

/// Checks a bound.
pub(crate) fn at_most(what: &'static str, got: usize, most: usize) -> Result<(), CudaError> {
    if got <= most { Ok(()) } else { Err(CudaError::TooLarge { what, got, most }) }
}

/// A size as the kernels take it: one more turn of a whole grid, 2²⁰ threads at most, must not overflow.
pub(crate) fn int(what: &'static str, v: usize) -> Result<i32, CudaError> {
    const MOST: usize = (i32::MAX - (1 << 20)) as usize;
    if v <= MOST { Ok(v as i32) } else { Err(CudaError::TooLarge { what, got: v, most: MOST }) }
}

/// The error unless a setting is above zero and finite.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<(), CudaError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(CudaError::Setting { name, value, rule: "must be above zero and finite" })
}
