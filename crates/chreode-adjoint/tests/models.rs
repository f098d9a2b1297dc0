//! Models of `chreode-model` along whole solutions: what they conserve, in which calculus they run, and their gradients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chreode_adjoint::OdeAdjoint;
use chreode_core::{Calculus, Diffusion, DiffusionJvp, FieldError, NoiseKind, VectorField, Vjp};
use chreode_model::{
    ChemicalNoise, Hybrid, HybridConfig, InCalculus, MlpField, MlpFieldConfig, RateLaw, RatePart, ResidualNet,
};
use chreode_solve::{
    EULER, EnsembleOptions, Erk, Radau5, SdeMethod, SolveOptions, Stepper, TSIT5, TimeGrid, simulate, solve,
    solve_with_jacobian,
};
use chreode_testkit::{central_difference, compare};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

fn uniform(seed: u64, n: usize, range: std::ops::Range<f64>) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(range.clone())).collect()
}

/// An enzyme, its substrate, complex and product, with a dimer: E + S ⇌ C → E + P, 2 P ⇌ D. Binding is known, what the complex
/// does is not, the dimer's laws are corrected.
fn enzyme() -> HybridConfig {
    let mut config = HybridConfig::new(vec![0.5, 2.0, 0.3, 1.0, 0.5]);
    config.net.hidden = vec![8, 8];
    let bind = [(0, -1), (1, -1), (2, 1)];
    config.push_reversible(
        "bind",
        &bind,
        RatePart::Known,
        Some(RateLaw::mass_action(4.0, &[(0, 1), (1, 1)])),
        Some(RateLaw::mass_action(0.5, &[(2, 1)])),
    );
    config.push("turn_over", &[(2, -1), (0, 1), (3, 1)], RatePart::Neural, None);
    config.push("pair", &[(3, -2), (4, 1)], RatePart::Multiply, Some(RateLaw::mass_action(1.0, &[(3, 2)])));
    config.push("split", &[(4, -1), (3, 2)], RatePart::Add, Some(RateLaw::mass_action(0.3, &[(4, 1)])));
    config
}

fn random(hybrid: &Hybrid<f64>, seed: u64, by: f64) -> Vec<f64> {
    let p = hybrid.init(seed);
    p.iter().zip(uniform(seed, p.len(), -by..by)).map(|(p, e)| p + e).collect()
}

const START: [f64; 5] = [0.4, 2.0, 0.0, 0.0, 0.0];

#[test]
fn sums_stay_to_rounding_and_concentrations_above_zero_whatever_the_net() {
    let config = enzyme();
    let laws = config.conservation_laws().unwrap();
    assert_eq!(laws.len(), 2);
    let total = |w: &[i64], x: &[f64]| w.iter().zip(x).map(|(&w, x)| w as f64 * x).sum::<f64>();
    let mut moved = 0.0_f64;
    for seed in 0..40 {
        let mut hybrid = Hybrid::from_laws(config.clone()).unwrap();
        let p = random(&hybrid, seed, 0.3 + 0.05 * seed as f64);
        // Tolerances are loose: conservation is none of the solver's merits.
        let mut options = SolveOptions::tolerance(1e-3, 1e-4);
        let at: Vec<f64> = (1..=20).map(f64::from).collect();
        options.save_at = &at;
        let steppers: [Box<dyn Stepper<f64>>; 2] =
            [Box::new(Erk::new(&TSIT5, 1, 5)), Box::new(Radau5::new(1, 5))];
        for mut stepper in steppers {
            let mut y = START.to_vec();
            let mut low = 0.0_f64;
            let mut worst = 0.0_f64;
            let mut look = |_: usize, _: f64, y: &[f64]| {
                low = y.iter().fold(low, |m, &y| m.min(y));
                for w in &laws {
                    worst = worst.max((total(w, y) - total(w, &START)).abs());
                }
            };
            solve_with_jacobian(&mut hybrid, &p, &mut y, (0.0, 20.0), &mut *stepper, &options, &mut look)
                .unwrap();
            moved = moved.max((y[1] - START[1]).abs());
            assert!(low > -1e-3, "seed {seed}: {low}, where the tolerance is 1e-4");
            assert!(worst < 1e-12, "seed {seed}: a conserved sum moved by {worst}");
        }
        // Without dependent species the sums are what they were, however long the run.
        let mut reduced = hybrid.reduced().unwrap();
        let totals = reduced.totals(&START);
        let mut z = reduced.coordinates(&START);
        let q = [p, totals.clone()].concat();
        let mut radau = Radau5::new(1, z.len());
        solve(
            &mut reduced,
            &q,
            &mut z,
            (0.0, 2000.0),
            &mut radau,
            &SolveOptions::tolerance(1e-3, 1e-4),
            &mut |_, _, _| {},
        )
        .unwrap();
        let x = reduced.states(&z, &totals).unwrap();
        for w in &laws {
            assert!((total(w, &x) - total(w, &START)).abs() < 1e-14);
        }
    }
    assert!(moved > 1.0, "something must happen: {moved}");
}

#[test]
fn reduced_and_full_networks_have_one_solution_and_one_gradient() {
    let mut hybrid = Hybrid::from_laws(enzyme()).unwrap();
    let p = random(&hybrid, 7, 0.5);
    let mut reduced = hybrid.clone().reduced().unwrap();
    let totals = reduced.totals(&START);
    let z0 = reduced.coordinates(&START);
    let options = SolveOptions { step: chreode_solve::StepSize::Fixed(0.02), ..SolveOptions::default() };
    let value = |y: &[f64]| y.iter().enumerate().map(|(i, y)| (i as f64 + 1.0) * y * y).sum::<f64>();
    let loss = |hybrid: &mut Hybrid<f64>, p: &[f64], x0: &[f64]| {
        let mut y = x0.to_vec();
        let mut erk = Erk::new(&TSIT5, 1, 5);
        solve(hybrid, p, &mut y, (0.0, 2.0), &mut erk, &options, &mut |_, _, _| {}).unwrap();
        value(&y)
    };
    let gradient =
        |f: &mut dyn Vjp<f64>, p: &[f64], x0: &[f64], full: &dyn Fn(&[f64]) -> (Vec<f64>, Vec<f64>)| {
            let at = [2.0];
            let options = SolveOptions { save_at: &at, ..options };
            let mut adjoint = OdeAdjoint::new(&TSIT5, 1, x0.len());
            let mut y = x0.to_vec();
            adjoint.forward(f, p, &mut y, (0.0, 2.0), &options, &mut |_, _, _| {}).unwrap();
            let (x, bar) = full(&y);
            let (mut y0_bar, mut p_bar) = (vec![0.0; x0.len()], vec![0.0; p.len()]);
            adjoint.backward(f, p, &[&bar], &mut y0_bar, &mut p_bar).unwrap();
            (x, y0_bar, p_bar)
        };
    let slopes =
        |x: &[f64]| x.iter().enumerate().map(|(i, x)| 2.0 * (i as f64 + 1.0) * x).collect::<Vec<f64>>();
    let (x, y0_bar, p_bar) = gradient(&mut hybrid, &p, &START, &|y| (y.to_vec(), slopes(y)));
    // `x0` is at the edge of the orthant in three species: differences for the others alone.
    let mut fd = hybrid.clone();
    compare("p_bar", &p_bar, &central_difference(&p, |p| loss(&mut fd, p, &START)), 1e-6).unwrap();
    let fd = central_difference(&START[..2], |s| loss(&mut fd, &p, &[s[0], s[1], 0.0, 0.0, 0.0]));
    compare("y0_bar", &y0_bar[..2], &fd, 1e-6).unwrap();

    // The loss of the reduced run, pulled back through what its states are made of.
    let q = [p.clone(), totals.clone()].concat();
    let expand = reduced.clone();
    let kept = reduced.kept().to_vec();
    let chain = |z: &[f64]| {
        let x = expand.states(z, &totals).unwrap();
        let bar = slopes(&x);
        // x depends on z by a constant matrix: its columns are differences.
        let z_bar = (0..z.len())
            .map(|k| {
                let mut moved = z.to_vec();
                moved[k] += 1.0;
                let moved = expand.states(&moved, &totals).unwrap();
                moved.iter().zip(&x).zip(&bar).map(|((a, b), bar)| (a - b) * bar).sum()
            })
            .collect();
        (x, z_bar)
    };
    let (x_reduced, z0_bar, q_bar) = gradient(&mut reduced, &q, &z0, &chain);
    compare("solution", &x_reduced, &x, 1e-12).unwrap();
    // The net and the laws: totals are fixed, so their gradients agree.
    compare("p_bar, reduced", &q_bar[..p.len()], &p_bar, 1e-9).unwrap();
    assert_eq!(z0_bar.len(), kept.len());
}

#[test]
fn explicit_euler_is_a_residual_network_to_the_bit() {
    let mut config = MlpFieldConfig::new(vec![0.0, 0.5], vec![1.0, 2.0]);
    config.time = Some((1.0, 1.0));
    let mut field = MlpField::<f64>::new(config).unwrap();
    let p = field.init(1);
    let (blocks, h) = (8, 0.125);
    let mut net = ResidualNet::new(field.clone(), blocks, h).unwrap();
    let n = 5;
    let x = uniform(1, 2 * n, -1.0..1.0);
    let (mut y, mut solved) = (vec![0.0; 2 * n], x.clone());
    net.forward(&x, &net.tied(&p), &mut y).unwrap();
    let options = SolveOptions::fixed(h);
    solve(&mut field, &p, &mut solved, (0.0, 1.0), &mut Erk::new(&EULER, n, 2), &options, &mut |_, _, _| {})
        .unwrap();
    assert_eq!(y, solved);
    // And the network as a field, with parameters of their own in each block.
    let q = uniform(2, blocks * p.len(), -0.3..0.3);
    net.forward(&x, &q, &mut y).unwrap();
    solved.clone_from(&x);
    solve(&mut net, &q, &mut solved, (0.0, 1.0), &mut Erk::new(&EULER, n, 2), &options, &mut |_, _, _| {})
        .unwrap();
    assert_eq!(y, solved);
}

/// `dX = A X dt + s_1 J X dW_1 + s_2 X dW_2` in two coordinates (Itô), with `J` a quarter turn; `E X(t) = exp(A t) x_0`. Or geometric
/// Brownian motion in each, if `separable`.
#[derive(Clone)]
struct Linear {
    separable: bool,
}

const A: [f64; 2] = [-0.3, 0.2]; // diagonal
const S: [f64; 2] = [0.7, 0.5];

impl VectorField<f64> for Linear {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.iter_mut().zip(y).enumerate().for_each(|(i, (dy, y))| *dy = A[i % 2] * y);
        Ok(())
    }
}

impl Diffusion<f64> for Linear {
    fn noise_kind(&self) -> NoiseKind {
        if self.separable { NoiseKind::Separable } else { NoiseKind::General { motions: 2 } }
    }
    fn diffusion(&mut self, _t: f64, y: &[f64], _p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        if self.separable {
            g.iter_mut().zip(y).enumerate().for_each(|(i, (g, y))| *g = S[i % 2] * y);
            return Ok(());
        }
        for (g, y) in g.chunks_exact_mut(4).zip(y.chunks_exact(2)) {
            g.copy_from_slice(&[-S[0] * y[1], S[1] * y[0], S[0] * y[0], S[1] * y[1]]);
        }
        Ok(())
    }
}

impl DiffusionJvp<f64> for Linear {
    fn diffusion_jvp(
        &mut self,
        t: f64,
        _y: &[f64],
        p: &[f64],
        v: &[f64],
        gv: &mut [f64],
    ) -> Result<(), FieldError> {
        self.diffusion(t, v, p, gv) // it is linear
    }
}

#[test]
fn both_calculi_have_the_means_that_formulas_say() {
    let n = 20_000;
    let x0 = [1.0, 0.5];
    let start = x0.repeat(n);
    let grid = TimeGrid::new(0.0, &[1.0], 0.02).unwrap();
    for separable in [true, false] {
        let ito = Linear { separable };
        let mut stratonovich = InCalculus::new(ito.clone(), Calculus::Stratonovich);
        let mut f = [0.0; 2];
        stratonovich.eval(0.0, &x0, &[], &mut f).unwrap();
        for i in 0..2 {
            // σ²/2 in each coordinate, or (σ_2² - σ_1²)/2, since J² = -1.
            let c = if separable { S[i] * S[i] } else { S[1] * S[1] - S[0] * S[0] };
            assert!((f[i] - (A[i] - 0.5 * c) * x0[i]).abs() < 1e-15);
        }
        let run = |heun: bool| {
            let mut options = EnsembleOptions::new(11);
            let ensemble = if heun {
                options.method = SdeMethod::StochasticHeun;
                simulate(&stratonovich, &[], &start, &grid, &options)
            } else {
                simulate(&ito, &[], &start, &grid, &options)
            };
            ensemble.unwrap().states.remove(0)
        };
        for y in [run(false), run(true)] {
            for i in 0..2 {
                let x: Vec<f64> = y.iter().skip(i).step_by(2).copied().collect();
                let mean = x.iter().sum::<f64>() / n as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                let exact = A[i].exp() * x0[i];
                let error = (variance / n as f64).sqrt();
                assert!(
                    (mean - exact).abs() < 4.0 * error + 0.005,
                    "{separable} {i}: {mean}, not {exact} ± {error}"
                );
                // The correction is many errors large: without it the test would fail.
                assert!(error < 0.01, "{error}");
            }
        }
    }
}

#[test]
fn chemical_noise_has_the_moments_of_a_birth_death_process_and_conserves() {
    // ∅ → X at 20, X → ∅ at x, in molecules: mean and variance 20 at rest. And X ⇌ Y, whose sum stays.
    let mut config = HybridConfig::new(vec![20.0]);
    config.noise = Some(ChemicalNoise { molecule: 1.0, smoothing: 1e-6 });
    config.push("birth", &[(0, 1)], RatePart::Known, Some(RateLaw::mass_action(20.0, &[])));
    config.push("death", &[(0, -1)], RatePart::Known, Some(RateLaw::mass_action(1.0, &[(0, 1)])));
    let hybrid = Hybrid::<f64>::from_laws(config).unwrap();
    let n = 20_000;
    let grid = TimeGrid::new(0.0, &[6.0], 0.02).unwrap();
    let cells = simulate(&hybrid, &hybrid.init(0), &vec![20.0; n], &grid, &EnsembleOptions::new(1)).unwrap();
    let mean = cells.states[0].iter().sum::<f64>() / n as f64;
    let variance = cells.states[0].iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
    // Errors of the moments are 0.03 and 0.2; Euler's steps make the variance 1/(1 - h/2) too large.
    assert!((mean - 20.0).abs() < 0.15 && (variance - 20.2).abs() < 0.9, "{mean} {variance}");

    let mut config = enzyme();
    config.noise = Some(ChemicalNoise { molecule: 1e-4, smoothing: 1e-3 });
    let laws = config.conservation_laws().unwrap();
    let hybrid = Hybrid::<f64>::from_laws(config).unwrap();
    let p = random(&hybrid, 3, 0.5);
    let cells = simulate(&hybrid, &p, &START.repeat(100), &grid, &EnsembleOptions::new(1)).unwrap();
    let mut apart = 0.0_f64;
    for x in cells.states[0].chunks_exact(5) {
        for w in &laws {
            let total = |x: &[f64]| w.iter().zip(x).map(|(&w, x)| w as f64 * x).sum::<f64>();
            assert!((total(x) - total(&START)).abs() < 1e-12);
        }
        apart = apart.max((x[3] - cells.states[0][3]).abs());
    }
    assert!(apart > 1e-3, "cells differ by their noise: {apart}");
}
