//! The engine: the gradient of a loss over several segments, and its bits.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_core::{BrownianIncrements, VectorField};
use chreode_model::{DiffusionConfig, NeuralSde};
use chreode_solve::TimeGrid;
use chreode_testkit::check_gradient;
use chreode_train::{Cloud, CloudBar, CloudLoss, CpuEngine, LossConfig, Model, Segment, SinkhornConfig};

const ROWS: [usize; 2] = [150, 70]; // tiles of 64, 64, 22 and 64, 6

fn segments() -> Vec<Segment> {
    let grid = |t0, observe: &[f64]| TimeGrid::new(t0, observe, 0.2).unwrap();
    vec![
        Segment { grid: grid(0.0, &[0.5, 1.1]), rows: ROWS[0] },
        Segment { grid: grid(0.5, &[1.1]), rows: ROWS[1] },
    ]
}

/// Loss over all targets, and its gradient if asked for.
fn total(loss: &LossConfig, growth: bool, p: &[f64], gradient: bool) -> (f64, Vec<f64>) {
    total_of(common::neural::<f64>(growth), loss, growth, p, gradient)
}

fn total_of(
    sde: NeuralSde<f64>,
    loss: &LossConfig,
    growth: bool,
    p: &[f64],
    gradient: bool,
) -> (f64, Vec<f64>) {
    let model: Model<_, _> = sde.into();
    let mut engine = CpuEngine::new(&model, segments());
    let noise = BrownianIncrements::new(11);
    let data = common::snapshots::<f64>(&[0.0, 0.5, 1.1], 160, 3);
    let starts = [0, 1].map(|k| data.states[k].as_slice().unwrap()[..2 * ROWS[k]].to_vec()).to_vec();
    let first = [0, 1000];
    engine.simulate(p, &noise, &first, &starts).unwrap();
    let mut cloud_loss = CloudLoss::new(2, loss).unwrap();
    let (mut sum, mut state_bar, mut weight_bar) = (0.0, vec![], vec![]);
    for (s, targets) in [&[1, 2][..], &[2]].iter().enumerate() {
        let (mut sb, mut wb) = (vec![], vec![]);
        for (i, &t) in targets.iter().enumerate() {
            let (mut b, mut w) = (vec![0.0; 2 * ROWS[s]], vec![0.0; if growth { ROWS[s] } else { 0 }]);
            let x = Cloud::weighted(engine.states(s, i), engine.log_weights(s, i));
            let bar = CloudBar { states: &mut b, log_weights: &mut w };
            sum += cloud_loss
                .evaluate(x, Cloud::equal(data.states[t].as_slice().unwrap()), Some(bar))
                .unwrap()
                .value;
            sb.push(b);
            wb.push(w);
        }
        state_bar.push(sb);
        weight_bar.push(wb);
    }
    let mut p_bar = vec![0.0; p.len()];
    if gradient {
        engine.pull_back(p, &noise, &first, &state_bar, &weight_bar, &mut p_bar).unwrap();
    }
    (sum, p_bar)
}

#[test]
fn gradient_of_the_whole_loss() {
    let exact =
        SinkhornConfig { blur: 0.7, tolerance: 1e-11, max_iterations: 10_000, ..SinkhornConfig::default() };
    let energy = LossConfig::default();
    // One thread: thousands of small calls would mostly hand work over.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for (loss, growth) in [(energy, false), (energy, true), (LossConfig::Sinkhorn(exact), true)] {
            let p = common::neural::<f64>(growth).init(5);
            let (_, p_bar) = total(&loss, growth, &p, true);
            assert!(p_bar.iter().filter(|g| **g != 0.0).count() > p.len() * 9 / 10);
            check_gradient("p", &p_bar, &p, 1e-6, |p| total(&loss, growth, p, false).0).unwrap();
        }
    });
}

#[test]
fn gradients_go_through_noise_of_every_form() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let loss = LossConfig::default();
    pool.install(|| {
        for noise in common::noises().into_iter().chain([DiffusionConfig::Constant { initial_level: 0.4 }]) {
            let sde = common::neural_with::<f64>(noise);
            let p = sde.init(5);
            let (_, p_bar) = total_of(sde.clone(), &loss, false, &p, true);
            let value = |p: &[f64]| total_of(sde.clone(), &loss, false, p, false).0;
            check_gradient("p", &p_bar, &p, 1e-6, value).unwrap();
            assert!(p_bar.iter().all(|g| *g != 0.0), "{p_bar:?}");
        }
    });
}

#[test]
fn threads_do_not_matter() {
    let p = common::neural::<f64>(true).init(6);
    let runs = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| total(&LossConfig::default(), true, &p, true))
    });
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
}

#[test]
fn failing_paths_are_named() {
    let model = Model::new(common::Relaxation);
    let mut engine = CpuEngine::new(&model, segments());
    let mut starts = vec![vec![0.0_f64; 2 * ROWS[0]], vec![0.0; 2 * ROWS[1]]];
    starts[1][2 * 66 + 1] = f64::INFINITY;
    let p = common::TRUTH;
    assert_eq!(VectorField::<f64>::n_params(&common::Relaxation), p.len());
    let error = engine.simulate(&p, &BrownianIncrements::new(1), &[0, 500], &starts).unwrap_err();
    assert_eq!((error.segment, error.row), (1, Some(66)));
}

#[test]
fn gradients_of_another_shape_are_refused() {
    let model = Model::new(common::Relaxation);
    let mut engine = CpuEngine::new(&model, segments());
    let starts = [vec![0.0_f64; 2 * ROWS[0]], vec![0.0; 2 * ROWS[1]]];
    let (p, noise) = (common::TRUTH, BrownianIncrements::new(1));
    engine.simulate(&p, &noise, &[0, 500], &starts).unwrap();
    let mut pull_back = |states: &[Vec<Vec<f64>>]| {
        let none = [vec![], vec![]];
        engine.pull_back(&p, &noise, &[0, 500], states, &none, &mut [0.0; 6])
    };
    let full = |s: usize, observations| vec![vec![1.0; 2 * ROWS[s]]; observations];
    pull_back(&[full(0, 2), full(1, 1)]).unwrap();
    pull_back(&[vec![vec![], vec![1.0; 2 * ROWS[0]]], vec![]]).unwrap();
    assert_eq!(pull_back(&[full(0, 1), full(1, 1)]).unwrap_err().segment, 0);
    let short = pull_back(&[full(0, 2), vec![vec![1.0; 2 * ROWS[1] - 1]]]).unwrap_err();
    assert_eq!(short.to_string(), "segment 1: gradients to the states has length 139, expected 140");
    assert!(pull_back(&[full(0, 2)]).is_err());
}
