//! Ensembles of ordinary equations, against the lanes of `chreode-solve` in f64.

use crate::lab::{lab, numbers, tries};
use chreode_core::{Dynamics, Number};
use chreode_cuda::{AdaptiveOptions, CudaError, Network, Term, TrajectoryEnd};
use chreode_solve::{PerTrajectory, SolveOptions, solve_lanes};
use proptest::prelude::*;

/// The terms as a model of the processor.
#[derive(Clone)]
pub(crate) struct Twin {
    pub(crate) d: usize,
    pub(crate) terms: Vec<Term>,
}

impl Dynamics for Twin {
    fn dim(&self) -> usize {
        self.d
    }
    fn n_params(&self) -> usize {
        self.terms.len()
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        dy.iter_mut().for_each(|dy| *dy = S::c(0.0));
        for (term, &p) in self.terms.iter().zip(p) {
            let rate = term.factors.iter().fold(p, |rate, &f| rate * y[f]);
            for &(row, effect) in &term.effects {
                dy[row] += rate * S::c(f64::from(effect));
            }
        }
    }
}

pub(crate) fn term(factors: &[usize], effects: &[(usize, f32)]) -> Term {
    Term { factors: factors.to_vec(), effects: effects.to_vec() }
}

pub(crate) const OPTIONS: AdaptiveOptions = AdaptiveOptions { rtol: 1e-4, atol: 1e-6, max_steps: 10_000 };

/// Steps of trajectories that came to the last time.
pub(crate) fn steps(ends: &[TrajectoryEnd]) -> Vec<f32> {
    let steps = |end: &TrajectoryEnd| match end {
        TrajectoryEnd::Done { accepted, rejected } => (accepted + rejected) as f32,
        other => panic!("{other:?}"),
    };
    ends.iter().map(steps).collect()
}

/// Solves with the threads in both orders, and compares; `p` is `[n, terms]`.
fn compare(d: usize, terms: &[Term], p: &[f32], start: &[f32], times: &[f64], tolerance: f64) {
    let Some(lab) = lab() else { return };
    let got = lab.both_orders(|stream| {
        let network = Network::new(stream, d, terms).unwrap();
        let mut saved = stream.zeros((times.len() - 1) * start.len()).unwrap();
        let [p, start] = [p, start].map(|v| stream.upload(v).unwrap());
        let ends = network.solve(OPTIONS, &p, &start, times, &mut saved).unwrap();
        vec![saved.to_vec().unwrap(), steps(&ends)]
    });
    check(&Twin { d, terms: terms.to_vec() }, p, start, times, &got, tolerance);
}

/// Checks saved states and numbers of steps against the processor's.
pub(crate) fn check<D: Dynamics + Sync>(
    model: &D,
    p: &[f32],
    start: &[f32],
    times: &[f64],
    got: &[Vec<f32>],
    tolerance: f64,
) {
    let (d, saves) = (model.dim(), times.len() - 1);
    let n = start.len() / d;
    let double = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let options = SolveOptions { save_at: &times[1..], ..SolveOptions::tolerance(1e-4, 1e-6) };
    let mut y = double(start);
    let span = PerTrajectory::Same((times[0], times[saves]));
    let runs = solve_lanes(model, &double(p), &mut y, span, PerTrajectory::Same(options)).unwrap();
    for i in 0..n {
        for (s, want) in runs.saved(i).chunks(d).enumerate() {
            for k in 0..d {
                let got = f64::from(got[0][(s * n + i) * d + k]);
                assert!(
                    (got - want[k]).abs() <= tolerance * (1.0 + want[k].abs()),
                    "row {i}, time {s}: {got} {}",
                    want[k]
                );
            }
        }
        let stats = runs.outcomes()[i].as_ref().unwrap();
        let (took, twin) = (f64::from(got[1][i]), (stats.accepted + stats.rejected) as f64);
        // It saves inside steps, the device ends steps there.
        assert!(took <= 1.3 * twin + 3.0 * saves as f64 + 3.0, "row {i}: {took} steps, not {twin}");
    }
}

/// Lotka and Volterra's animals, each row with rates of its own: within ten tolerances after a period.
#[test]
fn predators_and_prey() {
    let terms = [term(&[0], &[(0, 1.0)]), term(&[0, 1], &[(0, -1.0), (1, 0.8)]), term(&[1], &[(1, -1.0)])];
    for n in [0, 1, 31, 33, 257] {
        let rates: Vec<f32> = numbers(5, 3 * n).iter().map(|z| 1.0 + 0.4 * z).collect();
        let start: Vec<f32> = numbers(6, 2 * n).iter().map(|z| 1.2 + 0.8 * z).collect();
        compare(2, &terms, &rates, &start, &[0.0, 1.3, 2.0, 6.0], 1e-3);
    }
}

/// The Lorenz system over a short time: subtraction, products of coordinates, times that do not begin at zero.
#[test]
fn lorenz() {
    let terms = [
        term(&[1], &[(0, 1.0)]),
        term(&[0], &[(0, -1.0)]),
        term(&[0], &[(1, 1.0)]),
        term(&[1], &[(1, -1.0)]),
        term(&[0, 2], &[(1, -1.0)]),
        term(&[0, 1], &[(2, 1.0)]),
        term(&[2], &[(2, -1.0)]),
    ];
    let n = 65;
    let p = [10.0, 10.0, 28.0, 1.0, 1.0, 1.0, 8.0 / 3.0].repeat(n);
    let start: Vec<f32> =
        numbers(7, 3 * n).iter().enumerate().map(|(i, z)| 5.0 * z + [1.0, 2.0, 20.0][i % 3]).collect();
    compare(3, &terms, &p, &start, &[-0.5, -0.3, 0.1], 2e-2);
}

pub(crate) fn networks() -> impl Strategy<Value = (usize, Vec<Term>)> {
    (1_usize..6).prop_flat_map(|d| {
        let terms =
            prop::collection::vec((prop::collection::vec(0..d, 0..3), 0..d), 1..6).prop_map(move |all| {
                // Conversions: what reacts disappears, so that nothing runs away.
                let convert = |(factors, to): (Vec<usize>, usize)| match factors.first() {
                    Some(&from) => Term { effects: vec![(from, -1.0), (to, 0.5)], factors },
                    None => Term { effects: vec![(to, 0.3)], factors },
                };
                all.into_iter().map(convert).collect()
            });
        (Just(d), terms)
    })
}

proptest! {
    #![proptest_config(tries(12))]

    /// Any network of mass action, 1e-3: ten tolerances.
    #[test]
    fn mass_action((d, terms) in networks(), n in prop_oneof![Just(1_usize), Just(33), 1_usize..70], seed: u64) {
        let p: Vec<f32> = numbers(seed, n * terms.len()).iter().map(|z| 1.1 + z).collect();
        let start: Vec<f32> = numbers(seed ^ 1, n * d).iter().map(|z| 1.1 + z).collect();
        compare(d, &terms, &p, &start, &[0.0, 0.4, 2.0], 1e-3);
    }
}

/// What stops on its way says why, and the others go on.
#[test]
fn trajectories_end_for_themselves() {
    let Some(lab) = lab() else { return };
    // dy = y^2 runs away at 1 / y(0).
    let network = Network::new(&lab.stream, 1, &[term(&[0, 0], &[(0, 1.0)])]).unwrap();
    let run = |options| {
        let mut saved = lab.stream.zeros(2 * 3).unwrap();
        let (p, start) = (lab.upload(&[1.0]), lab.upload(&[0.25, 2.0, f32::NAN]));
        let ends = network.solve(options, &p, &start, &[0.0, 0.25, 1.0], &mut saved).unwrap();
        (ends, saved.to_vec().unwrap())
    };
    let (ends, saved) = run(OPTIONS);
    assert!(matches!(ends[0], TrajectoryEnd::Done { .. }), "{ends:?}");
    assert!(matches!(ends[1], TrajectoryEnd::StepTooSmall | TrajectoryEnd::TooManySteps), "{ends:?}");
    assert_eq!(ends[2], TrajectoryEnd::NonFiniteStart);
    assert!((saved[0] - 0.25 / (1.0 - 0.0625)).abs() < 1e-4 && (saved[1] - 4.0).abs() < 1e-3);
    assert!((saved[3] - 1.0 / 3.0).abs() < 1e-4 && saved[4] == 0.0 && saved[2] == 0.0);
    let (ends, _) = run(AdaptiveOptions { max_steps: 2, ..OPTIONS });
    assert_eq!(ends[..2], [TrajectoryEnd::TooManySteps; 2]);

    assert!(matches!(
        Network::new(&lab.stream, 1, &[term(&[1], &[])]).err(),
        Some(CudaError::TooLarge { got: 1, most: 0, .. })
    ));
    assert!(Network::new(&lab.stream, 2000, &[]).is_err());
    let mut saved = lab.stream.zeros(1).unwrap();
    let (p, start) = (lab.upload(&[1.0]), lab.upload(&[0.25]));
    assert!(network.solve(OPTIONS, &p, &start, &[0.0, 0.0], &mut saved).is_err());
}

/// Tolerances and times that no trajectory could keep to.
#[test]
fn settings_are_checked() {
    let Some(lab) = lab() else { return };
    let network = Network::new(&lab.stream, 1, &[term(&[0], &[(0, -1.0)])]).unwrap();
    let [p, start] = [[1.0], [0.0]].map(|v| lab.stream.upload(&v).unwrap());
    let bad = [
        (AdaptiveOptions { atol: 0.0, ..OPTIONS }, [0.0, 1.0]),
        (AdaptiveOptions { rtol: -1e-4, ..OPTIONS }, [0.0, 1.0]),
        (AdaptiveOptions { rtol: f32::NAN, ..OPTIONS }, [0.0, 1.0]),
        (OPTIONS, [0.0, f64::INFINITY]),
    ];
    for (options, times) in bad {
        let mut saved = lab.stream.zeros(1).unwrap();
        for got in [
            network.solve(options, &p, &start, &times, &mut saved),
            network.solve_stiff(options, &p, &start, &times, &mut saved),
        ] {
            assert!(matches!(got, Err(CudaError::Setting { .. })), "{options:?} {times:?}: {got:?}");
        }
    }
}
