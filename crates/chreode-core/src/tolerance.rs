//! Relative and absolute tolerances of an adaptive solver.

/// One value for all coordinates, or one for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound<'a> {
    /// The same for every coordinate.
    Same(f64),
    /// One a coordinate, `[d]`; the same for every trajectory.
    Each(&'a [f64]),
}

impl Bound<'_> {
    /// The value of coordinate `j`.
    ///
    /// # Panics
    /// If there are values for each coordinate and fewer than `j + 1`.
    #[inline(always)]
    pub fn of(&self, j: usize) -> f64 {
        match self {
            Self::Same(x) => *x,
            Self::Each(x) => x[j],
        }
    }
}

impl From<f64> for Bound<'_> {
    fn from(x: f64) -> Self {
        Self::Same(x)
    }
}

impl<'a> From<&'a [f64]> for Bound<'a> {
    fn from(x: &'a [f64]) -> Self {
        Self::Each(x)
    }
}

impl<'a, const N: usize> From<&'a [f64; N]> for Bound<'a> {
    fn from(x: &'a [f64; N]) -> Self {
        Self::Each(x)
    }
}

/// Tolerances: a step is accepted when its error in every coordinate, in the root mean square over the
/// coordinates of the worst trajectory, is below `atol + rtol * |y|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance<'a> {
    /// Relative tolerance.
    pub rtol: Bound<'a>,
    /// Absolute tolerance, in units of the state.
    pub atol: Bound<'a>,
}

impl<'a> Tolerance<'a> {
    /// Tolerances, each a number or a slice `[d]`.
    pub fn new(rtol: impl Into<Bound<'a>>, atol: impl Into<Bound<'a>>) -> Self {
        Self { rtol: rtol.into(), atol: atol.into() }
    }
}

impl Default for Tolerance<'_> {
    /// `rtol = 1e-6`, `atol = 1e-9`.
    fn default() -> Self {
        Self::new(1e-6, 1e-9)
    }
}
