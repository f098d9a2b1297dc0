//! The field of a stoichiometric hybrid, its pull-back, and chemical Langevin noise from the same reactions.
//!
//! With gates `G_i = x/(x + scale_i)` and `q` the softplus of the net's outputs, reaction `j` runs at
//! `r_j = k_j`, `u q Π_consumed G`, `k_j + u q Π_consumed G - u q' Π_produced G`, or `k_j q`; its activity `a_j` is the same with
//! moduli. So no reaction consumes what is not there, and `wᵀ S r` is zero for every conserved `w`, whatever the net says.

mod traits;

use std::ops::Range;

use chreode_core::{FieldError, ParamLayout, Real, sub_seed};
use chreode_linalg::Activation;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::config::{HybridConfig, RatePart};
use super::laws::{RateLaws, Rates};
use crate::init::inverse_softplus;
use crate::mlp::{Mlp, MlpShape, TILE};
use crate::standardise::constants;
use crate::{ConfigError, ModelError};

/// A reaction network with known and neural rates, `dx/dt = V⁻¹ S (r_known + r_θ)`, as a field and as a chemical Langevin equation.
///
/// Concentrations stay non-negative and conservation laws hold to rounding along any solution, whatever the parameters. `R`
/// computes the known rates: [`RateLaws`], or what the caller brings. Parameters: those of the known rates (`known.`), of the net
/// (`net.`), and `log_molecule` with noise.
///
/// # Shapes
/// States `[n, d]`; noise, [`NoiseKind::General`](chreode_core::NoiseKind::General) with one motion a reaction, `[n, d, reactions]`.
///
/// ```
/// use chreode_core::VectorField;
/// use chreode_model::{Hybrid, HybridConfig, RateLaw, RatePart};
/// // A binds B by mass action; how the complex falls apart is learned.
/// let mut config = HybridConfig::new(vec![1.0, 1.0, 0.5]);
/// let change = [(0, -1), (1, -1), (2, 1)];
/// config.push("bind", &change, RatePart::Known, Some(RateLaw::mass_action(2.0, &[(0, 1), (1, 1)])));
/// config.push("part", &change.map(|(i, by)| (i, -by)), RatePart::Neural, None);
/// assert_eq!(config.conservation_laws()?, [[1, -1, 0], [1, 0, 1]]); // A - B and A + AB
/// let mut hybrid = Hybrid::<f64>::from_laws(config)?;
/// let p = hybrid.init(1);
/// let mut dx = [0.0; 3];
/// hybrid.eval(0.0, &[1.0, 0.5, 0.0], &p, &mut dx)?;
/// assert_eq!(dx, [-1.0, -1.0, 1.0]); // without complex, nothing falls apart
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hybrid<T: Real, R = RateLaws<T>> {
    config: HybridConfig,
    known: R,
    net: Mlp<T>,
    layout: ParamLayout,
    known_range: Range<usize>,
    net_range: Range<usize>,
    molecule: Option<usize>,
    reactions: Vec<Reaction<T>>,
    inv_scale: Vec<T>,
    inv_volume: Vec<T>,
    /// Of the tile in hand: known rates, rates and activities, `[TILE, m]`; softplus of the outputs; gates, `[TILE, d]`.
    known_rates: Vec<T>,
    rates: Vec<T>,
    activity: Vec<T>,
    positive: Vec<T>,
    gates: Vec<T>,
    /// Adjoints of known rates, gates, rates and activities.
    known_bar: Vec<T>,
    gates_bar: Vec<T>,
    rates_bar: Vec<T>,
    activity_bar: Vec<T>,
    /// Of the Jacobian: the state in every row, its adjoints `[TILE, d]`, and those of the parameters, which nobody reads.
    rows: Vec<T>,
    rows_bar: Vec<T>,
    unread: Vec<T>,
}

#[derive(Debug, Clone)]
struct Reaction<T> {
    /// Species and stoichiometric coefficients.
    change: Vec<(usize, T)>,
    consumed: Vec<usize>,
    produced: Vec<usize>,
    part: RatePart,
    /// Its first output of the net.
    output: usize,
    /// Typical rate, and `ε` of the noise.
    unit: T,
    smoothing: T,
}

impl<T: Real> Hybrid<T> {
    /// The hybrid whose known rates are the laws of its configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field or reaction that is wrong, or has no rate.
    pub fn from_laws(config: HybridConfig) -> Result<Self, ConfigError> {
        let laws = RateLaws::new(&config)?;
        Self::new(config, laws)
    }

    /// Parameters before training: constants of the configuration, neural rates of half their typical size, corrections near one
    /// (or small, where they add).
    pub fn init(&self, seed: u64) -> Vec<T> {
        let mut p = self.init_net(seed);
        p[self.known_range.clone()].copy_from_slice(&self.known.init());
        p
    }
}

impl<T: Real, R: Rates<T>> Hybrid<T, R> {
    /// The hybrid of a network, with known rates from `known`; laws of the configuration are not read.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field or reaction that is wrong.
    pub fn new(config: HybridConfig, known: R) -> Result<Self, ConfigError> {
        config.validate()?;
        let (d, m) = (config.dim(), config.reactions.len());
        let mut outputs = 0;
        let mut reactions = Vec::with_capacity(m);
        for (j, reaction) in config.reactions.iter().enumerate() {
            let side = |sign: i64| {
                let species = reaction.change.iter().filter(move |c| c.1.signum() == sign);
                species.map(|c| c.0).collect::<Vec<usize>>()
            };
            let unit = config.unit(j);
            reactions.push(Reaction {
                change: reaction.change.iter().map(|&(i, by)| (i, T::c(by as f64))).collect(),
                consumed: side(-1),
                produced: side(1),
                part: reaction.part,
                output: outputs,
                unit: T::c(unit),
                smoothing: T::c(config.noise.map_or(0.0, |noise| noise.smoothing) * unit),
            });
            outputs += reaction.part.outputs();
        }
        let net = Mlp::new(MlpShape::new(d, &config.net.hidden, outputs, config.net.activation));
        let mut layout = ParamLayout::new();
        let known_range = layout.append("known", &known.layout());
        let net_range = if outputs == 0 {
            layout.len()..layout.len() // without neural rates there is no net
        } else {
            layout.append("net", net.shape().layout())
        };
        let molecule = config.noise.map(|_| layout.push("log_molecule", &[1]).start);
        let buffer = |width: usize| vec![T::ZERO; TILE * width];
        Ok(Self {
            known,
            layout,
            known_range,
            net_range,
            molecule,
            reactions,
            inv_scale: constants(config.scale.iter().map(|s| 1.0 / s)),
            inv_volume: constants(config.volumes().iter().map(|v| 1.0 / v)),
            known_rates: buffer(m),
            rates: buffer(m),
            activity: buffer(m),
            positive: buffer(outputs),
            gates: buffer(d),
            known_bar: buffer(m),
            gates_bar: buffer(d),
            rates_bar: buffer(m),
            activity_bar: buffer(m),
            rows: buffer(d),
            rows_bar: buffer(d),
            unread: Vec::new(),
            net,
            config,
        })
    }

    /// What the hybrid was built from.
    pub fn config(&self) -> &HybridConfig {
        &self.config
    }

    /// Names, shapes and offsets of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// The known rates.
    pub fn known(&self) -> &R {
        &self.known
    }

    /// Where the parameters of the known rates lie.
    pub fn known_range(&self) -> Range<usize> {
        self.known_range.clone()
    }

    /// Parameters before training, with zeros for those of the known rates.
    pub fn init_net(&self, seed: u64) -> Vec<T> {
        let mut p = vec![0.0; self.layout.len()];
        if !self.net_range.is_empty() {
            let shape = self.net.shape();
            let net = &mut p[self.net_range.clone()];
            shape.init(&mut Pcg64::seed_from_u64(sub_seed(seed, "weights.hybrid")), 0.1, net);
            let bias = net.len() - shape.outputs(); // the output bias ends the net
            for reaction in &self.reactions {
                let start = match reaction.part {
                    RatePart::Known => continue,
                    RatePart::Neural => inverse_softplus(0.5),
                    RatePart::Add => inverse_softplus(0.05),
                    RatePart::Multiply => inverse_softplus(1.0),
                };
                net[bias + reaction.output..][..reaction.part.outputs()].fill(start);
            }
        }
        if let (Some(at), Some(noise)) = (self.molecule, &self.config.noise) {
            p[at] = noise.molecule.ln();
        }
        p.into_iter().map(T::c).collect()
    }

    /// Sets `rates`, `[n, reactions]`, amount per time.
    ///
    /// # Errors
    /// [`ModelError::Length`]; [`ModelError::Field`] if a known rate is undefined.
    pub fn rates(&mut self, t: f64, y: &[T], p: &[T], rates: &mut [T]) -> Result<(), ModelError> {
        let (d, m) = (self.config.dim(), self.reactions.len());
        if !y.len().is_multiple_of(d) || rates.len() != y.len() / d * m {
            return Err(ModelError::Length { what: "rates", found: rates.len(), expected: y.len() / d * m });
        }
        if p.len() != self.layout.len() {
            return Err(ModelError::Length { what: "p", found: p.len(), expected: self.layout.len() });
        }
        for (y, rates) in y.chunks(TILE * d).zip(rates.chunks_mut(TILE * m)) {
            self.forward_tile(t, y.len() / d, y, p)?;
            rates.copy_from_slice(&self.rates[..rates.len()]);
        }
        Ok(())
    }

    /// Rates and activities of a tile.
    fn forward_tile(&mut self, t: f64, n: usize, y: &[T], p: &[T]) -> Result<(), FieldError> {
        let (d, m) = (self.config.dim(), self.reactions.len());
        self.known.rates(t, y, &p[self.known_range.clone()], &mut self.known_rates[..n * m])?;
        let outputs = self.net.shape().outputs();
        if outputs > 0 {
            for (row, x) in y.chunks_exact(d).zip(self.net.input(n).chunks_exact_mut(d)) {
                for i in 0..d {
                    x[i] = (T::ONE + row[i].max(T::ZERO) * self.inv_scale[i]).ln();
                }
            }
            self.net.forward_tile(n, &p[self.net_range.clone()]);
            Activation::Softplus.apply(self.net.output(n), &mut self.positive[..n * outputs]);
            for (row, gates) in y.chunks_exact(d).zip(self.gates.chunks_exact_mut(d)) {
                for i in 0..d {
                    let u = row[i].max(T::ZERO) * self.inv_scale[i];
                    gates[i] = u / (T::ONE + u);
                }
            }
        }
        for r in 0..n {
            let gates = &self.gates[r * d..(r + 1) * d];
            let q = &self.positive[r * outputs..(r + 1) * outputs];
            for (j, reaction) in self.reactions.iter().enumerate() {
                let known = self.known_rates[r * m + j];
                let one_way = |output: usize, species: &[usize]| {
                    species.iter().fold(reaction.unit * q[output], |product, &i| product * gates[i])
                };
                let (rate, activity) = match reaction.part {
                    RatePart::Known => (known, known.abs()),
                    RatePart::Neural => {
                        let rate = one_way(reaction.output, &reaction.consumed);
                        (rate, rate)
                    }
                    RatePart::Add => {
                        let forward = one_way(reaction.output, &reaction.consumed);
                        let backward = one_way(reaction.output + 1, &reaction.produced);
                        (known + (forward - backward), known.abs() + forward + backward)
                    }
                    RatePart::Multiply => {
                        let rate = known * q[reaction.output];
                        (rate, rate.abs())
                    }
                };
                self.rates[r * m + j] = rate;
                self.activity[r * m + j] = activity;
            }
        }
        Ok(())
    }

    /// Adds to the adjoints of states and parameters what comes from those of rates and activities, after `forward_tile`.
    fn backward_tile(
        &mut self,
        t: f64,
        n: usize,
        y: &[T],
        p: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (d, m) = (self.config.dim(), self.reactions.len());
        let outputs = self.net.shape().outputs();
        self.gates_bar[..n * d].fill(T::ZERO);
        for r in 0..n {
            let gates = &self.gates[r * d..(r + 1) * d];
            let gates_bar = &mut self.gates_bar[r * d..(r + 1) * d];
            let q = &self.positive[r * outputs..(r + 1) * outputs];
            let q_bar = &mut self.net.output_and_bar(n).1[r * outputs..(r + 1) * outputs];
            for (j, reaction) in self.reactions.iter().enumerate() {
                let known = self.known_rates[r * m + j];
                let (rate_bar, activity_bar) = (self.rates_bar[r * m + j], self.activity_bar[r * m + j]);
                let sign = if known < T::ZERO { -T::ONE } else { T::ONE };
                let mut one_way = |output: usize, species: &[usize], bar: T| {
                    let bar = bar * reaction.unit;
                    q_bar[output] = species.iter().fold(bar, |product, &i| product * gates[i]);
                    for &i in species {
                        let others = species.iter().filter(|&&k| k != i);
                        gates_bar[i] += others.fold(bar * q[output], |product, &k| product * gates[k]);
                    }
                };
                self.known_bar[r * m + j] = match reaction.part {
                    RatePart::Known => rate_bar + sign * activity_bar,
                    RatePart::Neural => {
                        one_way(reaction.output, &reaction.consumed, rate_bar + activity_bar);
                        T::ZERO
                    }
                    RatePart::Add => {
                        one_way(reaction.output, &reaction.consumed, rate_bar + activity_bar);
                        one_way(reaction.output + 1, &reaction.produced, activity_bar - rate_bar);
                        rate_bar + sign * activity_bar
                    }
                    RatePart::Multiply => {
                        let bar = rate_bar + sign * activity_bar;
                        q_bar[reaction.output] = bar * known;
                        bar * q[reaction.output]
                    }
                };
            }
        }
        let (known_p, known_bar) = (&p[self.known_range.clone()], &self.known_bar[..n * m]);
        let known_p_bar = &mut p_bar[self.known_range.clone()];
        self.known.rates_vjp(t, y, known_p, known_bar, y_bar, known_p_bar)?;
        if outputs == 0 {
            return Ok(());
        }
        let (out, out_bar) = self.net.output_and_bar(n);
        Activation::Softplus.backward(out, &self.positive[..n * outputs], out_bar);
        let x_bar = self.net.backward_tile(n, &p[self.net_range.clone()], &mut p_bar[self.net_range.clone()]);
        let rows = y.chunks_exact(d).zip(y_bar.chunks_exact_mut(d)).zip(x_bar.chunks_exact(d));
        for (((y, y_bar), x_bar), gates_bar) in rows.zip(self.gates_bar.chunks_exact(d)) {
            for i in 0..d {
                if y[i] >= T::ZERO {
                    let below = T::ONE / (T::ONE + y[i] * self.inv_scale[i]);
                    // ln(1 + u) has the derivative 1/(1 + u), the gate 1/(1 + u)².
                    y_bar[i] += self.inv_scale[i] * below * (x_bar[i] + gates_bar[i] * below);
                }
            }
        }
        Ok(())
    }

    /// Sets drift and diffusion where they are asked for.
    fn forward(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        mut f: Option<&mut [T]>,
        mut g: Option<&mut [T]>,
    ) -> Result<(), FieldError> {
        let (d, m) = (self.config.dim(), self.reactions.len());
        let size = self.molecule.map_or(T::ZERO, |at| (p[at] * T::c(0.5)).exp());
        for (tile, y) in y.chunks(TILE * d).enumerate() {
            let (n, first) = (y.len() / d, tile * TILE);
            self.forward_tile(t, n, y, p)?;
            if let Some(f) = f.as_deref_mut() {
                for (r, f) in f[first * d..(first + n) * d].chunks_exact_mut(d).enumerate() {
                    f.fill(T::ZERO);
                    for (reaction, &rate) in self.reactions.iter().zip(&self.rates[r * m..]) {
                        for &(i, by) in &reaction.change {
                            f[i] += by * rate;
                        }
                    }
                    for (f, &inv_volume) in f.iter_mut().zip(&self.inv_volume) {
                        *f *= inv_volume;
                    }
                }
            }
            if let Some(g) = g.as_deref_mut() {
                let g = &mut g[first * d * m..(first + n) * d * m];
                g.fill(T::ZERO);
                for (r, g) in g.chunks_exact_mut(d * m).enumerate() {
                    for (j, reaction) in self.reactions.iter().enumerate() {
                        let root = smooth_root(self.activity[r * m + j], reaction.smoothing).0 * size;
                        for &(i, by) in &reaction.change {
                            g[i * m + j] = by * root * self.inv_volume[i];
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// ADDS to `y_bar` and `p_bar` what comes from the adjoints that are given.
    fn backward(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f_bar: Option<&[T]>,
        g_bar: Option<&[T]>,
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (d, m) = (self.config.dim(), self.reactions.len());
        let size = self.molecule.map_or(T::ZERO, |at| (p[at] * T::c(0.5)).exp());
        for (tile, (y, y_bar)) in y.chunks(TILE * d).zip(y_bar.chunks_mut(TILE * d)).enumerate() {
            let (n, first) = (y.len() / d, tile * TILE);
            self.forward_tile(t, n, y, p)?;
            self.rates_bar[..n * m].fill(T::ZERO);
            self.activity_bar[..n * m].fill(T::ZERO);
            for r in 0..n {
                for (j, reaction) in self.reactions.iter().enumerate() {
                    if let Some(f_bar) = f_bar {
                        let f_bar = &f_bar[(first + r) * d..];
                        let change = reaction.change.iter();
                        let bar = change.map(|&(i, by)| by * self.inv_volume[i] * f_bar[i]).sum();
                        self.rates_bar[r * m + j] = bar;
                    }
                    if let (Some(g_bar), Some(molecule)) = (g_bar, self.molecule) {
                        let g_bar = &g_bar[(first + r) * d * m..];
                        let change = reaction.change.iter();
                        let bar: T = change.map(|&(i, by)| by * self.inv_volume[i] * g_bar[i * m + j]).sum();
                        let (root, slope) = smooth_root(self.activity[r * m + j], reaction.smoothing);
                        self.activity_bar[r * m + j] = bar * size * slope;
                        p_bar[molecule] += T::c(0.5) * bar * size * root;
                    }
                }
            }
            self.backward_tile(t, n, y, p, y_bar, p_bar)?;
        }
        Ok(())
    }

    fn check(&self, t: f64, y: &[T], p: &[T], f: usize, g: Option<usize>) -> Result<(), FieldError> {
        let (d, m) = (self.config.dim(), self.reactions.len());
        if !y.len().is_multiple_of(d) || f != y.len() || g.is_some_and(|g| g != y.len() * m) {
            return Err(FieldError::Fatal { t, what: "hybrid: a slice is not [n, d], or [n, d, reactions]" });
        }
        if p.len() != self.layout.len() {
            return Err(FieldError::Fatal { t, what: "hybrid: the parameters are not those of this model" });
        }
        Ok(())
    }
}

/// `a/(sqrt(a + ε) + sqrt(ε)) = sqrt(a + ε) - sqrt(ε)`, and its derivative; both zero without noise.
fn smooth_root<T: Real>(a: T, smoothing: T) -> (T, T) {
    let root = (a + smoothing).sqrt();
    let sum = root + smoothing.sqrt();
    if sum > T::ZERO { (a / sum, T::c(0.5) / root) } else { (T::ZERO, T::ZERO) }
}
