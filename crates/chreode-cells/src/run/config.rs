//! `config.toml`: everything needed to repeat a run.

use std::path::{Path, PathBuf};

use chreode_model::ModelConfig;
use chreode_train::{DeviceChoice, GrowthChoice, TrainConfig};
use serde::{Deserialize, Serialize};

use super::error::read_error;
use super::{Fingerprint, RunError};
use crate::atomic::write_bytes_atomically;
use crate::dataset::DatasetOptions;

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Version of the folder's format: [`RunConfig::FORMAT`].
    pub format: u32,
    /// Version of chreode that began the run.
    pub chreode: String,
    /// Where its paths are simulated; a resumed run may be told otherwise.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Members that are trained, with consecutive seeds from that of the training on.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: usize,
    /// The data.
    pub data: DataConfig,
    /// Form and sizes of the model.
    pub model: ModelConfig,
    /// How it is trained; its seed is the run's.
    pub training: TrainConfig,
    /// Why growth is learned or not, if nobody said whether it should be; model and training follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_choice: Option<GrowthChoice>,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_one(members: &usize) -> bool {
    *members == 1
}

/// Where the data is and what its parts mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The file, absolute.
    pub file: PathBuf,
    /// Its length and checksum.
    pub fingerprint: Fingerprint,
    /// What its parts mean.
    pub options: DatasetOptions,
}

impl DataConfig {
    /// Whether the data file is still what it was.
    ///
    /// # Errors
    /// [`RunError::DataChanged`], [`DataError::Read`](crate::DataError::Read).
    pub fn check_unchanged(&self) -> Result<(), RunError> {
        self.fingerprint.check(&self.file)
    }
}

/// As much of a configuration of any version as tells the version.
#[derive(Deserialize)]
struct Version {
    format: u32,
    #[serde(default)]
    chreode: String,
    /// Of folders that are no runs of cells.
    kind: Option<String>,
}

const FILE: &str = "config.toml";

impl RunConfig {
    /// The format that this version writes and reads. Since 2 a transform knows the genes that counts are totalled over, and
    /// growth rates of a column lie with the training cells.
    pub const FORMAT: u32 = 2;

    /// Whether the folder holds a run of any version.
    pub fn is_at(folder: &Path) -> bool {
        std::fs::read_to_string(folder.join(FILE)).is_ok_and(|text| toml::from_str::<Version>(&text).is_ok())
    }

    /// How member `m` (from 0) is trained: its own seed, and the hold-out of all.
    pub fn training_of(&self, m: usize) -> TrainConfig {
        let mut training = self.training.clone();
        if self.members > 1 {
            training.hold_out_seed = Some(training.seed);
            training.seed = training.seed.wrapping_add(m as u64);
        }
        training
    }

    /// Writes `config.toml` into a folder.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn save(&self, folder: &Path) -> Result<(), RunError> {
        let path = folder.join(FILE);
        let text = toml::to_string(self)
            .map_err(|e| RunError::Damaged { path: path.clone(), detail: e.to_string() })?;
        Ok(write_bytes_atomically(&path, text.as_bytes())?)
    }

    /// Reads `config.toml` of a run.
    ///
    /// # Errors
    /// [`RunError::NotARun`], [`RunError::OtherFormat`], [`RunError::Damaged`],
    /// [`DataError::Read`](crate::DataError::Read).
    pub fn load(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                return Err(RunError::NotARun { path: folder.to_owned() });
            }
            Err(e) => return Err(read_error(&path, e)),
        };
        let damaged = |e: toml::de::Error| RunError::Damaged { path: path.clone(), detail: e.to_string() };
        // The format first: another version may have other fields.
        let version: Version = toml::from_str(&text).map_err(damaged)?;
        if let Some(kind) = version.kind {
            return Err(RunError::OtherKind { path: folder.to_owned(), kind });
        }
        if version.format != Self::FORMAT {
            return Err(RunError::OtherFormat {
                path: folder.to_owned(),
                found: version.format,
                written_by: version.chreode,
                expected: Self::FORMAT,
            });
        }
        toml::from_str(&text).map_err(damaged)
    }
}
