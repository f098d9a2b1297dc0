//! Forward sensitivities: derivatives of the state with respect to a few numbers, solved beside the state.
//!
//! With `S_j = ∂y/∂x_j` for a parameter or a start coordinate `x_j`, `dS_j/dt = ∂f/∂y S_j + ∂f/∂x_j`. State and
//! sensitivities are one system (the simultaneous way), which any method solves. Source: [MP96].
//! Not here: many parameters, for which an adjoint costs less (`discrete`, `continuous`).

use std::sync::OnceLock;

use chreode_core::{FieldError, Jacobian, Jvp, Real, Sparsity, VectorField, Vjp};

use crate::AdjointError;
use crate::error::check_len;

/// A field together with derivatives of its solution, `m` columns: one for each chosen start coordinate, then one for each
/// chosen parameter.
///
/// It is a [`VectorField`] of `(1 + m) d` coordinates, `[y, S_1, .., S_m]`, for any method; the error estimate watches the
/// sensitivities too. An evaluation costs one of the field, one product with `m` columns, and, if there are parameters, `d`
/// pull-backs for each trajectory. Implicit methods get `∂f/∂y` for each block of the diagonal: Newton's iteration leaves
/// out how `∂f/∂y S_j` changes with `y`, which makes it no less exact, since that block lies below the diagonal.
///
/// ```
/// use chreode_adjoint::ForwardSensitivities;
/// use chreode_solve::{Erk, SolveOptions, TSIT5, solve};
/// use chreode_testkit::{LotkaVolterra, SmoothField};
/// // d(prey, predators)/d(start of the prey), and with respect to parameter 2.
/// let mut f = ForwardSensitivities::new(SmoothField(LotkaVolterra), &[0], &[2])?;
/// let mut z = [0.0; 6];
/// f.start(&[1.0, 0.5], &mut z)?;
/// let (p, options) = ([1.5, 1.0, 0.75, 3.0], SolveOptions::tolerance(1e-8, 1e-8));
/// solve(&mut f, &p, &mut z, (0.0, 2.0), &mut Erk::new(&TSIT5, 1, 6), &options, &mut |_, _, _| {})?;
/// let mut gradient = [0.0; 2];
/// f.pull(&z, &[1.0, 0.0], &mut gradient)?; // of the prey at the end
/// assert_eq!(gradient, [z[2], z[4]]);
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ForwardSensitivities<F, T> {
    f: F,
    d: usize,
    coordinates: Vec<usize>,
    parameters: Vec<usize>,
    /// The state once for each column.
    repeated: Vec<T>,
    unit: Vec<T>,
    y_bar: Vec<T>,
    p_bar: Vec<T>,
    block: Vec<T>,
    sparsity: OnceLock<Sparsity>,
}

impl<T: Real, F: VectorField<T>> ForwardSensitivities<F, T> {
    /// Sensitivities to these coordinates of the start state and these parameters.
    ///
    /// # Errors
    /// [`AdjointError::NoSuch`] for a coordinate or parameter that the field does not have.
    pub fn new(f: F, coordinates: &[usize], parameters: &[usize]) -> Result<Self, AdjointError> {
        let (d, np) = (f.dim(), f.n_params());
        for (what, list, len) in [("coordinate", coordinates, d), ("parameter", parameters, np)] {
            if let Some(&index) = list.iter().find(|&&i| i >= len) {
                return Err(AdjointError::NoSuch { what, index, len });
            }
        }
        let zeros = |len| vec![T::ZERO; len];
        Ok(Self {
            d,
            coordinates: coordinates.to_vec(),
            parameters: parameters.to_vec(),
            repeated: zeros((coordinates.len() + parameters.len()) * d),
            unit: zeros(d),
            y_bar: zeros(d),
            p_bar: zeros(np),
            block: Vec::new(),
            sparsity: OnceLock::new(),
            f,
        })
    }

    /// Number `m` of sensitivities.
    pub fn columns(&self) -> usize {
        self.coordinates.len() + self.parameters.len()
    }

    /// Sets `z`, `[n, (1 + m) d]`, to the start states `y0`, `[n, d]`, with their sensitivities.
    ///
    /// # Errors
    /// [`AdjointError::ShapeMismatch`].
    pub fn start(&self, y0: &[T], z: &mut [T]) -> Result<(), AdjointError> {
        let (d, width) = (self.d.max(1), self.width().max(1));
        check_len("z", z.len(), y0.len() / d * width)?;
        check_len("start states (a multiple of the dimension)", y0.len(), y0.len() / d * d)?;
        z.fill(T::ZERO);
        for (y0, z) in y0.chunks_exact(d).zip(z.chunks_exact_mut(width)) {
            z[..d].copy_from_slice(y0);
            for (j, &i) in self.coordinates.iter().enumerate() {
                z[(1 + j) * d + i] = T::ONE;
            }
        }
        Ok(())
    }

    /// ADDS to `gradient`, `[m]`, what the gradient `state_bar`, `[n, d]`, of an objective in the states of `z` means for it:
    /// `Σ state_bar · S_j`, summed over the trajectories.
    ///
    /// # Errors
    /// [`AdjointError::ShapeMismatch`].
    pub fn pull(&self, z: &[T], state_bar: &[T], gradient: &mut [T]) -> Result<(), AdjointError> {
        let (d, width) = (self.d.max(1), self.width().max(1));
        check_len("state_bar", state_bar.len(), z.len() / width * d)?;
        check_len("gradient", gradient.len(), self.columns())?;
        for (z, bar) in z.chunks_exact(width).zip(state_bar.chunks_exact(d)) {
            for (gradient, s) in gradient.iter_mut().zip(z[d..].chunks_exact(d)) {
                *gradient += s.iter().zip(bar).map(|(&s, &bar)| s * bar).sum();
            }
        }
        Ok(())
    }

    fn width(&self) -> usize {
        (1 + self.columns()) * self.d
    }
}

impl<T: Real, F: Jvp<T> + Vjp<T>> VectorField<T> for ForwardSensitivities<F, T> {
    fn dim(&self) -> usize {
        self.width()
    }

    fn n_params(&self) -> usize {
        self.f.n_params()
    }

    fn eval(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        let (d, width) = (self.d, self.width());
        self.p_bar.resize(p.len(), T::ZERO); // a field may be given more than it reads
        for (z, dz) in z.chunks_exact(width).zip(dz.chunks_exact_mut(width)) {
            let ((y, s), (dy, ds)) = (z.split_at(d), dz.split_at_mut(d));
            self.f.eval(t, y, p, dy)?;
            for row in self.repeated.chunks_exact_mut(d) {
                row.copy_from_slice(y);
            }
            self.f.jvp(t, &self.repeated, p, s, ds)?;
            if self.parameters.is_empty() {
                continue;
            }
            let of_parameters = &mut ds[self.coordinates.len() * d..];
            for i in 0..d {
                self.unit[i] = T::ONE;
                self.p_bar.fill(T::ZERO);
                let pulled = self.f.vjp(t, y, p, &self.unit, &mut self.y_bar, &mut self.p_bar);
                self.unit[i] = T::ZERO;
                pulled?;
                for (ds, &k) in of_parameters.chunks_exact_mut(d).zip(&self.parameters) {
                    ds[i] += self.p_bar[k];
                }
            }
        }
        Ok(())
    }
}

impl<T: Real, F: Jvp<T> + Vjp<T> + Jacobian<T>> Jacobian<T> for ForwardSensitivities<F, T> {
    /// The field's own pattern, or a full block, along the diagonal.
    fn sparsity(&self) -> Option<&Sparsity> {
        let (d, blocks) = (self.d, 1 + self.columns());
        let build = || {
            let mut entries = Vec::new();
            for at in (0..blocks).map(|b| b * d) {
                for j in 0..d {
                    match self.f.sparsity() {
                        Some(pattern) => entries.extend(pattern.column(j).iter().map(|&i| (at + i, at + j))),
                        None => entries.extend((0..d).map(|i| (at + i, at + j))),
                    }
                }
            }
            // A field that tells a pattern of another size fails where the method checks it.
            Sparsity::new(blocks * d, blocks * d, entries).unwrap_or_else(|_| Sparsity::banded(0, 0, 0))
        };
        Some(self.sparsity.get_or_init(build))
    }

    fn jacobian(&mut self, t: f64, z: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let d = self.d;
        let y = &z[..d];
        let len = values.len() / (1 + self.columns());
        if self.f.sparsity().is_some() {
            self.f.jacobian(t, y, p, &mut values[..len])?;
        } else {
            self.block.resize(len, T::ZERO);
            self.f.jacobian(t, y, p, &mut self.block)?;
            for (k, value) in values[..len].iter_mut().enumerate() {
                *value = self.block[k % d * d + k / d]; // by columns
            }
        }
        let (first, others) = values.split_at_mut(len);
        others.chunks_exact_mut(len).for_each(|block| block.copy_from_slice(first));
        Ok(())
    }
}
