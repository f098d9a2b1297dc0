//! Paths as tables.

use std::io::Write;

use crate::simulate::number;

/// Quantiles of a summary.
const QUANTILES: [(&str, f64); 5] =
    [("q05", 0.05), ("q25", 0.25), ("median", 0.5), ("q75", 0.75), ("q95", 0.95)];

/// Runs of a model with chemical Langevin noise: what was saved, `[paths, times, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LangevinRun {
    /// The ids of the columns.
    pub ids: Vec<String>,
    /// The times.
    pub times: Vec<f64>,
    /// The number of paths.
    pub paths: usize,
    /// Row-major values.
    pub values: Vec<f64>,
    /// Steps of all paths.
    pub steps: u64,
    /// Those of them in which reactions were cut, because they would have taken more than there is.
    pub cut: u64,
}

impl LangevinRun {
    /// What all paths have in a column at a time.
    ///
    /// # Panics
    /// If there is no such time or column.
    pub fn at(&self, time: usize, column: usize) -> Vec<f64> {
        let width = self.ids.len();
        assert!(time < self.times.len() && column < width, "a time and a column of the run");
        (0..self.paths).map(|i| self.values[(i * self.times.len() + time) * width + column]).collect()
    }

    /// Writes mean, standard deviation and quantiles over the paths as comma-separated values: one row for each time and id.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_summary(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let names = QUANTILES.iter().map(|(name, _)| *name);
        csv.write_record(["time", "id", "mean", "sd"].into_iter().chain(names))?;
        for (k, &t) in self.times.iter().enumerate() {
            for (j, id) in self.ids.iter().enumerate() {
                let mut values = self.at(k, j);
                values.sort_by(f64::total_cmp);
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                let sum: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
                // One path has no spread that could be told.
                let sd = if n > 1.0 { (sum / (n - 1.0)).sqrt() } else { f64::NAN };
                let quantiles = QUANTILES.iter().map(|(_, q)| quantile(&values, *q));
                let row = [number(t), id.clone(), number(mean), number(sd)];
                csv.write_record(row.into_iter().chain(quantiles.map(number)))?;
            }
        }
        csv.flush()
    }

    /// Writes every path as comma-separated values: `path` from 0, `time`, then the columns.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_paths(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(["path", "time"].into_iter().chain(self.ids.iter().map(String::as_str)))?;
        let width = self.ids.len();
        for i in 0..self.paths {
            for (k, &t) in self.times.iter().enumerate() {
                let row = &self.values[(i * self.times.len() + k) * width..][..width];
                csv.write_record(
                    [i.to_string(), number(t)].into_iter().chain(row.iter().map(|&x| number(x))),
                )?;
            }
        }
        csv.flush()
    }
}

/// A quantile of sorted values, of which there is at least one; between two of them it is linear.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = sorted[(below + 1).min(sorted.len() - 1)];
    sorted[below] + part * (above - sorted[below])
}
