//! The equations `W Z / h = F(base + Z)` of a step's stages, solved to rounding, and the adjoint ones.
//!
//! Newton's iteration holds a factorisation as long as it converges fast, and so does the refinement of the adjoint stages, whose
//! residuals are pull-backs: what is held decides how long it takes, and not what comes out.

use chreode_core::{Real, Vjp};
use chreode_solve::{RadauTableau, SolveError, StepFailure};

use super::field::{Rows, pattern};
use super::system::StageSystem;
use crate::AdjointError;

/// Corrections of this many last digits are rounding.
const ROUNDING: f64 = 8.0;
/// Up to this number of unknowns a factorisation costs less than what a better one saves.
const SMALL: usize = 16;
/// Up to this number of coordinates another iteration costs little.
const FEW: usize = 8;
/// Corrections fall by this factor at least, or the Jacobians are computed anew.
const SLOW: f64 = 0.3;
/// How often they are.
const MOST_FACTORISATIONS: u32 = 12;
/// Corrections of adjoint stages that may be rounding: less than gradients are believed to. Single precision has none such.
const BEARABLE: f64 = 1e-6;
/// A coordinate this small beside the largest has no relative error.
const FLOOR: f64 = 1e-10;

/// The equations of `s` stages that `W`, `[s, s]`, couples: of a Radau method if there is its table.
#[derive(Debug)]
pub(in crate::discrete) struct StageEquations<T: Real> {
    nd: usize,
    d: usize,
    s: usize,
    w: Vec<f64>,
    system: StageSystem<T>,
    /// Step length of the factorisation; 0 for none.
    held: f64,
    rows: Rows<T>,
    jac: Vec<T>,
    residual: Vec<T>,
    products: Vec<T>,
    p_bar: Vec<T>,
}

impl<T: Real> StageEquations<T> {
    pub(in crate::discrete) fn new(w: Vec<f64>, table: Option<RadauTableau>, n: usize, d: usize) -> Self {
        let (s, nd) = (w.len().isqrt(), n * d);
        Self {
            nd,
            d,
            s,
            system: StageSystem::new(w.clone(), table, n, d),
            w,
            held: 0.0,
            rows: Rows::new(d),
            jac: Vec::new(),
            residual: vec![T::ZERO; s * nd],
            products: vec![T::ZERO; s * nd],
            p_bar: Vec::new(),
        }
    }

    /// Forgets the factorisation, unless it is one for steps of length `h`.
    pub(in crate::discrete) fn begin(&mut self, f: &mut dyn Vjp<T>, h: f64) {
        if self.system.shape(pattern(f)) {
            self.jac.clear();
            self.jac.resize(self.s * (self.nd / self.d.max(1)) * self.system.entries(), T::ZERO);
            self.held = 0.0;
        }
        if self.system.decouple() || self.held != h {
            self.held = 0.0;
        }
    }

    /// Forgets the factorisation, whatever it is for: what comes out is a function of what goes in.
    pub(in crate::discrete) fn forget(&mut self) {
        self.held = 0.0;
    }

    /// Forgets the factorisation where a new one costs less than the iterations with an old one: of a field that shows its Jacobian,
    /// in a form that is factored fast.
    pub(in crate::discrete) fn renew(&mut self, f: &mut dyn Vjp<T>) {
        if f.as_jacobian().is_some() && !self.system.is_dear() {
            self.held = 0.0;
        }
    }

    /// Whether factorisations cost little.
    pub(in crate::discrete) fn is_small(&self) -> bool {
        self.s * self.d <= SMALL
    }

    /// Factors with the Jacobians at these stages, if nothing is held.
    pub(in crate::discrete) fn prepare(
        &mut self,
        f: &mut dyn Vjp<T>,
        times: &[f64],
        h: f64,
        inputs: &[T],
        p: &[T],
    ) -> Result<(), AdjointError> {
        if self.held == 0.0 { self.refresh(f, times, h, inputs, p) } else { Ok(()) }
    }

    /// Factors with the Jacobians at these stages.
    fn refresh(
        &mut self,
        f: &mut dyn Vjp<T>,
        times: &[f64],
        h: f64,
        inputs: &[T],
        p: &[T],
    ) -> Result<(), AdjointError> {
        let len = self.jac.len() / self.s;
        self.held = 0.0;
        if let Some(i) = self.system.one_for_all() {
            let jac = &mut self.jac[..len];
            self.rows.jacobians(f, times[i], &inputs[i * self.nd..][..self.nd], p, jac)?;
            if let Err(singular) = self.system.factor(h, jac) {
                return Err(unsolved(times, h, singular.into()));
            }
            self.held = h;
            return Ok(());
        }
        for ((&t, y), jac) in
            times.iter().zip(inputs.chunks_exact(self.nd)).zip(self.jac.chunks_exact_mut(len.max(1)))
        {
            self.rows.jacobians(f, t, y, p, jac)?;
        }
        if let Err(singular) = self.system.factor(h, &self.jac) {
            return Err(unsolved(times, h, singular.into()));
        }
        self.held = h;
        Ok(())
    }

    /// Solves for stages `inputs = base + Z`, `[s, n, d]`, from a first guess of them; sets `z` to `Z`.
    ///
    /// # Errors
    /// The field's, and [`SolveError::Unsolved`]; Jacobians of where it went astray are forgotten.
    pub(in crate::discrete) fn solve(
        &mut self,
        f: &mut dyn Vjp<T>,
        times: &[f64],
        h: f64,
        base: &[T],
        p: &[T],
        inputs: &mut [T],
        z: &mut [T],
    ) -> Result<(), AdjointError> {
        let solved = self.iterate(f, times, h, base, p, inputs, z);
        if solved.is_err() {
            self.held = 0.0;
        }
        solved
    }

    fn iterate(
        &mut self,
        f: &mut dyn Vjp<T>,
        times: &[f64],
        h: f64,
        base: &[T],
        p: &[T],
        inputs: &mut [T],
        z: &mut [T],
    ) -> Result<(), AdjointError> {
        let (s, nd, eps) = (self.s, self.nd, T::EPSILON.f64());
        // What is left may be multiplied by 1e8 in what follows (E5).
        let enough = if self.d <= FEW { ROUNDING * eps } else { eps.powf(0.75) };
        for (z, input) in z.chunks_exact_mut(nd).zip(inputs.chunks_exact(nd)) {
            for ((z, &input), &base) in z.iter_mut().zip(input).zip(base) {
                *z = input - base;
            }
        }
        let (mut before, mut factorisations, mut iterations) = (f64::INFINITY, 0, 0);
        if self.held == 0.0 || self.is_small() {
            self.refresh(f, times, h, inputs, p)?;
            factorisations += 1;
        }
        loop {
            iterations += 1;
            // Of a matrix held from elsewhere the corrections say little: where a Jacobian was larger by orders of magnitude, they are
            // small however much is left.
            let mut left = false;
            for (i, residual) in self.residual.chunks_exact_mut(nd).enumerate() {
                f.eval(times[i], &inputs[i * nd..][..nd], p, residual)?;
                let slope = &mut self.products[i * nd..][..nd];
                slope.copy_from_slice(residual);
                for j in 0..s {
                    let w = T::c(self.w[i * s + j] / h);
                    for (r, &z) in residual.iter_mut().zip(&z[j * nd..][..nd]) {
                        *r -= w * z;
                    }
                }
                left |= factorisations == 0 && is_left(residual, slope);
            }
            self.system.solve(&mut self.residual);
            for ((z, input), (&change, &base)) in
                z.iter_mut().zip(&mut *inputs).zip(self.residual.iter().zip(base.iter().cycle()))
            {
                *z += change;
                *input = base + *z;
            }
            let (size, plain) = relative(&self.residual, inputs, self.d);
            let rate = size / before;
            let there = size <= ROUNDING * eps || rate > 0.0 && rate < SLOW && size * rate <= enough;
            if there && !left {
                return Ok(());
            }
            if there || !(rate < SLOW || before.is_infinite() && size < 0.1) {
                if factorisations > 0 && before.is_finite() && (size < eps.sqrt() || plain < 100.0 * eps) {
                    return Ok(()); // what is left is rounding
                }
                if factorisations >= MOST_FACTORISATIONS || !size.is_finite() {
                    let failure = StepFailure::NewtonDiverged { iterations, rate };
                    return Err(unsolved(times, h, failure));
                }
                if factorisations > 1 {
                    self.system.couple();
                }
                self.refresh(f, times, h, inputs, p)?;
                factorisations += 1;
                before = f64::INFINITY;
                continue;
            }
            before = size;
        }
    }

    /// Solves `Σ_i w_ij μ_i / h - J_jᵀ μ_j = b_j` for the adjoint stages `mu`, where `J_j` is the Jacobian at stage `j`, and adds
    /// `Σ_j μ_jᵀ ∂f/∂p` to `p_bar`. What is not finite is passed on.
    ///
    /// # Errors
    /// The field's, and [`SolveError::Unsolved`].
    pub(in crate::discrete) fn solve_adjoint(
        &mut self,
        f: &mut dyn Vjp<T>,
        times: &[f64],
        h: f64,
        p: &[T],
        inputs: &[T],
        b: &[T],
        mu: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (s, nd, eps) = (self.s, self.nd, T::EPSILON.f64());
        let enough = eps.powf(0.75);
        let (mut before, mut factorisations, mut stalled) = (f64::INFINITY, 0, false);
        if self.held == 0.0 || self.is_small() {
            self.refresh(f, times, h, inputs, p)?;
            factorisations += 1;
        }
        self.p_bar.resize(p.len(), T::ZERO);
        mu.copy_from_slice(b);
        self.system.solve_transpose(mu);
        loop {
            let mut left = false; // as for the stages
            self.p_bar.fill(T::ZERO);
            for (j, residual) in self.residual.chunks_exact_mut(nd).enumerate() {
                let row = j * nd..(j + 1) * nd;
                let product = &mut self.products[row.clone()];
                f.vjp(times[j], &inputs[row.clone()], p, &mu[row.clone()], product, &mut self.p_bar)?;
                for ((r, &b), &product) in residual.iter_mut().zip(&b[row]).zip(&*product) {
                    *r = b + product;
                }
                for i in 0..s {
                    let w = T::c(self.w[i * s + j] / h);
                    for (r, &mu) in residual.iter_mut().zip(&mu[i * nd..][..nd]) {
                        *r -= w * mu;
                    }
                }
                left |= factorisations == 0 && is_left(residual, product);
            }
            if stalled && self.is_rounding(h, b, mu) {
                p_bar.iter_mut().zip(&self.p_bar).for_each(|(sum, &p_bar)| *sum += p_bar);
                return Ok(());
            }
            self.system.solve_transpose(&mut self.residual);
            let size = dual(&self.residual, mu, inputs, self.d);
            let rate = size / before;
            let rounding = rate >= SLOW && factorisations > 0 && size < eps.sqrt();
            for (mu, &change) in mu.iter_mut().zip(&self.residual) {
                *mu += change;
            }
            let there = size <= enough && !left;
            if there || rounding || !size.is_finite() {
                p_bar.iter_mut().zip(&self.p_bar).for_each(|(sum, &p_bar)| *sum += p_bar);
                return Ok(());
            }
            before = size;
            // As far as it comes, perhaps, at the stages' own Jacobians.
            let own = factorisations > 0 && self.system.one_for_all().is_none();
            stalled = own && !stalled && rate >= SLOW && size < BEARABLE;
            if stalled {
                continue;
            }
            if rate >= SLOW || rate.is_nan() || size > 0.1 || size <= enough {
                if factorisations >= MOST_FACTORISATIONS {
                    return Err(unsolved(times, h, StepFailure::NewtonDiverged { iterations: 0, rate }));
                }
                if factorisations > 0 {
                    self.system.couple();
                }
                self.refresh(f, times, h, inputs, p)?;
                factorisations += 1;
                mu.copy_from_slice(b);
                self.system.solve_transpose(mu);
                before = f64::INFINITY;
            }
        }
    }

    /// Whether the residuals of the adjoint stages are rounding of their terms: `mu` then solves exactly the equations of Jacobians, of `W`
    /// and of `b` that are the given ones but for some last digits of each number. Where slow modes are beside fast ones by 1e14 and more,
    /// corrections that such residuals lead to are no small part of `mu`, and do not become smaller.
    fn is_rounding(&mut self, h: f64, b: &[T], mu: &[T]) -> bool {
        let (s, nd, len) = (self.s, self.nd, self.jac.len() / self.s);
        for (j, terms) in self.products.chunks_exact_mut(nd).enumerate() {
            let row = j * nd..(j + 1) * nd;
            terms.iter_mut().zip(&b[row.clone()]).for_each(|(term, b)| *term = b.abs());
            for i in 0..s {
                let w = T::c(self.w[i * s + j] / h);
                for (term, &mu) in terms.iter_mut().zip(&mu[i * nd..][..nd]) {
                    *term += (w * mu).abs();
                }
            }
            self.system.add_sizes(&self.jac[j * len..][..len], &mu[row], terms);
        }
        let most = T::c(ROUNDING * T::EPSILON.f64());
        self.residual.iter().zip(&self.products).all(|(r, &terms)| r.abs() <= most * terms)
    }
}

/// Whether residuals are more than a small part of what they are differences of: of these terms and what differs from them.
fn is_left<T: Real>(residual: &[T], terms: &[T]) -> bool {
    let most = T::c(T::EPSILON.f64().sqrt());
    residual.iter().zip(terms).any(|(&r, &term)| r.abs() > most * term.abs().max((term - r).abs()))
}

/// The error of a step whose stages were not found.
fn unsolved(times: &[f64], h: f64, failure: StepFailure) -> AdjointError {
    let t = times.last().map_or(f64::NAN, |t| t - h);
    SolveError::Unsolved { t, h: h.abs(), failure }.into()
}

/// The largest correction of a value beside it, and beside the trajectory's largest.
fn relative<T: Real>(changes: &[T], values: &[T], d: usize) -> (f64, f64) {
    let (mut worst, mut plain) = (T::ZERO, T::ZERO);
    for (changes, values) in changes.chunks_exact(d.max(1)).zip(values.chunks_exact(d.max(1))) {
        let largest = values.iter().fold(T::ZERO, |most, v| most.max(v.abs()));
        let floor = T::c(FLOOR) * largest;
        for (change, value) in changes.iter().zip(values) {
            let size = change.abs();
            if !size.is_finite() {
                return (f64::NAN, f64::NAN);
            }
            if size != T::ZERO {
                worst = worst.max(size / value.abs().max(floor));
                plain = plain.max(size / largest);
            }
        }
    }
    (worst.f64(), plain.f64())
}

/// The largest correction of the adjoint stages beside the largest of them, as they are and times the values.
fn dual<T: Real>(changes: &[T], mu: &[T], values: &[T], d: usize) -> f64 {
    let mut worst = 0.0_f64;
    for ((changes, mu), values) in
        changes.chunks_exact(d.max(1)).zip(mu.chunks_exact(d.max(1))).zip(values.chunks_exact(d.max(1)))
    {
        let floor = T::c(FLOOR) * values.iter().fold(T::ZERO, |most, v| most.max(v.abs()));
        let (mut plain, mut scaled) = ([T::ZERO; 2], [T::ZERO; 2]);
        for ((change, mu), value) in changes.iter().zip(mu).zip(values) {
            if !(change.is_finite() && mu.is_finite()) {
                return f64::NAN;
            }
            let weight = value.abs().max(floor);
            for (k, x) in [change.abs(), mu.abs()].into_iter().enumerate() {
                plain[k] = plain[k].max(x);
                scaled[k] = scaled[k].max(x * weight);
            }
        }
        for [change, mu] in [plain, scaled] {
            if change != T::ZERO {
                worst = worst.max((change / mu).f64());
            }
        }
    }
    worst
}
