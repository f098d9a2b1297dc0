//! Bodies that attract each other: of the corpus, the two whose derivatives by hand are more than a line.

use chreode_core::{Dynamics, FieldError, Jacobian, Jvp, Number, VectorField, Vjp};

use super::Hand;

/// The restricted three-body problem; the state is `[x, y, x', y']`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arenstorf;

/// A body of mass `m` that lies `(x, y)` away: `m / r³`, `1 / r²` and `m / r⁵` three times.
#[inline(always)]
fn pull(m: f64, x: f64, y: f64) -> (f64, f64, f64) {
    let inverse = 1.0 / (x * x + y * y);
    let w = m * inverse * inverse.sqrt();
    (w, inverse, 3.0 * w * inverse)
}

impl Arenstorf {
    /// The symmetric block of derivatives of the accelerations by the place: `xx`, `xy`, `yy`.
    #[inline(always)]
    fn block(x: f64, y: f64, mu: f64) -> [f64; 3] {
        let (a, b) = (x + mu, x - (1.0 - mu));
        let ((w, _, v), (w2, _, v2)) = (pull(1.0 - mu, a, y), pull(mu, b, y));
        let rest = 1.0 - w - w2;
        [rest + v * a * a + v2 * b * b, (v * a + v2 * b) * y, rest + (v + v2) * y * y]
    }
}

impl Hand<4, 1> for Arenstorf {
    #[inline(always)]
    fn f(_t: f64, [x, y, u, v]: [f64; 4], [mu]: [f64; 1]) -> [f64; 4] {
        let (a, b) = (x + mu, x - (1.0 - mu));
        let ((w, _, _), (w2, _, _)) = (pull(1.0 - mu, a, y), pull(mu, b, y));
        [u, v, x + 2.0 * v - w * a - w2 * b, y - 2.0 * u - (w + w2) * y]
    }
    #[inline(always)]
    fn jv(_t: f64, [x, y, _, _]: [f64; 4], [mu]: [f64; 1], [dx, dy, du, dv]: [f64; 4]) -> [f64; 4] {
        let [xx, xy, yy] = Self::block(x, y, mu);
        [du, dv, xx * dx + xy * dy + 2.0 * dv, xy * dx + yy * dy - 2.0 * du]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [x, y, _, _]: [f64; 4], [mu]: [f64; 1]) -> [[f64; 4]; 4] {
        let [xx, xy, yy] = Self::block(x, y, mu);
        [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [xx, xy, 0.0, 2.0], [xy, yy, -2.0, 0.0]]
    }
    #[inline(always)]
    fn pulled(_t: f64, [x, y, _, _]: [f64; 4], [mu]: [f64; 1], l: [f64; 4]) -> ([f64; 4], [f64; 1]) {
        let (a, b) = (x + mu, x - (1.0 - mu));
        let ((w, i, v), (w2, i2, v2)) = (pull(1.0 - mu, a, y), pull(mu, b, y));
        let (toward, toward2) = (l[2] * a + l[3] * y, l[2] * b + l[3] * y);
        let (s, s2) = (v * toward, v2 * toward2);
        let by_x = s * a - w * l[2] + s2 * b - w2 * l[2];
        let by_y = (s + s2) * y - (w + w2) * l[3];
        // By the masses, and as both places move with mu.
        let by_mu = i * i.sqrt() * toward - i2 * i2.sqrt() * toward2 + by_x;
        ([l[2] + by_x, l[3] + by_y, l[0] - 2.0 * l[3], l[1] + 2.0 * l[2]], [by_mu])
    }
}

/// The same for any number.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArenstorfModel;
impl Dynamics for ArenstorfModel {
    fn dim(&self) -> usize {
        4
    }
    fn n_params(&self) -> usize {
        1
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let (mu, rest) = (p[0], S::c(1.0) - p[0]);
        let (a, b) = (y[0] + mu, y[0] - rest);
        let (r, r2) = (a * a + y[1] * y[1], b * b + y[1] * y[1]);
        let (w, w2) = (rest / (r * r.sqrt()), mu / (r2 * r2.sqrt()));
        (dy[0], dy[1]) = (y[2], y[3]);
        dy[2] = y[0] + y[3] * 2.0 - w * a - w2 * b;
        dy[3] = y[1] - y[2] * 2.0 - (w + w2) * y[1];
    }
}

/// Stars of the Pleiades.
const N: usize = 7;
const DIM: usize = 4 * N;

/// Seven stars in a plane; the state is `[x, y, x', y']` of seven each, the parameters are the masses. Each pair is looked at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pleiades;

/// Calls `each` with every pair, what lies between them, and `1 / r³` and `3 / r⁵`.
#[inline(always)]
fn pairs(y: &[f64; DIM], mut each: impl FnMut(usize, usize, [f64; 2], f64, f64)) {
    for i in 0..N {
        for j in i + 1..N {
            let d = [y[j] - y[i], y[N + j] - y[N + i]];
            let inverse = 1.0 / (d[0] * d[0] + d[1] * d[1]);
            let cube = inverse * inverse.sqrt();
            each(i, j, d, cube, 3.0 * cube * inverse);
        }
    }
}

/// The rows of a batch, which are as long as the state.
fn rows(x: &[f64]) -> &[[f64; DIM]] {
    x.as_chunks().0
}
fn rows_mut(x: &mut [f64]) -> &mut [[f64; DIM]] {
    x.as_chunks_mut().0
}

impl VectorField<f64> for Pleiades {
    fn dim(&self) -> usize {
        DIM
    }
    fn n_params(&self) -> usize {
        N
    }
    fn eval(&mut self, _t: f64, y: &[f64], m: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        for (y, dy) in rows(y).iter().zip(rows_mut(dy)) {
            dy[..2 * N].copy_from_slice(&y[2 * N..]);
            dy[2 * N..].fill(0.0);
            pairs(y, |i, j, d, cube, _| {
                for (a, d) in [(2 * N, d[0]), (3 * N, d[1])] {
                    dy[a + i] += m[j] * cube * d;
                    dy[a + j] -= m[i] * cube * d;
                }
            });
        }
        Ok(())
    }
}

impl Jvp<f64> for Pleiades {
    fn jvp(&mut self, _t: f64, y: &[f64], m: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        for ((y, v), jv) in rows(y).iter().zip(rows(v)).zip(rows_mut(jv)) {
            jv[..2 * N].copy_from_slice(&v[2 * N..]);
            jv[2 * N..].fill(0.0);
            pairs(y, |i, j, d, cube, fifth| {
                let moved = [v[j] - v[i], v[N + j] - v[N + i]];
                let along = fifth * (d[0] * moved[0] + d[1] * moved[1]);
                for (a, d, moved) in [(2 * N, d[0], moved[0]), (3 * N, d[1], moved[1])] {
                    let turned = cube * moved - along * d;
                    jv[a + i] += m[j] * turned;
                    jv[a + j] -= m[i] * turned;
                }
            });
        }
        Ok(())
    }
}

impl Jacobian<f64> for Pleiades {
    fn jacobian(&mut self, _t: f64, y: &[f64], m: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        values.fill(0.0);
        let j = rows_mut(values);
        (0..2 * N).for_each(|i| j[i][2 * N + i] = 1.0);
        for y in rows(y) {
            pairs(y, |i, k, d, cube, fifth| {
                let cross = -fifth * d[0] * d[1];
                let slope = [[cube - fifth * d[0] * d[0], cross], [cross, cube - fifth * d[1] * d[1]]];
                for (a, slope) in slope.iter().enumerate() {
                    for (b, slope) in slope.iter().enumerate() {
                        let (row, by) = ((2 + a) * N, b * N);
                        (j[row + i][by + k], j[row + k][by + i]) = (m[k] * slope, m[i] * slope);
                        j[row + i][by + i] -= m[k] * slope;
                        j[row + k][by + k] -= m[i] * slope;
                    }
                }
            });
        }
        Ok(())
    }
}

impl Vjp<f64> for Pleiades {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        m: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let mut by_mass = [0.0; N];
        for ((y, l), y_bar) in rows(y).iter().zip(rows(lambda)).zip(rows_mut(y_bar)) {
            y_bar[..2 * N].fill(0.0);
            y_bar[2 * N..].copy_from_slice(&l[..2 * N]);
            pairs(y, |i, j, d, cube, fifth| {
                let (li, lj) = ([l[2 * N + i], l[3 * N + i]], [l[2 * N + j], l[3 * N + j]]);
                let (to_i, to_j) = (li[0] * d[0] + li[1] * d[1], lj[0] * d[0] + lj[1] * d[1]);
                by_mass[j] += cube * to_i;
                by_mass[i] -= cube * to_j;
                let along = fifth * (m[j] * to_i - m[i] * to_j);
                for a in 0..2 {
                    let turned = cube * (m[j] * li[a] - m[i] * lj[a]) - along * d[a];
                    y_bar[a * N + j] += turned;
                    y_bar[a * N + i] -= turned;
                }
            });
        }
        p_bar.iter_mut().zip(by_mass).for_each(|(p_bar, by)| *p_bar += by);
        Ok(())
    }
}

/// The same for any number, as one writes the equations.
#[derive(Debug, Clone, Copy, Default)]
pub struct PleiadesModel;
impl Dynamics for PleiadesModel {
    fn dim(&self) -> usize {
        DIM
    }
    fn n_params(&self) -> usize {
        N
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], m: &[S], dy: &mut [S]) {
        for i in 0..N {
            let (mut ax, mut ay) = (S::c(0.0), S::c(0.0));
            for j in (0..N).filter(|&j| j != i) {
                let (dx, dy) = (y[j] - y[i], y[N + j] - y[N + i]);
                let r2 = dx * dx + dy * dy;
                let w = m[j] / (r2 * r2.sqrt());
                (ax, ay) = (ax + w * dx, ay + w * dy);
            }
            (dy[i], dy[N + i]) = (y[2 * N + i], y[3 * N + i]);
            (dy[2 * N + i], dy[3 * N + i]) = (ax, ay);
        }
    }
}
