//! A writer of small SVG documents: classes instead of colours, short numbers, escaped text.

use std::fmt::Write as _;

/// `text` fit for HTML and XML content and double-quoted attributes; characters that XML forbids become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control()
                || ('\u{fdd0}'..='\u{fdef}').contains(&c)
                || (c as u32) & 0xfffe == 0xfffe =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with at most one decimal.
pub(crate) fn coordinate(v: f64) -> String {
    let tenths = (v * 10.0).round().clamp(-1e9, 1e9) as i64;
    let (sign, tenths) = if tenths < 0 { ("-", -tenths) } else { ("", tenths) };
    if tenths % 10 == 0 {
        format!("{sign}{}", tenths / 10)
    } else {
        format!("{sign}{}.{}", tenths / 10, tenths % 10)
    }
}

/// Width of `text` in a sans-serif face of that size, estimated from the classes of its characters.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'l' | 'j' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | ' ' | 'I' => 0.29,
            'f' | 't' | 'r' | '(' | ')' | '-' | '/' => 0.36,
            'm' | 'M' | 'w' | 'W' | '%' | '@' => 0.88,
            c if c.is_ascii_uppercase() => 0.68,
            c if c.is_ascii() => 0.56,
            c if (c as u32) < 0x1100 => 0.62,
            _ => 1.0,
        })
        .sum::<f64>()
        * size
}

/// `text` cut with an ellipsis so that it fits into `width`.
pub(crate) fn shorten(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if text_width(&out, size) + 0.9 * size > width {
            out.pop();
            break;
        }
    }
    format!("{}…", out.trim_end())
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// One `<svg>` under construction.
#[derive(Debug)]
pub(crate) struct Svg {
    out: String,
}

impl Svg {
    /// Starts a drawing of that size in drawing units; `label` is what a screen reader says.
    pub(crate) fn new(width: f64, height: f64, class: &str, label: &str) -> Self {
        let mut out = String::new();
        let (w, h) = (coordinate(width), coordinate(height));
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{class}\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{}\">",
            escape(label)
        );
        Self { out }
    }

    /// Appends markup that was made by this crate.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    pub(crate) fn line(&mut self, class: &str, from: [f64; 2], to: [f64; 2]) {
        let [x1, y1] = from.map(coordinate);
        let [x2, y2] = to.map(coordinate);
        let _ = write!(self.out, "<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>");
    }

    pub(crate) fn path(&mut self, class: &str, d: &str, title: &str) {
        if d.is_empty() {
            return;
        }
        if title.is_empty() {
            let _ = write!(self.out, "<path class=\"{class}\" d=\"{d}\"/>");
        } else {
            let _ =
                write!(self.out, "<path class=\"{class}\" d=\"{d}\"><title>{}</title></path>", escape(title));
        }
    }

    pub(crate) fn rect(&mut self, class: &str, at: [f64; 2], size: [f64; 2], radius: f64, title: &str) {
        let [x, y] = at.map(coordinate);
        let [w, h] = size.map(|v| coordinate(v.max(0.0)));
        let rx = if radius > 0.0 { format!(" rx=\"{}\"", coordinate(radius)) } else { String::new() };
        let open = format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{rx}");
        self.out.push_str(&open);
        self.close_with_title("rect", title);
    }

    pub(crate) fn circle(&mut self, class: &str, at: [f64; 2], radius: f64, title: &str) {
        let [x, y] = at.map(coordinate);
        let _ =
            write!(self.out, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{}\"", coordinate(radius));
        self.close_with_title("circle", title);
    }

    fn close_with_title(&mut self, tag: &str, title: &str) {
        if title.is_empty() {
            self.out.push_str("/>");
        } else {
            let _ = write!(self.out, "><title>{}</title></{tag}>", escape(title));
        }
    }

    pub(crate) fn text(&mut self, class: &str, at: [f64; 2], anchor: Anchor, text: &str) {
        let [x, y] = at.map(coordinate);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let _ =
            write!(self.out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", escape(text));
    }

    /// A text cut to `width`, its full form as a tooltip when it was cut.
    pub(crate) fn label(
        &mut self,
        class: &str,
        at: [f64; 2],
        anchor: Anchor,
        text: &str,
        size: f64,
        width: f64,
    ) {
        let short = shorten(text, size, width);
        if short == text {
            return self.text(class, at, anchor, text);
        }
        self.raw("<g>");
        self.text(class, at, anchor, &short);
        let title = format!("<title>{}</title></g>", escape(text));
        self.raw(&title);
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }
}

/// Path data through `points`, with a gap wherever a point is not finite; coordinates are relative tenths.
pub(crate) fn polyline(points: &[[f64; 2]]) -> String {
    let mut d = String::new();
    let mut pen = false;
    for p in points {
        if !(p[0].is_finite() && p[1].is_finite()) {
            pen = false;
            continue;
        }
        let _ = write!(d, "{}{} {}", if pen { 'L' } else { 'M' }, coordinate(p[0]), coordinate(p[1]));
        pen = true;
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_forbidden_characters_go() {
        assert_eq!(escape("a<b>&\"'\u{1b}\u{fffe}"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!(coordinate(12.0), "12");
        assert_eq!(coordinate(-0.04), "0");
        assert_eq!(coordinate(-3.26), "-3.3");
        assert_eq!(coordinate(f64::NAN), "0");
    }

    #[test]
    fn long_labels_are_cut_to_the_width() {
        let short = shorten(&"megakaryocyte-erythroid ".repeat(10), 12.0, 100.0);
        assert!(short.ends_with('…') && text_width(&short, 12.0) <= 106.0, "{short}");
        assert_eq!(shorten("Ery", 12.0, 100.0), "Ery");
    }

    #[test]
    fn a_gap_lifts_the_pen() {
        assert_eq!(polyline(&[[0.0, 0.0], [1.0, 1.0], [f64::NAN, 0.0], [2.0, 2.0]]), "M0 0L1 1M2 2");
    }
}
