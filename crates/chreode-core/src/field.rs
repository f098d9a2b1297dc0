//! Vector fields `dy/dt = f(t, y; p)`: one required capability a trait, the rest opt-in.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{FieldError, Real, Sparsity};

/// The right-hand side of a differential equation, for `n` trajectories at once.
///
/// `&mut self` holds scratch, weights live in `p`: clone a field once per worker. The trait is
/// dyn-compatible, and forwarded for `&mut F` and `Box<F>`.
pub trait VectorField<T: Real> {
    /// Number of coordinates `d` of one trajectory.
    fn dim(&self) -> usize;

    /// Length of the parameter slice.
    fn n_params(&self) -> usize {
        0
    }

    /// Sets `dy` (`[n, d]`) from `y` (`[n, d]`), one `t` for all `n` trajectories.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state; `dy` is then unspecified.
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError>;
}

/// A vector field with Jacobian-vector products.
pub trait Jvp<T: Real>: VectorField<T> {
    /// Sets `jv = ∂f/∂y · v`; all `[n, d]`.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError>;
}

/// A vector field with an explicit Jacobian.
pub trait Jacobian<T: Real>: VectorField<T> {
    /// Which entries may differ from zero; `None` if the Jacobian is dense.
    fn sparsity(&self) -> Option<&Sparsity> {
        None
    }

    /// Number of equal blocks, each of `d / blocks` coordinates, along the diagonal, beside which the Jacobian is zero (or may
    /// be left out). [`sparsity`](Self::sparsity) and [`jacobian`](Self::jacobian) then tell of ONE block, which implicit
    /// methods factor once for all. Rosenbrock methods need all of the Jacobian: they take more than one where
    /// [`add_below_first_block`](Self::add_below_first_block) tells the rest.
    fn blocks(&self) -> usize {
        1
    }

    /// As [`eval`](VectorField::eval), but only the first block of each trajectory's `dy` is asked for: with sensitivities, the
    /// state alone. Override it where that saves work.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn eval_first_block(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.eval(t, y, p, dy)
    }

    /// ADDS to `out` (`[n, d]`) what the Jacobian below the first block of each trajectory makes of the first block of `u`
    /// (`[n, d]`), where nothing else lies beside the [`blocks`](Self::blocks): with sensitivities, how `∂f/∂y` of the state turns as the
    /// state moves. Returns whether it is told; else nothing is added.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn add_below_first_block(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        u: &[T],
        out: &mut [T],
    ) -> Result<bool, FieldError> {
        let _ = (t, y, p, u, out);
        Ok(false)
    }

    /// Sets `values` to `∂f_i/∂y_j` of ONE trajectory `y` (`[d]`): dense `[d, d]`, row `i`, column `j`; or the
    /// entries of [`sparsity`](Self::sparsity) in its order.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at the state.
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError>;

    /// As [`jacobian`](Self::jacobian), of `n` trajectories `y`, `[n, d]`, one after the other: `values` is `[n, entries]`. Override it
    /// where the Jacobian depends on which trajectory it is of: implicit methods ask for all together.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn jacobians(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let d = self.dim().max(1);
        let entries = (values.len() / (y.len() / d).max(1)).max(1);
        for (y, values) in y.chunks_exact(d).zip(values.chunks_exact_mut(entries)) {
            self.jacobian(t, y, p, values)?;
        }
        Ok(())
    }
}

/// A place where a field keeps what it found for a pull-back ([`Vjp::eval_kept`]): one of those of a run.
///
/// Runs that go through the same field at the same time have the same places: who comes later takes them. A field
/// therefore notes whose slot it filled, and believes only what it finds for the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    run: u64,
    index: usize,
}

impl Slot {
    /// The first slot of a run that is no other's.
    pub fn of_new_run() -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        Self { run: RUNS.fetch_add(1, Ordering::Relaxed), index: 0 }
    }

    /// The slot so many places behind this one.
    #[must_use]
    pub fn plus(self, places: usize) -> Self {
        Self { index: self.index + places, ..self }
    }

    /// Its place among those of its run, from 0.
    pub fn index(self) -> usize {
        self.index
    }
}

/// A vector field with vector-Jacobian products: what adjoints need.
pub trait Vjp<T: Real>: VectorField<T> {
    /// Sets `y_bar = λᵀ ∂f/∂y` (`[n, d]`) and ADDS `λᵀ ∂f/∂p`, summed over the `n` trajectories, to `p_bar`.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError>;

    /// As [`eval`](VectorField::eval); may keep in `slot` what [`vjp_kept`](Self::vjp_kept) then needs not compute again. The adjoint of
    /// a Runge-Kutta step evaluates its stages first, and pulls back through all of them then: a slot for each. A field that hands
    /// evaluations on to another hands on [`kept_bytes`](Self::kept_bytes) and [`vjp_kept`](Self::vjp_kept) too.
    ///
    /// # Errors
    /// As [`eval`](VectorField::eval).
    fn eval_kept(&mut self, slot: Slot, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let _ = slot;
        self.eval(t, y, p, dy)
    }

    /// Bytes that a slot of [`eval_kept`](Self::eval_kept) takes for `n` trajectories.
    fn kept_bytes(&self, n: usize) -> usize {
        let _ = n;
        0
    }

    /// As [`vjp`](Self::vjp), with the time, state and parameters that [`eval_kept`](Self::eval_kept) had when it was called with
    /// this slot. A field that keeps another run's evaluation there by now, or none, computes it again.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn vjp_kept(
        &mut self,
        slot: Slot,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let _ = slot;
        self.vjp(t, y, p, lambda, y_bar, p_bar)
    }

    /// From here on pull-backs, those of a diffusion too, may keep back what they would add to `p_bar`, until
    /// [`settle`](Self::settle): a field then sums over the rows of many of them at once. All of them have the same `p_bar`, which is not read
    /// before. What was kept back earlier and never settled is forgotten, so that this does not nest.
    ///
    /// A field that hands pull-backs on to another may hand on both, `settle` with the part of `p_bar` that it hands on, or neither.
    fn defer(&mut self) {}

    /// ADDS to `p_bar` what pull-backs kept back since [`defer`](Self::defer); those after it add at once again. Whoever defers settles, after an
    /// error too.
    fn settle(&mut self, p_bar: &mut [T]) {
        let _ = p_bar;
    }

    /// The field with its Jacobian, if it has one: adjoints of implicit methods else compute it by `d` pull-backs. A field that
    /// implements [`Jacobian`] too returns `Some(self)`.
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        None
    }

    /// The field with derivatives of its pull-backs, if it has them: the adjoint of Rosenbrock methods, whose steps hold the Jacobian, else
    /// takes differences of pull-backs. A field that implements [`VjpTangent`] too returns `Some(self)`.
    fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<T>> {
        None
    }
}

/// A vector field with products in directions of state and parameters: what sensitivities of a solution need.
pub trait ParamJvp<T: Real>: Jvp<T> {
    /// Sets `jv = ∂f/∂y · v + ∂f/∂p · q` for `m` directions at once: `v` and `jv` are `[m, n, d]`, `q` is `[m, n_params]`,
    /// the states `y` are `[n, d]`. With one trajectory all its directions lie side by side.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn param_jvp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        jv: &mut [T],
    ) -> Result<(), FieldError>;

    /// Sets `out`, `[m, n, d]`, to how `jv` of [`param_jvp`](Self::param_jvp) with these directions changes as the states move along `u`,
    /// `[n, d]`. Returns whether the field can: else nothing is set, and who needs it takes differences.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn param_jvp_along(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        u: &[T],
        out: &mut [T],
    ) -> Result<bool, FieldError> {
        let _ = (t, y, p, v, q, u, out);
        Ok(false)
    }
}

/// A vector field whose vector-Jacobian products can be differentiated: what second derivatives of a solution need.
pub trait VjpTangent<T: Real>: Vjp<T> {
    /// As [`Vjp::vjp`], and the derivative of what it gives when states, parameters and cotangents move. Each pair is a value and
    /// its derivative: states `(y, v)`, `[n, d]`; parameters `(p, q)`, `[n_params]`; cotangents `λ`, `[n, d]`.
    ///
    /// Sets both of `y_bars`, `[n, d]`, and ADDS to both of `p_bars`, `[n_params]`, summed over the `n` trajectories.
    ///
    /// # Errors
    /// [`FieldError`] if the field is undefined at a state.
    fn vjp_tangent(
        &mut self,
        t: f64,
        y_v: (&[T], &[T]),
        p_q: (&[T], &[T]),
        lambdas: (&[T], &[T]),
        y_bars: (&mut [T], &mut [T]),
        p_bars: (&mut [T], &mut [T]),
    ) -> Result<(), FieldError>;
}

/// What the closure of [`field`] may return: nothing, or a `Result`.
pub trait FieldResult {
    /// The result of an evaluation.
    ///
    /// # Errors
    /// What the closure returned.
    fn into_result(self) -> Result<(), FieldError>;
}

impl FieldResult for () {
    fn into_result(self) -> Result<(), FieldError> {
        Ok(())
    }
}

impl FieldResult for Result<(), FieldError> {
    fn into_result(self) -> Result<(), FieldError> {
        self
    }
}

/// A vector field made from a closure over one trajectory; see [`field`].
#[derive(Debug, Clone)]
pub struct FnField<F> {
    dim: usize,
    f: F,
}

/// Makes a vector field from a closure `|t, y, p, dy|` over ONE trajectory of `dim` coordinates.
///
/// The closure may capture by mutable reference, and returns `()` or `Result<(), FieldError>`.
///
/// ```
/// use chreode_core::{VectorField, field};
/// let mut decay = field(1, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| dy[0] = -p[0] * y[0]);
/// let mut dy = [0.0; 2];
/// decay.eval(0.0, &[1.0, 4.0], &[0.5], &mut dy)?; // two trajectories
/// assert_eq!(dy, [-0.5, -2.0]);
/// # Ok::<(), chreode_core::FieldError>(())
/// ```
pub fn field<T: Real, F, R: FieldResult>(dim: usize, f: F) -> FnField<F>
where
    F: FnMut(f64, &[T], &[T], &mut [T]) -> R,
{
    FnField { dim, f }
}

impl<T: Real, F, R: FieldResult> VectorField<T> for FnField<F>
where
    F: FnMut(f64, &[T], &[T], &mut [T]) -> R,
{
    fn dim(&self) -> usize {
        self.dim
    }

    #[inline]
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        if y.len() == self.dim {
            return (self.f)(t, y, p, dy).into_result(); // the common case pays no division
        }
        for (y, dy) in y.chunks_exact(self.dim).zip(dy.chunks_exact_mut(self.dim)) {
            (self.f)(t, y, p, dy).into_result()?;
        }
        Ok(())
    }
}
