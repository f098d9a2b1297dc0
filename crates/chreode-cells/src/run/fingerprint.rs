//! What identifies a data file: its length and checksum, so that a changed file is noticed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::error::DataError;

/// Length and CRC-32 of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Length in bytes.
    pub bytes: u64,
    /// CRC-32 (ISO-HDLC, as gzip uses), eight hexadecimal digits.
    pub crc32: String,
}

impl Fingerprint {
    /// Whether the file is still what it was when this was taken.
    ///
    /// # Errors
    /// [`RunError::DataChanged`], [`DataError::Read`].
    pub(crate) fn check(&self, path: &Path) -> Result<(), RunError> {
        let found = Self::of(path)?;
        if found == *self {
            return Ok(());
        }
        Err(RunError::DataChanged {
            path: path.to_owned(),
            found_bytes: found.bytes,
            found_crc32: found.crc32,
            expected_bytes: self.bytes,
            expected_crc32: self.crc32.clone(),
        })
    }

    /// Reads the whole file once.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let read = |source| DataError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let mut buffer = vec![0; 1 << 18];
        let mut crc = flate2::Crc::new();
        let mut bytes = 0;
        loop {
            let n = file.read(&mut buffer).map_err(read)?;
            if n == 0 {
                return Ok(Self { bytes, crc32: format!("{:08x}", crc.sum()) });
            }
            crc.update(&buffer[..n]);
            bytes += n as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cells.csv");
        std::fs::write(&path, "123456789").unwrap();
        let before = Fingerprint::of(&path).unwrap();
        assert_eq!(before, Fingerprint { bytes: 9, crc32: "cbf43926".into() }); // the check value of CRC-32
        std::fs::write(&path, "123456780").unwrap();
        assert_ne!(Fingerprint::of(&path).unwrap(), before);
    }
}
