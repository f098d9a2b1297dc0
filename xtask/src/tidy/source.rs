//! Splits Rust source into code and comments, line by line.
//!
//! Enough of the lexer to be sure that a word stands in code: nested block comments, strings with escapes, raw
//! strings, characters against lifetimes. Contents of strings and characters are blanked.

/// One line of a source file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The code, with comments left out and literals blanked.
    pub(crate) code: String,
    /// The text of the comments, without their code.
    pub(crate) comment: String,
}

impl Line {
    /// Whether the line holds a comment and nothing else.
    pub(crate) fn is_comment(&self) -> bool {
        self.code.trim().is_empty() && !self.comment.is_empty()
    }

    /// Whether the line holds an attribute and nothing else.
    pub(crate) fn is_attribute(&self) -> bool {
        let code = self.code.trim();
        (code.starts_with("#[") || code.starts_with("#![")) && code.ends_with(']')
    }

    /// Whether `word` stands in the code as a whole word.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.match_indices(word).any(|(i, _)| {
            !part_of_word(self.code[..i].chars().next_back())
                && !part_of_word(self.code[i + word.len()..].chars().next())
        })
    }
}

enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    String,
    RawString { hashes: usize },
}

/// The lines of a Rust source file; as many as `text.split('\n')` has.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = vec![Line::default()];
    let mut state = State::Code;
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            out.push(Line::default());
            i += 1;
            continue;
        }
        let last = out.len() - 1;
        let line = &mut out[last];
        match &mut state {
            State::Code => match (c, at(i + 1)) {
                ('/', '/') => {
                    state = State::LineComment;
                    line.comment.push_str("//");
                    i += 2;
                }
                ('/', '*') => {
                    state = State::BlockComment { depth: 1 };
                    line.comment.push_str("/*");
                    i += 2;
                }
                ('"', _) => {
                    state = State::String;
                    line.code.push('"');
                    i += 1;
                }
                ('r', '"' | '#') if !is_word(i.checked_sub(1).map(at), &line.code) => {
                    let hashes = (i + 1..chars.len()).take_while(|&j| chars[j] == '#').count();
                    if at(i + 1 + hashes) == '"' {
                        state = State::RawString { hashes };
                        line.code.push('"');
                        i += 2 + hashes;
                    } else {
                        line.code.push(c); // a raw identifier
                        i += 1;
                    }
                }
                ('\'', '\\') => {
                    // An escaped character ends at the next quote that is not the escaped one.
                    let end = (i + 3..chars.len()).find(|&j| chars[j] == '\'' || chars[j] == '\n');
                    line.code.push_str("' '");
                    i = match end {
                        Some(j) if chars[j] == '\'' => j + 1,
                        Some(j) => j,
                        None => chars.len(),
                    };
                }
                ('\'', next) if at(i + 2) == '\'' && next != '\n' => {
                    line.code.push_str("' '");
                    i += 3;
                }
                _ => {
                    line.code.push(c);
                    i += 1;
                }
            },
            State::LineComment => {
                line.comment.push(c);
                i += 1;
            }
            State::BlockComment { depth } => {
                let next = at(i + 1);
                if (c, next) == ('*', '/') {
                    *depth -= 1;
                    if *depth == 0 {
                        state = State::Code;
                    }
                    line.comment.push_str("*/");
                    i += 2;
                } else if (c, next) == ('/', '*') {
                    *depth += 1;
                    line.comment.push_str("/*");
                    i += 2;
                } else {
                    line.comment.push(c);
                    i += 1;
                }
            }
            State::String => {
                if c == '"' {
                    state = State::Code;
                    line.code.push('"');
                }
                // A backslash takes the next character with it, unless that ends the line.
                i += if c == '\\' && at(i + 1) != '\n' { 2 } else { 1 };
            }
            State::RawString { hashes } => {
                if c == '"' && (1..=*hashes).all(|k| at(i + k) == '#') {
                    i += 1 + *hashes;
                    state = State::Code;
                    line.code.push('"');
                } else {
                    i += 1;
                }
            }
        }
    }
    out
}

/// Whether an `r` after this character is the tail of an identifier and starts no raw string (`br` does).
fn is_word(before: Option<char>, code: &str) -> bool {
    match before {
        Some('b') => code.chars().rev().nth(1).is_some_and(|c| c.is_alphanumeric() || c == '_'),
        Some(c) => c.is_alphanumeric() || c == '_',
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> String {
        lines(text).iter().map(|l| l.code.as_str()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // unsafe\nb"), "a \nb");
        assert_eq!(code("a /* x /* y */ unsafe */ b"), "a  b");
        assert_eq!(code(r#"f("unsafe \" // x", 'u', '\'', 'a: loop {})"#), r#"f("", ' ', ' ', 'a: loop {})"#);
        assert_eq!(code("r#\"unsafe \" x\"# y br\"z\" var\"w\" r#match"), "\"\" y b\"\" var\"\" r#match");
        assert_eq!(code("\"one\ntwo\" three"), "\"\n\" three");
        assert_eq!(code("fn f<'a>(x: &'a u8) {} // '"), "fn f<'a>(x: &'a u8) {} ");
    }

    #[test]
    fn words_are_whole() {
        let line = &lines("unsafe_op(not_unsafe, unsafe{})")[0];
        assert!(line.has_word("unsafe"));
        assert!(!lines("unsafe_op(not_unsafe)")[0].has_word("unsafe"));
    }

    proptest! {
        /// Whatever the text: no panic, and every line stays where it was.
        #[test]
        fn lines_are_kept(text in "([a-z'\"/*\\\\#r{}\n ]|// |r#\"|\"#|/\\*|\\*/){0,60}") {
            prop_assert_eq!(lines(&text).len(), text.split('\n').count());
        }

        /// A comment never leaks into the code, whatever stands in it.
        #[test]
        fn line_comments_stay_comments(body in "[a-z\"'/* ]{0,20}") {
            let l = &lines(&format!("x; //{body}\ny"));
            prop_assert_eq!(&l[0].code, "x; ");
            prop_assert_eq!(&l[1].code, "y");
        }
    }
}
