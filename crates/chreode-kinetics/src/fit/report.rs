//! The page of a fit.

use chreode_linalg::symmetric_eigen;
use chreode_report::{
    Column, Figure, Histogram, Lines, Page, Row, RowKind, Section, Series, Severity, Status, Table, Tile,
    Warning, count,
};
use chreode_train::StoppedBy;

use super::multi::{Fit, FitMethod, Fits};
use super::profile::{End, Profile};
use super::tables::{stopped, word};
use crate::error::KineticsError;
use crate::petab::Objective;

/// Fits this near to the best value count as the same.
const SAME: f64 = 0.1;
/// Most panels of curves.
const MOST_PANELS: usize = 60;
/// Points of a curve.
const POINTS: usize = 61;
/// A fit this near to a bound, relative to the distance of the bounds, is at it.
const AT_BOUND: f64 = 1e-3;
/// Directions whose curvature is this part of the largest, and less, count as not determined.
const FLAT: f64 = 1e-7;

/// A number to five digits.
fn number(x: f64) -> String {
    chreode_report::number(x, 5)
}

/// The page of a fit, with profiles if there are any. `threshold` is that of the profiles.
///
/// # Errors
/// [`KineticsError`] if the model cannot be run at the best fit, or no fit is finite.
pub fn fit_page(
    objective: &mut Objective,
    name: &str,
    fits: &Fits,
    profiles: &[Profile],
    threshold: f64,
) -> Result<Page, KineticsError> {
    let Some(best) = fits.best() else {
        let what = "no fit came to a finite objective";
        return Err(KineticsError::Parameters { ids: Vec::new(), what });
    };
    let x = best.minimum.x.clone();
    let simulation = objective.simulate(&x)?;
    let likelihood = objective.problem().likelihood(&simulation);
    let has_prior = objective.rows().any(|row| row.prior.is_some());
    let nominal = objective.nominal();
    let at_nominal =
        if nominal.iter().all(|x| x.is_finite()) { objective.value(&nominal).ok() } else { None };
    let mut page = Page::new(format!("Fit of {name}"));
    let way = match fits.method {
        FitMethod::Lbfgs => "limited-memory BFGS",
        _ => "Levenberg-Marquardt",
    };
    page.subtitle(format!(
        "{} parameters from {} measurements, {} starts by {way}. {}",
        objective.n(),
        likelihood.n,
        fits.fits.len(),
        if has_prior {
            "The objective is the negative log-posterior: the problem has priors."
        } else {
            "The objective is the negative log-likelihood."
        }
    ));
    let near = fits.near_best(SAME);
    page.tile(Tile::new("log-likelihood", chreode_report::number(likelihood.log_likelihood, 7)).note(
        match at_nominal {
            Some(value) => format!(
                "objective {}; at the nominal parameters {}",
                number(best.minimum.value),
                number(value)
            ),
            None => format!("objective {}", number(best.minimum.value)),
        },
    ));
    let found = Tile::new("starts that end there", format!("{near} of {}", fits.fits.len()));
    page.tile(
        found
            .status(if near > 1 { Status::Good } else { Status::Warn })
            .note(format!("within {SAME} of the best")),
    );
    let per = likelihood.chi_squared / likelihood.n.max(1) as f64;
    page.tile(
        Tile::new("chi-squared", number(likelihood.chi_squared))
            .note(format!("{} for each measurement", number(per))),
    );
    page.tile(Tile::new("time", number(fits.seconds)).unit("s"));

    starts(page.section("starts", "Fits from many starts"), fits, near);
    curves(objective, &x, page.section("curves", "Measurements and fit"))?;
    let residuals = objective.problem().residuals(&simulation);
    residual_figures(objective, &residuals, page.section("residuals", "Residuals"));
    let evaluation = objective.evaluate(&x)?;
    let section = page.section("parameters", "Parameters");
    parameters(objective, &x, profiles, section);
    identifiability(objective, &evaluation.curvature, section);
    if !profiles.is_empty() {
        let section = page.section("profiles", "Profile likelihoods");
        profile_figures(objective, profiles, threshold, section);
    }
    page.footer(format!("chreode {}", env!("CARGO_PKG_VERSION")));
    Ok(page)
}

fn starts(section: &mut Section, fits: &Fits, near: usize) {
    let best = fits.best().map_or(f64::NAN, |fit| fit.minimum.value);
    let ranked = fits.fits.iter().enumerate().filter(|(_, fit)| fit.minimum.value.is_finite());
    let points = ranked.map(|(i, fit)| [(i + 1) as f64, 1.0 + fit.minimum.value - best]).collect();
    let waterfall = Lines::new(vec![Series::new("fits", points).dots()])
        .labels("rank", "objective over the best, plus 1")
        .log_y()
        .draw();
    section.figure(
        "Waterfall",
        "Steps are local minima; a flat beginning says that the best one is found often.",
        &waterfall,
    );
    let cut = fits.fits.len() - fits.finished();
    let finished = |fit: &&Fit| fit.minimum.stopped != StoppedBy::Watcher;
    let failed = fits.fits.iter().filter(finished).filter(|fit| !fit.minimum.value.is_finite()).count();
    let mut warnings = Vec::new();
    if near < 2 {
        warnings.push(Warning::new(
            Severity::Caution,
            "Only one start ends at the best value.",
            "A better minimum may not have been met.",
            "Use more --starts.",
        ));
    }
    if failed > 0 {
        warnings.push(Warning::new(
            Severity::Note,
            format!("{failed} of {} starts came to nothing.", fits.fits.len()),
            "The model could not be simulated near them.",
            "See lastFailure in fits.csv.",
        ));
    }
    if cut > 0 {
        warnings.push(Warning::new(
            Severity::Caution,
            format!("{cut} of {} starts were cut short, or never begun.", fits.fits.len()),
            "Time was up, or the fit was interrupted: they might have come lower.",
            "Start it again for all of them.",
        ));
    }
    section.warn(warnings);
    let columns = vec![
        Column::numeric("rank"),
        Column::numeric("start"),
        Column::numeric("objective"),
        Column::numeric("iterations"),
        Column::numeric("gradients"),
        Column::text("stopped by"),
        Column::numeric("seconds"),
    ];
    let mut table = Table::new("Best fits", columns).caption("All fits are in fits.csv.");
    for (rank, fit) in fits.fits.iter().enumerate().take(10) {
        table.row(Row::new([
            count(rank + 1),
            count(fit.number),
            format!("{:.4}", fit.minimum.value),
            count(fit.minimum.iterations),
            count(fit.minimum.gradients),
            stopped(fit.minimum.stopped).to_owned(),
            format!("{:.1}", fit.seconds),
        ]));
    }
    section.table(table);
}

fn curves(objective: &Objective, x: &[f64], section: &mut Section) -> Result<(), KineticsError> {
    let curves = objective.problem().curves(&objective.parameters(x), POINTS)?;
    let finite =
        |points: &[[f64; 2]]| points.iter().filter(|p| p[0].is_finite()).copied().collect::<Vec<_>>();
    let panels: Vec<(String, Figure)> = curves
        .iter()
        .take(MOST_PANELS)
        .map(|curve| {
            let series = vec![
                Series::new("fit", finite(&curve.simulated)),
                Series::new("measured", finite(&curve.measured)).dots(),
            ];
            let title = format!("{}, {}", curve.observable_id, curve.condition);
            (title, Lines::new(series).labels("time", "value").draw())
        })
        .collect();
    let caption = if curves.len() > MOST_PANELS {
        format!("The first {MOST_PANELS} of {} combinations of observable and condition.", curves.len())
    } else {
        "Each observable under each condition, on its linear scale.".into()
    };
    section.figure("Observables", caption, &Figure::grid(&panels));
    Ok(())
}

fn residual_figures(objective: &Objective, residuals: &[f64], section: &mut Section) {
    let problem = objective.problem();
    let mut by_observable: Vec<(String, Vec<[f64; 2]>)> = Vec::new();
    for (m, &residual) in problem.measurements().iter().zip(residuals) {
        let point = [m.time, residual];
        match by_observable.iter_mut().find(|(id, _)| *id == m.observable_id) {
            Some((_, points)) => points.push(point),
            None => by_observable.push((m.observable_id.clone(), vec![point])),
        }
    }
    let panels: Vec<(String, Figure)> = by_observable
        .into_iter()
        .take(MOST_PANELS)
        .map(|(id, points)| {
            let series = vec![Series::new("residuals", points).dots()];
            (id, Lines::new(series).labels("time", "residual / noise").draw())
        })
        .collect();
    section.figure(
        "Residuals over time",
        "On the scale that they are compared on, in units of their noise. Runs of one sign say what the model misses.",
        &Figure::grid(&panels),
    );
    let all = Histogram::new(vec![("residuals".into(), residuals)]).label("residual / noise").draw();
    section.figure("Their distribution", "Of unit width, if the noise is as the problem says.", &all);
}

fn parameters(objective: &Objective, x: &[f64], profiles: &[Profile], section: &mut Section) {
    let (low, high) = objective.bounds();
    let columns = vec![
        Column::text("parameter"),
        Column::numeric("best fit"),
        Column::text("95 % interval"),
        Column::numeric("nominal"),
        Column::text("scale"),
        Column::text("remark"),
    ];
    let caption = if profiles.is_empty() {
        "Without --profiles there are no intervals."
    } else {
        "Intervals by profile likelihood; an open end reaches its bound below the threshold."
    };
    let mut table = Table::new("Best fit", columns).caption(caption);
    let mut at_bound = Vec::new();
    for (j, row) in objective.rows().enumerate() {
        let near = |bound: f64| (x[j] - bound).abs() <= AT_BOUND * (high[j] - low[j]);
        let mut remark = Vec::new();
        if near(low[j]) || near(high[j]) {
            remark.push(if near(low[j]) { "at its lower bound" } else { "at its upper bound" });
            at_bound.push(row.id.clone());
        }
        let linear = |end: End| match end {
            End::Closed(x) => number(row.scale.linear(x)),
            End::Bound => "open".into(),
            End::GivenUp(x) => format!("beyond {}", number(row.scale.linear(x))),
        };
        let interval = profiles.iter().find(|profile| profile.parameter == j).map(|profile| {
            let open = |end| matches!(end, End::Bound);
            match (open(profile.ends.0), open(profile.ends.1)) {
                (true, true) => remark.push("not identified"),
                (false, false) => {}
                _ => remark.push("identified on one side"),
            }
            format!("{} to {}", linear(profile.ends.0), linear(profile.ends.1))
        });
        let cells = [
            row.id.clone(),
            number(row.scale.linear(x[j])),
            interval.unwrap_or_default(),
            number(row.nominal),
            row.scale.name().into(),
            remark.join(", "),
        ];
        let kind = if remark.is_empty() { RowKind::Plain } else { RowKind::Reference };
        table.row(Row::new(cells).kind(kind));
    }
    section.table(table);
    if !at_bound.is_empty() {
        section.warn(vec![Warning::new(
            Severity::Caution,
            format!("{} parameters are at a bound: {}.", at_bound.len(), at_bound.join(", ")),
            "The data want more than the bounds allow, or do not determine them.",
            "Widen the bounds, or fix these parameters.",
        )]);
    }
}

/// Directions in which the curvature is flat, and pairs that move together.
fn identifiability(objective: &Objective, curvature: &[f64], section: &mut Section) {
    let n = objective.n();
    let Ok(eigen) = symmetric_eigen(curvature, n) else { return };
    let largest = eigen.values.iter().fold(0.0_f64, |a, x| a.max(*x));
    let flat: Vec<usize> = (0..n).filter(|&k| eigen.values[k] <= FLAT * largest).collect();
    let ids: Vec<&str> = objective.rows().map(|row| row.id.as_str()).collect();
    let columns =
        vec![Column::numeric("curvature").hint("of the largest"), Column::text("direction, by parameter")];
    let mut table = Table::new("Least determined directions", columns).caption(format!(
        "Eigenvectors of Fisher's information on the parameters' scales; {} of {n} below {FLAT:e} of the largest. Parameters in one direction \
         can be changed together with little effect.",
        flat.len()
    ));
    for k in 0..n.min(5) {
        let mut parts: Vec<(f64, usize)> = (0..n).map(|i| (eigen.vectors[i * n + k], i)).collect();
        parts.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(&b.1)));
        let shown = parts.iter().take_while(|(part, _)| part.abs() > 0.2).take(6);
        let text: Vec<String> = shown.map(|(part, i)| format!("{part:+.2} {}", ids[*i])).collect();
        table.row(Row::new([format!("{:.1e}", eigen.values[k] / largest), text.join("  ")]));
    }
    section.table(table);
    if !flat.is_empty() {
        section.warn(vec![Warning::new(
            Severity::Caution,
            format!("{} of {n} directions are hardly determined.", flat.len()),
            format!("Their curvature is below {FLAT:e} of the largest."),
            "Read single parameters with care; see the profiles.",
        )]);
    }
}

fn profile_figures(objective: &Objective, profiles: &[Profile], threshold: f64, section: &mut Section) {
    let panels: Vec<(String, Figure)> = profiles
        .iter()
        .map(|profile| {
            let row = objective.row(profile.parameter);
            let rise: Vec<[f64; 2]> =
                profile.points.iter().map(|p| [p.x, p.value - profile.best.value]).collect();
            let ends = (profile.points.first(), profile.points.last());
            let level = match ends {
                (Some(a), Some(b)) => vec![[a.x, threshold], [b.x, threshold]],
                _ => Vec::new(),
            };
            let series = vec![Series::new("profile", rise), Series::new("threshold", level).dashed()];
            let axis = format!("{} ({})", row.id, row.scale.name());
            let title = format!("{}: {}, {}", row.id, word(profile.ends.0), word(profile.ends.1));
            (title, Lines::new(series).labels(axis, "rise").draw())
        })
        .collect();
    section.text(
        "Each parameter is held at values along its axis and all others are fitted again. Where the objective rises over the threshold the \
         95 % interval ends; a profile that stays below up to a bound leaves it open.",
    );
    section.figure("Profiles", "Rise of the objective over the best fit.", &Figure::grid(&panels));
    let better: Vec<&Profile> = profiles.iter().filter(|profile| profile.better.is_some()).collect();
    if !better.is_empty() {
        let least =
            better.iter().filter_map(|p| p.better.as_ref()).map(|(v, _)| *v).fold(f64::INFINITY, f64::min);
        section.warn(vec![Warning::new(
            Severity::Serious,
            format!("A profile met a better fit: objective {}.", number(least)),
            "The best fit is a local minimum, or was not fitted to the end.",
            "Use more --starts or --iterations; intervals here are relative to the fit that was given.",
        )]);
    }
}
