//! A recorded model as a field with its Jacobian.

use chreode_autodiff::{Map, Program, Replay};
use chreode_core::{FieldError, Jacobian, Sparsity, VectorField, Vjp};

use crate::model::{Field, Model};

/// Smallest number of states whose Jacobian may be sparse: below, dense factorisations are as fast.
const LEAST_SPARSE: usize = 16;
/// A sparse Jacobian has at most this part of all entries.
const MOST_FILLED: f64 = 0.25;

/// The right-hand side and its Jacobian, both recorded. A model without states gets one that rests, so that time can run.
#[derive(Debug, Clone)]
pub(crate) struct RecordedField {
    d: usize,
    field: Recorded,
    jacobian: Recorded,
    pattern: Sparsity,
    sparse: bool,
    entries: Vec<f64>,
    /// States that are infinite or not a number, with their values: they stay so, and the method has zeros for them.
    frozen: Frozen,
    point: Vec<f64>,
}

/// States that are not finite, and their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Frozen(Vec<(usize, f64)>);

impl Frozen {
    /// The whole state, of which a method has the rest.
    pub(super) fn whole(&self, y: &[f64]) -> Vec<f64> {
        let mut y = y.to_vec();
        self.0.iter().for_each(|&(i, value)| y[i] = value);
        y
    }
}

impl RecordedField {
    pub(super) fn new(model: &Model) -> Self {
        let d = model.n_states();
        let (pattern, jacobian) = Program::record_jacobian(&Field(model));
        let sparse = d >= LEAST_SPARSE && pattern.len() as f64 <= MOST_FILLED * (d * d) as f64;
        let entries = vec![0.0; pattern.len()];
        let (field, jacobian) = (Recorded::new(&Field(model)), Recorded::from(jacobian));
        Self { d, field, jacobian, pattern, sparse, entries, frozen: Frozen::default(), point: vec![0.0; d] }
    }
}

impl RecordedField {
    /// The field and the entries of its Jacobian, column by column.
    pub(super) fn programs(&self) -> (&Program, &Program) {
        (&self.field.program, &self.jacobian.program)
    }

    /// Takes what is not finite out of a state, and what has a rate that is not finite: it becomes what its rate is. Returns what was
    /// taken out.
    pub(super) fn freeze(&mut self, t: f64, y: &mut [f64], p: &[f64]) -> Result<Frozen, FieldError> {
        self.frozen.0.clear();
        let mut rates = vec![0.0; y.len()];
        loop {
            self.eval(t, y, p, &mut rates)?;
            let before = self.frozen.0.len();
            for (i, y) in y[..self.d].iter_mut().enumerate() {
                let value = if y.is_finite() { rates[i] } else { *y };
                if !value.is_finite() {
                    self.frozen.0.push((i, value));
                    *y = 0.0;
                }
            }
            if self.frozen.0.len() == before {
                return Ok(self.frozen.clone());
            }
        }
    }

    /// Puts all that was taken out back.
    pub(super) fn thaw(&mut self, y: &mut [f64]) {
        self.frozen.0.drain(..).for_each(|(i, value)| y[i] = value);
    }

    /// The states that the formulas see.
    fn see(&mut self, y: &[f64]) {
        self.point.copy_from_slice(&y[..self.d]);
        self.frozen.0.iter().for_each(|&(i, value)| self.point[i] = value);
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
        self.see(y);
        self.field.eval(t, &self.point, p, &mut dy[..self.d]);
        self.frozen.0.iter().for_each(|&(i, _)| dy[i] = 0.0);
        Ok(())
    }
}

impl Jacobian<f64> for RecordedField {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.sparse.then_some(&self.pattern)
    }
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        // A derivative that is infinite, such as that of a root at zero, would stop every method; without it some only iterate longer.
        let zero = |entries: &mut [f64]| entries.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        self.see(y);
        if self.sparse {
            self.jacobian.eval(t, &self.point, p, values);
            zero(values);
            if !self.frozen.0.is_empty() {
                let rows = (0..self.d).flat_map(|j| self.pattern.column(j));
                let is_frozen = |i: usize| self.frozen.0.iter().any(|&(k, _)| k == i);
                values.iter_mut().zip(rows).filter(|(_, i)| is_frozen(**i)).for_each(|(x, _)| *x = 0.0);
            }
            return Ok(());
        }
        self.jacobian.eval(t, &self.point, p, &mut self.entries);
        zero(&mut self.entries);
        values.fill(0.0);
        for j in 0..self.d {
            let first = self.pattern.col_starts()[j];
            for (k, &i) in self.pattern.column(j).iter().enumerate() {
                values[i * self.d + j] = self.entries[first + k];
            }
        }
        self.frozen.0.iter().for_each(|&(i, _)| values[i * self.d..][..self.d].fill(0.0));
        Ok(())
    }
}

impl Vjp<f64> for RecordedField {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let (d, Recorded { program, memory, p: last }) = (self.d, &mut self.field);
        y_bar[d..].fill(0.0);
        last.clear();
        program.vjp(memory, t, &y[..d], p, &lambda[..d], &mut y_bar[..d], p_bar);
        Ok(())
    }
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<f64>> {
        Some(self)
    }
}

/// A program with memory to run it, in which what depends on parameters alone stays while they are the same.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) program: Program,
    memory: Replay<f64>,
    /// The parameters that the memory has; empty if none.
    p: Vec<f64>,
}

impl From<Program> for Recorded {
    fn from(program: Program) -> Self {
        Self { memory: program.replay(), program, p: Vec::new() }
    }
}

impl Recorded {
    pub(crate) fn new<M: Map>(map: &M) -> Self {
        Self::from(Program::record(map))
    }

    pub(crate) fn eval(&mut self, t: f64, y: &[f64], p: &[f64], out: &mut [f64]) {
        let (program, y) = (&self.program, &y[..self.program.dim()]);
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        if self.p.len() == p.len() && self.p.iter().zip(p).all(same) {
            program.eval_again(&mut self.memory, t, y, out);
        } else {
            program.eval(&mut self.memory, t, y, p, out);
            self.p.clear();
            self.p.extend_from_slice(p);
        }
    }

    pub(crate) fn values(&mut self, t: f64, y: &[f64], p: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.program.n_out()];
        self.eval(t, y, p, &mut out);
        out
    }

    /// Whether a parameter that `moves` can change the outputs.
    pub(super) fn sees(&self, moves: &[bool]) -> bool {
        let (pattern, d) = (self.program.sparsity_with_params(), self.program.dim());
        moves.iter().enumerate().any(|(k, moves)| *moves && !pattern.column(d + k).is_empty())
    }

    /// Whether a state can change the outputs.
    pub(super) fn sees_states(&self) -> bool {
        !self.program.sparsity().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use chreode_core::{Jacobian, VectorField};
    use proptest::prelude::*;

    use super::*;

    /// Species in a ring, each turned into the next and bound by the one after that.
    fn ring(n: usize) -> Model {
        let (mut species, mut reactions) = (String::new(), String::new());
        for i in 0..n {
            let (j, k) = ((i + 1) % n, (i + 2) % n);
            let _ = write!(species, r#"<species id="s{i}" compartment="c" initialConcentration="1"/>"#);
            let _ = write!(
                reactions,
                r#"<reaction id="r{i}"><listOfReactants><speciesReference species="s{i}"/></listOfReactants>
                <listOfProducts><speciesReference species="s{j}"/></listOfProducts>
                <kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><divide/>
                <apply><times/><ci>c</ci><ci>k</ci><ci>s{i}</ci></apply>
                <apply><plus/><cn>1</cn><apply><power/><ci>s{k}</ci><cn>2</cn></apply></apply></apply></math></kineticLaw></reaction>"#
            );
        }
        Model::from_sbml(&format!(
            r#"<sbml level="2" version="4"><model><listOfCompartments><compartment id="c" size="2"/></listOfCompartments>
            <listOfSpecies>{species}</listOfSpecies><listOfParameters><parameter id="k" value="1"/></listOfParameters>
            <listOfReactions>{reactions}</listOfReactions></model></sbml>"#
        ))
        .unwrap()
    }

    proptest! {
        #[test]
        fn recorded_jacobians_are_those_of_differences(n in 4..40_usize, seed in 0.0..6.0_f64) {
            let mut field = RecordedField::new(&ring(n));
            let p = [2.0, 1.3];
            let y: Vec<f64> = (0..n).map(|i| 1.5 + (seed + i as f64).sin()).collect();
            let sparse = Jacobian::sparsity(&field).cloned();
            prop_assert_eq!(sparse.is_some(), n >= 16);
            let mut values = vec![0.0; sparse.as_ref().map_or(n * n, Sparsity::len)];
            field.jacobian(0.0, &y, &p, &mut values).unwrap();
            let mut dense = vec![0.0; n * n];
            match &sparse {
                None => dense.copy_from_slice(&values),
                Some(pattern) => {
                    for j in 0..n {
                        for (k, &i) in pattern.column(j).iter().enumerate() {
                            dense[i * n + j] = values[pattern.col_starts()[j] + k];
                        }
                    }
                }
            }
            let (mut above, mut below) = (vec![0.0; n], vec![0.0; n]);
            for j in 0..n {
                let mut moved = y.clone();
                moved[j] += 1e-6;
                field.eval(0.0, &moved, &p, &mut above).unwrap();
                moved[j] -= 2e-6;
                field.eval(0.0, &moved, &p, &mut below).unwrap();
                for i in 0..n {
                    let difference = (above[i] - below[i]) / 2e-6;
                    prop_assert!((difference - dense[i * n + j]).abs() < 1e-8, "{i} {j}");
                }
            }
            // What the ring holds is conserved.
            prop_assert!(above.iter().sum::<f64>().abs() < 1e-13 * n as f64);
        }
    }
}
