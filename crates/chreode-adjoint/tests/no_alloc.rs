//! Buffers are kept: a second pass of as many steps allocates nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chreode_adjoint::{
    BatchAdjoint, Checkpoints, ContinuousAdjoint, ContinuousMethod, EventVjp, ForwardSensitivities,
    OdeAdjoint, OdeMethod,
};
use chreode_autodiff::Auto;
use chreode_core::Jacobian;
use chreode_linalg::Activation;
use chreode_model::{MlpShape, SquareMlp};
use chreode_solve::{
    Bdf, Crossing, DOP853, Erk, Esdirk, KENCARP4, RK4, RODAS5P, Radau, Radau5, Rhs, Rosenbrock, SolveOptions,
    Stepper, TILE, TSIT5, VERN7, solve_with_jacobian,
};
use chreode_testkit::{BrusselatorLine, CountingAllocator, LotkaVolterra, SmoothField, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn forward_and_backward_again() {
    use Checkpoints::{All, Bytes, Every, States};
    for (checkpoints, fixed) in
        [(All, false), (Every(7), false), (States(5), false), (States(5), true), (Bytes(100), true)]
    {
        let mut f = SmoothField(LotkaVolterra);
        let p = [1.5, 1.0, 0.75, 3.0];
        let mut adjoint = OdeAdjoint::with_checkpoints(&TSIT5, 1, 2, checkpoints).unwrap();
        let options = if fixed { SolveOptions::fixed(0.01) } else { SolveOptions::tolerance(1e-8, 1e-8) };
        let options = SolveOptions { save_at: &[1.0, 2.0], ..options };
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        let bars: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let mut pass = || {
            let mut y = [1.0, 0.5];
            adjoint.forward(&mut f, &p, &mut y, (0.0, 2.0), &options, &mut |_, _, _| {}).unwrap();
            adjoint.backward(&mut f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap();
        };
        let (first, ()) = allocations_in(&mut pass);
        let (second, ()) = allocations_in(&mut pass);
        assert!(first > 0, "the counter works");
        assert_eq!(second, 0);
    }
}

/// Prey that have become many are hunted, and the run goes on.
struct Hunt;
impl EventVjp<f64> for Hunt {
    fn root(&self, _t: f64, y: &[f64], _p: &[f64]) -> f64 {
        y[0] - 1.2
    }
    fn root_gradient(&self, _t: f64, _y: &[f64], _p: &[f64], y_bar: &mut [f64], p_bar: &mut [f64]) -> f64 {
        y_bar.copy_from_slice(&[1.0, 0.0]);
        p_bar.fill(0.0);
        0.0
    }
    fn crossing(&self) -> Crossing {
        Crossing::Rising
    }
    fn resets(&self) -> bool {
        true
    }
    fn reset(&self, _t: f64, y: &mut [f64], _p: &[f64]) {
        y[0] *= 0.8;
    }
    fn reset_vjp(&self, _t: f64, _y: &[f64], _p: &[f64], l: &[f64], y_bar: &mut [f64], _: &mut [f64]) -> f64 {
        y_bar.copy_from_slice(&[0.8 * l[0], l[1]]);
        0.0
    }
}

/// By every family, with observations inside of steps and events that reset the state.
#[test]
fn saves_and_events_again() {
    let methods: [(&str, OdeMethod); 7] = [
        ("Tsit5", (&TSIT5).into()),
        ("Vern7", (&VERN7).into()),
        ("Dop853", (&DOP853).into()),
        ("Bdf", OdeMethod::Bdf),
        ("Radau5", OdeMethod::Radau5),
        ("KenCarp4", OdeMethod::Esdirk(&KENCARP4)),
        ("Rodas5P", OdeMethod::Rosenbrock(&RODAS5P)),
    ];
    for (name, method) in methods {
        for checkpoints in [Checkpoints::All, Checkpoints::States(5)] {
            let mut f = SmoothField(LotkaVolterra);
            let p = [1.5, 1.0, 0.75, 3.0];
            let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 2, checkpoints).unwrap();
            let options =
                SolveOptions { save_at: &[0.3, 1.0, 1.1, 2.9], ..SolveOptions::tolerance(1e-6, 1e-6) };
            let (mut y0_bar, mut p_bar, mut met) = ([0.0; 2], [0.0; 4], 0);
            let bars = [&[1.0, 0.5][..]; 4];
            // Of the run ahead, and of the sweep back.
            let mut pass = || {
                let (mut y, nothing) = ([1.0, 0.5], &mut |_: usize, _: f64, _: &[f64]| {});
                let (ahead, stats) = allocations_in(|| {
                    adjoint.forward_events(&mut f, &p, &mut y, (0.0, 3.0), &options, &[&Hunt], nothing)
                });
                met = stats.unwrap().events;
                let end = (&[0.0, 0.0][..], 0.0);
                let (back, swept) = allocations_in(|| {
                    adjoint.backward_events(&mut f, &p, &[&Hunt], &bars, end, &mut y0_bar, &mut p_bar)
                });
                swept.unwrap();
                (ahead, back)
            };
            let (first, second) = (pass(), pass());
            assert!(first.0 > 0 && first.1 > 0, "the counter works");
            assert_eq!(second.1, 0, "{name}, {checkpoints:?}");
            assert!(second.0 <= 3, "{name}, {checkpoints:?}: {second:?}"); // lists of the run's events, none of a step
            assert!(met >= 2, "{name}: {met} events");
        }
    }
}

#[test]
fn continuous_again() {
    use ContinuousMethod::{Backsolve, Gauss, Interpolating};
    for method in [Interpolating, Gauss, Backsolve] {
        let mut f = SmoothField(LotkaVolterra);
        let p = [1.5, 1.0, 0.75, 3.0];
        let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
        let (mut ahead, mut back) = (Erk::new(&TSIT5, 1, 2), Erk::new(&TSIT5, 1, adjoint.backward_len()));
        let options = SolveOptions::tolerance(1e-8, 1e-8);
        let saving = SolveOptions { save_at: &[1.0, 2.0], ..options };
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        let bars: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let mut pass = || {
            let rhs = &mut Rhs::Field(&mut f);
            let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
            adjoint.forward(rhs, &p, &mut [1.0, 0.5], (0.0, 2.0), &mut ahead, &saving, nothing).unwrap();
            adjoint.backward(&mut f, &p, &mut back, &options, &bars, &mut y0_bar, &mut p_bar).unwrap();
        };
        let (first, ()) = allocations_in(&mut pass);
        let (second, ()) = allocations_in(&mut pass);
        assert!(first > 0, "the counter works");
        assert_eq!(second, 0, "{method:?}");
    }
}

/// With events that reset the state, by an explicit method and an implicit one.
#[test]
fn continuous_with_events_again() {
    use ContinuousMethod::{Backsolve, Gauss, Interpolating};
    let methods: [fn(usize) -> Box<dyn Stepper<f64>>; 2] =
        [|d| Box::new(Erk::new(&VERN7, 1, d)), |d| Box::new(Radau5::new(1, d))];
    for method in [Interpolating, Gauss, Backsolve] {
        for make in methods {
            let mut f = SmoothField(LotkaVolterra);
            let p = [1.5, 1.0, 0.75, 3.0];
            let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
            let (mut ahead, mut back) = (make(2), make(adjoint.backward_len()));
            let options = SolveOptions::tolerance(1e-6, 1e-6);
            let saving = SolveOptions { save_at: &[0.3, 1.0, 2.9], ..options };
            let (mut y0_bar, mut p_bar, mut met) = ([0.0; 2], [0.0; 4], 0);
            let bars = [&[1.0, 0.5][..]; 3];
            // Of the run ahead, and of the sweep back.
            let mut pass = || {
                let (rhs, mut y) = (&mut Rhs::Jacobian(&mut f), [1.0, 0.5]);
                let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
                let (ahead, stats) = allocations_in(|| {
                    adjoint.forward_events(
                        rhs,
                        &p,
                        &mut y,
                        (0.0, 3.0),
                        &mut *ahead,
                        &saving,
                        &[&Hunt],
                        nothing,
                    )
                });
                met = stats.unwrap().events;
                let (events, end): ([&dyn EventVjp<f64>; 1], _) = ([&Hunt], (&[0.0, 0.0][..], 0.0));
                let (back, swept) = allocations_in(|| {
                    let (y0_bar, p_bar) = (&mut y0_bar, &mut p_bar);
                    adjoint
                        .backward_events(&mut f, &p, &events, &mut *back, &options, &bars, end, y0_bar, p_bar)
                });
                swept.unwrap();
                (ahead, back)
            };
            let (first, second) = (pass(), pass());
            assert!(first.0 > 0 && first.1 > 0, "the counter works");
            assert_eq!(second.1, 0, "{method:?}");
            assert!(second.0 <= 3, "{method:?}: {second:?}"); // lists of the run's events, none of a step
            assert!(met >= 2, "{met} events");
        }
    }
}

/// By implicit methods, with the field's Jacobian transposed: a band, and dense.
#[test]
fn stiff_continuous_again() {
    let methods: [fn(usize) -> Box<dyn Stepper<f64>>; 4] = [
        |d| Box::new(Bdf::new(1, d)),
        |d| Box::new(Radau5::new(1, d)),
        |d| Box::new(Rosenbrock::new(&RODAS5P, 1, d)),
        |d| Box::new(Esdirk::new(&KENCARP4, 1, d)),
    ];
    for method in [ContinuousMethod::Gauss, ContinuousMethod::Interpolating] {
        for make in methods {
            for points in [2, 20] {
                let line = BrusselatorLine { points };
                let (start, p) = (line.start(), line.parameters());
                let (mut f, mut y, d) = (Auto::<_>::new(line), start.clone(), start.len());
                assert_eq!(Jacobian::<f64>::sparsity(&f).is_some(), points == 20);
                let mut adjoint = ContinuousAdjoint::new(method, 1, d, 3);
                let (mut ahead, mut back) = (make(d), make(adjoint.backward_len()));
                let options = SolveOptions::tolerance(1e-6, 1e-6);
                let saving = SolveOptions { save_at: &[0.5, 1.0], ..options };
                let (mut y0_bar, mut p_bar, bar) = (vec![0.0; d], [0.0; 3], vec![1.0; d]);
                let mut pass = || {
                    y.copy_from_slice(&start);
                    let (rhs, bars) = (&mut Rhs::Jacobian(&mut f), [&bar[..], &bar]);
                    let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
                    adjoint.forward(rhs, &p, &mut y, (0.0, 1.0), &mut *ahead, &saving, nothing).unwrap();
                    adjoint
                        .backward(&mut f, &p, &mut *back, &options, &bars, &mut y0_bar, &mut p_bar)
                        .unwrap();
                };
                let (first, ()) = allocations_in(&mut pass);
                let (second, ()) = allocations_in(&mut pass);
                assert!(first > 0, "the counter works");
                assert_eq!(second, 0, "{method:?}, {points} points");
            }
        }
    }
}

#[test]
fn sensitivities_again() {
    let methods: [Box<dyn Stepper<f64>>; 7] = [
        Box::new(Bdf::new(1, 14)),
        Box::new(Bdf::new(1, 14).staggered()),
        Box::new(Radau5::new(1, 14)),
        Box::new(Radau5::new(1, 14).staggered()),
        Box::new(Radau::new(1, 14).staggered()),
        Box::new(Esdirk::new(&KENCARP4, 1, 14).staggered()),
        Box::new(Rosenbrock::new(&RODAS5P, 1, 14)),
    ];
    for mut method in methods {
        let mut f = ForwardSensitivities::new(SmoothField(LotkaVolterra), &[0, 1], &[0, 1, 2, 3]).unwrap();
        let (p, options, mut z) = ([1.5, 1.0, 0.75, 3.0], SolveOptions::tolerance(1e-6, 1e-6), [0.0; 14]);
        let mut pass = || {
            f.start(&[1.0, 0.5], &mut z).unwrap();
            let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
            solve_with_jacobian(&mut f, &p, &mut z, (0.0, 2.0), &mut *method, &options, nothing).unwrap();
        };
        let (first, ()) = allocations_in(&mut pass);
        assert!(first > 0, "the counter works");
        assert_eq!(allocations_in(&mut pass).0, 0);
    }
}

/// Tiles of trajectories, the last of which is no whole one.
#[test]
fn batches_again() {
    let shape = MlpShape::new(3, &[8, 8], 3, Activation::Tanh);
    let p = vec![0.1; shape.layout().len()];
    let field = SquareMlp::<f64>::new(shape).unwrap();
    let n = 40 * TILE + 17;
    let (mut y, mut y0_bar, mut p_bar) = (vec![0.5; 3 * n], vec![0.0; 3 * n], vec![0.0; p.len()]);
    let mut batch = BatchAdjoint::new(&RK4, field, 1_000_000);
    let options = SolveOptions { save_at: &[0.5, 1.0], ..SolveOptions::fixed(0.1) };
    let loss = |_: usize, _: usize, y: &[f64], y_bar: &mut [f64]| {
        y_bar.copy_from_slice(y);
        1.0
    };
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one.install(|| {
        let mut pass = || {
            y.fill(0.5);
            batch.gradient(&p, &mut y, (0.0, 1.0), &options, &loss, &mut y0_bar, &mut p_bar).unwrap();
        };
        let (first, ()) = allocations_in(&mut pass);
        assert!(first > 0, "the counter works");
        assert_eq!(allocations_in(&mut pass).0, 0);
    });
}

/// On two threads, each of which counts its own. Which thread meets which tile is a matter of chance, so that a thread's room for tiles
/// of either size may be made in any call, but once each: at most three calls allocate, however many there are.
#[test]
fn batches_again_on_two_threads() {
    let shape = MlpShape::new(3, &[8, 8], 3, Activation::Tanh);
    let p = vec![0.1; shape.layout().len()];
    let n = 40 * TILE + 17;
    let batch = Mutex::new(BatchAdjoint::new(&RK4, SquareMlp::<f64>::new(shape).unwrap(), 1_000_000));
    let states = Mutex::new((vec![0.5; 3 * n], vec![0.0; 3 * n], vec![0.0; p.len()]));
    let options = SolveOptions { save_at: &[0.5, 1.0], ..SolveOptions::fixed(0.1) };
    let both = AtomicUsize::new(0);
    let loss = |_: usize, _: usize, y: &[f64], y_bar: &mut [f64]| {
        both.fetch_or(1 << rayon::current_thread_index().unwrap(), Ordering::Relaxed);
        y_bar.copy_from_slice(y);
        1.0
    };
    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let (mut calls, mut shared) = (0, 0);
    for _ in 0..60 {
        let done = AtomicBool::new(false);
        both.store(0, Ordering::Relaxed);
        let counts = two.broadcast(|thread| {
            let (count, ()) = allocations_in(|| {
                if thread.index() == 0 {
                    let (mut batch, mut states) = (batch.lock().unwrap(), states.lock().unwrap());
                    let (y, y0_bar, p_bar) = &mut *states;
                    y.fill(0.5);
                    batch.gradient(&p, y, (0.0, 1.0), &options, &loss, y0_bar, p_bar).unwrap();
                    done.store(true, Ordering::Release);
                } else {
                    while !done.load(Ordering::Acquire) {
                        rayon::yield_now(); // takes tiles of the other's call
                    }
                }
            });
            count
        });
        calls += usize::from(counts.iter().any(|&count| count > 0));
        shared += usize::from(both.load(Ordering::Relaxed) == 3);
    }
    println!("{calls} of 60 calls allocated, both threads worked in {shared}");
    assert!((1..=3).contains(&calls), "{calls} calls allocated");
    assert!(shared > 3, "both threads worked in {shared} calls alone");
}

#[test]
fn kept_evaluations_again() {
    let shape = MlpShape::new(3, &[8, 8], 3, Activation::Tanh);
    let p = vec![0.1; shape.layout().len()];
    let mut f = SquareMlp::<f64>::new(shape).unwrap();
    let mut adjoint = OdeAdjoint::new(&RK4, 70, 3);
    adjoint.keep_evaluations(1_000_000);
    let options = SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(0.1) };
    let (mut y, bar, mut y0_bar, mut p_bar) = ([0.5; 210], [1.0; 210], [0.0; 210], vec![0.0; p.len()]);
    let mut pass = || {
        adjoint.forward(&mut f, &p, &mut y, (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
        adjoint.backward(&mut f, &p, &[&bar], &mut y0_bar, &mut p_bar).unwrap();
    };
    let (first, ()) = allocations_in(&mut pass);
    assert!(first > 0, "the counter works");
    assert_eq!(allocations_in(&mut pass).0, 0);
}
