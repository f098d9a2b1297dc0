//! Labels from another file, joined by the cells' names.

use std::collections::HashMap;
use std::path::Path;

use super::options::ID_COLUMNS;
use super::{delimited, is_h5ad};
use crate::column::Labels;
use crate::error::DataError;
use crate::h5ad::H5ad;
use crate::names::Known;
use crate::table::{Table, TableRequest};

/// Where labels are to be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelTable<'a> {
    /// The file.
    pub(super) path: &'a Path,
    /// Its column of labels.
    pub(super) column: &'a str,
    /// Its column of the cells' names; if not given, the usual one.
    pub(super) id: Option<&'a str>,
}

/// Labels of the cells `ids` of `path` from another file; cells without a row there have none.
///
/// Cells that are `numbered` by their row may be joined with a table that names none either, row by row.
pub(super) fn join(
    path: &Path,
    ids: &[String],
    numbered: bool,
    LabelTable { path: from, column, id }: LabelTable<'_>,
) -> Result<Labels, DataError> {
    let (names, labels) = if is_h5ad(from)? {
        let file = H5ad::open(from)?;
        let names = match id {
            None => file.obs_names()?,
            Some(id) => {
                let names = file.obs(id)?.into_labels();
                (0..names.len()).map(|row| names.name(row).unwrap_or_default().to_owned()).collect()
            }
        };
        (names, file.obs(column)?.into_labels())
    } else {
        let table = Table::open(from)?;
        let id = delimited::id_column(&table, id)?;
        if id.is_none() && !numbered {
            return Err(DataError::NoIdColumn {
                path: from.to_owned(),
                usual: &ID_COLUMNS,
                known: Box::new(Known::all(table.names().iter().map(String::as_str))),
            });
        }
        let request =
            TableRequest { text: id.into_iter().chain([column]).collect(), ..TableRequest::default() };
        let mut data = table.read(&request)?;
        let labels = Labels::from_text(&data.text.pop().unwrap_or_default());
        let names = data.text.pop().unwrap_or_else(|| (0..data.rows).map(|i| i.to_string()).collect());
        (names, labels)
    };
    let mut rows: HashMap<&str, usize> = HashMap::with_capacity(names.len());
    for (second, name) in names.iter().enumerate() {
        if let Some(first) = rows.insert(name, second) {
            return Err(DataError::DuplicateId { path: from.to_owned(), id: name.clone(), first, second });
        }
    }
    let mut joined = 0;
    let codes = ids
        .iter()
        .map(|id| match rows.get(id.as_str()) {
            Some(&row) => {
                joined += 1;
                labels.codes()[row]
            }
            None => -1,
        })
        .collect();
    if joined == 0 {
        return Err(DataError::NoLabelJoins {
            path: path.to_owned(),
            labels: from.to_owned(),
            cell: ids.first().cloned().unwrap_or_default(),
            labelled: names.first().cloned().unwrap_or_default(),
        });
    }
    // Codes come from `labels`, so every one has its name.
    Ok(Labels::new(labels.names().to_vec(), codes).unwrap_or_default())
}
