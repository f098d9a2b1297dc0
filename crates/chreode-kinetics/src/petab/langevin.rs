//! The model of a problem under one condition, with chemical Langevin noise.

use super::problem::Problem;
use crate::error::KineticsError;
use crate::simulate::{LangevinOptions, LangevinRun};

impl Problem {
    /// Runs the model from time zero under a condition at these parameters (linear scale, in the order of the parameter table), with
    /// chemical Langevin noise: see [`Simulator::langevin`](crate::Simulator::langevin). With `before` the paths start where the model came
    /// to rest under that condition, without noise. Nets in rates are part of the model.
    ///
    /// # Errors
    /// [`KineticsError::NoCondition`]; [`KineticsError::Condition`] if the model
    /// cannot be run.
    ///
    /// # Panics
    /// If there are not as many parameters as the table has rows.
    pub fn langevin(
        &mut self,
        parameters: &[f64],
        (before, condition): (Option<&str>, &str),
        times: &[f64],
        concentrations: bool,
        options: &LangevinOptions,
    ) -> Result<LangevinRun, KineticsError> {
        assert_eq!(parameters.len(), self.parameters.len(), "parameters, one a row of the table");
        let find = |id: &str| {
            self.conditions.iter().position(|x| x.id == id).ok_or_else(|| KineticsError::NoCondition {
                id: id.to_owned(),
                known: self.conditions.iter().map(|x| x.id.clone()).collect(),
            })
        };
        let (before, condition) = (before.map(find).transpose()?, find(condition)?);
        let rested = before.map(|before| {
            let first = self.start(&self.conditions[before], parameters, None);
            self.simulator.settle(0.0, first)
        });
        let result = rested.transpose().and_then(|rested| {
            let start = self.start(&self.conditions[condition], parameters, rested.as_ref());
            self.simulator.langevin_from(&start, times, concentrations, options)
        });
        result.map_err(|source| self.in_condition(before, condition, source))
    }
}
