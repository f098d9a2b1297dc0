//! What a fitted hybrid does along its runs: rates that nets give, what is conserved, how near to zero concentrations come, and where nets
//! were asked about what no measurement was fitted to.

use super::config::{HybridConfig, Target};
use crate::error::KineticsError;
use crate::math::Expr;
use crate::model::{Reading, Symbol};
use crate::petab::{Measurement, Path, Problem};

/// Times of each run.
const POINTS: usize = 121;

/// What a hybrid does along its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Along {
    /// Its nets.
    pub nets: Vec<AlongNet>,
    /// Conserved sums, with the largest change of each.
    pub conserved: Vec<Drift>,
    /// The lowest value of a state, as a part of the state's largest, with its id.
    pub lowest: (String, f64),
    /// Until when the model was run.
    pub until: f64,
}

/// A conserved sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The sum, in amounts.
    pub sum: String,
    /// Its largest change in any run, relative to the sum of its parts' sizes.
    pub relative: f64,
}

/// One net along the runs.
#[derive(Debug, Clone, PartialEq)]
pub struct AlongNet {
    /// Its reaction, or `field`.
    pub name: String,
    /// Ids of its inputs.
    pub inputs: Vec<String>,
    /// Least and largest value of each input while measurements were fitted, and over all runs.
    pub fitted: Vec<(f64, f64)>,
    /// As `fitted`, over all runs.
    pub all: Vec<(f64, f64)>,
    /// The runs; none for a net in place of the whole model.
    pub runs: Vec<NetRun>,
}

/// A net along one run.
#[derive(Debug, Clone, PartialEq)]
pub struct NetRun {
    /// The condition; with the one before, if there is one.
    pub condition: String,
    /// The last time of a measurement that was fitted; negative infinity if none was.
    pub fitted_until: f64,
    /// Rows of time, inputs and rate.
    pub rows: Vec<Vec<f64>>,
}

impl AlongNet {
    /// How far input `i` leaves what was fitted, in units of the fitted range.
    pub(super) fn beyond(&self, i: usize) -> f64 {
        let (fitted, all) = (self.fitted[i], self.all[i]);
        let width = (fitted.1 - fitted.0).max(1e-9 * fitted.1.abs()).max(f64::MIN_POSITIVE);
        (fitted.0 - all.0).max(all.1 - fitted.1).max(0.0) / width
    }

    /// How far inputs leave what was fitted, at most, in units of the fitted range; with the input.
    pub fn extrapolation(&self) -> (f64, &str) {
        let beyond = self.inputs.iter().enumerate().map(|(i, id)| (self.beyond(i), id.as_str()));
        beyond.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, ""))
    }
}

impl HybridConfig {
    /// Follows all runs of the problem with these parameters (all of its table, linear scale) to `until`, or to the last time that is
    /// measured, if that is later. `fitted` says of which measurements the parameters come.
    ///
    /// # Errors
    /// [`KineticsError::Condition`] if the model cannot be run; [`KineticsError::Hybrid`] if it does not have the nets.
    pub fn along(
        &self,
        problem: &mut Problem,
        parameters: &[f64],
        until: f64,
        fitted: &dyn Fn(&Measurement) -> bool,
    ) -> Result<Along, KineticsError> {
        let until = until.max(problem.last_time());
        let model = problem.model();
        let mut readings = Vec::new();
        for net in &self.nets {
            for input in &net.inputs {
                let symbol = match model.by_id.get(&input.id) {
                    Some(&q) => Symbol::Quantity(q),
                    None => Symbol::Time, // `apply` has refused all else
                };
                readings.push(Reading::Value(Expr::Leaf(symbol)));
            }
            if let Target::Rate { reaction, .. } = &net.target {
                let r = model.reaction(reaction).map_err(|source| KineticsError::Hybrid { source })?;
                readings.push(Reading::Value(Expr::Leaf(Symbol::Reaction(r))));
            }
        }
        let paths = problem.paths(parameters, until, POINTS, readings, fitted)?;
        let mut first = 0;
        let mut nets = Vec::new();
        for net in &self.nets {
            let has_rate = matches!(net.target, Target::Rate { .. });
            let width = net.inputs.len() + usize::from(has_rate);
            let range = |i: usize, all: bool| {
                let rows = paths.iter().flat_map(|path| {
                    path.times.iter().zip(&path.values).filter(move |(t, _)| all || **t <= path.fitted_until)
                });
                let values = rows.map(|(_, row)| row[first + i]);
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)))
            };
            let run = |path: &Path| {
                let row = |(t, row): (&f64, &Vec<f64>)| [&[*t], &row[first..first + width]].concat();
                NetRun {
                    condition: path.condition.clone(),
                    fitted_until: path.fitted_until,
                    rows: path.times.iter().zip(&path.values).map(row).collect(),
                }
            };
            nets.push(AlongNet {
                name: net.name().to_owned(),
                inputs: net.inputs.iter().map(|x| x.id.clone()).collect(),
                fitted: (0..net.inputs.len()).map(|i| range(i, false)).collect(),
                all: (0..net.inputs.len()).map(|i| range(i, true)).collect(),
                runs: if has_rate { paths.iter().map(run).collect() } else { Vec::new() },
            });
            first += width;
        }
        Ok(Along { nets, conserved: drifts(problem, &paths), lowest: lowest(problem, &paths), until })
    }
}

/// Laws of the problem's stoichiometry; a net in place of all rates of change has none, so that those of the file are what it breaks.
fn drifts(problem: &Problem, paths: &[Path]) -> Vec<Drift> {
    let model = problem.model();
    let drift = |law: Vec<(usize, i64)>| {
        let mut worst = 0.0_f64;
        for path in paths {
            let sum = |y: &[f64]| law.iter().map(|&(i, w)| w as f64 * y[i]).sum::<f64>();
            let parts = |y: &[f64]| law.iter().map(|&(i, w)| (w as f64 * y[i]).abs()).sum::<f64>();
            let size = path.states.iter().map(|y| parts(y)).fold(f64::MIN_POSITIVE, f64::max);
            let start = path.states.first().map_or(0.0, |y| sum(y));
            worst = path.states.iter().map(|y| (sum(y) - start).abs() / size).fold(worst, f64::max);
        }
        Drift { sum: model.sum_text(&law), relative: worst }
    };
    model.conserved().into_iter().map(drift).collect()
}

fn lowest(problem: &Problem, paths: &[Path]) -> (String, f64) {
    let ids = problem.model().state_ids().enumerate();
    let part = |(i, id): (usize, &str)| {
        let values = || paths.iter().flat_map(|path| &path.states).map(move |y| y[i]);
        let largest = values().fold(f64::MIN_POSITIVE, |a, y| a.max(y.abs()));
        (id.to_owned(), values().fold(f64::INFINITY, f64::min) / largest)
    };
    ids.map(part).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}
