//! Nets as formulas of a model, and their weights as parameters of a problem.

use std::collections::HashMap;

use chreode_core::sub_seed;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::config::{Gate, HybridConfig, MOST_WEIGHT, NetInput, RateNet, Target};
use super::error::HybridError;
use super::request::{NetOptions, Part};
use crate::math::{Expr, Form, Op, Trig};
use crate::model::{Derivative, Model, QuantityKind, Symbol};
use crate::petab::{ParameterRow, Prior, Scale};

/// The size of what a net says is between one over this and this times its unit.
const MOST_SIZE: f64 = 1e4;
/// Fits start with sizes between one over this and this.
const FIRST_SIZE: f64 = 30.0;
/// Second moment of tanh of a standard normal number, to the power -1/2 (as in `chreode-model`).
const GAIN: f64 = 1.593;

type Formula = Expr<Symbol>;

fn apply(op: Op, operands: impl IntoIterator<Item = Formula>) -> Formula {
    Expr::Apply(op, operands.into_iter().collect())
}

fn leaf(q: usize) -> Formula {
    Expr::Leaf(Symbol::Quantity(q))
}

/// `ln(1 + exp(x))`.
fn softplus(x: Formula) -> Formula {
    apply(Op::Ln, [apply(Op::Add, [Expr::Number(1.0), apply(Op::Exp, [x])])])
}

/// A parameter of a net.
struct Weight {
    id: String,
    scale: Scale,
    prior: Option<Prior>,
    start: Prior,
    bounds: (f64, f64),
    nominal: f64,
}

impl HybridConfig {
    /// Puts the nets into a model, and their weights into its parameter table.
    pub(crate) fn apply(
        &self,
        options: &NetOptions,
        model: &mut Model,
        rows: &mut Vec<ParameterRow>,
        mapped: &mut HashMap<usize, usize>,
    ) -> Result<(), HybridError> {
        let found: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        if found != self.parameters {
            return Err(HybridError::Parameters { expected: self.parameters.clone(), found });
        }
        if !(options.weight_sd > 0.0 && options.weight_sd.is_finite()) {
            return Err(HybridError::WeightSd { found: options.weight_sd });
        }
        for (i, net) in self.nets.iter().enumerate() {
            net.check()?;
            if self.nets[..i].iter().any(|x| x.name() == net.name()) {
                return Err(HybridError::Twice { id: net.name().to_owned() });
            }
            let mut add = |weight: Weight| {
                let q = model.add(weight.id.clone(), weight.nominal, None);
                mapped.insert(q, rows.len());
                let Weight { id, scale, prior, start, bounds, nominal } = weight;
                rows.push(ParameterRow {
                    id,
                    scale,
                    bounds,
                    nominal,
                    estimate: true,
                    prior,
                    start: Some(start),
                });
                q
            };
            let weights: Vec<usize> = net.weights(options).into_iter().map(&mut add).collect();
            let size = net.has_size().then(|| add(net.size()));
            let outputs = net.outputs_in(model, &weights)?;
            net.put(model, size, outputs)?;
        }
        model.reorder().map_err(|source| HybridError::Model(Box::new(source)))
    }
}

impl RateNet {
    /// All weights, in the order of the layout.
    fn weights(&self, options: &NetOptions) -> Vec<Weight> {
        let mut rng = Pcg64::seed_from_u64(sub_seed(options.seed, &format!("weights.{}", self.name())));
        let mut weights = Vec::new();
        let shape = self.shape();
        let last = shape.layout().entries().len() - 1;
        for (k, entry) in shape.layout().entries().iter().enumerate() {
            let is_bias = entry.shape.len() == 1;
            let fan_in = if k < 2 { self.inputs.len() } else { self.hidden[k / 2 - 1] } as f64;
            for i in 0..entry.len() {
                // Where a fit starts: outputs of about one, other than at the start of a net that is trained by small steps.
                let (mean, sd) = match (k == last, is_bias) {
                    (true, _) => (self.first_bias(), 0.5),
                    (false, true) => (0.0, fan_in.sqrt().recip()),
                    (false, false) => (0.0, if k < 2 { 1.0 } else { GAIN } / fan_in.sqrt()),
                };
                // A constant rate is simple: the output's own bias is free, about where it starts.
                let prior =
                    if k == last { Prior::normal(mean, 3.0) } else { Prior::normal(0.0, options.weight_sd) };
                weights.push(Weight {
                    id: format!("net.{}.{}.{i}", self.name(), entry.name),
                    scale: Scale::Lin,
                    prior: Some(prior),
                    start: Prior::normal(mean, sd),
                    bounds: (-MOST_WEIGHT, MOST_WEIGHT),
                    nominal: mean + 3_f64.sqrt() * sd * rng.random_range(-1.0..1.0),
                });
            }
        }
        weights
    }

    fn size(&self) -> Weight {
        Weight {
            id: format!("net.{}.size", self.name()),
            scale: Scale::Log10,
            prior: None,
            start: Prior::uniform_scaled(-FIRST_SIZE.log10(), FIRST_SIZE.log10()),
            bounds: (MOST_SIZE.recip(), MOST_SIZE),
            nominal: 1.0,
        }
    }

    /// The net's units as quantities that the model assigns; those of its output.
    fn outputs_in(&self, model: &mut Model, weights: &[usize]) -> Result<Vec<usize>, HybridError> {
        let mut layer: Vec<usize> = Vec::new();
        for input in &self.inputs {
            let x = apply(Op::Div, [self.symbol(model, input)?, Expr::Number(input.scale)]);
            let x = if input.positive {
                apply(Op::Ln, [apply(Op::Add, [Expr::Number(1.0), x])])
            } else {
                apply(Op::Inverse(Trig::Sin, Form::Hyperbolic), [x])
            };
            layer.push(model.add(format!("net.{}.input.{}", self.name(), input.id), f64::NAN, Some(x)));
        }
        let shape = self.shape();
        let entries = shape.layout().entries();
        let n_layers = entries.len() / 2;
        for (l, pair) in entries.chunks_exact(2).enumerate() {
            let (w, b) = (&weights[pair[0].range()], &weights[pair[1].range()]);
            let mut next = Vec::with_capacity(b.len());
            for (o, &b) in b.iter().enumerate() {
                let row = &w[o * layer.len()..(o + 1) * layer.len()];
                let terms = row.iter().zip(&layer).map(|(&w, &x)| apply(Op::Mul, [leaf(w), leaf(x)]));
                let z = apply(Op::Add, terms.chain([leaf(b)]));
                let z = if l + 1 < n_layers { apply(Op::Trig(Trig::Tan, Form::Hyperbolic), [z]) } else { z };
                next.push(model.add(format!("net.{}.unit.{l}.{o}", self.name()), f64::NAN, Some(z)));
            }
            layer = next;
        }
        Ok(layer)
    }

    fn symbol(&self, model: &Model, input: &NetInput) -> Result<Formula, HybridError> {
        if input.id == "time" {
            return Ok(Expr::Leaf(Symbol::Time));
        }
        let unknown = || HybridError::Input { id: input.id.clone(), net: self.name().to_owned() };
        let q = *model.by_id.get(&input.id).ok_or_else(unknown)?;
        // A file that was written for another model.
        if input.positive && model.quantities[q].kind != QuantityKind::Species {
            return Err(unknown());
        }
        Ok(leaf(q))
    }

    /// Puts what the outputs say where they say it.
    fn put(&self, model: &mut Model, size: Option<usize>, outputs: Vec<usize>) -> Result<(), HybridError> {
        match &self.target {
            Target::Field { states, units } => {
                let found: Vec<String> = model.state_ids().map(str::to_owned).collect();
                if found != *states || units.len() != states.len() {
                    return Err(HybridError::States { expected: states.clone(), found });
                }
                model.conserved_before = Some(model.conserved());
                for ((derivative, &unit), q) in model.derivatives.iter_mut().zip(units).zip(outputs) {
                    let size = size.map(leaf);
                    *derivative = Derivative::Rule(apply(
                        Op::Mul,
                        [Expr::Number(unit), leaf(q)].into_iter().chain(size),
                    ));
                }
            }
            Target::Rate { reaction, part, consumed, produced, unit } => {
                let r = model.reaction(reaction)?;
                let one_way = |model: &Model, q: usize, gates: &[Gate]| -> Result<Formula, HybridError> {
                    let mut factors = vec![Expr::Number(*unit), softplus(leaf(q))];
                    factors.extend(size.map(leaf));
                    for gate in gates {
                        let unknown = || HybridError::Input { id: gate.id.clone(), net: reaction.clone() };
                        let x = leaf(*model.by_id.get(&gate.id).ok_or_else(unknown)?);
                        factors
                            .push(apply(Op::Div, [x.clone(), apply(Op::Add, [x, Expr::Number(gate.scale)])]));
                    }
                    Ok(apply(Op::Mul, factors))
                };
                let law = model.laws[r].rate.clone();
                // What is added may run backwards.
                model.laws[r].reversible |= *part == Part::Add;
                model.laws[r].rate = match part {
                    Part::Replace => one_way(model, outputs[0], consumed)?,
                    Part::Correct => {
                        // One where the net says zero.
                        let shift = Expr::Number(1_f64.exp_m1().ln());
                        apply(Op::Mul, [law, softplus(apply(Op::Add, [leaf(outputs[0]), shift]))])
                    }
                    Part::Add => {
                        let (forward, back) =
                            (one_way(model, outputs[0], consumed)?, one_way(model, outputs[1], produced)?);
                        apply(Op::Add, [law, apply(Op::Sub, [forward, back])])
                    }
                };
            }
        }
        Ok(())
    }
}

impl Model {
    /// The place of a reaction.
    pub(super) fn reaction(&self, id: &str) -> Result<usize, HybridError> {
        self.laws.iter().position(|law| law.id == id).ok_or_else(|| HybridError::Reaction {
            id: id.to_owned(),
            known: self.laws.iter().map(|law| law.id.clone()).collect(),
        })
    }
}
