//! Gradients through events that reset the state and end the run, against finite differences.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_adjoint::{
    AdjointError, Checkpoints, ContinuousAdjoint, ContinuousMethod, EventVjp, OdeAdjoint, OdeMethod,
};
use chreode_core::Real;
use chreode_solve::{
    Crossing, DOPRI5, Erk, KENCARP4, RODAS5P, Radau5, Rhs, SolveOptions, Stepper, Stopped, TSIT5, VERN7,
};
use chreode_testkit::{Smooth, SmoothField, central_difference_by, compare};
use proptest::prelude::*;

use ContinuousMethod::{Backsolve, Gauss, Interpolating};

/// A ball that falls with drag: height and speed; gravity, drag, what is left of the speed, slope of the floor in time.
struct Ball;
impl Smooth for Ball {
    const DIM: usize = 2;
    const N_PARAMS: usize = 4;
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        dy[0] = y[1];
        dy[1] = -p[0] - p[1] * y[1] * y[1] * y[1];
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][1] = T::ONE;
        j[1][1] = T::c(-3.0) * p[1] * y[1] * y[1];
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[1][0] = -T::ONE;
        j[1][1] = -y[1] * y[1] * y[1];
    }
}

/// The ball meets the floor, which rises, and loses speed; the floor gives it a push that depends on the time.
struct Bounce;
impl<T: Real> EventVjp<T> for Bounce {
    fn root(&self, t: f64, y: &[T], p: &[T]) -> f64 {
        y[0].f64() - p[3].f64() * t
    }
    fn root_gradient(&self, t: f64, _y: &[T], p: &[T], y_bar: &mut [T], p_bar: &mut [T]) -> T {
        y_bar.copy_from_slice(&[T::ONE, T::ZERO]);
        p_bar.copy_from_slice(&[T::ZERO, T::ZERO, T::ZERO, T::c(-t)]);
        -p[3]
    }
    fn crossing(&self) -> Crossing {
        Crossing::Falling
    }
    fn resets(&self) -> bool {
        true
    }
    fn reset(&self, t: f64, y: &mut [T], p: &[T]) {
        y[1] = -p[2] * y[1] + T::c(0.3 * t.sin());
    }
    fn reset_vjp(&self, t: f64, y: &[T], p: &[T], lambda: &[T], y_bar: &mut [T], p_bar: &mut [T]) -> T {
        y_bar.copy_from_slice(&[lambda[0], -p[2] * lambda[1]]);
        p_bar[2] -= y[1] * lambda[1];
        T::c(0.3 * t.cos()) * lambda[1]
    }
}

/// The run ends where the ball meets a ceiling that comes down.
struct Ceiling(f64);
impl<T: Real> EventVjp<T> for Ceiling {
    fn root(&self, t: f64, y: &[T], p: &[T]) -> f64 {
        y[0].f64() + self.0 * (t - 3.0) + 0.01 * p[0].f64()
    }
    fn root_gradient(&self, _t: f64, _y: &[T], _p: &[T], y_bar: &mut [T], p_bar: &mut [T]) -> T {
        y_bar.copy_from_slice(&[T::ONE, T::ZERO]);
        p_bar.copy_from_slice(&[T::c(0.01), T::ZERO, T::ZERO, T::ZERO]);
        T::c(self.0)
    }
    fn crossing(&self) -> Crossing {
        Crossing::Rising
    }
    fn terminal(&self) -> bool {
        true
    }
}

const SAVES: [f64; 3] = [0.4, 1.1, 1.9];

/// Objective and its gradient in the start state and the parameters.
fn objective(
    method: impl Into<OdeMethod>,
    checkpoints: Checkpoints,
    y0: &[f64],
    p: &[f64],
) -> (f64, Vec<f64>, usize) {
    let mut f = SmoothField(Ball);
    let ceiling = Ceiling(3.0);
    let events: [&dyn EventVjp<f64>; 2] = [&Bounce, &ceiling];
    let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 2, checkpoints).unwrap();
    let options = SolveOptions { save_at: &SAVES, ..SolveOptions::tolerance(1e-12, 1e-12) };
    let (mut y, mut value, mut bars) = (y0.to_vec(), 0.0, Vec::new());
    let stats = adjoint
        .forward_events(&mut f, p, &mut y, (0.0, 9.0), &options, &events, &mut |_, _, y| {
            value += y[0].sin() + y[0] * y[1];
            bars.push([y[0].cos() + y[1], y[0]]);
        })
        .unwrap();
    let Stopped::Event { index: 1, t } = stats.stopped else { panic!("{stats:?}") };
    value += 0.7 * y[0] + 0.2 * y[1] + (0.5 * t).sin();
    let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
    let (mut y0_bar, mut p_bar) = ([0.0; 2], vec![0.0; 4]);
    let end_bar = (&[0.7, 0.2][..], 0.5 * (0.5 * t).cos());
    adjoint.backward_events(&mut f, p, &events, &bars, end_bar, &mut y0_bar, &mut p_bar).unwrap();
    (value, [&y0_bar[..], &p_bar].concat(), stats.events as usize)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resets_and_ends(by in prop::collection::vec(-1.0..1.0_f64, 6), states in 1_usize..30) {
        let x: Vec<f64> = [4.0, 0.5, 9.81, 0.002, 0.75, 0.1].iter().zip(&by).map(|(x, by)| x * (1.0 + 0.02 * by)).collect();
        for method in [&TSIT5, &VERN7, &DOPRI5] {
            let (_, gradient, events) = objective(method, Checkpoints::All, &x[..2], &x[2..]);
            prop_assert!(events == 3, "{} events", events);
            let few = objective(method, Checkpoints::States(states), &x[..2], &x[2..]).1;
            prop_assert_eq!(&few, &gradient);
            let difference = central_difference_by(&x, 1e-4, |x| objective(method, Checkpoints::All, &x[..2], &x[2..]).0);
            if let Err(e) = compare("gradient", &gradient, &difference, 1e-6) {
                return Err(TestCaseError::fail(format!("{} {events} events: {e} {gradient:?} {difference:?}", method.name)));
            }
        }
    }
}

/// A method for `n` values.
type Maker = fn(usize) -> Box<dyn Stepper<f64>>;

/// The gradient of [`objective`] by the adjoint equation: in the start state, the parameters, the start time and the times of observation.
fn continuous(method: ContinuousMethod, by: Maker, tolerance: f64, y0: &[f64], p: &[f64]) -> Vec<f64> {
    let (mut f, ceiling) = (SmoothField(Ball), Ceiling(3.0));
    let events: [&dyn EventVjp<f64>; 2] = [&Bounce, &ceiling];
    let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
    let options = SolveOptions::tolerance(tolerance, tolerance);
    let saving = SolveOptions { save_at: &SAVES, ..options };
    let (mut y, mut bars) = (y0.to_vec(), Vec::new());
    let save = &mut |_: usize, _: f64, y: &[f64]| bars.push([y[0].cos() + y[1], y[0]]);
    let rhs = &mut Rhs::Field(&mut f);
    let stats =
        adjoint.forward_events(rhs, p, &mut y, (0.0, 9.0), &mut *by(2), &saving, &events, save).unwrap();
    let Stopped::Event { index: 1, t } = stats.stopped else { panic!("{stats:?}") };
    let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
    let end_bar = (&[0.7, 0.2][..], 0.5 * (0.5 * t).cos());
    let mut back = by(adjoint.backward_len());
    let (mut y0_bar, mut p_bar, mut time_bar) = ([0.0; 2], vec![0.0; 4], [f64::NAN; 3]);
    let (y0_bar, times) = (&mut y0_bar, &mut time_bar);
    adjoint
        .backward_events(&mut f, p, &events, &mut *back, &options, &bars, end_bar, y0_bar, &mut p_bar)
        .unwrap();
    let without = (*y0_bar, std::mem::replace(&mut p_bar, vec![0.0; 4]));
    let back = &mut *back;
    let start = adjoint
        .backward_events_with_times(
            &mut f, p, &events, back, &options, &bars, end_bar, y0_bar, &mut p_bar, times,
        )
        .unwrap();
    assert_eq!((*y0_bar, &p_bar), (without.0, &without.1));
    [&y0_bar[..], &p_bar, &[start], &times[..]].concat()
}

/// Continuous adjoints jump at events as the discrete one does: over three decades of the tolerance (below, the order of Radau's dense
/// output shows), the error from the gradient of a tight
/// run stays below a constant times it.
#[test]
fn continuous_adjoints() {
    let x = [4.0, 0.5, 9.81, 0.002, 0.75, 0.1];
    let exact = objective(&VERN7, Checkpoints::All, &x[..2], &x[2..]).1;
    let vern7: Maker = |n| Box::new(Erk::new(&VERN7, 1, n));
    let tsit5: Maker = |n| Box::new(Erk::new(&TSIT5, 1, n));
    let radau5: Maker = |n| Box::new(Radau5::new(1, n));
    let tight = continuous(Interpolating, vern7, 1e-12, &x[..2], &x[2..]);
    let scale = exact.iter().fold(0.0_f64, |s, v| s.max(v.abs()));
    for (name, by) in [("Vern7", vern7), ("Tsit5", tsit5), ("Radau5", radau5)] {
        for method in [Interpolating, Gauss, Backsolve] {
            let errors = [1e-5, 1e-6, 1e-7, 1e-8].map(|tolerance| {
                let given = continuous(method, by, tolerance, &x[..2], &x[2..]);
                let off = given[..6].iter().zip(&exact).chain(given[6..].iter().zip(&tight[6..]));
                off.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale / tolerance
            });
            println!("{method:?} {name}: error / tolerance {errors:.2?}");
            assert!(errors.iter().all(|&e| e < 10.0), "{method:?} {name}: {errors:?}");
        }
    }
    compare("gradient", &tight[..6], &exact, 1e-8).unwrap();
}

/// Gradients with respect to the start time and the times of observation, which lie before, between and after the bounces.
#[test]
fn times() {
    let (y0, p) = ([4.0, 0.5], [9.81, 0.002, 0.75, 0.1]);
    let run = |method: OdeMethod, x: &[f64], checkpoints| {
        let (mut f, ceiling) = (SmoothField(Ball), Ceiling(3.0));
        let events: [&dyn EventVjp<f64>; 2] = [&Bounce, &ceiling];
        let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 2, checkpoints).unwrap();
        let options = SolveOptions { save_at: &x[1..], ..SolveOptions::tolerance(1e-12, 1e-12) };
        let (mut y, mut value, mut bars) = (y0, 0.0, Vec::new());
        let save = &mut |i: usize, _: f64, y: &[f64]| {
            let weight = 1.0 + i as f64;
            value += weight * (y[0].sin() + y[0] * y[1]);
            bars.push([weight * (y[0].cos() + y[1]), weight * y[0]]);
        };
        let stats = adjoint.forward_events(&mut f, &p, &mut y, (x[0], 9.0), &options, &events, save).unwrap();
        let Stopped::Event { index: 1, t } = stats.stopped else { panic!("{stats:?}") };
        assert_eq!((stats.events, bars.len()), (3, 3));
        value += 0.7 * y[0] + 0.2 * y[1] + (0.5 * t).sin();
        let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
        let end_bar = (&[0.7, 0.2][..], 0.5 * (0.5 * t).cos());
        let (mut y0_bar, mut p_bar, mut time_bar) = ([0.0; 2], [0.0; 4], [f64::NAN; 3]);
        adjoint.backward_events(&mut f, &p, &events, &bars, end_bar, &mut y0_bar, &mut p_bar).unwrap();
        let without = (y0_bar, std::mem::replace(&mut p_bar, [0.0; 4]));
        let (y0_bar, p_bar, time_bar) = (&mut y0_bar, &mut p_bar, &mut time_bar);
        let start = adjoint
            .backward_events_with_times(&mut f, &p, &events, &bars, end_bar, y0_bar, p_bar, time_bar)
            .unwrap();
        assert_eq!((*y0_bar, *p_bar), without);
        let short = adjoint.backward_events_with_times(
            &mut f,
            &p,
            &events,
            &bars,
            end_bar,
            y0_bar,
            p_bar,
            &mut [0.0; 2],
        );
        assert!(matches!(short, Err(AdjointError::ShapeMismatch { what: "time_bar", expected: 3, got: 2 })));
        (value, [&[start][..], &time_bar[..]].concat())
    };
    let x = [0.1, 0.4, 1.1, 1.9];
    for method in [(&VERN7).into(), (&TSIT5).into(), OdeMethod::Radau9] {
        let exact = central_difference_by(&x, 1e-4, |x| run((&VERN7).into(), x, Checkpoints::All).0);
        for checkpoints in [Checkpoints::All, Checkpoints::States(5)] {
            let given = run(method, &x, checkpoints).1;
            compare("times", &given, &exact, 1e-6).unwrap_or_else(|e| panic!("{method:?}: {e}"));
        }
    }
}

/// Implicit methods, whose dense output is of lower order, give the same gradient to what that leaves.
#[test]
fn implicit_methods() {
    let x = [4.0, 0.5, 9.81, 0.002, 0.75, 0.1];
    let exact = objective(&VERN7, Checkpoints::All, &x[..2], &x[2..]).1;
    let kencarp: OdeMethod = (&KENCARP4).into();
    for method in
        [OdeMethod::Bdf, kencarp, (&RODAS5P).into(), OdeMethod::Radau5, OdeMethod::Radau9, OdeMethod::Radau]
    {
        for checkpoints in [Checkpoints::All, Checkpoints::States(20)] {
            let (_, gradient, events) = objective(method, checkpoints, &x[..2], &x[2..]);
            assert_eq!(events, 3);
            compare("gradient", &gradient, &exact, 1e-6)
                .unwrap_or_else(|e| panic!("{method:?} {checkpoints:?}: {e}"));
        }
    }
}

#[test]
fn errors() {
    let mut f = SmoothField(Ball);
    let (p, options) = ([9.81, 0.0, 0.7, 0.0], SolveOptions::default());
    let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 2);
    let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
    // The same event twice.
    let twice: [&dyn EventVjp<f64>; 2] = [&Bounce, &Bounce];
    let together = adjoint.forward_events(&mut f, &p, &mut [1.0, 0.0], (0.0, 0.6), &options, &twice, nothing);
    assert!(
        matches!(together, Err(AdjointError::EventsTogether { t }) if (t - (2.0 / 9.81_f64).sqrt()).abs() < 1e-3)
    );
    // Backward without the events of the forward run.
    adjoint.forward_events(&mut f, &p, &mut [1.0, 0.0], (0.0, 0.6), &options, &twice[..1], nothing).unwrap();
    let without = adjoint.backward(&mut f, &p, &[], &mut [0.0; 2], &mut [0.0; 4]);
    assert!(matches!(without, Err(AdjointError::ShapeMismatch { what: "events", expected: 1, got: 0 })));
}

/// Resets when a switch is thrown at `t = 1`, where the field is announced to jump too.
struct Switch {
    terminal: bool,
}
impl EventVjp<f64> for Switch {
    fn root(&self, t: f64, y: &[f64], _p: &[f64]) -> f64 {
        if t < 1.0 { -1.0 - y[0] * y[0] } else { 1.0 + y[0] * y[0] }
    }
    fn root_gradient(&self, t: f64, y: &[f64], _p: &[f64], y_bar: &mut [f64], p_bar: &mut [f64]) -> f64 {
        y_bar.copy_from_slice(&[if t < 1.0 { -2.0 } else { 2.0 } * y[0], 0.0]);
        p_bar.fill(0.0);
        0.0
    }
    fn terminal(&self) -> bool {
        self.terminal
    }
    fn resets(&self) -> bool {
        true
    }
    fn reset(&self, _t: f64, y: &mut [f64], p: &[f64]) {
        y[1] = p[2] * y[1] * y[1] + y[0];
    }
    fn reset_vjp(
        &self,
        _t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> f64 {
        y_bar.copy_from_slice(&[lambda[0] + lambda[1], 2.0 * p[2] * y[1] * lambda[1]]);
        p_bar[2] += y[1] * y[1] * lambda[1];
        0.0
    }
}

/// An event that a discontinuity makes ends the step before it, and stays where it is.
#[test]
fn resets_at_a_discontinuity() {
    let x = [4.0, 0.5, 9.81, 0.002, 0.75, 0.1];
    for (terminal, checkpoints) in
        [(false, Checkpoints::All), (false, Checkpoints::States(3)), (true, Checkpoints::All)]
    {
        let run = |x: &[f64]| {
            let (mut y, p, switch, mut f) = ([x[0], x[1]], &x[2..], Switch { terminal }, SmoothField(Ball));
            let mut adjoint = OdeAdjoint::with_checkpoints(&TSIT5, 1, 2, checkpoints).unwrap();
            let options = SolveOptions {
                save_at: &[0.7, 1.0, 1.5],
                discontinuities: &[1.0],
                ..SolveOptions::tolerance(1e-12, 1e-12)
            };
            let (mut value, mut bars) = (0.0, Vec::new());
            let save = &mut |_: usize, _: f64, y: &[f64]| {
                value += y[0].sin() + y[0] * y[1];
                bars.push([y[0].cos() + y[1], y[0]]);
            };
            let events: [&dyn EventVjp<f64>; 1] = [&switch];
            let stats =
                adjoint.forward_events(&mut f, p, &mut y, (0.0, 2.0), &options, &events, save).unwrap();
            assert_eq!((stats.events, matches!(stats.stopped, Stopped::Event { .. })), (1, terminal));
            value += 0.7 * y[0] + 0.2 * y[1];
            let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
            let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
            let end_bar = (&[0.7, 0.2][..], 0.3);
            adjoint.backward_events(&mut f, p, &events, &bars, end_bar, &mut y0_bar, &mut p_bar).unwrap();
            (value, [&y0_bar[..], &p_bar].concat())
        };
        let differences = central_difference_by(&x, 1e-4, |x| run(x).0);
        compare("gradient", &run(&x).1, &differences, 1e-6).unwrap();
    }
}

/// The same of continuous adjoints, also where the state is observed at the discontinuity, which is before the reset.
#[test]
fn resets_at_a_discontinuity_continuously() {
    let x = [4.0, 0.5, 9.81, 0.002, 0.75, 0.1];
    for terminal in [false, true] {
        let events: [&dyn EventVjp<f64>; 1] = [&Switch { terminal }];
        let options = SolveOptions::tolerance(1e-12, 1e-12);
        let saving = SolveOptions { save_at: &[0.7, 1.0, 1.5], discontinuities: &[1.0], ..options };
        let end_bar = (&[0.7, 0.2][..], 0.3);
        let (y0, p, mut f) = (&x[..2], &x[2..], SmoothField(Ball));
        let mut bars = Vec::new();
        let save = &mut |_: usize, _: f64, y: &[f64]| bars.push([y[0].cos() + y[1], y[0]]);
        let mut discrete = OdeAdjoint::new(&VERN7, 1, 2);
        let mut y = y0.to_vec();
        discrete.forward_events(&mut f, p, &mut y, (0.0, 2.0), &saving, &events, save).unwrap();
        let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
        let (mut y_exact, mut p_exact) = ([0.0; 2], [0.0; 4]);
        discrete.backward_events(&mut f, p, &events, &bars, end_bar, &mut y_exact, &mut p_exact).unwrap();
        for method in [Interpolating, Gauss, Backsolve] {
            let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
            let (mut y, mut back) = (y0.to_vec(), Erk::new(&VERN7, 1, adjoint.backward_len()));
            let (rhs, ahead) = (&mut Rhs::Field(&mut f), &mut Erk::new(&VERN7, 1, 2));
            let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
            adjoint.forward_events(rhs, p, &mut y, (0.0, 2.0), ahead, &saving, &events, nothing).unwrap();
            let without =
                adjoint.backward(&mut f, p, &mut back, &options, &bars, &mut [0.0; 2], &mut [0.0; 4]);
            assert!(matches!(
                without,
                Err(AdjointError::ShapeMismatch { what: "events", expected: 1, got: 0 })
            ));
            let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
            adjoint
                .backward_events(
                    &mut f,
                    p,
                    &events,
                    &mut back,
                    &options,
                    &bars,
                    end_bar,
                    &mut y0_bar,
                    &mut p_bar,
                )
                .unwrap();
            compare("start", &y0_bar, &y_exact, 1e-8)
                .unwrap_or_else(|e| panic!("{method:?} {terminal}: {e}"));
            compare("parameters", &p_bar, &p_exact, 1e-8)
                .unwrap_or_else(|e| panic!("{method:?} {terminal}: {e}"));
        }
    }
}

/// Three bounces and the end, as in double precision, by every method family and the continuous adjoints.
#[test]
fn single_precision() {
    fn run<T: Real>(method: Result<OdeMethod, ContinuousMethod>) -> Vec<f64> {
        let mut f = SmoothField(Ball);
        let (p, mut y) = ([9.81, 0.002, 0.75, 0.1].map(T::c), [4.0, 0.5].map(T::c));
        let ceiling = Ceiling(3.0);
        let events: [&dyn EventVjp<T>; 2] = [&Bounce, &ceiling];
        let options = SolveOptions::tolerance(1e-5, 1e-5);
        let saving = SolveOptions { save_at: &SAVES, ..options };
        let mut bars = Vec::new();
        let save = &mut |_: usize, _: f64, y: &[T]| bars.push([T::c(y[0].f64().cos()) + y[1], y[0]]);
        let (mut y0_bar, mut p_bar, end_bar) = ([T::ZERO; 2], [T::ZERO; 4], [0.7, 0.2].map(T::c));
        let slices = |bars: &[[T; 2]]| bars.to_vec();
        let stats = match method {
            Ok(method) => {
                let mut adjoint = OdeAdjoint::new(method, 1, 2);
                let stats =
                    adjoint.forward_events(&mut f, &p, &mut y, (0.0, 9.0), &saving, &events, save).unwrap();
                let bars = slices(&bars);
                let bars: Vec<&[T]> = bars.iter().map(|b| &b[..]).collect();
                let end = (&end_bar[..], T::c(0.5));
                adjoint.backward_events(&mut f, &p, &events, &bars, end, &mut y0_bar, &mut p_bar).unwrap();
                stats
            }
            Err(method) => {
                let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
                let (ahead, span) = (&mut Erk::new(&TSIT5, 1, 2), (0.0, 9.0));
                let rhs = &mut Rhs::Field(&mut f);
                let stats =
                    adjoint.forward_events(rhs, &p, &mut y, span, ahead, &saving, &events, save).unwrap();
                let bars = slices(&bars);
                let bars: Vec<&[T]> = bars.iter().map(|b| &b[..]).collect();
                let (back, end) =
                    (&mut Erk::new(&TSIT5, 1, adjoint.backward_len()), (&end_bar[..], T::c(0.5)));
                adjoint
                    .backward_events(&mut f, &p, &events, back, &options, &bars, end, &mut y0_bar, &mut p_bar)
                    .unwrap();
                stats
            }
        };
        assert!(matches!(stats.stopped, Stopped::Event { index: 1, .. }) && stats.events == 3, "{stats:?}");
        y0_bar.iter().chain(&p_bar).map(|x| x.f64()).collect()
    }
    let discrete: [OdeMethod; 6] = [
        (&TSIT5).into(),
        (&VERN7).into(),
        (&KENCARP4).into(),
        (&RODAS5P).into(),
        OdeMethod::Radau5,
        OdeMethod::Bdf,
    ];
    let methods = discrete.into_iter().map(Ok).chain([Gauss, Interpolating, Backsolve].map(Err));
    for method in methods {
        let (single, double) = (run::<f32>(method), run::<f64>(method));
        let largest = double.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
        let off = single.iter().zip(&double).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f64::max);
        println!("{off:.1e}: {method:?}");
        assert!(off < 1e-3, "{method:?}: {off:e} {single:?} {double:?}");
    }
}
