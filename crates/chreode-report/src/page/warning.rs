//! What the reader must not trust, and what to do about it.

use serde::Serialize;

use super::text::{clean, id_of, prose};

/// How much a warning weighs; the most serious come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Conclusions that rest on this are not to be drawn.
    Serious,
    /// Conclusions need care.
    Caution,
    /// Good to know; nothing is wrong.
    Note,
}

/// A warning: what was seen, why it matters, what to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Warning {
    pub(super) severity: Severity,
    word: &'static str,
    what: String,
    why: String,
    action: String,
    see: Option<String>,
}

impl Warning {
    /// A warning; `what` is a short sentence with the number in it, `why` its meaning, `action` what the reader can do.
    pub fn new(
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let word = match severity {
            Severity::Serious => "Serious",
            Severity::Caution => "Caution",
            Severity::Note => "Note",
        };
        let [what, why, action] = [clean(what), clean(why), clean(action)].map(|t| prose(&t));
        Self { severity, word, what, why, action, see: None }
    }

    /// The section that shows it.
    #[must_use]
    pub fn see(mut self, section: &str) -> Self {
        self.see = Some(id_of(section));
        self
    }
}

/// "1 serious warning, 2 cautions"; empty when there are none.
pub(super) fn summary(serious: usize, cautions: usize) -> String {
    let some = |n: usize, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{n} {many}")),
    };
    let parts: Vec<String> =
        [some(serious, "serious warning", "serious warnings"), some(cautions, "caution", "cautions")]
            .into_iter()
            .flatten()
            .collect();
    parts.join(", ")
}
