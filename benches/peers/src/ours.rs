//! chreode's side: the one place that calls it.

use chreode_core::{FieldError, Jacobian, Sparsity, VectorField};
use chreode_solve::{
    AutoSwitch, Bdf, DOP853, DOPRI5, Erk, ErkTableau, Esdirk, KENCARP4, RODAS5P, Radau, Radau5, Rosenbrock,
    SolveOptions, Stepper, TSIT5, VERN7, VERN8, VERN9, solve, solve_with_jacobian,
};

use crate::problem::{Kind, Problem, TooLong};
use crate::solvers::{Solution, Solver};

/// Our solvers for a problem.
pub fn solvers(problem: &Problem) -> Vec<Solver> {
    match problem.data().kind {
        Kind::NonStiff => vec![
            Solver::ours("chreode Tsit5", |p, rtol, atol| explicit(&TSIT5, p, rtol, atol)),
            Solver::ours("chreode Dopri5", |p, rtol, atol| explicit(&DOPRI5, p, rtol, atol)),
            Solver::ours("chreode Dop853", |p, rtol, atol| explicit(&DOP853, p, rtol, atol)),
            Solver::ours("chreode Vern7", |p, rtol, atol| explicit(&VERN7, p, rtol, atol)),
            Solver::ours("chreode Vern8", |p, rtol, atol| explicit(&VERN8, p, rtol, atol)),
            Solver::ours("chreode Vern9", |p, rtol, atol| explicit(&VERN9, p, rtol, atol)),
        ],
        Kind::Stiff => {
            let mut all = stiff();
            // Explicit where the solution moves by itself; a line or a square of cells is stiff from its first step on.
            all.push(Solver::ours("chreode AutoSwitch", |p, rtol, atol| {
                let (explicit, radau) = (Erk::new(&TSIT5, 1, p.dim()), Radau::new(1, p.dim()));
                implicit(&mut AutoSwitch::new(explicit, radau), p, rtol, atol)
            }));
            all
        }
        Kind::Sparse => stiff(),
    }
}

/// Implicit methods: Radau of fixed order 5 and of changing order (5, 9, 13), and one of each other family.
fn stiff() -> Vec<Solver> {
    vec![
        Solver::ours("chreode Radau5", |p, rtol, atol| implicit(&mut Radau5::new(1, p.dim()), p, rtol, atol)),
        Solver::ours("chreode Radau", |p, rtol, atol| implicit(&mut Radau::new(1, p.dim()), p, rtol, atol)),
        Solver::ours("chreode Bdf", |p, rtol, atol| implicit(&mut Bdf::new(1, p.dim()), p, rtol, atol)),
        Solver::ours("chreode Rodas5P", |p, rtol, atol| {
            implicit(&mut Rosenbrock::new(&RODAS5P, 1, p.dim()), p, rtol, atol)
        }),
        Solver::ours("chreode KenCarp4", |p, rtol, atol| {
            implicit(&mut Esdirk::new(&KENCARP4, 1, p.dim()), p, rtol, atol)
        }),
    ]
}

fn options(rtol: f64, atol: f64) -> SolveOptions<'static> {
    SolveOptions { max_steps: 100_000_000, ..SolveOptions::tolerance(rtol, atol) }
}

fn explicit(
    method: &'static ErkTableau,
    problem: &Problem,
    rtol: f64,
    atol: f64,
) -> Result<Solution, String> {
    let (mut y, span) = (problem.data().y0.clone(), problem.data().span);
    let mut stepper = Erk::new(method, 1, y.len());
    let options = options(rtol, atol);
    let mut field = Field(problem);
    let stats = solve(&mut field, &[], &mut y, span, &mut stepper, &options, &mut |_, _, _| {})
        .map_err(|e| e.to_string())?;
    Ok(Solution { y, steps: stats.accepted + stats.rejected })
}

fn implicit(
    stepper: &mut dyn Stepper<f64>,
    problem: &Problem,
    rtol: f64,
    atol: f64,
) -> Result<Solution, String> {
    let (mut y, span) = (problem.data().y0.clone(), problem.data().span);
    let options = options(rtol, atol);
    let mut field = Field(problem);
    let stats = solve_with_jacobian(&mut field, &[], &mut y, span, stepper, &options, &mut |_, _, _| {})
        .map_err(|e| e.to_string())?;
    Ok(Solution { y, steps: stats.accepted + stats.rejected })
}

/// The problem as our solvers see it.
struct Field<'a>(&'a Problem);

fn stop(t: f64) -> impl FnOnce(TooLong) -> FieldError {
    move |_| FieldError::Fatal { t, what: "stopped: too long" }
}

impl VectorField<f64> for Field<'_> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn eval(&mut self, t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.0.try_rhs(t, y, dy).map_err(stop(t))
    }
}

impl Jacobian<f64> for Field<'_> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.0.data().told.as_ref()
    }
    fn jacobian(&mut self, t: f64, y: &[f64], _p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        self.0.try_raw_jacobian(t, y, values).map_err(stop(t))
    }
}
