//! Reading, one element at a time.

use std::cell::OnceCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use hdf5_pure::{AttrValue, DType, Dataset, File, FormatError, Group};

use crate::column::{Column, Labels};
use crate::error::DataError;
use crate::matrix::{DenseMatrix, Matrix};
use crate::names::Known;

type Hdf5Error = hdf5_pure::Error;

/// An open `.h5ad` file. Nothing but the names of its parts is read until it is asked for.
pub struct H5ad {
    path: PathBuf,
    file: File,
    n_obs: OnceCell<usize>,
    n_vars: OnceCell<usize>,
}

/// A member of a group: HDF5 knows two kinds.
pub(super) enum Element {
    Array(Dataset),
    Group(Group),
}

impl H5ad {
    /// Opens a file and checks that it is AnnData.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Foreign`], [`DataError::Damaged`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataError> {
        let path = path.into();
        let mut start = Vec::new();
        std::fs::File::open(&path)
            .and_then(|f| f.take(8).read_to_end(&mut start))
            .map_err(|source| DataError::Read { path: path.clone(), source })?;
        let foreign = |found| DataError::Foreign { path: path.clone(), expected: "an .h5ad file", found };
        if !start.starts_with(b"\x89HDF\r\n\x1a\n") {
            return Err(foreign(match &start[..] {
                [] => "it is empty",
                [0x1f, 0x8b, ..] => "it is gzipped; unpack it first",
                [b'P', b'K', 3, 4, ..] => "it is a zip archive",
                _ => "it is not HDF5",
            }));
        }
        let file = File::open_streaming(&path).map_err(|e| damaged(&path, &e))?;
        let missing = file.superblock().eof_address.saturating_sub(file.file_size());
        if missing > 0 {
            let detail = format!("{missing} of its {} bytes are missing", file.superblock().eof_address);
            return Err(DataError::Damaged { path, detail });
        }
        let root = file.root();
        let groups = root.groups().map_err(|e| damaged(&path, &e))?;
        let arrays = root.datasets().map_err(|e| damaged(&path, &e))?;
        for name in ["obs", "var"] {
            if arrays.iter().any(|n| n == name) {
                return Err(foreign(
                    "it was written by anndata before 0.7; read it in Python and write it again",
                ));
            }
            if !groups.iter().any(|n| n == name) {
                return Err(foreign("it is HDF5 without the groups `obs` and `var` of AnnData"));
            }
        }
        Ok(Self { path, file, n_obs: OnceCell::new(), n_vars: OnceCell::new() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of cells.
    ///
    /// # Errors
    /// [`DataError`] if the index of `obs` cannot be read.
    pub fn n_obs(&self) -> Result<usize, DataError> {
        self.index_len("obs", &self.n_obs)
    }

    /// Number of genes.
    ///
    /// # Errors
    /// [`DataError`] if the index of `var` cannot be read.
    pub fn n_vars(&self) -> Result<usize, DataError> {
        self.index_len("var", &self.n_vars)
    }

    /// Names of the cells.
    ///
    /// # Errors
    /// [`DataError`] if the index of `obs` cannot be read.
    pub fn obs_names(&self) -> Result<Vec<String>, DataError> {
        self.index("obs")
    }

    /// Names of the genes.
    ///
    /// # Errors
    /// [`DataError`] if the index of `var` cannot be read.
    pub fn var_names(&self) -> Result<Vec<String>, DataError> {
        self.index("var")
    }

    /// Names of the columns of `obs`, in their order.
    ///
    /// # Errors
    /// [`DataError`] if the file is damaged.
    pub fn obs_columns(&self) -> Result<Vec<String>, DataError> {
        self.columns("obs")
    }

    /// Names of the columns of `var`, in their order.
    ///
    /// # Errors
    /// [`DataError`] if the file is damaged.
    pub fn var_columns(&self) -> Result<Vec<String>, DataError> {
        self.columns("var")
    }

    /// A column of `obs`.
    ///
    /// # Errors
    /// [`DataError::NoSuchName`] with the columns there are, [`DataError::Encoding`], or what reading may bring.
    pub fn obs(&self, name: &str) -> Result<Column, DataError> {
        self.column("obs", "obs column", name, self.n_obs()?)
    }

    /// A column of `var`.
    ///
    /// # Errors
    /// As [`obs`](Self::obs).
    pub fn var(&self, name: &str) -> Result<Column, DataError> {
        self.column("var", "var column", name, self.n_vars()?)
    }

    /// Keys of `obsm`, `varm`, `layers` or any other group, sorted; none if there is no such group.
    ///
    /// # Errors
    /// [`DataError`] if the file is damaged.
    pub fn keys(&self, group: &str) -> Result<Vec<String>, DataError> {
        let root = self.file.root();
        if !root.groups().map_err(|e| self.error(group, e))?.iter().any(|n| n == group) {
            return Ok(Vec::new());
        }
        self.members(group)
    }

    /// Coordinates of the cells, `[n_obs, k]`.
    ///
    /// # Errors
    /// As [`obs`](Self::obs), and [`DataError::Shape`].
    pub fn obsm(&self, key: &str) -> Result<DenseMatrix, DataError> {
        Ok(self.obsm_rows(key)?.whole()?.into_dense())
    }

    /// Loadings of the genes, `[n_vars, k]`.
    ///
    /// # Errors
    /// As [`obsm`](Self::obsm).
    pub fn varm(&self, key: &str) -> Result<DenseMatrix, DataError> {
        Ok(self.keyed("varm", "varm key", key, [self.n_vars()?, 0])?.whole()?.into_dense())
    }

    /// A layer, `[n_obs, n_vars]`.
    ///
    /// # Errors
    /// As [`obsm`](Self::obsm).
    pub fn layer(&self, key: &str) -> Result<Matrix, DataError> {
        self.layer_rows(key)?.whole()
    }

    /// The matrix `X`, `[n_obs, n_vars]`.
    ///
    /// # Errors
    /// [`DataError::NoSuchName`] if the file has none, or as [`obsm`](Self::obsm).
    pub fn x(&self) -> Result<Matrix, DataError> {
        self.x_rows()?.whole()
    }

    /// How `X` is stored: `array`, `csr_matrix`, `csc_matrix`, or nothing if there is none.
    ///
    /// # Errors
    /// [`DataError`] if the file is damaged.
    pub fn x_encoding(&self) -> Result<Option<String>, DataError> {
        let root = self.file.root();
        let error = |e| self.error("X", e);
        if root.datasets().map_err(error)?.iter().any(|n| n == "X") {
            return Ok(Some("array".to_owned()));
        }
        if !root.groups().map_err(error)?.iter().any(|n| n == "X") {
            return Ok(None);
        }
        let Element::Group(group) = self.element("X")? else { return Ok(None) };
        Ok(Some(text_attr(&group.attrs().map_err(error)?, "encoding-type").unwrap_or_default()))
    }

    /// Whether `uns` has an entry, such as the `log1p` that scanpy leaves behind.
    ///
    /// # Errors
    /// [`DataError`] if the file is damaged.
    pub fn has_uns(&self, key: &str) -> Result<bool, DataError> {
        Ok(self.keys("uns")?.iter().any(|k| k == key))
    }

    pub(super) fn error(&self, key: &str, error: Hdf5Error) -> DataError {
        match error {
            Hdf5Error::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
                DataError::Read { path: self.path.clone(), source }
            }
            error => {
                DataError::Hdf5 { path: self.path.clone(), key: key.to_owned(), source: Box::new(error) }
            }
        }
    }

    pub(super) fn encoding(&self, key: &str, found: impl Into<String>, expected: &'static str) -> DataError {
        DataError::Encoding { path: self.path.clone(), key: key.to_owned(), found: found.into(), expected }
    }

    pub(super) fn element(&self, key: &str) -> Result<Element, DataError> {
        match self.file.dataset(key) {
            Ok(array) => Ok(Element::Array(array)),
            Err(Hdf5Error::NotADataset(_)) => {
                self.file.group(key).map(Element::Group).map_err(|e| self.error(key, e))
            }
            Err(e) => Err(self.error(key, e)),
        }
    }

    /// Arrays and groups directly under a group, sorted.
    fn members(&self, group: &str) -> Result<Vec<String>, DataError> {
        let handle = self.file.group(group).map_err(|e| self.error(group, e))?;
        let mut names = handle.datasets().map_err(|e| self.error(group, e))?;
        names.extend(handle.groups().map_err(|e| self.error(group, e))?);
        names.sort_unstable();
        Ok(names)
    }

    fn index_key(&self, table: &str) -> Result<String, DataError> {
        let group = self.file.group(table).map_err(|e| self.error(table, e))?;
        let attrs = group.attrs().map_err(|e| self.error(table, e))?;
        let name = text_attr(&attrs, "_index").unwrap_or_else(|| "_index".to_owned());
        Ok(format!("{table}/{name}"))
    }

    fn index_len(&self, table: &str, cell: &OnceCell<usize>) -> Result<usize, DataError> {
        if let Some(&n) = cell.get() {
            return Ok(n);
        }
        let key = self.index_key(table)?;
        let n = match self.element(&key)? {
            Element::Array(array) => self.vector_len(&key, &array)?,
            Element::Group(_) => self.index(table)?.len(),
        };
        Ok(*cell.get_or_init(|| n))
    }

    fn index(&self, table: &str) -> Result<Vec<String>, DataError> {
        let key = self.index_key(table)?;
        Ok(match self.read_column(&key)? {
            Column::Text(names) => names,
            Column::Number(x) => x.iter().map(ToString::to_string).collect(),
            other => {
                let labels = other.into_labels();
                (0..labels.len()).map(|i| labels.name(i).unwrap_or_default().to_owned()).collect()
            }
        })
    }

    fn columns(&self, table: &str) -> Result<Vec<String>, DataError> {
        let index = self.index_key(table)?;
        let group = self.file.group(table).map_err(|e| self.error(table, e))?;
        let attrs = group.attrs().map_err(|e| self.error(table, e))?;
        let order = attrs.get("column-order").and_then(AttrValue::as_strings).unwrap_or_default();
        let mut members = self.members(table)?;
        members.retain(|n| n != "__categories" && format!("{table}/{n}") != index);
        members.sort_by_key(|n| order.iter().position(|o| o == n).unwrap_or(usize::MAX));
        Ok(members)
    }

    fn column(&self, table: &str, what: &'static str, name: &str, rows: usize) -> Result<Column, DataError> {
        let columns = self.columns(table)?;
        if !columns.iter().any(|c| c == name) {
            return Err(DataError::NoSuchName {
                path: self.path.clone(),
                what,
                name: name.to_owned(),
                known: Box::new(Known::near(name, columns.iter().map(String::as_str))),
            });
        }
        let key = format!("{table}/{name}");
        let column = self.read_column(&key)?;
        if column.len() != rows {
            return Err(self.shape(&key, vec![column.len()], vec![rows]));
        }
        Ok(column)
    }

    pub(super) fn shape(&self, key: &str, found: Vec<usize>, expected: Vec<usize>) -> DataError {
        DataError::Shape { path: self.path.clone(), key: key.to_owned(), found, expected }
    }

    pub(super) fn dims(&self, key: &str, array: &Dataset) -> Result<Vec<usize>, DataError> {
        Ok(array.shape().map_err(|e| self.error(key, e))?.iter().map(|&n| n as usize).collect())
    }

    pub(super) fn vector_len(&self, key: &str, array: &Dataset) -> Result<usize, DataError> {
        match self.dims(key, array)?[..] {
            [n] => Ok(n),
            ref found => Err(self.shape(key, found.to_vec(), vec![0])),
        }
    }

    /// A column or an index in any encoding.
    fn read_column(&self, key: &str) -> Result<Column, DataError> {
        const EXPECTED: &str = "an array of numbers, booleans or strings, a categorical or a nullable array";
        match self.element(key)? {
            Element::Array(array) => {
                let column = self.read_vector(key, &array)?;
                // Before 0.8 the categories lay apart, and the codes referred to them.
                let attrs = array.attr_datatypes().map_err(|e| self.error(key, e))?;
                match (attrs.contains_key("categories"), key.split_once('/'), column) {
                    (true, Some((table, name)), Column::Number(codes)) => {
                        self.labels(key, &codes, &format!("{table}/__categories/{name}"))
                    }
                    (_, _, column) => Ok(column),
                }
            }
            Element::Group(group) => {
                let attrs = group.attrs().map_err(|e| self.error(key, e))?;
                let kind = text_attr(&attrs, "encoding-type").unwrap_or_default();
                match kind.as_str() {
                    "categorical" => match self.read_array(&format!("{key}/codes"))? {
                        Column::Number(codes) => self.labels(key, &codes, &format!("{key}/categories")),
                        _ => Err(self.encoding(&format!("{key}/codes"), "text", "integers")),
                    },
                    "nullable-integer" | "nullable-float" | "nullable-boolean" | "nullable-string-array" => {
                        let values = self.read_array(&format!("{key}/values"))?;
                        match self.read_array(&format!("{key}/mask"))? {
                            Column::Bool(mask) if mask.len() == values.len() => Ok(masked(values, &mask)),
                            mask => {
                                Err(self.shape(&format!("{key}/mask"), vec![mask.len()], vec![values.len()]))
                            }
                        }
                    }
                    "" => Err(self.encoding(key, "a group without an encoding", EXPECTED)),
                    other => Err(self.encoding(key, format!("`{other}`"), EXPECTED)),
                }
            }
        }
    }

    fn labels(&self, key: &str, codes: &[f64], categories: &str) -> Result<Column, DataError> {
        let names = match self.read_array(categories)? {
            Column::Text(names) => names,
            Column::Number(x) => x.iter().map(ToString::to_string).collect(),
            Column::Bool(x) => x.iter().map(|&b| if b { "True" } else { "False" }.to_owned()).collect(),
            Column::Labels(_) => Vec::new(),
        };
        let n = names.len();
        Labels::new(names, codes.iter().map(|&c| c as i32).collect()).map(Column::Labels).ok_or_else(|| {
            DataError::Damaged {
                path: self.path.clone(),
                detail: format!("`{key}` has codes beyond its {n} categories"),
            }
        })
    }

    fn read_array(&self, key: &str) -> Result<Column, DataError> {
        match self.element(key)? {
            Element::Array(array) => self.read_vector(key, &array),
            Element::Group(_) => Err(self.encoding(key, "a group", "an array")),
        }
    }

    /// A one-dimensional array.
    fn read_vector(&self, key: &str, array: &Dataset) -> Result<Column, DataError> {
        self.vector_len(key, array)?;
        let error = |e| self.error(key, e);
        Ok(match array.dtype().map_err(error)? {
            DType::String | DType::VariableLengthString => Column::Text(array.read_string().map_err(error)?),
            // numpy's booleans are an enumeration of one byte.
            DType::Enum(_) if array.element_size().map_err(error)? == 1 => {
                Column::Bool(array.read_raw().map_err(error)?.iter().map(|&b| b != 0).collect())
            }
            DType::F32 | DType::F64 => Column::Number(array.read_f64().map_err(error)?),
            dtype if is_integer(&dtype) => Column::Number(array.read_f64().map_err(error)?),
            dtype => return Err(self.encoding(key, dtype.to_string(), "numbers, booleans or strings")),
        })
    }
}

pub(super) fn is_integer(dtype: &DType) -> bool {
    use DType::{I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

fn damaged(path: &Path, error: &Hdf5Error) -> DataError {
    let detail = match error {
        Hdf5Error::Format(FormatError::UnexpectedEof { expected, available }) => {
            format!("it ends {} bytes too early", expected.saturating_sub(*available))
        }
        other => other.to_string(),
    };
    DataError::Damaged { path: path.to_owned(), detail }
}

pub(super) fn text_attr(attrs: &std::collections::HashMap<String, AttrValue>, name: &str) -> Option<String> {
    attrs.get(name).and_then(AttrValue::as_str).map(str::to_owned)
}

/// Values whose masked entries are missing.
fn masked(values: Column, mask: &[bool]) -> Column {
    match values {
        Column::Number(mut x) => {
            x.iter_mut().zip(mask).filter(|(_, m)| **m).for_each(|(x, _)| *x = f64::NAN);
            Column::Number(x)
        }
        Column::Text(mut x) => {
            x.iter_mut().zip(mask).filter(|(_, m)| **m).for_each(|(x, _)| x.clear());
            Column::Text(x)
        }
        Column::Bool(x) if mask.contains(&true) => {
            let text = |(&b, &m): (&bool, &bool)| match (m, b) {
                (true, _) => "",
                (false, true) => "True",
                (false, false) => "False",
            };
            Column::Labels(Labels::from_text(&x.iter().zip(mask).map(text).collect::<Vec<_>>()))
        }
        other => other,
    }
}
