//! `results/`: the last fates and shifts that were predicted with a run's model, for its report.
//!
//! Each file names the model that it was made with; once the model has changed, it counts no more.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{read_error, write_error};
use super::{Fingerprint, RunError, RunFolder};
use crate::atomic::write_bytes_atomically;
use crate::fate::{Agreement, Fates};
use crate::perturb::{GeneMove, Shift};
use crate::readout::ReadoutQuality;

/// Fates of some cells, with what the report says of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FateResult {
    /// Names of the fates.
    pub names: Vec<String>,
    /// Their probabilities, `[n, names]`.
    pub probabilities: Vec<f64>,
    /// Standard deviation of each over the members of a run of several seeds, `[n, names]`; empty for one.
    #[serde(default)]
    pub member_sd: Vec<f64>,
    /// States of the start cells, `[n, d]`.
    pub start: Vec<f32>,
    /// Time of the start cells.
    pub t0: f64,
    /// Time at which fates are read.
    pub until: f64,
    /// How they were read.
    pub readout: ReadoutQuality,
    /// Labels of the run's training cells by their names: for each its label's number, or -1.
    pub cell_labels: (Vec<String>, Vec<i32>),
}

/// Shifts of fates by one perturbation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftResult {
    /// What was done: `Gata1 +3 at the start`.
    pub name: String,
    /// Which cells, from when to when: shifts of another setting are not shown beside these.
    pub setting: String,
    /// What it did to each gene at the start.
    #[serde(default)]
    pub genes: Vec<GeneMove>,
    /// The shift of every fate.
    pub shifts: Vec<StoredShift>,
}

/// A [`Shift`] as it is stored: JSON knows no NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredShift {
    fate: String,
    baseline: f64,
    perturbed: f64,
    se: Option<f64>,
}

impl From<&Shift> for StoredShift {
    fn from(shift: &Shift) -> Self {
        Self {
            fate: shift.fate.clone(),
            baseline: shift.baseline,
            perturbed: shift.perturbed,
            se: shift.se.is_finite().then_some(shift.se),
        }
    }
}

impl From<&StoredShift> for Shift {
    fn from(stored: &StoredShift) -> Self {
        Self {
            fate: stored.fate.clone(),
            baseline: stored.baseline,
            perturbed: stored.perturbed,
            se: stored.se.unwrap_or(f64::NAN),
        }
    }
}

/// A result with the model that it was made with.
#[derive(Serialize, Deserialize)]
struct OfModel<R> {
    model: Fingerprint,
    result: R,
}

impl FateResult {
    /// The fates; nothing if the file was changed by hand so that its parts no longer fit.
    pub fn fates(&self) -> Option<Fates> {
        Fates::stored(self.names.clone(), self.probabilities.clone())
    }

    /// How near these fates are to others of the same cells, read in the same way at the same time; nothing if they are not.
    pub fn agreement(&self, reference: &Self) -> Option<Agreement> {
        let same = self.start == reference.start
            && self.t0 == reference.t0
            && self.until == reference.until
            && self.readout == reference.readout;
        if same { Agreement::of(&self.fates()?, &reference.fates()?) } else { None }
    }
}

/// How many perturbations of one setting a run keeps.
const MOST_SHIFTS: usize = 24;

impl RunFolder {
    /// Keeps the fates for the report, in place of those before.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write), [`DataError::Read`](crate::DataError::Read) of the model.
    pub fn keep_fates(&self, fates: &FateResult) -> Result<(), RunError> {
        self.keep("fates.json", fates)
    }

    /// The last fates of the present model, if there are any.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read), [`RunError::Damaged`].
    pub fn fates(&self) -> Result<Option<FateResult>, RunError> {
        self.kept("fates.json")
    }

    /// Keeps fates by transport for the report, in place of those before.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write), [`DataError::Read`](crate::DataError::Read) of the model.
    pub fn keep_transport_fates(&self, fates: &FateResult) -> Result<(), RunError> {
        self.keep("transport_fates.json", fates)
    }

    /// The last fates by transport, if there are any since the model was fitted.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read), [`RunError::Damaged`].
    pub fn transport_fates(&self) -> Result<Option<FateResult>, RunError> {
        self.kept("transport_fates.json")
    }

    /// Keeps the shifts for the report, beside others of the same setting.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write), [`DataError::Read`](crate::DataError::Read),
    /// [`RunError::Damaged`].
    pub fn keep_shifts(&self, shifts: ShiftResult) -> Result<(), RunError> {
        let mut all = self.shifts()?;
        all.retain(|old| old.setting == shifts.setting && old.name != shifts.name);
        all.push(shifts);
        let first = all.len().saturating_sub(MOST_SHIFTS);
        self.keep("shifts.json", &all[first..])
    }

    /// The last shifts by the present model, all of one setting.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read), [`RunError::Damaged`].
    pub fn shifts(&self) -> Result<Vec<ShiftResult>, RunError> {
        Ok(self.kept("shifts.json")?.unwrap_or_default())
    }

    fn result(&self, name: &str) -> PathBuf {
        self.path().join("results").join(name)
    }

    fn keep<R: Serialize + ?Sized>(&self, name: &str, result: &R) -> Result<(), RunError> {
        let path = self.result(name);
        let folder = self.path().join("results");
        std::fs::create_dir_all(&folder).map_err(|e| write_error(&folder, e))?;
        let of_model = OfModel { model: self.model_fingerprint()?, result };
        let json = serde_json::to_vec(&of_model).map_err(|e| write_error(&path, e.into()))?;
        Ok(write_bytes_atomically(&path, &json)?)
    }

    fn kept<R: DeserializeOwned>(&self, name: &str) -> Result<Option<R>, RunError> {
        let path = self.result(name);
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(read_error(&path, e)),
        };
        let stored: OfModel<R> =
            serde_json::from_slice(&json).map_err(|e| RunError::Damaged { path, detail: e.to_string() })?;
        let current = self.model_fingerprint()?;
        Ok((stored.model == current).then_some(stored.result))
    }
}
