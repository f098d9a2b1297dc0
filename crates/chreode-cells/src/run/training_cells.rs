//! `training_cells.safetensors`: the cells that the model was trained on, or a sample of them.
//!
//! They are what a simulated cell's distance to the data is measured from, and what the report draws, so that a
//! run needs its data file for training alone.

use std::path::Path;

use chreode_core::sub_seed;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::RunError;
use super::error::{read_error, write_error};
use crate::atomic::write_bytes_atomically;
use crate::column::Labels;

/// States, times and names of training cells.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingCells {
    /// Coordinates of a state.
    pub dim: usize,
    /// States, `[n, dim]`, row-major, in the units of the run's state space.
    pub states: Vec<f32>,
    /// Time of each cell, in the data's units.
    pub times: Vec<f64>,
    /// Name of each cell.
    pub ids: Vec<String>,
    /// Whether the cell was held out of the training, to judge it.
    pub held_out: Vec<bool>,
    /// Label of each cell, if the run was given any; training never sees them.
    pub labels: Option<Labels>,
    /// Net growth rate of each cell per unit of time, if the training weighed cells by a column of the data.
    pub growth: Option<Vec<f32>>,
    /// Population of each cell, if they were coupled within populations.
    pub populations: Option<Labels>,
    /// Clone of each cell, if the hold-out is of whole clones.
    pub clones: Option<Labels>,
}

impl TrainingCells {
    /// The most cells that a run stores.
    pub const MAX: usize = 20_000;

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Rows of the cells that a run of `n` cells stores, at most [`MAX`](Self::MAX), drawn without replacement by the run's seed, ascending.
    pub fn rows(n: usize, seed: u64) -> Vec<usize> {
        Self::sample(n, Self::MAX, seed)
    }

    fn sample(n: usize, max: usize, seed: u64) -> Vec<usize> {
        if n <= max {
            return (0..n).collect();
        }
        let mut rng = Pcg64::seed_from_u64(sub_seed(seed, "training cells"));
        let mut rows = rand::seq::index::sample(&mut rng, n, max).into_vec();
        rows.sort_unstable();
        rows
    }

    /// One over the root of the mean variance of some cells, for every coordinate, `[dim]`.
    pub(crate) fn inverse_scale(&self, rows: &[usize]) -> Vec<f32> {
        let d = self.dim;
        let n = rows.len().max(1) as f64;
        let mut variance = 0.0;
        for k in 0..d {
            let value = |&i: &usize| f64::from(self.states[i * d + k]);
            let mean = rows.iter().map(value).sum::<f64>() / n;
            variance += rows.iter().map(|i| (value(i) - mean).powi(2)).sum::<f64>() / n / d as f64;
        }
        let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        vec![(1.0 / scale) as f32; d]
    }

    /// Writes the cells to a file, in one piece.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn save(&self, path: &Path) -> Result<(), RunError> {
        let n = self.len();
        let ids = self.ids.iter().map(|id| id.replace('\n', " ")).collect::<Vec<_>>().join("\n");
        let held_out: Vec<u8> = self.held_out.iter().map(|&h| u8::from(h)).collect();
        // Lengths and shapes agree by construction; an error would be safetensors' own.
        let view = |dtype, shape, data| {
            TensorView::new(dtype, shape, data).map_err(|e| write_error(path, std::io::Error::other(e)))
        };
        let label_names = self.labels.as_ref().map(|labels| labels.names().join("\n"));
        let population_names = self.populations.as_ref().map(|labels| labels.names().join("\n"));
        let clone_names = self.clones.as_ref().map(|labels| labels.names().join("\n"));
        let mut tensors = vec![
            ("states", view(Dtype::F32, vec![n, self.dim], bytemuck::cast_slice(&self.states))?),
            ("times", view(Dtype::F64, vec![n], bytemuck::cast_slice(&self.times))?),
            ("ids", view(Dtype::U8, vec![ids.len()], ids.as_bytes())?),
            ("held_out", view(Dtype::U8, vec![n], &held_out)?),
        ];
        let lists = [
            (["labels", "label_names"], &self.labels, &label_names),
            (["populations", "population_names"], &self.populations, &population_names),
            (["clones", "clone_names"], &self.clones, &clone_names),
        ];
        for ([codes, texts], labels, names) in lists {
            if let (Some(labels), Some(names)) = (labels, names) {
                tensors.push((codes, view(Dtype::I32, vec![n], bytemuck::cast_slice(labels.codes()))?));
                tensors.push((texts, view(Dtype::U8, vec![names.len()], names.as_bytes())?));
            }
        }
        if let Some(growth) = &self.growth {
            tensors.push(("growth", view(Dtype::F32, vec![n], bytemuck::cast_slice(growth))?));
        }
        let bytes =
            safetensors::serialize(tensors, None).map_err(|e| write_error(path, std::io::Error::other(e)))?;
        Ok(write_bytes_atomically(path, &bytes)?)
    }

    /// Reads the cells of a run.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read) and [`RunError::Damaged`].
    pub fn load(path: &Path) -> Result<Self, RunError> {
        let bytes = std::fs::read(path).map_err(|e| read_error(path, e))?;
        let damaged = |detail: String| RunError::Damaged { path: path.to_owned(), detail };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let tensor = |name: &str, dtype: Dtype| {
            let tensor = file.tensor(name).map_err(|e| damaged(e.to_string()))?;
            if tensor.dtype() == dtype {
                Ok(tensor)
            } else {
                Err(damaged(format!("`{name}` holds {:?}, not {dtype:?}", tensor.dtype())))
            }
        };
        let states = tensor("states", Dtype::F32)?;
        let &[n, dim] = states.shape() else {
            return Err(damaged(format!("`states` has shape {:?}, not [n, dim]", states.shape())));
        };
        let times: Vec<f64> = numbers(tensor("times", Dtype::F64)?.data(), f64::from_le_bytes);
        let held_out: Vec<bool> = tensor("held_out", Dtype::U8)?.data().iter().map(|&b| b != 0).collect();
        let ids = lines(tensor("ids", Dtype::U8)?.data()).map_err(&damaged)?;
        let names = file.names();
        let optional = |name: &str, dtype| names.contains(&name).then(|| tensor(name, dtype)).transpose();
        let growth = optional("growth", Dtype::F32)?.map(|g| numbers(g.data(), f32::from_le_bytes));
        if let Some(growth) = &growth
            && let Some(row) = growth.iter().position(|g| !g.is_finite())
        {
            return Err(damaged(format!("`growth` of cell number {row} is {}", growth[row])));
        }
        let list = |name: &str, names: &str| {
            let Some(codes) = optional(name, Dtype::I32)? else { return Ok(None) };
            let codes = numbers(codes.data(), i32::from_le_bytes);
            let names = lines(tensor(names, Dtype::U8)?.data()).map_err(&damaged)?;
            if codes.len() != n {
                return Err(damaged(format!("`{name}` has {} entries for {n} cells", codes.len())));
            }
            let labels = Labels::new(names, codes);
            Ok(Some(labels.ok_or_else(|| damaged(format!("`{name}` holds a label without a name")))?))
        };
        let labels = list("labels", "label_names")?;
        let populations = list("populations", "population_names")?;
        let clones = list("clones", "clone_names")?;
        let lengths = [
            ("times", times.len()),
            ("held_out", held_out.len()),
            ("ids", ids.len()),
            ("growth", growth.as_ref().map_or(n, Vec::len)),
        ];
        for (name, length) in lengths {
            if length != n {
                return Err(damaged(format!("`{name}` has {length} entries for {n} cells")));
            }
        }
        let states = numbers(states.data(), f32::from_le_bytes);
        Ok(Self { dim, states, times, ids, held_out, labels, growth, populations, clones })
    }
}

/// Lines of text; none if there is no text at all.
fn lines(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("names are no text: {e}"))?;
    Ok(if text.is_empty() { Vec::new() } else { text.split('\n').map(ToOwned::to_owned).collect() })
}

/// Little-endian numbers of `N` bytes.
fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&b| read(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cells(n: usize, dim: usize) -> TrainingCells {
        TrainingCells {
            dim,
            states: (0..n * dim).map(|i| i as f32 * 0.5).collect(),
            times: (0..n).map(|i| (i % 3) as f64).collect(),
            ids: (0..n).map(|i| format!("cell {i}")).collect(),
            held_out: (0..n).map(|i| i % 4 == 0).collect(),
            labels: (dim == 2).then(|| {
                Labels::from_text(&(0..n).map(|i| ["", "Mono", "B cell"][i % 3]).collect::<Vec<_>>())
            }),
            growth: (dim != 1).then(|| (0..n).map(|i| i as f32 * 0.1 - 1.0).collect()),
            populations: (dim == 3)
                .then(|| Labels::from_text(&(0..n).map(|i| ["LK", "LSK"][i % 2]).collect::<Vec<_>>())),
            clones: (dim == 3)
                .then(|| Labels::from_text(&(0..n).map(|i| ["", "17", "4"][i % 3]).collect::<Vec<_>>())),
        }
    }

    proptest! {
        #[test]
        fn what_was_saved_comes_back(n in 0_usize..40, dim in 1_usize..4) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("training_cells.safetensors");
            let cells = cells(n, dim);
            cells.save(&path).unwrap();
            prop_assert_eq!(TrainingCells::load(&path).unwrap(), cells);
        }

        #[test]
        fn rows_are_different_and_the_seeds(n in 1_usize..60, max in 1_usize..80, seed: u64) {
            let rows = TrainingCells::sample(n, max, seed);
            prop_assert_eq!(rows.len(), n.min(max));
            prop_assert_eq!(&rows, &TrainingCells::sample(n, max, seed));
            prop_assert!(rows.windows(2).all(|w| w[0] < w[1]) && rows.iter().all(|&r| r < n));
        }

        #[test]
        fn rates_that_are_none_are_damage(n in 1_usize..20, bad in 0_usize..20) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("training_cells.safetensors");
            let mut cells = cells(n, 3);
            cells.growth.as_mut().unwrap()[bad % n] = f32::NAN;
            cells.save(&path).unwrap();
            let message = TrainingCells::load(&path).unwrap_err().to_string();
            prop_assert!(message.contains("`growth`"), "{}", message);
            cells.growth.as_mut().unwrap().push(0.0);
            prop_assert!(cells.save(&path).is_err(), "safetensors checks the shape");
        }

        #[test]
        fn a_cut_file_is_an_error_not_a_panic(cut in 0_usize..2000) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("training_cells.safetensors");
            cells(30, 3).save(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..cut.min(bytes.len() - 1)]).unwrap();
            let damaged = matches!(TrainingCells::load(&path), Err(RunError::Damaged { .. }));
            prop_assert!(damaged);
        }
    }
}
