//! The run folder on the disk: nothing half-written, nothing foreign touched, checkpoints that survive a kill.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use chreode_cells::run::{
    DataConfig, ExistingRun, FateResult, Fingerprint, RunConfig, RunError, RunFolder, ShiftResult,
};
use chreode_cells::{
    ColumnSpace, DatasetOptions, GeneChange, GeneMove, ReadoutQuality, Shift, StateSource, StateSpace,
};
use chreode_model::{ModelConfig, NeuralSde};
use chreode_train::{GrowthChoice, TrainConfig};

fn model_config() -> ModelConfig {
    let mut config = ModelConfig::new(vec![0.1, -2.5e-3], vec![1.0 / 3.0, 7.0]);
    config.drift.hidden = vec![8];
    config
}

fn config() -> RunConfig {
    RunConfig {
        format: RunConfig::FORMAT,
        chreode: "0.1.0".into(),
        device: chreode_train::DeviceChoice::default(),
        members: 1,
        data: DataConfig {
            file: "/data/cells.csv".into(),
            fingerprint: Fingerprint { bytes: 12, crc32: "00000000".into() },
            options: DatasetOptions {
                time: "day".into(),
                state: StateSource::Columns(vec!["x".into(), "y".into()]),
                ..DatasetOptions::default()
            },
        },
        model: model_config(),
        training: TrainConfig { seed: 7, leave_out_times: vec![2.0], ..TrainConfig::default() },
        growth_choice: Some(GrowthChoice {
            learned: false,
            gain: -0.25,
            standard_error: 1e-3,
            times: vec![2.0, 4.5],
            without: vec![0.1, 0.01],
            with: vec![0.125, 0.0],
        }),
    }
}

fn create(path: &Path, existing: ExistingRun) -> Result<RunFolder, RunError> {
    RunFolder::create(path, existing, &config(), |_| Ok(())).map(|new| new.folder)
}

fn entries(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_is_made_in_one_piece() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/run");
    let run = create(&path, ExistingRun::Keep).unwrap();
    assert_eq!(entries(run.path()), ["checkpoints", "config.toml", "log"]);
    assert_eq!(entries(path.parent().unwrap()), ["run"]);
    assert_eq!(RunFolder::open(&path).unwrap(), (run, config()));
}

#[test]
fn a_failed_filling_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let failed = RunFolder::create(&path, ExistingRun::Keep, &config(), |new| {
        assert!(new.path().is_dir());
        Err(RunError::NoModel { path: new.path().to_owned() })
    });
    assert!(matches!(failed, Err(RunError::NoModel { .. })));
    assert!(entries(dir.path()).is_empty());
}

#[test]
fn what_is_there_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    create(&run, ExistingRun::Keep).unwrap();
    assert!(matches!(create(&run, ExistingRun::Keep), Err(RunError::Exists { .. })));
    std::fs::write(run.join("extra"), "x").unwrap();
    create(&run, ExistingRun::Replace).unwrap();
    assert_eq!(entries(&run), ["checkpoints", "config.toml", "log"], "the new run has no old files");
    assert_eq!(entries(dir.path()), ["run"]);

    let foreign = dir.path().join("thesis");
    std::fs::create_dir(&foreign).unwrap();
    create(&foreign, ExistingRun::Keep).unwrap(); // an empty folder is free
    let foreign = dir.path().join("photos");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("cat.jpg"), "x").unwrap();
    for existing in [ExistingRun::Keep, ExistingRun::Replace] {
        assert!(matches!(create(&foreign, existing), Err(RunError::NotEmpty { .. })));
        assert!(matches!(create(&foreign.join("cat.jpg"), existing), Err(RunError::NotEmpty { .. })));
    }
    assert_eq!(entries(&foreign), ["cat.jpg"]);
}

#[test]
fn other_versions_and_damage_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    assert!(matches!(RunFolder::open(&path), Err(RunError::NotARun { .. })));
    create(&path, ExistingRun::Keep).unwrap();
    let file = path.join("config.toml");
    std::fs::write(&file, "format = 9\nchreode = \"3.1.4\"\nnew_things = true\n").unwrap();
    let error = RunFolder::open(&path).unwrap_err();
    assert!(matches!(error, RunError::OtherFormat { found: 9, .. }));
    assert!(error.to_string().contains("3.1.4"), "{error}");
    // Format 1: its transforms do not know what counts are totalled over.
    std::fs::write(&file, "format = 1\nchreode = \"0.1.0\"\n").unwrap();
    assert!(matches!(RunFolder::open(&path), Err(RunError::OtherFormat { found: 1, expected: 2, .. })));
    std::fs::write(&file, format!("format = {}\nchreode = \"0.1.0\"\n", RunConfig::FORMAT)).unwrap();
    assert!(matches!(RunFolder::open(&path), Err(RunError::Damaged { .. })));
    std::fs::write(&file, "not toml at all [").unwrap();
    assert!(matches!(RunFolder::open(&path), Err(RunError::Damaged { .. })));
}

#[test]
fn the_last_whole_checkpoint_counts() {
    let dir = tempfile::tempdir().unwrap();
    let run = create(&dir.path().join("run"), ExistingRun::Keep).unwrap();
    assert_eq!(run.last_checkpoint().unwrap(), None);
    for step in [50, 100, 150, 200] {
        run.save_checkpoint(step, format!("state {step}").as_bytes()).unwrap();
    }
    assert_eq!(entries(&run.checkpoints()), ["000000150", "000000200"]);
    assert_eq!(run.last_checkpoint().unwrap(), Some((200, b"state 200".to_vec())));
    // A temporary file of a killed write is not looked at.
    std::fs::write(run.checkpoints().join(".000000250.1-0.part"), "sta").unwrap();
    // A bad disk: the one before is taken, and with none left the damage is told.
    std::fs::write(run.checkpoints().join("000000200"), "garbage").unwrap();
    assert_eq!(run.last_checkpoint().unwrap(), Some((150, b"state 150".to_vec())));
    std::fs::write(run.checkpoints().join("000000150"), "").unwrap();
    assert!(matches!(run.last_checkpoint(), Err(RunError::Damaged { .. })));
    // Resumed from 150, the run writes over what came later.
    run.save_checkpoint(200, b"again").unwrap();
    assert_eq!(run.last_checkpoint().unwrap(), Some((200, b"again".to_vec())));
}

#[test]
fn one_process_trains_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let run = create(&path, ExistingRun::Keep).unwrap();
    let lock = run.lock().unwrap();
    assert!(matches!(run.lock(), Err(RunError::Locked { .. })));
    assert!(matches!(create(&path, ExistingRun::Replace), Err(RunError::Locked { .. })));
    drop(lock);
    run.lock().unwrap();
}

#[test]
fn the_model_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let run = create(&dir.path().join("run"), ExistingRun::Keep).unwrap();
    assert!(matches!(run.load_model(), Err(RunError::NoModel { .. })));
    let model = NeuralSde::<f32>::new(model_config()).unwrap();
    let p = model.init(3);
    run.save_model(&model, &p).unwrap();
    let (loaded, q) = run.load_model().unwrap();
    assert_eq!((loaded.config(), q), (model.config(), p));
    let bytes = std::fs::read(run.model()).unwrap();
    std::fs::write(run.model(), &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(run.load_model(), Err(RunError::Model(_))));
}

#[test]
fn the_state_space_comes_back_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let run = create(&dir.path().join("run"), ExistingRun::Keep).unwrap();
    let numbers: Vec<f32> = (1..=600).map(|i| (i as f32 * 0.7).sin() / 3.0).collect();
    let names = (0..6).map(|i| format!("gene {i}")).collect();
    let space = StateSpace::Columns(ColumnSpace::of(names, &numbers.into()).unwrap());
    run.save_state_space(&space).unwrap();
    assert_eq!(run.load_state_space().unwrap(), space);
    std::fs::write(run.state_space(), "{").unwrap();
    assert!(matches!(run.load_state_space(), Err(RunError::Damaged { .. })));
}

#[test]
fn results_count_for_their_model_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run = create(&dir.path().join("run"), ExistingRun::Keep).unwrap();
    let model = NeuralSde::<f32>::new(model_config()).unwrap();
    run.save_model(&model, &model.init(3)).unwrap();
    assert_eq!(run.fates().unwrap(), None);
    assert!(run.shifts().unwrap().is_empty());
    let fates = FateResult {
        names: vec!["Mono".into(), "Neu".into()],
        probabilities: vec![1.0 / 3.0, 2.0 / 3.0],
        member_sd: Vec::new(),
        start: vec![0.1, 0.2],
        t0: 2.0,
        until: 6.0,
        readout: ReadoutQuality { k: 5, width: Some(0.2), log_loss: 0.1, base_rate: vec![0.5, 0.5] },
        cell_labels: (vec!["Mono".into()], vec![0, -1]),
    };
    run.keep_fates(&fates).unwrap();
    let shift = Shift { fate: "Mono".into(), baseline: 0.1, perturbed: 0.3, se: f64::NAN };
    let shifts = |name: &str, setting: &str| ShiftResult {
        name: name.into(),
        setting: setting.into(),
        genes: vec![GeneMove { gene: "Gata1".into(), change: GeneChange::Set(3.0), held: 0.1, moved: 0.3 }],
        shifts: vec![(&shift).into()],
    };
    for name in ["Gata1 +3", "Spi1 -3", "Gata1 +3"] {
        run.keep_shifts(shifts(name, "day 2 to 6")).unwrap();
    }
    assert_eq!(run.fates().unwrap(), Some(fates.clone()));
    assert_eq!(run.fates().unwrap().unwrap().fates().unwrap().of(0), &fates.probabilities[..]);
    let kept = run.shifts().unwrap();
    assert_eq!(kept.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["Spi1 -3", "Gata1 +3"]);
    assert!(Shift::from(&kept[0].shifts[0]).se.is_nan());
    run.keep_shifts(shifts("Gata1 +3", "day 4 to 6")).unwrap();
    assert_eq!(run.shifts().unwrap().len(), 1, "another setting starts a new list");

    run.save_model(&model, &model.init(4)).unwrap();
    assert_eq!(run.fates().unwrap(), None, "fates of an older model");
    assert!(run.shifts().unwrap().is_empty());

    // Two ways to fates stand beside each other; agreement needs the same cells.
    run.keep_fates(&fates).unwrap();
    assert_eq!(run.transport_fates().unwrap(), None);
    run.keep_transport_fates(&fates).unwrap();
    let kept = [run.fates(), run.transport_fates()].map(|f| f.unwrap().unwrap());
    assert_eq!(kept[0].agreement(&kept[1]).unwrap().total_variation, 0.0);
    let later = FateResult { until: 8.0, ..kept[1].clone() };
    assert_eq!(kept[0].agreement(&later), None);
    // A further member is another model.
    run.create_members(2).unwrap();
    run.member(1).save_model(&model, &model.init(5)).unwrap();
    assert_eq!(run.fates().unwrap(), None, "fates without the second member");
}
