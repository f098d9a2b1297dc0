//! `ode_solvers`: explicit methods on vectors of fixed size.

use ode_solvers::{Dop853, Dopri5, SVector, System, dop_shared::OutputType};

use super::MAX_STEPS;
use super::sized::with_dim;
use crate::problem::{Kind, Problem};
use crate::solvers::{Solution, Solver};

struct Rhs(Problem);

impl<const N: usize> System<f64, SVector<f64, N>> for Rhs {
    fn system(&self, t: f64, y: &SVector<f64, N>, dy: &mut SVector<f64, N>) {
        self.0.rhs(t, y.as_slice(), dy.as_mut_slice());
    }
}

/// With the method's own default parameters of step size control.
macro_rules! run {
    ($name:ident, $method:ident, $beta:expr, $least:expr, $most:expr) => {
        fn $name<const N: usize>(problem: &Problem, rtol: f64, atol: f64) -> Result<Solution, String> {
            let (t0, t1) = problem.data().span;
            let y = SVector::<f64, N>::from_column_slice(&problem.data().y0);
            let most_steps = MAX_STEPS as u32;
            let mut method = $method::from_param(
                Rhs(problem.clone()),
                t0,
                t1,
                0.0,
                y,
                rtol,
                atol,
                0.9,
                $beta,
                $least,
                $most,
                t1 - t0,
                0.0,
                most_steps,
                most_steps,
                OutputType::Sparse,
            );
            let stats = method.integrate().map_err(|e| e.to_string())?;
            let y = method.y_out().last().ok_or("no state")?.as_slice().to_vec();
            Ok(Solution { y, steps: u64::from(stats.accepted_steps + stats.rejected_steps) })
        }
    };
}

run!(dopri5, Dopri5, 0.04, 0.2, 10.0);
run!(dop853, Dop853, 0.0, 0.333, 6.0);

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    match problem.data().kind {
        Kind::NonStiff => vec![
            Solver::peer("ode_solvers dopri5", |p, rtol, atol| with_dim!(dopri5, p, rtol, atol)),
            Solver::peer("ode_solvers dop853", |p, rtol, atol| with_dim!(dop853, p, rtol, atol)),
        ],
        Kind::Stiff | Kind::Sparse => Vec::new(),
    }
}
