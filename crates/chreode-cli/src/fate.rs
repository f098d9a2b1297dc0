//! `chreode fate`: where the cells of one time end, as probabilities of labels.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use chreode_cells::run::{FateResult, TrainingCells};
use chreode_cells::{Dataset, Fates, LabelReadout, Rollout, write_atomically};
use chreode_core::sub_seed;
use clap::Args;
use serde_json::json;

use crate::Context;
use crate::failure::bad_input;
use crate::labels::LabelArgs;
use crate::start::{OpenRun, StartArgs, Starts, starts};
use crate::values;

/// Predict the fates of cells, as probabilities of labels.
///
/// Simulates --n paths from each cell of the start time. Where a path ends, its nearest labelled cells vote, and the
/// votes of a cell's paths are averaged (weighted by growth, if the model learned it). Writes one row a cell: its
/// name, one probability a label (they sum to one, none is zero), and their entropy in nats (0 is certain). A copy
/// stays in the run folder for the report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    chreode fate run/ cells.h5ad --start day=2 --until 6 --labels cell_type -o fates.csv\n  \
    chreode fate run/ cells.csv.gz --start day=2 --until 6 --labels state --labels-from states.csv -o fates.csv")]
pub(crate) struct FateArgs {
    #[command(flatten)]
    start: StartArgs,
    /// Paths from each cell
    #[arg(long, value_name = "N", default_value = "100", value_parser = values::paths, help_heading = "Paths")]
    n: usize,
    #[command(flatten)]
    labels: LabelArgs,
    /// Table to write: .csv
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Reads the start cells and the labelled ones that vote, before anything is simulated; nothing read is to be written.
pub(crate) fn read(
    context: &Context,
    run: &OpenRun,
    start: &StartArgs,
    labels: &LabelArgs,
    outs: &[&Path],
) -> anyhow::Result<(Starts, LabelReadout)> {
    let inputs = [Some(&start.data), labels.labels_from.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    for out in outs {
        values::check_table_name(out)?;
        values::check_output(out, &start.run, &inputs)?;
    }
    let dataset = run.read(context, &start.data, Some(labels))?;
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
    let readout = LabelReadout::new(&dataset.states, dataset.dim(), &labels, args.neighbours)?;
    context.console.note(&format!(
        "{} labels from {} cells; {} neighbours vote, and predict a left-out cell with a log-loss of {:.3} nats",
        readout.names().len(),
        labelled,
        readout.k(),
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

fn write_csv(file: &mut dyn Write, ids: &[&str], fates: &Fates) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    let names = fates.names().iter().map(String::as_str);
    csv.write_record(["cell"].into_iter().chain(names).chain(["entropy"]))?;
    for (i, id) in ids.iter().enumerate() {
        let mut record = vec![(*id).to_owned()];
        record.extend(fates.of(i).iter().map(ToString::to_string));
        record.push((fates.entropy(i) + 0.0).to_string()); // no -0
        csv.write_record(&record)?;
    }
    csv.flush()
}

/// Most start cells that the report draws.
const SHOWN: usize = 3000;

/// The fates as the report wants them: of a sample of the cells, with the labels of the training cells.
fn for_report(
    run: &OpenRun,
    starts: &Starts,
    readout: &LabelReadout,
    fates: &Fates,
    until: f64,
) -> anyhow::Result<FateResult> {
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
        start: shown().flat_map(|i| &starts.states[i * d..(i + 1) * d]).copied().collect(),
        t0: starts.time,
        until,
        readout: readout.quality(),
        cell_labels: (labels.names().to_vec(), codes),
    })
}

/// Predicts and writes.
pub(crate) fn run(context: &Context, args: &FateArgs) -> anyhow::Result<()> {
    let run = OpenRun::open(&args.start.run)?;
    let labels = &args.labels;
    let (starts, readout) = read(context, &run, &args.start, labels, &[&args.out])?;
    let rollout = Rollout {
        model: &run.model,
        p: &run.params,
        dt: run.dt(&args.start),
        paths: args.n,
        seed: sub_seed(run.seed(context.seed), "fate"),
        clamp: None,
    };
    context.console.note(&format!("{} cells, {} paths each", starts.len(), args.n));
    let fates = Fates::predict(&rollout, &readout, &starts.states, starts.time, args.start.until)?;
    let fates = keep(labels, fates)?;
    let ids: Vec<&str> = (0..starts.len()).map(|i| starts.id(i)).collect();
    write_atomically(&args.out, |file| write_csv(file, &ids, &fates))?;
    run.folder.keep_fates(&for_report(&run, &starts, &readout, &fates, args.start.until)?)?;
    let means: Vec<String> =
        fates.names().iter().zip(fates.mean()).map(|(name, p)| format!("{name} {p:.3}")).collect();
    let text =
        format!("fates of {} cells in {}; on average {}", starts.len(), args.out.display(), means.join(", "));
    let means: serde_json::Map<_, _> =
        fates.names().iter().zip(fates.mean()).map(|(name, p)| (name.clone(), p.into())).collect();
    context.console.result(
        &text,
        "written",
        json!({ "path": args.out, "cells": starts.len(), "mean_probabilities": means }),
    );
    Ok(())
}
