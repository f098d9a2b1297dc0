//! Forward sensitivities: derivatives of the state with respect to a few numbers, solved beside the state.
//!
//! With `S_j = ∂y/∂x_j` for a parameter or a start coordinate `x_j`, `dS_j/dt = ∂f/∂y S_j + ∂f/∂x_j`. State and
//! sensitivities are one system (the simultaneous way), which any method solves. Source: [MP96]. Methods that iterate can solve the
//! columns of a step after the state: `Bdf` by one more factorisation (the staggered direct way [CS85]), Radau methods and `Esdirk`
//! by an iteration with those that they have (the staggered corrector way [FTB97]).
//! Not here: many parameters, for which an adjoint costs less (`discrete`, `continuous`).

use chreode_core::{FieldError, Jacobian, ParamJvp, Real, Sparsity, VectorField};

use crate::AdjointError;
use crate::error::check_len;

/// A field together with derivatives of its solution, `m` columns: one for each chosen start coordinate, then one for each
/// chosen parameter.
///
/// It is a [`VectorField`] of `(1 + m) d` coordinates, `[y, S_1, .., S_m]`, for any method; the error estimate watches the
/// sensitivities too. An evaluation costs one of the field and one product with `m` directions. Implicit methods factor
/// `∂f/∂y` once for the state and all columns ([`Jacobian::blocks`]): Newton's iteration leaves out how `∂f/∂y S_j` changes with
/// `y`, which makes it no less exact, since that block lies below the diagonal. Rosenbrock methods do not iterate: each stage is solved for
/// the state first, and then for the columns, which take [`ParamJvp::param_jvp_along`] of the state's, or its difference where the field
/// has it not.
/// Staggered methods ([`Bdf::staggered`](chreode_solve::Bdf::staggered), [`Radau5::staggered`](chreode_solve::Radau5::staggered) and
/// likewise `Radau9`, `Radau13`, `Radau` and [`Esdirk::staggered`](chreode_solve::Esdirk::staggered)) iterate for the state alone and
/// then solve for the columns beside a state that no longer moves: mostly the faster way, from few columns on.
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
    m: usize,
    /// Direction of the parameters for each column: `[m, n_params]`.
    directions: Vec<T>,
    /// Room for how the columns' derivatives change along a direction: `[m, d]` twice and a state.
    turned: [Vec<T>; 3],
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
        let mut directions = vec![T::ZERO; (coordinates.len() + parameters.len()) * np];
        for (j, &k) in parameters.iter().enumerate() {
            directions[(coordinates.len() + j) * np + k] = T::ONE;
        }
        let (coordinates, m) = (coordinates.to_vec(), coordinates.len() + parameters.len());
        let turned = [m * d, m * d, d].map(|len| vec![T::ZERO; len]);
        Ok(Self { f, d, coordinates, m, directions, turned })
    }

    /// Number `m` of sensitivities.
    pub fn columns(&self) -> usize {
        self.m
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

impl<T: Real, F: ParamJvp<T>> ForwardSensitivities<F, T> {
    /// Sets `turned[0]`, `[m, d]`, to how the derivatives of the columns of one trajectory `z` change as its state moves along `u`, `[d]`.
    fn turn(&mut self, t: f64, z: &[T], p: &[T], u: &[T]) -> Result<(), FieldError> {
        let ((y, s), [turned, other, moved]) = (z.split_at(self.d), &mut self.turned);
        if self.f.param_jvp_along(t, y, p, s, &self.directions, u, turned)? {
            return Ok(());
        }
        // Differences, as far as moves the coordinate that moves most by the cube root of the rounding unit of itself: errors by
        // rounding and by curvature are alike then.
        let relative =
            |(&u, &y): (&T, &T)| if u == T::ZERO { 0.0 } else { (u.abs() / (u.abs() + y.abs())).f64() };
        let most = u.iter().zip(y).map(relative).fold(0.0, f64::max);
        if most == 0.0 {
            turned.fill(T::ZERO);
            return Ok(());
        }
        let mut products = |far: T, to: &mut [T]| -> Result<bool, FieldError> {
            for ((moved, &y), &u) in moved.iter_mut().zip(y).zip(u) {
                *moved = y + far * u;
            }
            match self.f.param_jvp(t, moved, p, s, &self.directions, to) {
                Ok(()) => Ok(to.iter().all(|x| x.is_finite())),
                Err(FieldError::Recoverable { .. }) => Ok(false),
                Err(fatal) => Err(fatal),
            }
        };
        let far = T::c(T::EPSILON.f64().cbrt() / most);
        let (ahead, behind) = (products(far, turned)?, products(-far, other)?);
        if ahead && behind {
            let scale = T::c(0.5) / far;
            turned.iter_mut().zip(&*other).for_each(|(turned, &other)| *turned = scale * (*turned - other));
            return Ok(());
        }
        // At an edge of the field's domain to the side where it is defined: (4 f(h) - f(2 h) - 3 f(0)) / 2 h.
        let side = if ahead { far } else { -far };
        let weights = [T::c(4.0), -T::ONE, T::c(-3.0)].map(|weight| weight * T::c(0.5) / side);
        turned.fill(T::ZERO);
        for (at, weight) in [side, side + side, T::ZERO].into_iter().zip(weights) {
            if !products(at, other)? {
                let what = "its products are undefined on both sides of a state";
                return Err(FieldError::Recoverable { t, what });
            }
            turned.iter_mut().zip(&*other).for_each(|(turned, &other)| *turned += weight * other);
        }
        Ok(())
    }
}

impl<T: Real, F: ParamJvp<T>> VectorField<T> for ForwardSensitivities<F, T> {
    fn dim(&self) -> usize {
        self.width()
    }

    fn n_params(&self) -> usize {
        self.f.n_params()
    }

    fn eval(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        let (d, width) = (self.d, self.width().max(1));
        for (z, dz) in z.chunks_exact(width).zip(dz.chunks_exact_mut(width)) {
            let ((y, s), (dy, ds)) = (z.split_at(d), dz.split_at_mut(d));
            self.f.eval(t, y, p, dy)?;
            self.f.param_jvp(t, y, p, s, &self.directions, ds)?;
        }
        Ok(())
    }
}

impl<T: Real, F: ParamJvp<T> + Jacobian<T>> Jacobian<T> for ForwardSensitivities<F, T> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.f.sparsity()
    }

    fn blocks(&self) -> usize {
        (1 + self.m) * self.f.blocks()
    }

    fn eval_first_block(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        let (d, width) = (self.d, self.width().max(1));
        for (z, dz) in z.chunks_exact(width).zip(dz.chunks_exact_mut(width)) {
            self.f.eval(t, &z[..d], p, &mut dz[..d])?;
        }
        Ok(())
    }

    fn add_below_first_block(
        &mut self,
        t: f64,
        z: &[T],
        p: &[T],
        u: &[T],
        out: &mut [T],
    ) -> Result<bool, FieldError> {
        if self.f.blocks() != 1 {
            // The first block is less than the state then.
            return Ok(false);
        }
        let (d, width) = (self.d, self.width().max(1));
        let rows = z.chunks_exact(width).zip(u.chunks_exact(width));
        for ((z, u), out) in rows.zip(out.chunks_exact_mut(width)) {
            self.turn(t, z, p, &u[..d])?;
            out[d..].iter_mut().zip(&self.turned[0]).for_each(|(out, &turned)| *out += turned);
        }
        Ok(true)
    }

    fn jacobian(&mut self, t: f64, z: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        self.f.jacobian(t, &z[..self.d], p, values)
    }
}
