//! The folder that a fit of measured series leaves.
//!
//! ```text
//! config.toml         everything needed to repeat the fit
//! model.safetensors   the field
//! checkpoints/        the last two states of the fit
//! log                 what was said and when
//! starts.csv          the start state of each trajectory
//! predictions.csv     each trajectory on a fine grid, and beyond the data if that was asked for
//! residuals.csv       measured and predicted at the observations, and which were held out
//! metrics.jsonl       the losses as the fit went
//! ```
//!
//! Configuration, log, metrics and checkpoints are those of a run of cells, and so is how a fit that was stopped goes on.

use std::io::Write;
use std::path::Path;

use chreode_core::VectorField;
use chreode_model::{ModelConfig, NeuralSde};
use chreode_solve::{Erk, SolveError, SolveOptions, TSIT5, solve};
use chreode_train::{SeriesConfig, SeriesFit, SeriesProgress};
use serde::{Deserialize, Serialize};

use super::{SeriesColumns, SeriesData};
use crate::atomic::{write_atomically, write_bytes_atomically};
use crate::error::DataError;
use crate::run::{ExistingRun, Fingerprint, NewRun, RunError, RunFolder};

/// The settings of a fit of measured series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesRunConfig {
    /// Version of the folder's format.
    pub format: u32,
    /// Version of chreode that made it.
    pub chreode: String,
    /// Always `series`.
    pub kind: String,
    /// The file, absolute.
    pub file: std::path::PathBuf,
    /// Its length and checksum.
    pub fingerprint: Fingerprint,
    /// What its columns mean.
    pub columns: SeriesColumns,
    /// Form and sizes of the field.
    pub model: ModelConfig,
    /// How it was learned.
    pub training: SeriesConfig,
    /// Until when curves go on beyond the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
}

impl SeriesRunConfig {
    /// The format that this version writes and reads. Since 2 a fit can go on from its checkpoints.
    pub const FORMAT: u32 = 2;
    /// What [`kind`](Self::kind) says.
    pub const KIND: &'static str = "series";
}

/// Whether the folder holds a fit of measured series.
pub fn is_series_run(folder: &Path) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let text = std::fs::read_to_string(folder.join("config.toml"));
    text.is_ok_and(|text| toml::from_str::<Kind>(&text).is_ok_and(|k| k.kind == SeriesRunConfig::KIND))
}

/// One trajectory as learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Times of the curve: a grid from the first observation to the last, and beyond.
    pub times: Vec<f64>,
    /// States there, `[times, d]`.
    pub states: Vec<f64>,
    /// States at the observations, `[observations, d]`.
    pub at_observations: Vec<f64>,
}

/// All that a fit of measured series found.
#[derive(Debug)]
pub struct SeriesResults<'a> {
    /// The data.
    pub data: &'a SeriesData,
    /// The field.
    pub field: &'a NeuralSde<f64>,
    /// What was learned.
    pub fit: &'a SeriesFit,
    /// The losses as the fit went.
    pub progress: &'a [SeriesProgress],
    /// The curves, one a trajectory.
    pub predictions: Vec<Prediction>,
}

/// Points of a curve within the data.
const CURVE: u32 = 200;

impl<'a> SeriesResults<'a> {
    /// Simulates every trajectory from its learned start, to its last observation or to `until` if that is later.
    ///
    /// # Errors
    /// [`SolveError`] if the field cannot be followed that far.
    pub fn new(
        data: &'a SeriesData,
        field: &'a NeuralSde<f64>,
        fit: &'a SeriesFit,
        progress: &'a [SeriesProgress],
        until: Option<f64>,
    ) -> Result<Self, SolveError> {
        let d = data.series.dim;
        let mut own = field.clone();
        let mut predictions = Vec::with_capacity(data.names.len());
        for (i, trajectory) in data.series.trajectories.iter().enumerate() {
            let start = &fit.starts[i * d..(i + 1) * d];
            let (first, last) = (trajectory.times[0], trajectory.times[trajectory.times.len() - 1]);
            let step = (last - first) / f64::from(CURVE);
            let mut times: Vec<f64> = (1..=CURVE).map(|k| first + f64::from(k) * step).collect();
            if let Some(until) = until.filter(|u| *u > last) {
                // As fine as within the data, but not without end.
                let more = ((until - last) / step).ceil().min(10_000.0);
                times.extend((1..=more as u32).map(|k| last + (until - last) * f64::from(k) / more));
            }
            let mut states = start.to_vec();
            states.extend(follow(&mut own, &fit.params, start, first, &times)?);
            times.insert(0, first);
            let mut at_observations = start.to_vec();
            at_observations.extend(follow(&mut own, &fit.params, start, first, &trajectory.times[1..])?);
            predictions.push(Prediction { times, states, at_observations });
        }
        Ok(Self { data, field, fit, progress, predictions })
    }

    /// Writes everything but the configuration, the metrics and the page.
    ///
    /// # Errors
    /// [`RunError::Model`], [`DataError::Write`].
    pub fn save(&self, folder: &Path) -> Result<(), RunError> {
        chreode_model::save(&folder.join("model.safetensors"), self.field, &self.fit.params)?;
        let d = self.data.series.dim;
        let coordinates = self.data.coordinates.iter().map(String::as_str);
        let names = || self.data.names.iter();
        table(
            &folder.join("starts.csv"),
            ["trajectory", "time"].into_iter().chain(coordinates.clone()),
            |w| {
                for (i, name) in names().enumerate() {
                    let time = self.data.series.trajectories[i].times[0];
                    row(w, name, time, &self.fit.starts[i * d..(i + 1) * d])?;
                }
                Ok(())
            },
        )?;
        let header = ["trajectory", "time"].into_iter().chain(coordinates.clone());
        table(&folder.join("predictions.csv"), header, |w| {
            for (name, p) in names().zip(&self.predictions) {
                for (&time, state) in p.times.iter().zip(p.states.chunks_exact(d)) {
                    row(w, name, time, state)?;
                }
            }
            Ok(())
        })?;
        let header = ["trajectory", "time", "coordinate", "measured", "predicted", "held_out"].into_iter();
        table(&folder.join("residuals.csv"), header, |w| {
            for (i, (name, p)) in names().zip(&self.predictions).enumerate() {
                let t = &self.data.series.trajectories[i];
                for (k, &time) in t.times.iter().enumerate() {
                    let held = self.fit.held_out.binary_search(&(i, k)).is_ok();
                    for (j, coordinate) in coordinates.clone().enumerate() {
                        let (y, x) = (t.values[k * d + j], p.at_observations[k * d + j]);
                        if !y.is_nan() {
                            let (time, y, x, held) =
                                (time.to_string(), y.to_string(), x.to_string(), held.to_string());
                            w.write_record([name, &time, coordinate, &y, &x, &held])?;
                        }
                    }
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

impl SeriesRunConfig {
    /// Makes the folder of a new fit, in one piece.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn create(&self, path: &Path, existing: ExistingRun) -> Result<NewRun, RunError> {
        RunFolder::make(path, existing, |new| self.save(new.path()))
    }

    /// Opens the folder of a fit, with its settings.
    ///
    /// # Errors
    /// [`RunError::OtherFormat`], [`RunError::Damaged`], [`DataError::Read`].
    pub fn open(path: &Path) -> Result<(RunFolder, Self), RunError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
            #[serde(default)]
            chreode: String,
        }
        let file = path.join("config.toml");
        let text = std::fs::read_to_string(&file)
            .map_err(|source| DataError::Read { path: file.clone(), source })?;
        let damaged = |e: toml::de::Error| RunError::Damaged { path: file.clone(), detail: e.to_string() };
        // The format first: another version may have other fields.
        let version: Version = toml::from_str(&text).map_err(damaged)?;
        if version.format != Self::FORMAT {
            return Err(RunError::OtherFormat {
                path: path.to_owned(),
                found: version.format,
                written_by: version.chreode,
                expected: Self::FORMAT,
            });
        }
        Ok((RunFolder::at(path.to_owned()), toml::from_str(&text).map_err(damaged)?))
    }

    /// Whether the file of the series is still what it was.
    ///
    /// # Errors
    /// [`RunError::DataChanged`], [`DataError::Read`].
    pub fn check_unchanged(&self) -> Result<(), RunError> {
        self.fingerprint.check(&self.file)
    }

    /// Writes `config.toml` into a folder.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub fn save(&self, folder: &Path) -> Result<(), RunError> {
        let path = folder.join("config.toml");
        let text = toml::to_string(self)
            .map_err(|e| RunError::Damaged { path: path.clone(), detail: e.to_string() })?;
        Ok(write_bytes_atomically(&path, text.as_bytes())?)
    }
}

/// States at `times`, all after `t0`.
fn follow(
    field: &mut dyn VectorField<f64>,
    p: &[f64],
    start: &[f64],
    t0: f64,
    times: &[f64],
) -> Result<Vec<f64>, SolveError> {
    let (mut y, mut states) = (start.to_vec(), Vec::with_capacity(times.len() * start.len()));
    let mut tsit5 = Erk::new(&TSIT5, 1, start.len());
    let options = SolveOptions { save_at: times, ..SolveOptions::tolerance(1e-7, 1e-9) };
    let span = (t0, times.last().copied().unwrap_or(t0));
    solve(field, p, &mut y, span, &mut tsit5, &options, &mut |_i, _t, y| states.extend_from_slice(y))?;
    Ok(states)
}

type Writer<'a> = csv::Writer<&'a mut dyn Write>;

fn row(w: &mut Writer<'_>, name: &str, time: f64, values: &[f64]) -> csv::Result<()> {
    let numbers = std::iter::once(&time).chain(values).map(f64::to_string);
    w.write_record(std::iter::once(name.to_owned()).chain(numbers))
}

fn table<'h>(
    path: &Path,
    header: impl Iterator<Item = &'h str>,
    rows: impl FnOnce(&mut Writer<'_>) -> csv::Result<()>,
) -> Result<(), DataError> {
    write_atomically(path, |out| {
        let mut w = csv::Writer::from_writer(out as &mut dyn Write);
        w.write_record(header).and_then(|()| rows(&mut w)).map_err(std::io::Error::from)?;
        w.flush()
    })
}
