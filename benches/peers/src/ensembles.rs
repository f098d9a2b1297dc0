//! Ensembles in lanes, one line of input a run, so that a program beside this one can take turns with it.
//!
//! `CASE SOLVER` is answered as [`crate::turns`] says; the numbers that are told are the end states of every hundredth trajectory, the
//! steps their mean. `CASE!` solves those alone.

use chreode_core::{Dynamics, field};
use chreode_solve::{Erk, PerTrajectory, SolveOptions, VERN9, solve, solve_lanes};
use chreode_testkit::{Lorenz, LotkaVolterra};

use crate::turns::{Answer, Clock, serve_cases};

/// Trajectories.
const N: usize = 10_000;
/// Distance of the trajectories whose ends are told.
const EVERY: usize = 100;

/// An ensemble; `ensembles.py` has the same.
struct Case {
    p: Vec<f64>,
    y0: Vec<f64>,
    t1: f64,
}

/// Points that fill the unit cube evenly: multiples of irrational numbers.
fn spread(i: usize, k: usize) -> f64 {
    let step = [0.8566748838545029, 0.733891856627126, 0.6287067210378087, 0.5385972572236101][k];
    (i as f64 * step).fract()
}

fn lorenz(t1: f64) -> Case {
    let p = (0..N).flat_map(|i| [10.0, 21.0 * i as f64 / N as f64, 8.0 / 3.0]).collect();
    Case { p, y0: vec![1.0, 0.0, 0.0], t1 }
}

fn lotka_volterra() -> Case {
    let ranges = [(0.8, 2.0), (0.5, 1.5), (0.5, 1.5), (0.8, 3.0)];
    let at = |i: usize| {
        let each = move |(k, (low, high)): (usize, (f64, f64))| low + (high - low) * spread(i, k);
        ranges.into_iter().enumerate().map(each)
    };
    Case { p: (0..N).flat_map(at).collect(), y0: vec![1.0, 1.0], t1: 20.0 }
}

/// Reads cases, solves and answers, until the input ends.
pub fn serve() -> Result<(), String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string())?;
    serve_cases(&["tsit5"], |case, _, exact| match case {
        "lorenz" => one(&Lorenz, &lorenz(1.0), exact, &pool),
        "lotka-volterra" => one(&LotkaVolterra, &lotka_volterra(), exact, &pool),
        _ => Err(format!("no ensemble {case}")),
    })
}

fn one<D: Dynamics + Sync>(
    model: &D,
    case: &Case,
    exact: bool,
    pool: &rayon::ThreadPool,
) -> Result<Answer, String> {
    let d = model.dim();
    let mut y = case.y0.repeat(N);
    let clock = Clock::start();
    let steps = if exact {
        let mut f = field(d, |t, y: &[f64], p: &[f64], dy: &mut [f64]| model.eval(t, y, p, dy));
        let np = model.n_params();
        let mut erk = Erk::new(&VERN9, 1, d);
        let options = SolveOptions::tolerance(1e-13, 1e-13);
        for (y, p) in y.chunks_exact_mut(d).zip(case.p.chunks_exact(np)).step_by(EVERY) {
            solve(&mut f, p, y, (0.0, case.t1), &mut erk, &options, &mut |_, _, _| {})
                .map_err(|e| e.to_string())?;
        }
        0.0
    } else {
        let options = PerTrajectory::Same(SolveOptions::tolerance(1e-6, 1e-8));
        let span = PerTrajectory::Same((0.0, case.t1));
        let runs =
            pool.install(|| solve_lanes(model, &case.p, &mut y, span, options)).map_err(|e| e.to_string())?;
        let stats = runs.total().map_err(|e| e.to_string())?;
        (stats.accepted + stats.rejected) as f64 / N as f64
    };
    let ends = y.chunks_exact(d).step_by(EVERY).flatten().copied().collect();
    Ok(clock.stop("chreode lanes Tsit5".into(), steps, ends))
}
