//! `chreode fit`: learns a model from snapshots, into a run folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chreode_cells::run::{DataConfig, ExistingRun, Fingerprint, NewRun, RunConfig, RunFolder, TrainingCells};
use chreode_cells::{Dataset, DatasetOptions, Memory, TimePoint, bytes, is_series_run, mean_and_sd_of};
use chreode_model::NeuralSde;
use chreode_train::{
    DeviceChoice, GrowthUse, Snapshots, States, StopReason, TrainConfig, TrainError, Trainer, choose_growth,
};
use clap::Args;
use serde_json::json;

use crate::Context;
use crate::clones;
use crate::data_options::DataArgs;
use crate::device::{Device, describe_place};
use crate::failure::bad_input;
use crate::fit_series::{self, SeriesArgs};
use crate::info::{meminfo, peak_memory};
use crate::members::{BESIDE_CELLS, Ended, train_members};
use crate::model_options::{LearnGrowth, ModelArgs};
use crate::training::{RunTrainer, start_log};
use crate::training_options::TrainingArgs;
use crate::values;

/// Learn drift, diffusion and growth from snapshots of single cells.
///
/// Reads cells whose time is known, brings them into a state space (their PCA, or the columns given), and learns
/// dX = f(X) dt + g(X) dW so that simulated cells match the observed ones at every later time. Leaves a run folder
/// that the other commands read. Stopped at any moment, it continues with --resume to the same result.
///
/// With --trajectory, learns dx/dt = f(x) from measured time series instead: a table with one row an observation.
#[derive(Debug, Args)]
#[command(
    override_usage = "chreode fit [OPTIONS] <DATA> --time <COLUMN> --out <DIR>\n       chreode fit --resume <DIR>",
    after_help = "Examples:\n  chreode fit cells.h5ad --time day -o run/\n  \
        chreode fit cells.csv.gz --time day --state spring_x,spring_y -o run/\n  \
        chreode fit series.csv --time t --trajectory id --state a,b,c -o run/\n  \
        chreode fit --resume run/"
)]
pub(crate) struct FitArgs {
    /// Cells: .h5ad of AnnData, or CSV/TSV, plain or gzipped
    #[arg(value_name = "DATA", required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// Continue this run where it was stopped; all settings are the run's
    #[arg(long, value_name = "DIR",
          conflicts_with_all = ["data", "out", "overwrite", "seeds", "DataArgs", "ModelArgs", "TrainingArgs", "SeriesArgs"])]
    resume: Option<PathBuf>,
    /// Run folder to make
    #[arg(short, long, value_name = "DIR", required_unless_present = "resume")]
    out: Option<PathBuf>,
    /// Replace the run that is in the way
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Train so many members with consecutive seeds, judged by the same held-out cells; other commands average over those that did
    /// not go astray, and say how far they disagree
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::count)]
    seeds: usize,
    /// Where paths are simulated [default: cpu, or the run's with --resume]
    #[arg(long, value_enum, value_name = "DEVICE")]
    device: Option<Device>,
    /// Most memory to take, such as 2GB; what does not fit lies in a file beside the run while it is made [default: half of what is free, 1 GiB at least]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    memory: Option<u64>,
    #[command(flatten)]
    pub(crate) cells: DataArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) series: SeriesArgs,
}

/// Fits a new run, or goes on with an old one.
pub(crate) fn run(context: &Context, args: &FitArgs) -> anyhow::Result<()> {
    match (&args.resume, &args.data, &args.out) {
        (Some(path), _, _) if is_series_run(path) => fit_series::resume(context, path, args.device.is_some()),
        (Some(path), _, _) => resume(context, path, args.device, args.memory),
        (None, Some(data), Some(out)) => match &args.series.trajectory {
            Some(trajectory) => fit_series::run(context, args, data, out, trajectory),
            None => fit(context, args, data, out),
        },
        // clap asks for both unless a run is resumed.
        _ => Err(bad_input("neither data nor a run to resume is given", "see `chreode fit --help`")),
    }
}

fn fit(context: &Context, args: &FitArgs, data: &Path, out: &Path) -> anyhow::Result<()> {
    let existing = if args.overwrite { ExistingRun::Replace } else { ExistingRun::Keep };
    RunFolder::check_free(out, existing)?;
    let device = args.device.map_or_else(DeviceChoice::default, DeviceChoice::from);
    // Where no device is found all is as without the option.
    let on_device = device.finds_device();
    let memory = memory_for(args.memory, out);
    let (dataset, mut config) =
        prepare(context, data, &args.cells, &args.model, &args.training, on_device, &memory)?;
    config.device = device;
    config.members = args.seeds;
    let seed = config.training.seed;
    let mut trainer = trainer(&dataset, &RunConfig { training: config.training_of(0), ..config.clone() })?;
    let place = trainer.place(config.device)?;
    let cells = training_cells(&dataset, &trainer, seed)?;
    let clones = clones::held_out(&dataset, &trainer, &config);
    let NewRun { folder: run, left } = RunFolder::create(out, existing, &config, |new| {
        cells.save(&new.training_cells())?;
        new.create_members(config.members)?;
        if let Some(clones) = &clones {
            new.save_clones(clones)?;
        }
        new.save_state_space(&dataset.space)
    })?;
    context.console.warn_of_rest(left.as_deref());
    start_log(run.lock()?);
    describe(context, &dataset, &config);
    describe_place(context, &place);
    drop(cells);
    let outcomes = train_members(context, &run, dataset, &config, Some(trainer), config.device, &memory)?;
    finish(context, &run, &outcomes, &memory);
    Ok(())
}

/// Memory that a fit may take at least, if nothing was said, in bytes: enough for millions of cells, and to be had on any machine.
const LEAST_LIMIT: u64 = 1 << 30;

/// The memory of a fit: as much as was asked for, or half of what is free. What does not fit goes to the folder of `out`.
pub(crate) fn memory_for(asked: Option<u64>, out: &Path) -> Memory {
    let limit =
        asked.or_else(|| meminfo("MemAvailable").map(|free| (free / 2).max(LEAST_LIMIT))).unwrap_or(u64::MAX);
    // The folder itself may be there only when the cells have been read.
    let above = out.ancestors().skip(1).find(|path| path.is_dir());
    let scratch = above.map_or_else(|| PathBuf::from("."), Path::to_owned);
    Memory { limit, beside: BESIDE_CELLS as u64, scratch }
}

/// Reads the cells, and brings data, model and training together.
pub(crate) fn prepare(
    context: &Context,
    data: &Path,
    cells: &DataArgs,
    model: &ModelArgs,
    training: &TrainingArgs,
    on_device: bool,
    memory: &Memory,
) -> anyhow::Result<(Dataset, RunConfig)> {
    let seed = context.seed.unwrap_or(0);
    clones::check_options(cells, training)?;
    let options = cells.options(training.holdout_by.as_deref(), seed);
    let dataset = Dataset::load_within(data, &options, memory)?;
    dataset.check_for_fitting()?;
    if let Some(column) = &cells.within {
        dataset.check_populations(column, &dataset.time_points())?;
    }
    if let Some(column) = &cells.clone {
        dataset.check_clones(column, &dataset.time_points())?;
    }
    for left_out in &training.leave_out {
        if left_out.column != dataset.time_column {
            return Err(bad_input(
                format!("--leave-out {}: the column of the times is `{}`", left_out, dataset.time_column),
                format!("write --leave-out {}={}", dataset.time_column, left_out.value),
            ));
        }
        dataset.rows_at(left_out.value)?;
    }
    let points: Vec<TimePoint> = dataset.time_points();
    let kept: Vec<&TimePoint> =
        points.iter().filter(|p| !training.leave_out.iter().any(|l| l.value == p.time)).collect();
    let gap = match (kept.first(), kept.last()) {
        (Some(first), Some(last)) if kept.len() > 1 => (last.time - first.time) / (kept.len() - 1) as f64,
        _ => {
            return Err(bad_input(
                "--leave-out leaves fewer than two times to learn from",
                "leave out fewer times",
            ));
        }
    };
    // A device is there to simulate.
    let by_matching = training.by_matching(model.takes_time() && !on_device);
    if model.is_production() {
        check_amounts(&dataset)?;
    }
    let (shift, scale) = moments(&dataset, &kept)?;
    let times: Vec<f64> = kept.iter().map(|point| point.time).collect();
    let mut training =
        training.config(cells.clone.is_some(), seed, gap, model.has_noise_of_blur(), by_matching)?;
    let growth_choice = match model.learn_growth {
        LearnGrowth::Auto if by_matching && cells.growth.is_none() => {
            Some(choose_growth(&snapshots(&dataset, &training), &training)?)
        }
        _ => None,
    };
    let asked = model.learn_growth == LearnGrowth::Yes;
    training.growth = if cells.growth.is_some() {
        GrowthUse::Column
    } else if asked || growth_choice.as_ref().is_some_and(|choice| choice.learned) {
        GrowthUse::Learned
    } else {
        GrowthUse::None
    };
    let learned = training.growth == GrowthUse::Learned;
    if !learned && growth_choice.is_none() {
        model.without_growth()?;
    }
    let config = RunConfig {
        format: RunConfig::FORMAT,
        chreode: env!("CARGO_PKG_VERSION").to_owned(),
        device: DeviceChoice::default(),
        members: 1,
        data: DataConfig {
            file: std::path::absolute(data).with_context(|| format!("the path of {}", data.display()))?,
            fingerprint: Fingerprint::of(data)?,
            options: absolute(options)?,
        },
        model: model.config(shift, scale, &times, gap, by_matching, learned)?,
        training,
        growth_choice,
    };
    Ok((dataset, config))
}

fn resume(context: &Context, path: &Path, device: Option<Device>, memory: Option<u64>) -> anyhow::Result<()> {
    if context.seed.is_some() {
        return Err(bad_input("--seed is the run's own when it is resumed", "leave --seed out"));
    }
    let (run, config) = RunFolder::open(path)?;
    start_log(run.lock()?);
    config.data.check_unchanged()?;
    // Labels have no part in a training, and the run keeps them for the report: their table may be gone.
    let options =
        DatasetOptions { labels: None, labels_from: None, labels_id: None, ..config.data.options.clone() };
    let memory = memory_for(memory, run.path());
    let dataset = Dataset::load_into_within(&config.data.file, &options, &run.load_state_space()?, &memory)?;
    let device = device.map_or(config.device, DeviceChoice::from);
    let outcomes = train_members(context, &run, dataset, &config, None, device, &memory)?;
    finish(context, &run, &outcomes, &memory);
    Ok(())
}

/// Options that mean the same from any working directory.
fn absolute(mut options: DatasetOptions) -> anyhow::Result<DatasetOptions> {
    if let Some(from) = &mut options.labels_from {
        *from = std::path::absolute(&*from).with_context(|| format!("the path of {}", from.display()))?;
    }
    Ok(options)
}

/// Mean and standard deviation of each coordinate over the cells of some times.
fn moments(dataset: &Dataset, points: &[&TimePoint]) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let d = dataset.dim();
    let states: Vec<States<f32>> = points.iter().map(|p| dataset.states.select(d, &p.rows)).collect();
    let (mean, mut sd) = mean_and_sd_of(&states.iter().collect::<Vec<_>>(), d, 0)?;
    // A coordinate that never varies keeps its units.
    sd.iter_mut().filter(|s| **s == 0.0).for_each(|s| *s = 1.0);
    Ok((mean, sd))
}

/// A production drift is for amounts: refuses data with a negative state.
pub(crate) fn check_amounts(dataset: &Dataset) -> anyhow::Result<()> {
    let d = dataset.dim();
    let mut found = None;
    dataset.states.each_block(d, |first, block| {
        if let (None, Some(i)) = (found, block.iter().position(|&x| x < 0.0)) {
            found = Some((first + i / d, i % d, block[i]));
        }
        Ok::<_, TrainError>(())
    })?;
    match found {
        Some((row, coordinate, x)) => Err(bad_input(
            format!(
                "a production drift is for amounts, but `{}` of cell `{}` is {x}",
                dataset.space.coordinate_names()[coordinate],
                dataset.ids[row],
            ),
            "choose --drift mlp, or a state that is not negative with --state",
        )),
        None => Ok(()),
    }
}

/// The trainer of a run at step zero.
pub(crate) fn trainer(dataset: &Dataset, config: &RunConfig) -> anyhow::Result<RunTrainer> {
    let sde = NeuralSde::<f32>::new(config.model.clone()).context("the model cannot be built")?;
    let params = sde.init(config.training.seed);
    Ok(Trainer::new(sde, params, snapshots(dataset, &config.training), config.training.clone())?)
}

/// The trainer of a run where its checkpoint `state` says.
pub(crate) fn resumed(dataset: &Dataset, config: &RunConfig, state: &[u8]) -> anyhow::Result<RunTrainer> {
    let sde = NeuralSde::<f32>::new(config.model.clone()).context("the model cannot be built")?;
    let params = sde.init(config.training.seed);
    Ok(Trainer::resumed(sde, params, snapshots(dataset, &config.training), config.training.clone(), state)?)
}

/// The cells by time, with what the training uses of them.
fn snapshots(dataset: &Dataset, training: &TrainConfig) -> Snapshots<f32> {
    let points = dataset.time_points();
    let growth = dataset.growth.as_ref().filter(|_| training.growth == GrowthUse::Column);
    Snapshots {
        dim: dataset.dim(),
        times: points.iter().map(|p| p.time).collect(),
        states: points.iter().map(|p| dataset.states.select(dataset.dim(), &p.rows)).collect(),
        growth: growth.map_or_else(Vec::new, |growth| {
            points.iter().map(|p| p.rows.iter().map(|&row| growth[row] as f32).collect()).collect()
        }),
        groups: dataset.clones.as_ref().map_or_else(Vec::new, |clones| {
            let code = |&row: &usize| clones.code(row).map(|c| c as u64);
            points.iter().map(|p| p.rows.iter().map(code).collect()).collect()
        }),
        populations: dataset.population_codes(&points),
    }
}

/// Cells of the data that the run keeps, in the order of the file; those of a time left out count as held out.
fn training_cells(dataset: &Dataset, trainer: &RunTrainer, seed: u64) -> anyhow::Result<TrainingCells> {
    let mut held_out = vec![false; dataset.len()];
    for (time, point) in dataset.time_points().iter().enumerate() {
        if trainer.left_out_times().contains(&time) {
            point.rows.iter().for_each(|&row| held_out[row] = true);
        }
        for &i in &trainer.split().hold_out[time] {
            held_out[point.rows[i as usize]] = true;
        }
    }
    let rows = TrainingCells::rows(dataset.len(), seed);
    let growth = dataset.growth.as_ref().filter(|_| trainer.config().growth == GrowthUse::Column);
    Ok(TrainingCells {
        dim: dataset.dim(),
        states: dataset.states_of(&rows)?,
        times: rows.iter().map(|&row| dataset.times[row]).collect(),
        ids: rows.iter().map(|&row| dataset.ids[row].clone()).collect(),
        held_out: rows.iter().map(|&row| held_out[row]).collect(),
        labels: dataset.labels.as_ref().map(|labels| labels.select(&rows)),
        growth: growth.map(|rates| rows.iter().map(|&row| rates[row] as f32).collect()),
        populations: dataset.populations.as_ref().map(|populations| populations.select(&rows)),
        clones: dataset.clones.as_ref().map(|clones| clones.select(&rows)),
    })
}

pub(crate) fn describe(context: &Context, dataset: &Dataset, config: &RunConfig) {
    let console = context.console;
    for note in &dataset.notes {
        console.note(note);
    }
    let times: Vec<String> =
        dataset.time_points().iter().map(|p| format!("{} ({} cells)", p.time, p.rows.len())).collect();
    console.note(&format!(
        "{} cells, {} coordinates, times {}",
        dataset.len(),
        dataset.dim(),
        times.join(", ")
    ));
    if let Some(populations) = &dataset.populations {
        let (counts, there) = (populations.counts(), dataset.populations_there());
        let told = there.iter().map(|&p| format!("{} ({} cells)", populations.names()[p], counts[p]));
        let column = config.data.options.within.as_deref().unwrap_or_default();
        console.note(&format!("coupled within `{column}`: {}", told.collect::<Vec<_>>().join(", ")));
    }
    clones::describe(context, dataset, config);
    let route = if config.training.matching.is_some() { "matching" } else { "simulation" };
    console.note(&format!(
        "drift {} by {route}, at most {} updates of {} cells a time, dt {}",
        config.model.drift.kind, config.training.steps, config.training.batch, config.training.dt
    ));
    if let Some(choice) = &config.growth_choice {
        console.note(&choice.told());
    }
}

fn finish(context: &Context, run: &RunFolder, outcomes: &[Ended], memory: &Memory) {
    let peak = peak_memory();
    if let Some(peak) = peak {
        context.console.note(&format!("memory: {} at most, of {}", bytes(peak), bytes(memory.limit)));
    }
    // The fit is done, and is told whatever comes of this.
    let followed = clones::follow(run).unwrap_or_else(|error| {
        context.console.warn(&format!("the clones held out could not be followed: {error:#}"));
        None
    });
    let folder = run.path().display();
    let text = if let [Ended { outcome, .. }] = outcomes {
        let why = match outcome.reason {
            StopReason::Finished => "finished",
            StopReason::EarlyStop => "finished early: the held-out loss no longer fell",
            StopReason::TimeBudget => "finished: the time budget is spent",
            StopReason::Cancelled => "interrupted",
        };
        let best = outcome.best_loss.map_or_else(String::new, |loss| {
            format!(", held-out loss {loss:.4} at step {}", outcome.best_step)
        });
        format!(
            "{why} after {} steps and {:.0} s{best}; the model is in {folder}",
            outcome.step, outcome.seconds
        )
    } else {
        let seconds: f64 = outcomes.iter().map(|o| o.outcome.seconds).sum();
        format!(
            "{} members finished, {seconds:.0} s of training in all; the models are in {folder}",
            outcomes.len()
        )
    };
    let mut value = match outcomes {
        [outcome] => json!({ "run": run.path(), "outcome": outcome, "peak_memory_bytes": peak }),
        _ => json!({ "run": run.path(), "outcomes": outcomes, "peak_memory_bytes": peak }),
    };
    if let Some(followed) = followed {
        if let Some(told) = followed.told() {
            context.console.note(&told);
        }
        value["held_out_clones"] = json!(followed);
    }
    context.console.result(&text, "fitted", value);
}
