//! Rotation by noise, at a speed that depends on the radius: scalar noise that couples the coordinates, solved in
//! closed form.

use chreode_core::{
    Calculus, Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, FieldError, NoiseKind, Real,
    VectorField, Vjp,
};

/// `dX = ω J X (a cos t dt + σ ∘ dW)` in the plane, with `J X = (−X₂, X₁)` and `ω = 1 / (1 + |X|²)`; in Itô calculus the
/// drift has `−σ² ω² X / 2` beside it.
///
/// `p = [a, σ]`. The solution turns `X(0)` by the angle `ω (a sin t + σ W(t))`; the radius stays.
#[derive(Debug, Clone)]
pub struct SpinSde {
    /// The calculus in which the coefficients are meant.
    pub calculus: Calculus,
}

impl SpinSde {
    /// The solution at `t`, from `y0` at time 0, where the Brownian motion has reached `w`.
    pub fn exact(t: f64, y0: [f64; 2], w: f64, p: &[f64]) -> [f64; 2] {
        let angle = (p[0] * t.sin() + p[1] * w) / (1.0 + y0[0] * y0[0] + y0[1] * y0[1]);
        let (sin, cos) = angle.sin_cos();
        [cos * y0[0] - sin * y0[1], sin * y0[0] + cos * y0[1]]
    }
}

fn speed<T: Real>(x: [T; 2]) -> T {
    T::ONE / (T::ONE + x[0] * x[0] + x[1] * x[1])
}

fn pairs<T: Copy>(y: &[T]) -> impl Iterator<Item = [T; 2]> {
    y.as_chunks::<2>().0.iter().copied()
}

impl<T: Real> VectorField<T> for SpinSde {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let forcing = p[0] * T::c(t.cos());
        let half_s2 = match self.calculus {
            Calculus::Ito => p[1] * p[1] * T::c(0.5),
            Calculus::Stratonovich => T::ZERO,
        };
        for (dy, x) in dy.chunks_exact_mut(2).zip(pairs(y)) {
            let w = speed(x);
            dy[0] = -forcing * w * x[1] - half_s2 * w * w * x[0];
            dy[1] = forcing * w * x[0] - half_s2 * w * w * x[1];
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for SpinSde {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Scalar
    }
    fn calculus(&self) -> Calculus {
        self.calculus
    }
    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        Some(self)
    }
    fn diffusion(&mut self, _t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        for (g, x) in g.chunks_exact_mut(2).zip(pairs(y)) {
            let w = p[1] * speed(x);
            (g[0], g[1]) = (-w * x[1], w * x[0]);
        }
        Ok(())
    }
}

impl<T: Real> DiffusionJvp<T> for SpinSde {
    fn diffusion_jvp(&mut self, _t: f64, y: &[T], p: &[T], v: &[T], gv: &mut [T]) -> Result<(), FieldError> {
        for ((gv, x), v) in gv.chunks_exact_mut(2).zip(pairs(y)).zip(pairs(v)) {
            let w = speed(x);
            let dw = T::c(-2.0) * w * w * (x[0] * v[0] + x[1] * v[1]);
            gv[0] = -p[1] * (w * v[1] + dw * x[1]);
            gv[1] = p[1] * (w * v[0] + dw * x[0]);
        }
        Ok(())
    }
}

/// Speed and its gradient.
fn speed_gradient<T: Real>(x: [T; 2]) -> (T, [T; 2]) {
    let w = speed(x);
    (w, x.map(|x| T::c(-2.0) * w * w * x))
}

impl<T: Real> Vjp<T> for SpinSde {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let cos = T::c(t.cos());
        let ito = T::c(if self.calculus == Calculus::Ito { 1.0 } else { 0.0 });
        let half_s2 = ito * p[1] * p[1] * T::c(0.5);
        for ((y_bar, x), l) in y_bar.chunks_exact_mut(2).zip(pairs(y)).zip(pairs(lambda)) {
            let (w, w_x) = speed_gradient(x);
            let (turn, along) = (l[1] * x[0] - l[0] * x[1], l[0] * x[0] + l[1] * x[1]);
            let by_speed = p[0] * cos * turn - T::c(2.0) * half_s2 * w * along;
            y_bar[0] = p[0] * cos * w * l[1] - half_s2 * w * w * l[0] + w_x[0] * by_speed;
            y_bar[1] = -p[0] * cos * w * l[0] - half_s2 * w * w * l[1] + w_x[1] * by_speed;
            p_bar[0] += cos * w * turn;
            p_bar[1] -= ito * p[1] * w * w * along;
        }
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for SpinSde {
    fn with_jvp_vjp(&mut self) -> Option<&mut dyn DiffusionJvpVjp<T>> {
        Some(self)
    }
    fn diffusion_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        for ((y_bar, x), b) in y_bar.chunks_exact_mut(2).zip(pairs(y)).zip(pairs(g_bar)) {
            let (w, w_x) = speed_gradient(x);
            let turn = b[1] * x[0] - b[0] * x[1];
            y_bar[0] += p[1] * (w * b[1] + turn * w_x[0]);
            y_bar[1] += p[1] * (turn * w_x[1] - w * b[0]);
            p_bar[1] += w * turn;
        }
        Ok(())
    }
}

impl<T: Real> DiffusionJvpVjp<T> for SpinSde {
    fn diffusion_jvp_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        gv_bar: &[T],
        y_bar: &mut [T],
        v_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let two = T::c(2.0);
        let bars = y_bar.chunks_exact_mut(2).zip(v_bar.chunks_exact_mut(2));
        for (((y_bar, v_bar), x), (v, b)) in bars.zip(pairs(y)).zip(pairs(v).zip(pairs(gv_bar))) {
            let (w, w_x) = speed_gradient(x);
            let turned = [b[1], -b[0]];
            let (turn_v, turn_x) = (turned[0] * v[0] + turned[1] * v[1], turned[0] * x[0] + turned[1] * x[1]);
            let along = x[0] * v[0] + x[1] * v[1];
            for k in 0..2 {
                let by_speed = w_x[k] * (turn_v - T::c(4.0) * w * along * turn_x);
                y_bar[k] += p[1] * (by_speed - two * w * w * (v[k] * turn_x + along * turned[k]));
                v_bar[k] += p[1] * (w * turned[k] - two * w * w * x[k] * turn_x);
            }
            p_bar[1] += w * turn_v - two * w * w * along * turn_x;
        }
        Ok(())
    }
}
