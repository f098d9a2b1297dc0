//! differential-equations: methods on arrays of fixed size, with dense Jacobians.

use differential_equations::linalg::Matrix;
use differential_equations::prelude::{
    BackwardDifferentiationFormula, DiagonallyImplicitRungeKutta, ExplicitRungeKutta, IVP,
    ImplicitRungeKutta, ODE,
};

use super::MAX_STEPS;
use super::sized::with_dim;
use crate::problem::{Kind, Problem};
use crate::solvers::{Solution, Solver};

struct Rhs(Problem);

impl<const N: usize> ODE<f64, [f64; N]> for Rhs {
    fn diff(&self, t: f64, y: &[f64; N], dy: &mut [f64; N]) {
        self.0.rhs(t, y, dy);
    }
    fn jacobian(&self, t: f64, y: &[f64; N], j: &mut Matrix<f64>) {
        for row in 0..N {
            for column in 0..N {
                j[(row, column)] = 0.0;
            }
        }
        self.0.jacobian(t, y, |row, column, value| j[(row, column)] = value);
    }
}

macro_rules! run {
    ($name:ident, $method:expr, $tolerance:expr) => {
        fn $name<const N: usize>(problem: &Problem, rtol: f64, atol: f64) -> Result<Solution, String> {
            let (t0, t1) = problem.data().span;
            let y: [f64; N] = problem.data().y0.clone().try_into().map_err(|_| "another size")?;
            let rhs = Rhs(problem.clone());
            let tolerance = $tolerance;
            let method = $method.rtol(tolerance(rtol)).atol(tolerance(atol)).max_steps(MAX_STEPS);
            let run = IVP::ode(&rhs, t0, t1, y).method(method).solve().map_err(|e| format!("{e:?}"))?;
            let y = run.y.last().ok_or("no state")?.to_vec();
            Ok(Solution { y, steps: run.steps.total() as u64 })
        }
    };
}

run!(dopri5, ExplicitRungeKutta::dopri5(), |x: f64| x);
run!(dop853, ExplicitRungeKutta::dop853(), |x: f64| x);
// It rescales a tolerance once for each coordinate: one number would be rescaled again and again.
run!(radau5, ImplicitRungeKutta::radau5(), |x: f64| vec![x; N]);
run!(bdf, BackwardDifferentiationFormula::adaptive(), |x: f64| x);
run!(kvaerno745, DiagonallyImplicitRungeKutta::kvaerno745(), |x: f64| x);

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    match problem.data().kind {
        Kind::NonStiff => vec![
            Solver::peer("differential-equations dopri5", |p, rtol, atol| with_dim!(dopri5, p, rtol, atol)),
            Solver::peer("differential-equations dop853", |p, rtol, atol| with_dim!(dop853, p, rtol, atol)),
        ],
        Kind::Stiff => vec![
            Solver::peer("differential-equations radau5", |p, rtol, atol| with_dim!(radau5, p, rtol, atol)),
            Solver::peer("differential-equations bdf", |p, rtol, atol| with_dim!(bdf, p, rtol, atol)),
            Solver::peer("differential-equations kvaerno745", |p, rtol, atol| {
                with_dim!(kvaerno745, p, rtol, atol)
            }),
        ],
        Kind::Sparse => Vec::new(),
    }
}
