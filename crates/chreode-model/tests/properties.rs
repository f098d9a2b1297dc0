//! What holds for any state and any parameters: signs, bounds, independence of rows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use chreode_core::{Diffusion, Growth, NoiseKind, VectorField};
use chreode_linalg::Activation;
use chreode_model::{ConfigError, DiffusionConfig, DriftKind, ModelConfig, ModelError, NeuralSde};
use common::{all_kinds, uniform};
use proptest::prelude::*;

fn production(d: usize) -> ModelConfig {
    let mut config = ModelConfig::new(vec![0.4; d], vec![0.3; d]);
    config.drift.kind = DriftKind::Production;
    config.drift.hidden = vec![8];
    config.diffusion = DiffusionConfig::Langevin { initial_level: 0.5, kappa: None, floor: 0.01 };
    config
}

proptest! {
    #[test]
    fn production_never_leaves_the_positive_orthant(seed: u64, mut y in proptest::collection::vec(-0.5_f64..4.0, 4), i in 0_usize..4) {
        let mut sde = NeuralSde::<f64>::new(production(4)).unwrap();
        let mut p = sde.init(seed);
        p.iter_mut().zip(uniform("shake", seed, 1000, -2.0..2.0)).for_each(|(p, e)| *p += e);
        y[i] = 0.0;
        let (mut f, mut g) = (vec![0.0; 4], vec![0.0; 4]);
        sde.drift_and_diffusion(0.0, &y, &p, &mut f, &mut g).unwrap();
        prop_assert!(f[i] >= 0.0);
        // At zero only the floor is left: 0.01 · 0.3.
        prop_assert!((g[i] - 0.003).abs() < 1e-12, "{}", g[i]);
        prop_assert!(g.iter().all(|&g| g >= 0.003 - 1e-12));
    }

    #[test]
    fn diffusions_are_positive_and_growth_bounded(seed: u64, y in proptest::collection::vec(-3.0_f64..3.0, 6)) {
        for config in all_kinds(3, Activation::Silu) {
            let mut sde = NeuralSde::<f64>::new(config).unwrap();
            let mut p = sde.init(seed);
            p.iter_mut().zip(uniform("shake", seed, 10_000, -1.0..1.0)).for_each(|(p, e)| *p += e);
            let kind = sde.noise_kind();
            let (mut g, mut size, mut rate) = (vec![0.0; 2 * kind.values(3)], vec![0.0; 6], vec![0.0; 2]);
            sde.diffusion(0.0, &y, &p, &mut g).unwrap();
            kind.sizes(3, &g, &mut size);
            prop_assert!(size.iter().all(|&g| g > 0.0 && g.is_finite()));
            // Values of any sign are those of motions that all coordinates share.
            let signed = matches!(kind, NoiseKind::Scalar | NoiseKind::General { .. });
            prop_assert!(signed || g == size);
            sde.growth(0.0, &y, &p, &mut rate).unwrap();
            prop_assert!(rate.iter().all(|r| r.abs() <= 1.5 / 2.5));
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_batch(n in 1_usize..200, pick in 0_usize..200, wide: bool, seed: u64) {
        let r = pick % n;
        for mut config in all_kinds(3, Activation::Silu) {
            if wide {
                config.drift.hidden.iter_mut().for_each(|w| *w += 60);
            }
            let mut sde = NeuralSde::<f32>::new(config).unwrap();
            let p = sde.init(seed);
            let y: Vec<f32> = uniform("y", seed, 3 * n, 0.0..2.0).into_iter().map(|x| x as f32).collect();
            let values = sde.noise_kind().values(3);
            let (mut f, mut g, mut rate) = (vec![0.0; 3 * n], vec![0.0; values * n], vec![0.0; n]);
            sde.drift_and_diffusion(0.0, &y, &p, &mut f, &mut g).unwrap();
            sde.growth(0.0, &y, &p, &mut rate).unwrap();
            let (mut f1, mut g1, mut rate1) = ([0.0; 3], vec![0.0; values], [0.0]);
            let row = 3 * r..3 * r + 3;
            sde.drift_and_diffusion(0.0, &y[row.clone()], &p, &mut f1, &mut g1).unwrap();
            sde.growth(0.0, &y[row.clone()], &p, &mut rate1).unwrap();
            let g = &g[values * r..values * (r + 1)];
            prop_assert_eq!((&f[row], g, rate[r]), (&f1[..], &g1[..], rate1[0]));
        }
    }
}

#[test]
fn models_start_at_rest_with_noise_of_the_chosen_size() {
    for config in all_kinds(3, Activation::Silu) {
        let mut sde = NeuralSde::<f64>::new(config.clone()).unwrap();
        let p = sde.init(3);
        assert_eq!(p.len(), sde.n_params());
        let kind = sde.noise_kind();
        let (mut f, mut all, mut g) = ([0.0; 3], vec![0.0; kind.values(3)], [0.0; 3]);
        sde.drift_and_diffusion(0.0, &config.shift, &p, &mut f, &mut all).unwrap();
        kind.sizes(3, &all, &mut g);
        for i in 0..3 {
            let speed = f[i].abs() * config.time_scale / config.scale[i];
            assert!(speed < 0.5, "{speed}: {config:?}");
            let level = g[i] * config.time_scale.sqrt() / config.scale[i];
            assert!(level > 0.15 && level < 0.6, "{level}: {config:?}");
        }
        assert_ne!(p, sde.init(4));
        let single = NeuralSde::<f32>::new(config).unwrap().init(3);
        assert!(p.iter().zip(&single).all(|(&a, &b)| a as f32 == b));
    }
}

#[test]
fn names_are_those_of_pytorch() {
    let mut config = production(2);
    config.growth = Some(chreode_model::GrowthConfig::default());
    let sde = NeuralSde::<f32>::new(config).unwrap();
    let names: Vec<_> = sde.layout().entries().iter().map(|e| (e.name.as_str(), e.shape.clone())).collect();
    assert_eq!(
        names[..8],
        [
            ("drift.net.layers.0.weight", vec![8, 2]),
            ("drift.net.layers.0.bias", vec![8]),
            ("drift.net.layers.1.weight", vec![2, 8]),
            ("drift.net.layers.1.bias", vec![2]),
            ("drift.log_production", vec![2]),
            ("drift.log_decay", vec![2]),
            ("diffusion.log_scale", vec![2]),
            ("growth.layers.0.weight", vec![32, 2]),
        ]
    );
}

#[test]
fn forcing_adds_to_the_drift_alone() {
    let mut sde = NeuralSde::<f64>::new(production(2)).unwrap();
    let p = sde.init(0);
    let y = [0.5, 0.6, 0.1, 0.0];
    let (mut f, mut g, mut f2, mut g2) = ([0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]);
    sde.drift_and_diffusion(0.0, &y, &p, &mut f, &mut g).unwrap();
    let decay = sde.decay_rates(&p).unwrap();
    assert_eq!(decay, [1.0, 1.0]);
    sde.set_forcing(Some(vec![0.0, 0.2 * decay[1]])).unwrap();
    sde.drift_and_diffusion(0.0, &y, &p, &mut f2, &mut g2).unwrap();
    assert_eq!(f2, [f[0], f[1] + 0.2, f[2], f[3] + 0.2]);
    assert_eq!(g, g2);
    sde.set_forcing(None).unwrap();
    sde.eval(0.0, &y, &p, &mut f2).unwrap();
    assert_eq!(f, f2);
    let wrong = sde.set_forcing(Some(vec![1.0]));
    assert_eq!(wrong, Err(ModelError::Length { what: "forcing", found: 1, expected: 2 }));
}

/// Held at the ends, smooth within a gap, free to jump between two; a state alone has one value where nothing is of time.
#[test]
fn fields_of_time() {
    let mut config = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
    config.drift.hidden = vec![16];
    config.growth = Some(chreode_model::GrowthConfig::default());
    config.times = Some(vec![2.0, 4.0, 6.0]);
    let mut sde = NeuralSde::<f64>::new(config.clone()).unwrap();
    let p: Vec<f64> = sde.init(3).iter().map(|v| 5.0 * v).collect();
    let mut at = |t: f64| {
        let (mut f, mut g, mut rate) = ([0.0; 2], [0.0; 2], [0.0]);
        sde.drift_and_diffusion(t, &[0.3, -0.2], &p, &mut f, &mut g).unwrap();
        sde.growth(t, &[0.3, -0.2], &p, &mut rate).unwrap();
        ([f[0], f[1], rate[0]], g)
    };
    let apart = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(1.0, f64::min);
    assert_eq!(at(-3.0), at(2.0));
    assert_eq!(at(6.0), at(9.0));
    assert!(apart(at(2.0).0, at(3.0).0) > 1e-3 && apart(at(3.0).0, at(5.0).0) > 1e-3);
    let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(near(at(3.999_999).0, at(3.999_998).0) && near(at(5.999_999).0, at(6.0).0));
    // Steps that sum up to the end of a gap but for a rounding have reached it.
    assert!(apart(at(3.9999).0, at(4.0).0) > 1e-2 && near(at(4.0 - 1e-12).0, at(4.0).0));
    assert_eq!(at(2.0).1, at(5.0).1, "the noise is of the state alone");
    config.times = None;
    let (mut sde, mut early, mut late) = (NeuralSde::<f64>::new(config).unwrap(), [0.0; 2], [0.0; 2]);
    let p = sde.init(3);
    sde.eval(2.0, &[0.3, -0.2], &p, &mut early).unwrap();
    sde.eval(5.0, &[0.3, -0.2], &p, &mut late).unwrap();
    assert_eq!(early, late);
}

#[test]
fn calls_that_do_not_fit_are_errors() {
    let mut sde = NeuralSde::<f64>::new(ModelConfig::new(vec![0.0; 2], vec![1.0; 2])).unwrap();
    assert_eq!(sde.noise_kind(), NoiseKind::Diagonal);
    let p = sde.init(0);
    assert!(sde.eval(0.0, &[0.0; 3], &p, &mut [0.0; 3]).is_err());
    assert!(sde.eval(0.0, &[0.0; 2], &p, &mut [0.0; 4]).is_err());
    assert!(sde.eval(0.0, &[0.0; 2], &p[1..], &mut [0.0; 2]).is_err());
    assert_eq!(sde.decay_rates(&p), Err(ModelError::NoDecay { drift: DriftKind::Mlp }));
    assert_eq!(
        sde.potential(&[0.0; 2], &p, &mut [0.0]),
        Err(ModelError::NoPotential { drift: DriftKind::Mlp })
    );
    let mut rate = [7.0];
    sde.growth(0.0, &[0.0; 2], &p, &mut rate).unwrap();
    assert_eq!(rate, [0.0], "without a net nothing grows");
}

#[test]
fn configurations_are_checked_field_by_field() {
    let good = production(2);
    assert_eq!(good.validate(), Ok(()));
    let message = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = good.clone();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(message(&|c| c.scale = vec![1.0]), "`scale` has 1 numbers, but the state has 2 coordinates");
    assert_eq!(message(&|c| c.scale[1] = 0.0), "`scale[1]` is 0, but must be finite and above zero");
    assert_eq!(
        message(&|c| c.shift[0] = -1.0),
        "`shift[0]` is -1, but must be finite and not negative with a production drift"
    );
    assert_eq!(
        message(&|c| c.time_scale = f64::NAN),
        "`time_scale` is NaN, but must be finite and above zero"
    );
    assert_eq!(
        message(&|c| c.drift.hidden = vec![3, 0]),
        "`drift.hidden[1]` is 0, but a hidden layer has 1 to 65536 units"
    );
    assert_eq!(
        message(&|c| c.drift.kind = DriftKind::Mlp),
        "`diffusion.kind` = \"langevin\" needs `drift.kind` = \"production\", not \"mlp\""
    );
    assert_eq!(
        message(&|c| c.times = Some(vec![0.0, 2.0, 2.0])),
        "`times[2]` is 2, but must be later than the one before"
    );
    assert_eq!(message(&|c| c.times = Some(vec![0.0, f64::NAN])), "`times[1]` is NaN, but must be finite");
    assert_eq!(
        message(&|c| c.times = Some(vec![0.0])),
        "`times` has 1 numbers, but a drift of time needs two or more"
    );
    let mut potential = ModelConfig::new(vec![0.0], vec![1.0]);
    potential.times = Some(vec![0.0, 1.0]);
    potential.drift.kind = DriftKind::Potential;
    assert_eq!(potential.validate(), Err(ConfigError::PotentialInTime));
    potential.times = None;
    potential.drift.kind = DriftKind::Potential;
    potential.drift.hidden.clear();
    assert_eq!(potential.validate(), Err(ConfigError::PotentialWithoutHidden));
    assert_eq!(ModelConfig::new(vec![], vec![]).validate(), Err(ConfigError::NoCoordinates));
}

#[test]
fn configurations_go_through_toml() {
    for config in all_kinds(2, Activation::LeakyRelu) {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<ModelConfig>(&text).unwrap(), config, "{text}");
    }
    let short: ModelConfig =
        toml::from_str("shift = [0.0]\nscale = [1.0]\n[diffusion]\nkind = \"diagonal\"").unwrap();
    assert_eq!(short, ModelConfig::new(vec![0.0], vec![1.0]));
    let unknown = "shift = [0.0]\nscale = [1.0]\n[diffusion]\nkind = \"constant\"\nhidden = [3]";
    assert!(toml::from_str::<ModelConfig>(unknown).unwrap_err().to_string().contains("hidden"));
    let misspelt = "shift = [0.0]\nscale = [1.0]\n[drift]\nactivation = \"swish\"";
    assert!(toml::from_str::<ModelConfig>(misspelt).unwrap_err().to_string().contains("swish"));
}
