//! Every VJP against central differences in f64, and the potential against naive loops.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use chreode_core::{Diffusion, DiffusionVjp, Growth, GrowthVjp, Slot, VectorField, Vjp};
use chreode_linalg::Activation;
use chreode_model::{DriftKind, ModelConfig, NeuralSde};
use common::{all_kinds, phi, uniform};

/// Weights of the scalar `Σ f_bar f + Σ g_bar g + Σ r_bar γ` whose gradient is checked.
struct Probe {
    f: Vec<f64>,
    g: Vec<f64>,
    r: Vec<f64>,
}

impl Probe {
    fn value(&self, sde: &mut NeuralSde<f64>, y: &[f64], p: &[f64]) -> f64 {
        let (mut f, mut g, mut r) = (vec![0.0; y.len()], vec![0.0; self.g.len()], vec![0.0; self.r.len()]);
        sde.eval(0.0, y, p, &mut f).unwrap();
        sde.diffusion(0.0, y, p, &mut g).unwrap();
        sde.growth(0.0, y, p, &mut r).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&self.f, &f) + dot(&self.g, &g) + dot(&self.r, &r)
    }
}

fn max_abs(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, x| x.abs().max(m))
}

/// Central difference in coordinate `i`.
fn difference(x: &mut [f64], i: usize, mut value: impl FnMut(&[f64]) -> f64) -> f64 {
    let (h, x0) = (1e-5, x[i]);
    x[i] = x0 + h;
    let plus = value(x);
    x[i] = x0 - h;
    let minus = value(x);
    x[i] = x0;
    (plus - minus) / (2.0 * h)
}

fn check_model(config: &ModelConfig, seed: u64) {
    let (d, n) = (config.dim(), 3);
    let mut sde = NeuralSde::<f64>::new(config.clone()).unwrap();
    // Initial parameters are special (small output layers, zero biases): move away from them.
    let mut p = sde.init(seed);
    let noise = uniform("shake", seed, p.len(), -0.5..0.5);
    p.iter_mut().zip(noise).for_each(|(p, e)| *p += e);
    let mut y = uniform("y", seed, n * d, 0.05..1.5);
    let probe = Probe {
        f: uniform("f_bar", seed, n * d, -1.0..1.0),
        g: uniform("g_bar", seed, n * sde.noise_kind().values(d), -1.0..1.0),
        r: uniform("r_bar", seed, n, -1.0..1.0),
    };
    let (mut y_bar, mut p_bar) = (vec![9.0; n * d], vec![0.0; p.len()]);
    sde.vjp(0.0, &y, &p, &probe.f, &mut y_bar, &mut p_bar).unwrap();
    sde.diffusion_vjp(0.0, &y, &p, &probe.g, &mut y_bar, &mut p_bar).unwrap();

    // The fused call gives the same up to the order of sums.
    let (mut y_fused, mut p_fused) = (vec![9.0; n * d], vec![0.0; p.len()]);
    sde.drift_and_diffusion_vjp(0.0, &y, &p, &probe.f, &probe.g, &mut y_fused, &mut p_fused).unwrap();
    for (a, b) in y_bar.iter().zip(&y_fused).chain(p_bar.iter().zip(&p_fused)) {
        assert!((a - b).abs() <= 1e-13 * (1.0 + a.abs()), "fused {b}, separate {a}: {config:?}");
    }
    let (mut f, mut g) = (vec![0.0; n * d], vec![0.0; probe.g.len()]);
    let (mut f_fused, mut g_fused) = (f.clone(), g.clone());
    sde.eval(0.0, &y, &p, &mut f).unwrap();
    sde.diffusion(0.0, &y, &p, &mut g).unwrap();
    sde.drift_and_diffusion(0.0, &y, &p, &mut f_fused, &mut g_fused).unwrap();
    assert_eq!((f, g), (f_fused, g_fused));

    sde.growth_vjp(0.0, &y, &p, &probe.r, &mut y_bar, &mut p_bar).unwrap();
    let (y_scale, p_scale) = (max_abs(&y_bar), max_abs(&p_bar));
    for i in 0..y.len() {
        let fd = difference(&mut y, i, |y| probe.value(&mut sde, y, &p));
        assert!((fd - y_bar[i]).abs() <= 1e-6 * y_scale, "y[{i}]: {fd} against {}: {config:?}", y_bar[i]);
    }
    for i in 0..p.len() {
        let fd = difference(&mut p, i, |p| probe.value(&mut sde, &y, p));
        assert!((fd - p_bar[i]).abs() <= 1e-6 * p_scale, "p[{i}]: {fd} against {}: {config:?}", p_bar[i]);
    }
}

#[test]
fn vjps_agree_with_central_differences() {
    for activation in Activation::ALL {
        for config in all_kinds(3, activation) {
            for seed in 0..3 {
                check_model(&config, seed);
            }
        }
    }
}

#[test]
fn adjoints_of_parameters_are_added_and_of_states_set() {
    for config in all_kinds(2, Activation::Silu) {
        let mut sde = NeuralSde::<f64>::new(config).unwrap();
        let p = sde.init(1);
        let (y, bar) = ([0.3, 0.8], [1.0, -2.0]);
        let (mut y1, mut p1) = ([0.0; 2], vec![0.0; p.len()]);
        sde.vjp(0.0, &y, &p, &bar, &mut y1, &mut p1).unwrap();
        let (mut y2, mut p2) = ([5.0; 2], p1.clone());
        sde.vjp(0.0, &y, &p, &bar, &mut y2, &mut p2).unwrap();
        assert_eq!(y1, y2);
        for (a, b) in p1.iter().zip(&p2) {
            assert!((2.0 * a - b).abs() <= 1e-14 * (1.0 + b.abs()));
        }
        let mut y3 = y2;
        let none = vec![0.0; sde.noise_kind().values(2)];
        sde.diffusion_vjp(0.0, &y, &p, &none, &mut y3, &mut p2).unwrap();
        assert_eq!(y2, y3, "a diffusion adjoint of zero leaves the state's as it was");
    }
}

/// `ψ` by loops over the named tensors.
fn naive_potential(sde: &NeuralSde<f64>, p: &[f64], x: &[f64]) -> f64 {
    let config = sde.config();
    let s = (config.scale.iter().map(|s| s * s).sum::<f64>() / x.len() as f64).sqrt();
    let mut a: Vec<f64> = x.iter().zip(&config.shift).map(|(x, m)| (x - m) / s).collect();
    let depth = config.drift.hidden.len();
    for l in 0..=depth {
        let w = sde.layout().find(&format!("drift.layers.{l}.weight")).unwrap();
        let b = sde.layout().find(&format!("drift.layers.{l}.bias"));
        assert_eq!(b.is_none(), l == depth, "the output has no bias");
        let inp = w.shape[1];
        a = (0..w.shape[0])
            .map(|o| {
                let row = &p[w.range()][o * inp..(o + 1) * inp];
                let z =
                    row.iter().zip(&a).map(|(w, a)| w * a).sum::<f64>() + b.map_or(0.0, |b| p[b.offset + o]);
                if l < depth { phi(config.drift.activation, z) } else { z }
            })
            .collect();
    }
    s * s / config.time_scale * a[0]
}

#[test]
fn a_potential_drift_is_the_gradient_of_the_naive_potential() {
    for activation in Activation::ALL {
        for config in all_kinds(3, activation).into_iter().filter(|c| c.drift.kind == DriftKind::Potential) {
            let mut sde = NeuralSde::<f64>::new(config).unwrap();
            let mut p = sde.init(4);
            p.iter_mut().zip(uniform("shake", 4, 1000, -0.5..0.5)).for_each(|(p, e)| *p += e);
            let mut x = uniform("x", 4, 3, -1.0..1.0);
            let (mut psi, mut f) = ([0.0], [0.0; 3]);
            sde.potential(&x, &p, &mut psi).unwrap();
            assert!((psi[0] - naive_potential(&sde, &p, &x)).abs() < 1e-12);
            sde.eval(0.0, &x, &p, &mut f).unwrap();
            for i in 0..3 {
                let fd = difference(&mut x, i, |x| naive_potential(&sde, &p, x));
                assert!((fd - f[i]).abs() < 1e-8, "{fd} {}", f[i]);
            }
        }
    }
}

#[test]
fn the_jacobian_of_a_potential_drift_is_symmetric() {
    for config in all_kinds(4, Activation::Tanh).into_iter().filter(|c| c.drift.kind == DriftKind::Potential)
    {
        let mut sde = NeuralSde::<f64>::new(config).unwrap();
        let mut p = sde.init(5);
        p.iter_mut().zip(uniform("shake", 5, 1000, -0.5..0.5)).for_each(|(p, e)| *p += e);
        let y = uniform("y", 5, 4, -1.0..1.0);
        let mut p_bar = vec![0.0; p.len()];
        let rows: Vec<Vec<f64>> = (0..4)
            .map(|i| {
                let (mut unit, mut row) = (vec![0.0; 4], vec![0.0; 4]);
                unit[i] = 1.0;
                sde.vjp(0.0, &y, &p, &unit, &mut row, &mut p_bar).unwrap();
                row
            })
            .collect();
        let largest = rows.iter().map(|r| max_abs(r)).fold(0.0, f64::max);
        assert!(largest > 1e-3);
        for i in 0..4 {
            for j in 0..i {
                assert!((rows[i][j] - rows[j][i]).abs() < 1e-14 * (1.0 + largest));
            }
        }
    }
}

#[test]
fn what_is_kept_gives_the_same_bits() {
    for config in all_kinds(3, Activation::Silu) {
        let mut sde = NeuralSde::<f64>::new(config).unwrap();
        let p = sde.init(3);
        // Of several tiles and of one row; what is in hand has come from elsewhere.
        let states = [uniform("y", 1, 3 * 150, -1.0..1.0), uniform("y", 2, 3, -1.0..1.0)];
        let bars = states.each_ref().map(|y| uniform("bar", 3, y.len(), -1.0..1.0));
        let mut plain = vec![0.0; 3 * 150];
        let mut kept = plain.clone();
        let slots = [0, 1].map(|k| Slot::of_new_run().plus(k));
        for (slot, y) in slots.into_iter().zip(&states) {
            sde.eval(0.0, y, &p, &mut plain[..y.len()]).unwrap();
            sde.eval_kept(slot, 0.0, y, &p, &mut kept[..y.len()]).unwrap();
            assert_eq!(plain[..y.len()], kept[..y.len()]);
        }
        for _ in 0..2 {
            for (slot, (y, bar)) in slots.into_iter().zip(states.iter().zip(&bars)) {
                let (mut p1, mut p2) = (vec![0.0; p.len()], vec![0.0; p.len()]);
                sde.vjp(0.0, y, &p, bar, &mut plain[..y.len()], &mut p1).unwrap();
                // What is kept is not asked again.
                let again = if sde.kept_bytes(1) > 0 { vec![f64::NAN; y.len()] } else { y.clone() };
                sde.vjp_kept(slot, 0.0, &again, &p, bar, &mut kept[..y.len()], &mut p2).unwrap();
                assert_eq!((&plain[..y.len()], p1), (&kept[..y.len()], p2));
            }
        }
    }
}
