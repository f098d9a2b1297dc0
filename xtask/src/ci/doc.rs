//! The documentation builds without a warning.
//!
//! A citation such as `[KP92]` looks like a link to rustdoc, which finds no such item. Those warnings are left
//! out here, since `tidy` checks citations against the bibliography; every other one fails the step.

use anyhow::Result;
use serde_json::Value;

use super::run::passes_with_lines;
use super::{Context, Outcome};
use crate::tidy::is_citation_key;
use crate::workspace::cargo;

pub(super) fn check(_: &mut Context) -> Result<Outcome> {
    let mut command = cargo();
    command.args(["doc", "--release", "--workspace", "--no-deps", "--message-format", "json"]);
    let mut warnings = 0;
    let mut citations = 0;
    let built = passes_with_lines(&mut command, |line| match read(line) {
        Message::Citation => citations += 1,
        Message::Warning(text) => {
            warnings += 1;
            print!("{text}");
        }
        Message::Other => {}
    })?;
    Ok(match (built, warnings) {
        (true, 0) => Outcome::Passed(format!("{citations} citations that are no links")),
        (true, n) => Outcome::Failed(format!("{n} warnings")),
        (false, _) => Outcome::Failed("it does not build".into()),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Message {
    /// An unresolved link that is a citation.
    Citation,
    /// A warning or an error, as a person reads it.
    Warning(String),
    /// News of the build.
    Other,
}

/// Reads one line of cargo's JSON messages.
fn read(line: &str) -> Message {
    let Ok(json) = serde_json::from_str::<Value>(line) else { return Message::Other };
    let message = &json["message"];
    if json["reason"] != "compiler-message" {
        return Message::Other;
    }
    let link =
        message["message"].as_str().and_then(|m| m.strip_prefix("unresolved link to `")?.strip_suffix('`'));
    if message["code"]["code"] == "rustdoc::broken_intra_doc_links" && link.is_some_and(is_citation_key) {
        return Message::Citation;
    }
    // What has no code and no place only counts the others: "3 warnings emitted".
    if message["code"].is_null() && message["spans"].as_array().is_none_or(Vec::is_empty) {
        return Message::Other;
    }
    Message::Warning(message["rendered"].as_str().unwrap_or(line).to_owned())
}

#[cfg(test)]
mod unit {
    use super::*;

    fn message(code: &str, text: &str) -> String {
        serde_json::json!({
            "reason": "compiler-message",
            "message": {"code": {"code": code}, "message": text, "rendered": format!("{text}!"), "spans": [{}]},
        })
        .to_string()
    }

    #[test]
    fn citations_are_no_broken_links() {
        let code = "rustdoc::broken_intra_doc_links";
        assert_eq!(read(&message(code, "unresolved link to `KP92`")), Message::Citation);
        let broken = "unresolved link to `Solver`";
        assert_eq!(read(&message(code, broken)), Message::Warning(format!("{broken}!")));
        let other = message("rustdoc::bare_urls", "unresolved link to `KP92`");
        assert!(matches!(read(&other), Message::Warning(_)));
        assert_eq!(read(r#"{"reason":"compiler-artifact"}"#), Message::Other);
        assert_eq!(read("   Documenting"), Message::Other);
    }
}
