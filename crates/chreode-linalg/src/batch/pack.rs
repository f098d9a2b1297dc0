//! Copies into the shape that the kernel reads: transposes and padded panels.

use bytemuck::Pod;

/// `dst[j, i] = src[i, j]` for `rows` x `cols` of `src`; `src_ld`, `dst_ld` are the row strides.
#[inline(always)]
pub(crate) fn transpose<T: Pod>(
    src: &[T],
    src_ld: usize,
    rows: usize,
    cols: usize,
    dst: &mut [T],
    dst_ld: usize,
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

/// Rows `k0..k0 + kc`, columns `j0..j0 + cols` of `op(B)` into `panel[kc, width]`, zeros on the right.
#[inline(always)]
pub(crate) fn panel<T: Pod>(
    b: &[T],
    ld: usize,
    transposed: bool,
    (k0, kc): (usize, usize),
    (j0, cols): (usize, usize),
    panel: &mut [T],
    width: usize,
) {
    if transposed {
        if cols < width {
            for row in panel.chunks_exact_mut(width) {
                row[cols..].fill(T::zeroed());
            }
        }
        transpose(&b[j0 * ld + k0..], ld, cols, kc, panel, width);
    } else if cols == width {
        for (k, row) in panel.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(&b[(k0 + k) * ld + j0..][..width]);
        }
    } else {
        for (k, row) in panel.chunks_exact_mut(width).enumerate() {
            row[..cols].copy_from_slice(&b[(k0 + k) * ld + j0..][..cols]);
            row[cols..].fill(T::zeroed());
        }
    }
}
