//! Networks that are polynomials: mass action, exactly, by `ab = ((a + b)² - (a - b)²) / 4`.
//!
//! Layer `l` of the net knows all products of up to `2^l` concentrations that are needed, as differences of squares; a product
//! that is complete earlier goes on by being multiplied with one. Concentrations are divided by a power of two near their
//! scale first, so that sums and differences are of one size.

use std::collections::BTreeMap;

use chreode_core::Real;
use chreode_linalg::Activation;

use crate::hybrid::{Factor, HybridConfig};
use crate::mlp::MlpShape;
use crate::{ConfigError, RatePart};

/// A product of concentrations: its species, sorted, with repetitions.
type Monomial = Vec<usize>;
/// A linear combination of the numbers that go into a layer, and a constant.
type Combination = (Vec<(usize, f64)>, f64);

/// The perceptron with quadratic activation that is the vector field of a mass-action network, and its parameters.
///
/// It agrees with the polynomial at every state, up to rounding of numbers of the size of `k Π scale^ν (1 + |x|/scale)^(2^layers)`:
/// the largest square in the net. One hidden layer for degree two, two for degrees three and four.
///
/// # Errors
/// [`ConfigError`] if the network is wrong, or a rate is not a constant times powers.
///
/// ```
/// use chreode_model::{HybridConfig, Mlp, RateLaw, RatePart, mass_action_net};
/// let mut network = HybridConfig::new(vec![1.0, 1.0]);
/// network.push("bind", &[(0, -2), (1, 1)], RatePart::Known, Some(RateLaw::mass_action(3.0, &[(0, 2)])));
/// let (shape, p) = mass_action_net::<f64>(&network)?;
/// let mut dx = [0.0; 2];
/// Mlp::new(shape).forward(&[0.5, 7.0], &p, &mut dx);
/// assert_eq!(dx, [-1.5, 0.75]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mass_action_net<T: Real>(network: &HybridConfig) -> Result<(MlpShape, Vec<T>), ConfigError> {
    network.validate()?;
    let d = network.dim();
    let scale: Vec<f64> = network.scale.iter().map(|s| s.log2().round().exp2()).collect();
    let mut terms: Vec<(Monomial, f64)> = Vec::new();
    for reaction in &network.reactions {
        let not = || ConfigError::NotMassAction { reaction: reaction.name.clone() };
        let law = reaction.law.as_ref().filter(|_| reaction.part == RatePart::Known).ok_or_else(not)?;
        let (mut monomial, mut k) = (Monomial::new(), law.constants[0]);
        for factor in &law.factors {
            let &Factor::Power { species, power } = factor else { return Err(not()) };
            for _ in 0..power {
                monomial.push(species);
                k *= scale[species];
            }
        }
        monomial.sort_unstable();
        terms.push((monomial, k));
    }
    let degree = terms.iter().map(|t| t.0.len()).max().unwrap_or(0);
    let depth = if degree < 2 { 0 } else { (degree as f64).log2().ceil() as usize };

    // Which products each level must know, from the last to the first.
    let mut needed: Vec<Vec<Monomial>> = vec![Vec::new(); depth + 1];
    needed[depth] = sorted(terms.iter().map(|t| t.0.clone()));
    for level in (0..depth).rev() {
        needed[level] =
            sorted(needed[level + 1].iter().flat_map(|m| <[Monomial; 2]>::from(halves(m, level))));
    }
    // What each is in the numbers that go into the next layer: first the inputs, then the squares of each level.
    let mut known: BTreeMap<Monomial, Combination> = BTreeMap::from([(Monomial::new(), (Vec::new(), 1.0))]);
    for (i, s) in scale.iter().enumerate() {
        known.insert(vec![i], (vec![(i, 1.0 / s)], 0.0));
    }
    let mut layers: Vec<Vec<Combination>> = Vec::new();
    for level in 0..depth {
        let mut units: Vec<Combination> = Vec::new();
        let mut next: BTreeMap<Monomial, Combination> =
            BTreeMap::from([(Monomial::new(), (Vec::new(), 1.0))]);
        for monomial in &needed[level + 1] {
            if monomial.is_empty() {
                continue;
            }
            let (a, b) = halves(monomial, level);
            let (of_a, of_b) = (&known[&a], &known[&b]);
            if a == b {
                next.insert(monomial.clone(), (vec![(units.len(), 1.0)], 0.0));
                units.push(of_a.clone());
            } else {
                next.insert(monomial.clone(), (vec![(units.len(), 0.25), (units.len() + 1, -0.25)], 0.0));
                units.push(sum(of_a, of_b, 1.0));
                units.push(sum(of_a, of_b, -1.0));
            }
        }
        layers.push(units);
        known = next;
    }
    let mut outputs: Vec<Combination> = vec![(Vec::new(), 0.0); d];
    let volumes = network.volumes();
    for ((monomial, k), reaction) in terms.iter().zip(&network.reactions) {
        for &(i, by) in &reaction.change {
            outputs[i] = sum(&outputs[i], &known[monomial], k * by as f64 / volumes[i]);
        }
    }
    layers.push(outputs);

    let hidden: Vec<usize> = layers[..depth].iter().map(Vec::len).collect();
    let shape = MlpShape::new(d, &hidden, d, Activation::Quadratic);
    let mut p = vec![0.0; shape.layout().len()];
    for (layer, units) in shape.layers.iter().zip(&layers) {
        let (w, inp) = (layer.w.start, layer.shape.inp);
        for (o, (inputs, constant)) in units.iter().enumerate() {
            for &(i, by) in inputs {
                p[w + o * inp + i] += by;
            }
            if let Some(b) = &layer.b {
                p[b.start + o] = *constant;
            }
        }
    }
    Ok((shape, p.into_iter().map(T::c).collect()))
}

/// Two products of at most `2^level` concentrations that make this one.
fn halves(monomial: &Monomial, level: usize) -> (Monomial, Monomial) {
    let most = 1 << level;
    if monomial.len() <= most {
        return (monomial.clone(), Monomial::new());
    }
    // Equal halves where powers allow it: one square instead of two.
    let (mut a, mut b) = (Monomial::new(), Monomial::new());
    for (at, &species) in monomial.iter().enumerate() {
        if at % 2 == 0 { a.push(species) } else { b.push(species) }
    }
    (a, b)
}

fn sorted(monomials: impl Iterator<Item = Monomial>) -> Vec<Monomial> {
    let mut all: Vec<Monomial> = monomials.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// `a + by · b`.
fn sum(a: &Combination, b: &Combination, by: f64) -> Combination {
    let mut inputs = a.0.clone();
    inputs.extend(b.0.iter().map(|&(i, x)| (i, by * x)));
    (inputs, a.1 + by * b.1)
}
