use super::*;
use chreode_testkit::{Rational, SmoothField, observed_order};

/// Error at 1.9 of `n` equal steps of order `k` from 0.4 on, with an exact history; and the largest one inside the steps, by dense
/// output.
fn errors(k: usize, n: u32) -> (f64, f64) {
    let exact = |t: f64| 1.0 / (1.7 + t * t);
    let (from, until) = (0.4, 1.9);
    let h = (until - from) / f64::from(n);
    let mut bdf = BdfSteps::new(1, 1);
    (bdf.order, bdf.started) = (k, true);
    let past: Vec<f64> = (0..=k + 2).map(|i| exact(from - h * i as f64)).collect();
    bdf.history.set_from(&past, h);
    let (mut field, mut y) = (SmoothField(Rational), [past[0]]);
    let mut f = Rhs::Jacobian(&mut field);
    let mut inside = 0.0_f64;
    for i in 0..n {
        let t = from + h * f64::from(i);
        let t_end = t + bdf.history.h; // equal to the last bit
        let err = bdf.step(&mut f, t, t_end, &y, &[1.0], Tolerance::new(1e-13, 1e-13)).unwrap();
        assert!(err.is_finite());
        bdf.prepare_dense(&mut f, t, t_end, &y, &[1.0]).unwrap();
        for theta in [0.15, 0.37, 0.5, 0.81] {
            inside = inside.max((bdf.dense(theta, h, &y)[0] - exact(t + theta * h)).abs());
        }
        bdf.accept(&mut y);
    }
    assert_eq!(bdf.order(), k);
    ((y[0] - exact(until)).abs(), inside)
}

#[test]
fn each_order_is_attained() {
    for k in 1..=MAX_ORDER {
        let steps = [20, 40, 80, 160];
        let errors = steps.map(|n| errors(k, n));
        let order = |part: fn((f64, f64)) -> f64| {
            let point = |i: usize| (-f64::from(steps[i]).log2(), part(errors[i]).log2());
            observed_order(&[0, 1, 2, 3].map(point))
        };
        let (at_end, inside) = (order(|e| e.0), order(|e| e.1));
        println!("order {k}: {at_end:.2} at the end, {inside:.2} inside steps");
        assert!((at_end - k as f64).abs() < 0.35, "{k}: {at_end}");
        assert!((inside - k as f64).abs() < 0.35, "{k}: {inside} inside");
    }
}

/// Largest angle, in degrees, such that `y' = λ y` decays for every `λ` within it of the negative axis: from the locus of `h λ` with a
/// solution of modulus 1.
fn stability_angle(k: usize) -> f64 {
    let times = |a: (f64, f64), b: (f64, f64)| (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0);
    let mut angle = 90.0_f64;
    for i in 1..20_000 {
        let phase = std::f64::consts::PI * f64::from(i) / 20_000.0;
        let difference = (1.0 - phase.cos(), phase.sin()); // 1 - 1/ζ
        let (mut power, mut z) = ((1.0, 0.0), (0.0, 0.0));
        for m in 1..=k + 1 {
            power = times(power, difference);
            let weight = if m <= k { 1.0 / m as f64 } else { kappa_gamma(k) };
            z = (z.0 + weight * power.0, z.1 + weight * power.1);
        }
        if z.0 < -1e-9 {
            angle = angle.min((z.1.abs() / -z.0).atan().to_degrees());
        }
    }
    angle
}

/// `-κ_k γ_k`: weight of the next difference.
fn kappa_gamma(k: usize) -> f64 {
    1.0 / (k as f64 + 1.0) - error_constant(k)
}

/// The angles of [SR97], table 1.
#[test]
fn stability_angles() {
    for (k, degrees) in [(1, 90.0), (2, 90.0), (3, 80.0), (4, 66.0), (5, 51.0)] {
        let angle = stability_angle(k);
        println!("order {k}: {angle:.1}");
        assert!((angle - degrees).abs() < 1.0, "order {k}: {angle}");
    }
}
