//! What a run tells while it goes.

use serde::Serialize;

/// One loss of a step or an evaluation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TermReport {
    /// Time at which the paths start.
    pub start: f64,
    /// Time at which they are compared.
    pub target: f64,
    /// The loss, without its weight; of several populations their mean, by their part of the cells at the start.
    pub loss: f64,
    /// L1 error of the marginals that a Sinkhorn divergence left; zero otherwise.
    pub marginal_error: f64,
    /// Effective sample size of the simulated cells' weights, as a fraction of their number.
    pub effective: f64,
}

/// One update.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StepReport {
    /// Updates done, this one included.
    pub step: u64,
    /// Weighted sum of the terms, and penalties.
    pub loss: f64,
    /// Every loss.
    pub terms: Vec<TermReport>,
    /// Length of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of this update.
    pub learning_rate: f64,
}

impl StepReport {
    /// The largest L1 error of the marginals that a Sinkhorn divergence left; zero otherwise.
    pub fn marginal_error(&self) -> f64 {
        self.terms.iter().fold(0.0, |worst, term| term.marginal_error.max(worst))
    }
}

/// An evaluation on the hold-out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Updates done.
    pub step: u64,
    /// Weighted sum of the terms between simulated and observed held-out cells.
    pub hold_out_loss: f64,
    /// Every loss.
    pub terms: Vec<TermReport>,
    /// The lowest so far, this one included.
    pub best_loss: f64,
    /// The step of the lowest.
    pub best_step: u64,
}

/// Why a run came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All steps are done.
    Finished,
    /// The hold-out loss no longer fell.
    EarlyStop,
    /// The time budget is spent.
    TimeBudget,
    /// The flag was set. The run can be resumed.
    Cancelled,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outcome {
    /// Why.
    pub reason: StopReason,
    /// Updates done; a run of so many `steps` gives the same bits.
    pub step: u64,
    /// Step of the parameters that are kept.
    pub best_step: u64,
    /// Their hold-out loss; none without a hold-out.
    pub best_loss: Option<f64>,
    /// Seconds of training, those before a resume included.
    pub seconds: f64,
}

/// Receives the reports of a run: draws a progress bar, writes metrics and checkpoints.
///
/// An error stops the run; the trainer is then as after the step in question.
pub trait Observer {
    /// After every update; `seconds` of training so far.
    ///
    /// # Errors
    /// What could not be done.
    fn step(
        &mut self,
        report: &StepReport,
        seconds: f64,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _ = (report, seconds);
        Ok(())
    }

    /// After every evaluation.
    ///
    /// # Errors
    /// What could not be done.
    fn evaluation(&mut self, report: &Evaluation) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _ = report;
        Ok(())
    }

    /// Whenever the state should be saved: every `checkpoint_every` updates, and at the end of a run however it
    /// ends. `state` is for [`Trainer::restore`](crate::Trainer::restore).
    ///
    /// # Errors
    /// What could not be done.
    fn checkpoint(
        &mut self,
        step: u64,
        state: &[u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _ = (step, state);
        Ok(())
    }
}

/// Ignores all reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
