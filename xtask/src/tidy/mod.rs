//! Checks that no other tool does. Each checker is a function from a text to its problems.
//!
//! `crates`: who may depend on whom, and what each package must have. `code`: rules of one Rust file.
//! `text`: rules of any text file. `citations`: keys against `docs/references.bib`.

mod citations;
mod code;
mod crates;
mod source;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) use citations::is_key as is_citation_key;

use crate::workspace::Workspace;

/// One broken rule, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    /// Counted from one; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// A text file of the project: its path from the root, with `/`, and what it holds.
struct File {
    path: String,
    text: String,
}

/// What is looked through, from the root.
const ROOTS: &[&str] = &[".cargo", ".ci", ".github", "benches", "crates", "docs", "xtask"];
/// Files with these endings are text; so are the files without one.
const TEXT: &[&str] =
    &["bib", "css", "csv", "html", "js", "json", "md", "rs", "sh", "svg", "toml", "txt", "yaml", "yml"];

/// Runs every check, prints what is wrong, and says whether nothing is.
pub(crate) fn run() -> Result<bool> {
    let workspace = Workspace::load()?;
    let files = project_files(&workspace.root)?;
    let mut problems = Vec::new();
    let mut notes = Vec::new();

    problems.extend(crates::check(&workspace.packages));
    for package in &workspace.packages {
        let dir = package.dir.strip_prefix(&workspace.root).unwrap_or(&package.dir);
        let dir = format!("{}/", dir.to_string_lossy().replace('\\', "/"));
        let own: Vec<&File> = files.iter().filter(|f| f.path.starts_with(&dir)).collect();
        problems.extend(crates::check_content(package, &dir, &own));
    }
    for file in &files {
        problems.extend(text::check(file));
        if is_rust(&file.path) {
            let lines = source::lines(&file.text);
            problems.extend(code::check(file, &lines));
            notes.extend(code::long(file));
        }
    }
    problems.extend(citations::check(&files, &mut notes));

    for note in &notes {
        println!("note: {note}");
    }
    problems.sort();
    for problem in &problems {
        println!("tidy: {problem}");
    }
    println!(
        "tidy: {} packages, {} files, {} problems",
        workspace.packages.len(),
        files.len(),
        problems.len()
    );
    Ok(problems.is_empty())
}

fn is_rust(path: &str) -> bool {
    extension(path) == Some("rs")
}

fn extension(path: &str) -> Option<&str> {
    Path::new(path).extension().and_then(|e| e.to_str())
}

/// Every text file of the project, in the order of their paths.
fn project_files(root: &Path) -> Result<Vec<File>> {
    let mut paths = Vec::new();
    for entry in read_dir(root)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_file() || ROOTS.contains(&name.as_str()) {
            walk(&entry, &mut paths)?;
        }
    }
    let mut files = Vec::new();
    for path in paths {
        let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if shown == "Cargo.lock" || extension(&shown).is_some_and(|e| !TEXT.contains(&e)) {
            continue;
        }
        // A file without an ending may still be binary: then it is none of tidy's business.
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {shown}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: shown, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() && path.file_name().is_none_or(|n| n != "target" && n != "proptest-regressions") {
        for entry in read_dir(path)? {
            walk(&entry, files)?;
        }
    }
    Ok(())
}

fn read_dir(path: &Path) -> Result<Vec<PathBuf>> {
    let listing = std::fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    Ok(listing.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_file_and_line() {
        assert_eq!(Problem::new("a.rs", 3, "bad").to_string(), "a.rs:3: bad");
        assert_eq!(Problem::new("a.rs", 0, "bad").to_string(), "a.rs: bad");
    }

    #[test]
    fn the_projects_files_are_found() {
        let root = Workspace::load().unwrap().root;
        let files = project_files(&root).unwrap();
        for path in ["Cargo.toml", "README.md", "xtask/src/main.rs", "docs/references.bib", ".ci/run"] {
            assert!(files.iter().any(|f| f.path == path), "{path}");
        }
        assert!(!files.iter().any(|f| f.path.starts_with("target") || f.path == "Cargo.lock"));
    }
}
