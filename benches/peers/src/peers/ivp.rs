//! ivp: dense and banded Jacobians.

use ::ivp::matrix::{Matrix, MatrixStorage};
use ::ivp::prelude::{FirstOrderSystem, Ivp, JacobianSource, Method};

use super::MAX_STEPS;
use crate::problem::{Kind, Problem};
use crate::solvers::{Solution, Solver};

struct Rhs(Problem);

impl FirstOrderSystem for Rhs {
    fn derivative(&self, t: f64, y: &[f64], dy: &mut [f64]) {
        self.0.rhs(t, y, dy);
    }
    fn jac(&self, t: f64, y: &[f64], j: &mut Matrix) {
        self.0.jacobian(t, y, |row, column, value| j[(row, column)] = value);
    }
}

fn run(method: Method, problem: &Problem, rtol: f64, atol: f64) -> Result<Solution, String> {
    let (t0, t1) = problem.data().span;
    let rhs = Rhs(problem.clone());
    let y0 = problem.data().y0.clone();
    // Its Radau rescales a tolerance once for each coordinate: one number would be rescaled again and again.
    let each = matches!(method, Method::RADAU);
    let mut run = Ivp::first_order(&rhs, t0, t1, &y0).method(method).max_steps(MAX_STEPS);
    run = if each {
        run.rtol(vec![rtol; y0.len()]).atol(vec![atol; y0.len()])
    } else {
        run.rtol(rtol).atol(atol)
    };
    if problem.data().kind != Kind::NonStiff {
        run = run.jacobian_source(JacobianSource::UserProvided);
    }
    if let Some((ml, mu)) = problem.data().band {
        run = run.jac_storage(MatrixStorage::Banded { ml, mu });
    }
    let run = run.solve().map_err(|e| format!("{e:?}"))?;
    let t = run.t.last().ok_or("no state")?;
    if (t - t1).abs() > 1e-9 * t1 {
        return Err(format!("stopped at {t:e}: {:?}", run.status));
    }
    let y = run.y.last().ok_or("no state")?.clone();
    Ok(Solution { y, steps: run.nstep as u64 })
}

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    let lsoda = Solver::peer("ivp lsoda", |p, rtol, atol| run(Method::LSODA, p, rtol, atol));
    match problem.data().kind {
        Kind::NonStiff => vec![
            Solver::peer("ivp dopri5", |p, rtol, atol| run(Method::DOPRI5, p, rtol, atol)),
            Solver::peer("ivp dop853", |p, rtol, atol| run(Method::DOP853, p, rtol, atol)),
            lsoda,
        ],
        Kind::Sparse if problem.data().band.is_none() => Vec::new(),
        Kind::Stiff | Kind::Sparse => vec![
            Solver::peer("ivp radau", |p, rtol, atol| run(Method::RADAU, p, rtol, atol)),
            Solver::peer("ivp bdf", |p, rtol, atol| run(Method::BDF, p, rtol, atol)),
            lsoda,
        ],
    }
}
