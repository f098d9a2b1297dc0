//! A solver as the measurement sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::problem::{Problem, TooLong};

/// What a run gives.
pub struct Solution {
    /// State at the end.
    pub y: Vec<f64>,
    /// Steps tried, or what comes closest in the solver's own statistics.
    pub steps: u64,
}

/// One run: problem, `rtol`, `atol`.
type Run = Box<dyn Fn(&Problem, f64, f64) -> Result<Solution, String>>;

/// A solver with a name.
pub struct Solver {
    /// Project and method.
    pub name: &'static str,
    /// Whether it is chreode's.
    pub ours: bool,
    run: Run,
}

/// How a run ended.
pub enum Outcome {
    /// At the end of the time span.
    Solved(Solution),
    /// With an error of the solver.
    Failed(String),
    /// It took longer than it may.
    TooLong,
}

impl Solver {
    /// One of chreode's.
    pub fn ours(
        name: &'static str,
        run: impl Fn(&Problem, f64, f64) -> Result<Solution, String> + 'static,
    ) -> Self {
        Self { name, ours: true, run: Box::new(run) }
    }

    /// Somebody else's.
    pub fn peer(
        name: &'static str,
        run: impl Fn(&Problem, f64, f64) -> Result<Solution, String> + 'static,
    ) -> Self {
        Self { name, ours: false, run: Box::new(run) }
    }

    /// Solves the problem.
    pub fn run(&self, problem: &Problem, rtol: f64, atol: f64) -> Outcome {
        let run = || (self.run)(problem, rtol, atol);
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(solution)) => Outcome::Solved(solution),
            Ok(Err(e)) if e.contains("too long") => Outcome::TooLong,
            Ok(Err(e)) => Outcome::Failed(e),
            Err(panic) if panic.is::<TooLong>() => Outcome::TooLong,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied());
                Outcome::Failed(format!("panic: {}", text.unwrap_or("without a message")))
            }
        }
    }
}
