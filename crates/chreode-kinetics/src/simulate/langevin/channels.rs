//! The ways in which reactions run: what each changes, and how fast it is.
//!
//! The noise of a reaction that runs both ways is that of both, so that a net rate is taken apart. A law is a difference if its terms,
//! multiplied out, have both signs; what takes away is the way back if it depends on what the reaction produces. An inhibition such as
//! `k A (1 - I/(K + I))` is no way back, and stays one rate; so does the law of a reaction that its file calls irreversible.

use crate::SimulationError;
use crate::math::{Expr, Op};
use crate::model::{Coefficient, Derivative, Formulas, Location, Model, Reading, Symbol};
use crate::simulate::Recorded;

type Formula = Expr<Symbol>;

/// A law with more terms than this is not taken apart.
const MOST_TERMS: usize = 256;
/// A rate is zero if it is below zero by this part of the largest rate.
const ROUNDING: f64 = 1e-9;

/// One way of a reaction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Channel {
    pub(super) reaction: usize,
    /// The states that it changes, which are amounts, with what one unit of it adds.
    pub(super) changes: Vec<(usize, f64)>,
}

/// All ways of all reactions of a model.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    pub(super) list: Vec<Channel>,
    recorded: Recorded,
}

impl Channels {
    /// The ways of all reactions that change a state.
    ///
    /// # Errors
    /// [`SimulationError::Noise`] names what is not only reactions of fixed stoichiometry.
    pub(super) fn new(model: &Model) -> Result<Self, SimulationError> {
        let refused = |what: String| Err(SimulationError::Noise { what });
        if let Some(event) = model.events.first() {
            return refused(format!("event `{}`", event.id));
        }
        let mut columns: Vec<Vec<(usize, f64)>> = vec![Vec::new(); model.laws.len()];
        for (i, (derivative, &q)) in model.derivatives.iter().zip(&model.states).enumerate() {
            let id = &model.quantities[q].id;
            let reactions = match derivative {
                Derivative::Rule(_) => return refused(format!("the rate rule of `{id}`")),
                Derivative::Reactions(_, Some(_)) => {
                    return refused(format!("the conversion factor of `{id}`"));
                }
                Derivative::Reactions(reactions, None) => reactions,
            };
            for (r, coefficient) in reactions {
                let Coefficient::Number(n) = coefficient else {
                    let reaction = &model.laws[*r].id;
                    return refused(format!(
                        "the stoichiometry of `{id}` in `{reaction}`, which is computed,"
                    ));
                };
                match columns[*r].iter_mut().find(|(state, _)| *state == i) {
                    Some((_, sum)) => *sum += n,
                    None => columns[*r].push((i, *n)),
                }
            }
        }
        let is_state = |q: usize| matches!(model.quantities[q].location, Location::State(_));
        let varies = Dependent::on(model, &is_state, true);
        let (mut list, mut readings) = (Vec::new(), Vec::new());
        for (reaction, mut changes) in columns.into_iter().enumerate() {
            changes.retain(|(_, n)| *n != 0.0);
            if changes.is_empty() {
                continue;
            }
            let back = changes.iter().map(|(i, n)| (*i, -n)).collect();
            let [forward, backward] = ways(model, &varies, reaction);
            for (rate, changes) in [(forward, changes), (backward, back)] {
                if let Some(rate) = rate {
                    list.push(Channel { reaction, changes });
                    readings.push(Reading::Value(rate));
                }
            }
        }
        let recorded = Recorded::new(&Formulas { model, readings, n_extra: 0 });
        Ok(Self { list, recorded })
    }

    /// Rates at a point, one for each channel.
    ///
    /// # Errors
    /// [`SimulationError::NoiseRate`] if one is negative, or not finite.
    pub(super) fn rates(
        &mut self,
        model: &Model,
        t: f64,
        y: &[f64],
        p: &[f64],
        rates: &mut [f64],
    ) -> Result<(), SimulationError> {
        self.recorded.eval(t, y, p, rates);
        let largest = rates.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        for (rate, channel) in rates.iter_mut().zip(&self.list) {
            if !rate.is_finite() || *rate < -ROUNDING * largest {
                let reaction = model.laws[channel.reaction].id.clone();
                return Err(SimulationError::NoiseRate { reaction, rate: *rate, t });
            }
            *rate = rate.max(0.0);
        }
        Ok(())
    }
}

/// What depends on something: quantities and rates.
struct Dependent {
    quantities: Vec<bool>,
    rates: Vec<bool>,
    on_time: bool,
}

impl Dependent {
    /// What depends on quantities of some kind, and on time or not.
    fn on(model: &Model, kind: &dyn Fn(usize) -> bool, on_time: bool) -> Self {
        let quantities = (0..model.quantities.len()).map(kind).collect();
        let mut all = Self { quantities, rates: vec![false; model.laws.len()], on_time };
        // Rules may stand in any order: what depends on each other by a chain is found in as many rounds as that is long.
        loop {
            let mut more = false;
            for (q, quantity) in model.quantities.iter().enumerate() {
                if let Location::Assigned(math) = &quantity.location
                    && !all.quantities[q]
                    && all.has(math)
                {
                    (all.quantities[q], more) = (true, true);
                }
            }
            for (r, law) in model.laws.iter().enumerate() {
                if !all.rates[r] && all.has(&law.rate) {
                    (all.rates[r], more) = (true, true);
                }
            }
            if !more {
                return all;
            }
        }
    }

    fn has(&self, x: &Formula) -> bool {
        let mut found = false;
        x.leaves(&mut |leaf| {
            found |= match *leaf {
                Symbol::Quantity(q) | Symbol::Rate(q) => self.quantities[q],
                Symbol::Reaction(r) => self.rates[r],
                Symbol::Time => self.on_time,
                Symbol::Extra(_) => false,
            };
        });
        found
    }
}

/// The rate of a reaction forwards and backwards.
fn ways(model: &Model, varies: &Dependent, reaction: usize) -> [Option<Formula>; 2] {
    let law = &model.laws[reaction];
    let whole = || [Some(law.rate.clone()), None];
    if !law.reversible {
        return whole();
    }
    let Some(terms) = terms(model, varies, &law.rate) else { return whole() };
    let (back, forward): (Vec<_>, Vec<_>) = terms.into_iter().partition(|(negative, _)| *negative);
    if back.is_empty() {
        return whole();
    }
    let of_products = Dependent::on(model, &|q| law.products.contains(&q), false);
    if !back.iter().all(|(_, x)| of_products.has(x)) {
        return whole();
    }
    [forward, back].map(|terms| {
        let terms: Vec<Formula> = terms.into_iter().map(|(_, x)| x).collect();
        (!terms.is_empty()).then_some(Expr::Apply(Op::Add, terms))
    })
}

/// The terms of a formula, multiplied out, and whether each is subtracted; none if there are too many. What cannot vary is one factor.
fn terms(model: &Model, varies: &Dependent, x: &Formula) -> Option<Vec<(bool, Formula)>> {
    let of = |x: &Formula| terms(model, varies, x);
    let all = match x {
        Expr::Number(n) if *n < 0.0 => vec![(true, Expr::Number(-n))],
        Expr::Apply(Op::Neg, operands) => negated(of(&operands[0])?),
        x if !varies.has(x) => vec![(false, x.clone())],
        Expr::Leaf(Symbol::Quantity(q)) => match &model.quantities[*q].location {
            Location::Assigned(math) => of(math)?,
            _ => vec![(false, x.clone())],
        },
        Expr::Leaf(Symbol::Reaction(r)) => of(&model.laws[*r].rate)?,
        Expr::Apply(Op::Add, operands) => operands.iter().map(of).collect::<Option<Vec<_>>>()?.concat(),
        Expr::Apply(Op::Sub, operands) => [of(&operands[0])?, negated(of(&operands[1])?)].concat(),
        Expr::Apply(Op::Mul, operands) => {
            let mut products = vec![(false, Vec::new())];
            for operand in operands {
                let factors = of(operand)?;
                if products.len() * factors.len() > MOST_TERMS {
                    return None;
                }
                let times = |(sign, product): &(bool, Vec<Formula>)| {
                    let with = |(by, factor): &(bool, Formula)| {
                        (sign ^ by, product.iter().cloned().chain([factor.clone()]).collect())
                    };
                    factors.iter().map(with).collect::<Vec<_>>()
                };
                products = products.iter().flat_map(times).collect();
            }
            products.into_iter().map(|(sign, product)| (sign, Expr::Apply(Op::Mul, product))).collect()
        }
        Expr::Apply(Op::Div, operands) => {
            let over = |(sign, x)| (sign, Expr::Apply(Op::Div, vec![x, operands[1].clone()]));
            of(&operands[0])?.into_iter().map(over).collect()
        }
        x => vec![(false, x.clone())],
    };
    (all.len() <= MOST_TERMS).then_some(all)
}

fn negated(mut terms: Vec<(bool, Formula)>) -> Vec<(bool, Formula)> {
    terms.iter_mut().for_each(|(sign, _)| *sign = !*sign);
    terms
}
