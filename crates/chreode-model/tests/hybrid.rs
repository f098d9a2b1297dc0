//! Networks with neural rates: what no parameter can break, and gradients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use chreode_core::{Diffusion, FieldError, NoiseKind, ParamLayout, VectorField};
use chreode_model::{
    ChemicalNoise, ConfigError, Factor, Hybrid, HybridConfig, RateLaw, RateLaws, RatePart, Rates,
};
use chreode_testkit::{check_diffusion_vjp, check_jacobian, check_vjp};
use common::uniform;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// A random network of two to five species and one to six reactions, with laws and neural parts of every kind.
fn network(seed: u64, volumes: bool) -> HybridConfig {
    let mut rng = Pcg64::seed_from_u64(seed);
    let d = rng.random_range(2..6);
    let mut config = HybridConfig::new((0..d).map(|_| rng.random_range(0.3..3.0)).collect());
    config.time_scale = 1.7;
    config.net.hidden = vec![6, 5];
    if volumes {
        config.volumes = (0..d).map(|_| rng.random_range(0.2..2.0)).collect();
    }
    config.noise = Some(ChemicalNoise { molecule: 0.05, smoothing: 0.01 });
    for j in 0..rng.random_range(1..7) {
        let mut change: Vec<(usize, i64)> = Vec::new();
        for i in 0..d {
            let by = rng.random_range(-2..3);
            if by != 0 && change.len() < 3 {
                change.push((i, by));
            }
        }
        if change.is_empty() {
            change.push((0, -1));
        }
        let part =
            [RatePart::Known, RatePart::Neural, RatePart::Add, RatePart::Multiply][rng.random_range(0..4)];
        let mut factors = Vec::new();
        for &(species, by) in change.iter().filter(|c| c.1 < 0) {
            factors.push(match rng.random_range(0..3) {
                0 => Factor::Power { species, power: by.unsigned_abs() as u32 },
                1 => Factor::Saturation { species },
                _ => Factor::Hill { species },
            });
        }
        if rng.random_bool(0.3) {
            factors.push(Factor::Repression { species: rng.random_range(0..d) });
        }
        let count = 1 + factors.iter().map(|f| f.constants()).sum::<usize>();
        let constants = (0..count).map(|_| rng.random_range(0.3..2.5)).collect();
        let law = (part != RatePart::Neural).then_some(RateLaw { constants, factors });
        config.push(&format!("r{j}"), &change, part, law);
    }
    config
}

fn shaken(hybrid: &Hybrid<f64>, seed: u64, by: f64) -> Vec<f64> {
    let mut p = hybrid.init(seed);
    let noise = uniform("shake", seed, p.len(), -by..by);
    p.iter_mut().zip(noise).for_each(|(p, e)| *p += e);
    p
}

proptest! {
    #[test]
    fn nothing_conserved_changes_and_nothing_goes_below_zero(seed: u64, by in 0.1_f64..3.0, volumes: bool) {
        let config = network(seed, volumes);
        let (d, m) = (config.dim(), config.reactions.len());
        let laws = config.conservation_laws().unwrap();
        let (s, v) = (config.stoichiometry(), config.volumes());
        let mut hybrid = Hybrid::<f64>::from_laws(config).unwrap();
        prop_assert_eq!(hybrid.noise_kind(), NoiseKind::General { motions: m });
        let p = shaken(&hybrid, seed, by);
        let n = 70; // more than one tile
        let mut y = uniform("y", seed, n * d, -0.2..3.0);
        for (k, y) in y.iter_mut().enumerate() {
            if k % 3 == 0 {
                *y = 0.0;
            }
        }
        let (mut f, mut g, mut r) = (vec![0.0; n * d], vec![0.0; n * d * m], vec![0.0; n * m]);
        hybrid.drift_and_diffusion(0.0, &y, &p, &mut f, &mut g).unwrap();
        hybrid.rates(0.0, &y, &p, &mut r).unwrap();
        for row in 0..n {
            let (y, f, r) = (&y[row * d..][..d], &f[row * d..][..d], &r[row * m..][..m]);
            let g = &g[row * d * m..][..d * m];
            let size: f64 = (0..d * m).map(|k| (s[k] as f64 * r[k % m]).abs()).sum();
            for w in &laws {
                let largest = w.iter().map(|w| w.abs()).max().unwrap() as f64;
                let moved: f64 = (0..d).map(|i| w[i] as f64 * v[i] * f[i]).sum();
                prop_assert!(moved.abs() <= 16.0 * f64::EPSILON * largest * size, "{moved} of {size}");
                for j in 0..m {
                    let moved: f64 = (0..d).map(|i| w[i] as f64 * v[i] * g[i * m + j]).sum();
                    let size: f64 = (0..d).map(|i| (v[i] * g[i * m + j]).abs()).sum();
                    prop_assert!(moved.abs() <= 16.0 * f64::EPSILON * largest * size);
                }
            }
            for i in (0..d).filter(|&i| y[i] <= 0.0) {
                prop_assert!(f[i] >= 0.0, "species {i} is absent and changes by {}", f[i]);
                for j in (0..m).filter(|&j| s[i * m + j] < 0) {
                    prop_assert!(r[j] <= 0.0, "reaction {j} consumes what is not there");
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_differences(seed: u64, volumes: bool) {
        let config = network(seed, volumes);
        let (d, m, n) = (config.dim(), config.reactions.len(), 2);
        let mut hybrid = Hybrid::<f64>::from_laws(config.clone()).unwrap();
        let p = shaken(&hybrid, seed, 0.4);
        let y = uniform("y", seed, n * d, 0.2..2.0);
        let lambda = uniform("bar", seed, n * d, -1.0..1.0);
        check_vjp(&mut hybrid, 0.3, &y, &p, &lambda, 5e-6).unwrap(); // powers are steep
        check_jacobian(&mut hybrid, 0.3, &y[..d], &p, 5e-6).unwrap();
        let g_bar = uniform("g_bar", seed, n * d * m, -1.0..1.0);

        check_diffusion_vjp(&mut hybrid, 0.3, &y, &p, &g_bar, 5e-6).unwrap();

        let mut reduced = hybrid.reduced().unwrap();
        let mut q = p;
        q.extend(reduced.totals(&y));
        let z = reduced.coordinates(&y[..d]);
        if !z.is_empty() {
            check_vjp(&mut reduced, 0.3, &z, &q, &lambda[..z.len()], 5e-6).unwrap();
        }
    }

    #[test]
    fn reduced_coordinates_give_the_same_derivatives(seed: u64, volumes: bool) {
        let config = network(seed, volumes);
        let d = config.dim();
        let mut hybrid = Hybrid::<f64>::from_laws(config).unwrap();
        let p = shaken(&hybrid, seed, 0.5);
        let y = uniform("y", seed, d, 0.2..2.0);
        let mut f = vec![0.0; d];
        hybrid.eval(0.0, &y, &p, &mut f).unwrap();
        let mut reduced = hybrid.reduced().unwrap();
        let totals = reduced.totals(&y);
        let z = reduced.coordinates(&y);
        prop_assert_eq!(z.len() + totals.len(), d);
        let back = reduced.states(&z, &totals).unwrap();
        prop_assert!(back.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-12), "{back:?} {y:?}");
        if z.is_empty() {
            return Ok(());
        }
        let (mut dz, q) = (vec![0.0; z.len()], [p, totals].concat());
        reduced.eval(0.0, &z, &q, &mut dz).unwrap();
        for (dz, &i) in dz.iter().zip(reduced.kept()) {
            prop_assert!((dz - f[i]).abs() <= 1e-9 * (1.0 + f[i].abs()), "{dz} {}", f[i]);
        }
    }
}

/// A caller's rate, in which the time appears.
#[derive(Clone)]
struct Pulse;

impl Rates<f64> for Pulse {
    fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::new();
        layout.push("strength", &[1]);
        layout
    }
    fn rates(&mut self, t: f64, y: &[f64], p: &[f64], rates: &mut [f64]) -> Result<(), FieldError> {
        for (y, rates) in y.chunks_exact(2).zip(rates.chunks_exact_mut(2)) {
            rates[0] = p[0] * t * y[0] * y[1];
            rates[1] = f64::NAN; // of the neural reaction: must not be read
        }
        Ok(())
    }
    fn rates_vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        bar: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        for (r, bar) in bar.chunks_exact(2).enumerate() {
            let (a, b) = (y[2 * r], y[2 * r + 1]);
            y_bar[2 * r] += bar[0] * p[0] * t * b;
            y_bar[2 * r + 1] += bar[0] * p[0] * t * a;
            p_bar[0] += bar[0] * t * a * b;
        }
        Ok(())
    }
}

#[test]
fn a_caller_brings_known_rates() {
    let mut config = HybridConfig::new(vec![1.0, 2.0]);
    config.push("pulse", &[(0, -1), (1, 1)], RatePart::Multiply, None);
    config.push("back", &[(1, -1), (0, 1)], RatePart::Neural, None);
    assert_eq!(
        RateLaws::<f64>::new(&config).err(),
        Some(ConfigError::NoLaw { reaction: "pulse".into() }),
        "without a law nothing is known"
    );
    let boxed: Box<dyn Rates<f64>> = Box::new(Pulse);
    let mut hybrid = Hybrid::new(config, boxed).unwrap();
    assert_eq!(hybrid.layout().entries()[0].name, "known.strength");
    let mut p = hybrid.init_net(1);
    p[hybrid.known_range()].copy_from_slice(&[0.7]);
    let y = [0.6, 1.1, 0.3, 0.2];
    check_vjp(&mut hybrid, 1.5, &y, &p, &[1.0, -0.5, 0.25, 2.0], 1e-7).unwrap();
    let mut rates = [0.0; 4];
    hybrid.rates(1.5, &y, &p, &mut rates).unwrap();
    assert!((rates[0] / (0.7 * 1.5 * 0.66) - 1.0).abs() < 0.2, "a correction starts near one: {rates:?}");
}

#[test]
fn laws_are_what_they_say() {
    let mut config = HybridConfig::new(vec![1.0; 3]);
    let known = RatePart::Known;
    config.push("ma", &[(0, -2), (1, -1)], known, Some(RateLaw::mass_action(3.0, &[(0, 2), (1, 1)])));
    config.push("mm", &[(0, -1)], known, Some(RateLaw::michaelis_menten(2.0, 0.5, 0, Some(2))));
    config.push("hill", &[(1, -1)], known, Some(RateLaw::hill(2.0, 0.5, 2.5, 1)));
    config.push("off", &[(1, 1)], known, Some(RateLaw::repression(2.0, 0.5, 2.5, 0)));
    config.push_reversible(
        "rev",
        &[(0, -1), (2, 1)],
        known,
        Some(RateLaw::mass_action(1.0, &[(0, 1)])),
        Some(RateLaw::mass_action(4.0, &[(2, 1)])),
    );
    let mut hybrid = Hybrid::<f64>::from_laws(config).unwrap();
    let p = hybrid.init(0);
    let (a, b, c) = (0.7_f64, 0.4_f64, 1.3_f64);
    let mut rates = [0.0; 6];
    hybrid.rates(0.0, &[a, b, c], &p, &mut rates).unwrap();
    let power = |x: f64| x.powf(2.5);
    let expected = [
        3.0 * a * a * b,
        2.0 * c * a / (0.5 + a),
        2.0 * power(b) / (power(0.5) + power(b)),
        2.0 * power(0.5) / (power(0.5) + power(a)),
        a,
        4.0 * c,
    ];
    for (rate, expected) in rates.iter().zip(expected) {
        assert!((rate - expected).abs() < 1e-14, "{rate} {expected}");
    }
    let mut none = [f64::NAN; 6];
    hybrid.rates(0.0, &[0.0, -1.0, 0.0], &p, &mut none).unwrap();
    let off = 2.0;
    assert!(none.iter().zip([0.0, 0.0, 0.0, off, 0.0, 0.0]).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-15));
}

#[test]
fn the_noise_of_a_birth_death_process() {
    // ∅ → X at 3, X → ∅ at 0.5 x; a molecule is 0.01: variance rates 0.01 (3 + 0.5 x).
    let mut config = HybridConfig::new(vec![1.0]);
    config.noise = Some(ChemicalNoise { molecule: 0.01, smoothing: 1e-9 });
    config.push("birth", &[(0, 1)], RatePart::Known, Some(RateLaw::mass_action(3.0, &[])));
    config.push("death", &[(0, -1)], RatePart::Known, Some(RateLaw::mass_action(0.5, &[(0, 1)])));
    let mut hybrid = Hybrid::<f64>::from_laws(config).unwrap();
    let p = hybrid.init(0);
    let mut g = [0.0; 4];
    hybrid.diffusion(0.0, &[2.0, 0.0], &p, &mut g).unwrap();
    assert!((g[0] - 0.03_f64.sqrt()).abs() < 1e-4 && (g[1] + 0.01_f64.sqrt()).abs() < 1e-4, "{g:?}");
    assert_eq!(g[3], 0.0, "where nothing is, nothing dies");
}

#[test]
fn networks_are_checked_and_go_through_toml() {
    let good = network(3, true);
    let text = toml::to_string(&good).unwrap();
    assert_eq!(toml::from_str::<HybridConfig>(&text).unwrap(), good, "{text}");
    let mut config = HybridConfig::new(vec![1.0; 2]);
    assert_eq!(config.validate(), Err(ConfigError::NoReactions));
    config.push("r", &[(0, -1), (1, 1)], RatePart::Known, Some(RateLaw::mass_action(1.0, &[(1, 1)])));
    assert_eq!(
        config.validate().unwrap_err().to_string(),
        "reaction `r` consumes species 0, but its rate law does not vanish with it"
    );
    config.reactions[0].law = Some(RateLaw::repression(1.0, 1.0, 2.0, 0));
    assert!(matches!(config.validate(), Err(ConfigError::RateDoesNotVanish { .. })));
    config.reactions[0].law = Some(RateLaw::mass_action(1.0, &[(2, 1)]));
    assert!(matches!(config.validate(), Err(ConfigError::Species { species: 2, .. })));
    config.reactions[0].law = Some(RateLaw { constants: vec![1.0, 2.0], factors: vec![] });
    assert!(matches!(config.validate(), Err(ConfigError::Constants { expected: 1, .. })));
    config.reactions[0].law = None;
    config.reactions[0].change = vec![(0, 0)];
    assert!(matches!(config.validate(), Err(ConfigError::Change { species: 0, .. })));
}
