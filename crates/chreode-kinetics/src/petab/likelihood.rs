//! How likely the measurements are, given a simulation.
//!
//! With `s` the simulation, `m` the measurement and `σ` the noise, on the scale of the transformation `g`: for normal noise
//! `ln L = -½ ln(2πσ²) - ½ ((g(m) - g(s)) / σ)² + ln |g'(m)|`, for Laplace's `-ln(2σ) - |g(m) - g(s)| / σ + ln |g'(m)|`. Source:
//! [SWS+21], supplement.

use super::problem::Problem;
use super::simulate::Simulation;
use super::tables::{NoiseDistribution, Scale};

/// The likelihood of a problem's measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihood {
    /// Its natural logarithm.
    pub log_likelihood: f64,
    /// Sum of squared residuals, each in units of its noise, on the scale of the transformation.
    pub chi_squared: f64,
    /// Number of measurements.
    pub n: usize,
}

/// Noise that is not above zero has no density, whatever its square.
pub(super) fn above_zero(noise: f64) -> f64 {
    if noise > 0.0 { noise } else { f64::NAN }
}

impl Problem {
    /// The likelihood of the measurements, given a simulation. It is not finite where a simulation, a measurement or noise has no
    /// logarithm that is asked for.
    pub fn likelihood(&self, simulation: &Simulation) -> Likelihood {
        let (mut log_likelihood, mut chi_squared) = (0.0, 0.0);
        for (i, measurement) in self.measurements.iter().enumerate() {
            let (scale, distribution) = self.comparisons[self.links[i].observable];
            let (m, s, noise) = (measurement.measurement, simulation.values[i], simulation.noise[i]);
            let noise = above_zero(noise);
            let residual = (scale.scaled(m) - scale.scaled(s)) / noise;
            let slope = match scale {
                Scale::Lin => 0.0,
                Scale::Log => -m.ln(),
                Scale::Log10 => -(m * std::f64::consts::LN_10).ln(),
            };
            let density = match distribution {
                NoiseDistribution::Normal => {
                    -0.5 * (2.0 * std::f64::consts::PI * noise * noise).ln() - 0.5 * residual * residual
                }
                NoiseDistribution::Laplace => -(2.0 * noise).ln() - residual.abs(),
            };
            log_likelihood += density + slope;
            chi_squared += residual * residual;
        }
        Likelihood { log_likelihood, chi_squared, n: self.measurements.len() }
    }
}
