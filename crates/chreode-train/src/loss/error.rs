//! What a loss refuses.

/// Why a loss has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// A slice does not hold what its partner says.
    #[error("{what} has length {got}, expected {expected}")]
    Length {
        /// The slice.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that was expected.
        expected: usize,
    },
    /// A cloud has no points.
    #[error("the {what} cloud has no points")]
    Empty {
        /// The cloud.
        what: &'static str,
    },
    /// The unbiased statistic needs points of two cells with weight, and nothing else is left than one cell's.
    #[error(
        "cloud of {n} points has an effective size of {effective:.3}; the unbiased statistic needs more than one cell"
    )]
    TooFewPoints {
        /// Number of points.
        n: usize,
        /// `1 / Σ a²` over its cells.
        effective: f64,
    },
    /// A coordinate or log-weight is infinite or NaN.
    #[error("{what}: row {row} is not finite")]
    NonFinite {
        /// The slice.
        what: &'static str,
        /// The first bad row.
        row: usize,
    },
    /// All coordinates were finite, the loss is not: they are too large for the number type.
    #[error("the loss is {value}: distances overflow the number type; scale the coordinates")]
    Overflow {
        /// What came out.
        value: f64,
    },
    /// A setting out of its range.
    #[error("{name} = {value}: {rule}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        rule: &'static str,
    },
}

pub(crate) fn check_len(what: &'static str, got: usize, expected: usize) -> Result<(), LossError> {
    if got == expected { Ok(()) } else { Err(LossError::Length { what, got, expected }) }
}
