//! Loads and stores of part of an AVX-512 register.

use std::arch::x86_64::{
    _mm512_mask_storeu_epi32, _mm512_mask_storeu_epi64, _mm512_maskz_loadu_epi32, _mm512_maskz_loadu_epi64,
};

use pulp::x86::V4;
use pulp::{cast, u32x16, u64x8};

macro_rules! masked {
    ($u:ident, $v:ident, $mask:ident, $lanes:literal, $load:ident, $store:ident, $ld:ident, $st:ident) => {
        /// The first numbers of a register from a slice, at most as many as it has lanes; zeros behind them.
        #[inline(always)]
        #[allow(unsafe_code, reason = "masked loads take pointers")]
        pub(crate) fn $load(_: V4, from: &[$u]) -> $v {
            let mask = ((1_u32 << from.len().min($lanes)) - 1) as $mask;
            // SAFETY: V4 proves AVX-512; lanes beyond the slice are masked, and masked lanes are not read.
            cast(unsafe { $ld(mask, from.as_ptr().cast()) })
        }

        /// The first numbers of a register to a slice, at most as many as it has lanes.
        #[inline(always)]
        #[allow(unsafe_code, reason = "masked stores take pointers")]
        pub(crate) fn $store(_: V4, to: &mut [$u], x: $v) {
            let mask = ((1_u32 << to.len().min($lanes)) - 1) as $mask;
            // SAFETY: V4 proves AVX-512; lanes beyond the slice are masked, and masked lanes are not written.
            unsafe { $st(to.as_mut_ptr().cast(), mask, cast(x)) }
        }
    };
}
masked!(u32, u32x16, u16, 16, load_32, store_32, _mm512_maskz_loadu_epi32, _mm512_mask_storeu_epi32);
masked!(u64, u64x8, u8, 8, load_64, store_64, _mm512_maskz_loadu_epi64, _mm512_mask_storeu_epi64);
