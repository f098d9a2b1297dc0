//! Dense layers on row-major batches: forward and both backward products.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::gemm::{GemmScratch, Operand, Product, Start};
use crate::simd::lane::is_f32;

/// Sizes of a dense layer; its weights are `[out, inp]` row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Inputs.
    pub inp: usize,
    /// Outputs.
    pub out: usize,
}

impl LayerShape {
    /// Rows of a batch, from one slice with `width` columns.
    fn rows(self, len: usize, width: usize, weights: usize) -> usize {
        assert_eq!(weights, self.inp * self.out, "layer: the weights are not [{}, {}]", self.out, self.inp);
        let rows = len.checked_div(width).unwrap_or(0);
        assert_eq!(rows * width, len, "layer: a batch of {len} numbers has no rows of {width}");
        rows
    }
}

/// `z = x Wᵀ + b`: the pre-activations of a layer, for n rows, on one thread.
///
/// # Shapes
/// `x`: `[n, inp]`; `w`: `[out, inp]`; `b`: `[out]`; `z`: `[n, out]`, overwritten; all row-major.
///
/// Each element is `b` plus products in ascending order of inputs: the bits of a row depend neither on `n` nor on
/// its position. Share rows between threads by calling this on tiles of rows.
///
/// # Panics
/// If the slices do not have these shapes.
pub fn layer_forward<T: Real>(
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    shape: LayerShape,
    z: &mut [T],
    scratch: &mut GemmScratch<T>,
) {
    let LayerShape { inp, out } = shape;
    let n = shape.rows(z.len(), out, w.len());
    assert_eq!(x.len(), n * inp, "layer: x is not [{n}, {inp}]");
    if let Some(b) = b {
        assert_eq!(b.len(), out, "layer: the bias is not [{out}]");
    }
    Product::<T, false> {
        size: (n, out, inp),
        a: Operand { data: x, ld: inp, transposed: false },
        b: Operand { data: w, ld: inp, transposed: true },
        start: b.map_or(Start::Zero, Start::PerColumn),
        c: (z, out),
    }
    .run(scratch);
}

/// `x_bar = z_bar W`: the adjoint of a layer's inputs, for n rows, on one thread.
///
/// # Shapes
/// `z_bar`: `[n, out]`; `w`: `[out, inp]`; `x_bar`: `[n, inp]`, overwritten; all row-major. The bits of a row
/// depend neither on `n` nor on its position.
///
/// # Panics
/// If the slices do not have these shapes.
pub fn layer_backward_input<T: Real>(
    z_bar: &[T],
    w: &[T],
    shape: LayerShape,
    x_bar: &mut [T],
    scratch: &mut GemmScratch<T>,
) {
    let LayerShape { inp, out } = shape;
    let n = shape.rows(z_bar.len(), out, w.len());
    assert_eq!(x_bar.len(), n * inp, "layer: x_bar is not [{n}, {inp}]");
    Product::<T, false> {
        size: (n, inp, out),
        a: Operand { data: z_bar, ld: out, transposed: false },
        b: Operand { data: w, ld: inp, transposed: false },
        start: Start::Zero,
        c: (x_bar, inp),
    }
    .run(scratch);
}

/// `w_bar += z_barᵀ x` and `b_bar += Σ_rows z_bar`: the gradient of a layer's parameters, on one thread.
///
/// # Shapes
/// `z_bar`: `[n, out]`; `x`: `[n, inp]`; `w_bar`: `[out, inp]` and `b_bar`: `[out]`, added to; all row-major.
///
/// The rows are summed by themselves, in ascending order, in chunks of 256 that are then added: the bits depend on how a batch
/// is cut into calls, so cut it the same way on any number of threads.
///
/// # Panics
/// If the slices do not have these shapes.
pub fn layer_backward_params<T: Real>(
    z_bar: &[T],
    x: &[T],
    shape: LayerShape,
    w_bar: &mut [T],
    b_bar: Option<&mut [T]>,
    scratch: &mut GemmScratch<T>,
) {
    let LayerShape { inp, out } = shape;
    let n = shape.rows(z_bar.len(), out, w_bar.len());
    assert_eq!(x.len(), n * inp, "layer: x is not [{n}, {inp}]");
    Product::<T, false> {
        size: (out, inp, n),
        a: Operand { data: z_bar, ld: out, transposed: true },
        b: Operand { data: x, ld: inp, transposed: false },
        start: Start::AddToC,
        c: (w_bar, inp),
    }
    .run(scratch);
    if let Some(b_bar) = b_bar {
        assert_eq!(b_bar.len(), out, "layer: b_bar is not [{out}]");
        if out > 0 {
            add_rows(z_bar, b_bar);
        }
    }
}

/// Adds rows as long as `total` to it: sums of eight first, so that the error does not grow with the length of the running
/// sum.
fn add_rows<T: Real>(rows: &[T], total: &mut [T]) {
    if is_f32::<T>() {
        add_rows_f32(bytemuck::cast_slice(rows), bytemuck::cast_slice_mut(total));
    } else {
        add_rows_f64(bytemuck::cast_slice(rows), bytemuck::cast_slice_mut(total));
    }
}

// Not generic, so that they are compiled in this crate alone.
#[inline(never)]
fn add_rows_f32(rows: &[f32], total: &mut [f32]) {
    Arch::new().dispatch(AddRows { rows, total });
}
#[inline(never)]
fn add_rows_f64(rows: &[f64], total: &mut [f64]) {
    Arch::new().dispatch(AddRows { rows, total });
}

struct AddRows<'a, T> {
    rows: &'a [T],
    total: &'a mut [T],
}

impl<T: Real> WithSimd for AddRows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.total.len();
        for rows in self.rows.chunks(8 * width) {
            let wide = add_columns::<T, 32>(rows, self.total, 0);
            let narrow = add_columns::<T, 8>(rows, self.total, wide);
            let _ = add_columns::<T, 1>(rows, self.total, narrow);
        }
    }
}

/// Adds the columns of a few rows from `start` on, as long as there are `WIDTH` more. Returns the first one that is left.
#[inline(always)]
fn add_columns<T: Real, const WIDTH: usize>(rows: &[T], total: &mut [T], mut start: usize) -> usize {
    let width = total.len();
    while start + WIDTH <= width {
        let mut sums = [T::ZERO; WIDTH];
        for row in rows.chunks_exact(width) {
            for (sum, &x) in sums.iter_mut().zip(&row[start..start + WIDTH]) {
                *sum += x;
            }
        }
        for (total, &sum) in total[start..start + WIDTH].iter_mut().zip(&sums) {
            *total += sum;
        }
        start += WIDTH;
    }
    start
}
