//! Programs that take turns: this one, and one in another language, are asked for one run after the other.
//!
//! Each answers a line of input with a line of output: `solvers` with their names; `CASE SOLVER` with
//! `CASE,SOLVER,cpu_s,wall_s,steps,peak_mib,NUMBERS`, where numbers are what an error is measured by, with blanks between, and the
//! peak is how far resident memory rose above that of the idle program, if the system tells. `CASE! SOLVER` asks for the numbers of
//! a run so tight that it serves as reference.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use crate::clock::cpu_time;

pub struct Answer {
    solver: String,
    cpu: f64,
    wall: f64,
    steps: f64,
    peak: f64,
    numbers: Vec<f64>,
}

/// Answers until the input ends. `run` gets the case, the solver, and whether it is to be tight.
pub fn serve_cases(
    solvers: &[&str],
    mut run: impl FnMut(&str, &str, bool) -> Result<Answer, String>,
) -> Result<(), String> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        if line == "solvers" {
            println!("{}", solvers.join(" "));
        } else {
            let (case, solver) = line.split_once(' ').ok_or(format!("no case and solver: {line:?}"))?;
            let (word, exact) = case.strip_suffix('!').map_or((case, false), |word| (word, true));
            let a = run(word, solver, exact)?;
            let numbers: Vec<String> = a.numbers.iter().map(|x| format!("{x:e}")).collect();
            let Answer { solver, cpu, wall, steps, peak, .. } = a;
            println!("{case},{solver},{cpu},{wall},{steps},{peak:.1},{}", numbers.join(" "));
        }
        std::io::stdout().flush().map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// What a run takes.
pub struct Clock {
    cpu: Duration,
    wall: Instant,
    resident: f64,
}

impl Clock {
    pub fn start() -> Self {
        // Lets the peak begin anew, where the system can.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self { resident: memory("VmRSS:"), cpu: cpu_time(), wall: Instant::now() }
    }

    pub fn stop(self, solver: String, steps: f64, numbers: Vec<f64>) -> Answer {
        let (cpu, wall) = (cpu_time() - self.cpu, self.wall.elapsed());
        let peak = memory("VmHWM:") - self.resident;
        Answer { solver, cpu: cpu.as_secs_f64(), wall: wall.as_secs_f64(), steps, peak, numbers }
    }
}

/// A line of the process's status, in MiB; not a number where there is none.
fn memory(line: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}
