//! The gradient through a neural differential equation, one line of input a run, so that a program beside this one can take turns
//! with it: 1,024 cells of 50 coordinates, a net with two hidden layers of 512, a squared error at four times.
//!
//! `CASE WHAT` is answered as [`crate::turns`] says; `gradient.py` has the same net, cells and observations. The numbers that are
//! told are some of the states at the end (`forward`) or of the gradient (`gradient`). `CASE! WHAT` gives those of a tight run in
//! double precision.

use chreode_adjoint::{Checkpoints, OdeAdjoint};
use chreode_core::{FieldError, Real, VectorField, Vjp};
use chreode_linalg::Activation;
use chreode_model::{Mlp, MlpShape};
use chreode_solve::{Erk, ErkTableau, RK4, SolveOptions, Stats, TSIT5, VERN9, solve};

use crate::turns::{Answer, Clock, serve_cases};

const CELLS: usize = 1024;
const DIM: usize = 50;
const WIDTH: usize = 512;
const TIMES: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// What is told: each so manieth state, and parameter.
const STATES: usize = 101;
const PARAMETERS: usize = 997;

/// Reads cases, solves and answers, until the input ends.
pub fn serve() -> Result<(), String> {
    serve_cases(&["forward", "gradient", "gradient-2-checkpoints"], |case, what, exact| {
        let (method, options) = match case {
            "rk4" => (&RK4, SolveOptions::fixed(0.05)),
            "tsit5" => (&TSIT5, SolveOptions::tolerance(1e-5, 1e-7)),
            _ => return Err(format!("no case {case}")),
        };
        match (exact, case) {
            (false, _) => run::<f32>(what, method, options, &format!("chreode {}", method.name)),
            (true, "rk4") => run::<f64>(what, method, options, "reference"),
            (true, _) => run::<f64>(what, &VERN9, SolveOptions::tolerance(1e-11, 1e-13), "reference"),
        }
    })
}

/// The net as a field.
struct Net<T: Real>(Mlp<T>);

impl<T: Real> VectorField<T> for Net<T> {
    fn dim(&self) -> usize {
        DIM
    }
    fn eval(&mut self, _t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.0.forward(y, p, dy);
        Ok(())
    }
}

impl<T: Real> Vjp<T> for Net<T> {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.0.vjp(y, p, lambda, y_bar, p_bar);
        Ok(())
    }
    fn eval_kept(&mut self, slot: usize, _t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.0.forward_kept(slot, y, p, dy);
        Ok(())
    }
    fn vjp_kept(
        &mut self,
        slot: usize,
        _t: f64,
        _y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.0.vjp_kept(slot, p, lambda, y_bar, p_bar);
        Ok(())
    }
}

/// Number `i` of stream `stream`, even in -1..1: the finaliser of SplitMix64.
pub(crate) fn noise(stream: u64, i: usize) -> f64 {
    let mut z = (stream << 32 | i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) as f64 / 2.0_f64.powi(63) - 1.0
}

fn problem() -> (MlpShape, Vec<f64>, Vec<f64>, Vec<Vec<f64>>) {
    let shape = MlpShape::new(DIM, &[WIDTH, WIDTH], DIM, Activation::Tanh);
    let mut p = Vec::new();
    for (l, (inp, out)) in [(DIM, WIDTH), (WIDTH, WIDTH), (WIDTH, DIM)].into_iter().enumerate() {
        let bound = 1.0 / (inp as f64).sqrt();
        p.extend((0..inp * out).map(|i| bound * noise(2 * l as u64, i)));
        p.extend((0..out).map(|i| bound * noise(2 * l as u64 + 1, i)));
    }
    let y0: Vec<f64> = (0..CELLS * DIM).map(|i| 1.7 * noise(10, i)).collect();
    let target = |k: usize| {
        let of = |(i, y): (usize, &f64)| (0.9 - 0.1 * k as f64) * y + 0.17 * noise(11 + k as u64, i);
        y0.iter().enumerate().map(of).collect()
    };
    let targets = (0..TIMES.len()).map(target).collect();
    (shape, p, y0, targets)
}

fn run<T: Real>(
    what: &str,
    method: &'static ErkTableau,
    options: SolveOptions<'_>,
    name: &str,
) -> Result<Answer, String> {
    let (shape, p, y0, targets) = problem();
    let of = |x: &[f64]| x.iter().map(|&x| T::c(x)).collect::<Vec<T>>();
    let (p, y0) = (of(&p), of(&y0));
    let targets: Vec<Vec<T>> = targets.iter().map(|t| of(t)).collect();
    let mut f = Net(Mlp::<T>::new(shape));
    let options = SolveOptions { save_at: &TIMES, land_on_saves: true, ..options };
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
            &mut Erk::new(method, CELLS, DIM),
            &options,
            &mut |_, _, _| {},
        )
        .map_err(|e| text(&e))?;
        return Ok(clock.stop(format!("{name} forward"), stats.accepted as f64, some(&y, STATES)));
    }
    let checkpoints = match what {
        "gradient" => Checkpoints::All,
        "gradient-2-checkpoints" => Checkpoints::States(2),
        _ => return Err(format!("no solver {what}")),
    };
    let mut adjoint = OdeAdjoint::with_checkpoints(method, CELLS, DIM, checkpoints).map_err(|e| text(&e))?;
    let mut bars: Vec<Vec<T>> = Vec::new();
    let scale = T::c(2.0 / (TIMES.len() * CELLS * DIM) as f64);
    let mut save = |i: usize, _t: f64, y: &[T]| {
        bars.push(y.iter().zip(&targets[i]).map(|(&y, &t)| scale * (y - t)).collect())
    };
    let stats = adjoint.forward(&mut f, &p, &mut y, (0.0, 1.0), &options, &mut save).map_err(|e| text(&e))?;
    let bars: Vec<&[T]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y_bar, mut p_bar) = (vec![T::ZERO; CELLS * DIM], vec![T::ZERO; p.len()]);
    adjoint.backward(&mut f, &p, &bars, &mut y_bar, &mut p_bar).map_err(|e| text(&e))?;
    let mut told = some(&p_bar, PARAMETERS);
    told.extend(some(&y_bar, STATES));
    let name = format!("{name} {}", what.replace('-', " "));
    Ok(clock.stop(name, stats.accepted as f64, told))
}
