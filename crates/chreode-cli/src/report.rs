//! `chreode report`: what a run learned, and what to distrust, on one page.

use std::path::PathBuf;

use chreode_cells::run::{FateResult, RunConfig, TrainingCells, read_metrics};
use chreode_cells::{
    CellFields, FateView, Fates, Labels, LossCurves, MemberSpread, MembersView, RunPage, RunTrust, Shift,
    ShiftView, TrustSettings, run_page,
};
use chreode_train::Paths;
use clap::Args;
use serde_json::json;

use crate::Context;
use crate::start::OpenRun;
use crate::values;

/// Write what a run learned, and what to distrust, as one HTML page.
///
/// The page needs no network: cells by time and by label, drift, diffusion, losses, settings, and how far to trust
/// the model. Fates and perturbations are those that `chreode fate` and `chreode perturb` last predicted with this
/// model; labels are those of `chreode fit --labels` or of `chreode fate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  chreode report run/ -o report.html")]
pub(crate) struct ReportArgs {
    /// Run folder that `chreode fit` made
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Page to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
}

/// Measures, draws and writes.
pub(crate) fn run(context: &Context, args: &ReportArgs) -> anyhow::Result<()> {
    values::check_output(&args.out, &args.run, &[])?;
    let run = OpenRun::open(&args.run)?;
    let seed = run.seed(context.seed);
    let cells = TrainingCells::load(&run.folder.training_cells())?;
    // Of several members the first that counts is shown.
    let shown = run.members.as_ref().and_then(|m| m.kept().first().copied()).unwrap_or(0);
    let metrics = read_metrics(&run.folder.member(shown).metrics())?;
    let losses = LossCurves::from_metrics(&metrics, &run.config.training.loss);
    let params = &run.params[0];
    let fields = CellFields::at(&run.model, params, &cells, seed)?;
    let spread = MemberSpread::at(&run.model, &run.params, &cells, seed)?;
    context.console.note("simulating, to see what to distrust");
    let trust = RunTrust::measure(
        &run.model,
        params,
        &cells,
        TrustSettings {
            dt: run.config.training.dt,
            seed,
            growth_from_start: !matches!(run.config.training.paths, Paths::Intervals { .. }),
        },
    )?;
    let fate_result = run.folder.fates()?;
    let fates: Option<Fates> = fate_result.as_ref().and_then(FateResult::fates);
    let transport = run.folder.transport_fates()?;
    let agreement = fate_result.as_ref().zip(transport.as_ref()).and_then(|(f, t)| f.agreement(t));
    let transport = transport.as_ref().and_then(FateResult::fates);
    let fate_labels = fate_result.as_ref().and_then(|f| {
        let (names, codes) = &f.cell_labels;
        Labels::new(names.clone(), codes.clone()).filter(|l| l.len() == cells.len())
    });
    let labels = cells.labels.as_ref().or(fate_labels.as_ref());
    let shifts: Vec<ShiftView> = run
        .folder
        .shifts()?
        .into_iter()
        .map(|s| ShiftView {
            name: s.name,
            genes: s.genes,
            shifts: s.shifts.iter().map(Shift::from).collect(),
        })
        .collect();
    let data = run.config.data.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let clones = run.folder.load_clones()?;
    let page = run_page(&RunPage {
        data: &data,
        time: &run.config.data.options.time,
        axes: &run.space.coordinate_names(),
        cells: &cells,
        labels,
        fields: &fields,
        losses: &losses,
        fates: fate_result.as_ref().zip(fates.as_ref()).map(|(of, fates)| FateView {
            fates,
            start: &of.start,
            t0: of.t0,
            until: of.until,
            readout: &of.readout,
            member_sd: &of.member_sd,
            transport: transport.as_ref().zip(agreement),
        }),
        shifts: &shifts,
        members: run.members.as_ref().map(|members| MembersView { members, spread }),
        trust: &trust,
        clones: clones.as_ref(),
        growth_choice: run.config.growth_choice.as_ref(),
        settings: &settings(&run.config)?,
    })?;
    page.write(&args.out)?;
    let text = format!("the report is in {}", args.out.display());
    context.console.result(&text, "written", json!({ "path": args.out }));
    Ok(())
}

/// A group of settings: its title, then names and values.
type Group = (String, Vec<(String, String)>);

/// All of `config.toml`, in its groups, as names and values.
fn settings(config: &RunConfig) -> anyhow::Result<Vec<Group>> {
    let table = toml::Table::try_from(config)?;
    let mut run = Vec::new();
    let mut groups = Vec::new();
    for (name, value) in table {
        if let toml::Value::Table(group) = value {
            let mut rows = Vec::new();
            flatten("", group, &mut rows);
            groups.push((name, rows));
        } else {
            run.push((name, short(&value)));
        }
    }
    groups.insert(0, ("run".to_owned(), run));
    Ok(groups)
}

fn flatten(prefix: &str, table: toml::Table, rows: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        if let toml::Value::Table(inner) = value {
            flatten(&format!("{name}."), inner, rows);
        } else {
            rows.push((name, short(&value)));
        }
    }
}

/// A value as it stands in `config.toml`; of a long list its length.
fn short(value: &toml::Value) -> String {
    const LONG: usize = 8;
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) if values.len() > LONG => format!("{} values", values.len()),
        other => other.to_string(),
    }
}
