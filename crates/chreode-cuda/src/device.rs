//! A device with its kernels, and the stream on which work is put.

#![allow(unsafe_code, reason = "calls of the driver")]

use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{result, sys};

use crate::buffer::Buffer;
use crate::driver::{failed, is_lost, probe};
use crate::host::HostBuffer;
use crate::kernels::{KERNELS, Kernel, MODULES, THREADS};
use crate::{CudaError, Element};

/// The oldest compute capability that the kernels are compiled for.
const OLDEST: i32 = 8;
/// Shared memory that every kernel may use without asking.
const SHARED_UNASKED: usize = 48 << 10;

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver's name for it.
    pub name: String,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Multiprocessors.
    pub multiprocessors: usize,
    /// Shared memory that a block may use, in bytes.
    pub shared_memory: usize,
}

/// A device that is ready: its context is held until the last handle is gone.
#[derive(Debug, Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: DeviceInfo,
    raw: sys::CUdevice,
    context: sys::CUcontext,
    /// Modules and functions that were asked for so far, in the order of `MODULES` and `KERNELS`.
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    modules: Vec<Option<sys::CUmodule>>,
    functions: Vec<Option<sys::CUfunction>>,
}

// SAFETY: contexts, modules and functions are handles that the driver lets any thread use; the lists are behind a lock.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Device {
    /// How many devices the driver finds.
    ///
    /// # Errors
    /// As [`probe`].
    pub fn count() -> Result<usize, CudaError> {
        probe()?;
        let count = result::device::get_count().map_err(|e| failed("the count of devices", e))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Opens a device, counted from 0.
    ///
    /// # Errors
    /// As [`probe`]; [`CudaError::NoDevice`], [`CudaError::NoSuchDevice`]; [`CudaError::UnsupportedDevice`] below compute
    /// capability 8.0; [`CudaError::OutOfMemory`] if not even a context fits.
    pub fn open(ordinal: usize) -> Result<Self, CudaError> {
        use sys::CUdevice_attribute as A;
        let count = Self::count()?;
        if count == 0 {
            return Err(CudaError::NoDevice);
        }
        if ordinal >= count {
            return Err(CudaError::NoSuchDevice { ordinal, count });
        }
        let opening = |e| failed("opening the device", e);
        let raw = result::device::get(ordinal as i32).map_err(opening)?;
        let name = result::device::get_name(raw).map_err(opening)?;
        // SAFETY: the device comes from the driver.
        let attribute = |a| unsafe { result::device::get_attribute(raw, a) }.map_err(opening);
        let capability = (
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        if capability.0 < OLDEST {
            let (major, minor) = capability;
            return Err(CudaError::UnsupportedDevice { name, major, minor });
        }
        let size = |v: i32| usize::try_from(v).unwrap_or(0);
        let info = DeviceInfo {
            name,
            capability,
            multiprocessors: size(attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?).max(1),
            shared_memory: size(attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?),
        };
        // SAFETY: the device comes from the driver; the context is released once, when the last handle is dropped.
        let context = unsafe { result::primary_ctx::retain(raw) }.map_err(opening)?;
        let loaded = Loaded { modules: vec![None; MODULES.len()], functions: vec![None; KERNELS.len()] };
        Ok(Self { inner: Arc::new(Inner { info, raw, context, loaded: Mutex::new(loaded) }) })
    }

    /// What the device is.
    pub fn info(&self) -> &DeviceInfo {
        &self.inner.info
    }

    /// Free and total memory, in bytes.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory(&self) -> Result<(usize, usize), CudaError> {
        self.enter()?;
        result::mem_get_info().map_err(|e| failed("asking for free memory", e))
    }

    /// A new stream: what is put on it is done in its order.
    ///
    /// # Errors
    /// The driver's.
    pub fn stream(&self) -> Result<Stream, CudaError> {
        self.enter()?;
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(|e| failed("making a stream", e))?;
        let (copies, waited) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Stream { inner: Arc::new(StreamInner { device: self.clone(), raw, copies, waited }) })
    }

    /// Makes the device that of the calling thread.
    pub(crate) fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained as long as `self` lives.
        unsafe { result::ctx::set_current(self.inner.context) }.map_err(|e| failed("entering the device", e))
    }

    /// The function of a kernel, whose module is loaded at the first call.
    fn function(&self, kernel: Kernel) -> Result<sys::CUfunction, CudaError> {
        let (name, module_number, _) = KERNELS[kernel as usize];
        // What a panicking thread left is still a list of handles.
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions[kernel as usize] {
            return Ok(function);
        }
        let module = if let Some(module) = loaded.modules[module_number] {
            module
        } else {
            let (module_name, ptx) = MODULES[module_number];
            let module = load(module_name, ptx)?;
            loaded.modules[module_number] = Some(module);
            module
        };
        let function = find(module, name, name, self.inner.info.shared_memory)?;
        loaded.functions[kernel as usize] = Some(function);
        Ok(function)
    }
}

/// Loads PTX into the device that was entered.
fn load(module_name: &'static str, ptx: &str) -> Result<sys::CUmodule, CudaError> {
    let text = CString::new(ptx).map_err(|_| CudaError::BadModule { module: module_name, code: 0 })?;
    // SAFETY: the image is a text that ends with a zero, and is read during the call alone.
    unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(|e| {
        if is_lost(e) {
            failed("loading kernels", e)
        } else {
            CudaError::BadModule { module: module_name, code: e.0 as u32 }
        }
    })
}

/// A function of a module of the device that was entered, with leave to use all shared memory; `kernel` names it in messages.
fn find(
    module: sys::CUmodule,
    name: &str,
    kernel: &'static str,
    shared_memory: usize,
) -> Result<sys::CUfunction, CudaError> {
    let missing = CudaError::MissingKernel { kernel };
    let c_name = CString::new(name).map_err(|_| missing.clone())?;
    // SAFETY: the module was loaded by this device and is unloaded with it.
    let function = unsafe { result::module::get_function(module, c_name) }.map_err(|e| match e.0 {
        sys::CUresult::CUDA_ERROR_NOT_FOUND => missing,
        _ => failed("looking for a kernel", e),
    })?;
    if shared_memory > SHARED_UNASKED {
        // SAFETY: the function was found above.
        unsafe {
            result::function::set_function_attribute(
                function,
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                shared_memory as i32, // 227 KiB on the largest devices
            )
        }
        .map_err(|e| failed("asking for shared memory", e))?;
    }
    Ok(function)
}

/// How generated kernels are called in messages.
const GENERATED: &str = "of a generated field";

/// A kernel that is no part of this crate, in a module of its own.
#[derive(Debug)]
pub(crate) struct OwnKernel {
    device: Device,
    module: sys::CUmodule,
    function: sys::CUfunction,
}

// SAFETY: modules and functions are handles that the driver lets any thread use.
unsafe impl Send for OwnKernel {}
// SAFETY: as above.
unsafe impl Sync for OwnKernel {}

impl OwnKernel {
    /// Loads the kernel of this name from PTX.
    pub(crate) fn load(device: &Device, name: &str, ptx: &str) -> Result<Self, CudaError> {
        device.enter()?;
        let module = load(GENERATED, ptx)?;
        match find(module, name, GENERATED, device.info().shared_memory) {
            Ok(function) => Ok(Self { device: device.clone(), module, function }),
            Err(error) => {
                // SAFETY: the module was loaded above and nothing of it is used.
                let _ = unsafe { result::module::unload(module) };
                Err(error)
            }
        }
    }

    /// Puts the kernel on a stream of its device.
    ///
    /// # Safety
    /// As [`Stream::launch`].
    pub(crate) unsafe fn launch(
        &self,
        stream: &Stream,
        grid: Grid,
        arguments: &mut [*mut std::ffi::c_void],
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { stream.launch_function(self.function, GENERATED, THREADS, grid, arguments) }
    }
}

impl Drop for OwnKernel {
    fn drop(&mut self) {
        // Errors are left: after a lost device nothing can be given back. The driver waits for launches of the module.
        let _ = self.device.enter();
        // SAFETY: the module is this handle's own and is not used again.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let loaded = self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Errors are left: after a lost device nothing can be given back.
        // SAFETY: all handles are this device's own, every stream and buffer is gone (they hold the device), and none is used again.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            for module in loaded.modules.drain(..).flatten() {
                let _ = result::module::unload(module);
            }
            let _ = result::primary_ctx::release(self.raw);
        }
    }
}

/// Blocks of a launch, and the shared memory of each in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) blocks: (u32, u32),
    pub(crate) shared: usize,
}

impl Grid {
    /// Blocks for `n` items, one a thread; kernels of this kind walk on where there are more items than threads.
    pub(crate) fn per_item(n: usize) -> Self {
        Self { blocks: (n.div_ceil(THREADS).clamp(1, 4096) as u32, 1), shared: 0 }
    }
}

/// A queue of work on a device, and the memory that belongs to it.
///
/// Memory belongs to one stream, so that what reads it comes after what wrote it.
#[derive(Debug, Clone)]
pub struct Stream {
    inner: Arc<StreamInner>,
}

#[derive(Debug)]
struct StreamInner {
    device: Device,
    raw: sys::CUstream,
    /// Copies of page-locked memory that were put on it so far, and those of them that somebody has waited for.
    copies: AtomicU64,
    waited: AtomicU64,
}

// SAFETY: the driver lets any thread put work on a stream.
unsafe impl Send for StreamInner {}
// SAFETY: as above.
unsafe impl Sync for StreamInner {}

impl Drop for StreamInner {
    fn drop(&mut self) {
        // Errors are left: after a lost device nothing can be given back.
        // SAFETY: the stream is this handle's own and is not used again; its buffers are gone, since they hold it.
        unsafe {
            let _ = result::ctx::set_current(self.device.inner.context);
            let _ = result::stream::synchronize(self.raw);
            let _ = result::stream::destroy(self.raw);
        }
    }
}

impl Stream {
    /// The device.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// Memory of `len` zeros.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`].
    pub fn zeros<T: Element>(&self, len: usize) -> Result<Buffer<T>, CudaError> {
        let mut buffer = Buffer::new(self, len)?;
        buffer.fill_zero()?;
        Ok(buffer)
    }

    /// Memory with these values.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`].
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<Buffer<T>, CudaError> {
        let mut buffer = Buffer::new(self, values.len())?;
        buffer.write(values)?;
        Ok(buffer)
    }

    /// Page-locked memory of the host with `len` zeros, for copies that run beside the host.
    ///
    /// # Errors
    /// [`CudaError::HostMemory`].
    pub fn host_zeros<T: Element>(&self, len: usize) -> Result<HostBuffer<T>, CudaError> {
        HostBuffer::new(self, len)
    }

    /// Waits until all that was put on the stream is done.
    ///
    /// # Errors
    /// The failure of what was put on it.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.device().enter()?;
        let copies = self.inner.copies.load(Ordering::Acquire);
        // SAFETY: the stream lives as long as `self`.
        unsafe { result::stream::synchronize(self.inner.raw) }
            .map_err(|e| failed("waiting for the device", e))?;
        self.inner.waited.fetch_max(copies, Ordering::Release);
        Ok(())
    }

    /// Counts a copy that was put on the stream, and gives its number. To be called when it is there: whoever waits for the stream between its
    /// putting and its counting has waited for it too, and does not know.
    pub(crate) fn count_copy(&self) -> u64 {
        self.inner.copies.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether somebody has waited for the copy with this number.
    pub(crate) fn has_waited(&self, copy: u64) -> bool {
        self.inner.waited.load(Ordering::Acquire) >= copy
    }

    pub(crate) fn raw(&self) -> sys::CUstream {
        self.inner.raw
    }

    pub(crate) fn is(&self, other: &Stream) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Puts a kernel on the stream.
    ///
    /// # Safety
    /// `arguments` point to values of the types of the kernel's parameters, in their order; pointers among these are to device
    /// memory of this stream, as long as the kernel reads and writes it with these sizes.
    pub(crate) unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: Grid,
        arguments: &mut [*mut std::ffi::c_void],
    ) -> Result<(), CudaError> {
        self.device().enter()?;
        let function = self.device().function(kernel)?;
        let (name, _, threads) = KERNELS[kernel as usize];
        // SAFETY: the caller's promise.
        unsafe { self.launch_function(function, name, threads, grid, arguments) }
    }

    /// Puts a function of this device on the stream.
    ///
    /// # Safety
    /// As [`launch`](Self::launch).
    unsafe fn launch_function(
        &self,
        function: sys::CUfunction,
        name: &'static str,
        threads: usize,
        grid: Grid,
        arguments: &mut [*mut std::ffi::c_void],
    ) -> Result<(), CudaError> {
        let most = self.device().info().shared_memory;
        crate::error::at_most("shared memory of a block in bytes", grid.shared, most)?;
        self.device().enter()?;
        let (x, y) = grid.blocks;
        // SAFETY: the caller's promise; function and stream are this device's.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, 1),
                (threads as u32, 1, 1),
                grid.shared as u32,
                self.inner.raw,
                arguments,
            )
        }
        .map_err(|e| match e.0 {
            sys::CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE => failed("a launch", e),
            _ => CudaError::LaunchFailed { kernel: name, code: e.0 as u32 },
        })
    }
}
