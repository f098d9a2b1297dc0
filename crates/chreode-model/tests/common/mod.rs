//! Models of every kind, random numbers and naive formulas for the tests.
#![allow(dead_code, reason = "each test file uses a part")]

use chreode_core::sub_seed;
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, DriftKind, GrowthConfig, ModelConfig};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Every legal pair of drift and diffusion, of the state alone and of time, with growth, unequal scales and a time scale that is not one.
pub(crate) fn all_kinds(d: usize, activation: Activation) -> Vec<ModelConfig> {
    let diagonal = DiffusionConfig::Diagonal { hidden: vec![5], activation, initial_level: 0.4 };
    let constant = DiffusionConfig::Constant { initial_level: 0.3 };
    let langevin = |kappa| DiffusionConfig::Langevin { initial_level: 0.5, kappa, floor: 0.02 };
    let mut configs = Vec::new();
    for (kind, hidden) in [
        (DriftKind::Mlp, vec![]),
        (DriftKind::Mlp, vec![7, 6, 5]),
        (DriftKind::Potential, vec![7]),
        (DriftKind::Potential, vec![6, 7, 5]),
        (DriftKind::Production, vec![6, 5]),
    ] {
        let mut noises = vec![diagonal.clone(), constant.clone()];
        if hidden.len() != 1 {
            noises.extend([
                DiffusionConfig::Scalar { hidden: vec![4], activation, initial_level: 0.4 },
                DiffusionConfig::LowRank { rank: 2, hidden: vec![5], activation, initial_level: 0.4 },
                DiffusionConfig::General { hidden: vec![5], activation, initial_level: 0.4 },
            ]);
        }
        if kind == DriftKind::Production {
            noises.extend([langevin(None), langevin(Some(vec![0.07; d]))]);
        }
        for diffusion in noises {
            let mut config = ModelConfig::new(
                (0..d).map(|i| 0.3 + 0.2 * i as f64).collect(),
                (0..d).map(|i| 0.5 + 0.3 * i as f64).collect(),
            );
            config.time_scale = 2.5;
            config.drift.kind = kind;
            config.drift.hidden.clone_from(&hidden);
            config.drift.activation = activation;
            config.diffusion = diffusion;
            config.growth = Some(GrowthConfig { hidden: vec![4], activation, max_rate: 1.5 });
            if kind != DriftKind::Potential {
                configs.push(ModelConfig { times: Some(vec![-1.0, 0.5, 2.0]), ..config.clone() });
            }
            configs.push(config);
        }
    }
    configs
}

/// Uniform numbers in `range`, the same for the same name.
pub(crate) fn uniform(name: &str, seed: u64, n: usize, range: std::ops::Range<f64>) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(sub_seed(seed, name));
    (0..n).map(|_| rng.random_range(range.clone())).collect()
}

/// An activation, written out.
pub(crate) fn phi(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Identity => z,
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Softplus => z.exp().ln_1p(),
        Activation::Silu => z / (1.0 + (-z).exp()),
        Activation::Quadratic => z * z,
        Activation::LeakyRelu => {
            if z > 0.0 {
                z
            } else {
                0.01 * z
            }
        }
    }
}
