//! `chreode fate`: where the cells of one time end, as probabilities of labels.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use chreode_cells::run::{FateResult, TrainingCells};
use chreode_cells::{Dataset, Fates, LabelReadout, Rollout, TransportFates, write_atomically};
use chreode_core::sub_seed;
use chreode_train::{GrowthUse, Snapshots, Standardise};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::Context;
use crate::device::PlaceArgs;
use crate::failure::bad_input;
use crate::labels::LabelArgs;
use crate::start::{OpenRun, StartArgs, Starts, starts};
use crate::values;

/// What predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Paths of the run's model
    Model,
    /// Couplings of the cells of each time with those of the next, without a model
    Transport,
}

/// Predict the fates of cells, as probabilities of labels.
///
/// Simulates --n paths from each cell of the start time. Where a path ends, its nearest labelled cells vote, and the
/// votes of a cell's paths are averaged (weighted by growth, if the model learned it). Writes one row a cell: its
/// name, one probability a label (they sum to one, none is zero), and their entropy in nats (0 is certain). Of a run of
/// several seeds it is the mean over the members, with the standard deviation over them of every probability in further columns. A
/// copy stays in the run folder for the report.
///
/// With --by transport no model is asked: cells of each time in the file are coupled with those of the next by unbalanced
/// entropic transport, whose blur is chosen by how well it meets the cells of the times between, and the couplings are chained.
/// It is what a model should agree with or improve on; where the run has fates of both kinds for the same cells, it is said how far
/// they are apart.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    chreode fate run/ cells.h5ad --start day=2 --until 6 --labels cell_type -o fates.csv\n  \
    chreode fate run/ cells.csv.gz --start day=2 --until 6 --labels state --labels-from states.csv -o fates.csv\n  \
    chreode fate run/ cells.h5ad --start day=2 --until 6 --labels cell_type --by transport -o transported.csv")]
pub(crate) struct FateArgs {
    #[command(flatten)]
    start: StartArgs,
    /// What predicts
    #[arg(long, value_enum, default_value = "model")]
    by: By,
    /// Paths from each cell [default: 300]
    #[arg(long, value_name = "N", value_parser = values::paths, help_heading = "Paths")]
    n: Option<usize>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// Table to write: .csv
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Reads the start cells and the labelled ones that vote, before anything is simulated; nothing read is to be written. Their `populations`
/// are asked of the file where cells are to be coupled.
pub(crate) fn read(
    context: &Context,
    run: &OpenRun,
    start: &StartArgs,
    labels: &LabelArgs,
    outs: &[&Path],
    populations: bool,
) -> anyhow::Result<(Starts, LabelReadout)> {
    let inputs = [Some(&start.data), labels.labels_from.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    for out in outs {
        values::check_table_name(out)?;
        values::check_output(out, &start.run, &inputs)?;
    }
    let dataset = run.read(context, &start.data, Some(labels), populations)?;
    let starts = starts(start, dataset)?;
    let readout = readout(context, labels, &starts.dataset)?;
    check_fates(labels, &readout)?;
    Ok((starts, readout))
}

/// The read-out of labels from the labelled cells of a file.
fn readout(context: &Context, args: &LabelArgs, dataset: &Dataset) -> anyhow::Result<LabelReadout> {
    // `Dataset` has labels whenever they were asked for.
    let labels = dataset.labels.clone().unwrap_or_default();
    let labelled = labels.codes().iter().filter(|&&c| c >= 0).count();
    let different = labels.counts().iter().filter(|&&n| n > 0).count();
    if different >= 20 && 2 * different > labelled {
        return Err(bad_input(
            format!(
                "`{}` holds {different} different labels for {labelled} cells: they name no classes",
                args.labels
            ),
            "give a column of classes such as cell types",
        ));
    }
    let readout =
        LabelReadout::new(&dataset.states.all(dataset.dim())?, dataset.dim(), &labels, args.neighbours)?;
    context.console.note(&format!(
        "{} labels from {} cells; the {} vote, and predict a left-out cell with a log-loss of {:.3} nats",
        readout.names().len(),
        labelled,
        readout.quality().told(),
        readout.log_loss()
    ));
    Ok(readout)
}

/// The fates that were named, or all.
pub(crate) fn keep(args: &LabelArgs, fates: Fates) -> anyhow::Result<Fates> {
    if args.fates.is_empty() { Ok(fates) } else { Ok(fates.keep(&args.fates)?) }
}

/// Refuses fates that no labelled cell has.
fn check_fates(args: &LabelArgs, readout: &LabelReadout) -> anyhow::Result<()> {
    if let Some(i) = (1..args.fates.len()).find(|&i| args.fates[..i].contains(&args.fates[i])) {
        return Err(bad_input(format!("--fates names {} twice", args.fates[i]), "name every fate once"));
    }
    match args.fates.iter().find(|fate| !readout.names().contains(fate)) {
        None => Ok(()),
        Some(unknown) => Err(bad_input(
            format!("--fates {unknown}: no labelled cell has it"),
            format!("there are: {}", readout.names().join(", ")),
        )),
    }
}

/// Fates of the start cells: the mean over members, and their spread.
struct Predicted {
    fates: Fates,
    /// `[n, names]`; empty for one member.
    sd: Vec<f64>,
}

impl Predicted {
    /// Root mean square of the spreads over members; none for one.
    fn disagreement(&self) -> Option<f64> {
        let square: f64 = self.sd.iter().map(|s| s * s).sum();
        (!self.sd.is_empty()).then(|| (square / self.sd.len() as f64).sqrt())
    }
}

fn write_csv(file: &mut dyn Write, ids: &[&str], predicted: &Predicted) -> std::io::Result<()> {
    let Predicted { fates, sd } = predicted;
    let mut csv = csv::Writer::from_writer(file);
    let names = fates.names();
    let spread = names.iter().filter(|_| !sd.is_empty()).map(|name| format!("{name}_sd"));
    csv.write_record(
        ["cell".to_owned()]
            .into_iter()
            .chain(names.iter().cloned())
            .chain(["entropy".to_owned()])
            .chain(spread),
    )?;
    for (i, id) in ids.iter().enumerate() {
        let mut record = vec![(*id).to_owned()];
        record.extend(fates.of(i).iter().map(ToString::to_string));
        record.push((fates.entropy(i) + 0.0).to_string()); // no -0
        record.extend(sd.iter().skip(i * names.len()).take(names.len()).map(ToString::to_string));
        csv.write_record(&record)?;
    }
    csv.flush()
}

/// Paths from each cell, if it is not said.
const PATHS: usize = 300;
/// Most start cells that the report draws.
const SHOWN: usize = 3000;

/// The fates as the report wants them: of a sample of the cells, with the labels of the training cells.
fn for_report(
    run: &OpenRun,
    starts: &Starts,
    readout: &LabelReadout,
    Predicted { fates, sd }: &Predicted,
    until: f64,
) -> anyhow::Result<FateResult> {
    let l = fates.names().len();
    // Evenly through the start cells, whose order says nothing.
    let step = starts.len().div_ceil(SHOWN).max(1);
    let shown = || (0..starts.len()).step_by(step);
    let d = run.space.dim();
    let labels = starts.dataset.labels.clone().unwrap_or_default();
    let code_of: HashMap<&str, i32> =
        starts.dataset.ids.iter().map(String::as_str).zip(labels.codes().iter().copied()).collect();
    let cells = TrainingCells::load(&run.folder.training_cells())?;
    let codes = cells.ids.iter().map(|id| code_of.get(id.as_str()).copied().unwrap_or(-1)).collect();
    Ok(FateResult {
        names: fates.names().to_vec(),
        probabilities: shown().flat_map(|i| fates.of(i)).copied().collect(),
        member_sd: if sd.is_empty() {
            Vec::new()
        } else {
            shown().flat_map(|i| &sd[i * l..(i + 1) * l]).copied().collect()
        },
        start: shown().flat_map(|i| &starts.states[i * d..(i + 1) * d]).copied().collect(),
        t0: starts.time,
        until,
        readout: readout.quality(),
        cell_labels: (labels.names().to_vec(), codes),
    })
}

/// Fates by transport of the start cells, through all times of the file up to --until.
fn transported(
    context: &Context,
    run: &OpenRun,
    args: &FateArgs,
    starts: &Starts,
    readout: &LabelReadout,
) -> anyhow::Result<Fates> {
    let options =
        [("--n", args.n.is_some()), ("--dt", args.start.dt.is_some()), ("--device", args.place.is_given())];
    if let Some((name, _)) = options.iter().find(|o| o.1) {
        return Err(bad_input(
            format!("{name} is for paths of the model"),
            "leave it out with --by transport",
        ));
    }
    let training = &run.config.training;
    let (dataset, until) = (&starts.dataset, args.start.until);
    let points: Vec<_> = dataset
        .time_points()
        .into_iter()
        .filter(|p| p.time >= starts.time && p.time <= until)
        .filter(|p| p.time == starts.time || !training.leave_out_times.contains(&p.time))
        .collect();
    if points.last().is_none_or(|last| last.time != until) {
        return Err(bad_input(
            format!("{} has no cells at {until} that the run was fitted on", dataset.path.display()),
            "with --by transport, --until is a time at which cells were measured",
        ));
    }
    let growth = dataset.growth.as_ref().filter(|_| training.growth == GrowthUse::Column);
    let data = Snapshots {
        dim: dataset.dim(),
        times: points.iter().map(|p| p.time).collect(),
        states: points.iter().map(|p| dataset.states.select(dataset.dim(), &p.rows)).collect(),
        growth: growth.map_or_else(Vec::new, |growth| {
            points.iter().map(|p| p.rows.iter().map(|&row| growth[row] as f32).collect()).collect()
        }),
        groups: Vec::new(),
        populations: dataset.population_codes(&points),
    };
    if let Some(column) = &run.config.data.options.within {
        dataset.check_populations(column, &points)?;
    }
    // The first point is that of the start.
    let of: HashMap<usize, u32> = match data.populations.first() {
        Some(codes) => points[0].rows.iter().copied().zip(codes.iter().copied()).collect(),
        None => HashMap::new(),
    };
    let populations: Vec<u32> = starts.rows.iter().filter_map(|row| of.get(row)).copied().collect();
    let fates = TransportFates {
        data: &data,
        inverse_scale: &inverse_scale(training.standardise, &run.config.model.scale),
        seed: run.seed(context.seed),
    };
    let blur = fates.choose_blur()?;
    let why =
        if data.times.len() > 2 { "chosen by the times between" } else { "no time between to choose it by" };
    context.console.note(&format!(
        "{} cells, coupled through the times {}; blur {blur} of the scaled state squared a gap, {why}",
        starts.len(),
        data.times.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    ));
    Ok(fates.predict(readout, &starts.states, &populations, blur)?)
}

/// One over the scale of each coordinate, as the run's training compared cells.
fn inverse_scale(standardise: Standardise, scale: &[f64]) -> Vec<f32> {
    let square = scale.iter().map(|s| s * s).sum::<f64>() / scale.len() as f64;
    let one = |s: &f64| match standardise {
        Standardise::Off => 1.0,
        Standardise::Global => 1.0 / square.sqrt(),
        Standardise::PerCoordinate => 1.0 / s,
    };
    scale.iter().map(|s| one(s) as f32).collect()
}

/// Predicts and writes.
pub(crate) fn run(context: &Context, args: &FateArgs) -> anyhow::Result<()> {
    let run = OpenRun::open(&args.start.run)?;
    let labels = &args.labels;
    let (starts, readout) = read(context, &run, &args.start, labels, &[&args.out], args.by == By::Transport)?;
    let predicted = match args.by {
        By::Model => modelled(context, &run, args, &starts, &readout)?,
        By::Transport => {
            let fates = keep(labels, transported(context, &run, args, &starts, &readout)?)?;
            Predicted { fates, sd: Vec::new() }
        }
    };
    let fates = &predicted.fates;
    let ids: Vec<&str> = (0..starts.len()).map(|i| starts.id(i)).collect();
    write_atomically(&args.out, |file| write_csv(file, &ids, &predicted))?;
    let result = for_report(&run, &starts, &readout, &predicted, args.start.until)?;
    match args.by {
        By::Model => run.folder.keep_fates(&result)?,
        By::Transport => run.folder.keep_transport_fates(&result)?,
    }
    // As they were stored, so that both are rounded alike.
    let agreement = match (run.folder.fates()?, run.folder.transport_fates()?) {
        (Some(model), Some(transport)) => model.agreement(&transport),
        _ => None,
    };
    let means: Vec<String> =
        fates.names().iter().zip(fates.mean()).map(|(name, p)| format!("{name} {p:.3}")).collect();
    let mut text =
        format!("fates of {} cells in {}; on average {}", starts.len(), args.out.display(), means.join(", "));
    let disagreement = predicted.disagreement();
    if let Some(sd) = disagreement {
        // Writing into a `String` does not fail.
        let _ =
            write!(text, "\nmembers differ by a standard deviation of {sd:.3} of a probability on average");
    }
    if let Some(a) = agreement {
        // Writing into a `String` does not fail.
        let _ = write!(
            text,
            "\nmodel and transport: mean total variation {:.3}, cross-entropy {:.3} nats where {:.3} is agreement, the same most \
             probable fate for {:.0} % of the cells",
            a.total_variation,
            a.cross_entropy,
            a.entropy,
            100.0 * a.same_best
        );
    }
    let means: serde_json::Map<_, _> =
        fates.names().iter().zip(fates.mean()).map(|(name, p)| (name.clone(), p.into())).collect();
    context.console.result(
        &text,
        "written",
        json!({ "path": args.out, "cells": starts.len(), "mean_probabilities": means, "member_sd": disagreement, "agreement": agreement }),
    );
    Ok(())
}

/// Fates by paths of the model, or of each member, all with the same noise: what differs is the members' doing.
fn modelled(
    context: &Context,
    run: &OpenRun,
    args: &FateArgs,
    starts: &Starts,
    readout: &LabelReadout,
) -> anyhow::Result<Predicted> {
    let paths = args.n.unwrap_or(PATHS);
    let members = run.params.len();
    let of = if members > 1 { format!(" of each of {members} members") } else { String::new() };
    context.console.note(&format!("{} cells, {paths} paths each{of}", starts.len()));
    let place = args.place.simulator(context, &run.model)?;
    let each = run
        .params
        .iter()
        .map(|p| {
            let rollout = Rollout {
                model: &run.model,
                p,
                dt: run.dt(&args.start),
                paths,
                seed: sub_seed(run.seed(context.seed), "fate"),
                clamp: None,
                place: Some(&place),
            };
            let fates = Fates::predict(&rollout, readout, &starts.states, starts.time, args.start.until)?;
            keep(&args.labels, fates)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (fates, sd) = averaged(&each)?;
    Ok(Predicted { fates, sd })
}

/// The mean of the members' fates and their spread.
pub(crate) fn averaged(each: &[Fates]) -> anyhow::Result<(Fates, Vec<f64>)> {
    // A run has a member at least, and all are read by one read-out.
    Fates::mean_of(each).ok_or_else(|| anyhow::anyhow!("the members' fates are not of the same cells"))
}
