//! Device memory that knows its type, its length and its stream.

#![allow(unsafe_code, reason = "calls of the driver")]

use std::marker::PhantomData;

use cudarc::driver::{result, sys};

use crate::CudaError;
use crate::device::Stream;
use crate::driver::failed;
use crate::error::check_len;

/// What may lie in device memory: any bits are a value.
pub trait Element: bytemuck::Pod + Send + Sync {}
impl<T: bytemuck::Pod + Send + Sync> Element for T {}

/// `len` values of type `T` in the memory of a device. It belongs to the stream that it was made on.
#[derive(Debug)]
pub struct Buffer<T> {
    stream: Stream,
    /// Null if `len` is zero.
    address: sys::CUdeviceptr,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// Memory whose content is not defined: for writing at once.
    pub(crate) fn new(stream: &Stream, len: usize) -> Result<Self, CudaError> {
        let device = stream.device();
        device.enter()?;
        let out_of_memory = |requested| {
            let (free, total) = result::mem_get_info().unwrap_or((0, 0));
            CudaError::OutOfMemory { requested, free, total }
        };
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| out_of_memory(usize::MAX))?;
        let address = if bytes == 0 {
            0
        } else {
            // SAFETY: the device was entered; the memory is freed once, when the buffer is dropped.
            unsafe { result::malloc_sync(bytes) }.map_err(|e| match e.0 {
                sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => out_of_memory(bytes),
                _ => failed("an allocation", e),
            })?
        };
        Ok(Self { stream: stream.clone(), address, len, of: PhantomData })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The stream that it belongs to.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sets every byte to zero.
    ///
    /// # Errors
    /// The driver's.
    pub fn fill_zero(&mut self) -> Result<(), CudaError> {
        if self.len == 0 {
            return Ok(());
        }
        self.stream.device().enter()?;
        // SAFETY: the memory is `len` values long and belongs to the stream.
        unsafe { result::memset_d8_async(self.address, 0, self.len * size_of::<T>(), self.stream.raw()) }
            .map_err(|e| failed("a fill", e))
    }

    /// Sets all values; done when it returns.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if there are not as many; the driver's.
    pub fn write(&mut self, values: &[T]) -> Result<(), CudaError> {
        check_len("values for device memory", values.len(), self.len)?;
        if self.len == 0 {
            return Ok(());
        }
        self.stream.device().enter()?;
        // SAFETY: both are `len` values long; the copy is over before the borrow of `values` is.
        unsafe { result::memcpy_htod_async(self.address, values, self.stream.raw()) }
            .map_err(|e| failed("a copy to the device", e))?;
        self.stream.synchronize()
    }

    /// Reads all values, after all that was put on the stream before.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if `values` has another length; the failure of what was put on the stream.
    pub fn read(&self, values: &mut [T]) -> Result<(), CudaError> {
        check_len("room for values of device memory", values.len(), self.len)?;
        if self.len == 0 {
            return Ok(());
        }
        self.stream.device().enter()?;
        // SAFETY: both are `len` values long; the copy is over before the borrow of `values` is.
        unsafe { result::memcpy_dtoh_async(values, self.address, self.stream.raw()) }
            .map_err(|e| failed("a copy from the device", e))?;
        self.stream.synchronize()
    }

    /// All values as a vector.
    ///
    /// # Errors
    /// The failure of what was put on the stream.
    pub fn to_vec(&self) -> Result<Vec<T>, CudaError> {
        let mut values = vec![T::zeroed(); self.len];
        self.read(&mut values)?;
        Ok(values)
    }

    /// Copies another buffer of the same stream and length.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::OtherStream`]; the driver's.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), CudaError> {
        check_len("length of a copied buffer", other.len, self.len)?;
        other.must_be_of(&self.stream, "the copied buffer")?;
        if self.len == 0 {
            return Ok(());
        }
        self.stream.device().enter()?;
        let bytes = self.len * size_of::<T>();
        // SAFETY: both are `len` values long and of this stream.
        unsafe { result::memcpy_dtod_async(self.address, other.address, bytes, self.stream.raw()) }
            .map_err(|e| failed("a copy on the device", e))
    }

    pub(crate) fn must_be_of(&self, stream: &Stream, what: &'static str) -> Result<(), CudaError> {
        if self.stream.is(stream) { Ok(()) } else { Err(CudaError::OtherStream { what }) }
    }

    pub(crate) fn address(&self) -> sys::CUdeviceptr {
        self.address
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.address != 0 {
            // Errors are left: after a lost device nothing can be given back. The driver waits for kernels that use the memory.
            let _ = self.stream.device().enter();
            // SAFETY: the address came from `malloc_sync` and is freed here alone.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}
