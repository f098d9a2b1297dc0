//! What was measured, and how it is shown.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};

/// Columns of the CSV file, as the measuring program prints them.
pub(super) const HEAD: &str =
    "problem,solver,ours,rtol,error,cpu_ns,wall_ns,runs,steps,evaluations,jacobians,note";
/// What stands above the rows.
pub(super) fn title() -> String {
    format!(
        "{:34} {:>6} {:>9} {:>10} {:>10} {:>12} {:>9} {:>10}",
        "solver", "rtol", "error", "CPU time", "wall time", "evaluations", "steps", "Jacobians"
    )
}

/// A problem and the solvers that can solve it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) dim: usize,
    pub(super) stiff: bool,
    pub(super) solvers: Vec<String>,
}

impl Listed {
    /// Reads `name,coordinates,stiff,solver;solver`.
    pub(super) fn parse(line: &str) -> Result<Self> {
        let [name, dim, stiff, solvers] = fields(line)?;
        let solvers = solvers.split(';').map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), dim: dim.parse()?, stiff: stiff.parse()?, solvers })
    }
}

fn fields<const N: usize>(line: &str) -> Result<[&str; N]> {
    let fields: Vec<&str> = line.splitn(N, ',').collect();
    let count = fields.len();
    fields.try_into().ok().with_context(|| format!("{count} fields and not {N} in the line {line:?}"))
}

/// One solver on one problem at one tolerance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) problem: String,
    pub(super) solver: String,
    pub(super) ours: bool,
    pub(super) rtol: f64,
    /// What came of it, or why nothing did.
    pub(super) outcome: Result<Measured, String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// At the end point.
    pub(super) error: f64,
    /// Medians, in nanoseconds.
    pub(super) cpu: f64,
    pub(super) wall: f64,
    pub(super) evaluations: u64,
    pub(super) steps: u64,
    pub(super) jacobians: u64,
}

impl Row {
    /// Reads a line with the columns of [`HEAD`]; `None` for that line itself.
    pub(super) fn parse(line: &str) -> Result<Option<Self>> {
        if line == HEAD {
            return Ok(None);
        }
        let [problem, solver, ours, rtol, error, cpu, wall, runs, steps, evaluations, jacobians, note] =
            fields(line)?;
        let bad = || format!("cannot read the row {line:?}");
        let outcome = if runs == "0" {
            ensure!(!note.is_empty(), bad());
            Err(note.to_owned())
        } else {
            let number = |text: &str| text.parse::<f64>().with_context(bad);
            let count = |text: &str| text.parse::<u64>().with_context(bad);
            let (cpu, wall) = (number(cpu)?, number(wall)?);
            if !(cpu > 0.0 && wall > 0.0) {
                bail!(bad());
            }
            Ok(Measured {
                error: number(error)?,
                cpu,
                wall,
                evaluations: count(evaluations)?,
                steps: count(steps)?,
                jacobians: count(jacobians)?,
            })
        };
        Ok(Some(Self {
            problem: problem.to_owned(),
            solver: solver.to_owned(),
            ours: ours.parse().with_context(bad)?,
            rtol: rtol.parse().with_context(bad)?,
            outcome,
        }))
    }
}

impl Row {
    /// A line with the columns of [`HEAD`], of one run and more.
    pub(super) fn csv(&self) -> String {
        let Self { problem, solver, ours, rtol, outcome } = self;
        match outcome {
            Ok(m) => {
                let Measured { error, cpu, wall, evaluations, steps, jacobians } = m;
                format!(
                    "{problem},{solver},{ours},{rtol:e},{error:e},{cpu:.0},{wall:.0},1,{steps},{evaluations},{jacobians},"
                )
            }
            Err(why) => format!("{problem},{solver},{ours},{rtol:e},,,,0,,,,{why}"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:34} {:6.0e}", self.solver, self.rtol)?;
        match &self.outcome {
            Err(why) => write!(f, "   {why}"),
            Ok(m) => write!(
                f,
                " {:9.1e} {:>10} {:>10} {:12} {:9} {:10}",
                m.error,
                time(m.cpu),
                time(m.wall),
                m.evaluations,
                m.steps,
                m.jacobians
            ),
        }
    }
}

/// Nanoseconds with three digits: `62.1 µs`.
pub(super) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ..1e3 => (ns, "ns"),
        1e3..1e6 => (ns / 1e3, "µs"),
        1e6..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_read_and_shown() {
        let row =
            Row::parse("hires,ivp bdf,false,1e-6,8.01e-7,368000,370000,33,240,412,11,").unwrap().unwrap();
        assert_eq!((row.problem.as_str(), row.ours, row.rtol), ("hires", false, 1e-6));
        let m = row.outcome.clone().unwrap();
        assert_eq!((m.error, m.cpu, m.steps, m.evaluations, m.jacobians), (8.01e-7, 368e3, 240, 412, 11));
        let shown = row.to_string();
        assert!(shown.contains("8.0e-7     368 µs     370 µs          412       240"), "{shown}");
        assert_eq!(shown.chars().count(), title().chars().count());
        assert_eq!(Row::parse(&row.csv()).unwrap(), Some(row));

        let failed =
            Row::parse("hires,diffsol bdf,false,1e-6,,,,0,,,,step size too small; at 3").unwrap().unwrap();
        assert_eq!(failed.outcome, Err("step size too small; at 3".into()));
        assert!(failed.to_string().ends_with("step size too small; at 3"));
        assert_eq!(Row::parse(&failed.csv()).unwrap(), Some(failed));
        assert_eq!(Row::parse(HEAD).unwrap(), None);
    }

    #[test]
    fn broken_rows_are_refused() {
        for line in [
            "hires,ivp bdf,false",
            "hires,ivp bdf,maybe,1e-6,1e-7,1,1,1,1,1,1,",
            "hires,ivp bdf,true,1e-6,x,1,1,1,1,1,1,",
            "hires,ivp bdf,true,1e-6,1e-7,0,1,1,1,1,1,",
            "hires,ivp bdf,true,1e-6,1e-7,1,1,1,1.5,1,1,",
            "hires,ivp bdf,true,1e-6,,,,0,,,,",
        ] {
            assert!(Row::parse(line).is_err(), "{line}");
        }
        assert!(Listed::parse("hires,8,true").is_err() && Listed::parse("hires,eight,true,x").is_err());
    }

    proptest! {
        /// A time is shown to three digits, in a unit that needs no more than three before the point.
        #[test]
        fn times_are_readable(ns in 1.0_f64..9e11) {
            let shown = time(ns);
            let (value, unit) = shown.split_once(' ').unwrap();
            let scale = match unit { "ns" => 1.0, "µs" => 1e3, "ms" => 1e6, _ => 1e9 };
            let back = value.parse::<f64>().unwrap() * scale;
            prop_assert!((back / ns - 1.0).abs() < 0.0051, "{ns}: {shown}");
        }
    }
}
