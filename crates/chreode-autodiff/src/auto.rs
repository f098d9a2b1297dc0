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
use crate::program::Program;
use crate::pull::PullBack;
use crate::replay::Replay;
use crate::schedule::cost;
use crate::scratch::Slot;
use crate::small::{self, SmallBatch};
use crate::sweep::{Memory, Plan, Read, Sweep};
use crate::tangent::{SecondMemory, TangentMemory};

/// Smallest dimension whose Jacobian may be sparse: below, dense factorisations are as fast.
const LEAST_SPARSE: usize = 16;
/// A sparse Jacobian has at most this part of all entries.
const MOST_FILLED: f64 = 0.25;
/// About what an operation takes in a sweep, in units of one that is replayed alone.
const SWEPT: f64 = 3.0;
/// Most values of a program that is replayed in lanes whatever its runs: with eight lanes of each they fill about half of a cache of the
/// second level.
const CACHED: usize = 4096;
/// Most operations of a model whose derivatives are recorded.
const LONGEST: usize = 100_000;

/// A model that was written once, as a [`VectorField`] with [`Jvp`], [`ParamJvp`], [`Jacobian`], [`Vjp`] and
/// [`VjpTangent`], over states of `f32` or `f64`.
///
/// * Evaluations run the model on the states' own type, derivatives on `f64` whatever the states are.
/// * Models of up to eight states and parameters together and 48 operations have all derivatives from numbers that carry eight of them, and of
///   each whether it is zero: where sizes and loops are constants, what is compiled is what one would write by hand. Many trajectories
///   are pulled back one after another, but in the lanes of vectors where the model takes functions like `exp` of its states.
/// * Of others the entries of the Jacobian are recorded as a program, or come from forward sweeps over eight directions each where that takes
///   less time. From 16 coordinates on, if at most a quarter of its entries may differ from zero, it is sparse (see
///   [`Jacobian::sparsity`]), and columns that share no row share a direction.
/// * Pull-backs are recorded as a program too. Eight trajectories or more run in the lanes of vectors, except in long programs whose
///   operations are vectors already (the points of a grid). The program of a very long model is replayed backward instead.
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
    /// Whether pull-backs of many trajectories of a small one run in the lanes of vectors: where functions like `exp` are taken of states.
    by_lanes: bool,
    /// None if the Jacobian is dense.
    sparsity: Option<Sparsity>,
    jacobian: Plan,
    jacobian_memory: Memory,
    /// The entries of the Jacobian as a program, where that is faster.
    entries: Option<Entries>,
    /// Pull-backs as a program. None if that would be too long: the model's is replayed backward then.
    pulled: Option<PullBack>,
    /// Whether that goes one trajectory at a time: a long one, most of which is vectors without lanes.
    by_rows: bool,
    replay: Replay<f64>,
    batch_scratch: Slot,
    directed: Vec<Dual<f64, 1>>,
    pub(crate) many_directions: Slot,
    /// These are made by the first second derivatives.
    pub(crate) tangent: Option<TangentMemory>,
    pub(crate) second: Option<SecondMemory>,
    states: PhantomData<fn() -> T>,
}

/// The entries of a Jacobian as a program.
#[derive(Debug, Clone)]
struct Entries {
    program: Program,
    replay: Replay<f64>,
    /// Where they stand in a dense Jacobian.
    at: Vec<u32>,
}

impl Entries {
    fn new<D: Dynamics>(model: &D, sparse: bool) -> Self {
        let (pattern, program) = Program::record_jacobian(model);
        let d = pattern.n_cols();
        let column = |j: usize| pattern.column(j).iter().map(move |&i| (i * d + j) as u32);
        let at = if sparse { Vec::new() } else { (0..d).flat_map(column).collect() };
        Self { replay: program.replay(), program, at }
    }
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
        let small = small::fits(d, np, program.len());
        let recorded = !small && program.len() <= LONGEST;
        let swept = SWEPT * (jacobian.len() * program.len()) as f64;
        let entries = recorded
            .then(|| Entries::new(&model, sparse))
            .filter(|Entries { program, .. }| ((program.len() + program.n_out()) as f64) < swept);
        let pulled = recorded.then(|| PullBack::new(&program));
        let back = pulled.as_ref().map(|pulled| &pulled.program);
        let replay = back.unwrap_or(&program).replay();
        let by_rows = back.is_some_and(|p| p.n_values > CACHED && 2 * cost(&p.runs) < p.len());
        Self {
            small,
            by_lanes: small && program.has_functions_of_states(),
            sparsity: sparse.then_some(pattern),
            jacobian_memory: Memory::new(&jacobian, program.len(), d, np),
            jacobian,
            entries,
            pulled,
            by_rows,
            replay,
            batch_scratch: Slot::default(),
            directed: vec![Dual::c(0.0); 2 * d + np],
            many_directions: Slot::default(),
            tangent: None,
            second: None,
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

/// Sets `out` to the values in these places.
#[inline]
fn gather<T: Real>(values: &[f64], places: &[u32], out: &mut [T]) {
    let ((whole, rest), (to, to_rest)) = (places.as_chunks::<4>(), out.as_chunks_mut::<4>());
    for (to, places) in to.iter_mut().zip(whole) {
        *to = places.map(|i| T::c(values[i as usize]));
    }
    for (to, &i) in to_rest.iter_mut().zip(rest) {
        *to = T::c(values[i as usize]);
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
        let (d, np) = (self.model.dim(), self.model.n_params()); // constants to the compiler, for many models
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
        if let Some(Entries { program, replay, at }) = &mut self.entries {
            replay.load(t, [&y[..d], &p[..np]]);
            program.run(replay);
            if self.sparsity.is_some() {
                gather(&replay.values, &program.out, values);
            } else {
                values.fill(T::ZERO);
                let ((at, at_rest), (from, from_rest)) = (at.as_chunks::<4>(), program.out.as_chunks::<4>());
                for (at, from) in at.iter().zip(from) {
                    let four = from.map(|i| T::c(replay.values[i as usize]));
                    at.iter().zip(four).for_each(|(&at, v)| values[at as usize] = v);
                }
                for (&at, &i) in at_rest.iter().zip(from_rest) {
                    values[at as usize] = T::c(replay.values[i as usize]);
                }
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
            if self.by_lanes && y.len() >= LANES * d {
                dispatch(SmallBatch { model, t, y, p, lambda, y_bar, p_bar });
            } else {
                small::vjp(model, t, y, p, lambda, y_bar, p_bar);
            }
            return Ok(());
        }
        let Some(pulled) = &self.pulled else {
            let (program, replay) = (&self.program, &mut self.replay);
            let rows = y.chunks_exact(d).zip(lambda.chunks_exact(d));
            for ((y, lambda), y_bar) in rows.zip(y_bar.chunks_exact_mut(d)) {
                replay.load(t, [y, p]);
                program.forward(replay);
                program.seed(replay, |i| lambda[i].f64());
                program.backward(replay);
                let (by_state, by_parameter) = replay.bars[1..].split_at(d);
                y_bar.iter_mut().zip(by_state).for_each(|(y_bar, &bar)| *y_bar = T::c(bar));
                p_bar.iter_mut().zip(by_parameter).for_each(|(p_bar, &bar)| *p_bar += T::c(bar));
            }
            return Ok(());
        };
        if y.len() >= LANES * d && !self.by_rows {
            dispatch(BatchVjp { pulled, scratch: &mut self.batch_scratch, t, y, p, lambda, y_bar, p_bar });
            return Ok(());
        }
        let (replay, program) = (&mut self.replay, &pulled.program);
        let mut row = |y: &[T], lambda: &[T], y_bar: &mut [T]| {
            replay.load(t, [y, lambda, p]);
            program.run(replay);
            gather(&replay.values, &program.out[..d], y_bar);
            for (p_bar, owed) in p_bar.iter_mut().zip(pulled.owed::<_, 8>(&replay.values)) {
                *p_bar += T::c(owed);
            }
        };
        if y.len() == d {
            row(y, &lambda[..d], &mut y_bar[..d]); // pays no division
            return Ok(());
        }
        for ((y, lambda), y_bar) in
            y.chunks_exact(d).zip(lambda.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d))
        {
            row(y, lambda, y_bar);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chreode_testkit::{BrusselatorLine, Pollu, StiffModel};

    use super::*;

    /// Which way pull-backs of many trajectories go; that both ways agree, `tests/derivatives.rs` says of the same models.
    #[test]
    fn long_vectors_are_pulled_back_row_by_row() {
        let line = |points: usize| Auto::<_>::new(BrusselatorLine { points });
        assert!(line(120).by_rows && line(500).by_rows);
        // Short ones, and those without vectors, fill lanes.
        assert!(!line(12).by_rows);
        assert!(!Auto::<_>::new(StiffModel(Pollu)).by_rows);
    }

    /// A function of the state, of time and a parameter alone, or none.
    struct Small(u8);
    impl Dynamics for Small {
        fn dim(&self) -> usize {
            2
        }
        fn n_params(&self) -> usize {
            1
        }
        fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
            let drive = match self.0 {
                0 => (t * p[0]).sin(),
                1 => (y[0] * y[1] + t).tanh(),
                2 => S::select(y[0].lt(y[1]), y[0], t).powf(p[0]),
                _ => (y[0] * y[0] + 1.0).sqrt() / p[0],
            };
            (dy[0], dy[1]) = (y[1] * p[0], drive - y[0]);
        }
    }

    /// Which way those of small models go, and that both say the same of the rows of a batch.
    #[test]
    fn functions_of_states_take_lanes() {
        for (which, by_lanes) in [(0, false), (1, true), (2, true), (3, false)] {
            let mut auto = Auto::<_>::new(Small(which));
            assert!(auto.small);
            assert_eq!(auto.by_lanes, by_lanes, "{which}");
            let wave =
                |n: usize, f: f64| (0..n).map(|i| 1.0 + 0.5 * (f * i as f64).sin()).collect::<Vec<_>>();
            let (y, lambda, p) = (wave(38, 0.7), wave(38, 1.9), [1.3]);
            let mut bars = [vec![0.0; 38], vec![0.0; 38]];
            let mut sums = [[0.0]; 2];
            for (by_lanes, (bar, sum)) in [true, false].into_iter().zip(bars.iter_mut().zip(&mut sums)) {
                auto.by_lanes = by_lanes;
                auto.vjp(0.4, &y, &p, &lambda, bar, sum).unwrap();
            }
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-13 * (1.0 + b.abs());
            assert!(bars[0].iter().zip(&bars[1]).all(|(&a, &b)| near(a, b)), "{which}: {bars:?}");
            assert!(near(sums[0][0], sums[1][0]) && sums[0][0] != 0.0, "{which}: {sums:?}");
        }
    }

    /// A row of a batch has the bits of that row alone where rows go one by one: lanes sum in another order.
    #[test]
    fn row_by_row_is_what_one_row_is() {
        let line = BrusselatorLine { points: 120 };
        let (mut auto, y, p) = (Auto::<_>::new(line), line.start().repeat(LANES), line.parameters());
        let lambda: Vec<f64> = (0..y.len()).map(|i| (i as f64).sin()).collect();
        let (mut together, mut alone) = (vec![0.0; y.len()], vec![0.0; 240]);
        let (mut sum, mut sum_alone) = ([0.0; 3], [0.0; 3]);
        auto.vjp(0.0, &y, &p, &lambda, &mut together, &mut sum).unwrap();
        for ((y, lambda), together) in y.chunks(240).zip(lambda.chunks(240)).zip(together.chunks(240)) {
            auto.vjp(0.0, y, &p, lambda, &mut alone, &mut sum_alone).unwrap();
            assert_eq!(together, alone);
        }
        assert_eq!(sum, sum_alone);
    }
}
