//! What of the demo's result is not to be trusted.

use chreode_report::{BarSeries, Bars, Page, Severity, Warning, number, percent, signed};

use super::{covered, share_of_way};
use crate::demo::{DemoResult, OutsideRow};
use crate::page::plane::time_text;

pub(super) fn trust(page: &mut Page, result: &DemoResult) {
    let s = page.section("trust", "What to distrust");
    s.text("The rules are fixed, and they are checked against this run's numbers. With real cells there is no truth to compare with: only the share outside the data and the held-out day can be measured then.");
    let mut warnings = Vec::new();
    outside(result, &mut warnings);
    held_out(result, &mut warnings);
    probabilities(result, &mut warnings);
    interventions(result, &mut warnings);
    noise(result, &mut warnings);
    warnings.push(Warning::new(
        Severity::Note,
        "Snapshots do not determine drift and noise separately",
        "More pull with more noise gives the same snapshots as less of both, and so does any flow around in circles. What the model adds is smoothness, one equation for all times, and the form of the network with its noise: assumptions, not data. In this demo that form is the true one, and the size of the noise was started where it suits the left-out day.",
        "Take single drifts, single diffusions and fates of single cells as hypotheses; test them with clones or with interventions.",
    ).see("limits"));
    warnings.push(Warning::new(
        Severity::Note,
        "Virtual cells are easier than real ones",
        "There is no measurement noise, no drop-out, no batch, no doublet, no unseen factor, and no fate grows faster than another. A good result here is necessary, not sufficient.",
        "",
    ));
    let seed = result.settings.iter().find(|s| s.0 == "seed").and_then(|s| s.1.parse::<u64>().ok());
    warnings.push(Warning::new(
        Severity::Note,
        "This is one fit with one seed",
        "How far another seed would land from it is not shown on this page.",
        format!("Run `chreode demo --seed {}` and compare.", seed.map_or(1, |seed| seed.wrapping_add(1))),
    ));
    s.warn(warnings);
    if !result.outside.is_empty() {
        let bars = Bars::new(
            result.outside.iter().map(|o| format!("day {}", time_text(o.time))).collect(),
            vec![
                BarSeries::new("the model's cells", result.outside.iter().map(|o| o.model).collect()),
                BarSeries::new("true cells", result.outside.iter().map(|o| o.truth).collect()).as_marker(),
            ],
        )
        .label("share of cells outside the training cells")
        .percent();
        // One value per group by construction.
        if let Ok(figure) = bars.draw() {
            s.figure(
                "Simulated cells that leave the data",
                "A cell counts as outside when it is farther from its nearest training cells than 99 % of the training cells are from theirs: about 1 % is normal on a day that was trained on, and more on the day that was left out, for true cells as well. Beyond the data the drift is the network's guess.",
                &figure,
            );
        }
    }
}

fn outside(result: &DemoResult, warnings: &mut Vec<Warning>) {
    let excess = |o: &OutsideRow| o.model - o.truth;
    let rows = result.outside.iter().filter(|o| excess(o).is_finite());
    let Some(worst) = rows.max_by(|a, b| excess(a).total_cmp(&excess(b))) else { return };
    let what = format!(
        "{} of the simulated cells of day {} lie outside the training cells, and {} of true ones",
        percent(worst.model),
        time_text(worst.time),
        percent(worst.truth)
    );
    let share = excess(worst);
    let why = "Five percentage points more than of true cells are a caution, twenty serious. Where no cell was seen, nothing holds the drift.";
    if share > 0.2 {
        warnings.push(Warning::new(
            Severity::Serious,
            what,
            why,
            "Do not interpret paths that leave the data.",
        ));
    } else if share > 0.05 {
        warnings.push(Warning::new(
            Severity::Caution,
            what,
            why,
            "Look which fates such cells are counted to.",
        ));
    } else {
        warnings.push(Warning::new(
            Severity::Note,
            what,
            "Five percentage points more than of true cells would be a caution, twenty serious. This is the day with the greatest difference.",
            "",
        ));
    }
}

fn held_out(result: &DemoResult, warnings: &mut Vec<Warning>) {
    let d = &result.held_out_distance;
    let (above, way) = ((d.model - d.floor) / d.floor_sd, covered(result));
    if above.is_nan() || way.is_nan() {
        return;
    }
    let day = time_text(result.held_out);
    let what =
        format!("The model misses day {day} by {} of the distance to the day before", percent(1.0 - way));
    if above > 2.0 && way < 0.5 {
        warnings.push(Warning::new(Severity::Serious, what, "It covers less than half of what happened between the days: between its training days it must not be believed.", "Train longer, or give it the day.").see("held-out"));
    } else if above > 2.0 && way < 0.9 {
        warnings.push(
            Warning::new(
                Severity::Caution,
                what,
                "That is more than two true samples differ by, and more than a tenth of the way.",
                "Compare the two clouds: which cells are missing?",
            )
            .see("held-out"),
        );
    } else if above > 2.0 {
        warnings.push(
            Warning::new(
                Severity::Note,
                what,
                "More than two true samples differ by, but less than a tenth of the way.",
                "",
            )
            .see("held-out"),
        );
    }
}

fn probabilities(result: &DemoResult, warnings: &mut Vec<Warning>) {
    let error = result.calibration_error;
    let severity =
        if error > 0.1 { Some(Severity::Serious) } else { (error > 0.05).then_some(Severity::Caution) };
    if let Some(severity) = severity {
        warnings.push(
            Warning::new(
                severity,
                format!("Fate probabilities are off by {} on average", percent(error)),
                "Above 5 % is a caution, above 10 % serious: a stated 70 % may be 60 % or 80 %.",
                "Use them to rank cells, not as odds.",
            )
            .see("calibration"),
        );
    }
    let entropy = |rows: &[[f64; 5]]| {
        let of = |r: &[f64; 5]| {
            let sum: f64 = r.iter().sum();
            -r.iter().map(|p| p / sum).filter(|&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
        };
        rows.iter().map(of).sum::<f64>() / rows.len() as f64
    };
    let gap = entropy(&result.progenitor_model) - entropy(&result.progenitor_truth);
    if gap < -0.1 {
        warnings.push(Warning::new(Severity::Caution, format!("The model is too sure of single cells: its fates have {} nats less entropy than the true ones", number(-gap, 2)), "Usual causes: noise that is too small, or early differences that are taken for a decision.", "").see("calibration"));
    } else if gap > 0.1 {
        warnings.push(Warning::new(Severity::Note, format!("The model is more cautious than need be: its fates have {} nats more entropy than the true ones", number(gap, 2)), "It does not use all that a progenitor's levels tell about its fate.", "").see("calibration"));
    }
    let scores = &result.scores;
    let gain =
        share_of_way(scores.model.cross_entropy, scores.base_rate.cross_entropy, scores.oracle.cross_entropy);
    if gain < 0.25 {
        warnings.push(
            Warning::new(
                Severity::Serious,
                format!("Only {} of what can be known about a cell's fate is learned", percent(gain)),
                "It is hardly better than giving every cell the mean fractions.",
                "Do not use fates of single cells.",
            )
            .see("limits"),
        );
    }
}

fn interventions(result: &DemoResult, warnings: &mut Vec<Warning>) {
    let sign = &result.sign;
    let share = sign.right as f64 / sign.of as f64;
    let severity =
        if share < 0.75 { Some(Severity::Serious) } else { (share < 0.9).then_some(Severity::Caution) };
    if let Some(severity) = severity {
        warnings.push(
            Warning::new(
                severity,
                format!(
                    "{} of {} clear effects of interventions have the wrong sign",
                    sign.of - sign.right.min(sign.of),
                    sign.of
                ),
                "Below 90 % right is a caution, below 75 % serious: half would be right by guessing.",
                "Believe an effect only if a refit with another seed agrees.",
            )
            .see("interventions"),
        );
    }
    if sign.slope < 0.7 || sign.slope > 1.4 {
        let word = if sign.slope < 1.0 { "too small" } else { "too large" };
        warnings.push(
            Warning::new(
                Severity::Caution,
                format!("Predicted effects are {word}: {} × the true size on average", number(sign.slope, 2)),
                "Outside 0.7 to 1.4 sizes are not to be quoted.",
                "Use the order of effects, not their size.",
            )
            .see("interventions"),
        );
    }
}

fn noise(result: &DemoResult, warnings: &mut Vec<Warning>) {
    let Some(f) = &result.scores.model.fields else { return };
    if f.log_g_bias.abs() > 0.1 {
        let word = if f.log_g_bias < 0.0 { "small" } else { "large" };
        warnings.push(Warning::new(Severity::Caution, format!("The learned noise is too {word}: {} × the true one (log bias {})", number(f.log_g_bias.exp(), 2), signed(f.log_g_bias, 2)), "Too little noise makes fates over-confident, too much blurs them. On real cells nothing but the spread within fates would show it.", "").see("spreads"));
    }
}
