//! `chreode kinetics`: a kinetic model by itself, or the measurements of a problem (fits: `kinetics_fit.rs`).

use std::path::{Path, PathBuf};
use std::time::Instant;

use chreode_core::write_atomically;
use chreode_kinetics::{HybridConfig, LangevinOptions, Model, NetOptions, Problem, Simulator, Tolerances};
use clap::Args;
use serde_json::json;

use crate::Context;
use crate::failure::bad_input;
use crate::{hints, kinetics_fit, kinetics_hybrid, kinetics_langevin, values};

/// Simulate a kinetic model in SBML, or simulate and fit the measurements of a PEtab problem.
///
/// A model (.xml or .sbml, levels 1 to 3) runs from time 0 to --until and is saved at --points times, both ends included
/// (51 points are 50 equal steps), as .csv: time, then species, compartments, and parameters and stoichiometries that may
/// vary, by id, then those that are plain constants, and the rates of the reactions. Species are amounts.
///
/// A problem (.yaml, PEtab 1) with --simulate writes a PEtab table of simulations at the nominal parameters: one row for each
/// measurement, in their order, on the observable's linear scale. The log-likelihood of the measurements is printed.
///
/// Without --simulate a problem is fitted: from many starts, on the parameters' scales, within their bounds, with exact gradients and the
/// problem's priors. The folder -o holds parameters.tsv (the parameter table with the best values), fits.csv, simulation.tsv,
/// residuals.csv, report.html and, with --profiles, profiles.csv and intervals.csv (95 %). Results have the same bits for any number of
/// threads.
///
/// With --hybrid, nets replace or correct rates of the model. Their weights are parameters with priors and are fitted with all others; what
/// the file's stoichiometry conserves stays conserved, and a rate that a net gives vanishes with what it consumes. The folder has
/// hybrid.safetensors too: the nets and all parameters, for --simulate --net. Parameters that only a replaced law had are not fitted.
///
/// With --langevin, the reactions of a model have chemical noise, one Brownian motion for each way of each. Events, rate rules and
/// computed stoichiometries are refused. A problem, with --simulate, runs its model under one --condition, at the nominal parameters or
/// those of --net. The table has time, id, mean, sd, q05, q25, median, q75 and q95 of many --paths.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chreode kinetics model.xml --until 10 --points 51 -o out.csv
  chreode kinetics model.xml --until 10 --langevin 1000 --paths 500 -o noise.csv
  chreode kinetics problem.yaml --simulate -o sim.tsv
  chreode kinetics problem.yaml --starts 20 --profiles all -o fit/
  chreode kinetics problem.yaml --hybrid v2:replace:A,B --hold-out after=60 -o fit/
  chreode kinetics problem.yaml --simulate --net fit/hybrid.safetensors -o sim.tsv")]
pub(crate) struct KineticsArgs {
    /// An SBML model (.xml, .sbml) or a PEtab problem (.yaml, .yml)
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Model, or noise: the time to run to
    #[arg(long, value_name = "TIME", value_parser = values::positive, help_heading = "Model")]
    until: Option<f64>,
    /// Model, or noise: number of times to save, ends included [default: 101]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..), help_heading = "Model")]
    points: Option<u32>,
    /// Model, or noise: write species as concentrations
    #[arg(long, help_heading = "Model")]
    concentrations: bool,
    /// Problem: write what the measurements would be at the nominal parameters
    #[arg(long, help_heading = "Problem")]
    simulate: bool,
    #[command(flatten)]
    fit: kinetics_fit::FitArgs,
    #[command(flatten)]
    noise: kinetics_langevin::LangevinArgs,
    #[command(flatten)]
    hybrid: kinetics_hybrid::HybridArgs,
    /// Relative tolerance of the integrator [default: 1e-9; fits 1e-7]
    #[arg(long, value_name = "X", value_parser = values::positive, help_heading = "Accuracy")]
    rtol: Option<f64>,
    /// Absolute tolerance of the integrator, in units of the states (of the largest one at the start, if that is below 1) [default: 1e-13;
    /// fits 1e-11]
    #[arg(long, value_name = "X", value_parser = values::positive, help_heading = "Accuracy")]
    atol: Option<f64>,
    /// File to write: .csv for a model, .tsv for simulations of a problem; or the folder of a fit
    #[arg(short, long, value_name = "PATH")]
    out: PathBuf,
}

/// Simulates a model or a problem.
pub(crate) fn run(context: &Context, args: &KineticsArgs) -> anyhow::Result<()> {
    let ends = |kinds: &[&str]| {
        let extension = args.input.extension().unwrap_or_default();
        kinds.iter().any(|kind| extension.eq_ignore_ascii_case(kind))
    };
    // A fit forgives more than a comparison of simulations.
    let fits = ends(&["yaml", "yml"]) && !args.simulate;
    let default = if fits { Tolerances { rtol: 1e-7, atol: 1e-11 } } else { Tolerances::default() };
    let tolerances =
        Tolerances { rtol: args.rtol.unwrap_or(default.rtol), atol: args.atol.unwrap_or(default.atol) };
    if !fits && args.fit.given() {
        let message = "--starts, --draws, --hops, --from-nominal, --method, --iterations, --seconds, --profiles and --force are for fits of problems";
        return Err(bad_input(message, "leave them out, or give a .yaml file without --simulate"));
    }
    if !fits && args.hybrid.given() {
        let message = "--hybrid, --black-box, --hidden, --weight-sd and --hold-out are for fits of problems";
        return Err(bad_input(message, "leave them out, or give a .yaml file without --simulate"));
    }
    if args.hybrid.net.is_some() && !args.simulate {
        return Err(bad_input("--net is for --simulate", "give both, or leave it out"));
    }
    if ends(&["yaml", "yml"]) {
        problem(context, args, tolerances)
    } else if ends(&["xml", "sbml"]) {
        model(context, args, tolerances)
    } else {
        Err(bad_input(
            format!("cannot tell what {} is", args.input.display()),
            "let its name end in .xml or .sbml (a model), or in .yaml or .yml (a problem)",
        ))
    }
}

impl KineticsArgs {
    /// Noisy paths have steps that follow from the state: no integrator takes part.
    fn refuse_tolerances(&self) -> anyhow::Result<()> {
        if self.rtol.is_none() && self.atol.is_none() {
            return Ok(());
        }
        let hint = "leave them out; --longest-step bounds the steps";
        Err(bad_input("--rtol and --atol have no effect on chemical noise", hint))
    }

    /// The times at which a run is saved.
    fn times(&self) -> anyhow::Result<Vec<f64>> {
        let Some(until) = self.until else {
            return Err(bad_input("a model needs a time to run to", "give --until"));
        };
        let intervals = self.points.unwrap_or(101) - 1;
        Ok((0..=intervals).map(|i| until * f64::from(i) / f64::from(intervals)).collect())
    }
}

/// Writes a file whole, or not at all.
pub(crate) fn write(
    path: &Path,
    f: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    write_atomically(path, |out| f(out)).map_err(|source| {
        let hint = hints::write(&source);
        bad_input(format!("cannot write {}: {source}", path.display()), hint)
    })
}

fn model(context: &Context, args: &KineticsArgs, tolerances: Tolerances) -> anyhow::Result<()> {
    if args.simulate {
        return Err(bad_input("--simulate is for problems", "leave it out, or give a .yaml file"));
    }
    if args.noise.condition.is_some() {
        return Err(bad_input("--condition is for problems", "leave it out, or give a .yaml file"));
    }
    let times = args.times()?;
    let model = Model::open(&args.input)?;
    if let Some(options) = args.noise.options(context.seed.unwrap_or(0)) {
        args.refuse_tolerances()?;
        let mut simulator = Simulator::new(model, tolerances);
        let mut run = || Ok(simulator.langevin(&times, args.concentrations, &options)?);
        return args.noise.run(context, &args.out, &mut run);
    }
    let (states, reactions) = (model.n_states(), model.n_reactions());
    let started = Instant::now();
    let trajectory = Simulator::new(model, tolerances).trajectory(&times, args.concentrations)?;
    let seconds = started.elapsed().as_secs_f64();
    write(&args.out, |out| trajectory.write_csv(out))?;
    let text = format!(
        "{states} states, {reactions} reactions, simulated in {:.1} ms; {} times written to {}",
        1e3 * seconds,
        times.len(),
        args.out.display()
    );
    let value = json!({ "states": states, "reactions": reactions, "seconds": seconds, "rows": times.len(), "out": args.out });
    context.console.result(&text, "simulated", value);
    Ok(())
}

fn problem(context: &Context, args: &KineticsArgs, tolerances: Tolerances) -> anyhow::Result<()> {
    let noise = args.noise.options(context.seed.unwrap_or(0));
    if noise.is_some() && !args.simulate {
        return Err(bad_input("--langevin is for simulations", "give --simulate, or leave it out"));
    }
    if noise.is_none() && (args.until.is_some() || args.points.is_some() || args.concentrations) {
        let message = "--until, --points and --concentrations are for models, and for --langevin";
        return Err(bad_input(message, "leave them out: a problem has its own times and observables"));
    }
    if !args.simulate {
        return kinetics_fit::run(context, &args.input, &args.out, tolerances, &args.fit, &args.hybrid);
    }
    let (mut problem, nominal) = match &args.hybrid.net {
        None => {
            let problem = Problem::open(&args.input, tolerances)?;
            let nominal = problem.nominal();
            (problem, nominal)
        }
        Some(file) => {
            let (nets, parameters) = HybridConfig::load(file)?;
            (Problem::open_hybrid(&args.input, tolerances, &nets, &NetOptions::default())?, parameters)
        }
    };
    let unset: Vec<&str> = problem
        .parameters()
        .iter()
        .zip(&nominal)
        .filter(|(_, x)| x.is_nan())
        .map(|(row, _)| row.id.as_str())
        .collect();
    if !unset.is_empty() {
        let message = format!("parameters without a nominal value: {}", unset.join(", "));
        return Err(bad_input(message, "fill in the column nominalValue of the parameter table"));
    }
    if let Some(options) = noise {
        return noisy_problem(context, args, &mut problem, &nominal, &options);
    }
    let started = Instant::now();
    let simulation = problem.simulate(&nominal)?;
    let seconds = started.elapsed().as_secs_f64();
    let likelihood = problem.likelihood(&simulation);
    write(&args.out, |out| problem.write_simulation(&simulation, out))?;
    let (states, reactions) = (problem.model().n_states(), problem.model().n_reactions());
    let text = format!(
        "{states} states, {reactions} reactions, {} conditions, simulated in {:.1} ms\nlog-likelihood {} at the {} \
         ({} measurements, chi-squared {})\nsimulations written to {}",
        problem.n_conditions(),
        1e3 * seconds,
        likelihood.log_likelihood,
        if args.hybrid.net.is_some() { "parameters of the net's fit" } else { "nominal parameters" },
        likelihood.n,
        likelihood.chi_squared,
        args.out.display()
    );
    let value = json!({
        "states": states, "reactions": reactions, "conditions": problem.n_conditions(), "measurements": likelihood.n,
        "log_likelihood": likelihood.log_likelihood, "chi_squared": likelihood.chi_squared, "seconds": seconds,
        "out": args.out,
    });
    context.console.result(&text, "simulated", value);
    Ok(())
}

/// Runs the model of a problem under one condition, with chemical noise.
fn noisy_problem(
    context: &Context,
    args: &KineticsArgs,
    problem: &mut Problem,
    parameters: &[f64],
    options: &LangevinOptions,
) -> anyhow::Result<()> {
    let times = args.times()?;
    let asked = match (&args.noise.condition, problem.measurements().first()) {
        (Some(asked), _) => asked.clone(),
        (None, Some(m)) if m.preequilibration_condition_id.is_empty() => m.simulation_condition_id.clone(),
        (None, Some(m)) => format!("{},{}", m.preequilibration_condition_id, m.simulation_condition_id),
        (None, None) => return Err(bad_input("the problem has no measurement", "give --condition")),
    };
    let condition = match asked.split_once(',') {
        Some((before, id)) => (Some(before), id),
        None => (None, asked.as_str()),
    };
    // What comes to rest before is integrated.
    if condition.0.is_none() {
        args.refuse_tolerances()?;
    }
    let mut run = || Ok(problem.langevin(parameters, condition, &times, args.concentrations, options)?);
    args.noise.run(context, &args.out, &mut run)
}
