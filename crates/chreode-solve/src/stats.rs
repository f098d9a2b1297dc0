//! What a run cost, and why it stopped.

use crate::{SdeMethod, SolveError};

/// What a method has done, in its own units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Evaluations of the field, each for all trajectories; those for Jacobians and products by differences included.
    pub evals: u64,
    /// Jacobians computed, each for all trajectories; without matrices: preconditioners set up anew.
    pub jacobians: u64,
    /// Matrices factored, real and complex ones, each for all trajectories; without matrices: preconditioners set up.
    pub factorisations: u64,
    /// Newton iterations.
    pub newton_iterations: u64,
    /// Newton iterations that were given up; their step was tried again smaller, or with a new Jacobian.
    pub newton_failures: u64,
    /// Products with the Jacobian that GMRES took.
    pub linear_iterations: u64,
    /// Changes of method, by [`AutoSwitch`](crate::AutoSwitch).
    pub switches: u64,
}

impl Work {
    /// What was done since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            evals: self.evals - before.evals,
            jacobians: self.jacobians - before.jacobians,
            factorisations: self.factorisations - before.factorisations,
            newton_iterations: self.newton_iterations - before.newton_iterations,
            newton_failures: self.newton_failures - before.newton_failures,
            linear_iterations: self.linear_iterations - before.linear_iterations,
            switches: self.switches - before.switches,
        }
    }

    /// What both did.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            evals: self.evals + other.evals,
            jacobians: self.jacobians + other.jacobians,
            factorisations: self.factorisations + other.factorisations,
            newton_iterations: self.newton_iterations + other.newton_iterations,
            newton_failures: self.newton_failures + other.newton_failures,
            linear_iterations: self.linear_iterations + other.linear_iterations,
            switches: self.switches + other.switches,
        }
    }
}

/// Why a run stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Stopped {
    /// It reached its end.
    #[default]
    End,
    /// A terminal event occurred.
    Event {
        /// Position of the event.
        index: usize,
        /// Its time.
        t: f64,
    },
}

/// Statistics of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// What the method did.
    pub work: Work,
    /// Accepted steps.
    pub accepted: u64,
    /// Steps rejected for their error, because something was not finite, or because an implicit method found no solution.
    pub rejected: u64,
    /// Steps tried again because the field was undefined.
    pub field_failures: u64,
    /// Events that occurred.
    pub events: u64,
    /// Why the run stopped.
    pub stopped: Stopped,
    /// Length that the controller would try next; negative when time ran backward. The start for a run that
    /// goes on from here.
    pub h_next: f64,
}

impl Stats {
    /// One `tracing` event at the end of a run.
    pub(crate) fn log(&self, span: (f64, f64), error: Option<&SolveError>) {
        let Work {
            evals,
            jacobians,
            factorisations,
            newton_iterations,
            newton_failures,
            linear_iterations,
            switches,
        } = self.work;
        let Self { accepted, rejected, field_failures, events, h_next, .. } = *self;
        let (start, end) = span;
        match error {
            None => tracing::debug!(
                start, end, stopped = ?self.stopped, accepted, rejected, field_failures, events, evals, jacobians,
                factorisations, newton_iterations, newton_failures, linear_iterations, switches, h_next, "a run ended"
            ),
            Some(error) => tracing::debug!(
                start, end, %error, accepted, rejected, field_failures, events, evals, jacobians, factorisations,
                newton_iterations, newton_failures, linear_iterations, switches, "a run failed"
            ),
        }
    }
}

/// One `tracing` event at the end of an ensemble in lanes.
pub(crate) fn log_lanes(outcomes: &[Result<Stats, SolveError>]) {
    let sum = |part: fn(&Stats) -> u64| outcomes.iter().flatten().map(part).sum::<u64>();
    tracing::debug!(
        trajectories = outcomes.len(),
        failed = outcomes.iter().filter(|outcome| outcome.is_err()).count(),
        accepted = sum(|stats| stats.accepted),
        rejected = sum(|stats| stats.rejected),
        evals = sum(|stats| stats.work.evals),
        "an ensemble ended"
    );
}

/// One `tracing` event at the end of stochastic runs: the accepted and rejected steps of all trajectories, or the error.
pub(crate) fn log_stochastic(method: SdeMethod, trajectories: usize, steps: Result<(u64, u64), &SolveError>) {
    let method = method.name();
    match steps {
        Ok((accepted, rejected)) => {
            tracing::debug!(method, trajectories, accepted, rejected, "a stochastic ensemble ended");
        }
        Err(error) => tracing::debug!(method, trajectories, %error, "a stochastic ensemble failed"),
    }
}
