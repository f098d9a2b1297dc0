//! The Sinkhorn divergence: gradients against finite differences, small blur against exact assignment.

mod common;

use chreode_train::{
    Cloud, CloudBar, Cost, EnergyDistance, LossError, Potentials, SinkhornConfig, SinkhornDivergence,
    Statistic, exact_transport,
};
use common::check_slopes;
use proptest::prelude::*;

fn config(cost: Cost, blur: f64) -> SinkhornConfig {
    SinkhornConfig { cost, blur, tolerance: 1e-13, max_iterations: 100_000, ..SinkhornConfig::default() }
}

fn cost() -> impl Strategy<Value = Cost> {
    prop_oneof![Just(Cost::HalfSquare), Just(Cost::Distance)]
}

fn cloud(n: usize, d: usize) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-1.0..1.0_f64, n * d)
}

/// `(d, x, log-weights of x, y, log-weights of y)`.
fn pair() -> impl Strategy<Value = (usize, Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>)> {
    (1..4_usize, 2..20_usize, 2..20_usize).prop_flat_map(|(d, n, m)| {
        let w = |n| proptest::collection::vec(-1.5..1.5_f64, n);
        (Just(d), cloud(n, d), w(n), cloud(m, d), w(m))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gradient_is_that_of_the_value((d, x, lw, y, lv) in pair(), cost in cost(), blur in 0.3..1.0_f64, reach in prop_oneof![Just(None), (0.3..2.0_f64).prop_map(Some)]) {
        let (n, m) = (x.len() / d, y.len() / d);
        let settings = SinkhornConfig { reach, ..config(cost, blur) };
        let mut loss = SinkhornDivergence::new(d, settings).unwrap();
        let (mut xb, mut wb, mut yb, mut vb) = (vec![0.0; x.len()], vec![0.0; n], vec![0.0; y.len()], vec![0.0; m]);
        let (x_bar, y_bar) = (CloudBar { states: &mut xb, log_weights: &mut wb }, CloudBar { states: &mut yb, log_weights: &mut vb });
        let report = loss.evaluate_from(Cloud::weighted(&x, &lw), Cloud::weighted(&y, &lv), Some(x_bar), Some(y_bar), None).unwrap();
        prop_assert!(report.value > -1e-9 && report.marginal_error < 1e-13, "{report:?}");
        let mut at = |x: &[f64], lw: &[f64], y: &[f64], lv: &[f64]| {
            loss.evaluate(Cloud::weighted(x, lw), Cloud::weighted(y, lv), None).unwrap().value
        };
        // |x - y| is smooth over 1e-6 only: stay away from its kink by a step that is smaller still.
        let h = if cost == Cost::HalfSquare { 1e-4 } else { 1e-5 };
        check_slopes("x", &xb, &x, (h, 1e-6), |x| at(x, &lw, &y, &lv))?;
        check_slopes("w", &wb, &lw, (h, 1e-6), |lw| at(&x, lw, &y, &lv))?;
        check_slopes("y", &yb, &y, (h, 1e-6), |y| at(&x, &lw, y, &lv))?;
        check_slopes("v", &vb, &lv, (h, 1e-6), |lv| at(&x, &lw, &y, lv))?;
    }

    /// Against plain iterations on the dense problems, with a penalty on the marginals.
    #[test]
    fn unbalanced_is_the_dense_reference((d, x, lw, y, lv) in pair(), cost in cost(), blur in 0.2..1.0_f64, reach in 0.2..3.0_f64) {
        let settings = SinkhornConfig { reach: Some(reach), ..config(cost, blur) };
        let got = SinkhornDivergence::new(d, settings).unwrap()
            .evaluate(Cloud::weighted(&x, &lw), Cloud::weighted(&y, &lv), None).unwrap().value;
        let p = if cost == Cost::HalfSquare { 2 } else { 1 };
        let dual = |x: &[f64], lw: &[f64], y: &[f64], lv: &[f64]| reference(d, p, (x, lw), (y, lv), blur.powi(p), reach.powi(p));
        let want = dual(&x, &lw, &y, &lv) - 0.5 * dual(&x, &lw, &x, &lw) - 0.5 * dual(&y, &lv, &y, &lv);
        prop_assert!((got - want).abs() < 1e-7, "{got} {want}");
    }

    /// Large penalty: as if balanced.
    #[test]
    fn far_reach_is_balanced((d, x, lw, y, lv) in pair()) {
        let at = |reach| SinkhornDivergence::new(d, SinkhornConfig { reach, ..config(Cost::HalfSquare, 0.5) }).unwrap()
            .evaluate(Cloud::weighted(&x, &lw), Cloud::weighted(&y, &lv), None).unwrap().value;
        let (far, balanced) = (at(Some(1e4)), at(None));
        prop_assert!((far - balanced).abs() < 1e-6, "{far} {balanced}");
    }

    /// As the blur goes to zero the divergence goes to the cost of the best assignment.
    #[test]
    fn small_blur_is_optimal_transport((d, x, y) in (1..4_usize, 2..7_usize).prop_flat_map(|(d, n)| (Just(d), cloud(n, d), cloud(n, d))), cost in cost()) {
        let n = x.len() / d;
        let c = |i: usize, j: usize| {
            let r2: f64 = (0..d).map(|k| (x[i * d + k] - y[j * d + k]).powi(2)).sum();
            if cost == Cost::HalfSquare { r2 / 2.0 } else { r2.sqrt() }
        };
        let mut order: Vec<usize> = (0..n).collect();
        let mut best = f64::INFINITY;
        permutations(&mut order, 0, &mut |p| best = best.min(p.iter().enumerate().map(|(i, &j)| c(i, j)).sum::<f64>() / n as f64));
        let blur = if cost == Cost::HalfSquare { 0.03 } else { 0.001 };
        let settings = SinkhornConfig { tolerance: 1e-6, ..config(cost, blur) };
        let report = SinkhornDivergence::new(d, settings).unwrap().evaluate(Cloud::equal(&x), Cloud::equal(&y), None).unwrap();
        // Entropy of a permutation: each of the three terms is off by at most ε ln n.
        let bound = 2.0 * blur.powi(if cost == Cost::HalfSquare { 2 } else { 1 }) * (n as f64).ln() + 1e-4;
        prop_assert!((report.value - best).abs() < bound, "{report:?} {best}");
    }

    #[test]
    fn invariances((d, x, lw, y, lv) in pair(), cost in cost(), shift in -3.0..3.0_f64) {
        let mut loss = SinkhornDivergence::new(d, config(cost, 0.3)).unwrap();
        let mut at = |x: &[f64], lw: &[f64], y: &[f64], lv: &[f64]| {
            loss.evaluate(Cloud::weighted(x, lw), Cloud::weighted(y, lv), None).unwrap().value
        };
        let base = at(&x, &lw, &y, &lv);
        prop_assert!((at(&y, &lv, &x, &lw) - base).abs() < 1e-7);
        let zero = at(&y, &lv, &y, &lv);
        // Mass between well separated groups moves slowly: the marginals fit long before the value does.
        prop_assert!(zero.abs() < 1e-7, "{zero:e}");
        let turned: Vec<f64> = x.chunks_exact(d).rev().flatten().copied().collect();
        let lw_turned: Vec<f64> = lw.iter().rev().copied().collect();
        prop_assert!((at(&turned, &lw_turned, &y, &lv) - base).abs() < 1e-7);
        let moved = |v: &[f64]| v.iter().map(|u| u + shift).collect::<Vec<_>>();
        prop_assert!((at(&moved(&x), &lw, &moved(&y), &lv) - base).abs() < 1e-7);
        // Moving one cloud by a vector s costs exactly |s|²/2 between equal shapes.
        if cost == Cost::HalfSquare {
            let s = at(&moved(&y), &lv, &y, &lv);
            prop_assert!((s - d as f64 * shift * shift / 2.0).abs() < 1e-7, "{s}");
        }
    }

    /// Large blur: the divergence becomes half the energy distance (cost |x - y|).
    #[test]
    fn large_blur_is_energy((d, x, lw, y, lv) in pair()) {
        let (xc, yc) = (Cloud::weighted(&x, &lw), Cloud::weighted(&y, &lv));
        let s = SinkhornDivergence::new(d, config(Cost::Distance, 1e4)).unwrap().evaluate(xc, yc, None).unwrap().value;
        let e = EnergyDistance::new(d, Statistic::Biased).unwrap().evaluate(xc, yc, None).unwrap();
        prop_assert!((s - e / 2.0).abs() < 1e-3, "{s} {e}");
    }
}

/// Dual value of one entropic problem with penalties on its marginals, by many plain iterations.
fn reference(
    d: usize,
    p: i32,
    (x, lw): (&[f64], &[f64]),
    (y, lv): (&[f64], &[f64]),
    epsilon: f64,
    rho: f64,
) -> f64 {
    let weights = |l: &[f64]| {
        let sum: f64 = l.iter().map(|l| l.exp()).sum();
        l.iter().map(|l| l.exp() / sum).collect::<Vec<_>>()
    };
    let (a, b) = (weights(lw), weights(lv));
    let (n, m) = (a.len(), b.len());
    let cost = |i: usize, j: usize| {
        let r2: f64 = (0..d).map(|k| (x[i * d + k] - y[j * d + k]).powi(2)).sum();
        if p == 2 { r2 / 2.0 } else { (r2 + 1e-12).sqrt() - 1e-6 }
    };
    let (mut f, mut g) = (vec![0.0; n], vec![0.0; m]);
    let damping = rho / (rho + epsilon);
    for _ in 0..20_000 {
        let old = f.clone();
        for i in 0..n {
            let sum: f64 = (0..m).map(|j| b[j] * ((g[j] - cost(i, j)) / epsilon).exp()).sum();
            f[i] = -damping * epsilon * sum.ln();
        }
        for j in 0..m {
            let sum: f64 = (0..n).map(|i| a[i] * ((f[i] - cost(i, j)) / epsilon).exp()).sum();
            g[j] = -damping * epsilon * sum.ln();
        }
        if old.iter().zip(&f).all(|(p, q)| (p - q).abs() < 1e-14) {
            break;
        }
    }
    let mut value = epsilon;
    for i in 0..n {
        value += a[i] * rho * (1.0 - (-f[i] / rho).exp());
        for j in 0..m {
            value -= epsilon * a[i] * b[j] * ((f[i] + g[j] - cost(i, j)) / epsilon).exp();
        }
    }
    value + (0..m).map(|j| b[j] * rho * (1.0 - (-g[j] / rho).exp())).sum::<f64>()
}

fn permutations(order: &mut [usize], k: usize, visit: &mut impl FnMut(&[usize])) {
    if k == order.len() {
        return visit(order);
    }
    for i in k..order.len() {
        order.swap(k, i);
        permutations(order, k + 1, visit);
        order.swap(k, i);
    }
}

fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut z = vec![0.0; n];
    chreode_core::BrownianIncrements::new(seed).fill(0, 0, 1, 1.0, &mut z);
    z
}

/// f32 at a small blur against f64, stored against recomputed, one thread against two.
#[test]
fn f32_memory_and_threads() {
    let (n, m, d) = (300, 170, 5);
    let (x, mut y, lw) = (normals(n * d, 1), normals(m * d, 2), normals(n, 3));
    for v in &mut y {
        *v = *v * 0.7 + 0.5;
    }
    let narrow = |v: &[f64]| v.iter().map(|&u| u as f32).collect::<Vec<f32>>();
    let (xf, yf, lwf) = (narrow(&x), narrow(&y), narrow(&lw));
    let settings = SinkhornConfig { tolerance: 1e-4, max_iterations: 20_000, ..SinkhornConfig::default() };
    let (mut xb, mut wb) = (vec![0.0; n * d], vec![0.0; n]);
    let exact = SinkhornDivergence::new(d, settings)
        .unwrap()
        .evaluate(
            Cloud::weighted(&x, &lw),
            Cloud::equal(&y),
            Some(CloudBar { states: &mut xb, log_weights: &mut wb }),
        )
        .unwrap();
    assert!(exact.marginal_error < 1e-4, "{exact:?}");
    let runs: Vec<_> = [(1, 512), (2, 512), (2, 0)]
        .map(|(threads, memory_mib)| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut xb, mut wb) = (vec![0.0_f32; n * d], vec![0.0_f32; n]);
            let v = pool.install(|| {
                SinkhornDivergence::new(d, SinkhornConfig { memory_mib, ..settings }).unwrap().evaluate(
                    Cloud::weighted(&xf, &lwf),
                    Cloud::equal(&yf),
                    Some(CloudBar { states: &mut xb, log_weights: &mut wb }),
                )
            });
            (v.unwrap(), xb, wb)
        })
        .into();
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
    let (report, xbf, wbf) = &runs[0];
    assert!((report.value - exact.value).abs() < 1e-4 * exact.value, "{report:?} {exact:?}");
    let worst = |a: &[f64], b: &[f32]| {
        let top = a.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        a.iter().zip(b).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max) / top
    };
    assert!(worst(&xb, xbf) < 5e-3 && worst(&wb, wbf) < 5e-3, "{} {}", worst(&xb, xbf), worst(&wb, wbf));
}

/// A small blur against transport without any, with weights, in single precision and on a list of pairs.
#[test]
fn small_blur_against_exact_transport() {
    for (n, m, d) in [(80, 60, 3), (50, 50, 10), (1, 30, 2)] {
        let (x, y, lw) = (normals(n * d, 1), normals(m * d, 2), normals(n, 3));
        let (xc, yc) = (Cloud::weighted(&x, &lw), Cloud::equal(&y));
        let settings = SinkhornConfig { blur: 0.02, tolerance: 1e-6, ..SinkhornConfig::default() };
        let report = SinkhornDivergence::new(d, settings).unwrap().evaluate(xc, yc, None).unwrap();
        let exact = exact_transport(d, Cost::HalfSquare, xc, yc).unwrap().value;
        assert!(report.marginal_error < 1e-6, "{report:?}");
        assert!(
            (report.value - exact).abs() < 0.02_f64.powi(2) * 2.0 * (n.max(m) as f64).ln(),
            "{report:?} {exact}"
        );
    }
}

/// From the potentials of the same rows, moved a little: the same answer in fewer iterations.
#[test]
fn potentials_are_reused() {
    let (n, d) = (400, 10);
    let (mut x, y) = (normals(n * d, 1), normals(n * d, 2));
    let settings = SinkhornConfig { tolerance: 1e-6, blur: 0.3, ..SinkhornConfig::default() };
    let mut loss = SinkhornDivergence::new(d, settings).unwrap();
    let mut kept = Potentials::default();
    let first = loss.evaluate_from(Cloud::equal(&x), Cloud::equal(&y), None, None, Some(&mut kept)).unwrap();
    assert_eq!((kept.f.len(), kept.g.len()), (n, n));
    let again = loss.evaluate_from(Cloud::equal(&x), Cloud::equal(&y), None, None, Some(&mut kept)).unwrap();
    assert!((again.value - first.value).abs() < 1e-6 * first.value, "{first:?} {again:?}");
    assert!(again.iterations * 4 < first.iterations, "{first:?} {again:?}");
    x.iter_mut().zip(normals(n * d, 3)).for_each(|(x, z)| *x += 0.003 * z);
    let warm = loss.evaluate_from(Cloud::equal(&x), Cloud::equal(&y), None, None, Some(&mut kept)).unwrap();
    let cold = loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), None).unwrap();
    assert!((warm.value - cold.value).abs() < 1e-5 * cold.value, "{warm:?} {cold:?}");
    kept.f[3] = f64::NAN;
    let got = loss.evaluate_from(Cloud::equal(&x), Cloud::equal(&y), None, None, Some(&mut kept));
    assert_eq!(got, Err(LossError::NonFinite { what: "potentials of the first cloud", row: 3 }));
}

/// Far groups at a small blur, duplicates, one point, none.
#[test]
fn degenerate_clouds() {
    let d = 2;
    let mut loss = SinkhornDivergence::new(d, SinkhornConfig::default()).unwrap();
    let mut x: Vec<f32> = normals(200 * d, 1).iter().map(|&v| v as f32 * 0.1).collect();
    x[..100 * d].iter_mut().for_each(|v| *v += 100.0);
    let same = loss.evaluate(Cloud::equal(&x), Cloud::equal(&x), None).unwrap();
    assert!(same.value.abs() < 1e-3 && same.marginal_error < 1e-3, "{same:?}");
    let twice = [&x[..], &x[..]].concat();
    let doubled = loss.evaluate(Cloud::equal(&twice), Cloud::equal(&x), None).unwrap();
    assert!(doubled.value.abs() < 1e-3 && doubled.marginal_error < 1e-3, "{doubled:?}");
    let (one, other) = ([1.0_f32, 2.0], [4.0_f32, 6.0]);
    let mut bar = [0.0; 2];
    let x_bar = CloudBar { states: &mut bar, log_weights: &mut [] };
    let report = loss.evaluate(Cloud::equal(&one), Cloud::equal(&other), Some(x_bar)).unwrap();
    assert!((report.value - 12.5).abs() < 1e-4 && (bar[0] + 3.0).abs() < 1e-5 && (bar[1] + 4.0).abs() < 1e-5);
    assert_eq!(
        loss.evaluate(Cloud::equal(&one), Cloud::equal(&[]), None),
        Err(LossError::Empty { what: "observed" })
    );
    // Costs whose squares are infinite.
    let far: Vec<f64> = normals(40, 3).iter().map(|v| v * 1e100).collect();
    let got = SinkhornDivergence::new(d, SinkhornConfig::default()).unwrap().evaluate(
        Cloud::equal(&far),
        Cloud::equal(&far[..20]),
        None,
    );
    assert!(matches!(got, Err(LossError::Overflow { .. })), "{got:?}");
    let huge = [1e30_f32, 0.0];
    assert!(matches!(
        loss.evaluate(Cloud::equal(&huge), Cloud::equal(&one), None),
        Err(LossError::Overflow { .. })
    ));
}

/// Points of no weight at all (their exponentials underflow) neither disturb nor receive a gradient.
#[test]
fn weightless_points() {
    let (n, d) = (60, 2);
    let (mut x, y) = (normals(n * d, 1), normals(n * d, 2));
    x[0] = 50.0;
    let mut lw = vec![0.0_f32; n];
    lw[0] = -300.0;
    let narrow = |v: &[f64]| v.iter().map(|&u| u as f32).collect::<Vec<f32>>();
    let (xf, yf) = (narrow(&x), narrow(&y));
    let mut loss = SinkhornDivergence::new(d, SinkhornConfig::default()).unwrap();
    let mut bar = vec![0.0_f32; n * d];
    let with = loss
        .evaluate(
            Cloud::weighted(&xf, &lw),
            Cloud::equal(&yf),
            Some(CloudBar { states: &mut bar, log_weights: &mut [] }),
        )
        .unwrap();
    let without = loss.evaluate(Cloud::equal(&xf[d..]), Cloud::equal(&yf), None).unwrap();
    assert!((with.value - without.value).abs() < 1e-3 * without.value, "{with:?} {without:?}");
    assert_eq!(bar[..2], [0.0, 0.0]);
    // Where the whole kernel counts: no other point sees this one.
    let mut loss =
        SinkhornDivergence::new(d, SinkhornConfig { blur: 0.5, ..SinkhornConfig::default() }).unwrap();
    let with = loss.evaluate(Cloud::weighted(&xf, &lw), Cloud::equal(&yf), None).unwrap();
    let without = loss.evaluate(Cloud::equal(&xf[d..]), Cloud::equal(&yf), None).unwrap();
    assert!((with.value - without.value).abs() < 1e-3 * without.value, "{with:?} {without:?}");
}

/// Newton's steps do not lead further beyond the iterations that are asked for than the pass that judges the last one.
#[test]
fn iterations_end() {
    let (x, y) = (normals(600, 1), normals(500, 2));
    for max_iterations in 12..40 {
        let config =
            SinkhornConfig { max_iterations, blur: 0.01, tolerance: 1e-12, ..SinkhornConfig::default() };
        let mut loss = SinkhornDivergence::new(2, config).unwrap();
        let report = loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), None).unwrap();
        assert!(report.iterations <= max_iterations + 1, "{max_iterations}: {report:?}");
    }
}

#[test]
fn refusals_and_honest_reports() {
    for bad in [
        SinkhornConfig { blur: 0.0, ..SinkhornConfig::default() },
        SinkhornConfig { blur: f64::NAN, ..SinkhornConfig::default() },
        SinkhornConfig { reach: Some(0.0), ..SinkhornConfig::default() },
        SinkhornConfig { scaling: 0.99, ..SinkhornConfig::default() },
        SinkhornConfig { max_iterations: 0, ..SinkhornConfig::default() },
    ] {
        assert!(matches!(SinkhornDivergence::<f64>::new(2, bad), Err(LossError::Setting { .. })));
    }
    let (x, y) = (normals(400, 1), normals(400, 2));
    let stopped = SinkhornConfig { max_iterations: 2, blur: 0.01, ..SinkhornConfig::default() };
    let report = SinkhornDivergence::new(2, stopped)
        .unwrap()
        .evaluate(Cloud::equal(&x), Cloud::equal(&y), None)
        .unwrap();
    assert_eq!(report.iterations, 2);
    assert!(report.marginal_error > 1e-3);
    let mut bad = x.clone();
    bad[7] = f64::INFINITY;
    let got =
        SinkhornDivergence::new(2, stopped).unwrap().evaluate(Cloud::equal(&bad), Cloud::equal(&y), None);
    assert_eq!(got, Err(LossError::NonFinite { what: "simulated states", row: 3 }));
}

/// In single precision: iterations that start far from the potentials of a small blur would take thousands of steps,
/// and are taken where clouds of unequal sizes need them.
#[test]
fn a_small_blur_converges() {
    let default = SinkhornConfig::default().max_iterations;
    for (n, m, d, most) in
        [(64, 64, 2, 500), (512, 512, 50, 900), (59, 60, 2, default), (240, 200, 50, default)]
    {
        let x: Vec<f32> = normals(n * d, 1).iter().map(|&v| v as f32).collect();
        let y: Vec<f32> = normals(m * d, 2).iter().map(|&v| v as f32 + 0.5).collect();
        let settings = SinkhornConfig { max_iterations: most, ..SinkhornConfig::default() };
        let mut loss = SinkhornDivergence::new(d, settings).unwrap();
        let report = loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), None).unwrap();
        assert!(report.marginal_error < 1e-3, "{n} and {m} in {d}: {report:?}");
    }
}

/// Nearly without blur, where plain iterations take tens of thousands of steps and Newton's may lead astray.
#[test]
fn hardly_any_blur_converges() {
    let (mut all, mut late) = (0, Vec::new());
    for seed in 0..48 {
        let (n, m, d) = (50 + seed as usize * 7 % 31, 50 + seed as usize * 11 % 31, 1 + seed as usize % 4);
        let (x, y) = (normals(n * d, seed), normals(m * d, 100 + seed));
        let (lw, lv) = (normals(n, 200 + seed), normals(m, 300 + seed));
        for reach in [None, Some(1.0)] {
            let config = SinkhornConfig { blur: 0.02, tolerance: 1e-6, reach, ..SinkhornConfig::default() };
            let mut loss = SinkhornDivergence::new(d, config).unwrap();
            let report = loss.evaluate(Cloud::weighted(&x, &lw), Cloud::weighted(&y, &lv), None).unwrap();
            all += report.iterations;
            if !(report.marginal_error <= 1e-6) {
                late.push((seed, reach, report));
            }
        }
    }
    assert!(late.is_empty(), "{} of 96 late, {all} passes in all: {late:?}", late.len());
}
