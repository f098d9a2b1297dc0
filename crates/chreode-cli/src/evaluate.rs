//! `chreode evaluate`: fits without a time, and says how near that time is predicted.

use anyhow::Context as _;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use chreode_cells::run::RunConfig;
use chreode_cells::{Dataset, LeftOut, MEASURES, PairedDifference, Reference, Verdict, write_atomically};
use chreode_model::{DiffusionConfig, DriftKind};
use chreode_train::{
    GrowthUse, Observer, SamplingFloor, Snapshots, StepReport, StopReason, TrainError, distance_to_time,
};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::Context;
use crate::console::Progress;
use crate::data_options::DataArgs;
use crate::failure::bad_input;
use crate::fit::{check_amounts, describe, memory_for, prepare, trainer};
use crate::model_options::ModelArgs;
use crate::training::RunTrainer;
use crate::training_options::TrainingArgs;
use crate::values::ColumnValue;
use crate::{interrupt, values};

/// Judge a model by a time that it was not fitted on, beside references.
///
/// Fits without the time of --leave-out, for several seeds, simulates to it from the time before, and compares with the cells
/// observed there. In the same table: models of the forms of --against, the cells of the time before, and cells halfway
/// between those that balanced and unbalanced transport couple. Every row is the mean over draws of cells (and seeds), with the
/// range that holds nine tenths of them; the last row is what two samples of the observed cells are apart. Below it stands for every form
/// by how much the model is nearer or farther than it in the same draws of cells and with the same seeds, and what follows from that.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  chreode evaluate cells.h5ad --time day --leave-out day=4 --seeds 3 -o left_out.csv"
)]
pub(crate) struct EvaluateArgs {
    /// Cells: .h5ad of `AnnData`, or CSV/TSV, plain or gzipped
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Table to write: .csv [default: none]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Fits with different seeds
    #[arg(long, value_name = "N", default_value = "3", value_parser = values::count, help_heading = "Comparison")]
    seeds: usize,
    /// Draws of cells that are compared
    #[arg(long, value_name = "N", default_value = "20", value_parser = values::count, help_heading = "Comparison")]
    draws: usize,
    /// Most cells of a draw
    #[arg(long, value_name = "N", default_value = "1000", value_parser = values::count, help_heading = "Comparison")]
    compared: usize,
    /// Fit these forms too, and say whether the model is nearer than they [default: constant-diffusion]
    #[arg(long, value_enum, value_name = "FORM,..", value_delimiter = ',', help_heading = "Comparison")]
    against: Vec<Form>,
    /// Most memory to take, such as 2GB; what does not fit lies in a file beside --out, or with other temporary ones [default: half of what is free, 1 GiB at least]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    memory: Option<u64>,
    #[command(flatten)]
    cells: DataArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

/// What a model that is fitted for comparison has in another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One strength of the noise a coordinate, wherever the state is
    ConstantDiffusion,
    /// A drift that is a free net of the state
    Mlp,
    /// A drift that is the gradient of a potential
    Potential,
    /// A drift of production and decay
    Production,
}

impl Form {
    /// Name of its row.
    fn name(self) -> &'static str {
        match self {
            Self::ConstantDiffusion => "model, constant diffusion",
            Self::Mlp => "model, free drift",
            Self::Potential => "model, potential drift",
            Self::Production => "model, production drift",
        }
    }

    /// The options of a fit in this form.
    fn options(self) -> &'static str {
        match self {
            Self::ConstantDiffusion => "--diffusion constant",
            Self::Mlp => "--drift mlp",
            Self::Potential => "--drift potential",
            Self::Production => "--drift production",
        }
    }

    /// The settings in this form; nothing if they have it already.
    fn of(self, config: &RunConfig, initial_level: f64) -> Option<RunConfig> {
        let mut other = config.clone();
        match self {
            Self::ConstantDiffusion => {
                if matches!(config.model.diffusion, DiffusionConfig::Constant { .. }) {
                    return None;
                }
                other.model.diffusion = DiffusionConfig::Constant { initial_level };
            }
            Self::Mlp => other.model.drift.kind = DriftKind::Mlp,
            Self::Potential => other.model.drift.kind = DriftKind::Potential,
            Self::Production => other.model.drift.kind = DriftKind::Production,
        }
        (other.model != config.model).then_some(other)
    }
}

/// The model beside one of another form, by one measure after the other.
struct Comparison {
    form: Form,
    differences: [PairedDifference; 3],
}

impl Comparison {
    /// Of two rows with the same seeds and draws.
    fn of(form: Form, model: &Row, other: &Row, seeds: usize) -> Option<Self> {
        let by = |m: usize| {
            let column = |row: &Row| row.values.iter().map(|v| v[m]).collect::<Vec<_>>();
            PairedDifference::of(&column(model), &column(other), seeds)
        };
        Some(Self { form, differences: [by(0)?, by(1)?, by(2)?] })
    }

    /// What follows from the first measure, in words.
    fn told(&self, seeds: usize, left_out: &ColumnValue) -> String {
        let difference = &self.differences[0];
        let (name, options) = (self.form.name().trim_start_matches("model, "), self.form.options());
        let Some((low, high)) = difference.interval() else {
            let why = if seeds < 2 {
                "one seed says nothing of other fits"
            } else {
                "one draw says nothing of other cells"
            };
            return format!(
                "against {name}: energy distance {:+.4}; {why}, so this decides nothing",
                difference.mean
            );
        };
        let conclusion = match difference.verdict() {
            Verdict::First => {
                format!("the model as it was asked for predicts {left_out} better than with a {name}")
            }
            Verdict::Second => {
                format!("with a {name} {left_out} is predicted better: fit with {options}")
            }
            Verdict::Open => format!(
                "{left_out} does not tell it from a model with a {name}: prefer the form with fewer freedoms or the one \
                 that the biology speaks for"
            ),
        };
        format!(
            "against {name}: energy distance {:+.4} ({low:+.4} to {high:+.4}, 95 % over {seeds} seeds and the draws); {conclusion}",
            difference.mean
        )
    }
}

/// The distances of one prediction, each over seeds and, within a seed, draws.
struct Row {
    name: String,
    values: Vec<[f64; 3]>,
}

impl Row {
    /// Mean and 5 % and 95 % quantiles of a measure.
    fn summary(&self, measure: usize) -> [f64; 3] {
        let mut sorted: Vec<f64> = self.values.iter().map(|v| v[measure]).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| sorted[(q * (sorted.len() - 1) as f64).round() as usize];
        [sorted.iter().sum::<f64>() / sorted.len() as f64, at(0.05), at(0.95)]
    }
}

/// Shows the training, and hears Ctrl-C.
struct Watcher(Progress);

impl Observer for Watcher {
    fn step(&mut self, report: &StepReport, _seconds: f64) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.update(report.step, &format!("loss {:.4}", report.loss), &json!({ "loss": report.loss }));
        Ok(())
    }
}

/// Fits, compares and writes.
pub(crate) fn run(context: &Context, args: &EvaluateArgs) -> anyhow::Result<()> {
    let [left_out] = args.training.leave_out.as_slice() else {
        return Err(bad_input(
            format!("{} times to leave out: one is judged at a time", args.training.leave_out.len()),
            "give one --leave-out such as day=4",
        ));
    };
    if args.cells.time.is_none() {
        return Err(bad_input("--time is not given", "name the column of the times with --time"));
    }
    if let Some(out) = &args.out {
        values::check_table_name(out)?;
        if out == &args.data {
            return Err(bad_input("--out is the file of the cells", "write to another file"));
        }
    }
    let (dataset, config) = prepare(
        context,
        &args.data,
        &args.cells,
        &args.model,
        &args.training,
        false,
        &memory_for(args.memory, args.out.as_deref().unwrap_or(&std::env::temp_dir().join("evaluated"))),
    )?;
    describe(context, &dataset, &config);
    if args.against.contains(&Form::Production) {
        check_amounts(&dataset)?;
    }
    let mut others = Vec::new();
    for form in forms(args) {
        let Some(other) = form.of(&config, args.model.initial_noise) else {
            context.console.note(&format!("the model has the form {} already", form.options()));
            continue;
        };
        other.model.validate().with_context(|| {
            format!("no comparison with {}, fitted in the same way as the model", form.options())
        })?;
        others.push((form, other));
    }
    if others.is_empty() && !args.against.is_empty() {
        return Err(bad_input(
            "the model has every form of --against already",
            "name another form, or leave --against out",
        ));
    }
    let first = trainer(&dataset, &config)?;
    let around = around(&first, left_out.value)?;
    let (data, scale) = (first.data().clone(), first.inverse_scale().to_vec());
    let trained: Vec<f64> = (0..data.times.len())
        .filter(|i| !first.left_out_times().contains(i))
        .map(|i| data.times[i])
        .collect();
    let matching = config.training.matching.clone().unwrap_or_default();
    // Populations that do not mix are compared each with itself; what is told is the mean by their cells at the time.
    let populations: Vec<(f64, Snapshots<f32>)> = (0..data.n_populations())
        .map(|population| (data.share(population, around.1), data.population(population)))
        .collect();
    let left: Vec<(f64, LeftOut<'_>)> = populations
        .iter()
        .map(|(share, data)| {
            let left = LeftOut {
                data,
                time: around.1,
                before: around.0,
                after: around.2,
                trained: &trained,
                blur: matching.epsilon,
                inverse_scale: &scale,
                cells: args.compared,
                seed: config.training.seed,
            };
            (*share, left)
        })
        .collect();
    drop(first);

    let asked = interrupt::flag()?;
    let mut rows = vec![fitted(context, args, &dataset, &config, &left, "model", asked)?];
    let mut comparisons = Vec::new();
    for (form, other) in others {
        let row = fitted(context, args, &dataset, &other, &left, form.name(), asked)?;
        comparisons.extend(Comparison::of(form, &rows[0], &row, args.seeds));
        rows.push(row);
    }
    for reference in Reference::ALL {
        let mut values = Vec::new();
        for draw in 0..args.draws as u64 {
            let parts = left
                .iter()
                .map(|(share, left)| Ok(left.distances(reference, draw)?.map(|d| d.map(|d| share * d))))
                .collect::<Result<Option<Vec<_>>, TrainError>>()?;
            values.extend(parts.map(|parts| [0, 1, 2].map(|m| parts.iter().map(|part| part[m]).sum())));
        }
        if !values.is_empty() {
            rows.push(Row { name: reference.name().to_owned(), values });
        }
    }
    let floor = floor(&left, args.draws)?;

    let mut table = vec![["prediction", MEASURES[0], MEASURES[1], MEASURES[2]].map(str::to_owned)];
    for row in &rows {
        let cell = |m| {
            let [mean, low, high] = row.summary(m);
            format!("{mean:.4} ({low:.4} to {high:.4})")
        };
        table.push([row.name.clone(), cell(0), cell(1), cell(2)]);
    }
    let cell = |m: usize| format!("{:.4} (sd {:.4})", floor[m].mean, floor[m].sd);
    table.push(["sampling floor".to_owned(), cell(0), cell(1), cell(2)]);
    if let Some(out) = &args.out {
        write_atomically(out, |file| {
            let mut csv = csv::Writer::from_writer(file);
            csv.write_record(["prediction", "measure", "mean", "low", "high"])?;
            for row in &rows {
                for (m, name) in MEASURES.iter().enumerate() {
                    let numbers = row.summary(m).map(|v| v.to_string());
                    csv.write_record(
                        [&row.name, *name].into_iter().chain(numbers.iter().map(String::as_str)),
                    )?;
                }
            }
            for comparison in &comparisons {
                for (difference, name) in comparison.differences.iter().zip(MEASURES) {
                    let prediction = format!("model less {}", comparison.form.name());
                    let (low, high) = difference.interval().unwrap_or((f64::NAN, f64::NAN));
                    let numbers = [difference.mean, low, high].map(number_or_nothing);
                    csv.write_record(
                        [prediction.as_str(), name].into_iter().chain(numbers.iter().map(String::as_str)),
                    )?;
                }
            }
            for (f, name) in floor.iter().zip(MEASURES) {
                let numbers = [f.mean, f.mean - 1.645 * f.sd, f.mean + 1.645 * f.sd].map(|v| v.to_string());
                csv.write_record(
                    ["sampling floor", name].into_iter().chain(numbers.iter().map(String::as_str)),
                )?;
            }
            csv.flush()
        })?;
    }
    let json_rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let summary = [0, 1, 2].map(|m| row.summary(m));
            json!({ "prediction": row.name, "summary": summary })
        })
        .collect();
    let mut text = format!(
        "cells at {left_out}, predicted from {} without them ({} seeds, {} draws)\n{}",
        data.times[around.0],
        args.seeds,
        args.draws,
        aligned(&table)
    );
    for comparison in &comparisons {
        // Writing into a `String` does not fail.
        let _ = writeln!(text, "{}", comparison.told(args.seeds, left_out));
    }
    let compared: Vec<_> = comparisons
        .iter()
        .map(|c| {
            let differences = c.differences.map(|d| json!({ "mean": d.mean, "interval": d.interval() }));
            json!({ "against": c.form.name(), "differences": differences })
        })
        .collect();
    let floor = floor.map(|f| json!({ "mean": f.mean, "sd": f.sd }));
    let value = json!({ "measures": MEASURES, "rows": json_rows, "comparisons": compared, "floor": floor });
    context.console.result(text.trim_end(), "evaluated", value);
    Ok(())
}

/// What a perfect prediction is at: the mean over populations, which are independent.
fn floor(left: &[(f64, LeftOut<'_>)], repeats: usize) -> Result<[SamplingFloor; 3], TrainError> {
    let mut sum = [SamplingFloor { mean: 0.0, sd: 0.0, cells: 0 }; 3];
    for (share, left) in left {
        for (sum, part) in sum.iter_mut().zip(left.floor(repeats)?) {
            sum.mean += share * part.mean;
            sum.sd = sum.sd.hypot(share * part.sd);
            sum.cells += part.cells;
        }
    }
    Ok(sum)
}

/// The forms to compare with, each once: those that were named, else a constant diffusion.
fn forms(args: &EvaluateArgs) -> Vec<Form> {
    if args.against.is_empty() {
        return vec![Form::ConstantDiffusion];
    }
    let mut forms: Vec<Form> = Vec::new();
    args.against.iter().for_each(|f| {
        if !forms.contains(f) {
            forms.push(*f);
        }
    });
    forms
}

/// A number of a table; an empty field where there is none.
fn number_or_nothing(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// Numbers of the training time before a time, of that time, and of the training time after it.
fn around(trainer: &RunTrainer, time: f64) -> anyhow::Result<(usize, usize, Option<usize>)> {
    let times = &trainer.data().times;
    let trained = |i: &usize| !trainer.left_out_times().contains(i);
    let at = times.iter().position(|&t| t == time);
    let before = at.and_then(|at| (0..at).rev().find(trained));
    match (before, at) {
        (Some(before), Some(at)) => Ok((before, at, (at + 1..times.len()).find(trained))),
        _ => Err(bad_input(
            format!("nothing comes before {time}: there is nothing to predict it from"),
            "leave out a later time",
        )),
    }
}

/// Fits one model with every seed, and compares.
fn fitted(
    context: &Context,
    args: &EvaluateArgs,
    dataset: &Dataset,
    config: &RunConfig,
    left: &[(f64, LeftOut<'_>)],
    name: &str,
    asked: &AtomicBool,
) -> anyhow::Result<Row> {
    let mut values = Vec::new();
    for seed in 0..args.seeds as u64 {
        let mut config = config.clone();
        config.training.seed = config.training.seed.wrapping_add(seed);
        let mut trainer = trainer(dataset, &config)?;
        let mut watcher = Watcher(context.console.progress("learning", config.training.steps));
        let outcome = trainer.run(&mut watcher, asked)?;
        drop(watcher);
        if outcome.reason == StopReason::Cancelled || asked.load(Ordering::Relaxed) {
            return Err(anyhow::anyhow!("interrupted: nothing is written"));
        }
        context.console.note(&format!(
            "{name}, seed {}: held-out loss {:.4} after {} steps and {:.0} s",
            config.training.seed,
            outcome.best_loss.unwrap_or(f64::NAN),
            outcome.step,
            outcome.seconds
        ));
        for draw in 0..args.draws as u64 {
            let mut found = [0.0; 3];
            for (measure, value) in found.iter_mut().enumerate() {
                for (share, left) in left {
                    let distance = distance_to_time(
                        trainer.model(),
                        trainer.best_params(),
                        left.data,
                        left.before,
                        left.time,
                        config.training.dt,
                        config.training.growth == GrowthUse::Column,
                        &left.comparison(measure, draw),
                    )?;
                    *value += share * distance;
                }
            }
            values.push(found);
        }
    }
    Ok(Row { name: name.to_owned(), values })
}

/// Columns side by side.
fn aligned(table: &[[String; 4]]) -> String {
    let width = |k: usize| table.iter().map(|row| row[k].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for row in table {
        for (cell, width) in row.iter().zip(widths) {
            // Writing into a `String` does not fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
