//! The stages of a forward run's steps, kept for the way back.

use chreode_core::Real;

use crate::checkpoint::grown;
use crate::discrete::tape::Taken;

/// Stages of steps that were solved to rounding, one after another.
#[derive(Debug)]
pub(in crate::discrete) struct KeptStages<T> {
    values: Vec<T>,
    /// Start and end of each step, and where its stages begin.
    steps: Vec<(f64, f64, usize)>,
    /// Those that the sweep has not come to.
    left: usize,
}

impl<T: Real> KeptStages<T> {
    pub(in crate::discrete) fn new() -> Self {
        Self { values: Vec::new(), steps: Vec::new(), left: 0 }
    }

    /// A forward run begins.
    pub(in crate::discrete) fn clear(&mut self) {
        self.values.clear();
        self.steps.clear();
    }

    /// Keeps the stages of the next step, in place of another try from the same time.
    pub(in crate::discrete) fn push(&mut self, step: Taken, stages: &[T]) {
        if let Some(&(_, _, at)) = self.steps.last().filter(|last| last.0 == step.t) {
            self.steps.pop();
            self.values.truncate(at);
        }
        self.steps.push((step.t, step.t_end, self.values.len()));
        if self.values.capacity() < self.values.len() + stages.len() {
            self.values.reserve_exact(grown(self.values.len() / stages.len().max(1)) * stages.len());
        }
        self.values.extend_from_slice(stages);
    }

    /// Values that are kept.
    pub(in crate::discrete) fn len(&self) -> usize {
        self.values.len()
    }

    /// A sweep begins.
    pub(in crate::discrete) fn rewind(&mut self) {
        self.left = self.steps.len();
    }

    /// The stages of the step that the sweep has come to, unless an event cut it short.
    pub(in crate::discrete) fn next(&mut self, step: Taken) -> Option<&[T]> {
        let &(t, t_end, at) = self.steps[..self.left].last()?;
        if t != step.t {
            return None;
        }
        let end = self.steps.get(self.left).map_or(self.values.len(), |after| after.2);
        self.left -= 1;
        (t_end == step.t_end && !step.cut).then(|| &self.values[at..end])
    }
}
