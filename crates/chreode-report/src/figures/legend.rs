//! Legends as HTML beside the drawing: they wrap, scroll and stay readable at any width.

use std::fmt::Write as _;

use crate::svg::escape;

/// One entry: shape of its sign (`dot`, `line`, `box`, `ring`, `tickmark`, `stroke`), class of its colour, label, and a
/// note such as a count.
pub(crate) struct Key {
    pub(crate) shape: &'static str,
    pub(crate) class: String,
    pub(crate) label: String,
    pub(crate) note: String,
}

impl Key {
    pub(crate) fn new(
        shape: &'static str,
        class: impl Into<String>,
        label: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { shape, class: class.into(), label: label.into(), note: note.into() }
    }
}

/// A list of keys. Clicking one hides its part of the drawing.
pub(crate) fn keys(title: &str, entries: &[Key]) -> String {
    let mut html = String::from("<div class=\"legend\">");
    heading(&mut html, title);
    html.push_str("<ul>");
    for key in entries {
        let _ = write!(
            html,
            "<li class=\"key {}\"><i class=\"{}\"></i><span>{}</span>",
            key.class,
            key.shape,
            escape(&key.label)
        );
        if !key.note.is_empty() {
            let _ = write!(html, "<small>{}</small>", escape(&key.note));
        }
        html.push_str("</li>");
    }
    html.push_str("</ul></div>");
    html
}

/// A colour bar; `ramp` is `q` (sequential), `d` (diverging) or `b` (its lower half from the ground on).
pub(crate) fn ramp(title: &str, ramp: char, ends: [&str; 3], masked: Option<&str>) -> String {
    let mut html = String::from("<div class=\"legend\">");
    heading(&mut html, title);
    let _ = write!(html, "<div class=\"ramp {ramp}-ramp\"></div><div class=\"ends\">");
    for end in ends {
        let _ = write!(html, "<span>{}</span>", escape(end));
    }
    html.push_str("</div>");
    if let Some(text) = masked {
        let _ = write!(html, "<div class=\"legend-note\">{}</div>", escape(text));
    }
    html.push_str("</div>");
    html
}

fn heading(html: &mut String, title: &str) {
    if !title.is_empty() {
        let _ = write!(html, "<div class=\"legend-title\">{}</div>", escape(title));
    }
}
