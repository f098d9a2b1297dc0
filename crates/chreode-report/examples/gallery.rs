//! Renders every figure and every element of the page, filled with made-up smooth data.
//!
//! `cargo run --release -p chreode-report --example gallery -- gallery.html`

use std::f64::consts::{PI, TAU};

use chreode_core::philox4x32;
use chreode_report::{
    BarSeries, Bars, Calibration, ColourBy, Column, FateBars, Figure, Forest, ForestRow, HeatMap, Histogram,
    Lattice, Lines, Matrix, Page, Ridgelines, Row, RowKind, ScalarGrid, Scatter, Series, Severity, Status,
    Streamlines, Table, Tile, VectorGrid, Warning, count, number, percent,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "gallery.html".into());
    let page = gallery()?;
    page.write(&path)?;
    println!("{path}: {} kB", page.render()?.len() / 1000);
    Ok(())
}

/// Numbers in `[0, 1)` that look random and are the same in every run.
fn spread(i: usize, k: usize) -> f64 {
    f64::from(philox4x32([i as u32, k as u32, 0, 0], [1, 2])[0]) / 2f64.powi(32)
}

/// A normal deviate from two of them (Box-Muller).
fn normal(i: usize, k: usize) -> f64 {
    (-2.0 * (1.0 - spread(i, k)).ln()).sqrt() * (TAU * spread(i, k + 1)).cos()
}

/// Cells on a tree that splits once, then its upper branch again; with time, fate and the direction of travel.
struct Cells {
    points: Vec<[f64; 2]>,
    day: Vec<Option<usize>>,
    fate: Vec<Option<usize>>,
    drift: Vec<[f64; 2]>,
    noise: Vec<f64>,
}

fn cells(n: usize) -> Cells {
    let (mut points, mut day, mut fate, mut drift, mut noise) = (vec![], vec![], vec![], vec![], vec![]);
    for i in 0..n {
        let d = i % 5;
        let s = ((d as f64 + 0.75 * normal(i, 10).clamp(-2.0, 2.0)) / 4.0).clamp(0.0, 1.0);
        let branch = (spread(i, 2) * 4.0) as usize;
        let (up, inner) =
            (if branch < 2 { 1.0 } else { -1.0 }, if branch.is_multiple_of(2) { 1.0 } else { -1.0 });
        let opening = (1.8 * (s - 0.25)).max(0.0);
        let second = (2.6 * (s - 0.6)).max(0.0);
        let wide = 0.16 - 0.07 * s;
        points.push([
            4.0 * s - 2.0 + wide * normal(i, 20),
            up * 1.1 * opening.powf(1.2) + inner * 0.62 * second.powf(1.3) + wide * normal(i, 30),
        ]);
        day.push(Some(d));
        fate.push((s > 0.55).then_some(branch));
        let slope = if s > 0.25 { up * 0.9 * opening.powf(0.2) } else { 0.0 }
            + if s > 0.6 { inner * 1.0 } else { 0.0 };
        let speed = 1.3 * (1.02 - s).max(0.04);
        drift.push([speed, speed * 0.75 * slope]);
        noise.push(0.1 + 0.35 * (-((s - 0.35) / 0.2).powi(2)).exp());
    }
    Cells { points, day, fate, drift, noise }
}

fn gallery() -> Result<Page, Failure> {
    let fates: Vec<String> =
        ["Erythrocyte", "Megakaryocyte", "Monocyte", "Granulocyte"].map(String::from).to_vec();
    let days: Vec<String> = [0, 1, 2, 4, 6].map(|d| format!("day {d}")).to_vec();
    let c = cells(20_000);

    let mut page = Page::new("Myeloid differentiation, learned from five snapshots");
    page.subtitle(
        "A neural stochastic differential equation fitted to 20,000 cells at days 0 to 6, with day 2 held out. \
         All data on this page are made up to show how a report looks.",
    );
    page.footer("chreode gallery · made-up data");
    page.tile(
        Tile::new("Held-out day 2", number(1.21, 3))
            .unit("× floor")
            .note("Distance to unseen cells; 1 is what two samples of the same day differ by")
            .status(Status::Good),
    );
    page.tile(
        Tile::new("Fate cross-entropy", number(1.153, 4))
            .unit("nats")
            .note("Base rate 1.428, best possible 1.004")
            .status(Status::Warn),
    );
    page.tile(
        Tile::new("Largest fate error", percent(0.031))
            .note("Simulated against observed fractions at day 6")
            .status(Status::Good),
    );
    page.tile(
        Tile::new("Effective sample size", count(412))
            .unit("of 6,000")
            .note("Growth weights rest on few cells")
            .status(Status::Bad),
    );
    page.tile(
        Tile::new("Perturbations with the right sign", "31").unit("of 36").note("Among effects above 0.05"),
    );
    page.tile(Tile::new("Training time", "1 min 52 s").note("2 threads, 1,240 steps"));

    trust(&mut page);
    states(&mut page, &c, &fates, &days)?;
    dynamics(&mut page, &c, &fates)?;
    fate_section(&mut page, &c, &fates)?;
    perturbations(&mut page, &fates)?;
    training(&mut page);
    degenerate(&mut page)?;
    page.section("settings", "Settings").text("Everything that is needed to repeat this run.").settings(
        "Run",
        [
            ("input", "cells.h5ad (20,000 cells × 2,000 genes)"),
            ("basis", "X_pca, 30 components"),
            ("time column", "day"),
            ("held out", "day 2"),
            ("drift", "production form, 2 × 64, SiLU"),
            ("diffusion", "diagonal, 32, softplus"),
            ("loss", "energy distance, unbiased"),
            ("optimiser", "Adam, learning rate 3×10⁻³"),
            ("step", "1/16 day, Euler-Maruyama (Itô)"),
            ("seed", "7"),
        ],
    );
    Ok(page)
}

fn trust(page: &mut Page) {
    let s = page.section("trust", "What to distrust");
    s.text("Read this before the figures. A model can fit every snapshot and still be wrong about what single cells do: snapshots do not determine drift and noise separately.");
    s.warn(vec![
        Warning::new(Severity::Caution, "18 % of simulated cells at day 6 lie outside the training cells", "Beyond the data the drift is extrapolation; fates of such cells follow the network's shape, not observations.", "Look at the histogram of distances, and drop start cells whose paths leave the data.").see("states"),
        Warning::new(Severity::Serious, "Growth weights have an effective sample size of 412 of 6,000", "A few cells stand for most of the population: fractions and shifts that use the weights are noisy.", "Refit with `--growth none` and compare the fate fractions; report only what both agree on.").see("fates"),
        Warning::new(Severity::Note, "The hold-out is one time point", "It tests interpolation between days 1 and 4, not prediction beyond day 6.", ""),
    ]);
}

fn states(page: &mut Page, c: &Cells, fates: &[String], days: &[String]) -> Result<(), Failure> {
    let s = page.section("states", "The cells");
    s.text("Where the cells are, day by day, in the first two principal components. Distances along an axis are comparable; what lies along further components is not shown.");
    let by_day = Scatter::new(&c.points)
        .colour(ColourBy::Ordered { title: "time", labels: days, of: &c.day })
        .labels("PC 1", "PC 2");
    s.half_figure(
        "Cells by time",
        "Early cells lie at the left; two arms open from day 1 on.",
        &by_day.draw()?,
    );
    let by_fate = Scatter::new(&c.points)
        .colour(ColourBy::Category { title: "cell type", labels: fates, of: &c.fate })
        .labels("PC 1", "PC 2")
        .max_points(6000);
    s.half_figure("Cells by type", "Grey cells carry no label.", &by_fate.draw()?);
    s.figure(
        "The same cells, one panel per day",
        "Grey: cells of all other days. All panels have the axes of the figure above.",
        &by_day.draw_by(days, &c.day)?,
    );
    let value = Scatter::new(&c.points)
        .colour(ColourBy::Value { title: "fate entropy (nats)", values: &c.noise })
        .labels("PC 1", "PC 2")
        .max_points(8000);
    s.figure(
        "Uncertainty of the fate",
        "Cells before the branch point have every fate open.",
        &value.draw()?,
    );
    let near: Vec<f64> = (0..3000).map(|i| 0.5 * (0.3 * normal(i, 0)).exp()).collect();
    let far: Vec<f64> = (0..3000).map(|i| 0.62 * (0.42 * normal(i, 1)).exp()).collect();
    let h = Histogram::new(vec![("training cells".into(), &near), ("simulated cells".into(), &far)])
        .label("distance to the 10th nearest training cell")
        .mark(1.05, "99 % of training cells");
    s.figure(
        "Distance of simulated cells to the training cells",
        "Right of the line the model extrapolates.",
        &h.draw(),
    );
    Ok(())
}

fn dynamics(page: &mut Page, c: &Cells, fates: &[String]) -> Result<(), Failure> {
    let s = page.section("dynamics", "What moves the cells");
    let lattice = Lattice::covering(&c.points, 45);
    let drift = VectorGrid::smooth(lattice, &c.points, &c.drift)?;
    let lines = Streamlines::new(&drift, &c.points)
        .colour(ColourBy::Category { title: "cell type", labels: fates, of: &c.fate })
        .unit("per day")
        .labels("PC 1", "PC 2");
    s.half_figure(
        "Drift",
        "Streamlines follow the mean motion of cells; thicker is faster. Noise is not shown here.",
        &lines.draw()?,
    );
    let noise = ScalarGrid::smooth(lattice, &c.points, &c.noise)?;
    let map = HeatMap::new(&noise, "diffusion (PC units per √day)").labels("PC 1", "PC 2");
    s.half_figure("Diffusion", "Where single cells scatter most: around the branch point.", &map.draw());
    let circle = Lattice::covering(&[[-1.0, -1.0], [1.0, 1.0]], 41);
    let swirl = (0..circle.len())
        .map(|k| circle.node(k % circle.nx, k / circle.nx))
        .map(|[x, y]| [-y - 0.25 * x, x - 0.25 * y])
        .collect();
    s.half_figure(
        "A focus, without cells",
        "Spirals keep apart and end where they would crowd.",
        &Streamlines::new(&VectorGrid::new(circle, swirl)?, &[]).labels("x", "y").draw()?,
    );
    let waves = (0..circle.len())
        .map(|k| circle.node(k % circle.nx, k / circle.nx))
        .map(|[x, y]| (3.0 * x).sin() * (2.0 * y).cos())
        .collect();
    s.half_figure(
        "A full map",
        "Every place has a value.",
        &HeatMap::new(&ScalarGrid::new(circle, waves)?, "height").draw(),
    );
    Ok(())
}

fn fate_section(page: &mut Page, c: &Cells, fates: &[String]) -> Result<(), Failure> {
    let s = page.section("fates", "Fates");
    s.text("A fate is the cell type that a simulated path reaches at day 6. Each start cell is simulated many times; its probabilities are the shares of its paths.");
    let bars = Bars::new(
        fates.to_vec(),
        vec![
            BarSeries::new("observed at day 6", vec![0.252, 0.256, 0.248, 0.232]).intervals(vec![
                (0.228, 0.277),
                (0.232, 0.281),
                (0.224, 0.273),
                (0.209, 0.257),
            ]),
            BarSeries::new("simulated from day 0", vec![0.263, 0.271, 0.217, 0.241]).intervals(vec![
                (0.249, 0.277),
                (0.257, 0.285),
                (0.204, 0.231),
                (0.228, 0.255),
            ]),
            BarSeries::new("truth", vec![0.2524, 0.256, 0.2479, 0.2324]).as_marker(),
        ],
    )
    .label("fraction of cells")
    .percent();
    s.figure(
        "Fate fractions",
        "Bars whose intervals miss the upright mark are wrong by more than chance.",
        &bars.draw()?,
    );

    let mut p = Vec::new();
    for i in 0..1200 {
        let t = spread(i, 0) * 4.0;
        let sharp = 0.5 + 3.0 * spread(i, 1);
        p.extend((0..4).map(|f| (sharp * (TAU * (t - f as f64) / 4.0).cos()).exp()));
    }
    s.figure(
        "Fate probabilities, cell by cell",
        "One thin column per cell: a column of one colour is a committed cell.",
        &FateBars::new(fates, &p)?.draw(),
    );

    let predicted: Vec<f64> = (0..4000).map(|i| spread(i, 0).powf(1.4)).collect();
    let outcome: Vec<f64> =
        predicted.iter().enumerate().map(|(i, p)| f64::from(spread(i, 3) < p.powf(0.8) * 0.93)).collect();
    let calibration = Calibration::new().pairs("all fates", &predicted, &outcome, 10)?;
    s.half_figure(
        "Calibration",
        format!(
            "Of cells given a probability, how many took that fate? Mean gap {}.",
            percent(calibration.expected_error(0))
        ),
        &calibration.draw(),
    );
    let groups: Vec<Vec<f64>> =
        (0..4).map(|f| (0..400).map(|i| 0.3 + 0.15 * f as f64 + 0.12 * normal(i, f)).collect()).collect();
    let ridges = Ridgelines::new(fates.iter().cloned().zip(groups.iter().map(Vec::as_slice)).collect())
        .label("Gata-1 at day 6")
        .references("observed median", vec![Some(0.31), Some(0.48), Some(0.57), None]);
    s.half_figure("Spread within each fate", "Upright marks: medians of the observed cells.", &ridges.draw());

    let mut table = Table::new("Fate cross-entropy of 200 progenitors", vec![Column::text("model"), Column::numeric("cross-entropy").hint("nats, lower is better"), Column::numeric("drift cosine").hint("higher is better"), Column::numeric("log-diffusion").hint("correlation"), Column::numeric("rms error").hint("log units"), Column::numeric("bias").hint("log units")])
        .caption("Rows in italics are references, not fits: the base rate knows nothing of the cell, the oracle knows the true equation.");
    table.row(Row::new(["this run", "1.153", "0.79", "0.67", "0.57", "+0.23"]).kind(RowKind::Highlight));
    table.row(Row::new(["oracle", "1.004", "1", "1", "0", "0"]).kind(RowKind::Reference));
    table.row(
        Row::new(["true drift, constant diffusion", "1.015", "1", "0.27", "0.77", "–"])
            .kind(RowKind::Reference),
    );
    table.row(Row::new(["no learning: `g = c √x`", "–", "–", "0.97", "0.20", "–"]).kind(RowKind::Reference));
    table.row(Row::new(["base rate", "1.428", "–", "–", "–", "–"]).kind(RowKind::Reference));
    s.table(table);
    let labels: Vec<String> = (0..30)
        .map(|k| format!("a rather long label of cell type number {k}, as found in atlases"))
        .collect();
    let of: Vec<Option<usize>> =
        (0..c.points.len()).map(|i| Some(((spread(i, 1).powi(2) * 30.0) as usize).min(29))).collect();
    let many = Scatter::new(&c.points)
        .colour(ColourBy::Category { title: "thirty labels", labels: &labels, of: &of })
        .max_points(3000);
    s.figure("Many long labels", "The most frequent eleven have colours.", &many.draw()?);
    Ok(())
}

fn perturbations(page: &mut Page, fates: &[String]) -> Result<(), Failure> {
    let s = page.section("perturbations", "Perturbations");
    s.text("Change of each fate's fraction when one factor is held at zero, against the unperturbed simulation from the same cells with the same noise.");
    let factors =
        ["Gata-2", "Gata-1", "Fog-1", "EKLF", "Fli-1", "SCL", "C/EBPα", "PU.1", "c-Jun", "EgrNab", "Gfi-1"];
    let shift = |k: usize, f: usize| 0.3 * (1.7 * k as f64 + PI * f as f64 / 2.0).sin();
    let mut forest = Forest::new().label("change of the fraction").names("predicted, 95 % interval", "truth");
    for (k, factor) in factors.iter().enumerate().take(4) {
        let rows = fates.iter().enumerate().map(|(f, fate)| {
            let truth = shift(k, f);
            let e = 0.85 * truth + 0.03 * normal(k * 7 + f, 1);
            let row = ForestRow::new(fate.clone(), e).interval(e - 0.04, e + 0.04).truth(truth);
            if e.abs() < 0.05 { row.faint() } else { row }
        });
        forest = forest.group(*factor, rows.collect());
    }
    s.figure(
        "Knock-outs, predicted and true",
        "Filled: what the model says. Ring: what is true. Grey: not distinguishable from no effect.",
        &forest.draw(),
    );
    let names: Vec<String> = factors.map(String::from).to_vec();
    let mut values: Vec<f64> = (0..11).flat_map(|k| (0..4).map(move |f| shift(k, f))).collect();
    values[6] = f64::NAN;
    s.half_figure(
        "All shifts at a glance",
        "Warm: more cells of this fate; blue: fewer.",
        &Matrix::new(&names, fates, &values, "change of the fraction")?.change().draw(),
    );
    let confusion =
        [0.86, 0.09, 0.03, 0.02, 0.11, 0.82, 0.04, 0.03, 0.02, 0.02, 0.78, 0.18, 0.01, 0.03, 0.2, 0.76];
    s.half_figure(
        "Confusion of fates",
        "Rows: true fate; columns: predicted.",
        &Matrix::new(fates, fates, &confusion, "share of the row")?.draw(),
    );
    let panel = |k: usize| {
        let points = (0..7).map(|i| [f64::from(i), (0.3 * f64::from(i) + k as f64).sin()]).collect();
        (factors[k].to_string(), Lines::new(vec![Series::new("level", points)]).labels("day", "").draw())
    };
    s.figure(
        "Small multiples of any figure",
        "Panels share nothing but their place.",
        &Figure::grid(&(0..4).map(panel).collect::<Vec<_>>()),
    );
    Ok(())
}

fn training(page: &mut Page) {
    let s = page.section("training", "How the fit went");
    let curve = |rate: f64, floor: f64, wobble: f64| -> Vec<[f64; 2]> {
        (0..1240)
            .map(|i| {
                [
                    f64::from(i),
                    floor + 0.8 * (-rate * f64::from(i)).exp() + wobble * normal(i as usize, 0).abs(),
                ]
            })
            .collect()
    };
    let train = curve(0.008, 0.03, 0.012);
    let hold: Vec<[f64; 2]> = curve(0.007, 0.05, 0.0).into_iter().step_by(40).collect();
    let lines = Lines::new(vec![
        Series::new("training batches", train).note("0.036"),
        Series::new("hold-out (day 2)", hold).note("0.052"),
    ])
    .labels("step", "energy distance")
    .log_y()
    .mark(920.0, "best hold-out");
    s.half_figure("Loss", "Both fall together: no sign of over-fitting.", &lines.draw());
    let points = |a: f64| {
        (0..=12)
            .map(|i| f64::from(i) / 2.0)
            .map(|t| [t, 0.25 + a * (1.0 - (-t / 2.0).exp())])
            .collect::<Vec<_>>()
    };
    let band = points(0.25).iter().map(|p| [p[0], p[1] - 0.05, p[1] + 0.05]).collect();
    let level = Lines::new(vec![
        Series::new("simulated", points(0.25)).band(band),
        Series::new("observed", points(0.22)).dashed(),
    ])
    .labels("day", "mean Gata-1")
    .from_zero();
    s.half_figure("Mean level over time", "Band: 95 % interval over start cells.", &level.draw());
    s.figure(
        "The same, over the whole width",
        "A chart has two layouts: one for wide places, one for narrow.",
        &level.draw(),
    );
}

fn degenerate(page: &mut Page) -> Result<(), Failure> {
    let s = page.section("edge", "Edge cases <& \"quotes\">");
    s.text("Nothing breaks on little or strange data: **none at all**, one point, `NaN`, markup in labels such as <script>alert(1)</script>.");
    s.half_figure("No points", "", &Scatter::new(&[]).draw()?);
    s.half_figure(
        "One point, two without values",
        "",
        &Scatter::new(&[[1.0, 2.0], [f64::NAN, 0.0], [0.0, f64::INFINITY]]).labels("x", "y").draw()?,
    );
    s.half_figure(
        "A flat line",
        "",
        &Lines::new(vec![Series::new("flat", vec![[0.0, 3.0], [1.0, 3.0]])]).labels("step", "value").draw(),
    );
    s.half_figure(
        "Hostile names",
        "",
        &Bars::new(
            vec!["<b>&\"'".into(), "a very long name of a group that has to be cut somewhere, surely".into()],
            vec![BarSeries::new("x", vec![-0.4, 1.3])],
        )
        .draw()?,
    );
    Ok(())
}
