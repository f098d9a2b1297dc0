//! The Jacobian of a field: its own, or one row a pull-back.

use chreode_core::{FieldError, Jacobian, Real, Sparsity, VectorField, Vjp};
use chreode_solve::{Rhs, SolveError, Stats, Stepper};

use crate::discrete::method::Run;

/// Scratch for Jacobians of fields that have none.
#[derive(Debug)]
pub(in crate::discrete) struct Rows<T> {
    unit: Vec<T>,
    p_bar: Vec<T>,
}

impl<T: Real> Rows<T> {
    pub(in crate::discrete) fn new(d: usize) -> Self {
        Self { unit: vec![T::ZERO; d], p_bar: Vec::new() }
    }

    /// Runs a method on the field with its Jacobian.
    pub(in crate::discrete) fn run(
        &mut self,
        f: &mut dyn Vjp<T>,
        stepper: &mut dyn Stepper<T>,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError> {
        self.with_jacobian(f, |f| run(f, stepper))
    }

    /// Calls `with` with the field and its Jacobian.
    pub(in crate::discrete) fn with_jacobian<R>(
        &mut self,
        f: &mut dyn Vjp<T>,
        with: impl FnOnce(&mut Rhs<'_, T>) -> R,
    ) -> R {
        if let Some(f) = whole(f) {
            return with(&mut Rhs::Jacobian(f));
        }
        with(&mut Rhs::Jacobian(&mut Pulled { f, rows: self }))
    }

    /// Sets `values`, `[n, entries]`, to the Jacobians of all trajectories.
    pub(in crate::discrete) fn jacobians(
        &mut self,
        f: &mut dyn Vjp<T>,
        t: f64,
        y: &[T],
        p: &[T],
        values: &mut [T],
    ) -> Result<(), FieldError> {
        match whole(f) {
            Some(f) => f.jacobians(t, y, p, values),
            None => Pulled { f, rows: self }.jacobians(t, y, p, values),
        }
    }
}

/// The Jacobian that a field shows, if it is all of it: steps are differentiated with what lies beside its blocks too.
pub(crate) fn whole<T: Real>(f: &mut dyn Vjp<T>) -> Option<&mut dyn Jacobian<T>> {
    f.as_jacobian().filter(|f| f.blocks() == 1)
}

/// A field whose Jacobian is pulled back, row by row.
struct Pulled<'a, T> {
    f: &'a mut dyn Vjp<T>,
    rows: &'a mut Rows<T>,
}

impl<T: Real> VectorField<T> for Pulled<'_, T> {
    fn dim(&self) -> usize {
        self.f.dim()
    }
    fn n_params(&self) -> usize {
        self.f.n_params()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.f.eval(t, y, p, dy)
    }
}

impl<T: Real> Jacobian<T> for Pulled<'_, T> {
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let Rows { unit, p_bar } = &mut *self.rows;
        p_bar.resize(p.len(), T::ZERO);
        for (i, row) in values.chunks_exact_mut(unit.len().max(1)).enumerate() {
            unit[i] = T::ONE;
            let pulled = self.f.vjp(t, y, p, unit, row, p_bar);
            unit[i] = T::ZERO;
            pulled?;
        }
        p_bar.fill(T::ZERO); // it may have become anything
        Ok(())
    }
}

/// The pattern of the field's Jacobian; none if it is dense.
pub(in crate::discrete) fn pattern<T: Real>(f: &mut dyn Vjp<T>) -> Option<&Sparsity> {
    let f: &dyn Jacobian<T> = whole(f)?;
    f.sparsity()
}
