//! The loaded library, and what tests ask of it.

#![allow(unsafe_code, reason = "functions of the loaded library")]

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::build::{StandInError, Variant, build, build_kernel};

/// What goes wrong, in the calls of the thread that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing; the thread's sticky errors are forgotten too.
    None = 0,
    /// Allocations fail.
    OutOfMemory = 1,
    /// A launch fails, and every call after it.
    LaunchFailed = 2,
    /// A kernel is not found.
    MissingKernel = 3,
    /// The device is gone.
    DeviceLost = 4,
    /// The device has compute capability 7.0.
    OldDevice = 5,
    /// There is no device.
    NoDevice = 6,
}

/// The library in this process.
#[derive(Debug)]
pub struct StandIn {
    library: libloading::Library,
    path: PathBuf,
    /// Kernels that were added, which stay as long as the process.
    added: Mutex<Vec<libloading::Library>>,
}

impl StandIn {
    /// Builds the library where that is needed, and loads it: from now on it is what the process takes for the driver. The first call in a
    /// process decides which variant.
    ///
    /// # Errors
    /// [`StandInError`].
    pub fn load(variant: Variant) -> Result<&'static Self, &'static StandInError> {
        static LOADED: OnceLock<Result<StandIn, StandInError>> = OnceLock::new();
        LOADED.get_or_init(|| Self::build_and_load(variant)).as_ref()
    }

    fn build_and_load(variant: Variant) -> Result<Self, StandInError> {
        let path = build(variant)?;
        // SAFETY: the library's initialisers only register kernels; it is never unloaded, since it is kept in a static.
        match unsafe { libloading::Library::new(&path) } {
            Ok(library) => Ok(Self { library, path, added: Mutex::default() }),
            Err(source) => Err(StandInError::DoesNotLoad { path, source }),
        }
    }

    /// Makes a kernel known that is not among the crate's, from its source without a device language, and gives a text that the driver takes for
    /// its PTX.
    ///
    /// # Errors
    /// [`StandInError`].
    pub fn add_kernel(&self, kernel: &str, source: &str) -> Result<String, StandInError> {
        let path = build_kernel(&self.path, kernel, source)?;
        // One at a time: registration changes a list. What a panicking thread left is still a list.
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the library's initialisers only register the kernel; it is never unloaded, since it is kept in a static.
        let library = unsafe { libloading::Library::new(&path) }
            .map_err(|source| StandInError::DoesNotLoad { path, source })?;
        added.push(library);
        Ok(format!(".version 7.8\n.visible .entry {kernel}(\n"))
    }

    /// Lets a fault strike this thread's calls, after `spared` calls that it could have struck.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn fault(&self, fault: Fault, spared: u32) {
        // SAFETY: the function has this type in `libcuda.cpp`.
        unsafe {
            let call = self.library.get::<unsafe extern "C" fn(i32, i32)>(b"standin_fault");
            call.expect("the library was built from our sources")(fault as i32, spared as i32);
        }
    }

    /// Lets the threads of this thread's launches run from the last to the first, and blocks too, or from the first to the last.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn reversed(&self, reversed: bool) {
        // SAFETY: the function has this type in `libcuda.cpp`.
        unsafe {
            let call = self.library.get::<unsafe extern "C" fn(i32)>(b"standin_order");
            call.expect("the library was built from our sources")(i32::from(reversed));
        }
    }

    /// Launches of this thread so far.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn launches(&self) -> u64 {
        // SAFETY: the function has this type in `libcuda.cpp`.
        unsafe {
            let call = self.library.get::<unsafe extern "C" fn() -> i64>(b"standin_launches");
            call.expect("the library was built from our sources")() as u64
        }
    }

    /// Copies of this thread so far between the host and the device: from the device, and to it.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn copies(&self) -> [u64; 2] {
        // SAFETY: the function has this type in `libcuda.cpp`.
        [0, 1].map(|to_device: i32| unsafe {
            let call = self.library.get::<unsafe extern "C" fn(i32) -> i64>(b"standin_copies");
            call.expect("the library was built from our sources")(to_device) as u64
        })
    }

    /// Bytes of page-locked memory that this thread took and did not give back.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn locked(&self) -> i64 {
        // SAFETY: the function has this type in `libcuda.cpp`.
        unsafe {
            let call = self.library.get::<unsafe extern "C" fn() -> i64>(b"standin_locked");
            call.expect("the library was built from our sources")()
        }
    }

    /// What the driver says to a host that changes, or frees, page-locked memory while it is copied: the number of its error.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn hasty_host(&self, frees: bool) -> i32 {
        // SAFETY: the function has this type in `libcuda.cpp`.
        unsafe {
            let call = self.library.get::<unsafe extern "C" fn(i32) -> i32>(b"standin_hasty");
            call.expect("the library was built from our sources")(i32::from(frees))
        }
    }

    /// Bytes that are allocated on the device now, by the whole process.
    ///
    /// # Panics
    /// If the library is not ours.
    pub fn used(&self) -> usize {
        // SAFETY: the function has this type in `libcuda.cpp`.
        unsafe {
            let call = self.library.get::<unsafe extern "C" fn() -> usize>(b"standin_used");
            call.expect("the library was built from our sources")()
        }
    }
}
