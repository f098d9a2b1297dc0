//! Newton's iteration without matrices: GMRES with and without a preconditioner, against factorisations and known answers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chreode_core::{FieldError, Jacobian, Jvp, Sparsity, VectorField, field};
use chreode_solve::{
    Bdf, EveryStep, KrylovOptions, Preconditioner, Rhs, SolveError, SolveOptions, Stats, StepFailure,
    Stepper, solve, solve_observed, solve_with_jacobian,
};
use chreode_testkit::{BrusselatorSquare, CountingAllocator, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SIDE: usize = 32;
const CELLS: usize = SIDE * SIDE;
/// `0.1 SIDE²`: the diffusion between neighbours.
const FLOW: f64 = 102.4;

/// `shift - J` without what flows in from the neighbours: a block of 2 by 2 for each cell.
#[derive(Default)]
struct Cells {
    /// `[u, v]` where the Jacobian was taken.
    state: Vec<f64>,
    shift: f64,
    setups: Arc<AtomicU64>,
}

impl Preconditioner<f64> for Cells {
    fn setup(&mut self, _t: f64, y: &[f64], _p: &[f64], shift: f64, fresh: bool) -> Result<(), FieldError> {
        if fresh {
            self.state.clear(); // keeps its memory
            self.state.extend_from_slice(y);
        }
        self.shift = shift;
        self.setups.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn solve(&mut self, v: &mut [f64]) {
        for (v, y) in v.as_chunks_mut::<2>().0.iter_mut().zip(self.state.as_chunks::<2>().0) {
            let (uv2, uu) = (2.0 * y[0] * y[1], y[0] * y[0]);
            let s = self.shift + 4.0 * FLOW;
            let [a, b, c, d] = [s - uv2 + 4.4, -uu, uv2 - 3.4, s + uu];
            let determinant = a * d - b * c;
            *v = [(d * v[0] - b * v[1]) / determinant, (a * v[1] - c * v[0]) / determinant];
        }
    }
}

/// Diffusion alone, one direction after the other: `(shift - Dx) (shift - Dy) / shift`.
struct Diffusion {
    shift: f64,
    /// First column of the inverse of `shift - D` on a line, which is circulant.
    kernel: Vec<f64>,
    line: Vec<f64>,
}

impl Diffusion {
    fn new() -> Self {
        Self { shift: 0.0, kernel: vec![0.0; SIDE], line: vec![0.0; SIDE] }
    }

    fn along(&mut self, v: &mut [f64], first: usize, stride: usize) {
        for (i, to) in self.line.iter_mut().enumerate() {
            *to = (0..SIDE).map(|k| self.kernel[(i + SIDE - k) % SIDE] * v[first + k * stride]).sum();
        }
        for (k, &x) in self.line.iter().enumerate() {
            v[first + k * stride] = x;
        }
    }
}

impl Preconditioner<f64> for Diffusion {
    fn setup(&mut self, _t: f64, _y: &[f64], _p: &[f64], shift: f64, _fresh: bool) -> Result<(), FieldError> {
        let half = 1.0 + 0.5 * shift / FLOW;
        let r = 1.0 / (half + (half * half - 1.0).sqrt());
        for (k, x) in self.kernel.iter_mut().enumerate() {
            *x = (r.powi(k as i32) + r.powi((SIDE - k) as i32))
                / ((1.0 / r - r) * FLOW * (1.0 - r.powi(SIDE as i32)));
        }
        self.shift = shift;
        Ok(())
    }
    fn solve(&mut self, v: &mut [f64]) {
        for species in 0..2 {
            (0..SIDE).for_each(|k| self.along(v, 2 * SIDE * k + species, 2));
            (0..SIDE).for_each(|k| self.along(v, 2 * k + species, 2 * SIDE));
        }
        v.iter_mut().for_each(|v| *v *= self.shift);
    }
}

/// A field with products by its Jacobian.
struct Products {
    field: BrusselatorSquare,
    pattern: Sparsity,
    values: Vec<f64>,
}

impl Products {
    fn new(field: BrusselatorSquare) -> Self {
        let pattern = Jacobian::<f64>::sparsity(&field).unwrap().clone();
        Self { field, values: vec![0.0; pattern.len()], pattern }
    }
}

impl VectorField<f64> for Products {
    fn dim(&self) -> usize {
        VectorField::<f64>::dim(&self.field)
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.field.eval(t, y, p, dy)
    }
}

impl Jvp<f64> for Products {
    fn jvp(&mut self, t: f64, y: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        self.field.jacobian(t, y, p, &mut self.values)?;
        jv.fill(0.0);
        for j in 0..v.len() {
            for (&i, x) in self.pattern.column(j).iter().zip(&self.values[self.pattern.col_starts()[j]..]) {
                jv[i] += x * v[j];
            }
        }
        Ok(())
    }
}

/// Where the largest difference is taken relative to 1 + the value.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

fn square(f: &mut Rhs<'_, f64>, stepper: &mut Bdf<f64>) -> (Vec<f64>, Stats) {
    let mut y = BrusselatorSquare::new(SIDE).start();
    let options = SolveOptions::tolerance(1e-6, 1e-6);
    let begin = std::time::Instant::now();
    let stats = solve_observed(
        f,
        &[],
        &mut y,
        BrusselatorSquare::SPAN,
        stepper,
        &options,
        &mut EveryStep(|_, _: &[f64]| {}),
    )
    .unwrap();
    println!("{:?}: {:?}", begin.elapsed(), stats);
    (y, stats)
}

#[test]
fn brusselator_on_a_square() {
    let d = 2 * CELLS;
    let mut field = BrusselatorSquare::new(SIDE);
    let (exact, direct) = square(&mut Rhs::Jacobian(&mut field), &mut Bdf::new(1, d));
    let options = KrylovOptions::default();
    let (y, plain) = square(&mut Rhs::Field(&mut field), &mut Bdf::new(1, d).with_krylov(options));
    assert!(distance(&y, &exact) < 1e-4, "{}", distance(&y, &exact));
    assert_eq!((plain.work.jacobians, plain.work.factorisations), (0, 0));
    // Differences: an evaluation a product, and the Newton iterations' own.
    let own = plain.work.newton_iterations + 2;
    assert_eq!(plain.work.evals, own + plain.work.linear_iterations);
    assert!(plain.accepted < direct.accepted + direct.accepted / 5, "{plain:?} {direct:?}");

    let mut products = Products::new(field.clone());
    let (z, exact_products) = square(&mut Rhs::Jvp(&mut products), &mut Bdf::new(1, d).with_krylov(options));
    assert!(distance(&z, &exact) < 1e-4, "{}", distance(&z, &exact));
    assert_eq!(exact_products.work.evals, exact_products.work.newton_iterations + 2);

    let setups = Arc::new(AtomicU64::new(0));
    let cells = Cells { setups: Arc::clone(&setups), ..Cells::default() };
    let (y, by_cells) =
        square(&mut Rhs::Field(&mut field), &mut Bdf::new(1, d).with_preconditioner(options, cells));
    assert!(distance(&y, &exact) < 1e-4, "{}", distance(&y, &exact));
    assert_eq!(by_cells.work.factorisations, setups.load(Ordering::Relaxed));
    assert!(by_cells.work.jacobians >= 1 && by_cells.work.jacobians < by_cells.work.factorisations);

    let mut diffusion = Bdf::new(1, d).with_preconditioner(options, Diffusion::new());
    let (y, by_diffusion) = square(&mut Rhs::Field(&mut field), &mut diffusion);
    assert!(distance(&y, &exact) < 1e-4, "{}", distance(&y, &exact));
    let products = |s: &Stats| s.work.linear_iterations as f64 / s.work.newton_iterations as f64;
    let [plain, by_cells, by_diffusion] = [plain, by_cells, by_diffusion].map(|s| products(&s));
    println!("products a system: {plain:.1}, {by_cells:.1}, {by_diffusion:.1}");
    // What is stiff here is the diffusion.
    assert!(by_diffusion < 0.6 * plain && by_cells < 1.2 * plain, "{plain} {by_cells} {by_diffusion}");
}

/// Heat on a rod of `d` inner points: each sine decays by its own rate, the slowest ten thousand times slower than the fastest.
#[test]
fn linear_diffusion() {
    let d = 150;
    let scale = ((d + 1) * (d + 1)) as f64;
    let mut rod = field(d, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        for i in 0..d {
            let (left, right) = (if i > 0 { y[i - 1] } else { 0.0 }, if i + 1 < d { y[i + 1] } else { 0.0 });
            dy[i] = scale * (left - 2.0 * y[i] + right);
        }
    });
    let angle = |k: usize, i: usize| std::f64::consts::PI * (k * (i + 1)) as f64 / (d + 1) as f64;
    let rate = |k: usize| 4.0 * scale * (0.5 * angle(k, 0)).sin().powi(2);
    let at =
        |t: f64, i: usize| [1, 3, 7].map(|k| angle(k, i).sin() * (-rate(k) * t).exp()).iter().sum::<f64>();
    for rtol in [1e-4, 1e-6, 1e-8] {
        let mut y: Vec<f64> = (0..d).map(|i| at(0.0, i)).collect();
        let mut bdf = Bdf::new(1, d).with_krylov(KrylovOptions { products: 80, ..KrylovOptions::default() });
        let options = SolveOptions::tolerance(rtol, rtol);
        let stats = solve(&mut rod, &[], &mut y, (0.0, 0.1), &mut bdf, &options, &mut |_, _, _| {}).unwrap();
        let error = (0..d).map(|i| (y[i] - at(0.1, i)).abs()).fold(0.0, f64::max);
        println!("{rtol:e}: {error:e}, {stats:?}");
        assert!(error < 20.0 * rtol, "{rtol:e}: {error:e}");
        assert!(stats.accepted < 400);
    }
}

/// Several trajectories make one system; a field that refuses states next to a bound gets differences to the other side.
#[test]
fn trajectories_and_refused_states() {
    let mut f = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        if y[0] > 1.0 {
            return Err(FieldError::Recoverable { t, what: "above one" });
        }
        dy[0] = 100.0 * (1.0 - y[0]);
        Ok(())
    });
    let mut y = [0.0, 0.5, 1.0];
    let mut bdf = Bdf::new(3, 1).with_krylov(KrylovOptions::default());
    let options = SolveOptions::tolerance(1e-6, 1e-6);
    solve(&mut f, &[], &mut y, (0.0, 0.02), &mut bdf, &options, &mut |_, _, _| {}).unwrap();
    for (y, y0) in y.iter().zip([0.0, 0.5, 1.0]) {
        assert!((1.0 - y - (1.0 - y0) * (-2.0_f64).exp()).abs() < 1e-4, "{y}");
    }
}

/// `y' = -2 t z` and `0 = z - y²`.
#[test]
fn algebraic_equations() {
    let mut f = field(2, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        dy[0] = -2.0 * t * y[1];
        dy[1] = y[1] - y[0] * y[0];
    });
    let mut bdf = Bdf::new(1, 2).with_mass_diagonal(&[1.0, 0.0]).with_krylov(KrylovOptions::default());
    let (mut y, options) = ([0.5, 0.25], SolveOptions::tolerance(1e-8, 1e-10));
    solve(&mut f, &[], &mut y, (0.0, 2.0), &mut bdf, &options, &mut |_, _, _| {}).unwrap();
    assert!((y[0] - 1.0 / 6.0).abs() < 1e-6 && (y[1] - 1.0 / 36.0).abs() < 1e-6, "{y:?}");
}

/// A preconditioner whose setup does what a test wants for a shift, and which multiplies by a number.
struct Fails(fn(f64) -> Result<(), FieldError>, f64);

impl Preconditioner<f64> for Fails {
    fn setup(&mut self, _t: f64, _y: &[f64], _p: &[f64], shift: f64, _fresh: bool) -> Result<(), FieldError> {
        (self.0)(shift)
    }
    fn solve(&mut self, v: &mut [f64]) {
        v.iter_mut().for_each(|v| *v *= self.1);
    }
}

#[test]
fn preconditioners_that_fail() {
    const SINGULAR: FieldError = FieldError::Recoverable { t: 0.0, what: "a singular block" };
    const BROKEN: FieldError = FieldError::Fatal { t: 0.0, what: "broken" };
    let mut decay = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = -50.0 * y[0]);
    let mut run = |preconditioner: Fails| {
        let mut bdf = Bdf::new(1, 1).with_preconditioner(KrylovOptions::default(), preconditioner);
        let mut y = [1.0];
        let options = SolveOptions::tolerance(1e-5, 1e-8);
        let result = solve(&mut decay, &[], &mut y, (0.0, 0.1), &mut bdf, &options, &mut |_, _, _| {});
        (y[0], result)
    };
    // Only for long steps: shorter ones are taken.
    let (y, stats) = run(Fails(|shift| if shift < 1200.0 { Err(SINGULAR) } else { Ok(()) }, 1.0));
    let (stats, (_, free)) = (stats.unwrap(), run(Fails(|_| Ok(()), 1.0)));
    assert!((y - (-5.0_f64).exp()).abs() < 1e-4 && stats.field_failures > 0, "{y} {stats:?}");
    assert!(stats.accepted > free.unwrap().accepted);
    // A scale does not matter to GMRES.
    let (y, stats) = run(Fails(|_| Ok(()), -1e-3));
    assert!((y - (-5.0_f64).exp()).abs() < 1e-4, "{y} {stats:?}");
    assert_eq!(run(Fails(|_| Err(SINGULAR), 1.0)).1, Err(SolveError::Field(SINGULAR)));
    assert_eq!(run(Fails(|_| Err(BROKEN), 1.0)).1, Err(SolveError::Field(BROKEN)));
    let (_, result) = run(Fails(|_| Ok(()), 0.0));
    assert!(matches!(result, Err(SolveError::Unsolved { .. })), "{result:?}");
    let (_, result) = run(Fails(|_| Ok(()), f64::NAN));
    assert!(matches!(result, Err(SolveError::NonFiniteDerivative { .. })), "{result:?}");
}

/// One product is too few for algebraic equations that turn: no shorter step helps.
#[test]
fn too_few_products() {
    let d = 6;
    let mut f = field(d, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        (0..d).for_each(|i| dy[i] = y[(i + 1) % d] - (i + 1) as f64 * (1.0 + t));
    });
    let mut bdf = Bdf::new(1, d)
        .with_mass_diagonal(&[0.0; 6])
        .with_krylov(KrylovOptions { products: 1, ..KrylovOptions::default() });
    let options = SolveOptions::tolerance(1e-6, 1e-6);
    let start = [6.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let result = solve(&mut f, &[], &mut start.clone(), (0.0, 1.0), &mut bdf, &options, &mut |_, _, _| {});
    let Err(SolveError::Unsolved { failure: StepFailure::Krylov { iterations, residual }, .. }) = result
    else {
        panic!("{result:?}");
    };
    assert!(iterations == 1 && residual > 0.3 && residual <= 1.0, "{iterations} {residual}");
    // With enough of them there is a solution.
    let mut bdf = Bdf::new(1, d).with_mass_diagonal(&[0.0; 6]).with_krylov(KrylovOptions::default());
    let mut y = start;
    solve(&mut f, &[], &mut y, (0.0, 1.0), &mut bdf, &options, &mut |_, _, _| {}).unwrap();
    assert!(distance(&y, &start.map(|y| 2.0 * y)) < 1e-6, "{y:?}");
}

#[test]
fn no_allocation() {
    let d = 2 * CELLS;
    let mut field = BrusselatorSquare::new(SIDE);
    let y0 = field.start();
    let options = SolveOptions::tolerance(1e-4, 1e-4);
    let plain = Bdf::new(1, d).with_krylov(KrylovOptions::default());
    let cells = Cells { state: Vec::with_capacity(d), ..Cells::default() };
    let conditioned = Bdf::new(1, d).with_preconditioner(KrylovOptions::default(), cells);
    for mut bdf in [plain, conditioned] {
        let stepper: &mut dyn Stepper<f64> = &mut bdf;
        let mut y = y0.clone();
        let (count, stats) = allocations_in(|| {
            solve_with_jacobian(&mut field, &[], &mut y, (0.0, 0.2), stepper, &options, &mut |_, _, _| {})
        });
        assert_eq!(count, 0);
        assert!(stats.unwrap().work.linear_iterations > 50);
    }
}

/// Returns NaN for coordinate 1.
struct Spoils;
impl Preconditioner<f64> for Spoils {
    fn setup(
        &mut self,
        _t: f64,
        _y: &[f64],
        _p: &[f64],
        _shift: f64,
        _fresh: bool,
    ) -> Result<(), FieldError> {
        Ok(())
    }
    fn solve(&mut self, v: &mut [f64]) {
        v[1] = f64::NAN;
    }
}

/// Options out of bounds and a preconditioner that returns NaN are told for what they are.
#[test]
fn what_keeps_gmres_from_working() {
    let mut decay =
        field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (dy[0], dy[1]) = (-y[0], -9.0 * y[1]));
    let defaults = KrylovOptions::default();
    let mut run = |mut bdf: Bdf<f64>| {
        let mut y = [1.0, 1.0];
        // At times of this size steps cannot become so short that nothing is left to solve.
        solve(&mut decay, &[], &mut y, (1.0, 2.0), &mut bdf, &SolveOptions::default(), &mut |_, _, _| {})
    };
    for (options, wrong) in [
        (KrylovOptions { products: 0, ..defaults }, 0.0),
        (KrylovOptions { tolerance: 0.0, ..defaults }, 0.0),
        (KrylovOptions { tolerance: 1.5, ..defaults }, 1.5),
        (KrylovOptions { tolerance: -0.1, ..defaults }, -0.1),
    ] {
        let error = run(Bdf::new(1, 2).with_krylov(options)).unwrap_err();
        assert!(matches!(error, SolveError::InvalidOption { got, .. } if got == wrong), "{error}");
    }
    let nan = KrylovOptions { tolerance: f64::NAN, ..defaults };
    assert!(matches!(run(Bdf::new(1, 2).with_krylov(nan)), Err(SolveError::InvalidOption { .. })));

    let error = run(Bdf::new(1, 2).with_preconditioner(defaults, Spoils)).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("what the preconditioner returned") && said.contains("coordinate 1"), "{said}");
}
