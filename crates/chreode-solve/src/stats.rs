//! What a run cost.

/// Statistics of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Evaluations of the field, each for all trajectories.
    pub evals: u64,
    /// Accepted steps.
    pub accepted: u64,
    /// Steps rejected for their error, or because something was not finite.
    pub rejected: u64,
    /// Steps tried again because the field was undefined.
    pub field_failures: u64,
    /// Length that the controller would try next; negative when time ran backward. The start for a run that
    /// goes on from here.
    pub h_next: f64,
}
