//! Errors at the program's edge: one message, one hint, one exit code.

use std::process::ExitCode;

use chreode_cells::demo::DemoError;
use serde_json::json;

use crate::console::json_line;
use crate::{hints, interrupt};

/// An error in what the user gave, found by the program itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct BadInput {
    message: String,
    hint: String,
}

/// An error that the user can mend: what is wrong, and what to do.
pub(crate) fn bad_input(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    BadInput { message: message.into(), hint: hint.into() }.into()
}

/// Ctrl-C was heard, and what was done so far is saved.
#[derive(Debug, thiserror::Error)]
#[error("interrupted at step {step} of {steps}; the run is saved")]
pub(crate) struct Interrupted {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps asked for.
    pub(crate) steps: u64,
    /// The command that continues.
    pub(crate) resume: String,
}

/// Ctrl-C was heard during a fit of a kinetic problem.
#[derive(Debug, thiserror::Error)]
#[error("interrupted after {done} of {of} {what}; {left}")]
pub(crate) struct FitInterrupted {
    /// Starts or profiles that came to their end.
    pub(crate) done: usize,
    /// ... of so many.
    pub(crate) of: usize,
    /// What they are.
    pub(crate) what: &'static str,
    /// What is left of it, in words.
    pub(crate) left: String,
}

/// Around an error that ended a training: everything up to the last checkpoint is kept.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// Steps done.
    pub(crate) step: u64,
    /// The command that continues.
    pub(crate) resume: String,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the training stopped after step {}", self.step)
    }
}

const BAD_INPUT: u8 = 2;
const INTERNAL: u8 = 1;

/// The hint and the exit code of an error.
fn judge(error: &anyhow::Error) -> (Option<String>, u8) {
    let (hint, code) = cause(error);
    // What is told of the training's settings cannot be mended in a run, which keeps its own.
    let settings = error.chain().any(hints::is_of_training);
    match (hint, error.downcast_ref::<Stopped>()) {
        (Some(hint), Some(stopped)) if !settings => {
            (Some(format!("{hint}; then continue with `{}`", stopped.resume)), code)
        }
        (hint, _) => (hint, code),
    }
}

/// The hint and the exit code of what lies in an error's chain.
fn cause(error: &anyhow::Error) -> (Option<String>, u8) {
    for cause in error.chain() {
        if let Some(bad) = cause.downcast_ref::<BadInput>() {
            return (Some(bad.hint.clone()), BAD_INPUT);
        }
        if let Some(interrupted) = cause.downcast_ref::<Interrupted>() {
            return (Some(format!("continue with `{}`", interrupted.resume)), interrupt::EXIT_CODE);
        }
        if cause.is::<FitInterrupted>() {
            let hint =
                "a fit of this kind is not resumed: start it again, with --force if the folder was written";
            return (Some(hint.to_owned()), interrupt::EXIT_CODE);
        }
        if let Some(DemoError::Interrupted) = cause.downcast_ref::<DemoError>() {
            return (Some("start it again; a demo is not resumed".to_owned()), interrupt::EXIT_CODE);
        }
        if let Some(hint) = hints::of(cause) {
            return (Some(hint), BAD_INPUT);
        }
    }
    (None, INTERNAL)
}

/// The error and its causes in one line; a cause that the text before already tells is left out.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Prints an error once, with its hint, and returns its exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let (hint, code) = judge(error);
    let message = message(error);
    tracing::error!("{message}");
    if json {
        json_line(&json!({ "event": "error", "message": message, "hint": hint, "code": code }));
    }
    eprintln!("error: {message}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(code)
}

/// Prints what clap has to say: help and version on standard output (exit code 0), errors of usage (2).
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { BAD_INPUT } else { 0 })
}

/// The end of a program that panicked: never the user's fault.
pub(crate) fn panicked(json: bool) -> ExitCode {
    let (message, hint) = ("chreode failed unexpectedly", "this is a bug in chreode; please report it");
    if json {
        json_line(&json!({ "event": "error", "message": message, "hint": hint, "code": INTERNAL }));
    }
    eprintln!("error: {message}\nhint: {hint}");
    ExitCode::from(INTERNAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use chreode_cells::DataError;

    #[test]
    fn causes_are_told_once() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error: anyhow::Error = DataError::Read { path: "cells.csv".into(), source }.into();
        assert_eq!(message(&error), "cannot read cells.csv: entity not found");
        let (hint, code) = judge(&error);
        assert_eq!((hint.as_deref(), code), (Some("is the path right?"), BAD_INPUT));
        let wrapped = Err::<(), _>(error).context("labels").unwrap_err();
        assert_eq!(message(&wrapped), "labels: cannot read cells.csv: entity not found");
        assert_eq!(judge(&wrapped).1, BAD_INPUT);
        assert_eq!(judge(&anyhow::anyhow!("what?")), (None, INTERNAL));
        let interrupted = Interrupted { step: 5, steps: 9, resume: "chreode fit --resume r".into() };
        assert_eq!(judge(&interrupted.into()).1, 130);
    }
}
