//! Rules of any text file: no path of one machine.

use super::{File, Problem, is_rust};

/// Beginnings of paths that exist on somebody's machine only. Tests may invent paths.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/tmp/", "/Users/", "C:\\Users"];

/// The file that holds this table.
const THIS_FILE: &str = "xtask/src/tidy/text.rs";

/// Checks one file.
pub(super) fn check(file: &File) -> Vec<Problem> {
    if file.path == THIS_FILE || file.path.contains("/tests/") {
        return Vec::new();
    }
    let tests_from =
        if is_rust(&file.path) { file.text.lines().position(|l| l.trim() == "#[cfg(test)]") } else { None };
    let mut problems = Vec::new();
    for (i, line) in file.text.lines().enumerate().take(tests_from.unwrap_or(usize::MAX)) {
        for path in MACHINE_PATHS {
            if starts_a_path(line, path) {
                problems.push(Problem::new(&file.path, i + 1, format!("a path of one machine ({path})")));
            }
        }
    }
    problems
}

/// Whether `path` stands in the line and is no tail of a longer, relative one.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_' || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&File { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn machine_paths_are_found() {
        assert_eq!(count("README.md", "see /home/me/x\nand \"/tmp/y\""), 2);
        assert_eq!(count("a.rs", "open(\"/root/x\")"), 1);
        assert_eq!(count("a.rs", "see https://example.org/home/x and ./tmp/x"), 0);
        assert_eq!(count("crates/a/tests/t.rs", "open(\"/tmp/x\")"), 0);
        assert_eq!(count("a.rs", "f();\n#[cfg(test)]\nmod tests { open(\"/tmp/x\") }"), 0);
        assert_eq!(count("a.rs", "open(\"/tmp/x\");\n#[cfg(test)]\nmod tests {}"), 1);
    }
}
