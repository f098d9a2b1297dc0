//! Vectors and blocks of real or complex numbers, kept as planes: what the loops of a factorisation do with them.

use chreode_core::Real;

use crate::batch::gemm::{Operand, Product, Start};
use crate::scalar::Scalar;
use crate::simd::lane::AlignedBuf;

/// Real and imaginary parts; the second is empty for real numbers.
pub(super) type Planes<T> = [Vec<T>; 2];

/// `row *= by`.
#[inline(always)]
pub(super) fn multiply<S: Scalar>(by: S, re: &mut [S::Part], im: &mut [S::Part]) {
    let (b, c) = (by.re(), by.im());
    if S::COMPLEX {
        for (x, y) in re.iter_mut().zip(im) {
            (*x, *y) = (*x * b - *y * c, *x * c + *y * b);
        }
    } else {
        for x in re {
            *x *= b;
        }
    }
}

/// The largest `|re| + |im|`, NaN if anything is not finite.
#[inline(always)]
pub(super) fn largest<S: Scalar>([re, im]: [&[S::Part]; 2]) -> S::Part {
    let zero = <S::Part as Real>::ZERO;
    // In lanes, so that one comparison need not wait for the other.
    let (mut most, mut odd) = ([zero; 16], [zero; 16]);
    let mut look = |l: usize, size: S::Part| {
        most[l] = if size > most[l] { size } else { most[l] };
        odd[l] += size * zero;
    };
    let ((chunks, rest), (im_chunks, im_rest)) = (re.as_chunks::<16>(), im.as_chunks::<16>());
    if S::COMPLEX {
        for (x, y) in chunks.iter().zip(im_chunks) {
            (0..16).for_each(|l| look(l, x[l].abs() + y[l].abs()));
        }
        rest.iter().zip(im_rest).enumerate().for_each(|(l, (x, y))| look(l, x.abs() + y.abs()));
    } else {
        for x in chunks {
            (0..16).for_each(|l| look(l, x[l].abs()));
        }
        rest.iter().enumerate().for_each(|(l, x)| look(l, x.abs()));
    }
    let mut all = zero;
    for l in 0..16 {
        all = if most[l] > all { most[l] } else { all };
        all += odd[l];
    }
    all
}

/// `C -= A B` of planes; rows of `A` lie `stride` apart, or its columns if the flag is set.
#[inline(always)]
pub(super) fn subtract_product<S: Scalar>(
    size: (usize, usize, usize),
    (a, a_stride, transposed): ([&[S::Part]; 2], usize, bool),
    (b, b_stride): ([&[S::Part]; 2], usize),
    (c, c_stride): ([&mut [S::Part]; 2], usize),
    panel: &mut AlignedBuf,
) {
    let (m, n, k) = size;
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let [c_re, c_im] = c;
    let mut product = |a: &[S::Part], b: &[S::Part], c: &mut [S::Part], add: bool| {
        let start = if add { Start::AddToC } else { Start::SubtractFromC };
        let a = Operand { data: a, ld: a_stride, transposed };
        let b = Operand { data: b, ld: b_stride, transposed: false };
        Product::<_, false> { size, a, b, start, c: (c, c_stride) }.run_as_it_stands(panel);
    };
    product(a[0], b[0], c_re, false);
    if S::COMPLEX {
        product(a[1], b[1], c_re, true);
        product(a[0], b[1], c_im, false);
        product(a[1], b[0], c_im, false);
    }
}

/// `y -= l x`.
#[inline(always)]
pub(super) fn subtract_row<S: Scalar>(l: S, x: [&[S::Part]; 2], y: [&mut [S::Part]; 2]) {
    let (a, b) = (l.re(), l.im());
    let ([x_re, x_im], [y_re, y_im]) = (x, y);
    if S::COMPLEX {
        for ((&u, &v), (y, z)) in x_re.iter().zip(x_im).zip(y_re.iter_mut().zip(y_im)) {
            *y -= a * u - b * v;
            *z -= a * v + b * u;
        }
    } else {
        for (&u, y) in x_re.iter().zip(y_re) {
            *y -= a * u;
        }
    }
}

/// For rows `i` in turn, `stride` apart: `x_i -= Σ_{p < i} l(i, p) x_p`, p ascending, and then `x_i *= scale_i`.
///
/// A strip of all rows at a time, so that a strip of `x_i` is read and written once.
#[inline(always)]
pub(super) fn substitute<S: Scalar>(
    [re, im]: [&mut [S::Part]; 2],
    stride: usize,
    (rows, len): (usize, usize),
    l: impl Fn(usize, usize) -> S,
    scale: Option<&[S]>,
) {
    let mut from = 0;
    while from < len {
        from += match len - from {
            32.. => substitute_strip::<S, 32>(re, im, (from, stride, rows), &l, scale),
            8.. => substitute_strip::<S, 8>(re, im, (from, stride, rows), &l, scale),
            _ => substitute_strip::<S, 1>(re, im, (from, stride, rows), &l, scale),
        };
    }
}

/// `W` columns of it; returns `W`.
#[inline(always)]
fn substitute_strip<S: Scalar, const W: usize>(
    re: &mut [S::Part],
    im: &mut [S::Part],
    (from, stride, rows): (usize, usize, usize),
    l: &impl Fn(usize, usize) -> S,
    scale: Option<&[S]>,
) -> usize {
    let (mut x, mut y) = ([<S::Part as Real>::ZERO; W], [<S::Part as Real>::ZERO; W]);
    for i in 0..rows {
        let at = i * stride + from;
        x.copy_from_slice(&re[at..at + W]);
        if S::COMPLEX {
            y.copy_from_slice(&im[at..at + W]);
        }
        for p in 0..i {
            let at = p * stride + from;
            let row = [&re[at..at + W], if S::COMPLEX { &im[at..at + W] } else { &[] }];
            subtract_row::<S>(l(i, p), row, [&mut x, if S::COMPLEX { &mut y } else { &mut [] }]);
        }
        if let Some(scale) = scale {
            multiply::<S>(scale[i], &mut x, if S::COMPLEX { &mut y } else { &mut [] });
        }
        re[at..at + W].copy_from_slice(&x);
        if S::COMPLEX {
            im[at..at + W].copy_from_slice(&y);
        }
    }
    W
}

/// `Σ a b` of planes.
#[inline(always)]
pub(super) fn dot<S: Scalar>(a: [&[S::Part]; 2], b: [&[S::Part]; 2]) -> S {
    let re = real_dot(a[0], b[0]);
    if S::COMPLEX {
        S::from_parts(re - real_dot(a[1], b[1]), real_dot(a[0], b[1]) + real_dot(a[1], b[0]))
    } else {
        S::from_parts(re, <S::Part as Real>::ZERO)
    }
}

/// Sum in 16 lanes; the order is fixed.
#[inline(always)]
fn real_dot<T: Real>(a: &[T], b: &[T]) -> T {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sum = T::ZERO;
    if !a.is_empty() {
        let mut sums = [T::ZERO; 16];
        for (a, b) in a.iter().zip(b) {
            for l in 0..16 {
                sums[l] += a[l] * b[l];
            }
        }
        let mut half = 8;
        while half > 0 {
            for l in 0..half {
                sums[l] += sums[l + half];
            }
            half /= 2;
        }
        sum = sums[0];
    }
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// `w += sign Σ_j x_j row_j`, where rows of `w`'s length begin at `from` and lie `stride` apart.
#[inline(always)]
pub(super) fn gather_rows<T: Real>(w: &mut [T], rows: &[T], from: usize, stride: usize, x: &[T], sign: T) {
    let r = w.len();
    let row = |j: usize| &rows[from + j * stride..from + j * stride + r];
    let (fours, rest) = x.as_chunks::<4>();
    for (q, four) in fours.iter().enumerate() {
        let [a, b, c, d] = four.map(|x| sign * x);
        let rows = (row(4 * q), row(4 * q + 1), row(4 * q + 2), row(4 * q + 3));
        for i in 0..r {
            w[i] += (a * rows.0[i] + b * rows.1[i]) + (c * rows.2[i] + d * rows.3[i]);
        }
    }
    for (q, &x) in rest.iter().enumerate() {
        let x = sign * x;
        w.iter_mut().zip(row(4 * fours.len() + q)).for_each(|(w, &y)| *w += x * y);
    }
}

#[inline(always)]
pub(super) fn at<S: Scalar>(x: &Planes<S::Part>, i: usize) -> S {
    S::from_parts(x[0][i], if S::COMPLEX { x[1][i] } else { <S::Part as Real>::ZERO })
}

#[inline(always)]
pub(super) fn put<S: Scalar>(x: &mut Planes<S::Part>, i: usize, value: S) {
    x[0][i] = value.re();
    if S::COMPLEX {
        x[1][i] = value.im();
    }
}

/// `v[from..from + len]`, or nothing of a plane that is not there.
#[inline(always)]
pub(super) fn cut<T>(v: &mut [T], from: usize, len: usize) -> &mut [T] {
    if v.is_empty() { v } else { &mut v[from..from + len] }
}

#[inline(always)]
pub(super) fn cut_ref<T>(v: &[T], from: usize, len: usize) -> &[T] {
    if v.is_empty() { v } else { &v[from..from + len] }
}

/// The pivot rows and the pivot columns of a front.
#[inline(always)]
pub(super) fn split_planes<T>(
    values: &mut Planes<T>,
    from: usize,
    rows: usize,
    columns: usize,
) -> ([&[T]; 2], [&mut [T]; 2]) {
    let [re, im] = values.each_mut().map(|v| {
        if v.is_empty() {
            return (&[][..], &mut [][..]);
        }
        let (rows, columns) = v[from..from + rows + columns].split_at_mut(rows);
        (&*rows, columns)
    });
    ([re.0, im.0], [re.1, im.1])
}
