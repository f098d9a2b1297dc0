//! `chreode perturb`: how fates shift when genes are set or held.

use std::io::Write;
use std::path::{Path, PathBuf};

use chreode_cells::run::{ShiftResult, TrainingCells};
use chreode_cells::{
    Clamp, Fates, GeneAxis, GeneChange, GeneMove, Manifold, Rollout, Shift, shifts, write_atomically,
};
use chreode_core::sub_seed;
use clap::Args;
use serde_json::json;

use crate::Context;
use crate::failure::bad_input;
use crate::fate::{averaged, keep, read};
use crate::labels::LabelArgs;
use crate::start::{OpenRun, StartArgs};
use crate::values::{self, GeneValue};

/// Predict how fates shift when genes are set at the start or held along the paths.
///
/// Every cell is simulated twice with the same noise, with and without the perturbation, so that a difference is the
/// perturbation's and not chance. Amounts are in standard deviations of the scaled gene over the fitted cells. Where
/// coordinates are genes, --set and --clamp move the start alike; in a PCA they do not, see there. Writes one row a
/// label: its mean probability without and with, the shift, its standard error over the cells, and a 95 % interval. Of a
/// run of several seeds fates are means over the members. A copy stays in the run folder for the report.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  chreode perturb run/ cells.h5ad --start day=2 --until 6 --set Gata1=+3,Spi1=-3 \
    --labels cell_type -o shifts.csv"
)]
pub(crate) struct PerturbArgs {
    #[command(flatten)]
    start: StartArgs,
    /// Paths from each cell
    #[arg(long, value_name = "N", default_value = "100", value_parser = values::paths, help_heading = "Paths")]
    n: usize,
    /// Move these genes by so many standard deviations at the start, once
    ///
    /// The start is moved by SD times the gene's loadings: to where a cell whose scaled expression is SD higher, in this
    /// gene alone, is projected. A PCA holds only a part of any one gene, so that its value as decoded from the
    /// coordinates moves less: by SD times the squared length of the loadings. What is said and --json tell both. From
    /// there the cells go where the model takes them.
    #[arg(
        long,
        value_name = "GENE=SD,..",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Perturbation",
        required_unless_present = "clamp"
    )]
    set: Vec<GeneValue>,
    /// Hold these genes, all along the paths, at so many standard deviations from their mean
    ///
    /// At the start and after every step the state makes the smallest move along the loadings after which the gene's value
    /// as decoded from the coordinates is SD. In a PCA, where loadings are short, this can move the state much farther
    /// than --set by a like number, and away from all cells that were seen.
    #[arg(
        long,
        value_name = "GENE=SD,..",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Perturbation"
    )]
    clamp: Vec<GeneValue>,
    #[command(flatten)]
    labels: LabelArgs,
    /// Write a second table with one row a cell and label
    #[arg(long, value_name = "FILE")]
    per_cell: Option<PathBuf>,
    /// Table to write: .csv
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Above this fraction of perturbed cells outside the training cells, the user is warned.
const OUTSIDE: f64 = 0.1;

fn write_shifts(file: &mut dyn Write, shifts: &[Shift]) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(["label", "baseline", "perturbed", "shift", "se", "lower", "upper"])?;
    for s in shifts {
        let (lower, upper) = s.interval();
        let numbers = [s.baseline, s.perturbed, s.shift(), s.se, lower, upper].map(|x| x.to_string());
        csv.write_record(std::iter::once(s.fate.clone()).chain(numbers))?;
    }
    csv.flush()
}

fn write_cells(file: &mut dyn Write, ids: &[&str], before: &Fates, after: &Fates) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(["cell", "label", "baseline", "perturbed", "shift"])?;
    for (i, id) in ids.iter().enumerate() {
        for (k, name) in before.names().iter().enumerate() {
            let (b, a) = (before.of(i)[k], after.of(i)[k]);
            csv.write_record([*id, name, &b.to_string(), &a.to_string(), &(a - b).to_string()])?;
        }
    }
    csv.flush()
}

/// The perturbation in words: `Gata1 +3 at the start, Spi1 held at -1`.
fn name(args: &PerturbArgs) -> String {
    let set = args.set.iter().map(|g| format!("{} {:+} at the start", g.gene, g.value));
    let held = args.clamp.iter().map(|g| format!("{} held at {}", g.gene, g.value));
    set.chain(held).collect::<Vec<_>>().join(", ")
}

/// What became of one gene whose coordinates hold a part of it.
fn told(gene: &GeneMove) -> String {
    let asked = match gene.change {
        GeneChange::Set(sd) => format!("shifted by {sd:+} sd"),
        GeneChange::Clamp(sd) => format!("held at {sd} sd"),
    };
    format!(
        "{} {asked}: the coordinates hold {:.1} % of it; at the start its decoded value moved by {:+.2} sd on average",
        gene.gene,
        100.0 * gene.held,
        gene.moved
    )
}

/// Refuses a gene that is named twice.
fn check_distinct(args: &PerturbArgs) -> anyhow::Result<()> {
    let genes: Vec<&str> = args.set.iter().chain(&args.clamp).map(|g| g.gene.as_str()).collect();
    match (1..genes.len()).find(|&i| genes[..i].contains(&genes[i])) {
        None => Ok(()),
        Some(i) => Err(bad_input(
            format!("gene `{}` is perturbed twice", genes[i]),
            "name it once, with --set or with --clamp",
        )),
    }
}

/// Predicts both arms, compares and writes.
pub(crate) fn run(context: &Context, args: &PerturbArgs) -> anyhow::Result<()> {
    check_distinct(args)?;
    let run = OpenRun::open(&args.start.run)?;
    let set = args.set.iter().map(|g| (g, GeneChange::Set(g.value)));
    let changes: Vec<(GeneAxis, GeneChange)> = set
        .chain(args.clamp.iter().map(|g| (g, GeneChange::Clamp(g.value))))
        .map(|(g, change)| Ok((run.space.gene_axis(&g.gene)?, change)))
        .collect::<anyhow::Result<_>>()?;
    let held: Vec<(Vec<f64>, f64)> = changes
        .iter()
        .filter_map(|(axis, change)| match change {
            GeneChange::Clamp(value) => Some((axis.readout.clone(), value - axis.offset)),
            GeneChange::Set(_) => None,
        })
        .collect();
    let clamp = if held.is_empty() { None } else { Some(Clamp::new(run.space.dim(), &held)?) };
    let labels = &args.labels;
    if args.per_cell.as_ref() == Some(&args.out) {
        return Err(bad_input(
            format!("--out and --per-cell both name {}", args.out.display()),
            "give each table a file of its own",
        ));
    }
    let outs: Vec<&Path> = std::iter::once(&args.out).chain(&args.per_cell).map(PathBuf::as_path).collect();
    let (starts, readout) = read(context, &run, &args.start, labels, &outs, false)?;

    let mut perturbed = starts.states.clone();
    for state in perturbed.chunks_exact_mut(run.space.dim()) {
        for (axis, change) in &changes {
            if let GeneChange::Set(amount) = change {
                axis.shift(*amount, state);
            }
        }
    }
    if let Some(clamp) = &clamp {
        clamp.apply(&mut perturbed);
    }
    let genes: Vec<GeneMove> = changes
        .iter()
        .map(|(axis, change)| GeneMove::of(axis, *change, &starts.states, &perturbed))
        .collect();
    for gene in genes.iter().filter(|gene| !gene.is_whole()) {
        context.console.note(&told(gene));
    }
    warn_outside(context, &run, &perturbed)?;

    let arm = |start: &[f32], clamp: Option<&Clamp>| -> anyhow::Result<Fates> {
        let each = run
            .params
            .iter()
            .map(|p| {
                let rollout = Rollout {
                    model: &run.model,
                    p,
                    dt: run.dt(&args.start),
                    paths: args.n,
                    seed: sub_seed(run.seed(context.seed), "perturb"),
                    clamp,
                    place: None,
                };
                let fates = Fates::predict(&rollout, &readout, start, starts.time, args.start.until)?;
                keep(labels, fates)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(averaged(&each)?.0)
    };
    context.console.note(&format!("{} cells, {} paths each, with and without", starts.len(), args.n));
    let before = arm(&starts.states, None)?;
    let after = arm(&perturbed, clamp.as_ref())?;
    let shifts = shifts(&before, &after);
    write_atomically(&args.out, |file| write_shifts(file, &shifts))?;
    if let Some(path) = &args.per_cell {
        let ids: Vec<&str> = (0..starts.len()).map(|i| starts.id(i)).collect();
        write_atomically(path, |file| write_cells(file, &ids, &before, &after))?;
    }
    run.folder.keep_shifts(ShiftResult {
        name: name(args),
        setting: format!(
            "{} {:?} to {} {:?}",
            args.start.data.display(),
            args.start.start,
            args.start.until,
            labels
        ),
        genes: genes.clone(),
        shifts: shifts.iter().map(Into::into).collect(),
    })?;
    let said: Vec<String> =
        shifts.iter().map(|s| format!("{} {:+.3} (± {:.3})", s.fate, s.shift(), s.se)).collect();
    let text = format!("shifts in {}: {}", args.out.display(), said.join(", "));
    let fields: Vec<_> = shifts
        .iter()
        .map(|s| json!({ "label": s.fate, "baseline": s.baseline, "perturbed": s.perturbed, "shift": s.shift(), "se": s.se }))
        .collect();
    context.console.result(
        &text,
        "written",
        json!({ "path": args.out, "cells": starts.len(), "genes": genes, "shifts": fields }),
    );
    Ok(())
}

/// Says so when many perturbed cells lie where the model has never seen a cell.
fn warn_outside(context: &Context, run: &OpenRun, states: &[f32]) -> anyhow::Result<()> {
    let cells = TrainingCells::load(&run.folder.training_cells())?;
    let outside = Manifold::new(cells.states, cells.dim)?.distances(states)?.outside();
    if outside > OUTSIDE {
        context.console.warn(&format!(
            "{:.0} % of the perturbed cells start farther out than 99 % of the training cells; there the model \
             extrapolates, so believe the direction of a shift at most",
            100.0 * outside
        ));
    }
    Ok(())
}
