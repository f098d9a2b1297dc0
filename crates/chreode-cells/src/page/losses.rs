//! The section on how a fit went.

use chreode_report::{Lines, Page, Series, number};

/// Losses by step, as both pages show them.
pub(super) struct Losses<'a> {
    /// Step and training loss.
    pub(super) training: &'a [[f64; 2]],
    /// Step and loss on held-out cells.
    pub(super) hold_out: &'a [[f64; 2]],
    /// What is held out, for the legend.
    pub(super) hold_out_name: &'a str,
    /// Step of the parameters that are kept.
    pub(super) best_step: Option<f64>,
}

pub(super) fn section(page: &mut Page, losses: &Losses<'_>) {
    let section = page.section("training", "How the fit went");
    if losses.training.is_empty() && losses.hold_out.is_empty() {
        section.text("This run has no logged step yet.");
        return;
    }
    section.text("The loss is the distance between simulated and observed cells at the times that were trained on. It is noisy, because every step draws other cells and other noise, and where the fit is good it may fall below zero: the distance is estimated without bias, so that chance goes both ways.");
    let caption = "Lower is better. Both curves should fall and then stay level. Held-out cells that rise while the training falls are over-fitting; a curve that still falls at the end is a fit that would gain from more steps.";
    let all = || losses.training.iter().chain(losses.hold_out);
    if all().all(|l| l[1] > 0.0) {
        section.figure("Loss", caption, &losses.from(f64::NEG_INFINITY).log_y().draw());
        return;
    }
    // Below zero there is no logarithm: the long level part is shown again on an axis of its own.
    let (first, last) =
        all().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), l| (lo.min(l[0]), hi.max(l[0])));
    section.half_figure("Loss", caption, &losses.from(f64::NEG_INFINITY).draw());
    section.half_figure(
        "The same without the first third",
        "The level part on an axis of its own: does it still fall, and do the curves part?",
        &losses.from(first + (last - first) / 3.0).draw(),
    );
}

impl Losses<'_> {
    /// The curves from a step on.
    fn from(&self, step: f64) -> Lines {
        let kept = |points: &[[f64; 2]]| points.iter().copied().filter(|p| p[0] >= step).collect::<Vec<_>>();
        let series = [("training batches", self.training), (self.hold_out_name, self.hold_out)];
        let series = series.into_iter().filter(|s| !s.1.is_empty()).map(|(name, points)| {
            let note = points.last().map_or_else(String::new, |p| number(p[1], 3));
            Series::new(name, kept(points)).note(note)
        });
        let lines = Lines::new(series.collect()).labels("step", "loss");
        match self.best_step {
            Some(best) if best >= step => lines.mark(best, "kept"),
            _ => lines,
        }
    }
}
