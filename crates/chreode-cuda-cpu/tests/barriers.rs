//! Each barrier in turn is left out, and the parity tests must notice. Long: it runs when ignored tests are asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod beside;

use std::process::Command;

use chreode_cuda_cpu::{StandIn, StandInError, Variant, WITHOUT_BARRIER, barriers};

/// Takes one barrier alone, by its number.
const ONLY: &str = "CHREODE_CUDA_BARRIER";

/// Modules of tests that look at a kernel file first; the others follow where these do not notice.
fn nearest(file: &str) -> &'static [&'static str] {
    match file {
        "energy.cu" | "neighbours.cu" | "sinkhorn.cu" => &["clouds::"],
        "divergence.cu" | "transport.cuh" => &["divergence::", "clouds::"],
        "euler_maruyama.cu" | "euler_maruyama_back.cu" => &["ensemble::"],
        "gradient.cu" | "mlp.cuh" => &["mlp::", "ensemble::"],
        _ => &[],
    }
}

/// The tests that fail without the barrier, of those whose names hold one of the filters (or of all).
fn failed(number: &str, filters: &[&str]) -> Vec<String> {
    let mut command = Command::new(beside::parity());
    let run = command.env(WITHOUT_BARRIER, number).args(filters).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(text.contains("test result:"), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    let all = text.lines().filter_map(|l| l.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    all.map(str::to_owned).collect()
}

#[test]
#[ignore = "builds the stand-in driver once for each barrier: cargo xtask ci sweep"]
fn every_missing_barrier_is_noticed() {
    if let Err(error @ StandInError::NoCompiler { .. }) = StandIn::load(Variant::Whole) {
        println!("skipped: {error}");
        return;
    }
    // With every barrier nothing fails: what fails below, fails for a barrier.
    assert_eq!(failed("none", &[]), [""; 0]);
    let only = std::env::var(ONLY).ok().map(|n| n.parse::<usize>().expect("the number of a barrier"));
    let mut unnoticed = Vec::new();
    for (number, place) in barriers().unwrap().into_iter().enumerate() {
        if only.is_some_and(|only| only != number) {
            continue;
        }
        let mut noticed = failed(&number.to_string(), nearest(&place.0));
        if noticed.is_empty() {
            noticed = failed(&number.to_string(), &[]);
        }
        let (file, line) = &place;
        println!(
            "barrier {number}, {file}:{line}: {}",
            if noticed.is_empty() { "NOT noticed".into() } else { noticed.join(", ") }
        );
        if noticed.is_empty() {
            unnoticed.push(place);
        }
    }
    assert!(unnoticed.is_empty(), "nobody misses the barriers at {unnoticed:?}");
}
