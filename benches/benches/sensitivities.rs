//! Forward sensitivities to all parameters by implicit and explicit methods, and discrete adjoints, beside the run of the state
//! alone with the same tolerances: times, steps, iterations and factorisations, as a table. With a name as argument, that problem alone.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::time::Instant;

use chreode_adjoint::{Checkpoints, ForwardSensitivities, OdeAdjoint, OdeMethod};
use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Number, put, take};
use chreode_solve::{
    Bdf, Erk, Esdirk, KENCARP4, RODAS5P, Radau5, Rosenbrock, SolveOptions, Stats, Stepper, TSIT5, solve,
    solve_with_jacobian,
};

/// Reactants and changes of a reaction.
type Reaction = (&'static [usize], &'static [(usize, f64)]);

/// Mass action: a rate constant for each reaction.
#[derive(Clone, Copy)]
struct Reactions(usize, &'static [Reaction]);

impl Dynamics for Reactions {
    fn dim(&self) -> usize {
        self.0
    }
    fn n_params(&self) -> usize {
        self.1.len()
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        dy[..self.0].fill(S::c(0.0));
        for (&k, (reactants, changes)) in p.iter().zip(self.1) {
            let rate = reactants.iter().fold(k, |rate, &s| rate * y[s]);
            for &(species, change) in *changes {
                dy[species] += rate * change;
            }
        }
    }
}

/// A plant's photoreceptor [HW96, section IV.10], with its nine rates and the source.
#[derive(Clone, Copy)]
struct Hires;

impl Dynamics for Hires {
    fn dim(&self) -> usize {
        8
    }
    fn n_params(&self) -> usize {
        10
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let [k1, k2, k3, k4, k5, k6, up, down, star, source] = take(p);
        let [a, b, c, d, e, f, g, h] = take(y);
        let bound = up * f * h;
        let last = bound - (k2 + down + star) * g;
        put(
            dy,
            [
                k2 * b + k6 * c + source - k1 * a,
                k1 * a - (k2 + k3) * b,
                k2 * d + k5 * e - (k6 + k1) * c,
                k3 * b + k1 * c - (k2 + k4) * d,
                k2 * (f + g) - (k1 + k5) * e,
                k4 * d + k1 * e - k2 * f + down * g - bound,
                last,
                -last,
            ],
        );
    }
}

/// A cascade of twenty species: each makes the next one, and the last one hinders the first.
#[derive(Clone, Copy)]
struct Cascade;

impl Dynamics for Cascade {
    fn dim(&self) -> usize {
        20
    }
    fn n_params(&self) -> usize {
        20
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let mut made = p[0] / (y[19] * y[19] + 1.0);
        for i in 0..20 {
            let gone = p[(i + 1) % 20] * y[i];
            dy[i] = made - gone;
            made = gone;
        }
    }
}

/// Eight reactions one after the other.
const CHAIN: &[Reaction] = &[
    (&[0], &[(0, -1.0), (1, 1.0)]),
    (&[1], &[(1, -1.0), (2, 1.0)]),
    (&[2], &[(2, -1.0), (3, 1.0)]),
    (&[3], &[(3, -1.0), (4, 1.0)]),
    (&[4], &[(4, -1.0), (5, 1.0)]),
    (&[5], &[(5, -1.0), (6, 1.0)]),
    (&[6], &[(6, -1.0), (7, 1.0)]),
    (&[7], &[(7, -1.0)]),
];

const ROBERTSON: &[Reaction] =
    &[(&[0], &[(0, -1.0), (1, 1.0)]), (&[1, 2], &[(1, -1.0), (0, 1.0)]), (&[1, 1], &[(1, -1.0), (2, 1.0)])];

/// Air pollution [Ver94].
#[rustfmt::skip]
const POLLU: &[Reaction] = &[
    (&[0], &[(0, -1.0), (1, 1.0), (2, 1.0)]),
    (&[1, 3], &[(1, -1.0), (3, -1.0), (0, 1.0)]),
    (&[1, 4], &[(1, -1.0), (4, -1.0), (0, 1.0), (5, 1.0)]),
    (&[6], &[(6, -1.0), (4, 2.0), (7, 1.0)]),
    (&[6], &[(6, -1.0), (7, 1.0)]),
    (&[6, 5], &[(6, -1.0), (5, -1.0), (4, 1.0), (7, 1.0)]),
    (&[8], &[(8, -1.0), (4, 1.0), (7, 1.0), (9, 1.0)]),
    (&[8, 5], &[(8, -1.0), (5, -1.0), (10, 1.0)]),
    (&[10, 1], &[(10, -1.0), (1, -1.0), (0, 1.0), (9, 1.0), (11, 1.0)]),
    (&[10, 0], &[(10, -1.0), (0, -1.0), (12, 1.0)]),
    (&[12], &[(12, -1.0), (0, 1.0), (10, 1.0)]),
    (&[9, 1], &[(9, -1.0), (1, -1.0), (0, 1.0), (13, 1.0)]),
    (&[13], &[(13, -1.0), (4, 1.0), (6, 1.0)]),
    (&[0, 5], &[(0, -1.0), (5, -1.0), (14, 1.0)]),
    (&[2], &[(2, -1.0), (3, 1.0)]),
    (&[3], &[(3, -1.0), (15, 1.0)]),
    (&[3], &[(3, -1.0), (2, 1.0)]),
    (&[15], &[(15, -1.0), (5, 2.0)]),
    (&[15], &[(15, -1.0), (2, 1.0)]),
    (&[16, 5], &[(16, -1.0), (5, -1.0), (4, 1.0), (17, 1.0)]),
    (&[18], &[(18, -1.0), (1, 1.0)]),
    (&[18], &[(18, -1.0), (0, 1.0), (2, 1.0)]),
    (&[0, 3], &[(0, -1.0), (3, -1.0), (18, 1.0)]),
    (&[18, 0], &[(18, -1.0), (0, -1.0), (19, 1.0)]),
    (&[19], &[(19, -1.0), (0, 1.0), (18, 1.0)]),
];
#[rustfmt::skip]
const POLLU_RATES: [f64; 25] = [0.35, 26.6, 1.23e4, 8.6e-4, 8.2e-4, 1.5e4, 1.3e-4, 2.4e4, 1.65e4, 9e3, 0.022, 1.2e4, 1.88, 1.63e4, 4.8e6, 3.5e-4, 0.0175, 1e8, 4.44e11, 1240.0, 2.1, 5.78, 0.0474, 1780.0, 3.12];

/// The least time of several runs, in milliseconds, and what one did. One run if `cargo bench` does not ask.
fn best(mut run: impl FnMut() -> Stats) -> (f64, Stats) {
    let stats = run();
    let (mut least, whole) = (f64::INFINITY, Instant::now());
    let enough = if std::env::args().any(|arg| arg == "--bench") { 0.3 } else { 0.0 };
    while least.is_infinite() || whole.elapsed().as_secs_f64() < enough {
        let start = Instant::now();
        run();
        least = least.min(1e3 * start.elapsed().as_secs_f64());
    }
    (least, stats)
}

/// A name, the steps of the adjoint (none: those of another row), whether the method is implicit, and the method.
type Method = (&'static str, Option<OdeMethod>, bool, fn(usize) -> Box<dyn Stepper<f64>>);
const METHODS: [Method; 8] = [
    ("Bdf, st.", None, true, |len| Box::new(Bdf::new(1, len).staggered())),
    ("Bdf", Some(OdeMethod::Bdf), true, |len| Box::new(Bdf::new(1, len))),
    ("Radau5, st.", None, true, |len| Box::new(Radau5::new(1, len).staggered())),
    ("Radau5", Some(OdeMethod::Radau5), true, |len| Box::new(Radau5::new(1, len))),
    ("KenC., st.", None, true, |len| Box::new(Esdirk::new(&KENCARP4, 1, len).staggered())),
    ("KenCarp4", Some(OdeMethod::Esdirk(&KENCARP4)), true, |len| Box::new(Esdirk::new(&KENCARP4, 1, len))),
    ("Rodas5P", Some(OdeMethod::Rosenbrock(&RODAS5P)), true, |len| {
        Box::new(Rosenbrock::new(&RODAS5P, 1, len))
    }),
    ("Tsit5", Some(OdeMethod::Erk(&TSIT5)), false, |len| Box::new(Erk::new(&TSIT5, 1, len))),
];

fn compare<D: Dynamics + Copy>(name: &str, model: D, y0: &[f64], p: &[f64], end: f64, methods: &[Method]) {
    columns(name, model, y0, p, end, methods, 0, p.len());
}

/// Sensitivities to the first start coordinates and the first parameters.
fn columns<D: Dynamics + Copy>(
    name: &str,
    model: D,
    y0: &[f64],
    p: &[f64],
    end: f64,
    methods: &[Method],
    starts: usize,
    rates: usize,
) {
    if std::env::args().skip(1).any(|only| !only.starts_with("--") && only != name) {
        return;
    }
    let (rtol, atol, span, d) = (1e-6, 1e-10, (0.0, end), y0.len());
    let save = &mut |_: usize, _: f64, _: &[f64]| {};
    for &(method, steps, implicit, make) in methods {
        let mut field: Auto<D> = Auto::new(model);
        let (mut y, mut stepper) = (y0.to_vec(), make(d));
        let options = SolveOptions::tolerance(rtol, atol);
        let (alone, state) = best(|| {
            y.copy_from_slice(y0);
            if implicit {
                solve_with_jacobian(&mut field, p, &mut y, span, stepper.as_mut(), &options, save).unwrap()
            } else {
                solve(&mut field, p, &mut y, span, stepper.as_mut(), &options, save).unwrap()
            }
        });
        let first = |n: usize| (0..n).collect::<Vec<_>>();
        let mut f = ForwardSensitivities::new(Auto::<D>::new(model), &first(starts), &first(rates)).unwrap();
        let m = f.columns();
        let mut z = vec![0.0; (1 + m) * d];
        // A sensitivity scales as one over its parameter.
        let mut atols = vec![atol; z.len()];
        for (atols, p) in atols[(1 + starts) * d..].chunks_exact_mut(d).zip(p) {
            atols.fill(atol / p);
        }
        let (options, mut stepper) = (SolveOptions::tolerance(rtol, &atols[..]), make(z.len()));
        let (with, all) = best(|| {
            f.start(y0, &mut z).unwrap();
            if implicit {
                solve_with_jacobian(&mut f, p, &mut z, span, stepper.as_mut(), &options, save).unwrap()
            } else {
                solve(&mut f, p, &mut z, span, stepper.as_mut(), &options, save).unwrap()
            }
        });
        println!(
            "{name:9} {method:11} m = {:2}: {alone:7.3} ms alone, {with:8.3} ms with, ratio {:6.2}; steps {} {}, evals {} {}, \
             iterations {} {}, factorisations {} {}",
            m,
            with / alone,
            state.accepted,
            all.accepted,
            state.work.evals,
            all.work.evals,
            state.work.newton_iterations,
            all.work.newton_iterations,
            state.work.factorisations,
            all.work.factorisations,
        );
        let Some(steps) = steps else { continue };
        let options = SolveOptions { save_at: &[end], ..SolveOptions::tolerance(rtol, atol) };
        let (bar, mut y0_bar, mut p_bar) = (vec![1.0; d], vec![0.0; d], vec![0.0; p.len()]);
        for few in [Checkpoints::All, Checkpoints::Every(2), Checkpoints::States(8)] {
            let mut adjoint = OdeAdjoint::with_checkpoints(steps, 1, d, few).unwrap();
            let (both, stats) = best(|| {
                y.copy_from_slice(y0);
                let stats = adjoint.forward(&mut field, p, &mut y, span, &options, save).unwrap();
                adjoint.backward(&mut field, p, &[&bar], &mut y0_bar, &mut p_bar).unwrap();
                stats
            });
            let again = adjoint.recomputed() as f64 / stats.accepted as f64;
            println!(
                "{name:9} {method:11} adjoint, {few:?}: {both:8.3} ms, ratio {:6.2}; steps {}, each again {again:.2} times",
                both / alone,
                stats.accepted
            );
        }
    }
}

fn main() {
    let stiff = &METHODS[..7];
    compare("Robertson", Reactions(3, ROBERTSON), &[1.0, 0.0, 0.0], &[0.04, 1e4, 3e7], 1e4, stiff);
    let rates = [1.71, 0.43, 8.32, 0.69, 0.035, 8.32, 280.0, 0.69, 0.69, 0.0007];
    compare("HIRES", Hires, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057], &rates, 321.8122, stiff);
    let mut start = [0.0; 20];
    for (species, value) in [(1, 0.2), (3, 0.04), (6, 0.1), (7, 0.3), (8, 0.01), (16, 0.007)] {
        start[species] = value;
    }
    compare("POLLU", Reactions(20, POLLU), &start, &POLLU_RATES, 60.0, stiff);
    let rates: Vec<f64> = (0..20).map(|i| 1.0 + 0.1 * f64::from(i)).collect();
    compare("cascade", Cascade, &[0.1; 20], &rates, 20.0, &METHODS);
    // Without and with one fast reaction.
    let mut rates: Vec<f64> = (0..8).map(|i| 1.0 + 0.1 * f64::from(i)).collect();
    let (mut start, chain) = ([0.0; 8], Reactions(8, CHAIN));
    start[0] = 1.0;
    for (starts, params) in [(0, 1), (0, 4), (8, 8)] {
        columns("chain", chain, &start, &rates, 5.0, &METHODS[7..], starts, params);
    }
    rates[3] = 1e4;
    for (starts, params) in [(0, 1), (0, 4), (8, 8)] {
        columns("chain", chain, &start, &rates, 5.0, &METHODS[..4], starts, params);
    }
}
