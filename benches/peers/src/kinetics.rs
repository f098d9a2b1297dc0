//! Published kinetic problems in PEtab: their simulation, and the gradient of their log-likelihood, by us and by CVODES. One line of input
//! a run, so that SciPy (`kinetics.py`) can take turns. Fields are separated by tabs:
//!
//! * `prepare PROBLEM` writes `FOLDER/PROBLEM.so`, the right-hand side as our recorded model writes it in C, which CVODES and SciPy call, and
//!   `FOLDER/PROBLEM.json` with the runs; answered by coordinates, estimated parameters, the solvers that simulate, and those of gradients, or
//!   `failed` and why.
//! * `PROBLEM simulate|gradient RTOL SOLVER` is answered by `cpu_s wall_s steps evaluations jacobians NUMBERS`, or `failed` and why.
//!   Numbers are observables in units of the largest of each, or the gradient.
//! * `observe PROBLEM NUMBERS`: observables of states, of all runs at all their times.

#[cfg(feature = "sundials")]
mod cvodes;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use chreode_kinetics::elsewhere::{self, FieldCode, Task};
use chreode_kinetics::{Objective, Problem, Tolerances};

use crate::clock::cpu_time;

/// Beside a relative tolerance: the default's, `1e-13` beside `1e-9`.
const ABSOLUTE: f64 = 1e-4;
/// Forward sensitivities of more numbers than this take minutes, by anybody.
const MOST_FORWARD: usize = 20_000;

/// A problem at its nominal parameters.
struct Kinetic {
    objective: Objective,
    x: Vec<f64>,
    /// The largest value of the observable of each measurement.
    scales: Vec<f64>,
    #[cfg(feature = "sundials")]
    cvodes: cvodes::Model,
}

/// What a run gives.
struct Run {
    numbers: Vec<f64>,
    /// Steps, evaluations and Jacobians, where they are counted.
    counts: [i64; 3],
}

/// Reads requests, answers them, until the input ends.
pub fn serve(data: &str, folder: &str) -> Result<(), String> {
    let mut problems: HashMap<String, Kinetic> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match words.as_slice() {
            ["prepare", name] => Kinetic::open(Path::new(data), Path::new(folder), name).map(|k| {
                let told = k.told();
                problems.insert((*name).to_owned(), k);
                told
            }),
            ["observe", name, numbers] => match problems.get_mut(*name) {
                Some(k) => k.observe(numbers).map(|numbers| joined(&numbers)),
                None => Err(format!("{name} is not prepared")),
            },
            [name, mode, rtol, solver] => match problems.get_mut(*name) {
                Some(k) => k.answer(mode, rtol, solver),
                None => Err(format!("{name} is not prepared")),
            },
            _ => Err(format!("no such request: {line:?}")),
        };
        println!("{}", answer.unwrap_or_else(|why| format!("failed\t{}", why.replace(['\t', '\n'], " "))));
        std::io::stdout().flush().map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn joined(numbers: &[f64]) -> String {
    numbers.iter().map(|x| format!("{x:e}")).collect::<Vec<_>>().join(" ")
}

impl Kinetic {
    fn open(data: &Path, folder: &Path, name: &str) -> Result<Self, String> {
        let path = data.join("petab").join(name).join(format!("{name}.yaml"));
        let problem = Problem::open(&path, Tolerances::default()).map_err(|e| e.to_string())?;
        let observables: Vec<String> =
            problem.measurements().iter().map(|m| m.observable_id.clone()).collect();
        let mut objective = Objective::new(problem).map_err(|e| e.to_string())?;
        let x = objective.nominal();
        let simulation = objective.simulate(&x).map_err(|e| e.to_string())?;
        let mut largest: HashMap<&str, f64> = HashMap::new();
        for (id, value) in observables.iter().zip(&simulation.values) {
            let most = largest.entry(id).or_insert(f64::MIN_POSITIVE);
            *most = most.max(value.abs());
        }
        let scales = observables.iter().map(|id| largest[id.as_str()]).collect();
        // Absolute tolerances in units of what is asked for.
        objective.set_tolerances(Tolerances { rtol: 1.0, atol: 1.0 }, None);
        let tasks = elsewhere::tasks(&mut objective, &x)
            .ok_or("it has runs that are not smooth between times known before: left to ours")?;
        let code = elsewhere::field_code(&objective);
        let library = compile(&folder.join(name), &code.source)?;
        std::fs::write(folder.join(format!("{name}.json")), json(&tasks, &code))
            .map_err(|e| e.to_string())?;
        #[cfg(feature = "sundials")]
        let cvodes = cvodes::Model::open(&library, &code)?;
        #[cfg(not(feature = "sundials"))]
        let _ = library;
        Ok(Self {
            objective,
            x,
            scales,
            #[cfg(feature = "sundials")]
            cvodes,
        })
    }

    fn d(&self) -> usize {
        self.objective.problem().model().n_states()
    }

    fn told(&self) -> String {
        let (mut simulate, mut gradient) = (vec!["chreode"], vec!["chreode adjoint"]);
        let forward = self.d() * self.x.len() <= MOST_FORWARD;
        if forward {
            gradient.push("chreode sensitivities");
        }
        if cfg!(feature = "sundials") {
            simulate.extend(["CVODES dense", "CVODES KLU"]);
            if forward {
                gradient.extend([
                    "CVODES staggered dense",
                    "CVODES staggered KLU",
                    "CVODES simultaneous KLU",
                ]);
            }
            gradient.push("CVODES adjoint KLU");
        }
        format!("{}\t{}\t{}\t{}", self.d(), self.x.len(), simulate.join(";"), gradient.join(";"))
    }

    fn answer(&mut self, mode: &str, rtol: &str, solver: &str) -> Result<String, String> {
        let rtol: f64 = rtol.parse().map_err(|_| format!("{rtol} is no tolerance"))?;
        self.objective.set_tolerances(Tolerances { rtol, atol: ABSOLUTE * rtol }, None);
        let (wall, cpu) = (Instant::now(), cpu_time());
        let run = self.run(mode, rtol, solver)?;
        let (cpu, wall) = ((cpu_time() - cpu).as_secs_f64(), wall.elapsed().as_secs_f64());
        let [steps, evaluations, jacobians] = run.counts;
        Ok(format!("{cpu:e}\t{wall:e}\t{steps}\t{evaluations}\t{jacobians}\t{}", joined(&run.numbers)))
    }

    fn run(&mut self, mode: &str, rtol: f64, solver: &str) -> Result<Run, String> {
        let text = |e: chreode_kinetics::KineticsError| e.to_string();
        let numbers = match (mode, solver) {
            ("simulate", "chreode") => {
                let simulation = self.objective.simulate(&self.x).map_err(text)?;
                self.scaled(&simulation.values)
            }
            ("gradient", "chreode sensitivities") => self.objective.evaluate(&self.x).map_err(text)?.gradient,
            ("gradient", "chreode adjoint") => {
                let mut gradient = vec![0.0; self.x.len()];
                let value = self.objective.gradient_by_adjoint(&self.x, &mut gradient).map_err(text)?;
                value.ok_or("there is no adjoint")?;
                gradient
            }
            #[cfg(feature = "sundials")]
            _ => return self.cvodes(mode, rtol, solver),
            #[cfg(not(feature = "sundials"))]
            _ => return Err(format!("no solver {solver} at {rtol}")),
        };
        Ok(Run { numbers, counts: [0; 3] })
    }

    #[cfg(feature = "sundials")]
    fn cvodes(&mut self, mode: &str, rtol: f64, solver: &str) -> Result<Run, String> {
        use cvodes::Way;
        let sparse = solver.ends_with("KLU");
        let mut counts = [0; 3];
        let tasks = elsewhere::tasks(&mut self.objective, &self.x).ok_or("no such runs")?;
        let mut gradient = vec![0.0; self.x.len()];
        let mut all = Vec::new();
        for task in &tasks {
            let way = match (mode, solver) {
                ("simulate", _) => Way::Plain,
                (_, s) if s.contains("staggered") => Way::Staggered,
                (_, s) if s.contains("simultaneous") => Way::Simultaneous,
                (_, s) if s.contains("adjoint") => Way::Adjoint,
                _ => return Err(format!("no solver {solver}")),
            };
            let mut solved = self.cvodes.run(task, way, sparse, rtol, &mut counts)?;
            if mode == "simulate" {
                all.push(solved.states());
                continue;
            }
            let states = solved.states();
            let pull = elsewhere::pull(&self.objective, &self.x, task, &states);
            gradient.iter_mut().zip(&pull.gradient).for_each(|(to, x)| *to += x);
            for (&j, x) in task.directions.iter().zip(solved.gradient(&pull)?) {
                gradient[j] += x;
            }
        }
        let numbers = if mode == "simulate" {
            let simulation = elsewhere::observe(&mut self.objective, &self.x, &tasks, &all);
            self.scaled(&simulation.values)
        } else {
            gradient
        };
        Ok(Run { numbers, counts })
    }

    fn scaled(&self, values: &[f64]) -> Vec<f64> {
        values.iter().zip(&self.scales).map(|(x, scale)| x / scale).collect()
    }

    fn observe(&mut self, numbers: &str) -> Result<Vec<f64>, String> {
        let numbers = numbers.split(' ').map(|x| x.parse().map_err(|_| format!("{x} is no number")));
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
        let tasks = elsewhere::tasks(&mut self.objective, &self.x).ok_or("no such runs")?;
        let d = self.d();
        let mut rows = numbers.chunks_exact(d).map(<[f64]>::to_vec);
        let states: Vec<Vec<Vec<f64>>> =
            tasks.iter().map(|t| rows.by_ref().take(t.times.len()).collect()).collect();
        let expected: usize = tasks.iter().map(|t| t.times.len()).sum();
        if numbers.len() != expected * d {
            return Err(format!("{} numbers, not {}", numbers.len(), expected * d));
        }
        let simulation = elsewhere::observe(&mut self.objective, &self.x, &tasks, &states);
        Ok(self.scaled(&simulation.values))
    }
}

/// Statements of a part of a long function.
const PART: usize = 400;

/// The code with functions of many statements in parts, which keep all values in memory, as AMICI's code does: compilers take minutes
/// for thousands of statements in one function.
fn in_parts(source: &str) -> String {
    let mut out = String::new();
    for function in source.split_inclusive("\n}\n") {
        let (before, body) = function.split_once(") {\n").unwrap_or((function, ""));
        let statements: Vec<&str> =
            body.lines().filter(|l| l.starts_with("  ") && !l.contains("(void)")).collect();
        if statements.len() < 4 * PART {
            out.push_str(function);
            continue;
        }
        let (prologue, name) = before.split_once("void ").unwrap_or(("", before));
        let name = name.split('(').next().unwrap_or(name);
        out.push_str(prologue);
        let arguments = "double t, const double *restrict y, const double *restrict p, double *restrict dy";
        let n_parts = statements.chunks(PART).count();
        for (k, part) in statements.chunks(PART).enumerate() {
            // Writing to a string cannot fail.
            let _ =
                writeln!(out, "static void {name}_{k}({arguments}, double *restrict v, int *restrict m) {{");
            out.push_str("  (void)t; (void)y; (void)p; (void)dy; (void)v; (void)m;\n");
            part.iter().for_each(|line| out.push_str(&(in_arrays(line) + "\n")));
            out.push_str("}\n");
        }
        let _ = writeln!(out, "void {name}(double t, const double *y, const double *p, double *dy) {{");
        let n = 1 + largest_value(body);
        let _ = writeln!(out, "  static double v[{n}];\n  static int m[{n}];");
        for k in 0..n_parts {
            let _ = writeln!(out, "  {name}_{k}(t, y, p, dy, v, m);");
        }
        out.push_str("}\n");
    }
    out
}

/// `v12` as `v[12]`, `m3` as `m[3]`, without declarations.
fn in_arrays(line: &str) -> String {
    let line = line.replace("const double v", "v").replace("const int m", "m");
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(at) = rest.find(['v', 'm']) {
        let digits: String = rest[at + 1..].chars().take_while(char::is_ascii_digit).collect();
        let alone = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if alone && !digits.is_empty() {
            let _ = write!(out, "[{digits}]");
            rest = &rest[digits.len()..];
        }
    }
    out + rest
}

fn largest_value(body: &str) -> usize {
    let number = |l: &str| l.trim_start().strip_prefix("const double v")?.split(' ').next()?.parse().ok();
    let mask = |l: &str| l.trim_start().strip_prefix("const int m")?.split(' ').next()?.parse().ok();
    body.lines().filter_map(|l| number(l).or_else(|| mask(l))).max().unwrap_or(0)
}

/// A shared library of C code, in this path with another ending; one of the same code is used again.
fn compile(path: &Path, source: &str) -> Result<PathBuf, String> {
    let (c, library) = (path.with_extension("c"), path.with_extension("so"));
    let source = in_parts(source);
    if library.exists() && std::fs::read_to_string(&c).is_ok_and(|old| old == source) {
        return Ok(library);
    }
    // One that did not come to its end is not to be used again.
    let _ = std::fs::remove_file(&library);
    std::fs::write(&c, source).map_err(|e| format!("{}: {e}", c.display()))?;
    let done =
        Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).args([&library, &c]).arg("-lm").output();
    match done {
        Ok(done) if done.status.success() => Ok(library),
        Ok(done) => {
            Err(String::from_utf8_lossy(&done.stderr).lines().next().unwrap_or("cc failed").to_owned())
        }
        Err(e) => Err(format!("cc: {e}")),
    }
}

/// The runs for a program in another language.
fn json(tasks: &[Task], code: &FieldCode) -> String {
    let numbers = |x: &[f64]| x.iter().map(|x| format!("{x:e}")).collect::<Vec<_>>().join(",");
    let whole = |x: &[usize]| x.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let d = code.pattern.n_rows();
    let starts = &code.pattern.col_starts()[..=d];
    let rows = &code.pattern.row_indices()[..starts[d]];
    let mut out = format!("{{\"starts\":[{}],\"rows\":[{}],\"tasks\":[", whole(starts), whole(rows));
    for (k, task) in tasks.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{}{{\"y0\":[{}],\"p\":[{}],\"stops\":[{}],\"times\":[{}],\"atol\":{:e}}}",
            if k > 0 { "," } else { "" },
            numbers(&task.y0),
            numbers(&task.p),
            numbers(&task.stops),
            numbers(&task.times),
            ABSOLUTE * task.atol
        );
    }
    out + "]}\n"
}
