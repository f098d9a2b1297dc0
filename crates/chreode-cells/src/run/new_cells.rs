//! New cells for a run: into its coordinates, or not at all.
//!
//! A state made from columns or expression is the run's by construction. A given basis is a matrix that some other program
//! wrote: its name says nothing, and a PCA computed anew has other axes. So it is compared: by the loadings that the
//! file has (`dataset::basis`), and where there are none by the cells that the run was fitted on, if some of them recur.

use std::collections::HashMap;
use std::path::Path;

use super::{RunError, RunFolder, TrainingCells};
use crate::dataset::{Basis, Dataset, DatasetOptions};
use crate::error::DataError;
use crate::state_space::StateSpace;

/// How far the coordinates of new cells are known to be the run's.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Coordinates {
    /// They are.
    Known,
    /// The file's basis is another one, so expression was projected through the run's loadings. Cells that the run was fitted on
    /// came out where they were.
    Projected {
        /// The basis.
        key: String,
        /// How many such cells there are.
        cells: usize,
        /// Root mean square of what they are off in the worst coordinate, in its standard deviations.
        off: f64,
    },
    /// Nothing in the file tells.
    Unchecked {
        /// The basis.
        key: String,
    },
}

/// Fewest cells of the training that must come out where they were before the file's own word is overruled.
const FEWEST: usize = 10;
/// How far a cell may lie from where it was, in standard deviations of the coordinate: what half precision loses.
const MOVED: f64 = 0.01;
/// How far projected cells may be off: what cutting large scaled values, of which a file says nothing, can do.
const PROJECTED: f64 = 0.05;

impl RunFolder {
    /// Reads cells of a file into the run's state space, and makes sure of their coordinates as far as that is possible.
    ///
    /// A file with another PCA is projected through the run's loadings if its expression takes at least ten cells of the training,
    /// known by name and time, to their old coordinates: only that proves its unit and normalisation.
    ///
    /// # Errors
    /// [`DataError`]; of a basis that is not the run's [`DataError::OtherLoadings`] or [`DataError::MovedCells`].
    /// [`RunError::Damaged`] if the training cells cannot be read.
    pub fn load_cells(
        &self,
        path: &Path,
        options: &DatasetOptions,
        space: &StateSpace,
    ) -> Result<(Dataset, Coordinates), RunError> {
        let (mut dataset, basis) = Dataset::load_as_stored(path, options, space)?;
        let key = match space {
            StateSpace::GivenPca(s) => s.key.clone(),
            StateSpace::GivenBasis(s) => s.key.clone(),
            _ => return Ok((dataset, Coordinates::Known)),
        };
        let other = match basis {
            Basis::Known => return Ok((dataset, Coordinates::Known)),
            Basis::Untold => None,
            Basis::Other(error) => Some(error),
        };
        let training = TrainingCells::load(&self.training_cells())?;
        if training.dim != space.dim() {
            let detail =
                format!("its cells have {} coordinates, the run's state {}", training.dim, space.dim());
            return Err(RunError::Damaged { path: self.training_cells(), detail });
        }
        let both = Recurring::of(&training, &dataset);
        let moved = both.moved(&dataset.states.all(space.dim()).map_err(DataError::from)?);
        let Some(other) = other else {
            return match moved.first() {
                Some(&first) => {
                    let states = dataset.states.all(space.dim()).map_err(DataError::from)?;
                    Err(both.error(first, moved.len(), &dataset, &states, key).into())
                }
                None if both.rows.is_empty() => Ok((dataset, Coordinates::Unchecked { key })),
                None => Ok((dataset, Coordinates::Known)),
            };
        };
        if both.rows.len() < FEWEST {
            return Err(other.into());
        }
        if moved.is_empty() {
            return Ok((dataset, Coordinates::Known));
        }
        let Some(states) = Dataset::project_file(path, options, space) else { return Err(other.into()) };
        let off = both.off(&states);
        if off > PROJECTED {
            return Err(other.into());
        }
        let cells = both.rows.len();
        dataset.states = states.into();
        Ok((dataset, Coordinates::Projected { key, cells, off }))
    }
}

/// Cells that a file and the training have in common, by name and time.
struct Recurring<'a> {
    training: &'a TrainingCells,
    /// Standard deviation of each coordinate over the training; 1 where it is 0.
    sd: Vec<f64>,
    /// Rows in the training and in the file, in the file's order.
    rows: Vec<(usize, usize)>,
}

impl<'a> Recurring<'a> {
    fn of(training: &'a TrainingCells, dataset: &Dataset) -> Self {
        let row_of: HashMap<&str, usize> =
            training.ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
        let same = |(j, id): (usize, &String)| {
            let i = *row_of.get(id.as_str())?;
            (training.times[i] == dataset.times[j]).then_some((i, j))
        };
        let rows = dataset.ids.iter().enumerate().filter_map(same).collect();
        let n = training.len().max(1) as f64;
        let column = |k: usize| training.states.iter().skip(k).step_by(training.dim).map(|&x| f64::from(x));
        let spread = |k: usize| {
            let mean = column(k).sum::<f64>() / n;
            let sd = (column(k).map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            if sd > 0.0 { sd } else { 1.0 }
        };
        Self { training, sd: (0..training.dim).map(spread).collect(), rows }
    }

    /// What a cell is off in each coordinate, in its standard deviations.
    fn differences(&self, (i, j): (usize, usize), states: &[f32]) -> impl Iterator<Item = f64> {
        let d = self.training.dim;
        let (there, here) = (&self.training.states[i * d..(i + 1) * d], &states[j * d..(j + 1) * d]);
        there.iter().zip(here).zip(&self.sd).map(|((&a, &b), sd)| (f64::from(b) - f64::from(a)).abs() / sd)
    }

    /// The cells that lie elsewhere.
    fn moved(&self, states: &[f32]) -> Vec<(usize, usize)> {
        let moved = |&&rows: &&(usize, usize)| self.differences(rows, states).any(|off| off > MOVED);
        self.rows.iter().filter(moved).copied().collect()
    }

    /// Root mean square of what the cells are off in the worst coordinate.
    fn off(&self, states: &[f32]) -> f64 {
        let mut squares = vec![0.0; self.training.dim];
        for &rows in &self.rows {
            for (sum, off) in squares.iter_mut().zip(self.differences(rows, states)) {
                *sum += off * off;
            }
        }
        let worst = squares.into_iter().fold(0.0, f64::max);
        (worst / self.rows.len().max(1) as f64).sqrt()
    }

    fn error(
        &self,
        (i, j): (usize, usize),
        moved: usize,
        dataset: &Dataset,
        states: &[f32],
        key: String,
    ) -> DataError {
        let d = self.training.dim;
        // There is one, or the cell had not moved.
        let k = self.differences((i, j), states).position(|off| off > MOVED).unwrap_or(0);
        DataError::MovedCells {
            path: dataset.path.clone(),
            key,
            recurring: self.rows.len(),
            moved,
            cell: dataset.ids[j].clone(),
            coordinate: k + 1,
            found: states[j * d + k],
            expected: self.training.states[i * d + k],
        }
    }
}
