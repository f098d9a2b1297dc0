//! `metrics.jsonl`: one JSON object a logged step, in the order of the steps.
//!
//! A line holds nothing that differs between two runs of the same bits (no clock, no path), so the file of a run
//! that was killed and resumed equals that of an uninterrupted one, byte for byte.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::RunError;
use super::error::{read_error, write_error};

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: BufWriter<File>,
}

/// All that is read back of a line when a run is resumed.
#[derive(serde::Deserialize)]
struct Step {
    step: u64,
}

impl MetricsLog {
    /// Opens the file and drops every line of a step after `step`, and a last line that was cut short.
    ///
    /// # Errors
    /// [`DataError::Read`](crate::DataError::Read) and [`DataError::Write`](crate::DataError::Write).
    pub fn resume(path: &Path, step: u64) -> Result<Self, RunError> {
        let write = |source| write_error(path, source);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| read_error(path, e))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|e| read_error(path, e))?;
        let mut keep = 0;
        for line in text.split_inclusive(|&b| b == b'\n') {
            let known = line.ends_with(b"\n")
                && serde_json::from_slice::<Step>(line).is_ok_and(|line| line.step <= step);
            if !known {
                break;
            }
            keep += line.len() as u64;
        }
        file.set_len(keep).map_err(write)?;
        file.seek(SeekFrom::Start(keep)).map_err(write)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Appends one line; `metrics` must hold a number `step`.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn append(&mut self, metrics: &impl Serialize) -> Result<(), RunError> {
        serde_json::to_writer(&mut self.file, metrics)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|e| write_error(&self.path, e))
    }

    /// Hands everything to the disk; called before a checkpoint, which counts on these lines.
    ///
    /// # Errors
    /// [`DataError::Write`](crate::DataError::Write).
    pub fn sync(&mut self) -> Result<(), RunError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_data())
            .map_err(|e| write_error(&self.path, e))
    }
}

/// The lines of a `metrics.jsonl`, each as a JSON object.
///
/// # Errors
/// [`DataError::Read`](crate::DataError::Read), and [`RunError::Damaged`] with the line that is no JSON.
pub fn read_metrics(path: &Path) -> Result<Vec<serde_json::Value>, RunError> {
    let text = std::fs::read_to_string(path).map_err(|e| read_error(path, e))?;
    let mut lines = Vec::new();
    for (i, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(value) => lines.push(value),
            // The last line may have been cut by a kill.
            Err(_) if i + 1 == text.lines().count() && !text.ends_with('\n') => {}
            Err(e) => {
                return Err(RunError::Damaged {
                    path: path.to_owned(),
                    detail: format!("line {}: {e}", i + 1),
                });
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Line {
        step: u64,
        loss: f64,
    }

    fn write(path: &Path, steps: std::ops::Range<u64>, from: u64) {
        let mut log = MetricsLog::resume(path, from).unwrap();
        for step in steps {
            log.append(&Line { step, loss: 1.0 / (step + 1) as f64 }).unwrap();
        }
        log.sync().unwrap();
    }

    #[test]
    fn a_resumed_file_equals_an_uninterrupted_one() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write(&a, 0..20, 0);
        write(&b, 0..17, 0);
        // Killed in the middle of a line, after the checkpoint of step 10.
        std::fs::OpenOptions::new().append(true).open(&b).unwrap().write_all(b"{\"step\":17,\"lo").unwrap();
        write(&b, 11..20, 10);
        assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        assert_eq!(read_metrics(&b).unwrap().len(), 20);
    }

    #[test]
    fn a_cut_last_line_is_ignored_and_a_damaged_one_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"ste").unwrap();
        assert_eq!(read_metrics(&path).unwrap().len(), 1);
        std::fs::write(&path, "{\"step\":1}\nnonsense\n{\"step\":3}\n").unwrap();
        assert!(read_metrics(&path).unwrap_err().to_string().contains("line 2"));
    }
}
