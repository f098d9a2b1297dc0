//! Dense, banded, sparse and coloured systems of the implicit methods give the same runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::{FieldError, Jacobian, Jvp, Sparsity, VectorField};
use chreode_solve::{
    Bdf, Erk, Esdirk, KENCARP4, Observer, RODAS5P, Radau5, Rhs, Rosenbrock, SolveError, SolveOptions, Stats,
    StepRecord, Stepper, TSIT5, solve, solve_observed, solve_with_jacobian,
};
use chreode_testkit::{
    BrusselatorLine, BrusselatorSquare, CountingAllocator, Scaffold, StiffCase, StiffField, allocations_in,
    stiff_corpus, stiff_squares,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What a field's user may tell of its Jacobian.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tell {
    Nothing,
    Sparsity,
    Products,
    ProductsAndSparsity,
    Jacobian,
}

/// A field with Jacobian-vector products by its Jacobian.
struct Products<F>(F);

impl<F: Jacobian<f64>> VectorField<f64> for Products<F> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)
    }
}

impl<F: Jacobian<f64>> Jvp<f64> for Products<F> {
    fn jvp(&mut self, t: f64, y: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        let d = self.dim();
        let pattern = self.0.sparsity().unwrap().clone();
        let mut values = vec![0.0; pattern.len()];
        for ((y, v), jv) in y.chunks_exact(d).zip(v.chunks_exact(d)).zip(jv.chunks_exact_mut(d)) {
            self.0.jacobian(t, y, p, &mut values)?;
            jv.fill(0.0);
            for j in 0..d {
                for (&i, x) in pattern.column(j).iter().zip(&values[pattern.col_starts()[j]..]) {
                    jv[i] += x * v[j];
                }
            }
        }
        Ok(())
    }
}

struct Silent;
impl Observer<f64> for Silent {
    fn step(&mut self, _record: StepRecord<'_, f64>) {}
    fn save(&mut self, _i: usize, _t: f64, _y: &[f64]) {}
}

fn run<F: Jacobian<f64> + Clone>(
    f: &F,
    y0: &[f64],
    tell: Tell,
    make: &dyn Fn(Option<&Sparsity>) -> Box<dyn Stepper<f64>>,
) -> (Vec<f64>, Stats) {
    let (mut f, mut y) = (f.clone(), y0.to_vec());
    let pattern = f.sparsity().cloned();
    let told = matches!(tell, Tell::Sparsity | Tell::ProductsAndSparsity);
    let mut stepper = make(pattern.as_ref().filter(|_| told));
    let options = SolveOptions::tolerance(1e-6, 1e-6);
    let mut products = Products(f.clone());
    let mut rhs = match tell {
        Tell::Nothing | Tell::Sparsity => Rhs::Field(&mut f),
        Tell::Products | Tell::ProductsAndSparsity => Rhs::Jvp(&mut products),
        Tell::Jacobian => Rhs::Jacobian(&mut f),
    };
    let stats =
        solve_observed(&mut rhs, &[], &mut y, (0.0, 1.0), &mut *stepper, &options, &mut Silent).unwrap();
    (y, stats)
}

fn same_runs<F: Jacobian<f64> + Clone>(f: &F, y0: &[f64], colors: u64) {
    let d = f.dim();
    let n = y0.len() / d;
    let radau = |s: Option<&Sparsity>| -> Box<dyn Stepper<f64>> {
        let new = Radau5::new(n, d);
        Box::new(if let Some(s) = s { new.with_sparsity(s) } else { new })
    };
    let bdf = |s: Option<&Sparsity>| -> Box<dyn Stepper<f64>> {
        let new = Bdf::new(n, d);
        Box::new(if let Some(s) = s { new.with_sparsity(s) } else { new })
    };
    let rodas = |s: Option<&Sparsity>| -> Box<dyn Stepper<f64>> {
        let new = Rosenbrock::new(&RODAS5P, n, d);
        Box::new(if let Some(s) = s { new.with_sparsity(s) } else { new })
    };
    let kencarp = |s: Option<&Sparsity>| -> Box<dyn Stepper<f64>> {
        let new = Esdirk::new(&KENCARP4, n, d);
        Box::new(if let Some(s) = s { new.with_sparsity(s) } else { new })
    };
    let makers: [&dyn Fn(Option<&Sparsity>) -> Box<dyn Stepper<f64>>; 4] = [&radau, &bdf, &rodas, &kencarp];
    for make in makers {
        let (exact, best) = run(f, y0, Tell::Jacobian, make);
        for tell in [Tell::Nothing, Tell::Sparsity, Tell::Products, Tell::ProductsAndSparsity] {
            let (y, stats) = run(f, y0, tell, make);
            let worst = y.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 2e-6, "{tell:?}: {worst}");
            assert!(stats.accepted.abs_diff(best.accepted) <= 2, "{tell:?}: {stats:?}, {best:?}");
            let each =
                if matches!(tell, Tell::Sparsity | Tell::ProductsAndSparsity) { colors } else { d as u64 };
            // A run of as many steps: the rest of the evaluations are those of the exact one.
            let own = stats.work.evals - each * stats.work.jacobians;
            assert!(own.abs_diff(best.work.evals) < best.work.evals / 4, "{tell:?}: {stats:?}, {best:?}");
        }
    }
}

#[test]
fn banded() {
    // Not so many that dense matrices are factored less often than banded ones.
    let line = BrusselatorLine { points: 30 };
    same_runs(&StiffField::new(line), &line.start(), 5);
    // Small enough for dense matrices, two trajectories, of which one starts elsewhere.
    let line = BrusselatorLine { points: 6 };
    let mut y = line.start().repeat(2);
    y[12..].iter_mut().for_each(|y| *y *= 1.1);
    same_runs(&StiffField::new(line), &y, 5);
}

#[test]
fn sparse() {
    let square = BrusselatorSquare::new(12);
    let colors = colors_of(&square);
    same_runs(&square, &square.start(), colors);
    let mut y = square.start().repeat(2);
    y[288..].iter_mut().for_each(|y| *y *= 1.1);
    same_runs(&square, &y, colors);
}

/// A field that writes out the zeros of its Jacobian.
struct Dense<F>(F);

impl<F: Jacobian<f64>> VectorField<f64> for Dense<F> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)
    }
}

impl<F: Jacobian<f64>> Jacobian<f64> for Dense<F> {
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        let (d, pattern) = (self.dim(), self.0.sparsity().unwrap().clone());
        let mut entries = vec![0.0; pattern.len()];
        self.0.jacobian(t, y, p, &mut entries)?;
        values.fill(0.0);
        let places = (0..d).flat_map(|j| pattern.column(j).iter().map(move |&i| i * d + j));
        places.zip(&entries).for_each(|(at, &x)| values[at] = x);
        Ok(())
    }
}

/// Species that are small beside others are as exact with sparse matrices as with dense ones, also where no iteration corrects what a
/// solve with the factors is off by: entries of L must not grow as far as the pattern alone would let them.
#[test]
fn small_species_of_a_scaffold() {
    let case = stiff_corpus().into_iter().find(|case| case.name == "scaffold").unwrap();
    let options = SolveOptions::tolerance(1e-7, 1e-7 * case.floor);
    let end = |f: &mut dyn Jacobian<f64>| {
        let (mut y, mut rodas) = (case.y0.clone(), Rosenbrock::new(&RODAS5P, 1, case.y0.len()));
        solve_with_jacobian(f, &[], &mut y, (0.0, 1.0), &mut rodas, &options, &mut |_, _, _| {}).unwrap();
        y
    };
    let sparse = end(&mut StiffField::new(Scaffold));
    let dense = end(&mut Dense(StiffField::new(Scaffold)));
    let compared = || sparse.iter().zip(&dense).filter(|(_, dense)| dense.abs() > 1e-9);
    let worst = compared().map(|(x, y)| ((x - y) / y).abs()).fold(0.0, f64::max);
    println!("{} species above 1e-9: {worst:.1e} of themselves apart", compared().count());
    assert!(compared().count() > 30 && worst < 1e-8, "{worst:e}");
}

/// The reference end points of the squares, by another method than those that made them.
#[test]
fn end_points_of_squares() {
    end_points(stiff_squares().into_iter().filter(|case| case.y0.len() < 10_000));
}

#[test]
#[ignore = "minutes: cargo xtask ci sweep"]
fn end_points_of_large_squares() {
    end_points(stiff_squares().into_iter().filter(|case| case.y0.len() > 10_000));
}

/// Factors of 32,768 unknowns lead to the reference's end point, within what the tolerance lets errors grow to.
#[test]
fn a_large_square_to_three_digits() {
    let mut case = stiff_squares().into_iter().find(|case| case.y0.len() == 32_768).unwrap();
    let mut y = case.y0.clone();
    let (mut bdf, options) = (Bdf::new(1, y.len()), SolveOptions::tolerance(1e-3, 1e-3));
    let field = &mut *case.field;
    let stats =
        solve_with_jacobian(field, &[], &mut y, case.span, &mut bdf, &options, &mut |_, _, _| {}).unwrap();
    let e = case.error(&y);
    println!("{}: {e:.1e}, {stats:?}", case.name);
    assert!(e < 3e-2 && stats.work.factorisations < 80, "{e:e}, {stats:?}");
}

fn end_points(cases: impl Iterator<Item = StiffCase>) {
    for mut case in cases {
        let (mut y, options) = (case.y0.clone(), SolveOptions::tolerance(1e-9, 1e-9));
        let mut tsit5 = Erk::new(&TSIT5, 1, y.len());
        solve_with_jacobian(
            &mut *case.field,
            &[],
            &mut y,
            case.span,
            &mut tsit5,
            &options,
            &mut |_, _, _| {},
        )
        .unwrap();
        let e = case.error(&y);
        println!("{}: {e:.1e}", case.name);
        assert!(e < 1e-8, "{}: {e:e}", case.name);
    }
}

fn colors_of(f: &dyn Jacobian<f64>) -> u64 {
    chreode_linalg::Coloring::of_columns(f.sparsity().unwrap()).n_colors() as u64
}

/// A chain of species that decay into the next one, ended by a sum rule: an algebraic equation of index 1.
#[derive(Clone)]
struct Chain {
    d: usize,
    pattern: Sparsity,
}

impl Chain {
    fn new(d: usize) -> Self {
        let chain = (0..d - 1).flat_map(|i| [(i, i), (i, i.saturating_sub(1))]);
        let pattern = Sparsity::new(d, d, chain.chain((0..d).map(|j| (d - 1, j)))).unwrap();
        Self { d, pattern }
    }
}

impl VectorField<f64> for Chain {
    fn dim(&self) -> usize {
        self.d
    }
    fn eval(&mut self, _t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        let rate = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 1e4 };
        for i in 0..self.d - 1 {
            dy[i] = if i > 0 { rate(i - 1) * y[i - 1] } else { 0.0 } - rate(i) * y[i];
        }
        dy[self.d - 1] = y.iter().sum::<f64>() - 1.0;
        Ok(())
    }
}

#[test]
fn a_mass_matrix_of_any_form() {
    let d = 60;
    let chain = Chain::new(d);
    let mut diagonal = vec![1.0; d];
    diagonal[d - 1] = 0.0;
    let mut dense = vec![0.0; d * d];
    dense.iter_mut().step_by(d + 1).zip(&diagonal).for_each(|(m, &x)| *m = x);
    let mut y0 = vec![0.0; d];
    y0[0] = 1.0;
    let options = SolveOptions::tolerance(1e-7, 1e-9);
    let solved = |stepper: &mut dyn Stepper<f64>| {
        let mut y = y0.clone();
        solve(&mut chain.clone(), &[], &mut y, (0.0, 20.0), stepper, &options, &mut |_, _, _| {}).unwrap();
        assert!((y.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        y
    };
    let plain = solved(&mut Radau5::new(1, d).with_mass(&dense));
    let runs = [
        solved(&mut Radau5::new(1, d).with_mass_diagonal(&diagonal)),
        solved(&mut Radau5::new(1, d).with_mass_diagonal(&diagonal).with_sparsity(&chain.pattern)),
        solved(&mut Bdf::new(1, d).with_sparsity(&chain.pattern).with_mass(&dense)),
        solved(&mut Bdf::new(1, d).with_mass_diagonal(&diagonal)),
        solved(&mut Rosenbrock::new(&RODAS5P, 1, d).with_mass_diagonal(&diagonal)),
        solved(&mut Rosenbrock::new(&RODAS5P, 1, d).with_sparsity(&chain.pattern).with_mass(&dense)),
        solved(&mut Esdirk::new(&KENCARP4, 1, d).with_mass(&dense)),
        solved(&mut Esdirk::new(&KENCARP4, 1, d).with_mass_diagonal(&diagonal).with_sparsity(&chain.pattern)),
    ];
    for y in runs {
        let worst = y.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5, "{worst}");
    }
}

/// Heat on a square of cells, `x`, and an unknown beside each, `y`, with algebraic equations between neighbours: `x = p y + Σ w y'`. With a
/// small `p` their diagonal is no pivot, and a sparse system takes another order of elimination.
struct Neighbours {
    side: usize,
    pattern: Sparsity,
}

impl Neighbours {
    fn new(side: usize) -> Self {
        let cells = side * side;
        let mut entries = Vec::new();
        for c in 0..cells {
            entries.extend([(c, c), (c, cells + c), (cells + c, c), (cells + c, cells + c)]);
            entries.extend(Self::around(side, c).flat_map(|n| [(c, n), (cells + c, cells + n)]));
        }
        Self { side, pattern: Sparsity::new(2 * cells, 2 * cells, entries).unwrap() }
    }

    fn around(side: usize, c: usize) -> impl Iterator<Item = usize> {
        let (i, j) = (c / side, c % side);
        let of = |inside: bool, n: usize| inside.then_some(n);
        let all = [
            of(i > 0, c.wrapping_sub(side)),
            of(i + 1 < side, c + side),
            of(j > 0, c.wrapping_sub(1)),
            of(j + 1 < side, c + 1),
        ];
        all.into_iter().flatten()
    }

    /// What `x` is in cell `c`.
    fn sum(&self, y: &[f64], p: f64, c: usize) -> f64 {
        // The neighbour of the same pair counts most: that keeps the equations well conditioned without their diagonal.
        let weight = |n: usize| if n == c ^ 1 { 5.0 } else { 0.3 + 0.1 * ((c + 2 * n) % 7) as f64 };
        p * y[c] + Self::around(self.side, c).map(|n| weight(n) * y[n]).sum::<f64>()
    }

    /// A start where the algebraic equations hold.
    fn start(&self, p: f64) -> Vec<f64> {
        let cells = self.side * self.side;
        let y: Vec<f64> = (0..cells).map(|c| 1.0 + 0.5 * (c as f64).sin()).collect();
        (0..cells).map(|c| self.sum(&y, p, c)).chain(y.iter().copied()).collect()
    }
}

impl VectorField<f64> for Neighbours {
    fn dim(&self) -> usize {
        2 * self.side * self.side
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval(&mut self, _t: f64, state: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        let cells = self.side * self.side;
        let (x, y) = state.split_at(cells);
        for c in 0..cells {
            let heat: f64 = Self::around(self.side, c).map(|n| x[n] - x[c]).sum();
            dy[c] = heat - x[c] * x[c] + 1e-3 * y[c];
            dy[cells + c] = self.sum(y, p[0], c) - x[c];
        }
        Ok(())
    }
}

/// A method that solved another system before, whose pivots asked for an order of their own, gives the bits of a new one: a run does
/// not depend on the runs before it.
#[test]
fn runs_do_not_depend_on_earlier_ones() {
    let mut cells = Neighbours::new(8);
    let (d, pattern) = (cells.dim(), cells.pattern.clone());
    let mass: Vec<f64> = (0..d).map(|i| f64::from(i < 64)).collect();
    let make: [&dyn Fn() -> Box<dyn Stepper<f64>>; 4] = [
        &|| Box::new(Radau5::new(1, d).with_sparsity(&pattern).with_mass_diagonal(&mass)),
        &|| Box::new(Bdf::new(1, d).with_sparsity(&pattern).with_mass_diagonal(&mass)),
        &|| Box::new(Rosenbrock::new(&RODAS5P, 1, d).with_sparsity(&pattern).with_mass_diagonal(&mass)),
        &|| Box::new(Esdirk::new(&KENCARP4, 1, d).with_sparsity(&pattern).with_mass_diagonal(&mass)),
    ];
    let mut solved = |stepper: &mut dyn Stepper<f64>, p: f64| {
        let mut y = cells.start(p);
        let options = SolveOptions::tolerance(1e-6, 1e-6);
        let stats =
            solve(&mut cells, &[p], &mut y, (0.0, 2.0), stepper, &options, &mut |_, _, _| {}).unwrap();
        assert!(stats.work.factorisations > 3, "{stats:?}");
        y
    };
    for (which, make) in make.into_iter().enumerate() {
        let new = solved(&mut *make(), 10.0);
        let mut used = make();
        let hard = solved(&mut *used, 1e-9);
        assert!(hard.iter().all(|y| y.is_finite()));
        assert!(solved(&mut *used, 10.0) == new, "method {which}: other bits after a run with other pivots");
    }
}

/// The matrices are made when the first Jacobian is: later steps, and later runs, allocate nothing.
#[test]
fn no_allocation_after_the_first_jacobian() {
    let line = BrusselatorLine { points: 60 };
    let mut square = BrusselatorSquare::new(12);
    let d = 288;
    let mut dense = chreode_core::field(30, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        (0..30).for_each(|i| dy[i] = y[(i + 1) % 30] - 50.0 * y[i]);
    });
    let options = SolveOptions::tolerance(1e-5, 1e-5);
    let twice = |f: &mut Rhs<'_, f64>, y0: &[f64], stepper: &mut dyn Stepper<f64>| {
        for run in 0..2 {
            let mut y = y0.to_vec();
            let (count, stats) = allocations_in(|| {
                solve_observed(f, &[], &mut y, (0.0, 1.0), stepper, &options, &mut Silent).unwrap()
            });
            assert!(stats.work.factorisations > 5, "{stats:?}");
            assert!(run == 0 || count == 0, "{count}");
        }
    };
    let (line_start, square_start) = (line.start(), square.start());
    let pattern = Jacobian::<f64>::sparsity(&square).unwrap().clone();
    twice(&mut Rhs::Jacobian(&mut StiffField::new(line)), &line_start, &mut Radau5::new(1, 120));
    twice(&mut Rhs::Jacobian(&mut square), &square_start, &mut Radau5::new(1, d));
    twice(&mut Rhs::Field(&mut square), &square_start, &mut Bdf::new(1, d).with_sparsity(&pattern));
    twice(&mut Rhs::Field(&mut dense), &[1.0; 30], &mut Bdf::new(1, 30));
    twice(
        &mut Rhs::Jacobian(&mut StiffField::new(line)),
        &line_start,
        &mut Rosenbrock::new(&RODAS5P, 1, 120),
    );
    twice(&mut Rhs::Jacobian(&mut square), &square_start, &mut Esdirk::new(&KENCARP4, 1, d));
    twice(&mut Rhs::Field(&mut dense), &[1.0; 30], &mut Esdirk::new(&KENCARP4, 1, 30));
}

/// A field whose sparsity is of another size.
struct Misfit(Sparsity);

impl VectorField<f64> for Misfit {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.copy_from_slice(y);
        Ok(())
    }
}

impl Jacobian<f64> for Misfit {
    fn sparsity(&self) -> Option<&Sparsity> {
        Some(&self.0)
    }
    fn jacobian(&mut self, _t: f64, _y: &[f64], _p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        values.fill(1.0);
        Ok(())
    }
}

#[test]
fn a_sparsity_of_another_size_is_an_error() {
    let mut misfit = Misfit(Sparsity::banded(3, 0, 0));
    let options = SolveOptions::tolerance(1e-5, 1e-5);
    let outcome = solve_with_jacobian(
        &mut misfit,
        &[],
        &mut [1.0, 2.0],
        (0.0, 1.0),
        &mut Radau5::new(1, 2),
        &options,
        &mut |_, _, _| {},
    );
    assert!(matches!(outcome, Err(SolveError::Field(FieldError::Fatal { .. }))), "{outcome:?}");
}
