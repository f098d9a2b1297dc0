//! The part of a fit's page that is about its nets.

use chreode_report::{Column, Figure, Lines, Page, Row, RowKind, Series, Severity, Table, Warning};

use super::along::{Along, AlongNet, NetRun};

/// A net that leaves what it was fitted to by more than this part of that range is warned about.
const BEYOND: f64 = 0.1;
/// Sums that drift by more than this are not conserved.
const DRIFTS: f64 = 1e-6;
/// A state below this part of its largest counts as negative: the integrator's tolerance explains less.
const NEGATIVE: f64 = -1e-6;

fn number(x: f64) -> String {
    chreode_report::number(x, 4)
}

/// Adds to a fit's page what its nets learned, what is conserved, and where nets were asked beyond what they were fitted to.
pub fn hybrid_section(along: &Along, page: &mut Page) {
    let section = page.section("nets", "What the nets say");
    section.text(
        "A net replaces or corrects a rate. Between and beyond the concentrations that the fitted measurements passed through nothing \
         holds it: read its curve there as a guess.",
    );
    let mut warnings = Vec::new();
    for net in &along.nets {
        let (beyond, input) = net.extrapolation();
        if beyond > BEYOND {
            warnings.push(Warning::new(
                Severity::Serious,
                format!("The net of {} extrapolates.", net.name),
                format!("Until t = {}, {input} leaves the range of the fitted measurements by {beyond:.2} of its width.", number(along.until)),
                "Do not trust what depends on it there; measure there, or choose a law.",
            ));
        }
    }
    if along.lowest.1 < NEGATIVE {
        warnings.push(Warning::new(
            Severity::Serious,
            format!("{} becomes negative.", along.lowest.0),
            format!("It falls to {} of its largest value.", number(along.lowest.1)),
            "Rates of nets vanish with what they consume; a law of the file, or a net in place of the model, does not.",
        ));
    }
    if let Some(worst) = along.conserved.iter().max_by(|a, b| a.relative.total_cmp(&b.relative))
        && worst.relative > DRIFTS
    {
        warnings.push(Warning::new(
            Severity::Serious,
            format!("{} is not conserved.", worst.sum),
            format!("It changes by {} of its size.", number(worst.relative)),
            "A net in place of the whole model knows no stoichiometry: use nets for rates.",
        ));
    }
    section.warn(warnings);
    let panels: Vec<(String, Figure)> = along.nets.iter().flat_map(panels).collect();
    if !panels.is_empty() {
        section.figure(
            "Learned rates",
            "Amount per time along the runs: over time, and against each input. Dashed: beyond the last fitted measurement of the condition.",
            &Figure::grid(&panels),
        );
    }
    let columns = vec![
        Column::text("net"),
        Column::text("input"),
        Column::text("fitted range"),
        Column::text("range of all runs"),
        Column::numeric("beyond").hint("of the fitted range"),
    ];
    let mut table = Table::new("Where nets were asked", columns);
    for net in &along.nets {
        for (i, id) in net.inputs.iter().enumerate() {
            let beyond = net.beyond(i);
            let range = |(a, b): (f64, f64)| format!("{} to {}", number(a), number(b));
            let kind = if beyond > BEYOND { RowKind::Reference } else { RowKind::Plain };
            let cells = [
                net.name.clone(),
                id.clone(),
                range(net.fitted[i]),
                range(net.all[i]),
                format!("{beyond:.2}"),
            ];
            table.row(Row::new(cells).kind(kind));
        }
    }
    section.table(table);
    let columns = vec![Column::text("conserved sum"), Column::numeric("largest change").hint("relative")];
    let mut table = Table::new("Conservation along the runs", columns).caption(format!(
        "All independent sums that the file's stoichiometry conserves, in amounts. The lowest state is {}, at {} of its largest value.",
        along.lowest.0,
        number(along.lowest.1)
    ));
    for drift in &along.conserved {
        table.row(Row::new([drift.sum.clone(), format!("{:.1e}", drift.relative)]));
    }
    section.table(table);
}

/// The rate over time and against each input.
fn panels(net: &AlongNet) -> Vec<(String, Figure)> {
    let n = net.inputs.len();
    let axes =
        std::iter::once((0, "time")).chain(net.inputs.iter().enumerate().map(|(i, id)| (i + 1, id.as_str())));
    let panel = |(column, axis): (usize, &str)| {
        let mut series = Vec::new();
        for NetRun { condition, fitted_until, rows } in &net.runs {
            let points = |later: bool| -> Vec<[f64; 2]> {
                let rows = rows.iter().filter(|row| (row[0] > *fitted_until) == later);
                rows.map(|row| [row[column], row[n + 1]]).collect()
            };
            let (fitted, later) = (points(false), points(true));
            if !fitted.is_empty() {
                series.push(Series::new(condition.clone(), fitted));
            }
            if !later.is_empty() {
                series.push(Series::new(format!("{condition}, not fitted"), later).dashed());
            }
        }
        (format!("{} by {axis}", net.name), Lines::new(series).labels(axis, "rate").draw())
    };
    axes.map(panel).collect()
}
