//! diffsol: it assembles Jacobians from products, by columns, or by colours where they are sparse.

use diffsol::{
    FaerLU, FaerMat, FaerSparseLU, FaerSparseMat, NalgebraLU, NalgebraMat, OdeBuilder, OdeSolverMethod,
    OdeSolverStopReason, Vector,
};

use crate::problem::{Kind, Problem};
use crate::solvers::{Solution, Solver};

type Nalgebra = NalgebraMat<f64>;
type NalgebraSolver = NalgebraLU<f64>;
type Faer = FaerMat<f64>;
type FaerSolver = FaerLU<f64>;
type Sparse = FaerSparseMat<f64>;
type SparseSolver = FaerSparseLU<f64>;

/// With more it runs out of any usual memory while it looks for the Jacobian's pattern, which ends the process.
const MOST_COORDINATES: usize = 20_000;

/// Steps a solver to the end of the time span.
macro_rules! to_the_end {
    ($solver:expr, $problem:expr) => {{
        let mut solver = $solver.map_err(|e| e.to_string())?;
        solver.set_stop_time($problem.data().span.1).map_err(|e| e.to_string())?;
        while !matches!(solver.step().map_err(|e| e.to_string())?, OdeSolverStopReason::TstopReached) {}
        let y = solver.state().y.clone_as_vec();
        Ok(Solution { y, steps: solver.get_statistics().number_of_steps as u64 })
    }};
}

macro_rules! implicit {
    ($name:literal, $matrix:ty, $($method:tt)*) => {
        Solver::peer($name, |problem, rtol, atol| {
            let d = problem.dim();
            if d > MOST_COORDINATES {
                return Err(format!("not tried: it finds the pattern with several arrays of {d} x {d} numbers"));
            }
            let (rhs, product, start) = (problem.clone(), problem.clone(), problem.clone());
            let built = OdeBuilder::<$matrix>::new()
                .t0(problem.data().span.0)
                .rtol(rtol)
                .atol([atol])
                .use_coloring(problem.data().kind == Kind::Sparse)
                .rhs_implicit(
                    move |y: &[f64], _p: &[f64], t: f64, dy: &mut [f64]| rhs.rhs(t, y, dy),
                    move |y: &[f64], _p: &[f64], t: f64, v: &[f64], out: &mut [f64]| {
                        product.product(t, y, v, out);
                    },
                )
                .init(
                    move |_p: &[f64], _t: f64, y: &mut [f64]| y.copy_from_slice(&start.data().y0),
                    problem.dim(),
                )
                .build()
                .map_err(|e| e.to_string())?;
            to_the_end!(built.$($method)*(), problem)
        })
    };
}

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    match problem.data().kind {
        Kind::NonStiff => vec![Solver::peer("diffsol tsit45", explicit)],
        Kind::Stiff => vec![
            implicit!("diffsol bdf", Nalgebra, bdf::<NalgebraSolver>),
            implicit!("diffsol bdf faer", Faer, bdf::<FaerSolver>),
            implicit!("diffsol tr_bdf2", Nalgebra, tr_bdf2::<NalgebraSolver>),
            implicit!("diffsol esdirk34", Nalgebra, esdirk34::<NalgebraSolver>),
        ],
        Kind::Sparse => vec![
            implicit!("diffsol bdf", Sparse, bdf::<SparseSolver>),
            implicit!("diffsol tr_bdf2", Sparse, tr_bdf2::<SparseSolver>),
            implicit!("diffsol esdirk34", Sparse, esdirk34::<SparseSolver>),
        ],
    }
}

fn explicit(problem: &Problem, rtol: f64, atol: f64) -> Result<Solution, String> {
    let (rhs, start) = (problem.clone(), problem.clone());
    let built = OdeBuilder::<Nalgebra>::new()
        .t0(problem.data().span.0)
        .rtol(rtol)
        .atol([atol])
        .rhs(move |y: &[f64], _p: &[f64], t: f64, dy: &mut [f64]| rhs.rhs(t, y, dy))
        .init(move |_p: &[f64], _t: f64, y: &mut [f64]| y.copy_from_slice(&start.data().y0), problem.dim())
        .build()
        .map_err(|e| e.to_string())?;
    to_the_end!(built.tsit45(), problem)
}
