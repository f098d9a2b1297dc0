//! The page of a run folder.
//!
//! `measure`, `rates`: what is computed from the model for it. `cells`, `dynamics`, `fates`, `members`, `trust`: its sections.
//! Not here: reading a run folder (`crate::run`).

mod cells;
mod dynamics;
mod fates;
mod measure;
mod members;
mod rates;
mod trust;

use chreode_report::{ColourBy, Page, ShapeError, Status, Tile, count, number, percent};
use chreode_train::{GrowthChoice, LossConfig};
use serde_json::Value;

pub use measure::{CellFields, HoldOutDistance, Outside, RunTrust, TrustError, TrustSettings};
pub use members::{MemberSpread, MembersView};
pub use rates::DriftRates;

use super::losses::{self, Losses};
use super::plane::time_text;
use crate::run::{HeldOutClones, TrainingCells};
use crate::{Agreement, Fates, GeneMove, Labels, ReadoutQuality, Shift};

/// Everything that the page of a run shows.
#[derive(Debug, Clone)]
pub struct RunPage<'a> {
    /// What was fitted: the name of the data file.
    pub data: &'a str,
    /// Name of the column of times, used as the unit: "day".
    pub time: &'a str,
    /// Names of the coordinates of a state, `[d]`.
    pub axes: &'a [String],
    /// The training cells, or a sample of them.
    pub cells: &'a TrainingCells,
    /// Labels of these cells, if there are any.
    pub labels: Option<&'a Labels>,
    /// The model at some of these cells.
    pub fields: &'a CellFields,
    /// How the losses went.
    pub losses: &'a LossCurves,
    /// Fates of some cells, if they were predicted.
    pub fates: Option<FateView<'a>>,
    /// Perturbations of the same start, if there were any.
    pub shifts: &'a [ShiftView],
    /// The members of a run of several seeds.
    pub members: Option<MembersView<'a>>,
    /// What tells whether the model can be trusted.
    pub trust: &'a RunTrust,
    /// Clones that were held out whole.
    pub clones: Option<&'a HeldOutClones>,
    /// Why growth was learned or not, if that was for the program to decide.
    pub growth_choice: Option<&'a GrowthChoice>,
    /// Settings in groups: title, then names and values.
    pub settings: &'a [(String, Vec<(String, String)>)],
}

/// Predicted fates and what they were read with.
#[derive(Debug, Clone, Copy)]
pub struct FateView<'a> {
    /// Fates of the start cells.
    pub fates: &'a Fates,
    /// States of the start cells, `[n, d]`.
    pub start: &'a [f32],
    /// Time of the start cells.
    pub t0: f64,
    /// Time at which fates are read.
    pub until: f64,
    /// How well they were read.
    pub readout: &'a ReadoutQuality,
    /// Standard deviation of each probability over the members of a run of several seeds, `[n, names]`; empty for one.
    pub member_sd: &'a [f64],
    /// Fates of the same cells by transport, and how near the model's are to them.
    pub transport: Option<(&'a Fates, Agreement)>,
}

/// A perturbation and the shifts of all fates by it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShiftView {
    /// What was done: "Gata1 = +3 at the start".
    pub name: String,
    /// What it did to each gene at the start.
    pub genes: Vec<GeneMove>,
    /// The shift of every fate.
    pub shifts: Vec<Shift>,
}

/// Losses by step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossCurves {
    /// Step and training loss.
    pub training: Vec<[f64; 2]>,
    /// Step and loss on the hold-out.
    pub hold_out: Vec<[f64; 2]>,
    /// Step of the parameters that were kept.
    pub best_step: Option<f64>,
    /// How the iterations of the loss ended, if it iterates.
    pub convergence: Option<Convergence>,
}

/// How the iterations of a Sinkhorn divergence ended over the steps of a training.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Convergence {
    /// Steps that are known.
    pub steps: usize,
    /// Steps with a loss whose marginals were still off by more than the tolerance.
    pub unconverged: usize,
    /// By how much they were off at most (L1; the mass is one).
    pub worst: f64,
    /// The tolerance.
    pub tolerance: f64,
}

impl Convergence {
    /// Share of the steps that did not converge.
    pub fn share(&self) -> f64 {
        self.unconverged as f64 / self.steps.max(1) as f64
    }
}

impl LossCurves {
    /// Of the lines of a `metrics.jsonl`: `step` with `loss` (and `marginal_error`) or `hold_out_loss`, and
    /// `best_step`; others are skipped. `loss` is what was trained with.
    pub fn from_metrics(lines: &[Value], loss: &LossConfig) -> Self {
        let mut curves = Self {
            convergence: loss
                .tolerance()
                .map(|tolerance| Convergence { tolerance, ..Convergence::default() }),
            ..Self::default()
        };
        for line in lines {
            let get = |key: &str| line.get(key).and_then(Value::as_f64);
            let Some(step) = get("step") else { continue };
            if let Some(loss) = get("loss") {
                curves.training.push([step, loss]);
            }
            if let Some(loss) = get("hold_out_loss") {
                curves.hold_out.push([step, loss]);
            }
            if let (Some(convergence), Some(error)) = (&mut curves.convergence, get("marginal_error")) {
                convergence.steps += 1;
                convergence.unconverged += usize::from(error >= convergence.tolerance);
                convergence.worst = convergence.worst.max(error);
            }
            curves.best_step = get("best_step").or(curves.best_step);
        }
        curves
    }
}

/// The page of a run.
///
/// # Errors
/// [`ShapeError`] if parts of the input that belong together are not equally long.
pub fn run_page(input: &RunPage<'_>) -> Result<Page, ShapeError> {
    input.check()?;
    let view = View::new(input);
    let times = input.cells_by_time();
    let mut page = Page::new(format!("What moves the cells of {}", input.data));
    page.subtitle(format!(
        "A neural stochastic differential equation, learned from {} cells at {} times ({} {}). Every cell was seen once: \
         all that is said here of paths, fates and noise is the model's, not an observation.",
        count(input.cells.len()),
        times.len(),
        input.time,
        times.iter().map(|t| time_text(t.0)).collect::<Vec<_>>().join(", "),
    ));
    page.footer(format!("chreode {} · `chreode report`", env!("CARGO_PKG_VERSION")));
    tiles(&mut page, input);
    cells::section(&mut page, input, &view)?;
    dynamics::section(&mut page, input, &view)?;
    fates::section(&mut page, input, &view)?;
    members::section(&mut page, input)?;
    training(&mut page, input);
    trust::section(&mut page, input)?;
    let settings = page.section("settings", "Settings");
    settings.text("Everything that is needed to repeat this run.");
    for (title, rows) in input.settings {
        settings.settings(title.clone(), rows.iter().cloned());
    }
    Ok(page)
}

impl RunPage<'_> {
    fn check(&self) -> Result<(), ShapeError> {
        let (n, d) = (self.cells.len(), self.cells.dim);
        let equal = |what, expected, found| {
            if expected == found { Ok(()) } else { Err(ShapeError { what, expected, found }) }
        };
        equal("states of the cells", n * d, self.cells.states.len())?;
        equal("names of the coordinates", d, self.axes.len())?;
        equal("hold-out marks of the cells", n, self.cells.held_out.len())?;
        if let Some(labels) = self.labels {
            equal("labels of the cells", n, labels.len())?;
        }
        if let Some(growth) = &self.cells.growth {
            equal("growth rates of the cells", n, growth.len())?;
        }
        if let Some(fates) = &self.fates {
            equal("states of the start cells", fates.fates.len() * d, fates.start.len())?;
            if !fates.member_sd.is_empty() {
                let values = fates.fates.len() * fates.fates.names().len();
                equal("spreads of the fates", values, fates.member_sd.len())?;
            }
        }
        let m = self.fields.rows.len();
        equal("drift", m * d, self.fields.drift.len())?;
        equal("diffusion", m * d, self.fields.diffusion.len())?;
        if let Some(growth) = &self.fields.growth {
            equal("growth", m, growth.len())?;
        }
        match self.fields.rows.iter().find(|&&row| row >= n) {
            Some(&row) => Err(ShapeError { what: "cells of the fields", expected: n, found: row + 1 }),
            None => Ok(()),
        }
    }

    /// The different times, ascending, with the number of their cells.
    fn cells_by_time(&self) -> Vec<(f64, usize)> {
        measure::distinct_times(&self.cells.times)
    }

    /// "day 2".
    fn at(&self, t: f64) -> String {
        format!("{} {}", self.time, time_text(t))
    }
}

/// States as points of the plane: the first two coordinates, or the only one and the time.
struct View<'a> {
    d: usize,
    names: [&'a str; 2],
}

impl<'a> View<'a> {
    fn new(input: &RunPage<'a>) -> Self {
        let name = |k: usize| input.axes.get(k).map_or("", String::as_str);
        let d = input.cells.dim;
        Self { d, names: [name(0), if d > 1 { name(1) } else { input.time }] }
    }

    /// States `[n, d]`, whose times are `time(row)`.
    fn points(&self, states: &[f32], time: impl Fn(usize) -> f64) -> Vec<[f64; 2]> {
        let point = |(i, row): (usize, &[f32])| {
            [f64::from(row[0]), row.get(1).map_or_else(|| time(i), |&y| f64::from(y))]
        };
        states.chunks_exact(self.d.max(1)).enumerate().map(point).collect()
    }

    /// What the caption has to say of coordinates that are not shown.
    fn hidden(&self) -> String {
        match self.d {
            0 | 2 => String::new(),
            1 => " The state has one coordinate; the time is drawn upward.".to_string(),
            d => format!(" The state has {} more coordinates, which are not seen here.", d - 2),
        }
    }
}

/// Categories of the cells, owned, for [`ColourBy`].
struct Categories {
    title: String,
    names: Vec<String>,
    of: Vec<Option<usize>>,
    ordered: bool,
}

impl Categories {
    fn colour(&self) -> ColourBy<'_> {
        let (title, labels, of) = (self.title.as_str(), &self.names[..], &self.of[..]);
        if self.ordered {
            ColourBy::Ordered { title, labels, of }
        } else {
            ColourBy::Category { title, labels, of }
        }
    }

    fn by_time(input: &RunPage<'_>) -> Self {
        let times = input.cells_by_time();
        let of = |t: &f64| times.iter().position(|x| x.0 == *t);
        Self {
            title: input.time.to_string(),
            names: times.iter().map(|t| input.at(t.0)).collect(),
            of: input.cells.times.iter().map(of).collect(),
            ordered: true,
        }
    }

    fn by_label(labels: &Labels) -> Self {
        Self {
            title: "label".to_string(),
            names: labels.names().to_vec(),
            of: (0..labels.len()).map(|row| labels.code(row)).collect(),
            ordered: false,
        }
    }

    /// The same for some of the cells.
    fn select(&self, rows: &[usize]) -> Self {
        let of = rows.iter().map(|&r| self.of[r]).collect();
        Self { title: self.title.clone(), names: self.names.clone(), of, ordered: self.ordered }
    }
}

fn tiles(page: &mut Page, input: &RunPage<'_>) {
    let held = input.cells.held_out.iter().filter(|&&h| h).count();
    page.tile(
        Tile::new("Cells", count(input.cells.len()))
            .unit(format!("in {} coordinates", input.cells.dim))
            .note(format!("{} of them were held out of the training", count(held))),
    );
    if let Some(worst) = input.trust.worst_hold_out() {
        let missed = worst.missed();
        // A miss that the number of cells does not tell from chance is neither good nor bad.
        let untold = missed > 0.1 && !worst.beyond_chance();
        let (cells, status) = if untold {
            (", which so few cells cannot tell from it", Status::Plain)
        } else {
            ("", trust::status(trust::hold_out_severity(worst)))
        };
        page.tile(
            Tile::new("Missed on held-out cells", percent(missed.max(0.0)))
                .unit("of the way")
                .note(format!(
                    "From {} to {}, the worst interval; 0\u{202f}% is another sample of the same cells{cells}",
                    input.at(worst.start),
                    time_text(worst.target)
                ))
                .status(status),
        );
    }
    if let Some(worst) = input.trust.worst_outside() {
        page.tile(
            Tile::new("Simulated cells outside the data", percent(worst.share))
                .note(format!("At {}, the worst time; about 1 % is normal", input.at(worst.time)))
                .status(trust::status(trust::outside_severity(worst.share))),
        );
    }
    if let Some((t, share)) = input.trust.worst_effective() {
        page.tile(
            Tile::new("Effective sample size", percent(share))
                .unit("of the cells")
                .note(format!("Of the growth weights at {}", input.at(t)))
                .status(trust::status(trust::effective_severity(share))),
        );
    }
    if let Some(view) = &input.fates
        && !view.fates.is_empty()
    {
        let n = view.fates.len();
        let mean = (0..n).map(|i| view.fates.entropy(i)).sum::<f64>() / n as f64;
        page.tile(
            Tile::new("Open fates", number(mean, 2))
                .unit("nats")
                .note(format!(
                    "Mean entropy of {} cells; 0 is decided, {} all fates alike",
                    count(n),
                    number((view.fates.names().len() as f64).ln(), 3)
                ))
                .status(Status::Plain),
        );
    }
    let steps = input.losses.training.last().map_or(0, |l| l[0] as usize);
    if steps > 0 {
        let note = match input.losses.best_step {
            Some(best) => format!("The model kept is that of step {}", count(best as usize)),
            None => "The model kept is the last".to_string(),
        };
        page.tile(Tile::new("Training", count(steps)).unit("steps").note(note));
    }
}

fn training(page: &mut Page, input: &RunPage<'_>) {
    let LossCurves { training, hold_out, best_step, .. } = input.losses;
    let hold_out_name = "held-out cells";
    losses::section(page, &Losses { training, hold_out, hold_out_name, best_step: *best_step });
}
