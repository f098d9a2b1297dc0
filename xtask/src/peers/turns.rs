//! Our program and a Python one, which take turns: ensembles, gradients of a neural equation, Sinkhorn divergences, training steps.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::args::Turns;
use super::build::Program;
use super::rows::time;

/// What both programs do.
pub(super) struct Task {
    /// Its name in our program, and of the script.
    pub(super) name: &'static str,
    /// What the interpreter must have.
    pub(super) modules: &'static str,
    /// Names of the cases, and what they are.
    pub(super) cases: &'static [(&'static str, &'static str)],
}

pub(super) const ENSEMBLES: Task = Task {
    name: "ensembles",
    modules: "jax, diffrax",
    cases: &[
        ("lorenz", "10,000 Lorenz systems to t = 1, rtol 1e-6, atol 1e-8"),
        ("lotka-volterra", "10,000 Lotka-Volterra systems to t = 20, rtol 1e-6, atol 1e-8"),
    ],
};

pub(super) const GRADIENT: Task = Task {
    name: "gradient",
    modules: "jax, diffrax",
    cases: &[
        ("rk4", "a net 50-512-512-50, 1,024 cells, f32, 20 steps of RK4, squared error at 4 times"),
        ("tsit5", "the same, rtol 1e-5 and atol 1e-7 for each cell (ours) or all together (theirs)"),
        ("tsit5-together", "the same, rtol 1e-5 and atol 1e-7 for all cells together"),
    ],
};

pub(super) const ACCURACY: Task = Task {
    name: "gradient",
    modules: "jax, diffrax",
    cases: &[
        ("f32-1e-3", "64 cells, f32, rtol 1e-3 and atol 1e-5 for all together"),
        ("f32-1e-4", "f32, rtol 1e-4"),
        ("f32-1e-5", "f32, rtol 1e-5"),
        ("f32-1e-6", "f32, rtol 1e-6"),
        ("f64-1e-3", "64 cells, f64, rtol 1e-3 and atol 1e-5 for all together"),
        ("f64-1e-4", "f64, rtol 1e-4"),
        ("f64-1e-5", "f64, rtol 1e-5"),
        ("f64-1e-6", "f64, rtol 1e-6"),
        ("f64-1e-7", "f64, rtol 1e-7"),
        ("f64-1e-8", "f64, rtol 1e-8"),
    ],
};

pub(super) const SINKHORN: Task = Task {
    name: "sinkhorn",
    modules: "jax, torch",
    cases: &[
        ("2048", "gradient of the debiased divergence, 2,048 points each, d = 50, blur 0.05, f32"),
        ("8192", "the same, 8,192 points each"),
    ],
};

pub(super) const TRAIN: Task = Task {
    name: "train",
    modules: "jax, torch",
    cases: &[(
        "step",
        "nets 50-512-512-50 twice, 2,048 cells, 40 Euler-Maruyama steps, Sinkhorn at 2 times, f32",
    )],
};

/// A program that answers a line of input with lines of output.
pub(super) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    pub(super) fn start(mut command: Command, what: &str) -> Result<Self> {
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
    pub(super) fn ask(&mut self, line: &str) -> Result<String> {
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
    /// What resident memory rose by, MiB.
    peak: f64,
    /// What the error is measured by.
    numbers: Vec<f64>,
}

impl Answer {
    /// Reads `case,solver,cpu_s,wall_s,steps,peak_mib,numbers`.
    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.splitn(7, ',').collect();
        let [_, solver, cpu, wall, steps, peak, numbers] = fields[..] else {
            bail!("an answer of another form: {line:?}")
        };
        let number = |x: &str| x.parse::<f64>().with_context(|| format!("{x:?} is no number"));
        Ok(Self {
            solver: solver.to_owned(),
            cpu: number(cpu)?,
            wall: number(wall)?,
            steps: number(steps)?,
            peak: number(peak)?,
            numbers: numbers.split(' ').map(number).collect::<Result<_>>()?,
        })
    }

    /// `|y - exact| / |exact|`, in the Euclidean norm.
    fn error(&self, exact: &[f64]) -> Result<f64> {
        let (got, expected) = (self.numbers.len(), exact.len());
        ensure!(got == expected, "{}: {got} numbers, not {expected}", self.solver);
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        let difference = norm(&mut self.numbers.iter().zip(exact).map(|(y, e)| y - e));
        Ok(difference / norm(&mut exact.iter().copied()))
    }
}

/// What a solver's name begins with, up to a dash: what is compared with ours of the same kind.
fn kind(solver: &str) -> &str {
    solver.split('-').next().unwrap_or(solver)
}

/// A solver of one of the programs, and its answers.
struct Turn {
    ours: bool,
    solver: String,
    answers: Vec<Answer>,
    /// The most memory of any round, the one that warms up too: later ones may use again what it left.
    peak: f64,
}

impl Turn {
    fn median(&self, of: fn(&Answer) -> f64) -> f64 {
        let mut values: Vec<f64> = self.answers.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

pub(super) fn run(
    task: &Task,
    program: &Program,
    script: &Path,
    asked: &Turns,
    mut csv: Option<File>,
) -> Result<bool> {
    let mut command = program.command();
    command.arg(task.name).env("RAYON_NUM_THREADS", asked.threads.to_string());
    let mut ours = Server::start(command, "the program of the peers")?;
    let mut theirs = match python(task, script, asked)? {
        Ok(server) => Some(server),
        Err(why) => {
            println!("left out: Python's: {why}");
            None
        }
    };
    if let Some(csv) = &mut csv {
        writeln!(csv, "case,solver,ours,cpu_s,wall_s,steps,peak_mib,error")?;
    }
    let mut solvers = Vec::new();
    for (server, ours) in [(Some(&mut ours), true), (theirs.as_mut(), false)] {
        if let Some(server) = server {
            solvers.extend(server.ask("solvers")?.split(' ').map(|s| (ours, s.to_owned())));
        }
    }
    for (case, what) in task.cases {
        println!("\n=== {what} ===");
        let mut turns: Vec<Turn> = solvers
            .iter()
            .map(|(ours, solver)| Turn {
                ours: *ours,
                solver: solver.clone(),
                answers: Vec::new(),
                peak: 0.0,
            })
            .collect();
        for round in 0..=asked.rounds {
            for turn in &mut turns {
                let server = match &mut theirs {
                    Some(theirs) if !turn.ours => theirs,
                    _ => &mut ours,
                };
                let answer = Answer::parse(&server.ask(&format!("{case} {}", turn.solver))?)?;
                turn.peak = turn.peak.max(answer.peak);
                // The first one warms up, and compiles.
                if round > 0 {
                    turn.answers.push(answer);
                }
            }
        }
        print(case, &turns, &mut ours, csv.as_mut())?;
    }
    Ok(true)
}

/// The row of ours that another is compared with: the first of the same kind, or the first.
fn own<'a>(turns: &'a [Turn], turn: &Turn) -> &'a Turn {
    turns.iter().find(|t| t.ours && kind(&t.solver) == kind(&turn.solver)).unwrap_or(&turns[0])
}

fn print(case: &str, turns: &[Turn], ours: &mut Server, mut csv: Option<&mut File>) -> Result<()> {
    println!(
        "solver                                CPU time  wall time  steps   memory    error   times ours"
    );
    let mut exact: Vec<(&str, Vec<f64>)> = Vec::new();
    for turn in turns {
        let own = own(turns, turn);
        let known = exact.iter().position(|(of, _)| *of == own.solver);
        let at = known.unwrap_or(exact.len());
        if known.is_none() {
            let answer = ours.ask(&format!("{case}! {}", own.solver))?;
            exact.push((&own.solver, Answer::parse(&answer)?.numbers));
        }
        let (cpu, wall) = (turn.median(|a| a.cpu), turn.median(|a| a.wall));
        let peak = turn.peak;
        let a = &turn.answers[0];
        let error = a.error(&exact[at].1)?;
        println!(
            "{:36} {:>9}  {:>9} {:6.1} {peak:4.0} MiB  {error:.1e} {:12.2}",
            a.solver,
            time(cpu * 1e9),
            time(wall * 1e9),
            a.steps,
            cpu / own.median(|a| a.cpu)
        );
        if let Some(csv) = &mut csv {
            writeln!(csv, "{case},{},{},{cpu:e},{wall:e},{},{peak},{error:e}", a.solver, turn.ours, a.steps)?;
        }
    }
    Ok(())
}

/// The Python side, or why there is none. An interpreter that was named must serve.
fn python(task: &Task, script: &Path, asked: &Turns) -> Result<Result<Server, String>> {
    let named = asked.python.as_deref();
    let interpreter = named.unwrap_or(Path::new("python3"));
    let check = Command::new(interpreter).args(["-c", &format!("import {}", task.modules)]).output();
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
    command.arg(script).env("RAYON_NUM_THREADS", asked.threads.to_string());
    Ok(Ok(Server::start(command, "python")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let a = Answer::parse("lorenz,chreode lanes Tsit5,0.01,0.02,11.5,7.5,3e0 -4e0").unwrap();
        assert_eq!((a.solver.as_str(), a.cpu, a.wall, a.steps), ("chreode lanes Tsit5", 0.01, 0.02, 11.5));
        assert_eq!((a.peak, &a.numbers[..]), (7.5, &[3.0, -4.0][..]));
        assert!((a.error(&[3.0, -5.0]).unwrap() - 1.0 / 34.0_f64.sqrt()).abs() < 1e-15);
        assert!(a.error(&[1.0]).is_err());
        for line in ["", "lorenz,x,1,1,1,1", "lorenz,x,1,1,1,1,a b", "lorenz,x,one,1,1,1,1"] {
            assert!(Answer::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn kinds_go_to_the_dash() {
        assert_eq!((kind("gradient-torch-adjoint"), kind("tsit5")), ("gradient", "tsit5"));
    }
}
