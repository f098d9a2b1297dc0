//! Where formulas jump: roots of what their comparisons compare.

use std::collections::HashSet;

use super::field::Recorded;
use crate::math::{Expr, Op};
use crate::model::{Derivative, Formulas, Location, Model, Reading, Symbol};

/// The sign changes that a run has to stop at.
#[derive(Debug, Clone)]
pub(super) struct Switches {
    /// Functions of time and parameters, which may be linear in time.
    timed: Vec<Switch>,
    /// Functions of states.
    pub(super) roots: Vec<Switch>,
}

/// A function whose sign changes where a formula jumps.
#[derive(Debug, Clone)]
pub(super) struct Switch {
    pub(super) root: Recorded,
    /// Whether the formula is one of the right-hand side, not only of a trigger.
    pub(super) jumps: bool,
}

impl Switches {
    pub(super) fn new(model: &Model) -> Self {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut look = |x: &Expr<Symbol>| {
            x.visit(&mut |x| {
                for root in roots(x) {
                    // Formulas have no other identity than what they look like.
                    if seen.insert(format!("{root:?}")) {
                        found.push(root);
                    }
                }
            });
        };
        for quantity in &model.quantities {
            if let Location::Assigned(math) = &quantity.location {
                look(math);
            }
        }
        for derivative in &model.derivatives {
            match derivative {
                Derivative::Rule(math) => look(math),
                Derivative::Reactions(reactions, _) => {
                    for (_, coefficient) in reactions {
                        if let crate::model::Coefficient::Formula(_, math) = coefficient {
                            look(math);
                        }
                    }
                }
            }
        }
        model.laws.iter().for_each(|law| look(&law.rate));
        // What triggers look at comes last.
        let mut in_triggers = Vec::new();
        model.events.iter().for_each(|event| {
            event.trigger.visit(&mut |x| {
                in_triggers.extend(roots(x).into_iter().filter(|root| seen.insert(format!("{root:?}"))));
            });
        });
        let (mut timed, mut of_states) = (Vec::new(), Vec::new());
        let all = found.into_iter().map(|x| (x, true)).chain(in_triggers.into_iter().map(|x| (x, false)));
        for (root, jumps) in all {
            let readings = vec![Reading::Value(root)];
            let root = Recorded::new(&Formulas { model, readings, n_extra: 0 });
            let list = if root.sees_states() { &mut of_states } else { &mut timed };
            list.push(Switch { root, jumps });
        }
        Self { timed, roots: of_states }
    }

    /// For parameters `p`: the times in the span, without its start, at which something that is linear in time changes its sign, and
    /// which of the others must be watched.
    pub(super) fn times(&mut self, span: (f64, f64), p: &[f64]) -> (Vec<f64>, Vec<usize>) {
        let (mut times, mut watched) = (Vec::new(), Vec::new());
        let length = span.1 - span.0;
        for (k, Switch { root, .. }) in self.timed.iter_mut().enumerate() {
            // The states do not matter.
            let y = vec![0.0; root.program.dim()];
            let mut at = |part: f64| root.values(span.0 + part * length, &y, p)[0];
            let (start, end) = (at(0.0), at(1.0));
            let line = |part: f64| start + part * (end - start);
            let scale = start.abs() + end.abs();
            let linear = [0.2, 0.5, 0.7].iter().all(|&x| (at(x) - line(x)).abs() <= 1e-10 * scale);
            if start.is_nan() || end.is_nan() || linear && start == end {
                continue; // it is never seen to change
            }
            if !linear {
                watched.push(k);
                continue;
            }
            // Each side alone, so that a zero at a round time has that time.
            let t = span.0 - start * (length / (end - start));
            if t > span.0 && t <= span.1 {
                times.push(t);
            }
        }
        times.sort_by(f64::total_cmp);
        times.dedup();
        (times, watched)
    }

    /// All functions whose signs matter.
    pub(super) fn all(&self) -> impl Iterator<Item = &Recorded> {
        self.timed.iter().chain(&self.roots).map(|switch| &switch.root)
    }

    /// The function of time that [`times`](Self::times) says must be watched.
    pub(super) fn timed(&self, k: usize) -> &Switch {
        &self.timed[k]
    }
}

/// Functions that change their signs where this operation jumps.
fn roots(x: &Expr<Symbol>) -> Vec<Expr<Symbol>> {
    let Expr::Apply(op, operands) = x else { return Vec::new() };
    let wave = |x: Expr<Symbol>| {
        let turns = Expr::Apply(Op::Mul, vec![Expr::Number(std::f64::consts::PI), x]);
        Expr::Apply(Op::Trig(crate::math::Trig::Sin, crate::math::Form::Circular), vec![turns])
    };
    match op {
        _ if op.is_relation() => {
            let pairs = operands.windows(2);
            pairs.map(|pair| Expr::Apply(Op::Sub, vec![pair[0].clone(), pair[1].clone()])).collect()
        }
        Op::Floor | Op::Ceil => vec![wave(operands[0].clone())],
        Op::Quotient | Op::Rem => vec![wave(Expr::Apply(Op::Div, operands.clone()))],
        _ => Vec::new(),
    }
}
