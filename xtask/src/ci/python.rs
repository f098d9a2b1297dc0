//! A Python with `anndata`, for the tests that exchange `.h5ad` files with it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::run::{passes, system};
use super::{Context, Outcome};

/// Names the interpreter to the tests; who sets it has chosen one.
pub(super) const PYTHON: &str = "CHREODE_PYTHON";
/// Versions that write the format which chreode reads and writes.
const ANNDATA: &str = "anndata>=0.11,<0.13";

/// Takes the interpreter that the caller chose, or keeps a virtual environment in the target folder.
pub(super) fn check(context: &mut Context) -> Result<Outcome> {
    if let Some(chosen) = std::env::var_os(PYTHON) {
        return Ok(Outcome::of(has_anndata(Path::new(&chosen)), &format!("{PYTHON} has no anndata")));
    }
    let dir = context.workspace.target.join("python");
    let python = dir.join("bin").join("python");
    if !has_anndata(&python) {
        if !works(system("python3").arg("--version")) {
            return Ok(Outcome::Skipped("there is no python3".into()));
        }
        if let Some(why) = make(&dir, &python)? {
            return Ok(Outcome::Skipped(why.into()));
        }
    }
    context.python = Some(python);
    Ok(Outcome::Passed(String::new()))
}

/// Makes the environment; says why not, if it cannot.
fn make(dir: &PathBuf, python: &Path) -> Result<Option<&'static str>> {
    if !passes(system("python3").args(["-m", "venv"]).arg(dir))? {
        return Ok(Some("python3 makes no virtual environment (on Debian: python3-venv)"));
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", ANNDATA];
    if !passes(system(&python.to_string_lossy()).args(pip))? {
        return Ok(Some("pip could not install anndata; is there a network?"));
    }
    Ok(None)
}

fn has_anndata(python: &Path) -> bool {
    works(system(&python.to_string_lossy()).args(["-c", "import anndata"]))
}

fn works(command: &mut std::process::Command) -> bool {
    command.output().is_ok_and(|out| out.status.success())
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_missing_interpreter_has_no_anndata() {
        assert!(!has_anndata(Path::new("no-such-python")));
        assert!(works(crate::workspace::cargo().arg("--version")));
    }
}
