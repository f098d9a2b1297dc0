//! Seven stars in a plane with several close encounters. Source: [HNW93] section II.10.

use chreode_core::{FieldError, Jacobian, Jvp, ParamJvp, Real, VectorField, Vjp};

use super::smooth::Case;

/// Stars.
const N: usize = 7;
const DIM: usize = 4 * N;

/// `x_i'' = Σ_j m_j (x_j - x_i) / r_ij³`, the same for `y`; state `[x, y, x', y']` of seven each, `p` the masses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pleiades;

impl Pleiades {
    pub(super) fn case() -> Case {
        let mut y0 = vec![0.0; DIM];
        y0[..N].copy_from_slice(&[3.0, 3.0, -1.0, -3.0, 2.0, -2.0, 2.0]);
        y0[N..2 * N].copy_from_slice(&[3.0, -3.0, 2.0, 0.0, 0.0, -4.0, 4.0]);
        (y0[2 * N + 5], y0[2 * N + 6], y0[3 * N + 3], y0[3 * N + 4]) = (1.75, -1.5, -1.25, 1.0);
        Case {
            name: "Pleiades",
            field: Box::new(Self),
            p: (1..=N).map(|m| m as f64).collect(),
            y0,
            span: (0.0, 3.0),
            end: END.to_vec(),
        }
    }
}

/// State after three units of time.
#[rustfmt::skip]
const END: [f64; DIM] = [
    0.370613914397051290, 3.237284092057233092, -3.222559032418323347, 0.659709145577530835,
    0.342558170715657979, 1.562172101400631016, -0.700309292221249538, -3.943437585517392055,
    -3.271380973972549928, 5.225081843456544192, -2.590612434977469510, 1.198213693392274637,
    -0.242968234493582340, 1.091449240428979747, 3.417003806314314752, 1.354584501625501221,
    -2.590065597810775419, 2.025053734714241106, -1.155815100160449092, -0.807298817022302172,
    0.595239635420871876, -3.741244961234008471, 0.377345968575062903, 0.938685886955107888,
    0.366792222720056986, -0.347404635380849436, 2.344915448180936923, -1.947020434263291900,
];

#[inline(always)]
fn f<T: Real>(y: &[T], m: &[T], dy: &mut [T]) {
    let (y, m, dy) = (&y[..DIM], &m[..N], &mut dy[..DIM]);
    for i in 0..N {
        let (mut ax, mut ay) = (T::ZERO, T::ZERO);
        for j in 0..N {
            if i != j {
                let (dx, dy) = (y[j] - y[i], y[N + j] - y[N + i]);
                let r2 = dx * dx + dy * dy;
                let w = m[j] / (r2 * r2.sqrt());
                ax += w * dx;
                ay += w * dy;
            }
        }
        (dy[i], dy[N + i]) = (y[2 * N + i], y[3 * N + i]);
        (dy[2 * N + i], dy[3 * N + i]) = (ax, ay);
    }
}

/// Derivatives by state, `[28, 28]`, and by masses, `[28, 7]`.
fn derivatives<T: Real>(y: &[T], m: &[T]) -> ([[T; DIM]; DIM], [[T; N]; DIM]) {
    let (mut jy, mut jm) = ([[T::ZERO; DIM]; DIM], [[T::ZERO; N]; DIM]);
    for i in 0..N {
        (jy[i][2 * N + i], jy[N + i][3 * N + i]) = (T::ONE, T::ONE);
        for j in (0..N).filter(|&j| j != i) {
            let d = [y[j] - y[i], y[N + j] - y[N + i]];
            let inverse = T::ONE / (d[0] * d[0] + d[1] * d[1]);
            let cube = inverse * inverse.sqrt();
            for a in 0..2 {
                let row = (2 + a) * N + i;
                jm[row][j] = cube * d[a];
                for b in 0..2 {
                    let mut slope = -T::c(3.0) * d[a] * d[b] * cube * inverse;
                    if a == b {
                        slope += cube;
                    }
                    jy[row][b * N + j] += m[j] * slope;
                    jy[row][b * N + i] -= m[j] * slope;
                }
            }
        }
    }
    (jy, jm)
}

impl<T: Real> VectorField<T> for Pleiades {
    fn dim(&self) -> usize {
        DIM
    }
    fn n_params(&self) -> usize {
        N
    }
    fn eval(&mut self, _t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        for (y, dy) in y.chunks_exact(DIM).zip(dy.chunks_exact_mut(DIM)) {
            f(y, p, dy);
        }
        Ok(())
    }
}

impl<T: Real> Jvp<T> for Pleiades {
    fn jvp(&mut self, _t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        for ((y, v), jv) in y.chunks_exact(DIM).zip(v.chunks_exact(DIM)).zip(jv.chunks_exact_mut(DIM)) {
            let (jy, _) = derivatives(y, p);
            for (jv, row) in jv.iter_mut().zip(&jy) {
                *jv = row.iter().zip(v).map(|(&j, &v)| j * v).sum();
            }
        }
        Ok(())
    }
}

impl<T: Real> ParamJvp<T> for Pleiades {
    fn param_jvp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        jv: &mut [T],
    ) -> Result<(), FieldError> {
        let len = y.len();
        for (row, y) in y.chunks_exact(DIM).enumerate() {
            let (jy, jm) = derivatives(y, p);
            for (m, (v, jv)) in v.chunks_exact(len).zip(jv.chunks_exact_mut(len)).enumerate() {
                let rows = row * DIM..(row + 1) * DIM;
                let (v, q) = (&v[rows.clone()], &q[m * N..(m + 1) * N]);
                for ((jv, jy), jm) in jv[rows].iter_mut().zip(&jy).zip(&jm) {
                    let by_state: T = jy.iter().zip(v).map(|(&j, &v)| j * v).sum();
                    *jv = by_state + jm.iter().zip(q).map(|(&j, &q)| j * q).sum();
                }
            }
        }
        Ok(())
    }
}

impl<T: Real> Jacobian<T> for Pleiades {
    fn jacobian(&mut self, _t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        values.copy_from_slice(derivatives(y, p).0.as_flattened());
        Ok(())
    }
}

impl<T: Real> Vjp<T> for Pleiades {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let rows = y.chunks_exact(DIM).zip(lambda.chunks_exact(DIM)).zip(y_bar.chunks_exact_mut(DIM));
        for ((y, l), y_bar) in rows {
            let (jy, jm) = derivatives(y, p);
            for (k, y_bar) in y_bar.iter_mut().enumerate() {
                *y_bar = (0..DIM).map(|i| l[i] * jy[i][k]).sum();
            }
            for (k, p_bar) in p_bar.iter_mut().enumerate().take(N) {
                *p_bar += (0..DIM).map(|i| l[i] * jm[i][k]).sum();
            }
        }
        Ok(())
    }
}
