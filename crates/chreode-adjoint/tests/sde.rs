//! The adjoint of Euler-Maruyama against central differences with frozen noise, for every kind of model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chreode_adjoint::{AdjointError, SdeAdjoint};
use chreode_core::{
    BrownianIncrements, Diffusion, DiffusionVjp, FieldError, GrowthVjp, NoiseKind, Real, VectorField, Vjp,
};
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, DriftKind, GrowthConfig, ModelConfig, NeuralSde};
use chreode_solve::{EnsembleOptions, SolveError, TimeGrid, simulate_weighted};
use chreode_testkit::{CountingAllocator, SinhSde, allocations_in};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const D: usize = 3;
const FIRST: u64 = 1 << 33;

/// Every legal pair of drift and diffusion, with growth.
fn models() -> Vec<ModelConfig> {
    let diagonal =
        DiffusionConfig::Diagonal { hidden: vec![5], activation: Activation::Tanh, initial_level: 0.4 };
    let constant = DiffusionConfig::Constant { initial_level: 0.3 };
    let langevin = DiffusionConfig::Langevin { initial_level: 0.5, kappa: None, floor: 0.05 };
    let mut configs = Vec::new();
    for kind in [DriftKind::Mlp, DriftKind::Potential, DriftKind::Production] {
        let mut noises = vec![diagonal.clone(), constant.clone()];
        if kind == DriftKind::Production {
            noises.push(langevin.clone());
        }
        for diffusion in noises {
            let mut config = ModelConfig::new(vec![0.4, 0.5, 0.8], vec![0.5, 0.3, 0.6]);
            config.time_scale = 1.5;
            config.drift.kind = kind;
            config.drift.hidden = vec![6, 5];
            config.diffusion = diffusion;
            config.growth = Some(GrowthConfig { hidden: vec![4], ..GrowthConfig::default() });
            configs.push(config);
        }
    }
    configs
}

fn uniform(seed: u64, n: usize, low: f64, high: f64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(low..high)).collect()
}

/// Parameters away from the special initial ones.
fn parameters(sde: &NeuralSde<f64>, seed: u64) -> Vec<f64> {
    let p = sde.init(seed);
    p.iter().zip(uniform(seed, p.len(), -0.4, 0.4)).map(|(p, e)| p + e).collect()
}

fn grid() -> TimeGrid {
    TimeGrid::new(2.0, &[2.5, 3.1], 0.13).unwrap() // 4 and 5 steps of different lengths
}

fn cast<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::c(x)).collect()
}

/// A loss of states and log-weights at both observations: `Σ c y + y²/2 + e w + w²/2`, and its gradients.
struct Loss {
    c: Vec<f64>,
    e: Vec<f64>,
}

impl Loss {
    fn new(n: usize, seed: u64) -> Self {
        Self { c: uniform(seed, 2 * n * D, -1.0, 1.0), e: uniform(seed + 1, 2 * n, -1.0, 1.0) }
    }

    fn value(&self, paths: &SdeAdjoint<f64>) -> f64 {
        let part = |c: &[f64], x: &[f64]| c.iter().zip(x).map(|(c, x)| c * x + 0.5 * x * x).sum::<f64>();
        let (len, n) = (self.c.len() / 2, self.e.len() / 2);
        (0..2)
            .map(|i| {
                part(&self.c[i * len..(i + 1) * len], paths.observed(i))
                    + part(&self.e[i * n..(i + 1) * n], paths.log_weights(i))
            })
            .sum()
    }

    fn gradients<T: Real>(&self, paths: &SdeAdjoint<T>) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
        let part = |c: &[f64], x: &[T]| c.iter().zip(x).map(|(&c, &x)| T::c(c) + x).collect::<Vec<T>>();
        let (len, n) = (self.c.len() / 2, self.e.len() / 2);
        (0..2)
            .map(|i| {
                let states = part(&self.c[i * len..(i + 1) * len], paths.observed(i));
                (states, part(&self.e[i * n..(i + 1) * n], paths.log_weights(i)))
            })
            .unzip()
    }
}

/// Forward and backward: adjoints of start states and parameters.
fn gradient<T: Real>(
    config: &ModelConfig,
    non_negative: bool,
    y0: &[f64],
    p: &[f64],
    loss: &Loss,
) -> (Vec<T>, Vec<T>) {
    let (noise, grid) = (BrownianIncrements::new(5), grid());
    let mut sde = NeuralSde::<T>::new(config.clone()).unwrap();
    let mut growth = sde.growth_net().unwrap();
    let (y0, p): (Vec<T>, Vec<T>) = (cast(y0), cast(p));
    let mut paths = SdeAdjoint::new(y0.len() / D, D, &grid).non_negative(non_negative);
    paths.forward(&mut sde, Some(&mut growth), &noise, FIRST, &grid, &y0, &p).unwrap();
    let (states, weights) = loss.gradients(&paths);
    let states: Vec<&[T]> = states.iter().map(Vec::as_slice).collect();
    let weights: Vec<&[T]> = weights.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![T::c(7.0); y0.len()], vec![T::ZERO; p.len()]);
    paths
        .backward(
            &mut sde,
            Some(&mut growth),
            &noise,
            FIRST,
            &grid,
            &p,
            &states,
            &weights,
            &mut y0_bar,
            &mut p_bar,
        )
        .unwrap();
    (y0_bar, p_bar)
}

fn max_abs(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, x| x.abs().max(m))
}

/// Compares both adjoints with central differences of the frozen-noise loss; `h` below every kink's distance.
fn check_against_differences(config: &ModelConfig, non_negative: bool, y0: &[f64], seed: u64) {
    let noise = BrownianIncrements::new(5);
    let grid = grid();
    let loss = Loss::new(y0.len() / D, seed);
    let mut sde = NeuralSde::<f64>::new(config.clone()).unwrap();
    let mut growth = sde.growth_net().unwrap();
    let p = parameters(&sde, seed);
    let (y0_bar, p_bar) = gradient::<f64>(config, non_negative, y0, &p, &loss);
    let mut paths = SdeAdjoint::new(y0.len() / D, D, &grid).non_negative(non_negative);
    let mut value = |y0: &[f64], p: &[f64]| {
        paths.forward(&mut sde, Some(&mut growth), &noise, FIRST, &grid, y0, p).unwrap();
        loss.value(&paths)
    };
    let h = 1e-5;
    let mut difference = |x: &[f64], i: usize, which_p: bool| {
        let mut moved = x.to_vec();
        let mut at = |x: f64| {
            moved[i] = x;
            if which_p { value(y0, &moved) } else { value(&moved, &p) }
        };
        (at(x[i] + h) - at(x[i] - h)) / (2.0 * h)
    };
    for (x, bar, which_p) in [(y0, &y0_bar, false), (&p[..], &p_bar, true)] {
        let scale = max_abs(bar);
        assert!(scale > 1e-2);
        for i in 0..x.len() {
            let fd = difference(x, i, which_p);
            let error = (fd - bar[i]).abs();
            assert!(error <= 1e-6 * scale, "{which_p} {i}: {fd} against {}: {config:?}", bar[i]);
        }
    }
}

#[test]
fn gradients_are_exact_for_every_model() {
    for config in models() {
        for seed in 0..3 {
            check_against_differences(&config, false, &uniform(seed + 50, 4 * D, 0.3, 1.2), seed);
        }
    }
}

#[test]
fn gradients_are_exact_where_states_are_put_to_zero() {
    // Strong noise on small amounts: many steps end below zero.
    let mut config = models().pop().unwrap();
    config.diffusion = DiffusionConfig::Constant { initial_level: 1.5 };
    let grid = grid();
    for seed in 0..3 {
        let y0 = uniform(seed + 80, 4 * D, 0.01, 0.3);
        let mut sde = NeuralSde::<f64>::new(config.clone()).unwrap();
        let p = parameters(&sde, seed);
        let mut paths = SdeAdjoint::new(4, D, &grid).non_negative(true);
        paths.forward(&mut sde, None, &BrownianIncrements::new(5), FIRST, &grid, &y0, &p).unwrap();
        let zeros = paths.observed(0).iter().filter(|&&y| y == 0.0).count();
        assert!(zeros > 0 && paths.observed(0).iter().all(|&y| y >= 0.0));
        // A gradient that is none is told where the state is zero, too.
        let at = paths.observed(0).iter().position(|&y| y == 0.0).unwrap();
        let (mut bad, good) = ([0.0; 4 * D], [0.0; 4 * D]);
        bad[at] = f64::NAN;
        let told = paths.backward(
            &mut sde,
            None,
            &BrownianIncrements::new(5),
            FIRST,
            &grid,
            &p,
            &[&bad[..], &good[..]],
            &[],
            &mut [0.0; 4 * D],
            &mut vec![0.0; p.len()],
        );
        let (named, k) = (FIRST + (at / D) as u64, at % D);
        assert!(
            matches!(told, Err(AdjointError::NonFinite { trajectory, coordinate, .. }) if trajectory == named && coordinate == k),
            "{told:?}"
        );
        check_against_differences(&config, true, &y0, seed);
    }
}

#[test]
fn single_precision_agrees_with_double() {
    for config in models() {
        let y0 = uniform(9, 8 * D, 0.3, 1.2);
        let p = parameters(&NeuralSde::new(config.clone()).unwrap(), 2);
        let loss = Loss::new(8, 3);
        let (y64, p64) = gradient::<f64>(&config, false, &y0, &p, &loss);
        let (y32, p32) = gradient::<f32>(&config, false, &y0, &p, &loss);
        for (a, b) in [(y64, y32), (p64, p32)] {
            let scale = max_abs(&a);
            for (a, b) in a.iter().zip(&b) {
                assert!((a - f64::from(*b)).abs() < 1e-3 * scale, "{a} {b}: {config:?}");
            }
        }
    }
}

#[test]
fn the_forward_pass_is_the_ensemble_simulation_bit_for_bit() {
    let grid = grid();
    for config in models() {
        let mut sde = NeuralSde::<f32>::new(config).unwrap();
        let mut growth = sde.growth_net().unwrap();
        let p = sde.init(1);
        let y0: Vec<f32> = cast(&uniform(4, 100 * D, 0.3, 1.2));
        let options = EnsembleOptions {
            first_trajectory: FIRST,
            after_step: Some(&|_, y: &mut [f32]| y.iter_mut().for_each(|y| *y = y.max(0.0))),
            ..EnsembleOptions::new(5)
        };
        let all = simulate_weighted(&sde, &growth, &p, &y0, &grid, &options).unwrap();
        // A tile that starts in the middle of the ensemble's tiles.
        let mut paths = SdeAdjoint::new(30, D, &grid).non_negative(true);
        let (rows, first) = (50..80, FIRST + 50);
        let start = &y0[rows.start * D..rows.end * D];
        paths.forward(&mut sde, Some(&mut growth), &options.noise, first, &grid, start, &p).unwrap();
        for i in 0..2 {
            assert_eq!(paths.observed(i), &all.states[i][rows.start * D..rows.end * D]);
            assert_eq!(paths.log_weights(i), &all.log_weights[i][rows.clone()]);
        }
    }
}

#[test]
fn nothing_is_allocated_after_construction() {
    let grid = grid();
    for config in models() {
        let mut sde = NeuralSde::<f32>::new(config).unwrap();
        let mut growth = sde.growth_net().unwrap();
        let (p, noise) = (sde.init(1), BrownianIncrements::new(5));
        let mut paths = SdeAdjoint::new(64, D, &grid).non_negative(true);
        let y0 = vec![0.5; 64 * D];
        let (bar, mut y0_bar, mut p_bar) = (vec![1.0; 64 * D], vec![0.0; 64 * D], vec![0.0; p.len()]);
        let (count, done) = allocations_in(|| -> Result<(), AdjointError> {
            paths.forward(&mut sde, Some(&mut growth), &noise, 0, &grid, &y0, &p)?;
            let (growth, bars) = (Some(&mut growth as &mut dyn GrowthVjp<f32>), [&bar[..], &bar[..]]);
            let (y0_bar, p_bar) = (&mut y0_bar, &mut p_bar);
            paths.backward(&mut sde, growth, &noise, 0, &grid, &p, &bars, &[], y0_bar, p_bar)
        });
        done.unwrap();
        assert_eq!(count, 0);
    }
}

proptest! {
    /// The backward pass is linear in the jumps; an absent jump is a zero one.
    #[test]
    fn adjoints_are_linear_in_the_jumps(seed in 0_u64..1000, which in 0_usize..7, factor in -3.0..3.0_f64) {
        let (grid, noise) = (grid(), BrownianIncrements::new(seed));
        let mut sde = NeuralSde::<f64>::new(models()[which].clone()).unwrap();
        let p = parameters(&sde, seed);
        let mut paths = SdeAdjoint::new(2, D, &grid);
        paths.forward(&mut sde, None, &noise, 0, &grid, &uniform(seed, 2 * D, 0.3, 1.2), &p).unwrap();
        let (a, b) = (uniform(seed + 1, 2 * D, -1.0, 1.0), uniform(seed + 2, 2 * D, -1.0, 1.0));
        let mut pull = |bars: &[&[f64]]| {
            let (mut y0_bar, mut p_bar) = (vec![0.0; 2 * D], vec![0.0; p.len()]);
            paths.backward(&mut sde, None, &noise, 0, &grid, &p, bars, &[], &mut y0_bar, &mut p_bar).unwrap();
            y0_bar.extend(p_bar);
            y0_bar
        };
        let (left, right) = (pull(&[&a, &[]]), pull(&[&[], &b]));
        let scaled: Vec<f64> = b.iter().map(|b| factor * b).collect();
        let both = pull(&[&a, &scaled]);
        let size = 1.0 + max_abs(&left) + max_abs(&right);
        for i in 0..both.len() {
            prop_assert!((both[i] - left[i] - factor * right[i]).abs() < 1e-11 * size);
        }
        prop_assert!(pull(&[]).iter().all(|&x| x == 0.0));
    }
}

#[test]
fn calls_that_do_not_fit_are_errors() {
    let (grid, noise) = (grid(), BrownianIncrements::new(5));
    let mut sde = NeuralSde::<f64>::new(models()[0].clone()).unwrap();
    let p = sde.init(0);
    let mut paths = SdeAdjoint::new(2, D, &grid);
    let (mut y0_bar, mut p_bar) = (vec![0.0; 2 * D], vec![0.0; p.len()]);
    let bar = vec![1.0; 2 * D];
    let mut back =
        |paths: &mut SdeAdjoint<f64>, sde: &mut dyn DiffusionVjp<f64>, grid: &TimeGrid, bars: &[&[f64]]| {
            paths.backward(sde, None, &noise, 0, grid, &p, bars, &[], &mut y0_bar, &mut p_bar)
        };
    assert_eq!(back(&mut paths, &mut sde, &grid, &[&bar, &bar]), Err(AdjointError::NoForwardPass));

    let start = vec![0.5; 2 * D];
    paths.forward(&mut sde, None, &noise, 0, &grid, &start, &p).unwrap();
    assert!(matches!(back(&mut paths, &mut sde, &grid, &[&bar]), Err(AdjointError::ShapeMismatch { .. })));
    assert!(matches!(
        back(&mut paths, &mut sde, &grid, &[&bar[1..], &bar]),
        Err(AdjointError::ShapeMismatch { .. })
    ));
    let shorter = TimeGrid::new(2.0, &[2.5], 0.13).unwrap();
    assert!(matches!(back(&mut paths, &mut sde, &shorter, &[&bar]), Err(AdjointError::ShapeMismatch { .. })));
    let nan = vec![f64::NAN; 2 * D];
    assert!(matches!(
        back(&mut paths, &mut sde, &grid, &[&bar, &nan]),
        Err(AdjointError::NonFinite { trajectory: 0, coordinate: 0, .. })
    ));
    assert_eq!(back(&mut paths, &mut sde, &grid, &[&bar, &bar]), Ok(()));

    let longer = TimeGrid::new(2.0, &[4.0], 0.1).unwrap();
    for (grid, y0) in [(&longer, &start[..]), (&grid, &[0.5; 3 * D]), (&grid, &[0.5; D + 1])] {
        let error = paths.forward(&mut sde, None, &noise, 0, grid, y0, &p).unwrap_err();
        assert!(matches!(error, AdjointError::ShapeMismatch { .. }), "{error}");
    }
    // Too few parameters, ahead and back.
    let short = |what: Result<(), AdjointError>| match what.unwrap_err() {
        AdjointError::ShapeMismatch { what: "parameters (at least)", expected, got } => {
            assert_eq!((expected, got), (p.len(), p.len() - 1));
        }
        other => panic!("{other}"),
    };
    short(paths.forward(&mut sde, None, &noise, 0, &grid, &start, &p[1..]));
    paths.forward(&mut sde, None, &noise, 0, &grid, &start, &p).unwrap();
    let (mut y0_bar, mut p_bar) = (vec![0.0; 2 * D], vec![0.0; p.len() - 1]);
    short(paths.backward(&mut sde, None, &noise, 0, &grid, &p[1..], &[], &[], &mut y0_bar, &mut p_bar));
    let mut broken = start.clone();
    broken[D + 1] = f64::INFINITY;
    assert!(matches!(
        paths.forward(&mut sde, None, &noise, 3, &grid, &broken, &p),
        Err(AdjointError::Solve(SolveError::NonFinite { trajectory: 4, .. }))
    ));
    assert_eq!(back(&mut paths, &mut sde, &grid, &[&bar, &bar]), Err(AdjointError::NoForwardPass));
}

/// [`SinhSde`], whose derivative by the drift's parameter, or by that of the noise, is none.
struct NanParameter {
    sde: SinhSde,
    bad: [bool; 2],
}
impl VectorField<f64> for NanParameter {
    fn dim(&self) -> usize {
        self.sde.dim
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.sde.eval(t, y, p, dy)
    }
}
impl Vjp<f64> for NanParameter {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        l: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.sde.vjp(t, y, p, l, y_bar, p_bar)?;
        if self.bad[0] {
            p_bar[0] += f64::NAN;
        }
        Ok(())
    }
}
impl Diffusion<f64> for NanParameter {
    fn noise_kind(&self) -> NoiseKind {
        Diffusion::<f64>::noise_kind(&self.sde)
    }
    fn diffusion(&mut self, t: f64, y: &[f64], p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        self.sde.diffusion(t, y, p, g)
    }
}
impl DiffusionVjp<f64> for NanParameter {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        g_bar: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.sde.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)?;
        if self.bad[1] {
            p_bar[1] += f64::INFINITY;
        }
        Ok(())
    }
}

/// Of a gradient that is not finite by a parameter alone the parameter is told, and whose paths were summed.
#[test]
fn a_parameter_is_named() {
    let (grid, noise, p) = (grid(), BrownianIncrements::new(5), [0.5, 0.3]);
    let mut paths = SdeAdjoint::new(3, 2, &grid);
    for (bad, named) in [([true, false], Some(0)), ([false, true], Some(1)), ([false; 2], None)] {
        let mut sde = NanParameter { sde: SinhSde { dim: 2 }, bad };
        paths.forward(&mut sde, None, &noise, FIRST, &grid, &[0.5; 6], &p).unwrap();
        let (bar, mut y0_bar, mut p_bar) = ([1.0; 6], [0.0; 6], [0.0; 2]);
        let run = paths.backward(
            &mut sde,
            None,
            &noise,
            FIRST,
            &grid,
            &p,
            &[&bar, &bar],
            &[],
            &mut y0_bar,
            &mut p_bar,
        );
        let told =
            |parameter| AdjointError::NonFiniteGradient { t: 2.0, parameter, first: FIRST, last: FIRST + 2 };
        assert_eq!(run.err(), named.map(told));
    }
}

/// [`SinhSde`] as if one Brownian motion drove all coordinates.
struct OneMotion(SinhSde);
impl VectorField<f64> for OneMotion {
    fn dim(&self) -> usize {
        self.0.dim
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)
    }
}
impl Vjp<f64> for OneMotion {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        l: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.0.vjp(t, y, p, l, y_bar, p_bar)
    }
}
impl Diffusion<f64> for OneMotion {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Scalar
    }
    fn diffusion(&mut self, t: f64, y: &[f64], p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        self.0.diffusion(t, y, p, g)
    }
}
impl DiffusionVjp<f64> for OneMotion {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        g_bar: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.0.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
    }
}

/// The backward pass draws one increment a coordinate: for other noise it would be silently wrong.
#[test]
fn noise_that_is_not_diagonal_is_refused() {
    let (grid, noise) = (grid(), BrownianIncrements::new(5));
    for d in [1, 2] {
        let mut paths = SdeAdjoint::new(1, d, &grid);
        let mut sde = OneMotion(SinhSde { dim: d });
        let error = paths.forward(&mut sde, None, &noise, 0, &grid, &vec![0.5; d], &[0.5, 0.5]);
        assert!(
            matches!(
                error,
                Err(AdjointError::Solve(SolveError::UnsupportedNoise { noise: NoiseKind::Scalar, .. }))
            ),
            "{error:?}"
        );
    }
}
