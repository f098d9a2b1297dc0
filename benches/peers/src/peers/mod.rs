//! One file for each project. To add a solver: a name in its file's `solvers`, and how it runs.
//!
//! Times include making the problem and the solver, as for somebody who solves once. What a project cannot do (analytic or
//! sparse Jacobians) it is not asked to.

#[cfg(feature = "sundials")]
mod cvode;
#[cfg(feature = "differential-equations")]
mod differential;
#[cfg(feature = "diffsol")]
mod diffsol;
#[cfg(feature = "ivp")]
mod ivp;
#[cfg(feature = "numra")]
mod numra;
#[cfg(feature = "ode_solvers")]
mod ode_solvers;
#[cfg(feature = "russell")]
mod russell;

use crate::problem::Problem;
use crate::solvers::Solver;

/// Most steps of any run.
#[allow(dead_code, reason = "a build may have no peers")]
const MAX_STEPS: usize = 100_000_000;

/// Every solver of the projects that were built in that can solve the problem.
pub fn solvers(problem: &Problem) -> Vec<Solver> {
    let _ = problem;
    vec![
        #[cfg(feature = "diffsol")]
        diffsol::solvers(problem),
        #[cfg(feature = "ode_solvers")]
        ode_solvers::solvers(problem),
        #[cfg(feature = "differential-equations")]
        differential::solvers(problem),
        #[cfg(feature = "ivp")]
        ivp::solvers(problem),
        #[cfg(feature = "numra")]
        numra::solvers(problem),
        #[cfg(feature = "russell")]
        russell::solvers(problem),
        #[cfg(feature = "sundials")]
        cvode::solvers(problem),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Calls a function that is generic over the number of coordinates with the problem's, for projects that want it in a
/// type.
#[allow(unused_macros, unused_imports, reason = "a build may have no peers")]
mod sized {
    macro_rules! with_dim {
        ($run:ident, $problem:expr, $($rest:expr),*) => {
            match $problem.dim() {
                2 => $run::<2>($problem, $($rest),*),
                3 => $run::<3>($problem, $($rest),*),
                4 => $run::<4>($problem, $($rest),*),
                8 => $run::<8>($problem, $($rest),*),
                15 => $run::<15>($problem, $($rest),*),
                20 => $run::<20>($problem, $($rest),*),
                28 => $run::<28>($problem, $($rest),*),
                other => Err(format!("not built for {other} coordinates")),
            }
        };
    }
    pub(super) use with_dim;
}
