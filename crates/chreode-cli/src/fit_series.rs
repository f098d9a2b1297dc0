//! `chreode fit --trajectory`: learns a field from measured time series, into a folder that is resumed as a run of cells is.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context as _;
use chreode_cells::run::{ExistingRun, Fingerprint, NewRun, RunError, RunFolder, read_metrics};
use chreode_cells::{SeriesColumns, SeriesData, SeriesResults, SeriesRunConfig, series_page};
use chreode_model::NeuralSde;
use chreode_train::{SeriesConfig, SeriesEvent, SeriesLoss, SeriesProgress, fit_series_from};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::Context;
use crate::failure::{Interrupted, Stopped, bad_input};
use crate::fit::FitArgs;
use crate::training::start_log;
use crate::{interrupt, values};

/// What is made small at the observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Error {
    /// Squared error, in units of each coordinate's spread
    Squared,
    /// Likelihood of normal errors, whose size is learned for each coordinate
    Likelihood,
}

/// What is for measured series alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Measured series")]
pub(crate) struct SeriesArgs {
    /// Column that names the trajectories: the table holds measured time series, one row an observation, instead of cells
    #[arg(long, value_name = "COLUMN", requires = "state",
          conflicts_with_all = ["basis", "id", "genes", "exclude", "layer", "components", "variable_genes", "growth",
              "clone", "no_clone", "labels", "labels_from", "labels_id", "diffusion", "diffusion_rank", "diffusion_hidden", "initial_noise", "learn_growth", "growth_hidden", "growth_limit", "time_input",
              "device", "seeds", "route", "finetune", "coupling_blur", "loss", "blur", "reach", "bandwidth", "scale", "paths", "dt", "time_budget", "batch", "optimiser", "schedule", "clip", "average",
              "holdout_by", "leave_out", "evaluate_every", "patience", "checkpoint_every"])]
    pub(crate) trajectory: Option<String>,
    /// What is made small at the observations [default: squared]
    #[arg(long, value_enum, requires = "trajectory")]
    error: Option<Error>,
    /// Observations in the first windows of multiple shooting [default: a sixteenth of the longest trajectory, at least 4]
    #[arg(long, value_name = "N", value_parser = values::count, requires = "trajectory")]
    window: Option<usize>,
    /// Decay of the weights, against over-fitting [default: 0]
    #[arg(long, value_name = "RATE", value_parser = values::finite, requires = "trajectory")]
    weight_decay: Option<f64>,
    /// Go on to this time beyond the data
    #[arg(long, value_name = "TIME", value_parser = values::finite, requires = "trajectory")]
    until: Option<f64>,
}

/// Fits measured series into a new folder.
pub(crate) fn run(
    context: &Context,
    args: &FitArgs,
    data: &Path,
    out: &Path,
    trajectory: &str,
) -> anyhow::Result<()> {
    let existing = if args.overwrite { ExistingRun::Replace } else { ExistingRun::Keep };
    RunFolder::check_free(out, existing)?;
    // clap asks for the time, and for the state of series.
    let (Some(time), Some(state)) = (&args.cells.time, &args.cells.state) else {
        return Err(bad_input("series need --time and --state", "see `chreode fit --help`"));
    };
    let state: Vec<String> = state.split(',').map(|name| name.trim().to_owned()).collect();
    let columns = SeriesColumns { time: time.clone(), trajectory: trajectory.to_owned(), state };
    let series = SeriesData::load(data, &columns)?;
    for note in &series.notes {
        context.console.note(note);
    }
    let defaults = SeriesConfig::default();
    let training = SeriesConfig {
        seed: context.seed.unwrap_or(0),
        steps: args.training.steps.unwrap_or(defaults.steps),
        window: args.series.window.unwrap_or(0),
        loss: match args.series.error {
            None | Some(Error::Squared) => SeriesLoss::Squared,
            Some(Error::Likelihood) => SeriesLoss::Likelihood,
        },
        learning_rate: args.training.lr.unwrap_or(defaults.learning_rate),
        weight_decay: args.series.weight_decay.unwrap_or(0.0),
        hold_out: args.training.hold_out,
        ..defaults
    };
    training.check_for(&series.series)?;
    let (shift, scale) = series.series.moments();
    let model = args.model.of_series(shift, scale, series.series.mean_gap())?;
    let config = SeriesRunConfig {
        format: SeriesRunConfig::FORMAT,
        chreode: env!("CARGO_PKG_VERSION").to_owned(),
        kind: SeriesRunConfig::KIND.to_owned(),
        file: std::path::absolute(data).with_context(|| format!("the path of {}", data.display()))?,
        fingerprint: Fingerprint::of(data)?,
        columns,
        model,
        training,
        until: args.series.until,
    };
    let NewRun { folder: run, left } = config.create(out, existing)?;
    context.console.warn_of_rest(left.as_deref());
    start_log(run.lock()?);
    learn(context, &run, &series, &config)
}

/// Goes on with a fit that was stopped.
pub(crate) fn resume(context: &Context, path: &Path, names_device: bool) -> anyhow::Result<()> {
    for (given, what) in [(context.seed.is_some(), "--seed"), (names_device, "--device")] {
        if given {
            return Err(bad_input(
                format!("{what} is not for measured series that are resumed"),
                format!("leave {what} out"),
            ));
        }
    }
    let (run, config) = SeriesRunConfig::open(path)?;
    start_log(run.lock()?);
    config.check_unchanged()?;
    let series = SeriesData::load(&config.file, &config.columns)?;
    learn(context, &run, &series, &config)
}

/// Learns from the last checkpoint on, or from the start, and writes what was learned.
fn learn(
    context: &Context,
    run: &RunFolder,
    series: &SeriesData,
    config: &SeriesRunConfig,
) -> anyhow::Result<()> {
    let field = NeuralSde::<f64>::new(config.model.clone()).context("the model cannot be built")?;
    context.console.note(&format!(
        "{} trajectories, {} observations of {} coordinates",
        series.names.len(),
        series.observations(),
        series.series.dim
    ));
    let steps = config.training.warm_start + config.training.steps;
    let (step, from) = match run.last_checkpoint()? {
        Some((step, state)) => {
            context.console.note(&format!("resuming at step {step} of {steps}"));
            (step, Some(state))
        }
        None => (0, None),
    };
    let mut metrics = run.resume_metrics(step)?;
    let mut told = Vec::new();
    for line in read_metrics(&run.metrics())? {
        let line = serde_json::from_value::<SeriesProgress>(line)
            .map_err(|e| RunError::Damaged { path: run.metrics(), detail: e.to_string() })?;
        told.push(line);
    }
    let asked = interrupt::flag()?;
    let started = Instant::now();
    let mut done = step;
    let (mut failed, mut stopped): (Option<RunError>, bool) = (None, false);
    let mut bar = context.console.progress("fitting", steps);
    let first = field.init(config.training.seed);
    let fit =
        fit_series_from(&field, first, &series.series, &config.training, from.as_deref(), &mut |event| {
            if failed.is_some() {
                return ControlFlow::Break(());
            }
            let kept = match event {
                // What is broken off is judged as it is, which no fit that goes on will know.
                SeriesEvent::Progress(_) if stopped => Ok(()),
                SeriesEvent::Progress(p) => {
                    let held = p.hold_out.map_or_else(String::new, |h| format!("  held out {h:.4}"));
                    let stage =
                        p.window.map_or_else(|| "warm start".to_owned(), |w| format!("windows of {w}"));
                    let message = format!("{stage}  loss {:.4}{held}", p.loss);
                    bar.update(p.step, &message, &json!({ "loss": p.loss }));
                    told.push(p.clone());
                    metrics.append(p)
                }
                SeriesEvent::State { step, bytes } => {
                    done = step;
                    metrics.sync().and_then(|()| run.save_checkpoint(step, bytes))
                }
            };
            failed = kept.err();
            stopped |= failed.is_some() || asked.load(Ordering::Relaxed);
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    drop(bar);
    if let Some(error) = failed {
        let resume = resume_command(run);
        return Err(anyhow::Error::from(error).context(Stopped { step: done, resume }));
    }
    let fit = fit?;
    if stopped {
        return Err(Interrupted { step: done, steps, resume: resume_command(run) }.into());
    }
    metrics.sync()?;
    let results = |until| SeriesResults::new(series, &field, &fit, &told, until);
    let results = match (results(config.until), config.until) {
        // What was learned is kept: curves then end with the data.
        (Err(error), Some(until)) => {
            let within = results(None).context("the learned field cannot be followed over the data")?;
            context.console.warn(&format!(
                "curves end with the data, since the learned field cannot be followed to {until}: {error}"
            ));
            within
        }
        (results, _) => results.context("the learned field cannot be followed over the data")?,
    };
    let file = &config.file;
    let title =
        file.file_name().map_or_else(|| file.display().to_string(), |n| n.to_string_lossy().into_owned());
    results.save(run.path())?;
    series_page(&title, &results).write(run.path().join("report.html"))?;
    let seconds = started.elapsed().as_secs_f64();
    let held =
        fit.hold_out.map_or_else(String::new, |h| format!(", {h:.4} at the {} held out", fit.held_out.len()));
    let text = format!(
        "loss {:.4}{held} after {} updates and {seconds:.1} s; model, curves and report.html are in {}",
        fit.loss,
        fit.step,
        run.path().display()
    );
    let value = json!({
        "out": run.path(), "loss": fit.loss, "hold_out": fit.hold_out, "residual": fit.residual, "step": fit.step,
        "seconds": seconds,
    });
    context.console.result(&text, "fitted", value);
    Ok(())
}

fn resume_command(run: &RunFolder) -> String {
    format!("chreode fit --resume {}", run.path().display())
}
