//! Writing a new file.

use std::path::Path;

use hdf5_pure::{AttrValue, DatasetBuilder, EnumTypeBuilder, FileBuilder, GroupBuilder, make_i8_type};

use crate::atomic::write_atomically;
use crate::column::Column;
use crate::error::DataError;
use crate::matrix::{DenseMatrix, Matrix};

/// An entry of `uns`.
#[derive(Debug, Clone, PartialEq)]
pub enum Unstructured {
    /// Text.
    Text(String),
    /// A number.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// A vector of numbers.
    Numbers(Vec<f64>),
}

/// The parts of a new `.h5ad` file.
///
/// ```
/// use chreode_cells::{Column, DenseMatrix, H5ad, H5adWriter};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("cells.h5ad");
/// let mut file = H5adWriter::new(vec!["a".into(), "b".into()], vec![]);
/// file.obs("day", Column::Number(vec![2.0, 4.0]));
/// file.obsm("X_pca", DenseMatrix::new(2, 2, vec![0.0, 1.0, 2.0, 3.0])?);
/// file.write(&path)?;
/// assert_eq!(H5ad::open(&path)?.obs_names()?, ["a", "b"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct H5adWriter {
    obs_names: Vec<String>,
    var_names: Vec<String>,
    x: Option<Matrix>,
    obs: Vec<(String, Column)>,
    var: Vec<(String, Column)>,
    obsm: Vec<(String, DenseMatrix)>,
    varm: Vec<(String, DenseMatrix)>,
    layers: Vec<(String, Matrix)>,
    uns: Vec<(String, Unstructured)>,
}

impl H5adWriter {
    /// A file of these cells and genes.
    pub fn new(obs_names: Vec<String>, var_names: Vec<String>) -> Self {
        Self { obs_names, var_names, ..Self::default() }
    }

    /// Sets `X`, `[n_obs, n_vars]`.
    pub fn x(&mut self, x: Matrix) -> &mut Self {
        self.x = Some(x);
        self
    }

    /// Adds a column of `obs`.
    pub fn obs(&mut self, name: &str, column: Column) -> &mut Self {
        self.obs.push((name.to_owned(), column));
        self
    }

    /// Adds a column of `var`.
    pub fn var(&mut self, name: &str, column: Column) -> &mut Self {
        self.var.push((name.to_owned(), column));
        self
    }

    /// Adds coordinates of the cells, `[n_obs, k]`.
    pub fn obsm(&mut self, key: &str, values: DenseMatrix) -> &mut Self {
        self.obsm.push((key.to_owned(), values));
        self
    }

    /// Adds loadings of the genes, `[n_vars, k]`.
    pub fn varm(&mut self, key: &str, values: DenseMatrix) -> &mut Self {
        self.varm.push((key.to_owned(), values));
        self
    }

    /// Adds a layer, `[n_obs, n_vars]`.
    pub fn layer(&mut self, key: &str, values: Matrix) -> &mut Self {
        self.layers.push((key.to_owned(), values));
        self
    }

    /// Adds an entry of `uns`.
    pub fn uns(&mut self, key: &str, value: Unstructured) -> &mut Self {
        self.uns.push((key.to_owned(), value));
        self
    }

    /// Writes the file; what stood at `path` stays if that fails.
    ///
    /// # Errors
    /// [`DataError::Shape`] if a part does not fit the cells or genes, [`DataError::Write`],
    /// [`DataError::Hdf5`] for a name that HDF5 cannot hold, such as one with a slash.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        self.check(path)?;
        let mut file = FileBuilder::new();
        let [kind, version] = encoding("anndata", "0.1.0");
        file.set_attr("encoding-type", kind);
        file.set_attr("encoding-version", version);
        if let Some(x) = &self.x {
            match x {
                Matrix::Dense(m) => dense(file.create_dataset("X"), m),
                Matrix::Sparse(_) => {
                    let mut group = file.create_group("X");
                    sparse(&mut group, x);
                    file.add_group(group.finish());
                }
            }
        }
        for (name, index, columns) in
            [("obs", &self.obs_names, &self.obs), ("var", &self.var_names, &self.var)]
        {
            let mut group = file.create_group(name);
            table(&mut group, index, columns);
            file.add_group(group.finish());
        }
        for (name, parts) in [("obsm", &self.obsm), ("varm", &self.varm)] {
            let mut group = dict(&mut file, name);
            for (key, values) in parts {
                dense(group.create_dataset(key), values);
            }
            file.add_group(group.finish());
        }
        let mut group = dict(&mut file, "layers");
        for (key, values) in &self.layers {
            match values {
                Matrix::Dense(m) => dense(group.create_dataset(key), m),
                Matrix::Sparse(_) => {
                    let mut layer = group.create_group(key);
                    sparse(&mut layer, values);
                    group.add_group(layer.finish());
                }
            }
        }
        file.add_group(group.finish());
        let mut group = dict(&mut file, "uns");
        for (key, value) in &self.uns {
            unstructured(group.create_dataset(key), value);
        }
        file.add_group(group.finish());
        for name in ["obsp", "varp"] {
            let group = dict(&mut file, name);
            file.add_group(group.finish());
        }
        let mut refused = None;
        let written = write_atomically(path, |writer| {
            file.finish_to(writer).map_err(|error| match error {
                hdf5_pure::Error::Io(io) => io,
                other => {
                    refused = Some(other);
                    std::io::Error::other("the HDF5 writer refused")
                }
            })
        });
        match refused {
            Some(source) => {
                Err(DataError::Hdf5 { path: path.to_owned(), key: "/".to_owned(), source: Box::new(source) })
            }
            None => written,
        }
    }

    fn check(&self, path: &Path) -> Result<(), DataError> {
        let (n, m) = (self.obs_names.len(), self.var_names.len());
        let check = |key: String, found: Vec<usize>, expected: Vec<usize>| {
            let fits = found.iter().zip(&expected).all(|(&f, &e)| f == e || e == usize::MAX);
            let expected = expected.iter().map(|&e| if e == usize::MAX { 0 } else { e }).collect();
            if fits { Ok(()) } else { Err(DataError::Shape { path: path.to_owned(), key, found, expected }) }
        };
        if let Some(x) = &self.x {
            check("X".to_owned(), vec![x.rows(), x.cols()], vec![n, m])?;
        }
        for (name, column) in &self.obs {
            check(format!("obs/{name}"), vec![column.len()], vec![n])?;
        }
        for (name, column) in &self.var {
            check(format!("var/{name}"), vec![column.len()], vec![m])?;
        }
        for (key, values) in &self.obsm {
            check(format!("obsm/{key}"), vec![values.rows, values.cols], vec![n, usize::MAX])?;
        }
        for (key, values) in &self.varm {
            check(format!("varm/{key}"), vec![values.rows, values.cols], vec![m, usize::MAX])?;
        }
        for (key, values) in &self.layers {
            check(format!("layers/{key}"), vec![values.rows(), values.cols()], vec![n, m])?;
        }
        Ok(())
    }
}

fn encoding(kind: &str, version: &str) -> [AttrValue; 2] {
    [AttrValue::VarLenString(kind.to_owned()), AttrValue::VarLenString(version.to_owned())]
}

fn mark_group(group: &mut GroupBuilder, kind: &str, version: &str) {
    let [kind, version] = encoding(kind, version);
    group.set_attr("encoding-type", kind);
    group.set_attr("encoding-version", version);
}

fn mark(array: &mut DatasetBuilder, kind: &str) {
    let [kind, version] = encoding(kind, "0.2.0");
    array.set_attr("encoding-type", kind);
    array.set_attr("encoding-version", version);
}

fn dict(file: &mut FileBuilder, name: &str) -> GroupBuilder {
    let mut group = file.create_group(name);
    mark_group(&mut group, "dict", "0.1.0");
    group
}

fn dense(array: &mut DatasetBuilder, m: &DenseMatrix) {
    array.with_f32_data(&m.values).with_shape(&[m.rows as u64, m.cols as u64]);
    mark(array, "array");
}

fn sparse(group: &mut GroupBuilder, matrix: &Matrix) {
    let Matrix::Sparse(m) = matrix else { return };
    mark_group(group, "csr_matrix", "0.1.0");
    group.set_attr("shape", AttrValue::I64Array(vec![m.rows() as i64, m.cols() as i64]));
    group.create_dataset("data").with_f32_data(m.values());
    // scipy wants both index arrays of one type.
    if i32::try_from(m.values().len()).is_ok() && i32::try_from(m.cols()).is_ok() {
        let narrow = |v: &mut dyn Iterator<Item = usize>| v.map(|i| i as i32).collect::<Vec<_>>();
        let indices = narrow(&mut m.indices().iter().map(|&j| j as usize));
        group.create_dataset("indices").with_i32_data(&indices);
        group.create_dataset("indptr").with_i32_data(&narrow(&mut m.indptr().iter().copied()));
    } else {
        let indices: Vec<i64> = m.indices().iter().map(|&j| i64::from(j)).collect();
        let indptr: Vec<i64> = m.indptr().iter().map(|&p| p as i64).collect();
        group.create_dataset("indices").with_i64_data(&indices);
        group.create_dataset("indptr").with_i64_data(&indptr);
    }
}

fn strings<S: AsRef<str>>(array: &mut DatasetBuilder, values: &[S]) {
    array.with_vlen_strings(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    mark(array, "string-array");
}

fn table(group: &mut GroupBuilder, index: &[String], columns: &[(String, Column)]) {
    mark_group(group, "dataframe", "0.2.0");
    // A column may itself be called `_index`.
    let mut index_name = "_index".to_owned();
    while columns.iter().any(|(name, _)| *name == index_name) {
        index_name.push('_');
    }
    group.set_attr("_index", AttrValue::VarLenString(index_name.clone()));
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    group.set_attr("column-order", AttrValue::VarLenStringArray(names));
    strings(group.create_dataset(&index_name), index);
    for (name, values) in columns {
        match values {
            Column::Number(x) => {
                let array = group.create_dataset(name);
                array.with_f64_data(x);
                mark(array, "array");
            }
            Column::Text(x) => strings(group.create_dataset(name), x),
            Column::Bool(x) => {
                let bytes: Vec<u8> = x.iter().map(|&b| u8::from(b)).collect();
                let array = group.create_dataset(name);
                // numpy's boolean: an enumeration of one signed byte.
                let boolean = EnumTypeBuilder::with_base(make_i8_type()).value("FALSE", 0).value("TRUE", 1);
                if let Ok(datatype) = boolean.build() {
                    array.with_enum_u8_data(datatype, &bytes);
                } else {
                    array.with_u8_data(&bytes);
                }
                mark(array, "array");
            }
            Column::Labels(labels) => {
                let mut part = group.create_group(name);
                mark_group(&mut part, "categorical", "0.2.0");
                part.set_attr("ordered", AttrValue::U8(0));
                strings(part.create_dataset("categories"), labels.names());
                let codes = part.create_dataset("codes");
                if i8::try_from(labels.names().len()).is_ok() {
                    codes.with_i8_data(&labels.codes().iter().map(|&c| c as i8).collect::<Vec<_>>());
                } else {
                    codes.with_i32_data(labels.codes());
                }
                mark(codes, "array");
                group.add_group(part.finish());
            }
        }
    }
}

fn unstructured(array: &mut DatasetBuilder, value: &Unstructured) {
    match value {
        Unstructured::Text(text) => {
            array.with_vlen_strings(&[text]).with_shape(&[]);
            mark(array, "string");
        }
        Unstructured::Number(x) => {
            array.with_f64_data(&[*x]).with_shape(&[]);
            mark(array, "numeric-scalar");
        }
        Unstructured::Integer(x) => {
            array.with_i64_data(&[*x]).with_shape(&[]);
            mark(array, "numeric-scalar");
        }
        Unstructured::Numbers(x) => {
            array.with_f64_data(x);
            mark(array, "array");
        }
    }
}
