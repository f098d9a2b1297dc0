//! Published kinetic problems: our program and `SciPy`, which take turns; CVODES is in our program.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::args::Kinetics;
use super::build::Program;
use super::ratio;
use super::rows::{HEAD, Measured, Row, title};
use super::turns::Server;

/// Problems whose runs are smooth between times known before, which every solver can be given, with the tolerances they are run at and
/// that of the reference, which is ours.
const PROBLEMS: [(&str, &[f64], f64); 7] = [
    ("Boehm_JProteomeRes2014", &SMALL, 1e-12),
    ("Crauste_CellSystems2017", &SMALL, 1e-12),
    ("Elowitz_Nature2000", &SMALL, 1e-12),
    ("Fujita_SciSignal2010", &SMALL, 1e-12),
    ("Raia_CancerResearch2011", &SMALL, 1e-12),
    ("Bachmann_MSB2011", &SMALL, 1e-12),
    ("Chen_MSB2009", &LARGE, 1e-8),
];
const SMALL: [f64; 4] = [1e-4, 1e-6, 1e-8, 1e-10];
/// At 1e-12 steps of Chen's problem fall below the digits of time.
const LARGE: [f64; 2] = [1e-4, 1e-6];
/// CPU seconds that a run of `SciPy` may take, after which its tolerances are not tried further.
const CAP: f64 = 60.0;
/// A solver whose runs of one tolerance took so many seconds together has no further turn there.
const ENOUGH: f64 = 20.0;

/// One solver in one mode: its runs at a tolerance.
struct Turn<'a> {
    solver: &'a str,
    ours: bool,
    scipy: bool,
    answers: Vec<Answer>,
    failed: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Answer {
    cpu: f64,
    wall: f64,
    counts: [u64; 3],
    numbers: Vec<f64>,
}

/// What a program said, or why a solver gave up.
fn said(line: &str) -> Result<Vec<&str>, String> {
    match line.strip_prefix("failed\t") {
        Some(why) => Err(why.to_owned()),
        None => Ok(line.split('\t').collect()),
    }
}

fn numbers(text: &str) -> Result<Vec<f64>> {
    text.split(' ').map(|x| x.parse().with_context(|| format!("{x:?} is no number"))).collect()
}

impl Answer {
    /// Reads `cpu_s wall_s steps evaluations jacobians NUMBERS`, with tabs between.
    fn parse(line: &str) -> Result<Result<Self, String>> {
        let fields = match said(line) {
            Ok(fields) => fields,
            Err(why) => return Ok(Err(why)),
        };
        let [cpu, wall, steps, evaluations, jacobians, values] = fields[..] else {
            bail!("an answer of another form: {line:?}")
        };
        let count = |x: &str| x.parse::<u64>().with_context(|| format!("{x:?} is no number"));
        Ok(Ok(Self {
            cpu: cpu.parse()?,
            wall: wall.parse()?,
            counts: [count(steps)?, count(evaluations)?, count(jacobians)?],
            numbers: numbers(values)?,
        }))
    }
}

/// The largest difference, in units of the largest of what is exact.
fn error(numbers: &[f64], exact: &[f64]) -> Result<f64> {
    ensure!(numbers.len() == exact.len(), "{} numbers, not {}", numbers.len(), exact.len());
    let largest = exact.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    // What is not a number is as wrong as can be.
    let apart = |(x, e): (&f64, &f64)| if (x - e).is_nan() { f64::INFINITY } else { (x - e).abs() };
    Ok(numbers.iter().zip(exact).map(apart).fold(0.0, f64::max) / largest)
}

pub(super) fn run(
    program: &Program,
    script: &Path,
    folder: &Path,
    asked: &Kinetics,
    mut csv: Option<File>,
) -> Result<bool> {
    let data = asked.data.clone().or_else(|| std::env::var_os("CHREODE_DATA").map(Into::into));
    let data = data.context("no folder with petab/: set CHREODE_DATA or give --data")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = program.command();
    command.arg("kinetics").arg(&data).arg(folder);
    let mut ours = Server::start(command, "the program of the peers")?;
    let mut scipy = match python(script, folder, asked)? {
        Ok(server) => Some(server),
        Err(why) => {
            println!("left out: SciPy: {why}");
            None
        }
    };
    if let Some(csv) = &mut csv {
        writeln!(csv, "{HEAD}")?;
    }
    let mut rows = Vec::new();
    for (problem, rtols, exact) in chosen(&asked.problems)? {
        let prepared = ours.ask(&format!("prepare\t{problem}"))?;
        let fields = match said(&prepared) {
            Ok(fields) => fields,
            Err(why) => {
                println!("\nleft out: {problem}: {why}");
                continue;
            }
        };
        let [states, parameters, simulate, gradient] = fields[..] else {
            bail!("an answer of another form: {prepared:?}")
        };
        let with_scipy = match &mut scipy {
            Some(scipy) => scipy.ask(&format!("prepare\t{problem}"))?,
            None => String::new(),
        };
        println!("\n=== {problem}: {states} states, {parameters} estimated parameters{} ===", super::load());
        for (mode, own, theirs) in [("simulate", simulate, with_scipy.as_str()), ("gradient", gradient, "")] {
            let from = rows.len();
            println!("\n{mode}");
            println!("{}", title());
            let solvers = own.split(';').map(|s| (s, false)).chain(theirs.split(';').map(|s| (s, true)));
            let solvers: Vec<(&str, bool)> = solvers.filter(|(s, _)| !s.is_empty()).collect();
            let reference = ours.ask(&format!("{problem}\t{mode}\t{exact:e}\t{}", solvers[0].0))?;
            let reference = Answer::parse(&reference)?.map_err(anyhow::Error::msg)?;
            let mut out = vec![false; solvers.len()];
            for &rtol in asked.rtols.as_deref().unwrap_or(rtols) {
                let turns =
                    solvers.iter().zip(&out).filter(|(_, out)| !**out).map(|(&(solver, scipy), _)| Turn {
                        solver,
                        ours: solver.starts_with("chreode"),
                        scipy,
                        answers: Vec::new(),
                        failed: None,
                    });
                let mut turns: Vec<Turn<'_>> = turns.collect();
                take(&mut turns, &mut ours, scipy.as_mut(), asked.rounds, |s| {
                    format!("{problem}\t{mode}\t{rtol:e}\t{s}")
                })?;
                for turn in turns {
                    if turn.failed.as_deref().is_some_and(|why| why.starts_with("over"))
                        && let Some(at) = solvers.iter().position(|(s, _)| *s == turn.solver)
                    {
                        out[at] = true;
                    }
                    let row = turn.row(&mut ours, (problem, mode), rtol, &reference.numbers)?;
                    println!("{row}");
                    if let Some(csv) = &mut csv {
                        writeln!(csv, "{}", row.csv())?;
                    }
                    rows.push(row);
                }
            }
            println!();
            ratio::print(&ratio::compare(&rows[from..]));
        }
    }
    println!("\n=== ours against the best peer at the same error ===");
    let all = ratio::compare(&rows);
    ratio::print(&all);
    ratio::print_summary(&all);
    println!("left out: {}", program.left_out_or_none());
    Ok(true)
}

/// Rounds in which each solver has its turn.
fn take(
    turns: &mut [Turn<'_>],
    ours: &mut Server,
    mut scipy: Option<&mut Server>,
    rounds: u32,
    request: impl Fn(&str) -> String,
) -> Result<()> {
    for round in 0..=rounds {
        for turn in turns.iter_mut() {
            let spent: f64 = turn.answers.iter().map(|a| a.cpu).sum();
            if turn.failed.is_some() || spent > ENOUGH {
                continue;
            }
            let server = match &mut scipy {
                Some(scipy) if turn.scipy => scipy,
                _ => &mut *ours,
            };
            match Answer::parse(&server.ask(&request(turn.solver))?)? {
                // The first one warms up, where that is a matter of moments.
                Ok(answer) if round == 0 && answer.cpu < 1.0 => {}
                Ok(answer) => turn.answers.push(answer),
                Err(why) => turn.failed = Some(why),
            }
        }
    }
    Ok(())
}

impl Turn<'_> {
    fn row(
        mut self,
        ours: &mut Server,
        (problem, mode): (&str, &str),
        rtol: f64,
        exact: &[f64],
    ) -> Result<Row> {
        let outcome = match (self.failed, self.answers.first()) {
            (Some(why), _) => Err(why.replace(',', ";")),
            (None, None) => Err("no answer".into()),
            (None, Some(first)) => {
                let values = if self.scipy {
                    let states: Vec<String> = first.numbers.iter().map(|x| format!("{x:e}")).collect();
                    let observed = ours.ask(&format!("observe\t{problem}\t{}", states.join(" ")))?;
                    numbers(
                        said(&observed).map_err(anyhow::Error::msg)?.first().copied().unwrap_or_default(),
                    )?
                } else {
                    first.numbers.clone()
                };
                let ([steps, evaluations, jacobians], error) = (first.counts, error(&values, exact)?);
                let mut median = |of: fn(&Answer) -> f64| {
                    self.answers.sort_by(|a, b| of(a).total_cmp(&of(b)));
                    1e9 * of(&self.answers[self.answers.len() / 2])
                };
                let (cpu, wall) = (median(|a| a.cpu), median(|a| a.wall));
                Ok(Measured { error, cpu, wall, evaluations, steps, jacobians })
            }
        };
        let short = problem.split('_').next().unwrap_or(problem);
        let problem = format!("{short} {mode}");
        Ok(Row { problem, solver: self.solver.to_owned(), ours: self.ours, rtol, outcome })
    }
}

/// The problems whose names contain one of the words; all without words.
fn chosen(words: &[String]) -> Result<Vec<(&'static str, &'static [f64], f64)>> {
    for word in words {
        if !PROBLEMS.iter().any(|(name, ..)| name.to_lowercase().contains(word)) {
            bail!(
                "no problem's name contains {word}; there are {}",
                PROBLEMS.map(|(name, ..)| name).join(", ")
            );
        }
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|w| name.to_lowercase().contains(w));
    Ok(PROBLEMS.into_iter().filter(|(name, ..)| wanted(name)).collect())
}

/// `SciPy`'s side, or why there is none. An interpreter that was named must serve.
fn python(script: &Path, folder: &Path, asked: &Kinetics) -> Result<Result<Server, String>> {
    let named = asked.python.as_deref();
    let interpreter = named.unwrap_or(Path::new("python3"));
    let check = Command::new(interpreter).args(["-c", "import scipy, numpy"]).output();
    if !check.is_ok_and(|out| out.status.success()) {
        let told = format!("{} has no SciPy", interpreter.display());
        if named.is_some() {
            bail!("{told}");
        }
        return Ok(Err(format!("{told}; name another with --python")));
    }
    let mut command = Command::new(interpreter);
    command.arg(script).arg(folder).arg(CAP.to_string());
    Ok(Ok(Server::start(command, "python")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let a = Answer::parse("1e-3\t2e-3\t10\t20\t3\t1e0 -5e-1").unwrap().unwrap();
        assert_eq!((a.cpu, a.wall, a.counts, a.numbers), (1e-3, 2e-3, [10, 20, 3], vec![1.0, -0.5]));
        assert_eq!(Answer::parse("failed\tover 60 s").unwrap(), Err("over 60 s".into()));
        for line in ["", "1\t2\t3", "1\t2\t3\t4\t5\tx", "1\t2\t-3\t4\t5\t6"] {
            assert!(Answer::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn errors_are_in_units_of_the_largest() {
        assert_eq!(error(&[1.0, 4.5], &[1.5, -5.0]).unwrap(), 1.9);
        assert_eq!(error(&[f64::NAN], &[1.0]).unwrap(), f64::INFINITY);
        assert!(error(&[1.0], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn problems_are_chosen_by_parts_of_names() {
        assert_eq!(chosen(&[]).unwrap().len(), PROBLEMS.len());
        let some = chosen(&["chen".into(), "bach".into()]).unwrap();
        assert_eq!(
            some.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
            ["Bachmann_MSB2011", "Chen_MSB2009"]
        );
        assert!(chosen(&["lorenz".into()]).unwrap_err().to_string().contains("Bachmann"));
    }
}
