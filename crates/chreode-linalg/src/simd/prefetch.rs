//! Hints to the caches.

/// Asks for the lines of a slice ahead of their use. Changes no result.
#[inline(always)]
pub(crate) fn prefetch<T>(x: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let hint = |at: usize| {
            #[allow(unsafe_code, reason = "the hint takes a pointer")]
            // SAFETY: every x86-64 processor has SSE; a hint reads nothing, and its address lies in `x`.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(x.as_ptr().cast::<i8>().add(at));
            }
        };
        let len = size_of_val(x);
        let mut at = 0;
        while at < len {
            hint(at);
            at += LINE;
        }
        if len > 0 {
            // One line more where the slice does not begin with one.
            hint(len - 1);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = x;
}
