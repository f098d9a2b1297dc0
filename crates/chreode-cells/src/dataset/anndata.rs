//! Cells of an `.h5ad` file.

use std::path::Path;

use chreode_train::States;

use super::basis::Loadings;
use super::time::parse_times;
use super::{Basis, DatasetOptions, Parts, StateSource, fit_within, missing_counts};
use crate::column::{Column, Labels};
use crate::error::DataError;
use crate::h5ad::{H5ad, MatrixRows};
use crate::matrix::Matrix;
use crate::memory::{BLOCK, Room, Sink};
use crate::names::Known;
use crate::preprocess::{BlockError, Blocks, PreprocessError};
use crate::state_space::{ColumnSpace, GivenBasis, GivenPca, MissingLoadings, StateSpace};

pub(super) fn read(
    room: Room<'_>,
    options: &DatasetOptions,
    space: Option<&StateSpace>,
) -> Result<Parts, DataError> {
    let path = room.path;
    let file = H5ad::open(path)?;
    room.check(file.n_obs()?)?;
    let ids = file.obs_names()?;
    let reader = Reader { file: &file, path, room, ids: &ids, options };
    if space.is_none() {
        options.check_state(path, None)?;
    }
    let times = reader.times()?;
    let labels = match (&options.labels, &options.labels_from) {
        (Some(column), None) => Some(reader.labels(column)?),
        _ => None,
    };
    let clones = options.clone.as_deref().map(|c| reader.labels(c)).transpose()?;
    let populations = options.within.as_deref().map(|c| reader.labels(c)).transpose()?;
    let growth = options.growth.as_deref().map(|c| reader.numbers(c)).transpose()?;
    let mut notes = Vec::new();
    let (space, states, basis) = if let Some(space) = space {
        let (states, basis) = reader.states_in(space, &mut notes)?;
        (space.clone(), states, basis)
    } else {
        let (space, states) = reader.states(&mut notes)?;
        (space, states, Basis::Known)
    };
    Ok(Parts {
        ids,
        numbered: false,
        space,
        states,
        times,
        labels,
        growth,
        clones,
        populations,
        notes,
        basis,
    })
}

/// States from expression; nothing if the file lacks what that needs.
pub(super) fn project(
    path: &Path,
    options: &DatasetOptions,
    space: &StateSpace,
) -> Result<Option<Vec<f32>>, DataError> {
    let file = H5ad::open(path)?;
    let room = Room { path, memory: None };
    let reader = Reader { file: &file, path, room, ids: &[], options };
    let (x, genes) = reader.expression()?;
    Ok(space.project(&x.whole()?, &genes).ok())
}

struct Reader<'a> {
    file: &'a H5ad,
    path: &'a Path,
    room: Room<'a>,
    ids: &'a [String],
    options: &'a DatasetOptions,
}

impl Reader<'_> {
    fn times(&self) -> Result<Vec<f64>, DataError> {
        let column = &self.options.time;
        let labels = match self.file.obs(column)? {
            Column::Number(times) => return self.finite(&format!("obs/{column}"), times),
            other => other.into_labels(),
        };
        // Names that no cell has need be no times.
        let used: Vec<usize> = labels.counts().iter().enumerate().filter(|c| *c.1 > 0).map(|c| c.0).collect();
        let names: Vec<String> = used.iter().map(|&c| labels.names()[c].clone()).collect();
        let of_used = parse_times(self.path, column, &names, |i| {
            (0..labels.len()).find(|&row| labels.code(row) == Some(used[i])).unwrap_or_default()
        })?;
        let mut of_name = vec![f64::NAN; labels.names().len()];
        for (&c, &t) in used.iter().zip(&of_used) {
            of_name[c] = t;
        }
        let times = (0..labels.len()).map(|i| labels.code(i).map_or(f64::NAN, |c| of_name[c])).collect();
        self.finite(&format!("obs/{column}"), times)
    }

    fn finite(&self, key: &str, values: Vec<f64>) -> Result<Vec<f64>, DataError> {
        match values.iter().position(|x| !x.is_finite()) {
            Some(row) => Err(self.bad_entry(key, row, values[row])),
            None => Ok(values),
        }
    }

    fn bad_entry(&self, key: &str, row: usize, value: f64) -> DataError {
        DataError::BadEntry {
            path: self.path.to_owned(),
            key: key.to_owned(),
            cell: self.ids.get(row).cloned().unwrap_or_default(),
            row,
            value,
            expected: "a finite number",
        }
    }

    fn labels(&self, column: &str) -> Result<Labels, DataError> {
        Ok(self.file.obs(column)?.into_labels())
    }

    fn numbers(&self, column: &str) -> Result<Vec<f64>, DataError> {
        let key = format!("obs/{column}");
        match self.file.obs(column)? {
            Column::Number(x) => self.finite(&key, x),
            Column::Bool(x) => Ok(x.into_iter().map(|b| f64::from(u8::from(b))).collect()),
            Column::Text(_) | Column::Labels(_) => Err(DataError::Encoding {
                path: self.path.to_owned(),
                key,
                found: "text".to_owned(),
                expected: "numbers",
            }),
        }
    }

    /// A basis, all finite, `[n, cols]`, and its number of columns.
    fn basis(&self, key: &str) -> Result<(States<f32>, usize), DataError> {
        let basis = self.file.obsm_rows(key)?;
        let dim = basis.cols();
        let mut sink = self.room.sink(Some(basis.rows()), dim)?;
        self.each_block(&basis, dim, &mut |first, block| {
            self.take(&mut sink, first, block, &|column| format!("obsm/{key}[{column}]"))
        })?;
        Ok((sink.finish()?, dim))
    }

    /// Puts rows from number `first` on where the states are gathered, if all are finite.
    fn take(
        &self,
        sink: &mut Sink<'_>,
        first: usize,
        block: Matrix,
        key: &dyn Fn(usize) -> String,
    ) -> Result<(), DataError> {
        let dense = block.into_dense();
        match dense.values.iter().position(|x| !x.is_finite()) {
            Some(i) => {
                let (row, column) = (i / dense.cols, i % dense.cols);
                Err(self.bad_entry(&key(column), first + row, f64::from(dense.values[i])))
            }
            None => sink.push(&dense.values),
        }
    }

    /// Calls `f(first, rows)` for blocks of a matrix from which states of `dim` coordinates are made.
    fn each_block(
        &self,
        x: &MatrixRows<'_>,
        dim: usize,
        f: &mut dyn FnMut(usize, Matrix) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        if let Some(needed) = x.whole_bytes() {
            let left = self.room.spare(x.rows(), dim);
            if needed > left {
                let (path, key) = (self.path.to_owned(), x.key().to_owned());
                return Err(DataError::ByColumns { path, key, needed, left });
            }
        }
        let rows = x.rows_of(BLOCK)?;
        (0..x.rows()).step_by(rows).try_for_each(|first| f(first, x.read(first, rows)?))
    }

    fn expression(&self) -> Result<(MatrixRows<'_>, Vec<String>), DataError> {
        let x = match &self.options.layer {
            Some(layer) => self.file.layer_rows(layer)?,
            None => self.file.x_rows()?,
        };
        Ok((x, self.file.var_names()?))
    }

    /// Expression of some genes, all finite, `[n, genes]`.
    fn gene_values(&self, names: &[String]) -> Result<States<f32>, DataError> {
        let (x, genes) = self.expression()?;
        let columns = names
            .iter()
            .map(|name| {
                genes.iter().position(|g| g == name).ok_or_else(|| DataError::NoSuchName {
                    path: self.path.to_owned(),
                    what: "gene",
                    name: name.clone(),
                    known: Box::new(Known::near(name, genes.iter().map(String::as_str))),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut sink = self.room.sink(Some(x.rows()), names.len())?;
        self.each_block(&x, names.len(), &mut |first, block| {
            let key = |column: usize| format!("X[{}]", names[column]);
            self.take(&mut sink, first, block.select_columns(&columns), &key)
        })?;
        sink.finish()
    }

    /// Columns of `obs`, or genes, as they are.
    fn column_values(&self, names: &[String]) -> Result<States<f32>, DataError> {
        let columns = self.file.obs_columns()?;
        if !names.iter().all(|n| columns.contains(n)) {
            return self.gene_values(names);
        }
        let columns = names.iter().map(|n| self.numbers(n)).collect::<Result<Vec<_>, _>>()?;
        let mut sink = self.room.sink(Some(self.ids.len()), names.len())?;
        let mut row = Vec::with_capacity(names.len());
        for i in 0..self.ids.len() {
            row.clear();
            row.extend(columns.iter().map(|c| c[i] as f32));
            sink.push(&row)?;
        }
        sink.finish()
    }

    fn states_in(
        &self,
        space: &StateSpace,
        notes: &mut Vec<String>,
    ) -> Result<(States<f32>, Basis), DataError> {
        Ok(match space {
            StateSpace::Columns(s) => (self.column_values(&s.names)?, Basis::Known),
            StateSpace::GivenPca(s) => (self.given(&s.key, s.dim)?, self.compare(s)?),
            StateSpace::GivenBasis(s) => (self.given(&s.key, s.dim)?, Basis::Untold),
            StateSpace::OwnPca(transform) => {
                let failed = |source| DataError::Preprocess { path: self.path.to_owned(), source };
                let (x, genes) = self.expression()?;
                notes.extend(missing_counts(transform, &genes));
                let reader = transform.reader(&genes).map_err(failed)?;
                let mut sink = self.room.sink(Some(x.rows()), transform.dim())?;
                self.each_block(&x, transform.dim(), &mut |first, block| {
                    sink.push(&reader.states(first, &block).map_err(failed)?)
                })?;
                (sink.finish()?, Basis::Known)
            }
        })
    }

    /// Whether the file's loadings are those of the space.
    fn compare(&self, space: &GivenPca) -> Result<Basis, DataError> {
        if !self.file.keys("varm")?.iter().any(|k| k == "PCs") {
            return Ok(Basis::Untold);
        }
        let loadings = self.file.varm("PCs")?;
        if loadings.cols != space.dim {
            return Ok(Basis::Untold);
        }
        let genes = self.file.var_names()?;
        let (mean, sd) = (self.var_numbers("mean")?, self.var_numbers("std")?);
        let file =
            Loadings { genes: &genes, values: &loadings.values, mean: mean.as_deref(), sd: sd.as_deref() };
        let found = file.compare(space);
        Ok(match found.first {
            Some(gene) => Basis::Other(DataError::OtherLoadings {
                path: self.path.to_owned(),
                key: space.key.clone(),
                different: found.different,
                compared: found.compared,
                gene,
            }),
            None if found.compared == 0 => Basis::Untold,
            None => Basis::Known,
        })
    }

    /// A column of numbers of `var`; nothing if there is none of that name.
    fn var_numbers(&self, name: &str) -> Result<Option<Vec<f64>>, DataError> {
        if !self.file.var_columns()?.iter().any(|c| c == name) {
            return Ok(None);
        }
        Ok(match self.file.var(name)? {
            Column::Number(x) => Some(x),
            _ => None,
        })
    }

    fn given(&self, key: &str, dim: usize) -> Result<States<f32>, DataError> {
        let (states, cols) = self.basis(key)?;
        if cols != dim {
            return Err(DataError::Shape {
                path: self.path.to_owned(),
                key: format!("obsm/{key}"),
                found: vec![self.ids.len(), cols],
                expected: vec![self.ids.len(), dim],
            });
        }
        Ok(states)
    }

    fn states(&self, notes: &mut Vec<String>) -> Result<(StateSpace, States<f32>), DataError> {
        let source = match &self.options.state {
            StateSource::Auto if self.file.keys("obsm")?.iter().any(|k| k == "X_pca") => {
                notes.push("the state is obsm['X_pca']".to_owned());
                &StateSource::Basis("X_pca".to_owned())
            }
            StateSource::Auto => &StateSource::Pca,
            given => given,
        };
        Ok(match source {
            StateSource::Basis(key) => {
                let (states, dim) = self.basis(key)?;
                let space = self.given_space(key, dim)?;
                if let StateSpace::GivenBasis(GivenBasis { missing, .. }) = &space {
                    notes.push(format!("genes cannot be set or read in `{key}`: {missing}"));
                }
                (space, states)
            }
            StateSource::Columns(names) => {
                let states = self.column_values(names)?;
                (StateSpace::Columns(ColumnSpace::of(names.clone(), &states)?), states)
            }
            StateSource::Expression => {
                let names = self.file.var_names()?;
                let states = self.gene_values(&names)?;
                (StateSpace::Columns(ColumnSpace::of(names, &states)?), states)
            }
            StateSource::Pca | StateSource::Auto => {
                let (x, genes) = self.expression()?;
                let (transform, states) = fit_within(
                    self.room,
                    &Expression { reader: self, x, dim: self.options.preprocess.components },
                    &genes,
                    &self.options.preprocess,
                )?;
                notes.push(transform.summary());
                (StateSpace::OwnPca(transform), states)
            }
        })
    }

    /// What is known of a basis: loadings and scaling, or what of them is missing.
    fn given_space(&self, key: &str, dim: usize) -> Result<StateSpace, DataError> {
        let without = |missing| Ok(StateSpace::GivenBasis(GivenBasis { key: key.to_owned(), dim, missing }));
        if key != "X_pca" {
            return without(MissingLoadings::NotPca);
        }
        if !self.file.keys("varm")?.iter().any(|k| k == "PCs") {
            return without(MissingLoadings::Loadings);
        }
        let (Some(mean), Some(sd)) = (self.var_numbers("mean")?, self.var_numbers("std")?) else {
            return without(MissingLoadings::Scaling);
        };
        let loadings = self.file.varm("PCs")?;
        if loadings.cols != dim {
            return without(MissingLoadings::Components);
        }
        Ok(StateSpace::GivenPca(GivenPca {
            key: key.to_owned(),
            genes: self.file.var_names()?,
            loadings: loadings.values,
            mean,
            sd,
            dim,
        }))
    }
}

/// Expression of a file, read anew in each pass.
struct Expression<'a> {
    reader: &'a Reader<'a>,
    x: MatrixRows<'a>,
    /// Coordinates of the states that will be made from it.
    dim: usize,
}

impl Blocks for Expression<'_> {
    type Error = DataError;

    fn rows(&self) -> usize {
        self.x.rows()
    }

    fn pass(
        &self,
        f: &mut dyn FnMut(usize, &Matrix) -> Result<(), PreprocessError>,
    ) -> Result<(), BlockError<DataError>> {
        let mut failed = None;
        let read = self.reader.each_block(&self.x, self.dim, &mut |first, block| {
            f(first, &block).map_err(|source| {
                failed = Some(source.clone());
                DataError::Preprocess { path: self.reader.path.to_owned(), source }
            })
        });
        match (failed, read) {
            (Some(error), _) => Err(BlockError::Preprocess(error)),
            (None, read) => read.map_err(BlockError::Read),
        }
    }
}
