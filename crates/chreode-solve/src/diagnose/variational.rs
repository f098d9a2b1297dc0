//! A trajectory with tangent vectors, `dy/dt = f` and `dv/dt = ∂f/∂y v`.

use chreode_core::{FieldError, Jacobian, Real, Sparsity, Tolerance, VectorField};

use crate::options::{SolveOptions, StepSize};
use crate::solve::solve_with_jacobian;
use crate::stepper::Stepper;
use crate::{SolveError, Stats};

/// The field of `[y, v_1, .., v_k]`.
struct Variational<F, T> {
    f: F,
    d: usize,
    k: usize,
    /// The Jacobian of `f`, in its own structure.
    values: Vec<T>,
}

impl<T: Real, F: Jacobian<T>> VectorField<T> for Variational<F, T> {
    fn dim(&self) -> usize {
        (1 + self.k) * self.d
    }

    fn n_params(&self) -> usize {
        self.f.n_params()
    }

    fn eval(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        let d = self.d;
        let ((y, v), (dy, dv)) = (z.split_at(d), dz.split_at_mut(d));
        self.f.eval(t, y, p, dy)?;
        self.f.jacobian(t, y, p, &mut self.values)?;
        let pattern = self.f.sparsity();
        for (v, dv) in v.chunks_exact(d).zip(dv.chunks_exact_mut(d)) {
            if let Some(pattern) = pattern {
                dv.fill(T::ZERO);
                let mut values = self.values.iter();
                for (j, &v) in v.iter().enumerate() {
                    for (&i, &value) in pattern.column(j).iter().zip(&mut values) {
                        dv[i] += value * v;
                    }
                }
            } else {
                for (dv, row) in dv.iter_mut().zip(self.values.chunks_exact(d)) {
                    *dv = row.iter().zip(v).map(|(&j, &v)| j * v).sum();
                }
            }
        }
        Ok(())
    }
}

/// Newton's iteration leaves out how `∂f/∂y v` changes with `y`, which lies below the diagonal.
impl<T: Real, F: Jacobian<T>> Jacobian<T> for Variational<F, T> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.f.sparsity()
    }

    fn blocks(&self) -> usize {
        1 + self.k
    }

    fn eval_first_block(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        self.f.eval(t, &z[..self.d], p, &mut dz[..self.d])
    }

    fn jacobian(&mut self, t: f64, z: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        self.f.jacobian(t, &z[..self.d], p, values)
    }
}

/// A solver of one trajectory with its tangents, and their values.
pub(super) struct Tangents<F, T, S> {
    field: Variational<F, T>,
    stepper: S,
    /// `[y, v_1, .., v_k]`.
    pub(super) z: Vec<T>,
    rtol: Vec<f64>,
    atol: Vec<f64>,
    h: Option<f64>,
}

impl<T: Real, F: Jacobian<T>, S: Stepper<T>> Tangents<F, T, S> {
    /// Room for `k` tangents; `method(1, (1 + k) d)` makes the stepper.
    pub(super) fn new(f: F, k: usize, tolerance: Tolerance<'_>, method: impl Fn(usize, usize) -> S) -> Self {
        let d = f.dim();
        let len = f.sparsity().map_or(d * d, Sparsity::len);
        let width = (1 + k) * d;
        let rtol: Vec<f64> = (0..width).map(|i| tolerance.rtol.of(i % d)).collect();
        // Tangents have unit length: the relative tolerance is their absolute one.
        let atol = (0..width).map(|i| if i < d { tolerance.atol.of(i) } else { rtol[i] }).collect();
        let field = Variational { f, d, k, values: vec![T::ZERO; len] };
        Self { field, stepper: method(1, width), z: vec![T::ZERO; width], rtol, atol, h: None }
    }

    /// Sets the state, `[d]`; its first step is found anew.
    pub(super) fn start(&mut self, y: &[T]) {
        self.z[..self.field.d].copy_from_slice(y);
        self.h = None;
    }

    /// Goes from `t` to `t_end`.
    pub(super) fn advance(&mut self, p: &[T], t: f64, t_end: f64) -> Result<Stats, SolveError> {
        let mut options = SolveOptions::tolerance(&self.rtol[..], &self.atol[..]);
        if let Some(h) = self.h {
            options.step = StepSize::Adaptive { h0: Some(h), h_max: f64::INFINITY };
        }
        let (field, stepper, z) = (&mut self.field, &mut self.stepper, &mut self.z);
        let stats = solve_with_jacobian(field, p, z, (t, t_end), stepper, &options, &mut |_, _, _| {})?;
        self.h = Some(stats.h_next).filter(|h| h.is_finite() && *h > 0.0);
        Ok(stats)
    }
}

/// Checks tolerances of `d` coordinates.
pub(super) fn check_tolerance(tolerance: Tolerance<'_>, d: usize) -> Result<(), SolveError> {
    SolveOptions { tolerance, ..SolveOptions::default() }.check((0.0, 1.0), d)
}

/// Checks tolerances of `d` coordinates and of tangents beside them, which have a relative tolerance only.
pub(super) fn check_tangent_tolerance(tolerance: Tolerance<'_>, d: usize) -> Result<(), SolveError> {
    check_tolerance(tolerance, d)?;
    match (0..d).map(|j| tolerance.rtol.of(j)).find(|&rtol| rtol == 0.0) {
        Some(got) => Err(SolveError::InvalidOption {
            what: "rtol, which tangents are held to,",
            must: "positive",
            got,
        }),
        None => Ok(()),
    }
}
