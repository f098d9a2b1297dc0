//! A net as a vector field with all its derivatives, of second order too: forward over reverse.
//!
//! With tangents (dots) of inputs and parameters, values and tangents go forward together: `z = W a + b`, `ż = W ȧ + Ẇ a + ḃ`,
//! `a' = φ(z)`, `ȧ' = φ'(z) ż`. The pull-back and its derivative follow backward:
//!
//! ```text
//! z̄ = ā' φ'    z̄˙ = ā˙' φ' + ā' φ'' ż    W̄ += z̄ aᵀ    W̄˙ += z̄˙ aᵀ + z̄ ȧᵀ    ā = Wᵀ z̄    ā˙ = Wᵀ z̄˙ + Ẇᵀ z̄
//! ```

use chreode_core::{FieldError, Jvp, ParamJvp, Real, Slot, VectorField, Vjp, VjpTangent};
use chreode_linalg::{GemmScratch, layer_backward_input, layer_backward_params, layer_forward};

use super::net::tensors_mut;
use super::{Mlp, MlpShape, TILE};
use crate::ModelError;

/// `dy/dt = net(y; p)`: a net with as many outputs as inputs, as a vector field with products and pull-backs of first and second
/// order. Sweeps of adjoints may keep its layers ([`Vjp::eval_kept`]).
///
/// ```
/// use chreode_core::VectorField;
/// use chreode_linalg::Activation;
/// use chreode_model::{MlpShape, SquareMlp};
/// let mut f = SquareMlp::<f64>::new(MlpShape::new(2, &[3], 2, Activation::Tanh))?;
/// let (p, mut dy) = (vec![0.1; f.n_params()], [0.0; 4]);
/// f.eval(0.0, &[1.0, 0.5, -1.0, 2.0], &p, &mut dy)?; // two trajectories
/// assert!(SquareMlp::<f64>::new(MlpShape::new(2, &[3], 1, Activation::Tanh)).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SquareMlp<T: Real> {
    net: Mlp<T>,
    /// Made when tangents are first asked for.
    tangents: Option<Box<Tangents<T>>>,
}

impl<T: Real> SquareMlp<T> {
    /// A field of this shape.
    ///
    /// # Errors
    /// [`ModelError::Length`] if there are not as many outputs as inputs.
    pub fn new(shape: MlpShape) -> Result<Self, ModelError> {
        let (found, expected) = (shape.outputs(), shape.inputs());
        if found != expected {
            return Err(ModelError::Length { what: "outputs of a net that is a field", found, expected });
        }
        Ok(Self { net: Mlp::new(shape), tangents: None })
    }

    /// Sizes and layout.
    pub fn shape(&self) -> &MlpShape {
        self.net.shape()
    }

    fn tangents(&mut self) -> &mut Tangents<T> {
        let shape = self.net.shape();
        self.tangents.get_or_insert_with(|| Box::new(Tangents::new(shape.clone())))
    }

    fn check(&self, t: f64, y: &[T], p: &[T], like_y: &[usize]) -> Result<(), FieldError> {
        if !y.len().is_multiple_of(self.dim()) || like_y.iter().any(|&len| len != y.len()) {
            return Err(FieldError::Fatal { t, what: "a slice of states is not [n, d]" });
        }
        if p.len() != self.n_params() {
            return Err(FieldError::Fatal { t, what: "the parameters are not those of this net" });
        }
        Ok(())
    }
}

impl<T: Real> VectorField<T> for SquareMlp<T> {
    fn dim(&self) -> usize {
        self.net.shape().inputs()
    }

    fn n_params(&self) -> usize {
        self.net.shape().layout().len()
    }

    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[dy.len()])?;
        self.net.forward(y, p, dy);
        Ok(())
    }
}

impl<T: Real> Vjp<T> for SquareMlp<T> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[lambda.len(), y_bar.len()])?;
        self.check(t, y, p_bar, &[])?;
        self.net.vjp(y, p, lambda, y_bar, p_bar);
        Ok(())
    }

    fn eval_kept(&mut self, slot: Slot, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[dy.len()])?;
        self.net.forward_kept(slot, y, p, dy);
        Ok(())
    }

    fn kept_bytes(&self, n: usize) -> usize {
        self.net.kept_bytes(n)
    }

    fn vjp_kept(
        &mut self,
        slot: Slot,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[lambda.len(), y_bar.len()])?;
        self.check(t, y, p_bar, &[])?;
        self.net.vjp_kept(slot, y, p, lambda, y_bar, p_bar);
        Ok(())
    }

    fn defer(&mut self) {
        self.net.defer();
    }

    fn settle(&mut self, p_bar: &mut [T]) {
        self.net.settle(p_bar);
    }

    fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<T>> {
        Some(self)
    }
}

impl<T: Real> Jvp<T> for SquareMlp<T> {
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[v.len(), jv.len()])?;
        self.tangents().product(y, p, v, None, jv);
        Ok(())
    }
}

impl<T: Real> ParamJvp<T> for SquareMlp<T> {
    fn param_jvp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        jv: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[])?;
        if y.is_empty() {
            return Ok(());
        }
        let (nd, np) = (y.len(), p.len());
        let m = v.len() / nd;
        if v.len() != m * nd || jv.len() != v.len() || q.len() != m * np {
            return Err(FieldError::Fatal { t, what: "directions are not [m, n, d] and [m, n_params]" });
        }
        for (k, (v, jv)) in v.chunks_exact(nd).zip(jv.chunks_exact_mut(nd)).enumerate() {
            self.tangents().product(y, p, v, Some(&q[k * np..(k + 1) * np]), jv);
        }
        Ok(())
    }
}

impl<T: Real> VjpTangent<T> for SquareMlp<T> {
    fn vjp_tangent(
        &mut self,
        t: f64,
        (y, v): (&[T], &[T]),
        (p, q): (&[T], &[T]),
        (lambda, lambda_dot): (&[T], &[T]),
        (y_bar, y_bar_dot): (&mut [T], &mut [T]),
        (p_bar, p_bar_dot): (&mut [T], &mut [T]),
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[v.len(), lambda.len(), lambda_dot.len(), y_bar.len(), y_bar_dot.len()])?;
        for of_p in [q, &*p_bar, &*p_bar_dot] {
            self.check(t, y, of_p, &[])?;
        }
        let tile = TILE * self.dim();
        let net = self.tangents();
        for start in (0..y.len()).step_by(tile) {
            let at = start..(start + tile).min(y.len());
            net.forward(&y[at.clone()], p, &v[at.clone()], Some(q));
            net.bar.v[..at.len()].copy_from_slice(&lambda[at.clone()]);
            net.bar.dot[..at.len()].copy_from_slice(&lambda_dot[at.clone()]);
            net.backward(at.len(), (p, q), (&mut *p_bar, &mut *p_bar_dot));
            y_bar[at.clone()].copy_from_slice(&net.bar.v[..at.len()]);
            y_bar_dot[at.clone()].copy_from_slice(&net.bar.dot[..at.len()]);
        }
        Ok(())
    }
}

/// A value and its derivative.
#[derive(Debug, Clone)]
struct Pair<T> {
    v: Vec<T>,
    dot: Vec<T>,
}

/// The net with tangents, on a tile of rows.
#[derive(Debug, Clone)]
struct Tangents<T: Real> {
    shape: MlpShape,
    /// What goes into each layer, `[TILE, width]`.
    a: Vec<Pair<T>>,
    /// Tangents of the pre-activations of each hidden layer, and `φ'` and `φ''` there.
    z_dot: Vec<Vec<T>>,
    slopes: Vec<[Vec<T>; 2]>,
    /// Pre-activations of the layer in hand; adjoints of it and of the one before; what is to be added, `[TILE, widest]`.
    z: Pair<T>,
    bar: Pair<T>,
    next_bar: Pair<T>,
    part: Vec<T>,
    scratch: GemmScratch<T>,
}

impl<T: Real> Tangents<T> {
    fn new(shape: MlpShape) -> Self {
        let buffer = |width: usize| vec![T::ZERO; TILE * width];
        let pair = |width: usize| Pair { v: buffer(width), dot: buffer(width) };
        let (widest, hidden) = (shape.max_width(), &shape.layers[..shape.layers.len() - 1]);
        let mut scratch = GemmScratch::new();
        scratch.reserve(TILE, widest);
        Self {
            a: shape.layers.iter().map(|l| pair(l.shape.inp)).collect(),
            z_dot: hidden.iter().map(|l| buffer(l.shape.out)).collect(),
            slopes: hidden.iter().map(|l| [buffer(l.shape.out), buffer(l.shape.out)]).collect(),
            z: pair(widest),
            bar: pair(widest),
            next_bar: pair(widest),
            part: buffer(widest),
            scratch,
            shape,
        }
    }

    /// Sets `jv` to the product with the direction `v` of the inputs and `q` of the parameters.
    fn product(&mut self, y: &[T], p: &[T], v: &[T], q: Option<&[T]>, jv: &mut [T]) {
        let tile = TILE * self.shape.inputs();
        for ((y, v), jv) in y.chunks(tile).zip(v.chunks(tile)).zip(jv.chunks_mut(tile)) {
            self.forward(y, p, v, q);
            jv.copy_from_slice(&self.z.dot[..jv.len()]);
        }
    }

    /// Values and tangents of all layers; `z` is then that of the outputs.
    fn forward(&mut self, y: &[T], p: &[T], v: &[T], q: Option<&[T]>) {
        let (phi, n) = (self.shape.activation(), y.len() / self.shape.inputs());
        self.a[0].v[..y.len()].copy_from_slice(y);
        self.a[0].dot[..y.len()].copy_from_slice(v);
        for (l, layer) in self.shape.layers.iter().enumerate() {
            let (len, of_inputs) = (n * layer.shape.out, ..n * layer.shape.inp);
            let (z, z_dot) = (&mut self.z.v[..len], &mut self.z.dot[..len]);
            let (a, a_dot) = (&self.a[l].v[of_inputs], &self.a[l].dot[of_inputs]);
            let (b, w) = (layer.b.clone(), layer.w.clone());
            layer_forward(a, &p[w.clone()], b.clone().map(|b| &p[b]), layer.shape, z, &mut self.scratch);
            layer_forward(a_dot, &p[w.clone()], None, layer.shape, z_dot, &mut self.scratch);
            if let Some(q) = q {
                let part = &mut self.part[..len];
                layer_forward(a, &q[w], b.map(|b| &q[b]), layer.shape, part, &mut self.scratch);
                z_dot.iter_mut().zip(&*part).for_each(|(z, &part)| *z += part);
            }
            if let Some(next) = self.a.get_mut(l + 1) {
                let (a, [d1, d2]) = (&mut next.v[..len], &mut self.slopes[l]);
                phi.apply(z, a);
                phi.derivatives(z, a, &mut d1[..len], &mut d2[..len]);
                self.z_dot[l][..len].copy_from_slice(z_dot);
                for ((a, &d1), &z) in next.dot.iter_mut().zip(&d1[..len]).zip(&*z_dot) {
                    *a = d1 * z;
                }
            }
        }
    }

    /// From the adjoints of the outputs, with their derivatives, to those of the inputs, in `bar`; `values` is how many there are.
    fn backward(&mut self, values: usize, (p, q): (&[T], &[T]), (p_bar, p_bar_dot): (&mut [T], &mut [T])) {
        let n = values / self.shape.outputs();
        for (l, layer) in self.shape.layers.iter().enumerate().rev() {
            let (len, of_inputs) = (n * layer.shape.out, ..n * layer.shape.inp);
            let (bar, bar_dot) = (&mut self.bar.v[..len], &mut self.bar.dot[..len]);
            if let (Some([d1, d2]), Some(z_dot)) = (self.slopes.get(l), self.z_dot.get(l)) {
                let slopes = d1.iter().zip(d2).zip(z_dot);
                for ((bar, bar_dot), ((&d1, &d2), &z_dot)) in bar.iter_mut().zip(&mut *bar_dot).zip(slopes) {
                    *bar_dot = *bar_dot * d1 + *bar * d2 * z_dot;
                    *bar *= d1;
                }
            }
            let (a, a_dot) = (&self.a[l].v[of_inputs], &self.a[l].dot[of_inputs]);
            let (w_bar, b_bar) = tensors_mut(p_bar, &layer.w, layer.b.as_ref());
            layer_backward_params(bar, a, layer.shape, w_bar, b_bar, &mut self.scratch);
            let (w_bar, b_bar) = tensors_mut(p_bar_dot, &layer.w, layer.b.as_ref());
            layer_backward_params(bar_dot, a, layer.shape, w_bar, b_bar, &mut self.scratch);
            layer_backward_params(bar, a_dot, layer.shape, w_bar, None, &mut self.scratch);
            let (next, next_dot) = (&mut self.next_bar.v[of_inputs], &mut self.next_bar.dot[of_inputs]);
            let part = &mut self.part[of_inputs];
            layer_backward_input(bar, &p[layer.w.clone()], layer.shape, next, &mut self.scratch);
            layer_backward_input(bar_dot, &p[layer.w.clone()], layer.shape, next_dot, &mut self.scratch);
            layer_backward_input(bar, &q[layer.w.clone()], layer.shape, part, &mut self.scratch);
            next_dot.iter_mut().zip(&*part).for_each(|(next, &part)| *next += part);
            std::mem::swap(&mut self.bar, &mut self.next_bar);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_linalg::Activation;

    fn wave(len: usize, by: f64) -> Vec<f64> {
        (0..len).map(|i| (by * (i as f64 + 1.0)).sin()).collect()
    }

    /// `(f(x + h v) - f(x - h v)) / 2h` for each number that `f` tells, with `f` of states, parameters and cotangents.
    fn difference(mut f: impl FnMut(f64) -> Vec<f64>) -> Vec<f64> {
        let h = 1e-5;
        f(h).iter().zip(f(-h)).map(|(plus, minus)| (plus - minus) / (2.0 * h)).collect()
    }

    fn near(what: &str, got: &[f64], expected: &[f64]) {
        let scale = expected.iter().fold(1e-3, |s: f64, x| s.max(x.abs()));
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-7 * scale, "{what}: {got} {expected}");
        }
    }

    #[test]
    fn products_and_their_pull_backs() {
        let n = TILE + 3;
        for (activation, hidden) in
            [(Activation::Tanh, &[5, 4][..]), (Activation::Silu, &[6]), (Activation::Softplus, &[])]
        {
            let mut f = SquareMlp::<f64>::new(MlpShape::new(3, hidden, 3, activation)).unwrap();
            let (nd, np) = (3 * n, f.n_params());
            let (y, v, p, q) = (wave(nd, 0.7), wave(nd, 1.3), wave(np, 0.9), wave(np, 2.1));
            let (l, l_dot) = (wave(nd, 0.3), wave(nd, 1.9));
            let moved = |x: &[f64], by: &[f64], h: f64| -> Vec<f64> {
                x.iter().zip(by).map(|(x, by)| x + h * by).collect()
            };
            let eval = |f: &mut SquareMlp<f64>, y: &[f64], p: &[f64]| {
                let mut dy = vec![0.0; nd];
                f.eval(0.0, y, p, &mut dy).unwrap();
                dy
            };
            let mut jv = vec![0.0; 2 * nd];
            f.jvp(0.0, &y, &p, &v, &mut jv[..nd]).unwrap();
            near("jvp", &jv[..nd], &difference(|h| eval(&mut f, &moved(&y, &v, h), &p)));
            let (v2, q2) = ([&v[..], &l].concat(), [&q[..], &p].concat());
            f.param_jvp(0.0, &y, &p, &v2, &q2, &mut jv).unwrap();
            for (k, jv) in jv.chunks_exact(nd).enumerate() {
                let (v, q) = (&v2[k * nd..(k + 1) * nd], &q2[k * np..(k + 1) * np]);
                near("param_jvp", jv, &difference(|h| eval(&mut f, &moved(&y, v, h), &moved(&p, q, h))));
            }

            let vjp = |f: &mut SquareMlp<f64>, h: f64| {
                let (mut y_bar, mut p_bar) = (vec![0.0; nd], vec![0.0; np]);
                let (y, p, l) = (moved(&y, &v, h), moved(&p, &q, h), moved(&l, &l_dot, h));
                f.vjp(0.0, &y, &p, &l, &mut y_bar, &mut p_bar).unwrap();
                [y_bar, p_bar].concat()
            };
            let (mut y_bar, mut y_bar_dot) = (vec![9.0; nd], vec![9.0; nd]);
            let (mut p_bar, mut p_bar_dot) = (vec![1.0; np], vec![2.0; np]);
            f.vjp_tangent(
                0.0,
                (&y, &v),
                (&p, &q),
                (&l, &l_dot),
                (&mut y_bar, &mut y_bar_dot),
                (&mut p_bar, &mut p_bar_dot),
            )
            .unwrap();
            p_bar.iter_mut().for_each(|x| *x -= 1.0);
            p_bar_dot.iter_mut().for_each(|x| *x -= 2.0);
            near("pull-back", &[y_bar, p_bar].concat(), &vjp(&mut f, 0.0));
            near("its tangent", &[y_bar_dot, p_bar_dot].concat(), &difference(|h| vjp(&mut f, h)));
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let mut f = SquareMlp::<f64>::new(MlpShape::new(2, &[3], 2, Activation::Tanh)).unwrap();
        let p = vec![0.1; f.n_params()];
        assert!(f.eval(0.0, &[1.0; 3], &p, &mut [0.0; 3]).is_err());
        assert!(f.eval(0.0, &[1.0; 2], &p[1..], &mut [0.0; 2]).is_err());
        assert!(f.param_jvp(0.0, &[1.0; 2], &p, &[1.0; 4], &p, &mut [0.0; 4]).is_err());
        assert!(f.vjp(0.0, &[1.0; 2], &p, &[1.0; 2], &mut [0.0; 2], &mut [0.0; 2]).is_err());
    }
}
