//! Fates of the start cells, and what perturbations do to them.

use chreode_report::{
    BarSeries, Bars, ColourBy, Column, FateBars, Forest, ForestRow, Page, Row, Scatter, ShapeError, Table,
    count, number, percent, signed,
};

use super::{FateView, RunPage, ShiftView, View};

pub(super) fn section(page: &mut Page, input: &RunPage<'_>, view: &View<'_>) -> Result<(), ShapeError> {
    if let Some(fates) = &input.fates {
        predicted(page, input, view, fates)?;
    }
    if !input.shifts.is_empty() {
        shifts(page, input.shifts);
    }
    Ok(())
}

fn predicted(
    page: &mut Page,
    input: &RunPage<'_>,
    view: &View<'_>,
    of: &FateView<'_>,
) -> Result<(), ShapeError> {
    let (fates, names) = (of.fates, of.fates.names());
    let s = page.section("fates", "Fates");
    s.text(format!(
        "{} cells of {} were run forward many times each to {}. Where a path ends, its {} vote for its label; a cell's fate probabilities are the mean of these votes.",
        count(fates.len()),
        input.at(of.t0),
        input.at(of.until),
        of.readout.told(),
    ));
    if fates.is_empty() {
        s.text("No start cell was given.");
        return Ok(());
    }
    let bars = Bars::new(names.to_vec(), vec![BarSeries::new("mean probability", fates.mean())])
        .label(format!("mean probability at {}", input.at(of.until)))
        .percent();
    s.figure(
        "Mean fate",
        "Mean over all start cells: the predicted composition of their descendants, each start cell counted once. It is not the composition of the whole tissue, and fates that grow faster are counted by growth only if the model has it.",
        &bars.draw()?,
    );
    if let Some((transport, agreement)) = &of.transport {
        let bars = Bars::new(
            names.to_vec(),
            vec![
                BarSeries::new("the model", fates.mean()),
                BarSeries::new("transport between the snapshots", transport.mean()),
            ],
        )
        .label(format!("mean probability at {}", input.at(of.until)))
        .percent();
        s.figure(
            "The model beside transport",
            format!(
                "Transport couples the cells of each time with those of the next and needs no model. Cell by cell the two differ by {} of the probability; the cross-entropy of the model against transport is {} nats, where {} would be agreement; {} of the cells have the same most probable fate. Neither is the truth: both know snapshots alone. A large difference means that the fates rest on how they were computed.",
                percent(agreement.total_variation),
                number(agreement.cross_entropy, 3),
                number(agreement.entropy, 3),
                percent(agreement.same_best),
            ),
            &bars.draw()?,
        );
    }
    let points = view.points(of.start, |_| of.t0);
    let best: Vec<Option<usize>> = (0..fates.len())
        .map(|i| {
            let row = fates.of(i);
            (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)))
        })
        .collect();
    let scatter = Scatter::new(&points).labels(view.names[0], view.names[1]);
    s.half_figure(
        "The most probable fate",
        "Each dot is a start cell, coloured by its most probable fate, however small the lead. Read it with the map beside it.",
        &scatter
            .clone()
            .colour(ColourBy::Category { title: "most probable fate", labels: names, of: &best })
            .draw()?,
    );
    let entropy: Vec<f64> = (0..fates.len()).map(|i| fates.entropy(i)).collect();
    s.half_figure(
        "How open the fate is",
        format!(
            "Entropy of the fate probabilities: 0 is certain, {} all {} fates alike. Where it is high, the colour of the map beside it means little.",
            number((names.len() as f64).ln(), 3),
            names.len()
        ),
        &scatter.colour(ColourBy::Value { title: "fate entropy (nats)", values: &entropy }).draw()?,
    );
    let all: Vec<f64> = (0..fates.len()).flat_map(|i| fates.of(i)).copied().collect();
    s.figure(
        "Cell by cell",
        "One thin column per start cell, sorted. A column of one colour is a cell that the model takes for committed; mixed columns are cells whose fate it leaves to chance.",
        &FateBars::new(names, &all)?.draw(),
    );
    let base: f64 = -of.readout.base_rate.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    s.text(format!(
        "The read-out itself: by the votes of the {}, the label of a left-out labelled cell is predicted at {} nats; knowing only how frequent labels are would give {} nats. Fates cannot be sharper than that.",
        of.readout.told(),
        number(of.readout.log_loss, 3),
        number(base, 3),
    ));
    Ok(())
}

fn shifts(page: &mut Page, views: &[ShiftView]) {
    let s = page.section("perturbations", "Perturbations");
    s.text("Change of the mean fate probabilities of the start cells by each perturbation, against the same cells with the same noise and no perturbation. The model saw undisturbed cells only: this is what it would do there, not what cells did.");
    let mut forest = Forest::new().label("change of the mean probability").names("shift, 95 % interval", "");
    for view in views {
        let rows = view.shifts.iter().map(|shift| {
            let (lo, hi) = shift.interval();
            let row = ForestRow::new(shift.fate.clone(), shift.shift());
            if lo.is_finite() && hi.is_finite() {
                let row = row.interval(lo, hi);
                if lo <= 0.0 && hi >= 0.0 { row.faint() } else { row }
            } else {
                row.faint()
            }
        });
        forest = forest.group(view.name.clone(), rows.collect());
    }
    s.figure(
        "Shifts of the fates",
        "Right of zero: more cells of this fate. Grey: the interval holds zero. The interval is over the start cells of this one model: it does not know how wrong the model may be, so that a narrow interval is no proof.",
        &forest.draw(),
    );
    if views.iter().flat_map(|v| &v.genes).any(|gene| !gene.is_whole()) {
        s.table(gene_table(views));
    }
}

/// How far each gene was really moved, where coordinates hold a part of genes only.
fn gene_table(views: &[ShiftView]) -> Table {
    let columns = vec![
        Column::text("perturbation"),
        Column::text("gene"),
        Column::numeric("moved").hint("sd at the start"),
        Column::numeric("share of it").hint("in the coordinates"),
    ];
    let mut table = Table::new("What was done to the genes", columns).caption(
        "Moves are means over the start cells. Principal components hold a part of each gene only. A shift at the start moves cells to where cells with so much more of the gene are projected: the value that the components give back for the gene moves by that part. A gene that is held is moved until that value is what was asked, which is a longer way. Compare shifts with shifts, and held genes with held genes.",
    );
    for view in views {
        for gene in &view.genes {
            let (moved, held) = (signed(gene.moved, 2), percent(gene.held));
            table.row(Row::new([view.name.clone(), gene.gene.clone(), moved, held]));
        }
    }
    table
}
