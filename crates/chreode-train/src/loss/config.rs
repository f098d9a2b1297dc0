//! Which loss, as a setting.

use super::cloud::{Cloud, CloudBar};
use super::energy::{EnergyDistance, Statistic};
use super::error::LossError;
use super::mmd::{MeanDiscrepancy, MmdConfig};
use super::sinkhorn::{SinkhornConfig, SinkhornDivergence};
use super::sliced::{SlicedConfig, SlicedWasserstein};
use chreode_core::Real;
use serde::{Deserialize, Serialize};

/// A loss between clouds and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    /// [`EnergyDistance`].
    Energy {
        /// How the self-terms are averaged.
        #[serde(default)]
        statistic: Statistic,
    },
    /// [`SinkhornDivergence`].
    Sinkhorn(SinkhornConfig),
    /// [`MeanDiscrepancy`].
    Mmd(MmdConfig),
    /// [`SlicedWasserstein`].
    SlicedWasserstein(SlicedConfig),
}

impl Default for LossConfig {
    /// The unbiased energy distance.
    fn default() -> Self {
        Self::Energy { statistic: Statistic::Unbiased }
    }
}

impl LossConfig {
    /// By how much the marginals of a Sinkhorn divergence may be off (L1); none for a loss that does not iterate.
    ///
    /// A [`LossReport`] whose `marginal_error` is not below it did not converge: see [`SinkhornDivergence`].
    pub fn tolerance(&self) -> Option<f64> {
        match self {
            Self::Sinkhorn(config) => Some(config.tolerance),
            Self::Energy { .. } | Self::Mmd(_) | Self::SlicedWasserstein(_) => None,
        }
    }
}

/// Value of a loss, and how far its iterations got if it iterates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LossReport {
    /// The loss.
    pub value: f64,
    /// Iterations of a Sinkhorn divergence; zero otherwise.
    pub iterations: usize,
    /// L1 error of the marginals that a Sinkhorn divergence left; zero otherwise.
    pub marginal_error: f64,
}

/// One of the losses between clouds, with its work space.
#[derive(Debug, Clone)]
pub enum CloudLoss<T> {
    /// Energy distance.
    Energy(Box<EnergyDistance<T>>),
    /// Sinkhorn divergence.
    Sinkhorn(Box<SinkhornDivergence<T>>),
    /// Maximum mean discrepancy.
    Mmd(Box<MeanDiscrepancy<T>>),
    /// Sliced Wasserstein distance.
    SlicedWasserstein(Box<SlicedWasserstein<T>>),
}

impl<T: Real> CloudLoss<T> {
    /// For points of `d` coordinates.
    ///
    /// # Errors
    /// [`LossError::Setting`].
    pub fn new(d: usize, config: &LossConfig) -> Result<Self, LossError> {
        Ok(match *config {
            LossConfig::Energy { statistic } => Self::Energy(Box::new(EnergyDistance::new(d, statistic)?)),
            LossConfig::Sinkhorn(config) => Self::Sinkhorn(Box::new(SinkhornDivergence::new(d, config)?)),
            LossConfig::Mmd(config) => Self::Mmd(Box::new(MeanDiscrepancy::new(d, config)?)),
            LossConfig::SlicedWasserstein(config) => {
                Self::SlicedWasserstein(Box::new(SlicedWasserstein::new(d, config)?))
            }
        })
    }

    /// The loss between `x` and `y`; sets `x_bar` to its gradient if one is given.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn evaluate(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
    ) -> Result<LossReport, LossError> {
        let plain = |value| Ok(LossReport { value, ..LossReport::default() });
        match self {
            Self::Energy(loss) => plain(loss.evaluate(x, y, x_bar)?),
            Self::Mmd(loss) => plain(loss.evaluate(x, y, x_bar)?),
            Self::SlicedWasserstein(loss) => plain(loss.evaluate(x, y, x_bar)?),
            Self::Sinkhorn(loss) => {
                let r = loss.evaluate(x, y, x_bar)?;
                Ok(LossReport { value: r.value, iterations: r.iterations, marginal_error: r.marginal_error })
            }
        }
    }
}
