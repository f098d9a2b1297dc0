//! Which coordinates an iteration is for: all of them, or of a field of equal blocks the first one and then the others (the staggered
//! corrector method [FTB97]).

use std::ops::Range;

/// Coordinates of each trajectory that an iteration is for; with the size of a block, where it is not for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    FirstBlock(usize),
    OtherBlocks(usize),
}

impl Part {
    /// These, of the `d` coordinates of a trajectory.
    #[inline(always)]
    pub(crate) fn of(self, d: usize) -> Range<usize> {
        match self {
            Self::All => 0..d,
            Self::FirstBlock(block) => 0..block,
            Self::OtherBlocks(block) => block..d,
        }
    }

    /// Calls `f` with where they lie in a vector `[n, d]` of length `nd`: one piece for all of them, else one of each trajectory.
    #[inline(always)]
    pub(crate) fn each(self, nd: usize, d: usize, mut f: impl FnMut(Range<usize>)) {
        if self == Self::All {
            return f(0..nd); // of small systems, a loop would be felt
        }
        let within = self.of(d);
        (0..nd / d.max(1)).for_each(|row| f(row * d + within.start..row * d + within.end));
    }

    /// What a field is evaluated at for it: the other blocks are evaluated beside the first one.
    #[inline(always)]
    pub(crate) fn evaluated(self) -> Self {
        if self.is_first_block() { self } else { Self::All }
    }

    /// Whether the field is to be evaluated for the first block alone.
    #[inline(always)]
    pub(crate) fn is_first_block(self) -> bool {
        matches!(self, Self::FirstBlock(_))
    }

    /// Which of two records of convergence is for it: the other blocks have one of their own.
    #[inline(always)]
    pub(crate) fn record(self) -> usize {
        usize::from(matches!(self, Self::OtherBlocks(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_two_trajectories() {
        let of = |part: Part| {
            let mut pieces = Vec::new();
            part.each(12, 6, |at| pieces.push((at.start, at.end)));
            pieces
        };
        assert_eq!(of(Part::All), [(0, 12)]);
        assert_eq!(of(Part::FirstBlock(2)), [(0, 2), (6, 8)]);
        assert_eq!(of(Part::OtherBlocks(2)), [(2, 6), (8, 12)]);
        assert_eq!(of(Part::FirstBlock(2).evaluated()), [(0, 2), (6, 8)]);
        assert_eq!(of(Part::OtherBlocks(2).evaluated()), [(0, 12)]);
    }
}
