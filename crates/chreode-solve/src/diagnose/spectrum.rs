//! Eigenvalues of the Jacobian, and its trace, at states and along trajectories.

use chreode_core::{Jacobian, Real};
use chreode_linalg::eigenvalues;

use super::dense::DenseJacobian;
use super::error::DiagnoseError;
use super::rows::{checked_track, for_rows};

/// Eigenvalues of `∂f/∂y` at many states: of [`jacobian_spectra`].
#[derive(Debug, Clone, PartialEq)]
pub struct Spectra {
    d: usize,
    values: Vec<(f64, f64)>,
    /// What rounding makes of an eigenvalue that is zero, for every row.
    floors: Vec<f64>,
}

impl Spectra {
    /// Number of states.
    pub fn len(&self) -> usize {
        self.floors.len()
    }

    /// Whether there is no state.
    pub fn is_empty(&self) -> bool {
        self.floors.is_empty()
    }

    /// The eigenvalues (re, im) at state number `row`, `[d]`, in one over time; descending by real part.
    ///
    /// # Panics
    /// If there is no such state.
    pub fn of(&self, row: usize) -> &[(f64, f64)] {
        &self.values[row * self.d..(row + 1) * self.d]
    }

    /// The spectral abscissa `max Re λ`: above zero, small deviations grow at first order.
    ///
    /// # Panics
    /// If there is no such state.
    pub fn abscissa(&self, row: usize) -> f64 {
        self.of(row)[0].0
    }

    /// The stiffness ratio `max |Re λ| / min |Re λ|` [Lam91, chapter 6] over the eigenvalues that decay, `Re λ < 0`; `None` if
    /// none does.
    ///
    /// What cannot be told from zero, `|Re λ| <= 4 d ε ‖J‖_F` with the rounding `ε` of the states' type, does not decay: a
    /// conserved sum has no time scale. A large ratio alone does not make a problem stiff: see [`log_norms`](crate::log_norms).
    ///
    /// # Panics
    /// If there is no such state.
    pub fn stiffness_ratio(&self, row: usize) -> Option<f64> {
        let floor = self.floors[row];
        let mut rates = self.of(row).iter().map(|&(re, _)| -re).filter(|&rate| rate > floor);
        let first = rates.next()?;
        let (least, most) = rates.fold((first, first), |(a, b), x| (a.min(x), b.max(x)));
        Some(most / least)
    }
}

/// Eigenvalues of `∂f/∂y` at the states of `n` cells at each of `times`, `[times, n, d]`, as saved along trajectories; with one
/// time, at `n` states. Row `i n + k` of the result is cell `k` at `times[i]`.
///
/// Rows are spread over rayon's current thread pool, each worker with a clone of the field.
///
/// # Errors
/// [`DiagnoseError::Arguments`] for wrong lengths and for times or states that are not finite, [`DiagnoseError::Blocks`];
/// [`DiagnoseError::Row`] and [`DiagnoseError::Matrix`] if the field fails or its Jacobian is not finite.
///
/// ```
/// use chreode_solve::jacobian_spectra;
/// use chreode_testkit::{Lorenz, SmoothField};
/// // At the origin -β, and the roots of λ² + (σ + 1) λ + σ (1 - ρ).
/// let spectra = jacobian_spectra(&SmoothField(Lorenz), &[10.0, 28.0, 8.0 / 3.0], &[0.0], &[0.0; 3])?;
/// let root = (121.0_f64 + 40.0 * 27.0).sqrt();
/// let expected = [(root - 11.0) / 2.0, -8.0 / 3.0, (-root - 11.0) / 2.0];
/// assert!(spectra.of(0).iter().zip(expected).all(|(z, re)| (z.0 - re).abs() < 1e-12 && z.1 == 0.0));
/// assert!((spectra.stiffness_ratio(0).unwrap() - expected[2] / expected[1]).abs() < 1e-12);
/// # Ok::<(), chreode_solve::DiagnoseError>(())
/// ```
pub fn jacobian_spectra<T, F>(f: &F, p: &[T], times: &[f64], states: &[T]) -> Result<Spectra, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
{
    let (d, epsilon) = (f.dim(), T::EPSILON.f64());
    let rows = along(f, p, times, states, |row, t, j| {
        let norm = j.iter().map(|x| x * x).sum::<f64>().sqrt();
        let values = eigenvalues(j, d).map_err(|source| DiagnoseError::Matrix { row, t, source })?;
        Ok((values, 4.0 * d as f64 * epsilon * norm))
    })?;
    let floors = rows.iter().map(|row| row.1).collect();
    Ok(Spectra { d, values: rows.into_iter().flat_map(|row| row.0).collect(), floors })
}

/// The divergence `∇·f = tr ∂f/∂y`, in one over time, at the states of `n` cells at each of `times`, `[times, n, d]`: the rate at
/// which volumes of states grow. It is exact: the diagonal of the Jacobian is added up.
///
/// # Errors
/// As [`jacobian_spectra`].
pub fn divergence<T, F>(f: &F, p: &[T], times: &[f64], states: &[T]) -> Result<Vec<f64>, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
{
    let d = f.dim();
    along(f, p, times, states, |_, _, j| Ok(j.iter().step_by(d + 1).sum()))
}

/// What `measure(row, t, jacobian)` says of every row of `states`, `[times, n, d]`.
pub(super) fn along<T, F, R: Send>(
    f: &F,
    p: &[T],
    times: &[f64],
    states: &[T],
    measure: impl Fn(usize, f64, &[f64]) -> Result<R, DiagnoseError> + Sync + Send,
) -> Result<Vec<R>, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
{
    let n = checked_track(f, p, times, states)?;
    let d = f.dim();
    for_rows(
        n * times.len(),
        || DenseJacobian::new(f.clone()),
        |jacobian, row| {
            let t = times[row / n];
            measure(row, t, jacobian.at(row, t, &states[row * d..(row + 1) * d], p)?)
        },
    )
}
