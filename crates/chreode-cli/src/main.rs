//! The program `chreode`: learns drift, diffusion and growth from snapshots of single cells, then simulates,
//! predicts fates, screens perturbations and reports.
//!
//! One file a command, each with its options and one `run` function; [`console`] is the one place that prints,
//! [`failure`] the one that turns errors into a message, a hint and an exit code.

mod clones;
mod console;
mod data_options;
mod demo;
mod device;
mod evaluate;
mod failure;
mod fate;
mod fit;
mod fit_series;
mod hints;
mod info;
mod interrupt;
mod kinetics;
mod kinetics_fit;
mod kinetics_hybrid;
mod kinetics_langevin;
mod labels;
mod members;
mod model_options;
mod perturb;
mod report;
mod simulate;
mod start;
mod training;
mod training_options;
mod values;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use console::Console;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 2 bad input or usage (one line says what, and a hint says what to do); 1 an error inside
chreode; 130 interrupted, with everything so far kept (`chreode fit --resume run/` continues).";

/// Neural differential equations of cell dynamics: learn dX = f(X) dt + g(X) dW from snapshots of single cells.
#[derive(Debug, Parser)]
#[command(name = "chreode", version, after_help = AFTER_HELP, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Threads to use; results have the same bits for any number [default: all]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options",
          value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Seed of every random number; the same seed gives the same bits [default: 0, or the run's for commands on a run]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options")]
    seed: Option<u64>,
    /// Print errors only
    #[arg(short, long, global = true, help_heading = "Global options")]
    quiet: bool,
    /// Print progress, results and errors as JSON, one object a line, on standard output
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Learn drift, diffusion and growth from snapshots of single cells
    Fit(Box<fit::FitArgs>),
    /// Simulate cells forward in time with a fitted model
    Simulate(simulate::SimulateArgs),
    /// Predict the fates of cells, as probabilities of labels
    Fate(fate::FateArgs),
    /// Judge a model by a time that it was not fitted on, beside references
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Predict how fates shift when genes are set at the start or held along the paths
    Perturb(perturb::PerturbArgs),
    /// Simulate a kinetic model in SBML, or simulate and fit the measurements of a PEtab problem
    Kinetics(kinetics::KineticsArgs),
    /// Write what a run learned, and what to distrust, as one HTML page
    Report(report::ReportArgs),
    /// Do the whole job on simulated blood cells whose truth is known; needs no data
    Demo(demo::DemoArgs),
    /// Show what chreode sees of this machine: processor features, threads, memory
    Info,
}

/// What every command is given.
struct Context {
    console: Console,
    seed: Option<u64>,
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let context = Context { console: Console::new(cli.global.quiet, cli.global.json), seed: cli.global.seed };
    if let Some(threads) = cli.global.threads {
        rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global()?;
    }
    match cli.command {
        Command::Fit(args) => fit::run(&context, &args),
        Command::Simulate(args) => simulate::run(&context, &args),
        Command::Fate(args) => fate::run(&context, &args),
        Command::Evaluate(args) => evaluate::run(&context, &args),
        Command::Perturb(args) => perturb::run(&context, &args),
        Command::Kinetics(args) => kinetics::run(&context, &args),
        Command::Report(args) => report::run(&context, &args),
        Command::Demo(args) => demo::run(&context, &args),
        Command::Info => {
            info::run(&context);
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let json = cli.global.json;
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(cli))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failure::report(&error, json),
        // The panic's own message is already on standard error.
        Err(_) => failure::panicked(json),
    }
}
