//! numra: dense Jacobians.

use ::numra::ode::{Bdf, Esdirk54, OdeSystem, Radau5, Solver as _, SolverOptions, Tsit5, Vern8};

use crate::problem::{Kind, Problem};
use crate::solvers::{Solution, Solver};

struct Rhs(Problem);

impl OdeSystem<f64> for Rhs {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn rhs(&self, t: f64, y: &[f64], dy: &mut [f64]) {
        self.0.rhs(t, y, dy);
    }
    fn jacobian(&self, t: f64, y: &[f64], j: &mut [f64]) {
        let d = self.0.dim();
        j.fill(0.0);
        self.0.jacobian(t, y, |row, column, value| j[row * d + column] = value);
    }
}

macro_rules! run {
    ($name:literal, $method:ident) => {
        Solver::peer($name, |problem, rtol, atol| {
            let (t0, t1) = problem.data().span;
            let options = SolverOptions::default().rtol(rtol).atol(atol).max_steps(20_000_000);
            let run = $method::solve(&Rhs(problem.clone()), t0, t1, &problem.data().y0, &options)
                .map_err(|e| format!("{e:?}"))?;
            if !run.success {
                return Err(run.message);
            }
            let y = run.y_final().ok_or("no state")?;
            Ok(Solution { y, steps: (run.stats.n_accept + run.stats.n_reject) as u64 })
        })
    };
}

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    match problem.data().kind {
        Kind::NonStiff => vec![run!("numra tsit5", Tsit5), run!("numra vern8", Vern8)],
        Kind::Stiff => {
            vec![run!("numra radau5", Radau5), run!("numra bdf", Bdf), run!("numra esdirk54", Esdirk54)]
        }
        Kind::Sparse => Vec::new(),
    }
}
