//! `chreode kinetics problem.yaml -o out/`: fits of a PEtab problem, their profiles and their report.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chreode_cells::StagedFolder;
use chreode_core::write_atomically;
use chreode_kinetics::{
    End, FitMethod, FitOptions, Fits, Objective, Profile, ProfileOptions, Tolerances, fit, fit_page,
    hybrid_section, profile,
};
use chreode_report::{Page, Tile};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::Context;
use crate::failure::{FitInterrupted, bad_input};
use crate::kinetics_hybrid::{HybridArgs, Prepared};
use crate::{hints, interrupt, values};

/// What marks a folder as one of these, so that it may be replaced.
const MARK: &str = "fits.csv";

/// How each fit is made.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// Levenberg-Marquardt, or BFGS where there are very many parameters
    Auto,
    /// Levenberg-Marquardt with Fisher's information from sensitivities
    Lm,
    /// Limited-memory BFGS with gradients by the adjoint
    Lbfgs,
}

/// Options of a fit.
#[derive(Debug, Args)]
#[command(next_help_heading = "Fit")]
pub(crate) struct FitArgs {
    /// Random starts (a Latin hypercube over the bounds, or over the initialisation priors) [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    starts: Option<u32>,
    /// Each start chooses among so many random points: where bounds are wide, most points lead nowhere [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    draws: Option<u32>,
    /// A fit hops on from what it found, by random changes, until so many hops in turn gained nothing [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hops: Option<u32>,
    /// One more fit, from the nominal parameters
    #[arg(long)]
    from_nominal: bool,
    /// How each fit is made [default: auto]
    #[arg(long, value_name = "METHOD", value_enum)]
    method: Option<Method>,
    /// Most iterations of each part of a fit [default: 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: Option<u32>,
    /// Begin no step of a fit after so many seconds: what is found then depends on the machine
    #[arg(long, value_name = "SECONDS", value_parser = values::positive)]
    seconds: Option<f64>,
    /// Profile likelihoods of these parameters, with commas between, or of `all`
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    profiles: Vec<String>,
    /// Replace an earlier fit
    #[arg(long)]
    force: bool,
}

impl FitArgs {
    /// Whether any of them was given.
    pub(crate) fn given(&self) -> bool {
        let Self { starts, draws, hops, from_nominal, method, iterations, seconds, profiles, force } = self;
        starts.is_some()
            || draws.is_some()
            || hops.is_some()
            || *from_nominal
            || method.is_some()
            || iterations.is_some()
            || seconds.is_some()
            || !profiles.is_empty()
            || *force
    }
}

/// Whether a folder may be made at `out`.
fn check_free(out: &Path, force: bool) -> anyhow::Result<()> {
    let Ok(mut entries) = std::fs::read_dir(out) else {
        if out.exists() {
            return Err(bad_input(format!("{} is no folder", out.display()), "give another --out"));
        }
        return Ok(());
    };
    if entries.next().is_none() {
        return Ok(());
    }
    if !out.join(MARK).is_file() {
        let message = format!("{} holds something that is no fit", out.display());
        return Err(bad_input(message, "give another --out: it is not replaced"));
    }
    if force {
        Ok(())
    } else {
        Err(bad_input(format!("{} holds a fit", out.display()), "give another --out, or --force"))
    }
}

/// Fits, and writes the folder.
pub(crate) fn run(
    context: &Context,
    input: &Path,
    out: &Path,
    tolerances: Tolerances,
    args: &FitArgs,
    hybrid: &HybridArgs,
) -> anyhow::Result<()> {
    check_free(out, args.force)?;
    let seed = context.seed.unwrap_or(0);
    let asked = interrupt::flag()?;
    let mut best: Option<(f64, Prepared, Objective, Fits)> = None;
    let (mut finished, mut total) = (0, 0);
    let all = hybrid.prepare(input, tolerances, seed)?;
    let each = all.len();
    for mut prepared in all {
        // Before anything is found, the first one says that it was interrupted.
        if asked.load(Ordering::Relaxed) && best.is_some() {
            break;
        }
        let (objective, fits) = match fit_one(context, args, &prepared, asked) {
            // What an earlier one found is kept.
            Err(error) if best.is_some() && error.is::<FitInterrupted>() => break,
            result => result?,
        };
        finished += fits.finished();
        total = each * fits.fits.len();
        let held = match fits.best() {
            Some(fit) => prepared.held_out(context, &objective.parameters(&fit.minimum.x)),
            None => None,
        };
        // One that cannot be run further is the worst.
        let score = held.map_or(f64::NEG_INFINITY, |held| held.log_likelihood);
        if best.as_ref().is_none_or(|(most, ..)| score > *most) {
            best = Some((score, prepared, objective, fits));
        }
    }
    // There is at least one standard deviation of weights.
    let Some((_, mut prepared, mut objective, fits)) = best else { return Ok(()) };
    let Some(fit) = fits.best() else { return Ok(()) };
    let starts_interrupted = asked.load(Ordering::Relaxed);
    let chosen = chosen(&objective, &args.profiles)?;
    let nominal = objective.nominal();
    let at_nominal =
        if nominal.iter().all(|x| x.is_finite()) { objective.value(&nominal).ok() } else { None };
    let x = fit.minimum.x.clone();
    let profile_options = ProfileOptions::default();
    let profiles = if chosen.is_empty() || starts_interrupted {
        Vec::new()
    } else {
        let progress = Mutex::new(context.console.progress("profiles", chosen.len() as u64));
        let done = AtomicU64::new(0);
        profile(&objective, &x, &chosen, &profile_options, asked, &|| {
            let mut progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            progress.update(done.fetch_add(1, Ordering::Relaxed) + 1, "", &json!({}));
        })
    };
    let better = profiles
        .iter()
        .filter_map(|p| p.better.as_ref())
        .map(|(value, _)| *value)
        .fold(f64::INFINITY, f64::min);
    if better.is_finite() {
        context
            .console
            .warn(&format!("a profile met a better fit (objective {better:.4}): use more --starts"));
    }
    let name = input.file_stem().map_or_else(String::new, |x| x.to_string_lossy().into_owned());
    let parameters = objective.parameters(&x);
    let along = prepared.along(context, &parameters)?;
    let held = prepared.held_out(context, &parameters);
    let mut page = fit_page(&mut objective, &name, &fits, &profiles, profile_options.threshold)?;
    if let Some(held) = &held {
        let tile = Tile::new("held out", chreode_report::number(held.log_likelihood, 6));
        page.tile(tile.note(format!("log-likelihood of {} measurements that were not fitted", held.n)));
    }
    if let Some(along) = &along {
        hybrid_section(along, &mut page);
    }
    let left = write_folder(&objective, &mut prepared, &parameters, &fits, &profiles, &page, out)?;
    context.console.warn_of_rest(left.as_deref());
    let more = prepared.tell(context, along.as_ref(), held.as_ref());
    tell(context, &mut objective, &fits, &profiles, at_nominal, more, out)?;
    let (done, of, what) = if starts_interrupted && finished < total {
        (finished, total, "starts")
    } else if profiles.len() < chosen.len() {
        (profiles.len(), chosen.len(), "profiles")
    } else {
        return Ok(());
    };
    let left = format!("what was found is in {}", out.display());
    Err(FitInterrupted { done, of, what, left }.into())
}

/// Fits a problem from its starts.
fn fit_one(
    context: &Context,
    args: &FitArgs,
    prepared: &Prepared,
    asked: &AtomicBool,
) -> anyhow::Result<(Objective, Fits)> {
    let objective = Objective::new(prepared.fitted.clone())?;
    chosen(&objective, &args.profiles)?;
    let nominal = objective.nominal();
    let known = nominal.iter().all(|x| x.is_finite());
    if args.from_nominal && !known {
        let message = "--from-nominal needs a nominal value of every estimated parameter";
        return Err(bad_input(
            message,
            "fill in the column nominalValue of the parameter table, or leave it out",
        ));
    }
    let mut options = FitOptions {
        seed: context.seed.unwrap_or(0),
        method: match args.method {
            None | Some(Method::Auto) => FitMethod::Auto,
            Some(Method::Lm) => FitMethod::LevenbergMarquardt,
            Some(Method::Lbfgs) => FitMethod::Lbfgs,
        },
        at_most: args.seconds.map(Duration::from_secs_f64),
        from_nominal: args.from_nominal,
        ..FitOptions::default()
    };
    options.starts = args.starts.map_or(options.starts, |x| x as usize);
    options.draws = args.draws.map_or(options.draws, |x| x as usize);
    options.hops = args.hops.map_or(options.hops, |x| x as usize);
    options.stop.iterations = args.iterations.map_or(options.stop.iterations, |x| x as usize);
    let total = options.starts as u64 + u64::from(args.from_nominal);
    let progress = Mutex::new(context.console.progress("fits", total));
    let fits = fit(&objective, &options, asked, &|done, best| {
        let mut progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        progress.update(
            done as u64,
            &format!("best objective {best:.4}"),
            &json!({ "objective": finite(best) }),
        );
    });
    drop(progress);
    if fits.best().is_none() && asked.load(Ordering::Relaxed) {
        let left = "nothing has a finite objective yet, and nothing is written".to_owned();
        let (done, of) = (fits.finished(), fits.fits.len());
        return Err(FitInterrupted { done, of, what: "starts", left }.into());
    }
    if fits.best().is_none() {
        let failure =
            fits.fits.iter().find_map(|fit| fit.failure.clone()).unwrap_or_else(|| "time was up".into());
        let message = format!("none of {total} fits came to a finite objective: {failure}");
        return Err(bad_input(message, "look at bounds and noise of the problem, or try --from-nominal"));
    }
    Ok((objective, fits))
}

/// The places of the parameters that are to be profiled.
fn chosen(objective: &Objective, ids: &[String]) -> anyhow::Result<Vec<usize>> {
    if ids.iter().any(|id| id == "all") {
        return Ok((0..objective.n()).collect());
    }
    let place = |id: &String| {
        objective.rows().position(|row| row.id == *id).ok_or_else(|| {
            let known: Vec<&str> = objective.rows().map(|row| row.id.as_str()).collect();
            bad_input(
                format!("--profiles: `{id}` is no estimated parameter"),
                format!("give some of {}, or `all`", known.join(", ")),
            )
        })
    };
    ids.iter().map(place).collect()
}

fn finite(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

/// A writer of one file.
type Fill<'a> = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + 'a>;

/// Writes all files beside their place, and puts them there at once.
fn write_folder(
    objective: &Objective,
    prepared: &mut Prepared,
    parameters: &[f64],
    fits: &Fits,
    profiles: &[Profile],
    page: &Page,
    out: &Path,
) -> anyhow::Result<Option<std::path::PathBuf>> {
    let nets = prepared.nets.clone();
    let (problem, simulation) = prepared.simulated(parameters)?;
    let staged = StagedFolder::new(out)?;
    let mut files: Vec<(&str, Fill<'_>)> = vec![
        ("parameters.tsv", Box::new(|out| problem.write_parameters(parameters, out))),
        (MARK, Box::new(|out| fits.write_csv(objective, out))),
        ("simulation.tsv", Box::new(|out| problem.write_simulation(&simulation, out))),
        ("residuals.csv", Box::new(|out| problem.write_residuals(&simulation, out))),
    ];
    if !profiles.is_empty() {
        files.push(("profiles.csv", Box::new(|out| Profile::write_csv(profiles, objective, out))));
        files.push(("intervals.csv", Box::new(|out| Profile::write_intervals(profiles, objective, out))));
    }
    for (file, fill) in files {
        let path = staged.path().join(file);
        write_atomically(&path, |out| fill(out)).map_err(|source| {
            let hint = hints::write(&source);
            bad_input(format!("cannot write {}: {source}", out.join(file).display()), hint)
        })?;
    }
    if let Some(nets) = nets {
        nets.save(&staged.path().join("hybrid.safetensors"), parameters)?;
    }
    page.write(staged.path().join("report.html"))?;
    Ok(staged.put_in_place()?)
}

fn tell(
    context: &Context,
    objective: &mut Objective,
    fits: &Fits,
    profiles: &[Profile],
    at_nominal: Option<f64>,
    (more, values): (Vec<String>, Value),
    out: &Path,
) -> anyhow::Result<()> {
    let Some(best) = fits.best() else { return Ok(()) };
    let simulation = objective.simulate(&best.minimum.x)?;
    let likelihood = objective.problem().likelihood(&simulation);
    let near = fits.near_best(0.1);
    let value = best.minimum.value;
    let mut lines = vec![format!(
        "best of {} fits: objective {value:.6}, log-likelihood {:.6}, chi-squared {:.4} of {} measurements; {near} within 0.1 of it",
        fits.fits.len(),
        likelihood.log_likelihood,
        likelihood.chi_squared,
        likelihood.n
    )];
    if let Some(nominal) = at_nominal {
        lines.push(format!("at the nominal parameters the objective is {nominal:.6}"));
    }
    lines.push(format!("{} ({}); {:.1} s", method_name(fits.method), fits.why, fits.seconds));
    let intervals: Vec<Value> = profiles.iter().map(|profile| interval(objective, profile)).collect();
    if !profiles.is_empty() {
        let closed = |end: End| matches!(end, End::Closed(_));
        let both = profiles.iter().filter(|p| closed(p.ends.0) && closed(p.ends.1)).count();
        let of =
            if profiles.len() == 1 { "1 parameter".into() } else { format!("{} parameters", profiles.len()) };
        lines.push(format!("95 % intervals of {of}, {both} closed on both sides"));
    }
    lines.extend(more);
    lines.push(format!("written to {}: start with report.html", out.display()));
    let parameters = objective.parameters(&best.minimum.x);
    let rows = objective.problem().parameters().iter().zip(&parameters);
    let parameters: serde_json::Map<String, Value> =
        rows.filter(|(row, _)| row.estimate).map(|(row, &x)| (row.id.clone(), finite(x))).collect();
    let mut value = json!({
        "objective": value, "log_likelihood": likelihood.log_likelihood, "chi_squared": likelihood.chi_squared,
        "measurements": likelihood.n, "nominal_objective": at_nominal, "fits": fits.fits.len(), "near_best": near,
        "method": method_name(fits.method), "why": fits.why, "seconds": fits.seconds, "parameters": parameters,
        "intervals": intervals, "out": out,
    });
    if let (Value::Object(value), Value::Object(values)) = (&mut value, values) {
        value.extend(values);
    }
    context.console.result(&lines.join("\n"), "fitted", value);
    Ok(())
}

fn method_name(method: FitMethod) -> &'static str {
    if method == FitMethod::Lbfgs { "limited-memory BFGS" } else { "Levenberg-Marquardt" }
}

/// An interval on the linear scale; an open end is null.
fn interval(objective: &Objective, profile: &Profile) -> Value {
    let row = objective.row(profile.parameter);
    let end = |end: End| match end {
        End::Closed(x) => finite(row.scale.linear(x)),
        _ => Value::Null,
    };
    json!({
        "parameter": row.id, "best": finite(row.scale.linear(profile.best.x)), "lower": end(profile.ends.0),
        "upper": end(profile.ends.1),
    })
}
