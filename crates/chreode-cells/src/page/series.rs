//! The page of a fit of measured series.

use chreode_report::{
    Column, Lines, Page, Row, Series, Severity, Status, Table, Tile, Warning, count, number, percent,
};

use crate::series::SeriesResults;

/// Trajectories that get figures of their own; the table and the files have all.
const SHOWN: usize = 6;

/// The page: measured and learned curves, residuals, how the fit went, and where not to trust it.
pub fn series_page(title: &str, results: &SeriesResults<'_>) -> Page {
    let (data, fit) = (results.data, results.fit);
    let scale = data.series.moments().1;
    let mut page = Page::new(title);
    page.subtitle(format!(
        "A field of {} coordinates, learned from {} measured trajectories with {} observations. Its right-hand side is one function of the state for all of them.",
        data.series.dim,
        count(data.names.len()),
        count(data.observations())
    ));
    let d = data.series.dim as f64;
    let relative = (fit.residual.iter().zip(&scale).map(|(r, s)| (r / s).powi(2)).sum::<f64>() / d).sqrt();
    page.tile(
        Tile::new("Residual", percent(relative))
            .unit("of the spread")
            .note("root mean square at the observations trained on")
            .status(if relative < 0.2 {
                Status::Good
            } else if relative < 0.5 {
                Status::Warn
            } else {
                Status::Bad
            }),
    );
    if let Some(held) = fit.hold_out {
        let tile = Tile::new("Held-out loss", number(held, 3))
            .note(format!("{} at the observations trained on", number(fit.loss, 3)));
        page.tile(tile);
    }
    page.tile(
        Tile::new("Observations held out", count(fit.held_out.len()))
            .note("chose among the last parameters; never trained on"),
    );

    let warnings = warnings(results, &scale);
    let curves = page.section("curves", "Measured and learned");
    curves.text("Dots are measurements, lines the learned field followed from a learned start state. Where lines go on past the last dot, nothing holds them but the field itself.");
    if !warnings.is_empty() {
        curves.warn(warnings);
    }
    for (i, (name, p)) in data.names.iter().zip(&results.predictions).enumerate().take(SHOWN) {
        let trajectory = &data.series.trajectories[i];
        let last = trajectory.times[trajectory.times.len() - 1];
        let width = data.series.dim;
        let along = |times: &[f64], states: &[f64], j: usize| -> Vec<[f64; 2]> {
            let points = times.iter().zip(states.iter().skip(j).step_by(width)).map(|(&t, &x)| [t, x]);
            points.filter(|p| !p[1].is_nan()).collect() // what was not measured
        };
        let mut series = Vec::new();
        for (j, coordinate) in data.coordinates.iter().enumerate() {
            series.push(Series::new(coordinate.clone(), along(&p.times, &p.states, j)));
        }
        for (j, coordinate) in data.coordinates.iter().enumerate() {
            let measured = along(&trajectory.times, &trajectory.values, j);
            series.push(Series::new(format!("{coordinate}, measured"), measured).dots().colour_of(j));
        }
        let mut lines = Lines::new(series).labels("time", "value");
        if p.times.last().is_some_and(|t| *t > last) {
            lines = lines.mark(last, "last data");
        }
        curves.half_figure(name, "", &lines.draw());
    }
    if data.names.len() > SHOWN {
        curves.text(format!(
            "The first {SHOWN} of {} trajectories; `predictions.csv` has all.",
            data.names.len()
        ));
    }

    residuals(&mut page, results, &scale);
    training(&mut page, results);
    page
}

/// What is left at the observations.
fn residuals(page: &mut Page, results: &SeriesResults<'_>, scale: &[f64]) {
    let (data, fit) = (results.data, results.fit);
    let section = page.section("residuals", "What is left at the observations");
    section.text("Residuals should look like noise: no waves over time. A wave is a shape that the field could not take, or a start state that was not found.");
    let columns = vec![
        Column::text("coordinate"),
        Column::numeric("residual").hint("in its unit"),
        Column::numeric("of the spread"),
        Column::numeric("held out").hint("in its unit"),
    ];
    let mut table = Table::new("Residuals by coordinate", columns)
        .caption("Root mean squares at the observations that were trained on, also over the standard deviation of the measurements, and at those held out.");
    let width = data.series.dim;
    let mut series = Vec::new();
    for (j, coordinate) in data.coordinates.iter().enumerate() {
        let (mut squares, mut n) = (0.0, 0_u32);
        let mut points = Vec::new();
        for (i, (t, p)) in data.series.trajectories.iter().zip(&results.predictions).enumerate() {
            for (k, &time) in t.times.iter().enumerate() {
                let r = t.values[k * width + j] - p.at_observations[k * width + j];
                if r.is_nan() {
                    continue;
                }
                points.push([time, r / scale[j]]);
                if fit.held_out.binary_search(&(i, k)).is_ok() {
                    (squares, n) = (squares + r * r, n + 1);
                }
            }
        }
        let held = if n == 0 { f64::NAN } else { (squares / f64::from(n)).sqrt() };
        table.row(Row::new([
            coordinate.clone(),
            number(fit.residual[j], 3),
            percent(fit.residual[j] / scale[j]),
            number(held, 3),
        ]));
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        series.push(Series::new(coordinate.clone(), points).dots());
    }
    section.table(table);
    let lines = Lines::new(series).labels("time", "residual, in spreads");
    section.figure(
        "Residuals over time",
        "Measured minus learned, in standard deviations of each coordinate's measurements.",
        &lines.draw(),
    );
}

/// How the fit went.
fn training(page: &mut Page, results: &SeriesResults<'_>) {
    let section = page.section("training", "How the fit went");
    section.text("First the field's values are matched with slopes of smoothed measurements; then it is simulated in windows that double in length, whose ends are pulled towards the next start; at last along whole trajectories. Each stage begins anew, so the loss jumps where windows grow.");
    let simulated = || results.progress.iter().filter(|p| p.window.is_some());
    let curve = |of: &dyn Fn(&chreode_train::SeriesProgress) -> Option<f64>| -> Vec<[f64; 2]> {
        simulated().filter_map(|p| of(p).map(|loss| [p.step as f64, loss])).collect()
    };
    let mut series = vec![Series::new("trained on", curve(&|p| Some(p.loss)))];
    let held = curve(&|p| p.hold_out);
    if !held.is_empty() {
        series.push(Series::new("held out", held));
    }
    let positive = simulated().all(|p| p.loss > 0.0 && p.hold_out.is_none_or(|h| h > 0.0));
    let lines = Lines::new(series).labels("update", "loss").mark(results.fit.step as f64, "kept");
    let lines = if positive { lines.log_y() } else { lines };
    section.figure(
        "Loss",
        "Lower is better. A held-out loss that rises while the other falls is over-fitting.",
        &lines.draw(),
    );
}

/// Where not to trust the curves.
fn warnings(results: &SeriesResults<'_>, scale: &[f64]) -> Vec<Warning> {
    let (data, fit) = (results.data, results.fit);
    let mut warnings = Vec::new();
    let width = data.series.dim;
    let measured = |j: usize| {
        let values =
            data.series.trajectories.iter().flat_map(move |t| t.values.iter().skip(j).step_by(width));
        values
            .filter(|v| !v.is_nan())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)))
    };
    let ranges: Vec<(f64, f64)> = (0..width).map(measured).collect();
    for (name, p) in data.names.iter().zip(&results.predictions) {
        // Half a spread outside of what was measured anywhere.
        let outside = p.times.iter().zip(p.states.chunks_exact(width)).find_map(|(&t, state)| {
            let j = (0..width).find(|&j| {
                state[j] < ranges[j].0 - 0.5 * scale[j] || state[j] > ranges[j].1 + 0.5 * scale[j]
            })?;
            Some((t, j))
        });
        if let Some((t, j)) = outside {
            warnings.push(Warning::new(
                Severity::Caution,
                format!("`{name}` leaves what was measured: {} at time {}", data.coordinates[j], number(t, 3)),
                "Outside of the measurements a net gives numbers that nothing was compared with.",
                "Do not read the curve from there on; measure there, or give the field a form that holds (a production drift for amounts).",
            ));
        }
    }
    if let Some(held) = fit.hold_out.filter(|h| *h > 2.0 * fit.loss && fit.loss > 0.0) {
        warnings.push(Warning::new(
            Severity::Caution,
            format!(
                "the loss at held-out observations is {} times that at the others",
                number(held / fit.loss, 2)
            ),
            "The field bends towards single measurements.",
            "Use fewer hidden units, some `--weight-decay`, or more measurements.",
        ));
    }
    warnings
}
