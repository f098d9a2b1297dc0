//! What is not to be trusted: thresholds, warnings, and the figures behind them.

use chreode_report::{
    BarSeries, Bars, Column, Histogram, Page, Row, Severity, ShapeError, Status, Table, Warning, count,
    number, percent,
};

use super::{HoldOutDistance, RunPage};
use crate::page::plane::time_text;
use crate::run::HeldOutClones;

/// Shares of simulated cells outside the data above which care, and more than care, is needed.
const OUTSIDE: [f64; 2] = [0.05, 0.2];
/// Shares of the way missed on held-out cells, beyond chance.
const MISSED: [f64; 2] = [0.1, 0.5];
/// Effective sample sizes, as a fraction of the cells, below which.
const EFFECTIVE: [f64; 2] = [0.3, 0.1];
/// Rates of the drift times the step above which.
const PER_STEP: [f64; 2] = [0.5, 2.0];
/// Shares of the steps whose Sinkhorn iterations did not converge.
const UNCONVERGED: [f64; 2] = [0.01, 0.2];

/// Severity of a value by two thresholds: care above the first, serious above the second.
fn above(value: f64, [caution, serious]: [f64; 2]) -> Severity {
    if value > serious {
        Severity::Serious
    } else if value > caution {
        Severity::Caution
    } else {
        Severity::Note
    }
}

/// Total variations between the fates of the model and of transport above which.
const APART: [f64; 2] = [0.2, 0.4];
/// Standard deviations of a fate's probability over the members above which.
const DISAGREEMENT: [f64; 2] = [0.1, 0.2];

pub(super) fn outside_severity(share: f64) -> Severity {
    above(share, OUTSIDE)
}

pub(super) fn effective_severity(share: f64) -> Severity {
    above(-share, EFFECTIVE.map(|t| -t))
}

pub(super) fn hold_out_severity(h: &HoldOutDistance) -> Severity {
    match (h.beyond_chance(), h.tells()) {
        (true, _) => above(h.missed(), MISSED),
        (false, true) => Severity::Note,
        // A comparison that would also pass a model of no motion vouches for nothing.
        (false, false) => Severity::Caution,
    }
}

/// The same as the status of a key figure.
pub(super) fn status(severity: Severity) -> Status {
    match severity {
        Severity::Note => Status::Good,
        Severity::Caution => Status::Warn,
        Severity::Serious => Status::Bad,
    }
}

/// How well the clones held out are followed.
fn clone_table(input: &RunPage<'_>, clones: &HeldOutClones) -> Table {
    let columns = vec![
        Column::text("from"),
        Column::text("to"),
        Column::numeric("clones").hint("with held-out cells at both times"),
        Column::numeric("energy score").hint("of paths from the cells of each clone; less is better"),
        Column::numeric("not knowing the clone").hint("of the paths of all clones together"),
        Column::numeric("difference").hint("and its standard error over clones"),
    ];
    let coupled = if clones.coupled {
        "The other clones decided which cells were coupled."
    } else {
        "Clones had no other part in the training."
    };
    let mut table = Table::new("Clones that were held out whole", columns).caption(format!(
        "{} clones of `{}` were kept from the training. Paths from their cells of one time are compared with their cells of another, which are relatives of those, not their descendants: also a perfect model does not reach the lowest score. A difference of nothing means that the model does not know more of a clone than of all. {coupled}",
        count(clones.held_out.len()),
        clones.column
    ));
    for s in &clones.scores {
        table.row(Row::new([
            input.at(s.start),
            time_text(s.target),
            count(s.clones),
            number(s.score, 3),
            number(s.without, 3),
            format!("{} ± {}", number(s.without - s.score, 2), number(s.standard_error, 1)),
        ]));
    }
    table
}

pub(super) fn section(page: &mut Page, input: &RunPage<'_>) -> Result<(), ShapeError> {
    let s = page.section("trust", "What to distrust");
    s.text("A model can match every snapshot and still be wrong about what single cells do. The rules below are fixed; they are applied to this run's numbers.");
    let mut warnings = Vec::new();
    outside(input, &mut warnings);
    hold_out(input, &mut warnings);
    growth(input, &mut warnings);
    steps(input, &mut warnings);
    convergence(input, &mut warnings);
    training(input, &mut warnings);
    labels(input, &mut warnings);
    members(input, &mut warnings);
    transport(input, &mut warnings);
    warnings.push(Warning::new(
        Severity::Note,
        "Snapshots do not determine drift and noise separately",
        "More pull with more noise gives the same snapshots as less of both, and so does any flow around in circles (Weinreb et al. 2018). The model decides by being smooth and the same at all times: assumptions, not data. This holds for every method that learns from snapshots alone.",
        "Take single drifts, noise strengths and fates of single cells as hypotheses; test them with lineage tracing or interventions.",
    ).see("dynamics"));
    s.warn(warnings);
    let trust = input.trust;
    if !trust.outside.is_empty() {
        let training: Vec<f64> = trust.among_training.iter().map(|&v| f64::from(v)).collect();
        let simulated: Vec<f64> =
            trust.outside.iter().flat_map(|o| &o.distance).map(|&v| f64::from(v)).collect();
        let histogram = Histogram::new(vec![
            ("training cells, from each other (quantiles)".to_string(), &training),
            ("simulated cells, from the training cells".to_string(), &simulated),
        ])
        .label("mean distance to the five nearest training cells")
        .mark(f64::from(trust.threshold), "99 % of training cells");
        s.half_figure(
            "How far simulated cells are from the data",
            "Right of the line nothing was seen: there the drift is the network's guess. The two outlines should nearly agree.",
            &histogram.draw(),
        );
        let bars = Bars::new(
            trust.outside.iter().map(|o| input.at(o.time)).collect(),
            vec![BarSeries::new("outside", trust.outside.iter().map(|o| o.share).collect())],
        )
        .label("share of simulated cells right of the line")
        .percent();
        s.half_figure(
            "Cells outside the data, by time",
            format!(
                "Cells of the first time, run forward. About 1 % is normal, also for a perfect model; above {:.0} % is a caution, above {:.0} % serious.",
                100.0 * OUTSIDE[0],
                100.0 * OUTSIDE[1]
            ),
            &bars.draw()?,
        );
    }
    if !trust.hold_out.is_empty() {
        let span = |values: &[f64]| {
            let lo = values.iter().copied().fold(f64::INFINITY, f64::min);
            (lo, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        };
        let h = &trust.hold_out;
        let bars = Bars::new(
            h.iter().map(|h| format!("{} to {}", input.at(h.start), time_text(h.target))).collect(),
            vec![
                BarSeries::new("no model: cells stay where they are", h.iter().map(|h| h.unmoved).collect()),
                BarSeries::new("the model, span over repeats", h.iter().map(HoldOutDistance::mean).collect())
                    .intervals(h.iter().map(|h| span(&h.distances)).collect()),
                BarSeries::new("another sample of the same cells, 95 %", h.iter().map(|h| h.floor).collect())
                    .intervals(
                        h.iter()
                            .map(|h| (h.floor - 1.96 * h.floor_sd, h.floor + 1.96 * h.floor_sd))
                            .collect(),
                    ),
            ],
        )
        .label("energy distance to the held-out cells");
        s.figure(
            "Held-out cells, interval by interval",
            "Cells of each time are run to the next and compared with cells there that were never trained on. A good model lies within the whisker of another sample of the same cells, and far below no model. Distances are in units of the data's spread.",
            &bars.draw()?,
        );
    }
    if let Some(clones) = input.clones.filter(|clones| !clones.scores.is_empty()) {
        s.table(clone_table(input, clones));
    }
    if !trust.effective.is_empty() {
        let bars = Bars::new(
            trust.effective.iter().map(|e| input.at(e.0)).collect(),
            vec![BarSeries::new("effective", trust.effective.iter().map(|e| e.1).collect())],
        )
        .label("effective share of the cells")
        .percent();
        let of_column = match input.cells.growth {
            Some(_) => ", by the growth rates of the data",
            None => "",
        };
        s.figure(
            "How many cells the growth weights rest on",
            format!("Each simulated cell weighs as much as it has descendants{of_column}. 100 %: all weigh the same; 10 %: the result rests on a tenth of the cells, as if only these had been simulated."),
            &bars.draw()?,
        );
    }
    Ok(())
}

fn outside(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some(worst) = input.trust.worst_outside() else { return };
    let what = format!(
        "{} of the simulated cells at {} lie outside the training cells",
        percent(worst.share),
        input.at(worst.time)
    );
    warnings.push(match outside_severity(worst.share) {
        Severity::Note => Warning::new(Severity::Note, what, "The worst time. About 1 % is expected of true cells too; above 5 % would be a caution, above 20 % serious.", ""),
        severity => Warning::new(severity, what, "Above 5 % is a caution, above 20 % serious. Beyond the data the drift is extrapolation: fates of such cells follow the network's shape, not observations.", "Do not interpret paths that leave the data; train longer, or with more cells at that time."),
    });
}

fn hold_out(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some(worst) = input.trust.worst_hold_out() else {
        let none = !input.cells.held_out.contains(&true);
        warnings.push(Warning::new(
            Severity::Caution,
            if none { "No cell was held out" } else { "Too few cells were held out to compare with" },
            "Nothing on this page shows how the model does on cells that it was not trained on.",
            "Refit with a larger hold-out.",
        ));
        return;
    };
    let from = format!("from {} to {}", input.at(worst.start), time_text(worst.target));
    let numbers = format!(
        "Distance {}, another sample {} ± {}, no model {}.",
        number(worst.mean(), 2),
        number(worst.floor, 2),
        number(worst.floor_sd, 2),
        number(worst.unmoved, 2)
    );
    let missed = percent(worst.missed().max(0.0));
    warnings.push(match hold_out_severity(worst) {
        Severity::Caution if !worst.beyond_chance() => Warning::new(
            Severity::Caution,
            format!("Too few cells were held out to tell the model from no model {from}"),
            format!("{numbers} Even cells that do not move lie within two standard deviations of another sample, so this comparison would pass any model."),
            "Refit with a larger hold-out, or with more cells at these times.",
        ),
        Severity::Note if !worst.beyond_chance() => Warning::new(
            Severity::Note,
            format!("Held-out cells are met as well as another sample would, also in the worst interval ({from})"),
            format!("{numbers} Two standard deviations above another sample would count as a difference."),
            "",
        ),
        severity => Warning::new(
            severity,
            format!("Held-out cells are missed by {missed} of the way {from}"),
            format!("{numbers} Beyond chance (two standard deviations), more than 10 % of the way is a caution, more than 50 % serious."),
            if severity == Severity::Note { "" } else { "Train longer, or with a larger model; see whether growth was left out." },
        ),
    });
}

fn growth(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some((t, share)) = input.trust.worst_effective() else { return };
    let what = format!(
        "Growth weights have an effective sample size of {} of the cells at {}",
        percent(share),
        input.at(t)
    );
    warnings.push(match effective_severity(share) {
        Severity::Note => Warning::new(Severity::Note, what, "Below 30 % would be a caution, below 10 % serious.", ""),
        severity => Warning::new(severity, what, "Below 30 % is a caution, below 10 % serious: a few cells stand for most of the population, and fractions that use the weights are noisy.", "Refit without growth and report only what both agree on."),
    });
}

fn steps(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some(rates) = &input.trust.rates else { return };
    let per_step = rates.per_step();
    let what =
        format!("The drift pulls small differences at rates of up to {} in a step", number(per_step, 2));
    let how = format!(
        "The largest eigenvalue of its Jacobian times the longest step, {}, at 95 % of the cells. Above 0.5 steps are too long to be accurate, a caution; above 2 differences grow that should decay, serious. At {} of the cells some small difference grows: there paths part.",
        number(rates.dt, 2),
        percent(rates.growing)
    );
    warnings.push(
        match above(per_step, PER_STEP) {
            Severity::Note => Warning::new(Severity::Note, what, how, ""),
            severity => Warning::new(
                severity,
                what,
                how,
                "Fit again with a smaller --dt, and see whether the fates stay.",
            ),
        }
        .see("dynamics"),
    );
}

fn convergence(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some(c) = input.losses.convergence.filter(|c| c.unconverged > 0) else { return };
    let share = c.share();
    warnings.push(
        Warning::new(
            above(share, UNCONVERGED),
            format!("In {} of {} steps the Sinkhorn iterations stopped before they converged", count(c.unconverged), count(c.steps)),
            format!(
                "The transport plan's marginals were off by up to {}, where {} is asked for. Such a loss pulls the cells together: noise is learned too small, and fates look more certain than they are. More than 1 % of the steps is a caution, more than 20 % serious.",
                number(c.worst, 2),
                number(c.tolerance, 2)
            ),
            "Fit again with a larger --blur, or with --loss energy, and see whether noise and fates stay.",
        )
        .see("training"),
    );
}

fn training(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let (Some(best), Some(last)) = (input.losses.best_step, input.losses.hold_out.last()) else { return };
    if input.losses.hold_out.len() > 2 && best >= last[0] {
        warnings.push(
            Warning::new(
                Severity::Note,
                "The hold-out loss was lowest at its last evaluation",
                format!(
                    "At step {} it was still falling: the fit may gain from more steps.",
                    count(best as usize)
                ),
                "Refit with more steps and see whether the fates stay.",
            )
            .see("training"),
        );
    }
}

fn labels(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some(view) = &input.fates else { return };
    let base: f64 = -view.readout.base_rate.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    let (loss, k) = (view.readout.log_loss, view.readout.k);
    if base > 0.0 && loss > 0.5 * base {
        warnings.push(
            Warning::new(
                Severity::Caution,
                format!("Labels overlap in the state: neighbours predict them at {} nats, their frequencies alone at {}", number(loss, 2), number(base, 2)),
                format!("More than half of what is open about a label stays open even for observed cells (k = {k}). Fates inherit that blur."),
                "Merge labels that lie on each other, or use a state in which they are apart.",
            )
            .see("fates"),
        );
    }
    if view.readout.base_rate.len() < 2 {
        warnings.push(
            Warning::new(
                Severity::Caution,
                "There is only one fate",
                "Every probability is 1 by definition.",
                "Give labels with at least two names.",
            )
            .see("fates"),
        );
    }
    let seen = input.cells.times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if view.until > seen {
        warnings.push(
            Warning::new(
                Severity::Serious,
                format!(
                    "Fates are read at {}, after the last cells ({})",
                    input.at(view.until),
                    input.at(seen)
                ),
                "No cell was seen there; the model only continues.",
                "Read fates at the last observed time.",
            )
            .see("fates"),
        );
    }
}

fn members(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    if let Some(view) = &input.members {
        let (all, kept) = (view.members.members.len(), view.members.kept().len());
        if kept < all {
            warnings.push(
                Warning::new(
                    Severity::Caution,
                    format!("{} of {} members went astray", count(all - kept), count(all)),
                    "They miss the held-out cells by far more than the others, or their training failed, and are left out. A fit of one seed would have been one of them with some probability.",
                    "Read the held-out losses of the members; more --steps or a smaller --lr makes such members rarer.",
                )
                .see("members"),
            );
        }
    }
    let Some(sd) = input.fates.as_ref().and_then(super::members::disagreement) else { return };
    warnings.push(
        Warning::new(
            above(sd, DISAGREEMENT),
            format!("Another seed changes a fate's probability by {}", percent(sd)),
            "Standard deviation over the members, root mean square over cells and fates. More than 10 % is a caution, more than 20 % serious.",
            "Report fates with this spread, and none that is smaller than it.",
        )
        .see("members"),
    );
}

fn transport(input: &RunPage<'_>, warnings: &mut Vec<Warning>) {
    let Some((_, agreement)) = input.fates.as_ref().and_then(|f| f.transport.as_ref()) else { return };
    warnings.push(
        Warning::new(
            above(agreement.total_variation, APART),
            format!(
                "Fates of the model and of transport between the snapshots differ by {}",
                percent(agreement.total_variation)
            ),
            "Mean total variation over the start cells; more than 20 % is a caution, more than 40 % serious. Both are made from the same snapshots, by different assumptions.",
            "Trust what both agree in; where they do not, look whether the model misses held-out cells.",
        )
        .see("fates"),
    );
}
