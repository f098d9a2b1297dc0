//! Cells of a table.

use std::path::Path;

use chreode_train::{States, TrainError};

use super::options::ID_COLUMNS;
use super::time::parse_times;
use super::{Basis, DatasetOptions, Parts, StateSource, fit_within, missing_counts};
use crate::column::Labels;
use crate::error::DataError;
use crate::matrix::{DenseMatrix, Matrix};
use crate::memory::Room;
use crate::preprocess::{BlockError, Blocks, PreprocessError};
use crate::state_space::{ColumnSpace, StateSpace};
use crate::table::{Table, TableRequest};

/// The column that names the cells: the one asked for, or the first usual one, or none.
pub(super) fn id_column<'a>(table: &'a Table, asked: Option<&'a str>) -> Result<Option<&'a str>, DataError> {
    match asked {
        Some(name) if table.has(name) => Ok(Some(name)),
        Some(name) => Err(table.no_such_column(name)),
        None => Ok(ID_COLUMNS.into_iter().find(|name| table.has(name))),
    }
}

pub(super) fn read(
    room: Room<'_>,
    options: &DatasetOptions,
    space: Option<&StateSpace>,
) -> Result<Parts, DataError> {
    let path = room.path;
    let table = Table::open(path)?;
    let id = id_column(&table, options.id.as_deref())?;
    // Labels of another file are no column of this one.
    let own_labels = options.labels.as_deref().filter(|_| options.labels_from.is_none());
    let clone = options.clone.as_deref();
    let within = options.within.as_deref();
    let growth = options.growth.as_deref();
    let mut notes = Vec::new();
    if space.is_none() {
        options.check_state(path, id)?;
    }
    let taken: Vec<&str> =
        [Some(options.time.as_str()), id, options.labels.as_deref(), clone, within, growth]
            .into_iter()
            .flatten()
            .collect();
    let genes = || gene_columns(&table, options, &taken);
    let failed = |source| DataError::Preprocess { path: path.to_owned(), source };
    let matrix: Vec<String> = match (space, &options.state) {
        (Some(StateSpace::Columns(s)), _) => s.names.clone(),
        (Some(StateSpace::GivenPca(s)), _) => return Err(no_basis(path, &s.key)),
        (Some(StateSpace::GivenBasis(s)), _) => return Err(no_basis(path, &s.key)),
        (None, StateSource::Columns(names)) => names.clone(),
        (Some(StateSpace::OwnPca(transform)), _) => {
            // Before the table is read, so that a misspelt gene finds its like among all columns.
            transform.check_genes(table.names()).map_err(failed)?;
            let read = transform.genes_read();
            table.names().iter().filter(|name| read.contains(name.as_str())).cloned().collect()
        }
        (None, StateSource::Pca | StateSource::Expression) => genes()?,
        (None, StateSource::Basis(key)) => return Err(no_basis(path, key)),
        (None, StateSource::Auto) => return Err(DataError::NoState { path: path.to_owned() }),
    };
    let request = TableRequest {
        text: [Some(options.time.as_str()), id, own_labels, clone, within].into_iter().flatten().collect(),
        number: growth.into_iter().collect(),
        matrix: matrix.iter().map(String::as_str).collect(),
    };
    let mut sink = room.sink(None, matrix.len())?;
    let data = table.read_to(&request, &mut |row| sink.push(row))?;
    let columns = sink.finish()?;
    let mut text = data.text.into_iter();
    // In the order of the request: the time is always there.
    let times = parse_times(path, &options.time, &text.next().unwrap_or_default(), |row| row)?;
    let ids = if id.is_some() {
        text.next().unwrap_or_default()
    } else {
        notes.push("cells are named by the number of their row".to_owned());
        (0..data.rows).map(|i| i.to_string()).collect()
    };
    let labels = own_labels.and_then(|_| text.next()).map(|t| Labels::from_text(&t));
    let clones = clone.and_then(|_| text.next()).map(|t| Labels::from_text(&t));
    let populations = within.and_then(|_| text.next()).map(|t| Labels::from_text(&t));
    let (space, states) = match (space, &options.state) {
        (Some(space @ StateSpace::Columns(_)), _) => (space.clone(), columns),
        (Some(StateSpace::OwnPca(transform)), _) => {
            notes.extend(missing_counts(transform, &matrix));
            let reader = transform.reader(&matrix).map_err(failed)?;
            let mut sink = room.sink(Some(data.rows), transform.dim())?;
            columns.each_block(matrix.len(), |first, block| {
                each_part(first, block, matrix.len(), &mut |first, x| {
                    sink.push(&reader.states(first, x).map_err(failed)?)
                })
            })?;
            (StateSpace::OwnPca(transform.clone()), sink.finish()?)
        }
        (None, StateSource::Pca) => {
            let x = Columns { states: &columns, cols: matrix.len() };
            let (transform, states) = fit_within(room, &x, &matrix, &options.preprocess)?;
            notes.push(transform.summary());
            (StateSpace::OwnPca(transform), states)
        }
        _ => (StateSpace::Columns(ColumnSpace::of(matrix, &columns)?), columns),
    };
    Ok(Parts {
        ids,
        numbered: id.is_none(),
        space,
        states,
        times,
        labels,
        growth: data.number.into_iter().next(),
        clones,
        populations,
        notes,
        basis: Basis::Known,
    })
}

fn no_basis(path: &Path, key: &str) -> DataError {
    DataError::TableHasNoBasis { path: path.to_owned(), key: key.to_owned() }
}

/// The columns that are genes.
fn gene_columns(table: &Table, options: &DatasetOptions, taken: &[&str]) -> Result<Vec<String>, DataError> {
    if let Some(name) = options.exclude.iter().find(|name| !table.has(name)) {
        return Err(table.no_such_column(name));
    }
    if let Some(genes) = &options.genes {
        return Ok(genes.clone());
    }
    let genes: Vec<String> = table
        .numeric_names()
        .filter(|name| !taken.contains(name) && !options.exclude.iter().any(|e| e == name))
        .map(str::to_owned)
        .collect();
    if genes.is_empty() { Err(DataError::NoState { path: table.path().to_owned() }) } else { Ok(genes) }
}

/// Rows of a part of what is in memory at once, at most.
const PART: usize = 1024;

/// Calls `f(first, rows)` for parts of some rows of `cols` columns, of which `first` is the number of the first.
fn each_part<E>(
    first: usize,
    rows: &[f32],
    cols: usize,
    f: &mut dyn FnMut(usize, &Matrix) -> Result<(), E>,
) -> Result<(), E> {
    rows.chunks(PART * cols.max(1)).enumerate().try_for_each(|(k, part)| {
        let dense = DenseMatrix { rows: part.len() / cols.max(1), cols, values: part.to_vec() };
        f(first + k * PART, &Matrix::Dense(dense))
    })
}

/// Columns of a table that were read, as expression.
struct Columns<'a> {
    states: &'a States<f32>,
    cols: usize,
}

impl Blocks for Columns<'_> {
    type Error = DataError;

    fn rows(&self) -> usize {
        self.states.cells(self.cols)
    }

    fn pass(
        &self,
        f: &mut dyn FnMut(usize, &Matrix) -> Result<(), PreprocessError>,
    ) -> Result<(), BlockError<DataError>> {
        let mut bad = None;
        self.states
            .each_block(self.cols, |first, block| {
                if bad.is_none() {
                    bad = each_part(first, block, self.cols, f).err();
                }
                Ok::<_, TrainError>(())
            })
            .map_err(|e| BlockError::Read(e.into()))?;
        bad.map_or(Ok(()), |error| Err(BlockError::Preprocess(error)))
    }
}
