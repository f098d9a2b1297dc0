//! The members of a run of several seeds: how each came out, and how far they disagree.

use chreode_model::NeuralSde;
use chreode_report::{BarSeries, Bars, Column, Page, Row, ShapeError, Table, count, number, percent};

use super::{CellFields, FateView, RunPage};
use crate::AnalysisError;
use crate::run::{Members, TrainingCells};

/// How far the fields of several models are apart at the training cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemberSpread {
    /// Standard deviation of the drift over the members, root mean square over cells and coordinates, as a part of the root mean square of
    /// the mean drift.
    pub drift: f64,
    /// Standard deviation of the natural logarithm of the diffusion, root mean square likewise.
    pub log_diffusion: f64,
    /// Standard deviation of the growth rates about the mean over cells, per time, root mean square over cells; none without growth.
    pub growth: Option<f64>,
}

impl MemberSpread {
    /// Of the members with these parameters, two at least, at the cells at which the page shows fields; none of fewer.
    ///
    /// # Errors
    /// [`AnalysisError::Field`] if a member is undefined at a cell.
    pub fn at(
        model: &NeuralSde<f32>,
        params: &[Vec<f32>],
        cells: &TrainingCells,
        seed: u64,
    ) -> Result<Option<Self>, AnalysisError> {
        if params.len() < 2 {
            return Ok(None);
        }
        let fields =
            params.iter().map(|p| CellFields::at(model, p, cells, seed)).collect::<Result<Vec<_>, _>>()?;
        let drift: Vec<Vec<f64>> = fields.iter().map(|f| wide(&f.drift)).collect();
        let (mean_square, spread) = mean_square_and_spread(&drift);
        let noise: Vec<Vec<f64>> = fields
            .iter()
            .map(|f| f.diffusion.iter().map(|&g| f64::from(g).abs().max(1e-30).ln()).collect())
            .collect();
        let growth: Option<Vec<Vec<f64>>> = fields
            .iter()
            .map(|f| {
                // Snapshots show differences of growth alone.
                let rates = wide(f.growth.as_ref()?);
                let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
                Some(rates.iter().map(|r| r - mean).collect())
            })
            .collect();
        Ok(Some(Self {
            drift: (spread / mean_square.max(f64::MIN_POSITIVE)).sqrt(),
            log_diffusion: mean_square_and_spread(&noise).1.sqrt(),
            growth: growth.map(|growth| mean_square_and_spread(&growth).1.sqrt()),
        }))
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Mean over the places of the squared mean over the members, and of their variance.
fn mean_square_and_spread(members: &[Vec<f64>]) -> (f64, f64) {
    let (count, places) = (members.len() as f64, members[0].len().max(1) as f64);
    let (mut square, mut spread) = (0.0, 0.0);
    for i in 0..members[0].len() {
        let mean = members.iter().map(|m| m[i]).sum::<f64>() / count;
        square += mean * mean;
        spread += members.iter().map(|m| (m[i] - mean).powi(2)).sum::<f64>() / (count - 1.0);
    }
    (square / places, spread / places)
}

/// The members of a run, for its page.
#[derive(Debug, Clone, Copy)]
pub struct MembersView<'a> {
    /// How each came out.
    pub members: &'a Members,
    /// How far those that are kept are apart; none if one is.
    pub spread: Option<MemberSpread>,
}

pub(super) fn section(page: &mut Page, input: &RunPage<'_>) -> Result<(), ShapeError> {
    let Some(view) = &input.members else { return Ok(()) };
    let kept = view.members.kept().len();
    let s = page.section("members", "Members");
    s.text(format!(
        "{} models were trained on the same cells with different seeds, and compared on the same held-out cells. {}",
        count(view.members.members.len()),
        match view.members.limit {
            Some(limit) => format!(
                "A member whose loss there is above {} went astray and is left out of all that is predicted: five times the spread of the members, or of the cells' sampling where that is larger, above the median. Fates and labels have no part in it.",
                number(limit, 3)
            ),
            None => "There is no rule by which one of so few, or without held-out cells, could be left out.".to_owned(),
        }
    ));
    let failed = view.members.members.iter().filter(|m| m.failed.is_some()).count();
    if failed > 0 {
        s.text(format!(
            "The training of {} failed: such settings are at the edge of what can be trained, and a smaller learning rate or step is advised.",
            if failed == 1 { "one".to_owned() } else { count(failed) }
        ));
    }
    let columns = vec![
        Column::text("member"),
        Column::text("seed"),
        Column::numeric("held-out loss").hint("lowest"),
        Column::numeric("at step"),
        Column::text("counts"),
    ];
    let mut table = Table::new("How they came out", columns).caption(
        "Drift, diffusion and the checks of this page are those of the first member that counts; fates are means over all that count.",
    );
    for (m, member) in view.members.members.iter().enumerate() {
        let loss = member.best_loss.map_or_else(String::new, |loss| number(loss, 3));
        let counts = match (&member.failed, member.astray) {
            (Some(why), _) => format!("no: failed after {} steps: {why}", count(member.steps as usize)),
            (None, true) => "no: went astray".to_owned(),
            (None, false) => "yes".to_owned(),
        };
        table.row(Row::new([
            (m + 1).to_string(),
            member.seed.to_string(),
            loss,
            count(member.best_step as usize),
            counts,
        ]));
    }
    s.table(table);
    if let Some(spread) = view.spread {
        let growth = spread.growth.map_or_else(String::new, |g| {
            format!(", growth rates (less their mean) by {} per {}", number(g, 2), input.time)
        });
        s.text(format!(
            "How well the data pin the model down, by how far the {} members that count disagree at the cells: the drift by {} of its size, the diffusion by a factor of {}{growth} (standard deviations). What they agree in may still be wrong in all: they share cells, form and method.",
            count(kept),
            percent(spread.drift),
            number(spread.log_diffusion.exp(), 3),
        ));
    }
    if let Some(fates) = input.fates.as_ref().filter(|f| !f.member_sd.is_empty() && !f.fates.is_empty()) {
        let bars = Bars::new(
            fates.fates.names().to_vec(),
            vec![BarSeries::new("standard deviation over members", by_fate(fates))],
        )
        .label("root mean square over the start cells")
        .percent();
        s.figure(
            "Where members disagree about fates",
            "Standard deviation over the members of the probability of each fate, for the same cells and the same noise: what another seed would change. It knows nothing of what all members get wrong.",
            &bars.draw()?,
        );
    }
    Ok(())
}

/// Root mean square over the cells of the spread of each fate.
fn by_fate(view: &FateView<'_>) -> Vec<f64> {
    let (l, n) = (view.fates.names().len(), view.fates.len() as f64);
    let of = |k: usize| view.member_sd.iter().skip(k).step_by(l).map(|s| s * s).sum::<f64>();
    (0..l).map(|k| (of(k) / n).sqrt()).collect()
}

/// Root mean square of all spreads of fates over members; none of one member.
pub(super) fn disagreement(view: &FateView<'_>) -> Option<f64> {
    let square: f64 = view.member_sd.iter().map(|s| s * s).sum();
    (!view.member_sd.is_empty()).then(|| (square / view.member_sd.len() as f64).sqrt())
}
