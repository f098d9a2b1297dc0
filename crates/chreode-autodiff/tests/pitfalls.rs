//! What goes wrong easily in models that are differentiated: kinks, guards, powers at zero, branches, long times.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_autodiff::{Auto, Dual, Program, Tape};
use chreode_core::{Dynamics, Jacobian, Number, Real, VectorField, Vjp, c, put};
use chreode_linalg::Lanes;

/// `dy = f(y, p)` of one coordinate and one parameter.
trait Scalar: Copy {
    fn f<S: Number>(self, t: S, y: S, p: S) -> S;
}

#[derive(Clone, Copy)]
struct Of<F>(F);
impl<F: Scalar> Dynamics for Of<F> {
    fn dim(&self) -> usize {
        1
    }
    fn n_params(&self) -> usize {
        1
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        dy[0] = self.0.f(t, y[0], p[0]);
    }
}

type L = Dual<Lanes<4, 0>, 2>;

/// Value and derivatives by state and parameter, by every number type and route.
fn everywhere<F: Scalar>(f: F, t: f64, y: f64, p: f64) -> Vec<[f64; 3]> {
    let mut all = Vec::new();
    let dual = f.f(Dual::<f64, 2>::c(t), Dual::variable(y, 0), Dual::variable(p, 1));
    all.push([dual.v, dual.d[0], dual.d[1]]);
    let lanes = f.f(L::c(t), L::variable(Lanes([y; 4]), 0), L::variable(Lanes([p; 4]), 1));
    all.push([lanes.v[2], lanes.d[0][2], lanes.d[1][2]]);
    let (mut yb, mut pb) = ([0.0], [0.0]);
    Tape::new().vjp(&Of(f), t, &[y], &[p], &[1.0], &mut yb, &mut pb);
    all.push([f.f(t, y, p), yb[0], pb[0]]);
    let program = Program::record(&Of(f));
    let (mut replay, mut dy, mut pb) = (program.replay(), [0.0], [0.0]);
    program.eval(&mut replay, t, &[y], &[p], &mut dy);
    program.vjp(&mut replay, t, &[y], &[p], &[1.0], &mut yb, &mut pb);
    all.push([dy[0], yb[0], pb[0]]);
    // Eight trajectories over vectors; the parameter's is their sum.
    let mut auto: Auto<_> = Auto::new(Of(f));
    let (mut ybs, mut pb) = ([0.0; 8], [0.0]);
    auto.vjp(t, &[y; 8], &[p], &[1.0; 8], &mut ybs, &mut pb).expect("a model cannot fail");
    all.push([f.f(t, y, p), ybs[3], pb[0] / 8.0]);
    auto.vjp(t, &[y], &[p], &[1.0], &mut yb, &mut pb).expect("a model cannot fail");
    auto.jacobian(t, &[y], &[p], &mut pb).expect("a model cannot fail");
    all.push([f.f(t, y, p), yb[0], f64::NAN]);
    assert_eq!(yb[0], pb[0]);
    all
}

fn assert_all(all: &[[f64; 3]], expected: [f64; 3]) {
    for (route, found) in all.iter().enumerate() {
        for k in 0..3 {
            let same = found[k] == expected[k]
                || found[k].is_nan() && (expected[k].is_nan() || route == 5 && k == 2);
            assert!(same, "route {route}: {found:?}, expected {expected:?}");
        }
    }
}

#[derive(Clone, Copy)]
struct Power;
impl Scalar for Power {
    fn f<S: Number>(self, _t: S, y: S, p: S) -> S {
        y.powf(p)
    }
}

/// Derivatives in each of four lanes.
#[test]
fn powers_at_zero_have_no_derivatives() {
    assert_all(&everywhere(Power, 0.0, 0.0, 2.5), [0.0; 3]);
    assert_all(&everywhere(Power, 0.0, -0.0, 0.5), [0.0; 3]);
    assert_all(&everywhere(Power, 0.0, 0.0, 0.0), [1.0, 0.0, 0.0]);
    for all in [everywhere(Power, 0.0, -0.5, 2.0), everywhere(Power, 0.0, f64::NAN, 2.0)] {
        assert!(all.iter().all(|found| found[0].is_nan()), "{all:?}");
    }
}

/// A guarded square root, made safe before it is taken; and one that is not.
#[derive(Clone, Copy)]
struct Guarded {
    safe: bool,
}
impl Scalar for Guarded {
    fn f<S: Number>(self, _t: S, y: S, p: S) -> S {
        let positive = S::c(0.0).lt(y);
        let inside = if self.safe { S::select(positive, y, S::c(1.0)) } else { y };
        S::select(positive, inside.sqrt() * inside.ln() / inside, p * 2.0)
    }
}

#[test]
fn a_guard_makes_the_argument_safe_and_then_selects() {
    assert_all(&everywhere(Guarded { safe: true }, 0.0, 0.0, 3.0), [6.0, 0.0, 2.0]);
    // Why: backward, the side that is not taken gives 0 · ∞.
    let (mut yb, mut pb) = ([0.0], [0.0]);
    Tape::new().vjp(&Of(Guarded { safe: false }), 0.0, &[0.0], &[3.0], &[1.0], &mut yb, &mut pb);
    assert!(yb[0].is_nan());
}

#[derive(Clone, Copy)]
struct Kinks;
impl Scalar for Kinks {
    fn f<S: Number>(self, _t: S, y: S, p: S) -> S {
        y.max(p) + y.min(p) * 10.0 + (y - p).abs() * 100.0
    }
}

/// At a tie the derivative is that of one side, the same one everywhere: `max` and `min` take the second, `abs` is
/// that of the positive side.
#[test]
fn kinks_are_one_sided() {
    assert_all(&everywhere(Kinks, 0.0, 2.0, 2.0), [22.0, 100.0, -89.0]);
    assert_all(&everywhere(Kinks, 0.0, 3.0, 2.0), [123.0, 101.0, -90.0]);
    assert_all(&everywhere(Kinks, 0.0, 1.0, 2.0), [112.0, -90.0, 101.0]);
}

#[derive(Clone, Copy)]
struct Switch;
impl Scalar for Switch {
    fn f<S: Number>(self, t: S, y: S, p: S) -> S {
        let late = !t.lt(S::c(2.0)) & S::c(0.0).lt(y) | y.lt(S::c(-5.0));
        S::select(late, y * p, c(3.0) - p)
    }
}

#[test]
fn branches_by_masks() {
    assert_all(&everywhere(Switch, 1.0, 4.0, 0.5), [2.5, 0.0, -1.0]);
    assert_all(&everywhere(Switch, 2.0, 4.0, 0.5), [2.0, 0.5, 4.0]);
    assert_all(&everywhere(Switch, 2.0, -4.0, 0.5), [2.5, 0.0, -1.0]);
    assert_all(&everywhere(Switch, 0.0, -6.0, 0.5), [-3.0, 0.5, -6.0]);
}

/// Comparisons carry no dependence, both sides of a selection do, terms times zero do not.
#[derive(Clone, Copy)]
struct Dependences {
    terms: usize,
}
impl Dynamics for Dependences {
    fn dim(&self) -> usize {
        4
    }
    fn eval<S: Number>(&self, t: S, y: &[S], _p: &[S], dy: &mut [S]) {
        let mut sum = t;
        for y in &y[..self.terms] {
            sum += *y;
        }
        put(dy, [S::select(y[0].lt(y[1]), y[2], y[3] * y[3]), y[0] * 0.0 + y[1] * y[1], sum, S::c(1.0)]);
    }
}

#[test]
fn dependences_are_recorded_once() {
    let pattern = |terms| Program::record(&Dependences { terms }).sparsity();
    let expected = |sum: &[usize]| {
        let entries = [(0, 2), (0, 3), (1, 1)].into_iter().chain(sum.iter().map(|&j| (2, j)));
        chreode_core::Sparsity::new(4, 4, entries).unwrap()
    };
    assert_eq!(pattern(1), expected(&[0]));
    // A field that the loop depends on: another model, to be recorded again.
    assert_eq!(pattern(3), expected(&[0, 1, 2]));
}

#[derive(Clone, Copy)]
struct Wave;
impl Scalar for Wave {
    fn f<S: Number>(self, t: S, y: S, p: S) -> S {
        y * (t * p).sin()
    }
}

/// Time in `f32` has seven digits; derivatives see it in full.
#[test]
fn derivatives_in_single_precision_see_time_in_double() {
    let mut wave: Auto<_, f32> = Auto::new(Of(Wave));
    let t = 1e7 + 0.25;
    let (mut dy, mut jacobian) = ([0.0_f32], [0.0_f32]);
    wave.eval(t, &[1.0], &[1.0], &mut dy).unwrap();
    wave.jacobian(t, &[1.0], &[1.0], &mut jacobian).unwrap();
    assert!((jacobian[0].f64() - t.sin()).abs() < 1e-6);
    assert!((dy[0].f64() - t.sin()).abs() > 1e-3);
    wave.eval(0.25, &[1.0], &[1.0], &mut dy).unwrap();
    assert!((dy[0].f64() - 0.25_f64.sin()).abs() < 1e-6);
}
