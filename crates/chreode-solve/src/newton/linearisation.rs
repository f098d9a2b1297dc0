//! The Jacobian of a field along a run, and the linear systems made of it.

use chreode_core::{FieldError, LinearSolver, Real, SingularMatrix, Sparsity, Tolerance};
use chreode_linalg::{Complex, Scalar, StructuredLu};

use super::differences::Colored;
use super::part::Part;
use crate::error::{SolveError, check_len};
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::StepFailure;

/// What the Jacobian that a method holds is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JacobianAge {
    /// It must be computed anew.
    Expired,
    /// It was computed at an earlier state and still serves.
    Old,
    /// It was computed for the present step.
    Fresh,
}

/// The Jacobian `J` of `n` trajectories at one time, and factorisations of `s M - J` for real and complex shifts `s`.
///
/// `M` is the mass matrix, the identity if there is none. Every trajectory has a matrix of its own; if it has equal
/// blocks on its diagonal, as with sensitivities, the matrix is that of one block and solves for all. Matrices are dense,
/// banded or sparse: by the sparsity that the field's Jacobian tells, or that was given. Those of more than a few
/// coordinates are made when the first Jacobian is computed, since only then the field is seen.
#[derive(Debug, Clone)]
pub(crate) struct Linearisation<T: Real> {
    n: usize,
    d: usize,
    complex_shifts: usize,
    /// Blocks after the first are solved after it.
    staggered: bool,
    /// Sparsity for fields that know none.
    given: Option<Sparsity>,
    /// Entries of the mass matrix, row by row; `None` for the identity.
    mass: Option<Vec<(usize, usize, T)>>,
    /// Its rows' largest elements.
    mass_rows: Vec<T>,
    systems: Option<Systems<T>>,
    /// What was set wrong first.
    wrong: Option<SolveError>,
    scale: Vec<T>,
    shifted: Vec<T>,
    f1: Vec<T>,
}

/// The matrices of one sparsity.
#[derive(Debug, Clone)]
struct Systems<T: Real> {
    /// Coordinates of a block: those of a trajectory, if its Jacobian is one block.
    size: usize,
    /// Of the Jacobian; `None` if it is dense.
    pattern: Option<Sparsity>,
    colored: Colored,
    /// `[n, entries]` in the pattern's order, or `[n, d, d]`.
    jac: Vec<T>,
    /// Where each entry of a Jacobian goes among the values of a system.
    jac_at: Vec<usize>,
    /// Where each entry of the mass matrix goes, and the entry.
    mass_at: Vec<(usize, T)>,
    real: Vec<StructuredLu<T>>,
    complex: Vec<StructuredLu<Complex<T>>>,
    matrix: Vec<T>,
    complex_matrix: Vec<Complex<T>>,
    complex_rhs: Vec<Complex<T>>,
}

impl<T: Real> Linearisation<T> {
    /// Work space for `n` trajectories of `d` coordinates; `complex_shifts` complex factorisations are held at a time.
    pub(crate) fn new(n: usize, d: usize, complex_shifts: usize) -> Self {
        let mut new = Self {
            n,
            d,
            complex_shifts,
            staggered: false,
            given: None,
            mass: None,
            mass_rows: Vec::new(),
            systems: None,
            wrong: None,
            scale: vec![T::ZERO; n * d],
            shifted: vec![T::ZERO; n * d],
            f1: vec![T::ZERO; n * d],
        };
        if d <= StructuredLu::<T>::DENSE_UP_TO {
            new.systems = Some(new.build(None, d));
        }
        new
    }

    /// Uses `mass`, `[d, d]` row-major, instead of the identity.
    pub(crate) fn set_mass(&mut self, mass: &[T]) {
        let d = self.d;
        if let Err(e) = check_len("mass matrix", mass.len(), d * d) {
            return self.refuse(e);
        }
        let entries = mass.iter().enumerate().filter(|&(_, &m)| m != T::ZERO);
        self.mass = Some(entries.map(|(at, &m)| (at / d, at % d, m)).collect());
        let largest = |row: &[T]| row.iter().fold(T::ZERO, |most, m| most.max(m.abs()));
        self.mass_rows = mass.chunks_exact(d.max(1)).map(largest).collect();
        self.rebuild();
    }

    /// Uses the diagonal mass matrix with these elements, `[d]`.
    pub(crate) fn set_mass_diagonal(&mut self, mass: &[T]) {
        if let Err(e) = check_len("diagonal of the mass matrix", mass.len(), self.d) {
            return self.refuse(e);
        }
        self.mass = Some(mass.iter().enumerate().map(|(i, &m)| (i, i, m)).collect());
        self.mass_rows = mass.iter().map(|m| m.abs()).collect();
        self.rebuild();
    }

    /// The sparsity of the Jacobian of fields that tell none.
    pub(crate) fn set_sparsity(&mut self, pattern: &Sparsity) {
        let rows = check_len("rows of the sparsity", pattern.n_rows(), self.d);
        if let Err(e) = rows.and(check_len("columns of the sparsity", pattern.n_cols(), self.d)) {
            return self.refuse(e);
        }
        self.given = Some(pattern.clone());
        self.rebuild();
    }

    /// Lets a run start as the first one did: with no order of elimination that values of another run asked for.
    pub(super) fn forget_orders(&mut self) {
        if let Some(systems) = &mut self.systems {
            systems.real.iter_mut().for_each(StructuredLu::forget_order);
            systems.complex.iter_mut().for_each(StructuredLu::forget_order);
        }
    }

    /// Keeps the first thing that was set wrong: a run says so when it starts.
    pub(crate) fn refuse(&mut self, error: SolveError) {
        self.wrong.get_or_insert(error);
    }

    /// The first thing that was set wrong.
    pub(crate) fn check_sizes(&self) -> Result<(), SolveError> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// Whether some equations may be algebraic.
    pub(super) fn may_be_singular(&self) -> bool {
        let off_diagonal = |mass: &Vec<(usize, usize, T)>| mass.iter().any(|&(i, j, _)| i != j);
        self.mass_rows.contains(&T::ZERO) || self.mass.as_ref().is_some_and(off_diagonal)
    }

    /// The largest element of the Jacobian that is held, by modulus; NaN if there is one in it.
    pub(super) fn jacobian_size(&self) -> f64 {
        let jac = self.systems.as_ref().map_or(&[][..], |s| &s.jac);
        jac.iter().fold(0.0, |most, j| if j.f64().abs() <= most { most } else { j.f64().abs() })
    }

    /// Length of a state.
    pub(super) fn len(&self) -> usize {
        self.n * self.d
    }

    /// Small systems are made at once, others when they are needed.
    fn rebuild(&mut self) {
        self.systems =
            (self.d <= StructuredLu::<T>::DENSE_UP_TO).then(|| self.build(self.given.as_ref(), self.d));
    }

    /// The largest element of a row of the mass matrix, by modulus.
    pub(crate) fn row_size(&self, i: usize) -> T {
        self.mass_rows.get(i).copied().unwrap_or(T::ONE)
    }

    /// Number of coordinates of one trajectory.
    pub(crate) fn dim(&self) -> usize {
        self.d
    }

    /// Whether a factorisation costs much more than evaluations and solves.
    pub(crate) fn is_dear(&self) -> bool {
        self.systems.as_ref().and_then(|s| s.real.first()).is_some_and(StructuredLu::is_dear)
    }

    /// Whether there is a mass matrix.
    pub(crate) fn has_mass(&self) -> bool {
        self.mass.is_some()
    }

    /// `out = M v` for every trajectory, `[n, d]`; a copy without a mass matrix.
    pub(crate) fn apply_mass(&self, v: &[T], out: &mut [T]) {
        let Some(mass) = &self.mass else {
            out.copy_from_slice(v);
            return;
        };
        out.fill(T::ZERO);
        for (v, out) in v.chunks_exact(self.d).zip(out.chunks_exact_mut(self.d)) {
            for &(i, j, m) in mass {
                out[i] += m * v[j];
            }
        }
    }

    /// For blocks of `d` coordinates.
    fn build(&self, pattern: Option<&Sparsity>, d: usize) -> Systems<T> {
        let n = self.n;
        let mass: Vec<_> = match &self.mass {
            Some(mass) => mass.iter().copied().filter(|&(i, j, _)| i < d && j < d).collect(),
            None => (0..d).map(|i| (i, i, T::ONE)).collect(),
        };
        // Of the systems: the Jacobian's entries and those of the mass matrix, all of them inside.
        let system = pattern.and_then(|pattern| {
            let jac = (0..d).flat_map(|j| pattern.column(j).iter().map(move |&i| (i, j)));
            Sparsity::new(d, d, jac.chain(mass.iter().map(|&(i, j, _)| (i, j)))).ok()
        });
        let solver = StructuredLu::of(system.as_ref(), d);
        let sparse = system.as_ref().filter(|_| !solver.is_dense());
        let place = |i: usize, j: usize| match sparse {
            Some(s) => s.col_starts()[j] + s.column(j).partition_point(|&k| k < i),
            None => i * d + j,
        };
        let jac_at = match pattern {
            Some(p) => (0..d)
                .flat_map(|j| p.column(j).iter().map(move |&i| (i, j)))
                .map(|(i, j)| place(i, j))
                .collect(),
            None => (0..d * d).collect(),
        };
        let mass_at = mass.iter().map(|&(i, j, m)| (place(i, j), m)).collect();
        let len = sparse.map_or(d * d, Sparsity::len);
        let c = if self.complex_shifts > 0 { (len, d) } else { (0, 0) };
        Systems {
            size: d,
            pattern: pattern.cloned(),
            colored: Colored::new(pattern, d),
            jac: vec![T::ZERO; n * pattern.map_or(d * d, Sparsity::len)],
            jac_at,
            mass_at,
            complex: (0..n * self.complex_shifts).map(|_| solver.like(system.as_ref())).collect(),
            real: vec![solver; n],
            matrix: vec![T::ZERO; len],
            complex_matrix: vec![Complex::default(); c.0],
            complex_rhs: vec![Complex::default(); c.1],
        }
    }

    /// Whether the mass matrix consists of equal blocks of `d` coordinates.
    fn mass_has_blocks(&self, d: usize) -> bool {
        let Some(mass) = &self.mass else { return true };
        let first = mass.iter().filter(|&&(i, _, _)| i < d);
        let blocks = (0..self.d).step_by(d.max(1));
        let repeated = blocks.flat_map(|at| first.clone().map(move |&(i, j, m)| (at + i, at + j, m)));
        repeated.eq(mass.iter().copied())
    }

    /// Computes the Jacobian at `(t, y)`, where the field is `f0`.
    ///
    /// # Errors
    /// The field's; [`FieldError::Fatal`] if it tells a sparsity or a number of blocks that does not fit the state or the
    /// mass matrix.
    pub(crate) fn refresh(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        f0: &[T],
        tol: Tolerance<'_>,
        work: &mut Work,
    ) -> Result<(), FieldError> {
        work.jacobians += 1;
        let d = self.d;
        let (pattern, blocks) = match f {
            Rhs::Jacobian(f) => (f.sparsity(), f.blocks()),
            _ => (self.given.as_ref(), 1),
        };
        let wrong = |what| Err(FieldError::Fatal { t, what });
        if blocks == 0 || !d.is_multiple_of(blocks) {
            return wrong("the blocks of its Jacobian do not divide its state");
        }
        let size = d / blocks;
        if pattern.is_some_and(|s| (s.n_rows(), s.n_cols()) != (size, size)) {
            return wrong("the sparsity of its Jacobian has another size than its state");
        }
        let systems = match self.systems.take() {
            Some(systems) if systems.size == size && systems.pattern.as_ref() == pattern => systems,
            _ if !self.mass_has_blocks(size) => {
                return wrong("its Jacobian has equal blocks and the mass matrix has not");
            }
            _ => self.build(pattern, size),
        };
        let Systems { jac, colored, .. } = self.systems.insert(systems);
        if let Rhs::Jacobian(f) = f {
            return f.jacobians(t, y, p, jac);
        }
        // A coordinate that is small beside the others must still change sums with them: differences of such sums keep four digits.
        let beside = T::EPSILON.sqrt().sqrt();
        for (y, scale) in y.chunks_exact(d).zip(self.scale.chunks_exact_mut(d)) {
            let largest = beside * y.iter().fold(T::ZERO, |most, y| most.max(y.abs()));
            for (j, scale) in scale.iter_mut().enumerate() {
                let (rtol, atol) = (tol.rtol.of(j), tol.atol.of(j));
                // Where an error of the tolerance's size would be: atol / rtol is the size at which the two meet.
                *scale = largest.max(T::c(if rtol > 0.0 { (atol / rtol).clamp(1e-10, 1.0) } else { 1.0 }));
            }
        }
        work.evals += colored.jacobian(f, t, y, p, f0, &self.scale, &mut self.shifted, &mut self.f1, jac)?;
        Ok(())
    }

    /// The first value that is not finite of `field`, `[n, d]`, if that is the field at a finite `state`.
    pub(crate) fn field_fault(&self, t: f64, state: &[T], field: &[T]) -> Option<StepFailure> {
        if !state.iter().all(|y| y.is_finite()) {
            return None;
        }
        let k = field.iter().position(|v| !v.is_finite())?;
        let (trajectory, coordinate) = ((k / self.d) as u64, k % self.d);
        Some(StepFailure::NotFinite { what: "the field", t, trajectory, coordinate })
    }

    /// The same, and else the first one of the Jacobian that is held.
    pub(crate) fn fault(&self, t: f64, state: &[T], field: &[T]) -> Option<StepFailure> {
        if !state.iter().all(|y| y.is_finite()) {
            return None;
        }
        let fault = self.field_fault(t, state, field);
        if fault.is_some() {
            return fault;
        }
        let Systems { jac, pattern, size, .. } = self.systems.as_ref()?;
        let k = jac.iter().position(|v| !v.is_finite())?;
        let len = (jac.len() / self.n.max(1)).max(1);
        let row = match pattern {
            Some(pattern) => pattern.row_indices()[k % len],
            None => k % len / size,
        };
        let (what, trajectory, coordinate) = ("the Jacobian of the field", (k / len) as u64, row);
        Some(StepFailure::NotFinite { what, t, trajectory, coordinate })
    }

    /// Factors `shift M - J`.
    ///
    /// # Errors
    /// [`SingularMatrix`].
    ///
    /// # Panics
    /// If no Jacobian was computed.
    pub(crate) fn factor(&mut self, shift: f64, work: &mut Work) -> Result<(), SingularMatrix> {
        work.factorisations += 1;
        let (shift, s) = (T::c(shift), systems(&mut self.systems));
        let d = s.size;
        if self.mass.is_none() && s.pattern.is_none() {
            // Dense: from the Jacobian, with no matrix stored between.
            for (jac, solver) in s.jac.chunks_exact((d * d).max(1)).zip(&mut s.real) {
                solver.factor_from(|k, diagonal| if diagonal { shift - jac[k] } else { -jac[k] })?;
            }
            return Ok(());
        }
        factor_all(shift, &s.jac, &s.jac_at, &s.mass_at, &mut s.matrix, &mut s.real)
    }

    /// Solves `(shift M - J) x = b` in place, `[n, d]`, for the last factored shift.
    pub(crate) fn solve(&mut self, b: &mut [T]) {
        let s = systems(&mut self.systems);
        for (b, solver) in b.chunks_exact_mut(self.d).zip(&mut s.real) {
            b.chunks_exact_mut(s.size).for_each(|b| solver.solve(b));
        }
    }

    /// The same for a part of each trajectory.
    #[inline]
    pub(crate) fn solve_part(&mut self, part: Part, b: &mut [T]) {
        if part == Part::All {
            return self.solve(b); // of small systems, the cuts below are felt
        }
        let s = systems(&mut self.systems);
        for (b, solver) in b.chunks_exact_mut(self.d).zip(&mut s.real) {
            b[part.of(self.d)].chunks_exact_mut(s.size).for_each(|b| solver.solve(b));
        }
    }

    /// Coordinates of a block, if the last Jacobian had more than one.
    pub(crate) fn block(&self) -> Option<usize> {
        self.systems.as_ref().map(|s| s.size).filter(|&size| size < self.d)
    }

    /// Iterates for the first block alone, and then for the others, where there are several.
    pub(crate) fn set_staggered(&mut self) {
        self.staggered = true;
    }

    /// Whether that was asked for.
    pub(crate) fn is_staggered(&self) -> bool {
        self.staggered
    }

    /// What to iterate for, one after the other.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> + use<T> {
        let (first, second) = match self.block().filter(|_| self.staggered) {
            Some(block) => (Part::FirstBlock(block), Some(Part::OtherBlocks(block))),
            None => (Part::All, None),
        };
        std::iter::once(first).chain(second)
    }

    /// Factors `(re + i im) M - J` as complex factorisation number `k`.
    ///
    /// # Errors
    /// [`SingularMatrix`].
    pub(crate) fn factor_complex(
        &mut self,
        k: usize,
        re: f64,
        im: f64,
        work: &mut Work,
    ) -> Result<(), SingularMatrix> {
        work.factorisations += 1;
        let (shift, s) = (Complex::new(T::c(re), T::c(im)), systems(&mut self.systems));
        let d = s.size;
        let solvers = &mut s.complex[k * self.n..(k + 1) * self.n];
        if self.mass.is_none() && s.pattern.is_none() {
            for (jac, solver) in s.jac.chunks_exact((d * d).max(1)).zip(solvers) {
                solver.factor_from(|k, diagonal| {
                    let (re, im) = if diagonal { (shift.re, shift.im) } else { (T::ZERO, T::ZERO) };
                    Complex::new(re - jac[k], im)
                })?;
            }
            return Ok(());
        }
        factor_all(shift, &s.jac, &s.jac_at, &s.mass_at, &mut s.complex_matrix, solvers)
    }

    /// Solves `((re + i im) M - J) x = b_re + i b_im` in place for a part of each trajectory, `[n, d]` each, by complex factorisation
    /// number `k`.
    pub(crate) fn solve_complex(&mut self, k: usize, part: Part, re: &mut [T], im: &mut [T]) {
        let d = self.d;
        let s = systems(&mut self.systems);
        let solvers = &mut s.complex[k * self.n..(k + 1) * self.n];
        for ((re, im), solver) in re.chunks_exact_mut(d).zip(im.chunks_exact_mut(d)).zip(solvers) {
            let (re, im) = (&mut re[part.of(d)], &mut im[part.of(d)]);
            for (re, im) in re.chunks_exact_mut(s.size).zip(im.chunks_exact_mut(s.size)) {
                solver.solve_parts(re, im, &mut s.complex_rhs);
            }
        }
    }
}

/// The systems, which the first Jacobian made.
fn systems<T: Real>(systems: &mut Option<Systems<T>>) -> &mut Systems<T> {
    #[allow(clippy::expect_used, reason = "methods compute a Jacobian before they factor or solve")]
    systems.as_mut().expect("a Jacobian comes first")
}

/// Factors `shift M - J` for every trajectory.
fn factor_all<T: Real, S: Scalar<Part = T>>(
    shift: S,
    jac: &[T],
    jac_at: &[usize],
    mass_at: &[(usize, T)],
    matrix: &mut [S],
    solvers: &mut [StructuredLu<S>],
) -> Result<(), SingularMatrix> {
    matrix.fill(S::ZERO);
    for (jac, solver) in jac.chunks_exact(jac_at.len().max(1)).zip(solvers) {
        for (&at, &j) in jac_at.iter().zip(jac) {
            matrix[at] = S::from_parts(-j, T::ZERO);
        }
        for &(at, m) in mass_at {
            let old = matrix[at];
            matrix[at] = S::from_parts(old.re() + shift.re() * m, old.im() + shift.im() * m);
        }
        solver.factor(matrix)?;
        mass_at.iter().for_each(|&(at, _)| matrix[at] = S::ZERO);
    }
    Ok(())
}
