//! Fields, noises and what is made of them: gradients by differences and by another route, and exact properties.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use chreode_core::{
    BirthDeath, Calculus, Diffusion, DiffusionJvp, FieldError, Growth, Jvp, NoiseKind, Slot, VectorField, Vjp,
};
use chreode_linalg::Activation;
use chreode_model::{
    BirthDeathConfig, BirthDeathNet, ConfigError, DiffusionConfig, FieldEnsemble, GrowthConfig, HybridConfig,
    InCalculus, Mlp, MlpField, MlpFieldConfig, ModelConfig, NetConfig, NeuralSde, NoiseConfig, NoiseForm,
    NoisyField, RateLaw, RatePart, ResidualNet, mass_action_net,
};
use chreode_testkit::{
    check_diffusion_jvp, check_diffusion_jvp_vjp, check_diffusion_vjp, check_growth_vjp, check_jvp,
    check_vjp, compare,
};
use common::uniform;
use proptest::prelude::*;

fn field_config(activation: Activation) -> MlpFieldConfig {
    let mut config = MlpFieldConfig::new(vec![0.2, -0.4], vec![0.7, 1.6]);
    config.time_scale = 2.5;
    config.time = Some((1.0, 2.0));
    config.covariates = vec![(0.1, 2.0)];
    config.net = NetConfig { hidden: vec![6, 5, 4], activation };
    config
}

/// Moves parameters away from their special start.
fn shaken(mut p: Vec<f64>, seed: u64) -> Vec<f64> {
    let noise = uniform("shake", seed, p.len(), -0.4..0.4);
    p.iter_mut().zip(noise).for_each(|(p, e)| *p += e);
    p
}

const FORMS: [NoiseForm; 6] = [
    NoiseForm::Constant,
    NoiseForm::Scalar,
    NoiseForm::Diagonal,
    NoiseForm::LowRank { rank: 2 },
    NoiseForm::General { motions: 1 },
    NoiseForm::General { motions: 4 },
];

fn noisy(form: NoiseForm, activation: Activation) -> (NoisyField<f64, MlpField<f64>>, Vec<f64>) {
    let field = MlpField::new(field_config(activation)).unwrap();
    let mut config = NoiseConfig::new(vec![0.2, -0.4], vec![0.7, 1.6], form);
    config.time_scale = 2.5;
    config.net = NetConfig { hidden: vec![5, 4], activation };
    let p = field.init(1);
    let sde = NoisyField::new(field, config).unwrap();
    let p = shaken([p, sde.init_noise(2)].concat(), 3);
    assert_eq!(p.len(), sde.n_params());
    (sde, p)
}

#[test]
fn fields_with_time_and_covariates_have_their_derivatives() {
    for activation in Activation::ALL.into_iter().filter(|a| *a != Activation::LeakyRelu) {
        let mut field = MlpField::<f64>::new(field_config(activation)).unwrap();
        let p = shaken(field.init(1), 2);
        let (y, v) = (uniform("y", 1, 9, -1.0..1.0), uniform("v", 1, 9, -1.0..1.0));
        check_vjp(&mut field, 1.7, &y, &p, &v, 1e-7).unwrap();
        check_jvp(&mut field, 1.7, &y, &p, &v, 1e-7).unwrap();
        // Inputs do what they should: the time and each covariate move the field.
        let mut at = |t: f64, c: f64| {
            let mut dy = [0.0; 3];
            field.eval(t, &[0.3, 0.2, c], &p, &mut dy).unwrap();
            assert_eq!(dy[2], 0.0, "covariates stay");
            dy
        };
        assert!(at(0.0, 0.5) != at(1.0, 0.5) && at(0.0, 0.5) != at(0.0, 0.6));
    }
}

#[test]
fn products_forward_and_backward_agree_and_kept_layers_give_the_same_bits() {
    let mut field = MlpField::<f64>::new(field_config(Activation::LeakyRelu)).unwrap();
    let p = shaken(field.init(1), 2);
    let n = 3 * 150; // of several tiles
    let (y, v, l) =
        (uniform("y", 1, n, -1.0..1.0), uniform("v", 1, n, -1.0..1.0), uniform("l", 1, n, -1.0..1.0));
    let (mut jv, mut y_bar, mut p_bar) = (vec![0.0; n], vec![9.0; n], vec![0.0; p.len()]);
    field.jvp(0.4, &y, &p, &v, &mut jv).unwrap();
    field.vjp(0.4, &y, &p, &l, &mut y_bar, &mut p_bar).unwrap();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert!((dot(&l, &jv) - dot(&y_bar, &v)).abs() < 1e-12 * dot(&jv, &jv));
    let (mut dy, mut kept) = (vec![0.0; n], vec![0.0; n]);
    field.eval(0.4, &y, &p, &mut dy).unwrap();
    let slot = Slot::of_new_run().plus(3);
    field.eval_kept(slot, 0.4, &y, &p, &mut kept).unwrap();
    assert_eq!(dy, kept);
    let (mut y2, mut p2) = (vec![9.0; n], vec![0.0; p.len()]);
    // The states are not asked again, unless another run's slot is meant.
    let nowhere = vec![f64::NAN; n];
    field.vjp_kept(slot, 0.4, &nowhere, &p, &l, &mut y2, &mut p2).unwrap();
    assert_eq!((&y_bar, &p_bar), (&y2, &p2));
    p2.fill(0.0);
    field.vjp_kept(Slot::of_new_run().plus(3), 0.4, &y, &p, &l, &mut y2, &mut p2).unwrap();
    assert_eq!((y_bar, p_bar), (y2, p2));
}

#[test]
fn every_noise_has_its_derivatives() {
    for form in FORMS {
        for activation in [Activation::Tanh, Activation::Quadratic] {
            let (mut sde, p) = noisy(form, activation);
            let values = sde.noise_kind().values(3);
            let y = uniform("y", 4, 2 * 3, -1.0..1.0);
            let v = uniform("v", 4, 2 * 3, -1.0..1.0);
            let g_bar = uniform("g", 4, 2 * values, -1.0..1.0);
            // The testkit's own drift adjoint is a part of `g_bar`: it wants one value a coordinate at least.
            if g_bar.len() >= y.len() {
                check_diffusion_vjp(&mut sde, 0.6, &y, &p, &g_bar, 1e-7).unwrap();
            }
            check_diffusion_jvp(&mut sde, 0.6, &y, &p, &v, 1e-7).unwrap();
            check_diffusion_jvp_vjp(&mut sde, 0.6, &y, &p, &v, &g_bar, 1e-7).unwrap();
            check_jvp(&mut sde, 0.6, &y, &p, &v, 1e-7).unwrap();
        }
    }
}

#[test]
fn noises_have_their_structure_and_start_at_their_level() {
    for form in FORMS {
        let (mut sde, shaken) = noisy(form, Activation::Silu);
        let motions = sde.noise_kind().motions(3);
        let mut start = sde.field().init(1);
        start.extend(sde.init_noise(2));
        let n = 100; // more than a tile
        let y = uniform("y", 5, 3 * n, -1.0..1.0);
        for (p, fresh) in [(&start, true), (&shaken, false)] {
            let mut g = vec![9.0; n * sde.noise_kind().values(3)];
            sde.diffusion(0.0, &y, p, &mut g).unwrap();
            for g in g.chunks_exact(sde.noise_kind().values(3)) {
                match form {
                    NoiseForm::Constant | NoiseForm::Diagonal => {
                        assert!(g[0] > 0.0 && g[1] > 0.0 && g[2] == 0.0, "{g:?}");
                    }
                    NoiseForm::Scalar => assert!(g[2] == 0.0),
                    NoiseForm::LowRank { .. } => {
                        let g: Vec<&[f64]> = g.chunks_exact(motions).collect();
                        assert!(g[0][0] > 0.0 && g[1][1] > 0.0, "{g:?}");
                        assert!(g[0][1] == 0.0 && g[1][0] == 0.0 && g[2].iter().all(|&g| g == 0.0));
                        assert!(fresh || g[0][2] != 0.0);
                    }
                    NoiseForm::General { .. } => assert!(g[2 * motions..].iter().all(|&g| g == 0.0)),
                }
                if fresh {
                    let level = g[0] * 2.5_f64.sqrt() / 0.7;
                    assert!((0.2..0.8).contains(&level), "{form:?} starts at {level}");
                }
            }
        }
    }
    let (sde, _) = noisy(NoiseForm::LowRank { rank: 2 }, Activation::Silu);
    assert_eq!(sde.noise_kind(), NoiseKind::General { motions: 4 });
    let mut config = sde.noise().clone();
    config.form = NoiseForm::General { motions: 0 };
    assert!(matches!(config.validate(), Err(ConfigError::Width { .. })));
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<NoiseConfig>(&text).unwrap(), config);
}

/// The correction by definition, from differences of `g`.
fn naive_correction(sde: &mut NoisyField<f64, MlpField<f64>>, y: &[f64], p: &[f64]) -> Vec<f64> {
    let (d, kind) = (3, sde.noise_kind());
    let motions = kind.motions(d);
    let mut matrix = |y: &[f64]| {
        let mut g = vec![0.0; kind.values(d)];
        sde.diffusion(0.0, y, p, &mut g).unwrap();
        let at = |i: usize, k: usize| match kind {
            NoiseKind::General { motions } => g[i * motions + k],
            NoiseKind::Scalar => g[i],
            _ => {
                if i == k {
                    g[i]
                } else {
                    0.0
                }
            }
        };
        (0..d * motions).map(|e| at(e / motions, e % motions)).collect::<Vec<f64>>()
    };
    let g = matrix(y);
    let mut c = vec![0.0; d];
    for j in 0..d {
        let h = 1e-5;
        let (mut plus, mut minus) = (y.to_vec(), y.to_vec());
        plus[j] += h;
        minus[j] -= h;
        let (plus, minus) = (matrix(&plus), matrix(&minus));
        for i in 0..d {
            for k in 0..motions {
                let e = i * motions + k;
                c[i] += 0.5 * g[j * motions + k] * (plus[e] - minus[e]) / (2.0 * h);
            }
        }
    }
    c
}

#[test]
fn the_other_calculus_has_the_corrected_drift_and_its_gradient() {
    for form in FORMS {
        let (mut sde, p) = noisy(form, Activation::Tanh);
        let mut other = InCalculus::new(sde.clone(), Calculus::Stratonovich);
        assert_eq!(other.calculus(), Calculus::Stratonovich);
        let y = uniform("y", 6, 6, -1.0..1.0);
        let (mut f, mut corrected) = (vec![0.0; 6], vec![0.0; 6]);
        sde.eval(0.3, &y, &p, &mut f).unwrap();
        other.eval(0.3, &y, &p, &mut corrected).unwrap();
        let mut largest = 0.0_f64;
        for r in 0..2 {
            let c = naive_correction(&mut sde, &y[3 * r..3 * r + 3], &p);
            for i in 0..3 {
                largest = largest.max(c[i].abs());
                assert!((f[3 * r + i] - c[i] - corrected[3 * r + i]).abs() < 1e-9, "{form:?}");
            }
        }
        assert!((largest > 1e-4) == (form != NoiseForm::Constant), "{form:?}: {largest}");
        let lambda = uniform("l", 6, 6, -1.0..1.0);
        check_vjp(&mut other, 0.3, &y, &p, &lambda, 1e-7).unwrap();
        // There and back again.
        let mut back = InCalculus::new(other, Calculus::Ito);
        let mut again = vec![0.0; 6];
        back.eval(0.3, &y, &p, &mut again).unwrap();
        compare("back in Itô's calculus", &again, &f, 1e-12).unwrap();
        // The same calculus changes no bit.
        InCalculus::new(sde, Calculus::Ito).eval(0.3, &y, &p, &mut again).unwrap();
        assert_eq!(again, f);
    }
}

/// `dX = μ X dt + σ X dW`, geometric Brownian motion.
#[derive(Clone)]
struct Gbm;
impl VectorField<f64> for Gbm {
    fn dim(&self) -> usize {
        1
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = p[0] * y);
        Ok(())
    }
}
impl Diffusion<f64> for Gbm {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Separable
    }
    fn diffusion(&mut self, _t: f64, y: &[f64], p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        g.iter_mut().zip(y).for_each(|(g, y)| *g = p[1] * y);
        Ok(())
    }
}
impl DiffusionJvp<f64> for Gbm {
    fn diffusion_jvp(
        &mut self,
        _t: f64,
        _y: &[f64],
        p: &[f64],
        v: &[f64],
        gv: &mut [f64],
    ) -> Result<(), FieldError> {
        gv.iter_mut().zip(v).for_each(|(gv, v)| *gv = p[1] * v);
        Ok(())
    }
}

#[test]
fn geometric_brownian_motion_in_both_calculi() {
    let mut sde = InCalculus::new(Gbm, Calculus::Stratonovich);
    let mut f = [0.0; 2];
    sde.eval(0.0, &[2.0, -1.5], &[0.3, 0.8], &mut f).unwrap();
    for (f, x) in f.iter().zip([2.0, -1.5]) {
        assert!((f - (0.3 - 0.32) * x).abs() < 1e-15, "μ - σ²/2");
    }
}

#[test]
fn an_ensemble_is_the_mean_of_its_members() {
    for noise in ["diagonal", "general"] {
        let form = if noise == "diagonal" { NoiseForm::Diagonal } else { NoiseForm::LowRank { rank: 1 } };
        let members: Vec<_> = (0..3).map(|_| noisy(form, Activation::Tanh).0).collect();
        let n = members[0].n_params();
        let mut all = FieldEnsemble::new(members.clone()).unwrap();
        let p = uniform("p", 7, 3 * n, -0.7..0.7);
        let y = uniform("y", 7, 6, -1.0..1.0);
        let values = all.noise_kind().values(3);
        check_vjp(&mut all, 0.2, &y, &p, &uniform("l", 7, 6, -1.0..1.0), 1e-7).unwrap();
        check_jvp(&mut all, 0.2, &y, &p, &uniform("v", 7, 6, -1.0..1.0), 1e-7).unwrap();
        check_diffusion_vjp(&mut all, 0.2, &y, &p, &uniform("g", 7, 2 * values, -1.0..1.0), 1e-7).unwrap();

        let (mut mean, mut spread) = (vec![0.0; 6], vec![0.0; 6]);
        all.mean_and_spread(0.2, &y, &p, &mut mean, &mut spread).unwrap();
        // By hand, and the covariance of the noise too.
        let covariance = |g: &[f64], kind: NoiseKind| {
            let at = |i: usize, k: usize| match kind {
                NoiseKind::General { motions } => g[i * motions + k],
                _ => {
                    if i == k {
                        g[i]
                    } else {
                        0.0
                    }
                }
            };
            let m = kind.motions(3);
            let entry = |i: usize, j: usize| (0..m).map(|k| at(i, k) * at(j, k)).sum::<f64>();
            (0..9).map(|e| entry(e / 3, e % 3)).collect::<Vec<f64>>()
        };
        let (mut of_mean, mut fields) = (vec![0.0; 9], Vec::new());
        for (m, mut member) in members.into_iter().enumerate() {
            let q = &p[all.params_of(m)];
            let (mut f, mut g) = (vec![0.0; 6], vec![0.0; 2 * member.noise_kind().values(3)]);
            member.drift_and_diffusion(0.2, &y, q, &mut f, &mut g).unwrap();
            fields.push(f);
            let own = covariance(&g[..g.len() / 2], member.noise_kind());
            of_mean.iter_mut().zip(own).for_each(|(sum, c)| *sum += c / 3.0);
        }
        let mut g = vec![0.0; 2 * values];
        all.diffusion(0.2, &y, &p, &mut g).unwrap();
        compare("covariance", &covariance(&g[..values], all.noise_kind()), &of_mean, 1e-13).unwrap();
        for i in 0..6 {
            let m = fields.iter().map(|f| f[i]).sum::<f64>() / 3.0;
            let s = (fields.iter().map(|f| (f[i] - m).powi(2)).sum::<f64>() / 3.0).sqrt();
            assert!((mean[i] - m).abs() < 1e-14 && (spread[i] - s).abs() < 1e-14);
        }
        assert!(spread[0] > 1e-3);
    }
    assert!(FieldEnsemble::<f64, MlpField<f64>>::new(Vec::new()).is_err());
}

#[test]
fn an_ensemble_of_cell_models_grows_like_them_on_average() {
    let mut config = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
    config.drift.hidden = vec![4];
    config.diffusion = DiffusionConfig::Constant { initial_level: 0.5 };
    config.growth = Some(GrowthConfig { hidden: vec![4], ..GrowthConfig::default() });
    let members = vec![NeuralSde::<f64>::new(config.clone()).unwrap(), NeuralSde::new(config).unwrap()];
    let mut all = FieldEnsemble::new(members).unwrap();
    let p = uniform("p", 8, all.n_params(), -0.7..0.7);
    check_growth_vjp(&mut all, 0.0, &[0.3, -0.2], &p, &[1.5], 1e-7).unwrap();
    let mut rates = [[0.0], [0.0], [0.0]];
    all.growth(0.0, &[0.3, -0.2], &p, &mut rates[0]).unwrap();
    for m in 0..2 {
        let q = p[all.params_of(m)].to_vec();
        all.members()[m].clone().growth(0.0, &[0.3, -0.2], &q, &mut rates[m + 1]).unwrap();
    }
    assert!((rates[0][0] - f64::midpoint(rates[1][0], rates[2][0])).abs() < 1e-15);
}

#[test]
fn a_residual_network_is_explicit_euler_to_the_bit() {
    let field = MlpField::<f64>::new(field_config(Activation::Silu)).unwrap();
    let one = shaken(field.init(1), 2);
    let (blocks, h) = (7, 0.3); // not a power of two
    let mut net = ResidualNet::new(field.clone(), blocks, h).unwrap();
    let x = uniform("x", 9, 3 * 70, -1.0..1.0);
    let (mut y, mut euler, mut dy) = (vec![0.0; x.len()], x.clone(), vec![0.0; x.len()]);
    let (tied, different) = (net.tied(&one), uniform("p", 9, blocks * one.len(), -0.5..0.5));
    net.forward(&x, &tied, &mut y).unwrap();
    let mut back = field.clone();
    for k in 0..blocks {
        back.eval(k as f64 * h, &euler, &one, &mut dy).unwrap();
        euler.iter_mut().zip(&dy).for_each(|(y, f)| *y += h * f);
    }
    assert_eq!(y, euler);
    // And back: Euler of the network as a field, with parameters of their own in each block.
    net.forward(&x, &different, &mut y).unwrap();
    let (mut z, mut t) = (x.clone(), 0.0);
    let mut as_field = net.clone();
    for _ in 0..blocks {
        as_field.eval(t, &z, &different, &mut dy).unwrap();
        z.iter_mut().zip(&dy).for_each(|(z, f)| *z += h * f);
        t += h;
    }
    let off = z.iter().zip(&y).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(off < 1e-14, "the time adds up with rounding, the blocks are the same: {off}");

    let (x, bar) = (&x[..6], uniform("bar", 9, 6, -1.0..1.0));
    let (mut x_bar, mut p_bar) = (vec![9.0; 6], vec![0.0; different.len()]);
    net.backward(x, &different, &bar, &mut x_bar, &mut p_bar).unwrap();
    let mut value = |x: &[f64], p: &[f64]| {
        let mut y = vec![0.0; 6];
        net.forward(x, p, &mut y).unwrap();
        y.iter().zip(&bar).map(|(y, b)| y * b).sum::<f64>()
    };
    chreode_testkit::check_gradient("x_bar", &x_bar, x, 1e-7, |x| value(x, &different)).unwrap();
    chreode_testkit::check_gradient("p_bar", &p_bar, &different, 1e-7, |p| value(x, p)).unwrap();
    check_vjp(&mut net, 0.65, x, &different, &bar, 1e-7).unwrap();
    assert!(ResidualNet::<f64, _>::new(field, 0, h).is_err());
}

proptest! {
    #[test]
    fn mass_action_networks_are_perceptrons(
        seed: u64,
        scale in proptest::collection::vec(0.1_f64..20.0, 4),
        reactions in proptest::collection::vec(
            (proptest::collection::vec((0_usize..4, 1_u32..4), 0..3), proptest::collection::vec(-2_i64..3, 4)),
            1..7,
        ),
    ) {
        let mut network = HybridConfig::new(scale.clone());
        network.volumes = vec![1.0, 0.5, 2.0, 1.5];
        for (j, (reactants, change)) in reactions.iter().enumerate() {
            // Consumed species must be among the reactants; others may be produced.
            let change: Vec<(usize, i64)> = change
                .iter()
                .enumerate()
                .map(|(i, &by)| (i, if reactants.iter().any(|r| r.0 == i) { by } else { by.abs() }))
                .filter(|c| c.1 != 0)
                .collect();
            if !change.is_empty() {
                network.push(
                    &format!("r{j}"),
                    &change,
                    RatePart::Known,
                    Some(RateLaw::mass_action(0.5 + j as f64, reactants)),
                );
            }
        }
        prop_assume!(!network.reactions.is_empty());
        let (shape, p) = mass_action_net::<f64>(&network).unwrap();
        prop_assert!(shape.activation() == Activation::Quadratic);
        let mut net = Mlp::new(shape);
        let x: Vec<f64> = uniform("x", seed, 4, -1.0..2.0).iter().zip(&scale).map(|(x, s)| x * s).collect();
        let mut dx = [0.0; 4];
        net.forward(&x, &p, &mut dx);
        // The polynomial, and what rounding may do to it: each product passes through squares of sums.
        let (mut exact, mut size) = ([0.0; 4], [0.0; 4]);
        for reaction in &network.reactions {
            let law = reaction.law.as_ref().unwrap();
            let (mut rate, mut bound, mut degree) = (law.constants[0], law.constants[0], 0);
            for factor in &law.factors {
                let chreode_model::Factor::Power { species, power } = *factor else { unreachable!() };
                rate *= x[species].powi(power as i32);
                bound *= scale[species].powi(power as i32);
                degree += power;
            }
            let bound = bound * 4.0_f64.powi(2 * degree as i32);
            for &(i, by) in &reaction.change {
                exact[i] += by as f64 * rate / network.volumes[i];
                size[i] += by.abs() as f64 * bound / network.volumes[i];
            }
        }
        for i in 0..4 {
            prop_assert!((dx[i] - exact[i]).abs() <= f64::EPSILON * size[i], "{} {}", dx[i], exact[i]);
        }
    }
}

#[test]
fn what_is_not_mass_action_is_refused() {
    let mut network = HybridConfig::new(vec![1.0]);
    network.push("mm", &[(0, -1)], RatePart::Known, Some(RateLaw::michaelis_menten(1.0, 1.0, 0, None)));
    let error = mass_action_net::<f64>(&network).unwrap_err();
    assert_eq!(error, ConfigError::NotMassAction { reaction: "mm".into() });
}

#[test]
fn birth_and_death_have_their_bounds_their_difference_and_its_gradient() {
    let config = BirthDeathConfig {
        shift: vec![0.1, 0.2],
        scale: vec![1.0, 0.5],
        dim: 3, // the last coordinate is not seen
        max_birth: 2.0,
        max_death: 1.5,
        net: NetConfig { hidden: vec![5], activation: Activation::Tanh },
    };
    let rates = BirthDeathNet::<f64>::new(config).unwrap();
    let own = shaken(rates.init(1), 2);
    // Behind the parameters of an equation.
    let p = [vec![7.0; 4], own.clone()].concat();
    let mut rates = rates.starting_at(4);
    let n = 100; // more than a tile
    let y = uniform("y", 3, 3 * n, -1.0..1.0);
    let (mut birth, mut death, mut growth) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    rates.birth_and_death(0.0, &y, &p, &mut birth, &mut death).unwrap();
    rates.growth(0.0, &y, &p, &mut growth).unwrap();
    for i in 0..n {
        assert!(birth[i] > 0.0 && birth[i] < 2.0 && death[i] > 0.0 && death[i] < 1.5);
        assert_eq!(growth[i], birth[i] - death[i]);
    }
    check_growth_vjp(&mut rates, 0.0, &y[..6], &p, &[1.0, -0.5], 1e-7).unwrap();
}

/// Products for many weights are made once for several pull-backs where that is asked for: what comes out is the same to rounding, at once
/// and after what was kept back is forgotten.
#[test]
fn pull_backs_may_keep_back_their_part_of_the_parameters() {
    let mut config = field_config(Activation::Tanh);
    config.net.hidden = vec![260, 260];
    let field = MlpField::<f64>::new(config).unwrap();
    let mut noise = NoiseConfig::new(vec![0.2, -0.4], vec![0.7, 1.6], NoiseForm::Diagonal);
    noise.net = NetConfig { hidden: vec![4], activation: Activation::Tanh };
    let p = field.init(1);
    let mut sde = NoisyField::new(field, noise).unwrap();
    let p = shaken([p, sde.init_noise(2)].concat(), 3);
    let n = 3 * 150; // rows of three tiles a call, of which a net multiplies four at once
    let calls: Vec<[Vec<f64>; 2]> =
        (0..3).map(|k| ["y", "l"].map(|name| uniform(name, k, n, -1.0..1.0))).collect();
    let mut pull = |defers: bool| {
        let (mut y_bars, mut p_bar) = (vec![0.0; 3 * n], vec![0.0; p.len()]);
        if defers {
            // What nobody settles is forgotten.
            sde.defer();
            sde.vjp(0.3, &calls[0][0], &p, &calls[0][1], &mut y_bars[..n], &mut vec![0.0; p.len()]).unwrap();
            sde.defer();
        }
        for (k, ([y, l], y_bar)) in calls.iter().zip(y_bars.chunks_exact_mut(n)).enumerate() {
            if k == 1 {
                let slot = Slot::of_new_run();
                sde.eval_kept(slot, 0.3, y, &p, &mut vec![0.0; n]).unwrap();
                sde.vjp_kept(slot, 0.3, y, &p, l, y_bar, &mut p_bar).unwrap();
            } else {
                sde.vjp(0.3, y, &p, l, y_bar, &mut p_bar).unwrap();
            }
        }
        if defers {
            sde.settle(&mut p_bar);
        }
        (y_bars, p_bar)
    };
    let (at_once, deferred, again) = (pull(false), pull(true), pull(false));
    let most = at_once.1.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let off = at_once.1.iter().zip(&deferred.1).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(at_once == again && at_once.0 == deferred.0);
    assert!(at_once.1 != deferred.1 && off < 1e-13 * most, "{off:e} of {most:e}");
}
