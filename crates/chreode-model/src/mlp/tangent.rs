//! Tangents of a perceptron and their VJP: a hand-derived second-order backward; the gradient of a scalar net from it.
//!
//! For `λᵀ∇ψ` the VJP is the gradient of a directional derivative. With the tangent `ȧ` of the inputs set to
//! `λ`, values and tangents go forward together, `z = W a + b`, `ż = W ȧ`, `a' = φ(z)`, `ȧ' = φ'(z) ż`, and
//! `λᵀ∇ψ = w · ȧ` at the output. Backward, with bars for adjoints,
//!
//! ```text
//! ż̄ = ǡ' φ'(z)      z̄ = ā' φ'(z) + ǡ' ż φ''(z)      W̄ += z̄ aᵀ + ż̄ ȧᵀ      b̄ += z̄      ā = Wᵀ z̄      ǡ = Wᵀ ż̄
//! ```
//!
//! Values and tangents lie in one buffer, values first, so that every product with `W` is one GEMM of `2n` rows.

use chreode_core::Real;
use chreode_linalg::{GemmScratch, layer_backward_input, layer_backward_params, layer_forward};

use super::net::tensors_mut;
use super::{MlpShape, TILE};

/// A net with tangents, with the scratch of one worker.
#[derive(Debug, Clone)]
pub(crate) struct TangentNet<T: Real> {
    shape: MlpShape,
    /// Pre-activations of each layer and inputs to each layer, `[2 TILE, width]`: values, then tangents.
    z: Vec<Vec<T>>,
    a: Vec<Vec<T>>,
    /// `φ'` and `φ''` of each hidden layer, `[TILE, width]`.
    d1: Vec<Vec<T>>,
    d2: Vec<Vec<T>>,
    /// Adjoints, `[2 TILE, widest]`: of values, then of tangents.
    bar: Vec<T>,
    next_bar: Vec<T>,
    scratch: GemmScratch<T>,
}

impl<T: Real> TangentNet<T> {
    pub(crate) fn new(shape: MlpShape) -> Self {
        let buffer = |width: usize| vec![T::ZERO; TILE * width];
        let hidden = shape.layers.len() - 1;
        let mut scratch = GemmScratch::new();
        scratch.reserve(2 * TILE, shape.max_width());
        let derivatives = || shape.layers[..hidden].iter().map(|l| buffer(l.shape.out)).collect();
        Self {
            z: shape.layers.iter().map(|l| buffer(2 * l.shape.out)).collect(),
            a: shape.layers.iter().map(|l| buffer(2 * l.shape.inp)).collect(),
            d1: derivatives(),
            d2: derivatives(),
            bar: buffer(2 * shape.max_width()),
            next_bar: buffer(2 * shape.max_width()),
            scratch,
            shape,
        }
    }

    pub(crate) fn shape(&self) -> &MlpShape {
        &self.shape
    }

    /// The inputs of a tile of `n` rows, to be written first.
    pub(crate) fn input(&mut self, n: usize) -> &mut [T] {
        &mut self.a[0][..n * self.shape.inputs()]
    }

    /// The tangents of the inputs, to be written before [`Self::vjp_tile`].
    pub(crate) fn input_tangent(&mut self, n: usize) -> &mut [T] {
        let len = n * self.shape.inputs();
        &mut self.a[0][len..2 * len]
    }

    /// The values `ψ`, `[n]`.
    pub(crate) fn value_tile(&mut self, n: usize, p: &[T]) -> &[T] {
        self.forward_values(n, p);
        &self.z[self.z.len() - 1][..n]
    }

    /// The gradient `∇ψ`, `[n, inputs]`.
    pub(crate) fn gradient_tile(&mut self, n: usize, p: &[T]) -> &[T] {
        self.forward_values(n, p);
        let phi = self.shape.activation();
        self.bar[..n].fill(T::ONE);
        for (l, layer) in self.shape.layers.iter().enumerate().rev() {
            let bar = &mut self.bar[..n * layer.shape.out];
            if let Some(a) = self.a.get(l + 1) {
                phi.backward(&self.z[l][..n * layer.shape.out], &a[..n * layer.shape.out], bar);
            }
            let x_bar = &mut self.next_bar[..n * layer.shape.inp];
            layer_backward_input(bar, &p[layer.w.clone()], layer.shape, x_bar, &mut self.scratch);
            std::mem::swap(&mut self.bar, &mut self.next_bar);
        }
        &self.bar[..n * self.shape.inputs()]
    }

    fn forward_values(&mut self, n: usize, p: &[T]) {
        let phi = self.shape.activation();
        for (l, layer) in self.shape.layers.iter().enumerate() {
            let z = &mut self.z[l][..n * layer.shape.out];
            let x = &self.a[l][..n * layer.shape.inp];
            let b = layer.b.clone().map(|b| &p[b]);
            layer_forward(x, &p[layer.w.clone()], b, layer.shape, z, &mut self.scratch);
            if let Some(a) = self.a.get_mut(l + 1) {
                phi.apply(z, &mut a[..n * layer.shape.out]);
            }
        }
    }

    /// The VJP of the gradient along the tangents: adds to `p_bar`, returns the adjoints of the inputs.
    pub(crate) fn vjp_tile(&mut self, n: usize, p: &[T], p_bar: &mut [T]) -> &[T] {
        self.forward_tangents(n, p);
        // The sum of the tangents of ψ has adjoint one in each tangent and nothing in the values.
        self.bar[..n].fill(T::ZERO);
        self.bar[n..2 * n].fill(T::ONE);
        self.backward_tangents(n, p, p_bar).0
    }

    /// Values and tangents of the outputs after [`Self::forward_tangents`], and their adjoints, values first, to be written before
    /// [`Self::backward_tangents`].
    pub(crate) fn outputs_and_bars(&mut self, n: usize) -> (&[T], &[T], &mut [T]) {
        let len = n * self.shape.outputs();
        let (z, dz) = self.z[self.z.len() - 1][..2 * len].split_at(len);
        (z, dz, &mut self.bar[..2 * len])
    }

    /// From the adjoints of values and tangents of the outputs: adds those of the parameters, returns those of the inputs and of
    /// their tangents.
    pub(crate) fn backward_tangents(&mut self, n: usize, p: &[T], p_bar: &mut [T]) -> (&[T], &[T]) {
        for (l, layer) in self.shape.layers.iter().enumerate().rev() {
            let len = n * layer.shape.out;
            if let (Some(d1), Some(d2)) = (self.d1.get(l), self.d2.get(l)) {
                let (value, tangent) = self.bar[..2 * len].split_at_mut(len);
                let dz = &self.z[l][len..2 * len];
                let derivatives = d1[..len].iter().zip(&d2[..len]);
                for (((v, t), (&d1, &d2)), &dz) in value.iter_mut().zip(tangent).zip(derivatives).zip(dz) {
                    *v = *v * d1 + *t * dz * d2;
                    *t *= d1;
                }
            }
            let bar = &self.bar[..2 * len];
            let x = &self.a[l][..2 * n * layer.shape.inp];
            let (w_bar, b_bar) = tensors_mut(p_bar, &layer.w, layer.b.as_ref());
            layer_backward_params(bar, x, layer.shape, w_bar, None, &mut self.scratch);
            if let Some(b_bar) = b_bar {
                for row in bar[..len].chunks_exact(layer.shape.out) {
                    b_bar.iter_mut().zip(row).for_each(|(b, &z)| *b += z);
                }
            }
            let x_bar = &mut self.next_bar[..2 * n * layer.shape.inp];
            layer_backward_input(bar, &p[layer.w.clone()], layer.shape, x_bar, &mut self.scratch);
            std::mem::swap(&mut self.bar, &mut self.next_bar);
        }
        self.bar[..2 * n * self.shape.inputs()].split_at(n * self.shape.inputs())
    }

    /// Values and tangents from those of the inputs.
    pub(crate) fn forward_tangents(&mut self, n: usize, p: &[T]) {
        let phi = self.shape.activation();
        for (l, layer) in self.shape.layers.iter().enumerate() {
            let len = n * layer.shape.out;
            let z = &mut self.z[l][..2 * len];
            let x = &self.a[l][..2 * n * layer.shape.inp];
            layer_forward(x, &p[layer.w.clone()], None, layer.shape, z, &mut self.scratch);
            let (value, tangent) = z.split_at_mut(len);
            if let Some(b) = &layer.b {
                for row in value.chunks_exact_mut(layer.shape.out) {
                    row.iter_mut().zip(&p[b.clone()]).for_each(|(z, &b)| *z += b);
                }
            }
            if let Some(a) = self.a.get_mut(l + 1) {
                let (d1, d2) = (&mut self.d1[l][..len], &mut self.d2[l][..len]);
                let (a, da) = a[..2 * len].split_at_mut(len);
                phi.apply(value, a);
                phi.derivatives(value, a, d1, d2);
                for ((da, &d1), &dz) in da.iter_mut().zip(&*d1).zip(&*tangent) {
                    *da = d1 * dz;
                }
            }
        }
    }
}
