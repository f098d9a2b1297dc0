//! Fields learned from measured series.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::ops::ControlFlow;

use chreode_core::{BrownianIncrements, Diffusion as _, VectorField, field};
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, ModelConfig, NeuralSde};
use chreode_solve::{Erk, SolveOptions, TSIT5, solve};
use chreode_train::{
    IncrementsConfig, Series, SeriesConfig, SeriesError, SeriesEvent, SeriesFit, SeriesLoss, Trajectory,
    fit_increments, fit_series, fit_series_from,
};

fn states(f: &mut dyn VectorField<f64>, p: &[f64], y0: &[f64], times: &[f64]) -> Vec<f64> {
    let mut saved = Vec::new();
    let options = SolveOptions { save_at: times, ..SolveOptions::tolerance(1e-8, 1e-8) };
    let (mut y, mut tsit5) = (y0.to_vec(), Erk::new(&TSIT5, 1, y0.len()));
    let span = (0.0, times[times.len() - 1]);
    solve(f, p, &mut y, span, &mut tsit5, &options, &mut |_i, _t, y| saved.extend_from_slice(y)).unwrap();
    saved
}

fn spiral(y: &[f64], dy: &mut [f64]) {
    (dy[0], dy[1]) = (-0.1 * y[0] + 2.0 * y[1], -2.0 * y[0] - 0.1 * y[1]);
}

fn prey_and_predators(y: &[f64], dy: &mut [f64]) {
    (dy[0], dy[1]) = (1.5 * y[0] - y[0] * y[1], 0.75 * y[0] * y[1] - 3.0 * y[1]);
}

fn truth(rhs: fn(&[f64], &mut [f64]), y0: &[f64], times: &[f64]) -> Vec<f64> {
    let mut f = field(2, move |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| rhs(y, dy));
    states(&mut f, &[], y0, times)
}

/// `m` irregular times from zero to `end`, and what is measured there with normal errors of `sd`.
fn measure(rhs: fn(&[f64], &mut [f64]), y0: &[f64], m: usize, end: f64, sd: f64, key: u64) -> Trajectory {
    let noise = BrownianIncrements::new(key);
    let (mut jitter, mut errors) = (vec![0.0_f64; m], vec![0.0_f64; 2 * m]);
    noise.fill(0, 0, 1, 0.25 * 0.25, &mut jitter);
    noise.fill(1, 0, 2, sd * sd, &mut errors);
    let mut times: Vec<f64> =
        (0..m).map(|i| (i as f64 + jitter[i].clamp(-0.4, 0.4)).max(0.0) * end / (m - 1) as f64).collect();
    times[0] = 0.0;
    let values = truth(rhs, y0, &times).iter().zip(&errors).map(|(y, e)| y + e).collect();
    Trajectory { times, values }
}

fn net(series: &Series, time_scale: f64) -> NeuralSde<f64> {
    let (mean, spread) = series.moments();
    let mut config = ModelConfig::new(mean, spread);
    config.time_scale = time_scale;
    config.drift.hidden = vec![24, 24];
    config.drift.activation = Activation::Tanh;
    config.diffusion = DiffusionConfig::Constant { initial_level: 0.5 };
    NeuralSde::new(config).unwrap()
}

fn learn(series: &Series, config: &SeriesConfig, time_scale: f64) -> (NeuralSde<f64>, SeriesFit) {
    let net = net(series, time_scale);
    let progress = &mut |_p: &_| ControlFlow::Continue(());
    let fit = fit_series(&net, net.init(2), series, config, progress).unwrap();
    (net, fit)
}

/// Root mean square error over the standard deviation of the truth.
fn relative(learned: &[f64], truth: &[f64]) -> f64 {
    let n = truth.len() as f64;
    let mean = truth.iter().sum::<f64>() / n;
    let error: f64 = learned.iter().zip(truth).map(|(x, y)| (x - y).powi(2)).sum();
    (error / truth.iter().map(|y| (y - mean).powi(2)).sum::<f64>()).sqrt()
}

fn recovers(rhs: fn(&[f64], &mut [f64]), y0: [f64; 2], end: f64, period: f64, sd: f64) {
    let series = Series { dim: 2, trajectories: vec![measure(rhs, &y0, 80, end, sd, 3)] };
    let (mut net, fit) = learn(&series, &SeriesConfig::default(), period / 6.0);
    assert!(fit.hold_out.is_some());
    let times: Vec<f64> = (1..=200).map(|i| f64::from(i) * (end + period) / 200.0).collect();
    let (learned, truth) = (states(&mut net, &fit.params, &fit.starts, &times), truth(rhs, &y0, &times));
    let within = 2 * times.iter().filter(|t| **t <= end).count();
    let errors =
        [relative(&learned[..within], &truth[..within]), relative(&learned[within..], &truth[within..])];
    println!("within, beyond: {errors:?}; residual {:?}, sd {sd}", fit.residual);
    assert!(errors[0] < 0.1 && errors[1] < 0.3, "{errors:?}");
    assert!(fit.residual.iter().all(|r| (0.6..1.6).contains(&(r / sd))), "{:?}", fit.residual);
}

#[test]
fn a_noisy_spiral_is_learned_and_goes_on() {
    recovers(spiral, [2.0, 0.0], 7.0, 3.1, 0.05);
}

#[test]
fn prey_and_predators_are_learned_and_go_on() {
    recovers(prey_and_predators, [2.5, 1.0], 7.0, 3.1, 0.1);
}

#[test]
fn trajectories_share_a_field_and_gaps_are_no_zeros() {
    // Three runs at the same regular times, a coordinate missing now and then: batches, joined windows, NaN.
    let times: Vec<f64> = (0..40).map(|k| f64::from(k) * 0.1).collect();
    let runs = [[2.0, 0.0], [0.0, 1.5], [-1.0, -1.0]].map(|y0| {
        let mut values = truth(spiral, &y0, &times);
        values.iter_mut().skip(5).step_by(7).for_each(|v| *v = f64::NAN);
        Trajectory { times: times.clone(), values }
    });
    let series = Series { dim: 2, trajectories: runs.to_vec() };
    let config = SeriesConfig { loss: SeriesLoss::Likelihood, steps: 1200, ..SeriesConfig::default() };
    let (mut net, fit) = learn(&series, &config, 0.5);
    assert!(fit.residual.iter().all(|r| *r < 0.03), "{:?}", fit.residual);
    for (i, y0) in [[2.0, 0.0], [0.0, 1.5], [-1.0, -1.0]].iter().enumerate() {
        let start = &fit.starts[2 * i..2 * i + 2];
        assert!(start.iter().zip(y0).all(|(a, b)| (a - b).abs() < 0.1), "{start:?}");
    }
    // A start that was not seen.
    let (learned, truth) =
        (states(&mut net, &fit.params, &[1.0, 0.5], &times), truth(spiral, &[1.0, 0.5], &times));
    assert!(relative(&learned, &truth) < 0.15);
}

#[test]
fn same_bits_on_any_number_of_threads_and_what_breaks_off_keeps_the_best() {
    let runs =
        (0..3).map(|k| measure(spiral, &[2.0, 0.3 * f64::from(k)], 30, 3.0, 0.05, 7 + u64::from(k as u32)));
    let series = Series { dim: 2, trajectories: runs.collect() };
    let config = SeriesConfig { warm_start: 30, steps: 40, evaluate_every: 10, ..SeriesConfig::default() };
    let on = |threads: usize, until: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let net = net(&series, 0.5);
        pool.install(|| {
            let mut told = Vec::new();
            let fit = fit_series(&net, net.init(2), &series, &config, &mut |p| {
                told.push(p.clone());
                if p.step >= until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (fit.unwrap(), told)
        })
    };
    let one = on(1, u64::MAX);
    assert_eq!(one, on(2, u64::MAX));
    assert_eq!(one.1.last().unwrap().step, 70);
    // Broken off in the warm start, whole trajectories are still judged, once.
    let (fit, told) = on(2, 20);
    assert_eq!((told.len(), fit.step), (3, 20));
    assert_eq!(fit.starts.len(), 6);
}

/// From any state that was told, on another number of threads, the rest and the result have the same bits.
#[test]
fn it_goes_on_from_any_state_to_the_same_bits() {
    let runs =
        (0..3).map(|k| measure(spiral, &[2.0, 0.3 * f64::from(k)], 30, 3.0, 0.05, 7 + u64::from(k as u32)));
    let series = Series { dim: 2, trajectories: runs.collect() };
    let config = SeriesConfig { warm_start: 30, steps: 60, evaluate_every: 10, ..SeriesConfig::default() };
    let net = net(&series, 0.5);
    let run = |threads: usize, from: Option<&[u8]>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut told, mut states) = (Vec::new(), Vec::new());
        let fit = pool.install(|| {
            fit_series_from(&net, net.init(2), &series, &config, from, &mut |event| {
                match event {
                    SeriesEvent::Progress(p) => told.push(p.clone()),
                    SeriesEvent::State { step, bytes } => states.push((step, bytes.to_vec())),
                }
                ControlFlow::Continue(())
            })
        });
        (fit.unwrap(), told, states)
    };
    let (fit, told, states) = run(1, None);
    // Two of the warm start, and those of stages with windows and with whole trajectories.
    assert_eq!(states.iter().map(|s| s.0).collect::<Vec<_>>(), [10, 20, 30, 40, 50, 60, 70, 80]);
    assert!(told.iter().any(|p| p.window.is_some_and(|w| w < 29)) && fit.hold_out.is_some());
    for (step, state) in &states {
        let (again, rest, _) = run(2, Some(state));
        assert_eq!(again, fit, "from {step}");
        let after: Vec<_> = told.iter().filter(|p| p.step > *step).cloned().collect();
        assert!(!rest.is_empty() && rest == after, "from {step}");
    }
    // A damaged state, and that of another fit.
    let from = |config: &SeriesConfig, state: &[u8]| {
        let tell = &mut |_: SeriesEvent<'_>| ControlFlow::Continue(());
        fit_series_from(&net, net.init(2), &series, config, Some(state), tell).unwrap_err().to_string()
    };
    let mut damaged = states[3].1.clone();
    damaged[100] ^= 1;
    assert!(from(&config, &damaged).contains("checksum"));
    let other = SeriesConfig { learning_rate: 0.02, ..config.clone() };
    assert!(from(&other, &states[3].1).contains("its settings differ"));
}

#[test]
fn bad_series_and_settings_are_named() {
    let good = Trajectory { times: vec![0.0, 1.0, 2.0], values: vec![0.0; 6] };
    let error = |trajectory: Trajectory, config: &SeriesConfig| {
        let series = Series { dim: 2, trajectories: vec![good.clone(), trajectory] };
        let net = net(&Series { dim: 2, trajectories: vec![good.clone()] }, 1.0);
        let progress = &mut |_p: &_| ControlFlow::Continue(());
        fit_series(&net, net.init(0), &series, config, progress).unwrap_err().to_string()
    };
    let default = SeriesConfig::default();
    let with = |times: &[f64], values: &[f64]| Trajectory { times: times.to_vec(), values: values.to_vec() };
    let e = error(with(&[0.0, 1.0, 1.0], &[0.0; 6]), &default);
    assert!(e.contains("increase") && e.contains("trajectory number 1, observation 2"), "{e}");
    assert!(error(with(&[0.0], &[0.0; 2]), &default).contains("two observations"));
    assert!(error(with(&[0.0, 1.0], &[0.0; 3]), &default).contains("one row"));
    assert!(error(with(&[0.0, f64::NAN], &[0.0; 4]), &default).contains("not finite"));
    assert!(error(with(&[0.0, 1.0], &[0.0, 0.0, f64::INFINITY, 0.0]), &default).contains("infinite"));
    let e = error(good.clone(), &SeriesConfig { learning_rate: 0.0, ..default.clone() });
    assert!(e.contains("learning_rate = 0"), "{e}");
    let nowhere = with(&[0.0, 1.0], &[1.0, f64::NAN, 2.0, f64::NAN]);
    let series = Series { dim: 2, trajectories: vec![nowhere] };
    assert!(matches!(series.check(), Err(SeriesError::NeverMeasured { coordinate: 1 })));
}

#[test]
fn increments_give_back_drift_and_noise() {
    // dX = -2 (X - 1) dt + (0.3 + 0.2 tanh X) dW and an independent second coordinate, 2,000 paths of 20 steps of 1/50.
    let (h, noise) = (0.02_f64, BrownianIncrements::new(11));
    let g = |x: f64| 0.3 + 0.2 * x.tanh();
    let trajectories = (0..2000_u32).map(|k| {
        let mut dw = [0.0_f64; 40];
        noise.fill(u64::from(k), 0, 2, h, &mut dw);
        let mut x = [f64::from(k % 7) * 0.5 - 0.5, f64::from(k % 5) * 0.5];
        let mut values = x.to_vec();
        for dw in dw.chunks_exact(2) {
            x = [x[0] - 2.0 * (x[0] - 1.0) * h + g(x[0]) * dw[0], x[1] - x[1] * h + 0.5 * dw[1]];
            values.extend(x);
        }
        Trajectory { times: (0..21).map(|i| f64::from(i) * h).collect(), values }
    });
    let series = Series { dim: 2, trajectories: trajectories.collect() };
    let (mean, spread) = series.moments();
    let mut config = ModelConfig::new(mean, spread);
    config.time_scale = 0.5;
    config.drift.hidden = vec![32, 32];
    config.diffusion =
        DiffusionConfig::Diagonal { hidden: vec![16], activation: Activation::Silu, initial_level: 0.5 };
    let mut sde = NeuralSde::<f32>::new(config).unwrap();
    let fit = fit_increments(
        &sde,
        sde.init(1),
        &series,
        &IncrementsConfig { steps: 1500, ..Default::default() },
        &mut |_p| ControlFlow::Continue(()),
    )
    .unwrap();
    assert_eq!(fit.increments, [36_000, 4_000, 0]);
    assert!(fit.hold_out.is_some());
    for x in [0.0_f32, 0.5, 1.0, 1.5] {
        let (mut f, mut noise) = ([0.0_f32; 2], [0.0_f32; 2]);
        sde.drift_and_diffusion(0.0, &[x, 0.3], &fit.params, &mut f, &mut noise).unwrap();
        assert!((f[0] + 2.0 * (x - 1.0)).abs() < 0.15, "drift at {x}: {}", f[0]);
        assert!((f64::from(noise[0]) / g(f64::from(x)) - 1.0).abs() < 0.08, "noise at {x}: {}", noise[0]);
        assert!((noise[1] / 0.5 - 1.0).abs() < 0.08, "{}", noise[1]);
    }
}

/// Increments whose coordinates share noise, some of which were not measured; the covariance to 8 %.
#[test]
fn increments_recover_correlated_noise() {
    let (h, n, truth) = (0.02, 200, [[0.25, -0.2], [-0.2, 0.2]]); // of [[0.5, 0], [-0.4, 0.2]]
    let noise = BrownianIncrements::new(5);
    let trajectories = (0..40_u32).map(|k| {
        let mut dw = vec![0.0_f64; 2 * n];
        noise.fill(u64::from(k), 0, 2, h, &mut dw);
        let mut x = [f64::from(k % 5) * 0.4 - 0.8, 0.5];
        let mut values = x.to_vec();
        for (i, dw) in dw.chunks_exact(2).enumerate() {
            x = [x[0] - x[0] * h + 0.5 * dw[0], x[1] - x[1] * h - 0.4 * dw[0] + 0.2 * dw[1]];
            values.extend([x[0], if i % 7 == 3 { f64::NAN } else { x[1] }]);
        }
        Trajectory { times: (0..=n).map(|i| i as f64 * h).collect(), values }
    });
    let series = Series { dim: 2, trajectories: trajectories.collect() };
    let (mean, spread) = series.moments();
    let mut config = ModelConfig::new(mean, spread);
    config.drift.hidden = vec![8];
    let (hidden, activation, initial_level) = (vec![4], Activation::Silu, 0.5);
    for diffusion in [
        DiffusionConfig::LowRank { rank: 1, hidden: hidden.clone(), activation, initial_level },
        DiffusionConfig::General { hidden, activation, initial_level },
    ] {
        let mut sde = NeuralSde::<f64>::new(ModelConfig { diffusion, ..config.clone() }).unwrap();
        let options = IncrementsConfig { steps: 2000, learning_rate: 1e-2, ..Default::default() };
        let fit = fit_increments(&sde, sde.init(1), &series, &options, &mut |_p| ControlFlow::Continue(()))
            .unwrap();
        assert!(fit.increments[2] > 1000); // those that start where a coordinate is missing
        let motions = sde.noise_kind().motions(2);
        let mut g = vec![0.0; 2 * motions];
        sde.diffusion(0.0, &[0.0, 0.0], &fit.params, &mut g).unwrap();
        for (i, j) in [(0, 0), (0, 1), (1, 1)] {
            let found: f64 = (0..motions).map(|m| g[i * motions + m] * g[j * motions + m]).sum();
            assert!((found / truth[i][j] - 1.0).abs() < 0.08, "{motions} motions, {i} {j}: {found}");
        }
    }
    let diffusion = DiffusionConfig::Scalar { hidden: vec![4], activation, initial_level };
    let sde = NeuralSde::<f64>::new(ModelConfig { diffusion, ..config }).unwrap();
    let options = IncrementsConfig::default();
    let refused = fit_increments(&sde, sde.init(1), &series, &options, &mut |_p| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(SeriesError::FewMotions { motions: 1, coordinates: 2 })));
}
