//! The gradient through a neural differential equation, one line of input a run, so that a program beside this one can take turns
//! with it: 1,024 cells of 50 coordinates, a net with two hidden layers of 512, a squared error at four times. Cases of accuracy,
//! `f32-1e-5` or `f64-1e-5`, have 64 cells and adaptive steps.
//!
//! `CASE WHAT` is answered as [`crate::turns`] says; `gradient.py` has the same net, cells and observations. The numbers that are
//! told are some of the states at the end (`forward`) or of the gradient (`gradient`). `CASE! WHAT` gives those of a tight run in
//! double precision.

use chreode_adjoint::{BatchAdjoint, Checkpoints, OdeAdjoint};
use chreode_core::Real;
use chreode_linalg::Activation;
use chreode_model::{MlpShape, SquareMlp};
use chreode_solve::{Erk, ErkTableau, RK4, SolveOptions, Stats, TILE, TSIT5, Tolerance, VERN9, solve};

use crate::turns::{Answer, Clock, serve_cases};

const CELLS: usize = 1024;
/// Of cases of accuracy.
const FEW: usize = 64;
/// Bytes for evaluations that are kept, where cells go in tiles.
const KEPT: usize = 60_000_000;
const DIM: usize = 50;
const WIDTH: usize = 512;
const TIMES: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// What is told: each so manieth state, and parameter.
const STATES: usize = 101;
const PARAMETERS: usize = 997;

/// Reads cases, solves and answers, until the input ends.
pub fn serve() -> Result<(), String> {
    serve_cases(&["forward", "gradient", "gradient-2-checkpoints", "gradient-kept"], |case, what, exact| {
        let together = |rtol: f64| {
            let tolerance = Tolerance::new(rtol, 0.01 * rtol).together();
            SolveOptions { tolerance, ..SolveOptions::default() }
        };
        let accuracy = case.split_once('-').filter(|(real, _)| ["f32", "f64"].contains(real));
        let (method, options) = match (case, accuracy) {
            ("rk4", _) => (&RK4, SolveOptions::fixed(0.05)),
            ("tsit5", _) => (&TSIT5, SolveOptions::tolerance(1e-5, 1e-7)),
            ("tsit5-together", _) => (&TSIT5, together(1e-5)),
            (_, Some((_, rtol))) => (&TSIT5, together(rtol.parse().map_err(|e| format!("{case}: {e}"))?)),
            _ => return Err(format!("no case {case}")),
        };
        let (cells, name) =
            (if accuracy.is_some() { FEW } else { CELLS }, format!("chreode {}", method.name));
        match (exact, case, accuracy) {
            (false, _, Some(("f64", _))) => run::<f64>(what, cells, method, options, &name),
            (false, ..) => run::<f32>(what, cells, method, options, &name),
            (true, "rk4", _) => run::<f64>(what, cells, method, options, "reference"),
            (true, ..) => run::<f64>(what, cells, &VERN9, SolveOptions::tolerance(1e-11, 1e-13), "reference"),
        }
    })
}

/// Number `i` of stream `stream`, even in -1..1: the finaliser of SplitMix64.
pub(crate) fn noise(stream: u64, i: usize) -> f64 {
    let mut z = (stream << 32 | i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) as f64 / 2.0_f64.powi(63) - 1.0
}

fn problem(cells: usize) -> (MlpShape, Vec<f64>, Vec<f64>, Vec<Vec<f64>>) {
    let shape = MlpShape::new(DIM, &[WIDTH, WIDTH], DIM, Activation::Tanh);
    let mut p = Vec::new();
    for (l, (inp, out)) in [(DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, DIM)].into_iter().enumerate() {
        let bound = 1.0 / (inp as f64).sqrt();
        p.extend((0..inp * out).map(|i| bound * noise(2 * l as u64, i)));
        p.extend((0..out).map(|i| bound * noise(2 * l as u64 + 1, i)));
    }
    let y0: Vec<f64> = (0..cells * DIM).map(|i| 1.7 * noise(10, i)).collect();
    let target = |k: usize| {
        let of = |(i, y): (usize, &f64)| (0.9 - 0.1 * k as f64) * y + 0.17 * noise(11 + k as u64, i);
        y0.iter().enumerate().map(of).collect()
    };
    let targets = (0..TIMES.len()).map(target).collect();
    (shape, p, y0, targets)
}

fn run<T: Real>(
    what: &str,
    cells: usize,
    method: &'static ErkTableau,
    options: SolveOptions<'_>,
    name: &str,
) -> Result<Answer, String> {
    let (shape, p, y0, targets) = problem(cells);
    let of = |x: &[f64]| x.iter().map(|&x| T::c(x)).collect::<Vec<T>>();
    let (p, y0) = (of(&p), of(&y0));
    let targets: Vec<Vec<T>> = targets.iter().map(|t| of(t)).collect();
    let mut f = SquareMlp::<T>::new(shape).map_err(|e| e.to_string())?;
    let options = SolveOptions { save_at: &TIMES, ..options };
    let some = |x: &[T], every: usize| x.iter().step_by(every).map(|x| x.f64()).collect::<Vec<_>>();
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let clock = Clock::start();
    let mut y = y0;
    if what == "forward" {
        let stats: Stats = solve(
            &mut f,
            &p,
            &mut y,
            (0.0, 1.0),
            &mut Erk::new(method, cells, DIM),
            &options,
            &mut |_, _, _| {},
        )
        .map_err(|e| text(&e))?;
        return Ok(clock.stop(format!("{name} forward"), stats.accepted as f64, some(&y, STATES)));
    }
    let scale = T::c(2.0 / (TIMES.len() * cells * DIM) as f64);
    let bar = |i: usize, at: usize, y: &[T], y_bar: &mut [T]| {
        for ((y_bar, &y), &t) in y_bar.iter_mut().zip(y).zip(&targets[i][at..]) {
            *y_bar = scale * (y - t);
        }
    };
    let (mut y_bar, mut p_bar) = (vec![T::ZERO; cells * DIM], vec![T::ZERO; p.len()]);
    let steps = if what == "gradient-kept" {
        // The loss is a sum over the cells, which go in tiles, there and back.
        let loss = |i: usize, first: usize, y: &[T], y_bar: &mut [T]| {
            bar(i, first * DIM, y, y_bar);
            y_bar.iter().map(|b| b.f64().powi(2)).sum::<f64>() / (2.0 * scale.f64())
        };
        let mut batch = BatchAdjoint::new(method, f, KEPT);
        let run = batch.gradient(&p, &mut y, (0.0, 1.0), &options, &loss, &mut y_bar, &mut p_bar);
        run.map_err(|e| text(&e))?.steps as f64 / cells.div_ceil(TILE) as f64
    } else {
        let checkpoints = match what {
            "gradient" => Checkpoints::All,
            "gradient-2-checkpoints" => Checkpoints::States(2),
            _ => return Err(format!("no solver {what}")),
        };
        let mut adjoint =
            OdeAdjoint::with_checkpoints(method, cells, DIM, checkpoints).map_err(|e| text(&e))?;
        let mut bars: Vec<Vec<T>> = Vec::new();
        let mut save = |i: usize, _t: f64, y: &[T]| {
            let mut y_bar = vec![T::ZERO; y.len()];
            bar(i, 0, y, &mut y_bar);
            bars.push(y_bar);
        };
        let stats =
            adjoint.forward(&mut f, &p, &mut y, (0.0, 1.0), &options, &mut save).map_err(|e| text(&e))?;
        let bars: Vec<&[T]> = bars.iter().map(Vec::as_slice).collect();
        adjoint.backward(&mut f, &p, &bars, &mut y_bar, &mut p_bar).map_err(|e| text(&e))?;
        stats.accepted as f64
    };
    let mut told = some(&p_bar, PARAMETERS);
    told.extend(some(&y_bar, STATES));
    Ok(clock.stop(format!("{name} {}", what.replace('-', " ")), steps, told))
}
