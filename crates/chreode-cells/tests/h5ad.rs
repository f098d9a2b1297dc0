//! AnnData files: our own way there and back, damage, and Python's `anndata` on both ends where it is installed.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use chreode_cells::{
    Column, CsrMatrix, DataError, DenseMatrix, H5ad, H5adWriter, Labels, Matrix, Unstructured,
};
use proptest::prelude::*;

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}{i}")).collect()
}

fn dense(rows: usize, cols: usize) -> DenseMatrix {
    let values = (0..rows * cols).map(|k| if k % 3 == 0 { 0.0 } else { k as f32 * 0.5 }).collect();
    DenseMatrix::new(rows, cols, values).unwrap()
}

fn sparse(m: &DenseMatrix) -> CsrMatrix {
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for i in 0..m.rows {
        for (j, &x) in m.row(i).iter().enumerate() {
            if x != 0.0 {
                indices.push(j as i64);
                values.push(x);
            }
        }
        indptr.push(values.len() as i64);
    }
    CsrMatrix::new(m.rows, m.cols, &indptr, &indices, values).unwrap()
}

/// Five cells of three genes with one of everything.
fn everything() -> H5adWriter {
    let mut file = H5adWriter::new(names("cell", 5), vec!["Gata1".into(), "Spi1".into(), "Cebpα".into()]);
    file.x(Matrix::Sparse(sparse(&dense(5, 3))));
    file.layer("counts", Matrix::Dense(dense(5, 3)));
    file.layer("spliced", Matrix::Sparse(sparse(&dense(5, 3))));
    file.obs("day", Column::Number(vec![2.0, 2.0, 4.0, 4.5, f64::NAN]));
    file.obs("fate", Column::Labels(Labels::from_text(&["Monocyte", "", "Mast", "Mast", "Ery ß"])));
    file.obs("note", Column::Text(vec!["a".into(), String::new(), "c d".into(), "ü".into(), "e".into()]));
    file.obs("kept", Column::Bool(vec![true, false, true, true, false]));
    file.var("mean", Column::Number(vec![0.5, 1.5, 2.5]));
    file.obsm("X_pca", dense(5, 2));
    file.varm("PCs", dense(3, 2));
    file.uns("model", Unstructured::Text("chreode".into()));
    file.uns("until", Unstructured::Number(6.5));
    file.uns("paths", Unstructured::Integer(100));
    file.uns("times", Unstructured::Numbers(vec![2.0, 4.0]));
    file
}

fn check_everything(path: &Path) {
    let file = H5ad::open(path).unwrap();
    assert_eq!((file.n_obs().unwrap(), file.n_vars().unwrap()), (5, 3));
    assert_eq!(file.obs_names().unwrap(), names("cell", 5));
    assert_eq!(file.var_names().unwrap(), ["Gata1", "Spi1", "Cebpα"]);
    assert_eq!(file.obs_columns().unwrap(), ["day", "fate", "note", "kept"]);
    assert_eq!(file.var_columns().unwrap(), ["mean"]);
    assert_eq!(file.x_encoding().unwrap().as_deref(), Some("csr_matrix"));
    assert_eq!(file.x().unwrap(), Matrix::Sparse(sparse(&dense(5, 3))));
    assert_eq!(file.layer("counts").unwrap(), Matrix::Dense(dense(5, 3)));
    assert_eq!(file.layer("spliced").unwrap().into_dense(), dense(5, 3));
    assert_eq!(file.obsm("X_pca").unwrap(), dense(5, 2));
    assert_eq!(file.varm("PCs").unwrap(), dense(3, 2));
    assert_eq!(file.keys("layers").unwrap(), ["counts", "spliced"]);
    assert_eq!(file.keys("nothing").unwrap(), [""; 0]);
    assert!(file.has_uns("model").unwrap() && !file.has_uns("log1p").unwrap());
    let Column::Number(day) = file.obs("day").unwrap() else { panic!("day is numeric") };
    assert_eq!(&day[..4], &[2.0, 2.0, 4.0, 4.5]);
    assert!(day[4].is_nan());
    let labels = file.obs("fate").unwrap().into_labels();
    let fates: Vec<_> = (0..5).map(|i| labels.name(i)).collect();
    assert_eq!(fates, [Some("Monocyte"), None, Some("Mast"), Some("Mast"), Some("Ery ß")]);
    let note = ["a", "", "c d", "ü", "e"].map(str::to_owned).to_vec();
    assert_eq!(file.obs("note").unwrap(), Column::Text(note));
    assert_eq!(file.obs("kept").unwrap(), Column::Bool(vec![true, false, true, true, false]));
    assert_eq!(file.var("mean").unwrap(), Column::Number(vec![0.5, 1.5, 2.5]));
}

#[test]
fn everything_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    everything().write(&path).unwrap();
    check_everything(&path);
}

#[test]
fn no_cells_no_genes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.h5ad");
    H5adWriter::new(vec![], vec![]).write(&path).unwrap();
    let file = H5ad::open(&path).unwrap();
    assert_eq!((file.n_obs().unwrap(), file.n_vars().unwrap()), (0, 0));
    assert_eq!(file.x_encoding().unwrap(), None);
    assert!(matches!(file.x(), Err(DataError::NoSuchName { what: "matrix", .. })));
}

#[test]
fn missing_names_and_wrong_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    everything().write(&path).unwrap();
    let file = H5ad::open(&path).unwrap();
    let message = |e: DataError| e.to_string().replace(&*path.to_string_lossy(), "cells.h5ad");
    assert_eq!(
        message(file.obs("Day").unwrap_err()),
        "cells.h5ad has no obs column `Day`; did you mean `day`? there are: day, fate, note, kept"
    );
    assert_eq!(
        message(file.obsm("X_umap").unwrap_err()),
        "cells.h5ad has no obsm key `X_umap`; there are: X_pca"
    );
    assert_eq!(
        message(file.layer("count").unwrap_err()),
        "cells.h5ad has no layer `count`; did you mean `counts`? there are: counts, spliced"
    );
    let mut wrong = everything();
    wrong.obs("short", Column::Number(vec![1.0]));
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(wrong.write(&path), Err(DataError::Shape { .. })));
    let mut slash = everything();
    slash.obs("a/b", Column::Number(vec![1.0; 5]));
    assert!(matches!(slash.write(&path), Err(DataError::Hdf5 { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before, "a refused write leaves the old file");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn foreign_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.h5ad");
    for (bytes, says) in [
        (&b""[..], "it is empty"),
        (b"cell,day\n1,2\n", "it is not HDF5"),
        (&[0x1f, 0x8b, 8, 0], "it is gzipped"),
        (b"PK\x03\x04....", "zip"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let Err(error @ DataError::Foreign { .. }) = H5ad::open(&path) else { panic!("{says}") };
        assert!(error.to_string().contains(says), "{error}");
    }
    let mut other = hdf5_pure::FileBuilder::new();
    other.create_dataset("data").with_f64_data(&[1.0]);
    other.write(&path).unwrap();
    assert!(matches!(H5ad::open(&path), Err(DataError::Foreign { .. })));
    assert!(matches!(H5ad::open(dir.path().join("none.h5ad")), Err(DataError::Read { .. })));
}

/// Reads all there is; `Ok` or a typed error, never a panic.
fn read_all(path: &Path) -> Result<(), DataError> {
    let file = H5ad::open(path)?;
    file.obs_names()?;
    file.var_names()?;
    file.x()?;
    for column in file.obs_columns()? {
        file.obs(&column)?;
    }
    for key in file.keys("layers")? {
        file.layer(&key)?;
    }
    for key in file.keys("obsm")? {
        file.obsm(&key)?;
    }
    Ok(())
}

#[test]
fn every_truncation_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    everything().write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let cut = dir.path().join("cut.h5ad");
    for len in (0..bytes.len()).step_by(37) {
        std::fs::write(&cut, &bytes[..len]).unwrap();
        let error = read_all(&cut).expect_err("a truncated file must not be read");
        assert!(error.to_string().contains("cut.h5ad"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Bytes changed anywhere give data or a typed error.
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cells.h5ad");
        let mut bytes = WHOLE
            .get_or_init(|| {
                everything().write(&path).unwrap();
                std::fs::read(&path).unwrap()
            })
            .clone();
        for (place, value) in changes {
            let i = place.index(bytes.len());
            bytes[i] = value;
        }
        std::fs::write(&path, bytes).unwrap();
        let _ = read_all(&path);
    }

}

proptest! {
    // Each case waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any numbers and any names come back.
    #[test]
    fn round_trip(rows in prop::collection::vec((any::<f64>(), "[^\\x00]{0,6}", any::<bool>(), any::<f32>()), 1..20), column in "[^/\\x00.]{1,8}") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cells.h5ad");
        let n = rows.len();
        let mut file = H5adWriter::new(names("c", n), names("g", 1));
        let text: Vec<String> = rows.iter().map(|r| r.1.clone()).collect();
        file.obs(&column, Column::Number(rows.iter().map(|r| r.0).collect()));
        file.obs(&format!("{column}2"), Column::Text(text.clone()));
        file.obs(&format!("{column}3"), Column::Labels(Labels::from_text(&text)));
        file.x(Matrix::Dense(DenseMatrix::new(n, 1, rows.iter().map(|r| r.3).collect()).unwrap()));
        file.write(&path).unwrap();
        let back = H5ad::open(&path).unwrap();
        let Column::Number(x) = back.obs(&column).unwrap() else { panic!("numbers") };
        prop_assert!(x.iter().zip(&rows).all(|(a, r)| a.to_bits() == r.0.to_bits()));
        prop_assert_eq!(back.obs(&format!("{column}2")).unwrap(), Column::Text(text.clone()));
        prop_assert_eq!(back.obs(&format!("{column}3")).unwrap().into_labels(), Labels::from_text(&text));
        let x = back.x().unwrap().into_dense();
        prop_assert!(x.values.iter().zip(&rows).all(|(a, r)| a.to_bits() == r.3.to_bits()));
    }
}

/// An interpreter that has `anndata`: the one named by `CHREODE_PYTHON`, or `python3`.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("CHREODE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let found = Command::new(&python).args(["-c", "import anndata"]).output();
    match found {
        Ok(output) if output.status.success() => Some(python),
        _ => {
            println!("skipped: no Python with anndata (set CHREODE_PYTHON to one)");
            None
        }
    }
}

fn run_python(python: &Path, code: &str, argument: &Path) {
    let output = Command::new(python).arg("-c").arg(code).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn python_reads_what_is_written() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    everything().write(&path).unwrap();
    run_python(&python, include_str!("python/check.py"), &path);
    // Python wrote the same content beside it.
    check_everything(&path.with_extension("again.h5ad"));
    H5adWriter::new(vec![], vec![]).write(&path).unwrap();
    run_python(&python, "import sys, anndata; assert anndata.read_h5ad(sys.argv[1]).shape == (0, 0)", &path);
}

#[test]
fn what_python_writes_is_read() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    run_python(&python, include_str!("python/odd.py"), dir.path());
    let full = H5ad::open(dir.path().join("dense.h5ad")).unwrap();
    let x = full.x().unwrap().into_dense();
    assert_eq!((x.rows, x.cols), (40, 7));
    assert!(x.values.iter().any(|&v| v > 0.0));
    let mut read = 1;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().unwrap() == "dense" {
            continue;
        }
        let file = H5ad::open(&path).unwrap();
        assert_eq!(file.x().unwrap().into_dense(), x, "{}", path.display());
        assert_eq!(file.obs_names().unwrap(), full.obs_names().unwrap(), "{}", path.display());
        for column in full.obs_columns().unwrap() {
            let (a, b) = (file.obs(&column).unwrap(), full.obs(&column).unwrap());
            // Nullable and plain columns say the same.
            let text = |c: Column| {
                let labels = c.into_labels();
                (0..labels.len()).map(|i| labels.name(i).map(str::to_owned)).collect::<Vec<_>>()
            };
            assert_eq!(text(a), text(b), "{} {column}", path.display());
        }
        read += 1;
    }
    assert!(read >= 7, "{read} files");
    let nullable = H5ad::open(dir.path().join("nullable.h5ad")).unwrap();
    let Column::Number(missing) = nullable.obs("with_missing").unwrap() else { panic!("numbers") };
    assert!(missing[3].is_nan() && missing[2] == 2.0);
    let flags = nullable.obs("flag_missing").unwrap().into_labels();
    assert_eq!((flags.name(0), flags.name(1), flags.name(2)), (Some("True"), None, Some("False")));
}
