//! Stochastic models by Euler-Maruyama, against `chreode-solve` in f32 with the same noise.

use crate::lab::{Lab, close, lab, numbers, sizes, tries};
use chreode_autodiff::{AutoSde, NotIto, Program};
use chreode_core::{Calculus, Diffusion, Dynamics, NoiseKind, Number, VectorField, put, take};
use chreode_cuda::{
    CudaError, GeneratedEnsemble, GeneratedMethod, GeneratedPaths, GeneratedSource, Steps, Stream,
};
use chreode_solve::{EnsembleOptions, TimeGrid, simulate};
use proptest::prelude::*;

const METHOD: GeneratedMethod = GeneratedMethod::EulerMaruyama;
/// Over the steps of a run, of the largest state: as for the paths of nets.
const TOLERANCE: f32 = 2e-5;

/// A toggle switch of two genes whose production is driven in time, and what they make, five states in all.
#[derive(Clone, Copy)]
struct Toggle;

impl Dynamics for Toggle {
    fn dim(&self) -> usize {
        5
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([a, b, x, y, z], [make, decay, _]) = (take(y), take(p));
        let off = |v: S| (v * v + 1.0).recip();
        let drive = (t * 2.0).sin() * 0.3 + 1.0;
        put(
            dy,
            [
                make * drive * off(b) - decay * a,
                make * off(a) - decay * b,
                a - x * 0.5,
                b - y * 0.5,
                (x - y).tanh() - z,
            ],
        );
    }
}

/// Noise of each kind: which states a value reads decides what it is.
#[derive(Clone, Copy)]
enum Noise {
    /// Of time and parameters alone.
    Additive,
    /// Of each coordinate's own state.
    Separable,
    /// Of other coordinates too; one motion for all where `AutoSde::scalar` takes it.
    Mixed,
}

impl Dynamics for Noise {
    fn dim(&self) -> usize {
        5
    }
    fn n_params(&self) -> usize {
        4
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], g: &mut [S]) {
        let ([a, b, x, y, z], [_, _, _, level]) = (take(y), take(p));
        let root = |v: S| (v * v + 0.1).sqrt();
        // Noise that grows faster than the state lets Euler-Maruyama run away, on the processor as on a device.
        let off = |v: S| (v * v + 1.0).recip();
        let all = match self {
            Self::Additive => [S::c(1.0), t * 0.5, S::c(2.0), S::c(0.0), t.cos()],
            Self::Separable => [a, b * b * off(b), S::c(0.3), root(y), z.tanh().exp() * 0.2],
            Self::Mixed => [root(a), a * 0.2, a * b * 0.1, S::c(1.0), x - z],
        };
        put(g, all.map(|g| g * level));
    }
}

/// Its paths, by the compiler that fits the device.
fn paths(lab: &Lab, stream: &Stream, source: &GeneratedSource) -> GeneratedPaths {
    match lab.stand_in {
        Some(stand_in) => {
            let ptx = stand_in.add_kernel(source.name(), &source.body()).unwrap();
            GeneratedPaths::from_ptx(stream, source, &ptx).unwrap()
        }
        None => GeneratedPaths::new(stream, source).unwrap(),
    }
}

fn source<F: Dynamics, G: Dynamics>(name: &str, sde: &AutoSde<F, G, f32>) -> GeneratedSource {
    GeneratedSource::new(name, METHOD, sde.dim(), sde.n_params(), &sde.cuda_code().unwrap()).unwrap()
}

/// The steps of a grid, and where they begin.
fn steps(grid: &TimeGrid) -> (Steps, Vec<f64>) {
    let steps = (0..grid.steps()).map(|k| grid.step(k));
    let observed = (0..grid.steps()).map(|k| grid.observed_after(k)).collect();
    (
        Steps { h: steps.clone().map(|s| s.1).collect(), observed, seen: Vec::new() },
        steps.map(|s| s.0).collect(),
    )
}

/// Paths with the threads in both orders, and those of the processor: the same but for rounding.
fn check<F, G>(name: &str, sde: &AutoSde<F, G, f32>, p: &[f32], start: &[f32], grid: &TimeGrid, seed: u64)
where
    F: Dynamics + Clone + Send + Sync,
    G: Dynamics + Clone + Send + Sync,
{
    let Some(lab) = lab() else { return };
    let (source, (steps, t)) = (source(name, sde), steps(grid));
    let (d, first) = (sde.dim(), seed >> 20);
    let n = start.len() / d;
    let got = lab.both_orders(|stream| {
        let paths = paths(&lab, stream, &source);
        let mut observed = stream.zeros(grid.observe().len() * start.len()).unwrap();
        let [p, start] = [p, start].map(|v| stream.upload(v).unwrap());
        paths.simulate(&steps, &t, seed, first, &p, &start, &mut observed).unwrap();
        vec![observed.to_vec().unwrap()]
    });
    let np = sde.n_params();
    let mut want = vec![0.0; got[0].len()];
    // Rows with parameters of their own are runs of their own, with the row's noise.
    let rows_at_once = if p.len() == np { n } else { 1 };
    for row in (0..n).step_by(rows_at_once.max(1)) {
        let p = if p.len() == np { p } else { &p[row * np..(row + 1) * np] };
        let options = EnsembleOptions { first_trajectory: first + row as u64, ..EnsembleOptions::new(seed) };
        let rows = row * d..(row + rows_at_once) * d;
        let twin = simulate(sde, p, &start[rows.clone()], grid, &options).unwrap();
        for (i, states) in twin.states.iter().enumerate() {
            want[i * n * d..][rows.clone()].copy_from_slice(states);
        }
    }
    close(name, &got[0], &want, TOLERANCE);
}

fn additive() -> AutoSde<Toggle, Noise, f32> {
    AutoSde::new(Toggle, Noise::Additive).unwrap()
}

proptest! {
    #![proptest_config(tries(24))]

    /// Noise of every kind, parameters for all or of each path, a few dozen steps: 2e-5 of the largest state.
    #[test]
    fn paths_have_the_noise_of_the_processor(
        n in sizes(),
        seed: u64,
        each: bool,
        kind in 0..4_usize,
        gaps in prop::collection::vec(0.2..1.0_f64, 1..4),
    ) {
        let (name, noise) = [
            ("paths_additive", NoiseKind::Additive),
            ("paths_separable", NoiseKind::Separable),
            ("paths_diagonal", NoiseKind::Diagonal),
            ("paths_scalar", NoiseKind::Scalar),
        ][kind];
        let sde = match noise {
            NoiseKind::Additive => additive(),
            NoiseKind::Separable => AutoSde::new(Toggle, Noise::Separable).unwrap(),
            NoiseKind::Diagonal => AutoSde::new(Toggle, Noise::Mixed).unwrap(),
            _ => AutoSde::scalar(Toggle, Noise::Mixed).unwrap(),
        };
        prop_assert_eq!(sde.noise_kind(), noise);
        let rows = if each { n } else { 1 };
        let p: Vec<f32> = numbers(seed, 4 * rows)
            .iter()
            .enumerate()
            .map(|(i, z)| [2.0, 1.0, 0.0, 0.3][i % 4] * (1.0 + 0.2 * z))
            .collect();
        let start: Vec<f32> = numbers(seed ^ 1, 5 * n).iter().map(|z| 1.0 + 0.8 * z).collect();
        let observe: Vec<f64> = gaps.iter().scan(-0.4, |t, gap| { *t += gap; Some(*t) }).collect();
        let grid = TimeGrid::new(-0.4, &observe, 0.06).unwrap();
        check(name, &sde, &p, &start, &grid, seed);
    }
}

/// A random walk shows the increments themselves, 4e-6 each, in more than one block of coordinates and beyond one block of threads.
#[derive(Clone, Copy)]
struct Constant(f64);

impl Dynamics for Constant {
    fn dim(&self) -> usize {
        7
    }
    fn n_params(&self) -> usize {
        0
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, _y: &[S], _p: &[S], dy: &mut [S]) {
        dy.iter_mut().for_each(|dy| *dy = S::c(self.0));
    }
}

#[test]
fn walks_show_their_increments() {
    let Some(lab) = lab() else { return };
    let (n, seed, first) = (259, 11, (1_u64 << 32) - 100);
    let sde: AutoSde<_, _, f32> = AutoSde::new(Constant(0.0), Constant(1.0)).unwrap();
    let (steps, t) = steps(&TimeGrid::new(0.0, &[0.5, 1.0], 0.5).unwrap());
    let source = source("walk", &sde);
    let got = lab.both_orders(|stream| {
        let mut observed = stream.zeros(2 * n * 7).unwrap();
        let (p, start) = (stream.upload(&[]).unwrap(), stream.zeros(n * 7).unwrap());
        paths(&lab, stream, &source).simulate(&steps, &t, seed, first, &p, &start, &mut observed).unwrap();
        vec![observed.to_vec().unwrap()]
    });
    let noise = chreode_core::BrownianIncrements::new(seed);
    let mut walk = vec![0.0_f32; n * 7];
    for (k, got) in got[0].chunks(n * 7).enumerate() {
        let mut dw = vec![0.0_f32; n * 7];
        noise.fill(k as u64, first, 7, 0.5, &mut dw);
        walk.iter_mut().zip(&dw).for_each(|(w, dw)| *w += dw);
        let off = got.iter().zip(&walk).fold(0.0_f32, |m, (g, w)| m.max((g - w).abs()));
        assert!(off <= 4e-6 * (k + 1) as f32, "step {k}: {off}");
    }
}

/// What cannot be is refused, and a path that runs away is named.
#[test]
fn what_fails() {
    let stratonovich: AutoSde<_, _, f32> =
        AutoSde::new(Toggle, Noise::Mixed).unwrap().in_calculus(Calculus::Stratonovich);
    assert_eq!(stratonovich.cuda_code(), Err(NotIto { noise: NoiseKind::Diagonal }));
    // Additive noise is the same in both.
    assert_eq!(additive().in_calculus(Calculus::Stratonovich).cuda_code(), additive().cuda_code());

    let Some(lab) = lab() else { return };
    let source = source("paths_additive", &additive());
    let refused = GeneratedEnsemble::from_ptx(&lab.stream, &source, "").err();
    assert_eq!(refused, Some(CudaError::OtherMethod { method: METHOD }));
    // Where there is no NVRTC, that is said; where it is, it compiles.
    match source.compile() {
        Ok(ptx) => assert!(ptx.contains(".entry paths_additive("), "{ptx}"),
        Err(error) => assert_eq!(error, CudaError::NoRuntimeCompiler),
    }
    let wide = GeneratedSource::new("wide_paths", METHOD, 76, 0, "").unwrap();
    let refused = GeneratedPaths::from_ptx(&lab.stream, &wide, "").err();
    assert!(matches!(refused, Some(CudaError::TooLarge { got: 76, most: 75, .. })), "{refused:?}");
    if let Some(stand_in) = lab.stand_in {
        let alone =
            GeneratedSource::new("alone", METHOD, 5, 3, &Program::record(&Toggle).cuda_field()).unwrap();
        let error = stand_in.add_kernel("alone", &alone.body()).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("GeneratedNoise")));
    }

    let paths = paths(&lab, &lab.stream, &source);
    let (steps, t) = steps(&TimeGrid::new(0.0, &[0.25, 0.5], 0.1).unwrap());
    let run = |steps: &Steps, t: &[f64], rows: usize, p: &[f32]| {
        let mut start = vec![1.0; 5 * rows];
        if rows > 40 {
            start[40 * 5 + 3] = f32::INFINITY;
        }
        let mut observed = lab.stream.zeros(2 * 5 * rows).unwrap();
        paths.simulate(steps, t, 3, 0, &lab.upload(p), &lab.upload(&start), &mut observed)
    };
    let p = [2.0, 1.0, 0.0, 0.3];
    assert_eq!(run(&steps, &t, 40, &p), Ok(()));
    assert_eq!(run(&steps, &t, 0, &p), Ok(()));
    assert_eq!(run(&steps, &t, 97, &p), Err(CudaError::NonFinite { row: 40, step: 0 }));
    let shape = |result| matches!(result, Err(CudaError::Shape { .. }));
    assert!(shape(run(&steps, &t[1..], 3, &p)) && shape(run(&steps, &t, 3, &p[1..])));
    assert!(shape(run(&Steps { seen: vec![0.0], ..steps.clone() }, &t, 3, &p)));
    let mut late = t.clone();
    late[1] = f64::NAN;
    assert!(matches!(run(&steps, &late, 3, &p), Err(CudaError::Setting { .. })));
}
