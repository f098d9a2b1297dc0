//! Files that are either as before or complete, whatever happens while they are written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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
    let attempt = || {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let (part, file) = create_beside(folder, name)?;
        let written = (|| {
            let mut writer = BufWriter::with_capacity(1 << 16, file);
            write(&mut writer)?;
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            std::fs::rename(&part, path)
        })();
        if written.is_err() {
            // The first error is the one to tell; a temporary file that cannot be removed changes nothing.
            let _ = std::fs::remove_file(&part);
        }
        written?;
        // The new name itself must reach the disk; not every system lets a folder be synced.
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    attempt().map_err(|source| DataError::Write { path: path.to_owned(), source })
}

/// A new file `.NAME.N.part`, of a name that nobody else has.
fn create_beside(folder: &Path, name: &std::ffi::OsStr) -> io::Result<(PathBuf, File)> {
    let process = std::process::id();
    let mut attempt = 0_u32;
    loop {
        let mut part = std::ffi::OsString::from(".");
        part.push(name);
        part.push(format!(".{process}-{attempt}.part"));
        let part = folder.join(part);
        match OpenOptions::new().write(true).create_new(true).open(&part) {
            Ok(file) => return Ok((part, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            Err(e) => return Err(e),
        }
    }
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
    fn all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        write_bytes_atomically(&path, b"first").unwrap();
        let full = write_atomically(&path, |w| {
            w.write_all(&vec![7; 200_000])?;
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
        });
        let message = full.unwrap_err().to_string();
        assert!(message.starts_with("cannot write ") && message.ends_with("no space left"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        write_bytes_atomically(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["out.csv"]);
        assert!(write_bytes_atomically(&dir.path().join("none/out.csv"), b"").is_err());
        assert!(write_bytes_atomically(Path::new(".."), b"").is_err());
    }
}
