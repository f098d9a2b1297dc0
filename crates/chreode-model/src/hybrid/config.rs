//! What a reaction network with neural rates is made of, as it stands in a file.

use chreode_linalg::{Activation, left_null_space};
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::config::{POSITIVE, activation_name, elements, is_positive, positive, silu, small_hidden, widths};

/// A reaction network: what reactions change, and where their rates come from.
///
/// Every reaction runs one way; a reversible one is two (see [`HybridConfig::push_reversible`]), so that chemical noise sees both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridConfig {
    /// A typical concentration of each species, `[d]`: the nets see `ln(1 + x/scale)`, their rates fade out below it.
    pub scale: Vec<f64>,
    /// The time in which concentrations typically move by `scale`.
    #[serde(default = "one")]
    pub time_scale: f64,
    /// Volume of each species' compartment, `[d]`; all one if it is empty. Rates are amounts (concentration times volume) per time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<f64>,
    /// The reactions.
    pub reactions: Vec<ReactionConfig>,
    /// The net that gives all neural rates.
    #[serde(default)]
    pub net: NetConfig,
    /// Chemical Langevin noise; without it the noise is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<ChemicalNoise>,
}

/// Hidden layers of a net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Their activation.
    #[serde(with = "activation_name")]
    pub activation: Activation,
}

impl Default for NetConfig {
    /// Two hidden layers of 32, SiLU.
    fn default() -> Self {
        Self { hidden: small_hidden(), activation: silu() }
    }
}

/// One reaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReactionConfig {
    /// Its name, which no other reaction has.
    pub name: String,
    /// Column of the stoichiometric matrix: species and net change, negative where the reaction consumes.
    pub change: Vec<(usize, i64)>,
    /// What the net has to do with its rate.
    #[serde(default)]
    pub part: RatePart,
    /// The known rate law; none if the net alone gives the rate, or if the caller computes known rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<RateLaw>,
}

/// What the net has to do with the rate of a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatePart {
    /// Nothing: `r = k(x)`.
    #[default]
    Known,
    /// It replaces the rate: `r = u softplus(z) Π x/(x + scale)` over the species that are consumed.
    Neural,
    /// It adds to the rate: `r = k(x) + u softplus(z) Π_consumed x/(x + scale) - u softplus(z') Π_produced x/(x + scale)`.
    Add,
    /// It multiplies the rate by a positive number that starts at about one: `r = k(x) softplus(z + ln(e - 1))`.
    Multiply,
}

impl RatePart {
    /// Outputs of the net that the reaction takes.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Known => 0,
            Self::Neural | Self::Multiply => 1,
            Self::Add => 2,
        }
    }
}

/// A rate law: a constant times a product of factors, zero where a concentration is not positive that a vanishing factor names.
///
/// Constants are positive and stored as logarithms. Their order: the rate constant, then those of each factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLaw {
    /// The constants before fitting.
    pub constants: Vec<f64>,
    /// The factors.
    pub factors: Vec<Factor>,
}

/// One factor of a rate law, a function of one species.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// `x^power`, mass action.
    Power {
        /// The species.
        species: usize,
        /// The stoichiometric power, at least one.
        power: u32,
    },
    /// `x / (K + x)`, with the constant `K`: Michaelis-Menten.
    Saturation {
        /// The species.
        species: usize,
    },
    /// `x^n / (K^n + x^n)`, with the constants `K` and `n`.
    Hill {
        /// The species.
        species: usize,
    },
    /// `K^n / (K^n + x^n)`, with the constants `K` and `n`; it does not vanish with its species.
    Repression {
        /// The species.
        species: usize,
    },
}

impl Factor {
    /// The species that it depends on.
    pub fn species(self) -> usize {
        match self {
            Self::Power { species, .. }
            | Self::Saturation { species }
            | Self::Hill { species }
            | Self::Repression { species } => species,
        }
    }

    /// Number of its constants.
    pub fn constants(self) -> usize {
        match self {
            Self::Power { .. } => 0,
            Self::Saturation { .. } => 1,
            Self::Hill { .. } | Self::Repression { .. } => 2,
        }
    }
}

impl RateLaw {
    /// `k Π x^power` over species and powers.
    pub fn mass_action(k: f64, reactants: &[(usize, u32)]) -> Self {
        let factors = reactants.iter().map(|&(species, power)| Factor::Power { species, power });
        Self { constants: vec![k], factors: factors.collect() }
    }

    /// `vmax x / (km + x)`; with an enzyme, `vmax` is the turnover and its concentration multiplies the rate.
    pub fn michaelis_menten(vmax: f64, km: f64, substrate: usize, enzyme: Option<usize>) -> Self {
        let mut factors = vec![Factor::Saturation { species: substrate }];
        factors.extend(enzyme.map(|species| Factor::Power { species, power: 1 }));
        Self { constants: vec![vmax, km], factors }
    }

    /// `vmax x^n / (k^n + x^n)`.
    pub fn hill(vmax: f64, k: f64, n: f64, species: usize) -> Self {
        Self { constants: vec![vmax, k, n], factors: vec![Factor::Hill { species }] }
    }

    /// `vmax k^n / (k^n + x^n)`.
    pub fn repression(vmax: f64, k: f64, n: f64, species: usize) -> Self {
        Self { constants: vec![vmax, k, n], factors: vec![Factor::Repression { species }] }
    }

    fn vanishes_without(&self, species: usize) -> bool {
        self.factors.iter().any(|f| f.species() == species && !matches!(f, Factor::Repression { .. }))
    }
}

/// Chemical Langevin noise: reaction `j` has a Brownian motion of its own, `g_ij = S_ij/V_i sqrt(s a_j)`, where `a_j` is the
/// sum of what runs forward and backward in it, and `s` is learned.
///
/// The square root is `a/(sqrt(a + ε) + sqrt(ε))`: zero at zero, and differentiable there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChemicalNoise {
    /// `s` before training: amount that one molecule is.
    pub molecule: f64,
    /// `ε` in units of the reaction's typical rate.
    #[serde(default = "thousandth")]
    pub smoothing: f64,
}

impl HybridConfig {
    /// Species of these typical concentrations, and no reaction yet.
    pub fn new(scale: Vec<f64>) -> Self {
        Self {
            scale,
            time_scale: 1.0,
            volumes: Vec::new(),
            reactions: Vec::new(),
            net: NetConfig::default(),
            noise: None,
        }
    }

    /// Number of species `d`.
    pub fn dim(&self) -> usize {
        self.scale.len()
    }

    /// Adds a reaction.
    pub fn push(&mut self, name: &str, change: &[(usize, i64)], part: RatePart, law: Option<RateLaw>) {
        self.reactions.push(ReactionConfig { name: name.to_owned(), change: change.to_vec(), part, law });
    }

    /// Adds a reaction and its reverse, `NAME_reverse`, by mass action or other laws.
    pub fn push_reversible(
        &mut self,
        name: &str,
        change: &[(usize, i64)],
        part: RatePart,
        forward: Option<RateLaw>,
        reverse: Option<RateLaw>,
    ) {
        self.push(name, change, part, forward);
        let back: Vec<_> = change.iter().map(|&(species, by)| (species, -by)).collect();
        self.push(&format!("{name}_reverse"), &back, part, reverse);
    }

    /// The stoichiometric matrix `[species, reactions]`, row-major.
    pub fn stoichiometry(&self) -> Vec<i64> {
        let m = self.reactions.len();
        let mut matrix = vec![0; self.dim() * m];
        for (j, reaction) in self.reactions.iter().enumerate() {
            for &(species, by) in &reaction.change {
                if let Some(entry) = matrix.get_mut(species * m + j) {
                    *entry += by;
                }
            }
        }
        matrix
    }

    /// All independent conservation laws: integer weights `w`, `[d]` each, of which `Σ w_i V_i x_i` never changes.
    ///
    /// # Errors
    /// [`ConfigError::Conservation`] if the integers overflow.
    pub fn conservation_laws(&self) -> Result<Vec<Vec<i64>>, ConfigError> {
        left_null_space(&self.stoichiometry(), self.dim(), self.reactions.len())
            .map_err(|source| ConfigError::Conservation { source })
    }

    /// The volumes, `[d]`.
    pub fn volumes(&self) -> Vec<f64> {
        if self.volumes.is_empty() { vec![1.0; self.dim()] } else { self.volumes.clone() }
    }

    /// Amount per time at which reaction `j` typically runs.
    pub(super) fn unit(&self, j: usize) -> f64 {
        let volumes = self.volumes();
        let change = self.reactions[j].change.iter();
        let least = change.map(|&(i, by)| self.scale[i] * volumes[i] / by.unsigned_abs() as f64);
        least.fold(f64::INFINITY, f64::min) / self.time_scale
    }

    /// Checks all but whether known laws are there, which a caller may bring.
    ///
    /// # Errors
    /// [`ConfigError`], naming the first field or reaction that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let d = self.dim();
        if d == 0 {
            return Err(ConfigError::NoCoordinates);
        }
        elements("scale", &self.scale, d, is_positive, POSITIVE)?;
        positive("time_scale", self.time_scale)?;
        elements("volumes", &self.volumes(), d, is_positive, POSITIVE)?;
        widths("net.hidden", &self.net.hidden)?;
        if let Some(noise) = &self.noise {
            positive("noise.molecule", noise.molecule)?;
            positive("noise.smoothing", noise.smoothing)?;
        }
        if self.reactions.is_empty() {
            return Err(ConfigError::NoReactions);
        }
        for (j, reaction) in self.reactions.iter().enumerate() {
            let name = || reaction.name.clone();
            if self.reactions[..j].iter().any(|r| r.name == reaction.name) {
                return Err(ConfigError::ReactionTwice { reaction: name() });
            }
            if reaction.change.is_empty() {
                return Err(ConfigError::NoChange { reaction: name() });
            }
            for (at, &(species, by)) in reaction.change.iter().enumerate() {
                if species >= d {
                    return Err(ConfigError::Species { reaction: name(), species, d });
                }
                if by == 0 || reaction.change[..at].iter().any(|c| c.0 == species) {
                    return Err(ConfigError::Change { reaction: name(), species });
                }
            }
            let Some(law) = &reaction.law else { continue };
            let expected = 1 + law.factors.iter().map(|f| f.constants()).sum::<usize>();
            if law.constants.len() != expected || !law.constants.iter().all(|&k| is_positive(k)) {
                return Err(ConfigError::Constants { reaction: name(), expected });
            }
            for factor in &law.factors {
                if factor.species() >= d {
                    return Err(ConfigError::Species { reaction: name(), species: factor.species(), d });
                }
                if matches!(factor, Factor::Power { power: 0, .. }) {
                    return Err(ConfigError::PowerZero { reaction: name() });
                }
            }
            for &(species, by) in &reaction.change {
                if by < 0 && !law.vanishes_without(species) {
                    return Err(ConfigError::RateDoesNotVanish { reaction: name(), species });
                }
            }
        }
        Ok(())
    }
}

fn one() -> f64 {
    1.0
}

fn thousandth() -> f64 {
    1e-3
}
