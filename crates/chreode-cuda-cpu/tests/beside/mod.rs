//! Test programs that lie beside this one.

use std::path::PathBuf;

/// That of the parity tests: the youngest, if there are several.
pub(crate) fn parity() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let programs = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| {
        p.extension().is_none() && p.file_name().unwrap().to_string_lossy().starts_with("parity-")
    });
    programs
        .max_by_key(|p| p.metadata().unwrap().modified().unwrap())
        .expect("cargo builds all tests of a package")
}
