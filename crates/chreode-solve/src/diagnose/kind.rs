//! What the eigenvalues at a fixed point say of the flow around it.

use std::fmt;

/// An imaginary part below this part of its eigenvalue's size is taken as zero: rounding splits double real ones so far.
const REAL: f64 = 1e-7;

/// The kind of a fixed point. A node's eigenvalues are real, a focus has a complex pair (chapter 5 of [Str15]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FixedPointKind {
    /// All deviations decay, none turns.
    StableNode,
    /// All deviations decay, some turn.
    StableFocus,
    /// All deviations grow, none turns.
    UnstableNode,
    /// All deviations grow, some turn.
    UnstableFocus,
    /// Some deviations grow and the others decay.
    Saddle {
        /// Number of directions that grow.
        unstable: usize,
    },
    /// Some eigenvalue has no real part within the tolerance: the linear part does not decide.
    NonHyperbolic {
        /// Number of such eigenvalues.
        neutral: usize,
        /// Number of directions that grow.
        unstable: usize,
    },
}

impl FixedPointKind {
    /// The kind for eigenvalues (re, im); one with `|re| <= hyperbolic * max |λ|` has no real part.
    pub fn of(eigenvalues: &[(f64, f64)], hyperbolic: f64) -> Self {
        let floor = hyperbolic * eigenvalues.iter().map(|z| z.0.hypot(z.1)).fold(0.0, f64::max);
        let neutral = eigenvalues.iter().filter(|z| z.0.abs() <= floor).count();
        let unstable = eigenvalues.iter().filter(|z| z.0 > floor).count();
        let turns = eigenvalues.iter().any(|z| z.1.abs() > REAL * z.0.hypot(z.1));
        match (neutral, unstable, turns) {
            (1.., ..) => Self::NonHyperbolic { neutral, unstable },
            (0, 0, false) => Self::StableNode,
            (0, 0, true) => Self::StableFocus,
            (0, u, turns) if u == eigenvalues.len() => {
                if turns {
                    Self::UnstableFocus
                } else {
                    Self::UnstableNode
                }
            }
            (0, ..) => Self::Saddle { unstable },
        }
    }

    /// Whether every small deviation decays.
    pub fn is_stable(&self) -> bool {
        matches!(self, Self::StableNode | Self::StableFocus)
    }
}

impl fmt::Display for FixedPointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StableNode => f.write_str("stable node"),
            Self::StableFocus => f.write_str("stable focus"),
            Self::UnstableNode => f.write_str("unstable node"),
            Self::UnstableFocus => f.write_str("unstable focus"),
            Self::Saddle { unstable } => write!(f, "saddle, {unstable} unstable"),
            Self::NonHyperbolic { neutral, unstable } => {
                write!(f, "non-hyperbolic, {neutral} neutral, {unstable} unstable")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FixedPointKind::*;

    #[test]
    fn kinds() {
        let real = |x: &[f64]| -> Vec<(f64, f64)> { x.iter().map(|&x| (x, 0.0)).collect() };
        let kind = |z: &[(f64, f64)]| FixedPointKind::of(z, 1e-10);
        assert_eq!(kind(&real(&[-1.0, -2.0])), StableNode);
        assert_eq!(kind(&real(&[3.0, 2.0])), UnstableNode);
        assert_eq!(kind(&real(&[3.0, 2.0, -1e-3])), Saddle { unstable: 2 });
        assert_eq!(kind(&[(-1.0, 2.0), (-1.0, -2.0), (-3.0, 0.0)]), StableFocus);
        assert_eq!(kind(&[(1.0, 2.0), (1.0, -2.0)]), UnstableFocus);
        assert_eq!(kind(&[(0.1, 10.0), (0.1, -10.0), (-13.0, 0.0)]), Saddle { unstable: 2 });
        assert_eq!(kind(&[(1e-14, 1.0), (1e-14, -1.0)]), NonHyperbolic { neutral: 2, unstable: 0 });
        assert_eq!(kind(&real(&[0.0, 0.0])), NonHyperbolic { neutral: 2, unstable: 0 });
        assert_eq!(kind(&real(&[2.0, 0.0])), NonHyperbolic { neutral: 1, unstable: 1 });
        // A double eigenvalue that rounding split; a slow pair that turns beside a fast decay.
        assert_eq!(kind(&[(-1.0, 1e-8), (-1.0, -1e-8)]), StableNode);
        assert_eq!(kind(&[(-0.01, 0.05), (-0.01, -0.05), (-1e6, 0.0)]), StableFocus);
        assert!(StableNode.is_stable() && StableFocus.is_stable() && !Saddle { unstable: 1 }.is_stable());
        assert_eq!(Saddle { unstable: 1 }.to_string(), "saddle, 1 unstable");
    }
}
