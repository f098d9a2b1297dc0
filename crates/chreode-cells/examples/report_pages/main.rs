//! Writes both pages of the report, to see how they look: the demo's from a slightly wrong copy of the true network,
//! a run's from a model that is trained for a moment.
//!
//! `cargo run --release -p chreode-cells --example report_pages -- FOLDER [STEPS]`

mod made_up;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use chreode_cells::run::TrainingCells;
use chreode_cells::virtual_blood::{D, FACTORS, Fate, SNAPSHOT_TIMES, snapshots};
use chreode_cells::{
    CellFields, FateView, Fates, LabelReadout, Labels, LossCurves, Rollout, RunPage, RunTrust, ShiftView,
    TrustSettings, demo_page, run_page, shifts,
};
use chreode_model::{DriftKind, GrowthConfig, ModelConfig, NeuralSde};
use chreode_train::{
    Evaluation, GrowthUse, Observer, Snapshots, Standardise, States, StepReport, TrainConfig, Trainer,
};
use made_up::{Failure, Sizes};

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "report-pages".into()));
    let steps = arguments.next().map_or(Ok(300), |s| s.parse())?;
    std::fs::create_dir_all(&folder)?;
    let sizes = Sizes { snapshot: 1200, ends: 4000, progenitors: (200, 200), field: 2000 };
    demo_page(&made_up::demo(sizes)?)?.write(folder.join("demo.html"))?;
    run(steps)?.write(folder.join("run.html"))?;
    println!("{}", folder.display());
    Ok(())
}

/// Collects the losses.
#[derive(Default)]
struct Watch(LossCurves);

impl Observer for Watch {
    fn step(
        &mut self,
        report: &StepReport,
        _seconds: f64,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.training.push([report.step as f64, report.loss]);
        Ok(())
    }

    fn evaluation(&mut self, report: &Evaluation) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.hold_out.push([report.step as f64, report.hold_out_loss]);
        self.0.best_step = Some(report.best_step as f64);
        Ok(())
    }
}

fn run(steps: u64) -> Result<chreode_report::Page, Failure> {
    let (cells, axes, names) = training_cells(1200)?;
    let labels = Labels::from_text(&names);
    let d = cells.dim;
    let at = |t: f64| -> Vec<f32> {
        let rows = (0..cells.len()).filter(|&i| cells.times[i] == t);
        rows.flat_map(|i| &cells.states[i * d..(i + 1) * d]).copied().collect()
    };
    let times = vec![0.0, 1.0, 2.0, 4.0, 6.0];
    let data = Snapshots {
        dim: d,
        states: States::each(times.iter().map(|&t| at(t))),
        times,
        ..Snapshots::default()
    };
    let mut config = ModelConfig::new(vec![0.4; d], vec![0.4; d]);
    (config.drift.kind, config.drift.hidden) = (DriftKind::Production, vec![64, 64]);
    config.growth = Some(GrowthConfig::default());
    let model = NeuralSde::<f32>::new(config)?;
    let training = TrainConfig {
        steps,
        batch: 256,
        dt: 0.125,
        learning_rate: 3e-3,
        standardise: Standardise::PerCoordinate,
        growth: GrowthUse::Learned,
        evaluate_every: 20,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(model.clone(), model.init(1), data, training)?;
    let mut watch = Watch::default();
    let outcome = trainer.run(&mut watch, &AtomicBool::new(false))?;
    let p = trainer.best_params();

    let fields = CellFields::at(&model, p, &cells, 1)?;
    let trust =
        RunTrust::measure(&model, p, &cells, TrustSettings { dt: 0.125, seed: 1, growth_from_start: false })?;
    let readout = LabelReadout::new(&cells.states, d, &labels, None)?;
    let start: Vec<f32> = at(1.0)[..400 * d].to_vec();
    let rollout = Rollout { model: &model, p, dt: 0.125, paths: 40, seed: 3, clamp: None, place: None };
    let fates = Fates::predict(&rollout, &readout, &start, 1.0, 6.0)?;
    let mut views = Vec::new();
    for (k, name) in axes.iter().enumerate().take(2) {
        let mut moved = start.clone();
        moved.chunks_exact_mut(d).for_each(|row| row[k] += 0.5);
        let perturbed = Fates::predict(&rollout, &readout, &moved, 1.0, 6.0)?;
        views.push(ShiftView {
            name: format!("{name} +0.5 at the start"),
            genes: Vec::new(),
            shifts: shifts(&fates, &perturbed),
        });
    }
    let settings = [
        (
            "Model",
            vec![
                ("drift", "production, 2 × 64, SiLU".to_string()),
                ("diffusion", "diagonal, 2 × 32".to_string()),
            ],
        ),
        (
            "Training",
            vec![("steps", outcome.step.to_string()), ("seconds", format!("{:.0}", outcome.seconds))],
        ),
    ];
    let settings: Vec<(String, Vec<(String, String)>)> = settings
        .into_iter()
        .map(|(t, rows)| (t.to_string(), rows.into_iter().map(|(k, v)| (k.to_string(), v)).collect()))
        .collect();
    Ok(run_page(&RunPage {
        data: "virtual_blood.h5ad",
        time: "day",
        axes: &axes,
        cells: &cells,
        labels: Some(&labels),
        fields: &fields,
        losses: &watch.0,
        fates: Some(FateView {
            fates: &fates,
            start: &start,
            t0: 1.0,
            until: 6.0,
            readout: &readout.quality(),
            member_sd: &[],
            transport: None,
        }),
        shifts: &views,
        members: None,
        trust: &trust,
        clones: None,
        growth_choice: None,
        settings: &settings,
    })?)
}

/// Snapshots of virtual blood as the cells of a run, Gata1 and Pu1 first, every tenth cell held out.
fn training_cells(per_time: usize) -> Result<(TrainingCells, Vec<String>, Vec<&'static str>), Failure> {
    let order: Vec<usize> = [1, 7].into_iter().chain((0..D).filter(|i| ![1, 7].contains(i))).collect();
    let (mut states, mut times, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (snapshot, t) in snapshots::<f32>(per_time, 11)?.iter().zip(SNAPSHOT_TIMES) {
        for row in snapshot.chunks_exact(D) {
            states.extend(order.iter().map(|&i| row[i]));
            times.push(t);
            let fate = Fate::of(row);
            labels.push(if fate == Fate::Other { "" } else { fate.name() });
        }
    }
    let n = times.len();
    let cells = TrainingCells {
        dim: D,
        states,
        times,
        ids: (0..n).map(|i| format!("cell{i}")).collect(),
        held_out: (0..n).map(|i| i % 10 == 0).collect(),
        labels: None,
        growth: None,
        populations: None,
        clones: None,
    };
    Ok((cells, order.iter().map(|&i| FACTORS[i].to_string()).collect(), labels))
}
