//! Plain text in, safe markup out.

use std::fmt::Write as _;

use crate::svg::escape;

/// Text without the characters that XML forbids.
pub(crate) fn clean(text: impl Into<String>) -> String {
    let text: String = text.into();
    let forbidden = |c: char| (c.is_control() && c != '\n' && c != '\t') || (c as u32) & 0xfffe == 0xfffe;
    if text.contains(forbidden) { text.replace(forbidden, "\u{fffd}") } else { text }
}

/// An anchor name: lower-case letters, digits, dashes; never empty and never a digit first.
pub(crate) fn id_of(text: &str) -> String {
    let mut id = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c.to_ascii_lowercase());
        } else if !id.ends_with('-') && !id.is_empty() {
            id.push('-');
        }
    }
    let id = id.trim_end_matches('-');
    if id.starts_with(|c: char| c.is_ascii_alphabetic()) { id.to_string() } else { format!("s-{id}") }
}

/// Escaped text with `` `code` ``, `**strong**` and `[text](#anchor)` as markup; unpaired signs stay as they are.
pub(crate) fn prose(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        html.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        if let Some((inner, after)) = between(rest, "`", "`") {
            let _ = write!(html, "<code>{}</code>", escape(inner));
            rest = after;
        } else if let Some((inner, after)) = between(rest, "**", "**") {
            let _ = write!(html, "<strong>{}</strong>", escape(inner));
            rest = after;
        } else if let Some((label, after)) = between(rest, "[", "](#")
            && let Some((anchor, after)) = after.split_once(')')
        {
            let _ = write!(html, "<a href=\"#{}\">{}</a>", id_of(anchor), escape(label));
            rest = after;
        } else {
            // The sign is one byte of ASCII.
            html.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    html.push_str(&escape(rest));
    html
}

/// What stands between `open` at the start of `text` and the next `close`, and what follows.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let (inner, after) = text.strip_prefix(open)?.split_once(close)?;
    (!inner.is_empty()).then_some((inner, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_little_markup_is_understood() {
        assert_eq!(
            prose("a `x<y` **b** [see](#the trust)"),
            "a <code>x&lt;y</code> <strong>b</strong> <a href=\"#the-trust\">see</a>"
        );
        assert_eq!(prose("2 * 3 ` [x] **"), "2 * 3 ` [x] **");
        assert_eq!(prose("[x](http://e.org)"), "[x](http://e.org)");
    }

    #[test]
    fn anchors_are_plain() {
        assert_eq!(id_of("What to distrust?"), "what-to-distrust");
        assert_eq!(id_of("2-day"), "s-2-day");
        assert_eq!(id_of("♥"), "s-");
    }

    proptest! {
        #[test]
        fn prose_is_always_well_formed(text in "[a-z<>&\"'`*\\[\\]()# é]{0,60}") {
            let html = format!("<p>{}</p>", prose(&text));
            let mut reader = quick_xml::Reader::from_str(&html);
            loop {
                match reader.read_event() {
                    Ok(quick_xml::events::Event::Eof) => break,
                    Ok(_) => {}
                    Err(e) => prop_assert!(false, "{e}: {html}"),
                }
            }
        }
    }
}
