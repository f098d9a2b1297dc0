//! The look of the page: one style sheet with light, dark and print colours, and one small script.

use std::fmt::Write as _;

use crate::colour;

const STYLE: &str = include_str!("page/style.css");

/// Tooltips, legend toggles and the table of contents; the page is complete without it.
pub(crate) const SCRIPT: &str = include_str!("page/script.js");

/// Ground, ink and status colours, light and dark, by the names that the style sheet uses.
pub(crate) const TONES: [(&str, &str, &str); 20] = [
    ("ground", "#f4f6f8", "#0f1418"),
    ("card", "#ffffff", "#161d23"),
    ("sunk", "#f0f3f6", "#1d262d"),
    ("ink", "#15212b", "#e8eef3"),
    ("soft", "#4f5f6d", "#a3b3c0"),
    ("line", "#dbe2e8", "#2c3943"),
    ("grid", "#e6ebef", "#25313a"),
    ("axis", "#9aa8b4", "#566673"),
    ("faint", "#c9d2da", "#36444f"),
    ("accent", "#0b6283", "#6cc4e4"),
    ("good", "#157347", "#58c98e"),
    ("warn", "#8f5600", "#f0b048"),
    ("bad", "#b3211b", "#ff8a80"),
    ("good-ground", "#eaf6ef", "#13261c"),
    ("warn-ground", "#fdf4e3", "#2a2010"),
    ("bad-ground", "#fdecea", "#301715"),
    ("note-ground", "#e9f3f7", "#12242c"),
    ("mark", "#e7f1f6", "#17303c"),
    ("other", "#8795a1", "#74838f"),
    ("shadow", "#15212b14", "#00000000"),
];

/// The style sheet of the page and of the figures, for embedding a figure elsewhere.
pub fn stylesheet() -> String {
    let mut css = String::from(":root{color-scheme:light dark;");
    css.push_str(&variables(false));
    css.push_str("}\n@media screen and (prefers-color-scheme:dark){:root{");
    css.push_str(&variables(true));
    css.push_str("}}\n");
    for (class, steps) in [("k", colour::CATEGORIES), ("q", colour::SEQUENTIAL), ("d", colour::DIVERGING)] {
        for i in 0..steps {
            let _ = write!(css, ".{class}{i}{{--c:var(--{class}{i})}}");
        }
        css.push('\n');
    }
    css.push_str(".kx{--c:var(--other)}\n");
    css.push_str(STYLE);
    css
}

fn variables(dark: bool) -> String {
    let mut css = String::new();
    for (name, light_value, dark_value) in TONES {
        let _ = write!(css, "--{name}:{};", if dark { dark_value } else { light_value });
    }
    let palette = if dark { colour::DARK } else { colour::LIGHT };
    for (i, value) in palette.iter().enumerate() {
        let _ = write!(css, "--k{i}:{value};");
    }
    for (name, values) in [("q", colour::sequential(dark)), ("d", colour::diverging(dark))] {
        for (i, value) in values.iter().enumerate() {
            let _ = write!(css, "--{name}{i}:{value};");
        }
        let _ = write!(css, "--{name}-ramp:linear-gradient(90deg,{});", values.join(","));
        if name == "d" {
            let lower: Vec<&str> =
                values[..=colour::DIVERGING / 2].iter().rev().map(String::as_str).collect();
            let _ = write!(css, "--b-ramp:linear-gradient(90deg,{});", lower.join(","));
        }
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::tests::contrast;

    fn tone(name: &str, dark: bool) -> &'static str {
        let (_, l, d) = TONES.iter().find(|t| t.0 == name).unwrap();
        if dark { d } else { l }
    }

    #[test]
    fn text_can_be_read_on_every_ground() {
        for dark in [false, true] {
            for ground in
                ["ground", "card", "sunk", "good-ground", "warn-ground", "bad-ground", "note-ground", "mark"]
            {
                let ground = tone(ground, dark);
                assert!(contrast(tone("ink", dark), ground) > 10.0, "ink on {ground}");
                assert!(contrast(tone("soft", dark), ground) > 4.9, "soft on {ground}");
                for status in ["good", "warn", "bad", "accent"] {
                    assert!(contrast(tone(status, dark), ground) > 4.5, "{status} on {ground}");
                }
            }
            let palette = if dark { colour::DARK } else { colour::LIGHT };
            for c in palette {
                let ratio = contrast(c, tone("card", dark));
                assert!(ratio > 2.95, "{c}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn the_page_asks_the_network_for_nothing() {
        let css = stylesheet();
        assert!(!css.contains("url(") && !css.contains("@import") && !css.contains("http"));
        assert!(!SCRIPT.contains("http") && !SCRIPT.contains("fetch") && !SCRIPT.contains("import"));
        // Kept parseable as XML, so that a plain checker can verify whole pages.
        assert!(!SCRIPT.contains('<') && !SCRIPT.contains('&') && !css.contains('<') && !css.contains('&'));
    }
}
