//! Relative and absolute tolerances of an adaptive solver.

/// Tolerances: a step is accepted when its error in every coordinate, in the root mean square over the
/// coordinates of the worst trajectory, is below `atol + rtol * |y|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance, in units of the state.
    pub atol: f64,
}

impl Default for Tolerance {
    /// `rtol = 1e-6`, `atol = 1e-9`.
    fn default() -> Self {
        Self { rtol: 1e-6, atol: 1e-9 }
    }
}
