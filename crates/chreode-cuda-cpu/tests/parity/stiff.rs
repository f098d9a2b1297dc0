//! Stiff ensembles by `Rodas5P`, against `chreode-solve` in f64 with the same method and tolerances.

use crate::lab::{Lab, lab, numbers, tries};
use crate::network::{Twin, networks, term};
use chreode_autodiff::Auto;
use chreode_core::Dynamics;
use chreode_cuda::{AdaptiveOptions, CudaError, Network, Term, TrajectoryEnd};
use chreode_solve::{RODAS5P, Rosenbrock, SolveOptions, solve_with_jacobian};
use proptest::prelude::*;

const OPTIONS: AdaptiveOptions = AdaptiveOptions { rtol: 1e-4, atol: 1e-6, max_steps: 10_000 };

/// States at the times after the first, `[saves, d]`, and the steps of one trajectory, in f64.
pub(crate) fn twin<D: Dynamics + Clone>(
    model: &D,
    options: AdaptiveOptions,
    p: &[f32],
    start: &[f32],
    times: &[f64],
) -> (Vec<f64>, u64) {
    let double = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let (mut field, mut y, mut saved): (Auto<D>, _, _) =
        (Auto::new(model.clone()), double(start), Vec::new());
    let tolerance = SolveOptions::tolerance(f64::from(options.rtol), f64::from(options.atol));
    let solve_options = SolveOptions { save_at: &times[1..], ..tolerance };
    let stats = solve_with_jacobian(
        &mut field,
        &double(p),
        &mut y,
        (times[0], times[times.len() - 1]),
        &mut Rosenbrock::new(&RODAS5P, 1, start.len()),
        &solve_options,
        &mut |_, _, y| saved.extend_from_slice(y),
    )
    .unwrap();
    (saved, stats.accepted + stats.rejected)
}

/// Checks saved states, `[saves, n, d]`, to `tolerance` in units of `atol / rtol` and each value, and that steps are as many but for those that
/// end at the save times. Where errors grow along a solution (a species that falls below `atol` and then makes itself), its own error says how
/// far two solutions of these tolerances may be apart: three times that is allowed beside.
pub(crate) fn compare<D: Dynamics + Clone>(
    model: &D,
    options: AdaptiveOptions,
    p: &[f32],
    start: &[f32],
    times: &[f64],
    tolerance: f64,
    got: &(Vec<f32>, Vec<TrajectoryEnd>),
) {
    let (d, np, saves) = (model.dim(), model.n_params(), times.len() - 1);
    let n = start.len() / d;
    assert_eq!(got.1.len(), n);
    for i in 0..n {
        let p = if p.len() == np { p } else { &p[i * np..(i + 1) * np] };
        let start = &start[i * d..(i + 1) * d];
        let (want, steps) = twin(model, options, p, start, times);
        let mut own_error = None;
        for (at, &want) in want.iter().enumerate() {
            let (s, k) = (at / d, at % d);
            let got = f64::from(got.0[(s * n + i) * d + k]);
            let unit = f64::from(options.atol / options.rtol) + want.abs();
            let off = (got - want).abs() / unit;
            if off <= tolerance {
                continue;
            }
            let exact = own_error.get_or_insert_with(|| {
                let [rtol, atol] = [options.rtol, options.atol].map(|t| 1e-3 * t);
                twin(model, AdaptiveOptions { rtol, atol, max_steps: options.max_steps }, p, start, times).0
            });
            let limit = tolerance + 3.0 * (want - exact[at]).abs() / unit;
            assert!(off <= limit, "row {i}, time {s}, coordinate {k}: {got} {want} {}", exact[at]);
        }
        let TrajectoryEnd::Done { accepted, rejected } = got.1[i] else { panic!("row {i}: {:?}", got.1[i]) };
        let (took, twin) = ((accepted + rejected) as f64, steps as f64);
        // Where an error estimate is next to nothing, rounding in f32 is what the device sees.
        assert!(took <= 1.3 * twin + 3.0 * saves as f64 + 20.0, "row {i}: {took} steps, not {twin}");
    }
}

/// Solves with the threads in both orders.
fn solve(
    lab: &Lab,
    d: usize,
    terms: &[Term],
    options: AdaptiveOptions,
    p: &[f32],
    start: &[f32],
    times: &[f64],
) -> (Vec<f32>, Vec<TrajectoryEnd>) {
    let ends = std::cell::RefCell::new(Vec::new());
    let mut saved = lab.both_orders(|stream| {
        let network = Network::new(stream, d, terms).unwrap();
        let mut saved = stream.zeros((times.len() - 1) * start.len()).unwrap();
        let [p, start] = [p, start].map(|v| stream.upload(v).unwrap());
        *ends.borrow_mut() = network.solve_stiff(options, &p, &start, times, &mut saved).unwrap();
        vec![saved.to_vec().unwrap()]
    });
    (saved.swap_remove(0), ends.into_inner())
}

/// Robertson's reactions, whose rates span nine orders: an explicit method would take a million steps.
#[test]
fn robertson() {
    let Some(lab) = lab() else { return };
    let terms = [
        term(&[0], &[(0, -1.0), (1, 1.0)]),
        term(&[1, 2], &[(0, 1.0), (1, -1.0)]),
        term(&[1, 1], &[(1, -1.0), (2, 1.0)]),
    ];
    let options = AdaptiveOptions { rtol: 1e-4, atol: 1e-8, max_steps: 10_000 };
    let times = [0.0, 0.4, 40.0, 4000.0];
    for n in [1, 33, 257] {
        let scale: Vec<f32> = numbers(3, n).iter().map(|z| 1.0 + 0.3 * z).collect();
        let p: Vec<f32> = scale.iter().flat_map(|s| [0.04 * s, 1e4, 3e7]).collect();
        let start = [1.0, 0.0, 0.0].repeat(n);
        let got = solve(&lab, 3, &terms, options, &p, &start, &times);
        let twin = Twin { d: 3, terms: terms.to_vec() };
        compare(&twin, options, &p, &start, &times, 2e-3, &got);
        for row in got.0.chunks(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 2e-5, "mass is conserved: {row:?}");
        }
    }
}

/// A chain of conversions with rates from 1 to 10^4, at sizes whose systems lie in shared memory (9) and outside of it (17).
#[test]
fn chains() {
    let Some(lab) = lab() else { return };
    for (d, n) in [(9, 31), (17, 67)] {
        let mut terms: Vec<Term> = (1..d).map(|i| term(&[i - 1], &[(i - 1, -1.0), (i, 1.0)])).collect();
        terms.push(term(&[d - 1, 0], &[(d - 1, -1.0), (0, 1.0)]));
        let p: Vec<f32> = (0..d).map(|i| 10.0_f32.powf(4.0 * i as f32 / d as f32)).collect();
        let start: Vec<f32> = numbers(4, n * d).iter().map(|z| 1.1 + z).collect();
        let times = [1.0, 1.1, 3.0];
        let got = solve(&lab, d, &terms, OPTIONS, &p, &start, &times);
        compare(&Twin { d, terms }, OPTIONS, &p, &start, &times, 1e-3, &got);
    }
}

proptest! {
    #![proptest_config(tries(12))]

    /// Any network of mass action with rates over five orders, 2e-3: twenty tolerances.
    #[test]
    fn mass_action(
        (d, terms) in networks(),
        n in prop_oneof![Just(0_usize), Just(1), Just(31), Just(33), Just(53), 1_usize..70],
        seed: u64,
    ) {
        let Some(lab) = lab() else { return Ok(()) };
        let p: Vec<f32> = numbers(seed, n * terms.len()).iter().map(|z| 10.0_f32.powf(2.5 * z)).collect();
        let start: Vec<f32> = numbers(seed ^ 1, n * d).iter().map(|z| 1.1 + z).collect();
        let times = [0.0, 0.4, 2.0];
        let got = solve(&lab, d, &terms, OPTIONS, &p, &start, &times);
        compare(&Twin { d, terms }, OPTIONS, &p, &start, &times, 2e-3, &got);
    }
}

/// A species falls to 2e-6, about `atol`, and then grows as `exp(7 t)` with what was left of it: solutions of these tolerances are 5e-3 off.
#[test]
fn what_grows_from_next_to_nothing() {
    let Some(lab) = lab() else { return };
    let terms = [
        term(&[1, 0], &[(1, -1.0), (0, 0.5)]),
        term(&[], &[(1, 0.3)]),
        term(&[1], &[(1, -0.5)]),
        term(&[], &[(1, 0.3)]),
        term(&[0], &[(0, -1.0), (2, 0.5)]),
    ];
    let (p, start) = ([58.066_326, 0.442_487_2, 1.894_277_9, 21.775_343, 70.991_57], [1.31, 0.8, 0.26]);
    let times = [0.0, 0.4, 2.0];
    let got = solve(&lab, 3, &terms, OPTIONS, &p, &start, &times);
    compare(&Twin { d: 3, terms: terms.to_vec() }, OPTIONS, &p, &start, &times, 2e-3, &got);
}

/// What stops on its way says why, what does not fit is refused.
#[test]
fn trajectories_and_sizes_that_fail() {
    let Some(lab) = lab() else { return };
    // dy = y^2 runs away at 1 / y(0).
    let network = Network::new(&lab.stream, 1, &[term(&[0, 0], &[(0, 1.0)])]).unwrap();
    let run = |options, times: &[f64]| {
        let mut saved = lab.stream.zeros(2 * 3).unwrap();
        let (p, start) = (lab.upload(&[1.0]), lab.upload(&[0.25, 2.0, f32::NAN]));
        let ends = network.solve_stiff(options, &p, &start, times, &mut saved)?;
        Ok::<_, CudaError>((ends, saved.to_vec().unwrap()))
    };
    let (ends, saved) = run(OPTIONS, &[0.0, 0.25, 1.0]).unwrap();
    assert!(matches!(ends[0], TrajectoryEnd::Done { .. }), "{ends:?}");
    assert!(matches!(ends[1], TrajectoryEnd::StepTooSmall | TrajectoryEnd::TooManySteps), "{ends:?}");
    assert_eq!(ends[2], TrajectoryEnd::NonFiniteStart);
    assert!((saved[0] - 0.25 / (1.0 - 0.0625)).abs() < 1e-4 && (saved[1] - 4.0).abs() < 2e-3, "{saved:?}");
    assert!((saved[3] - 1.0 / 3.0).abs() < 1e-4 && saved[4] == 0.0 && saved[2] == 0.0);
    let (ends, _) = run(AdaptiveOptions { max_steps: 2, ..OPTIONS }, &[0.0, 0.25, 1.0]).unwrap();
    assert_eq!(ends[..2], [TrajectoryEnd::TooManySteps; 2]);
    assert!(run(OPTIONS, &[0.0, 1.0, 1.0]).is_err());
    // Explicit steps have room for these coordinates, implicit ones do not.
    let wide = Network::new(&lab.stream, 25, &[]).unwrap();
    let (p, start) = (lab.upload(&[]), lab.upload(&[0.0; 25]));
    let mut saved = lab.stream.zeros(25).unwrap();
    let refused = wide.solve_stiff(OPTIONS, &p, &start, &[0.0, 1.0], &mut saved).err();
    assert!(matches!(refused, Some(CudaError::TooLarge { got: 25, most: 20, .. })), "{refused:?}");
}
