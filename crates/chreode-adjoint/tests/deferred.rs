//! Products for many weights that are made once for several stages or steps: the gradient by single ones, the same bits whatever was
//! kept and on any number of threads, and nothing left over from an error.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_adjoint::{AdjointError, BatchAdjoint, Checkpoints, OdeAdjoint, SdeAdjoint};
use chreode_core::{BrownianIncrements, Diffusion, DiffusionVjp, FieldError, NoiseKind, VectorField, Vjp};
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, MlpShape, ModelConfig, NeuralSde, SquareMlp};
use chreode_solve::{RK4, SdeMethod, SolveOptions, TILE, TSIT5, TimeGrid};
use chreode_testkit::{CountingAllocator, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const D: usize = 3;
/// Two tiles of a net, so that a step has more rows than are multiplied at once.
const N: usize = 70;
/// Their weights are so many that it pays to multiply several tiles at once.
const WIDTH: usize = 260;

/// A field that keeps no layers, defers or does not, and may fail at one of its pull-backs.
#[derive(Clone)]
struct Beside<F> {
    field: F,
    defers: bool,
    fails_after: usize,
}

impl<F> Beside<F> {
    fn new(field: F, defers: bool) -> Self {
        Self { field, defers, fails_after: usize::MAX }
    }

    fn count(&mut self, t: f64) -> Result<(), FieldError> {
        let Some(left) = self.fails_after.checked_sub(1) else {
            return Err(FieldError::Fatal { t, what: "asked to fail" });
        };
        self.fails_after = left;
        Ok(())
    }
}

impl<F: VectorField<f64>> VectorField<f64> for Beside<F> {
    fn dim(&self) -> usize {
        self.field.dim()
    }
    fn n_params(&self) -> usize {
        self.field.n_params()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.field.eval(t, y, p, dy)
    }
}

impl<F: Vjp<f64>> Vjp<f64> for Beside<F> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.count(t)?;
        self.field.vjp(t, y, p, lambda, y_bar, p_bar)
    }
    fn defer(&mut self) {
        if self.defers {
            self.field.defer();
        }
    }
    fn settle(&mut self, p_bar: &mut [f64]) {
        if self.defers {
            self.field.settle(p_bar);
        }
    }
}

impl<F: Diffusion<f64>> Diffusion<f64> for Beside<F> {
    fn noise_kind(&self) -> NoiseKind {
        self.field.noise_kind()
    }
    fn diffusion(&mut self, t: f64, y: &[f64], p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        self.field.diffusion(t, y, p, g)
    }
}

impl<F: DiffusionVjp<f64>> DiffusionVjp<f64> for Beside<F> {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        g_bar: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.field.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
    }
}

fn net() -> (SquareMlp<f64>, Vec<f64>, Vec<f64>) {
    let shape = MlpShape::new(D, &[WIDTH, WIDTH], D, Activation::Tanh);
    let p = (0..shape.layout().len()).map(|i| 0.1 * (1.3 * i as f64).sin()).collect();
    let y0 = (0..N * D).map(|i| (0.7 * i as f64).cos()).collect();
    (SquareMlp::new(shape).unwrap(), p, y0)
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most, x| most.max(x.abs()))
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs())) / largest(b)
}

/// Gradients in the start states and in the parameters; the adjoint state does not depend on what is deferred.
fn gradient(
    adjoint: &mut OdeAdjoint<f64>,
    f: &mut dyn Vjp<f64>,
    (y0, p): (&[f64], &[f64]),
) -> Result<(Vec<f64>, Vec<f64>), AdjointError> {
    let options = SolveOptions { save_at: &[0.25, 0.5], ..SolveOptions::fixed(0.1) };
    let (mut y, bar) = (y0.to_vec(), vec![1.0; N * D]);
    let (mut y0_bar, mut p_bar) = (vec![0.0; N * D], vec![0.0; p.len()]);
    adjoint.forward(f, p, &mut y, (0.0, 0.5), &options, &mut |_, _, _| {})?;
    adjoint.backward(f, p, &[&bar, &bar], &mut y0_bar, &mut p_bar)?;
    Ok((y0_bar, p_bar))
}

#[test]
fn the_gradient_by_single_products() {
    let (field, p, y0) = net();
    for method in [&RK4, &TSIT5] {
        let new = |bytes: usize, checkpoints| {
            let mut adjoint = OdeAdjoint::with_checkpoints(method, N, D, checkpoints).unwrap();
            adjoint.keep_evaluations(bytes);
            adjoint
        };
        let of =
            |adjoint: &mut OdeAdjoint<f64>, f: &mut dyn Vjp<f64>| gradient(adjoint, f, (&y0, &p)).unwrap();
        let single = of(&mut new(0, Checkpoints::All), &mut Beside::new(field.clone(), false));
        let several = of(&mut new(0, Checkpoints::All), &mut Beside::new(field.clone(), true));
        assert_eq!(single.0, several.0, "{}", method.name);
        let off = apart(&several.1, &single.1);
        assert!(off < 1e-14 && several.1 != single.1, "{}: {off:e}", method.name);
        for (bytes, checkpoints) in [
            (0, Checkpoints::All),
            (usize::MAX, Checkpoints::All),
            (4_000_000, Checkpoints::All),
            (0, Checkpoints::States(2)),
        ] {
            let other = of(&mut new(bytes, checkpoints), &mut field.clone());
            assert!(several == other, "{}, {bytes} bytes, {checkpoints:?}", method.name);
        }
    }
}

#[test]
fn an_error_leaves_nothing() {
    let (field, p, y0) = net();
    let mut adjoint = OdeAdjoint::new(&RK4, N, D);
    let mut f = Beside::new(field, true);
    let fresh = gradient(&mut adjoint, &mut f, (&y0, &p)).unwrap();
    // In the second step that is swept, with rows of two of its stages kept back.
    f.fails_after = 6;
    assert!(gradient(&mut adjoint, &mut f, (&y0, &p)).is_err());
    f.fails_after = usize::MAX;
    // At once, and in sweeps.
    let (mut plain, mut after) = (f.field.clone(), f.field.clone());
    let bars = |f: &mut dyn Vjp<f64>| {
        let (mut y_bar, mut p_bar) = (vec![0.0; N * D], vec![0.0; p.len()]);
        f.vjp(0.0, &y0, &p, &y0, &mut y_bar, &mut p_bar).unwrap();
        (y_bar, p_bar)
    };
    plain.defer();
    plain.settle(&mut vec![0.0; p.len()]);
    assert!(bars(&mut plain) == bars(&mut after));
    assert!(fresh == gradient(&mut adjoint, &mut f, (&y0, &p)).unwrap());
}

#[test]
fn the_same_bits_on_any_number_of_threads_and_nothing_allocated_again() {
    let (field, p, _) = net();
    let n = 5 * TILE + 17;
    let start: Vec<f64> = (0..n * D).map(|i| (0.7 * i as f64).cos()).collect();
    let options = SolveOptions { save_at: &[0.5], ..SolveOptions::fixed(0.25) };
    let loss = |_: usize, _: usize, y: &[f64], y_bar: &mut [f64]| {
        y_bar.copy_from_slice(y);
        y.iter().map(|y| 0.5 * y * y).sum()
    };
    let run = |threads: usize, bytes: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut batch = BatchAdjoint::new(&RK4, field.clone(), bytes);
        let (mut y, mut y0_bar, mut p_bar) = (start.clone(), vec![0.0; n * D], vec![0.0; p.len()]);
        let mut pass = || {
            y.copy_from_slice(&start);
            p_bar.fill(0.0);
            batch.gradient(&p, &mut y, (0.0, 0.5), &options, &loss, &mut y0_bar, &mut p_bar).unwrap();
        };
        pool.install(|| {
            pass();
            let (allocations, ()) = allocations_in(&mut pass);
            assert!(threads > 1 || allocations == 0, "{allocations} with {bytes} bytes");
        });
        (y0_bar, p_bar)
    };
    let one = run(1, 0);
    for (threads, bytes) in [(2, 0), (1, 50_000_000), (2, 50_000_000)] {
        assert!(run(threads, bytes) == one, "{threads} threads, {bytes} bytes");
    }
}

/// Over the steps of a stochastic run, whose drift and diffusion are both wide.
#[test]
fn steps_of_a_stochastic_run() {
    let mut config = ModelConfig::new(vec![0.1; D], vec![0.8; D]);
    config.drift.hidden = vec![WIDTH, WIDTH];
    config.diffusion = DiffusionConfig::Diagonal {
        hidden: vec![WIDTH, WIDTH],
        activation: Activation::Tanh,
        initial_level: 0.5,
    };
    let sde = NeuralSde::<f64>::new(config).unwrap();
    let p = sde.init(3);
    let p: Vec<f64> = p.iter().enumerate().map(|(i, p)| p + 0.02 * (1.3 * i as f64).sin()).collect();
    let grid = TimeGrid::new(0.0, &[0.4, 0.7], 0.1).unwrap();
    let y0: Vec<f64> = (0..N * D).map(|i| (0.7 * i as f64).cos()).collect();
    let (noise, bar) = (BrownianIncrements::new(5), vec![1.0; N * D]);
    let gradient = |sde: &mut dyn DiffusionVjp<f64>, method, checkpoints| {
        let mut paths = SdeAdjoint::with_method(method, checkpoints, N, sde, &grid).unwrap();
        let (mut y0_bar, mut p_bar) = (vec![0.0; N * D], vec![0.0; p.len()]);
        paths.forward(sde, None, &noise, 0, &grid, &y0, &p).unwrap();
        let bars: [&[f64]; 2] = [&bar, &bar];
        paths.backward(sde, None, &noise, 0, &grid, &p, &bars, &[], &mut y0_bar, &mut p_bar).unwrap();
        (y0_bar, p_bar)
    };
    let method = SdeMethod::EulerMaruyama;
    let single = gradient(&mut Beside::new(sde.clone(), false), method, Checkpoints::All);
    let several = gradient(&mut Beside::new(sde.clone(), true), method, Checkpoints::All);
    let off = apart(&several.1, &single.1);
    assert!(single.0 == several.0 && off < 1e-14 && several.1 != single.1, "{off:e}");
    assert!(several == gradient(&mut Beside::new(sde.clone(), true), method, Checkpoints::States(3)));
    // Drift and diffusion in one pass over the tiles.
    let together = gradient(&mut sde.clone(), method, Checkpoints::All);
    let off = apart(&together.1, &single.1).max(apart(&together.0, &single.0));
    assert!(off < 1e-13, "{off:e}");
}
