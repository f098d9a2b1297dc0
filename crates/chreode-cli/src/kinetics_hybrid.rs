//! `chreode kinetics problem.yaml --hybrid ...`: nets in the model of a problem, and measurements that are held out of a fit.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use chreode_kinetics::{
    Along, HybridConfig, HybridRequest, KineticsError, Likelihood, Measurement, NetOptions, Problem,
    RateRequest, Simulation, Tolerances,
};
use clap::Args;
use serde_json::{Value, json};

use crate::failure::bad_input;
use crate::{Context, values};

/// Nets in a model, and what is held out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Hybrid")]
pub(crate) struct HybridArgs {
    /// A net replaces, corrects (multiplies) or adds to the rate of a reaction, and is fitted with the parameters:
    /// REACTION[:replace|correct|add[:INPUT,INPUT]]; inputs are ids of the model or `time` [default: replace; what the reaction consumes
    /// and its law depends on]; `all` replaces every rate
    #[arg(long, value_name = "RATE")]
    hybrid: Vec<String>,
    /// One net for all rates of change, without mechanism: what a hybrid has to be better than
    #[arg(long, conflicts_with = "hybrid")]
    black_box: bool,
    /// Widths of a net's hidden layers, with commas between [default: 5]
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',')]
    hidden: Vec<usize>,
    /// Standard deviation of the weights' normal prior: smaller is smoother. Of several, with commas between, the one is taken whose fit
    /// predicts what is held out best [default: 1]
    #[arg(long, value_name = "SD", value_delimiter = ',', value_parser = values::positive)]
    weight_sd: Vec<f64>,
    /// Measurements that are not fitted, but predicted: after=TIME or condition=ID
    #[arg(long, value_name = "WHICH")]
    hold_out: Vec<HeldOut>,
    /// With --simulate: the nets and parameters of a fit, hybrid.safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) net: Option<PathBuf>,
}

/// Measurements that are held out.
#[derive(Debug, Clone, PartialEq)]
enum HeldOut {
    After(f64),
    Condition(String),
}

impl FromStr for HeldOut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("after", time)) => match time.parse::<f64>() {
                Ok(time) if !time.is_nan() => Ok(Self::After(time)),
                _ => Err(format!("`{time}` is no time")),
            },
            Some(("condition", id)) if !id.is_empty() => Ok(Self::Condition(id.to_owned())),
            _ => Err("expected after=TIME or condition=ID".into()),
        }
    }
}

impl HeldOut {
    fn holds(&self, m: &Measurement) -> bool {
        match self {
            Self::After(time) => m.time > *time,
            Self::Condition(id) => m.simulation_condition_id == *id,
        }
    }
}

/// A problem that is ready to be fitted.
pub(crate) struct Prepared {
    /// With all measurements, and with those that are fitted, and with those that are not.
    pub(crate) whole: Problem,
    pub(crate) fitted: Problem,
    pub(crate) held: Option<Problem>,
    pub(crate) nets: Option<HybridConfig>,
    pub(crate) weight_sd: f64,
    /// Parameters that nothing depends on any more.
    pub(crate) idle: Vec<String>,
    hold_out: Vec<HeldOut>,
}

impl HybridArgs {
    /// Whether any of them was given, other than the net to simulate with.
    pub(crate) fn given(&self) -> bool {
        let Self { hybrid, black_box, hidden, weight_sd, hold_out, net: _ } = self;
        !hybrid.is_empty()
            || *black_box
            || !hidden.is_empty()
            || !weight_sd.is_empty()
            || !hold_out.is_empty()
    }

    fn request(&self) -> anyhow::Result<Option<HybridRequest>> {
        if self.black_box {
            return Ok(Some(HybridRequest::BlackBox));
        }
        if self.hybrid.is_empty() {
            if !self.hidden.is_empty() || !self.weight_sd.is_empty() {
                let message = "--hidden and --weight-sd are for nets";
                return Err(bad_input(message, "leave them out, or give --hybrid or --black-box"));
            }
            return Ok(None);
        }
        if self.hybrid.iter().any(|x| x == "all") {
            if self.hybrid.len() > 1 {
                return Err(bad_input("--hybrid all takes every reaction", "leave the others out"));
            }
            return Ok(Some(HybridRequest::AllRates));
        }
        let rates = self.hybrid.iter().map(|x| x.parse::<RateRequest>()).collect::<Result<_, _>>();
        let rates = rates.map_err(|error| {
            bad_input(format!("--hybrid: {error}"), "for example --hybrid v2:replace:A,B")
        })?;
        Ok(Some(HybridRequest::Rates(rates)))
    }

    /// The problem, once for each standard deviation of weights.
    pub(crate) fn prepare(
        &self,
        input: &Path,
        tolerances: Tolerances,
        seed: u64,
    ) -> anyhow::Result<Vec<Prepared>> {
        let request = self.request()?;
        let sds = if self.weight_sd.is_empty() {
            vec![NetOptions::default().weight_sd]
        } else {
            self.weight_sd.clone()
        };
        if sds.len() > 1 && self.hold_out.is_empty() {
            let message = "several --weight-sd are compared by what is held out";
            return Err(bad_input(message, "give --hold-out, or one --weight-sd"));
        }
        let plain = Problem::open(input, tolerances)?;
        let mut all = Vec::with_capacity(sds.len());
        for weight_sd in sds {
            let mut options = NetOptions { weight_sd, seed, ..NetOptions::default() };
            if !self.hidden.is_empty() {
                options.hidden.clone_from(&self.hidden);
            }
            let nets = request.as_ref().map(|request| {
                HybridConfig::resolve(&plain, request, &options).map_err(|error| {
                    bad_input(format!("--hybrid: {error}"), "see the reactions of the SBML file")
                })
            });
            let nets = nets.transpose()?;
            let mut whole = match &nets {
                Some(nets) => Problem::open_hybrid(input, tolerances, nets, &options)?,
                None => plain.clone(),
            };
            let idle = if nets.is_some() { whole.fix_idle() } else { Vec::new() };
            let (fitted, held) = whole.split(|m| self.hold_out.iter().any(|x| x.holds(m)));
            let (n_fitted, n_held) = (fitted.measurements().len(), held.measurements().len());
            if !self.hold_out.is_empty() && (n_fitted == 0 || n_held == 0) {
                let message =
                    format!("--hold-out leaves {n_fitted} measurements to fit and {n_held} to predict");
                return Err(bad_input(message, "choose other times or conditions"));
            }
            let held = (n_held > 0).then_some(held);
            let hold_out = self.hold_out.clone();
            all.push(Prepared { whole, fitted, held, nets, weight_sd, idle, hold_out });
        }
        Ok(all)
    }
}

impl Prepared {
    /// How well these parameters predict what is held out; none if nothing is, or if the model cannot be run that far.
    pub(crate) fn held_out(&mut self, context: &Context, parameters: &[f64]) -> Option<Likelihood> {
        let held = self.held.as_mut()?;
        let simulation = warned(context, "what is held out cannot be predicted", held.simulate(parameters))?;
        Some(held.likelihood(&simulation))
    }

    /// What the nets do along the runs, to the last measurement of all, or of those that were fitted.
    pub(crate) fn along(&mut self, context: &Context, parameters: &[f64]) -> anyhow::Result<Option<Along>> {
        let Some(nets) = &self.nets else { return Ok(None) };
        let fitted = |m: &Measurement| !self.hold_out.iter().any(|x| x.holds(m));
        let along = nets.along(&mut self.whole, parameters, 0.0, &fitted);
        if self.held.is_none() {
            return Ok(Some(along?));
        }
        Ok(match warned(context, "the report has only what was fitted", along) {
            Some(along) => Some(along),
            None => Some(nets.along(&mut self.fitted, parameters, 0.0, &|_| true)?),
        })
    }

    /// The problem with all measurements and their simulation, or with those that were fitted, if the model cannot be run further.
    pub(crate) fn simulated(&mut self, parameters: &[f64]) -> anyhow::Result<(&Problem, Simulation)> {
        match self.whole.simulate(parameters) {
            Ok(simulation) => Ok((&self.whole, simulation)),
            Err(error) if self.held.is_none() => Err(error.into()),
            Err(_) => {
                let simulation = self.fitted.simulate(parameters)?;
                Ok((&self.fitted, simulation))
            }
        }
    }

    /// Says in words and as values what a hybrid's fit is like beside its likelihood.
    pub(crate) fn tell(
        &self,
        context: &Context,
        along: Option<&Along>,
        held: Option<&Likelihood>,
    ) -> (Vec<String>, Value) {
        let mut lines = Vec::new();
        if let Some(held) = held {
            lines.push(format!(
                "{} measurements held out: log-likelihood {:.4}, chi-squared {:.4}",
                held.n, held.log_likelihood, held.chi_squared
            ));
        }
        if !self.idle.is_empty() {
            lines.push(format!(
                "not fitted, because nothing depends on them any more: {}",
                self.idle.join(", ")
            ));
        }
        let mut value = json!({ "held_out": held.map(|held| json!({
            "measurements": held.n, "log_likelihood": held.log_likelihood, "chi_squared": held.chi_squared })) });
        if let Some(along) = along {
            let worst = along.conserved.iter().map(|x| x.relative).fold(0.0, f64::max);
            lines.push(format!(
                "nets with weights of {}; {} conserved sums change by at most {worst:.1e}; lowest state {}, at {:.1e} of its largest value",
                self.weight_sd,
                along.conserved.len(),
                along.lowest.0,
                along.lowest.1
            ));
            let mut beyond = Vec::new();
            for net in &along.nets {
                let (by, input) = net.extrapolation();
                if by > 0.1 {
                    context.console.warn(&format!(
                        "the net of {} extrapolates: {input} leaves the range of the fitted measurements by {by:.2} of its width",
                        net.name
                    ));
                }
                beyond.push(json!({ "net": net.name, "input": input, "beyond": by }));
            }
            value["nets"] = json!(beyond);
            value["weight_sd"] = json!(self.weight_sd);
            value["idle"] = json!(self.idle);
            value["conservation"] = json!(worst);
            value["lowest"] = json!({ "state": along.lowest.0, "relative": along.lowest.1 });
        }
        (lines, value)
    }
}

/// What came out, or a warning why nothing did.
fn warned<T>(context: &Context, what: &str, result: Result<T, KineticsError>) -> Option<T> {
    result.map_err(|error| context.console.warn(&format!("{what}: {error}"))).ok()
}
