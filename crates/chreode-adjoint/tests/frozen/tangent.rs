//! The derivative of frozen steps, carried forward from step to step: the chain rule through the same steps, exact to rounding.
//!
//! A difference of frozen steps is inexact where the flow multiplies changes by many orders of magnitude: rounding before a jump is
//! multiplied too. Here each step begins at the state that the run had there, is solved once more on its own, and maps tangents by
//! the implicit function theorem: dual numbers through the same equations would give the same numbers. Nothing is taken from the crate but the states between steps, their times and their orders.

use std::collections::BTreeMap;

use chreode_adjoint::OdeMethod;
use chreode_core::{Jacobian, LinearSolver, Sparsity, VectorField};
use chreode_linalg::StructuredLu;
use chreode_solve::{EsdirkTableau, RadauTableau, RosenbrockTableau};

use super::{Rated, collocation};

/// A direction: of the state, of the parameters.
#[derive(Clone)]
pub(crate) struct Direction {
    pub(crate) y: Vec<f64>,
    pub(crate) p: Vec<f64>,
}

/// `shift - Σ a_ij J_j` of so many stages; unknowns of one coordinate are adjacent, so that bands stay bands.
struct System {
    lu: StructuredLu<f64>,
    values: Vec<f64>,
}

/// Of each column of a Jacobian the rows, the diagonal among them, and where their values are.
type Columns = [Vec<(usize, Option<usize>)>];

impl System {
    fn new(columns: &Columns, s: usize) -> Self {
        let n = columns.len() * s;
        let mut entries = Vec::new();
        for (l, rows) in columns.iter().enumerate() {
            for &(k, _) in rows {
                entries.extend((0..s * s).map(|ij| (k * s + ij / s, l * s + ij % s)));
            }
        }
        let pattern = Sparsity::new(n, n, entries).unwrap();
        let lu = StructuredLu::of(Some(&pattern), n);
        let len = if matches!(lu, StructuredLu::Dense(_)) { n * n } else { pattern.len() };
        Self { lu, values: vec![0.0; len] }
    }

    fn factor(&mut self, columns: &Columns, shift: f64, a: &[f64], jacobians: &[Vec<f64>]) {
        let (s, mut next) = (jacobians.len(), 0);
        let n = columns.len() * s;
        let dense = matches!(self.lu, StructuredLu::Dense(_));
        for (l, rows) in columns.iter().enumerate() {
            for (j, jacobian) in jacobians.iter().enumerate() {
                for &(k, at) in rows {
                    for i in 0..s {
                        let one = if k == l && i == j { shift } else { 0.0 };
                        let value = one - a[i * s + j] * at.map_or(0.0, |at| jacobian[at]);
                        let place = if dense { (k * s + i) * n + l * s + j } else { next };
                        self.values[place] = value;
                        next += 1;
                    }
                }
            }
        }
        self.lu.factor(&self.values).unwrap();
    }
}

/// A field with its Jacobian, and what steps need of it.
pub(crate) struct Tangents<'a> {
    f: &'a mut Rated<f64>,
    p: &'a [f64],
    columns: Vec<Vec<(usize, Option<usize>)>>,
    systems: BTreeMap<usize, System>,
    /// Whether a step goes from elsewhere than the run's did, but not far: its end is not the run's, and the first factorisation will do.
    pub(crate) moved: bool,
}

impl<'a> Tangents<'a> {
    pub(crate) fn new(f: &'a mut Rated<f64>, p: &'a [f64]) -> Self {
        let d = f.dim();
        let columns = (0..d)
            .map(|j| {
                let mut rows: Vec<(usize, Option<usize>)> = match f.sparsity() {
                    Some(s) => {
                        let first = s.col_starts()[j];
                        s.column(j).iter().enumerate().map(|(n, &i)| (i, Some(first + n))).collect()
                    }
                    None => (0..d).map(|i| (i, Some(i * d + j))).collect(),
                };
                if let Err(at) = rows.binary_search_by_key(&j, |row| row.0) {
                    rows.insert(at, (j, None));
                }
                rows
            })
            .collect();
        Self { f, p, columns, systems: BTreeMap::new(), moved: false }
    }

    pub(crate) fn slope(&mut self, t: f64, y: &[f64]) -> Vec<f64> {
        let mut slope = vec![0.0; y.len()];
        self.f.eval(t, y, self.p, &mut slope).unwrap();
        slope
    }

    pub(crate) fn jacobian(&mut self, t: f64, y: &[f64]) -> Vec<f64> {
        let d = y.len();
        let mut values = vec![0.0; self.f.sparsity().map_or(d * d, Sparsity::len)];
        self.f.jacobian(t, y, self.p, &mut values).unwrap();
        values
    }

    fn product(&self, jacobian: &[f64], v: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; v.len()];
        for (rows, &v) in self.columns.iter().zip(v) {
            for &(i, at) in rows {
                out[i] += at.map_or(0.0, |at| jacobian[at]) * v;
            }
        }
        out
    }

    /// `∂f/∂p q`, of a field each of whose derivatives is multiplied by a parameter.
    pub(crate) fn by_rates(&self, slope: &[f64], q: &[f64]) -> Vec<f64> {
        let by = |(i, s): (usize, &f64)| q[i % q.len()] / self.p[i % q.len()] * s;
        slope.iter().enumerate().map(by).collect()
    }

    /// The derivative of the field along a direction at a state.
    pub(crate) fn along(&mut self, t: f64, y: &[f64], direction: &Direction) -> Vec<f64> {
        let (slope, jacobian) = (self.slope(t, y), self.jacobian(t, y));
        let by_state = self.product(&jacobian, &direction.y);
        add(&by_state, 1.0, &self.by_rates(&slope, &direction.p))
    }

    /// The system of these Jacobians, factored.
    pub(crate) fn factored(
        &mut self,
        shift: f64,
        a: &[f64],
        jacobians: &[Vec<f64>],
    ) -> &mut StructuredLu<f64> {
        let columns = &self.columns;
        let system =
            self.systems.entry(jacobians.len()).or_insert_with(|| System::new(columns, jacobians.len()));
        system.factor(columns, shift, a, jacobians);
        &mut system.lu
    }

    /// Solves with the system of one stage that was factored last.
    pub(crate) fn solve(&mut self, x: &mut [f64]) {
        self.systems.get_mut(&1).unwrap().lu.solve(x);
    }

    /// Solves `Z = h A F(base + Z)` to rounding; the factored system is that at the solution. Returns `Z`, coordinates with their stages
    /// adjacent, and at each stage the Jacobian and the field.
    fn stages(
        &mut self,
        a: &[f64],
        times: &[f64],
        base: &[f64],
        mut z: Vec<f64>,
    ) -> (Vec<f64>, Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let (s, d) = (times.len(), base.len());
        let (mut before, mut jacobians) = (f64::INFINITY, Vec::new());
        for round in 0.. {
            let inputs: Vec<Vec<f64>> =
                (0..s).map(|j| (0..d).map(|k| base[k] + z[k * s + j]).collect()).collect();
            let slopes: Vec<_> = inputs.iter().zip(times).map(|(y, &t)| self.slope(t, y)).collect();
            if round == 0 || !self.moved {
                jacobians = inputs.iter().zip(times).map(|(y, &t)| self.jacobian(t, y)).collect();
                self.factored(1.0, a, &jacobians);
            }
            let mut change: Vec<f64> = (0..s * d)
                .map(|at| (0..s).map(|j| a[at % s * s + j] * slopes[j][at / s]).sum::<f64>() - z[at])
                .collect();
            self.systems.get_mut(&s).unwrap().lu.solve(&mut change);
            let size = |(at, c): (usize, &f64)| c.abs() / (z[at] + base[at / s]).abs().max(1e-200);
            let size = change.iter().enumerate().map(size).fold(0.0, f64::max);
            if size < 1e-15 || size >= 0.5 * before && size < 1e-9 || round > 60 {
                return (z, jacobians, slopes);
            }
            z.iter_mut().zip(&change).for_each(|(z, c)| *z += c);
            before = size;
        }
        unreachable!()
    }

    /// One step: from the state at its start, near that at its end, it maps the directions; returns the state at its end.
    pub(crate) fn step(
        &mut self,
        method: OdeMethod,
        span: (f64, f64),
        order: usize,
        (y, y_end): (&[f64], &[f64]),
        directions: &mut [Direction],
    ) -> Vec<f64> {
        match method {
            OdeMethod::Radau5 | OdeMethod::Radau9 | OdeMethod::Radau13 | OdeMethod::Radau => {
                self.radau(&RadauTableau::with_stages(order - 1).unwrap(), span, (y, y_end), directions)
            }
            OdeMethod::Esdirk(m) => self.esdirk(m, span, (y, y_end), directions),
            OdeMethod::Rosenbrock(m) => self.rosenbrock(m, span, y, directions),
            other => panic!("{other:?}"),
        }
    }

    fn radau(
        &mut self,
        m: &RadauTableau,
        (t, t_end): (f64, f64),
        (y, y_end): (&[f64], &[f64]),
        directions: &mut [Direction],
    ) -> Vec<f64> {
        let (s, d, h) = (m.c.len(), y.len(), t_end - t);
        let times: Vec<f64> = m.c.iter().map(|&c| if c == 1.0 { t_end } else { t + c * h }).collect();
        let a: Vec<f64> = collocation(m.c).iter().map(|a| h * a).collect();
        // There may be several solutions: that which ends nearest, from the line between both ends, the start and the end.
        let ends: [fn(f64) -> f64; 3] = [|c| c, |_| 0.0, |_| 1.0];
        let (mut best, mut found) = (f64::INFINITY, None);
        for along in ends {
            let guess = (0..s * d).map(|at| along(m.c[at % s]) * (y_end[at / s] - y[at / s])).collect();
            let (z, jacobians, slopes) = self.stages(&a, &times, y, guess);
            let off = |k: usize| {
                let end = y[k] + z[k * s + s - 1];
                (end - y_end[k]).abs() / y_end[k].abs().max(1e-200)
            };
            let off = (0..d).map(off).fold(0.0, f64::max);
            if off < best {
                (best, found) = (off, Some((z, jacobians, slopes)));
            }
            if best < 1e-10 || self.moved {
                break;
            }
        }
        let (z, jacobians, slopes) = found.unwrap();
        self.factored(1.0, &a, &jacobians);
        for direction in directions {
            let moved: Vec<Vec<f64>> = (0..s)
                .map(|j| {
                    let by_state = self.product(&jacobians[j], &direction.y);
                    add(&by_state, 1.0, &self.by_rates(&slopes[j], &direction.p))
                })
                .collect();
            let mut dot: Vec<f64> =
                (0..s * d).map(|at| (0..s).map(|j| a[at % s * s + j] * moved[j][at / s]).sum()).collect();
            self.systems.get_mut(&s).unwrap().lu.solve(&mut dot);
            (0..d).for_each(|k| direction.y[k] += dot[k * s + s - 1]);
        }
        (0..d).map(|k| y[k] + z[k * s + s - 1]).collect()
    }

    fn esdirk(
        &mut self,
        m: &EsdirkTableau,
        (t, t_end): (f64, f64),
        (y, y_end): (&[f64], &[f64]),
        directions: &mut [Direction],
    ) -> Vec<f64> {
        let (d, h) = (y.len(), t_end - t);
        let a = [h * m.gamma];
        let (mut k, mut input) = (vec![self.slope(t, y)], y.to_vec());
        let mut k_dots: Vec<Vec<Vec<f64>>> = directions.iter().map(|x| vec![self.along(t, y, x)]).collect();
        let mut ends: Vec<Vec<f64>> = vec![Vec::new(); directions.len()];
        for i in 1..m.stages() {
            let sum = |y: &[f64], k: &[Vec<f64>]| {
                m.a[i].iter().zip(k).fold(y.to_vec(), |base, (a, k)| add(&base, h * a, k))
            };
            let base = sum(y, &k);
            let time = if m.c[i] == 1.0 { t_end } else { t + m.c[i] * h };
            let guess = (0..d).map(|l| y[l] + m.c[i] * (y_end[l] - y[l]) - base[l]).collect();
            let (z, _, slopes) = self.stages(&a, &[time], &base, guess);
            input = add(&base, 1.0, &z);
            k.push(z.iter().map(|z| z / a[0]).collect());
            for ((direction, k_dots), end) in directions.iter().zip(&mut k_dots).zip(&mut ends) {
                let base = sum(&direction.y, k_dots);
                *end = add(&base, a[0], &self.by_rates(&slopes[0], &direction.p));
                self.systems.get_mut(&1).unwrap().lu.solve(end);
                k_dots.push(end.iter().zip(&base).map(|(y, base)| (y - base) / a[0]).collect());
            }
        }
        directions.iter_mut().zip(ends).for_each(|(direction, end)| direction.y = end);
        input
    }

    fn rosenbrock(
        &mut self,
        m: &RosenbrockTableau,
        (t, t_end): (f64, f64),
        y: &[f64],
        directions: &mut [Direction],
    ) -> Vec<f64> {
        let h = t_end - t;
        // ∂f/∂t by the solver's difference.
        let size =
            (f64::EPSILON.cbrt() * h.abs()).max(64.0 * f64::EPSILON * t.abs()).min(0.5 * h.abs()).copysign(h);
        let times = [t, t + 0.5 * size, t + size];
        let (d1, d2) = (times[1] - t, times[2] - t);
        let (w1, w2) = (d2 / (d1 * (d2 - d1)), -d1 / (d2 * (d2 - d1)));
        let by_time = |at: [Vec<f64>; 3]| -> Vec<f64> {
            (0..y.len()).map(|k| w1 * (at[1][k] - at[0][k]) + w2 * (at[2][k] - at[0][k])).collect()
        };
        let ft = by_time(times.map(|t| self.slope(t, y)));
        let jacobian = self.jacobian(t, y);
        self.factored(1.0 / (h * m.gamma), &[1.0], &[jacobian]);
        let inner = |y: &[f64], us: &[Vec<f64>], w: &[f64]| {
            w.iter().zip(us).fold(y.to_vec(), |sum, (&w, u)| add(&sum, w, u))
        };
        let (zero, mut us, mut inputs) = (vec![0.0; y.len()], Vec::new(), Vec::new());
        let time = |i: usize| if m.c[i] == 1.0 { t_end } else { t + m.c[i] * h };
        for i in 0..m.stages() {
            let input = inner(y, &us, m.a[i]);
            let coupled = inner(&zero, &us, m.coupling[i]);
            let mut u = add(&add(&self.slope(time(i), &input), 1.0 / h, &coupled), h * m.d[i], &ft);
            self.systems.get_mut(&1).unwrap().lu.solve(&mut u);
            us.push(u);
            inputs.push(input);
        }
        for direction in directions {
            let ft_dot = by_time(times.map(|t| self.along(t, y, direction)));
            let mut u_dots: Vec<Vec<f64>> = Vec::new();
            for i in 0..m.stages() {
                let moved = Direction { y: inner(&direction.y, &u_dots, m.a[i]), p: direction.p.clone() };
                let coupled = inner(&zero, &u_dots, m.coupling[i]);
                let slope = self.along(time(i), &inputs[i], &moved);
                let mut dot = add(&add(&slope, 1.0 / h, &coupled), h * m.d[i], &ft_dot);
                dot = add(&dot, 1.0, &self.second(t, y, &us[i], direction));
                self.systems.get_mut(&1).unwrap().lu.solve(&mut dot);
                u_dots.push(dot);
            }
            direction.y = inner(&direction.y, &u_dots, m.m);
        }
        inner(y, &us, m.m)
    }

    /// The derivative of `∂f/∂y u` along a direction.
    fn second(&mut self, t: f64, y: &[f64], u: &[f64], direction: &Direction) -> Vec<f64> {
        let jacobian = self.jacobian(t, y);
        // In the parameters the Jacobian is linear: row i is multiplied by one.
        let mut sum = self.by_rates(&self.product(&jacobian, u), &direction.p);
        let p = self.p;
        self.f.f.second(t, y, &mut |i, [j, k], x| sum[i] += p[i % p.len()] * x * u[j] * direction.y[k]);
        sum
    }
}

/// `a + w b`.
pub(crate) fn add(a: &[f64], w: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + w * b).collect()
}
