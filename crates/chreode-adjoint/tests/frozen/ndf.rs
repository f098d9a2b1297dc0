//! Frozen steps of the multistep method, on values at equal distances instead of differences, and their derivative.

use chreode_adjoint::OdeAdjoint;
use chreode_core::{LinearSolver, Vjp};
use chreode_linalg::Lu;

use super::dense;
use super::tangent::{Direction, Tangents, add};

/// Start and end of a step, its order, and whether the method started anew.
pub(crate) type Step = (f64, f64, usize, bool);

/// The numerical differentiation formulas of [SR97] on values at equal distances in the past, the last first:
/// `Σ_{m=1}^k ∇^m y / m - κ_k γ_k (y - y⁽⁰⁾) = h f(t, y)`, where `y⁽⁰⁾` extrapolates `k + 1` values. Step lengths change by
/// interpolation of these.
pub(crate) struct Ndf {
    pub(crate) past: Vec<Vec<f64>>,
    h: f64,
}

impl Ndf {
    /// `∇^m`, m = 0.., of values, the last first.
    fn differences(mut v: Vec<f64>) -> Vec<f64> {
        let mut all = Vec::new();
        while !v.is_empty() {
            all.push(v[0]);
            v = v.windows(2).map(|w| w[0] - w[1]).collect();
        }
        all
    }

    pub(crate) fn start(f: &mut dyn Vjp<f64>, (t, t_end): (f64, f64), y: &[f64], p: &[f64]) -> Self {
        let mut slope = vec![0.0; y.len()];
        f.eval(t, y, p, &mut slope).unwrap();
        Self::from_slope((t, t_end), y, &slope)
    }

    /// The first difference is `h f`.
    pub(crate) fn from_slope((t, t_end): (f64, f64), y: &[f64], slope: &[f64]) -> Self {
        let h = t_end - t;
        let before = y.iter().zip(slope).map(|(y, s)| y - h * s).collect();
        Self { past: vec![y.to_vec(), before], h }
    }

    /// Brings the history to distances `h` for a step of order `k`. Returns `κ`, `γ`, `y⁽⁰⁾`, and what does not depend on `y` in
    /// `Σ ∇^m y / m = γ y - rest`. All of it is linear in the values.
    fn prepare(&mut self, k: usize, h: f64) -> (f64, f64, Vec<f64>, Vec<f64>) {
        let nd = self.past[0].len();
        self.past.truncate(k + 1);
        assert_eq!(self.past.len(), k + 1, "a history of order {k}");
        let ratio = h / self.h;
        if (ratio - 1.0).abs() > 1e-12 {
            // Lagrange's polynomials through 0, -1, .., -k.
            self.past = (0..=k)
                .map(|i| {
                    let s = -(i as f64) * ratio;
                    let weight = |m: usize| -> f64 {
                        let m = m as f64;
                        (0..=k).map(|l| l as f64).filter(|&l| l != m).map(|l| (s + l) / (l - m)).product()
                    };
                    let weights: Vec<f64> = (0..=k).map(weight).collect();
                    (0..nd).map(|j| weights.iter().zip(&self.past).map(|(w, v)| w * v[j]).sum()).collect()
                })
                .collect();
        }
        self.h = h;
        let kappa = [0.0, -0.1850, -1.0 / 9.0, -0.0823, -0.0415, 0.0][k];
        let gamma: f64 = (1..=k).map(|m| 1.0 / m as f64).sum();
        let (mut predicted, mut rest) = (vec![0.0; nd], vec![0.0; nd]);
        for j in 0..nd {
            let differences = Self::differences(self.past.iter().map(|v| v[j]).collect());
            predicted[j] = differences.iter().sum();
            // ∇^m y = y - Σ_{i<m} ∇^i y_n.
            rest[j] = (1..=k).map(|m| differences[..m].iter().sum::<f64>() / m as f64).sum();
        }
        (kappa, gamma, predicted, rest)
    }

    /// Takes a step; each trajectory of `d` coordinates alone.
    pub(crate) fn step(&mut self, f: &mut dyn Vjp<f64>, (_, t_end, k, _): Step, h: f64, p: &[f64]) {
        let d = f.dim();
        let (kappa, gamma, predicted, rest) = self.prepare(k, h);
        let mut next = predicted.clone();
        for (at, y) in next.chunks_exact_mut(d).enumerate() {
            let (rest, predicted) = (&rest[at * d..], &predicted[at * d..]);
            let mut before = f64::INFINITY;
            let mut lu = Lu::<f64>::new(d);
            for _ in 0..60 {
                let (mut slope, mut matrix) = (vec![0.0; d], dense(f, t_end, y, p));
                f.eval(t_end, y, p, &mut slope).unwrap();
                matrix.iter_mut().for_each(|j| *j *= -h);
                (0..d).for_each(|i| matrix[i * d + i] += gamma * (1.0 - kappa));
                let mut change: Vec<f64> = (0..d)
                    .map(|i| h * slope[i] - (gamma * y[i] - rest[i]) + kappa * gamma * (y[i] - predicted[i]))
                    .collect();
                lu.factor(&matrix).unwrap();
                lu.solve(&mut change);
                y.iter_mut().zip(&change).for_each(|(y, c)| *y += c);
                let size =
                    change.iter().zip(&*y).map(|(c, y)| c.abs() / y.abs().max(1e-200)).fold(0.0, f64::max);
                if size < 1e-15 || size >= 0.5 * before && size < 1e-9 {
                    break;
                }
                before = size;
            }
        }
        self.past.insert(0, next);
    }
}

impl Ndf {
    /// A step of one trajectory with a sparse Jacobian, that at a guess of its end, which it returns.
    pub(crate) fn sparse_step(
        &mut self,
        tangents: &mut Tangents<'_>,
        (t, t_end, k, _): Step,
        guess: &[f64],
    ) -> Vec<f64> {
        let h = t_end - t;
        let (kappa, gamma, predicted, rest) = self.prepare(k, h);
        let (mut y, mut before) = (guess.to_vec(), f64::INFINITY);
        let jacobian = tangents.jacobian(t_end, &y);
        tangents.factored(gamma * (1.0 - kappa), &[h], &[jacobian]);
        for _ in 0..60 {
            let slope = tangents.slope(t_end, &y);
            let mut change: Vec<f64> = (0..y.len())
                .map(|i| h * slope[i] - (gamma * y[i] - rest[i]) + kappa * gamma * (y[i] - predicted[i]))
                .collect();
            tangents.solve(&mut change);
            y.iter_mut().zip(&change).for_each(|(y, c)| *y += c);
            let size = change.iter().zip(&y).map(|(c, y)| c.abs() / y.abs().max(1e-200)).fold(0.0, f64::max);
            if size < 1e-15 || size >= 0.5 * before && size < 1e-9 {
                break;
            }
            before = size;
        }
        self.past.insert(0, y.clone());
        y
    }
}

/// The same steps with tangents, from the states that the run had.
pub(crate) struct NdfTangents {
    /// Of each value of the history: a state, and then the directions.
    history: Option<Ndf>,
}

impl NdfTangents {
    pub(crate) fn new() -> Self {
        Self { history: None }
    }

    /// Maps the directions over a step between two states of the run; returns how far the second is from what the step's equation asks for,
    /// as a change of the state.
    pub(crate) fn step(
        &mut self,
        tangents: &mut Tangents<'_>,
        (t, t_end, k, starts): Step,
        (y, y_end): (&[f64], &[f64]),
        directions: &mut [Direction],
    ) -> Vec<f64> {
        let (d, h) = (y.len(), t_end - t);
        let mut now = match self.history.take() {
            Some(now) if !starts => now,
            _ => {
                // The first difference is h f.
                let mut rows = vec![y.to_vec(), add(y, -h, &tangents.slope(t, y))];
                for direction in &*directions {
                    let slope = tangents.along(t, y, direction);
                    rows[0].extend_from_slice(&direction.y);
                    rows[1].extend(add(&direction.y, -h, &slope));
                }
                Ndf { past: rows, h }
            }
        };
        let (kappa, gamma, predicted, rest) = now.prepare(k, h);
        let slope = tangents.slope(t_end, y_end);
        let jacobian = tangents.jacobian(t_end, y_end);
        let mut off: Vec<f64> = (0..d)
            .map(|i| h * slope[i] - (gamma * y_end[i] - rest[i]) + kappa * gamma * (y_end[i] - predicted[i]))
            .collect();
        let by_rates: Vec<Vec<f64>> = directions.iter().map(|x| tangents.by_rates(&slope, &x.p)).collect();
        let lu = tangents.factored(gamma * (1.0 - kappa), &[h], &[jacobian]);
        lu.solve(&mut off);
        let mut next = y_end.to_vec();
        for (n, (direction, by_rates)) in directions.iter_mut().zip(&by_rates).enumerate() {
            let at = (n + 1) * d..(n + 2) * d;
            let mut dot = add(&add(&rest[at.clone()], -kappa * gamma, &predicted[at]), h, by_rates);
            lu.solve(&mut dot);
            next.extend_from_slice(&dot);
            direction.y = dot;
        }
        now.past.insert(0, next);
        self.history = Some(now);
        off
    }
}

/// The last run's steps; it starts anew where time makes a jump.
pub(crate) fn steps(adjoint: &OdeAdjoint<f64>) -> Vec<Step> {
    let mut end = f64::NAN;
    let all = adjoint.steps().iter().zip(adjoint.error_orders());
    all.map(|(&(t, t_end), &order)| {
        let starts = t != end;
        end = t_end;
        (t, t_end, usize::from(order) - 1, starts)
    })
    .collect()
}
