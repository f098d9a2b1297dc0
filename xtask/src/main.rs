//! The workspace's own tasks, run by `cargo xtask <task>`.
//!
//! `ci` runs every check and test; `tidy` checks what no other tool does: crate edges, file lengths, SAFETY
//! notes, citations; `kernels` compiles the CUDA kernels; `gpu` runs them on a GPU and records it; `bench-peers` measures other projects' solvers beside ours. Nothing here is part of the published
//! crates.

mod ci;
mod gpu;
mod kernels;
mod peers;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  ci [STEP..]   run every check and test, or only the named steps; ci --long: every one, those that take hours too
  tidy          check crate edges, file lengths, SAFETY notes, citations, words, re-exports
  kernels build|check|report
                compile the CUDA kernels, say whether what is committed is stale, count registers and instructions
  gpu           on a GPU: tests, sanitizers, times beside PyTorch's, recorded in docs/GPU.md; gpu --help
  bench-peers   measure our solvers and those of other projects in one run; without arguments: how
  help          show this message";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["ci", steps @ ..] => ci::run(steps),
        ["tidy"] => tidy::run(),
        ["kernels", "build"] => kernels::build(),
        ["kernels", "check"] => kernels::check().map(|found| found.fresh),
        ["kernels", "report"] => kernels::report(),
        ["gpu", args @ ..] => gpu::run(args),
        ["bench-peers", args @ ..] => peers::run(args),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}\n\nsteps of ci: {}", ci::step_names());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}\n\nsteps of ci: {}", ci::step_names());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
