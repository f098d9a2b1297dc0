//! The page of the demo: what was learned from snapshots of virtual blood, beside the truth.
//!
//! `cells`: the snapshots and the held-out day. `fates`: fractions, spreads, interventions, calibration.
//! `process`: drift, diffusion, and the table of what snapshots do not determine. `trust`: warnings.

mod cells;
mod fates;
mod process;
mod trust;

use chreode_report::{Page, ShapeError, Status, Tile, count, number, percent};

use super::losses::{self, Losses};
use super::plane::{Plane, time_text};
use crate::demo::DemoResult;
use crate::virtual_blood::{D, FACTORS, Fate};

/// Positions of the factors whose planes are shown.
const GATA1: usize = 1;
const EKLF: usize = 3;
const FLI1: usize = 4;
const PU1: usize = 7;

/// The demo's report.
///
/// # Errors
/// [`ShapeError`] if two fields of the result that belong together are not equally long.
pub fn demo_page(result: &DemoResult) -> Result<Page, ShapeError> {
    let mut page = Page::new("Virtual blood, learned from snapshots");
    let trained: Vec<String> =
        result.times.iter().filter(|&&t| t != result.held_out).map(|&t| time_text(t)).collect();
    page.kicker("chreode demo");
    page.subtitle(format!(
        "A neural stochastic differential equation, fitted to {} cells of days {}. It never saw one cell twice, and \
         was not trained on day {}. The cells come from a simulated network of eleven blood factors (Krumsiek et al. 2011), \
         so that everything it says can be compared with the truth.",
        count(cells_trained_on(result)),
        trained.join(", "),
        time_text(result.held_out),
    ));
    page.footer(format!("chreode {} · `chreode demo`", env!("CARGO_PKG_VERSION")));
    tiles(&mut page, result);
    cells::data(&mut page, result)?;
    cells::held_out(&mut page, result)?;
    fates::fractions(&mut page, result)?;
    fates::spreads(&mut page, result)?;
    fates::interventions(&mut page, result)?;
    fates::calibration(&mut page, result)?;
    process::fields(&mut page, result)?;
    process::scores(&mut page, result);
    training(&mut page, result);
    trust::trust(&mut page, result);
    page.section("settings", "Settings")
        .text("Everything that is needed to repeat this run; the same seed gives the same bits for any number of threads.")
        .settings("Model and training", result.settings.iter().cloned());
    Ok(page)
}

/// How far the fit is on the way from `worst` to `best`: 1 at the best, 0 at the worst.
fn share_of_way(value: f64, worst: f64, best: f64) -> f64 {
    (worst - value) / (worst - best)
}

/// Share of the distance between the snapshot before and the held-out one that the model covers.
fn covered(result: &DemoResult) -> f64 {
    let d = &result.held_out_distance;
    share_of_way(d.model, d.previous_time, d.floor)
}

/// Status by thresholds that a greater value is to exceed; plain when there is no value.
fn at_least(value: f64, good: f64, usable: f64) -> Status {
    if value.is_nan() {
        Status::Plain
    } else if value >= good {
        Status::Good
    } else if value >= usable {
        Status::Warn
    } else {
        Status::Bad
    }
}

/// The fraction that is farthest from the truth: its name, and model minus truth.
fn worst_fraction(result: &DemoResult) -> Option<(&'static str, f64)> {
    let gaps = result.fractions.iter().map(|f| (f.fate, f.model - f.truth)).filter(|g| g.1.is_finite());
    gaps.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}

fn cells_trained_on(result: &DemoResult) -> usize {
    let used = result.times.iter().zip(&result.snapshots).filter(|(t, _)| **t != result.held_out);
    used.map(|(_, s)| s.len() / D).sum()
}

fn tiles(page: &mut Page, result: &DemoResult) {
    let scores = &result.scores;
    let (model, oracle, base) =
        (scores.model.cross_entropy, scores.oracle.cross_entropy, scores.base_rate.cross_entropy);
    page.tile(
        Tile::new("Fate cross-entropy", number(model, 4))
            .unit("nats")
            .note(format!(
                "Knowing nothing of the cell: {}; knowing the true process: {}",
                number(base, 4),
                number(oracle, 4)
            ))
            .status(at_least(share_of_way(model, base, oracle), 0.5, 0.25)),
    );
    let d = &result.held_out_distance;
    page.tile(
        Tile::new(format!("Day {}, not trained on", time_text(result.held_out)), percent(covered(result)))
            .unit("of the way")
            .note(format!(
                "From the day before it (0\u{202f}%) to another true sample (100\u{202f}%); distance {}, floor {}",
                number(d.model, 2),
                number(d.floor, 2)
            ))
            .status(at_least(covered(result), 0.9, 0.7)),
    );
    let s = &result.sign;
    page.tile(
        Tile::new("Effects with the right sign", count(s.right))
            .unit(format!("of {}", count(s.of)))
            .note(format!("Interventions; predicted size is {} × the true one", number(s.slope, 2)))
            .status(at_least(s.right as f64 / s.of as f64, 0.9, 0.75)),
    );
    page.tile(
        Tile::new("Calibration error", percent(result.calibration_error))
            .note("Mean gap between a fate's predicted and true probability")
            .status(at_least(-result.calibration_error, -0.05, -0.1)),
    );
    if let Some((fate, gap)) = worst_fraction(result) {
        page.tile(
            Tile::new("Largest error of a fraction", percent(gap.abs()))
                .note(format!(
                    "{fate} at day 6: {} in the model",
                    if gap > 0.0 { "too many" } else { "too few" }
                ))
                .status(at_least(-gap.abs(), -0.03, -0.08)),
        );
    }
    let steps = result.losses.last().map_or(0, |l| l.0 as usize);
    page.tile(
        Tile::new("Training time", format!("{} s", number(result.seconds, 3)))
            .note(format!("{} steps on this machine", count(steps))),
    );
}

fn training(page: &mut Page, result: &DemoResult) {
    let points = |losses: &[(u64, f64)]| losses.iter().map(|&(s, l)| [s as f64, l]).collect::<Vec<_>>();
    let (training, hold_out) = (points(&result.losses), points(&result.holdout_losses));
    let hold_out_name = "held-out cells of the training days";
    losses::section(
        page,
        &Losses { training: &training, hold_out: &hold_out, hold_out_name, best_step: None },
    );
}

/// Names of the five classes.
fn fate_names() -> Vec<String> {
    Fate::ALL.iter().map(|f| f.name().to_string()).collect()
}

/// Index of the fate of every state `[n, 11]`.
fn fates_of(states: &[f32]) -> Vec<Option<usize>> {
    states.chunks_exact(D).map(|row| Some(Fate::of(row) as usize)).collect()
}

fn plane(x: usize, y: usize) -> Plane<'static> {
    Plane::new(D, [x, y], [FACTORS[x], FACTORS[y]])
}
