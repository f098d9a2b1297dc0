//! Errors of a vector field, of two kinds: a solver may retry the first with a smaller step.

/// Why a vector field gave no derivative.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The state lies outside the field's domain; a smaller step may stay inside.
    #[error("vector field undefined at t = {t}: {what}")]
    Recoverable {
        /// Time of the evaluation.
        t: f64,
        /// What was wrong with the state.
        what: &'static str,
    },
    /// No step size helps: stop.
    #[error("vector field failed at t = {t}: {what}")]
    Fatal {
        /// Time of the evaluation.
        t: f64,
        /// What went wrong.
        what: &'static str,
    },
}
