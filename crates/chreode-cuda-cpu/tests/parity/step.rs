//! A whole training step on the device: what the host is asked for.

use crate::lab::{lab, numbers};
use chreode_cuda::{
    Activation, Adam, Divergence, DivergenceOptions, Ensemble, EnsembleShape, NetShape, Precision, Steps,
    adam,
};

/// Paths, divergences at both observations, gradient and update: nothing goes to the device, and what comes back are the numbers of paths that failed and
/// the values, at the end. The launches that the docs count.
#[test]
fn host_copies() {
    let Some(lab) = lab() else { return };
    let (d, n, stream) = (3, 70, &lab.stream);
    let net = |offset| NetShape { widths: vec![d, 20, 24, d], activation: Activation::Silu, offset };
    let n_params = 2 * net(0).n_params();
    let [zeros, ones] = [0.0, 1.0].map(|v| vec![v; d]);
    let shape = EnsembleShape {
        drift: net(0),
        noise: net(net(0).n_params()),
        growth: None,
        n_params,
        shift: zeros,
        inv_scale: ones.clone(),
        drift_unit: ones.clone(),
        noise_unit: ones,
    };
    let count = 6;
    let observed = (1..=count).map(|k| if k % 3 == 0 { Some(k / 3 - 1) } else { None }).collect();
    let steps = Steps { h: vec![0.1; count], observed, seen: Vec::new() };
    let mut ensemble = Ensemble::new(stream, shape, &steps, n, true, None).unwrap();
    let start = numbers(1, n * d);
    let mut p = lab.upload(&numbers(2, n_params).iter().map(|v| 0.3 * v).collect::<Vec<f32>>());
    let options = DivergenceOptions { blur: 0.2, tolerance: None, ..DivergenceOptions::default() };
    let equal = vec![1.0; n];
    // Where the cells go: the step has to move the paths there.
    let target = |k: f32| numbers(3, n * d).iter().map(|v| 0.5 * v + 0.4 * k).collect::<Vec<f32>>();
    let mut losses =
        [1.0, 2.0].map(|k| Divergence::new(stream, d, &target(k), &equal, &equal, options).unwrap());
    let start = lab.upload(&start);
    let weight_bar = stream.zeros(2 * n).unwrap();
    let [mut state_bar, mut start_bar, mut p_bar, mut first, mut second] =
        [2 * n * d, n * d, n_params, n_params, n_params].map(|len| stream.zeros(len).unwrap());
    let settings = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        ensemble.set_precision(precision);
        let mut values = Vec::new();
        for number in 1..=12 {
            let counts = |before: [u64; 3]| {
                let Some(stand_in) = lab.stand_in else { return before };
                let [from, to] = stand_in.copies();
                [stand_in.launches() - before[0], from - before[1], to - before[2]]
            };
            let before = counts([0; 3]);
            ensemble.begin_forward(&p, 7, 0, &start).unwrap();
            for (k, loss) in losses.iter_mut().enumerate() {
                loss.evaluate(ensemble.observed(), k * n * d, &mut state_bar).unwrap();
            }
            ensemble.backward(&p, &state_bar, &weight_bar, &mut start_bar, &mut p_bar).unwrap();
            adam(settings, number, 0.01, &p_bar, &mut first, &mut second, &mut p).unwrap();
            if lab.stand_in.is_some() {
                let [launches, from, to] = counts(before);
                assert_eq!([from, to], [0, 0]);
                // Two packings, the paths, for each loss bounds, schedule, costs, updates, pulls and the end; for each chunk layers, the way back and two nets; sum, Adam.
                let chunks = count.div_ceil(ensemble.steps_at_a_time()) as u64;
                assert_eq!(launches, 3 + 2 * (3 + UPDATES + 2) + 4 * chunks + 2);
            }
            ensemble.check().unwrap();
            values.push(losses.iter().map(|l| l.value().unwrap()).sum::<f64>());
            if lab.stand_in.is_some() {
                assert_eq!(counts(before)[1..], [3, 0]);
            }
        }
        assert!(values[11] < 0.9 * values[0], "{precision:?}: {values:?}"); // it did learn
    }
}

/// Levels that a scaling of 0.5 may have, and the last update.
const UPDATES: u64 = 23 + 1;
