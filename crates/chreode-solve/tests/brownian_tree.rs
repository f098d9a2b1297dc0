//! The virtual Brownian tree: one path whatever is asked, with the distribution of Brownian motion.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{BrownianTree, SolveError};
use proptest::prelude::*;

const SPAN: (f64, f64) = (1.0, 5.0);

/// Increments and areas, `[motions]` each.
fn ask(
    tree: &mut BrownianTree<f64>,
    trajectory: u64,
    from: f64,
    to: f64,
    motions: usize,
) -> (Vec<f64>, Vec<f64>) {
    let (mut dw, mut area) = (vec![f64::NAN; motions], vec![f64::NAN; motions]);
    tree.increment(trajectory, from, to, &mut dw, &mut area).unwrap();
    (dw, area)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A near time lies in the span, as near as asked, and no interval between ends further up in the tree.
    #[test]
    fn near_times(share in -0.1..1.1_f64, log_distance in -40.0..1.0_f64) {
        let tree = BrownianTree::<f64>::new(1, 1, SPAN).unwrap();
        let (length, distance) = (SPAN.1 - SPAN.0, log_distance.exp2() * (SPAN.1 - SPAN.0));
        let t = SPAN.0 + share * length;
        let inside = t.clamp(SPAN.0, SPAN.1);
        let near = tree.time_near(t, distance);
        prop_assert!(SPAN.0 <= near && near <= SPAN.1);
        prop_assert!((near - inside).abs() <= distance * (1.0 + 1e-3) + length * 0.5_f64.powi(48), "{} {}", near, inside);
        // Intervals as long as the distance have an end that near.
        let units = (near - SPAN.0) / length * (-log_distance).ceil().max(0.0).exp2();
        prop_assert!((units - units.round()).abs() < 1e-3, "{}", units);
    }

    /// Increments add up, and `∫ (W − W(from)) dt` of the parts gives that of the whole.
    #[test]
    fn one_path(seed: u64, trajectory: u64, motions in 1_usize..6, a in 1.0..5.0_f64, b in 1.0..5.0_f64, c in 1.0..5.0_f64) {
        let mut times = [a, b, c];
        times.sort_by(f64::total_cmp);
        let [a, b, c] = times;
        prop_assume!(b - a > 1e-6 && c - b > 1e-6);
        let mut tree = BrownianTree::new(seed, motions, SPAN).unwrap();
        let first = ask(&mut tree, trajectory, a, b, motions);
        let whole = ask(&mut tree, trajectory, a, c, motions);
        let other = ask(&mut tree, trajectory.wrapping_add(1), a, c, motions);
        let second = ask(&mut tree, trajectory, b, c, motions);
        prop_assert_eq!(&first, &ask(&mut tree, trajectory, a, b, motions));
        for i in 0..motions {
            prop_assert!(near(first.0[i] + second.0[i], whole.0[i]));
            let integral = |h: f64, (w, area): (f64, f64)| h * (w / 2.0 + area);
            let parts = integral(b - a, (first.0[i], first.1[i]))
                + (c - b) * first.0[i]
                + integral(c - b, (second.0[i], second.1[i]));
            prop_assert!(near(parts, integral(c - a, (whole.0[i], whole.1[i]))), "{parts}");
            prop_assert!(whole.0[i] != other.0[i]);
        }
    }

    /// A motion does not depend on how many there are, nor on the type of number but for rounding.
    #[test]
    fn motions_and_types(seed: u64, from in 1.0..3.0_f64, length in 0.01..2.0_f64) {
        let three = ask(&mut BrownianTree::new(seed, 3, SPAN).unwrap(), 7, from, from + length, 3);
        let five = ask(&mut BrownianTree::new(seed, 5, SPAN).unwrap(), 7, from, from + length, 5);
        prop_assert_eq!((&three.0[..], &three.1[..]), (&five.0[..3], &five.1[..3]));
        let (mut dw, mut area) = ([0.0_f32; 3], [0.0_f32; 3]);
        BrownianTree::new(seed, 3, SPAN).unwrap().increment(7, from, from + length, &mut dw, &mut area).unwrap();
        for i in 0..3 {
            prop_assert!((f64::from(dw[i]) - three.0[i]).abs() < 2e-4);
            prop_assert!((f64::from(area[i]) - three.1[i]).abs() < 2e-4);
        }
    }
}

const N: u64 = 40_000;

/// The mean of a product of two numbers with these variances is `expected`, within five standard errors.
fn check_covariance(what: &str, x: &[f64], y: &[f64], expected: f64) {
    let n = x.len() as f64;
    let mean = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(&x, &y)| f(x, y)).sum::<f64>() / n;
    let covariance = mean(&|x, y| x * y);
    let se = ((mean(&|x, y| (x * y).powi(2)) - covariance * covariance) / n).sqrt();
    assert!((covariance - expected).abs() < 5.0 * se, "{what}: {covariance} ± {se}, not {expected}");
}

/// Largest distance of the sample's distribution from the standard normal one (Kolmogorov and Smirnov), times √n.
fn distance_to_normal(mut z: Vec<f64>) -> f64 {
    z.sort_by(f64::total_cmp);
    let n = z.len() as f64;
    let worst = z.iter().enumerate().map(|(i, &z)| {
        let p = normal_probability(z);
        (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs())
    });
    worst.fold(0.0, f64::max) * n.sqrt()
}

/// The normal distribution function, by Simpson's rule.
fn normal_probability(z: f64) -> f64 {
    let (from, steps) = (-9.0_f64, 400);
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let h = (z - from) / f64::from(steps);
    let inner: f64 = (1..steps).map(|i| f64::from(2 + 2 * (i % 2)) * density(from + f64::from(i) * h)).sum();
    h / 3.0 * (density(from) + inner + density(z))
}

/// Variances and covariances of increments and areas over equal, overlapping, nested and separate intervals.
#[test]
fn moments() {
    let mut tree = BrownianTree::new(11, 2, SPAN).unwrap();
    let times = [(1.0, 5.0), (1.0, 2.0), (1.3, 2.9), (2.1, 4.7), (2.1, 2.2), (3.0, 3.001), (1.3, 1.300_001)];
    let mut samples: Vec<[Vec<f64>; 4]> = Vec::new();
    for &(from, to) in &times {
        let mut sample: [Vec<f64>; 4] = Default::default();
        for trajectory in 0..N {
            let (dw, area) = ask(&mut tree, trajectory, from, to, 2);
            for (sample, x) in sample.iter_mut().zip([dw[0], area[0], dw[1], area[1]]) {
                sample.push(x);
            }
        }
        samples.push(sample);
    }
    for (i, &(a, b)) in times.iter().enumerate() {
        let h = b - a;
        let [dw, area, other_dw, other_area] = &samples[i];
        check_covariance("mean of an increment", dw, &vec![1.0; dw.len()], 0.0);
        check_covariance("variance of an increment", dw, dw, h);
        check_covariance("variance of an area", area, area, h / 12.0);
        check_covariance("increment and area", dw, area, 0.0);
        for (x, y) in [(dw, other_dw), (area, other_area), (dw, other_area)] {
            check_covariance("two motions", x, y, 0.0);
        }
        check_covariance("two trajectories", &dw[1..], &dw[..dw.len() - 1], 0.0);
        let mixed: Vec<f64> = dw.iter().zip(area).map(|(w, a)| w * w * a * a).collect();
        check_covariance("squares", &mixed, &vec![1.0; dw.len()], h * h / 12.0); // independent, not just uncorrelated
        for (what, x, sd) in [("increment", dw, h.sqrt()), ("area", area, (h / 12.0).sqrt())] {
            let ks = distance_to_normal(x.iter().map(|x| x / sd).collect());
            assert!(ks < 1.95, "{what} over {a}..{b}: {ks}"); // passed by 99.9 %
        }
        for (j, &(c, d)) in times.iter().enumerate().skip(i + 1) {
            let overlap = (b.min(d) - a.max(c)).max(0.0);
            check_covariance("increments", dw, &samples[j][0], overlap);
            // cov(area over a..b, W over c..d) = 1/h ∫ over the overlap of (b − s) ds − overlap / 2
            let (lo, hi) = (a.max(c), b.min(d).max(a.max(c)));
            let integral = ((b - lo).powi(2) - (b - hi).powi(2)) / 2.0 / h;
            check_covariance("area and increment", area, &samples[j][0], integral - overlap / 2.0);
        }
    }
}

#[test]
fn bad_questions() {
    for span in [(0.0, 0.0), (1.0, 0.0), (0.0, f64::NAN), (f64::NEG_INFINITY, 0.0), (-1e308, 1e308)] {
        assert!(
            matches!(BrownianTree::<f64>::new(0, 1, span), Err(SolveError::InvalidOption { .. })),
            "{span:?}"
        );
    }
    assert!(matches!(
        BrownianTree::<f64>::new(0, 200_000, SPAN),
        Err(SolveError::InvalidOption { what: "Brownian motions", .. })
    ));
    let mut tree = BrownianTree::<f64>::new(0, 1, SPAN).unwrap();
    let mut ask = |from, to| tree.increment(0, from, to, &mut [0.0], &mut [0.0]);
    for (from, to, i) in [(0.9, 2.0, 0), (3.0, 2.0, 1), (2.0, 5.1, 1), (f64::NAN, 2.0, 0), (2.0, f64::NAN, 1)]
    {
        assert!(
            matches!(ask(from, to), Err(SolveError::InvalidTime { index, .. }) if index == i),
            "{from} {to}"
        );
    }
    assert_eq!(ask(1.0, 5.0), Ok(()));
    let (mut dw, mut area) = ([f64::NAN], [f64::NAN]);
    tree.increment(0, 2.0, 2.0, &mut dw, &mut area).unwrap();
    assert_eq!((dw, area), ([0.0], [0.0]));
    assert!(matches!(
        tree.increment(0, 1.0, 2.0, &mut [], &mut [0.0]),
        Err(SolveError::ShapeMismatch { .. })
    ));
}
