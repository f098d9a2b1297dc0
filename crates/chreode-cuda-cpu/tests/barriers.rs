//! Each barrier in turn is left out, and the parity tests must notice. Long: it runs when ignored tests are asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

use chreode_cuda_cpu::{StandIn, StandInError, Variant, WITHOUT_BARRIER, barriers};

/// The program of the parity tests, which lies beside this one: the youngest, if there are several.
fn parity() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let programs = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| {
        p.extension().is_none() && p.file_name().unwrap().to_string_lossy().starts_with("parity-")
    });
    programs
        .max_by_key(|p| p.metadata().unwrap().modified().unwrap())
        .expect("cargo builds all tests of a package")
}

#[test]
#[ignore = "builds the stand-in driver once for each barrier: cargo xtask ci sweep"]
fn every_missing_barrier_is_noticed() {
    if let Err(error @ StandInError::NoCompiler { .. }) = StandIn::load(Variant::Whole) {
        println!("skipped: {error}");
        return;
    }
    let (program, mut unnoticed) = (parity(), Vec::new());
    for (number, place) in barriers().unwrap().iter().enumerate() {
        let run = Command::new(&program).env(WITHOUT_BARRIER, number.to_string()).output().unwrap();
        println!("{place:?}: {}", if run.status.success() { "NOT noticed" } else { "noticed" });
        if run.status.success() {
            unnoticed.push(place.clone());
        }
    }
    assert!(unnoticed.is_empty(), "nobody misses the barriers at {unnoticed:?}");
}
