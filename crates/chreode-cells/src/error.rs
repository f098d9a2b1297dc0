//! What can be wrong with the data: one error each, with the place and what exists there.

use std::path::PathBuf;

use crate::names::Known;

/// Why data could not be read, understood or written.
///
/// Every message names the file, then the place in it, then what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operating system refused to write the file; nothing is left at its place that was not there before.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file without a name that holds what does not fit in memory failed.
    #[error("a file for what does not fit in memory, in {}: {source}", folder.display())]
    Scratch {
        /// Its folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Cells could not be read back from that file.
    #[error(transparent)]
    Stored(#[from] chreode_train::TrainError),
    /// There is too little memory for so many cells, even with their states in a file.
    #[error("{}: its {cells} cells need about {} of memory, more than the {} allowed", path.display(), crate::bytes(*least), crate::bytes(*limit))]
    LittleMemory {
        /// The file.
        path: PathBuf,
        /// How many there are.
        cells: usize,
        /// Bytes that may be taken.
        limit: u64,
        /// The least that will do.
        least: u64,
    },
    /// A matrix that is stored by columns, which cannot be read in blocks of cells, is too large to be read as a whole.
    #[error(
        "{}, `{key}`: stored by columns (`csc_matrix`), so it cannot be read in blocks of cells, and as a whole it needs about {} of \
         memory, more than the {} that are left",
        path.display(),
        crate::bytes(*needed),
        crate::bytes(*left)
    )]
    ByColumns {
        /// The file.
        path: PathBuf,
        /// The group.
        key: String,
        /// Bytes that reading it takes.
        needed: u64,
        /// Bytes that are left for it.
        left: u64,
    },
    /// A new folder could not be put in the place of an old one, nor the old one back.
    #[error("cannot write {}: {source}; what was there lies whole in {}", path.display(), aside.display())]
    MovedAside {
        /// The folder, which is not there now.
        path: PathBuf,
        /// Where what was there lies.
        aside: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else than its use asks for.
    #[error("{} is not {expected}: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected: `an .h5ad file`.
        expected: &'static str,
        /// What it looks like.
        found: &'static str,
    },
    /// The file ends too early, or its content contradicts itself.
    #[error("{} is truncated or damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        detail: String,
    },
    /// The table has a header but no rows, or nothing at all.
    #[error("{} holds no rows below its header", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Two columns of a table have one name.
    #[error("{}: column `{column}` occurs twice in the header", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A row has another number of fields than the header.
    #[error("{}, line {line}: {found} fields, but the header has {expected}", path.display())]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// Line of the file, the header being line 1.
        line: u64,
        /// Fields in this row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// A field of a table holds something else than it must.
    #[error("{}, line {line}, column `{column}`: `{value}` is not {expected}", path.display())]
    BadField {
        /// The file.
        path: PathBuf,
        /// Line of the file, the header being line 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What stands there.
        value: String,
        /// What must stand there: `a finite number`.
        expected: &'static str,
    },
    /// A column, key or gene that does not exist.
    #[error("{} has no {what} `{name}`; {known}", path.display())]
    NoSuchName {
        /// The file.
        path: PathBuf,
        /// What was looked for: `column`, `obsm key`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// What exists.
        known: Box<Known>,
    },
    /// A trajectory of a series has fewer than two times.
    #[error("{}: trajectory `{trajectory}` is observed once; change is seen at two times or more", path.display())]
    TooFewObservations {
        /// The file.
        path: PathBuf,
        /// The trajectory's name.
        trajectory: String,
    },
    /// A coordinate of a series has no value at all.
    #[error("{}: column `{column}` holds no value in any row", path.display())]
    NeverMeasured {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A part of an `.h5ad` file could not be read.
    #[error("{}, `{key}`: {source}", path.display())]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// The group or array.
        key: String,
        /// What the HDF5 reader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A part of an `.h5ad` file is stored in a way that is not understood here.
    #[error("{}, `{key}`: stored as {found}, expected {expected}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The group or array.
        key: String,
        /// How it is stored.
        found: String,
        /// What can be read.
        expected: &'static str,
    },
    /// A part of an `.h5ad` file has a shape that does not fit the others.
    #[error("{}, `{key}`: shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The group or array.
        key: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the number of cells and genes asks for (0 where any will do).
        expected: Vec<usize>,
    },
    /// The parts of a matrix contradict each other.
    #[error("{}, `{key}`: {source}", path.display())]
    Matrix {
        /// The file.
        path: PathBuf,
        /// The group.
        key: String,
        /// The contradiction.
        source: crate::matrix::MatrixError,
    },
    /// A time that is none, or that is written otherwise than the others.
    #[error("{}, column `{column}`: `{value}` (in row {row}) is not {expected}", path.display())]
    BadTime {
        /// The file.
        path: PathBuf,
        /// The column of times.
        column: String,
        /// The first row where it stands, from zero.
        row: usize,
        /// What stands there.
        value: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// An entry of an array that cannot be used.
    #[error("{}, `{key}`, cell `{cell}` (row {row}): {value} is not {expected}", path.display())]
    BadEntry {
        /// The file.
        path: PathBuf,
        /// The array, with the column if it has several.
        key: String,
        /// Name of the cell.
        cell: String,
        /// Its row, from 0.
        row: usize,
        /// The entry.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// Two cells have one name.
    #[error("{}: rows {first} and {second} (from 0) are both named `{id}`; cells need different names", path.display())]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The name.
        id: String,
        /// The first row of that name.
        first: usize,
        /// The second.
        second: usize,
    },
    /// No column of a table of labels names the cells.
    #[error(
        "{}: no column names the cells (none of {}); {known}",
        path.display(), usual.join(", ")
    )]
    NoIdColumn {
        /// The table.
        path: PathBuf,
        /// The names that were looked for.
        usual: &'static [&'static str],
        /// The columns there are.
        known: Box<Known>,
    },
    /// None of the cells has a label in the file of labels.
    #[error(
        "no cell of {} is in {}: the names there are like `{labelled}`, here like `{cell}`; do both name the cells by the same column?",
        path.display(), labels.display()
    )]
    NoLabelJoins {
        /// The file of cells.
        path: PathBuf,
        /// The file of labels.
        labels: PathBuf,
        /// A name of a cell.
        cell: String,
        /// A name in the file of labels.
        labelled: String,
    },
    /// All cells are of one time, from which no dynamics can be learned.
    #[error("{}: all cells have `{column}` = {time}; dynamics need two times at least", path.display())]
    OneTime {
        /// The file.
        path: PathBuf,
        /// The column of times.
        column: String,
        /// The only time.
        time: f64,
    },
    /// A time with too few cells to be compared with.
    #[error("{}: too few cells have `{column}` = {time}: {cells}, where every time needs {fewest} at least; leave it out", path.display())]
    FewCells {
        /// The file.
        path: PathBuf,
        /// The column of times.
        column: String,
        /// The time.
        time: f64,
        /// Its cells.
        cells: usize,
        /// How many there must be.
        fewest: usize,
    },
    /// A cell whose population nothing tells.
    #[error("{}: cell `{cell}` has no entry in `{column}`, within which cells are to be coupled", path.display())]
    NoPopulation {
        /// The file.
        path: PathBuf,
        /// The column of populations.
        column: String,
        /// Name of the cell.
        cell: String,
    },
    /// No clone that could tell what became of its cells.
    #[error(
        "{}: none of the {clones} clones in `{column}` has cells at two of the times, so that none says what became of a cell",
        path.display()
    )]
    NoCloneLasts {
        /// The file.
        path: PathBuf,
        /// The column of clones.
        column: String,
        /// How many clones some cell has.
        clones: usize,
    },
    /// The entry for cells of no known clone stands nowhere.
    #[error("{}: no cell has `{name}` in `{column}`, the entry that is to mean no known clone", path.display())]
    NoSuchClone {
        /// The file.
        path: PathBuf,
        /// The column of clones.
        column: String,
        /// The entry.
        name: String,
    },
    /// A population with too few cells at a time.
    #[error(
        "{}: too few cells with `{column}` = {population} have `{time_column}` = {time}: {cells}, where each population needs {fewest} \
         at every time, since none becomes another",
        path.display()
    )]
    FewOfPopulation {
        /// The file.
        path: PathBuf,
        /// The column of populations.
        column: String,
        /// The population's name.
        population: String,
        /// The column of times.
        time_column: String,
        /// The time.
        time: f64,
        /// Its cells there.
        cells: usize,
        /// How many there must be.
        fewest: usize,
    },
    /// No cell has the time asked for.
    #[error("{}: no cell has `{column}` = {time}; there are: {}", path.display(), list(times))]
    NoSuchTime {
        /// The file.
        path: PathBuf,
        /// The column of times.
        column: String,
        /// The time asked for.
        time: f64,
        /// The times there are.
        times: Vec<f64>,
    },
    /// A column is named twice as part of the state, or as a gene.
    #[error("{}: `{column}` is named twice among the columns of the {part}", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it was to be a part of: `state`, `genes`.
        part: &'static str,
    },
    /// A column that means something else is named as part of the state, or as a gene.
    #[error("{}: column `{column}` holds {holds} and cannot be among the columns of the {part}", path.display())]
    ColumnTaken {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds: `the times`.
        holds: &'static str,
        /// What it was to be a part of: `state`, `genes`.
        part: &'static str,
    },
    /// It is not said which columns of a table are the state.
    #[error("{}: say which columns are the state (`--state a,b`), or that its columns are expression (`--basis none`)", path.display())]
    NoState {
        /// The file.
        path: PathBuf,
    },
    /// A basis was asked of a table.
    #[error("{} is a table and has no basis `{key}`; name columns with `--state a,b`, or give the .h5ad file", path.display())]
    TableHasNoBasis {
        /// The file.
        path: PathBuf,
        /// The basis.
        key: String,
    },
    /// A given basis is not the one that a run was fitted in, as its loadings say.
    #[error(
        "{}: `obsm['{key}']` is another basis than the run's: of {compared} genes in both, {different} have other loadings \
         `varm['PCs']`, mean or std (first `{gene}`)",
        path.display()
    )]
    OtherLoadings {
        /// The file.
        path: PathBuf,
        /// The basis.
        key: String,
        /// How many genes differ.
        different: usize,
        /// How many were compared.
        compared: usize,
        /// The first one that differs.
        gene: String,
    },
    /// Cells that a run was fitted on lie elsewhere now.
    #[error(
        "{}: `obsm['{key}']` is another basis than the run's: of {recurring} cells that the run was fitted on, {moved} lie \
         elsewhere (coordinate {coordinate} of `{cell}` is {found}, it was {expected})",
        path.display()
    )]
    MovedCells {
        /// The file.
        path: PathBuf,
        /// The basis.
        key: String,
        /// How many cells of the run the file holds.
        recurring: usize,
        /// How many of them lie elsewhere.
        moved: usize,
        /// The first of these.
        cell: String,
        /// Its first coordinate that differs, from 1.
        coordinate: usize,
        /// Its value in the file.
        found: f32,
        /// Its value in the fit.
        expected: f32,
    },
    /// Expression could not be turned into coordinates.
    #[error("{}: {source}", path.display())]
    Preprocess {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: crate::preprocess::PreprocessError,
    },
}

fn list(times: &[f64]) -> String {
    times.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
