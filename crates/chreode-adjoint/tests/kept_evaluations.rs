//! Evaluations that a forward run keeps: the bits of a gradient without them, and nothing evaluated twice.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use chreode_adjoint::{Checkpoints, OdeAdjoint};
use chreode_core::{FieldError, VectorField, Vjp};
use chreode_linalg::Activation;
use chreode_model::{
    MlpField, MlpFieldConfig, MlpShape, ModelConfig, NeuralSde, NoiseConfig, NoiseForm, NoisyField, SquareMlp,
};
use chreode_solve::{DOP853, ErkTableau, RK4, SolveOptions, TSIT5, VERN7};
use chreode_testkit::{LotkaVolterra, SmoothField};
use common::net::Net;

const N: usize = 70; // more than one tile
const D: usize = 3;

struct Outcome {
    bits: Vec<u64>,
    steps: usize,
    /// Of the forward run, and of the sweep.
    evaluations: [usize; 2],
    kept: usize,
}

/// A discontinuity, saves, and in adaptive runs rejected steps.
fn run(
    method: &'static ErkTableau,
    options: SolveOptions<'_>,
    activation: Activation,
    checkpoints: Checkpoints,
    bytes: usize,
) -> Outcome {
    let shape = MlpShape::new(D, &[9, 6], D, activation);
    let p: Vec<f64> = (0..shape.layout().len()).map(|i| (1.3 * i as f64).sin()).collect();
    let mut f = Net::new(SquareMlp::new(shape).unwrap());
    let mut adjoint = OdeAdjoint::with_checkpoints(method, N, D, checkpoints).unwrap();
    adjoint.keep_evaluations(bytes);
    let options = SolveOptions { save_at: &[0.3, 1.7, 2.0], discontinuities: &[0.9], ..options };
    let mut y: Vec<f64> = (0..N * D).map(|i| (0.7 * i as f64).cos()).collect();
    let mut bars = Vec::new();
    adjoint.forward(&mut f, &p, &mut y, (0.0, 2.0), &options, &mut |_, _, y| bars.push(y.to_vec())).unwrap();
    let (ahead, kept) = (f.evaluations, f.kept);
    let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
    let mut once = |f: &mut Net| {
        let (mut y0_bar, mut p_bar) = (vec![0.0; N * D], vec![0.0; p.len()]);
        adjoint.backward(f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap();
        y0_bar.iter().chain(&p_bar).map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let bits = once(&mut f);
    let evaluations = [ahead, f.evaluations - ahead];
    assert_eq!(bits, once(&mut f), "a second time");
    Outcome { bits, steps: adjoint.steps().len(), evaluations, kept }
}

#[test]
fn the_same_bits_and_nothing_evaluated_again() {
    let landing = |options| SolveOptions { land_on_saves: true, ..options };
    let tight = SolveOptions::tolerance(1e-9, 1e-9);
    for (method, options) in [
        (&RK4, landing(SolveOptions::fixed(0.11))),
        (&TSIT5, landing(SolveOptions::fixed(0.11))),
        (&TSIT5, landing(tight)),
        (&VERN7, landing(tight)),
        (&DOP853, landing(tight)),
        (&TSIT5, tight),
        (&VERN7, tight),
        (&DOP853, tight),
    ] {
        for activation in [Activation::Tanh, Activation::Silu] {
            let run = |checkpoints, bytes| run(method, options, activation, checkpoints, bytes);
            let plain = run(Checkpoints::All, 0);
            assert_eq!(plain.kept, 0);
            let all = run(Checkpoints::All, usize::MAX);
            assert_eq!(
                (all.bits == plain.bits, all.steps),
                (true, plain.steps),
                "{} {activation}",
                method.name
            );
            assert_eq!(all.evaluations[0], plain.evaluations[0], "{} {activation}", method.name);
            if !options.land_on_saves {
                // What dense output asks for is evaluated again in two steps.
                assert!(4 * all.evaluations[1] < plain.evaluations[1], "{} {activation}", method.name);
                continue;
            }
            assert_eq!(all.evaluations[1], 0, "{} {activation}", method.name);
            let stages = plain.evaluations[1] / plain.steps;
            // Room for three steps.
            let shape = MlpShape::new(D, &[9, 6], D, activation);
            let bytes = 3 * stages * (N * D * 8 + SquareMlp::<f64>::new(shape).unwrap().kept_bytes(N));
            for (bytes, steps) in [(bytes - 1, 2), (bytes, 3)] {
                let some = run(Checkpoints::All, bytes);
                assert!(some.bits == plain.bits, "{} {activation}", method.name);
                assert_eq!(some.evaluations[1], (plain.steps - steps) * stages, "{}", method.name);
            }
            assert!(run(Checkpoints::States(2), usize::MAX).bits == plain.bits, "{}", method.name);
        }
    }
}

/// A field that keeps nothing, and one whose evaluation fails at first: steps are tried again.
struct Sometimes(SmoothField<LotkaVolterra>, usize);

impl VectorField<f64> for Sometimes {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.1 += 1;
        if self.1.is_multiple_of(67) {
            return Err(FieldError::Recoverable { t, what: "now and then" });
        }
        self.0.eval(t, y, p, dy)
    }
}

impl Vjp<f64> for Sometimes {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.0.vjp(t, y, p, lambda, y_bar, p_bar)
    }
}

#[test]
fn steps_tried_again_are_kept_as_accepted() {
    let p = [1.5, 1.0, 0.75, 3.0];
    let gradient = |bytes| {
        let mut f = Sometimes(SmoothField(LotkaVolterra), 1);
        let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 2);
        adjoint.keep_evaluations(bytes);
        let options = SolveOptions { save_at: &[3.0], ..SolveOptions::tolerance(1e-8, 1e-8) };
        let stats =
            adjoint.forward(&mut f, &p, &mut [1.0, 0.5], (0.0, 3.0), &options, &mut |_, _, _| {}).unwrap();
        assert!(stats.field_failures > 1 && stats.accepted > 10);
        // No failures on the way back.
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        adjoint.backward(&mut f.0, &p, &[&[1.0, 1.0]], &mut y0_bar, &mut p_bar).unwrap();
        (y0_bar, p_bar)
    };
    assert_eq!(gradient(0), gradient(usize::MAX));
}

/// Gradients with respect to times take the field there, and each step that was observed inside once for its dense output, however many
/// observations it has: methods whose dense output has stages of its own do that without times too.
#[test]
fn times_take_no_step_once_an_observation() {
    let shape = MlpShape::new(D, &[9, 6], D, Activation::Tanh);
    let p: Vec<f64> = (0..shape.layout().len()).map(|i| (1.3 * i as f64).sin()).collect();
    let at: Vec<f64> = (1..200).map(|i| 0.01 * f64::from(i)).collect();
    for (method, per_step) in [(&TSIT5, TSIT5.stages()), (&VERN7, 0), (&DOP853, 0)] {
        let mut f = Net::new(SquareMlp::new(shape.clone()).unwrap());
        let mut adjoint = OdeAdjoint::new(method, N, D);
        let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-5, 1e-5) };
        let mut y: Vec<f64> = (0..N * D).map(|i| (0.7 * i as f64).cos()).collect();
        let mut bars = Vec::new();
        adjoint
            .forward(&mut f, &p, &mut y, (0.0, 2.0), &options, &mut |_, _, y| bars.push(y.to_vec()))
            .unwrap();
        let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
        let (mut y0_bar, mut p_bar) = (vec![0.0; N * D], vec![0.0; p.len()]);
        let mut evaluations = |time_bar: Option<&mut [f64]>| {
            let before = f.evaluations;
            match time_bar {
                None => adjoint.backward(&mut f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap(),
                Some(times) => {
                    adjoint.backward_with_times(&mut f, &p, &bars, &mut y0_bar, &mut p_bar, times).unwrap();
                }
            }
            f.evaluations - before
        };
        let (without, with) = (evaluations(None), evaluations(Some(&mut vec![0.0; at.len()])));
        let inside = |&&(t, t_end): &&(f64, f64)| at.iter().any(|&at| t < at && at < t_end);
        let steps = adjoint.steps().iter().filter(inside).count();
        assert!(5 * steps < at.len(), "{}", method.name);
        let start = 1;
        assert_eq!(with, without + at.len() + start + steps * per_step, "{}", method.name);
    }
}

/// Two runs with the same field before the first one's sweep, from the same start: their evaluations have the same places.
fn meets_another_run(mut f: impl Vjp<f64> + Clone, p: &[f64]) {
    let options = SolveOptions { save_at: &[2.0], ..SolveOptions::fixed(0.11) };
    let y0: Vec<f64> = (0..N * D).map(|i| (0.7 * i as f64).cos()).collect();
    let other: Vec<f64> = p.iter().map(|p| 0.9 * p).collect();
    let ahead = |f: &mut dyn Vjp<f64>, p: &[f64], bytes: Option<usize>| {
        let mut adjoint = OdeAdjoint::new(&TSIT5, N, D);
        if let Some(bytes) = bytes {
            adjoint.keep_evaluations(bytes);
        }
        adjoint.forward(f, p, &mut y0.clone(), (0.0, 2.0), &options, &mut |_, _, _| {}).unwrap();
        adjoint
    };
    let back = |adjoint: &mut OdeAdjoint<f64>, f: &mut dyn Vjp<f64>, p: &[f64]| {
        let (mut y0_bar, mut p_bar) = (vec![0.0; N * D], vec![0.0; p.len()]);
        adjoint.backward(f, p, &[&[1.0; N * D]], &mut y0_bar, &mut p_bar).unwrap();
        (y0_bar, p_bar)
    };
    let alone = [p, &other].map(|p| {
        let mut f = f.clone();
        let mut adjoint = ahead(&mut f, p, Some(0));
        assert_eq!(adjoint.evaluation_bytes(), 0);
        back(&mut adjoint, &mut f, p)
    });
    let mut runs = [p, &other].map(|p| ahead(&mut f, p, None));
    let mut copy = f.clone();
    // The field at the end of the run is the first stage of a step that does not come.
    let bytes = (runs[0].steps().len() + 1) * 6 * (N * D * 8 + f.kept_bytes(N));
    assert!(f.kept_bytes(N) > 0 && runs[0].evaluation_bytes() == bytes);
    for (run, p, alone) in [(0, p, &alone[0]), (1, &other, &alone[1]), (0, p, &alone[0])] {
        assert!(back(&mut runs[run], &mut f, p) == *alone, "run {run}");
    }
    // A copy has none of it.
    assert!(back(&mut runs[1], &mut copy, &other) == alone[1]);
}

#[test]
fn runs_of_one_field_do_not_meet() {
    let uniform = |n: usize| -> Vec<f64> { (0..n).map(|i| 0.5 * (1.3 * i as f64).sin()).collect() };
    let shape = MlpShape::new(D, &[9, 6], D, Activation::Silu);
    let len = shape.layout().len();
    meets_another_run(SquareMlp::<f64>::new(shape).unwrap(), &uniform(len));
    let field = || MlpField::<f64>::new(MlpFieldConfig::new(vec![0.1; D], vec![0.8; D])).unwrap();
    meets_another_run(field(), &uniform(field().n_params()));
    let noise = NoiseConfig::new(vec![0.1; D], vec![0.8; D], NoiseForm::Diagonal);
    let noisy = NoisyField::new(field(), noise).unwrap();
    let len = noisy.n_params();
    meets_another_run(noisy, &uniform(len));
    let mut config = ModelConfig::new(vec![0.1; D], vec![0.8; D]);
    config.drift.hidden = vec![9, 6];
    let sde = NeuralSde::<f64>::new(config).unwrap();
    let len = sde.n_params();
    meets_another_run(sde, &uniform(len));
}
