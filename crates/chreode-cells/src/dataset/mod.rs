//! Cells with their states, times and what else is known of them, from a table or an `.h5ad` file.
//!
//! Start with [`Dataset::load`]. [`DatasetOptions`] says what the parts of the file mean; `anndata` and `table` read
//! them, `time` understands times, `labels` joins labels from another file, `basis` compares loadings.
//! Not here: file formats (`h5ad`, `table`), the way from genes to the state (`preprocess`, `state_space`).

mod anndata;
mod basis;
mod delimited;
mod labels;
mod options;
mod time;

use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use chreode_train::States;

use crate::column::Labels;
use crate::error::DataError;
use crate::memory::{Memory, Room};
use crate::preprocess::{BlockError, Blocks, Kept, PreprocessOptions, Transform};
use crate::state_space::StateSpace;

pub use options::{DatasetOptions, StateSource};

/// Cells, one row each.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// Names of the cells, all different.
    pub ids: Vec<String>,
    /// What the coordinates are.
    pub space: StateSpace,
    /// States, `[n, dim]`, all finite.
    pub states: States<f32>,
    /// Name of the column of times.
    pub time_column: String,
    /// Time of each cell, as in its column.
    pub times: Vec<f64>,
    /// Label of each cell, if asked for.
    pub labels: Option<Labels>,
    /// Growth of each cell, if asked for.
    pub growth: Option<Vec<f64>>,
    /// Clone of each cell, if asked for.
    pub clones: Option<Labels>,
    /// Population of each cell, if asked for: no cell becomes one of another.
    pub populations: Option<Labels>,
    /// What was decided without being told, for the log.
    pub notes: Vec<String>,
}

/// The cells of one time.
#[derive(Debug, Clone, PartialEq)]
pub struct TimePoint {
    /// The time.
    pub time: f64,
    /// Rows of its cells, ascending.
    pub rows: Vec<usize>,
}

/// What either kind of file brings.
struct Parts {
    ids: Vec<String>,
    /// Whether the cells are named by the number of their row.
    numbered: bool,
    space: StateSpace,
    states: States<f32>,
    times: Vec<f64>,
    labels: Option<Labels>,
    growth: Option<Vec<f64>>,
    clones: Option<Labels>,
    populations: Option<Labels>,
    notes: Vec<String>,
    basis: Basis,
}

/// What a file says of the coordinates that it brings for an existing state space.
#[derive(Debug)]
pub(crate) enum Basis {
    /// They were made here, or the file's loadings are those of the space.
    Known,
    /// Nothing.
    Untold,
    /// They are others, for this reason.
    Other(DataError),
}

impl Dataset {
    /// The fewest cells that a time may have in a fit.
    pub const FEWEST_CELLS: usize = 10;

    /// Reads a file; the state space is made from it.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn load(path: impl Into<PathBuf>, options: &DatasetOptions) -> Result<Self, DataError> {
        Ok(Self::read(path.into(), options, None, None)?.0)
    }

    /// The same within some memory: what does not fit lies in a file. Beside the states, what is known of each cell is in memory.
    ///
    /// # Errors
    /// As [`load`](Self::load), and [`DataError::LittleMemory`], [`DataError::ByColumns`], [`DataError::Scratch`].
    pub fn load_within(
        path: impl Into<PathBuf>,
        options: &DatasetOptions,
        memory: &Memory,
    ) -> Result<Self, DataError> {
        Ok(Self::read(path.into(), options, None, Some(memory))?.0)
    }

    /// Reads new cells into an existing state space; `options.state` and `options.preprocess` have no part in it.
    ///
    /// A given basis is taken as the file has it, if its loadings do not say that it is another one. Where it has none, nothing
    /// is known; [`RunFolder::load_cells`](crate::run::RunFolder::load_cells) then compares cells with those of the training.
    ///
    /// # Errors
    /// [`DataError`], of a given basis [`DataError::OtherLoadings`] too.
    pub fn load_into(
        path: impl Into<PathBuf>,
        options: &DatasetOptions,
        space: &StateSpace,
    ) -> Result<Self, DataError> {
        match Self::read(path.into(), options, Some(space), None)? {
            (_, Basis::Other(error)) => Err(error),
            (dataset, _) => Ok(dataset),
        }
    }

    /// The same within some memory, as [`load_within`](Self::load_within).
    ///
    /// # Errors
    /// Those of the two.
    pub fn load_into_within(
        path: impl Into<PathBuf>,
        options: &DatasetOptions,
        space: &StateSpace,
        memory: &Memory,
    ) -> Result<Self, DataError> {
        match Self::read(path.into(), options, Some(space), Some(memory))? {
            (_, Basis::Other(error)) => Err(error),
            (dataset, _) => Ok(dataset),
        }
    }

    /// The same with what the file says of its basis, even if that is another one.
    pub(crate) fn load_as_stored(
        path: &Path,
        options: &DatasetOptions,
        space: &StateSpace,
    ) -> Result<(Self, Basis), DataError> {
        Self::read(path.to_owned(), options, Some(space), None)
    }

    /// States of the cells of an `.h5ad` file from their expression; see [`StateSpace::project`].
    ///
    /// Nothing if that cannot be done: genes or the whole matrix are missing, or an entry is no finite number.
    pub(crate) fn project_file(
        path: &Path,
        options: &DatasetOptions,
        space: &StateSpace,
    ) -> Option<Vec<f32>> {
        anndata::project(path, options, space).ok()?.filter(|states| states.iter().all(|x| x.is_finite()))
    }

    fn read(
        path: PathBuf,
        options: &DatasetOptions,
        space: Option<&StateSpace>,
        memory: Option<&Memory>,
    ) -> Result<(Self, Basis), DataError> {
        let room = Room { path: &path, memory };
        let mut parts = if is_h5ad(&path)? {
            anndata::read(room, options, space)?
        } else {
            delimited::read(room, options, space)?
        };
        parts.notes.extend(room.told(&parts.states, parts.space.dim()));
        if let Some((first, second)) = first_duplicate(&parts.ids) {
            return Err(DataError::DuplicateId { path, id: parts.ids[second].clone(), first, second });
        }
        let labels = match (&options.labels_from, &options.labels) {
            (Some(from), Some(column)) => {
                let table = labels::LabelTable { path: from, column, id: options.labels_id.as_deref() };
                Some(labels::join(&path, &parts.ids, parts.numbered, table)?)
            }
            _ => parts.labels,
        };
        let clones = match (parts.clones, &options.no_clone, &options.clone) {
            (Some(clones), Some(name), Some(column)) => Some(clones.without(name).ok_or_else(|| {
                let (path, column, name) = (path.clone(), column.clone(), name.clone());
                DataError::NoSuchClone { path, column, name }
            })?),
            (clones, ..) => clones,
        };
        let dataset = Self {
            path,
            ids: parts.ids,
            space: parts.space,
            states: parts.states,
            time_column: options.time.clone(),
            times: parts.times,
            labels,
            growth: parts.growth,
            clones,
            populations: parts.populations,
            notes: parts.notes,
        };
        Ok((dataset, parts.basis))
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.space.dim()
    }

    /// States of some cells, `[rows.len(), dim]`.
    ///
    /// # Errors
    /// [`DataError::Stored`] if they cannot be read.
    pub fn states_of(&self, rows: &[usize]) -> Result<Vec<f32>, DataError> {
        let d = self.dim();
        Ok(self.states.select(d, rows).all(d)?.into_owned())
    }

    /// The times, ascending, with their cells.
    pub fn time_points(&self) -> Vec<TimePoint> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&a, &b| self.times[a].total_cmp(&self.times[b]).then(a.cmp(&b)));
        let mut points: Vec<TimePoint> = Vec::new();
        for row in order {
            let time = self.times[row];
            match points.last_mut() {
                Some(point) if point.time == time => point.rows.push(row),
                _ => points.push(TimePoint { time, rows: vec![row] }),
            }
        }
        points
    }

    /// Rows of the cells of one time.
    ///
    /// # Errors
    /// [`DataError::NoSuchTime`] with the times there are.
    pub fn rows_at(&self, time: f64) -> Result<Vec<usize>, DataError> {
        let rows: Vec<usize> = (0..self.len()).filter(|&r| self.times[r] == time).collect();
        if rows.is_empty() {
            return Err(DataError::NoSuchTime {
                path: self.path.clone(),
                column: self.time_column.clone(),
                time,
                times: self.time_points().iter().map(|p| p.time).collect(),
            });
        }
        Ok(rows)
    }

    /// Those populations of [`populations`](Self::populations) that some cell has, as their names' positions.
    pub fn populations_there(&self) -> Vec<usize> {
        let counts = self.populations.as_ref().map(Labels::counts).unwrap_or_default();
        (0..counts.len()).filter(|&p| counts[p] > 0).collect()
    }

    /// For each of some time points the number of each cell's population, counted as training counts them; no list if none were asked for.
    /// A cell of no population counts as of the first.
    pub fn population_codes(&self, points: &[TimePoint]) -> Vec<Vec<u32>> {
        let Some(populations) = &self.populations else { return Vec::new() };
        let there = self.populations_there();
        let number = |&row: &usize| {
            let code = populations.code(row);
            code.and_then(|code| there.iter().position(|&p| p == code)).unwrap_or(0) as u32
        };
        points.iter().map(|point| point.rows.iter().map(number).collect()).collect()
    }

    /// Checks that every cell has a population, and that each has enough cells at some times; nothing where none were asked for. `column` is
    /// what they were read from.
    ///
    /// # Errors
    /// [`DataError::NoPopulation`], [`DataError::FewOfPopulation`].
    pub fn check_populations(&self, column: &str, points: &[TimePoint]) -> Result<(), DataError> {
        let Some(populations) = &self.populations else { return Ok(()) };
        let (path, column) = (self.path.clone(), column.to_owned());
        if let Some(row) = populations.codes().iter().position(|&code| code < 0) {
            return Err(DataError::NoPopulation { path, column, cell: self.ids[row].clone() });
        }
        for point in points {
            let mut counts = vec![0; populations.names().len()];
            point.rows.iter().filter_map(|&row| populations.code(row)).for_each(|p| counts[p] += 1);
            let few = |&p: &usize| counts[p] < Self::FEWEST_CELLS;
            if let Some(p) = self.populations_there().into_iter().find(few) {
                return Err(DataError::FewOfPopulation {
                    path,
                    column,
                    population: populations.names()[p].clone(),
                    time_column: self.time_column.clone(),
                    time: point.time,
                    cells: counts[p],
                    fewest: Self::FEWEST_CELLS,
                });
            }
        }
        Ok(())
    }

    /// Checks that some clone has cells at two of some times; nothing where no clones were asked for. `column` is what they were read from.
    ///
    /// # Errors
    /// [`DataError::NoCloneLasts`].
    pub fn check_clones(&self, column: &str, points: &[TimePoint]) -> Result<(), DataError> {
        let Some(clones) = &self.clones else { return Ok(()) };
        let mut first = vec![None; clones.names().len()];
        for point in points {
            for clone in point.rows.iter().filter_map(|&row| clones.code(row)) {
                if *first[clone].get_or_insert(point.time) != point.time {
                    return Ok(());
                }
            }
        }
        let seen = first.iter().flatten().count();
        Err(DataError::NoCloneLasts { path: self.path.clone(), column: column.to_owned(), clones: seen })
    }

    /// Checks that dynamics can be learned: two times at least, and enough cells of each.
    ///
    /// # Errors
    /// [`DataError::OneTime`], [`DataError::FewCells`].
    pub fn check_for_fitting(&self) -> Result<(), DataError> {
        let points = self.time_points();
        let (path, column) = (self.path.clone(), self.time_column.clone());
        match &points[..] {
            [] => return Err(DataError::NoRows { path }),
            [only] => return Err(DataError::OneTime { path, column, time: only.time }),
            _ => {}
        }
        match points.iter().find(|p| p.rows.len() < Self::FEWEST_CELLS) {
            Some(p) => Err(DataError::FewCells {
                path,
                column,
                time: p.time,
                cells: p.rows.len(),
                fewest: Self::FEWEST_CELLS,
            }),
            None => Ok(()),
        }
    }
}

/// Components made from cells that are read in blocks, and the cells' coordinates in them.
fn fit_within<B: Blocks<Error = DataError>>(
    room: Room<'_>,
    x: &B,
    genes: &[String],
    options: &PreprocessOptions,
) -> Result<(Transform, States<f32>), DataError> {
    let failed = |source| DataError::Preprocess { path: room.path.to_owned(), source };
    let file = room.memory.map(|_| room.file()).transpose()?;
    // Half: reading and what is computed of it have their share.
    let mut kept = Kept::new(room.spare(x.rows(), options.components) / 2, file);
    let transform = Transform::fit_blocks(x, genes, options, &mut kept).map_err(|error| match error {
        BlockError::Read(error) => error,
        BlockError::Preprocess(source) => failed(source),
    })?;
    let mut sink = room.sink(Some(x.rows()), transform.dim())?;
    let mut pushed = Ok(());
    transform
        .project_kept(&mut kept, |block| {
            if pushed.is_ok() {
                pushed = sink.push(block);
            }
            Ok(())
        })
        .map_err(failed)?;
    pushed?;
    Ok((transform, sink.finish()?))
}

/// Rows of the first name that occurs a second time, in the order of the second.
fn first_duplicate(ids: &[String]) -> Option<(usize, usize)> {
    // Numbers of rows by a checksum of their names take a third of what a map from the names takes.
    let hash = |id: &String| {
        let mut hasher = std::hash::DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    };
    let mut rows: Vec<(u64, u32)> = ids.iter().enumerate().map(|(row, id)| (hash(id), row as u32)).collect();
    rows.sort_unstable();
    let name = |&(_, row): &(u64, u32)| &ids[row as usize];
    let pairs = rows.chunk_by(|a, b| a.0 == b.0).flat_map(|same| {
        (1..same.len()).filter_map(|k| {
            let first = same[..k].iter().find(|other| name(other) == name(&same[k]))?;
            Some((first.1 as usize, same[k].1 as usize))
        })
    });
    pairs.min_by_key(|pair| pair.1)
}

/// What to say of new cells that lack genes of the total.
fn missing_counts(transform: &Transform, genes: &[String]) -> Option<String> {
    let missing = transform.missing_counts(genes);
    (missing.genes > 0).then(|| {
        format!(
            "{} of the {} genes that counts are totalled over are missing, {:.2} % of the counts: the others are scaled \
             to as much less",
            missing.genes,
            transform.counted.len(),
            100.0 * missing.share
        )
    })
}

/// Whether a file is to be read as AnnData: by its first bytes, or by its name if they are wrong.
fn is_h5ad(path: &Path) -> Result<bool, DataError> {
    use std::io::Read;
    let mut start = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(8).read_to_end(&mut start))
        .map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("h5ad"));
    Ok(named || start == b"\x89HDF\r\n\x1a\n")
}
