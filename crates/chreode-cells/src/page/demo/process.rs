//! Drift and diffusion beside the truth, and the scores that snapshots do not determine.

use chreode_report::{
    Column, HeatMap, Lattice, Page, Row, RowKind, ScalarGrid, ShapeError, Streamlines, Table, VectorGrid,
    number,
};

use super::{GATA1, PU1, plane};
use crate::demo::{DemoResult, ScoreRow};
use crate::page::plane::column;
use crate::virtual_blood::{D, FACTORS};

/// Nodes along the longer side of a map.
const NODES: usize = 40;

pub(super) fn fields(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let s = page.section("fields", "What moves the cells");
    s.text("The model says for every state where a cell is pushed (**drift**) and how strongly it is shaken (**diffusion**). Both act on eleven factors at once; shown is what they do to Gata1 and Pu1, averaged over the cells at each place of this plane.");
    s.text("The model was **told the form** of both, and it is the form of the truth: every factor is made and decays, and the noise is that of such a network in a small volume. Learned are which levels switch which factor on, all rates, and one size of the noise a factor. Nobody knows the form for real cells, so that a pattern as right as here is not to be expected there.");
    let plane = plane(GATA1, PU1);
    let [x, y] = plane.names;
    let points = plane.points(&result.field_cells);
    let lattice = Lattice::covering(&points, NODES);
    let smooth = |drift: &[f32]| VectorGrid::smooth(lattice, &points, &plane.points(drift));
    let (truth, learned) = (smooth(&result.true_drift)?, smooth(&result.drift)?);
    let widest = truth.fastest().max(learned.fastest());
    for (title, grid, caption) in [
        (
            "Drift, true",
            &truth,
            "Streamlines follow the mean push on the cells; wider is faster, in both figures alike. Dots are true cells of days 0.5 to 6.",
        ),
        (
            "Drift, learned",
            &learned,
            "Should fork at the same place and end at the same corners. Where few cells pass, the snapshots say little about it.",
        ),
    ] {
        let lines = Streamlines::new(grid, &points).unit("per day").labels(x, y).widest_at(widest);
        let figure = lines.draw()?;
        s.half_figure(title, caption, &figure);
    }
    for k in [GATA1, PU1] {
        let (truth, model) = (column(&result.true_diffusion, D, k), column(&result.diffusion, D, k));
        // One scale for both, so that a colour means the same.
        let mut all: Vec<f64> = truth.iter().chain(&model).copied().filter(|v| v.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let cut = all.len() / 100;
        let range = all.get(cut).copied().zip(all.iter().rev().nth(cut).copied());
        let factor = FACTORS[k];
        let title = format!("diffusion of {factor} (per √day)");
        for (which, values, caption) in [
            (
                "true",
                &truth,
                "The colour tells how strongly this factor fluctuates at that place. Where a factor is off, little of it is made and little decays, so it hardly fluctuates.",
            ),
            (
                "learned",
                &model,
                "The same colours as in the map beside it. The pattern is easy to get (noise grows with the level in any such network); the size is the harder part, because a stronger pull back hides stronger noise: it stays near where training starts it (see the spreads).",
            ),
        ] {
            let grid = ScalarGrid::smooth(lattice, &points, values)?;
            let mut map = HeatMap::new(&grid, title.clone()).labels(x, y);
            if let Some((lo, hi)) = range {
                map = map.range(lo, hi);
            }
            s.half_figure(format!("Diffusion of {factor}, {which}"), caption, &map.draw());
        }
    }
    Ok(())
}

pub(super) fn scores(page: &mut Page, result: &DemoResult) {
    let s = page.section("limits", "What snapshots tell, and what they do not");
    s.text("Snapshots show how the whole population changes. They do not show which early cell becomes which late cell, and drift and noise can trade places without changing any snapshot (Weinreb et al. 2018). So what the sections above show (the held-out day, fractions, spreads, interventions, calibration) may fairly be asked of such a model; the numbers below may not be taken for granted, whatever the method and however many cells.");
    let columns = vec![
        Column::text("what"),
        Column::numeric("fate cross-entropy").hint("nats, low is good"),
        Column::numeric("drift cosine").hint("mean of cells"),
        Column::numeric("drift cosine").hint("all as one"),
        Column::numeric("log-diffusion").hint("correlation"),
        Column::numeric("log-diffusion").hint("rms error"),
        Column::numeric("log-diffusion").hint("bias"),
    ];
    let mut table = Table::new("Single-cell scores beside their references", columns).caption(
        "Rows in italics are references, not fits. Read every column against them: a correlation that an untrained rule reaches as well is no evidence of learning. Cosines and the correlation are best at 1, errors at 0; a bias below 0 is too little noise. A dash: not defined, or not computed, for this row.",
    );
    table.row(row(&result.scores.model).kind(RowKind::Highlight));
    for reference in [&result.scores.oracle].into_iter().chain(&result.scores.references) {
        table.row(row(reference).kind(RowKind::Reference));
    }
    table.row(row(&result.scores.base_rate).kind(RowKind::Reference));
    s.table(table);
    let (model, oracle, base) = (
        result.scores.model.cross_entropy,
        result.scores.oracle.cross_entropy,
        result.scores.base_rate.cross_entropy,
    );
    if model.is_finite() && oracle.is_finite() && base.is_finite() {
        s.text(format!(
            "Cross-entropy is the mean surprise at the fate that a cell takes. Whoever knows only the mean fractions scores {}; whoever knows the true process {}, since chance decides the rest. The model's {} gains {} of these {} nats.",
            number(base, 4),
            number(oracle, 4),
            number(model, 4),
            number(base - model, 2),
            number(base - oracle, 2),
        ));
    }
}

fn row(score: &ScoreRow) -> Row {
    let mut cells = vec![score.name.clone(), number(score.cross_entropy, 4)];
    match &score.fields {
        Some(f) => {
            cells
                .extend([f.cosine_per_cell, f.cosine_pooled, f.log_g_correlation, f.log_g_rms].map(decimals));
            let sign = if f.log_g_bias >= 0.005 { "+" } else { "" };
            cells.push(format!("{sign}{}", decimals(f.log_g_bias)));
        }
        None => cells.extend(["–"; 5].map(String::from)),
    }
    Row::new(cells)
}

/// Two decimals, which is what these scores carry.
fn decimals(x: f64) -> String {
    // A rounded zero carries no sign.
    let x = if x.abs() < 0.005 { 0.0 } else { x };
    if x.is_finite() { format!("{x:.2}").replace('-', "−") } else { number(x, 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_two_decimals_and_zero_no_sign() {
        assert_eq!([0.236, -0.004, -0.006, f64::NAN].map(decimals), ["0.24", "0.00", "−0.01", "–"]);
    }
}
