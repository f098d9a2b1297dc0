//! Citation keys such as `[SMDS11]` (initials, year) against `docs/references.bib`.

use std::collections::BTreeSet;

use super::{File, Problem, extension, is_rust, source};

const BIBLIOGRAPHY: &str = "docs/references.bib";

/// Checks that every key that is cited has one entry; entries that nobody cites become notes.
pub(super) fn check(files: &[File], notes: &mut Vec<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut entries = BTreeSet::new();
    if let Some(bib) = files.iter().find(|f| f.path == BIBLIOGRAPHY) {
        for (i, line) in bib.text.lines().enumerate() {
            if let Some(key) = entry_key(line)
                && !entries.insert(key)
            {
                problems.push(Problem::new(BIBLIOGRAPHY, i + 1, format!("a second entry {key}")));
            }
        }
    }
    let mut cited = BTreeSet::new();
    for file in files {
        let rust = is_rust(&file.path);
        if !rust && extension(&file.path) != Some("md") || file.path.starts_with("xtask/") {
            continue;
        }
        let comments: Vec<String> = if rust {
            source::lines(&file.text).into_iter().map(|l| l.comment).collect()
        } else {
            file.text.lines().map(str::to_owned).collect()
        };
        for (i, line) in comments.iter().enumerate() {
            for key in keys(line) {
                if !entries.contains(key) {
                    problems.push(Problem::new(
                        &file.path,
                        i + 1,
                        format!("[{key}] is not in {BIBLIOGRAPHY}"),
                    ));
                }
                cited.insert(key.to_owned());
            }
        }
    }
    notes.extend(
        entries.iter().filter(|&&k| !cited.contains(k)).map(|k| format!("{BIBLIOGRAPHY}: nobody cites {k}")),
    );
    problems
}

/// `KEY` of a line `@article{KEY,`.
fn entry_key(line: &str) -> Option<&str> {
    let (kind, rest) = line.trim().strip_prefix('@')?.split_once('{')?;
    let key = rest.strip_suffix(',')?;
    (kind.chars().all(char::is_alphabetic) && is_key(key)).then_some(key)
}

/// Every `[KEY]` of a line.
fn keys(line: &str) -> impl Iterator<Item = &str> {
    line.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(key, _)| key).filter(|k| is_key(k))
}

/// Whether this is a key: letters that begin with a capital, two digits, perhaps a small letter.
pub(crate) fn is_key(key: &str) -> bool {
    let key = key.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or(key);
    let Some((letters, year)) = key.split_at_checked(key.len().wrapping_sub(2)) else { return false };
    year.chars().all(|c| c.is_ascii_digit())
        && letters.starts_with(|c: char| c.is_ascii_uppercase())
        && letters.chars().all(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn keys_are_recognised() {
        let found: Vec<_> =
            keys("[SMDS11] and [KP92], [Li20a]; [`Tsit5`] [n, d] [x] [RK4] [2011] [AB1234").collect();
        assert_eq!(found, ["SMDS11", "KP92", "Li20a"]);
        assert_eq!(entry_key("@article{KP92,"), Some("KP92"));
        assert_eq!(entry_key("  title = {x},"), None);
    }

    #[test]
    fn cited_keys_have_one_entry() {
        let bib = file(BIBLIOGRAPHY, "@book{KP92,\n}\n@article{Old01,\n}");
        let mut notes = Vec::new();
        let good = [file("crates/a/src/lib.rs", "//! See [KP92].\nlet x = a[N16];"), bib];
        assert!(check(&good, &mut notes).is_empty());
        assert_eq!(notes, ["docs/references.bib: nobody cites Old01"]);
        let bad = [
            file("crates/a/src/lib.rs", "fn f() {}\n/// See [XY99]."),
            file(BIBLIOGRAPHY, "@book{KP92,\n}\n@book{KP92,\n}"),
        ];
        let problems = check(&bad, &mut Vec::new());
        assert_eq!(problems.len(), 2);
        assert!(
            problems
                .iter()
                .any(|p| p.to_string() == "crates/a/src/lib.rs:2: [XY99] is not in docs/references.bib")
        );
        assert!(problems.iter().any(|p| p.what == "a second entry KP92"));
    }
}
