//! `clones.json`: which clones are held out whole, and how well the model follows them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chreode_model::NeuralSde;
use chreode_train::{CloneCells, CloneScore, Model, Snapshots, States, TrainError, clone_scores};
use serde::{Deserialize, Serialize};

use super::error::{read_error, write_error};
use super::{RunError, RunFolder, TrainingCells};
use crate::atomic::write_bytes_atomically;
use crate::column::Labels;

/// Paths from each cell of a clone that is held out: scores are unbiased for any number, and spread over clones anyway.
const PATHS: usize = 8;

/// Clones that no training saw a cell of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutClones {
    /// The column of the clones.
    pub column: String,
    /// Whether the others decided which cells were coupled.
    pub coupled: bool,
    /// Names of the clones held out, as they are sorted there.
    pub held_out: Vec<String>,
    /// How well the model, of several members the first that counts, follows them; empty until the training has come to its end.
    #[serde(default)]
    pub scores: Vec<CloneScore>,
}

impl HeldOutClones {
    /// Those of a run before its training: of the clones of all cells those of the rows that are held out to judge it.
    pub fn new(clones: &Labels, held_out: &[usize], column: &str, coupled: bool) -> Self {
        let mut held = vec![false; clones.names().len()];
        held_out.iter().filter_map(|&row| clones.code(row)).for_each(|clone| held[clone] = true);
        let names = clones.names().iter().zip(held).filter(|(_, held)| *held).map(|(name, _)| name.clone());
        Self { column: column.to_owned(), coupled, held_out: names.collect(), scores: Vec::new() }
    }

    /// Follows the clones held out, as far as their cells are among those of the run, with steps of `dt` at most.
    ///
    /// # Errors
    /// [`TrainError`] if a path leaves the finite numbers.
    pub fn measure(
        &mut self,
        model: &NeuralSde<f32>,
        p: &[f32],
        cells: &TrainingCells,
        dt: f64,
        seed: u64,
    ) -> Result<(), TrainError> {
        self.scores.clear();
        let Some(clones) = &cells.clones else { return Ok(()) };
        // Cells of a time that is left out are held out too, without their clones.
        let names: BTreeSet<&str> = self.held_out.iter().map(String::as_str).collect();
        let held = |row: usize| cells.held_out[row] && clones.name(row).is_some_and(|n| names.contains(n));
        let mut times = cells.times.clone();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let mut data = Snapshots { dim: cells.dim, ..Snapshots::default() };
        let mut held_out = Vec::new();
        for &time in &times {
            let rows: Vec<usize> = (0..cells.len()).filter(|&row| cells.times[row] == time).collect();
            let state = |&row: &usize| &cells.states[row * cells.dim..(row + 1) * cells.dim];
            data.states.push(rows.iter().flat_map(state).copied().collect::<States<f32>>());
            data.groups.push(rows.iter().map(|&row| clones.code(row).map(|c| c as u64)).collect());
            held_out.push((0..rows.len() as u32).filter(|&i| held(rows[i as usize])).collect());
        }
        data.times = times;
        let training: Vec<usize> = (0..cells.len()).filter(|&i| !cells.held_out[i]).collect();
        let scale = cells.inverse_scale(&training);
        let (data, rows, inverse_scale) = (&data, &held_out[..], &scale[..]);
        let followed = CloneCells { data, rows, inverse_scale, dt, paths: PATHS, seed };
        self.scores = clone_scores(&Model::from(model.clone()), p, &followed)?;
        Ok(())
    }

    /// The scores in words; nothing where there are none.
    pub fn told(&self) -> Option<String> {
        let told = |s: &CloneScore| {
            format!(
                "{} to {}: {:.3}, and {:.3} ± {:.3} more not knowing which clone ({} clones)",
                s.start,
                s.target,
                s.score,
                s.without - s.score,
                s.standard_error,
                s.clones
            )
        };
        let scores: Vec<String> = self.scores.iter().map(told).collect();
        let all = scores.join("; ");
        (!scores.is_empty()).then(|| format!("energy score of held-out clones of `{}`, {all}", self.column))
    }
}

impl RunFolder {
    /// Writes which clones are held out.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn save_clones(&self, clones: &HeldOutClones) -> Result<(), RunError> {
        let path = self.clones();
        let json = serde_json::to_vec_pretty(clones).map_err(|e| write_error(&path, e.into()))?;
        Ok(write_bytes_atomically(&path, &json)?)
    }

    /// Which clones are held out; none for a run that holds out cells.
    ///
    /// # Errors
    /// [`RunError::Damaged`], [`DataError::Read`](crate::DataError::Read).
    pub fn load_clones(&self) -> Result<Option<HeldOutClones>, RunError> {
        let path = self.clones();
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(read_error(&path, e)),
        };
        let clones = serde_json::from_slice(&json);
        clones.map(Some).map_err(|e| RunError::Damaged { path, detail: e.to_string() })
    }

    /// `clones.json`.
    fn clones(&self) -> PathBuf {
        self.path().join("clones.json")
    }
}
