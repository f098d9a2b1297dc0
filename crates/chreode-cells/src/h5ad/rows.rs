//! Matrices, whole or some rows at a time.
//!
//! Contiguous and chunked arrays are read by rows, with any filter: only chunks that hold some of the rows are unpacked. Of a matrix
//! stored by rows (`csr_matrix`) the entries of some rows lie together. One that is stored by columns (`csc_matrix`) can be read as a
//! whole alone.

use std::collections::HashMap;

use hdf5_pure::{AttrValue, DType, Dataset};

use super::read::{Element, H5ad, is_integer, text_attr};
use crate::error::DataError;
use crate::matrix::{CsrMatrix, DenseMatrix, Matrix, MatrixError};
use crate::names::Known;

/// A matrix of a file, `[rows, cols]`, of which some rows can be read at a time.
pub struct MatrixRows<'a> {
    file: &'a H5ad,
    key: String,
    rows: usize,
    cols: usize,
    form: Form,
}

enum Form {
    Dense(Box<Dataset>),
    ByRows(Box<Parts>),
    ByColumns(Box<Parts>),
}

/// The parts of a sparse matrix.
struct Parts {
    indptr: Dataset,
    indices: Dataset,
    data: Dataset,
    entries: usize,
}

/// Bytes of an entry of a sparse matrix while it is read: index and value as stored, as numbers, and in the matrix.
const ENTRY: usize = 28;

impl H5ad {
    /// Coordinates of the cells, `[n_obs, k]`, to be read by rows.
    ///
    /// # Errors
    /// As [`obsm`](Self::obsm).
    pub fn obsm_rows(&self, key: &str) -> Result<MatrixRows<'_>, DataError> {
        self.keyed("obsm", "obsm key", key, [self.n_obs()?, 0])
    }

    /// A layer, `[n_obs, n_vars]`, to be read by rows.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn layer_rows(&self, key: &str) -> Result<MatrixRows<'_>, DataError> {
        self.keyed("layers", "layer", key, [self.n_obs()?, self.n_vars()?])
    }

    /// The matrix `X`, `[n_obs, n_vars]`, to be read by rows.
    ///
    /// # Errors
    /// As [`x`](Self::x).
    pub fn x_rows(&self) -> Result<MatrixRows<'_>, DataError> {
        let shape = [self.n_obs()?, self.n_vars()?];
        if self.x_encoding()?.is_none() {
            return Err(DataError::NoSuchName {
                path: self.path().to_owned(),
                what: "matrix",
                name: "X".to_owned(),
                known: Box::new(Known::near("X", self.keys("layers")?.iter().map(String::as_str))),
            });
        }
        self.matrix("X", shape)
    }

    pub(super) fn keyed(
        &self,
        group: &str,
        what: &'static str,
        key: &str,
        shape: [usize; 2],
    ) -> Result<MatrixRows<'_>, DataError> {
        let keys = self.keys(group)?;
        if !keys.iter().any(|k| k == key) {
            return Err(DataError::NoSuchName {
                path: self.path().to_owned(),
                what,
                name: key.to_owned(),
                known: Box::new(Known::near(key, keys.iter().map(String::as_str))),
            });
        }
        self.matrix(&format!("{group}/{key}"), shape)
    }

    /// A matrix in any encoding; 0 columns in `shape` stand for any number.
    fn matrix(&self, key: &str, shape: [usize; 2]) -> Result<MatrixRows<'_>, DataError> {
        const EXPECTED: &str = "a dense array, `csr_matrix` or `csc_matrix`";
        let check = |found: &[usize]| {
            let fits = matches!(found, &[r, c] if r == shape[0] && (shape[1] == 0 || c == shape[1]));
            if fits { Ok(()) } else { Err(self.shape(key, found.to_vec(), shape.to_vec())) }
        };
        let (found, form) = match self.element(key)? {
            Element::Array(array) => {
                let found = self.dims(key, &array)?;
                check(&found)?;
                (found, Form::Dense(Box::new(array)))
            }
            Element::Group(group) => {
                let attrs = group.attrs().map_err(|e| self.error(key, e))?;
                let kind = text_attr(&attrs, "encoding-type").unwrap_or_default();
                let found = stored_shape(&attrs);
                if !matches!(kind.as_str(), "csr_matrix" | "csc_matrix") {
                    let found = if kind.is_empty() { "a group without an encoding".into() } else { kind };
                    return Err(self.encoding(key, found, EXPECTED));
                }
                check(&found)?;
                let part = |name: &str| {
                    let key = format!("{key}/{name}");
                    match self.element(&key)? {
                        Element::Array(array) => Ok((self.vector_len(&key, &array)?, array)),
                        Element::Group(_) => Err(self.encoding(&key, "a group", "an array")),
                    }
                };
                let (by_columns, (pointers, indptr)) = (kind == "csc_matrix", part("indptr")?);
                let ((entries, data), (columns, indices)) = (part("data")?, part("indices")?);
                let (major, minor) = if by_columns { (found[1], found[0]) } else { (found[0], found[1]) };
                if columns != entries {
                    let source = MatrixError::Length { rows: major, cols: minor, found: entries };
                    return Err(self.contradiction(key, source));
                }
                if pointers != major + 1 {
                    let source = MatrixError::Pointers { row: pointers.min(major + 1) };
                    return Err(self.contradiction(key, source));
                }
                let parts = Box::new(Parts { indptr, indices, data, entries });
                (found, if by_columns { Form::ByColumns(parts) } else { Form::ByRows(parts) })
            }
        };
        Ok(MatrixRows { file: self, key: key.to_owned(), rows: found[0], cols: found[1], form })
    }

    fn contradiction(&self, key: &str, source: MatrixError) -> DataError {
        DataError::Matrix { path: self.path().to_owned(), key: key.to_owned(), source }
    }
}

fn stored_shape(attrs: &HashMap<String, AttrValue>) -> Vec<usize> {
    let shape = attrs.get("shape").and_then(AttrValue::to_i64s).unwrap_or_default();
    shape.iter().map(|&n| n.max(0) as usize).collect()
}

impl MatrixRows<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The name of the matrix in its file.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Bytes that reading all of it takes if it is stored by columns, and can be read in no other way.
    pub fn whole_bytes(&self) -> Option<u64> {
        match &self.form {
            Form::ByColumns(parts) => Some((ENTRY * parts.entries) as u64),
            _ => None,
        }
    }

    /// How many rows are about `bytes` while they are read, one at least. Whole chunks where that is not many times as much, so that none is
    /// unpacked twice.
    ///
    /// # Errors
    /// [`DataError`] if the file is damaged.
    pub fn rows_of(&self, bytes: usize) -> Result<usize, DataError> {
        let all = self.rows.max(1);
        Ok(match &self.form {
            Form::Dense(array) => {
                let error = |e| self.file.error(&self.key, e);
                let row = self.cols.max(1) * (array.element_size().map_err(error)? as usize + 4);
                let rows = (bytes / row).max(1);
                let chunk = array.chunk_shape().map_err(error)?.and_then(|c| c.first().copied());
                match chunk.unwrap_or(1).max(1) as usize {
                    chunk if chunk <= rows => rows / chunk * chunk,
                    chunk if chunk <= 4 * rows => chunk,
                    _ => rows,
                }
            }
            Form::ByColumns(_) => all,
            Form::ByRows(parts) => (bytes / (ENTRY * parts.entries.div_ceil(all)).max(1)).max(1),
        }
        .min(all))
    }

    /// All rows.
    ///
    /// # Errors
    /// [`DataError`] for what is no matrix of numbers, or cannot be read.
    pub fn whole(&self) -> Result<Matrix, DataError> {
        match &self.form {
            Form::ByColumns(parts) => {
                let Parts { indptr, indices, data, .. } = &**parts;
                let values = self.read_f32("data", data, None)?;
                let indptr = indptr.read_i64().map_err(|e| self.error_of("indptr", e))?;
                let indices = indices.read_i64().map_err(|e| self.error_of("indices", e))?;
                CsrMatrix::from_columns(self.rows, self.cols, &indptr, &indices, &values)
                    .map(Matrix::Sparse)
                    .map_err(|source| self.file.contradiction(&self.key, source))
            }
            _ => self.read(0, self.rows),
        }
    }

    /// The rows from `first` on, `count` of them; all rows of a matrix that is stored by columns are read for them.
    ///
    /// # Errors
    /// As [`whole`](Self::whole).
    pub fn read(&self, first: usize, count: usize) -> Result<Matrix, DataError> {
        let (first, end) = (first.min(self.rows), first.saturating_add(count).min(self.rows));
        let count = end - first;
        let invalid = |source| self.file.contradiction(&self.key, source);
        match &self.form {
            Form::Dense(array) => {
                let values = self.read_f32("", array, Some((first, count)))?;
                DenseMatrix::new(count, self.cols, values).map(Matrix::Dense).map_err(invalid)
            }
            Form::ByColumns(_) if count == self.rows => self.whole(),
            Form::ByColumns(_) => Ok(self.whole()?.rows_from(first, count)),
            Form::ByRows(parts) => {
                let Parts { indptr, indices, data, entries } = &**parts;
                let mut pointers = indptr
                    .read_i64_rows(first as u64, count as u64 + 1)
                    .map_err(|e| self.error_of("indptr", e))?;
                let (from, to) = (pointers[0], pointers[count]);
                let ascend =
                    from >= 0 && pointers.windows(2).all(|w| w[0] <= w[1]) && to as u64 <= *entries as u64;
                if !ascend || (first == 0 && from != 0) || (end == self.rows && to as usize != *entries) {
                    let wrong = pointers.windows(2).position(|w| w[0] > w[1]).unwrap_or(0);
                    return Err(invalid(MatrixError::Pointers { row: first + wrong }));
                }
                pointers.iter_mut().for_each(|p| *p -= from);
                let window = (from as usize, (to - from) as usize);
                let values = self.read_f32("data", data, Some(window))?;
                let columns = indices
                    .read_i64_rows(window.0 as u64, window.1 as u64)
                    .map_err(|e| self.error_of("indices", e))?;
                CsrMatrix::new(count, self.cols, &pointers, &columns, values)
                    .map(Matrix::Sparse)
                    .map_err(invalid)
            }
        }
    }

    fn error_of(&self, part: &str, error: hdf5_pure::Error) -> DataError {
        self.file.error(&self.key_of(part), error)
    }

    fn key_of(&self, part: &str) -> String {
        if part.is_empty() { self.key.clone() } else { format!("{}/{part}", self.key) }
    }

    /// Numbers of an array, or those of `(first, count)` of its rows.
    fn read_f32(
        &self,
        part: &str,
        array: &Dataset,
        rows: Option<(usize, usize)>,
    ) -> Result<Vec<f32>, DataError> {
        let error = |e| self.error_of(part, e);
        let (first, count) = rows.map_or((0, u64::MAX), |(first, count)| (first as u64, count as u64));
        let dtype = array.dtype().map_err(error)?;
        match dtype {
            DType::F32 => array.read_f32_rows(first, count).map_err(error),
            DType::Enum(_) if array.element_size().map_err(error)? == 1 => {
                let raw = array.read_raw_rows(first, count).map_err(error)?;
                Ok(raw.iter().map(|&b| f32::from(b != 0)).collect())
            }
            ref d if matches!(d, DType::F64) || is_integer(d) => {
                let numbers = array.read_f64_rows(first, count).map_err(error)?;
                Ok(numbers.iter().map(|&x| x as f32).collect())
            }
            other => Err(self.file.encoding(&self.key_of(part), other.to_string(), "numbers")),
        }
    }
}
