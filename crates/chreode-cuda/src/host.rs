//! Page-locked memory of the host: copies between it and a device's memory run beside the host, and beside the kernels of other streams.

#![allow(unsafe_code, reason = "calls of the driver")]

use std::ptr::NonNull;

use cudarc::driver::{result, sys};

use crate::CudaError;
use crate::buffer::{Buffer, Element};
use crate::device::Stream;
use crate::driver::failed;
use crate::error::check_len;

/// `len` values of type `T` in memory of the host that the driver has locked, so that a device reads and writes it by itself. It belongs to a
/// stream, as a [`Buffer`] does.
///
/// [`Buffer::write_from`] and [`Buffer::read_into`] put a copy on the stream and do not wait for it. Whoever wants the values waits:
/// [`wait`](Self::wait), [`values_mut`](Self::values_mut).
#[derive(Debug)]
pub struct HostBuffer<T> {
    stream: Stream,
    /// Dangling if `len` is zero.
    address: NonNull<T>,
    len: usize,
    /// The stream's number of the last copy from or to it; 0 if there was none.
    copy: u64,
}

// SAFETY: the memory is this handle's own, and the driver lets any thread free it.
unsafe impl<T: Element> Send for HostBuffer<T> {}
// SAFETY: a shared handle reads the values alone, and only when no copy is under way.
unsafe impl<T: Element> Sync for HostBuffer<T> {}

impl<T: Element> HostBuffer<T> {
    /// Zeros.
    pub(crate) fn new(stream: &Stream, len: usize) -> Result<Self, CudaError> {
        stream.device().enter()?;
        let bytes = len.checked_mul(size_of::<T>()).ok_or(CudaError::HostMemory { requested: usize::MAX })?;
        let address = if bytes == 0 {
            NonNull::dangling()
        } else {
            // SAFETY: the device was entered; the memory is freed once, when the buffer is dropped.
            let memory = unsafe { result::malloc_host(bytes, 0) }.map_err(|e| match e.0 {
                sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::HostMemory { requested: bytes },
                _ => failed("an allocation of the host's memory", e),
            })?;
            let memory = NonNull::new(memory).ok_or(CudaError::HostMemory { requested: bytes })?;
            // SAFETY: the driver gave `bytes` bytes, of pages of their own; zeros are values of any `Pod` type.
            unsafe { memory.cast::<u8>().write_bytes(0, bytes) };
            memory.cast()
        };
        Ok(Self { stream: stream.clone(), address, len, copy: 0 })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Waits until no copy from or to it is under way; at once, if the stream was waited for since.
    ///
    /// # Errors
    /// The failure of what was put on the stream; the copy counts as under way until a wait succeeds.
    pub fn wait(&mut self) -> Result<(), CudaError> {
        if self.is_under_way() { self.stream.synchronize() } else { Ok(()) }
    }

    fn is_under_way(&self) -> bool {
        !self.stream.has_waited(self.copy)
    }

    /// The values.
    ///
    /// # Panics
    /// If a copy may be under way: [`wait`](Self::wait) first.
    pub fn values(&self) -> &[T] {
        assert!(!self.is_under_way(), "a copy is under way: wait for it before the values are read");
        // SAFETY: `len` values that were zeros at first, and that only copies write, of which none is under way nor can begin
        // while the slice is borrowed (`read_into` needs `&mut`).
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }

    /// The values, to be written, once no copy is under way.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn values_mut(&mut self) -> Result<&mut [T], CudaError> {
        self.wait()?;
        // SAFETY: as in `values`; the handle is borrowed alone.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.len) })
    }

    /// Sets all values.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if there are not as many; as [`wait`](Self::wait).
    pub fn fill_from(&mut self, values: &[T]) -> Result<(), CudaError> {
        check_len("values for the host's memory", values.len(), self.len)?;
        self.values_mut()?.copy_from_slice(values);
        Ok(())
    }
}

impl<T> Drop for HostBuffer<T> {
    fn drop(&mut self) {
        if self.len == 0 || size_of::<T>() == 0 {
            return;
        }
        // Errors are left: after a lost device nothing can be given back, and nothing is copied any more.
        let _ = self.stream.device().enter();
        if !self.stream.has_waited(self.copy) {
            let _ = self.stream.synchronize();
        }
        // SAFETY: the address came from `malloc_host` and is freed here alone; no copy is under way, since the stream was waited for or the
        // device is of no use any more.
        let _ = unsafe { result::free_host(self.address.as_ptr().cast()) };
    }
}

impl<T: Element> Buffer<T> {
    /// Puts a copy of all values from the host on the stream, and does not wait for it.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::OtherStream`]; the driver's.
    pub fn write_from(&mut self, host: &mut HostBuffer<T>) -> Result<(), CudaError> {
        check_len("values for device memory", host.len, self.len())?;
        self.must_be_of(&host.stream, "the device memory of a copy")?;
        if self.is_empty() {
            return Ok(());
        }
        self.stream().device().enter()?;
        // SAFETY: both are `len` values long; the host's memory is written and freed only after a wait for the stream.
        let put = unsafe {
            let values = std::slice::from_raw_parts(host.address.as_ptr(), host.len);
            result::memcpy_htod_async(self.address(), values, self.stream().raw())
        };
        host.copy = self.stream().count_copy(); // of a call that failed too: it may have begun
        put.map_err(|e| failed("a copy to the device", e))
    }

    /// Puts a copy of all values to the host on the stream, and does not wait for it.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::OtherStream`]; the driver's.
    pub fn read_into(&self, host: &mut HostBuffer<T>) -> Result<(), CudaError> {
        check_len("room for values of device memory", host.len, self.len())?;
        self.must_be_of(&host.stream, "the device memory of a copy")?;
        if self.is_empty() {
            return Ok(());
        }
        self.stream().device().enter()?;
        // SAFETY: both are `len` values long; the host's memory is read, written and freed only after a wait for the stream, and no
        // reference to it is alive, since the handle is borrowed alone.
        let put = unsafe {
            let values = std::slice::from_raw_parts_mut(host.address.as_ptr(), host.len);
            result::memcpy_dtoh_async(values, self.address(), self.stream().raw())
        };
        host.copy = self.stream().count_copy(); // of a call that failed too: it may have begun
        put.map_err(|e| failed("a copy from the device", e))
    }
}
