//! A law of a published model is hidden, and a net learns it from the measurements: phosphorylation and dimerisation of STAT5 [Boehm2014],
//! a problem of the PEtab collection. What is measured until a time is fitted, the rest predicted; beside the whole mechanism and nets
//! without it.
//!
//! `cargo run --release -p chreode-kinetics --example hidden_law -- FOLDER_OF_BOEHM [UNTIL [STARTS [SEEDS [ROW]]]]` prints a table in
//! Markdown, with medians over seeds and the worst in brackets; most time goes into the two last rows. With `ROW` it makes those rows alone
//! whose name contains it. Without arguments it makes two rows from few starts, if `CHREODE_DATA` names a folder with `petab/`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use chreode_kinetics::{
    FitOptions, HybridConfig, HybridRequest, KineticsError, NetOptions, Objective, Problem, RateRequest,
    Tolerances, fit,
};

const TOLERANCES: Tolerances = Tolerances { rtol: 1e-7, atol: 1e-11 };

/// One fit.
struct Outcome {
    n: usize,
    log_likelihood: f64,
    fitted: f64,
    held: f64,
    held_log_likelihood: f64,
    conservation: f64,
    lowest: f64,
}

/// Root of the mean squared difference of simulation and measurement.
fn rms(problem: &mut Problem, parameters: &[f64]) -> Result<f64, KineticsError> {
    let simulation = problem.simulate(parameters)?;
    let pairs = problem.measurements().iter().zip(&simulation.values);
    let sum: f64 = pairs.map(|(m, x)| (m.measurement - x).powi(2)).sum();
    Ok((sum / simulation.values.len() as f64).sqrt())
}

fn one(
    path: &std::path::Path,
    request: Option<&HybridRequest>,
    weight_sd: f64,
    (until, starts, seed): (f64, usize, u64),
) -> Result<Option<Outcome>, Box<dyn std::error::Error>> {
    let options = NetOptions { weight_sd, seed, ..NetOptions::default() };
    let plain = Problem::open(path, TOLERANCES)?;
    // The mechanism has no net; what is asked of its runs is the same.
    let nets = match request {
        Some(request) => HybridConfig::resolve(&plain, request, &options)?,
        None => HybridConfig {
            parameters: plain.parameters().iter().map(|x| x.id.clone()).collect(),
            nets: Vec::new(),
        },
    };
    let mut problem = Problem::open_hybrid(path, TOLERANCES, &nets, &options)?;
    problem.fix_idle();
    let (mut fitted, mut held) = problem.split(|m| m.time > until);
    let objective = Objective::new(fitted.clone())?;
    let fits = fit(
        &objective,
        &FitOptions { starts, seed, ..FitOptions::default() },
        &AtomicBool::new(false),
        &|_, _| {},
    );
    let Some(best) = fits.best() else { return Ok(None) };
    let p = objective.parameters(&best.minimum.x);
    let along = nets.along(&mut problem, &p, 0.0, &|m| m.time <= until)?;
    let simulation = fitted.simulate(&p)?;
    let predicted = if held.measurements().is_empty() { None } else { Some(held.simulate(&p)?) };
    Ok(Some(Outcome {
        n: objective.n(),
        log_likelihood: fitted.likelihood(&simulation).log_likelihood,
        fitted: rms(&mut fitted, &p)?,
        held: rms(&mut held, &p)?,
        held_log_likelihood: predicted.map_or(f64::NAN, |x| held.likelihood(&x).log_likelihood),
        conservation: along.conserved.iter().map(|x| x.relative).fold(0.0, f64::max),
        lowest: along.lowest.1,
    }))
}

/// The median and the worst, which is the largest or the smallest.
fn text(values: impl Iterator<Item = f64>, largest: bool, write: fn(f64) -> String) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let Some((low, high)) = values.first().zip(values.last()) else { return "none".into() };
    format!("{} ({})", write(values[values.len() / 2]), write(if largest { *high } else { *low }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let named = args.next().map(PathBuf::from);
    let short = named.is_none();
    let data =
        std::env::var_os("CHREODE_DATA").map(|x| PathBuf::from(x).join("petab/Boehm_JProteomeRes2014"));
    let Some(folder) = named.or(data).filter(|x| x.is_dir()) else {
        println!("nothing to do: name the folder Boehm_JProteomeRes2014 of the PEtab collection");
        return Ok(());
    };
    let until: f64 = args.next().map_or(Ok(100.0), |x| x.parse())?;
    let starts: usize = args.next().map_or(Ok(if short { 4 } else { 20 }), |x| x.parse())?;
    let seeds: u64 = args.next().map_or(Ok(if short { 1 } else { 3 }), |x| x.parse())?;
    let row = args.next().unwrap_or_default();
    let path = folder.join("Boehm_JProteomeRes2014.yaml");
    let rate = |text: &str| text.parse::<RateRequest>().map(|x| Some(HybridRequest::Rates(vec![x])));
    let binding = "v2_v_1:replace:STAT5A,STAT5B,BaF3_Epo";
    let mut rows = vec![("mechanism".to_owned(), None, 1.0)];
    for sd in [1.0, 0.3] {
        rows.push((format!("law of v2 hidden, weights {sd}"), rate(binding)?, sd));
    }
    rows.push(("v2 corrected by its monomers".to_owned(), rate("v2_v_1:correct:STAT5A,STAT5B")?, 1.0));
    rows.push(("law of v5 hidden".to_owned(), rate("v5_v_4")?, 1.0));
    rows.push(("no mechanism".to_owned(), Some(HybridRequest::BlackBox), 1.0));
    rows.push(("all rates nets".to_owned(), Some(HybridRequest::AllRates), 1.0));
    println!(
        "| model | parameters | log-likelihood | rms | rms later | log-likelihood later | conservation | lowest |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    rows.retain(|(name, ..)| name.contains(&row));
    rows.truncate(if short { 2 } else { rows.len() });
    for (name, request, sd) in rows {
        let started = Instant::now();
        let mut outcomes = Vec::new();
        for seed in 0..seeds {
            match one(&path, request.as_ref(), sd, (until, starts, seed)) {
                Ok(outcome) => {
                    if let Some(x) = &outcome {
                        let (fitted, held) = (x.log_likelihood, x.held_log_likelihood);
                        let seconds = started.elapsed().as_secs_f64();
                        eprintln!("{name}, seed {seed}: {fitted:.2}, later {held:.2}; {seconds:.0} s");
                    }
                    outcomes.extend(outcome);
                }
                Err(error) => eprintln!("{name}, seed {seed}: {error}"), // it left what is finite after the time
            }
        }
        let of = |f: fn(&Outcome) -> f64| outcomes.iter().map(f);
        let plain = |x: f64| format!("{x:.1}");
        let small = |x: f64| format!("{x:.0e}");
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            outcomes.first().map_or(0, |x| x.n),
            text(of(|x| x.log_likelihood), false, plain),
            text(of(|x| x.fitted), true, plain),
            text(of(|x| x.held), true, plain),
            text(of(|x| x.held_log_likelihood), false, plain),
            text(of(|x| x.conservation), true, small),
            text(of(|x| x.lowest), false, small),
        );
        eprintln!("{name}: {} of {seeds} seeds, {:.0} s", outcomes.len(), started.elapsed().as_secs_f64());
    }
    Ok(())
}
