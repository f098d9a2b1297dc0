//! Events as SBML has them: triggers, delays, priorities, assignments.

use chreode_core::philox4x32;

use super::field::Recorded;
use crate::SimulationError;
use crate::math::Expr;
use crate::model::{Form, Formulas, Location, Model, QuantityKind, Reading, Symbol};

/// The formulas of a model's events.
#[derive(Debug, Clone)]
pub(super) struct EventPrograms {
    triggers: Recorded,
    /// Of each event: its delay, its priority, and then what it assigns.
    events: Vec<Recorded>,
    /// Sizes of all compartments.
    sizes: Recorded,
    compartments: Vec<usize>,
}

impl EventPrograms {
    pub(super) fn new(model: &Model) -> Self {
        let record = |readings| Recorded::new(&Formulas { model, readings, n_extra: 0 });
        let triggers = model.events.iter().map(|e| Reading::Truth(e.trigger.clone())).collect();
        let events = model.events.iter().map(|e| {
            let delay = e.delay.clone().unwrap_or(Expr::Number(0.0));
            let priority = e.priority.clone().unwrap_or(Expr::Number(f64::NEG_INFINITY));
            let values = e.assignments.iter().map(|(_, x)| x.clone());
            record([delay, priority].into_iter().chain(values).map(Reading::Value).collect())
        });
        let is_compartment = |q: &usize| model.quantities[*q].kind == QuantityKind::Compartment;
        let compartments: Vec<usize> = (0..model.quantities.len()).filter(is_compartment).collect();
        let leaf = |&q: &usize| Reading::Value(Expr::Leaf(Symbol::Quantity(q)));
        let sizes = record(compartments.iter().map(leaf).collect());
        Self { triggers: record(triggers), events: events.collect(), sizes, compartments }
    }
}

/// An execution that waits.
#[derive(Debug, Clone)]
struct Pending {
    event: usize,
    time: f64,
    /// It was triggered just after a time, and waits until just after another.
    late: bool,
    values: Option<Vec<f64>>,
}

/// Events of a run.
#[derive(Debug)]
pub(super) struct EventState {
    /// Whether each trigger held when it was looked at last.
    held: Vec<bool>,
    /// In the order in which they were triggered.
    pending: Vec<Pending>,
    executed: u64,
    /// Those that were executed since somebody cleared this, in order.
    pub(super) executed_now: Vec<usize>,
}

/// Where events are looked at.
pub(super) struct Point<'a> {
    pub(super) t: f64,
    pub(super) y: &'a mut [f64],
    pub(super) p: &'a mut [f64],
}

/// No more executions in one run.
const MOST_EXECUTIONS: u64 = 1_000_000;

impl EventState {
    pub(super) fn new(model: &Model) -> Self {
        let held = model.events.iter().map(|e| e.initial_value).collect();
        Self { held, pending: Vec::new(), executed: 0, executed_now: Vec::new() }
    }

    /// The time of the next execution that waits.
    pub(super) fn next(&self) -> Option<f64> {
        self.pending.iter().map(|x| x.time).min_by(f64::total_cmp)
    }

    /// Triggers and executes what is due at a point, until nothing is. `ahead` gives the state just after the point, at which triggers
    /// are then looked at; without it, at the point itself. True if a state or parameter was set.
    pub(super) fn settle(
        &mut self,
        model: &Model,
        programs: &mut EventPrograms,
        at: &mut Point<'_>,
        ahead: Option<&mut dyn FnMut(f64, &[f64], &[f64]) -> (f64, Vec<f64>)>,
    ) -> Result<bool, SimulationError> {
        let mut ahead = ahead;
        let mut changed = false;
        loop {
            let holds = match &mut ahead {
                None => programs.triggers.values(at.t, at.y, at.p),
                Some(ahead) => {
                    let (t, y) = ahead(at.t, at.y, at.p);
                    programs.triggers.values(t, &y, at.p)
                }
            };
            for (e, event) in model.events.iter().enumerate() {
                let now = holds[e] != 0.0;
                if now && !self.held[e] {
                    let values = programs.events[e].values(at.t, at.y, at.p);
                    let delay = values[0];
                    if !(delay >= 0.0) {
                        let (event, t) = (event.id.clone(), at.t);
                        return Err(SimulationError::Delay { event, delay, t });
                    }
                    let values = event.values_from_trigger_time.then(|| values[2..].to_vec());
                    let late = ahead.is_some();
                    self.pending.push(Pending { event: e, time: at.t + delay, late, values });
                } else if !now && !event.persistent {
                    self.pending.retain(|x| x.event != e);
                }
                self.held[e] = now;
            }
            // Of what is due, the highest priority; of equal ones any, with a chance of its own, and of those without the first.
            let is_due = |x: &Pending| x.time < at.t || x.time == at.t && (!x.late || ahead.is_some());
            let (mut best, mut highest) = (Vec::new(), f64::NEG_INFINITY);
            for (i, x) in self.pending.iter().enumerate().filter(|(_, x)| is_due(x)) {
                let priority = programs.events[x.event].values(at.t, at.y, at.p)[1];
                if best.is_empty() || priority > highest {
                    (best, highest) = (vec![i], priority);
                } else if priority == highest {
                    best.push(i);
                }
            }
            if best.is_empty() {
                return Ok(changed);
            }
            let i = if highest > f64::NEG_INFINITY {
                let draw = philox4x32([self.executed as u32, (self.executed >> 32) as u32, 0, 0], [0, 0]);
                best[draw[0] as usize % best.len()]
            } else {
                best.into_iter()
                    .min_by(|&i, &j| self.pending[i].time.total_cmp(&self.pending[j].time))
                    .unwrap_or(0)
            };
            let due = self.pending.remove(i);
            let values = match due.values {
                Some(values) => values,
                None => programs.events[due.event].values(at.t, at.y, at.p)[2..].to_vec(),
            };
            set(model, programs, at, &model.events[due.event].assignments, &values);
            changed = true;
            self.executed_now.push(due.event);
            self.executed += 1;
            if self.executed > MOST_EXECUTIONS {
                return Err(SimulationError::TooManyEvents { limit: MOST_EXECUTIONS, t: at.t });
            }
        }
    }
}

/// Sets what an event assigns. All of it speaks of the moment before: a concentration that is set is one in the old size of its
/// compartment, and the amount is what stays when the same event sets another size (cases 1779 and 1780 of SBML's test suite).
fn set(
    model: &Model,
    programs: &mut EventPrograms,
    at: &mut Point<'_>,
    assignments: &[(usize, Expr<Symbol>)],
    values: &[f64],
) {
    let sizes = programs.sizes.values(at.t, at.y, at.p);
    let size = |c: usize, sizes: &[f64]| {
        programs.compartments.iter().position(|&x| x == c).map_or(f64::NAN, |i| sizes[i])
    };
    for ((q, _), &x) in assignments.iter().zip(values) {
        let x = match model.quantities[*q].kind {
            QuantityKind::Species => {
                model.stored(*q, x, Form::Formula, size(model.quantities[*q].compartment, &sizes))
            }
            _ => x,
        };
        match model.quantities[*q].location {
            Location::State(i) => at.y[i] = x,
            Location::Param(i) => at.p[i] = x,
            Location::Assigned(_) => {} // no event assigns what a rule does: the compiler checked
        }
    }
    let new_sizes = programs.sizes.values(at.t, at.y, at.p);
    for quantity in &model.quantities {
        let concentration =
            quantity.kind == QuantityKind::Species && !(quantity.stored_as_amount || quantity.only_substance);
        let (old, new) = (size(quantity.compartment, &sizes), size(quantity.compartment, &new_sizes));
        if concentration && old != new {
            match quantity.location {
                Location::State(i) => at.y[i] *= old / new,
                Location::Param(i) => at.p[i] *= old / new,
                Location::Assigned(_) => {}
            }
        }
    }
}
