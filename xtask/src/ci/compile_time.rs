//! What a new problem costs its author: the processor time to compile and link a program around built libraries.

use std::fs::File;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

use super::run::passes;
use super::{Context, Outcome};
use crate::workspace::cargo;

/// A program with a stiff problem of its own, events and an observer; it uses `chreode-solve` alone.
const PROGRAM: &str = "oregonator";
/// Seconds that it may take: a generic solver, compiled again for every problem, takes many.
const MOST: Duration = Duration::from_secs(1);

/// Builds the program, and builds it once more after a change of its file alone. Processor time is counted, so that other
/// programs beside it matter little.
pub(super) fn check(context: &mut Context) -> Result<Outcome> {
    let Some(before_all) = children()? else {
        return Ok(Outcome::Skipped("processor times are read from /proc, which this system lacks".into()));
    };
    let build = || passes(cargo().args(["build", "--release", "-p", "chreode-solve", "--example", PROGRAM]));
    if !build()? {
        return Ok(Outcome::Failed(format!("the example {PROGRAM} does not build")));
    }
    let path = context.workspace.root.join(format!("crates/chreode-solve/examples/{PROGRAM}.rs"));
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let file = File::options().append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        file.set_modified(SystemTime::now())?;
        let before = children()?.unwrap_or(before_all);
        ensure!(build()?, "the example {PROGRAM} was built once, and then not");
        least = least.min(children()?.unwrap_or(before_all).saturating_sub(before));
    }
    let found = format!("{:.2} s of processor time for a new problem", least.as_secs_f64());
    // Less is no compilation at all: then this measures nothing.
    ensure!(least > Duration::from_millis(20), "{found}: the program was not built anew");
    Ok(if least < MOST { Outcome::Passed(found) } else { Outcome::Failed(found) })
}

/// Processor time of all programs that ended below this one; none where the system does not tell.
fn children() -> Result<Option<Duration>> {
    match std::fs::read_to_string("/proc/self/stat") {
        Ok(text) => Ok(Some(of_children(&text).context("/proc/self/stat has another form")?)),
        Err(_) => Ok(None),
    }
}

/// Fields 16 and 17 of a line of `/proc/PID/stat`, in hundredths of a second. The program's name, field 2, may hold blanks.
fn of_children(stat: &str) -> Option<Duration> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(13);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (next()? + next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_children_are_read() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 0 0 11 12 130 21 20 0 1 0 99 1 2";
        assert_eq!(of_children(line), Some(Duration::from_millis(1510)));
        assert_eq!(of_children("7 (x) S 1"), None);
        assert_eq!(of_children(""), None);
    }
}
