//! How much a small change of a state can grow within a time.

use chreode_core::{Jacobian, Real, Tolerance};
use chreode_linalg::singular_values;

use super::error::DiagnoseError;
use super::rows::{checked_rows, end_of, for_rows};
use super::variational::{Tangents, check_tangent_tolerance};
use crate::stepper::Stepper;

/// Singular values of state-transition matrices: of [`local_sensitivity`].
#[derive(Debug, Clone, PartialEq)]
pub struct LocalSensitivity<T> {
    d: usize,
    horizon: f64,
    singular_values: Vec<f64>,
    /// States at the end, `[n, d]`.
    pub ends: Vec<T>,
}

impl<T> LocalSensitivity<T> {
    /// The singular values of `Φ` of trajectory `row`, `[d]`, descending. The small ones are known to the solver's tolerance times
    /// the largest.
    ///
    /// # Panics
    /// If there is no such trajectory.
    pub fn of(&self, row: usize) -> &[f64] {
        &self.singular_values[row * self.d..(row + 1) * self.d]
    }

    /// The local sensitivity `‖Φ‖₂`: a start moved by a small distance ends moved by up to this many times it.
    ///
    /// # Panics
    /// If there is no such trajectory.
    pub fn norm(&self, row: usize) -> f64 {
        self.of(row)[0]
    }

    /// The largest exponent of this finite time, `ln ‖Φ‖₂ / horizon`, in one over time.
    ///
    /// # Panics
    /// If there is no such trajectory.
    pub fn exponent(&self, row: usize) -> f64 {
        self.norm(row).ln() / self.horizon
    }
}

/// The singular values of `Φ = ∂y(t0 + horizon)/∂y(t0)` for trajectories from `y`, `[n, d]`, by any method that solves ordinary
/// equations: `method(1, (1 + d) d)` makes its stepper. The `d` columns of `Φ`, from the identity, follow `dΦ/dt = ∂f/∂y Φ` beside
/// the state; with the tolerance of the states (atol in their units), columns are held to rtol. Rosenbrock methods lose their
/// order here.
///
/// Trajectories are spread over rayon's current thread pool, each worker with a clone of the field.
///
/// # Errors
/// [`DiagnoseError::Arguments`] and [`DiagnoseError::Blocks`] before anything runs; [`DiagnoseError::Row`] if a run fails.
///
/// ```
/// use chreode_core::Tolerance;
/// use chreode_solve::{Erk, TSIT5, local_sensitivity};
/// use chreode_testkit::{Rational, SmoothField};
/// // y' = -2 t p y²: y = y0 / (1 + p t² y0), with derivative 1 / (1 + p t² y0)².
/// let tolerance = Tolerance::new(1e-10, 1e-10);
/// let method = |n, d| Erk::new(&TSIT5, n, d);
/// let change = local_sensitivity(&SmoothField(Rational), &[1.0], &[1.0], 0.0, 2.0, tolerance, method)?;
/// assert!((change.norm(0) - 0.04).abs() < 1e-9);
/// # Ok::<(), chreode_solve::DiagnoseError>(())
/// ```
pub fn local_sensitivity<T, F, S>(
    f: &F,
    p: &[T],
    y: &[T],
    t0: f64,
    horizon: f64,
    tolerance: Tolerance<'_>,
    method: impl Fn(usize, usize) -> S + Sync + Send,
) -> Result<LocalSensitivity<T>, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
    S: Stepper<T>,
{
    let n = checked_rows(f, p, y, t0)?;
    let (d, t1) = (f.dim(), end_of("horizon", t0, horizon)?);
    check_tangent_tolerance(tolerance, d)?;
    let worker = || (Tangents::new(f.clone(), d, tolerance, &method), vec![0.0; d * d]);
    let rows = for_rows(n, worker, |(tangents, columns), row| {
        tangents.start(&y[row * d..(row + 1) * d]);
        let identity = &mut tangents.z[d..];
        identity.fill(T::ZERO);
        identity.iter_mut().step_by(d + 1).for_each(|x| *x = T::ONE);
        tangents.advance(p, t0, t1).map_err(|source| DiagnoseError::Row { row, source })?;
        // Columns lie in rows: singular values do not care.
        for (column, v) in columns.iter_mut().zip(&tangents.z[d..]) {
            *column = v.f64();
        }
        let values =
            singular_values(columns, d, d).map_err(|source| DiagnoseError::Matrix { row, t: t1, source })?;
        Ok((values, tangents.z[..d].to_vec()))
    })?;
    let (mut singular_values, mut ends) = (Vec::with_capacity(n * d), Vec::with_capacity(n * d));
    for (values, end) in rows {
        singular_values.extend(values);
        ends.extend(end);
    }
    Ok(LocalSensitivity { d, horizon, singular_values, ends })
}
