//! Inputs, scales and units of nets, from a problem as it is: what its law saw, how large its species start or are measured.

use super::config::{Gate, HybridConfig, NetInput, RateNet, Target, check_hidden};
use super::error::HybridError;
use super::request::{HybridRequest, NetOptions, Part, RateRequest};
use crate::math::Expr;
use crate::model::{Coefficient, Derivative, Location, Model, QuantityKind, Symbol};
use crate::petab::{Problem, Sizes};

/// A net's unit lets what it changes move by its scale in this part of the time that is measured.
const FASTER: f64 = 10.0;

impl HybridConfig {
    /// The nets that are asked for.
    ///
    /// The scale of a species is the largest that it starts with or is measured as; of one that is neither, what conserved totals
    /// allow, or else the largest of any species.
    ///
    /// # Errors
    /// [`HybridError`]: unknown or repeated reactions, inputs that do not exist, reactions that change nothing.
    pub fn resolve(
        problem: &Problem,
        request: &HybridRequest,
        options: &NetOptions,
    ) -> Result<Self, HybridError> {
        check_hidden(&options.hidden)?;
        let model = problem.model();
        if model.n_states() == 0 {
            return Err(HybridError::NoStates);
        }
        let sizes = problem.sizes();
        let parameters = problem.parameters().iter().map(|row| row.id.clone()).collect();
        let nets = match request {
            HybridRequest::Rates(rates) => {
                for (i, rate) in rates.iter().enumerate() {
                    if rates[..i].iter().any(|x| x.reaction == rate.reaction) {
                        return Err(HybridError::Twice { id: rate.reaction.clone() });
                    }
                }
                rates.iter().map(|rate| net(model, &sizes, rate, options)).collect::<Result<_, _>>()?
            }
            HybridRequest::AllRates => {
                let replaced = |id: &String| RateRequest {
                    reaction: id.clone(),
                    part: Part::Replace,
                    inputs: Vec::new(),
                };
                let changing = (0..model.n_reactions()).filter(|&r| !changes(model, r).is_empty());
                let ids: Vec<String> = changing.map(|r| model.laws[r].id.clone()).collect();
                ids.iter().map(|id| net(model, &sizes, &replaced(id), options)).collect::<Result<_, _>>()?
            }
            HybridRequest::BlackBox => vec![field(model, &sizes, options)],
        };
        Ok(Self { parameters, nets })
    }
}

/// The states that a reaction changes: their quantities, and by how much, without sizes and signs of what varies.
fn changes(model: &Model, r: usize) -> Vec<(usize, f64)> {
    let mut changed = Vec::new();
    for (derivative, &q) in model.derivatives.iter().zip(&model.states) {
        let Derivative::Reactions(reactions, _) = derivative else { continue };
        // A species may be on both sides; what counts is its balance.
        let coefficients = reactions.iter().filter(|(reaction, _)| *reaction == r).map(|(_, c)| match c {
            Coefficient::Number(n) => *n,
            Coefficient::Formula(sign, _) => *sign,
        });
        let sum: f64 = coefficients.sum();
        if sum != 0.0 {
            changed.push((q, sum));
        }
    }
    changed
}

fn net(
    model: &Model,
    sizes: &Sizes,
    rate: &RateRequest,
    options: &NetOptions,
) -> Result<RateNet, HybridError> {
    let r = model.reaction(&rate.reaction)?;
    let changed = changes(model, r);
    if changed.is_empty() {
        return Err(HybridError::ChangesNothing { id: rate.reaction.clone() });
    }
    let law = &model.laws[r].rate;
    if rate.part != Part::Replace && matches!(law, Expr::Number(x) if x.is_nan()) {
        return Err(HybridError::NoLaw { id: rate.reaction.clone() });
    }
    let gates = |sign: f64| -> Vec<Gate> {
        let species = changed.iter().filter(|(_, by)| by.signum() == sign);
        species.map(|&(q, _)| Gate { id: model.quantities[q].id.clone(), scale: sizes.of(q) }).collect()
    };
    let mut inputs: Vec<usize> = Vec::new();
    let mut with_time = false;
    if rate.inputs.is_empty() {
        inputs.extend(changed.iter().filter(|(_, by)| *by < 0.0).map(|(q, _)| q));
        law.leaves(&mut |symbol| match *symbol {
            Symbol::Time => with_time = true,
            Symbol::Quantity(q) if varies(model, q) && !inputs.contains(&q) => inputs.push(q),
            _ => {}
        });
    } else {
        for id in &rate.inputs {
            if id == "time" {
                with_time = true;
                continue;
            }
            let unknown = || HybridError::Input { id: id.clone(), net: rate.reaction.clone() };
            let q = *model.by_id.get(id).ok_or_else(unknown)?;
            if !inputs.contains(&q) {
                inputs.push(q);
            }
        }
    }
    if inputs.is_empty() && !with_time {
        return Err(HybridError::NoInputs { net: rate.reaction.clone() });
    }
    // What is consumed bounds a rate; where nothing is, what is made has to do.
    let consumes = changed.iter().any(|(_, by)| *by < 0.0);
    let moved = changed.iter().filter(|(_, by)| !consumes || *by < 0.0);
    let least = moved.map(|&(q, by)| sizes.of(q) * sizes.volume(q) / by.abs()).fold(f64::INFINITY, f64::min);
    let target = Target::Rate {
        reaction: rate.reaction.clone(),
        part: rate.part,
        consumed: gates(-1.0),
        produced: gates(1.0),
        unit: least * FASTER / sizes.time,
    };
    Ok(RateNet {
        target,
        inputs: seen(model, sizes, &inputs, with_time, true),
        hidden: options.hidden.clone(),
    })
}

fn field(model: &Model, sizes: &Sizes, options: &NetOptions) -> RateNet {
    let states: Vec<String> = model.state_ids().map(str::to_owned).collect();
    let units = model.states.iter().map(|&q| sizes.of(q) * sizes.volume(q) * FASTER / sizes.time).collect();
    RateNet {
        target: Target::Field { states, units },
        inputs: seen(model, sizes, &model.states, false, false),
        hidden: options.hidden.clone(),
    }
}

/// Inputs with their scales; species are `positive` where rates keep them so.
fn seen(model: &Model, sizes: &Sizes, inputs: &[usize], with_time: bool, positive: bool) -> Vec<NetInput> {
    let quantities = inputs.iter().map(|&q| {
        let quantity = &model.quantities[q];
        // What a rule sets may have any sign.
        let ruled = match quantity.location {
            Location::Assigned(_) => true,
            Location::State(i) => matches!(model.derivatives[i], Derivative::Rule(_)),
            Location::Param(_) => false,
        };
        let positive = positive && quantity.kind == QuantityKind::Species && !ruled;
        NetInput { id: quantity.id.clone(), scale: sizes.of(q), positive }
    });
    let time = with_time.then(|| NetInput { id: "time".into(), scale: sizes.time, positive: false });
    quantities.chain(time).collect()
}

/// Whether a quantity can change during a run.
fn varies(model: &Model, q: usize) -> bool {
    let quantity = &model.quantities[q];
    match quantity.location {
        Location::State(_) => true,
        Location::Assigned(_) => quantity.kind != QuantityKind::Stoichiometry,
        Location::Param(_) => model.events.iter().any(|e| e.assignments.iter().any(|(a, _)| *a == q)),
    }
}
