//! Gradients with few stored states: the bits of all of them, and as many steps taken again as theory says.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_adjoint::{
    AdjointError, Checkpoints, OdeAdjoint, OdeMethod, RunKind, Sensitivity, Task, recomputed_steps,
};
use chreode_solve::{EULER, ErkTableau, KENCARP4, RK4, RODAS5P, SolveOptions, TSIT5};
use chreode_testkit::{LotkaVolterra, SmoothField, central_difference_by, compare};
use proptest::prelude::*;

const P: [f64; 4] = [1.5, 1.0, 0.75, 3.0];
const BARS: [&[f64]; 3] = [&[1.0, 0.2], &[-0.4, 1.0], &[0.3, 0.7]];

struct Run {
    bits: Vec<u64>,
    steps: usize,
    stored: usize,
    again: u64,
}

fn run(method: &'static ErkTableau, checkpoints: Checkpoints, options: &SolveOptions<'_>, end: f64) -> Run {
    let mut f = SmoothField(LotkaVolterra);
    let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 2, checkpoints).unwrap();
    let save_at = [0.3 * end, 0.31 * end, end];
    let options = SolveOptions { save_at: &save_at, max_steps: 10_000_000, ..*options };
    adjoint.forward(&mut f, &P, &mut [1.0, 0.5], (0.0, end), &options, &mut |_, _, _| {}).unwrap();
    let stored = adjoint.stored_states();
    let mut once = || {
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        adjoint.backward(&mut f, &P, &BARS, &mut y0_bar, &mut p_bar).unwrap();
        let bits: Vec<u64> = y0_bar.iter().chain(&p_bar).map(|x: &f64| x.to_bits()).collect();
        (bits, adjoint.recomputed())
    };
    let (bits, again) = once();
    assert_eq!(bits, once().0, "a second time");
    Run { bits, steps: adjoint.steps().len(), stored, again }
}

/// A million steps and a hundred states.
#[test]
fn a_million_steps() {
    let options = SolveOptions::fixed(1e-5);
    let all = run(&EULER, Checkpoints::All, &options, 10.0);
    let few = run(&EULER, Checkpoints::States(100), &options, 10.0);
    let bytes = run(&EULER, Checkpoints::Bytes(100 * 16 + 15), &options, 10.0);
    assert_eq!((all.steps, all.stored, all.again), (1_000_000, 1_000_000, 0));
    assert_eq!((few.steps, few.stored), (1_000_000, 100));
    assert_eq!(few.again, recomputed_steps(1_000_000, 100));
    assert_eq!(few.bits, all.bits);
    assert_eq!((bytes.bits, bytes.again), (few.bits, few.again));
    println!("{} steps with 100 states: {} taken again", few.steps, few.again);
}

/// Adaptive runs, whose length nobody knows before: no step is taken again more often than of a known length.
#[test]
fn unknown_length() {
    let options = SolveOptions::tolerance(1e-13, 1e-13);
    for (end, states) in [(40.0, 3), (40.0, 8), (40.0, 50), (3.0, 1), (3.0, 1000)] {
        let all = run(&TSIT5, Checkpoints::All, &options, end);
        let few = run(&TSIT5, Checkpoints::States(states), &options, end);
        let least = recomputed_steps(few.steps, states);
        // r: the slope of the optimum at this length
        let slope = recomputed_steps(few.steps, states) - recomputed_steps(few.steps - 1, states) + 1;
        println!("{} steps, {states} states: {} taken again, least {least}", few.steps, few.again);
        assert_eq!(few.bits, all.bits);
        assert!(few.stored <= states);
        assert!(few.again >= least && few.again <= slope * few.steps as u64, "{} {slope}", few.again);
        if states > 1 {
            assert!(few.again as f64 <= 1.05 * least as f64, "{} {least}", few.again);
        }
    }
}

#[test]
fn known_length_between_stops() {
    // Steps of unequal length where the run stops for a save, and a field that is announced to jump.
    let options = SolveOptions { discontinuities: &[1.1, 2.5], ..SolveOptions::fixed(0.013) };
    for states in 1..20 {
        let all = run(&RK4, Checkpoints::All, &options, 3.0);
        let few = run(&RK4, Checkpoints::States(states), &options, 3.0);
        assert_eq!((few.bits, few.again), (all.bits, recomputed_steps(few.steps, states)), "{states}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The number of fixed steps is known before, wherever the run stops: else more steps would be taken again.
    #[test]
    fn known_length_wherever_it_stops(
        mut times in prop::collection::vec(0.0..2.0_f64, 0..8),
        mut breaks in prop::collection::vec(0.0..2.0_f64, 0..5),
        h in 0.004..0.3_f64,
        states in 1_usize..9,
        backward: bool,
    ) {
        for list in [&mut times, &mut breaks] {
            list.sort_by(f64::total_cmp);
            list.dedup();
            if backward {
                list.reverse();
            }
        }
        let mut adjoint = OdeAdjoint::with_checkpoints(&RK4, 1, 2, Checkpoints::States(states)).unwrap();
        let mut f = SmoothField(LotkaVolterra);
        let options = SolveOptions { save_at: &times, discontinuities: &breaks, ..SolveOptions::fixed(h) };
        let span = if backward { (2.0, 0.0) } else { (0.0, 2.0) };
        adjoint.forward(&mut f, &P, &mut [1.0, 0.5], span, &options, &mut |_, _, _| {}).unwrap();
        let bars = vec![&[1.0, 2.0][..]; times.len()];
        adjoint.backward(&mut f, &P, &bars, &mut [0.0; 2], &mut [0.0; 4]).unwrap();
        prop_assert_eq!(adjoint.recomputed(), recomputed_steps(adjoint.steps().len(), states));
    }
}

#[test]
fn too_small_a_budget() {
    let error = OdeAdjoint::<f64>::with_checkpoints(&RK4, 10, 3, Checkpoints::Bytes(239)).unwrap_err();
    assert_eq!(error, AdjointError::CheckpointsTooFew { what: "bytes", got: 239, least: 240 });
    assert_eq!(error.to_string(), "room for 239 bytes is too little: the least is 240");
    assert!(OdeAdjoint::<f64>::with_checkpoints(&RK4, 10, 3, Checkpoints::Bytes(240)).is_ok());
    assert!(OdeAdjoint::<f64>::with_checkpoints(&RK4, 10, 3, Checkpoints::States(0)).is_err());
    assert!(OdeAdjoint::<f64>::with_checkpoints(&RK4, 10, 3, Checkpoints::Every(0)).is_err());
}

/// What [`Sensitivity::auto`] takes for the memory of a run is what the run takes, to the byte, and what it advises fits.
#[test]
fn what_is_advised_fits() {
    let methods = [
        (&TSIT5).into(),
        OdeMethod::Radau5,
        OdeMethod::Radau9,
        OdeMethod::Radau13,
        OdeMethod::Radau,
        OdeMethod::Bdf,
        (&KENCARP4).into(),
        (&RODAS5P).into(),
    ];
    for method in methods {
        let taken = |checkpoints| {
            let mut adjoint = OdeAdjoint::with_checkpoints(method, 3, 2, checkpoints).unwrap();
            let (mut f, mut y) = (SmoothField(LotkaVolterra), [1.0, 0.5, 0.9, 0.6, 1.1, 0.4]);
            let options = SolveOptions::tolerance(1e-8, 1e-8);
            adjoint.forward(&mut f, &P, &mut y, (0.0, 3.0), &options, &mut |_, _, _| {}).unwrap();
            (adjoint.steps().len(), adjoint.stored_bytes())
        };
        let (steps, whole) = taken(Checkpoints::All);
        let task = Task {
            state_len: 6,
            value_bytes: 8,
            unknowns: 1_000,
            objectives: 1,
            run: RunKind::Ode(method),
            times: false,
            steps,
            bytes: whole,
        };
        let advised = |bytes| match Sensitivity::auto(&Task { bytes, ..task }).unwrap().0 {
            Sensitivity::Discrete(checkpoints) => checkpoints,
            Sensitivity::Forward => panic!("{method:?}: sensitivities to 1,000 numbers"),
        };
        // One that changes its order may have needed less room than is counted for it.
        let counted = if method == OdeMethod::Radau { 8 * 48 * steps } else { whole };
        assert!(whole <= counted);
        assert_eq!(advised(counted), Checkpoints::All, "{method:?}");
        for bytes in [counted - 1, counted / 2, 1_000] {
            assert_eq!(advised(bytes), Checkpoints::Bytes(bytes), "{method:?}");
            let (_, few) = taken(Checkpoints::Bytes(bytes));
            assert!(few <= bytes && few > 0, "{method:?}: {few} of {bytes} bytes");
        }
    }
}

/// Gradients with respect to the times of observation and the start time, in either direction of time.
#[test]
fn times() {
    for method in [
        (&TSIT5).into(),
        OdeMethod::Radau5,
        OdeMethod::Radau,
        OdeMethod::Bdf,
        (&KENCARP4).into(),
        (&RODAS5P).into(),
    ] {
        times_of(method);
    }
}

fn times_of(method: OdeMethod) {
    let mut f = SmoothField(LotkaVolterra);
    for x in [[0.0, 0.7, 1.9, 3.0], [3.0, 2.0, 1.5, 0.4]] {
        let options = SolveOptions::tolerance(1e-12, 1e-12);
        let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 2, Checkpoints::States(7)).unwrap();
        let mut states = |x: &[f64]| {
            let (mut y, mut states) = ([1.0, 0.5], Vec::new());
            let options = SolveOptions { save_at: &x[1..], ..options };
            adjoint
                .forward(&mut f, &P, &mut y, (x[0], x[3]), &options, &mut |_, _, y| states.push([y[0], y[1]]))
                .unwrap();
            states
        };
        let loss = |s: &[[f64; 2]]| s.iter().zip(1..).map(|(y, i)| (f64::from(i) * y[0] + y[1]).sin()).sum();
        let difference = central_difference_by(&x, 1e-3, |x| loss(&states(x)));
        let bars: Vec<[f64; 2]> = states(&x)
            .iter()
            .zip(1..)
            .map(|(y, i)| (f64::from(i), (f64::from(i) * y[0] + y[1]).cos()))
            .map(|(i, c)| [i * c, c])
            .collect();
        let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
        let (mut y0_bar, mut p_bar, mut time_bar) = ([0.0; 2], [0.0; 4], [f64::NAN; 3]);
        let start =
            adjoint.backward_with_times(&mut f, &P, &bars, &mut y0_bar, &mut p_bar, &mut time_bar).unwrap();
        let given = [start, time_bar[0], time_bar[1], time_bar[2]];
        compare("times", &given, &difference, 1e-6).unwrap_or_else(|e| panic!("{method:?}: {e}"));
    }
}
