//! `chreode simulate`: paths of a run's model from the cells of one time.

use std::io::Write;
use std::path::{Path, PathBuf};

use chreode_cells::{Column, DataError, DenseMatrix, H5adWriter, Rollout, Unstructured, write_atomically};
use chreode_core::sub_seed;
use chreode_train::GrowthUse;
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::Context;
use crate::device::PlaceArgs;
use crate::failure::bad_input;
use crate::start::{OpenRun, StartArgs, Starts, starts};
use crate::values;

/// Simulate cells forward in time with a fitted model.
///
/// Starts --n paths from each cell of the start time and writes where they are at the times asked for: as .h5ad, or
/// as .csv or .csv.gz, by the name of the output. A path's weight is the number of its descendants per cell at the
/// start, 1 for a model without growth. Of a run of several seeds every member makes its share of the paths, in the order of the members.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  chreode simulate run/ cells.h5ad --start day=2 --until 6 --n 100 -o sims.h5ad"
)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    start: StartArgs,
    /// Paths from each cell
    #[arg(long, value_name = "N", default_value = "100", value_parser = values::paths, help_heading = "Paths")]
    n: usize,
    /// Write the states at these times too, besides --until
    #[arg(long, value_name = "TIME,..", value_delimiter = ',', value_parser = values::finite, help_heading = "Paths")]
    at: Vec<f64>,
    #[command(flatten)]
    place: PlaceArgs,
    /// File to write: .h5ad, .csv or .csv.gz
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// The kinds of file that simulated cells are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    H5ad,
    Csv,
    CsvGz,
}

fn format_of(path: &Path) -> anyhow::Result<Format> {
    let ends = |path: &Path, e: &str| path.extension().is_some_and(|x| x.eq_ignore_ascii_case(e));
    let stem = path.file_stem().map_or(Path::new(""), Path::new);
    if ends(path, "h5ad") {
        Ok(Format::H5ad)
    } else if ends(path, "csv") {
        Ok(Format::Csv)
    } else if ends(path, "gz") && ends(stem, "csv") {
        Ok(Format::CsvGz)
    } else {
        Err(bad_input(
            format!("cannot tell the format of {}", path.display()),
            "let its name end in .h5ad, .csv or .csv.gz",
        ))
    }
}

/// Simulated cells: path `i` of cell `c` at time `t` is row `(c * times + t) * n + i`.
struct Simulated<'a> {
    starts: &'a Starts,
    names: Vec<String>,
    n: usize,
    times: Vec<f64>,
    /// `[rows, dim]`.
    states: Vec<f32>,
    /// `[rows]`.
    weights: Vec<f64>,
}

impl Simulated<'_> {
    /// Cell, path and time of every row, in order.
    fn rows(&self) -> impl Iterator<Item = (&str, usize, f64)> {
        (0..self.starts.len()).flat_map(move |cell| {
            let id = self.starts.id(cell);
            self.times.iter().flat_map(move |&t| (0..self.n).map(move |sim| (id, sim, t)))
        })
    }

    fn write_csv(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let dim = self.names.len();
        let mut record: Vec<String> = ["cell", "sim", "time", "weight"].map(str::to_owned).into();
        record.extend(self.names.iter().cloned());
        csv.write_record(&record)?;
        for (row, (id, sim, t)) in self.rows().enumerate() {
            record.clear();
            record.extend([id.to_owned(), sim.to_string(), t.to_string(), self.weights[row].to_string()]);
            record.extend(self.states[row * dim..(row + 1) * dim].iter().map(ToString::to_string));
            csv.write_record(&record)?;
        }
        csv.flush()
    }

    fn h5ad(&self, key: &str, settings: Vec<(String, Unstructured)>) -> H5adWriter {
        let rows = self.weights.len();
        let names = (0..rows).map(|row| row.to_string()).collect();
        let mut file = H5adWriter::new(names, Vec::new());
        let text = self.rows().map(|r| r.0.to_owned()).collect();
        file.obs("cell", Column::Text(text));
        file.obs("sim", Column::Number(self.rows().map(|r| r.1 as f64).collect()));
        file.obs("time", Column::Number(self.rows().map(|r| r.2).collect()));
        file.obs("weight", Column::Number(self.weights.clone()));
        let states = DenseMatrix { rows, cols: self.names.len(), values: self.states.clone() };
        file.obsm(key, states);
        for (key, value) in settings {
            file.uns(&key, value);
        }
        file
    }

    fn write(&self, path: &Path, format: Format, run: &OpenRun, seed: u64) -> Result<(), DataError> {
        match format {
            Format::Csv => write_atomically(path, |file| self.write_csv(file)),
            Format::CsvGz => write_atomically(path, |file| {
                let mut gz = GzEncoder::new(file, Compression::default());
                self.write_csv(&mut gz)?;
                gz.finish().map(drop)
            }),
            Format::H5ad => {
                let text = |x: &Path| Unstructured::Text(x.display().to_string());
                let settings = vec![
                    ("chreode_version".to_owned(), Unstructured::Text(env!("CARGO_PKG_VERSION").to_owned())),
                    ("chreode_run".to_owned(), text(run.folder.path())),
                    ("chreode_data".to_owned(), text(&self.starts.dataset.path)),
                    ("chreode_start".to_owned(), Unstructured::Number(self.starts.time)),
                    ("chreode_seed".to_owned(), Unstructured::Text(seed.to_string())),
                    ("chreode_paths".to_owned(), Unstructured::Integer(self.n as i64)),
                ];
                self.h5ad(run.basis_key(), settings).write(path)
            }
        }
    }
}

/// How many of `n` paths member `m` of `members` makes: all alike, the first ones of the rest one more.
fn share(n: usize, members: usize, m: usize) -> usize {
    n / members + usize::from(m < n % members)
}

/// Most memory that simulated states may take.
const MOST_BYTES: usize = 16 << 30;

/// Simulates, reports and writes.
pub(crate) fn run(context: &Context, args: &SimulateArgs) -> anyhow::Result<()> {
    let format = format_of(&args.out)?;
    values::check_output(&args.out, &args.start.run, &[&args.start.data])?;
    let run = OpenRun::open(&args.start.run)?;
    let starts = starts(&args.start, run.read(context, &args.start.data, None, false)?)?;
    let seed = run.seed(context.seed);
    let mut times: Vec<f64> = args.at.clone();
    times.push(args.start.until);
    times.sort_by(f64::total_cmp);
    times.dedup();
    if let Some(early) = times.iter().find(|&&t| t <= starts.time) {
        return Err(bad_input(
            format!("--at {early} does not lie after the start at {}", starts.time),
            "give times after the start",
        ));
    }
    if let Some(late) = times.iter().find(|&&t| t > args.start.until) {
        return Err(bad_input(
            format!("--at {late} lies after --until {}", args.start.until),
            "give times up to --until",
        ));
    }
    let (dim, n, cells) = (run.space.dim(), args.n, starts.len());
    // All states are kept until they are written: 4 bytes a coordinate.
    let bytes = [times.len(), n, dim, 4].iter().try_fold(cells, |product, &f| product.checked_mul(f));
    if bytes.is_none_or(|b| b > MOST_BYTES) {
        return Err(bad_input(
            format!(
                "{cells} cells, {n} paths each at {} times do not fit into {} GiB",
                times.len(),
                MOST_BYTES >> 30
            ),
            "give fewer --n, --at or --cells; `chreode fate` needs no memory for paths",
        ));
    }
    let rows = cells * times.len() * n;
    let mut simulated = Simulated {
        starts: &starts,
        names: run.space.coordinate_names(),
        n,
        times,
        states: vec![0.0; rows * dim],
        weights: vec![1.0; rows],
    };
    let members = run.params.len();
    if n < members {
        context.console.warn(&format!(
            "of the {members} members that count only the first {n} make paths: give --n {members} or more, so that all have their share"
        ));
    }
    let place = args.place.simulator(context, &run.model)?;
    let mut progress = context.console.progress("simulating", (cells * members) as u64);
    let observe = simulated.times.clone();
    let mut before = 0;
    for (m, p) in run.params.iter().enumerate() {
        let paths = share(n, members, m);
        if paths == 0 {
            continue;
        }
        let rollout = Rollout {
            model: &run.model,
            p,
            dt: run.dt(&args.start),
            paths,
            // Members have noise of their own: together their paths are one sample.
            seed: sub_seed(seed, "simulate").wrapping_add(m as u64),
            clamp: None,
            place: Some(&place),
        };
        rollout.run(&starts.states, starts.time, &observe, |chunk| {
            for (t, states) in chunk.ensemble.states.iter().enumerate() {
                for cell in 0..chunk.cells {
                    let from = cell * paths;
                    let to = ((chunk.first_cell + cell) * observe.len() + t) * n + before;
                    simulated.states[to * dim..(to + paths) * dim]
                        .copy_from_slice(&states[from * dim..(from + paths) * dim]);
                    if let Some(log_weights) = chunk.ensemble.log_weights.get(t) {
                        let weights = &mut simulated.weights[to..to + paths];
                        for (w, log_w) in weights.iter_mut().zip(&log_weights[from..]) {
                            *w = f64::from(*log_w).exp();
                        }
                    }
                }
            }
            progress.update((m * cells + chunk.first_cell + chunk.cells) as u64, "", &json!({}));
            Ok(())
        })?;
        before += paths;
    }
    drop(progress);
    if let (GrowthUse::Column, Some(rates)) = (run.config.training.growth, &starts.dataset.growth) {
        // As in the training: a cell's rate holds along its paths.
        for (row, weight) in simulated.weights.iter_mut().enumerate() {
            let (cell, time) =
                (row / (n * simulated.times.len()), simulated.times[row / n % simulated.times.len()]);
            *weight = (rates[starts.rows[cell]] * (time - starts.time)).exp();
        }
    }
    simulated.write(&args.out, format, &run, seed)?;
    let text = format!("{rows} simulated cells in {}", args.out.display());
    context.console.result(&text, "written", json!({ "path": args.out, "rows": rows, "cells": cells }));
    Ok(())
}
