//! The energy distance against its definition, its gradient against finite differences.

mod common;

use chreode_train::{Cloud, CloudBar, EnergyDistance, LossError, Statistic};
use common::check_slopes;
use proptest::prelude::*;

/// The definition, as a double loop.
fn reference(x: Cloud<'_, f64>, y: Cloud<'_, f64>, d: usize, statistic: Statistic) -> f64 {
    let (cells_x, cells_y) = (x.origins, y.origins);
    let (Cloud { states: x, log_weights: lw, .. }, Cloud { states: y, log_weights: lv, .. }) = (x, y);
    let weights = |n: usize, lw: &[f64]| -> Vec<f64> {
        let w: Vec<f64> = (0..n).map(|i| lw.get(i).map_or(1.0, |v| v.exp())).collect();
        let s: f64 = w.iter().sum();
        w.iter().map(|v| v / s).collect()
    };
    let (n, m) = (x.len() / d, y.len() / d);
    let (a, b) = (weights(n, lw), weights(m, lv));
    let r = |p: &[f64], i: usize, q: &[f64], j: usize| {
        (0..d).map(|k| (p[i * d + k] - q[j * d + k]).powi(2)).sum::<f64>().sqrt()
    };
    let own = |p: &[f64], w: &[f64], cells: &[u32]| {
        let (mut s, mut norm) = (0.0, 0.0);
        for i in 0..w.len() {
            for j in 0..w.len() {
                let same = if cells.is_empty() { i == j } else { cells[i] == cells[j] };
                if statistic == Statistic::Biased || !same {
                    s += w[i] * w[j] * r(p, i, p, j);
                    norm += w[i] * w[j];
                }
            }
        }
        s / norm
    };
    let cross: f64 = (0..n).map(|i| (0..m).map(|j| a[i] * b[j] * r(x, i, y, j)).sum::<f64>()).sum();
    2.0 * cross - own(x, &a, cells_x) - own(y, &b, cells_y)
}

fn cloud(n: usize, d: usize) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-2.0..2.0_f64, n * d)
}

/// `(d, x, log-weights of x, y, log-weights of y)`.
fn pair() -> impl Strategy<Value = (usize, Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>)> {
    (1..5_usize, 2..24_usize, 2..24_usize, any::<bool>(), any::<bool>()).prop_flat_map(|(d, n, m, wx, wy)| {
        (
            Just(d),
            cloud(n, d),
            proptest::collection::vec(-1.5..1.5_f64, if wx { n } else { 0 }),
            cloud(m, d),
            proptest::collection::vec(-1.5..1.5_f64, if wy { m } else { 0 }),
        )
    })
}

/// Cells of `n` points: none, or numbers of which at least two differ.
fn origins(n: usize, cells: &[u32]) -> Vec<u32> {
    let mut of: Vec<u32> = cells.iter().copied().cycle().take(if cells.is_empty() { 0 } else { n }).collect();
    if let [first, second, ..] = &mut of[..] {
        (*first, *second) = (7, 70_000);
    }
    of
}

fn cells() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..9_u32, 0..24)
}

/// Least distance of two points.
fn nearest(points: &[f64], d: usize) -> f64 {
    let rows: Vec<&[f64]> = points.chunks_exact(d).collect();
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let below = |i: usize| (0..i).map(move |j| (i, j));
    (0..rows.len()).flat_map(below).map(|(i, j)| distance(rows[i], rows[j])).fold(f64::INFINITY, f64::min)
}

fn statistic() -> impl Strategy<Value = Statistic> {
    prop_oneof![Just(Statistic::Unbiased), Just(Statistic::Biased)]
}

proptest! {
    #[test]
    fn value_is_the_definition((d, x, lw, y, lv) in pair(), s in statistic(), cx in cells(), cy in cells()) {
        let mut loss = EnergyDistance::new(d, s).unwrap();
        let (cx, cy) = (origins(x.len() / d, &cx), origins(y.len() / d, &cy));
        let x = Cloud { origins: &cx, ..Cloud::weighted(&x, &lw) };
        let y = Cloud { origins: &cy, ..Cloud::weighted(&y, &lv) };
        let got = loss.evaluate(x, y, None).unwrap();
        let want = reference(x, y, d, s);
        prop_assert!((got - want).abs() < 1e-5, "{got} {want}"); // distances are shortened by up to 1e-6
        if s == Statistic::Biased {
            prop_assert!(got > -1e-12);
        }
    }

    #[test]
    fn gradient_is_that_of_the_value((d, x, lw, y, lv) in pair(), s in statistic(), cells in cells()) {
        prop_assume!(nearest(&[&x[..], &y[..]].concat(), d) > 1e-4); // a difference must not step over the kink of |x - y|
        let n = x.len() / d;
        let cells = origins(n, &cells);
        let lw = if lw.is_empty() { vec![0.3; n] } else { lw };
        let mut loss = EnergyDistance::new(d, s).unwrap();
        let (mut xb, mut wb) = (vec![0.0; x.len()], vec![0.0; n]);
        let yc = Cloud::weighted(&y, &lv);
        let xc = Cloud { origins: &cells, ..Cloud::weighted(&x, &lw) };
        loss.evaluate(xc, yc, Some(CloudBar { states: &mut xb, log_weights: &mut wb })).unwrap();
        let mut at = |x: &[f64], lw: &[f64]| loss.evaluate(Cloud { origins: &cells, ..Cloud::weighted(x, lw) }, yc, None).unwrap();
        check_slopes("x", &xb, &x, (1e-6, 1e-5), |x| at(x, &lw))?;
        check_slopes("w", &wb, &lw, (1e-6, 1e-5), |lw| at(&x, lw))?;
    }

    /// Order of points and a common translation do not matter; equal clouds are at distance zero.
    #[test]
    fn invariances((d, x, lw, y, lv) in pair(), shift in -3.0..3.0_f64) {
        let mut loss = EnergyDistance::new(d, Statistic::Biased).unwrap();
        let mut at = |x: &[f64], lw: &[f64], y: &[f64]| {
            loss.evaluate(Cloud::weighted(x, lw), Cloud::weighted(y, &lv), None).unwrap()
        };
        let base = at(&x, &lw, &y);
        let turned: Vec<f64> = x.chunks_exact(d).rev().flatten().copied().collect();
        let lw_turned: Vec<f64> = lw.iter().rev().copied().collect();
        prop_assert!((at(&turned, &lw_turned, &y) - base).abs() < 1e-12);
        let moved = |v: &[f64]| v.iter().map(|u| u + shift).collect::<Vec<_>>();
        prop_assert!((at(&moved(&x), &lw, &moved(&y)) - base).abs() < 1e-12);
        prop_assert!(at(&y, &lv, &y).abs() < 1e-12);
    }

    /// A point split into two halves leaves the V-statistic as it is.
    #[test]
    fn weights_count_points((d, x, _lw, y, lv) in pair()) {
        let n = x.len() / d;
        let mut loss = EnergyDistance::new(d, Statistic::Biased).unwrap();
        let mut doubled = x.clone();
        doubled.extend_from_slice(&x[..d]);
        let mut lw = vec![0.0; n];
        lw[0] = 2.0_f64.ln();
        let yc = Cloud::weighted(&y, &lv);
        let one = loss.evaluate(Cloud::weighted(&x, &lw), yc, None).unwrap();
        let two = loss.evaluate(Cloud::equal(&doubled), yc, None).unwrap();
        prop_assert!((one - two).abs() < 1e-11);
    }
}

/// The unbiased form has mean zero over samples of one distribution; the biased form has not.
#[test]
fn unbiased_means_unbiased() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
    let mut stats = [(Statistic::Unbiased, 0.0, 0.0), (Statistic::Biased, 0.0, 0.0)];
    let runs = 400;
    for _ in 0..runs {
        let x: Vec<f64> = (0..40).map(|_| rng.random::<f64>()).collect();
        let y: Vec<f64> = (0..60).map(|_| rng.random::<f64>()).collect();
        for (s, sum, squares) in &mut stats {
            let v = EnergyDistance::new(2, *s)
                .unwrap()
                .evaluate(Cloud::equal(&x), Cloud::equal(&y), None)
                .unwrap();
            *sum += v;
            *squares += v * v;
        }
    }
    let z = |(_, sum, squares): (Statistic, f64, f64)| {
        let mean = sum / f64::from(runs);
        mean / ((squares / f64::from(runs) - mean * mean) / f64::from(runs)).sqrt()
    };
    assert!(z(stats[0]).abs() < 4.0, "{}", z(stats[0]));
    assert!(z(stats[1]) > 20.0, "{}", z(stats[1]));
}

/// `E|Z|` of a normal variable.
fn mean_distance(mean: f64, variance: f64) -> f64 {
    // Simpson's rule over ten standard deviations; the kink at zero is a node.
    let sd = variance.sqrt();
    let density = |z: f64| (-(z - mean) * (z - mean) / (2.0 * variance)).exp();
    let half = 10.0 * sd + mean.abs();
    let (steps, mut sum) = (20_000, 0.0);
    for k in 0..=steps {
        let z = -half + 2.0 * half * f64::from(k) / f64::from(steps);
        let weight = if k == 0 || k == steps { 1.0 } else { f64::from(2 + 2 * (k % 2)) };
        sum += weight * z.abs() * density(z);
    }
    sum * 2.0 * half / f64::from(steps) / 3.0 / (sd * std::f64::consts::TAU.sqrt())
}

/// Few start cells, each of many paths and of unequal numbers: the mean over draws of the cells is the known distance
/// of two normals, though the paths of one cell are alike. Without the origins it is far off.
#[test]
fn paths_of_one_cell_leave_no_bias() {
    let (cells, paths, runs) = (8_usize, 60_usize, 3000_u32);
    let truth = 2.0 * mean_distance(0.6, 2.0) - 2.0 * mean_distance(0.0, 2.0);
    let origins: Vec<u32> = (0..paths).map(|i| (if i < 30 { i % 3 } else { i % cells }) as u32).collect();
    let noise = chreode_core::BrownianIncrements::new(3);
    let mut loss = EnergyDistance::new(1, Statistic::Unbiased).unwrap();
    let mut z = vec![0.0_f64; cells + paths + 40];
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for run in 0..runs {
        noise.fill(0, u64::from(run) << 32, 1, 1.0, &mut z);
        let (starts, rest) = z.split_at(cells);
        let x: Vec<f64> =
            (0..paths).map(|i| 0.8 * starts[origins[i] as usize] + 0.6 * rest[i] + 0.6).collect();
        let y = Cloud::equal(&rest[paths..]);
        with.push(loss.evaluate(Cloud { origins: &origins, ..Cloud::equal(&x) }, y, None).unwrap());
        without.push(loss.evaluate(Cloud::equal(&x), y, None).unwrap());
    }
    let z = |values: &[f64]| {
        let n = f64::from(runs);
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean - truth) / (variance / n).sqrt()
    };
    assert!(z(&with).abs() < 4.0, "{} {truth}", z(&with));
    assert!(z(&without) > 10.0, "{}", z(&without));
}

/// Large clouds, f32 against f64, and the same bits on one and two threads.
#[test]
fn f32_agrees_and_threads_do_not_matter() {
    let (n, m, d) = (333, 150, 11);
    let wave = |n: usize, f: f64| (0..n).map(|i| (i as f64 * f).sin() * 1.7).collect::<Vec<f64>>();
    let (x, y, lw) = (wave(n * d, 0.713), wave(m * d, 1.291), wave(n, 0.37));
    let narrow = |v: &[f64]| v.iter().map(|&u| u as f32).collect::<Vec<f32>>();
    let (xf, yf, lwf) = (narrow(&x), narrow(&y), narrow(&lw));
    let origins: Vec<u32> = (0..n as u32).map(|i| i * i % 37).collect();
    let (mut xb, mut wb) = (vec![0.0; n * d], vec![0.0; n]);
    let v64 = EnergyDistance::new(d, Statistic::Unbiased)
        .unwrap()
        .evaluate(
            Cloud { states: &x, log_weights: &lw, origins: &origins },
            Cloud::equal(&y),
            Some(CloudBar { states: &mut xb, log_weights: &mut wb }),
        )
        .unwrap();
    let runs: Vec<_> = [1, 2]
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut xb, mut wb) = (vec![0.0_f32; n * d], vec![0.0_f32; n]);
            let v = pool.install(|| {
                EnergyDistance::new(d, Statistic::Unbiased).unwrap().evaluate(
                    Cloud { states: &xf, log_weights: &lwf, origins: &origins },
                    Cloud::equal(&yf),
                    Some(CloudBar { states: &mut xb, log_weights: &mut wb }),
                )
            });
            (v.unwrap(), xb, wb)
        })
        .into();
    assert_eq!(runs[0], runs[1]);
    let (v, xbf, wbf) = &runs[0];
    assert!((v - v64).abs() < 1e-5, "{v} {v64}");
    let worst =
        |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
    assert!(worst(&xb, xbf) < 1e-7 && worst(&wb, wbf) < 1e-7, "{} {}", worst(&xb, xbf), worst(&wb, wbf));
}

#[test]
fn refusals() {
    let mut loss = EnergyDistance::<f64>::new(2, Statistic::Unbiased).unwrap();
    let one = [0.0, 0.0];
    let two = [0.0, 0.0, 1.0, 1.0];
    let nan = [0.0, 0.0, 1.0, f64::NAN];
    let mut at = |x: &[f64], y: &[f64]| loss.evaluate(Cloud::equal(x), Cloud::equal(y), None);
    assert!(matches!(at(&one, &two), Err(LossError::TooFewPoints { n: 1, .. })));
    assert_eq!(at(&two, &nan), Err(LossError::NonFinite { what: "observed states", row: 1 }));
    assert_eq!(at(&nan, &two), Err(LossError::NonFinite { what: "simulated states", row: 1 }));
    assert!(matches!(at(&two, &two[..3]), Err(LossError::Length { got: 3, .. })));
    assert!(matches!(at(&[], &two), Err(LossError::Empty { what: "simulated" })));
    let of = |origins: &'static [u32]| Cloud { origins, ..Cloud::equal(&two) };
    let mut of_cells = |cells, other| loss.evaluate(of(cells), of(other), None);
    assert!(matches!(of_cells(&[3, 3], &[]), Err(LossError::TooFewPoints { n: 2, .. })));
    assert!(matches!(of_cells(&[3, 4], &[5, 5]), Err(LossError::TooFewPoints { n: 2, .. })));
    assert!(matches!(of_cells(&[3], &[]), Err(LossError::Length { got: 1, expected: 2, .. })));
    let mut at = |x: &[f64], y: &[f64]| loss.evaluate(Cloud::equal(x), Cloud::equal(y), None);
    assert!(matches!(at(&[1e200, 0.0, -1e200, 0.0], &two), Err(LossError::Overflow { .. })));
    assert!(EnergyDistance::<f64>::new(0, Statistic::Unbiased).is_err());
}
