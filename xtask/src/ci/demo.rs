//! The README's first command, run as a user runs it: its report, its result, and what it costs.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::run::{passes_with_lines, system};
use super::{Context, Outcome, clock};
use crate::workspace::cargo;

/// Greatest fate cross-entropy in nats; the truth has 1.05, the base rate 1.43.
const MOST_NATS: f64 = 1.20;
/// Most seconds of all processors: three minutes on two, however busy the machine is.
const MOST_CPU_SECONDS: f64 = 360.0;

/// Builds the program, runs `chreode demo` in an empty folder, and measures.
pub(super) fn check(context: &mut Context) -> Result<Outcome> {
    let Some(program) = program()? else { return Ok(Outcome::Failed("the program does not compile".into())) };
    let folder = context.workspace.target.join("demo-output");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    // The shell's `times` says what its children have used: POSIX has it everywhere, Rust's library nowhere.
    let mut command = system("sh");
    command.args(["-c", "\"$0\" demo --json --threads 2 || exit; times"]).arg(program).current_dir(&folder);
    let begun = Instant::now();
    let (mut nats, mut last) = (None, String::new());
    let ended_well = passes_with_lines(&mut command, |line| {
        nats = nats.or(cross_entropy(line));
        line.clone_into(&mut last);
    })?;
    if !ended_well {
        return Ok(Outcome::Failed(format!("it did not end well: {last}")));
    }
    let figures = Figures {
        nats: nats.context("it says no cross-entropy")?,
        cpu_seconds: cpu_seconds(&last)?,
        has_report: folder.join("demo").join("report.html").is_file(),
    };
    let said = format!(
        "cross-entropy {:.3} nats, {:.0} CPU seconds, {} by the clock",
        figures.nats,
        figures.cpu_seconds,
        clock(begun.elapsed())
    );
    let broken = figures.broken();
    Ok(if broken.is_empty() {
        Outcome::Passed(said)
    } else {
        Outcome::Failed(format!("{} ({said})", broken.join("; ")))
    })
}

/// What the promises are about.
struct Figures {
    nats: f64,
    cpu_seconds: f64,
    has_report: bool,
}

impl Figures {
    /// The promises that are broken.
    fn broken(&self) -> Vec<String> {
        let kept = |kept: bool, what: String| (!kept).then_some(what);
        let promises = [
            kept(self.nats <= MOST_NATS, format!("cross-entropy above {MOST_NATS} nats")),
            kept(self.cpu_seconds <= MOST_CPU_SECONDS, format!("more than {MOST_CPU_SECONDS} CPU seconds")),
            kept(self.has_report, "demo/report.html is missing".into()),
        ];
        promises.into_iter().flatten().collect()
    }
}

/// Builds `chreode` with the features that the tests have, and says where it is.
fn program() -> Result<Option<PathBuf>> {
    let mut program = None;
    let mut command = cargo();
    command.args(["build", "--release", "--workspace", "--bins", "--examples"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let built = passes_with_lines(&mut command, |line| {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        if message["target"]["name"] == "chreode" && message["executable"].is_string() {
            program = message["executable"].as_str().map(PathBuf::from);
        }
    })?;
    Ok(program.filter(|_| built))
}

/// The model's cross-entropy, if this is the line with the demo's results.
fn cross_entropy(line: &str) -> Option<f64> {
    let event: Value = serde_json::from_str(line).ok()?;
    if event["event"] == "demo" { event["cross_entropy"]["model"].as_f64() } else { None }
}

/// User and system time from the second line of the shell's `times`: `3m20.50s 0m1.25s`.
fn cpu_seconds(line: &str) -> Result<f64> {
    let seconds = |text: &str| {
        let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
        Some(60.0 * minutes.parse::<f64>().ok()? + seconds.replace(',', ".").parse::<f64>().ok()?)
    };
    match line.split_whitespace().map(seconds).collect::<Option<Vec<_>>>().as_deref() {
        Some([user, system]) => Ok(user + system),
        _ => bail!("the shell's `times` is not understood: {line}"),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn each_broken_promise_is_told() {
        let figures = |nats, cpu_seconds, has_report| Figures { nats, cpu_seconds, has_report }.broken();
        assert!(figures(1.2, 360.0, true).is_empty());
        assert_eq!(figures(1.201, 100.0, true), ["cross-entropy above 1.2 nats"]);
        assert_eq!(figures(f64::NAN, 361.0, false).len(), 3);
    }

    #[test]
    fn the_result_is_found_among_events() {
        let line = r#"{"event":"demo","cross_entropy":{"base_rate":1.43,"model":1.158,"oracle":1.05}}"#;
        assert_eq!(cross_entropy(line), Some(1.158));
        assert_eq!(cross_entropy(&line.replace("\"demo\"", "\"progress\"")), None);
        assert_eq!(cross_entropy("0m0.00s 0m0.01s"), None);
    }

    #[test]
    fn times_of_all_shells_are_read() {
        assert!((cpu_seconds("3m20.500000s 0m1.250000s").unwrap() - 201.75).abs() < 1e-9);
        assert!((cpu_seconds("0m1,50s 0m0,25s").unwrap() - 1.75).abs() < 1e-9);
        assert!(cpu_seconds("{}").is_err());
    }
}
