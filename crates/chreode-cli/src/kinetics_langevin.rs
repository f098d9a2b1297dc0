//! `chreode kinetics ... --langevin`: a kinetic model with chemical noise.

use std::path::Path;
use std::time::Instant;

use chreode_kinetics::{LangevinOptions, LangevinRun};
use clap::Args;
use serde_json::json;

use crate::failure::bad_input;
use crate::{Context, kinetics, values};

/// A part of the steps that are cut above which the noise is not to be trusted.
const MOST_CUT: f64 = 0.01;

/// Options of chemical noise.
#[derive(Debug, Args)]
#[command(next_help_heading = "Noise")]
pub(crate) struct LangevinArgs {
    /// Chemical Langevin noise, with so many molecules in one unit of substance: writes mean, standard deviation and quantiles over paths
    #[arg(long, value_name = "MOLECULES", value_parser = values::positive)]
    langevin: Option<f64>,
    /// Number of paths [default: 1000]
    #[arg(long, value_name = "N", requires = "langevin", value_parser = clap::value_parser!(u32).range(1..))]
    paths: Option<u32>,
    /// Write every path instead
    #[arg(long, requires = "langevin")]
    each_path: bool,
    /// Longest step, in units of time [default: as the state allows; a thousandth of the run where formulas have time]
    #[arg(long, value_name = "TIME", requires = "langevin", value_parser = values::positive)]
    longest_step: Option<f64>,
    /// Problem: the condition to run under; BEFORE,ID starts from rest under another [default: that of the first measurement]
    #[arg(long, value_name = "ID", requires = "langevin")]
    pub(crate) condition: Option<String>,
}

impl LangevinArgs {
    /// What is asked for, if anything is.
    pub(crate) fn options(&self, seed: u64) -> Option<LangevinOptions> {
        let molecules = self.langevin?;
        let paths = self.paths.unwrap_or(1000) as usize;
        Some(LangevinOptions { molecules, paths, seed, longest_step: self.longest_step })
    }

    /// Runs, writes the table and says what it is.
    pub(crate) fn run(
        &self,
        context: &Context,
        out: &Path,
        run: &mut dyn FnMut() -> anyhow::Result<LangevinRun>,
    ) -> anyhow::Result<()> {
        if !out.extension().is_some_and(|x| x.eq_ignore_ascii_case("csv")) {
            return Err(bad_input("noise is written as .csv", "let the name of --out end in .csv"));
        }
        let started = Instant::now();
        let run = run()?;
        let seconds = started.elapsed().as_secs_f64();
        kinetics::write(
            out,
            |out| if self.each_path { run.write_paths(out) } else { run.write_summary(out) },
        )?;
        let cut = run.cut as f64 / run.steps.max(1) as f64;
        if cut > MOST_CUT {
            context.console.warn(&format!(
                "in {:.1} % of the steps a reaction would have taken more than there is: with so few molecules the Langevin equation is no \
                 good approximation",
                100.0 * cut
            ));
        }
        let (paths, times, steps) = (run.paths, run.times.len(), run.steps);
        let what = if self.each_path { "all of them" } else { "mean, standard deviation and quantiles" };
        let text = format!(
            "{paths} paths of {} steps on average, simulated in {seconds:.1} s; {what} at {times} times written to {}",
            steps / paths as u64,
            out.display()
        );
        let value = json!({ "paths": paths, "steps": steps, "cut": run.cut, "seconds": seconds, "times": times, "out": out });
        context.console.result(&text, "simulated", value);
        Ok(())
    }
}
