//! Training on the device: the loop, its checkpoints, and what it refuses.

use crate::lab::{close, close_in_units, lab, numbers, stand_in};
use chreode_cells::virtual_blood::{self, SNAPSHOT_TIMES};
use chreode_cuda_cpu::Fault;
use chreode_model::{DriftConfig, DriftKind, GrowthConfig, GrowthNet, ModelConfig, NeuralSde};
use chreode_train::{
    DeviceChoice, GrowthUse, NoObserver, OptimiserConfig, PlaceError, Placement, Snapshots, States,
    TrainConfig, TrainError, Trainer,
};
use std::sync::atomic::AtomicBool;

const D: usize = 3;

/// A cloud that moves and widens, as cells at three times.
fn snapshots() -> Snapshots<f32> {
    let cells = |time: usize, n: usize| -> Vec<f32> {
        let z = numbers(20 + time as u64, n * D);
        z.iter().map(|z| (0.4 + 0.2 * time as f32) * z + 0.5 * time as f32).collect()
    };
    Snapshots {
        dim: D,
        times: vec![0.0, 0.5, 1.0],
        states: States::each([cells(0, 120), cells(1, 90), cells(2, 100)]),
        ..Snapshots::default()
    }
}

fn model(kind: DriftKind) -> NeuralSde<f32> {
    NeuralSde::new(ModelConfig {
        drift: DriftConfig { kind, hidden: vec![16], ..DriftConfig::default() },
        growth: Some(GrowthConfig { hidden: vec![8], ..GrowthConfig::default() }),
        ..ModelConfig::new(vec![0.3; D], vec![0.6; D])
    })
    .unwrap()
}

type DeviceTrainer = Trainer<f32, NeuralSde<f32>, GrowthNet<f32>>;

fn trainer(steps: u64) -> DeviceTrainer {
    let model = model(DriftKind::Mlp);
    let config = TrainConfig {
        steps,
        batch: 33,
        dt: 0.125,
        hold_out: 0.2,
        evaluate_every: 3,
        evaluate_cells: 31,
        checkpoint_every: 100,
        learning_rate: 0.01,
        growth: GrowthUse::Learned,
        ..TrainConfig::default()
    };
    Trainer::new(model.clone(), model.init(2), snapshots(), config).unwrap()
}

fn on_device(mut trainer: DeviceTrainer) -> DeviceTrainer {
    assert!(matches!(trainer.place(DeviceChoice::Cuda), Ok(Placement::Cuda { .. })));
    trainer
}

fn run(trainer: &mut DeviceTrainer) {
    trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

/// Each of 20 steps of the loop, taken from the processor's state: loss to 1e-4, norm of the gradient to 1e-3; then the hold-out to 1e-4.
#[test]
fn steps_agree_with_the_processor() {
    if lab().is_none() {
        return;
    }
    let (mut cpu, mut device) = (trainer(20), on_device(trainer(20)));
    for step in 0..20 {
        device.restore(&cpu.save().unwrap()).unwrap();
        let (want, got) = (cpu.step().unwrap().clone(), device.step().unwrap().clone());
        let near = |got: f64, want: f64, tolerance: f64| (got - want).abs() <= tolerance * (1.0 + want.abs());
        assert!(near(got.loss, want.loss, 1e-4), "step {step}: {} {}", got.loss, want.loss);
        let [got, want] = [got.gradient_norm, want.gradient_norm];
        assert!(near(got, want, 1e-3), "step {step}: {got} {want}");
        // Adam's first updates are signs of the gradient, whatever its size: a twentieth of the step's bound of 20 updates.
        close("parameters", device.params(), cpu.params(), 1e-2);
    }
    device.restore(&cpu.save().unwrap()).unwrap();
    let [want, got] = [&mut cpu, &mut device].map(|t| t.evaluate().unwrap().unwrap().hold_out_loss);
    assert!((got - want).abs() <= 1e-4 * (1.0 + want.abs()), "{got} {want}");
}

/// Virtual blood, with updates in proportion to gradients.
fn blood() -> DeviceTrainer {
    const D: usize = virtual_blood::D;
    let model = NeuralSde::new(ModelConfig {
        drift: DriftConfig { hidden: vec![24, 24], ..DriftConfig::default() },
        ..ModelConfig::new(vec![0.5; D], vec![0.5; D])
    })
    .unwrap();
    let data = Snapshots {
        dim: D,
        times: SNAPSHOT_TIMES.to_vec(),
        states: States::each(virtual_blood::snapshots(120, 1).unwrap()),
        ..Snapshots::default()
    };
    let config = TrainConfig {
        steps: 20,
        batch: 67,
        dt: 0.125,
        hold_out: 0.2,
        optimiser: OptimiserConfig::Sgd { momentum: 0.0, nesterov: false },
        learning_rate: 0.02,
        ..TrainConfig::default()
    };
    Trainer::new(model.clone(), model.init(3), data, config).unwrap()
}

/// Each of 20 steps of virtual blood from the processor's state: loss to 1e-4, norm of the gradient to 1e-3, the update, and so the gradient, to 1e-3 of
/// its largest.
#[test]
fn steps_of_virtual_blood() {
    if lab().is_none() {
        return;
    }
    let (mut cpu, mut device) = (blood(), on_device(blood()));
    let mut losses = Vec::new();
    for step in 0..20 {
        device.restore(&cpu.save().unwrap()).unwrap();
        let before = cpu.params().to_vec();
        let (want, got) = (cpu.step().unwrap().clone(), device.step().unwrap().clone());
        assert!((got.loss - want.loss).abs() <= 1e-4 * want.loss, "step {step}: {} {}", got.loss, want.loss);
        let [got_norm, want_norm] = [got.gradient_norm, want.gradient_norm];
        assert!((got_norm - want_norm).abs() <= 1e-3 * want_norm, "step {step}: {got_norm} {want_norm}");
        let update = |after: &[f32]| after.iter().zip(&before).map(|(a, b)| a - b).collect::<Vec<f32>>();
        close_in_units("update", &update(device.params()), &update(cpu.params()), 1e-3);
        losses.push(want.loss);
    }
    assert!(losses[19] < 0.8 * losses[0], "{losses:?}"); // it did learn
}

/// A run that is interrupted and restored has the bits of one that is not; it goes on from the processor's state, and back.
#[test]
fn restored_runs() {
    if lab().is_none() {
        return;
    }
    let mut whole = on_device(trainer(12));
    run(&mut whole);
    let mut first = on_device(trainer(5));
    run(&mut first);
    let state = first.save().unwrap();
    let mut second = trainer(12);
    second.restore(&state).unwrap();
    let mut second = on_device(second);
    run(&mut second);
    assert_eq!(bits(second.params()), bits(whole.params()));
    assert_eq!(bits(second.best_params()), bits(whole.best_params()));

    let mut processor = trainer(12);
    processor.restore(&state).unwrap();
    run(&mut processor);
    assert_eq!(processor.steps_done(), 12);
    assert_ne!(bits(processor.params()), bits(whole.params())); // it did run elsewhere
    close("parameters", processor.params(), whole.params(), 5e-2);
    // Placed on the processor again, a training has the processor's bits.
    let mut back = trainer(12);
    back.restore(&state).unwrap();
    let mut back = on_device(back);
    assert_eq!(back.place(DeviceChoice::Cpu), Ok(Placement::Processor { why: None }));
    run(&mut back);
    assert_eq!(bits(back.params()), bits(processor.params()));
}

/// Models without kernels: an error if the device must be, the processor and the reason if it may be.
#[test]
fn models_without_kernels() {
    if lab().is_none() {
        return;
    }
    let model = model(DriftKind::Potential);
    let config = TrainConfig { growth: GrowthUse::Learned, batch: 8, ..TrainConfig::default() };
    let mut trainer = Trainer::new(model.clone(), model.init(2), snapshots(), config).unwrap();
    let why = PlaceError::Unsupported { what: "a potential drift" };
    assert_eq!(trainer.place(DeviceChoice::Cuda), Err(why.clone()));
    assert_eq!(trainer.place(DeviceChoice::Auto), Ok(Placement::Processor { why: Some(why) }));
    trainer.step().unwrap();
}

/// Devices that are missing or fail.
#[test]
fn failing_devices() {
    let Some(stand_in) = stand_in() else { return };
    stand_in.fault(Fault::NoDevice, 0);
    let mut trainer = trainer(4);
    let (refused, placed) = (trainer.place(DeviceChoice::Cuda), trainer.place(DeviceChoice::Auto));
    stand_in.fault(Fault::None, 0);
    let why = PlaceError::NoDevice { reason: "the CUDA driver finds no device".into() };
    assert_eq!(refused, Err(why.clone()));
    assert_eq!(placed, Ok(Placement::Processor { why: Some(why) }));
    trainer.step().unwrap();

    let mut trainer = on_device(trainer);
    // Of an evaluation: a step enters the thread pool, and faults are met by the thread that asked for them.
    stand_in.fault(Fault::LaunchFailed, 1);
    let failed = trainer.evaluate().err();
    stand_in.fault(Fault::None, 0);
    assert!(matches!(failed, Some(TrainError::Device { step: 1, .. })), "{failed:?}");
    // A device without room is one that cannot be used.
    stand_in.fault(Fault::OutOfMemory, 5);
    let refused = trainer.place(DeviceChoice::Cuda);
    stand_in.fault(Fault::None, 0);
    assert!(matches!(refused, Err(PlaceError::NoDevice { .. })), "{refused:?}");
}

/// A path that runs away names its cell, as on the processor.
#[test]
fn paths_that_run_away() {
    if lab().is_none() {
        return;
    }
    let model = model(DriftKind::Mlp);
    let mut p: Vec<f32> = model.init(2);
    p.iter_mut().for_each(|p| *p *= 1e30);
    let config = TrainConfig { growth: GrowthUse::Learned, batch: 8, ..TrainConfig::default() };
    let mut trainer = Trainer::new(model, p, snapshots(), config).unwrap();
    let mut device = on_device(trainer);
    let failed = device.step().err();
    assert!(
        matches!(failed, Some(TrainError::DevicePath { step: 0, start, cell, .. }) if start == 0.0 && cell < 120),
        "{failed:?}"
    );
    trainer = device;
    trainer.place(DeviceChoice::Cpu).unwrap();
    assert!(matches!(trainer.step().err(), Some(TrainError::Path { step: 0, .. })));
}
