//! The linear system of all stages of a step, `W/h ⊗ I - diag(J_1, .., J_s)`, and its transpose.

use chreode_core::{LinearSolver, Real, SingularMatrix, Sparsity};
use chreode_linalg::StructuredLu;
use chreode_solve::RadauTableau;

use super::decoupled::Decoupled;

/// A factorisation for each of `n` trajectories.
///
/// Coordinate `j` of stage `i` is unknown number `j s + i`: a band stays one.
#[derive(Debug)]
pub(in crate::discrete) struct StageSystem<T: Real> {
    n: usize,
    d: usize,
    s: usize,
    /// `[s, s]`, row-major.
    w: Vec<f64>,
    /// The method, if its stages may be decoupled; the systems for that, if they pay; whether they are used.
    table: Option<RadauTableau>,
    decoupled: Option<Decoupled<T>>,
    apart: bool,
    built: bool,
    /// Of one Jacobian; `None` if it is dense.
    pattern: Option<Sparsity>,
    entries: usize,
    /// Where each entry of the Jacobian at a stage goes, `[s, entries]`; each element of `W`, and it.
    jac_at: Vec<usize>,
    w_at: Vec<(usize, f64)>,
    matrix: Vec<T>,
    lu: Vec<StructuredLu<T>>,
    rhs: Vec<T>,
}

impl<T: Real> StageSystem<T> {
    /// For stages that `w`, `[s, s]`, couples, by the method of `table` if they may be decoupled.
    pub(in crate::discrete) fn new(w: Vec<f64>, table: Option<RadauTableau>, n: usize, d: usize) -> Self {
        let s = w.len().isqrt();
        Self {
            n,
            d,
            s,
            w,
            table,
            decoupled: None,
            apart: false,
            built: false,
            pattern: None,
            entries: 0,
            jac_at: Vec::new(),
            w_at: Vec::new(),
            matrix: Vec::new(),
            lu: Vec::new(),
            rhs: vec![T::ZERO; s * d],
        }
    }

    /// Gets ready for Jacobians with this pattern; true if it was not before.
    pub(in crate::discrete) fn shape(&mut self, pattern: Option<&Sparsity>) -> bool {
        if self.built && self.pattern.as_ref() == pattern {
            return false;
        }
        self.pattern = pattern.cloned();
        self.decoupled = self.table.and_then(|table| Decoupled::new(table, pattern, self.n, self.d));
        self.apart = self.decoupled.is_some();
        self.lu.clear();
        self.entries = pattern.map_or(self.d * self.d, Sparsity::len);
        self.built = true;
        true
    }

    /// A step begins: its stages are decoupled where that pays. True if they were not before.
    pub(in crate::discrete) fn decouple(&mut self) -> bool {
        let before = self.apart;
        self.apart = self.decoupled.is_some();
        before != self.apart
    }

    /// One Jacobian was not enough: stages are coupled until the next step.
    pub(in crate::discrete) fn couple(&mut self) {
        self.apart = false;
    }

    /// The stage whose Jacobian serves for all; none if each has its own.
    pub(in crate::discrete) fn one_for_all(&self) -> Option<usize> {
        self.apart.then_some(self.s / 2)
    }

    /// Makes the coupled systems.
    fn build(&mut self) {
        let (d, s) = (self.d, self.s);
        let pattern = self.pattern.as_ref();
        let own: Vec<(usize, usize)> = match pattern {
            Some(p) => (0..d).flat_map(|j| p.column(j).iter().map(move |&i| (i, j))).collect(),
            None => (0..d * d).map(|at| (at / d, at % d)).collect(),
        };
        let stages = |i: usize| own.iter().map(move |&(row, column)| (row * s + i, column * s + i));
        let couplings = (0..d).flat_map(|j| (0..s * s).map(move |at| (j * s + at / s, j * s + at % s)));
        let whole = pattern
            .and_then(|_| Sparsity::new(d * s, d * s, (0..s).flat_map(stages).chain(couplings.clone())).ok());
        let lu = StructuredLu::of(whole.as_ref(), d * s);
        let sparse = whole.as_ref().filter(|_| !lu.is_dense());
        let place = |(i, j): (usize, usize)| match sparse {
            Some(p) => p.col_starts()[j] + p.column(j).partition_point(|&k| k < i),
            None => i * d * s + j,
        };
        self.jac_at = (0..s).flat_map(stages).map(place).collect();
        self.w_at = couplings.map(place).zip(self.w.iter().copied().cycle()).collect();
        self.matrix = vec![T::ZERO; sparse.map_or(d * s * d * s, Sparsity::len)];
        self.lu = vec![lu; self.n];
    }

    /// Whether a factorisation costs tens of solutions.
    pub(in crate::discrete) fn is_dear(&self) -> bool {
        self.lu.first().is_some_and(StructuredLu::is_dear)
    }

    /// Values of one Jacobian.
    pub(in crate::discrete) fn entries(&self) -> usize {
        self.entries
    }

    /// Factors for a step of length `h`, with the Jacobians `jac`: `[s, n, entries]`, or `[n, entries]` of one for all.
    ///
    /// # Errors
    /// [`SingularMatrix`].
    pub(in crate::discrete) fn factor(&mut self, h: f64, jac: &[T]) -> Result<(), SingularMatrix> {
        if let Some(decoupled) = self.decoupled.as_mut().filter(|_| self.apart) {
            return decoupled.factor(h, jac);
        }
        if self.lu.is_empty() {
            self.build();
        }
        let entries = self.entries;
        for (trajectory, lu) in self.lu.iter_mut().enumerate() {
            self.matrix.fill(T::ZERO);
            for (i, places) in self.jac_at.chunks_exact(entries.max(1)).enumerate() {
                let jac = &jac[(i * self.n + trajectory) * entries..];
                for (&at, &jac) in places.iter().zip(jac) {
                    self.matrix[at] = -jac;
                }
            }
            for &(at, w) in &self.w_at {
                self.matrix[at] += T::c(w / h);
            }
            lu.factor(&self.matrix)?;
        }
        Ok(())
    }

    /// Adds `|J|ᵀ |x|` to `sums`, `[n, d]`, of the Jacobians `jac` at one stage, `[n, entries]`.
    pub(in crate::discrete) fn add_sizes(&self, jac: &[T], x: &[T], sums: &mut [T]) {
        let (d, entries) = (self.d.max(1), self.entries.max(1));
        let trajectories = jac.chunks_exact(entries).zip(x.chunks_exact(d)).zip(sums.chunks_exact_mut(d));
        for ((jac, x), sums) in trajectories {
            if let Some(pattern) = &self.pattern {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let jac = &jac[pattern.col_starts()[j]..];
                    for (&i, &jac) in pattern.column(j).iter().zip(jac) {
                        *sum += (jac * x[i]).abs();
                    }
                }
            } else {
                for (row, &x) in jac.chunks_exact(d).zip(x) {
                    sums.iter_mut().zip(row).for_each(|(sum, &jac)| *sum += (jac * x).abs());
                }
            }
        }
    }

    /// Solves in place, `[s, n, d]`.
    pub(in crate::discrete) fn solve(&mut self, b: &mut [T]) {
        match self.decoupled.as_mut().filter(|_| self.apart) {
            Some(decoupled) => decoupled.solve(b, false),
            None => self.each(b, StructuredLu::solve),
        }
    }

    /// Solves with the transpose in place, `[s, n, d]`.
    pub(in crate::discrete) fn solve_transpose(&mut self, b: &mut [T]) {
        match self.decoupled.as_mut().filter(|_| self.apart) {
            Some(decoupled) => decoupled.solve(b, true),
            None => self.each(b, StructuredLu::solve_transpose),
        }
    }

    fn each(&mut self, b: &mut [T], solve: impl Fn(&mut StructuredLu<T>, &mut [T])) {
        let (d, s, nd) = (self.d, self.s, self.n * self.d);
        for (trajectory, lu) in self.lu.iter_mut().enumerate() {
            let at = trajectory * d;
            if s == 1 {
                solve(lu, &mut b[at..at + d]);
                continue;
            }
            for (j, rhs) in self.rhs.chunks_exact_mut(s).enumerate() {
                rhs.iter_mut().enumerate().for_each(|(i, x)| *x = b[i * nd + at + j]);
            }
            solve(lu, &mut self.rhs);
            for (j, rhs) in self.rhs.chunks_exact(s).enumerate() {
                rhs.iter().enumerate().for_each(|(i, &x)| b[i * nd + at + j] = x);
            }
        }
    }
}
