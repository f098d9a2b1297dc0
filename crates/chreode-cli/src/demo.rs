//! `chreode demo`: the whole job on simulated blood cells whose truth is known.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use chreode_cells::demo::{self, DemoResult, DemoSettings};
use chreode_cells::virtual_blood::{D, END, FACTORS, Fate};
use chreode_cells::{
    Column, DataError, DenseMatrix, H5adWriter, Matrix, StagedFolder, demo_page, write_atomically,
};
use chreode_train::{Evaluation, Observer, StepReport};
use clap::Args;
use serde_json::{Value, json};

use crate::Context;
use crate::console::{Console, Progress};
use crate::failure::bad_input;
use crate::{interrupt, values};

/// Do the whole job on simulated blood cells whose truth is known.
///
/// Simulates "virtual blood", the published network of 11 factors and four fates of Krumsiek et al. 2011, takes
/// destructive snapshots, learns from them with one day held out, and says how good the result is: beside the truth,
/// and beside references that need no learning. Needs no data and no network; takes a minute or two on two cores.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  chreode demo --out demo/")]
pub(crate) struct DemoArgs {
    /// Folder for the report, the model and the scores; an earlier demo there is replaced
    #[arg(short, long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
    /// Also save the snapshots there, as an .h5ad file to try other methods on
    #[arg(long, value_name = "DIR")]
    write_truth: Option<PathBuf>,
    /// Updates of the training; the learning rate falls over all of them [default: 3000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Cells of each of the five snapshots
    #[arg(long, value_name = "N", default_value_t = DemoSettings::default().cells, value_parser = values::count)]
    cells: usize,
}

/// Shows the training; a demo has no run folder to write to.
struct Watcher {
    progress: Progress,
    hold_out: Option<Evaluation>,
}

impl Observer for Watcher {
    fn step(&mut self, report: &StepReport, _seconds: f64) -> Result<(), Box<dyn Error + Send + Sync>> {
        let held_out =
            self.hold_out.as_ref().map_or_else(String::new, |e| format!("  held out {:.4}", e.hold_out_loss));
        let message = format!("loss {:.4}{held_out}", report.loss);
        self.progress.update(report.step, &message, &json!({ "loss": report.loss }));
        Ok(())
    }

    fn evaluation(&mut self, report: &Evaluation) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.hold_out = Some(report.clone());
        Ok(())
    }
}

/// Learns, judges and writes.
pub(crate) fn run(context: &Context, args: &DemoArgs) -> anyhow::Result<()> {
    let console = context.console;
    let mut settings = DemoSettings { cells: args.cells, ..DemoSettings::default() };
    if args.cells < chreode_cells::Dataset::FEWEST_CELLS * 5 {
        return Err(bad_input(
            format!("--cells {} are too few to learn from", args.cells),
            "give 50 or more",
        ));
    }
    if let Some(seed) = context.seed {
        settings.seed = seed;
    }
    if let Some(steps) = args.steps {
        settings = settings.with_steps(steps);
        settings.train.evaluate_every = settings.train.evaluate_every.min(steps);
    }
    let full = |path: &PathBuf| std::path::absolute(path).ok();
    let truth_in_out = args.write_truth.as_ref().is_some_and(|folder| full(folder) == full(&args.out));
    check_free(&args.out, truth_in_out)?;
    let staged = StagedFolder::new(&args.out)?;
    let truth_folder = args.write_truth.as_deref().filter(|_| !truth_in_out);
    if let Some(folder) = truth_folder {
        std::fs::create_dir_all(folder)
            .map_err(|source| DataError::Write { path: folder.to_owned(), source })?;
    }
    let cancel = interrupt::flag()?;
    let mut watcher =
        Watcher { progress: console.progress("learning", settings.train.steps), hold_out: None };
    let demo = demo::run(&settings, &mut watcher, &mut |stage| console.note(stage), cancel)?;
    drop(watcher);
    let result = &demo.result;
    let out = staged.path();
    demo_page(result)?.write(out.join("report.html"))?;
    chreode_model::save(&out.join("model.safetensors"), &demo.model, &demo.params)?;
    write_tables(result, out)?;
    if truth_in_out {
        write_truth(result, &out.join(TRUTH))?;
    }
    check_free(&args.out, truth_in_out)?; // a minute later
    console.warn_of_rest(staged.put_in_place()?.as_deref());
    if let Some(folder) = truth_folder {
        write_truth(result, &folder.join(TRUTH))?;
    }
    say(console, result, &args.out);
    Ok(())
}

/// What a demo leaves in its folder, all of it or nothing.
const FILES: &[&str] = &[
    "report.html",
    "model.safetensors",
    "scores.csv",
    "fractions.csv",
    "spreads.csv",
    "effects.csv",
    "calibration.csv",
    "held_out.csv",
];
/// The snapshots of `--write-truth`.
const TRUTH: &str = "virtual_blood.h5ad";
/// What the file managers of some systems leave in every folder that they show.
const LITTER: &[&str] = &[".DS_Store", "Thumbs.db", "desktop.ini"];

/// Whether a demo may be put at `path`: nothing is there, or an earlier demo and nothing else.
fn check_free(path: &Path, with_truth: bool) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == ErrorKind::NotADirectory => {
            return Err(bad_input(format!("{} is a file", path.display()), "name a folder with --out"));
        }
        Err(source) => return Err(DataError::Read { path: path.to_owned(), source }.into()),
    };
    let (mut missing, mut empty, mut other) = (FILES.to_vec(), true, None);
    for entry in entries {
        let entry = entry.map_err(|source| DataError::Read { path: path.to_owned(), source })?;
        let (name, is_file) = (entry.file_name(), entry.file_type().is_ok_and(|t| t.is_file()));
        let is = |of: &[&str]| is_file && of.iter().any(|n| *n == name);
        if is(LITTER) {
            continue;
        }
        empty = false;
        missing.retain(|n| *n != name);
        if !(is(FILES) || with_truth && is(&[TRUTH])) {
            other = Some(name);
        }
    }
    let why = match (other, missing.first()) {
        (Some(name), _) => format!("it holds {}, which is no file of a demo", name.display()),
        (None, Some(file)) if !empty => format!("it is not empty and holds no demo: {file} is missing"),
        _ => return Ok(()),
    };
    let hint = "choose another folder with --out, or move what you need out of it and delete it";
    Err(bad_input(format!("{} is in use: {why}", path.display()), hint))
}

/// A table in one piece.
fn table(path: &Path, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), DataError> {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    write_atomically(path, |file| {
        let mut csv = csv::Writer::from_writer(file as &mut dyn Write);
        csv.write_record(header)?;
        for row in &rows {
            csv.write_record(row)?;
        }
        csv.flush()
    })
}

/// What the report shows, as tables.
fn write_tables(result: &DemoResult, folder: &Path) -> Result<(), DataError> {
    // A number that there is not stays empty.
    let number = |x: &f64| if x.is_nan() { String::new() } else { x.to_string() };
    let text = |numbers: &[f64]| numbers.iter().map(number).collect::<Vec<_>>();
    let named = |names: &[&str], numbers: &[f64]| {
        names.iter().map(|&n| n.to_owned()).chain(text(numbers)).collect::<Vec<_>>()
    };
    let scores = &result.scores;
    let rows = [&scores.model, &scores.oracle, &scores.base_rate].into_iter().chain(&scores.references);
    table(
        &folder.join("scores.csv"),
        &[
            "name",
            "fate_cross_entropy",
            "drift_cosine_per_cell",
            "drift_cosine_pooled",
            "log_diffusion_correlation",
            "log_diffusion_rms_error",
            "log_diffusion_bias",
        ],
        rows.map(|row| {
            let fields = row.fields.map_or([f64::NAN; 5], |f| {
                [f.cosine_per_cell, f.cosine_pooled, f.log_g_correlation, f.log_g_rms, f.log_g_bias]
            });
            let mut numbers = vec![row.cross_entropy];
            numbers.extend(fields);
            named(&[&row.name], &numbers)
        }),
    )?;
    table(
        &folder.join("fractions.csv"),
        &["fate", "truth", "truth_se", "model", "model_se"],
        result.fractions.iter().map(|f| named(&[f.fate], &[f.truth, f.truth_se, f.model, f.model_se])),
    )?;
    table(
        &folder.join("spreads.csv"),
        &["fate", "factor", "truth", "model"],
        result.spreads.iter().map(|s| named(&[s.fate, s.factor], &[s.truth, s.model])),
    )?;
    table(
        &folder.join("effects.csv"),
        &["intervention", "factor", "fate", "truth", "truth_se", "model", "model_se"],
        result.effects.iter().flat_map(|e| {
            Fate::ALL.iter().enumerate().map(move |(k, fate)| {
                named(
                    &[e.kind, e.factor, fate.name()],
                    &[e.truth.change[k], e.truth.se[k], e.model.change[k], e.model.se[k]],
                )
            })
        }),
    )?;
    table(
        &folder.join("calibration.csv"),
        &["predicted", "observed", "count"],
        result.calibration.iter().map(|b| text(&[b.predicted, b.observed, b.count as f64])),
    )?;
    let held_out = result.held_out_distance;
    table(
        &folder.join("held_out.csv"),
        &["day", "model", "floor", "floor_sd", "previous_time"],
        [text(&[result.held_out, held_out.model, held_out.floor, held_out.floor_sd, held_out.previous_time])],
    )
}

/// The snapshots: `X` of the 11 factors, `obs['day']`, and `obs['fate']` of the cells of the last day.
fn write_truth(result: &DemoResult, path: &Path) -> anyhow::Result<()> {
    let (mut states, mut days, mut fates) = (Vec::new(), Vec::new(), Vec::new());
    for (&day, snapshot) in result.times.iter().zip(&result.snapshots) {
        for cell in snapshot.chunks_exact(D) {
            days.push(day);
            fates.push(if day == END { Fate::of(cell).name().to_owned() } else { String::new() });
        }
        states.extend_from_slice(snapshot);
    }
    let n = days.len();
    let names = (0..n).map(|i| format!("cell{i}")).collect();
    let mut file = H5adWriter::new(names, FACTORS.map(str::to_owned).into());
    file.x(Matrix::Dense(DenseMatrix { rows: n, cols: D, values: states }));
    file.obs("day", Column::Number(days));
    file.obs("fate", Column::Labels(chreode_cells::Labels::from_text(&fates)));
    file.write(path)?;
    Ok(())
}

/// The most important numbers, and where the rest is.
fn say(console: Console, result: &DemoResult, folder: &Path) {
    let (scores, distance) = (&result.scores, &result.held_out_distance);
    let report = folder.join("report.html");
    let text = format!(
        "day {}, not trained on: distance {:.4} (perfect {:.4}, no model {:.4})\n\
         fates of single cells: cross-entropy {:.3} nats (perfect {:.3}, base rate {:.3})\n\
         interventions: {} of {} large effects have the right sign, correlation {:.2}\n\
         the report is in {}",
        result.held_out,
        distance.model,
        distance.floor,
        distance.previous_time,
        scores.model.cross_entropy,
        scores.oracle.cross_entropy,
        scores.base_rate.cross_entropy,
        result.sign.right,
        result.sign.of,
        result.sign.correlation,
        report.display()
    );
    let value: Value = json!({
        "report": report,
        "held_out_distance": { "model": distance.model, "floor": distance.floor, "previous_time": distance.previous_time },
        "cross_entropy": { "model": scores.model.cross_entropy, "oracle": scores.oracle.cross_entropy, "base_rate": scores.base_rate.cross_entropy },
        "signs_right": result.sign.right,
        "signs_of": result.sign.of,
        "seconds": result.seconds,
    });
    console.result(&text, "demo", value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_demo_and_nothing_else_may_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let demo = dir.path().join("demo");
        let free = |with_truth| check_free(&demo, with_truth).is_ok();
        assert!(free(false), "nothing is there");
        std::fs::create_dir(&demo).unwrap();
        let write = |name: &str| std::fs::write(demo.join(name), "").unwrap();
        write("Thumbs.db");
        assert!(free(false), "empty but for litter");
        for name in FILES {
            write(name);
        }
        assert!(free(false) && free(true));
        write(TRUTH);
        assert!(free(true) && !free(false));
        std::fs::remove_file(demo.join(TRUTH)).unwrap();
        // A folder is no file of a demo, whatever its name.
        std::fs::remove_file(demo.join("scores.csv")).unwrap();
        assert!(!free(false));
        std::fs::create_dir(demo.join("scores.csv")).unwrap();
        assert!(!free(false));
    }
}
