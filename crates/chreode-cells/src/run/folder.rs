//! The run folder: what `chreode fit` leaves, and what every other command reads.
//!
//! ```text
//! config.toml                  everything needed to repeat the run
//! state_space.json             the transform from the data to the state (scaling, PCA loadings)
//! training_cells.safetensors   the training cells, or a sample of them
//! model.safetensors            the best model so far
//! metrics.jsonl                one line a logged step
//! checkpoints/                 the last two states of the training
//! clones.json                  clones held out whole, and how well the model follows them (`clones`)
//! results/                     the last fates and shifts that were predicted, for the report
//! members/, members.json       the other members of a run of several seeds, and how all came out (`members`)
//! log                          what was said and when
//! ```

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use chreode_model::NeuralSde;

use super::error::{read_error, write_error};
use super::{MetricsLog, RunConfig, RunError};
use crate::atomic::{write_atomically, write_bytes_atomically};
use crate::error::DataError;
use crate::staged::StagedFolder;
use crate::state_space::StateSpace;

/// What to do where a run already is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingRun {
    /// Refuse.
    Keep,
    /// Put the new run in its place. Folders that hold no run are never touched.
    Replace,
}

/// A run folder on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// A run folder that was just made.
#[derive(Debug)]
pub struct NewRun {
    /// The run.
    pub folder: RunFolder,
    /// Where the rest of the run that was replaced lies, if it could not be deleted.
    pub left: Option<PathBuf>,
}

/// Held while a run is trained: a second process is refused.
#[derive(Debug)]
pub struct TrainingLock {
    /// The run's `log`, open for appending.
    pub log: File,
}

/// How many checkpoints are kept.
const KEPT_CHECKPOINTS: usize = 2;

impl RunFolder {
    /// Whether a new run may be made at `path`.
    ///
    /// # Errors
    /// [`RunError::Exists`] for a run that is to be kept, [`RunError::NotEmpty`] for anything else that is there.
    pub fn check_free(path: &Path, existing: ExistingRun) -> Result<(), RunError> {
        let entries = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(RunError::NotEmpty { path: path.to_owned() });
            }
            Err(e) => return Err(read_error(path, e)),
        };
        if !entries {
            return Ok(());
        }
        if !RunConfig::is_at(path) {
            return Err(RunError::NotEmpty { path: path.to_owned() });
        }
        if existing == ExistingRun::Keep {
            return Err(RunError::Exists { path: path.to_owned() });
        }
        Self { path: path.to_owned() }.lock().map(drop) // never under the feet of another process
    }

    /// Makes a run folder in one piece: `fill` writes into a folder beside it, which is then renamed.
    ///
    /// # Errors
    /// What [`RunFolder::check_free`] finds, what `fill` returns, [`DataError::Write`](crate::DataError::Write); nothing is
    /// left behind then. [`DataError::MovedAside`](crate::DataError::MovedAside) if an old run could not be put back.
    pub fn create(
        path: &Path,
        existing: ExistingRun,
        config: &RunConfig,
        fill: impl FnOnce(&RunFolder) -> Result<(), RunError>,
    ) -> Result<NewRun, RunError> {
        Self::make(path, existing, |new| config.save(&new.path).and_then(|()| fill(new)))
    }

    /// Makes a folder of any kind with log and checkpoints.
    pub(crate) fn make(
        path: &Path,
        existing: ExistingRun,
        fill: impl FnOnce(&RunFolder) -> Result<(), RunError>,
    ) -> Result<NewRun, RunError> {
        Self::check_free(path, existing)?;
        let staged = StagedFolder::new(path)?;
        let new = Self { path: staged.path().to_owned() };
        std::fs::create_dir(new.checkpoints()).map_err(|source| write_error(path, source))?;
        new.open_log()
            .map(drop)
            .and_then(|()| fill(&new))
            .map_err(|error| at_its_place(error, &new.path, path))?;
        let left = staged.put_in_place()?;
        Ok(NewRun { folder: Self { path: path.to_owned() }, left })
    }

    /// Opens the run at `path`, with its settings.
    ///
    /// # Errors
    /// [`RunError::NotARun`], [`RunError::OtherFormat`], [`RunError::Damaged`], [`DataError::Read`](crate::DataError::Read).
    pub fn open(path: &Path) -> Result<(Self, RunConfig), RunError> {
        let config = RunConfig::load(path)?;
        Ok((Self { path: path.to_owned() }, config))
    }

    /// The folder at a path, whatever is there.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `model.safetensors`: the best model so far.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// Writes the model, in place of the one before.
    ///
    /// # Errors
    /// [`RunError::Model`].
    pub fn save_model(&self, model: &NeuralSde<f32>, p: &[f32]) -> Result<(), RunError> {
        Ok(chreode_model::save(&self.model(), model, p)?)
    }

    /// The best model so far and its parameters.
    ///
    /// # Errors
    /// [`RunError::NoModel`] if none was written yet, [`RunError::Model`].
    pub fn load_model(&self) -> Result<(NeuralSde<f32>, Vec<f32>), RunError> {
        let path = self.model();
        if !path.exists() {
            return Err(RunError::NoModel { path: self.path.clone() });
        }
        Ok(chreode_model::load(&path)?)
    }

    /// `training_cells.safetensors`.
    pub fn training_cells(&self) -> PathBuf {
        self.path.join("training_cells.safetensors")
    }

    /// Writes the transform from the data to the state.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn save_state_space(&self, space: &StateSpace) -> Result<(), RunError> {
        let path = self.state_space();
        let json = serde_json::to_vec(space).map_err(|e| write_error(&path, e.into()))?;
        Ok(write_bytes_atomically(&path, &json)?)
    }

    /// The transform from the data to the state.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read), [`RunError::Damaged`].
    pub fn load_state_space(&self) -> Result<StateSpace, RunError> {
        let path = self.state_space();
        let json = std::fs::read(&path).map_err(|e| read_error(&path, e))?;
        serde_json::from_slice(&json).map_err(|e| RunError::Damaged { path, detail: e.to_string() })
    }

    /// `state_space.json`.
    pub fn state_space(&self) -> PathBuf {
        self.path.join("state_space.json")
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `log`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The metrics file, cut back to what was known at `step`.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read) and [`DataError::Write`](crate::DataError::Write).
    pub fn resume_metrics(&self, step: u64) -> Result<MetricsLog, RunError> {
        MetricsLog::resume(&self.metrics(), step)
    }

    /// Claims the run for training, and opens its log.
    ///
    /// # Errors
    /// [`RunError::Locked`] if another process trains it, [`DataError::Write`](crate::DataError::Write).
    pub fn lock(&self) -> Result<TrainingLock, RunError> {
        let log = self.open_log()?;
        match log.try_lock() {
            Ok(()) => Ok(TrainingLock { log }),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked { path: self.path.clone() }),
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                Ok(TrainingLock { log }) // a file system without locks: the user's own care must do
            }
            Err(TryLockError::Error(e)) => Err(write_error(&self.log(), e)),
        }
    }

    /// Writes the state of the training after `step` steps, and removes all but the last two.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn save_checkpoint(&self, step: u64, state: &[u8]) -> Result<(), RunError> {
        let path = self.checkpoints().join(format!("{step:09}"));
        let mut crc = flate2::Crc::new();
        crc.update(state);
        write_atomically(&path, |file| {
            file.write_all(&crc.sum().to_le_bytes())?;
            file.write_all(state)
        })?;
        let steps = self.checkpoint_steps()?;
        for old in steps.iter().filter(|&&s| s < step).rev().skip(KEPT_CHECKPOINTS - 1) {
            let path = self.checkpoints().join(format!("{old:09}"));
            std::fs::remove_file(&path).map_err(|e| write_error(&path, e))?;
        }
        Ok(())
    }

    /// The last whole state of the training and its step; `None` if there is none yet.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read), and [`RunError::Damaged`] if there are checkpoints but none is whole.
    pub fn last_checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>, RunError> {
        let mut damaged = None;
        for &step in self.checkpoint_steps()?.iter().rev() {
            let path = self.checkpoints().join(format!("{step:09}"));
            let bytes = std::fs::read(&path).map_err(|e| read_error(&path, e))?;
            if let Some((crc, state)) = bytes.split_first_chunk::<4>() {
                let mut found = flate2::Crc::new();
                found.update(state);
                if found.sum() == u32::from_le_bytes(*crc) {
                    return Ok(Some((step, state.to_vec())));
                }
            }
            damaged = Some(RunError::Damaged { path, detail: "its checksum does not fit".to_owned() });
        }
        damaged.map_or(Ok(None), Err)
    }

    /// Steps of the checkpoints that exist, ascending.
    fn checkpoint_steps(&self) -> Result<Vec<u64>, RunError> {
        let path = self.checkpoints();
        let read = |e| read_error(&path, e);
        let mut steps = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            // Anything else there is a temporary file of a killed write.
            steps.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn open_log(&self) -> Result<File, RunError> {
        let path = self.log();
        File::options().create(true).append(true).open(&path).map_err(|e| write_error(&path, e))
    }
}

/// The same error with the place that the user knows, not the folder in which a run is prepared.
fn at_its_place(error: RunError, staging: &Path, run: &Path) -> RunError {
    match error {
        RunError::Data(DataError::Write { path, source }) => {
            let path = path.strip_prefix(staging).map_or(path.clone(), |file| run.join(file));
            DataError::Write { path, source }.into()
        }
        other => other,
    }
}
