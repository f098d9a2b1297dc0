//! Observables as curves over time, beside what was measured.

use super::problem::{Link, Problem};
use super::tables::Measurement;
use crate::error::KineticsError;

/// An observable under one condition, with one set of values for its placeholders.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The observable.
    pub observable_id: String,
    /// The condition; with the one before, if there is one.
    pub condition: String,
    /// Times and simulated values, on the observable's linear scale.
    pub simulated: Vec<[f64; 2]>,
    /// Times and measured values.
    pub measured: Vec<[f64; 2]>,
}

impl Problem {
    /// Curves through the times of all measurements, `points` each, at these parameters (linear scale, in the order of the table). What was
    /// measured in a steady state alone has one point.
    ///
    /// # Errors
    /// As [`simulate`](Self::simulate).
    pub fn curves(&self, parameters: &[f64], points: usize) -> Result<Vec<Curve>, KineticsError> {
        let mut groups: Vec<(&Link, Vec<usize>)> = Vec::new();
        for (i, link) in self.links.iter().enumerate() {
            // Noise does not tell curves apart.
            let n = self.observables[link.observable].n_observable;
            let same = |x: &Link| {
                (x.observable, x.before, x.condition) == (link.observable, link.before, link.condition)
                    && x.placeholders[..n] == link.placeholders[..n]
            };
            match groups.iter_mut().find(|(x, _)| same(x)) {
                Some((_, measured)) => measured.push(i),
                None => groups.push((link, vec![i])),
            }
        }
        let mut asked = self.clone();
        (asked.links, asked.measurements) = (Vec::new(), Vec::new());
        let mut lengths = Vec::new();
        for (link, measured) in &groups {
            let times = measured.iter().map(|&i| self.measurements[i].time);
            let last = times.filter(|t| t.is_finite()).fold(0.0, f64::max);
            let times: Vec<f64> = if last > 0.0 {
                (0..points).map(|k| last * k as f64 / (points - 1).max(1) as f64).collect()
            } else {
                vec![self.measurements[measured[0]].time]
            };
            lengths.push(times.len());
            for time in times {
                asked.links.push((*link).clone());
                asked.measurements.push(Measurement { time, ..self.measurements[measured[0]].clone() });
            }
        }
        let simulation = asked.simulate(parameters)?;
        let mut first = 0;
        let curves = groups.iter().zip(lengths).map(|((link, measured), length)| {
            let range = first..first + length;
            first += length;
            let before = link.before.map(|b| format!("{}, then ", self.conditions[b].id)).unwrap_or_default();
            Curve {
                observable_id: self.observables[link.observable].id.clone(),
                condition: before + &self.conditions[link.condition].id,
                simulated: range.map(|k| [asked.measurements[k].time, simulation.values[k]]).collect(),
                measured: measured
                    .iter()
                    .map(|&i| [self.measurements[i].time, self.measurements[i].measurement])
                    .collect(),
            }
        });
        Ok(curves.collect())
    }

    /// Residuals in units of their noise, on the scale of the transformation, in the order of the measurements.
    pub fn residuals(&self, simulation: &super::simulate::Simulation) -> Vec<f64> {
        (0..self.measurements.len())
            .map(|i| {
                let (scale, _) = self.comparisons[self.links[i].observable];
                let measured = scale.scaled(self.measurements[i].measurement);
                (measured - scale.scaled(simulation.values[i])) / simulation.noise[i]
            })
            .collect()
    }
}
