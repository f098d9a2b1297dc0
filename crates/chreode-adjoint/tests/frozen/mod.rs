//! Steps of implicit methods taken again with their lengths frozen, by dense Newton iterations of all stages at once, written for
//! tests on their own; and stiff problems with parameters.

#![allow(dead_code, reason = "not every test needs all")]

pub(crate) mod ndf;
pub(crate) mod tangent;

use chreode_adjoint::{OdeAdjoint, OdeMethod};
use chreode_core::LinearSolver;
use chreode_core::{FieldError, Jacobian, Real, Sparsity, VectorField, Vjp, VjpTangent};
use chreode_linalg::Lu;
use chreode_solve::{RadauTableau, SolveOptions};
use chreode_testkit::{
    BrusselatorLine, BrusselatorSquare, Curved, Smooth, StiffCase, StiffField, stiff_corpus, stiff_squares,
};

/// A field whose derivatives are each multiplied by a parameter: `dy_i = p_(i mod np) f_i`.
pub(crate) struct Rated<T> {
    pub(crate) f: Box<dyn Curved<T>>,
    np: usize,
    dy: Vec<T>,
    values: Vec<T>,
    /// Whether it shows its Jacobian, and its second derivatives.
    pub(crate) shows: bool,
    pub(crate) shows_second: bool,
}

impl<T: Real> Rated<T> {
    pub(crate) fn new(f: Box<dyn Curved<T>>, np: usize) -> Self {
        let d = f.dim();
        let entries = f.sparsity().map_or(d * d, Sparsity::len);
        Self { np, dy: vec![T::ZERO; d], values: vec![T::ZERO; entries], shows: true, shows_second: true, f }
    }

    pub(crate) fn np(&self) -> usize {
        self.np
    }

    /// Calls `entry(at, row, column)` for the entries of the Jacobian.
    fn each(&self, mut entry: impl FnMut(usize, usize, usize)) {
        let d = self.dy.len();
        match self.f.sparsity() {
            Some(s) => {
                let columns = (0..d).flat_map(|j| s.column(j).iter().map(move |&i| (i, j)));
                columns.enumerate().for_each(|(at, (i, j))| entry(at, i, j));
            }
            None => (0..d * d).for_each(|at| entry(at, at / d, at % d)),
        }
    }
}

impl<T: Real> VectorField<T> for Rated<T> {
    fn dim(&self) -> usize {
        self.dy.len()
    }
    fn n_params(&self) -> usize {
        self.np
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.f.eval(t, y, &[], dy)?;
        for row in dy.chunks_exact_mut(self.dy.len()) {
            row.iter_mut().zip(p.iter().cycle()).for_each(|(dy, &p)| *dy *= p);
        }
        Ok(())
    }
}

impl<T: Real> Jacobian<T> for Rated<T> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.f.sparsity()
    }
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        self.f.jacobian(t, y, &[], values)?;
        self.each(|at, i, _| values[at] *= p[i % p.len()]);
        Ok(())
    }
}

impl<T: Real> Vjp<T> for Rated<T> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let d = self.dy.len();
        let mut values = std::mem::take(&mut self.values);
        for ((y, lambda), y_bar) in
            y.chunks_exact(d).zip(lambda.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d))
        {
            self.f.eval(t, y, &[], &mut self.dy)?;
            for (i, (&dy, &l)) in self.dy.iter().zip(lambda).enumerate() {
                p_bar[i % self.np] += l * dy;
            }
            self.f.jacobian(t, y, &[], &mut values)?;
            y_bar.fill(T::ZERO);
            self.each(|at, i, j| y_bar[j] += lambda[i] * p[i % p.len()] * values[at]);
        }
        self.values = values;
        Ok(())
    }
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        if self.shows { Some(self) } else { None }
    }
    fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<T>> {
        if self.shows_second { Some(self) } else { None }
    }
}

impl<T: Real> VjpTangent<T> for Rated<T> {
    fn vjp_tangent(
        &mut self,
        t: f64,
        (y, v): (&[T], &[T]),
        (p, q): (&[T], &[T]),
        (lambda, lambda_dot): (&[T], &[T]),
        (y_bar, y_bar_dot): (&mut [T], &mut [T]),
        (p_bar, p_bar_dot): (&mut [T], &mut [T]),
    ) -> Result<(), FieldError> {
        let (d, np) = (self.dy.len(), self.np);
        let mut values = std::mem::take(&mut self.values);
        y_bar.fill(T::ZERO);
        y_bar_dot.fill(T::ZERO);
        for row in (0..y.len() / d).map(|i| i * d..(i + 1) * d) {
            let (y, v) = (&y[row.clone()], &v[row.clone()]);
            let (lambda, lambda_dot) = (&lambda[row.clone()], &lambda_dot[row.clone()]);
            let (bar, bar_dot) = (&mut y_bar[row.clone()], &mut y_bar_dot[row]);
            self.f.eval(t, y, &[], &mut self.dy)?;
            for (i, &dy) in self.dy.iter().enumerate() {
                p_bar[i % np] += lambda[i] * dy;
                p_bar_dot[i % np] += lambda_dot[i] * dy;
            }
            self.f.jacobian(t, y, &[], &mut values)?;
            self.each(|at, i, j| {
                let (p, q) = (p[i % np], q[i % np]);
                bar[j] += lambda[i] * p * values[at];
                bar_dot[j] += (lambda_dot[i] * p + lambda[i] * q) * values[at];
                p_bar_dot[i % np] += lambda[i] * values[at] * v[j];
            });
            self.f.second(t, y, &mut |i, [j, k], x| bar_dot[j] += lambda[i] * p[i % np] * x * v[k]);
        }
        self.values = values;
        Ok(())
    }
}

/// `∂f/∂y`, dense.
pub(crate) fn dense(f: &mut dyn Vjp<f64>, t: f64, y: &[f64], p: &[f64]) -> Vec<f64> {
    let d = y.len();
    let (mut unit, mut rows, mut p_bar) = (vec![0.0; d], vec![0.0; d * d], vec![0.0; p.len()]);
    for (i, row) in rows.chunks_exact_mut(d).enumerate() {
        unit[i] = 1.0;
        f.vjp(t, y, p, &unit, row, &mut p_bar).unwrap();
        unit[i] = 0.0;
    }
    rows
}

/// Solves `Z = h A F(y + Z)` with `times`, by Newton's iteration to rounding, and returns `Z`.
fn stages(
    f: &mut dyn Vjp<f64>,
    a: &[f64],
    times: &[f64],
    h: f64,
    base: &[f64],
    p: &[f64],
    guess: Vec<f64>,
) -> Vec<f64> {
    let (s, d) = (times.len(), base.len());
    let (mut z, mut before) = (guess, f64::INFINITY);
    let mut lu = Lu::<f64>::new(s * d);
    for _ in 0..60 {
        let inputs: Vec<Vec<f64>> =
            z.chunks_exact(d).map(|z| z.iter().zip(base).map(|(z, b)| z + b).collect()).collect();
        let mut slopes = vec![0.0; s * d];
        let mut matrix = vec![0.0; s * d * s * d];
        for (j, input) in inputs.iter().enumerate() {
            f.eval(times[j], input, p, &mut slopes[j * d..(j + 1) * d]).unwrap();
            let jac = dense(f, times[j], input, p);
            for i in 0..s {
                for k in 0..d {
                    for l in 0..d {
                        let one = f64::from(u8::from(i == j && k == l));
                        matrix[(i * d + k) * s * d + j * d + l] = one - h * a[i * s + j] * jac[k * d + l];
                    }
                }
            }
        }
        let mut change: Vec<f64> = (0..s * d)
            .map(|at| {
                let (i, k) = (at / d, at % d);
                h * (0..s).map(|j| a[i * s + j] * slopes[j * d + k]).sum::<f64>() - z[at]
            })
            .collect();
        lu.factor(&matrix).unwrap();
        lu.solve(&mut change);
        z.iter_mut().zip(&change).for_each(|(z, c)| *z += c);
        let size = change
            .iter()
            .enumerate()
            .map(|(at, c)| c.abs() / (z[at] + base[at % d]).abs().max(1e-200))
            .fold(0.0, f64::max);
        if size < 1e-15 || size >= 0.5 * before && size < 1e-9 {
            return z;
        }
        before = size;
    }
    z
}

/// `A` of collocation: `Σ_j a_ij c_j^(k-1) = c_i^k / k`.
fn collocation(c: &[f64]) -> Vec<f64> {
    let s = c.len();
    let powers: Vec<f64> = (0..s * s).map(|at| c[at % s].powi((at / s) as i32)).collect();
    let mut lu = Lu::of(&powers, s).unwrap();
    let mut a = vec![0.0; s * s];
    for (row, &c) in a.chunks_exact_mut(s).zip(c) {
        row.iter_mut().enumerate().for_each(|(k, x)| *x = c.powi(k as i32 + 1) / (k as f64 + 1.0));
        lu.solve(row);
    }
    a
}

/// Takes one step again; `order` is the power of its length that its error scales with.
pub(crate) fn step(
    f: &mut dyn Vjp<f64>,
    method: OdeMethod,
    (t, t_end): (f64, f64),
    order: u32,
    p: &[f64],
    y: &mut [f64],
) {
    let (d, h) = (y.len(), t_end - t);
    match method {
        OdeMethod::Radau5 | OdeMethod::Radau9 | OdeMethod::Radau13 | OdeMethod::Radau => {
            let s = order as usize - 1;
            let c = RadauTableau::with_stages(s).unwrap().c;
            let times: Vec<f64> = c.iter().map(|&c| if c == 1.0 { t_end } else { t + c * h }).collect();
            let z = stages(f, &collocation(c), &times, h, y, p, vec![0.0; s * d]);
            y.iter_mut().zip(&z[(s - 1) * d..]).for_each(|(y, z)| *y += z);
        }
        OdeMethod::Esdirk(m) => {
            let mut k = vec![vec![0.0; d]];
            f.eval(t, y, p, &mut k[0]).unwrap();
            let mut input = y.to_vec();
            for i in 1..m.stages() {
                let mut base = y.to_vec();
                for (a, k) in m.a[i].iter().zip(&k) {
                    base.iter_mut().zip(k).for_each(|(b, k)| *b += h * a * k);
                }
                let time = if m.c[i] == 1.0 { t_end } else { t + m.c[i] * h };
                let guess = input.iter().zip(&base).map(|(y, b)| y - b).collect();
                let z = stages(f, &[m.gamma], &[time], h, &base, p, guess);
                input = base.iter().zip(&z).map(|(b, z)| b + z).collect();
                k.push(z.iter().map(|z| z / (h * m.gamma)).collect());
            }
            y.copy_from_slice(&input);
        }
        OdeMethod::Rosenbrock(m) => {
            // ∂f/∂t by the solver's difference.
            let size = (f64::EPSILON.cbrt() * h.abs())
                .max(64.0 * f64::EPSILON * t.abs())
                .min(0.5 * h.abs())
                .copysign(h);
            let mut slope = |t: f64, y: &[f64], out: &mut Vec<f64>| f.eval(t, y, p, out).unwrap();
            let mut at = [vec![0.0; d], vec![0.0; d], vec![0.0; d]];
            let times = [t, t + 0.5 * size, t + size];
            at.iter_mut().zip(times).for_each(|(out, t)| slope(t, y, out));
            let (d1, d2) = (times[1] - t, times[2] - t);
            let (w1, w2) = (d2 / (d1 * (d2 - d1)), -d1 / (d2 * (d2 - d1)));
            let ft: Vec<f64> =
                (0..d).map(|k| w1 * (at[1][k] - at[0][k]) + w2 * (at[2][k] - at[0][k])).collect();
            let mut matrix = dense(f, t, y, p);
            matrix.iter_mut().for_each(|x| *x = -*x);
            (0..d).for_each(|k| matrix[k * d + k] += 1.0 / (h * m.gamma));
            let mut lu = Lu::of(&matrix, d).unwrap();
            let mut us: Vec<Vec<f64>> = Vec::new();
            for i in 0..m.stages() {
                let sum = |k: usize, w: &[f64]| w.iter().zip(&us).map(|(w, u)| w * u[k]).sum::<f64>();
                let input: Vec<f64> = (0..d).map(|k| y[k] + sum(k, m.a[i])).collect();
                let mut u = vec![0.0; d];
                f.eval(if m.c[i] == 1.0 { t_end } else { t + m.c[i] * h }, &input, p, &mut u).unwrap();
                (0..d).for_each(|k| u[k] += sum(k, m.coupling[i]) / h + h * m.d[i] * ft[k]);
                lu.solve(&mut u);
                us.push(u);
            }
            for k in 0..d {
                y[k] += m.m.iter().zip(&us).map(|(m, u)| m * u[k]).sum::<f64>();
            }
        }
        other => panic!("{other:?}"),
    }
}

/// Van der Pol's oscillator in the slow time scale, stiff for a large `p[0]`.
pub(crate) struct VanDerPol;
impl Smooth for VanDerPol {
    const DIM: usize = 2;
    const N_PARAMS: usize = 1;
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        dy[0] = y[1];
        dy[1] = p[0] * ((T::ONE - y[0] * y[0]) * y[1] - y[0]);
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][1] = T::ONE;
        j[1][0] = p[0] * (T::c(-2.0) * y[0] * y[1] - T::ONE);
        j[1][1] = p[0] * (T::ONE - y[0] * y[0]);
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[1][0] = (T::ONE - y[0] * y[0]) * y[1] - y[0];
    }
}

/// A stiff problem with parameters, near which points are drawn.
pub(crate) struct Problem {
    pub(crate) name: &'static str,
    pub(crate) f: Rated<f64>,
    pub(crate) y0: Vec<f64>,
    /// Sizes of the coordinates.
    pub(crate) scale: Vec<f64>,
    pub(crate) t_end: f64,
    pub(crate) floor: f64,
}

/// Those of the stiff corpus that have a span from 0 to here, and small Brusselators on a line and a square; `method` finds the sizes.
pub(crate) fn problems(spans: &[(&str, f64)], method: OdeMethod) -> Vec<Problem> {
    let mut all = Vec::new();
    for case in stiff_corpus().into_iter().chain(stiff_squares()) {
        let StiffCase { name, field, y0, floor, .. } = case;
        let Some(&(_, t_end)) = spans.iter().find(|(of, _)| *of == name) else { continue };
        let f = Rated::new(field, y0.len().min(4));
        all.push(Problem { name, f, scale: Vec::new(), y0, t_end, floor });
    }
    assert_eq!(all.len(), spans.len(), "names of the corpus");
    let line = BrusselatorLine { points: 12 };
    let (f, y0) = (Rated::new(Box::new(StiffField::new(line)), 4), line.start());
    all.push(Problem { name: "Brusselator 1-D", f, scale: Vec::new(), y0, t_end: 3.0, floor: 1.0 });
    let square = BrusselatorSquare::new(3);
    let y0 = square.start();
    let f = Rated::new(Box::new(square), 4);
    all.push(Problem { name: "Brusselator 2-D", f, scale: Vec::new(), y0, t_end: 0.5, floor: 1.0 });
    for problem in &mut all {
        let mut y = problem.y0.clone();
        let options = SolveOptions::tolerance(1e-6, 1e-6 * problem.floor);
        let mut adjoint = OdeAdjoint::new(method, 1, y.len());
        let p = vec![1.0; problem.f.np()];
        problem.scale = y.iter().map(|y| y.abs()).collect();
        let span = (0.0, problem.t_end);
        adjoint.forward(&mut problem.f, &p, &mut y, span, &options, &mut |_, _, _| {}).unwrap();
        for (scale, y) in problem.scale.iter_mut().zip(&y) {
            *scale = scale.max(y.abs());
        }
    }
    all
}

/// The largest difference over the largest value.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> f64 {
    let scale = b.iter().fold(0.0_f64, |s, v| s.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
}
