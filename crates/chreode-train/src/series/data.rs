//! Measured time series: few trajectories, each observed at times of its own.

use super::SeriesError;

/// One measured trajectory.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// Times of the observations, increasing.
    pub times: Vec<f64>,
    /// What was measured, `[times, d]`; NaN where a coordinate was not.
    pub values: Vec<f64>,
}

/// Measured trajectories of one system of `dim` coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Number of coordinates `d`.
    pub dim: usize,
    /// The trajectories.
    pub trajectories: Vec<Trajectory>,
}

impl Series {
    /// Number of measured values.
    pub fn measured(&self) -> usize {
        self.trajectories.iter().flat_map(|t| &t.values).filter(|v| !v.is_nan()).count()
    }

    /// Mean and standard deviation of what was measured of each coordinate; a spread of zero becomes one.
    ///
    /// A coordinate without a measurement has mean zero and spread one.
    pub fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let column = |j: usize| {
            let values =
                self.trajectories.iter().flat_map(move |t| t.values.iter().skip(j).step_by(self.dim));
            values.copied().filter(|v| !v.is_nan())
        };
        let mut moments = (Vec::with_capacity(self.dim), Vec::with_capacity(self.dim));
        for j in 0..self.dim {
            let n = column(j).count().max(1) as f64;
            let mean = column(j).sum::<f64>() / n;
            let sd = (column(j).map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            moments.0.push(mean);
            moments.1.push(if sd > 0.0 { sd } else { 1.0 });
        }
        moments
    }

    /// Mean time between neighbouring observations.
    pub fn mean_gap(&self) -> f64 {
        let spans = self.trajectories.iter().filter(|t| t.times.len() > 1);
        let (time, gaps) = spans.fold((0.0, 0), |(time, gaps), t| {
            (time + t.times[t.times.len() - 1] - t.times[0], gaps + t.times.len() - 1)
        });
        if gaps == 0 { 1.0 } else { time / f64::from(u32::try_from(gaps).unwrap_or(u32::MAX)) }
    }

    /// Checks that the series can be learned from.
    ///
    /// # Errors
    /// [`SeriesError::Data`], naming trajectory and observation.
    pub fn check(&self) -> Result<(), SeriesError> {
        let bad = |what, trajectory, observation| Err(SeriesError::Data { what, trajectory, observation });
        if self.dim == 0 || self.trajectories.is_empty() {
            return bad("there is nothing", 0, 0);
        }
        for (i, t) in self.trajectories.iter().enumerate() {
            if t.times.len() < 2 {
                return bad("a trajectory needs two observations", i, 0);
            }
            if t.values.len() != t.times.len() * self.dim {
                return bad("values are not one row of coordinates an observation", i, 0);
            }
            if let Some(k) = t.times.iter().position(|t| !t.is_finite()) {
                return bad("a time is not finite", i, k);
            }
            if let Some(k) = t.times.windows(2).position(|w| w[0] >= w[1]) {
                return bad("times do not increase", i, k + 1);
            }
            if let Some(k) = t.values.iter().position(|v| v.is_infinite()) {
                return bad("a value is infinite", i, k / self.dim);
            }
        }
        for j in 0..self.dim {
            let measured = |t: &Trajectory| t.values.iter().skip(j).step_by(self.dim).any(|v| !v.is_nan());
            if !self.trajectories.iter().any(measured) {
                return Err(SeriesError::NeverMeasured { coordinate: j });
            }
        }
        Ok(())
    }
}
