//! `chreode fit --trajectory`: learns a field from measured time series.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context as _;
use chreode_cells::run::{ExistingRun, Fingerprint, RunFolder};
use chreode_cells::{SeriesColumns, SeriesData, SeriesResults, SeriesRunConfig, StagedFolder, series_page};
use chreode_model::NeuralSde;
use chreode_train::{SeriesConfig, SeriesLoss, fit_series};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::Context;
use crate::failure::bad_input;
use crate::fit::FitArgs;
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
              "labels", "labels_from", "labels_id", "diffusion", "diffusion_rank", "diffusion_hidden", "initial_noise", "learn_growth", "time_input",
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
    training.check()?;
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
    };
    let field = NeuralSde::<f64>::new(config.model.clone()).context("the model cannot be built")?;
    context.console.note(&format!(
        "{} trajectories, {} observations of {} coordinates",
        series.names.len(),
        series.observations(),
        series.series.dim
    ));
    let asked = interrupt::flag()?;
    let started = Instant::now();
    let mut told = Vec::new();
    let mut bar = context.console.progress("fitting", config.training.warm_start + config.training.steps);
    let first = field.init(config.training.seed);
    let fit = fit_series(&field, first, &series.series, &config.training, &mut |p| {
        let held = p.hold_out.map_or_else(String::new, |h| format!("  held out {h:.4}"));
        let stage = p.window.map_or_else(|| "warm start".to_owned(), |w| format!("windows of {w}"));
        bar.update(p.step, &format!("{stage}  loss {:.4}{held}", p.loss), &json!({ "loss": p.loss }));
        told.push(p.clone());
        if asked.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(bar);
    if asked.load(Ordering::Relaxed) {
        context.console.warn("interrupted: the fit is written as far as it came");
    }
    let results = SeriesResults::new(&series, &field, &fit, &told, args.series.until)
        .context("the learned field cannot be followed as far as asked")?;
    let title =
        data.file_name().map_or_else(|| data.display().to_string(), |n| n.to_string_lossy().into_owned());
    let page = series_page(&title, &results);
    let staged = StagedFolder::new(out)?;
    config.save(staged.path())?;
    results.save(staged.path())?;
    page.write(staged.path().join("report.html"))?;
    let left = staged.put_in_place()?;
    context.console.warn_of_rest(left.as_deref());
    let seconds = started.elapsed().as_secs_f64();
    let held =
        fit.hold_out.map_or_else(String::new, |h| format!(", {h:.4} at the {} held out", fit.held_out.len()));
    let text = format!(
        "loss {:.4}{held} after {} updates and {seconds:.1} s; model, curves and report.html are in {}",
        fit.loss,
        fit.step,
        out.display()
    );
    let value = json!({
        "out": out, "loss": fit.loss, "hold_out": fit.hold_out, "residual": fit.residual, "step": fit.step, "seconds": seconds,
    });
    context.console.result(&text, "fitted", value);
    Ok(())
}
