//! Cells of an `.h5ad` file.

use std::path::Path;

use super::basis::Loadings;
use super::time::parse_times;
use super::{Basis, DatasetOptions, Parts, StateSource, missing_counts};
use crate::column::{Column, Labels};
use crate::error::DataError;
use crate::h5ad::H5ad;
use crate::matrix::{DenseMatrix, Matrix};
use crate::names::Known;
use crate::preprocess::{Fitted, Transform};
use crate::state_space::{ColumnSpace, GivenBasis, GivenPca, MissingLoadings, StateSpace};

pub(super) fn read(
    path: &Path,
    options: &DatasetOptions,
    space: Option<&StateSpace>,
) -> Result<Parts, DataError> {
    let file = H5ad::open(path)?;
    let ids = file.obs_names()?;
    let reader = Reader { file: &file, path, ids: &ids, options };
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
    let (x, genes) = Reader { file: &file, path, ids: &[], options }.expression()?;
    Ok(space.project(x, &genes).ok())
}

struct Reader<'a> {
    file: &'a H5ad,
    path: &'a Path,
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

    fn basis(&self, key: &str) -> Result<DenseMatrix, DataError> {
        let basis = self.file.obsm(key)?;
        match basis.values.iter().position(|x| !x.is_finite()) {
            Some(i) => {
                let (row, column) = (i / basis.cols, i % basis.cols);
                Err(self.bad_entry(&format!("obsm/{key}[{column}]"), row, f64::from(basis.values[i])))
            }
            None => Ok(basis),
        }
    }

    fn expression(&self) -> Result<(Matrix, Vec<String>), DataError> {
        let x = match &self.options.layer {
            Some(layer) => self.file.layer(layer)?,
            None => self.file.x()?,
        };
        Ok((x, self.file.var_names()?))
    }

    /// Expression of some genes, all finite, `[n, genes]`.
    fn gene_values(&self, names: &[String]) -> Result<Vec<f32>, DataError> {
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
        let dense = x.select_columns(&columns).into_dense();
        match dense.values.iter().position(|v| !v.is_finite()) {
            Some(i) => {
                let (row, column) = (i / dense.cols, i % dense.cols);
                Err(self.bad_entry(&format!("X[{}]", names[column]), row, f64::from(dense.values[i])))
            }
            None => Ok(dense.values),
        }
    }

    /// Columns of `obs`, or genes, as they are.
    fn column_values(&self, names: &[String]) -> Result<Vec<f32>, DataError> {
        let columns = self.file.obs_columns()?;
        if !names.iter().all(|n| columns.contains(n)) {
            return self.gene_values(names);
        }
        let columns = names.iter().map(|n| self.numbers(n)).collect::<Result<Vec<_>, _>>()?;
        Ok((0..self.ids.len()).flat_map(|i| columns.iter().map(move |c| c[i] as f32)).collect())
    }

    fn states_in(&self, space: &StateSpace, notes: &mut Vec<String>) -> Result<(Vec<f32>, Basis), DataError> {
        Ok(match space {
            StateSpace::Columns(s) => (self.column_values(&s.names)?, Basis::Known),
            StateSpace::GivenPca(s) => (self.given(&s.key, s.dim)?, self.compare(s)?),
            StateSpace::GivenBasis(s) => (self.given(&s.key, s.dim)?, Basis::Untold),
            StateSpace::OwnPca(transform) => {
                let (x, genes) = self.expression()?;
                notes.extend(missing_counts(transform, &genes));
                let states = transform
                    .apply(x, &genes)
                    .map_err(|source| DataError::Preprocess { path: self.path.to_owned(), source })?;
                (states, Basis::Known)
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

    fn given(&self, key: &str, dim: usize) -> Result<Vec<f32>, DataError> {
        let basis = self.basis(key)?;
        if basis.cols != dim {
            return Err(DataError::Shape {
                path: self.path.to_owned(),
                key: format!("obsm/{key}"),
                found: vec![basis.rows, basis.cols],
                expected: vec![basis.rows, dim],
            });
        }
        Ok(basis.values)
    }

    fn states(&self, notes: &mut Vec<String>) -> Result<(StateSpace, Vec<f32>), DataError> {
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
                let basis = self.basis(key)?;
                let space = self.given_space(key, basis.cols)?;
                if let StateSpace::GivenBasis(GivenBasis { missing, .. }) = &space {
                    notes.push(format!("genes cannot be set or read in `{key}`: {missing}"));
                }
                (space, basis.values)
            }
            StateSource::Columns(names) => {
                let states = self.column_values(names)?;
                (StateSpace::Columns(ColumnSpace::of(names.clone(), &states)), states)
            }
            StateSource::Expression => {
                let names = self.file.var_names()?;
                let states = self.gene_values(&names)?;
                (StateSpace::Columns(ColumnSpace::of(names, &states)), states)
            }
            StateSource::Pca | StateSource::Auto => {
                let (x, genes) = self.expression()?;
                let Fitted { transform, states } = Transform::fit(x, &genes, &self.options.preprocess)
                    .map_err(|source| DataError::Preprocess { path: self.path.to_owned(), source })?;
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
