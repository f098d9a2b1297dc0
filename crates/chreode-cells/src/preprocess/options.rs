//! What can be chosen, and what the numbers of a matrix are taken for.

use serde::{Deserialize, Serialize};

use super::PreprocessError;
use crate::matrix::Matrix;

/// What the numbers of an expression matrix are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpressionKind {
    /// Decide by looking: whole numbers are counts; other numbers up to 20 are logarithms, as `ln(1 + x)` of
    /// anything real stays below; larger ones are normalised. Negative numbers are refused.
    #[default]
    Auto,
    /// Counts of molecules or reads: whole, not negative.
    Counts,
    /// Counts scaled to one sum per cell: not negative.
    Normalised,
    /// Logarithms already; anything finite.
    Log,
}

/// What can be chosen about the way from expression to coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreprocessOptions {
    /// What the numbers are.
    pub kind: ExpressionKind,
    /// What the counts of each cell are scaled to sum to; their median over the cells if not given.
    pub target_sum: Option<f64>,
    /// How many of the most variable genes are kept.
    pub genes: usize,
    /// Scaled expression above this many standard deviations is cut to it; nothing is cut if not given.
    pub clip: Option<f64>,
    /// How many principal components; fewer if there are fewer cells or genes.
    pub components: usize,
    /// Seed of the randomised decomposition.
    pub seed: u64,
}

impl Default for PreprocessOptions {
    fn default() -> Self {
        Self {
            kind: ExpressionKind::Auto,
            target_sum: None,
            genes: 2000,
            clip: Some(10.0),
            components: 50,
            seed: 0,
        }
    }
}

/// Above this, numbers are taken for no logarithms: e^20 molecules are no cell's.
const LARGEST_LOG: f32 = 20.0;

impl ExpressionKind {
    /// Checks every entry; `Auto` becomes what the numbers look like.
    ///
    /// # Errors
    /// [`PreprocessError::BadEntry`] for the first entry that this kind cannot hold.
    pub fn resolve(self, matrix: &Matrix, genes: &[String]) -> Result<Self, PreprocessError> {
        let mut look = Look::of(self);
        look.at(0, matrix, genes)?;
        Ok(look.kind())
    }
}

/// What the entries seen so far say of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    asked: ExpressionKind,
    whole: bool,
    largest: f32,
}

impl Look {
    pub(super) fn of(asked: ExpressionKind) -> Self {
        Self { asked, whole: true, largest: 0.0 }
    }

    /// Looks at the entries of cells from number `first` on.
    ///
    /// # Errors
    /// [`PreprocessError::BadEntry`] for the first entry that the kind cannot hold.
    pub(super) fn at(
        &mut self,
        first: usize,
        matrix: &Matrix,
        genes: &[String],
    ) -> Result<(), PreprocessError> {
        const NO_SIGN: &str = "a number >= 0; if these are logarithms or corrected values, say that the matrix holds logarithms";
        let mut bad: Option<(usize, f32, &'static str)> = None;
        for i in 0..matrix.rows() {
            matrix.for_row(i, |j, x| {
                self.whole &= x.fract() == 0.0;
                self.largest = self.largest.max(x);
                let wrong = match self.asked {
                    _ if !x.is_finite() => Some("a finite number"),
                    ExpressionKind::Counts if x < 0.0 || x.fract() != 0.0 => {
                        Some("a count (a whole number >= 0)")
                    }
                    ExpressionKind::Normalised | ExpressionKind::Auto if x < 0.0 => Some(NO_SIGN),
                    _ => None,
                };
                if let (None, Some(expected)) = (bad, wrong) {
                    bad = Some((j, x, expected));
                }
            });
            if let Some((j, value, expected)) = bad {
                let (row, gene) = (first + i, genes[j].clone());
                return Err(PreprocessError::BadEntry { row, gene, value, expected });
            }
        }
        Ok(())
    }

    pub(super) fn kind(self) -> ExpressionKind {
        match self.asked {
            ExpressionKind::Auto if self.whole => ExpressionKind::Counts,
            ExpressionKind::Auto if self.largest <= LARGEST_LOG => ExpressionKind::Log,
            ExpressionKind::Auto => ExpressionKind::Normalised,
            known => known,
        }
    }
}
