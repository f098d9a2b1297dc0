//! What a fit leaves as tables.

use std::io::Write;

use chreode_train::StoppedBy;

use super::multi::Fits;
use super::profile::{End, Profile};
use crate::petab::{Objective, Problem, Simulation};
use crate::simulate::number;

/// Why a fit stopped, in a word.
pub(super) fn stopped(by: StoppedBy) -> &'static str {
    match by {
        StoppedBy::Gradient => "gradient",
        StoppedBy::Value => "value",
        StoppedBy::Step => "step",
        StoppedBy::Iterations => "iterations",
        StoppedBy::Watcher => "cut short",
        _ => "not finite",
    }
}

impl Fits {
    /// Writes all fits, the best first: objectives, what they took, and the parameters on their scales.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_csv(&self, objective: &Objective, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let columns = [
            "rank",
            "start",
            "objective",
            "objectiveAtStart",
            "gradient",
            "iterations",
            "simulations",
            "gradients",
            "stoppedBy",
            "seconds",
            "lastFailure",
        ];
        csv.write_record(columns.into_iter().chain(objective.rows().map(|row| row.id.as_str())))?;
        for (rank, fit) in self.fits.iter().enumerate() {
            let m = &fit.minimum;
            let row = [
                (rank + 1).to_string(),
                fit.number.to_string(),
                number(m.value),
                number(fit.start_value),
                number(m.gradient),
                m.iterations.to_string(),
                m.values.to_string(),
                m.gradients.to_string(),
                stopped(m.stopped).into(),
                format!("{:.3}", fit.seconds),
                fit.failure.clone().unwrap_or_default(),
            ];
            csv.write_record(row.into_iter().chain(m.x.iter().map(|&x| number(x))))?;
        }
        csv.flush()
    }
}

/// The ends of an interval as numbers on the parameter's scale: infinite where it is open.
pub(super) fn interval(profile: &Profile) -> (f64, f64) {
    let end = |end, open: f64| if let End::Closed(x) = end { x } else { open };
    (end(profile.ends.0, f64::NEG_INFINITY), end(profile.ends.1, f64::INFINITY))
}

/// How an interval ends, in a word.
pub(super) fn word(end: End) -> &'static str {
    match end {
        End::Closed(_) => "closed",
        End::Bound => "open to the bound",
        End::GivenUp(_) => "given up",
    }
}

impl Profile {
    /// Writes intervals: one row a profile, on the parameters' scales and on the linear one; open ends are infinite, and said.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_intervals(
        profiles: &[Self],
        objective: &Objective,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record([
            "parameterId",
            "parameterScale",
            "best",
            "lower",
            "upper",
            "bestLinear",
            "lowerLinear",
            "upperLinear",
            "lowerEnd",
            "upperEnd",
        ])?;
        for profile in profiles {
            let row = objective.row(profile.parameter);
            let (low, high) = interval(profile);
            let scale = row.scale;
            csv.write_record([
                row.id.clone(),
                scale.name().into(),
                number(profile.best.x),
                number(low),
                number(high),
                number(scale.linear(profile.best.x)),
                number(scale.linear(low)),
                number(scale.linear(high)),
                word(profile.ends.0).into(),
                word(profile.ends.1).into(),
            ])?;
        }
        csv.flush()
    }

    /// Writes the points of profiles: the parameter on its scale, the objective, and how much it rose over the best fit.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_csv(profiles: &[Self], objective: &Objective, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(["parameterId", "value", "objective", "rise"])?;
        for profile in profiles {
            let id = &objective.row(profile.parameter).id;
            for point in &profile.points {
                let rise = point.value - profile.best.value;
                csv.write_record([id.clone(), number(point.x), number(point.value), number(rise)])?;
            }
        }
        csv.flush()
    }
}

impl Problem {
    /// Writes measurements beside simulations: residuals are on the scale of the transformation, in units of their noise.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_residuals(&self, simulation: &Simulation, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record([
            "observableId",
            "preequilibrationConditionId",
            "simulationConditionId",
            "time",
            "measurement",
            "simulation",
            "noise",
            "residual",
        ])?;
        for (i, (m, residual)) in self.measurements().iter().zip(self.residuals(simulation)).enumerate() {
            csv.write_record([
                m.observable_id.clone(),
                m.preequilibration_condition_id.clone(),
                m.simulation_condition_id.clone(),
                number(m.time),
                number(m.measurement),
                number(simulation.values[i]),
                number(simulation.noise[i]),
                number(residual),
            ])?;
        }
        csv.flush()
    }
}
