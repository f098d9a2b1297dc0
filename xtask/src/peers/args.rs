//! What is asked of `bench-peers`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::rows::Listed;

pub(super) const USAGE: &str = "\
usage: cargo xtask bench-peers ode [--problems A,B] [--solvers A,B] [--rtols 1e-4,1e-6] [--budget SECONDS]
                                   [--cap SECONDS] [-o FILE]
       cargo xtask bench-peers kinetics [--data FOLDER] [--problems A,B] [--rtols 1e-4,1e-6] [--python PATH]
                                   [--rounds N] [-o FILE]
       cargo xtask bench-peers ensembles|gradient|accuracy [--python PATH] [--rounds N] [-o FILE]
       cargo xtask bench-peers sinkhorn|train [--python PATH] [--rounds N] [--threads N] [-o FILE]

  ode         error, time, evaluations and steps of our solvers and the peers', and ratios at equal error
  kinetics    simulation and gradient of published problems: ours, CVODES' and, of simulations, SciPy's
  ensembles   10,000 trajectories at once: our lanes and diffrax
  gradient    through a neural equation: our discrete adjoint, diffrax's and torchdiffeq's
  accuracy    the same for 64 cells, tolerance by tolerance, in single and double precision
  sinkhorn    the divergence's gradient: ours, geomloss's and ott's
  train       a whole training step: ours, torch's with geomloss, JAX's with ott

  --problems  parts of names; default: all
  --solvers   parts of names; default: all
  --rtols     relative tolerances; default: for each problem's kind
  --budget    CPU time for each solver and tolerance (0.1)
  --data      the folder with petab/ (the environment's CHREODE_DATA)
  --cap       CPU time that a single run may take (5, on problems of more than 100 coordinates 60)
  -o          writes the rows as CSV
  --python    an interpreter with benches/peers/requirements.txt; without it they are left out
  --rounds    turns of each (7)
  --threads   of each program (1)

The first time, the peers are fetched from crates.io and built in the target folder, for some minutes.";

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Task {
    Help,
    Ode(Ode),
    Kinetics(Kinetics),
    Ensembles(Turns),
    Gradient(Turns),
    Accuracy(Turns),
    Sinkhorn(Turns),
    Train(Turns),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ode {
    problems: Vec<String>,
    pub(super) solvers: Vec<String>,
    rtols: Option<Vec<f64>>,
    pub(super) budget: f64,
    cap: Option<f64>,
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kinetics {
    pub(super) data: Option<PathBuf>,
    pub(super) problems: Vec<String>,
    /// From the loosest to the tightest.
    pub(super) rtols: Option<Vec<f64>>,
    pub(super) python: Option<PathBuf>,
    pub(super) rounds: u32,
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turns {
    pub(super) python: Option<PathBuf>,
    pub(super) rounds: u32,
    pub(super) threads: u32,
    pub(super) output: Option<PathBuf>,
}

/// Tolerances of small problems, stiff and not, of large ones and of huge ones.
const NON_STIFF: [f64; 9] = [1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12];
const STIFF: [f64; 11] = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13];
const LARGE: [f64; 5] = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7];
const HUGE: [f64; 2] = [1e-4, 1e-6];

pub(super) fn parse(args: &[&str]) -> Result<Task> {
    let mut ode =
        Ode { problems: Vec::new(), solvers: Vec::new(), rtols: None, budget: 0.1, cap: None, output: None };
    let mut data = None;
    let mut turns = Turns { python: None, rounds: 7, threads: 1, output: None };
    let (task, rest) = match args {
        [] | ["help" | "--help" | "-h"] => return Ok(Task::Help),
        [
            task @ ("ode" | "kinetics" | "ensembles" | "gradient" | "accuracy" | "sinkhorn" | "train"),
            rest @ ..,
        ] => (*task, rest),
        [other, ..] => bail!("bench-peers has no {other}\n\n{USAGE}"),
    };
    let mut rest = rest.iter();
    while let Some(&name) = rest.next() {
        if name == "--help" || name == "-h" {
            return Ok(Task::Help);
        }
        let mut value = || rest.next().copied().with_context(|| format!("{name} needs a value\n\n{USAGE}"));
        match (task, name) {
            ("kinetics", "--data") => data = Some(value()?.into()),
            ("ode" | "kinetics", "--problems") => ode.problems = words(value()?)?,
            ("ode", "--solvers") => ode.solvers = words(value()?)?,
            ("ode" | "kinetics", "--rtols") => {
                let mut rtols =
                    words(value()?)?.iter().map(|x| positive(name, x)).collect::<Result<Vec<_>>>()?;
                ensure!(rtols.iter().all(|&x| x < 1.0), "--rtols must be below 1");
                // The loosest first: a solver that is too slow for one is not asked for the next.
                rtols.sort_by(|a, b| b.total_cmp(a));
                rtols.dedup();
                ode.rtols = Some(rtols);
            }
            ("ode", "--budget") => ode.budget = positive(name, value()?)?,
            ("ode", "--cap") => ode.cap = Some(positive(name, value()?)?),
            ("kinetics" | "ensembles" | "gradient" | "accuracy" | "sinkhorn" | "train", "--python") => {
                turns.python = Some(value()?.into());
            }
            ("kinetics" | "ensembles" | "gradient" | "accuracy" | "sinkhorn" | "train", "--rounds") => {
                turns.rounds = whole(name, value()?)?;
            }
            ("sinkhorn" | "train", "--threads") => turns.threads = whole(name, value()?)?,
            (_, "-o" | "--output") => {
                let path = Some(PathBuf::from(value()?));
                (ode.output, turns.output) = (path.clone(), path);
            }
            _ => bail!("bench-peers {task} has no {name}\n\n{USAGE}"),
        }
    }
    Ok(match task {
        "ode" => Task::Ode(ode),
        "kinetics" => {
            let Ode { problems, rtols, output, .. } = ode;
            Task::Kinetics(Kinetics {
                data,
                problems,
                rtols,
                python: turns.python,
                rounds: turns.rounds,
                output,
            })
        }
        "ensembles" => Task::Ensembles(turns),
        "gradient" => Task::Gradient(turns),
        "accuracy" => Task::Accuracy(turns),
        "sinkhorn" => Task::Sinkhorn(turns),
        _ => Task::Train(turns),
    })
}

fn words(list: &str) -> Result<Vec<String>> {
    let words: Vec<String> = list.split(',').map(|w| w.trim().to_lowercase()).collect();
    ensure!(words.iter().all(|w| !w.is_empty()), "an empty name in {list:?}");
    Ok(words)
}

fn whole(name: &str, text: &str) -> Result<u32> {
    let value = text.parse().ok().filter(|&n| n > 0);
    value.with_context(|| format!("{name} must be a whole number of at least 1, got {text}"))
}

fn positive(name: &str, text: &str) -> Result<f64> {
    let value = text.parse::<f64>().ok().filter(|x| *x > 0.0 && x.is_finite());
    value.with_context(|| format!("{name} must be a positive number, got {text}"))
}

impl Ode {
    /// The problems that are asked for; every word must have chosen something.
    pub(super) fn choose<'a>(&self, all: &'a [Listed]) -> Result<Vec<&'a Listed>> {
        for word in &self.problems {
            if !all.iter().any(|p| p.name.contains(word)) {
                let names: Vec<_> = all.iter().map(|p| p.name.as_str()).collect();
                bail!("no problem's name contains {word}; there are {}", names.join(", "));
            }
        }
        let wanted =
            |p: &&Listed| self.problems.is_empty() || self.problems.iter().any(|w| p.name.contains(w));
        let chosen: Vec<&Listed> = all.iter().filter(wanted).collect();
        for word in &self.solvers {
            let mut names: Vec<_> = chosen.iter().flat_map(|p| &p.solvers).map(String::as_str).collect();
            if !names.iter().any(|s| s.to_lowercase().contains(word)) {
                names.sort_unstable();
                names.dedup();
                bail!("no solver's name contains {word}; for these problems there are {}", names.join(", "));
            }
        }
        Ok(chosen)
    }

    /// Seconds that a run of a problem may take.
    pub(super) fn cap_of(&self, problem: &Listed) -> f64 {
        self.cap.unwrap_or(if problem.dim > 100 { 60.0 } else { 5.0 })
    }

    /// The tolerances for a problem.
    pub(super) fn rtols_of(&self, problem: &Listed) -> &[f64] {
        match &self.rtols {
            Some(rtols) => rtols,
            None if problem.dim > 5000 => &HUGE,
            None if problem.dim > 100 => &LARGE,
            None if problem.stiff => &STIFF,
            None => &NON_STIFF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ode(args: &[&str]) -> Ode {
        match parse(args).unwrap() {
            Task::Ode(ode) => ode,
            other => panic!("{other:?}"),
        }
    }

    fn listed() -> Vec<Listed> {
        ["lorenz,3,false,chreode Tsit5;ivp dop853", "hires,8,true,chreode Bdf", "line,1000,true,chreode Bdf"]
            .map(|line| Listed::parse(line).unwrap())
            .into()
    }

    #[test]
    fn options_are_read() {
        let asked = ode(&[
            "ode",
            "--problems",
            "HIRES, lor",
            "--rtols",
            "1e-6,1e-4,1e-6",
            "--budget",
            "2",
            "-o",
            "x.csv",
        ]);
        assert_eq!(asked.problems, ["hires", "lor"]);
        assert_eq!(asked.rtols, Some(vec![1e-4, 1e-6]));
        assert_eq!((asked.budget, asked.cap, asked.output), (2.0, None, Some("x.csv".into())));
        let Task::Ensembles(e) = parse(&["ensembles", "--python", "p", "--rounds", "3"]).unwrap() else {
            panic!()
        };
        assert_eq!((e.python, e.rounds, e.output), (Some("p".into()), 3, None));
        let Task::Train(t) = parse(&["train", "--threads", "2"]).unwrap() else { panic!() };
        assert_eq!((t.threads, t.rounds), (2, 7));
        let Task::Kinetics(k) =
            parse(&["kinetics", "--problems", "Chen", "--rtols", "1e-6,1e-4", "--data", "d"]).unwrap()
        else {
            panic!()
        };
        assert_eq!(
            (k.data, k.problems, k.rtols),
            (Some("d".into()), vec!["chen".into()], Some(vec![1e-4, 1e-6]))
        );
        assert_eq!(parse(&[]).unwrap(), Task::Help);
    }

    #[test]
    fn bad_options_are_refused() {
        for (args, says) in [
            (&["sde"][..], "no sde"),
            (&["ode", "--threads", "2"], "no --threads"),
            (&["ode", "--python", "p"], "no --python"),
            (&["ode", "--rtols"], "needs a value"),
            (&["ode", "--rtols", "1e-6,x"], "positive number, got x"),
            (&["ode", "--rtols", "2"], "below 1"),
            (&["ode", "--budget", "-1"], "positive number, got -1"),
            (&["ode", "--budget", "nan"], "positive number"),
            (&["ode", "--problems", "a,,b"], "empty name"),
            (&["gradient", "--threads", "2"], "no --threads"),
            (&["kinetics", "--cap", "1"], "no --cap"),
            (&["train", "--threads", "0"], "at least 1, got 0"),
            (&["ensembles", "--rounds", "0"], "at least 1, got 0"),
        ] {
            let e = parse(args).unwrap_err().to_string();
            assert!(e.contains(says), "{args:?}: {e}");
        }
    }

    #[test]
    fn problems_and_tolerances_are_chosen() {
        let all = listed();
        let asked = ode(&["ode", "--problems", "hi,li", "--solvers", "BDF"]);
        let chosen = asked.choose(&all).unwrap();
        assert_eq!(chosen.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["hires", "line"]);
        assert_eq!((asked.rtols_of(chosen[0]), asked.rtols_of(chosen[1])), (&STIFF[..], &LARGE[..]));
        assert_eq!((asked.cap_of(chosen[0]), asked.cap_of(chosen[1])), (5.0, 60.0));
        assert_eq!(ode(&["ode", "--cap", "3"]).cap_of(chosen[1]), 3.0);
        assert_eq!(ode(&["ode"]).choose(&all).unwrap().len(), 3);
        assert_eq!(ode(&["ode", "--rtols", "0.1"]).rtols_of(&all[0]), [0.1]);
        let unknown = ode(&["ode", "--problems", "hires,heat"]).choose(&all).unwrap_err().to_string();
        assert!(unknown.contains("contains heat; there are lorenz, hires, line"), "{unknown}");
        let unknown = ode(&["ode", "--solvers", "lsoda"]).choose(&all).unwrap_err().to_string();
        assert!(
            unknown.contains("lsoda; for these problems there are chreode Bdf, chreode Tsit5, ivp dop853"),
            "{unknown}"
        );
    }
}
