//! A model as a field with every derivative.

use std::marker::PhantomData;

#[cfg(doc)]
use chreode_core::ParamJvp;
use chreode_core::{
    Dynamics, FieldError, Jacobian, Jvp, Number, Real, Sparsity, VectorField, Vjp, VjpTangent,
};
use chreode_linalg::{Coloring, dispatch};

use crate::Dual;
use crate::batch::{BatchVjp, LANES};
use crate::program::{Program, Replay};
use crate::scratch::Slot;
use crate::small::{self, SmallBatch};
use crate::sweep::{Memory, Plan, Read, Sweep};
use crate::tangent::TangentMemory;

/// Smallest dimension whose Jacobian may be sparse: below, dense factorisations are as fast.
const LEAST_SPARSE: usize = 16;
/// A sparse Jacobian has at most this part of all entries.
const MOST_FILLED: f64 = 0.25;
/// Most forward sweeps that a pull-back of one trajectory takes before the recorded program is faster.
const MOST_SWEEPS: usize = 2;
/// About what an operation takes in a sweep, in units of one that is replayed alone.
const SWEPT: f64 = 3.0;
/// Most operations of a model whose Jacobian is recorded.
const LONGEST: usize = 100_000;
/// Operations of a program beyond which its values over vectors leave the nearest cache: one forward sweep a
/// trajectory, if that is all it takes, is then faster.
const LONG: usize = 500;

/// A model that was written once, as a [`VectorField`] with [`Jvp`], [`ParamJvp`], [`Jacobian`], [`Vjp`] and
/// [`VjpTangent`], over states of `f32` or `f64`.
///
/// * Evaluations run the model on the states' own type, derivatives on `f64` whatever the states are.
/// * Models of up to eight states and parameters together and 32 operations have all derivatives from numbers that carry eight of them, and of
///   each whether it is zero: where sizes and loops are constants, what is compiled is what one would write by hand.
/// * Of others the Jacobian comes from forward sweeps over eight directions each. From 16 coordinates on, if at most a quarter
///   of its entries may differ from zero, it is sparse (see [`Jacobian::sparsity`]), and columns that share no row
///   share a direction. Where that would take more time than the entries themselves, these are recorded as a program.
/// * Pull-backs of one trajectory take such sweeps where two suffice, else the recorded program backward; those of
///   eight trajectories or more replay the program over vectors, unless it is long and one sweep does it.
/// * Products in many directions at one state take eight a sweep. Derivatives of pull-backs replay the program over
///   [dual numbers](Dual).
///
/// Nothing is allocated after the first call of each kind. Every worker takes a clone.
///
/// The model is recorded at construction: if a field that its loops depend on changes, make a new `Auto`.
///
/// ```
/// use chreode_autodiff::Auto;
/// use chreode_core::{Dynamics, Jacobian, Number, VectorField, put, take};
/// struct Lorenz;
/// impl Dynamics for Lorenz {
///     fn dim(&self) -> usize { 3 }
///     fn n_params(&self) -> usize { 3 }
///     #[inline(always)]
///     fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
///         let ([x, y, z], [sigma, rho, beta]) = (take(y), take(p));
///         put(dy, [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]);
///     }
/// }
/// let mut lorenz: Auto<_> = Auto::new(Lorenz);
/// let mut jacobian = [0.0; 9];
/// lorenz.jacobian(0.0, &[1.0, 2.0, 3.0], &[10.0, 28.0, 2.5], &mut jacobian)?;
/// assert_eq!(jacobian, [-10.0, 10.0, 0.0, 25.0, -1.0, -1.0, 2.0, 1.0, -2.5]);
/// # Ok::<(), chreode_core::FieldError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Auto<D, T = f64> {
    pub(crate) model: D,
    pub(crate) program: Program,
    /// Whether it is so small that its derivatives are computed without work space.
    pub(crate) small: bool,
    /// None if the Jacobian is dense.
    sparsity: Option<Sparsity>,
    jacobian: Plan,
    jacobian_memory: Memory,
    /// The entries of a sparse Jacobian as a program, where that is faster.
    entries: Option<(Program, Replay<f64>)>,
    /// None if the program is faster.
    pull: Option<(Plan, Memory)>,
    batch_scratch: Slot,
    replay: Replay<f64>,
    point: Vec<f64>,
    directed: Vec<Dual<f64, 1>>,
    pub(crate) many_directions: Slot,
    /// Made by the first second derivative.
    pub(crate) tangent: Option<TangentMemory>,
    states: PhantomData<fn() -> T>,
}

impl<D: Dynamics, T: Real> Auto<D, T> {
    /// Records the model and plans its derivatives.
    pub fn new(model: D) -> Self {
        let program = Program::record(&model);
        let (d, np) = (program.d, program.np);
        let pattern = program.sparsity();
        let sparse = d >= LEAST_SPARSE && pattern.len() as f64 <= MOST_FILLED * (d * d) as f64;
        let jacobian =
            if sparse { Plan::sparse(&pattern, &Coloring::of_columns(&pattern)) } else { Plan::dense(d) };
        // Where one sweep does it there is no need to look.
        let swept = (jacobian.len() * program.len()) as f64;
        let entries = (sparse && jacobian.len() > 1 && program.len() <= LONGEST)
            .then(|| Program::record_jacobian(&model).1)
            .filter(|entries| (entries.len() as f64) < SWEPT * swept);
        let everything = program.sparsity_with_params();
        let pull = Plan::pull(&everything, &Coloring::of_columns(&everything));
        Self {
            small: small::fits(d, np, program.len()),
            sparsity: sparse.then_some(pattern),
            jacobian_memory: Memory::new(&jacobian, program.len(), d, np),
            jacobian,
            entries: entries.map(|entries| {
                let replay = entries.replay();
                (entries, replay)
            }),
            pull: (pull.len() <= MOST_SWEEPS).then(|| {
                let memory = Memory::new(&pull, program.len(), d, np);
                (pull, memory)
            }),
            batch_scratch: Slot::default(),
            replay: program.replay(),
            point: vec![0.0; 3 * d + 2 * np],
            directed: vec![Dual::c(0.0); 2 * d + np],
            many_directions: Slot::default(),
            tangent: None,
            states: PhantomData,
            model,
            program,
        }
    }

    /// The model.
    pub fn model(&self) -> &D {
        &self.model
    }

    /// The model, recorded.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

impl<D: Dynamics, T: Real> VectorField<T> for Auto<D, T> {
    fn dim(&self) -> usize {
        self.program.d
    }

    fn n_params(&self) -> usize {
        self.program.np
    }

    #[inline]
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let d = self.program.d;
        let (t, p) = (T::Num::c(t), T::num(p));
        if y.len() == d {
            self.model.eval(t, T::num(y), p, T::num_mut(dy)); // the common case pays no division
            return Ok(());
        }
        for (y, dy) in y.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
            self.model.eval(t, T::num(y), p, T::num_mut(dy));
        }
        Ok(())
    }
}

impl<D: Dynamics, T: Real> Jvp<T> for Auto<D, T> {
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        if self.small {
            small::jvp(&self.model, t, y, p, v, |_| None, jv);
        } else {
            self.directed(t, y, p, v, &[], jv);
        }
        Ok(())
    }
}

impl<D: Dynamics, T: Real> Auto<D, T> {
    /// `∂f/∂y v + ∂f/∂p q` for `n` trajectories, one direction each; parameters without a `q` stay where they are.
    pub(crate) fn directed(&mut self, t: f64, y: &[T], p: &[T], v: &[T], q: &[T], jv: &mut [T]) {
        let (d, np) = (self.program.d, self.program.np);
        if d == 0 {
            return;
        }
        let (inputs, dy) = self.directed.split_at_mut(d + np);
        for (k, (x, p)) in inputs[d..].iter_mut().zip(p).enumerate() {
            *x = Dual { v: p.f64(), d: [q.get(k).map_or(0.0, |q| q.f64())] };
        }
        let rows = y.chunks_exact(d).zip(v.chunks_exact(d));
        for ((y, v), jv) in rows.zip(jv.chunks_exact_mut(d)) {
            for ((x, y), v) in inputs.iter_mut().zip(y).zip(v) {
                *x = Dual { v: y.f64(), d: [v.f64()] };
            }
            self.model.eval(Dual::c(t), &inputs[..d], &inputs[d..], dy);
            for (jv, dy) in jv.iter_mut().zip(&*dy) {
                *jv = T::c(dy.d[0]);
            }
        }
    }
}

impl<D: Dynamics, T: Real> Jacobian<T> for Auto<D, T> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.sparsity.as_ref()
    }

    /// # Panics
    /// If the number of values is not that of the structure.
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let (d, np) = (self.program.d, self.program.np);
        let expected = self.sparsity.as_ref().map_or(d * d, Sparsity::len);
        assert_eq!(values.len(), expected, "values of a Jacobian (that of its sparsity, if it has one)");
        if self.small {
            small::jacobian(&self.model, t, y, p, values);
            return Ok(());
        }
        if let Some((entries, replay)) = &mut self.entries {
            replay.values[0] = t;
            for (to, from) in replay.values[1..].iter_mut().zip(y[..d].iter().chain(&p[..np])) {
                *to = from.f64();
            }
            entries.forward(replay);
            for (value, &i) in values.iter_mut().zip(&entries.out) {
                *value = T::c(replay.values[i as usize]);
            }
            return Ok(());
        }
        let read = match &self.sparsity {
            None => Read::Dense(values),
            Some(_) => Read::Sparse(values),
        };
        let sweep = Sweep { model: &self.model, plan: &self.jacobian, t, y: &y[..d], p: &p[..np], read };
        sweep.run(&mut self.jacobian_memory);
        Ok(())
    }
}

impl<D: Dynamics, T: Real> Vjp<T> for Auto<D, T> {
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        Some(self)
    }

    fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<T>> {
        Some(self)
    }

    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (d, np) = (self.program.d, self.program.np);
        if d == 0 {
            return Ok(());
        }
        let (p, p_bar) = (&p[..np], &mut p_bar[..np]);
        if self.small {
            let model = &self.model;
            if y.len() < LANES * d {
                let rows = y.chunks_exact(d).zip(lambda.chunks_exact(d));
                for ((y, lambda), y_bar) in rows.zip(y_bar.chunks_exact_mut(d)) {
                    small::vjp(model, t, y, p, lambda, y_bar, p_bar);
                }
            } else {
                dispatch(SmallBatch { model, t, y, p, lambda, y_bar, p_bar });
            }
            return Ok(());
        }
        let swept = self.program.len() > LONG && self.pull.as_ref().is_some_and(|(plan, _)| plan.len() == 1);
        if y.len() >= LANES * d && !swept {
            let (program, scratch) = (&self.program, &mut self.batch_scratch);
            dispatch(BatchVjp { program, scratch, t, y, p, lambda, y_bar, p_bar });
            return Ok(());
        }
        let rows = y.chunks_exact(d).zip(lambda.chunks_exact(d));
        for ((y, lambda), y_bar) in rows.zip(y_bar.chunks_exact_mut(d)) {
            if let Some((plan, memory)) = &mut self.pull {
                let read = Read::Pull { lambda, y_bar, p_bar: &mut *p_bar };
                Sweep { model: &self.model, plan, t, y, p, read }.run(memory);
            } else {
                self.pull_back(t, y, p, lambda, y_bar, p_bar);
            }
        }
        Ok(())
    }
}

impl<D: Dynamics, T: Real> Auto<D, T> {
    /// The pull-back of one trajectory by the recorded program.
    fn pull_back(&mut self, t: f64, y: &[T], p: &[T], lambda: &[T], y_bar: &mut [T], p_bar: &mut [T]) {
        let (d, np) = (self.program.d, self.program.np);
        for (x, from) in self.point.iter_mut().zip(y.iter().chain(lambda).chain(p)) {
            *x = from.f64();
        }
        let (inputs, bars) = self.point.split_at_mut(2 * d + np);
        bars.fill(0.0);
        let (y_sum, p_sum) = bars.split_at_mut(d);
        let (y, lambda, p) = (&inputs[..d], &inputs[d..2 * d], &inputs[2 * d..]);
        self.program.vjp(&mut self.replay, t, y, p, lambda, y_sum, p_sum);
        for (y_bar, &sum) in y_bar.iter_mut().zip(&*y_sum) {
            *y_bar = T::c(sum);
        }
        for (p_bar, &sum) in p_bar.iter_mut().zip(&*p_sum) {
            *p_bar += T::c(sum);
        }
    }
}
