//! The one place that prints: notes and progress for people on standard error, results on standard output, and
//! with `--json` one object a line on standard output.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

/// How often a long task says where it is when standard error is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    quiet: bool,
    json: bool,
}

/// Writes one line to standard output; a reader that has gone away is no error of ours.
fn out(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn err(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints one JSON object as one line of standard output.
pub(crate) fn json_line(value: &Value) {
    out(&value.to_string());
}

impl Console {
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        Self { quiet, json }
    }

    /// Something worth knowing on the way.
    pub(crate) fn note(self, message: &str) {
        tracing::info!("{message}");
        if self.json {
            json_line(&json!({ "event": "note", "message": message }));
        } else if !self.quiet {
            err(message);
        }
    }

    /// Something the user should not overlook.
    pub(crate) fn warn(self, message: &str) {
        tracing::warn!("{message}");
        if self.json {
            json_line(&json!({ "event": "warning", "message": message }));
        } else if !self.quiet {
            err(&format!("warning: {message}"));
        }
    }

    /// Says where the rest of a replaced folder lies, if it could not be deleted.
    pub(crate) fn warn_of_rest(self, left: Option<&Path>) {
        if let Some(left) = left {
            self.warn(&format!(
                "what was replaced could not be deleted; the rest lies in {}",
                left.display()
            ));
        }
    }

    /// A result: `text` for people, `event` with the fields of `value` for machines.
    pub(crate) fn result(self, text: &str, event: &str, value: Value) {
        tracing::info!("{text}");
        if self.json {
            let mut object = json!({ "event": event });
            if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), value) {
                object.extend(fields);
            }
            json_line(&object);
        } else if !self.quiet {
            out(text);
        }
    }

    /// Starts the progress of a task of `total` steps.
    pub(crate) fn progress(self, task: &'static str, total: u64) -> Progress {
        let bar = (!self.quiet && !self.json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            // The template is a constant, and a test draws it; indicatif's own default is the fallback.
            if let Ok(style) =
                ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {eta:>4} left  {wide_msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(task);
            bar
        });
        Progress { console: self, task, total, bar, said: None, started: Instant::now() }
    }
}

/// The progress of one task: a bar on a terminal, a line now and then elsewhere, every update as JSON.
#[derive(Debug)]
pub(crate) struct Progress {
    console: Console,
    task: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    said: Option<Instant>,
    started: Instant,
}

impl Progress {
    /// `done` of the task's steps are done; `message` says more, and so do the fields of `value`.
    pub(crate) fn update(&mut self, done: u64, message: &str, value: &Value) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            if !message.is_empty() {
                bar.set_message(message.to_owned());
            }
        } else if self.console.json {
            let mut object =
                json!({ "event": "progress", "task": self.task, "done": done, "of": self.total });
            if let (Some(object), Some(fields)) = (object.as_object_mut(), value.as_object()) {
                object.extend(fields.clone());
            }
            json_line(&object);
        } else if !self.console.quiet && self.said.unwrap_or(self.started).elapsed() >= PLAIN_INTERVAL {
            self.said = Some(Instant::now());
            err(&format!("{} {done}/{}  {message}", self.task, self.total));
        }
    }
}

impl Progress {
    /// [`Console::warn`] above the bar.
    pub(crate) fn warn(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.console.warn(message)),
            None => self.console.warn(message),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
