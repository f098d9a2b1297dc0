//! Starting programs.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::cargo;

/// A program of the system.
pub(crate) fn system(program: &str) -> Command {
    Command::new(program)
}

/// Shows the command, runs it with this terminal, and says whether it ended well.
pub(crate) fn passes(command: &mut Command) -> Result<bool> {
    show(command);
    Ok(command.status().with_context(|| format!("cannot start {}", name(command)))?.success())
}

/// Runs the command and hands each line of its output to `line`; its errors go to this terminal.
pub(crate) fn passes_with_lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    show(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", name(command)))?;
    if let Some(out) = child.stdout.take() {
        let mut out = BufReader::new(out);
        let mut bytes = Vec::new();
        while out.read_until(b'\n', &mut bytes)? > 0 {
            line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
            bytes.clear();
        }
    }
    Ok(child.wait()?.success())
}

/// Whether `cargo <name>` exists.
pub(super) fn has_subcommand(name: &str) -> Result<bool> {
    let out = cargo().arg("--list").output().context("cargo --list did not start")?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().any(|l| l.split_whitespace().next() == Some(name)))
}

/// The installed toolchain of this Rust version, if rustup has one.
pub(super) fn installed_toolchain(version: &str) -> Result<Option<String>> {
    let out = match system("rustup").args(["toolchain", "list"]).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None), // Rust without rustup
        out => out.context("rustup did not start")?,
    };
    Ok(find_toolchain(&String::from_utf8_lossy(&out.stdout), version))
}

fn find_toolchain(listing: &str, version: &str) -> Option<String> {
    listing
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .find(|t| t.strip_prefix(version).is_some_and(|rest| rest.starts_with(['-', '.'])))
        .map(str::to_owned)
}

fn show(command: &Command) {
    let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    println!("$ {} {}", name(command), args.join(" "));
}

fn name(command: &Command) -> String {
    let path = std::path::Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn toolchains_are_found_by_version() {
        let listing = "stable-x86_64-unknown-linux-gnu (active, default)\n1.89.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(find_toolchain(listing, "1.89").as_deref(), Some("1.89.0-x86_64-unknown-linux-gnu"));
        assert_eq!(find_toolchain(listing, "1.8"), None);
    }

    #[test]
    fn lines_and_status_come_back() {
        let mut lines = Vec::new();
        assert!(passes_with_lines(cargo().arg("--version"), |l| lines.push(l.to_owned())).unwrap());
        assert!(lines[0].starts_with("cargo "));
        assert!(!passes_with_lines(cargo().arg("no-such-command"), |_| {}).unwrap());
        assert!(has_subcommand("build").unwrap() && !has_subcommand("no-such-command").unwrap());
    }
}
