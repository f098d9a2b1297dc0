//! Gradients over many trajectories in tiles: the sum of all of them, its bits on any number of threads, and what may be kept.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod nan_parameter;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chreode_adjoint::{AdjointError, BatchAdjoint, BatchRun, OdeAdjoint, OdeMethod};
use chreode_core::{FieldError, Real, Slot, VectorField, Vjp};
use chreode_linalg::Activation;
use chreode_model::{MlpShape, SquareMlp};
use chreode_solve::{RK4, SolveError, SolveOptions, TILE, TSIT5};
use chreode_testkit::{LotkaVolterra, SmoothField};
use nan_parameter::NanParameter;

const D: usize = 3;
/// Three tiles in some of the groups, and a last one of few.
const N: usize = 40 * TILE + 17;
const TIMES: [f64; 3] = [0.3, 0.55, 1.0];

/// A net that counts evaluations of its layers, of all its clones together.
#[derive(Clone)]
struct Counting<T: Real>(SquareMlp<T>, Arc<AtomicUsize>);

impl<T: Real> Counting<T> {
    fn count(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: Real> VectorField<T> for Counting<T> {
    fn dim(&self) -> usize {
        D
    }
    fn n_params(&self) -> usize {
        self.0.n_params()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.count();
        self.0.eval(t, y, p, dy)
    }
}

impl<T: Real> Vjp<T> for Counting<T> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.count(); // it goes forward first
        self.0.vjp(t, y, p, lambda, y_bar, p_bar)
    }
    fn eval_kept(&mut self, slot: Slot, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.count();
        self.0.eval_kept(slot, t, y, p, dy)
    }
    fn vjp_kept(
        &mut self,
        slot: Slot,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.0.vjp_kept(slot, t, y, p, lambda, y_bar, p_bar)
    }
    fn kept_bytes(&self, n: usize) -> usize {
        self.0.kept_bytes(n)
    }
}

fn net<T: Real>() -> (Counting<T>, Vec<T>, Vec<T>) {
    let shape = MlpShape::new(D, &[9, 6], D, Activation::Tanh);
    let p = (0..shape.layout().len()).map(|i| T::c((1.3 * i as f64).sin())).collect();
    let y0 = (0..N * D).map(|i| T::c((0.7 * i as f64).cos())).collect();
    (Counting(SquareMlp::new(shape).unwrap(), Arc::default()), p, y0)
}

/// Half the squared distance to a target that differs for each trajectory and time.
fn loss<T: Real>(i: usize, first: usize, y: &[T], y_bar: &mut [T]) -> f64 {
    let mut sum = 0.0;
    for (k, (y, y_bar)) in y.iter().zip(y_bar).enumerate() {
        *y_bar = *y - T::c(((first * D + k) as f64 + i as f64).sin());
        sum += 0.5 * y_bar.f64().powi(2);
    }
    sum
}

#[derive(Debug, PartialEq)]
struct Outcome<T> {
    run: BatchRun,
    y: Vec<T>,
    y0_bar: Vec<T>,
    p_bar: Vec<T>,
}

fn gradient<T: Real, F: Vjp<T> + Clone + Send + Sync>(
    batch: &mut BatchAdjoint<T, F>,
    threads: usize,
    (y0, p): (&[T], &[T]),
    options: &SolveOptions<'_>,
) -> Result<Outcome<T>, AdjointError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let options = SolveOptions { save_at: &TIMES, ..*options };
    let (mut y, mut y0_bar) = (y0.to_vec(), vec![T::c(f64::NAN); y0.len()]);
    let mut p_bar = vec![T::ONE; p.len()];
    let run =
        pool.install(|| batch.gradient(p, &mut y, (0.0, 1.0), &options, &loss, &mut y0_bar, &mut p_bar))?;
    p_bar.iter_mut().for_each(|p_bar| *p_bar -= T::ONE); // added to, not set
    Ok(Outcome { run, y, y0_bar, p_bar })
}

/// All trajectories in one run.
fn whole(f: &mut dyn Vjp<f64>, y0: &[f64], p: &[f64], options: &SolveOptions<'_>) -> Outcome<f64> {
    let options = SolveOptions { save_at: &TIMES, ..*options };
    let mut adjoint = OdeAdjoint::new(&RK4, N, D);
    let (mut y, mut bars, mut sum) = (y0.to_vec(), Vec::new(), 0.0);
    let mut save = |i: usize, _: f64, y: &[f64]| {
        let mut bar = vec![0.0; y.len()];
        sum += loss(i, 0, y, &mut bar);
        bars.push(bar);
    };
    let stats = adjoint.forward(f, p, &mut y, (0.0, 1.0), &options, &mut save).unwrap();
    let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![0.0; y.len()], vec![0.0; p.len()]);
    adjoint.backward(f, p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    Outcome { run: BatchRun { loss: sum, steps: stats.accepted }, y, y0_bar, p_bar }
}

fn close(a: &[f64], b: &[f64]) -> bool {
    let scale = b.iter().fold(1e-3_f64, |s, b| s.max(b.abs()));
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11 * scale)
}

#[test]
fn the_sum_over_all() {
    let (mut field, p, y0) = net::<f64>();
    let options = SolveOptions::fixed(0.11);
    let exact = whole(&mut field, &y0, &p, &options);
    let mut batch = BatchAdjoint::new(&RK4, field, usize::MAX);
    let tiles = gradient(&mut batch, 2, (&y0, &p), &options).unwrap();
    assert!(close(&tiles.y, &exact.y) && close(&tiles.y0_bar, &exact.y0_bar));
    assert!(close(&tiles.p_bar, &exact.p_bar), "{:?} {:?}", tiles.p_bar, exact.p_bar);
    assert!((tiles.run.loss - exact.run.loss).abs() < 1e-11 * exact.run.loss);
    assert_eq!(tiles.run.steps, exact.run.steps * N.div_ceil(TILE) as u64);
}

/// Threads and room change no bit; nor does what was computed before.
#[test]
fn the_same_bits_on_any_number_of_threads() {
    fn of<T: Real>(method: OdeMethod, options: &SolveOptions<'_>) {
        let (field, p, y0) = net::<T>();
        let fresh = |bytes| BatchAdjoint::new(method, field.clone(), bytes);
        let one = gradient(&mut fresh(0), 1, (&y0, &p), options).unwrap();
        assert!(one.p_bar.iter().chain(&one.y0_bar).all(|x| x.is_finite()));
        let mut used = fresh(1 << 20);
        for threads in [1, 2, 3, 2] {
            let other = gradient(&mut used, threads, (&y0, &p), options).unwrap();
            assert!(one == other, "{method:?}, {threads} threads");
        }
    }
    of::<f64>((&RK4).into(), &SolveOptions::fixed(0.11));
    of::<f64>((&TSIT5).into(), &SolveOptions::tolerance(1e-6, 1e-8));
    of::<f32>((&TSIT5).into(), &SolveOptions::tolerance(1e-4, 1e-5));
    of::<f64>(OdeMethod::Radau5, &SolveOptions::tolerance(1e-3, 1e-3));
}

/// Evaluations are made once where there is room for all, and again for the steps that there is none for.
#[test]
fn the_room_is_used_and_held() {
    let (field, p, y0) = net::<f64>();
    let options = SolveOptions::fixed(0.11);
    let count = |bytes: usize, threads: usize| {
        let mut batch = BatchAdjoint::new(&RK4, field.clone(), bytes);
        // What calls of other sizes kept is in nobody's way.
        for n in [N - 1, TILE - 3] {
            gradient(&mut batch, threads, (&y0[..n * D], &p), &options).unwrap();
        }
        field.1.store(0, Ordering::Relaxed);
        let run = gradient(&mut batch, threads, (&y0, &p), &options).unwrap().run;
        (field.1.load(Ordering::Relaxed), run.steps as usize, N.div_ceil(TILE))
    };
    let (all, steps, tiles) = count(usize::MAX, 1);
    // A run evaluates at its end too.
    assert_eq!(all, 4 * steps + tiles);
    assert_eq!(count(0, 1).0, all + 4 * steps);
    // Three steps of four stages of a full tile, and as much for each row of the last one, for each thread.
    let (per_tile, rest) = (steps / tiles, N % TILE);
    let stage = |rows: usize| rows * D * 8 + field.0.kept_bytes(rows);
    let row = (3 * 4 * stage(TILE)).div_ceil(TILE);
    let kept = 3 * (tiles - 1) + per_tile.min(row * rest / (4 * stage(rest)));
    let each = row * (TILE + rest);
    for threads in [1, 2] {
        assert_eq!(count(each * threads, threads).0, all + 4 * (steps - kept));
    }
}

/// Of a parameter's gradient the tile is told: it is a sum over its trajectories.
#[test]
fn a_parameter_is_named() {
    let (n, options) = (20 * TILE, SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(0.25) });
    let mut batch = BatchAdjoint::new(&RK4, NanParameter { bad: 777.0 }, 1 << 20);
    let mut run = |from: usize| {
        let mut y: Vec<f64> = (from..from + n).flat_map(|i| [1.0, i as f64]).collect();
        let (mut y0_bar, mut p_bar) = (vec![0.0; 2 * n], [0.0; 2]);
        let loss = |_: usize, _: usize, _: &[f64], y_bar: &mut [f64]| {
            y_bar.fill(1.0);
            1.0
        };
        batch.gradient(&[0.0; 2], &mut y, (0.0, 1.0), &options, &loss, &mut y0_bar, &mut p_bar)
    };
    let first = (777 / TILE * TILE) as u64;
    let last = first + TILE as u64 - 1;
    assert_eq!(run(0), Err(AdjointError::NonFiniteGradient { t: 0.0, parameter: 1, first, last }));
    assert_eq!(run(1000).unwrap().steps, 80);
}

#[test]
fn errors() {
    let p = [1.5, 1.0, 0.75, 3.0];
    let options = SolveOptions { save_at: &TIMES, ..SolveOptions::tolerance(1e-6, 1e-6) };
    let mut batch = BatchAdjoint::new(&TSIT5, SmoothField(LotkaVolterra), 1 << 20);
    let mut run = |y: &mut [f64], bad: Option<usize>, lens: (usize, usize)| {
        let (mut y0_bar, mut p_bar) = (vec![0.0; lens.0], vec![0.0; lens.1]);
        let loss = |i: usize, first: usize, y: &[f64], y_bar: &mut [f64]| {
            y_bar.copy_from_slice(y);
            if let Some(at) = bad.and_then(|bad| (2 * bad + 1).checked_sub(2 * first))
                && i == 1
                && at < y_bar.len()
            {
                y_bar[at] = f64::NAN;
            }
            1.0
        };
        batch.gradient(&p, y, (0.0, 1.0), &options, &loss, &mut y0_bar, &mut p_bar)
    };
    let n = 20 * TILE;
    let good = vec![1.0; 2 * n];
    let mismatch = |r| matches!(r, Err(AdjointError::ShapeMismatch { .. }));
    assert!(mismatch(run(&mut good.clone(), None, (2 * n - 2, 4))));
    assert!(mismatch(run(&mut good.clone(), None, (2 * n, 3))));
    assert!(mismatch(run(&mut [1.0; 3], None, (3, 4))));
    // The trajectory is named by its number among all.
    let told = run(&mut good.clone(), Some(777), (2 * n, 4));
    assert_eq!(told, Err(AdjointError::NonFinite { t: TIMES[1], trajectory: 777, coordinate: 1 }));
    let mut bad = good.clone();
    bad[2 * 900] = f64::INFINITY;
    match run(&mut bad, None, (2 * n, 4)) {
        Err(AdjointError::Solve(
            SolveError::NonFinite { trajectory, .. } | SolveError::NonFiniteDerivative { trajectory, .. },
        )) => assert_eq!(trajectory, 900),
        other => panic!("{other:?}"),
    }
    // Afterwards all is well, and no trajectories are no work.
    assert_eq!(run(&mut good.clone(), None, (2 * n, 4)).unwrap().loss, 60.0);
    assert_eq!(run(&mut [], None, (0, 4)), Ok(BatchRun { loss: 0.0, steps: 0 }));
}
