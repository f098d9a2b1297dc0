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

/// Of which coordinates the errors of a step, each relative to its tolerance, are taken together in a root mean square. Runs that give
/// each trajectory steps of its own know no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorNorm {
    /// Of those of one trajectory; the worst trajectory counts. No trajectory is less exact than if it ran alone.
    #[default]
    Worst,
    /// Of all coordinates of all trajectories, as in programs that take a batch for one system. Steps are longer, since a few
    /// trajectories may miss the tolerance, by up to the root of their number, where the others are below it.
    Together,
}

/// Tolerances: a step is accepted when its error, relative to `atol + rtol * |y|` in each coordinate, is below one in the
/// root mean square that `norm` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance<'a> {
    /// Relative tolerance.
    pub rtol: Bound<'a>,
    /// Absolute tolerance, in units of the state.
    pub atol: Bound<'a>,
    /// How the errors of several trajectories count.
    pub norm: ErrorNorm,
}

impl<'a> Tolerance<'a> {
    /// Tolerances, each a number or a slice `[d]`, of the worst trajectory.
    pub fn new(rtol: impl Into<Bound<'a>>, atol: impl Into<Bound<'a>>) -> Self {
        Self { rtol: rtol.into(), atol: atol.into(), norm: ErrorNorm::Worst }
    }

    /// The same for all trajectories together: [`ErrorNorm::Together`].
    #[must_use]
    pub fn together(self) -> Self {
        Self { norm: ErrorNorm::Together, ..self }
    }
}

impl Default for Tolerance<'_> {
    /// `rtol = 1e-6`, `atol = 1e-9`.
    fn default() -> Self {
        Self::new(1e-6, 1e-9)
    }
}
