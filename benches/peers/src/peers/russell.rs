//! russell_ode: Jacobians as triplets for UMFPACK. On one thread, as everybody here.

use russell_lab::Vector;
use russell_ode::prelude::{Method, NoArgs, OdeSolver, Params, System};
use russell_sparse::Sym;

use super::MAX_STEPS;
use crate::problem::{Kind, Problem};
use crate::solvers::{Solution, Solver};

fn run(method: Method, problem: &Problem, rtol: f64, atol: f64) -> Result<Solution, String> {
    let (t0, t1) = problem.data().span;
    let (rhs, matrix) = (problem.clone(), problem.clone());
    let mut system = System::new(problem.dim(), move |dy: &mut Vector, t, y: &Vector, _: &mut NoArgs| {
        rhs.rhs(t, y.as_data(), dy.as_mut_data());
        Ok(())
    });
    if problem.data().kind != Kind::NonStiff {
        let entries = problem.data().pattern.len();
        let jacobian =
            move |triplets: &mut russell_sparse::CooMatrix, alpha, t, y: &Vector, _: &mut NoArgs| {
                triplets.reset();
                let mut put = Ok(());
                matrix.jacobian(t, y.as_data(), |i, j, v| {
                    if put.is_ok() {
                        put = triplets.put(i, j, alpha * v);
                    }
                });
                put
            };
        system.set_jacobian(Some(entries), Sym::No, jacobian)?;
    }
    let mut params = Params::new(method);
    params.step.n_step_max = MAX_STEPS;
    params.radau5.concurrent = false;
    // It refuses less than ten times the rounding unit.
    params.set_tolerances(atol.max(2.3e-15), rtol, None)?;
    let mut y = Vector::from(&problem.data().y0);
    let mut solver = OdeSolver::new(params, system)?;
    solver.solve(&mut y, t0, t1, None, &mut 0, None)?;
    Ok(Solution { y: y.as_data().clone(), steps: solver.stats().n_steps as u64 })
}

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    match problem.data().kind {
        Kind::NonStiff => vec![
            Solver::peer("russell dopri5", |p, rtol, atol| run(Method::DoPri5, p, rtol, atol)),
            Solver::peer("russell dopri8", |p, rtol, atol| run(Method::DoPri8, p, rtol, atol)),
        ],
        Kind::Stiff | Kind::Sparse => {
            vec![Solver::peer("russell radau5", |p, rtol, atol| run(Method::Radau5, p, rtol, atol))]
        }
    }
}
