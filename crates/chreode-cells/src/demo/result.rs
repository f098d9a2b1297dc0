//! Everything that the demo measures, in the form in which its report shows it.

use crate::virtual_blood::{CalibrationBin, Effect, FieldScore};

/// The outcome of one fit of virtual blood, beside the truth and beside references that need no learning.
///
/// States are `[n, 11]`, row-major, in the order of [`FACTORS`](crate::virtual_blood::FACTORS); times in days.
/// A number that could not be had is NaN, and the report says so.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoResult {
    /// Times of the snapshots.
    pub times: Vec<f64>,
    /// The one of them that was never trained on.
    pub held_out: f64,
    /// The snapshots, one `[n, 11]` per time.
    pub snapshots: Vec<Vec<f32>>,
    /// Settings of model and training, as name and value in words.
    pub settings: Vec<(String, String)>,
    /// Training loss by step.
    pub losses: Vec<(u64, f64)>,
    /// Loss on held-out cells of the times that were trained on, by step; may be empty.
    pub holdout_losses: Vec<(u64, f64)>,
    /// Seconds of training.
    pub seconds: f64,
    /// Distance of the model's cells to the snapshot at [`Self::held_out`], and what to compare it with.
    pub held_out_distance: HeldOutDistance,
    /// The model's cells at [`Self::held_out`], `[n, 11]`, simulated from cells of the snapshot before it.
    pub held_out_cells: Vec<f32>,
    /// Fractions of the five classes at day 6.
    pub fractions: Vec<FateFraction>,
    /// True cells at day 6, `[n, 11]`.
    pub true_ends: Vec<f32>,
    /// The model's cells at day 6, `[n, 11]`, from the same start.
    pub model_ends: Vec<f32>,
    /// Spread of every factor within every mature fate at day 6.
    pub spreads: Vec<SpreadRow>,
    /// Effects of the interventions on the fate fractions.
    pub effects: Vec<EffectRow>,
    /// How the effects agree with the truth.
    pub sign: SignScore,
    /// Calibration of the fate probabilities of the progenitors, over all pairs of cell and fate.
    pub calibration: Vec<CalibrationBin>,
    /// Mean distance between predicted and observed over the bins, weighted by their counts.
    pub calibration_error: f64,
    /// What snapshots do not determine: cross-entropy and fields, always beside references.
    pub scores: Scores,
    /// True fate probabilities of each progenitor, in the order of [`Fate::ALL`](crate::virtual_blood::Fate::ALL).
    pub progenitor_truth: Vec<[f64; 5]>,
    /// The model's fate probabilities of the same progenitors.
    pub progenitor_model: Vec<[f64; 5]>,
    /// True cells of days 0.5 to 6 at which the fields below are given, `[n, 11]`.
    pub field_cells: Vec<f32>,
    /// The model's drift there, `[n, 11]`, per day.
    pub drift: Vec<f32>,
    /// The model's diffusion there, `[n, 11]`, per square root of a day.
    pub diffusion: Vec<f32>,
    /// The true drift there, `[n, 11]`.
    pub true_drift: Vec<f32>,
    /// The true diffusion there, `[n, 11]`.
    pub true_diffusion: Vec<f32>,
    /// Cells outside the training cells, at every time but the first.
    pub outside: Vec<OutsideRow>,
}

/// Fractions of cells that are outside the training cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutsideRow {
    /// When.
    pub time: f64,
    /// Of the model's cells.
    pub model: f64,
    /// Of other true cells of that time: a time that was not trained on lies outside in part.
    pub truth: f64,
}

/// Unbiased energy distances to the snapshot that was held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOutDistance {
    /// Of the model's cells.
    pub model: f64,
    /// Of other true samples of that time: what a perfect model is at, on average.
    pub floor: f64,
    /// Standard deviation of the floor over those samples.
    pub floor_sd: f64,
    /// Of the snapshot before it: what no model at all is at.
    pub previous_time: f64,
}

/// Fraction of one class at day 6.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FateFraction {
    /// Name of the class.
    pub fate: &'static str,
    /// In the truth.
    pub truth: f64,
    /// Its standard error.
    pub truth_se: f64,
    /// In the model.
    pub model: f64,
    /// Its standard error.
    pub model_se: f64,
}

/// Standard deviation of one factor within one fate at day 6; NaN where the fate has too few cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpreadRow {
    /// Name of the fate.
    pub fate: &'static str,
    /// Name of the factor.
    pub factor: &'static str,
    /// In the truth.
    pub truth: f64,
    /// In the model.
    pub model: f64,
}

/// The effect of one intervention on the fate fractions at day 6.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EffectRow {
    /// What is done: "clamp at 0", "over-expressed at 0.2", "over-expressed at 0.5".
    pub kind: &'static str,
    /// The factor that it is done to.
    pub factor: &'static str,
    /// The effect in the truth.
    pub truth: Effect,
    /// The effect in the model.
    pub model: Effect,
}

/// Agreement of the effects with the truth, over the changes that are larger than 0.05 in the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignScore {
    /// Changes whose sign the model has right.
    pub right: usize,
    /// Changes that are larger than 0.05 in the truth.
    pub of: usize,
    /// Correlation of predicted and true changes over them.
    pub correlation: f64,
    /// Slope of predicted on true changes over them: below 1 the model understates effects.
    pub slope: f64,
}

/// Scores that need more than snapshots to be good, with the references that they are read against.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The fitted model.
    pub model: ScoreRow,
    /// The true process: the best that anything can be.
    pub oracle: ScoreRow,
    /// The mean fate fractions given to every cell; it has no field.
    pub base_rate: ScoreRow,
    /// Other references: true drift with constant diffusion, a model before training, diffusion `c √x`, and so on.
    pub references: Vec<ScoreRow>,
}

/// One row of [`Scores`].
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// What it is, in words.
    pub name: String,
    /// Fate cross-entropy of the progenitors in nats; NaN where it is not defined or was not computed.
    pub cross_entropy: f64,
    /// Agreement of drift and diffusion with the truth, where it has any.
    pub fields: Option<FieldScore>,
}
