//! What can be wrong with a run folder.

use std::path::{Path, PathBuf};

use chreode_model::StoreError;

use crate::error::DataError;

/// Why a run folder could not be made, read or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no run at this place.
    #[error("{} is no run folder: it holds no config.toml", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// The run was written in another version of the format.
    #[error(
        "{} is a run of format {found}, written by chreode {written_by}; this chreode reads format {expected}",
        path.display()
    )]
    OtherFormat {
        /// The folder.
        path: PathBuf,
        /// The run's format.
        found: u32,
        /// The version that wrote it.
        written_by: String,
        /// The format that this version reads.
        expected: u32,
    },
    /// The folder holds a fit of something else than cells.
    #[error("{} holds a fit of kind `{kind}`, and this asks for a run that was fitted to cells", path.display())]
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// What it says that it is.
        kind: String,
    },
    /// A file of the run cannot be understood.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A new run would overwrite an old one.
    #[error("{} already holds a run", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A new run would be mixed with files that are not chreode's.
    #[error("{} is not empty and holds no run", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Not all members of a run of several seeds have come to their end.
    #[error("not all {members} members of {} are trained", path.display())]
    Untrained {
        /// The folder.
        path: PathBuf,
        /// Members that it is to have.
        members: usize,
    },
    /// Another process trains this run.
    #[error("{} is being trained by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The data file of the run is not what it was.
    #[error(
        "{} has changed since the run began: {found_bytes} bytes with CRC-32 {found_crc32}, \
         it was {expected_bytes} with {expected_crc32}",
        path.display()
    )]
    DataChanged {
        /// The data file.
        path: PathBuf,
        /// Its length now.
        found_bytes: u64,
        /// Its checksum now.
        found_crc32: String,
        /// Its length when the run began.
        expected_bytes: u64,
        /// Its checksum when the run began.
        expected_crc32: String,
    },
    /// The training stopped before its first model was written.
    #[error("{} holds no model yet", path.display())]
    NoModel {
        /// The folder.
        path: PathBuf,
    },
    /// The model cannot be read or written.
    #[error(transparent)]
    Model(#[from] StoreError),
    /// A file could not be read or written, or the data could not be read again.
    #[error(transparent)]
    Data(#[from] DataError),
}

pub(super) fn read_error(path: &Path, source: std::io::Error) -> RunError {
    DataError::Read { path: path.to_owned(), source }.into()
}

pub(super) fn write_error(path: &Path, source: std::io::Error) -> RunError {
    DataError::Write { path: path.to_owned(), source }.into()
}
