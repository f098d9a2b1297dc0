//! Strong and weak orders of the stochastic methods, on equations that are neither linear nor autonomous.
//!
//! Strong orders are slopes of the mean error along the path. Each comes from independent groups of paths, which give
//! its standard error too: an order is confirmed when it lies within 0.08 of what is stated (0.15 with so few powers of
//! two that the next term shows), and that is at least four standard errors.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{Calculus, Diffusion, FieldError, NoiseKind, VectorField};
use chreode_solve::{BrownianTree, EnsembleOptions, Increments, SdeMethod, TimeGrid, simulate};
use chreode_testkit::{MixedSinhSde, RingSde, SinhSde, SpinSde, observed_order};

const P: [f64; 2] = [0.8, 0.6];
const GROUPS: u64 = 8;

/// Mean and standard error.
fn summary(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// The end states at time 1 of `n` trajectories that start at `y0`, `[n, d]`, and the Brownian motions there, `[n, m]`.
fn paths<S: Diffusion<f64> + Clone + Send + Sync>(
    method: SdeMethod,
    sde: &S,
    p: &[f64],
    y0: &[f64],
    n: usize,
    steps: usize,
    seed: u64,
) -> (Vec<f64>, Vec<f64>) {
    let grid = TimeGrid::new(0.0, &[1.0], 1.0 / steps as f64).unwrap();
    let options = EnsembleOptions { method, ..EnsembleOptions::new(seed) };
    let y = simulate(sde, p, &y0.repeat(n), &grid, &options).unwrap();
    let m = sde.noise_kind().motions(y0.len());
    let (mut w, mut dw) = (vec![0.0; n * m], vec![0.0; n * m]);
    for k in 0..grid.steps() {
        options.noise.fill(k as u64, 0, m, grid.step(k).1, &mut dw);
        w.iter_mut().zip(&dw).for_each(|(w, dw)| *w += dw);
    }
    (y.states.into_iter().next().unwrap(), w)
}

/// Checks the order of the mean error against a solution in closed form, over 2⁴ to 2⁸ steps.
fn check_strong<S: Diffusion<f64> + Clone + Send + Sync>(
    method: SdeMethod,
    sde: &S,
    p: &[f64],
    y0: &[f64],
    exact: &dyn Fn(&[f64]) -> Vec<f64>,
) {
    let (n, d) = (1000, y0.len());
    let m = sde.noise_kind().motions(d);
    let orders: Vec<f64> = (0..GROUPS)
        .map(|seed| {
            let points: Vec<_> = [16, 32, 64, 128, 256]
                .map(|steps| {
                    let (y, w) = paths(method, sde, p, y0, n, steps, seed);
                    let exact: Vec<f64> = w.chunks_exact(m).flat_map(exact).collect();
                    let error: f64 = y.iter().zip(&exact).map(|(y, x)| (y - x).abs()).sum();
                    (-(steps as f64).log2(), (error / y.len() as f64).log2())
                })
                .to_vec();
            observed_order(&points)
        })
        .collect();
    let expected = method.strong_order(sde.noise_kind(), sde.calculus()).unwrap();
    confirm(&format!("{} on {:?} noise", method.name(), sde.noise_kind()), &orders, expected, 0.08);
}

fn confirm(what: &str, orders: &[f64], expected: f64, within: f64) {
    let (order, se) = summary(orders);
    println!("{what}: strong order {order:.3} ± {se:.3}");
    assert!((order - expected).abs() < within && 4.0 * se < within, "{what}: {order} ± {se}, not {expected}");
}

/// An SDE without its derivative.
#[derive(Debug, Clone)]
struct NoJvp<S>(S);
impl<S: VectorField<f64>> VectorField<f64> for NoJvp<S> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)
    }
}
impl<S: Diffusion<f64>> Diffusion<f64> for NoJvp<S> {
    fn noise_kind(&self) -> NoiseKind {
        self.0.noise_kind()
    }
    fn calculus(&self) -> Calculus {
        self.0.calculus()
    }
    fn diffusion(&mut self, t: f64, y: &[f64], p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        self.0.diffusion(t, y, p, g)
    }
}

#[test]
fn separable_noise() {
    let exact = |w: &[f64]| vec![SinhSde::exact(1.0, 0.3, w[0], &P)];
    for method in [SdeMethod::EulerMaruyama, SdeMethod::Milstein, SdeMethod::Sriw1] {
        check_strong(method, &SinhSde { dim: 1 }, &P, &[0.3], &exact);
    }
    check_strong(SdeMethod::Milstein, &NoJvp(SinhSde { dim: 1 }), &P, &[0.3], &exact);
}

#[test]
fn scalar_noise_in_both_calculi() {
    let (y0, p) = ([0.6, -0.4], [0.8, 1.2]);
    let exact = |w: &[f64]| SpinSde::exact(1.0, y0, w[0], &p).to_vec();
    let ito = SpinSde { calculus: Calculus::Ito };
    for method in [SdeMethod::EulerMaruyama, SdeMethod::Milstein, SdeMethod::Sriw1] {
        check_strong(method, &ito, &p, &y0, &exact);
    }
    check_strong(SdeMethod::Milstein, &NoJvp(ito), &p, &y0, &exact);
    let stratonovich = SpinSde { calculus: Calculus::Stratonovich };
    check_strong(SdeMethod::StochasticHeun, &stratonovich, &p, &y0, &exact);
}

/// General noise that commutes: Euler-Maruyama has its usual order, Heun twice what it promises.
#[test]
fn general_noise_in_both_calculi() {
    let mixing = vec![0.5, 0.3, -0.2, -0.4, 0.2, 0.1, 0.3, 0.0, 0.6];
    let (y0, p) = ([0.3, -0.2, 0.5], [0.8]);
    for motions in [1, 3] {
        let mixing: Vec<f64> = mixing.chunks_exact(3).flat_map(|s| &s[..motions]).copied().collect();
        let sde = |calculus| MixedSinhSde { mixing: mixing.clone(), motions, calculus };
        let exact = |w: &[f64]| sde(Calculus::Ito).exact(1.0, &y0, w, &p);
        check_strong(SdeMethod::EulerMaruyama, &sde(Calculus::Ito), &p, &y0, &exact);
        let orders: Vec<f64> = (0..GROUPS)
            .map(|seed| {
                let points = [16, 32, 64, 128, 256].map(|steps| {
                    let sde = sde(Calculus::Stratonovich);
                    let (y, w) = paths(SdeMethod::StochasticHeun, &sde, &p, &y0, 500, steps, seed);
                    let exact: Vec<f64> = w.chunks_exact(motions).flat_map(exact).collect();
                    let error: f64 = y.iter().zip(&exact).map(|(y, x)| (y - x).abs()).sum();
                    (-(steps as f64).log2(), (error / y.len() as f64).log2())
                });
                observed_order(&points)
            })
            .collect();
        confirm("stochastic Heun on noise that commutes", &orders, 1.0, 0.08);
    }
}

/// End states at time 1 of rows 0..n along the tree's paths, in equal steps.
fn along_tree(
    method: SdeMethod,
    sde: &RingSde,
    n: usize,
    steps: usize,
    tree: &mut BrownianTree<f64>,
) -> Vec<f64> {
    let d = sde.dim;
    let mut scheme = method.scheme(n, sde).unwrap();
    let (mut sde, mut y) = (sde.clone(), [0.4, -0.3, 0.8][..d].repeat(n));
    let (mut dw, mut area) = (vec![0.0; n * d], vec![0.0; n * d]);
    let h = 1.0 / steps as f64;
    for k in 0..steps {
        let t = k as f64 * h;
        for (i, (dw, area)) in dw.chunks_exact_mut(d).zip(area.chunks_exact_mut(d)).enumerate() {
            tree.increment(i as u64, t, t + h, dw, area).unwrap();
        }
        scheme.advance(&mut sde, Increments { dw: &dw, area: &area }, 0, t, h, &mut y, &[0.7]).unwrap();
    }
    y
}

/// Without a closed form: the distance between runs with `h` and `h/2` along one path falls as the error does.
fn check_by_halving(method: SdeMethod, noise: NoiseKind, calculus: Calculus, steps: [usize; 5]) {
    let sde = RingSde { dim: 3, noise, calculus };
    let orders: Vec<f64> = (0..GROUPS)
        .map(|seed| {
            let mut tree = BrownianTree::new(seed, 3, (0.0, 1.0)).unwrap();
            let runs = steps.map(|steps| along_tree(method, &sde, 150, steps, &mut tree));
            let points: Vec<_> = (0..4)
                .map(|i| {
                    let error: f64 = runs[i].iter().zip(&runs[i + 1]).map(|(a, b)| (a - b).abs()).sum();
                    (-(steps[i] as f64).log2(), (error / runs[i].len() as f64).log2())
                })
                .collect();
            observed_order(&points)
        })
        .collect();
    let expected = method.strong_order(noise, calculus).unwrap();
    confirm(&format!("{} on {noise:?} noise in a ring", method.name()), &orders, expected, 0.15);
}

#[test]
fn coupled_drift() {
    let steps = [16, 32, 64, 128, 256];
    for (noise, calculus, methods) in [
        (NoiseKind::Separable, Calculus::Ito, &[SdeMethod::Milstein, SdeMethod::Sriw1][..]),
        (NoiseKind::Separable, Calculus::Stratonovich, &[SdeMethod::StochasticHeun]),
        (NoiseKind::Diagonal, Calculus::Ito, &[SdeMethod::EulerMaruyama]),
        (NoiseKind::Diagonal, Calculus::Stratonovich, &[SdeMethod::StochasticHeun]),
    ] {
        for &method in methods {
            check_by_halving(method, noise, calculus, steps);
        }
    }
}

/// The noise depends on time; in both calculi it is one equation.
#[test]
fn additive_noise() {
    let mut tree = BrownianTree::new(1, 3, (0.0, 1.0)).unwrap();
    for method in SdeMethod::ALL {
        check_by_halving(method, NoiseKind::Additive, Calculus::Ito, [16, 32, 64, 128, 256]);
        let [a, b] = [Calculus::Ito, Calculus::Stratonovich].map(|calculus| {
            let sde = RingSde { dim: 3, noise: NoiseKind::Additive, calculus };
            along_tree(method, &sde, 5, 16, &mut tree)
        });
        assert_eq!(a, b);
    }
}

/// Slopes of the mean of the error over each path, so that the variance of the solution itself cancels: the weak order
/// of the mean and of the mean square. `errors` gives both, from one group of paths, for a number of steps.
fn check_weak(what: &str, expected: f64, steps: [usize; 3], errors: &dyn Fn(usize, u64) -> [f64; 2]) {
    let table = steps.map(|steps| {
        let groups: Vec<[f64; 2]> = (0..GROUPS).map(|seed| errors(steps, 100 + seed)).collect();
        [0, 1].map(|moment| summary(&groups.iter().map(|g| g[moment]).collect::<Vec<_>>()))
    });
    for (moment, name) in ["mean", "mean square"].into_iter().enumerate() {
        let points: Vec<_> = steps
            .iter()
            .zip(&table)
            .map(|(&steps, errors)| {
                let (error, se) = errors[moment];
                println!("{what}, {name}, {steps} steps: {error:e} ± {se:e}");
                assert!(error.abs() > 8.0 * se, "{what}, {name}, {steps} steps: {error:e} ± {se:e}");
                (-(steps as f64).log2(), error.abs().log2())
            })
            .collect();
        let order = observed_order(&points);
        println!("{what}: weak order of the {name} {order:.3}");
        assert!((order - expected).abs() < 0.2, "{what}, {name}: {order}, not {expected}");
    }
}

fn mean_errors(y: impl Iterator<Item = f64>, reference: impl Iterator<Item = f64>) -> [f64; 2] {
    let (mut sums, mut n) = ([0.0; 2], 0.0);
    for (y, x) in y.zip(reference) {
        sums[0] += y - x;
        sums[1] += y * y - x * x;
        n += 1.0;
    }
    sums.map(|s| s / n)
}

#[test]
fn weak_orders() {
    // SRIW1 has 1.5 in the limit; from 4 to 256 steps, 1.7 to 1.8 is what shows.
    for (method, order) in
        [(SdeMethod::EulerMaruyama, 1.0), (SdeMethod::Milstein, 1.0), (SdeMethod::Sriw1, 1.75)]
    {
        check_weak(method.name(), order, [16, 32, 64], &|steps, seed| {
            let (y, w) = paths(method, &SinhSde { dim: 1 }, &P, &[0.3], 10_000, steps, seed);
            mean_errors(y.into_iter(), w.iter().map(|&w| SinhSde::exact(1.0, 0.3, w, &P)))
        });
    }
    let (y0, p) = ([0.6, -0.4], [0.8, 1.2]);
    let sde = SpinSde { calculus: Calculus::Stratonovich };
    check_weak("stochastic Heun", 1.0, [4, 8, 16], &|steps, seed| {
        let (y, w) = paths(SdeMethod::StochasticHeun, &sde, &p, &y0, 10_000, steps, seed);
        mean_errors(y.into_iter().step_by(2), w.iter().map(|&w| SpinSde::exact(1.0, y0, w, &p)[0]))
    });
    let sde = RingSde { dim: 3, noise: NoiseKind::Additive, calculus: Calculus::Ito };
    for method in [SdeMethod::Sriw1, SdeMethod::Sra1] {
        check_weak(&format!("{} on additive noise", method.name()), 2.0, [8, 16, 32], &|steps, seed| {
            let mut tree = BrownianTree::new(seed, 3, (0.0, 1.0)).unwrap();
            // One coordinate: the three have errors of different signs.
            let mut run =
                |steps| along_tree(method, &sde, 2000, steps, &mut tree).into_iter().skip(1).step_by(3);
            mean_errors(run(steps), run(2 * steps))
        });
    }
}
