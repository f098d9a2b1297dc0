//! Evaluations of a forward run that are kept, so that the reverse sweep need not make them again.

use std::cell::Cell;

use chreode_core::{FieldError, Real, Slot, Tolerance, VectorField, Vjp};
use chreode_solve::{Erk, Rhs, Stepper, Work};

/// The stages of the first steps of a run: their states here, and what the field keeps of them in its slots.
///
/// Evaluation `e = s L + i` is stage `i` of step `s`, of `L` stages that a step has before its end; the field at a step's end is the
/// first of the next.
#[derive(Debug)]
pub(super) struct Kept<T> {
    /// Stages of a step, and values of a state.
    per_step: usize,
    nd: usize,
    /// The field's slots of the run: first those of a step that is not kept, one a stage.
    slots: Slot,
    /// Bytes that may be used, those of a step, the steps that fit, and those of the run so far.
    bytes: usize,
    step_bytes: usize,
    steps: usize,
    kept: usize,
    /// Stage states, `[L, n, d]` a step, in blocks of several steps where they are small.
    inputs: Vec<Vec<T>>,
}

/// Values of a block at least, unless a step has more.
const BLOCK: usize = 4096;

impl<T: Real> Kept<T> {
    /// For steps of so many stages.
    pub(super) fn new(per_step: usize, nd: usize) -> Self {
        Self {
            per_step,
            nd,
            slots: Slot::of_new_run(),
            bytes: 0,
            step_bytes: 0,
            steps: 0,
            kept: 0,
            inputs: Vec::new(),
        }
    }

    /// Steps of a block.
    fn block(&self) -> usize {
        BLOCK.checked_div(self.per_step * self.nd).unwrap_or(1).max(1)
    }

    pub(super) fn limit(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// A run of a field begins. `whole`: every step is as long as the method makes it.
    pub(super) fn begin(&mut self, f: &dyn Vjp<T>, whole: bool) {
        let n = self.nd.checked_div(f.dim()).unwrap_or(0);
        let stage = (self.nd * size_of::<T>()).saturating_add(f.kept_bytes(n));
        self.step_bytes = self.per_step.saturating_mul(stage);
        self.steps = if whole { self.bytes.checked_div(self.step_bytes).unwrap_or(0) } else { 0 };
        self.kept = 0;
        self.inputs.truncate(self.steps.div_ceil(self.block()));
        self.slots = Slot::of_new_run();
    }

    /// Bytes that are used, by the field too.
    pub(super) fn used(&self) -> usize {
        self.kept * self.step_bytes
    }

    /// Whether the run may keep any.
    pub(super) fn any(&self) -> bool {
        self.steps > 0
    }

    /// The field's slot for the first stage of a step that is not kept.
    pub(super) fn slots(&self) -> Slot {
        self.slots
    }

    /// The field's slot for evaluation `e`, if it is kept.
    fn slot(&self, e: usize) -> Slot {
        self.slots.plus(self.per_step + e)
    }

    /// The stage states of a step of the last run and the slot of the first of them, if they are kept.
    pub(super) fn step(&self, step: usize) -> Option<(&[T], Slot)> {
        if step >= self.kept {
            return None;
        }
        let len = self.per_step * self.nd;
        let inputs = &self.inputs[step / self.block()][step % self.block() * len..][..len];
        Some((inputs, self.slot(step * self.per_step)))
    }

    /// Keeps the state of evaluation `e` and returns the field's slot for it; `None` if there is no room.
    fn put(&mut self, e: usize, y: &[T]) -> Option<Slot> {
        let (step, stage) = (e / self.per_step, e % self.per_step);
        if step >= self.steps {
            return None;
        }
        let (block, in_block) = (self.block(), step % self.block() * self.per_step + stage);
        while self.inputs.len() <= step / block {
            self.inputs.push(vec![T::ZERO; block * self.per_step * self.nd]);
        }
        self.inputs[step / block][in_block * self.nd..][..self.nd].copy_from_slice(y);
        self.kept = step + 1;
        Some(self.slot(e))
    }
}

/// The field, whose next evaluations are kept while `next` counts them.
pub(super) struct KeepingField<'a, T> {
    pub(super) f: &'a mut dyn Vjp<T>,
    pub(super) kept: &'a mut Kept<T>,
    pub(super) next: &'a Cell<Option<usize>>,
}

impl<T: Real> VectorField<T> for KeepingField<'_, T> {
    fn dim(&self) -> usize {
        self.f.dim()
    }

    fn n_params(&self) -> usize {
        self.f.n_params()
    }

    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let slot = self.next.get().and_then(|e| {
            self.next.set(Some(e + 1));
            self.kept.put(e, y)
        });
        match slot {
            Some(slot) => self.f.eval_kept(slot, t, y, p, dy),
            None => self.f.eval(t, y, p, dy),
        }
    }
}

/// The method, which says which evaluation is which: `next` is none where they are of no stage.
pub(super) struct KeepingSteps<'a, T> {
    pub(super) erk: &'a mut Erk<T>,
    pub(super) next: &'a Cell<Option<usize>>,
    pub(super) per_step: usize,
    /// Steps that were accepted.
    pub(super) step: usize,
}

impl<T: Real> KeepingSteps<'_, T> {
    fn counting<R>(&mut self, stage: usize, evaluate: impl FnOnce(&mut Erk<T>) -> R) -> R {
        self.next.set(Some(self.step * self.per_step + stage));
        let result = evaluate(self.erk);
        self.next.set(None);
        result
    }
}

impl<T: Real> Stepper<T> for KeepingSteps<'_, T> {
    fn state_len(&self) -> usize {
        self.erk.state_len()
    }

    fn dim(&self) -> usize {
        self.erk.dim()
    }

    fn error_order(&self) -> Option<u32> {
        self.erk.error_order()
    }

    fn work(&self) -> Work {
        self.erk.work()
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.counting(0, |erk| erk.start(f, t, y, p))
    }

    fn initial_step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.erk.initial_step(f, t, t_end, y, p, tol)
    }

    fn step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.counting(1, |erk| erk.step(f, t, t_end, y, p, tol))
    }

    fn proposed(&self) -> &[T] {
        self.erk.proposed()
    }

    fn prepare_dense(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
    ) -> Result<(), FieldError> {
        self.erk.prepare_dense(f, t, t_end, y, p)
    }

    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
        self.erk.dense(theta, h, y)
    }

    fn accept(&mut self, y: &mut [T]) {
        self.erk.accept(y);
        self.step += 1;
    }
}
