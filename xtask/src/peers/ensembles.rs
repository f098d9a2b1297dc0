//! Ensembles: our program and a Python one, which take turns.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::args::Ensembles;
use super::build::Program;
use super::rows::time;

/// Names of the ensembles, and what they are.
const CASES: [(&str, &str); 2] = [
    ("lorenz", "10,000 Lorenz systems to t = 1, rtol 1e-6, atol 1e-8"),
    ("lotka-volterra", "10,000 Lotka-Volterra systems to t = 20, rtol 1e-6, atol 1e-8"),
];

/// A program that answers a line of input with lines of output.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(mut command: Command, what: &str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{what} did not start"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = (input.context("no input")?, output.context("no output")?);
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// One line of answer.
    fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .context("the program ended early")?;
        let mut answer = String::new();
        ensure!(self.output.read_line(&mut answer)? > 0, "the program ended without an answer to {line}");
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run of one solver.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    solver: String,
    cpu: f64,
    wall: f64,
    /// Mean of a trajectory.
    steps: f64,
    /// End states of some trajectories.
    ends: Vec<f64>,
}

impl Answer {
    /// Reads `case,solver,cpu_s,wall_s,steps,ends`.
    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let [_, solver, cpu, wall, steps, ends] = fields[..] else {
            bail!("an answer of another form: {line:?}")
        };
        let number = |x: &str| x.parse::<f64>().with_context(|| format!("{x:?} is no number"));
        Ok(Self {
            solver: solver.to_owned(),
            cpu: number(cpu)?,
            wall: number(wall)?,
            steps: number(steps)?,
            ends: ends.split(' ').map(number).collect::<Result<_>>()?,
        })
    }

    /// The largest of `|y - exact| / (|exact| + 1)`.
    fn error(&self, exact: &[f64]) -> Result<f64> {
        ensure!(
            self.ends.len() == exact.len(),
            "{}: {} end states, not {}",
            self.solver,
            self.ends.len(),
            exact.len()
        );
        Ok(self.ends.iter().zip(exact).map(|(y, e)| (y - e).abs() / (e.abs() + 1.0)).fold(0.0, f64::max))
    }
}

pub(super) fn run(program: &Program, script: &Path, asked: &Ensembles, csv: Option<File>) -> Result<bool> {
    let mut command = program.command();
    command.arg("ensembles");
    let mut ours = Server::start(command, "the program of the peers")?;
    let (mut theirs, solvers) = match python(script, asked.python.as_deref())? {
        Ok((server, solvers)) => (Some(server), solvers),
        Err(why) => {
            println!("left out: diffrax: {why}");
            (None, Vec::new())
        }
    };
    let mut csv = csv;
    if let Some(csv) = &mut csv {
        writeln!(csv, "case,solver,ours,cpu_s,wall_s,steps,error")?;
    }
    for (case, what) in CASES {
        println!("\n=== {what} ===");
        let exact = Answer::parse(&ours.ask(&format!("{case}!"))?)?.ends;
        let mut all: Vec<(bool, Vec<Answer>)> = vec![(true, Vec::new())];
        all.extend(solvers.iter().map(|_| (false, Vec::new())));
        for round in 0..=asked.rounds {
            for (k, (mine, answers)) in all.iter_mut().enumerate() {
                let line = match (&mut theirs, *mine) {
                    (_, true) => ours.ask(case)?,
                    (Some(theirs), false) => theirs.ask(&format!("{case} {}", solvers[k - 1]))?,
                    (None, false) => continue,
                };
                // The first one warms up, and compiles.
                if round > 0 {
                    answers.push(Answer::parse(&line)?);
                }
            }
        }
        let median = |answers: &[Answer], of: fn(&Answer) -> f64| {
            let mut values: Vec<f64> = answers.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let own = median(&all[0].1, |a| a.cpu);
        println!("solver                  CPU time  wall time  steps    error   times ours");
        for (mine, answers) in &all {
            let a = &answers[0];
            let (cpu, wall) = (median(answers, |a| a.cpu), median(answers, |a| a.wall));
            let error = a.error(&exact)?;
            println!(
                "{:22} {:>9}  {:>9} {:6.1} {error:8.1e} {:12.2}",
                a.solver,
                time(cpu * 1e9),
                time(wall * 1e9),
                a.steps,
                cpu / own
            );
            if let Some(csv) = &mut csv {
                writeln!(csv, "{case},{},{mine},{cpu:e},{wall:e},{},{error:e}", a.solver, a.steps)?;
            }
        }
    }
    Ok(true)
}

/// The Python side and its solvers, or why there is none. An interpreter that was named must serve.
fn python(script: &Path, named: Option<&Path>) -> Result<Result<(Server, Vec<String>), String>> {
    let interpreter = named.unwrap_or(Path::new("python3"));
    let check = Command::new(interpreter).args(["-c", "import jax, diffrax"]).output();
    let why = match check {
        Ok(out) if out.status.success() => None,
        Ok(out) => {
            Some(String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or("it failed").to_owned())
        }
        Err(e) => Some(e.to_string()),
    };
    if let Some(why) = why {
        let told = format!("{} does not serve: {why}", interpreter.display());
        if named.is_some() {
            bail!("{told}; it needs benches/peers/requirements.txt");
        }
        return Ok(Err(format!("{told}; name another with --python")));
    }
    let mut command = Command::new(interpreter);
    command.arg(script);
    let mut server = Server::start(command, "python")?;
    let solvers = server.ask("solvers")?.split(' ').map(str::to_owned).collect();
    Ok(Ok((server, solvers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let a = Answer::parse("lorenz,chreode lanes Tsit5,0.01,0.02,11.5,1e0 -2.5e0").unwrap();
        assert_eq!((a.solver.as_str(), a.cpu, a.wall, a.steps), ("chreode lanes Tsit5", 0.01, 0.02, 11.5));
        assert_eq!(a.ends, [1.0, -2.5]);
        assert!((a.error(&[1.0, -2.0]).unwrap() - 0.5 / 3.0).abs() < 1e-15);
        assert!(a.error(&[1.0]).is_err());
        for line in ["", "lorenz,x,1,1,1", "lorenz,x,1,1,1,a b", "lorenz,x,one,1,1,1"] {
            assert!(Answer::parse(line).is_err(), "{line}");
        }
    }
}
