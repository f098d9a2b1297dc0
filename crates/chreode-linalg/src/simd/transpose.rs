//! Transposes: 16 x 16 numbers in registers where there is AVX-512, 8 x 8 where there is AVX2, and in plain code elsewhere.

use bytemuck::Pod;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

#[cfg(target_arch = "x86_64")]
use super::{lane::copy_few, masked};

/// `dst[j, i] = src[i, j]` for `rows` x `cols` of `src`; `src_ld`, `dst_ld` are the row strides. `T` has 4 or 8 bytes.
#[inline(never)]
pub(crate) fn transpose<T: Pod>(
    (src, src_ld): (&[T], usize),
    (rows, cols): (usize, usize),
    (dst, dst_ld): (&mut [T], usize),
) {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! in_registers {
            ($simd:ident, $word:ty) => {{
                let (src, dst) = (bytemuck::cast_slice(src), bytemuck::cast_slice_mut(dst));
                $simd.vectorize(Registers::<$word, _> { simd: $simd, src, src_ld, rows, cols, dst, dst_ld })
            }};
        }
        match (V4::try_new(), V3::try_new(), size_of::<T>()) {
            (Some(simd), _, 4) => return in_registers!(simd, u32),
            (Some(simd), _, _) => return in_registers!(simd, u64),
            (None, Some(simd), 4) => return in_registers!(simd, u32),
            (None, Some(simd), _) => return in_registers!(simd, u64),
            _ => {}
        }
    }
    plain((src, src_ld), (rows, cols), (dst, dst_ld));
}

fn plain<T: Pod>(
    (src, src_ld): (&[T], usize),
    (rows, cols): (usize, usize),
    (dst, dst_ld): (&mut [T], usize),
) {
    const B: usize = 8;
    let (full_rows, full_cols) = (rows / B * B, cols / B * B);
    for i in (0..full_rows).step_by(B) {
        for j in (0..full_cols).step_by(B) {
            let lines: [&[T]; B] = std::array::from_fn(|r| &src[(i + r) * src_ld + j..][..B]);
            for c in 0..B {
                let column: [T; B] = std::array::from_fn(|r| lines[r][c]);
                dst[(j + c) * dst_ld + i..][..B].copy_from_slice(&column);
            }
        }
        for j in full_cols..cols {
            for r in i..i + B {
                dst[j * dst_ld + r] = src[r * src_ld + j];
            }
        }
    }
    for i in full_rows..rows {
        for j in 0..cols {
            dst[j * dst_ld + i] = src[i * src_ld + j];
        }
    }
}

/// The transpose in square blocks of one register's lanes; `U` is a word of the size of a number.
#[cfg(target_arch = "x86_64")]
struct Registers<'a, U, S> {
    simd: S,
    src: &'a [U],
    src_ld: usize,
    rows: usize,
    cols: usize,
    dst: &'a mut [U],
    dst_ld: usize,
}

#[cfg(target_arch = "x86_64")]
macro_rules! registers {
    ($simd:ident, $features:literal, $u:ident, $lanes:literal, $load:path, $store:path, $block:ident, $full:ident) => {
        /// A whole block, by itself: inlined, its thirty-two addresses would be kept from block to block, in memory.
        #[inline(never)]
        #[target_feature(enable = $features)]
        #[allow(unsafe_code, reason = "a bounds check at each row would take as long as the block")]
        fn $full(simd: $simd, src: &[$u], src_ld: usize, dst: &mut [$u], dst_ld: usize) {
            assert!(
                src.len() >= ($lanes - 1) * src_ld + $lanes && dst.len() >= ($lanes - 1) * dst_ld + $lanes
            );
            let mut block = [pulp::cast([0 as $u; $lanes]); $lanes];
            for r in 0..$lanes {
                // SAFETY: row r ends before (lanes - 1) src_ld + lanes, which lies in `src`.
                block[r] = unsafe { src.as_ptr().add(r * src_ld).cast::<[$u; $lanes]>().read_unaligned() };
            }
            let block = $block(simd, block.map(|row| pulp::cast(row)));
            for c in 0..$lanes {
                let row = pulp::cast::<_, [$u; $lanes]>(block[c]);
                // SAFETY: row c ends before (lanes - 1) dst_ld + lanes, which lies in `dst`.
                unsafe { dst.as_mut_ptr().add(c * dst_ld).cast::<[$u; $lanes]>().write_unaligned(row) };
            }
        }

        impl pulp::NullaryFnOnce for Registers<'_, $u, $simd> {
            type Output = ();
            #[inline(always)]
            #[allow(unsafe_code, reason = "blocks are functions with their instruction set")]
            fn call(self) {
                let Self { simd, src, src_ld, rows, cols, dst, dst_ld } = self;
                for i in (0..rows).step_by($lanes) {
                    let here = (rows - i).min($lanes);
                    for j in (0..cols).step_by($lanes) {
                        let across = (cols - j).min($lanes);
                        if across <= 3 && here == $lanes {
                            // A few columns by themselves: sixteen would cost more.
                            for c in 0..across {
                                let to = &mut dst[(j + c) * dst_ld + i..][..$lanes];
                                for r in 0..$lanes {
                                    to[r] = src[(i + r) * src_ld + j + c];
                                }
                            }
                            continue;
                        }
                        if here == $lanes && across == $lanes {
                            let (src, dst) = (&src[i * src_ld + j..], &mut dst[j * dst_ld + i..]);
                            // SAFETY: `simd` proves the instructions.
                            unsafe { $full(simd, src, src_ld, dst, dst_ld) }
                        } else {
                            let mut block = [pulp::cast([0 as $u; $lanes]); $lanes];
                            for r in 0..here {
                                block[r] = $load(simd, &src[(i + r) * src_ld + j..][..across]);
                            }
                            let block = $block(simd, block);
                            for c in 0..across {
                                $store(simd, &mut dst[(j + c) * dst_ld + i..][..here], block[c]);
                            }
                        }
                    }
                }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
registers!(V4, "avx512f", u32, 16, masked::load_32, masked::store_32, block_32, full_32);
#[cfg(target_arch = "x86_64")]
registers!(V4, "avx512f", u64, 8, masked::load_64, masked::store_64, block_64, full_64);
#[cfg(target_arch = "x86_64")]
registers!(V3, "avx2", u32, 8, load_few, store_few, halves_32, full_halves_32);
#[cfg(target_arch = "x86_64")]
registers!(V3, "avx2", u64, 4, load_few, store_few, halves_64, full_halves_64);

/// A register from a slice that may be shorter; zeros behind it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn load_few<U: Pod, V: Pod>(_: V3, from: &[U]) -> V {
    let mut x = V::zeroed();
    copy_few(from, bytemuck::cast_slice_mut(std::slice::from_mut(&mut x)));
    x
}

/// The first numbers of a register to a slice that may be shorter.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn store_few<U: Pod, V: Pod>(_: V3, to: &mut [U], x: V) {
    copy_few(bytemuck::cast_slice(std::slice::from_ref(&x)), to);
}

/// Pairs of rows interleaved, then pairs of pairs, then the halves of registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn halves_32(simd: V3, rows: [pulp::u32x8; 8]) -> [pulp::u32x8; 8] {
    let avx = simd.avx;
    let mut fours = [[pulp::cast(rows[0]); 4]; 2];
    for g in 0..2 {
        let r: [_; 4] = std::array::from_fn(|i| pulp::cast(rows[4 * g + i]));
        let pairs = [
            pulp::cast(avx._mm256_unpacklo_ps(r[0], r[1])),
            pulp::cast(avx._mm256_unpackhi_ps(r[0], r[1])),
            pulp::cast(avx._mm256_unpacklo_ps(r[2], r[3])),
            pulp::cast(avx._mm256_unpackhi_ps(r[2], r[3])),
        ];
        // In half L of fours[g][q]: column 4 L + q of rows 4 g .. 4 g + 4.
        fours[g] = [
            avx._mm256_unpacklo_pd(pairs[0], pairs[2]),
            avx._mm256_unpackhi_pd(pairs[0], pairs[2]),
            avx._mm256_unpacklo_pd(pairs[1], pairs[3]),
            avx._mm256_unpackhi_pd(pairs[1], pairs[3]),
        ];
    }
    let mut out = rows;
    for q in 0..4 {
        out[q] = pulp::cast(avx._mm256_permute2f128_pd::<0x20>(fours[0][q], fours[1][q]));
        out[4 + q] = pulp::cast(avx._mm256_permute2f128_pd::<0x31>(fours[0][q], fours[1][q]));
    }
    out
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn halves_64(simd: V3, rows: [pulp::u64x4; 4]) -> [pulp::u64x4; 4] {
    let (avx, r) = (simd.avx, rows.map(pulp::cast));
    let pairs = [
        avx._mm256_unpacklo_pd(r[0], r[1]),
        avx._mm256_unpackhi_pd(r[0], r[1]),
        avx._mm256_unpacklo_pd(r[2], r[3]),
        avx._mm256_unpackhi_pd(r[2], r[3]),
    ];
    let mut out = rows;
    for q in 0..2 {
        out[q] = pulp::cast(avx._mm256_permute2f128_pd::<0x20>(pairs[q], pairs[2 + q]));
        out[2 + q] = pulp::cast(avx._mm256_permute2f128_pd::<0x31>(pairs[q], pairs[2 + q]));
    }
    out
}

/// Pairs of rows interleaved, then pairs of pairs, then the quarters of registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn block_32(simd: V4, rows: [pulp::u32x16; 16]) -> [pulp::u32x16; 16] {
    use std::arch::x86_64::__m512d;
    let mut fours = [[rows[0]; 4]; 4];
    for g in 0..4 {
        let r: [_; 4] = std::array::from_fn(|i| pulp::cast(rows[4 * g + i]));
        let pairs: [__m512d; 4] = [
            pulp::cast(simd.avx512f._mm512_unpacklo_ps(r[0], r[1])),
            pulp::cast(simd.avx512f._mm512_unpackhi_ps(r[0], r[1])),
            pulp::cast(simd.avx512f._mm512_unpacklo_ps(r[2], r[3])),
            pulp::cast(simd.avx512f._mm512_unpackhi_ps(r[2], r[3])),
        ];
        // In quarter L of fours[g][q]: column 4 L + q of rows 4 g .. 4 g + 4.
        fours[g] = [
            pulp::cast(simd.avx512f._mm512_unpacklo_pd(pairs[0], pairs[2])),
            pulp::cast(simd.avx512f._mm512_unpackhi_pd(pairs[0], pairs[2])),
            pulp::cast(simd.avx512f._mm512_unpacklo_pd(pairs[1], pairs[3])),
            pulp::cast(simd.avx512f._mm512_unpackhi_pd(pairs[1], pairs[3])),
        ];
    }
    let mut out = rows;
    for q in 0..4 {
        let columns = quarters(simd, std::array::from_fn(|g| pulp::cast(fours[g][q])));
        for l in 0..4 {
            out[4 * l + q] = pulp::cast(columns[l]);
        }
    }
    out
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn block_64(simd: V4, rows: [pulp::u64x8; 8]) -> [pulp::u64x8; 8] {
    let mut out = rows;
    for q in 0..2 {
        let columns = quarters(
            simd,
            std::array::from_fn(|g| {
                let (a, b) = (pulp::cast(rows[2 * g]), pulp::cast(rows[2 * g + 1]));
                if q == 0 {
                    simd.avx512f._mm512_unpacklo_pd(a, b)
                } else {
                    simd.avx512f._mm512_unpackhi_pd(a, b)
                }
            }),
        );
        for l in 0..4 {
            out[2 * l + q] = pulp::cast(columns[l]);
        }
    }
    out
}

/// The transpose of 4 x 4 quarters of registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn quarters(simd: V4, x: [std::arch::x86_64::__m512d; 4]) -> [std::arch::x86_64::__m512d; 4] {
    let even = |a, b| simd.avx512f._mm512_shuffle_f64x2::<0b10_00_10_00>(a, b);
    let odd = |a, b| simd.avx512f._mm512_shuffle_f64x2::<0b11_01_11_01>(a, b);
    let (a, b, c, d) = (even(x[0], x[1]), even(x[2], x[3]), odd(x[0], x[1]), odd(x[2], x[3]));
    [even(a, b), even(c, d), odd(a, b), odd(c, d)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Pod + PartialEq + std::fmt::Debug>(number: fn(usize) -> T) {
        for (rows, cols) in
            [(1_usize, 1_usize), (16, 16), (8, 8), (33, 17), (5, 40), (50, 512), (16, 3), (0, 4), (4, 0)]
        {
            let (src_ld, dst_ld) = (cols + 3, rows.next_multiple_of(16) + 16);
            let src: Vec<T> = (0..rows * src_ld).map(number).collect();
            let untouched = number(usize::from(u16::MAX));
            let (mut a, mut b) = (vec![untouched; cols * dst_ld], vec![untouched; cols * dst_ld]);
            transpose((&src, src_ld), (rows, cols), (&mut a, dst_ld));
            plain((&src, src_ld), (rows, cols), (&mut b, dst_ld));
            assert_eq!(a, b, "{rows} x {cols}");
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = V3::try_new() {
                b.fill(untouched);
                on_halves(simd, (&src, src_ld), (rows, cols), (&mut b, dst_ld));
                assert_eq!(a, b, "{rows} x {cols} with AVX2");
            }
            for j in 0..cols {
                for i in 0..dst_ld {
                    let expected = if i < rows { src[i * src_ld + j] } else { untouched };
                    assert_eq!(a[j * dst_ld + i], expected, "{rows} x {cols}: [{j}, {i}]");
                }
            }
        }
    }

    /// Where there is AVX-512 too.
    #[cfg(target_arch = "x86_64")]
    fn on_halves<T: Pod>(simd: V3, src: (&[T], usize), size: (usize, usize), dst: (&mut [T], usize)) {
        let ((src, src_ld), (rows, cols), (dst, dst_ld)) = (src, size, dst);
        if size_of::<T>() == 4 {
            let (src, dst) = (bytemuck::cast_slice(src), bytemuck::cast_slice_mut(dst));
            simd.vectorize(Registers::<u32, _> { simd, src, src_ld, rows, cols, dst, dst_ld });
        } else {
            let (src, dst) = (bytemuck::cast_slice(src), bytemuck::cast_slice_mut(dst));
            simd.vectorize(Registers::<u64, _> { simd, src, src_ld, rows, cols, dst, dst_ld });
        }
    }

    #[test]
    fn every_element_moves_and_nothing_else() {
        check(|i| i as f32);
        check(|i| i as f64);
    }
}
