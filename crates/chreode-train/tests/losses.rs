//! Exact transport, sliced Wasserstein distance and maximum mean discrepancy.

mod common;

use chreode_train::{
    Cloud, CloudBar, CloudLoss, Cost, LossConfig, LossError, MeanDiscrepancy, MmdConfig, SlicedConfig,
    SlicedWasserstein, Statistic, exact_transport,
};
use common::check_slopes;
use proptest::prelude::*;

fn cost() -> impl Strategy<Value = Cost> {
    prop_oneof![Just(Cost::HalfSquare), Just(Cost::Distance)]
}

/// `(d, x, log-weights of x, y, log-weights of y)`.
fn pair() -> impl Strategy<Value = (usize, Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>)> {
    (1..4_usize, 2..20_usize, 2..20_usize).prop_flat_map(|(d, n, m)| {
        let w = |n| proptest::collection::vec(-1.5..1.5_f64, n);
        let cloud = |n| proptest::collection::vec(-1.0..1.0_f64, n * d);
        (Just(d), cloud(n), w(n), cloud(m), w(m))
    })
}

fn weights(l: &[f64]) -> Vec<f64> {
    let sum: f64 = l.iter().map(|l| l.exp()).sum();
    l.iter().map(|l| l.exp() / sum).collect()
}

fn between(d: usize, cost: Cost, x: &[f64], y: &[f64], i: usize, j: usize) -> f64 {
    let r2: f64 = (0..d).map(|k| (x[i * d + k] - y[j * d + k]).powi(2)).sum();
    if cost == Cost::HalfSquare { r2 / 2.0 } else { r2.sqrt() }
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A plan with the right marginals and potentials that allow nothing cheaper, of the same value: a proof.
    #[test]
    fn exact_transport_is_optimal((d, x, lw, y, lv) in pair(), cost in cost()) {
        let (n, m) = (x.len() / d, y.len() / d);
        let got = exact_transport(d, cost, Cloud::weighted(&x, &lw), Cloud::weighted(&y, &lv)).unwrap();
        let (mut a, mut b) = (weights(&lw), weights(&lv));
        let dual: f64 = a.iter().zip(&got.f).chain(b.iter().zip(&got.g)).map(|(w, f)| w * f).sum();
        let mut paid = 0.0;
        for &(i, j, mass) in &got.plan {
            let (i, j) = (i as usize, j as usize);
            prop_assert!(mass > 0.0);
            paid += mass * between(d, cost, &x, &y, i, j);
            a[i] -= mass;
            b[j] -= mass;
        }
        prop_assert!(a.iter().chain(&b).all(|left| left.abs() < 1e-12));
        for i in 0..n {
            for j in 0..m {
                prop_assert!(got.f[i] + got.g[j] < between(d, cost, &x, &y, i, j) + 1e-12);
            }
        }
        prop_assert!((paid - dual).abs() < 1e-12 && (got.value - dual).abs() < 1e-12, "{paid} {dual} {}", got.value);
    }

    #[test]
    fn exact_transport_of_equal_points_is_the_best_assignment(cloud in proptest::collection::vec(-1.0..1.0_f64, 24), cost in cost()) {
        let (x, y) = cloud.split_at(12);
        let mut best = f64::INFINITY;
        permutations(&mut (0..6).collect::<Vec<_>>(), 0, &mut |p| {
            best = best.min(p.iter().enumerate().map(|(i, &j)| between(2, cost, x, y, i, j)).sum::<f64>() / 6.0);
        });
        let got = exact_transport(2, cost, Cloud::equal(x), Cloud::equal(y)).unwrap().value;
        prop_assert!((got - best).abs() < 1e-12, "{got} {best}");
    }

    /// On a line the sliced distance is the exact one; in any dimension it is zero between equal clouds and moves with neither.
    #[test]
    fn sliced_distance((d, x, lw, y, lv) in pair(), cost in cost(), shift in -2.0..2.0_f64) {
        let config = SlicedConfig { cost, projections: 16, seed: 3 };
        let mut loss = SlicedWasserstein::new(d, config).unwrap();
        let n = x.len() / d;
        let (xc, yc) = (Cloud::weighted(&x[..], &lw), Cloud::weighted(&y[..], &lv));
        let (mut xb, mut wb) = (vec![0.0; x.len()], vec![0.0; n]);
        let base = loss.evaluate(xc, yc, Some(CloudBar { states: &mut xb, log_weights: &mut wb })).unwrap();
        if d == 1 {
            let exact = exact_transport(d, cost, xc, yc).unwrap().value;
            prop_assert!((base - exact).abs() < 1e-12, "{base} {exact}");
        }
        prop_assert!(base >= 0.0 && (loss.evaluate(yc, xc, None).unwrap() - base).abs() < 1e-12);
        prop_assert!(loss.evaluate(xc, xc, None).unwrap().abs() < 1e-12);
        let moved = |v: &[f64]| v.iter().map(|v| v + shift).collect::<Vec<_>>();
        let (mx, my) = (moved(&x), moved(&y));
        let far = loss.evaluate(Cloud::weighted(&mx, &lw), Cloud::weighted(&my, &lv), None).unwrap();
        prop_assert!((far - base).abs() < 1e-10);
        // Steps short enough that hardly any two shadows change places.
        let mut at = |x: &[f64], lw: &[f64]| loss.evaluate(Cloud::weighted(x, lw), yc, None).unwrap();
        check_slopes("x", &xb, &x, (1e-7, 1e-4), |x| at(x, &lw))?;
        check_slopes("w", &wb, &lw, (1e-7, 1e-4), |lw| at(&x, lw))?;
    }

    #[test]
    fn discrepancy((d, x, lw, y, lv) in pair(), bandwidth in 0.3..2.0_f64, unbiased in any::<bool>()) {
        let statistic = if unbiased { Statistic::Unbiased } else { Statistic::Biased };
        let mut loss = MeanDiscrepancy::new(d, MmdConfig { statistic, bandwidth, widths: 3 }).unwrap();
        let (n, m) = (x.len() / d, y.len() / d);
        let (a, b) = (weights(&lw), weights(&lv));
        let kernel = |p: &[f64], q: &[f64], i: usize, j: usize| {
            let half = between(d, Cost::HalfSquare, p, q, i, j);
            [0.5, 1.0, 2.0].iter().map(|s| (-half / (s * bandwidth).powi(2)).exp()).sum::<f64>() / 3.0
        };
        let mean = |p: &[f64], a: &[f64], q: &[f64], b: &[f64], same: bool| {
            let (mut sum, mut norm) = (0.0, 0.0);
            for i in 0..a.len() {
                for j in (0..b.len()).filter(|&j| !(same && unbiased && i == j)) {
                    sum += a[i] * b[j] * kernel(p, q, i, j);
                    norm += a[i] * b[j];
                }
            }
            sum / norm
        };
        let want = mean(&x, &a, &x, &a, true) + mean(&y, &b, &y, &b, true) - 2.0 * mean(&x, &a, &y, &b, false);
        let yc = Cloud::weighted(&y[..], &lv);
        let (mut xb, mut wb) = (vec![0.0; x.len()], vec![0.0; n]);
        let bar = CloudBar { states: &mut xb, log_weights: &mut wb };
        let got = loss.evaluate(Cloud::weighted(&x, &lw), yc, Some(bar)).unwrap();
        prop_assert!((got - want).abs() < 1e-12, "{got} {want} for {n} and {m}");
        let mut at = |x: &[f64], lw: &[f64]| loss.evaluate(Cloud::weighted(x, lw), yc, None).unwrap();
        check_slopes("x", &xb, &x, (1e-5, 1e-7), |x| at(x, &lw))?;
        check_slopes("w", &wb, &lw, (1e-5, 1e-7), |lw| at(&x, lw))?;
    }
}

/// Weightless points, ties, and what is refused.
#[test]
fn degenerate_clouds() {
    let (x, y) = ([0.0_f64, 1.0, 50.0], [0.0, 1.0]);
    let lw = [0.0, 0.0, -2000.0];
    let got = exact_transport(1, Cost::Distance, Cloud::weighted(&x, &lw), Cloud::equal(&y)).unwrap();
    assert!(got.value.abs() < 1e-15 && got.plan == [(0, 0, 0.5), (1, 1, 0.5)], "{got:?}");
    let got = exact_transport(1, Cost::HalfSquare, Cloud::equal(&y), Cloud::weighted(&x, &lw)).unwrap();
    assert!(got.value.abs() < 1e-15 && got.g[2] + got.f[1] < 0.5 * 49.0_f64.powi(2) + 1e-9);
    // What has no weight could be sent to where it is cheapest.
    let got =
        exact_transport(1, Cost::HalfSquare, Cloud::weighted(&x, &lw), Cloud::equal(&[0.3, 2.0])).unwrap();
    let cheapest = (0.5 * 49.7_f64.powi(2) - got.g[0]).min(0.5 * 48.0_f64.powi(2) - got.g[1]);
    assert!((got.f[2] - cheapest).abs() < 1e-9, "{got:?}");
    let empty = Err(LossError::Empty { what: "observed" });
    assert_eq!(exact_transport(1, Cost::Distance, Cloud::equal(&x), Cloud::equal(&[])), empty);
    let bad = exact_transport(1, Cost::Distance, Cloud::equal(&x), Cloud::equal(&[0.0, f64::NAN]));
    assert_eq!(bad, Err(LossError::NonFinite { what: "observed states", row: 1 }));
    let zero = |e: LossError| matches!(e, LossError::Setting { .. });
    assert!(exact_transport(0, Cost::Distance, Cloud::equal(&x), Cloud::equal(&y)).is_err_and(zero));
    assert!(
        SlicedWasserstein::<f32>::new(2, SlicedConfig { projections: 0, ..SlicedConfig::default() })
            .is_err_and(zero)
    );
    for bad in [
        MmdConfig { bandwidth: 0.0, ..MmdConfig::default() },
        MmdConfig { widths: 2, ..MmdConfig::default() },
        MmdConfig { widths: 17, ..MmdConfig::default() },
    ] {
        assert!(MeanDiscrepancy::<f32>::new(2, bad).is_err_and(zero));
    }
    let mut sliced = SlicedWasserstein::new(1, SlicedConfig::default()).unwrap();
    let got = sliced.evaluate(Cloud::equal(&x), Cloud::equal(&[]), None);
    assert_eq!(got, Err(LossError::Empty { what: "observed" }));
}

/// As they stand in a file of settings, and that every loss tells a far cloud from a near one.
#[test]
fn settings_choose_the_loss() {
    let (x, near, far) = ([0.0_f32, 1.0, 2.0, 3.0], [0.1_f32, 1.1, 2.1, 2.9], [5.0_f32, 6.0, 7.0, 8.0]);
    for (text, expected) in [
        ("kind = \"energy\"", LossConfig::default()),
        (
            "kind = \"mmd\"\nbandwidth = 0.5",
            LossConfig::Mmd(MmdConfig { bandwidth: 0.5, ..MmdConfig::default() }),
        ),
        (
            "kind = \"sliced_wasserstein\"\nprojections = 64",
            LossConfig::SlicedWasserstein(SlicedConfig { projections: 64, ..SlicedConfig::default() }),
        ),
        (
            "kind = \"sinkhorn\"\nblur = 0.2\nreach = 3.0",
            LossConfig::Sinkhorn(chreode_train::SinkhornConfig {
                blur: 0.2,
                reach: Some(3.0),
                ..chreode_train::SinkhornConfig::default()
            }),
        ),
    ] {
        let config: LossConfig = toml::from_str(text).unwrap();
        assert_eq!(config, expected);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<LossConfig>(&written).unwrap(), config, "{written}");
        let mut loss = CloudLoss::new(1, &config).unwrap();
        let mut at = |y: &[f32]| loss.evaluate(Cloud::equal(&x), Cloud::equal(y), None).unwrap().value;
        assert!(at(&far) > at(&near) + 0.1, "{text}");
    }
}

/// One thread and two: the same bits.
#[test]
fn threads_do_not_show() {
    let wave = |n: usize, k: f32| (0..n).map(|i| (k * i as f32).sin()).collect::<Vec<f32>>();
    let (n, m, d) = (500, 300, 7);
    let (x, y, lw) = (wave(n * d, 0.7), wave(m * d, 1.1), wave(n, 0.3));
    for config in [
        LossConfig::Mmd(MmdConfig::default()),
        LossConfig::SlicedWasserstein(SlicedConfig::default()),
        LossConfig::Sinkhorn(chreode_train::SinkhornConfig { reach: Some(1.0), ..Default::default() }),
        LossConfig::Sinkhorn(chreode_train::SinkhornConfig { blur: 2.0, ..Default::default() }),
    ] {
        let of = |threads| {
            let (mut xb, mut wb) = (vec![0.0; n * d], vec![0.0; n]);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let bar = CloudBar { states: &mut xb, log_weights: &mut wb };
            let report = pool.install(|| {
                let mut loss = CloudLoss::new(d, &config).unwrap();
                loss.evaluate(Cloud::weighted(&x, &lw), Cloud::equal(&y), Some(bar)).unwrap()
            });
            (report, xb, wb)
        };
        assert_eq!(of(1), of(2), "{config:?}");
    }
}
