//! Rules of one Rust file: its length, its `unsafe`, its re-exports, what must not be left in it.

use super::source::Line;
use super::{File, Problem};

/// Above this a file fails, unless one of its lines is [`DATA`].
const MOST_LINES: usize = 800;
/// Above this a file is named in a note.
const MANY_LINES: usize = 400;
/// Marks a file of tables, which may be of any length.
const DATA: &str = "// tidy: data";

/// Where `unsafe` may stand: vector kernels, the allocator that counts, the CUDA driver and its stand-in, and the C peer of the benchmarks.
const UNSAFE: &[&str] = &[
    "crates/chreode-linalg/src/simd/",
    "crates/chreode-linalg/src/batch/",
    "crates/chreode-testkit/src/alloc.rs",
    "crates/chreode-cuda/",
    "crates/chreode-cuda-cpu/src/",
    "benches/peers/src/peers/cvode.rs",
    "benches/peers/src/kinetics/cvodes.rs",
];

/// What a finished piece of work does not hold.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Checks one file, split into lines.
pub(super) fn check(file: &File, lines: &[Line]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let path = file.path.as_str();
    let mut report = |line: usize, what: String| problems.push(Problem::new(path, line, what));

    let length = file.text.lines().count();
    if length > MOST_LINES && !is_data(file) {
        report(0, format!("{length} lines; split it (at most {MOST_LINES}, or mark a table `{DATA}`)"));
    }
    let place_for_unsafe = UNSAFE.iter().any(|p| path.starts_with(p));
    let inside = path.starts_with("crates/") && path.contains("/src/") && !path.ends_with("/src/lib.rs");
    for (i, line) in lines.iter().enumerate() {
        let number = i + 1;
        if line.has_word("unsafe") {
            if !place_for_unsafe {
                report(number, format!("unsafe stands in {} alone", UNSAFE.join(", ")));
            } else if needs_safety_note(line) && !has_safety_note(lines, i) {
                report(number, "unsafe without a `// SAFETY:` comment directly above".into());
            }
        }
        for word in UNFINISHED {
            if line.has_word(word) {
                report(number, format!("{word} is left in the code"));
            }
        }
        if line.has_word("pub use") {
            let (from, stars) = re_export(&lines[i..]);
            if stars {
                report(number, "a re-export by `*`: name what is re-exported".into());
            }
            if inside && !declares(lines, &from) {
                report(number, format!("{from} is no module of this file: re-export it in lib.rs"));
            }
        }
    }
    problems
}

/// A note on a file that is long, but not too long.
pub(super) fn long(file: &File) -> Option<String> {
    let length = file.text.lines().count();
    (length > MANY_LINES && !is_data(file)).then(|| format!("{}: {length} lines", file.path))
}

fn is_data(file: &File) -> bool {
    file.text.lines().any(|l| l.trim() == DATA)
}

/// Of the `pub use` that begins in the first line: where its path starts, and whether it has a `*`.
fn re_export(lines: &[Line]) -> (String, bool) {
    let mut statement = String::new();
    for line in lines {
        statement.push_str(&line.code);
        if line.code.contains(';') {
            break;
        }
    }
    let path = statement.split_once("pub use").map_or("", |(_, path)| path).trim();
    let path = path.strip_prefix("self::").unwrap_or(path);
    let first = path.split([':', ';', ' ']).next().unwrap_or_default();
    (first.to_owned(), statement.contains('*'))
}

/// Whether the file declares this module, so that its names are found by walking down from `lib.rs`.
fn declares(lines: &[Line], module: &str) -> bool {
    let (file, inline) = (format!("mod {module};"), format!("mod {module} {{"));
    lines.iter().any(|l| {
        let code = l.code.trim();
        code.ends_with(&file) || code.ends_with(&inline)
    })
}

/// Blocks and impls need the note; an `unsafe fn` says its conditions in its docs, which clippy asks for.
fn needs_safety_note(line: &Line) -> bool {
    line.code.match_indices("unsafe").any(|(i, word)| {
        let after = line.code[i + word.len()..].trim_start();
        after.is_empty() || after.starts_with('{') || after.starts_with("impl")
    })
}

/// Whether a SAFETY comment stands on the line or in the comment above it, attributes left aside.
fn has_safety_note(lines: &[Line], i: usize) -> bool {
    let says = |l: &Line| l.comment.contains("SAFETY:");
    says(&lines[i]) || lines[..i].iter().rev().take_while(|l| l.is_comment() || l.is_attribute()).any(says)
}

#[cfg(test)]
mod tests {
    use super::super::source::lines;
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        check(&file, &lines(text)).iter().map(ToString::to_string).collect()
    }

    const KERNEL: &str = "crates/chreode-linalg/src/simd/exp.rs";

    #[test]
    fn long_files_fail_unless_they_are_data() {
        let text = "x;\n".repeat(801);
        assert!(problems("crates/a/src/b.rs", &text)[0].contains("801 lines"));
        assert!(problems("crates/a/src/b.rs", &"x;\n".repeat(800)).is_empty());
        let data = format!("{DATA}\n{text}");
        assert!(problems("crates/a/src/b.rs", &data).is_empty());
        let file = |n| File { path: "a.rs".into(), text: "x;\n".repeat(n) };
        assert!(long(&file(401)).is_some() && long(&file(400)).is_none());
    }

    #[test]
    fn unsafe_has_a_place_and_a_note() {
        let noted =
            "// SAFETY: the slice has n elements,\n// as checked above.\n#[rustfmt::skip]\nunsafe { f() }";
        assert!(problems(KERNEL, noted).is_empty());
        assert!(problems(KERNEL, "let x = unsafe { f() }; // SAFETY: checked.").is_empty());
        assert!(problems(KERNEL, "/// # Safety\n/// Needs AVX2.\npub unsafe fn f() {}").is_empty());
        assert!(problems(KERNEL, "f(\"unsafe\"); // unsafe { }").is_empty());

        assert!(problems(KERNEL, "unsafe { f() }")[0].contains("without"));
        assert!(problems(KERNEL, "// SAFETY: far away.\nlet y = 1;\nunsafe { f() }")[0].contains("without"));
        assert!(problems(KERNEL, "unsafe impl Send for X {}")[0].contains("without"));
        assert!(problems(KERNEL, "// checked\nunsafe\n{ f() }")[0].contains("without"));
        assert!(problems("crates/chreode-cells/src/a.rs", noted)[0].contains("stands in"));
    }

    #[test]
    fn nothing_unfinished_is_left() {
        for word in UNFINISHED {
            assert_eq!(problems("crates/a/src/b.rs", &format!("{word}(x)")).len(), 1, "{word}");
            assert!(
                problems("crates/a/src/b.rs", &format!("// {word}(x)\nmy_{word}()")).is_empty(),
                "{word}"
            );
        }
    }

    #[test]
    fn re_exports_are_named_and_walk_down() {
        let lib = "crates/a/src/lib.rs";
        assert!(problems(lib, "pub use b::C;\npub use chreode_core::Real;").is_empty());
        assert!(problems(lib, "pub use b::*;")[0].contains("name what"));
        assert!(problems(lib, "pub use b::{\n    c::*,\n};")[0].contains("name what"));
        let family = "crates/a/src/b/mod.rs";
        assert!(
            problems(family, "mod c;\npub(crate) mod d;\npub use c::{\n    E,\n};\npub use self::d::F;")
                .is_empty()
        );
        assert!(problems(family, "mod c {\n    pub(crate) mod d;\n}\npub use c::d::F;").is_empty());
        assert!(problems(family, "mod c;\npub use c::*;")[0].contains("name what"));
        for elsewhere in ["crate::x::Y", "super::Y", "chreode_core::Real"] {
            assert!(
                problems(family, &format!("mod c;\npub use {elsewhere};"))[0]
                    .contains("no module of this file")
            );
        }
        assert!(problems(family, "pub(crate) use crate::x::Y;").is_empty());
    }
}
