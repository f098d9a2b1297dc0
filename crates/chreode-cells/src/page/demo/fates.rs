//! Fractions of the fates, spread within them, effects of interventions, calibration.

use chreode_report::{
    BarSeries, Bars, Calibration, CalibrationBin, ColourBy, Figure, Forest, ForestRow, Matrix, Page, Scatter,
    ShapeError, number, percent,
};

use super::{fate_names, worst_fraction};
use crate::demo::{DemoResult, EffectRow};
use crate::virtual_blood::Fate;

/// Two-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.96;

pub(super) fn fractions(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let s = page.section("fractions", "How many cells take which fate");
    s.text("Fresh progenitors are run from day 0 to day 6, by the network and by the model. A fate is read from the levels at the end by fixed thresholds, the same for both.");
    let rows = &result.fractions;
    let bar = |name: &str, value: fn(&crate::demo::FateFraction) -> (f64, f64)| {
        let values: Vec<(f64, f64)> = rows.iter().map(value).collect();
        BarSeries::new(name, values.iter().map(|v| v.0).collect())
            .intervals(values.iter().map(|v| (v.0 - Z95 * v.1, v.0 + Z95 * v.1)).collect())
    };
    let bars = Bars::new(
        rows.iter().map(|f| f.fate.to_string()).collect(),
        vec![bar("truth", |f| (f.truth, f.truth_se)), bar("model", |f| (f.model, f.model_se))],
    )
    .label("fraction of cells at day 6")
    .percent();
    let beyond = rows.iter().filter(|f| {
        (f.model - f.truth).abs() > Z95 * (f.truth_se * f.truth_se + f.model_se * f.model_se).sqrt()
    });
    let verdict = worst_fraction(result).map_or_else(String::new, |(fate, gap)| {
        format!(
            " Here {} of {} fractions differ from the truth by more than chance; the largest gap is {} ({fate}).",
            beyond.count(),
            rows.len(),
            percent(gap.abs())
        )
    });
    s.figure(
        "Fate fractions at day 6",
        format!(
            "Whiskers: 95 % intervals from the number of simulated cells alone.{verdict} Fractions are what snapshots determine best: the last day itself shows them, as long as no fate grows faster than another."
        ),
        &bars.draw()?,
    );
    Ok(())
}

pub(super) fn spreads(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let s = page.section("spreads", "How different cells of one fate are");
    s.text("Within a mature fate drift and noise are in balance, so that the spread of a factor there tells whether the model's noise has the right size. Fates alone would not: a model with one constant noise per factor gets fates right and spreads wrong by up to a factor of two.");
    s.text("How large the noise is, the snapshots say only weakly: training hardly moves it from **the size at which it starts**, which was chosen by the distance to the left-out day. Weight decay, a steady pull of every parameter to a fixed value, holds it too, and holds the decay rates near the one per day at which they start. So read spreads near the truth as a fit, not as a measurement of the noise.");
    let all = result.spreads.iter().flat_map(|r| [r.model, r.truth]);
    let widest = all.filter(|s| s.is_finite()).fold(0.0, f64::max);
    let mut panels = Vec::new();
    for fate in Fate::ALL.iter().map(|f| f.name()) {
        let rows: Vec<_> = result.spreads.iter().filter(|r| r.fate == fate).collect();
        if rows.is_empty() {
            continue;
        }
        let bars = Bars::new(
            rows.iter().map(|r| r.factor.to_string()).collect(),
            vec![
                BarSeries::new("model", rows.iter().map(|r| r.model).collect()),
                BarSeries::new("truth", rows.iter().map(|r| r.truth).collect()).as_marker(),
            ],
        )
        .label("standard deviation at day 6")
        .reach(widest);
        panels.push((fate.to_string(), bars.draw()?));
    }
    let mut ratios: Vec<f64> =
        result.spreads.iter().map(|r| r.model / r.truth).filter(|r| r.is_finite()).collect();
    ratios.sort_by(f64::total_cmp);
    let verdict = match ratios.len() {
        0 => "No fate has enough cells in both to compare.".to_string(),
        n => format!(
            "Over all {n} pairs of fate and factor the model's spread is {} × the true one at the median, and 80 % of the pairs lie between {} and {}.",
            number(ratios[n / 2], 2),
            number(ratios[n / 10], 2),
            number(ratios[(n - 1) - n / 10], 2)
        ),
    };
    s.figure(
        "Spread of each factor within each fate",
        format!("A bar that ends at its upright mark is right; shorter bars mean too little noise there (or too strong a pull back), longer bars too much. {verdict}"),
        &Figure::grid(&panels),
    );
    Ok(())
}

pub(super) fn interventions(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let s = page.section("interventions", "What happens when a factor is changed");
    s.text("The model saw undisturbed cells only. A factor is then held at zero (**clamp**), or made at a higher rate (**over-expressed**) so that its level may rise by 0.2 or 0.5, from the start to day 6, in the model and in the network, with the same cells and the same noise as the undisturbed run.");
    let mut kinds: Vec<&str> = Vec::new();
    for row in &result.effects {
        if !kinds.contains(&row.kind) {
            kinds.push(row.kind);
        }
    }
    let of_kind = |kind: &str| result.effects.iter().filter(|r| r.kind == kind).collect::<Vec<&EffectRow>>();
    let mut forests: Vec<(String, Figure)> = kinds
        .iter()
        .map(|kind| {
            let rows = of_kind(kind).into_iter().map(|r| {
                let k = r.truth.largest();
                let (at, se) = (r.model.change[k], r.model.se[k]);
                let row = ForestRow::new(format!("{} → {}", r.factor, Fate::ALL[k].name()), at)
                    .interval(at - Z95 * se, at + Z95 * se)
                    .truth(r.truth.change[k]);
                if r.truth.change[k].abs() < 0.05 { row.faint() } else { row }
            });
            let forest = Forest::new()
                .group("", rows.collect())
                .label("change of the fraction at day 6")
                .names("model, 95 % interval", "truth");
            (format!("{kind}: the fate that truly changes most"), forest.draw())
        })
        .collect();
    let changes: Vec<[f64; 2]> =
        result.effects.iter().flat_map(|r| (0..5).map(|k| [r.model.change[k], r.truth.change[k]])).collect();
    let kind_names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let kind_of = |r: &EffectRow| kinds.iter().position(|kind| *kind == r.kind);
    let kind: Vec<Option<usize>> = result.effects.iter().flat_map(|r| [kind_of(r); 5]).collect();
    let all = Scatter::new(&changes)
        .colour(ColourBy::Category { title: "intervention", labels: &kind_names, of: &kind })
        .labels("predicted change", "true change")
        .identity();
    forests.push(("All changes of all five fractions".to_string(), all.draw()?));
    let sign = &result.sign;
    s.figure(
        "Effects, predicted and true",
        format!(
            "Dot: the model, with its interval over cells; ring: the truth; the line between them is the error. Grey: true effects below 0.05. Last panel: on the dashed line predicted and true changes are equal. Of {} true changes above 0.05 the model has {} on the right side of zero; correlation {}, and a predicted change is {} × the true one on average. The intervals know chance only: they do not know that the model may be wrong.",
            sign.of,
            sign.right,
            number(sign.correlation, 2),
            number(sign.slope, 2)
        ),
        &Figure::grid(&forests),
    );
    let fates = fate_names();
    let errors_of = |rows: &[&EffectRow]| -> Vec<f64> {
        rows.iter().flat_map(|r| (0..5).map(|k| r.model.change[k] - r.truth.change[k])).collect()
    };
    // One scale for all, so that a colour means the same.
    let all: Vec<&EffectRow> = result.effects.iter().collect();
    let reach = errors_of(&all).into_iter().filter(|e| e.is_finite()).fold(0.0, |a: f64, e| a.max(e.abs()));
    let mut matrices = Vec::new();
    for kind in &kinds {
        let rows = of_kind(kind);
        let names: Vec<String> = rows.iter().map(|r| r.factor.to_string()).collect();
        let errors = errors_of(&rows);
        let matrix = Matrix::new(&names, &fates, &errors, "model minus truth, change of the fraction")?;
        matrices.push(((*kind).to_string(), matrix.change().range(-reach, reach).draw()));
    }
    s.figure(
        "Errors of all five fractions",
        "Warm: the model predicts more cells of this class than there are; blue: fewer. A row of strong colours is a factor whose role the snapshots did not reveal: levels that always move together cannot be told apart as causes by watching.",
        &Figure::grid(&matrices),
    );
    Ok(())
}

pub(super) fn calibration(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let s = page.section("calibration", "Can its probabilities be believed?");
    s.text(format!(
        "{} progenitors are run many times each, by the network and by the model: every cell has true fate probabilities, and predicted ones.",
        result.progenitor_truth.len()
    ));
    let bins = result.calibration.iter().map(|b| CalibrationBin {
        predicted: b.predicted,
        observed: b.observed,
        // The truth is a mean of known probabilities here, not a share of counts.
        interval: (f64::NAN, f64::NAN),
        count: b.count,
    });
    let curve = Calibration::new()
        .labels("predicted probability", "true probability")
        .bins("pairs of cell and fate", bins.collect());
    s.half_figure(
        "Calibration",
        format!(
            "On the dashed line, predictions are right on average (mean gap here {}). A curve flatter than the line is a model that is too sure of itself, a steeper one too cautious. Good calibration says that probabilities mean what they say, not that they tell cells apart.",
            percent(result.calibration_error)
        ),
        &curve.draw(),
    );
    let fates = fate_names();
    let pairs = || result.progenitor_model.iter().zip(&result.progenitor_truth);
    let points: Vec<[f64; 2]> = pairs().flat_map(|(m, t)| (0..5).map(|k| [m[k], t[k]])).collect();
    let fate: Vec<Option<usize>> = (0..points.len()).map(|i| Some(i % 5)).collect();
    s.half_figure(
        "The same, cell by cell",
        "One dot per cell and fate. Far from the line: the model is wrong about this cell, even if the average is right. Dots of one colour in an upright line: the model gives all cells the same probability of that fate, whatever it truly is.",
        &Scatter::new(&points)
            .colour(ColourBy::Category { title: "fate", labels: &fates, of: &fate })
            .labels("predicted probability", "true probability")
            .identity()
            .draw()?,
    );
    Ok(())
}
