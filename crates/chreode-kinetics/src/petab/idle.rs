//! Parameters that nothing depends on: those of a law that a net has replaced.

use chreode_autodiff::Program;

use super::problem::{Problem, Source};
use crate::model::Field;

impl Problem {
    /// Takes parameters out of the fit that neither the model, nor a condition, nor an observable or its noise depends on any more. They keep
    /// their nominal values, or the middle of their bounds. Returns their ids. Of a model with events nothing is taken out.
    pub fn fix_idle(&mut self) -> Vec<String> {
        let model = self.simulator.model();
        if !model.events.is_empty() {
            return Vec::new();
        }
        let (d, np) = (model.n_states(), model.n_params());
        let field = Program::record(&Field(model)).sparsity_with_params();
        let observables: Vec<_> = self.links.iter().map(|link| link.observable).collect();
        let patterns: Vec<_> = (0..self.observables.len())
            .map(|k| {
                observables.contains(&k).then(|| self.observables[k].recorded.program.sparsity_with_params())
            })
            .collect();
        let seen = |k: usize| patterns.iter().flatten().any(|pattern| !pattern.column(d + k).is_empty());
        let moves = |k: usize| !field.column(d + k).is_empty() || seen(k);
        let typical = self.typical();
        let is_idle = |i: usize| {
            let row = &self.parameters[i];
            let as_placeholder = self.links.iter().any(|l| l.placeholders.contains(&Source::Parameter(i)));
            if seen(np + i) || as_placeholder {
                return false;
            }
            let mut moved = typical.clone();
            moved[i] = row.scale.linear(row.scale.scaled(typical[i]) + 0.01);
            self.conditions.iter().all(|condition| {
                let (a, b) = (self.start(condition, &typical, None), self.start(condition, &moved, None));
                let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
                a.y.iter().zip(&b.y).all(|(a, b)| same(*a, *b))
                    && a.p.iter().zip(&b.p).enumerate().all(|(k, (a, b))| same(*a, *b) || !moves(k))
            })
        };
        let idle: Vec<usize> =
            (0..self.parameters.len()).filter(|&i| self.parameters[i].estimate && is_idle(i)).collect();
        let fix = |i: usize| {
            (self.parameters[i].estimate, self.parameters[i].nominal) = (false, typical[i]);
            self.parameters[i].id.clone()
        };
        idle.into_iter().map(fix).collect()
    }
}
