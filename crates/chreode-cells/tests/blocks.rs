//! Cells within little memory: what is read in blocks, and kept in files, is what is read as a whole.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chreode_cells::{
    Column, DataError, Dataset, DatasetOptions, DenseMatrix, H5ad, H5adWriter, Matrix, Memory,
    PreprocessOptions, StateSource, StateSpace,
};
use chreode_train::TrainError;
use common::sparse;

const CELLS: usize = 3000;
const GENES: usize = 420;

/// A number in [0, 1) that depends on both.
fn uniform(i: usize, j: usize) -> f64 {
    let mut x = (i as u64 * 0x9e37_79b9_7f4a_7c15) ^ (j as u64 * 0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 29)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Counts of two programs that cells run to different parts, most of them zero.
fn counts() -> DenseMatrix {
    let count = |i: usize, j: usize| {
        let part = uniform(i, 7777);
        let rate = if j.is_multiple_of(2) { part } else { 1.0 - part } * (1.0 + (j % 5) as f64);
        (rate * 2.0 * uniform(i, j).powi(2)).floor() as f32
    };
    let values = (0..CELLS * GENES).map(|k| count(k / GENES, k % GENES)).collect();
    DenseMatrix::new(CELLS, GENES, values).unwrap()
}

fn basis() -> DenseMatrix {
    let values = (0..CELLS * 3).map(|k| uniform(k, 1) as f32).collect();
    DenseMatrix::new(CELLS, 3, values).unwrap()
}

fn write(path: &Path, x: Matrix) {
    let names = (0..CELLS).map(|i| format!("cell {i}")).collect();
    let mut file = H5adWriter::new(names, (0..GENES).map(|j| format!("g{j}")).collect());
    file.x(x);
    file.obsm("X_some", basis());
    file.obs("day", Column::Number((0..CELLS).map(|i| (i % 3) as f64).collect()));
    file.obs("u", Column::Number((0..CELLS).map(|i| uniform(i, 2)).collect()));
    file.write(path).unwrap();
}

/// As much memory as the cells need at least.
fn little() -> Memory {
    let memory = Memory { limit: 0, beside: 1 << 20, scratch: std::env::temp_dir() };
    Memory { limit: memory.least(CELLS), ..memory }
}

/// Enough for the states, in memory, but for nothing beside them.
fn enough_for_states(dim: usize) -> Memory {
    Memory { limit: little().whole(CELLS, dim), ..little() }
}

fn options(state: StateSource) -> DatasetOptions {
    let preprocess = PreprocessOptions { genes: 380, components: 6, ..PreprocessOptions::default() };
    DatasetOptions { time: "day".into(), state, preprocess, ..DatasetOptions::default() }
}

fn all(cells: &Dataset) -> Vec<f32> {
    cells.states.all(cells.dim()).unwrap().into_owned()
}

/// What is read within little memory lies in a file, and has the bits of what is read without a limit.
fn same_within(path: &Path, options: &DatasetOptions) -> Dataset {
    let whole = Dataset::load(path, options).unwrap();
    assert!(whole.states.as_slice().is_some());
    for (memory, in_memory) in [(little(), false), (enough_for_states(whole.dim()), true)] {
        let cells = Dataset::load_within(path, options, &memory).unwrap();
        assert_eq!(cells.states.as_slice().is_some(), in_memory);
        assert!(all(&cells) == all(&whole), "{options:?}: other bits");
        assert_eq!((&cells.ids, &cells.times, &cells.space), (&whole.ids, &whole.times, &whole.space));
        let note = cells.notes.last().unwrap();
        assert!(note.starts_with("memory: ") && note.contains("lie in a file") != in_memory, "{note}");
        let again = Dataset::load_into_within(path, options, &whole.space, &memory).unwrap();
        assert_eq!(again.states.as_slice().is_some(), in_memory);
        assert!(all(&again) == all(&whole), "{options:?}: other bits in the space");
    }
    whole
}

#[test]
fn states_of_every_kind_are_the_same_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    for x in [sparse(&counts()), Matrix::Dense(counts())] {
        write(&path, x);
        same_within(&path, &options(StateSource::from_basis("X_some")));
        same_within(&path, &options(StateSource::from_columns("u")));
        same_within(&path, &options(StateSource::from_columns("g3,g1,g400")));
        let pca = same_within(&path, &options(StateSource::Pca));
        let StateSpace::OwnPca(transform) = &pca.space else { panic!("it is a PCA") };
        assert!(transform.genes.len() > 300 && transform.dim() == 6);
        // Two programs: one component stands out.
        assert!(transform.variances[0] > 5.0 * transform.variances[1], "{:?}", transform.variances);
    }
}

/// A table is read row by row, and goes to a file when it has become too long.
#[test]
fn tables_are_the_same_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.csv");
    let (x, mut text) = (counts(), String::from("cell,day"));
    (0..40).for_each(|j| write!(text, ",g{j}").unwrap());
    for i in 0..CELLS {
        write!(text, "\nc{i},{}", i % 3).unwrap();
        x.row(i)[..40].iter().for_each(|v| write!(text, ",{v}").unwrap());
    }
    std::fs::write(&path, text + "\n").unwrap();
    same_within(&path, &options(StateSource::from_columns("g7,g2")));
    same_within(&path, &options(StateSource::Pca));
}

#[test]
fn too_little_memory_is_told_with_the_least() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    write(&path, sparse(&counts()));
    let least = little().limit;
    let memory = Memory { limit: least - 1, ..little() };
    let error = Dataset::load_within(&path, &options(StateSource::Pca), &memory).unwrap_err();
    let told = matches!(error, DataError::LittleMemory { cells: CELLS, least: told, .. } if told == least);
    assert!(told, "{error}");
    let nowhere = Memory { scratch: dir.path().join("none"), ..little() };
    let error = Dataset::load_within(&path, &options(StateSource::Pca), &nowhere).unwrap_err();
    assert!(matches!(error, DataError::Scratch { .. }), "{error}");
}

/// Any rows are those of the whole, whatever the form.
#[test]
fn rows_are_those_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    for x in [sparse(&counts()), Matrix::Dense(counts())] {
        write(&path, x);
        let file = H5ad::open(&path).unwrap();
        check_rows(&file);
        assert_eq!(file.obsm_rows("X_some").unwrap().read(2998, 50).unwrap().rows(), 2);
    }
}

fn check_rows(file: &H5ad) {
    let rows = file.x_rows().unwrap();
    assert_eq!((rows.rows(), rows.cols()), (CELLS, GENES));
    let whole = rows.whole().unwrap().into_dense();
    assert_eq!(whole, counts());
    for (first, count) in [(0, 1), (17, 0), (5, 1500), (1023, 1977), (0, CELLS)] {
        let part = rows.read(first, count).unwrap().into_dense();
        assert_eq!(part.rows, count);
        assert_eq!(part.values, whole.values[first * GENES..(first + count) * GENES]);
    }
}

/// Files of Python's `anndata`: compressed, in chunks that blocks cut, by columns.
#[test]
fn python_files_are_read_in_blocks() {
    let python = std::env::var_os("CHREODE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let found = Command::new(&python).args(["-c", "import anndata"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("skipped: no Python with anndata (set CHREODE_PYTHON to one)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ours = dir.path().join("ours.h5ad");
    write(&ours, sparse(&counts()));
    let code = "
import anndata, sys
from scipy import sparse
folder = sys.argv[1]
a = anndata.read_h5ad(folder + '/ours.h5ad')
a.write_h5ad(folder + '/rows.h5ad', compression='gzip')
a.X = sparse.csc_matrix(a.X)
a.write_h5ad(folder + '/columns.h5ad', compression='gzip')
a.X = a.X.toarray()
a.write_h5ad(folder + '/dense.h5ad', compression='gzip')
";
    let output = Command::new(&python).arg("-c").arg(code).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = all(&Dataset::load(&ours, &options(StateSource::Pca)).unwrap());
    for name in ["rows", "dense"] {
        let path = dir.path().join(format!("{name}.h5ad"));
        check_rows(&H5ad::open(&path).unwrap());
        let cells = same_within(&path, &options(StateSource::Pca));
        if name == "rows" {
            assert!(all(&cells) == expected);
        }
        same_within(&path, &options(StateSource::from_basis("X_some")));
    }
    let path = dir.path().join("columns.h5ad");
    check_rows(&H5ad::open(&path).unwrap());
    assert!(all(&Dataset::load(&path, &options(StateSource::Pca)).unwrap()) == expected);
    let error = Dataset::load_within(&path, &options(StateSource::Pca), &little()).unwrap_err();
    assert!(matches!(&error, DataError::ByColumns { key, .. } if key == "X"), "{error}");
    // A basis beside such a matrix needs none of it.
    same_within(&path, &options(StateSource::from_basis("X_some")));
}

/// Damage within a block is named as in the whole: by cell and place.
#[test]
fn what_is_no_number_is_found_in_any_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    let mut x = counts();
    x.values[2900 * GENES + 3] = f32::NAN;
    let mut some = basis();
    some.values[2950 * 3 + 2] = f32::INFINITY;
    let names = (0..CELLS).map(|i| format!("cell {i}")).collect();
    let mut file = H5adWriter::new(names, (0..GENES).map(|j| format!("g{j}")).collect());
    file.x(Matrix::Dense(x)).obsm("X_some", some);
    file.obs("day", Column::Number((0..CELLS).map(|i| (i % 3) as f64).collect()));
    file.write(&path).unwrap();
    let says = |state: &str| {
        let state = if state == "none" || state.starts_with('X') {
            StateSource::from_basis(state)
        } else {
            StateSource::from_columns(state)
        };
        Dataset::load_within(&path, &options(state), &little()).unwrap_err().to_string()
    };
    assert!(says("X_some").contains("cell `cell 2950` (row 2950)") && says("X_some").contains("X_some[2]"));
    assert!(says("g3").contains("`cell 2900`"), "{}", says("g3"));
    assert!(says("none").contains("cell 2900, gene `g3`"), "{}", says("none"));
}

/// The file is without a name: nothing is left in the folder, not even while it is used.
#[test]
fn nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    write(&path, sparse(&counts()));
    let memory = Memory { scratch: dir.path().to_owned(), ..little() };
    let cells = Dataset::load_within(&path, &options(StateSource::Pca), &memory).unwrap();
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names(), 1);
    let mut blocks = 0;
    cells
        .states
        .each_block(cells.dim(), |_, block| {
            blocks += 1;
            assert_eq!(block.len() % cells.dim(), 0);
            Ok::<_, TrainError>(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(names(), 1);
}
