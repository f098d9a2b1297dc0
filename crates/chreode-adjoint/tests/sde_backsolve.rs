//! Backsolve of Stratonovich equations: right in the limit of small steps where it may be, and where it may not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chreode_adjoint::{AdjointError, SdeBacksolve};
use chreode_core::{Calculus, Diffusion, DiffusionVjp, NoiseKind, Real, Tolerance};
use chreode_solve::{AdaptiveOptions, BrownianTree, SdeMethod, SolveError, TimeGrid, simulate_adaptive};
use chreode_testkit::{
    CountingAllocator, MixedSinhSde, RingSde, SinhSde, SpinSde, WellSde, allocations_in, central_difference,
    compare, observed_order,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ROWS: usize = 8;
const FIRST: u64 = 1 << 35;
const SEED: u64 = 11;

fn observed() -> [f64; 3] {
    [0.375, 0.625, 1.0]
}

fn grid(h: f64) -> TimeGrid {
    TimeGrid::new(0.0, &observed(), h).unwrap()
}

fn tree<T: Real>(motions: usize, t_end: f64) -> BrownianTree<T> {
    BrownianTree::new(SEED, motions, (0.0, t_end)).unwrap()
}

fn start(d: usize) -> Vec<f64> {
    (0..ROWS * d).map(|i| 0.9 * (1.7 * i as f64).sin()).collect()
}

/// Weights of a loss `Σ c y` over the observations.
fn weights(d: usize) -> [Vec<f64>; 3] {
    std::array::from_fn(|k| (0..ROWS * d).map(|i| (0.3 * (i + 7 * k) as f64).cos()).collect())
}

/// Gradient of the loss by backsolve with steps of `h`: start states, then parameters.
fn backsolve(sde: &mut dyn DiffusionVjp<f64>, p: &[f64], h: f64) -> Vec<f64> {
    let d = sde.dim();
    let (grid, mut tree) = (grid(h), tree(sde.noise_kind().motions(d), 1.0));
    let mut adjoint = SdeBacksolve::new(ROWS, &*sde).unwrap();
    let (mut y, weights) = (start(d), weights(d));
    adjoint.forward(sde, &mut tree, FIRST, &grid, p, &mut y, &mut |_, _, _| {}).unwrap();
    let bars = weights.each_ref().map(Vec::as_slice);
    let (mut y0_bar, mut p_bar) = (vec![7.0; ROWS * d], vec![0.25; p.len()]);
    adjoint.backward(sde, &mut tree, FIRST, &grid, p, &y, &bars, &mut y0_bar, &mut p_bar).unwrap();
    y0_bar.extend(p_bar.iter().map(|p_bar| p_bar - 0.25));
    y0_bar
}

/// The gradient of what the forward run computes on frozen paths with steps of `h`.
fn discrete(sde: &mut dyn DiffusionVjp<f64>, p: &[f64], h: f64) -> Vec<f64> {
    let d = sde.dim();
    let (grid, mut tree) = (grid(h), tree(sde.noise_kind().motions(d), 1.0));
    let mut adjoint = SdeBacksolve::new(ROWS, &*sde).unwrap();
    let weights = weights(d);
    let mut x = start(d);
    x.extend(p);
    central_difference(&x, |x| {
        let (mut y, mut loss) = (x[..ROWS * d].to_vec(), 0.0);
        let mut save = |i: usize, t: f64, y: &[f64]| {
            assert_eq!(t, observed()[i]);
            loss += weights[i].iter().zip(y).map(|(c, y)| c * y).sum::<f64>();
        };
        adjoint.forward(sde, &mut tree, FIRST, &grid, &x[ROWS * d..], &mut y, &mut save).unwrap();
        loss
    })
}

/// Root mean square of the difference over that of the gradient.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let square = |x: f64| x * x;
    let (error, size) =
        a.iter().zip(b).fold((0.0, 0.0), |(e, s), (a, b)| (e + square(a - b), s + square(*b)));
    (error / size).sqrt()
}

const STEPS: [f64; 5] = [1.0 / 16.0, 1.0 / 32.0, 1.0 / 64.0, 1.0 / 128.0, 1.0 / 256.0];

/// The order that errors with these steps show.
fn order(errors: &[f64; 5]) -> f64 {
    observed_order(&std::array::from_fn::<_, 5, _>(|i| (STEPS[i].log2(), errors[i].log2())))
}

fn fields() -> Vec<(&'static str, Box<dyn DiffusionVjp<f64>>, Vec<f64>, f64)> {
    let calculus = Calculus::Stratonovich;
    let ring = |noise| Box::new(RingSde { dim: 3, noise, calculus });
    let mixing = vec![0.4, -0.2, 0.1, 0.3, 0.2, -0.5];
    vec![
        ("separable", ring(NoiseKind::Separable), vec![0.5], 1.0),
        ("additive", ring(NoiseKind::Additive), vec![0.5], 1.0),
        ("diagonal", ring(NoiseKind::Diagonal), vec![0.5], 0.5),
        ("scalar", Box::new(SpinSde { calculus }), vec![0.7, 0.9], 1.0),
        ("matrix", Box::new(MixedSinhSde { mixing, motions: 2, calculus }), vec![0.7], 1.0),
    ]
}

#[test]
fn approaches_the_discrete_gradient_with_the_order_of_the_method() {
    for (name, mut sde, p, expected) in fields() {
        let errors = STEPS.map(|h| distance(&backsolve(&mut *sde, &p, h), &discrete(&mut *sde, &p, h)));
        let seen = order(&errors);
        assert!(seen > expected - 0.2, "{name}: {errors:?} have order {seen}");
        assert!(errors[4] < 0.05, "{name}: {errors:?}");
    }
}

/// The rotation has a solution in closed form, whose gradient is that of `exact`.
#[test]
fn approaches_the_exact_gradient_of_the_path() {
    let p = [0.7, 0.9];
    let mut tree = tree::<f64>(1, 1.0);
    let weights = weights(2);
    let mut x = start(2);
    x.extend(p);
    let mut w = |row: usize, t: f64| {
        let (mut dw, mut area) = ([0.0], [0.0]);
        tree.increment(FIRST + row as u64, 0.0, t, &mut dw, &mut area).unwrap();
        dw[0]
    };
    let exact = central_difference(&x, |x| {
        let mut loss = 0.0;
        for row in 0..ROWS {
            for (k, t) in observed().into_iter().enumerate() {
                let y = SpinSde::exact(t, [x[2 * row], x[2 * row + 1]], w(row, t), &x[2 * ROWS..]);
                loss += weights[k][2 * row] * y[0] + weights[k][2 * row + 1] * y[1];
            }
        }
        loss
    });
    let mut sde = SpinSde { calculus: Calculus::Stratonovich };
    // Steps that the tree's intervals do not fit.
    let errors = STEPS.map(|h| distance(&backsolve(&mut sde, &p, 0.9 * h), &exact));
    assert!(order(&errors) > 0.8, "{errors:?}");
    assert!(errors[4] < 2e-2, "{errors:?}");
}

/// The forward run may choose its own steps, if it is on the same paths.
#[test]
fn goes_back_from_an_adaptive_run() {
    let (p, mut sde) =
        ([0.5], RingSde { dim: 3, noise: NoiseKind::Separable, calculus: Calculus::Stratonovich });
    let options = AdaptiveOptions {
        first_trajectory: FIRST,
        ..AdaptiveOptions::new(SdeMethod::StochasticHeun, Tolerance::new(1e-4, 1e-4), SEED)
    };
    let y0 = start(3);
    let run = simulate_adaptive(&sde, &p, &y0, (0.0, 1.0), &[1.0], &options).unwrap();
    let mut adjoint = SdeBacksolve::new(ROWS, &sde as &dyn Diffusion<f64>).unwrap();
    let (grid, mut tree) = (grid(1.0 / 1024.0), tree(3, 1.0));
    let weights = weights(3);
    let bars = weights.each_ref().map(Vec::as_slice);
    let (mut y0_bar, mut p_bar) = (vec![0.0; ROWS * 3], vec![0.0]);
    adjoint
        .backward(&mut sde, &mut tree, FIRST, &grid, &p, &run.states[0], &bars, &mut y0_bar, &mut p_bar)
        .unwrap();
    assert!(distance(adjoint.start(), &y0) < 1e-2);
    y0_bar.extend(p_bar);
    let error = distance(&y0_bar, &discrete(&mut sde, &p, 1.0 / 1024.0));
    assert!(error < 1e-2, "{error}");
}

/// A drift of rate 40 forgets by e^-40 in one unit of time: backward, rounding alone grows to 20.
#[test]
fn fails_where_the_flow_forgets() {
    let mut sde = WellSde { dim: 1 };
    let p = [-40.0, 3.0, 0.5, 0.0];
    let gradient = |sde: &mut WellSde, t_end: f64| {
        let grid = TimeGrid::new(0.0, &[t_end], 1e-3).unwrap();
        let (mut tree, mut y) = (tree::<f64>(1, t_end), [0.4]);
        let mut adjoint = SdeBacksolve::new(1, sde as &dyn Diffusion<f64>).unwrap();
        adjoint.forward(sde, &mut tree, 0, &grid, &p, &mut y, &mut |_, _, _| {}).unwrap();
        let (mut y0_bar, mut p_bar) = ([0.0], [0.0; 4]);
        let done = adjoint.backward(sde, &mut tree, 0, &grid, &p, &y, &[&[1.0]], &mut y0_bar, &mut p_bar);
        let true_p_bar = central_difference(&p, |p| {
            let mut y = [0.4];
            adjoint.forward(sde, &mut tree, 0, &grid, p, &mut y, &mut |_, _, _| {}).unwrap();
            y[0]
        });
        (done, distance(&p_bar, &true_p_bar), (adjoint.start()[0] - 0.4).abs())
    };
    // Over two relaxation times it works.
    let (done, error, start) = gradient(&mut sde, 0.05);
    done.unwrap();
    assert!(error < 1e-2 && start < 1e-2, "{error} {start}");
    // Over forty it does not, and either says so or is told by its start.
    let (done, error, start) = gradient(&mut sde, 1.0);
    match done {
        Err(AdjointError::Solve(SolveError::NonFinite { .. }) | AdjointError::NonFinite { .. }) => {}
        Ok(()) => assert!(error > 0.1 && start > 0.1, "{error} {start}"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn memory_does_not_grow_with_the_steps() {
    for h in [1e-2, 1e-4] {
        for (name, mut sde, p, _) in fields() {
            let d = sde.dim();
            let (grid, mut tree) =
                (TimeGrid::new(0.0, &observed(), h).unwrap(), tree(sde.noise_kind().motions(d), 1.0));
            let mut adjoint = SdeBacksolve::new(2, &*sde).unwrap();
            let (mut y, mut y0_bar, mut p_bar) = (vec![0.3; 2 * d], vec![0.0; 2 * d], vec![0.0; p.len()]);
            let bar = vec![1.0; 2 * d];
            let (count, done) = allocations_in(|| -> Result<(), AdjointError> {
                adjoint.forward(&mut *sde, &mut tree, 0, &grid, &p, &mut y, &mut |_, _, _| {})?;
                let bars = [&bar[..], &bar, &bar];
                adjoint.backward(&mut *sde, &mut tree, 0, &grid, &p, &y, &bars, &mut y0_bar, &mut p_bar)
            });
            done.unwrap();
            assert_eq!(count, 0, "{name} {h}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_each_other() {
    for (name, mut sde, p, _) in fields() {
        let d = sde.dim();
        let (grid, mut tree, y0) = (grid(0.05), tree(sde.noise_kind().motions(d), 1.0), start(d));
        let mut adjoint = SdeBacksolve::new(ROWS, &*sde).unwrap();
        let mut pull = |rows: std::ops::Range<usize>| {
            let (mut y, n) = (y0[rows.start * d..rows.end * d].to_vec(), rows.len() * d);
            let first = FIRST + rows.start as u64;
            adjoint.forward(&mut *sde, &mut tree, first, &grid, &p, &mut y, &mut |_, _, _| {}).unwrap();
            let (mut y0_bar, mut p_bar) = (vec![0.0; n], vec![0.0; p.len()]);
            let bar = vec![1.0; n];
            let bars = [&bar[..]; 3];
            adjoint
                .backward(&mut *sde, &mut tree, first, &grid, &p, &y, &bars, &mut y0_bar, &mut p_bar)
                .unwrap();
            y0_bar
        };
        assert_eq!(pull(4..5), pull(0..ROWS)[4 * d..5 * d], "{name}");
    }
}

#[test]
fn single_precision_agrees_with_double() {
    fn gradient<T: Real>() -> Vec<f64> {
        let (p, grid) = ([0.7, 0.9].map(T::c), grid(0.02));
        let mut sde = SpinSde { calculus: Calculus::Stratonovich };
        let mut tree = tree::<T>(1, 1.0);
        let mut adjoint = SdeBacksolve::new(ROWS, &sde as &dyn Diffusion<T>).unwrap();
        let mut y: Vec<T> = start(2).into_iter().map(T::c).collect();
        adjoint.forward(&mut sde, &mut tree, FIRST, &grid, &p, &mut y, &mut |_, _, _| {}).unwrap();
        let weights = weights(2).map(|w| w.into_iter().map(T::c).collect::<Vec<T>>());
        let bars = weights.each_ref().map(Vec::as_slice);
        let (mut y0_bar, mut p_bar) = (vec![T::ZERO; 2 * ROWS], vec![T::ZERO; 2]);
        adjoint.backward(&mut sde, &mut tree, FIRST, &grid, &p, &y, &bars, &mut y0_bar, &mut p_bar).unwrap();
        y0_bar.into_iter().chain(p_bar).map(Real::f64).collect()
    }
    compare("f32", &gradient::<f32>(), &gradient::<f64>(), 1e-3).unwrap();
}

#[test]
fn calls_that_do_not_fit_are_errors() {
    let unsupported = |error: AdjointError| {
        assert!(matches!(error, AdjointError::Solve(SolveError::UnsupportedNoise { .. })), "{error}");
    };
    let ito: [&dyn Diffusion<f64>; 3] = [
        &SinhSde { dim: 2 },
        &SpinSde { calculus: Calculus::Ito },
        &RingSde { dim: 2, noise: NoiseKind::Diagonal, calculus: Calculus::Ito },
    ];
    for sde in ito {
        unsupported(SdeBacksolve::new(2, sde).unwrap_err());
    }
    let calculus = Calculus::Stratonovich;
    let additive: &dyn Diffusion<f64> =
        &RingSde { dim: 2, noise: NoiseKind::Additive, calculus: Calculus::Ito };
    SdeBacksolve::new(2, additive).unwrap(); // the same in both
    let mut sde = RingSde { dim: 2, noise: NoiseKind::Diagonal, calculus };
    let mut adjoint = SdeBacksolve::new(2, &sde as &dyn Diffusion<f64>).unwrap();
    let (grid, mut paths) = (grid(0.1), tree::<f64>(2, 1.0));
    let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
    let p = [0.5];
    // An equation of another calculus, or with other noise.
    let error =
        adjoint.forward(&mut SinhSde { dim: 2 }, &mut paths, 0, &grid, &[0.5; 2], &mut [0.1; 4], nothing);
    unsupported(error.unwrap_err());
    let error =
        adjoint.forward(&mut SpinSde { calculus }, &mut paths, 0, &grid, &[0.5; 2], &mut [0.1; 4], nothing);
    unsupported(error.unwrap_err());
    for len in [3, 6] {
        let error = adjoint.forward(&mut sde, &mut paths, 0, &grid, &p, &mut vec![0.1; len], nothing);
        assert!(matches!(error, Err(AdjointError::ShapeMismatch { .. })), "{error:?}");
    }
    let error = adjoint.forward(&mut sde, &mut paths, 0, &grid, &[], &mut [0.1; 4], nothing);
    assert!(matches!(error, Err(AdjointError::ShapeMismatch { what: "parameters", .. })), "{error:?}");
    // A tree with other motions, or for a shorter time.
    let error = adjoint.forward(&mut sde, &mut tree(1, 1.0), 0, &grid, &p, &mut [0.1; 4], nothing);
    assert!(matches!(error, Err(AdjointError::Solve(SolveError::ShapeMismatch { .. }))), "{error:?}");
    let error = adjoint.forward(&mut sde, &mut tree(2, 0.9), 0, &grid, &p, &mut [0.1; 4], nothing);
    assert!(matches!(error, Err(AdjointError::Solve(SolveError::InvalidTime { .. }))), "{error:?}");

    let (bar, mut y0_bar, mut p_bar) = ([1.0; 4], [0.0; 4], [0.0]);
    let broken = [0.0, 0.0, 1.0, f64::NAN];
    let mut back = |y: &[f64], bars: &[&[f64]]| {
        adjoint.backward(&mut sde, &mut paths, 5, &grid, &p, y, bars, &mut y0_bar, &mut p_bar)
    };
    assert_eq!(back(&[0.1; 4], &[&bar, &bar, &bar]), Ok(()));
    for bars in [&[&bar[..]; 2][..], &[&bar, &bar[1..], &bar]] {
        assert!(matches!(back(&[0.1; 4], bars), Err(AdjointError::ShapeMismatch { .. })));
    }
    // The jump at 0.625, and the state at the end.
    assert_eq!(
        back(&[0.1; 4], &[&bar, &broken, &bar]),
        Err(AdjointError::NonFinite { t: 0.625, trajectory: 6, coordinate: 1 })
    );
    assert!(matches!(
        back(&broken, &[&bar, &bar, &bar]),
        Err(AdjointError::Solve(SolveError::NonFinite { trajectory: 6, .. }))
    ));
    let told = adjoint.backward(
        &mut sde,
        &mut paths,
        5,
        &grid,
        &p,
        &[0.1; 4],
        &[&bar, &bar, &bar],
        &mut y0_bar,
        &mut [f64::NAN],
    );
    assert_eq!(told, Err(AdjointError::NonFiniteGradient { t: 0.0, parameter: 0, first: 5, last: 6 }));
}
