//! Files that are either as before or complete: [`chreode_core::write_atomically`] with this crate's error.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::DataError;

/// Writes a file through a temporary one in the same folder, which replaces it once all is on the disk.
///
/// If `write` fails, or the disk is full, the temporary file is removed and what stood at `path` stays.
///
/// # Errors
/// [`DataError::Write`] with what the system said.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), DataError> {
    chreode_core::write_atomically(path, write)
        .map_err(|source| DataError::Write { path: path.to_owned(), source })
}

/// Writes bytes with [`write_atomically`].
///
/// # Errors
/// As there.
pub fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    write_atomically(path, |w| w.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        write_bytes_atomically(&path, b"first").unwrap();
        let full = write_atomically(&path, |w| {
            w.write_all(&vec![7; 200_000])?;
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
        });
        let message = full.unwrap_err().to_string();
        assert!(message.contains("out.csv") && message.ends_with("no space left"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }
}
