//! What the parts of a file mean.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::preprocess::PreprocessOptions;

/// What the model's state is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateSource {
    /// `obsm['X_pca']` of an `.h5ad` file, or components made here if it has none. A table must be told.
    #[default]
    Auto,
    /// Coordinates of an `.h5ad` file, by their key in `obsm`.
    Basis(String),
    /// Expression itself: `X` or a layer, or all gene columns of a table.
    Expression,
    /// These columns of a table; of an `.h5ad` file, these columns of `obs` or these genes.
    Columns(Vec<String>),
    /// Principal components of expression, made here.
    Pca,
}

impl StateSource {
    /// What `--basis NAME` says: `none` makes components, `X` is expression itself, anything else is a key of `obsm`.
    pub fn from_basis(name: &str) -> Self {
        match name {
            "none" => Self::Pca,
            "X" => Self::Expression,
            key => Self::Basis(key.to_owned()),
        }
    }

    /// What `--state NAMES` says: `all` is all of expression, anything else names columns between commas.
    pub fn from_columns(names: &str) -> Self {
        match names {
            "all" => Self::Expression,
            names => Self::Columns(names.split(',').map(|n| n.trim().to_owned()).collect()),
        }
    }
}

/// What the parts of a file mean.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetOptions {
    /// Column of the times.
    pub time: String,
    /// Column of a table that names the cells; the first of `cell`, `cell_id`, `cell_idx`, `barcode`, `index` that
    /// exists if not given, else the number of the row from 0. An `.h5ad` file names its cells itself.
    pub id: Option<String>,
    /// What the state is.
    pub state: StateSource,
    /// Columns of a table that are genes; all columns of numbers that mean nothing else if not given.
    pub genes: Option<Vec<String>>,
    /// Columns of a table that are no genes, though they hold numbers.
    pub exclude: Vec<String>,
    /// Layer of an `.h5ad` file that holds expression; `X` if not given.
    pub layer: Option<String>,
    /// Column of the labels.
    pub labels: Option<String>,
    /// Another file that holds the labels, joined by the cells' names.
    pub labels_from: Option<PathBuf>,
    /// Column of that file that names the cells. If not given: of a table the first of the usual ones, as for `id`, or the
    /// number of the row if the cells are named by it too; of an `.h5ad` file the names of its cells.
    pub labels_id: Option<String>,
    /// Column of the growth.
    pub growth: Option<String>,
    /// Column of the clones.
    pub clone: Option<String>,
    /// Entry of that column, beside an empty one, for cells of no known clone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_clone: Option<String>,
    /// Column of the populations that do not mix, such as sorted fractions, wells or mice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The way from expression to components.
    pub preprocess: PreprocessOptions,
}

impl DatasetOptions {
    /// Checks that the columns named as state, or as genes, are different ones and mean nothing else; `id` is the column
    /// of the cells' names.
    pub(super) fn check_state(&self, path: &Path, id: Option<&str>) -> Result<(), DataError> {
        let own_labels = self.labels.as_deref().filter(|_| self.labels_from.is_none());
        let taken = [
            (Some(self.time.as_str()), "the times"),
            (id, "the cells' names"),
            (self.growth.as_deref(), "the growth"),
            (self.clone.as_deref(), "the clones"),
            (self.within.as_deref(), "the populations"),
            (own_labels, "the labels"),
        ];
        let (names, part) = match (&self.state, &self.genes) {
            (StateSource::Columns(names), _) => (names, "state"),
            (StateSource::Expression | StateSource::Pca, Some(genes)) => (genes, "genes"),
            _ => return Ok(()),
        };
        let mut seen = HashSet::with_capacity(names.len());
        for name in names {
            let (path, column) = (path.to_owned(), name.clone());
            if let Some(&(_, holds)) = taken.iter().find(|t| t.0 == Some(name.as_str())) {
                return Err(DataError::ColumnTaken { path, column, holds, part });
            }
            if !seen.insert(name) {
                return Err(DataError::ColumnTwice { path, column, part });
            }
        }
        Ok(())
    }
}

/// Columns that name the cells of a table, by preference.
pub(super) const ID_COLUMNS: [&str; 5] = ["cell", "cell_id", "cell_idx", "barcode", "index"];
