//! Where formulas jump: roots of what their comparisons compare.

use std::collections::HashSet;

use super::field::Recorded;
use crate::math::{Expr, Op};
use crate::model::{Derivative, Formulas, Location, Model, Reading, Symbol};

/// A time at which something is a whole number to this part has that number behind it.
const SAME: f64 = 1e-13;
/// A time is off by no more than so many units in the last place.
const MOST_ROUNDING: u32 = 4;

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
    /// What is whole where the function is zero, if it is the sine of that.
    turns: Option<Recorded>,
    /// Whether the formula is one of the right-hand side, not only of a trigger.
    pub(super) jumps: bool,
}

/// Where a function of time changes its sign in a span.
enum Crossing {
    None,
    At(f64),
    /// It is not linear there.
    Unknown,
}

impl Switch {
    /// The first change of sign in a span, not at its start, if the function is linear there: it is looked at between these parts.
    fn crossing(&mut self, span: (f64, f64), p: &[f64], [left, right]: [f64; 2]) -> Crossing {
        let whole = self.turns.is_some();
        let x = self.turns.as_mut().unwrap_or(&mut self.root);
        // The states do not matter.
        let y = vec![0.0; x.program.dim()];
        let mut at = |t: f64| x.values(t, &y, p)[0];
        let length = span.1 - span.0;
        // No parts that whole periods fall on.
        let times = [left, 0.217_3, 0.458_9, 0.713_7, right].map(|part| span.0 + part * length);
        let [start, inner @ .., end] = times.map(&mut at);
        let slope = (end - start) / (times[4] - times[0]);
        let scale = 1e-10 * (start.abs() + end.abs());
        let linear =
            inner.iter().zip(&times[1..]).all(|(x, t)| (x - (start + slope * (t - times[0]))).abs() <= scale);
        if start.is_nan() || end.is_nan() || linear && start == end {
            return Crossing::None; // it is never seen to change
        }
        if !linear {
            return Crossing::Unknown;
        }
        let first = start - slope * (times[0] - span.0);
        let goal = match (whole, slope > 0.0) {
            (false, _) => 0.0,
            // The next whole number; the one of the start was there, if that was its time, to within rounding.
            (true, true) => (first + SAME * first.abs().max(1.0)).floor() + 1.0,
            (true, false) => (first - SAME * first.abs().max(1.0)).ceil() - 1.0,
        };
        // Each side alone, so that a zero at a round time has that time.
        let mut t = times[0] + (goal - start) * ((times[4] - times[0]) / (end - start));
        for _ in 0..MOST_ROUNDING {
            // Where rounding left the time before the whole number, what is rounded down has not jumped yet.
            if !whole || (at(t) - goal) * slope >= 0.0 {
                break;
            }
            t = t.next_up();
        }
        if t > span.0 && t <= span.1 { Crossing::At(t) } else { Crossing::None }
    }
}

impl Switches {
    pub(super) fn new(model: &Model) -> Self {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut look = |x: &Expr<Symbol>| {
            // Formulas have no other identity than what they look like.
            x.visit(&mut |x| {
                found.extend(roots(x).into_iter().filter(|root| seen.insert(format!("{root:?}"))));
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
            let record =
                |x| Recorded::new(&Formulas { model, readings: vec![Reading::Value(x)], n_extra: 0 });
            let (root, turns) = match root {
                Root::Zero(x) => (record(x), None),
                Root::Whole(x) => (record(wave(x.clone())), Some(record(x))),
            };
            let list = if root.sees_states() { &mut of_states } else { &mut timed };
            list.push(Switch { root, turns, jumps });
        }
        Self { timed, roots: of_states }
    }

    /// For parameters `p`: the first time in the span, after its start, at which something that is linear in time until then changes its
    /// sign, and which of the others must be watched.
    pub(super) fn next(&mut self, span: (f64, f64), p: &[f64]) -> (Option<f64>, Vec<usize>) {
        let (mut first, mut parts) = (None, [0.0, 1.0]);
        loop {
            let (start, end) = (span.0, first.unwrap_or(span.1));
            let (mut found, mut watched) = (None::<f64>, Vec::new());
            for (k, switch) in self.timed.iter_mut().enumerate() {
                match switch.crossing((start, end), p, parts) {
                    Crossing::None => {}
                    Crossing::At(t) => found = Some(found.map_or(t, |found| found.min(t))),
                    Crossing::Unknown => watched.push(k),
                }
            }
            let Some(earlier) = found.filter(|&t| t < end) else {
                return (found.or(first), watched);
            };
            // What jumps at that time may be linear until then, and cross before; at both ends it may have either side's value.
            (first, parts) = (Some(earlier), [0.1, 0.9]);
        }
    }

    /// Functions of states, and those of time that [`next`](Self::next) says must be watched.
    pub(super) fn watched(&self, timed: &[usize]) -> Vec<&Switch> {
        self.roots.iter().chain(timed.iter().map(|&k| &self.timed[k])).collect()
    }

    /// All functions whose signs matter.
    pub(super) fn all(&self) -> impl Iterator<Item = &Recorded> {
        self.timed.iter().chain(&self.roots).map(|switch| &switch.root)
    }
}

/// Where an operation jumps: where this is zero, or a whole number.
#[derive(Debug)]
enum Root {
    Zero(Expr<Symbol>),
    Whole(Expr<Symbol>),
}

/// A function that changes its sign where `x` is a whole number.
fn wave(x: Expr<Symbol>) -> Expr<Symbol> {
    let turns = Expr::Apply(Op::Mul, vec![Expr::Number(std::f64::consts::PI), x]);
    Expr::Apply(Op::Trig(crate::math::Trig::Sin, crate::math::Form::Circular), vec![turns])
}

/// Where this operation jumps.
fn roots(x: &Expr<Symbol>) -> Vec<Root> {
    let Expr::Apply(op, operands) = x else { return Vec::new() };
    match op {
        _ if op.is_relation() => {
            let pairs = operands.windows(2);
            pairs.map(|x| Root::Zero(Expr::Apply(Op::Sub, vec![x[0].clone(), x[1].clone()]))).collect()
        }
        Op::Floor | Op::Ceil => vec![Root::Whole(operands[0].clone())],
        Op::Quotient | Op::Rem => vec![Root::Whole(Expr::Apply(Op::Div, operands.clone()))],
        _ => Vec::new(),
    }
}
