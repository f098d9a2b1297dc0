//! Derivatives of a run: forward sensitivities beside the state, through switches, events and steady states.
//!
//! `field.rs` is what is integrated, `run.rs` the loop with its jumps, `jumps.rs` what happens at one, `steady.rs` the implicit
//! function theorem, `adjoint.rs` the way back through a run for many parameters. Columns are any directions; whoever asks brings the
//! derivatives of the start.

mod adjoint;
mod field;
mod jumps;
mod run;
mod steady;

use chreode_autodiff::Program;
use chreode_core::{Jacobian, Sparsity};

use super::field::Recorded;
use super::run::Simulator;
use crate::math::{Expr, Op};
use crate::model::{Field, Formulas, Reading, Symbol};

/// A state and the parameters, with `m` derivatives of both.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tangent {
    pub(crate) y: Vec<f64>,
    pub(crate) p: Vec<f64>,
    /// Derivatives of the state, `[m, d]`.
    pub(crate) s: Vec<f64>,
    /// Derivatives of the parameters, `[m, n_params]`.
    pub(crate) q: Vec<f64>,
}

impl Tangent {
    /// Number of directions.
    pub(crate) fn columns(&self) -> usize {
        if self.p.is_empty() { self.s.len() / self.y.len().max(1) } else { self.q.len() / self.p.len() }
    }
}

/// What sensitivities need beside what a run needs, recorded once.
#[derive(Debug, Clone)]
pub(crate) struct Derivatives {
    /// `[∂f/∂y | ∂f/∂p]`.
    pattern: Sparsity,
    program: Recorded,
    entries: Vec<f64>,
    /// Of each event: what it assigns, as it is stored.
    assigned: Vec<Recorded>,
}

impl Derivatives {
    pub(crate) fn new(simulator: &Simulator) -> Self {
        let model = simulator.model();
        let (pattern, program) = Program::record_jacobian_with_params(&Field(model));
        let assigned = model.events.iter().map(|event| {
            let readings = event.assignments.iter().map(|(q, math)| {
                let quantity = &model.quantities[*q];
                Reading::Value(if quantity.stored_as_amount {
                    let size = Expr::Leaf(Symbol::Quantity(quantity.compartment));
                    Expr::Apply(Op::Mul, vec![math.clone(), size])
                } else {
                    math.clone()
                })
            });
            Recorded::new(&Formulas { model, readings: readings.collect(), n_extra: 0 })
        });
        let assigned = assigned.collect();
        Self { entries: vec![0.0; pattern.len()], program: program.into(), pattern, assigned }
    }

    /// Where `[∂f/∂y | ∂f/∂p]` may differ from zero, and its entries.
    pub(crate) fn recorded(&self) -> (&Sparsity, &Program) {
        (&self.pattern, &self.program.program)
    }

    /// The entries of a column of `[∂f/∂y | ∂f/∂p]`, with their rows.
    fn column(&self, j: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let first = self.pattern.col_starts()[j];
        self.pattern.column(j).iter().enumerate().map(move |(k, &i)| (i, self.entries[first + k]))
    }

    /// Evaluates all entries at a point.
    fn at(&mut self, t: f64, y: &[f64], p: &[f64]) {
        self.program.eval(t, y, p, &mut self.entries);
    }
}

/// The dense Jacobian, `[d, d]`.
fn dense(simulator: &mut Simulator, t: f64, y: &[f64], p: &[f64]) -> Vec<f64> {
    let d = simulator.model.n_states();
    let field = &mut simulator.field;
    let Some(pattern) = Jacobian::sparsity(field).cloned() else {
        let mut values = vec![0.0; d * d];
        // A field that is recorded does not fail.
        let _ = field.jacobian(t, y, p, &mut values);
        return values;
    };
    let (mut entries, mut values) = (vec![0.0; pattern.len()], vec![0.0; d * d]);
    let _ = field.jacobian(t, y, p, &mut entries);
    for j in 0..d {
        let first = pattern.col_starts()[j];
        for (k, &i) in pattern.column(j).iter().enumerate() {
            values[i * d + j] = entries[first + k];
        }
    }
    values
}
