//! A recorded model as a field with its Jacobian.

use chreode_autodiff::{Map, Program, Replay};
use chreode_core::{FieldError, Jacobian, Sparsity, VectorField};

use crate::model::{Field, Model};

/// Smallest number of states whose Jacobian may be sparse: below, dense factorisations are as fast.
const LEAST_SPARSE: usize = 16;
/// A sparse Jacobian has at most this part of all entries.
const MOST_FILLED: f64 = 0.25;

/// The right-hand side and its Jacobian, both recorded. A model without states gets one that rests, so that time can run.
#[derive(Debug, Clone)]
pub(super) struct RecordedField {
    d: usize,
    field: Recorded,
    jacobian: Recorded,
    pattern: Sparsity,
    sparse: bool,
    entries: Vec<f64>,
}

impl RecordedField {
    pub(super) fn new(model: &Model) -> Self {
        let d = model.n_states();
        let (pattern, jacobian) = Program::record_jacobian(&Field(model));
        let sparse = d >= LEAST_SPARSE && pattern.len() as f64 <= MOST_FILLED * (d * d) as f64;
        let entries = vec![0.0; pattern.len()];
        let (field, jacobian) = (Recorded::new(&Field(model)), Recorded::from(jacobian));
        Self { d, field, jacobian, pattern, sparse, entries }
    }
}

impl VectorField<f64> for RecordedField {
    fn dim(&self) -> usize {
        self.d.max(1)
    }
    fn n_params(&self) -> usize {
        self.field.program.n_params()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy[self.d..].fill(0.0);
        self.field.eval(t, &y[..self.d], p, &mut dy[..self.d]);
        Ok(())
    }
}

impl Jacobian<f64> for RecordedField {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.sparse.then_some(&self.pattern)
    }
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        if self.sparse {
            self.jacobian.eval(t, y, p, values);
            return Ok(());
        }
        self.jacobian.eval(t, &y[..self.d], p, &mut self.entries);
        values.fill(0.0);
        for j in 0..self.d {
            let first = self.pattern.col_starts()[j];
            for (k, &i) in self.pattern.column(j).iter().enumerate() {
                values[i * self.d + j] = self.entries[first + k];
            }
        }
        Ok(())
    }
}

/// A program with memory to run it.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) program: Program,
    memory: Replay<f64>,
}

impl From<Program> for Recorded {
    fn from(program: Program) -> Self {
        Self { memory: program.replay(), program }
    }
}

impl Recorded {
    pub(crate) fn new<M: Map>(map: &M) -> Self {
        Self::from(Program::record(map))
    }

    pub(crate) fn eval(&mut self, t: f64, y: &[f64], p: &[f64], out: &mut [f64]) {
        self.program.eval(&mut self.memory, t, &y[..self.program.dim()], p, out);
    }

    pub(crate) fn values(&mut self, t: f64, y: &[f64], p: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.program.n_out()];
        self.eval(t, y, p, &mut out);
        out
    }

    /// Whether a state can change the outputs.
    pub(super) fn sees_states(&self) -> bool {
        !self.program.sparsity().is_empty()
    }
}
