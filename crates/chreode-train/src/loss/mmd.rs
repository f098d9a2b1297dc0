//! Maximum mean discrepancy between weighted clouds [Gretton et al. 2012, J. Mach. Learn. Res. 13, 723-773].
//!
//! `MMD²(X, Y) = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)` with a mean of Gaussian kernels of several widths, so that it sees
//! differences at more than one scale. It is the energy distance with `1 - k` as distance, and computed as that.

use super::cloud::{Cloud, CloudBar};
use super::energy::{Distance, EnergyDistance, Statistic};
use super::error::LossError;
use chreode_core::Real;
use serde::{Deserialize, Serialize};

/// Settings of a [`MeanDiscrepancy`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmdConfig {
    /// How the self-terms are averaged.
    pub statistic: Statistic,
    /// Width (standard deviation) of the Gaussian in the middle, in units of the coordinates: about the distance of
    /// neighbouring points.
    pub bandwidth: f64,
    /// Number of widths, an odd one: each is twice the one before.
    pub widths: u32,
}

impl Default for MmdConfig {
    /// The unbiased statistic, five widths from 1/4 to 4.
    fn default() -> Self {
        Self { statistic: Statistic::Unbiased, bandwidth: 1.0, widths: 5 }
    }
}

/// Squared maximum mean discrepancy with its work space: call it with clouds of any size.
#[derive(Debug, Clone)]
pub struct MeanDiscrepancy<T>(EnergyDistance<T>);

impl<T: Real> MeanDiscrepancy<T> {
    /// For points of `d >= 1` coordinates.
    ///
    /// # Errors
    /// [`LossError::Setting`] if `d` is zero or a setting is out of its range.
    pub fn new(d: usize, config: MmdConfig) -> Result<Self, LossError> {
        let MmdConfig { statistic, bandwidth, widths } = config;
        if !(bandwidth > 0.0 && bandwidth.is_finite()) {
            let rule = "must be finite and above zero";
            return Err(LossError::Setting { name: "bandwidth", value: bandwidth, rule });
        }
        if widths % 2 == 0 || widths > 15 {
            let rule = "must be odd, and at most 15";
            return Err(LossError::Setting { name: "widths", value: widths.into(), rule });
        }
        let narrowest = bandwidth * 0.5_f64.powi(widths as i32 / 2);
        Ok(Self(EnergyDistance::with_distance(d, statistic, Distance::Gaussian { narrowest, widths })?))
    }

    /// The squared discrepancy between `x` and `y`; sets `x_bar` to its gradient if one is given. The unbiased statistic can be
    /// negative.
    ///
    /// # Errors
    /// As [`EnergyDistance::evaluate`].
    pub fn evaluate(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
    ) -> Result<f64, LossError> {
        self.0.evaluate(x, y, x_bar)
    }
}
