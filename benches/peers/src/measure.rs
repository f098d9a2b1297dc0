//! Runs of all solvers on one problem, taking turns.

use std::time::{Duration, Instant};

use crate::clock::cpu_time;
use crate::corpus::Answer;
use crate::problem::{Problem, begin, counts};
use crate::solvers::{Outcome, Solver};

/// How much to measure.
#[derive(Debug, Clone)]
pub struct Limits {
    /// CPU time for each solver and tolerance.
    pub budget: Duration,
    /// A run that takes more CPU time is stopped.
    pub cap: Duration,
}

/// Head of the rows.
pub const HEAD: &str = "problem,solver,ours,rtol,error,cpu_ns,wall_ns,runs,steps,evaluations,jacobians,note";

/// Most samples of one solver and tolerance.
const MOST_SAMPLES: usize = 101;
/// A sample lasts at least so long: the clocks are coarse.
const SAMPLE: Duration = Duration::from_micros(200);

/// One solver at one tolerance.
struct Cell<'a> {
    solver: &'a Solver,
    error: f64,
    steps: u64,
    counts: (u64, u64),
    /// Runs in one sample.
    repeats: u32,
    samples: Vec<[f64; 2]>,
    spent: Duration,
}

/// CPU and wall time of a call, in nanoseconds.
fn timed<R>(call: impl FnOnce() -> R) -> ([f64; 2], R) {
    let (wall, start) = (Instant::now(), cpu_time());
    let done = call();
    let cpu = cpu_time() - start;
    ([cpu.as_nanos() as f64, wall.elapsed().as_nanos() as f64], done)
}

/// Measures `solvers` at each tolerance and prints a row for each, in rounds in which every solver has its turn, so that
/// what else the machine does meets all alike.
pub fn measure(
    name: &str,
    problem: &Problem,
    answer: &Answer,
    solvers: &[Solver],
    rtols: &[f64],
    limits: &Limits,
) {
    let mut out = vec![false; solvers.len()];
    for &rtol in rtols {
        let atol = rtol * problem.data().floor;
        let mut cells = Vec::new();
        for (solver, out) in solvers.iter().zip(&mut out).filter(|(_, out)| !**out) {
            begin(limits.cap);
            let (first, outcome) = timed(|| solver.run(problem, rtol, atol));
            match outcome {
                Outcome::Solved(solution) => {
                    let took = Duration::from_nanos(first[0] as u64);
                    // What is slow needs no warm-up.
                    let slow = took > Duration::from_millis(20);
                    let cell = Cell {
                        solver,
                        error: answer.error(&solution.y),
                        steps: solution.steps,
                        counts: counts(),
                        repeats: (SAMPLE.as_nanos() as f64 / first[0]).ceil() as u32,
                        samples: if slow { vec![first] } else { Vec::new() },
                        spent: if slow { took } else { Duration::ZERO },
                    };
                    // At once, in case that the next one brings down the process.
                    if cell.done(limits) {
                        cell.print(name, rtol);
                    } else {
                        cells.push(cell);
                    }
                }
                Outcome::Failed(e) => {
                    let note: String = e.replace(['\n', ','], ";").chars().take(100).collect();
                    let ours = solver.ours;
                    println!("{name},{},{ours},{rtol:e},,,,0,,,,{note}", solver.name);
                }
                Outcome::TooLong => {
                    *out = true;
                    let (ours, cap) = (solver.ours, limits.cap.as_secs_f64());
                    println!(
                        "{name},{},{ours},{rtol:e},,,,0,,,,over {cap} s; not tried with less",
                        solver.name
                    );
                }
            }
        }
        rounds(problem, rtol, atol, &mut cells, limits);
        for cell in cells {
            cell.print(name, rtol);
        }
    }
}

fn rounds(problem: &Problem, rtol: f64, atol: f64, cells: &mut [Cell<'_>], limits: &Limits) {
    loop {
        let mut all_done = true;
        for cell in cells.iter_mut().filter(|c| !c.done(limits)) {
            all_done = false;
            begin(limits.cap * cell.repeats.max(2));
            let (took, ()) = timed(|| {
                for _ in 0..cell.repeats {
                    // A run that ended well ends well again.
                    std::hint::black_box(cell.solver.run(problem, rtol, atol));
                }
            });
            cell.samples.push(took.map(|t| t / f64::from(cell.repeats)));
            cell.spent += Duration::from_nanos(took[0] as u64);
        }
        if all_done {
            return;
        }
    }
}

impl Cell<'_> {
    fn done(&self, limits: &Limits) -> bool {
        let n = self.samples.len();
        n >= MOST_SAMPLES
            || n >= 3 && self.spent >= limits.budget
            || n > 0 && self.spent >= 20 * limits.budget
    }

    fn print(mut self, name: &str, rtol: f64) {
        let mut median = |k: usize| {
            self.samples.sort_by(|a, b| a[k].total_cmp(&b[k]));
            self.samples[self.samples.len() / 2][k]
        };
        let [cpu, wall] = [median(0), median(1)];
        println!(
            "{name},{},{},{rtol:e},{:e},{cpu:.0},{wall:.0},{},{},{},{},",
            self.solver.name,
            self.solver.ours,
            self.error,
            self.samples.len() as u64 * u64::from(self.repeats),
            self.steps,
            self.counts.0,
            self.counts.1
        );
    }
}
