//! Layers whose numbers are rounded to bf16 (the upper half of an `f32`) before they are multiplied, with sums in `f32`.

use super::gemm::GemmScratch;
use super::layer::LayerShape;
use crate::simd::lane::AlignedBuf;

/// The weights of a layer in bf16, for processors that multiply such numbers (AVX-512 BF16).
///
/// An option for inference and experiments that a caller takes explicitly: nothing in chreode uses it by itself. Weights and
/// inputs have 8 significant bits, so that an element of the result is off by at most
/// `(2⁻⁷ + 2⁻¹⁶ + inp · 2⁻²³) Σ |x w|`, besides terms below 2⁻¹²⁶, which count as zero. Bias, sums and results are `f32`.
///
/// ```
/// use chreode_linalg::{Bf16Layer, GemmScratch, LayerShape};
/// let shape = LayerShape { inp: 2, out: 1 };
/// match Bf16Layer::new(&[0.5, 2.0], shape) {
///     Ok(layer) => {
///         let mut z = [0.0; 1];
///         layer.forward(&[4.0, 3.0], Some(&[1.0]), &mut z, &mut GemmScratch::new());
///         assert_eq!(z, [9.0]);
///     }
///     Err(unavailable) => println!("{unavailable}"), // take `layer_forward`
/// }
/// ```
#[derive(Clone)]
pub struct Bf16Layer {
    shape: LayerShape,
    /// For each panel of up to 64 outputs, for each pair of inputs, one word of two weights an output.
    panels: AlignedBuf,
}

/// The processor has no products of bf16 numbers (AVX-512 BF16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this processor has no bf16 products (AVX-512 BF16)")]
pub struct Bf16Unavailable;

impl std::fmt::Debug for Bf16Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bf16Layer").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Bf16Layer {
    /// Whether this processor can.
    pub fn available() -> bool {
        #[cfg(target_arch = "x86_64")]
        return kernel::Token::new().is_some();
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Rounds and packs the weights `w`, `[out, inp]` row-major.
    ///
    /// # Errors
    /// [`Bf16Unavailable`] where the processor lacks the instructions.
    ///
    /// # Panics
    /// If `w` has not `out * inp` elements.
    pub fn new(w: &[f32], shape: LayerShape) -> Result<Self, Bf16Unavailable> {
        let LayerShape { inp, out } = shape;
        assert_eq!(w.len(), inp * out, "Bf16Layer: the weights are not [{out}, {inp}]");
        if !Self::available() {
            return Err(Bf16Unavailable);
        }
        let mut panels = AlignedBuf::default();
        #[cfg(target_arch = "x86_64")]
        kernel::pack(w, shape, &mut panels);
        #[cfg(not(target_arch = "x86_64"))]
        let _ = panels.get::<u32>(0);
        Ok(Self { shape, panels })
    }

    /// `z = x Wᵀ + b` for n rows, on one thread; `x`: `[n, inp]`, `b`: `[out]`, `z`: `[n, out]`, overwritten.
    ///
    /// Each element adds pairs of products in ascending order of inputs: the bits of a row depend neither on `n` nor on its
    /// position.
    ///
    /// # Panics
    /// If the slices do not have these shapes.
    pub fn forward(&self, x: &[f32], b: Option<&[f32]>, z: &mut [f32], scratch: &mut GemmScratch<f32>) {
        let LayerShape { inp, out } = self.shape;
        let n = z.len().checked_div(out).unwrap_or(0);
        assert_eq!(n * out, z.len(), "Bf16Layer: a batch of {} numbers has no rows of {out}", z.len());
        assert_eq!(x.len(), n * inp, "Bf16Layer: x is not [{n}, {inp}]");
        assert!(b.is_none_or(|b| b.len() == out), "Bf16Layer: the bias is not [{out}]");
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = kernel::Token::new() {
            kernel::forward(token, self.shape, self.panels.view(), x, b, z, scratch.words());
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("no layer was made where there are no bf16 products: {:p}", scratch)
    }
}

#[cfg(target_arch = "x86_64")]
mod kernel {
    #![allow(unsafe_code, reason = "instructions that not every processor has, and masked loads and stores")]

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
        _mm512_set1_epi32, _mm512_setzero_ps,
    };

    use crate::batch::layer::LayerShape;
    use crate::simd::lane::AlignedBuf;
    use crate::simd::transpose::transpose;

    const LANES: usize = 16;
    /// Registers of a panel.
    const MOST: usize = 4;

    /// A proof that the processor has AVX-512 with BF16.
    #[derive(Clone, Copy)]
    pub(super) struct Token(());

    impl Token {
        pub(super) fn new() -> Option<Self> {
            let all = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
            all.then_some(Self(()))
        }
    }

    /// To the nearest bf16, ties to even; NaN stays NaN.
    #[inline(always)]
    fn round(x: f32) -> u32 {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        (if x.is_nan() { bits | 1 << 22 } else { rounded }) >> 16
    }

    /// A row of `inp` numbers as pairs; an odd one is followed by zero.
    #[inline(always)]
    fn pairs(row: &[f32], to: &mut [u32]) {
        let (twos, rest) = row.as_chunks::<2>();
        for (to, &[a, b]) in to.iter_mut().zip(twos) {
            *to = round(a) | round(b) << 16;
        }
        if let [last] = rest {
            to[twos.len()] = round(*last);
        }
    }

    pub(super) fn pack(w: &[f32], LayerShape { inp, out }: LayerShape, panels: &mut AlignedBuf) {
        let depth = inp.div_ceil(2);
        let mut words = vec![0_u32; out * depth];
        for o in 0..out {
            pairs(&w[o * inp..(o + 1) * inp], &mut words[o * depth..(o + 1) * depth]);
        }
        let panels = panels.get::<u32>(depth * out.next_multiple_of(LANES));
        panels.fill(0);
        let mut start = 0;
        while start < out {
            let cols = (out - start).min(MOST * LANES);
            let width = cols.next_multiple_of(LANES);
            let panel = &mut panels[start * depth..][..width * depth];
            transpose((&words[start * depth..], depth), (cols, depth), (panel, width));
            start += cols;
        }
    }

    pub(super) fn forward(
        _: Token,
        shape: LayerShape,
        panels: &[u32],
        x: &[f32],
        b: Option<&[f32]>,
        z: &mut [f32],
        words: &mut AlignedBuf,
    ) {
        // SAFETY: the token proves the instructions.
        unsafe { forward_rows(shape, panels, x, b, z, words) }
    }

    /// Rows whose pairs stay in the first cache.
    const ROWS: usize = 24;

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn forward_rows(
        LayerShape { inp, out }: LayerShape,
        panels: &[u32],
        x: &[f32],
        b: Option<&[f32]>,
        z: &mut [f32],
        words: &mut AlignedBuf,
    ) {
        let depth = inp.div_ceil(2);
        let n = z.len().checked_div(out).unwrap_or(0);
        let words = words.get::<u32>(ROWS * depth);
        for first in (0..n).step_by(ROWS) {
            let rows = (n - first).min(ROWS);
            for r in 0..rows {
                pairs(&x[(first + r) * inp..(first + r + 1) * inp], &mut words[r * depth..(r + 1) * depth]);
            }
            let z = &mut z[first * out..(first + rows) * out];
            let mut start = 0;
            while start < out {
                let cols = (out - start).min(MOST * LANES);
                let width = cols.next_multiple_of(LANES);
                let panel: &[[u32; LANES]] = bytemuck::cast_slice(&panels[start * depth..][..width * depth]);
                let bias = b.map(|b| &b[start..start + cols]);
                let words = (&words[..rows * depth], rows);
                match width / LANES {
                    4 => panel_rows::<4>(words, panel, depth, bias, &mut z[start..], cols, out),
                    3 => panel_rows::<3>(words, panel, depth, bias, &mut z[start..], cols, out),
                    2 => panel_rows::<2>(words, panel, depth, bias, &mut z[start..], cols, out),
                    _ => panel_rows::<1>(words, panel, depth, bias, &mut z[start..], cols, out),
                }
                start += cols;
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn panel_rows<const NV: usize>(
        (words, rows): (&[u32], usize),
        panel: &[[u32; LANES]],
        depth: usize,
        bias: Option<&[f32]>,
        z: &mut [f32],
        cols: usize,
        out: usize,
    ) {
        let start = std::array::from_fn(|v| bias.map_or(_mm512_setzero_ps(), |b| load(b, v)));
        let mut r = 0;
        while r < rows {
            let (words, z) = (&words[r * depth..], &mut z[r * out..]);
            r += match rows - r {
                6.. => block::<6, NV>(words, panel, depth, start, z, cols, out),
                2.. => block::<2, NV>(words, panel, depth, start, z, cols, out),
                _ => block::<1, NV>(words, panel, depth, start, z, cols, out),
            };
        }
    }

    /// `MR` rows of `NV` registers; returns `MR`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn block<const MR: usize, const NV: usize>(
        words: &[u32],
        panel: &[[u32; LANES]],
        depth: usize,
        start: [__m512; NV],
        z: &mut [f32],
        cols: usize,
        out: usize,
    ) -> usize {
        let mut acc = [start; MR];
        let rows: [&[u32]; MR] = std::array::from_fn(|i| &words[i * depth..(i + 1) * depth]);
        for (k, panel) in panel.chunks_exact(NV).enumerate().take(depth) {
            let b: [__m512bh; NV] = std::array::from_fn(|v| {
                // SAFETY: both are 64 bytes of which every pattern is valid.
                unsafe { std::mem::transmute::<[u32; LANES], __m512bh>(panel[v]) }
            });
            for i in 0..MR {
                // SAFETY: as above.
                let x = unsafe {
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(rows[i][k].cast_signed()))
                };
                for v in 0..NV {
                    acc[i][v] = _mm512_dpbf16_ps(acc[i][v], x, b[v]);
                }
            }
        }
        for i in 0..MR {
            for v in 0..NV {
                store(&mut z[i * out..i * out + cols], v, acc[i][v]);
            }
        }
        MR
    }

    /// Lanes of register `v` that lie within `len`.
    fn mask(len: usize, v: usize) -> u16 {
        ((1_u32 << len.saturating_sub(v * LANES).min(LANES)) - 1) as u16
    }

    /// Register `v` of a slice; zeros behind its end.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(from: &[f32], v: usize) -> __m512 {
        let mask = mask(from.len(), v);
        // SAFETY: lanes beyond the slice are masked, and masked lanes are not read.
        unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr().wrapping_add(v * LANES)) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [f32], v: usize, x: __m512) {
        let mask = mask(to.len(), v);
        // SAFETY: lanes beyond the slice are masked, and masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr().wrapping_add(v * LANES), mask, x) }
    }

    #[cfg(test)]
    mod tests {
        use super::round;

        #[test]
        fn rounds_to_nearest_even() {
            for (x, upper) in [
                (1.0, 0x3f80),
                (1.0 + 1.0 / 256.0, 0x3f80),
                (1.0 + 3.0 / 256.0, 0x3f82),
                (1.0 + 1.1 / 256.0, 0x3f81),
                (-1.0 - 1.1 / 256.0, 0xbf81),
                (f32::MAX, 0x7f80),
                (f32::INFINITY, 0x7f80),
                (f32::NEG_INFINITY, 0xff80),
                (-0.0, 0x8000),
            ] {
                assert_eq!(round(x), upper, "{x}");
            }
            assert!(f32::from_bits(round(f32::NAN) << 16).is_nan());
            assert!(f32::from_bits(round(f32::from_bits(0x7f80_0001)) << 16).is_nan());
        }
    }
}
