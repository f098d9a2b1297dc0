//! The adjoints of every stochastic method and structure of noise, against differences with frozen noise and by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chreode_adjoint::{AdjointError, Checkpoints, SdeAdjoint, recomputed_steps};
use chreode_core::{
    BrownianIncrements, Calculus, Diffusion, DiffusionJvp, DiffusionVjp, FieldError, GrowthVjp, NoiseKind,
    Real, VectorField, Vjp,
};
use chreode_solve::{EnsembleOptions, SdeMethod, SolveError, TimeGrid, simulate};
use chreode_testkit::{
    CountingAllocator, MixedSinhSde, RingSde, SinhSde, SpinSde, WellSde, allocations_in, central_difference,
    compare,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const FIRST: u64 = 1 << 40;
const ROWS: usize = 3;

/// A method with an equation, in either precision.
struct Case<T> {
    name: &'static str,
    method: SdeMethod,
    sde: Box<dyn DiffusionVjp<T>>,
    p: Vec<f64>,
}

fn cases<T: Real>() -> Vec<Case<T>> {
    use Calculus::{Ito, Stratonovich};
    use NoiseKind::{Additive, Diagonal, Separable};
    use SdeMethod::{EulerMaruyama, Milstein, StochasticHeun};
    let ring = |noise, calculus| Box::new(RingSde { dim: 3, noise, calculus });
    let mixed = |calculus| {
        Box::new(MixedSinhSde { mixing: vec![0.4, -0.2, 0.1, 0.3, 0.2, -0.5], motions: 2, calculus })
    };
    let case =
        |name, method, sde: Box<dyn DiffusionVjp<T>>, p: &[f64]| Case { name, method, sde, p: p.to_vec() };
    vec![
        case("separable", EulerMaruyama, Box::new(SinhSde { dim: 3 }), &[0.7, 0.4]),
        case("scalar", EulerMaruyama, Box::new(SpinSde { calculus: Ito }), &[0.7, 0.8]),
        case("diagonal", EulerMaruyama, ring(Diagonal, Ito), &[0.4]),
        case("matrix", EulerMaruyama, mixed(Ito), &[0.7]),
        case("separable", Milstein, Box::new(SinhSde { dim: 3 }), &[0.7, 0.4]),
        case("scalar", Milstein, Box::new(SpinSde { calculus: Ito }), &[0.7, 0.8]),
        case("separable without derivative", Milstein, ring(Separable, Ito), &[0.4]),
        case("additive without derivative", Milstein, ring(Additive, Stratonovich), &[0.4]),
        case(
            "separable without second derivative",
            Milstein,
            Box::new(FirstOnly(SinhSde { dim: 3 })),
            &[0.7, 0.4],
        ),
        case("separable", StochasticHeun, ring(Separable, Stratonovich), &[0.4]),
        case("diagonal", StochasticHeun, ring(Diagonal, Stratonovich), &[0.4]),
        case("additive", StochasticHeun, ring(Additive, Ito), &[0.4]),
        case("scalar", StochasticHeun, Box::new(SpinSde { calculus: Stratonovich }), &[0.7, 0.8]),
        case("matrix", StochasticHeun, mixed(Stratonovich), &[0.7]),
    ]
}

/// Without second derivatives, although with first ones.
#[derive(Clone)]
struct FirstOnly(SinhSde);
impl<T: Real> VectorField<T> for FirstOnly {
    fn dim(&self) -> usize {
        self.0.dim
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)
    }
}
impl<T: Real> Vjp<T> for FirstOnly {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        l: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.0.vjp(t, y, p, l, y_bar, p_bar)
    }
}
impl<T: Real> Diffusion<T> for FirstOnly {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Separable
    }
    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        self.0.with_jvp()
    }
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.0.diffusion(t, y, p, g)
    }
}
impl<T: Real> DiffusionVjp<T> for FirstOnly {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.0.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
    }
}

fn uniform(seed: u64, n: usize, low: f64, high: f64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(low..high)).collect()
}

fn cast<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::c(x)).collect()
}

fn grid() -> TimeGrid {
    TimeGrid::new(0.3, &[0.6, 1.0, 1.5], 0.11).unwrap() // 3, 4 and 5 steps of different lengths
}

/// `Σ c y + y² / 2` over the observations.
fn loss<T: Real>(paths: &SdeAdjoint<T>, c: &[T], len: usize) -> f64 {
    let sum = |i: usize| {
        let c = &c[i * len..(i + 1) * len];
        paths.observed(i).iter().zip(c).map(|(&y, &c)| (c * y + T::c(0.5) * y * y).f64()).sum::<f64>()
    };
    (0..3).map(sum).sum()
}

/// Gradient of the loss: start states, then parameters.
fn gradient<T: Real>(case: &mut Case<T>, checkpoints: Checkpoints, seed: u64) -> (Vec<T>, SdeAdjoint<T>) {
    let (grid, noise, d) = (grid(), BrownianIncrements::new(seed), case.sde.dim());
    let (y0, p) = (cast::<T>(&start(d, seed)), cast::<T>(&parameters(&case.p, seed)));
    let c = cast::<T>(&uniform(seed + 200, 3 * ROWS * d, -1.0, 1.0));
    let sde = &mut *case.sde;
    // A workspace for more rows than there are.
    let mut paths = SdeAdjoint::with_method(case.method, checkpoints, ROWS + 1, &*sde, &grid).unwrap();
    paths.forward(sde, None, &noise, FIRST, &grid, &y0, &p).unwrap();
    let bars: Vec<Vec<T>> = (0..3)
        .map(|i| paths.observed(i).iter().zip(&c[i * ROWS * d..]).map(|(&y, &c)| c + y).collect())
        .collect();
    let bars: Vec<&[T]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![T::c(9.0); ROWS * d], vec![T::c(0.25); p.len()]);
    paths.backward(sde, None, &noise, FIRST, &grid, &p, &bars, &[], &mut y0_bar, &mut p_bar).unwrap();
    y0_bar.extend(p_bar.iter().map(|&p_bar| p_bar - T::c(0.25)));
    (y0_bar, paths)
}

fn start(d: usize, seed: u64) -> Vec<f64> {
    uniform(seed + 100, ROWS * d, -1.5, 1.5)
}

fn parameters(p: &[f64], seed: u64) -> Vec<f64> {
    p.iter().zip(uniform(seed, p.len(), 0.7, 1.3)).map(|(p, by)| p * by).collect()
}

#[test]
fn gradients_agree_with_differences_of_frozen_noise() {
    for mut case in cases::<f64>() {
        let d = case.sde.dim();
        for seed in 0..6 {
            let (found, mut paths) = gradient(&mut case, Checkpoints::All, seed);
            let (grid, noise) = (grid(), BrownianIncrements::new(seed));
            let c = uniform(seed + 200, 3 * ROWS * d, -1.0, 1.0);
            let mut x = start(d, seed);
            x.extend(parameters(&case.p, seed));
            let difference = central_difference(&x, |x| {
                let (y0, p) = x.split_at(ROWS * d);
                paths.forward(&mut *case.sde, None, &noise, FIRST, &grid, y0, p).unwrap();
                loss(&paths, &c, ROWS * d)
            });
            let error = found.iter().zip(&difference).fold(0.0_f64, |e, (a, b)| e.max((a - b).abs()));
            let scale = difference.iter().fold(0.0_f64, |s, x| s.max(x.abs()));
            assert!(error < 1e-9 * scale, "{} {}", case.method.name(), case.name);
        }
    }
}

#[test]
fn what_is_kept_does_not_change_the_bits() {
    for mut case in cases::<f64>() {
        let (all, _) = gradient(&mut case, Checkpoints::All, 3);
        let bytes = (ROWS + 1) * case.sde.dim() * 8;
        for (checkpoints, most, again) in [
            (Checkpoints::Every(4), 6, 8),
            (Checkpoints::Every(1), 12, 0),
            (Checkpoints::States(1), 1, recomputed_steps(12, 1)),
            (Checkpoints::States(3), 3, recomputed_steps(12, 3)),
            (Checkpoints::Bytes(5 * bytes + 1), 5, recomputed_steps(12, 5)),
            (Checkpoints::States(100), 12, 0),
        ] {
            let (found, mut paths) = gradient(&mut case, checkpoints, 3);
            assert_eq!(found, all, "{} {checkpoints:?}", case.name);
            assert_eq!(paths.recomputed(), again, "{checkpoints:?}");
            let (y0, p) = (start(case.sde.dim(), 3), parameters(&case.p, 3));
            paths
                .forward(&mut *case.sde, None, &BrownianIncrements::new(3), FIRST, &grid(), &y0, &p)
                .unwrap();
            assert!(paths.stored_states() <= most, "{checkpoints:?} {}", paths.stored_states());
        }
    }
}

#[test]
fn growth_and_states_put_to_zero_are_taken_again_to_the_bit() {
    let (grid, noise) = (TimeGrid::new(0.0, &[0.5, 2.0], 0.03).unwrap(), BrownianIncrements::new(1));
    let p = [-3.0, 0.3, 1.5, 0.2];
    let pull = |checkpoints| {
        let (mut sde, mut growth) = (WellSde { dim: 2 }, WellSde { dim: 2 });
        let mut paths =
            SdeAdjoint::with_method(SdeMethod::Milstein, checkpoints, 2, &sde as &dyn Diffusion<f64>, &grid)
                .unwrap()
                .non_negative(true);
        paths.forward(&mut sde, Some(&mut growth), &noise, 0, &grid, &[0.3, 0.1, 0.2, 0.4], &p).unwrap();
        assert!(paths.observed(1).iter().chain(paths.observed(0)).any(|&y| y == 0.0));
        let (mut y0_bar, mut p_bar) = ([0.0; 4], [0.0; 4]);
        let growth = &mut growth as &mut dyn GrowthVjp<f64>;
        let (y_bars, w_bars): ([&[f64]; 2], [&[f64]; 2]) =
            ([&[1.0, 2.0, 3.0, 4.0], &[1.0; 4]], [&[0.5, 1.0], &[2.0, 0.1]]);
        paths
            .backward(&mut sde, Some(growth), &noise, 0, &grid, &p, &y_bars, &w_bars, &mut y0_bar, &mut p_bar)
            .unwrap();
        (y0_bar, p_bar, paths.log_weights(1).to_vec())
    };
    let all = pull(Checkpoints::All);
    assert!(all.1.iter().all(|&x| x != 0.0));
    assert_eq!(pull(Checkpoints::States(4)), all);
    assert_eq!(pull(Checkpoints::Every(9)), all);
}

/// `ds/dx₀` and `ds/dσ` of the recursions, carried forward by hand for `dX = f dt + g dW` with `g = σ √(1 + X²)`.
#[test]
fn gradients_agree_with_sensitivities_carried_forward_by_hand() {
    let (grid, noise) = (grid(), BrownianIncrements::new(8));
    let (a, sigma, y0) = (0.7, 0.4, 0.9);
    // y, dy/dy0, dy/dσ.
    let (mut milstein, mut heun) = ([y0, 1.0, 0.0_f64], [y0, 1.0, 0.0_f64]);
    for k in 0..grid.steps() {
        let (t, h) = grid.step(k);
        let mut dw = [0.0_f64];
        noise.fill(k as u64, FIRST, 1, h, &mut dw);
        let w = dw[0];
        // Itô: f = σ² y / 2 + a cos t r, and g'g = σ² y.
        let [y, s, q] = milstein;
        let r = (1.0 + y * y).sqrt();
        let curve = 0.5 * (w * w - h);
        let by_y =
            1.0 + h * (0.5 * sigma * sigma + a * t.cos() * y / r) + w * sigma * y / r + curve * sigma * sigma;
        let by_sigma = h * sigma * y + w * r + curve * 2.0 * sigma * y;
        milstein = [
            y + h * (0.5 * sigma * sigma * y + a * t.cos() * r) + w * sigma * r + curve * sigma * sigma * y,
            by_y * s,
            by_y * q + by_sigma,
        ];
        // Stratonovich: f = −y + sin(t + 2y).
        let change = |t: f64, [y, s, q]: [f64; 3]| {
            let r = (1.0 + y * y).sqrt();
            let by_y = h * (2.0 * (t + 2.0 * y).cos() - 1.0) + w * sigma * y / r;
            [h * ((t + 2.0 * y).sin() - y) + w * sigma * r, by_y * s, by_y * q + w * r]
        };
        let first = change(t, heun);
        let second = change(t + h, std::array::from_fn(|i| heun[i] + first[i]));
        heun = std::array::from_fn(|i| heun[i] + 0.5 * (first[i] + second[i]));
    }
    let pull = |method, sde: &mut dyn DiffusionVjp<f64>, p: &[f64]| {
        let mut paths = SdeAdjoint::with_method(method, Checkpoints::All, 1, &*sde, &grid).unwrap();
        paths.forward(sde, None, &noise, FIRST, &grid, &[y0], p).unwrap();
        let (mut y0_bar, mut p_bar) = ([0.0], vec![0.0; p.len()]);
        let bars: [&[f64]; 3] = [&[], &[], &[1.0]];
        paths.backward(sde, None, &noise, FIRST, &grid, p, &bars, &[], &mut y0_bar, &mut p_bar).unwrap();
        [paths.observed(2)[0], y0_bar[0], p_bar[p.len() - 1]]
    };
    let ring = &mut RingSde { dim: 1, noise: NoiseKind::Separable, calculus: Calculus::Stratonovich };
    let found = pull(SdeMethod::Milstein, &mut SinhSde { dim: 1 }, &[a, sigma]);
    compare("Milstein", &found, &milstein, 1e-13).unwrap();
    compare("Heun", &pull(SdeMethod::StochasticHeun, ring, &[sigma]), &heun, 1e-13).unwrap();
}

#[test]
fn single_precision_agrees_with_double() {
    for (mut wide, mut narrow) in cases::<f64>().into_iter().zip(cases::<f32>()) {
        let (wide_gradient, _) = gradient(&mut wide, Checkpoints::All, 2);
        let (narrow_gradient, _) = gradient(&mut narrow, Checkpoints::All, 2);
        let narrow_gradient: Vec<f64> = narrow_gradient.into_iter().map(f64::from).collect();
        compare("f32", &narrow_gradient, &wide_gradient, 1e-3).unwrap();
    }
}

#[test]
fn the_forward_pass_is_the_ensemble_simulation_bit_for_bit() {
    let (grid, p) = (grid(), [0.7, 0.4]);
    let y0 = uniform(4, 100 * 2, -1.0, 1.0);
    let options =
        EnsembleOptions { method: SdeMethod::Milstein, first_trajectory: FIRST, ..EnsembleOptions::new(5) };
    let mut sinh = SinhSde { dim: 2 };
    let all = simulate(&sinh, &p, &y0, &grid, &options).unwrap();
    let mut paths = SdeAdjoint::with_method(
        SdeMethod::Milstein,
        Checkpoints::States(2),
        100,
        &sinh as &dyn Diffusion<f64>,
        &grid,
    )
    .unwrap();
    paths.forward(&mut sinh, None, &options.noise, FIRST, &grid, &y0, &p).unwrap();
    let options = EnsembleOptions { method: SdeMethod::StochasticHeun, ..options };
    let mut spin = SpinSde { calculus: Calculus::Stratonovich };
    let turned = simulate(&spin, &p, &y0, &grid, &options).unwrap();
    let mut heun = SdeAdjoint::with_method(
        SdeMethod::StochasticHeun,
        Checkpoints::All,
        100,
        &spin as &dyn Diffusion<f64>,
        &grid,
    )
    .unwrap();
    heun.forward(&mut spin, None, &options.noise, FIRST, &grid, &y0, &p).unwrap();
    for i in 0..3 {
        assert_eq!(paths.observed(i), all.states[i]);
        assert_eq!(heun.observed(i), turned.states[i]);
    }
}

#[test]
fn nothing_is_allocated_after_construction() {
    for mut case in cases::<f64>() {
        for checkpoints in
            [Checkpoints::All, Checkpoints::Every(3), Checkpoints::States(2), Checkpoints::Bytes(500)]
        {
            let (grid, noise, d) = (grid(), BrownianIncrements::new(1), case.sde.dim());
            let (y0, sde) = (start(d, 1), &mut *case.sde);
            let mut paths = SdeAdjoint::with_method(case.method, checkpoints, ROWS, &*sde, &grid).unwrap();
            let (bar, mut y0_bar, mut p_bar) =
                (vec![1.0; ROWS * d], vec![0.0; ROWS * d], vec![0.0; case.p.len()]);
            let (count, done) = allocations_in(|| -> Result<(), AdjointError> {
                paths.forward(sde, None, &noise, 0, &grid, &y0, &case.p)?;
                let bars = [&bar[..], &[], &bar];
                paths.backward(sde, None, &noise, 0, &grid, &case.p, &bars, &[], &mut y0_bar, &mut p_bar)
            });
            done.unwrap();
            assert_eq!(count, 0, "{} {} {checkpoints:?}", case.method.name(), case.name);
        }
    }
}

#[test]
fn cotangents_that_are_not_finite_are_told_with_time_and_trajectory() {
    for mut case in cases::<f64>() {
        let (grid, noise, d) = (grid(), BrownianIncrements::new(1), case.sde.dim());
        let sde = &mut *case.sde;
        let mut paths =
            SdeAdjoint::with_method(case.method, Checkpoints::States(3), ROWS, &*sde, &grid).unwrap();
        paths.forward(sde, None, &noise, FIRST, &grid, &start(d, 1), &case.p).unwrap();
        let (mut y0_bar, mut p_bar) = (vec![0.0; ROWS * d], vec![0.0; case.p.len()]);
        let mut bar = vec![0.0; ROWS * d];
        bar[2 * d + 1] = f64::INFINITY;
        let bars: [&[f64]; 3] = [&[], &bar, &[]];
        match paths.backward(sde, None, &noise, FIRST, &grid, &case.p, &bars, &[], &mut y0_bar, &mut p_bar) {
            Err(AdjointError::NonFinite { t, trajectory, .. }) => {
                assert_eq!((t, trajectory), (1.0, FIRST + 2)); // of the observation
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn calls_that_do_not_fit_are_errors() {
    let (grid, noise) = (grid(), BrownianIncrements::new(1));
    let sinh: &dyn Diffusion<f64> = &SinhSde { dim: 2 };
    let made =
        |method, checkpoints, sde| SdeAdjoint::with_method(method, checkpoints, 2, sde, &grid).unwrap_err();
    for method in [SdeMethod::Sriw1, SdeMethod::Sra1] {
        assert_eq!(
            made(method, Checkpoints::All, sinh),
            AdjointError::NoDiscreteAdjoint { method: method.name() }
        );
    }
    for (checkpoints, least) in
        [(Checkpoints::States(0), 1), (Checkpoints::Bytes(31), 32), (Checkpoints::Every(0), 1)]
    {
        let error = made(SdeMethod::Milstein, checkpoints, sinh);
        assert!(matches!(error, AdjointError::CheckpointsTooFew { least: l, .. } if l == least), "{error}");
    }
    let coupled = RingSde { dim: 2, noise: NoiseKind::Diagonal, calculus: Calculus::Ito };
    for (method, sde) in
        [(SdeMethod::Milstein, &coupled as &dyn Diffusion<f64>), (SdeMethod::StochasticHeun, sinh)]
    {
        let error = made(method, Checkpoints::All, sde);
        assert!(matches!(error, AdjointError::Solve(SolveError::UnsupportedNoise { .. })), "{error}");
    }
    // Another equation than the workspace was made for.
    let mut paths = SdeAdjoint::with_method(SdeMethod::Milstein, Checkpoints::All, 2, sinh, &grid).unwrap();
    let others: [&mut dyn DiffusionVjp<f64>; 3] = [
        &mut SpinSde { calculus: Calculus::Ito },
        &mut RingSde { dim: 2, noise: NoiseKind::Diagonal, calculus: Calculus::Ito },
        &mut RingSde { dim: 2, noise: NoiseKind::Separable, calculus: Calculus::Stratonovich },
    ];
    for other in others {
        let error = paths.forward(other, None, &noise, 0, &grid, &[0.1; 4], &[0.1, 0.2]).unwrap_err();
        assert!(matches!(error, AdjointError::Solve(SolveError::UnsupportedNoise { .. })), "{error}");
    }
    let longer = TimeGrid::new(0.3, &[1.5], 0.01).unwrap();
    let observed_more = TimeGrid::new(0.3, &[0.6, 0.7, 1.0, 1.5], 0.5).unwrap();
    let mut sde = SinhSde { dim: 2 };
    for (grid, y0) in
        [(&longer, &[0.1; 4][..]), (&observed_more, &[0.1; 4]), (&grid, &[0.1; 6]), (&grid, &[0.1; 3])]
    {
        let error = paths.forward(&mut sde, None, &noise, 0, grid, y0, &[0.1, 0.2]).unwrap_err();
        assert!(matches!(error, AdjointError::ShapeMismatch { .. }), "{error}");
    }
    let mut nothing = SinhSde { dim: 0 };
    let mut paths = SdeAdjoint::<f64>::new(2, 0, &grid);
    let error = paths.forward(&mut nothing, None, &noise, 0, &grid, &[], &[0.1, 0.2]).unwrap_err();
    assert!(matches!(error, AdjointError::ShapeMismatch { expected: 1, got: 0, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The backward pass is linear in the jumps, and a row's adjoint does not depend on the rows beside it.
    #[test]
    fn adjoints_are_linear_and_rows_apart(seed in 0_u64..1000, which in 0_usize..14, factor in -3.0..3.0_f64) {
        let mut case = cases::<f64>().swap_remove(which);
        let (grid, noise, d) = (grid(), BrownianIncrements::new(seed), case.sde.dim());
        let (sde, y0) = (&mut *case.sde, start(d, seed));
        let mut paths = SdeAdjoint::with_method(case.method, Checkpoints::All, ROWS, &*sde, &grid).unwrap();
        let (a, b) = (uniform(seed + 1, ROWS * d, -1.0, 1.0), uniform(seed + 2, ROWS * d, -1.0, 1.0));
        let mut pull = |first: u64, y0: &[f64], bars: &[&[f64]]| {
            paths.forward(sde, None, &noise, first, &grid, y0, &case.p).unwrap();
            let (mut y0_bar, mut p_bar) = (vec![0.0; y0.len()], vec![0.0; case.p.len()]);
            paths.backward(sde, None, &noise, first, &grid, &case.p, bars, &[], &mut y0_bar, &mut p_bar).unwrap();
            (y0_bar, p_bar)
        };
        let (left, right) = (pull(FIRST, &y0, &[&a, &[], &[]]), pull(FIRST, &y0, &[&[], &[], &b]));
        let scaled: Vec<f64> = b.iter().map(|b| factor * b).collect();
        let both = pull(FIRST, &y0, &[&a, &[], &scaled]);
        for (both, (left, right)) in both.0.iter().chain(&both.1).zip(left.0.iter().chain(&left.1).zip(right.0.iter().chain(&right.1))) {
            prop_assert!((both - left - factor * right).abs() < 1e-11 * (1.0 + left.abs() + right.abs()) * 100.0);
        }
        let alone = pull(FIRST + 1, &y0[d..2 * d], &[&a[d..2 * d], &[], &[]]);
        prop_assert_eq!(&alone.0[..], &left.0[d..2 * d]);
    }
}
