//! The pages render whatever they are given, and say what the numbers say.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../examples/report_pages/made_up.rs"]
mod made_up;

use chreode_cells::demo::{DemoResult, OutsideRow};
use chreode_cells::run::TrainingCells;
use chreode_cells::{
    CellFields, Convergence, DriftRates, FateView, Fates, GeneChange, GeneMove, HoldOutDistance,
    LabelReadout, Labels, LossCurves, Outside, Rollout, RunPage, RunTrust, ShiftView, TrustSettings,
    demo_page, run_page, shifts,
};
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, GrowthConfig, ModelConfig, NeuralSde};
use chreode_report::ShapeError;
use chreode_train::{GrowthChoice, LossConfig, SinkhornConfig};
use made_up::Sizes;
use proptest::prelude::*;

fn small_demo() -> DemoResult {
    made_up::demo(Sizes { snapshot: 60, ends: 70, progenitors: (8, 20), field: 96 }).unwrap()
}

/// Every section's anchor is there, every figure has a caption, and no raw NaN reaches the reader.
fn check(html: &str, sections: &[&str]) {
    for id in sections {
        assert!(html.contains(&format!("id=\"{id}\"")), "section {id}");
        assert_eq!(html.matches(&format!("id=\"{id}\"")).count(), 1);
    }
    let body = &html[html.find("<body").unwrap()..];
    assert_eq!(body.matches("<figure").count(), body.matches("<figcaption").count());
    assert!(!body.contains("NaN") && !body.contains(">inf"), "a number that is none");
}

#[test]
fn the_demo_page_shows_scores_beside_references() {
    let result = small_demo();
    // Some fates have too few cells for a spread.
    assert!(result.spreads.iter().any(|s| s.truth.is_nan() || s.model.is_nan()));
    let page = demo_page(&result).unwrap().render().unwrap();
    check(
        &page,
        &[
            "data",
            "held-out",
            "fractions",
            "spreads",
            "interventions",
            "calibration",
            "fields",
            "limits",
            "training",
            "trust",
            "settings",
        ],
    );
    for name in ["this fit", "the true process", "base rate", "constant diffusion", "no learning"] {
        assert!(page.contains(name), "{name}");
    }
    let shown = chreode_report::number(result.scores.model.cross_entropy, 4);
    assert!(page.matches(&shown).count() >= 3, "in the tile, the table and the text");
    assert_eq!(page, demo_page(&result).unwrap().render().unwrap());
}

/// Where the figures of the noise and of the left-out day stand, the page says what went into them.
#[test]
fn the_demo_page_says_what_its_figures_owe_to_the_truth() {
    let page = demo_page(&small_demo()).unwrap().render().unwrap();
    let section = |id: &str| {
        let from = page.find(&format!("id=\"{id}\"")).unwrap();
        let rest = &page[from..];
        &rest[..rest.find("</section>").unwrap()]
    };
    assert!(section("fields").contains("form of the truth"));
    assert!(
        section("held-out").contains("not wholly blind")
            && section("held-out").contains("came closest to day 2")
    );
    assert!(
        section("spreads").contains("chosen by the distance") && section("spreads").contains("Weight decay")
    );
    assert!(!page.contains("never seen") && !page.contains("never saw a cell"));
    assert!(page.contains("chreode demo --seed 2"), "another seed than this one's");
}

#[test]
fn a_demo_without_numbers_still_has_a_page() {
    let mut result = small_demo();
    let nan = f64::NAN;
    result.scores.model.cross_entropy = nan;
    result.scores.model.fields = None;
    result.held_out_distance.floor_sd = 0.0;
    result.held_out_distance.model = nan;
    result.calibration_error = nan;
    result.sign = chreode_cells::demo::SignScore { right: 0, of: 0, correlation: nan, slope: nan };
    result.fractions.iter_mut().for_each(|f| f.model = nan);
    result.spreads.iter_mut().for_each(|s| (s.truth, s.model) = (nan, nan));
    result.losses.clear();
    result.holdout_losses.clear();
    result.drift.fill(f32::NAN);
    result.held_out_cells.clear();
    check(&demo_page(&result).unwrap().render().unwrap(), &["trust"]);
    result.snapshots = vec![Vec::new(); 5];
    for list in [&mut result.field_cells, &mut result.drift, &mut result.true_drift] {
        list.clear();
    }
    (result.diffusion, result.true_diffusion) = (Vec::new(), Vec::new());
    (result.progenitor_truth, result.progenitor_model) = (Vec::new(), Vec::new());
    (result.calibration, result.effects, result.spreads) = (Vec::new(), Vec::new(), Vec::new());
    (result.fractions, result.outside, result.settings) = (Vec::new(), Vec::new(), Vec::new());
    check(&demo_page(&result).unwrap().render().unwrap(), &["trust"]);
}

#[test]
fn fields_that_do_not_fit_are_refused() {
    let mut result = small_demo();
    result.drift.truncate(11);
    assert!(matches!(demo_page(&result), Err(ShapeError { expected: 96, found: 1, .. })));
}

#[test]
fn the_demo_warns_by_its_thresholds() {
    let mut result = small_demo();
    let html = |r: &DemoResult| demo_page(r).unwrap().render().unwrap();
    let outside = |model, truth| vec![OutsideRow { time: 2.0, model, truth }];
    result.outside = outside(0.01, 0.01);
    assert!(html(&result).contains("would be a caution"));
    result.outside = outside(0.31, 0.01);
    assert!(html(&result).contains("Do not interpret paths that leave the data"));
    // On a day that was left out true cells lie outside as well: that is no fault of the model.
    result.outside = outside(0.31, 0.29);
    assert!(html(&result).contains("would be a caution"));
    result.sign.slope = 0.4;
    assert!(html(&result).contains("Predicted effects are too small"));
}

/// A run of `d` coordinates: two times, or more, of the same cloud.
struct Small {
    cells: TrainingCells,
    axes: Vec<String>,
    labels: Labels,
    model: NeuralSde<f32>,
    p: Vec<f32>,
}

fn small_run(d: usize, growth: bool) -> Small {
    let (per_time, times) = (90, [0.0, 1.0, 2.5]);
    let n = per_time * times.len();
    let mut z = vec![0.0_f64; n * d];
    chreode_core::BrownianIncrements::new(5).fill(0, 0, d, 1.0, &mut z);
    let cells = TrainingCells {
        dim: d,
        states: z.iter().map(|&z| z as f32).collect(),
        times: (0..n).map(|i| times[i / per_time]).collect(),
        ids: (0..n).map(|i| format!("c{i}")).collect(),
        held_out: (0..n).map(|i| i % 3 == 0).collect(),
        labels: None,
        growth: None,
        populations: None,
        clones: None,
    };
    let mut config = ModelConfig::new(vec![0.0; d], vec![1.0; d]);
    config.drift.hidden = vec![4];
    config.diffusion = DiffusionConfig::Constant { initial_level: 0.05 };
    config.growth = growth.then(GrowthConfig::default);
    let model = NeuralSde::<f32>::new(config).unwrap();
    let mut p = model.init(1);
    let still = |name: &str| name.starts_with("drift") || name.starts_with("growth");
    for entry in model.layout().entries().iter().filter(|e| still(&e.name)) {
        p[entry.range()].fill(0.0);
    }
    let names: Vec<&str> = (0..n).map(|i| if z[i * d] > 0.0 { "<up>" } else { "down & out" }).collect();
    Small {
        cells,
        axes: (0..d).map(|k| format!("x{k}")).collect(),
        labels: Labels::from_text(&names),
        model,
        p,
    }
}

fn settings() -> TrustSettings {
    TrustSettings { dt: 0.25, seed: 2, growth_from_start: false }
}

/// The page of a small run; `labels` also gives it fates and a perturbation.
fn page_of(run: &Small, labels: Option<&Labels>, trust: &RunTrust) -> String {
    page_with(run, labels, trust, &LossCurves::default(), &gene_move(0.07))
}

/// A shift by 3 of a gene of which the coordinates hold so much.
fn gene_move(held: f64) -> GeneMove {
    GeneMove { gene: "<g>".into(), change: GeneChange::Set(3.0), held, moved: 3.0 * held }
}

/// The same, with these losses and a perturbation that did this to a gene.
fn page_with(
    run: &Small,
    labels: Option<&Labels>,
    trust: &RunTrust,
    losses: &LossCurves,
    gene: &GeneMove,
) -> String {
    let fields = CellFields::at(&run.model, &run.p, &run.cells, 1).unwrap();
    let d = run.cells.dim;
    let start = run.cells.states[..30 * d].to_vec();
    let readout = labels.map(|l| LabelReadout::new(&run.cells.states, d, l, None).unwrap());
    let quality = readout.as_ref().map(LabelReadout::quality);
    let rollout =
        Rollout { model: &run.model, p: &run.p, dt: 0.25, paths: 4, seed: 1, clamp: None, place: None };
    let fates = readout.as_ref().map(|r| Fates::predict(&rollout, r, &start, 0.0, 2.5).unwrap());
    let views: Vec<ShiftView> = fates
        .iter()
        .map(|f| ShiftView { name: "nothing".into(), genes: vec![gene.clone()], shifts: shifts(f, f) })
        .collect();
    let choice = GrowthChoice {
        learned: false,
        gain: -0.25,
        standard_error: 0.5,
        times: vec![1.0],
        without: vec![0.01],
        with: vec![0.0125],
    };
    let page = RunPage {
        data: "cells <1>.h5ad",
        time: "day",
        axes: &run.axes,
        cells: &run.cells,
        labels,
        fields: &fields,
        losses,
        fates: quality.as_ref().zip(fates.as_ref()).map(|(readout, fates)| FateView {
            fates,
            start: &start,
            t0: 0.0,
            until: 2.5,
            readout,
            member_sd: &[],
            transport: None,
        }),
        shifts: &views,
        members: None,
        trust,
        clones: None,
        growth_choice: Some(&choice),
        settings: &[("Run".into(), vec![("seed".into(), "1".into())])],
    };
    run_page(&page).unwrap().render().unwrap()
}

#[test]
fn a_run_page_has_what_there_is() {
    for (d, growth) in [(1, false), (2, true), (7, false)] {
        let run = small_run(d, growth);
        let trust = RunTrust::measure(&run.model, &run.p, &run.cells, settings()).unwrap();
        let bare = page_of(&run, None, &trust);
        check(&bare, &["cells", "dynamics", "training", "trust", "settings"]);
        assert!(!bare.contains("id=\"fates\"") && !bare.contains("id=\"perturbations\""));
        assert_eq!(bare.contains("Where cells multiply"), growth);
        assert_eq!(bare.contains("How many cells the growth weights rest on"), growth);
        let full = page_of(&run, Some(&run.labels), &trust);
        check(&full, &["cells", "dynamics", "fates", "perturbations", "training", "trust", "settings"]);
        assert!(full.contains("&lt;up&gt;") && !full.contains("<up>"));
        assert!(full.contains("growth is not learned: ") && full.contains("explains -25.0 ± 50.0 %"));
        assert!(full.contains("do not determine drift and noise separately"), "always said");
    }
}

/// Noise of the state has a map; a map of noise that is the same everywhere would show rounding.
#[test]
fn noise_has_a_map_where_it_varies() {
    let mut run = small_run(2, false);
    let is_mapped = |run: &Small| {
        let trust = RunTrust::measure(&run.model, &run.p, &run.cells, settings()).unwrap();
        let page = page_of(run, None, &trust);
        let (map, words) =
            (page.contains("Map of diffusion"), page.contains("the same everywhere to within 1 %"));
        assert!(map != words);
        map
    };
    assert!(!is_mapped(&run));
    let mut config = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
    config.drift.hidden = vec![4];
    config.diffusion =
        DiffusionConfig::Diagonal { hidden: vec![4], activation: Activation::Tanh, initial_level: 0.05 };
    run.model = NeuralSde::new(config).unwrap();
    run.p = run.model.init(1);
    for entry in run.model.layout().entries().iter().filter(|e| e.name.starts_with("diffusion")) {
        run.p[entry.range()].iter_mut().zip(0..).for_each(|(p, i)| *p += 0.3 * (1.7 * i as f32).sin());
    }
    assert!(is_mapped(&run));
}

/// A shift in principal components moves the decoded gene less than was asked, and the page says so; where the gene
/// is a coordinate there is nothing to say.
#[test]
fn the_page_tells_how_far_genes_were_moved() {
    let run = small_run(2, false);
    let page = |held| {
        page_with(&run, Some(&run.labels), &RunTrust::default(), &LossCurves::default(), &gene_move(held))
    };
    let part = page(0.07);
    assert!(part.contains("What was done to the genes") && part.contains("&lt;g&gt;"));
    assert!(part.contains("7.0\u{202f}%") && part.contains("+0.21"));
    assert!(!page(1.0).contains("What was done to the genes"));
}

#[test]
fn one_fate_is_said_to_be_one() {
    let run = small_run(2, false);
    let one = Labels::from_text(&vec!["only"; run.cells.len()]);
    let html = page_of(&run, Some(&one), &RunTrust::default());
    assert!(html.contains("There is only one fate"));
    // Nothing was measured on a hold-out here.
    assert!(html.contains("Too few cells were held out"));
}

#[test]
fn trust_tells_a_good_model_from_a_bad_one() {
    let mut run = small_run(3, true);
    let good = RunTrust::measure(&run.model, &run.p, &run.cells, settings()).unwrap();
    assert_eq!(good, RunTrust::measure(&run.model, &run.p, &run.cells, settings()).unwrap());
    assert_eq!((good.hold_out.len(), good.outside.len(), good.effective.len()), (2, 2, 2));
    // The clouds of all times are one distribution, and the model hardly moves.
    assert!(good.outside.iter().all(|o| o.share < 0.1), "{:?}", good.outside);
    assert!(good.hold_out.iter().all(|h| h.mean() < h.floor + 4.0 * h.floor_sd), "{:?}", good.hold_out);
    assert!(good.effective.iter().all(|e| (e.1 - 1.0).abs() < 1e-9), "no growth: {:?}", good.effective);
    assert!(good.among_training.windows(2).all(|w| w[0] <= w[1]) && good.threshold > 0.0);

    let rates = good.rates.unwrap();
    assert_eq!(
        (rates.growing, rates.dt, rates.per_step()),
        (0.0, 0.25, 0.25 * rates.fastest[rates.fastest.len() - 1])
    );

    run.model.set_forcing(Some(vec![4.0; 3])).unwrap();
    let bad = RunTrust::measure(&run.model, &run.p, &run.cells, settings()).unwrap();
    assert!(bad.outside[1].share > 0.9 && bad.hold_out.iter().all(HoldOutDistance::beyond_chance));
    let html = page_of(&run, None, &bad);
    assert!(html.contains("Above 5 % is a caution, above 20 % serious"));
}

/// A drift with rates known to be those of its derivative, and steps that are too long for it.
#[test]
fn trust_sees_steps_that_are_too_long() {
    let mut run = small_run(2, false);
    // Any weights: the rates are then those of differences of the drift.
    run.p = run.model.init(3);
    run.p.iter_mut().for_each(|p| *p *= 3.0);
    let measure =
        |dt| RunTrust::measure(&run.model, &run.p, &run.cells, TrustSettings { dt, ..settings() }).unwrap();
    let rates = measure(0.25).rates.unwrap();
    let mut model = run.model.clone();
    let mut drift = |y: [f32; 2]| {
        let mut dy = [0.0; 2];
        chreode_core::VectorField::eval(&mut model, 0.0, &y, &run.p, &mut dy).unwrap();
        dy.map(f64::from)
    };
    let mut most = 0.0_f64;
    for y in run.cells.states.chunks_exact(2) {
        let h = 1e-2_f32;
        let by = |k: usize, drift: &mut dyn FnMut([f32; 2]) -> [f64; 2]| {
            let (mut up, mut down) = ([y[0], y[1]], [y[0], y[1]]);
            (up[k], down[k]) = (y[k] + h, y[k] - h);
            let (a, b, width) = (drift(up), drift(down), f64::from(up[k]) - f64::from(down[k]));
            [(a[0] - b[0]) / width, (a[1] - b[1]) / width]
        };
        let ([a, c], [b, d]) = (by(0, &mut drift), by(1, &mut drift));
        let (half, determinant) = (0.5 * (a + d), a * d - b * c);
        let root = half * half - determinant;
        most = most.max(if root < 0.0 { determinant.sqrt() } else { half.abs() + root.sqrt() });
    }
    let fastest = rates.fastest[rates.fastest.len() - 1];
    assert!(most > 0.1 && fastest <= 1.02 * most && fastest > 0.5 * most, "{fastest} {most}");
    let page = |per_step: f64| {
        page_of(
            &run,
            None,
            &RunTrust {
                rates: Some(DriftRates { dt: per_step / fastest, ..rates.clone() }),
                ..RunTrust::default()
            },
        )
    };
    let smaller = "Fit again with a smaller --dt";
    assert!(page(20.0).contains(smaller) && !page(0.1).contains(smaller));
    assert!(page(0.1).contains("rates of up to"));
}

/// A miss that chance explains is not called good.
#[test]
fn a_miss_among_few_cells_is_neither_good_nor_bad() {
    let run = small_run(2, false);
    let page = |floor_sd| {
        let distances = vec![0.5];
        let hold_out =
            HoldOutDistance { start: 0.0, target: 1.0, distances, floor: 0.0, floor_sd, unmoved: 1.0 };
        let trust = RunTrust { hold_out: vec![hold_out], ..RunTrust::default() };
        page_of(&run, None, &trust)
    };
    let tile = |floor_sd| {
        let page = page(floor_sd);
        let from = page.find("Missed on held-out cells").unwrap();
        let rest = &page[from..];
        rest[..rest.find("of the growth").or(rest.find("</section>")).unwrap()].to_string()
    };
    assert!(tile(0.4).contains("so few cells cannot tell"));
    assert!(!tile(0.1).contains("so few cells cannot tell"));
    // Where no model at all would pass as well, the comparison vouches for nothing.
    let passes_all = "Too few cells were held out to tell the model from no model";
    assert!(page(0.6).contains(passes_all) && !page(0.6).contains("met as well as another sample"));
    assert!(page(0.4).contains("met as well as another sample") && !page(0.4).contains(passes_all));
}

#[test]
fn metrics_become_curves() {
    let lines = [
        r#"{"step":1,"loss":0.5}"#,
        r#"{"step":50,"hold_out_loss":0.4,"best_step":50}"#,
        r#"{"loss":3}"#,
        r#"{"step":100,"loss":0.2,"hold_out_loss":0.45,"best_step":50}"#,
    ]
    .map(|l| serde_json::from_str(l).unwrap());
    let curves = LossCurves::from_metrics(&lines, &LossConfig::default());
    assert_eq!(curves.training, [[1.0, 0.5], [100.0, 0.2]]);
    assert_eq!(curves.hold_out, [[50.0, 0.4], [100.0, 0.45]]);
    assert_eq!((curves.best_step, curves.convergence), (Some(50.0), None));
}

/// Iterations that stopped early are a warning by their share of the steps; those that converged are none.
#[test]
fn unconverged_losses_are_said() {
    let loss = LossConfig::Sinkhorn(SinkhornConfig::default());
    let run = small_run(2, false);
    for (bad, severity) in [(0, None), (1, Some("Note")), (8, Some("Caution")), (60, Some("Serious"))] {
        let lines: Vec<_> = (0..200)
            .map(|step| {
                let error = if step < bad { 0.02 } else { 9e-4 };
                serde_json::json!({ "step": step, "loss": 1.0, "marginal_error": error })
            })
            .collect();
        let losses = LossCurves::from_metrics(&lines, &loss);
        let worst = if bad > 0 { 0.02 } else { 9e-4 };
        let expected = Convergence { steps: 200, unconverged: bad, worst, tolerance: 1e-3 };
        assert_eq!(losses.convergence, Some(expected));
        let html = page_with(&run, None, &RunTrust::default(), &losses, &gene_move(0.07));
        let title = format!("In {bad} of 200 steps the Sinkhorn iterations stopped before they converged");
        assert_eq!(html.contains(&title), severity.is_some());
        if let Some(severity) = severity {
            let before = &html[..html.find(&title).unwrap()];
            let tag = before.rfind(&format!(">{severity}<")).unwrap();
            assert!(before.len() - tag < 200, "{severity} stands beside the warning");
            assert!(html.contains("off by up to 0.02"));
        }
    }
}

/// Nothing moves, but cells multiply by rates that are given: measured with these, the model that stands still is right.
#[test]
fn growth_of_a_column_is_measured() {
    let mut run = small_run(1, false);
    let n = 1500;
    let times = [0.0, 1.0, 2.0];
    let mut z = vec![0.0_f64; 3 * n];
    chreode_core::BrownianIncrements::new(6).fill(0, 0, 1, 1.0, &mut z);
    // A normal cloud whose cells grow at 0.7 x moves by 0.7 a unit of time and keeps its shape.
    run.cells.states = (0..3 * n).map(|i| (z[i] + 0.7 * times[i / n]) as f32).collect();
    run.cells.times = (0..3 * n).map(|i| times[i / n]).collect();
    run.cells.ids = (0..3 * n).map(|i| format!("c{i}")).collect();
    run.cells.held_out = (0..3 * n).map(|i| i % 3 == 0).collect();
    let measure = |run: &Small, growth_from_start| {
        let settings = TrustSettings { growth_from_start, ..settings() };
        RunTrust::measure(&run.model, &run.p, &run.cells, settings).unwrap()
    };
    let blind = measure(&run, false);
    assert!(blind.hold_out.iter().all(|h| h.missed() > 0.8) && blind.effective.is_empty());
    run.cells.growth = Some(run.cells.states.iter().map(|x| 0.7 * x).collect());
    let trust = measure(&run, false);
    assert!(trust.hold_out.iter().all(|h| h.missed() < 0.1), "{:?}", trust.hold_out);
    // Lognormal weights: exp(-variance).
    let near = |got: (f64, f64), time: f64, span: f64| {
        got.0 == time && (got.1 - (-0.49 * span * span).exp()).abs() < 0.15
    };
    assert!(
        near(trust.effective[0], 1.0, 1.0) && near(trust.effective[1], 2.0, 1.0),
        "{:?}",
        trust.effective
    );
    let start = measure(&run, true).effective;
    assert!(near(start[0], 1.0, 1.0) && near(start[1], 2.0, 2.0) && start[1].1 < 0.3, "{start:?}");
    let html = page_of(&run, None, &trust);
    assert!(html.contains("How many cells the growth weights rest on"));
    assert!(html.contains("by the growth rates of the data"));
    assert!(html.contains("Growth weights have an effective sample size of"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever was measured, the page renders, and serious thresholds are never passed in silence.
    #[test]
    fn any_trust_renders(share in prop_oneof![0.0..1.0_f64, Just(f64::NAN)], mean in -1.0..2.0_f64, sd in 0.0..1.0_f64, effective in 0.0..1.0_f64, rate in 0.0..4.0_f64) {
        let run = small_run(2, false);
        let trust = RunTrust {
            outside: vec![Outside { time: 1.0, distance: vec![0.3, f32::NAN], share }],
            among_training: vec![0.1, 0.2],
            threshold: 0.2,
            hold_out: vec![HoldOutDistance { start: 0.0, target: 1.0, distances: vec![mean], floor: 0.0, floor_sd: sd, unmoved: 1.0 }],
            effective: vec![(1.0, effective)],
            rates: Some(DriftRates { fastest: vec![rate], growing: 0.5, dt: 1.0 }),
        };
        let html = page_of(&run, None, &trust);
        check(&html, &["trust"]);
        let serious = share > 0.2 || effective < 0.1 || rate > 2.0 || (mean > 2.0 * sd && mean > 0.5);
        prop_assert_eq!(html.contains(">Serious<"), serious);
    }
}
