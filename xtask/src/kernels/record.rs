//! Of what the committed PTX was made: so that a stale one is noticed where the compiler is missing.

use std::fmt::Write as _;
use std::path::Path;

use super::parse::{Source, modules};
use super::{DIR, FLAGS};

/// The record, in the kernels' folder.
pub(super) const FILE: &str = "ptx/record.txt";

/// The compiler, its flags, and fingerprints of what went in and came out.
#[derive(Debug)]
pub(super) struct Record {
    version: String,
    /// Files with their fingerprints: sources, then PTX.
    files: Vec<(String, u64)>,
}

impl Record {
    /// Of these sources and the PTX that lies beside them.
    pub(super) fn of(sources: &[Source], version: &str, root: &Path) -> Self {
        let mut files: Vec<_> =
            sources.iter().map(|s| (s.name.clone(), fingerprint(s.text.as_bytes()))).collect();
        for module in modules(sources) {
            let name = format!("ptx/{}.ptx", module.stem);
            let ptx = std::fs::read(root.join(DIR).join(&name)).unwrap_or_default();
            files.push((name, fingerprint(&ptx)));
        }
        Self { version: version.to_owned(), files }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::from("Written by `cargo xtask kernels build`.\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "compiler: {}\nflags: {}", self.version, FLAGS.join(" "));
        for (name, fingerprint) in &self.files {
            let _ = writeln!(text, "{fingerprint:016x} {name}");
        }
        text
    }

    /// The compiler that a record names.
    pub(super) fn version(text: &str) -> Option<&str> {
        text.lines().find_map(|l| l.strip_prefix("compiler: "))
    }

    /// What is not as a record says, in words.
    pub(super) fn differences(&self, recorded: &str) -> Vec<String> {
        let now = self.to_text();
        let has = |text: &str, line: &str| text.lines().any(|l| l == line);
        let name = |line: &str| line.split(' ').next_back().unwrap_or_default().to_owned();
        let mut stale = Vec::new();
        if !has(recorded, &format!("flags: {}", FLAGS.join(" "))) {
            stale.push("PTX was made with other flags".to_owned());
        }
        for line in now.lines().skip(3).filter(|l| !has(recorded, l)) {
            stale.push(format!("{DIR}/{} has changed since PTX was made", name(line)));
        }
        for line in recorded.lines().skip(3) {
            if !self.files.iter().any(|(file, _)| *file == name(line)) {
                stale.push(format!("{DIR}/{} is gone", name(line)));
            }
        }
        stale
    }
}

/// FNV-1a.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_noticed() {
        let record = |files: &[(&str, u64)]| Record {
            version: "clang 19".into(),
            files: files.iter().map(|&(n, f)| (n.to_owned(), f)).collect(),
        };
        let old = record(&[("a.cu", 1), ("ptx/a.ptx", 2)]);
        assert!(old.differences(&old.to_text()).is_empty());
        assert_eq!(Record::version(&old.to_text()), Some("clang 19"));
        let changed = record(&[("a.cu", 3), ("ptx/a.ptx", 2)]).differences(&old.to_text());
        assert!(changed.len() == 1 && changed[0].contains("a.cu has changed"), "{changed:?}");
        let gone = record(&[("a.cu", 1)]).differences(&old.to_text());
        assert!(gone.len() == 1 && gone[0].contains("a.ptx is gone"), "{gone:?}");
        let flags = old.to_text().replace("-O3", "-O1");
        assert!(old.differences(&flags)[0].contains("other flags"));
        assert_eq!(old.differences("").len(), 3);
    }
}
