//! Paths and their gradients, against `chreode-solve` and `chreode-adjoint` with a model of `chreode-model`.

use crate::lab::{Lab, close, difference, lab, numbers, sizes, tries};
use crate::mlp::{smooth, twin};
use chreode_adjoint::SdeAdjoint;
use chreode_core::{BrownianIncrements, GrowthVjp};
use chreode_cuda::{Activation, CudaError, Ensemble, EnsembleShape, GrowthShape, NetShape, Precision, Steps};
use chreode_model::{DiffusionConfig, DriftConfig, GrowthConfig, ModelConfig, NeuralSde};
use chreode_solve::TimeGrid;
use proptest::prelude::*;

/// What a model is, for both sides.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) d: usize,
    pub(crate) drift: Vec<usize>,
    pub(crate) noise: Option<Vec<usize>>,
    pub(crate) growth: Option<Vec<usize>>,
    pub(crate) activation: Activation,
    pub(crate) n: usize,
    pub(crate) times: Vec<f64>,
    /// Whether drift and growth see the time.
    pub(crate) timed: bool,
}

fn cases(activations: Vec<Activation>) -> impl Strategy<Value = Case> {
    let hidden = || prop::collection::vec(prop_oneof![1_usize..24, Just(70)], 0..3);
    let times = prop::collection::vec(0.2..0.7_f64, 1..4);
    let activation = prop::sample::select(activations);
    let nets = (hidden(), prop::option::of(hidden()), prop::option::of(hidden()));
    (1_usize..9, nets, activation, sizes(), times, any::<bool>()).prop_map(
        |(d, (drift, noise, growth), activation, n, gaps, timed)| Case {
            timed,
            d,
            drift,
            noise,
            growth,
            activation,
            n,
            times: gaps
                .iter()
                .scan(0.5, |t, gap| {
                    *t += gap;
                    Some(*t)
                })
                .collect(),
        },
    )
}

impl Case {
    fn model(&self) -> NeuralSde<f32> {
        let activation = twin(self.activation);
        let spread = |from: f64| (0..self.d).map(|i| from + 0.1 * i as f64).collect();
        NeuralSde::new(ModelConfig {
            time_scale: 1.3,
            // Gaps that end inside of runs and at observations, and runs that begin before the first.
            times: self.timed.then(|| [&[0.6, 0.83], &self.times[..]].concat()).map(|mut times| {
                times.sort_by(f64::total_cmp);
                times.dedup();
                times
            }),
            drift: DriftConfig { hidden: self.drift.clone(), activation, ..DriftConfig::default() },
            diffusion: match &self.noise {
                Some(hidden) => {
                    DiffusionConfig::Diagonal { hidden: hidden.clone(), activation, initial_level: 0.4 }
                }
                None => DiffusionConfig::Constant { initial_level: 0.4 },
            },
            growth: self.growth.clone().map(|hidden| GrowthConfig { hidden, activation, max_rate: 1.5 }),
            ..ModelConfig::new(spread(-0.2), spread(0.8))
        })
        .unwrap()
    }

    fn shape(&self, model: &NeuralSde<f32>) -> EnsembleShape {
        let config = model.config();
        let net = |inputs: usize, hidden: &[usize], outputs: usize, offset| NetShape {
            widths: [&[inputs][..], hidden, &[outputs]].concat(),
            activation: self.activation,
            offset,
        };
        let inputs = self.d + if self.timed { 2 } else { 0 };
        let drift = net(inputs, &self.drift, self.d, 0);
        let noise = match &self.noise {
            Some(hidden) => net(self.d, hidden, self.d, drift.n_params()),
            None => net(0, &[], self.d, drift.n_params()),
        };
        let growth = self.growth.as_ref().map(|hidden| GrowthShape {
            net: net(inputs, hidden, 1, drift.n_params() + noise.n_params()),
            unit: (1.5 / config.time_scale) as f32,
        });
        let of = |f: &dyn Fn(f64) -> f64, values: &[f64]| values.iter().map(|&v| f(v) as f32).collect();
        EnsembleShape {
            drift,
            noise,
            growth,
            n_params: model.layout().len(),
            shift: of(&|v| v, &config.shift),
            inv_scale: of(&|v| 1.0 / v, &config.scale),
            drift_unit: of(&|v| v / config.time_scale, &config.scale),
            noise_unit: of(&|v| v / config.time_scale.sqrt(), &config.scale),
        }
    }
}

fn steps(model: &NeuralSde<f32>, grid: &TimeGrid) -> Steps {
    Steps {
        h: (0..grid.steps()).map(|k| grid.step(k).1).collect(),
        observed: (0..grid.steps()).map(|k| grid.observed_after(k)).collect(),
        seen: (0..grid.steps()).filter_map(|k| model.time_inputs(grid.step(k).0)).flatten().collect(),
    }
}

/// States, log-weights, and the gradients in the start states and the parameters, from both: 2e-5, and 5e-5 for gradients.
pub(crate) fn compare(lab: &Lab, case: &Case, seed: u64, memory: Option<usize>) {
    compare_in(lab, case, seed, memory, Precision::F32, [2e-5, 5e-5]);
}

/// The same with factors that are rounded so on the device, to a tolerance of values and one of gradients.
fn compare_in(
    lab: &Lab,
    case: &Case,
    seed: u64,
    memory: Option<usize>,
    precision: Precision,
    [of_values, of_gradients]: [f32; 2],
) {
    let mut model = case.model();
    let p: Vec<f32> =
        model.init(seed).iter().zip(numbers(seed, model.layout().len())).map(|(p, z)| p + 0.1 * z).collect();
    let grid = TimeGrid::new(0.5, &case.times, 0.15).unwrap();
    let (n, d, seen, first) = (case.n, case.d, case.times.len(), 77);
    let start = numbers(seed ^ 3, n * d);
    let state_bar: Vec<Vec<f32>> = (0..seen).map(|i| numbers(seed ^ (10 + i as u64), n * d)).collect();
    let weight_bar: Vec<Vec<f32>> = (0..seen)
        .map(|i| numbers(seed ^ (20 + i as u64), if case.growth.is_some() { n } else { 0 }))
        .collect();

    let noise = BrownianIncrements::new(seed);
    let mut growth = model.growth_net();
    let mut paths = SdeAdjoint::new(n.max(1), d, &grid);
    let (mut start_bar, mut p_bar) = (vec![0.0_f32; n * d], vec![0.0_f32; p.len()]);
    let as_dyn = growth.as_mut().map(|g| g as &mut dyn GrowthVjp<f32>);
    paths.forward(&mut model, as_dyn, &noise, first, &grid, &start, &p).unwrap();
    let states: Vec<f32> = (0..seen).flat_map(|i| paths.observed(i).to_vec()).collect();
    let weights: Vec<f32> = (0..seen).flat_map(|i| paths.log_weights(i).to_vec()).collect();
    let [state_slices, weight_slices]: [Vec<&[f32]>; 2] =
        [&state_bar, &weight_bar].map(|bars| bars.iter().map(Vec::as_slice).collect());
    let as_dyn = growth.as_mut().map(|g| g as &mut dyn GrowthVjp<f32>);
    paths
        .backward(
            &mut model,
            as_dyn,
            &noise,
            first,
            &grid,
            &p,
            &state_slices,
            &weight_slices,
            &mut start_bar,
            &mut p_bar,
        )
        .unwrap();

    let shape = case.shape(&model);
    let weight_bar = if case.growth.is_some() { weight_bar.concat() } else { vec![0.0; seen * n] };
    let got = lab.both_orders(|stream| {
        let mut ensemble =
            Ensemble::new(stream, shape.clone(), &steps(&model, &grid), n, true, memory).unwrap();
        ensemble.set_precision(precision);
        let [p, start, state_bar, weight_bar] =
            [&p, &start, &state_bar.concat(), &weight_bar].map(|v| stream.upload(v).unwrap());
        let [mut start_bar, mut p_bar] = [n * d, p.len()].map(|len| stream.zeros(len).unwrap());
        ensemble.forward(&p, seed, first, &start).unwrap();
        let (states, weights) =
            (ensemble.observed().to_vec().unwrap(), ensemble.log_weights().to_vec().unwrap());
        ensemble.backward(&p, &state_bar, &weight_bar, &mut start_bar, &mut p_bar).unwrap();
        vec![states, weights, start_bar.to_vec().unwrap(), p_bar.to_vec().unwrap()]
    });
    close("states", &got[0], &states, of_values);
    close("log-weights", &got[1], &weights, of_values);
    close("adjoints of the start states", &got[2], &start_bar, of_gradients);
    close("adjoints of the parameters", &got[3], &p_bar, of_gradients);
}

proptest! {
    #![proptest_config(tries(16))]

    /// A dozen steps of nets with up to 70 units: 2e-5 of the largest state, 5e-5 of the largest gradient.
    #[test]
    fn paths_and_gradients(case in cases(Activation::ALL.to_vec()), seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        compare(&lab, &case, seed, None);
    }

    /// With rounded factors: 5e-3 and 4e-2.
    #[test]
    fn rounded_paths_and_gradients(case in cases(smooth()), seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        for (precision, tolerance) in [(Precision::Tf32, 5e-3), (Precision::Bf16, 4e-2)] {
            compare_in(&lab, &case, seed, None, precision, [tolerance; 2]);
        }
    }
}

fn middle() -> Case {
    Case {
        d: 5,
        drift: vec![33, 17],
        noise: Some(vec![9]),
        growth: Some(vec![8]),
        activation: Activation::Silu,
        n: 97,
        times: vec![0.9, 1.6],
        timed: true,
    }
}

/// Where memory is short, a few steps at a time: the same gradient.
#[test]
fn little_memory() {
    let Some(lab) = lab() else { return };
    let case = middle();
    let model = case.model();
    let shape = case.shape(&model);
    let grid = TimeGrid::new(0.5, &case.times, 0.15).unwrap();
    let make =
        |memory| Ensemble::new(&lab.stream, shape.clone(), &steps(&model, &grid), case.n, true, Some(memory));
    let Err(CudaError::DoesNotFit { needed, rows: 97, fitting: 0, .. }) = make(1000) else {
        panic!("it fits")
    };
    assert_eq!(make(needed).unwrap().steps_at_a_time(), 1);
    let Err(CudaError::DoesNotFit { fitting, .. }) = make(needed - 1) else { panic!("it fits") };
    assert_eq!(fitting, 96);
    assert!(make(2 * needed).unwrap().steps_at_a_time() > 1);
    for memory in [needed, needed + needed / 10] {
        compare(&lab, &case, 11, Some(memory));
    }
}

/// What nets see of the steps must be there for each step, and no net may see what is not.
#[test]
fn what_nets_see_of_steps() {
    let Some(lab) = lab() else { return };
    let case = middle();
    let model = case.model();
    let (shape, good) = (case.shape(&model), steps(&model, &TimeGrid::new(0.5, &case.times, 0.15).unwrap()));
    let refused = |shape: &EnsembleShape, steps: &Steps| {
        Ensemble::new(&lab.stream, shape.clone(), steps, 3, false, None).err()
    };
    assert_eq!(refused(&shape, &good), None);
    let (expected, got) = (2 * good.h.len(), 2 * good.h.len() - 1);
    let short = Steps { seen: good.seen[1..].to_vec(), ..good.clone() };
    let what = "what nets see of the steps";
    assert_eq!(refused(&shape, &short), Some(CudaError::Shape { what, expected, got }));
    let mut blind = shape.clone();
    blind.growth.as_mut().unwrap().net.widths[0] = case.d;
    let what = "inputs of the growth";
    assert_eq!(refused(&blind, &good), Some(CudaError::Shape { what, expected: case.d + 2, got: case.d }));
    let mut narrow = shape;
    narrow.drift.widths[0] = case.d - 1;
    let what = "inputs of the drift (at least)";
    assert_eq!(
        refused(&narrow, &Steps { seen: Vec::new(), ..good }),
        Some(CudaError::Shape { what, expected: case.d, got: case.d - 1 })
    );
}

/// A row that runs away is named, with the step.
#[test]
fn runaway_rows_are_named() {
    let Some(lab) = lab() else { return };
    let case = middle();
    let model = case.model();
    let grid = TimeGrid::new(0.5, &case.times, 0.15).unwrap();
    let mut ensemble =
        Ensemble::new(&lab.stream, case.shape(&model), &steps(&model, &grid), case.n, false, None).unwrap();
    let mut start = numbers(3, case.n * case.d);
    let p = lab.upload(&model.init(1));
    ensemble.forward(&p, 1, 0, &lab.upload(&start)).unwrap();
    start[40 * case.d + 2] = f32::INFINITY;
    let failed = ensemble.forward(&p, 1, 0, &lab.upload(&start));
    assert_eq!(failed, Err(CudaError::NonFinite { row: 40, step: 0 }));
}

/// Common random numbers: rows of one run are rows of another that starts later, with large tiles or without.
#[test]
fn rows_do_not_depend_on_their_neighbours() {
    let Some(lab) = lab() else { return };
    let case = middle();
    let model = case.model();
    let grid = TimeGrid::new(0.5, &case.times, 0.15).unwrap();
    // Two large tiles for every multiprocessor, and some rows of one more.
    let n = 128 * lab.stream.device().info().multiprocessors + 37;
    let (p, start) = (lab.upload(&model.init(1)), numbers(3, n * case.d));
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        let run = |from: usize, n: usize| {
            let mut part =
                Ensemble::new(&lab.stream, case.shape(&model), &steps(&model, &grid), n, false, None)
                    .unwrap();
            part.set_precision(precision);
            let rows = &start[from * case.d..(from + n) * case.d];
            part.forward(&p, 5, from as u64, &lab.upload(rows)).unwrap();
            part.observed().to_vec().unwrap()
        };
        let all = run(0, n);
        for (from, rows) in [(50, 13), (n - 40, 40)] {
            let part = run(from, rows);
            assert_eq!(all[from * case.d..][..rows * case.d], part[..rows * case.d], "{precision:?}");
        }
    }
}

/// Paths and gradients with factors of 10 bits, 5e-3 of the largest value, and of 7 bits, 4e-2.
#[test]
fn rounded_factors() {
    let Some(lab) = lab() else { return };
    let case = middle();
    let model = case.model();
    let grid = TimeGrid::new(0.5, &case.times, 0.15).unwrap();
    let p = model.init(1);
    for n in [37, case.n] {
        let start = numbers(3, n * case.d);
        let (state_bar, weight_bar) = (numbers(4, 2 * n * case.d), numbers(5, 2 * n));
        let runs = lab.both_orders(|stream| {
            let mut ensemble =
                Ensemble::new(stream, case.shape(&model), &steps(&model, &grid), n, true, None).unwrap();
            let [p, start, state_bar, weight_bar] =
                [&p, &start, &state_bar, &weight_bar].map(|v| stream.upload(v).unwrap());
            let [mut start_bar, mut p_bar] = [start.len(), p.len()].map(|len| stream.zeros(len).unwrap());
            let mut all = Vec::new();
            for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
                ensemble.set_precision(precision);
                ensemble.forward(&p, 7, 0, &start).unwrap();
                ensemble.backward(&p, &state_bar, &weight_bar, &mut start_bar, &mut p_bar).unwrap();
                all.push(ensemble.observed().to_vec().unwrap());
                all.extend([&start_bar, &p_bar].map(|b| b.to_vec().unwrap()));
            }
            all
        });
        for i in 0..3 {
            for (rounded, most) in [(3 + i, 5e-3), (6 + i, 4e-2)] {
                let off = difference(&runs[rounded], &runs[i]);
                assert!(off > 1e-6 && off < most, "{rounded} of {n}: {off}");
            }
        }
    }
}

/// Paths and gradients have the same bits whatever rows a block owns, and however many steps at a time: large tiles for the layers of all steps, small ones
/// for those of one. Only the parameters' sums go otherwise then.
#[test]
fn tiles_of_gradients() {
    let Some(lab) = lab() else { return };
    let case = middle();
    let model = case.model();
    let grid = TimeGrid::new(0.5, &case.times, 0.15).unwrap();
    let p = model.init(1);
    let n = case.n;
    let start = numbers(3, n * case.d);
    let (state_bar, weight_bar) = (numbers(4, 2 * n * case.d), numbers(5, 2 * n));
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        let run = |rows: Option<usize>, memory: Option<usize>| {
            let stream = &lab.stream;
            let mut ensemble =
                Ensemble::new(stream, case.shape(&model), &steps(&model, &grid), n, true, memory).unwrap();
            ensemble.set_precision(precision);
            ensemble.set_rows_of_block(rows).unwrap();
            let [p, start, state_bar, weight_bar] =
                [&p, &start, &state_bar, &weight_bar].map(|v| stream.upload(v).unwrap());
            let [mut start_bar, mut p_bar] = [start.len(), p.len()].map(|len| stream.zeros(len).unwrap());
            ensemble.begin_forward(&p, 7, 0, &start).unwrap();
            ensemble.backward(&p, &state_bar, &weight_bar, &mut start_bar, &mut p_bar).unwrap();
            ensemble.check().unwrap();
            let at_a_time = ensemble.steps_at_a_time();
            ([ensemble.observed(), &start_bar, &p_bar].map(|b| b.to_vec().unwrap()), at_a_time)
        };
        let (all, at_a_time) = run(None, None);
        // Two large tiles for every multiprocessor of the stand-in.
        assert!(n * at_a_time >= 512);
        for rows in [16, 32] {
            assert_eq!(run(Some(rows), None).0, all, "{precision:?}, {rows} rows");
        }
        let Err(CudaError::DoesNotFit { needed, .. }) =
            Ensemble::new(&lab.stream, case.shape(&model), &steps(&model, &grid), n, true, Some(1000))
        else {
            panic!("it fits")
        };
        let (few, at_a_time) = run(None, Some(needed));
        assert_eq!(at_a_time, 1);
        assert_eq!(few[..2], all[..2], "{precision:?}");
        close("adjoints of the parameters", &few[2], &all[2], 1e-5);
    }
}
