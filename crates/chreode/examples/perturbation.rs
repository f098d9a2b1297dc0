//! What a change does to fates, by a learned model and in truth: a shift of the start, and a clamp along the path.
//!
//! Cells and noise are the same with and without the change (common random numbers).
//! `cargo run --release -p chreode --example perturbation`

mod shared;

use chreode::cells::{Clamp, Labels, Shift, shifts};
use chreode::prelude::*;
use shared::{Decision, TIMES, fitted, progenitors};

const PATHS: usize = 50;
const HELD: f32 = 0.7;

/// The true change of the fraction that ends right, with the model's protocol.
fn true_shift(
    start: &[f32],
    changed: &[f32],
    held: Option<f32>,
    until: f64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let grid = TimeGrid::new(0.0, &[until], 0.02)?;
    let right = |start: &[f32], held: Option<f32>| -> Result<f64, Box<dyn std::error::Error>> {
        let hold = |_t: f64, s: &mut [f32]| {
            if let Some(y) = held {
                s.iter_mut().skip(1).step_by(2).for_each(|s| *s = y);
            }
        };
        let mut start: Vec<f32> = start.chunks_exact(2).flat_map(|cell| cell.repeat(PATHS)).collect();
        hold(0.0, &mut start);
        let options = EnsembleOptions { after_step: Some(&hold), ..EnsembleOptions::new(11) };
        let ends = simulate(&Decision, &[], &start, &grid, &options)?.states.swap_remove(0);
        Ok(ends.iter().step_by(2).filter(|x| **x > 0.0).count() as f64 * 2.0 / ends.len() as f64)
    };
    Ok(right(changed, held)? - right(start, None)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trainer = fitted()?;
    let until = TIMES[TIMES.len() - 1];
    let ends = &trainer.data().states[TIMES.len() - 1].all(2)?;
    let names: Vec<&str> = ends.chunks_exact(2).map(|s| if s[0] > 0.0 { "right" } else { "left" }).collect();
    let readout = LabelReadout::new(ends, 2, &Labels::from_text(&names), None)?;

    let start = progenitors(200, 21);
    let (model, p) = (&trainer.model().sde, trainer.best_params());
    let control = Rollout { model, p, dt: 0.05, paths: PATHS, seed: 5, clamp: None, place: None };
    let baseline = Fates::predict(&control, &readout, &start, 0.0, until)?;

    // Every cell starts 0.2 further right.
    let mut moved = start.clone();
    moved.iter_mut().step_by(2).for_each(|x| *x += 0.2);
    let shifted = Fates::predict(&control, &readout, &moved, 0.0, until)?;

    // The factor y is held at two standard deviations along the whole path.
    let hold = Clamp::new(2, &[(vec![0.0, 1.0], f64::from(HELD))])?;
    let clamped = Rollout { clamp: Some(&hold), ..control };
    let clamped = Fates::predict(&clamped, &readout, &start, 0.0, until)?;

    println!("change of P(right) over {} cells, {PATHS} paths each", baseline.len());
    let show = |what: &str, shift: &Shift, truth: f64| {
        let (low, high) = shift.interval();
        println!(
            "  {what:<20} {:+.3}  95 % over cells [{low:+.3}, {high:+.3}]  truth {truth:+.3}",
            shift.shift()
        );
        assert!(low > 0.0, "{what}: the sign is sure");
        assert!((shift.shift() / truth - 1.0).abs() < 0.3, "{what}: the size is about right");
    };
    show("x + 0.2 at the start", &shifts(&baseline, &shifted)[1], true_shift(&start, &moved, None, until)?);
    show("y held at 0.7", &shifts(&baseline, &clamped)[1], true_shift(&start, &start, Some(HELD), until)?);

    // A small shift by few paths: what it does would drown in chance if the arms had different noise.
    let few = Rollout { paths: 2, ..control };
    let baseline = Fates::predict(&few, &readout, &start, 0.0, until)?;
    let mut nudged = start.clone();
    nudged.iter_mut().step_by(2).for_each(|x| *x += 0.02);
    let se = |arm: Rollout<'_>| -> Result<f64, Box<dyn std::error::Error>> {
        Ok(shifts(&baseline, &Fates::predict(&arm, &readout, &nudged, 0.0, until)?)[1].se)
    };
    let (common, other) = (se(few)?, se(Rollout { seed: 6, ..few })?);
    println!("x + 0.02, 2 paths a cell: standard error {common:.3} with common noise, {other:.3} without");
    assert!(common < 0.7 * other);
    Ok(())
}
