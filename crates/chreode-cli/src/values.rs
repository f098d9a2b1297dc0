//! How the values of options are written: `day=2`, `Gata1=+3,Spi1=-3`, `512,512`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::failure::bad_input;

/// A column and one of its values: `day=2`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnValue {
    /// The column.
    pub(crate) column: String,
    /// The value, a number.
    pub(crate) value: f64,
}

impl FromStr for ColumnValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, value) = name_and_number(text).ok_or("expected COLUMN=NUMBER, such as day=2")?;
        Ok(Self { column, value })
    }
}

impl fmt::Display for ColumnValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.column, self.value)
    }
}

/// A gene and how far it is moved, in standard deviations of the scaled gene: `Gata1=+3`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GeneValue {
    /// The gene.
    pub(crate) gene: String,
    /// The number.
    pub(crate) value: f64,
}

impl FromStr for GeneValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (gene, value) =
            name_and_number(text).ok_or("expected GENE=NUMBER[,GENE=NUMBER...], such as Gata1=+3,Spi1=-3")?;
        Ok(Self { gene, value })
    }
}

/// Splits at the last `=`, for a name may hold one.
fn name_and_number(text: &str) -> Option<(String, f64)> {
    let (name, value) = text.rsplit_once('=')?;
    let name = name.trim();
    let value: f64 = value.trim().parse().ok()?;
    (!name.is_empty() && value.is_finite()).then(|| (name.to_owned(), value))
}

/// A positive, finite number.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("expected a number above zero".to_owned()),
    }
}

/// Bytes: `2GB`, `500MB`, `1.5 GiB` or a plain number.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 9] = [
        ("GiB", 1073741824.0),
        ("MiB", 1048576.0),
        ("KiB", 1024.0),
        ("GB", 1e9),
        ("MB", 1e6),
        ("kB", 1e3),
        ("G", 1e9),
        ("M", 1e6),
        ("", 1.0),
    ];
    let text = text.trim();
    let of = |unit: &str, bytes: f64| {
        let at = text.len().checked_sub(unit.len()).filter(|&at| text.is_char_boundary(at))?;
        let (number, rest) = text.split_at(at);
        let number: f64 = number.trim().parse().ok().filter(|_| rest.eq_ignore_ascii_case(unit))?;
        (number > 0.0 && number * bytes < 1e18).then_some((number * bytes) as u64)
    };
    UNITS
        .iter()
        .find_map(|&(unit, bytes)| of(unit, bytes))
        .ok_or_else(|| "expected a size such as 2GB or 500MB".to_owned())
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        _ => Err("expected a number".to_owned()),
    }
}

/// A count of at least one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number above zero".to_owned()),
    }
}

/// A number of paths from each cell: at least one, at most a million.
pub(crate) fn paths(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err("expected a whole number from 1 to 1000000".to_owned()),
    }
}

/// Refuses to write a table under a name that promises another format.
pub(crate) fn check_table_name(out: &Path) -> anyhow::Result<()> {
    match out.extension().and_then(|e| e.to_str()) {
        Some(e) if ["gz", "h5ad"].iter().any(|other| e.eq_ignore_ascii_case(other)) => Err(bad_input(
            format!("{}: this table is written as plain .csv", out.display()),
            "let its name end in .csv",
        )),
        _ => Ok(()),
    }
}

/// The files of a run folder that any command reads or that resuming wants.
const RUN_FILES: [&str; 6] = [
    "config.toml",
    "model.safetensors",
    "state_space.json",
    "training_cells.safetensors",
    "metrics.jsonl",
    "log",
];

/// Refuses to write over a file that the command reads, which are also those of the run, and into a folder that does
/// not exist: before the work is done.
pub(crate) fn check_output(out: &Path, run: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    if let Some(folder) = out.parent().filter(|p| !p.as_os_str().is_empty() && !p.is_dir()) {
        return Err(bad_input(
            format!("cannot write {}: there is no folder {}", out.display(), folder.display()),
            "make the folder first",
        ));
    }
    let same = |input: &&Path| match (out.canonicalize(), input.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false, // what does not exist yet, or cannot be read, is not the same file
    };
    let of_run = RUN_FILES.map(|name| run.join(name));
    match inputs.iter().copied().chain(of_run.iter().map(PathBuf::as_path)).find(same) {
        Some(input) => Err(bad_input(
            format!("writing {} would replace {}, which is read", out.display(), input.display()),
            "give another file to write",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let of = |texts: &[&str]| texts.iter().map(|t| size(t)).collect::<Result<Vec<_>, _>>();
        assert_eq!(
            of(&["2GB", "500 MB", "1.5gib", "64M", "7", "3 kb"]).unwrap(),
            [2_000_000_000, 500_000_000, 1_610_612_736, 64_000_000, 7, 3000]
        );
        for bad in ["", "GB", "-1GB", "0", "2 TB", "nan", "1e30GB", "2ü"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_numbers() {
        let parsed = "day=2".parse::<ColumnValue>();
        assert_eq!(parsed, Ok(ColumnValue { column: "day".into(), value: 2.0 }));
        let parsed = "a=b = -1.5e0".parse::<ColumnValue>();
        assert_eq!(parsed, Ok(ColumnValue { column: "a=b".into(), value: -1.5 }));
        for bad in ["day", "=2", "day=", "day=two", "day=inf", "day=NaN", ""] {
            assert!(bad.parse::<ColumnValue>().is_err(), "{bad}");
            assert!(bad.parse::<GeneValue>().is_err(), "{bad}");
        }
        assert_eq!("Gata1=+3".parse::<GeneValue>(), Ok(GeneValue { gene: "Gata1".into(), value: 3.0 }));
    }

    #[test]
    fn numbers_in_range() {
        assert_eq!(positive("0.5"), Ok(0.5));
        for bad in ["0", "-1", "inf", "nan", "x", ""] {
            assert!(positive(bad).is_err(), "{bad}");
            assert!(count(bad).is_err() && paths(bad).is_err(), "{bad}");
        }
        assert!(
            paths("500") == Ok(500) && paths("1000001").is_err() && paths("99999999999999999999").is_err()
        );
        assert!(finite("-3").is_ok() && finite("inf").is_err());
    }

    #[test]
    fn inputs_are_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let (read, other) = (dir.path().join("cells.csv"), dir.path().join("fates.csv"));
        std::fs::write(&read, "x").unwrap();
        let run = dir.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("model.safetensors"), "x").unwrap();
        assert!(check_output(&dir.path().join("./cells.csv"), &run, &[&other, &read]).is_err());
        assert!(check_output(&run.join("model.safetensors"), &run, &[&read]).is_err());
        assert!(check_output(&run.join("fates.csv"), &run, &[&read]).is_ok());
        assert!(check_output(&other, &run, &[&read]).is_ok());
        assert!(check_output(&dir.path().join("nowhere/fates.csv"), &run, &[&read]).is_err());
        assert!(check_output(Path::new("fates.csv"), &run, &[&read]).is_ok());
    }

    #[test]
    fn tables_are_plain() {
        for bad in ["fates.csv.gz", "fates.h5ad", "f.H5AD"] {
            assert!(check_table_name(Path::new(bad)).is_err(), "{bad}");
        }
        for good in ["fates.csv", "fates.txt", "fates"] {
            assert!(check_table_name(Path::new(good)).is_ok(), "{good}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pair_comes_back(name in "[A-Za-z][A-Za-z0-9=_.-]{0,12}", value in -1e6_f64..1e6) {
            let parsed = format!("{name}={value}").parse::<ColumnValue>();
            proptest::prop_assert_eq!(parsed, Ok(ColumnValue { column: name, value }));
        }
    }
}
