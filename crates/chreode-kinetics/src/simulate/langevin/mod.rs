//! Chemical Langevin noise: `dy = Σ_j S_j (a_j dt + √(a_j / s) dW_j)`, one Brownian motion for each way of each reaction [Gil00], with `s`
//! molecules in one unit of substance.
//!
//! A step is one of the weak trapezoidal method [AM11], which is made for such equations and has weak order 2: half of the step with the
//! rates `a` at its start, and half with `2 a' - a`, where `a'` are the rates at the half. Its length follows from the state where it
//! begins: no amount turns over by more than a part of it, nor is noise expected to change one by more, or by more than one
//! molecule [CGP06]. What a reaction turns over is cut where it would take more than there is, so that no amount becomes negative and sums of
//! the stoichiometry are kept, both whatever the step (`step.rs`).
//!
//! `channels.rs` says what the reactions are, `table.rs` what is written.

mod channels;
mod step;
mod table;

use rayon::prelude::*;

use self::channels::Channels;
use self::step::{Path, Stepped};
pub use self::table::LangevinRun;
use super::Recorded;
use super::run::{Simulator, check_times};
use super::trajectory::columns;
use crate::SimulationError;
use crate::math::Expr;
use crate::model::{Formulas, Location, Reading, Start, Symbol};

/// Steps are at most this part of a run where formulas have time, unless something else is asked for.
const TIMED: f64 = 1e-3;

/// What all paths have at all times may take so much memory.
const MOST_BYTES: usize = 16 << 30;

/// What is asked of runs with chemical Langevin noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LangevinOptions {
    /// Molecules in one unit of substance.
    pub molecules: f64,
    /// Number of paths.
    pub paths: usize,
    /// Seed of the noise. A path depends on it and on the path's number alone.
    pub seed: u64,
    /// Longest step in units of time; by default as long as the state allows, or a thousandth of the run where formulas have time.
    pub longest_step: Option<f64>,
}

impl Simulator {
    /// Runs the model as its file has it, with chemical Langevin noise, and saves at the times, which ascend from zero: what varies among
    /// species, compartments and parameters, and the rates of the reactions. Species are amounts, or `concentrations`. The bits do not depend
    /// on the number of threads.
    ///
    /// # Errors
    /// [`SimulationError`]: events, rate rules, conversion factors and computed stoichiometries by name; rates and amounts that are
    /// negative; options that are not positive; paths that memory cannot hold; what [`trajectory`](Self::trajectory) says of starts and times.
    pub fn langevin(
        &mut self,
        times: &[f64],
        concentrations: bool,
        options: &LangevinOptions,
    ) -> Result<LangevinRun, SimulationError> {
        let start = self.model.start(0.0, &|_| None);
        self.langevin_from(&start, times, concentrations, options)
    }

    /// As [`langevin`](Self::langevin), from states and parameters at time zero.
    pub(crate) fn langevin_from(
        &mut self,
        start: &Start<f64>,
        times: &[f64],
        concentrations: bool,
        options: &LangevinOptions,
    ) -> Result<LangevinRun, SimulationError> {
        let step = options.longest_step.unwrap_or(f64::INFINITY);
        for (what, got) in
            [("molecules in a unit of substance", options.molecules), ("the longest step", step)]
        {
            if !(got > 0.0) || what.starts_with('m') && got == f64::INFINITY {
                return Err(SimulationError::NoiseOption { what, must: "positive", got });
            }
        }
        if options.paths == 0 {
            return Err(SimulationError::NoiseOption { what: "paths", must: "at least one", got: 0.0 });
        }
        self.check_start(0.0, &start.y, &start.p)?;
        check_times(0.0, times)?;
        let channels = Channels::new(&self.model)?;
        if let Some(i) = start.y.iter().position(|y| *y < 0.0) {
            let id = self.model.quantities[self.model.states[i]].id.clone();
            return Err(SimulationError::NoiseAmount { id, value: start.y[i], t: 0.0 });
        }
        let span = times.last().copied().unwrap_or(0.0);
        let timed = if self.model.is_autonomous() { f64::INFINITY } else { TIMED * span };
        let longest = options.longest_step.unwrap_or(timed);
        let model = &self.model;
        let shown: Vec<usize> = columns(model)
            .into_iter()
            .filter(|&q| {
                !matches!(
                    model.quantities[q].location,
                    Location::Param(_) | Location::Assigned(Expr::Number(_))
                )
            })
            .collect();
        let reading =
            |&q: &usize| if concentrations { Reading::Concentration(q) } else { Reading::Amount(q) };
        let rates = (0..model.n_reactions()).map(|r| Reading::Value(Expr::Leaf(Symbol::Reaction(r))));
        let readings: Vec<Reading> = shown.iter().map(reading).chain(rates).collect();
        let width = readings.len();
        let read = Recorded::new(&Formulas { model, readings, n_extra: 0 });
        let of_path = times.len() * width;
        let total = options.paths.checked_mul(of_path).filter(|n| *n <= MOST_BYTES / size_of::<f64>());
        let Some(total) = total else {
            let (paths, most) = (options.paths, MOST_BYTES / size_of::<f64>() / of_path);
            return Err(SimulationError::NoiseSize { paths, values: of_path, most });
        };
        let mut values = vec![0.0; total];
        let begin = || (Path::new(model, channels.clone(), options, longest), read.clone());
        let one = |(path, read): &mut (Path<'_>, Recorded), (number, values): (usize, &mut [f64])| {
            let mut rows = values.chunks_exact_mut(width);
            path.run(number as u64, start, times, &mut |t, y| {
                if let Some(row) = rows.next() {
                    read.eval(t, y, &start.p, row);
                }
            })
        };
        // All paths end before an error is looked for, so that it is always that of the first path that has one.
        let done: Vec<Result<Stepped, SimulationError>> =
            values.par_chunks_mut(of_path.max(1)).enumerate().map_init(begin, one).collect();
        let mut all = Stepped::default();
        for stepped in done {
            let stepped = stepped?;
            all.steps += stepped.steps;
            all.cut += stepped.cut;
        }
        let ids = shown.iter().map(|&q| &model.quantities[q].id).chain(model.laws.iter().map(|law| &law.id));
        Ok(LangevinRun {
            ids: ids.cloned().collect(),
            times: times.to_vec(),
            paths: options.paths,
            values,
            steps: all.steps,
            cut: all.cut,
        })
    }
}
