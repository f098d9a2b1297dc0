//! Fields whose Jacobian has equal blocks: one factorisation serves all, and the run is that of the whole matrix.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::{FieldError, Jacobian, Sparsity, VectorField};
use chreode_solve::{
    Bdf, Esdirk, KENCARP4, RODAS5P, Radau, Rosenbrock, SolveError, SolveOptions, Stats, Stepper,
    solve_with_jacobian,
};
use chreode_testkit::{BrusselatorLine, CountingAllocator, StiffField, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Copies of a field side by side, started alike, so that their Jacobians agree; it tells `blocks`, or the whole.
struct Copies<F> {
    f: F,
    copies: usize,
    blocks: usize,
    whole: Sparsity,
}

impl<F: Jacobian<f64>> Copies<F> {
    fn new(f: F, copies: usize, blocks: usize) -> Self {
        let d = f.dim();
        let entries = |at: usize| match f.sparsity() {
            Some(s) => {
                (0..d).flat_map(|j| s.column(j).iter().map(move |&i| (at + i, at + j))).collect::<Vec<_>>()
            }
            None => (0..d * d).map(|k| (at + k % d, at + k / d)).collect(),
        };
        let all: Vec<_> = (0..copies).flat_map(|c| entries(c * d)).collect();
        Self { whole: Sparsity::new(copies * d, copies * d, all).unwrap(), f, copies, blocks }
    }
}

impl<F: Jacobian<f64>> VectorField<f64> for Copies<F> {
    fn dim(&self) -> usize {
        self.copies * self.f.dim()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.f.eval(t, y, p, dy)
    }
}

impl<F: Jacobian<f64>> Jacobian<f64> for Copies<F> {
    fn sparsity(&self) -> Option<&Sparsity> {
        if self.blocks == 1 { Some(&self.whole) } else { self.f.sparsity() }
    }
    fn blocks(&self) -> usize {
        self.blocks
    }
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        let (d, len) =
            (self.f.dim(), if self.blocks == 1 { values.len() / self.copies } else { values.len() });
        let (first, others) = values.split_at_mut(len);
        self.f.jacobian(t, &y[..d], p, first)?;
        others.chunks_exact_mut(len).for_each(|block| block.copy_from_slice(first));
        Ok(())
    }
}

type Made = Box<dyn Stepper<f64>>;

fn run(f: &mut Copies<impl Jacobian<f64>>, y0: &[f64], mut stepper: Made) -> (Vec<f64>, Stats) {
    let mut y = y0.repeat(f.copies);
    let options = SolveOptions::tolerance(1e-7, 1e-7);
    let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
    let mut once = || {
        y.copy_from_slice(&y0.repeat(f.copies));
        solve_with_jacobian(f, &[], &mut y, (0.0, 1.0), &mut *stepper, &options, nothing).unwrap()
    };
    let stats = once();
    let mut again = stats;
    // Only the copies of the start.
    assert!(allocations_in(|| again = once()).0 <= 1);
    assert_eq!(again.work.factorisations, stats.work.factorisations);
    (y, stats)
}

fn makers(len: usize) -> [Made; 3] {
    [Box::new(Bdf::new(1, len)), Box::new(Radau::new(1, len)), Box::new(Esdirk::new(&KENCARP4, 1, len))]
}

fn staggered(len: usize) -> [Made; 3] {
    [
        Box::new(Bdf::new(1, len).staggered()),
        Box::new(Radau::new(1, len).staggered()),
        Box::new(Esdirk::new(&KENCARP4, 1, len).staggered()),
    ]
}

/// Its order rests on the whole Jacobian, and blocks may leave something out.
#[test]
fn rosenbrock_methods_refuse_blocks() {
    let line = BrusselatorLine { points: 3 };
    let run = |blocks: usize| {
        let mut f = Copies::new(StiffField::new(line), 2, blocks);
        let (mut y, mut stepper) = (line.start().repeat(2), Rosenbrock::new(&RODAS5P, 1, 12));
        let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
        solve_with_jacobian(&mut f, &[], &mut y, (0.0, 1.0), &mut stepper, &SolveOptions::default(), nothing)
    };
    assert_eq!(run(2), Err(SolveError::BlockJacobian { blocks: 2 }));
    assert!(run(1).is_ok());
}

#[test]
fn runs_of_blocks_are_those_of_the_whole() {
    // Dense and banded blocks.
    for points in [3, 30] {
        let line = BrusselatorLine { points };
        let field = || StiffField::new(line);
        let (y0, copies) = (line.start(), 4);
        let len = copies * y0.len();
        for (k, (one, all)) in makers(len).into_iter().zip(makers(len)).enumerate() {
            let (blocks, of_blocks) = run(&mut Copies::new(field(), copies, copies), &y0, one);
            let (whole, of_whole) = run(&mut Copies::new(field(), copies, 1), &y0, all);
            for (a, b) in blocks.iter().zip(&whole) {
                assert!((a - b).abs() < 1e-9, "{points} points, method {k}: {a} {b}");
            }
            assert_eq!(of_blocks.accepted, of_whole.accepted, "{points} points, method {k}");
        }
    }
}

/// Whatever the field evaluates beside the first block. (Bdf wants other blocks that are linear in themselves.)
#[test]
fn staggered_runs_of_blocks_are_those_of_the_whole() {
    let line = BrusselatorLine { points: 3 };
    let (y0, copies) = (line.start(), 4);
    let len = copies * y0.len();
    for (k, (one, all)) in staggered(len).into_iter().zip(makers(len)).enumerate().skip(1) {
        let (blocks, of_blocks) = run(&mut Copies::new(StiffField::new(line), copies, copies), &y0, one);
        let (whole, of_whole) = run(&mut Copies::new(StiffField::new(line), copies, 1), &y0, all);
        for (a, b) in blocks.iter().zip(&whole) {
            assert!((a - b).abs() < 1e-7, "method {k}: {a} {b}");
        }
        let more = of_blocks.work.newton_iterations as f64 / of_whole.work.newton_iterations as f64;
        assert!(more > 1.7, "method {k}: {of_blocks:?} {of_whole:?}");
    }
}

#[test]
fn without_blocks_nothing_is_staggered() {
    for points in [1, 2, 30] {
        let line = BrusselatorLine { points };
        let y0 = line.start();
        let ways = staggered(y0.len()).into_iter().zip(makers(y0.len()));
        for (k, (asked, plain)) in ways.enumerate() {
            let run = |stepper| run(&mut Copies::new(StiffField::new(line), 1, 1), &y0, stepper);
            assert_eq!(run(asked), run(plain), "{points} points, method {k}");
        }
    }
}

#[test]
fn blocks_that_do_not_fit() {
    let line = BrusselatorLine { points: 3 };
    let (y0, options) = (line.start(), SolveOptions::default());
    let fails = |blocks: usize, mass: Option<&[f64]>| {
        let mut f = Copies::new(StiffField::new(line), 3, blocks);
        let mut bdf = Bdf::new(1, 18);
        if let Some(mass) = mass {
            bdf = bdf.with_mass_diagonal(mass);
        }
        let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
        solve_with_jacobian(&mut f, &[], &mut y0.repeat(3), (0.0, 1.0), &mut bdf, &options, nothing)
    };
    let said = |result: Result<Stats, SolveError>| result.unwrap_err().to_string();
    for blocks in [0, 4] {
        assert!(said(fails(blocks, None)).contains("the blocks of its Jacobian do not divide its state"));
    }
    assert!(said(fails(2, None)).contains("another size than its state"));
    let mut mass = [1.0, 2.0, 1.0, 1.0, 1.0, 0.5].repeat(3);
    assert!(fails(3, Some(&mass)).is_ok());
    mass[7] = 3.0;
    assert!(said(fails(3, Some(&mass))).contains("the mass matrix has not"));
}
