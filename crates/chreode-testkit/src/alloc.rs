//! A global allocator that counts, for tests that a hot path does not allocate.
#![allow(unsafe_code, reason = "a global allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // A constant start value and no destructor: reading it never allocates, so the allocator may use it.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting the allocations of each thread.
///
/// ```
/// use chreode_testkit::{CountingAllocator, allocations_in};
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
/// let (count, v) = allocations_in(|| vec![1.0; 8]);
/// assert_eq!((count, v.len()), (1, 8));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

fn count() {
    // A thread that is being torn down has no counter any more; nobody asks for it either.
    let _ = COUNT.try_with(|c| c.set(c.get() + 1));
}

// SAFETY: every call is forwarded to `System` with its arguments unchanged, so `System`'s guarantees hold;
// the counter is a thread-local `Cell` that neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `alloc`, which is `System`'s.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout, since all allocations are forwarded.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: `ptr` came from `System` with this layout; the caller upholds the rest.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Runs `f` and returns how often this thread allocated (or reallocated) meanwhile, with `f`'s result.
///
/// # Panics
/// If [`CountingAllocator`] is not the `#[global_allocator]` of the program: the count would always be zero.
pub fn allocations_in<R>(f: impl FnOnce() -> R) -> (u64, R) {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(0_u8)));
    assert!(COUNT.get() > before, "CountingAllocator is not installed as #[global_allocator]");
    let before = COUNT.get();
    let result = f();
    (COUNT.get() - before, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "not installed")]
    fn refuses_to_count_without_being_installed() {
        let _ = allocations_in(|| ());
    }
}
