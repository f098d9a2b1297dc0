//! The files of a problem: its YAML file, and tables of tab-separated text.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::PetabError;
use crate::error::KineticsError;
use crate::text::read_text;

/// What any problem's YAML file says first.
#[derive(Debug, Clone, Deserialize)]
struct Head {
    format_version: Version,
    /// Of later versions; as text of any kind.
    #[serde(default)]
    extensions: Option<serde::de::IgnoredAny>,
}

/// The problem's YAML file.
#[derive(Debug, Clone, Deserialize)]
struct Yaml {
    parameter_file: OneOrMore,
    problems: Vec<Files>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Version {
    Number(f64),
    Text(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(x) => vec![x],
            Self::More(x) => x,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Files {
    sbml_files: Vec<String>,
    measurement_files: Vec<String>,
    condition_files: Vec<String>,
    observable_files: Vec<String>,
    #[serde(default)]
    mapping_files: Option<Vec<String>>,
}

/// The files of a problem, with their places.
#[derive(Debug, Clone)]
pub(super) struct ProblemFiles {
    pub(super) parameters: Vec<PathBuf>,
    pub(super) sbml: PathBuf,
    pub(super) measurements: Vec<PathBuf>,
    pub(super) conditions: Vec<PathBuf>,
    pub(super) observables: Vec<PathBuf>,
}

/// Reads the YAML file; its paths are relative to its folder.
pub(super) fn read_yaml(path: &Path) -> Result<ProblemFiles, KineticsError> {
    let wrong = |source| KineticsError::Petab { path: path.into(), source: Box::new(source) };
    let text = read_text(path)?;
    let not_yaml = |e: serde_saphyr::Error| wrong(PetabError::Yaml { message: e.to_string() });
    let head: Head = serde_saphyr::from_str(&text).map_err(not_yaml)?;
    let version = match head.format_version {
        Version::Number(x) => x.to_string(),
        Version::Text(x) => x,
    };
    if !matches!(version.as_str(), "1" | "1.0" | "1.0.0") {
        return Err(wrong(PetabError::Version { version }));
    }
    if head.extensions.is_some() {
        return Err(wrong(PetabError::Unsupported { what: "extensions of PEtab are" }));
    }
    let yaml: Yaml = serde_saphyr::from_str(&text).map_err(not_yaml)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let places = |names: Vec<String>| names.into_iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    let mut problems = yaml.problems.into_iter();
    let (Some(files), None) = (problems.next(), problems.next()) else {
        return Err(wrong(PetabError::Unsupported { what: "files with none or more than one problem are" }));
    };
    if files.mapping_files.is_some_and(|files| !files.is_empty()) {
        return Err(wrong(PetabError::Unsupported { what: "mapping files are" }));
    }
    let sbml = places(files.sbml_files);
    let [sbml] = sbml.as_slice() else {
        return Err(wrong(PetabError::Unsupported {
            what: "problems with none or more than one SBML file are",
        }));
    };
    Ok(ProblemFiles {
        parameters: places(yaml.parameter_file.into_vec()),
        sbml: sbml.clone(),
        measurements: places(files.measurement_files),
        conditions: places(files.condition_files),
        observables: places(files.observable_files),
    })
}

/// A table of text, with its columns by name.
#[derive(Debug, Clone)]
pub(super) struct Tsv {
    pub(super) columns: Vec<String>,
    index: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
}

impl Tsv {
    pub(super) fn read(path: &Path) -> Result<Self, KineticsError> {
        let text = read_text(path)?;
        Self::parse(&text)
            .map_err(|source| KineticsError::Petab { path: path.into(), source: Box::new(source) })
    }

    pub(super) fn parse(text: &str) -> Result<Self, PetabError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let table = |e: csv::Error| PetabError::Table { message: e.to_string() };
        let columns: Vec<String> = reader.headers().map_err(table)?.iter().map(str::to_owned).collect();
        let index: HashMap<String, usize> =
            columns.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        if let Some(name) =
            columns.iter().enumerate().find(|(i, name)| !name.is_empty() && index[*name] != *i)
        {
            return Err(PetabError::Table { message: format!("there are two columns `{}`", name.1) });
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(table)?;
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            // Cells that are missing at the end are empty; those beyond the header say nothing that has a name.
            if cells.len() > columns.len() && cells[columns.len()..].iter().any(|x| !x.is_empty()) {
                let message = format!("row {} has more cells than the header", rows.len() + 1);
                return Err(PetabError::Table { message });
            }
            if cells.iter().any(|x| !x.is_empty()) {
                rows.push(cells);
            }
        }
        Ok(Self { columns, index, rows })
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().enumerate().map(|(i, cells)| Row { table: self, cells, number: i + 1 })
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.index.contains_key(column)
    }

    /// The error if a column is missing.
    pub(super) fn need(&self, columns: &[&str]) -> Result<(), PetabError> {
        match columns.iter().find(|c| !self.has(c)) {
            None => Ok(()),
            Some(column) => Err(PetabError::Column { column: (*column).into() }),
        }
    }
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    table: &'a Tsv,
    cells: &'a [String],
    /// From one, without the header.
    pub(super) number: usize,
}

impl<'a> Row<'a> {
    /// The cell, empty if there is none.
    pub(super) fn text(self, column: &str) -> &'a str {
        let i = self.table.index.get(column);
        i.and_then(|&i| self.cells.get(i)).map_or("", String::as_str)
    }

    pub(super) fn wrong(self, column: &str, expected: &'static str) -> PetabError {
        let value = self.text(column).into();
        PetabError::Cell { row: self.number, column: column.into(), value, expected }
    }

    pub(super) fn required(self, column: &str) -> Result<&'a str, PetabError> {
        let text = self.text(column);
        if text.is_empty() { Err(self.wrong(column, "filled in")) } else { Ok(text) }
    }

    pub(super) fn number(self, column: &str) -> Result<f64, PetabError> {
        number(self.text(column)).ok_or_else(|| self.wrong(column, "a number"))
    }
}

/// A number as tables have it.
pub(super) fn number(text: &str) -> Option<f64> {
    match text {
        "inf" | "Inf" | "INF" => Some(f64::INFINITY),
        "-inf" | "-Inf" | "-INF" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

/// Whether a cell says that there is nothing.
pub(super) fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "NaN" | "nan" | "NA")
}
