//! Elementwise functions over slices, run on the best instruction set of the machine.
//!
//! A slice is cut into blocks; the last one is padded. So every element goes through the same arithmetic,
//! and its result does not depend on where it stands.

use std::array::from_fn;

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::elementary::{self, Elementary};
use super::lane::is_f32;

/// Elements in a block: four registers of `f32` on AVX-512.
const BLOCK: usize = 64;

/// A function of `I` inputs and `O` outputs at one position; `old` is what the outputs held.
///
/// Implemented by [`pointwise_op`], which also compiles both instances in this crate, once: a generic
/// function would be compiled again by every crate that calls it.
pub(crate) trait Pointwise<const I: usize, const O: usize>: Copy {
    fn at<T: Elementary, const FMA: bool>(self, x: [T; I], old: [T; O]) -> [T; O];
    fn run_f32(self, inputs: [&[f32]; I], outputs: [&mut [f32]; O]);
    fn run_f64(self, inputs: [&[f64]; I], outputs: [&mut [f64]; O]);
}

/// Defines an operation: `pointwise_op!(Name, [inputs] [old outputs], expression for the outputs)`; `T` and
/// `FMA` stand for the type and the instruction set.
macro_rules! pointwise_op {
    ($op:ident, $i:literal -> $o:literal, |$x:pat_param, $old:pat_param, $t:ident, $fma:ident| $body:expr) => {
        #[derive(Clone, Copy)]
        struct $op;
        impl $crate::simd::slices::Pointwise<$i, $o> for $op {
            #[inline(always)]
            fn at<$t: $crate::simd::elementary::Elementary, const $fma: bool>(
                self,
                $x: [$t; $i],
                $old: [$t; $o],
            ) -> [$t; $o] {
                $body
            }
            #[inline(never)]
            fn run_f32(self, inputs: [&[f32]; $i], outputs: [&mut [f32]; $o]) {
                $crate::simd::slices::dispatch(self, inputs, outputs);
            }
            #[inline(never)]
            fn run_f64(self, inputs: [&[f64]; $i], outputs: [&mut [f64]; $o]) {
                $crate::simd::slices::dispatch(self, inputs, outputs);
            }
        }
    };
}
pub(crate) use pointwise_op;

struct Run<'a, T, P, const I: usize, const O: usize> {
    f: P,
    inputs: [&'a [T]; I],
    outputs: [&'a mut [T]; O],
}

/// Whether the vectors of `S` have a fused multiply-add.
#[inline(always)]
pub(crate) fn has_fma<S: Simd>() -> bool {
    size_of::<S::f32s>() > size_of::<f32>() && !cfg!(target_arch = "wasm32")
}

impl<T: Elementary, P: Pointwise<I, O>, const I: usize, const O: usize> WithSimd for Run<'_, T, P, I, O> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if has_fma::<S>() { self.blocks::<true>() } else { self.blocks::<false>() }
    }
}

impl<T: Elementary, P: Pointwise<I, O>, const I: usize, const O: usize> Run<'_, T, P, I, O> {
    #[inline(always)]
    fn blocks<const FMA: bool>(mut self) {
        let len = self.outputs[0].len();
        let (mut padded_x, mut padded_y) = ([[T::ZERO; BLOCK]; I], [[T::ZERO; BLOCK]; O]);
        let mut start = 0;
        while start < len {
            let here = (len - start).min(BLOCK);
            if here < BLOCK {
                for (x, input) in padded_x.iter_mut().zip(&self.inputs) {
                    x[..here].copy_from_slice(&input[start..]);
                }
                for (y, output) in padded_y.iter_mut().zip(&self.outputs) {
                    y[..here].copy_from_slice(&output[start..]);
                }
            }
            // One place for full and padded blocks, which lie elsewhere; values pass through arrays of their own, so that they
            // stay in registers and nothing may overlap.
            let mut x = [[T::ZERO; BLOCK]; I];
            for k in 0..I {
                x[k] = *self.inputs[k][start..].first_chunk().unwrap_or(&padded_x[k]);
            }
            let mut y = [[T::ZERO; BLOCK]; O];
            for k in 0..O {
                let to = self.outputs[k][start..].first_chunk_mut().unwrap_or(&mut padded_y[k]);
                y[k] = *to;
            }
            let mut out = [[T::ZERO; BLOCK]; O];
            for i in 0..BLOCK {
                let results = self.f.at::<T, FMA>(from_fn(|k| x[k][i]), from_fn(|k| y[k][i]));
                for k in 0..O {
                    out[k][i] = results[k];
                }
            }
            for k in 0..O {
                *self.outputs[k][start..].first_chunk_mut().unwrap_or(&mut padded_y[k]) = out[k];
            }
            if here < BLOCK {
                for (output, y) in self.outputs.iter_mut().zip(&padded_y) {
                    output[start..].copy_from_slice(&y[..here]);
                }
            }
            start += here;
        }
    }
}

/// Runs the blocks on the best instruction set; the lengths are equal.
#[inline(always)]
pub(crate) fn dispatch<T: Elementary, P: Pointwise<I, O>, const I: usize, const O: usize>(
    f: P,
    inputs: [&[T]; I],
    outputs: [&mut [T]; O],
) {
    Arch::new().dispatch(Run { f, inputs, outputs });
}

/// Applies `f` at every position.
///
/// # Panics
/// If the slices differ in length: a mistake of the calling code.
pub(crate) fn pointwise<T: Real, P: Pointwise<I, O>, const I: usize, const O: usize>(
    f: P,
    inputs: [&[T]; I],
    outputs: [&mut [T]; O],
) {
    for input in &inputs {
        assert_eq!(input.len(), outputs[0].len(), "elementwise function: slices of different lengths");
    }
    for output in &outputs {
        assert_eq!(output.len(), outputs[0].len(), "elementwise function: slices of different lengths");
    }
    if is_f32::<T>() {
        f.run_f32(inputs.map(bytemuck::cast_slice), outputs.map(bytemuck::cast_slice_mut));
    } else {
        f.run_f64(inputs.map(bytemuck::cast_slice), outputs.map(bytemuck::cast_slice_mut));
    }
}

macro_rules! slice_fn {
    ($(#[$doc:meta])* $name:ident, $op:ident, $f:ident) => {
        pointwise_op!($op, 1 -> 1, |[x], _, T, FMA| [elementary::$f::<T, FMA>(x)]);
        $(#[$doc])*
        ///
        /// # Panics
        /// If the slices differ in length.
        pub fn $name<T: Real>(x: &[T], y: &mut [T]) {
            pointwise($op, [x], [y]);
        }
    };
}

slice_fn! {
    /// `y = exp(x)`, elementwise. Error at most 2 ulp over the whole range, also where the result is subnormal.
    vexp, Exp, exp
}
slice_fn! {
    /// `y = ln(x)`, elementwise. Error at most 3 ulp; `-∞` at 0, NaN below.
    vln, Ln, ln
}
slice_fn! {
    /// `y = tanh(x)`, elementwise. Error at most 4 ulp; odd to the bit, also around zero.
    vtanh, Tanh, tanh
}
slice_fn! {
    /// `y = 1 / (1 + exp(-x))`, elementwise. Error at most 4 ulp; no overflow on either side.
    vsigmoid, Sigmoid, sigmoid
}
slice_fn! {
    /// `y = ln(1 + exp(x))`, elementwise. Error at most 4 ulp; no overflow, exact tails.
    vsoftplus, Softplus, softplus
}
slice_fn! {
    /// `y = x / (1 + exp(-x))` (SiLU, also called swish), elementwise. Error at most 4 ulp over the whole range, also where the
    /// sigmoid is subnormal.
    vsilu, Silu, silu
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On plain numbers, as on a machine without vectors: this crate's other tests see the best instruction set alone.
    fn plain<T: Elementary, P: Pointwise<1, 1>>(f: P, x: &[T]) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len()];
        Run { f, inputs: [x], outputs: [&mut y] }.with_simd(pulp::Scalar::new());
        y
    }

    /// Distance in units in the last place of the exact value, of `f32`.
    fn ulps(got: f32, exact: f64) -> f64 {
        let near = exact as f32;
        if got == near || got.is_nan() && near.is_nan() {
            return 0.0;
        }
        let exponent = (near.abs().to_bits() >> 23).max(1) as i32 - 150;
        (f64::from(got) - exact).abs() / 2.0_f64.powi(exponent)
    }

    fn check<P: Pointwise<1, 1>>(name: &str, f: P, exact: fn(f64) -> f64) {
        let x: Vec<f32> = (0..=u32::MAX / 5_003).map(|i| f32::from_bits(i * 5_003)).collect();
        let ends = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -1e-45, 88.8, -104.0, 1.0];
        for x in [&x[..], &ends] {
            for (&x, y) in x.iter().zip(plain(f, x)) {
                let (error, exact) = (ulps(y, exact(x.into())), exact(x.into()));
                assert!(error <= 4.0, "{name}({x:e}) = {y:e}, not {exact:e}: {error} ulp");
                assert!(
                    exact != 0.0 || y.is_sign_negative() == exact.is_sign_negative(),
                    "{name}({x:e}): sign"
                );
            }
        }
        // Twice as many digits: both paths are within four ulp of the exact value.
        let x: Vec<f64> = (0..100_000_u64).map(|i| f64::from_bits(i * 184_467_440_737_095)).collect();
        let mut vector = vec![0.0; x.len()];
        f.run_f64([&x], [&mut vector]);
        for ((&x, plain), vector) in x.iter().zip(plain(f, &x)).zip(vector) {
            let same = plain.is_nan() && vector.is_nan() || plain.to_bits().abs_diff(vector.to_bits()) <= 8;
            assert!(same, "{name}({x:e}): {plain:e} without vectors, {vector:e} with");
        }
    }

    #[test]
    fn functions_without_vectors_are_within_four_ulp() {
        check("exp", Exp, f64::exp);
        check("ln", Ln, f64::ln);
        check("tanh", Tanh, f64::tanh);
        check("sigmoid", Sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
        check("softplus", Softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p());
        check("silu", Silu, |x| if x == f64::NEG_INFINITY { -0.0 } else { x / (1.0 + (-x).exp()) });
    }
}
