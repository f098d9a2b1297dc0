//! How long the kernels take on a GPU: one line for each case, `case,chreode,milliseconds,spread,number`, which `benches/gpu/peers.py` writes of
//! the same work by other projects.
//!
//! `gpu_times` runs all cases, `gpu_times NAME..` those whose names begin so, `gpu_times --once NAME..` each a single time, for a profiler. The time
//! is the median of several runs after a first one, from before the call to after the device is done; the spread is the slowest less the
//! fastest. The number is a loss, a mean or a count that shows what was computed. Sizes are divided by `CHREODE_GPU_SHRINK`, if it is set.

use std::error::Error;
use std::time::Instant;

use chreode_cuda::{
    Activation, Adam, AdaptiveOptions, CudaError, Device, Divergence, DivergenceOptions, Ensemble,
    EnsembleShape, Mlp, NetShape, Network, Precision, Steps, Stream, Term, TrajectoryEnd, adam, nearest,
};

use chreode_model::{DiffusionConfig, DriftConfig, ModelConfig, NeuralSde};
use chreode_solve::TimeGrid;
use chreode_train::{CudaEngine, Segment};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DIM: usize = 50;
const WIDTH: usize = 512;
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];
const BLUR: f64 = 0.05;

/// Numbers of a stream, even in -1..1; `peers.py` has the same.
fn noise(stream: u64, n: usize) -> Vec<f64> {
    let one = |i: u64| {
        let mut z = (stream << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / 2.0_f64.powi(63) - 1.0
    };
    (0..n as u64).map(one).collect()
}

/// Cells of unit variance around 0.3 k in every coordinate.
fn cloud(k: u64, n: usize) -> Vec<f32> {
    let moved = |z| (3.0_f64.sqrt() * z + 0.3 * k as f64) as f32;
    noise(20 + k, n * DIM).into_iter().map(moved).collect()
}

/// Weights and biases of a net 50-512-512-50.
fn weights(stream: u64) -> Vec<f32> {
    let mut p = Vec::new();
    for (l, (inputs, outputs)) in [(DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, DIM)].into_iter().enumerate() {
        let bound = if l == 2 { 0.3 } else { 1.0 } / (inputs as f64).sqrt();
        for (part, len) in [(0, inputs * outputs), (1, outputs)] {
            p.extend(noise(stream + 2 * l as u64 + part, len).iter().map(|z| (bound * z) as f32));
        }
    }
    p
}

fn net(offset: usize) -> NetShape {
    NetShape { widths: vec![DIM, WIDTH, WIDTH, DIM], activation: Activation::Silu, offset }
}

/// A drift with noise by a net of its own, or constant.
fn shape(two: bool) -> (EnsembleShape, Vec<f32>) {
    let drift = net(0);
    let mut p = weights(40);
    let noise = if two {
        p.extend(weights(50));
        net(drift.n_params())
    } else {
        p.extend([0.0; DIM]);
        NetShape { widths: vec![0, DIM], activation: Activation::Identity, offset: drift.n_params() }
    };
    let [shift, inv_scale, drift_unit, noise_unit] = [0.0, 1.0, 1.0, 1.0].map(|v| vec![v; DIM]);
    let n_params = p.len();
    (EnsembleShape { drift, noise, growth: None, n_params, shift, inv_scale, drift_unit, noise_unit }, p)
}

/// Steps of 0.1, with an observation after half of them and at the end.
fn steps(count: usize) -> Steps {
    let observed = |k| {
        if k == count {
            Some(1)
        } else if k == count / 2 {
            Some(0)
        } else {
            None
        }
    };
    Steps { h: vec![0.1; count], observed: (1..=count).map(observed).collect(), seen: Vec::new() }
}

/// What to run, and how often.
struct Bench {
    stream: Stream,
    only: Vec<String>,
    once: bool,
    shrink: usize,
}

impl Bench {
    /// Whether the case is wanted.
    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| case.starts_with(o.as_str()))
    }

    /// Runs the case `times` times and tells of it.
    fn measure(
        &self,
        case: &str,
        precision: Precision,
        times: usize,
        f: impl FnMut() -> Outcome<f64>,
    ) -> Outcome<()> {
        let who = match precision {
            Precision::F32 => "chreode",
            Precision::Tf32 => "chreode TF32",
            Precision::Bf16 => "chreode bf16",
        };
        self.measure_as(case, who, times, f)
    }

    /// As [`measure`](Self::measure), for one of several ways.
    fn measure_as(
        &self,
        case: &str,
        who: &str,
        times: usize,
        mut f: impl FnMut() -> Outcome<f64>,
    ) -> Outcome<()> {
        let mut number = f()?;
        self.stream.synchronize()?;
        let (mut took, mut calls) = (Vec::new(), Vec::new());
        for _ in 0..if self.once { 0 } else { times } {
            let begun = Instant::now();
            number = f()?;
            calls.push(begun.elapsed().as_secs_f64() * 1e3);
            self.stream.synchronize()?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let tell = |who: &str, times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            if let (Some(least), Some(most)) = (times.first(), times.last()) {
                println!("{case},{who},{:.4},{:.4},{number:.6}", times[times.len() / 2], most - least);
            }
        };
        tell(who, &mut took);
        // Where the host does not wait for the device: what its calls alone take.
        calls.sort_by(f64::total_cmp);
        if calls.last().zip(took.first()).is_some_and(|(calls, took)| 10.0 * calls < *took) {
            tell(&format!("{who} until the host is free"), &mut calls);
        }
        Ok(())
    }

    fn size(&self, n: usize) -> usize {
        (n / self.shrink).max(1)
    }

    fn mlp(&self) -> Outcome<()> {
        let (case, n) = ("mlp-forward", self.size(65536));
        if !self.wants(case) {
            return Ok(());
        }
        let mut mlp = Mlp::new(&self.stream, net(0), n)?;
        let (p, x) = (self.stream.upload(&weights(40))?, self.stream.upload(&cloud(0, n))?);
        let mut y = self.stream.zeros(n * DIM)?;
        for precision in PRECISIONS {
            mlp.set_precision(precision);
            self.measure(case, precision, 9, || Ok(mlp.forward(&p, &x, &mut y).map(|()| 0.0)?))?;
        }
        Ok(())
    }

    fn paths(&self) -> Outcome<()> {
        for (case, two, n, count, times) in [
            ("paths-drift-2048x40", false, 2048, 40, 9),
            ("paths-both-2048x40", true, 2048, 40, 9),
            ("paths-drift-100000x400", false, 100_000, 400, 2),
            ("paths-both-100000x400", true, 100_000, 400, 2),
        ] {
            if !self.wants(case) {
                continue;
            }
            let n = self.size(n);
            let (shape, p) = shape(two);
            let mut ensemble = Ensemble::new(&self.stream, shape, &steps(count), n, false, None)?;
            let (p, start) = (self.stream.upload(&p)?, self.stream.upload(&cloud(0, n))?);
            for precision in PRECISIONS {
                ensemble.set_precision(precision);
                self.measure(case, precision, times, || {
                    Ok(ensemble.forward(&p, 1, 0, &start).map(|()| 0.0)?)
                })?;
            }
        }
        Ok(())
    }

    /// Forward and backward pass; and with two Sinkhorn divergences and Adam.
    fn training(&self) -> Outcome<()> {
        let n = self.size(2048);
        let (shape, p) = shape(true);
        let parameters = p.len();
        let stream = &self.stream;
        let gradient = "gradient-2048x40";
        let step = "training-step-2048x40";
        let rows = [16, 32].map(|rows| (rows, format!("gradient-rows{rows}-2048x40")));
        let rows: Vec<_> = rows.into_iter().filter(|(_, case)| self.wants(case)).collect();
        if !self.wants(gradient) && !self.wants(step) && rows.is_empty() {
            return Ok(());
        }
        let mut ensemble = Ensemble::new(stream, shape, &steps(40), n, true, None)?;
        let (mut p, start) = (stream.upload(&p)?, stream.upload(&cloud(0, n))?);
        let mut start_bar = stream.zeros(n * DIM)?;
        let mut p_bar = stream.zeros(parameters)?;
        let weight_bar = stream.zeros(2 * n)?;
        // With tiles of either size: which one is faster is measured, not known.
        for (rows, case) in rows {
            let bar = stream.upload(&cloud(3, 2 * n))?;
            ensemble.set_rows_of_block(Some(rows))?;
            for precision in PRECISIONS {
                ensemble.set_precision(precision);
                self.measure(&format!("paths-rows{rows}-2048x40"), precision, 9, || {
                    Ok(ensemble.begin_forward(&p, 1, 0, &start).map(|()| 0.0)?)
                })?;
                self.measure(&case, precision, 9, || {
                    ensemble.begin_forward(&p, 1, 0, &start)?;
                    ensemble.backward(&p, &bar, &weight_bar, &mut start_bar, &mut p_bar)?;
                    Ok(0.0)
                })?;
            }
            ensemble.set_rows_of_block(None)?;
        }
        if self.wants(gradient) {
            let bar = stream.upload(&cloud(3, 2 * n))?;
            for precision in PRECISIONS {
                ensemble.set_precision(precision);
                self.measure(gradient, precision, 9, || {
                    ensemble.forward(&p, 1, 0, &start)?;
                    ensemble.backward(&p, &bar, &weight_bar, &mut start_bar, &mut p_bar)?;
                    Ok(0.0)
                })?;
            }
        }
        if self.wants(step) {
            let options = divergence_options();
            let equal = vec![1.0; n];
            let mut losses = Vec::new();
            for k in [1, 2] {
                losses.push(Divergence::new(stream, DIM, &cloud(k, n), &equal, &equal, options)?);
            }
            let mut state_bar = stream.zeros(2 * n * DIM)?;
            let (mut first, mut second) = (stream.zeros(parameters)?, stream.zeros(parameters)?);
            let settings = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
            let mut number = 0;
            for precision in PRECISIONS {
                ensemble.set_precision(precision);
                self.measure(step, precision, 7, || {
                    number += 1;
                    ensemble.begin_forward(&p, number, 0, &start)?;
                    for (k, loss) in losses.iter_mut().enumerate() {
                        loss.evaluate(ensemble.observed(), k * n * DIM, &mut state_bar)?;
                    }
                    ensemble.backward(&p, &state_bar, &weight_bar, &mut start_bar, &mut p_bar)?;
                    adam(settings, number, 1e-5, &p_bar, &mut first, &mut second, &mut p)?;
                    // All that the host learns of a step.
                    ensemble.check()?;
                    Ok(losses[0].value()? + losses[1].value()?)
                })?;
            }
        }
        Ok(())
    }

    /// Four segments of a training, there and back from the host's memory and to it: by an engine that has them all, and by one for each, one after
    /// the other.
    fn segments(&self) -> Outcome<()> {
        for rows in [256, 1024] {
            let case = format!("segments-4x{rows}x20");
            if !self.wants(&case) {
                continue;
            }
            let hidden = vec![WIDTH, WIDTH];
            let model = NeuralSde::<f32>::new(ModelConfig {
                drift: DriftConfig { hidden: hidden.clone(), ..DriftConfig::default() },
                diffusion: DiffusionConfig::Diagonal {
                    hidden,
                    activation: chreode_linalg::Activation::Silu,
                    initial_level: 1.0,
                },
                ..ModelConfig::new(vec![0.0; DIM], vec![1.0; DIM])
            })?;
            let p: Vec<f32> = model.init(1);
            let (device, rows) = (self.stream.device(), self.size(rows));
            let part = |k: u32| {
                let t = 2.0 * f64::from(k);
                Ok::<_, Box<dyn Error>>(Segment { grid: TimeGrid::new(t, &[t + 1.0, t + 2.0], 0.1)?, rows })
            };
            let parts = (0..4).map(part).collect::<Result<Vec<_>, _>>()?;
            let alone = parts.iter().map(|part| CudaEngine::new(device, &model, vec![part.clone()]));
            let mut alone = alone.collect::<Result<Vec<_>, _>>()?;
            let mut together = CudaEngine::new(device, &model, parts)?;
            let starts: Vec<_> = (0..4).map(|k| cloud(k, rows)).collect();
            let bars: Vec<_> = (4..8).map(|k| vec![cloud(k, rows), cloud(k + 4, rows)]).collect();
            let (firsts, none) = ([0, 1, 2, 3].map(|k| k << 20), vec![Vec::new(); 4]);
            let mut gradient = vec![0.0; p.len()];
            self.measure_as(&case, "chreode", 9, || {
                together.simulate(&p, 1, &firsts, &starts)?;
                together.pull_back(&bars, &none, &mut gradient)?;
                Ok(norm(&gradient))
            })?;
            let mut sum = vec![0.0; p.len()];
            self.measure_as(&case, "chreode one after the other", 9, || {
                sum.fill(0.0);
                for (k, engine) in alone.iter_mut().enumerate() {
                    engine.simulate(&p, 1, &firsts[k..=k], &starts[k..=k])?;
                    engine.pull_back(&bars[k..=k], &none[..1], &mut gradient)?;
                    sum.iter_mut().zip(&gradient).for_each(|(sum, part)| *sum += part);
                }
                Ok(norm(&sum))
            })?;
        }
        Ok(())
    }

    fn sinkhorn(&self) -> Outcome<()> {
        // With costs that are kept, and with costs that are computed at every update.
        for (case, n, memory) in [
            ("sinkhorn-2048", 2048, None),
            ("sinkhorn-8192", 8192, None),
            ("sinkhorn-streaming-8192", 8192, Some(0)),
        ] {
            if !self.wants(case) {
                continue;
            }
            let n = self.size(n);
            let (x, equal) = (self.stream.upload(&cloud(0, n))?, vec![1.0; n]);
            let mut bar = self.stream.zeros(n * DIM)?;
            let options = DivergenceOptions { memory, ..divergence_options() };
            let mut loss = Divergence::new(&self.stream, DIM, &cloud(1, n), &equal, &equal, options)?;
            self.measure(case, Precision::F32, 5, || {
                loss.evaluate(&x, 0, &mut bar)?;
                Ok(loss.value()?)
            })?;
        }
        Ok(())
    }

    /// Lorenz's system from many starts, each with steps of its own, to time 10 with four saves.
    fn networks(&self) -> Outcome<()> {
        let term = |factors: &[usize], effects: &[(usize, f32)]| Term {
            factors: factors.to_vec(),
            effects: effects.to_vec(),
        };
        let terms = [
            term(&[1], &[(0, 1.0)]),
            term(&[0], &[(0, -1.0)]),
            term(&[0], &[(1, 1.0)]),
            term(&[1], &[(1, -1.0)]),
            term(&[0, 2], &[(1, -1.0)]),
            term(&[0, 1], &[(2, 1.0)]),
            term(&[2], &[(2, -1.0)]),
        ];
        let p = self.stream.upload(&[10.0, 10.0, 28.0, 1.0, 1.0, 1.0, 8.0 / 3.0])?;
        let options = AdaptiveOptions { rtol: 1e-4, atol: 1e-4, max_steps: 100_000 };
        for (case, n) in [("lorenz-10000", 10_000), ("lorenz-100000", 100_000), ("lorenz-1000000", 1_000_000)]
        {
            if !self.wants(case) {
                continue;
            }
            let n = self.size(n);
            let around = |(i, z): (usize, f64)| (5.0 * z + [1.0, 2.0, 20.0][i % 3]) as f32;
            let start: Vec<f32> = noise(70, 3 * n).into_iter().enumerate().map(around).collect();
            let start = self.stream.upload(&start)?;
            let network = Network::new(&self.stream, 3, &terms)?;
            let mut saved = self.stream.zeros(4 * 3 * n)?;
            self.measure(case, Precision::F32, 5, || {
                let ends = network.solve(options, &p, &start, &[0.0, 2.5, 5.0, 7.5, 10.0], &mut saved)?;
                let steps = ends.iter().map(|end| match end {
                    TrajectoryEnd::Done { accepted, rejected } => accepted + rejected,
                    _ => 0,
                });
                Ok(steps.sum::<usize>() as f64 / n as f64)
            })?;
        }
        Ok(())
    }

    /// Ten neighbours among many cells.
    fn neighbours(&self) -> Outcome<()> {
        let case = "neighbours-10000x100000";
        if !self.wants(case) {
            return Ok(());
        }
        let (n, m, k) = (self.size(10_000), self.size(100_000), 10);
        let (queries, points) = (self.stream.upload(&cloud(0, n))?, self.stream.upload(&cloud(1, m))?);
        let (mut indices, mut distances) = (self.stream.zeros(n * k)?, self.stream.zeros(n * k)?);
        self.measure(case, Precision::F32, 5, || {
            nearest(DIM, k, false, &queries, &points, &mut indices, &mut distances)?;
            Ok(0.0)
        })
    }
}

fn norm(v: &[f32]) -> f64 {
    v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

/// As other projects do by default: the blur falls by halves from the clouds' diameter, one update at each, and a last one for the gradient.
fn divergence_options() -> DivergenceOptions {
    DivergenceOptions { blur: BLUR, tolerance: None, ..DivergenceOptions::default() }
}

fn main() -> Outcome<()> {
    let mut only: Vec<String> = std::env::args().skip(1).collect();
    let all = only.len();
    only.retain(|a| a != "--once");
    let shrink = std::env::var("CHREODE_GPU_SHRINK").ok().and_then(|v| v.parse().ok()).unwrap_or(1);
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error @ (CudaError::NoDriver | CudaError::NoDevice)) => {
            println!("nothing to time: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let info = device.info();
    println!(
        "device: {}, {} multiprocessors, {} B shared",
        info.name, info.multiprocessors, info.shared_memory
    );
    let bench = Bench { stream: device.stream()?, once: only.len() < all, only, shrink };
    bench.mlp()?;
    bench.paths()?;
    bench.training()?;
    bench.segments()?;
    bench.sinkhorn()?;
    bench.networks()?;
    bench.neighbours()
}
