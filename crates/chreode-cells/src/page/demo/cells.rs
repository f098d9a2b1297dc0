//! The snapshots, and the day that was held out.

use chreode_report::{
    BarSeries, Bars, ColourBy, Histogram, Page, Scatter, ShapeError, count, number, percent, signed,
};

use super::{EKLF, FLI1, GATA1, PU1, covered, fate_names, fates_of, plane};
use crate::demo::DemoResult;
use crate::page::plane::{column, time_text};
use crate::virtual_blood::{D, FACTORS};

/// Levels beyond this are not drawn: a few cells of day 0 would squash all others.
const HIGHEST_DRAWN: f32 = 1.8;

/// Rows in which the two factors of the first plane are low enough to be drawn.
fn drawn(states: &[f32]) -> Vec<f32> {
    let low = |row: &&[f32]| row[GATA1] <= HIGHEST_DRAWN && row[PU1] <= HIGHEST_DRAWN;
    states.chunks_exact(D).filter(low).flatten().copied().collect()
}

/// All snapshots below each other, with the position of each cell's time.
fn stacked(result: &DemoResult) -> (Vec<f32>, Vec<Option<usize>>, Vec<String>) {
    let snapshots: Vec<Vec<f32>> = result.snapshots.iter().map(|s| drawn(s)).collect();
    let states = snapshots.concat();
    let time = snapshots.iter().enumerate();
    let time = time.flat_map(|(k, s)| std::iter::repeat_n(Some(k), s.len() / D)).collect();
    let names = result.times.iter().map(|&t| {
        if t == result.held_out {
            format!("day {}, held out", time_text(t))
        } else {
            format!("day {}", time_text(t))
        }
    });
    (states, time, names.collect())
}

pub(super) fn data(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let (states, time, days) = stacked(result);
    let fate = fates_of(&states);
    let fates = fate_names();
    let s = page.section("data", "The cells");
    s.text("Each dot is one cell, measured once and destroyed. The learner sees levels of eleven factors and the day, nothing else: no path of a cell, no fate, no network. Fates are shown here for the reader only: **Ery**throcyte, **Meg**akaryocyte, **Mono**cyte, **Gran**ulocyte, or **other** (undecided, mixed or arrested).");
    let hidden = result.snapshots.iter().map(|s| s.len() / D).sum::<usize>() - states.len() / D;
    let hidden = match hidden {
        0 => String::new(),
        n => format!(" {} cells with a level above {HIGHEST_DRAWN} are not drawn.", count(n)),
    };
    let red_white = plane(GATA1, PU1);
    let points = red_white.points(&states);
    let [x, y] = red_white.names;
    s.figure(
        "Day by day: Gata1 against Pu1",
        format!("Gata1 (right) makes red cells, Pu1 (up) white cells. Progenitors start with Pu1 and without Gata1, and each cell ends with one of the two. Grey: cells of the other days.{hidden}"),
        &Scatter::new(&points)
            .colour(ColourBy::Category { title: "true fate class", labels: &fates, of: &fate })
            .draw_by(&days, &time)?,
    );
    s.half_figure(
        "All days at once",
        "The same plane, coloured by day. What no snapshot shows is which early cell becomes which late one.",
        &Scatter::new(&points)
            .colour(ColourBy::Ordered { title: "day", labels: &days, of: &time })
            .labels(x, y)
            .draw()?,
    );
    let arms = plane(EKLF, FLI1);
    let [x, y] = arms.names;
    s.half_figure(
        "The second decision: EKLF against Fli1",
        "Red cells become erythrocytes (EKLF) or megakaryocytes (Fli1); white cells stay at the lower left, where this pair does not tell them apart.",
        &Scatter::new(&arms.points(&states))
            .colour(ColourBy::Category { title: "true fate class", labels: &fates, of: &fate })
            .labels(x, y)
            .draw()?,
    );
    Ok(())
}

pub(super) fn held_out(page: &mut Page, result: &DemoResult) -> Result<(), ShapeError> {
    let day = time_text(result.held_out);
    let empty = Vec::new();
    let seen = result.times.iter().position(|&t| t == result.held_out);
    let seen = seen.and_then(|k| result.snapshots.get(k)).unwrap_or(&empty);
    let both = [&seen[..], &result.held_out_cells[..]].concat();
    let which: Vec<Option<usize>> =
        (0..both.len() / D).map(|i| Some(usize::from(i >= seen.len() / D))).collect();
    let names = ["true cells".to_string(), "the model's cells".to_string()];
    let (fates, fate) = (fate_names(), fates_of(&both));
    let s = page.section("held-out", format!("Day {day}, left out of the training"));
    s.text(format!(
        "Cells of the day before are run forward by the model and compared with the true cells of day {day}. \
         This is the cleanest test that snapshots allow: a model that has only memorised its days fails it. \
         It is **not wholly blind** here: the size at which the noise starts was chosen before, as the one of those \
         tried that came closest to day {day} of this demo's own cells. On cells that nobody had looked at, expect the \
         distance to be somewhat larger."
    ));
    let red_white = plane(GATA1, PU1);
    let points = red_white.points(&both);
    s.figure(
        format!("Day {day}, true and predicted"),
        "Gata1 to the right, Pu1 upward, coloured by the class that a cell's levels fall into. The clouds should have the same shape, density and share of colours; grey shows the other panel's cells.",
        &Scatter::new(&points)
            .colour(ColourBy::Category { title: "fate class", labels: &fates, of: &fate })
            .draw_by(&names, &which)?,
    );
    for k in [GATA1, PU1] {
        let (a, b) = (column(seen, D, k), column(&result.held_out_cells, D, k));
        s.half_figure(
            format!("{} at day {day}", FACTORS[k]),
            "Where the two outlines lie on each other, the model has the right share of cells at that level.",
            &Histogram::new(vec![(names[0].clone(), &a), (names[1].clone(), &b)])
                .label(format!("level of {}", FACTORS[k]))
                .draw(),
        );
    }
    let d = &result.held_out_distance;
    let nothing = (f64::NAN, f64::NAN);
    let bars = Bars::new(
        vec![
            "no model: the day before".to_string(),
            "the model".to_string(),
            "another true sample".to_string(),
        ],
        vec![BarSeries::new("energy distance", vec![d.previous_time, d.model, d.floor]).intervals(vec![
            nothing,
            nothing,
            (d.floor - 1.96 * d.floor_sd, d.floor + 1.96 * d.floor_sd),
        ])],
    )
    .label(format!("energy distance to the true cells of day {day}"));
    let above = (d.model - d.floor) / d.floor_sd;
    let verdict = if above.is_nan() {
        String::new()
    } else if above <= 2.0 {
        " No difference from the truth can be shown with this many cells.".to_string()
    } else {
        format!(
            " At {} standard deviations from another true sample the difference is real, however small it looks.",
            signed(above, 2)
        )
    };
    s.figure(
        "How far, in one number",
        format!(
            "The distance of two samples of the same cells is not exactly zero but scatters around it: the whisker holds 95 % of such distances. The model covers {} of the way from no model ({}) to the truth.{verdict}",
            percent(covered(result)),
            number(d.previous_time, 3),
        ),
        &bars.draw()?,
    );
    Ok(())
}
