//! Adaptive stochastic runs: the tolerance rules the error along one path, steps and saved times change no path, and
//! rejections bias nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{Calculus, Diffusion, FieldError, NoiseKind, Tolerance, VectorField};
use chreode_solve::{
    AdaptiveEnsemble, AdaptiveOptions, BrownianTree, Increments, SdeMethod, SolveError, TILE,
    simulate_adaptive,
};
use chreode_testkit::{RingSde, SinhSde, SpinSde, observed_order};
use proptest::prelude::*;

const P: [f64; 2] = [0.8, 0.6];
const SPAN: (f64, f64) = (0.0, 1.0);

fn options(method: SdeMethod, tol: f64, seed: u64) -> AdaptiveOptions<'static, f64> {
    AdaptiveOptions::new(method, Tolerance::new(tol, tol), seed)
}

fn sinh(n: usize, save_at: &[f64], options: &AdaptiveOptions<'_, f64>) -> AdaptiveEnsemble<f64> {
    simulate_adaptive(&SinhSde { dim: 1 }, &P, &vec![0.3; n], SPAN, save_at, options).unwrap()
}

/// The Brownian motions at `t` of trajectories `0..n`, `[n, m]`.
fn motions(seed: u64, n: usize, m: usize, t: f64) -> Vec<f64> {
    let mut tree = BrownianTree::new(seed, m, SPAN).unwrap();
    let (mut w, mut area) = (vec![0.0; n * m], vec![0.0; m]);
    for (i, w) in w.chunks_exact_mut(m).enumerate() {
        tree.increment(i as u64, 0.0, t, w, &mut area).unwrap();
    }
    w
}

fn mean_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

/// All tolerances follow the same paths, and the error falls with the number of steps as fast as with equal steps.
#[test]
fn the_error_follows_the_tolerance() {
    let (n, seed) = (400, 3);
    let w = motions(seed, n, 1, 1.0);
    let exact: Vec<f64> = w.iter().map(|&w| SinhSde::exact(1.0, 0.3, w, &P)).collect();
    let mut points = Vec::new();
    for tol in [1e-2, 1e-3, 1e-4, 1e-5] {
        let run = sinh(n, &[1.0], &options(SdeMethod::Sriw1, tol, seed));
        let error = mean_distance(&run.states[0], &exact);
        let steps = run.accepted as f64 / n as f64;
        println!("SRIW1, {tol:e}: error {error:e}, {steps:.1} steps, {} rejected", run.rejected);
        assert!(error < 10.0 * tol && run.rejected > 0, "{tol}: {error}, {} rejected", run.rejected);
        points.push((-steps.log2(), error.log2()));
    }
    let order = observed_order(&points);
    println!("SRIW1: order by steps {order:.3}");
    assert!((order - 1.5).abs() < 0.15, "{order}");

    let (y0, p) = ([0.6, -0.4], [0.8, 1.2]);
    let sde = SpinSde { calculus: Calculus::Stratonovich };
    let exact: Vec<f64> = w.iter().flat_map(|&w| SpinSde::exact(1.0, y0, w, &p)).collect();
    let points = [1e-2, 3e-3, 1e-3].map(|tol| {
        let options = options(SdeMethod::StochasticHeun, tol, seed);
        let run = simulate_adaptive(&sde, &p, &y0.repeat(n), SPAN, &[1.0], &options).unwrap();
        let error = mean_distance(&run.states[0], &exact);
        let steps = run.accepted as f64 / n as f64;
        println!("stochastic Heun, {tol:e}: error {error:e}, {steps:.1} steps, {} rejected", run.rejected);
        assert!(error < 10.0 * tol && run.rejected > 0);
        (-steps.log2(), error.log2())
    });
    let order = observed_order(&points);
    println!("stochastic Heun: order by steps {order:.3}");
    assert!((order - 1.0).abs() < 0.2, "{order}");
}

/// Where no closed form is known: against equal, much shorter steps along the same tree.
#[test]
fn the_same_path_as_equal_steps() {
    let (n, d, p) = (60, 3, [0.7]);
    for (method, noise, calculus, tol) in [
        (SdeMethod::Sra1, NoiseKind::Additive, Calculus::Ito, 1e-4),
        (SdeMethod::Sriw1, NoiseKind::Separable, Calculus::Ito, 1e-4),
        // Noise that does not commute: nested steps keep the Lévy areas that Heun leaves out without bias.
        (SdeMethod::StochasticHeun, NoiseKind::Diagonal, Calculus::Stratonovich, 3e-3),
    ] {
        let sde = RingSde { dim: d, noise, calculus };
        let y0 = [0.4, -0.3, 0.8].repeat(n);
        let run = simulate_adaptive(&sde, &p, &y0, SPAN, &[1.0], &options(method, tol, 5)).unwrap();
        let mut tree = BrownianTree::new(5, d, SPAN).unwrap();
        let (mut scheme, mut sde, mut y, steps) = (method.scheme(n, &sde).unwrap(), sde, y0, 4096);
        let (mut dw, mut area) = (vec![0.0; n * d], vec![0.0; n * d]);
        let h = 1.0 / f64::from(steps);
        for k in 0..steps {
            let t = f64::from(k) * h;
            for (i, (dw, area)) in dw.chunks_exact_mut(d).zip(area.chunks_exact_mut(d)).enumerate() {
                tree.increment(i as u64, t, t + h, dw, area).unwrap();
            }
            scheme.advance(&mut sde, Increments { dw: &dw, area: &area }, 0, t, h, &mut y, &p).unwrap();
        }
        let error = mean_distance(&run.states[0], &y);
        println!("{}: {error:e} at {tol:e}, {} steps", method.name(), run.accepted / n as u64);
        assert!(error < 5.0 * tol, "{}: {error}", method.name());
    }
}

/// The end state is `sinh` of a normal number, of which mean, variance and distribution are known.
#[test]
fn rejections_do_not_bias() {
    let n = 30_000;
    let run = sinh(n, &[1.0], &options(SdeMethod::Sriw1, 1e-3, 17));
    assert!(run.rejected > n as u64 / 2, "{}", run.rejected); // it is a test of rejections
    let mean = 0.3_f64.asinh() + P[0] * 1.0_f64.sin();
    let mut z: Vec<f64> = run.states[0].iter().map(|y| (y.asinh() - mean) / P[1]).collect();
    let (mut sum, mut squares) = (0.0, 0.0);
    for z in &z {
        sum += z;
        squares += z * z;
    }
    let n = n as f64;
    // Four standard errors; what the tolerance leaves is a tenth of one.
    assert!((sum / n).abs() < 4.0 / n.sqrt(), "{}", sum / n);
    assert!((squares / n - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{}", squares / n);
    z.sort_by(f64::total_cmp);
    // Deciles of the normal distribution.
    let deciles = [1.2815515655446004, 0.8416212335729143, 0.5244005127080407, 0.2533471031357997, 0.0];
    for (i, q) in deciles.iter().enumerate() {
        let p = (i + 1) as f64 / 10.0;
        for (q, p) in [(-q, p), (*q, 1.0 - p)] {
            let below = z.partition_point(|&z| z < q) as f64 / n;
            assert!((below - p).abs() < 4.0 * (p * (1.0 - p) / n).sqrt(), "{q}: {below}, not {p}");
        }
    }
}

#[test]
fn saved_times_change_nothing_and_are_met() {
    let n = 200;
    let options = options(SdeMethod::Sriw1, 1e-4, 9);
    let end = sinh(n, &[1.0], &options);
    let times = [0.0, 1e-15, 0.1, 0.3, 0.300_001, 0.5, 0.75, 0.9, 1.0];
    let many = sinh(n, &times, &options);
    assert_eq!(end.states[0], many.states[8]);
    assert_eq!((end.accepted, end.rejected), (many.accepted, many.rejected));
    assert!(many.states[0].iter().all(|&y| y == 0.3));
    for (t, y) in times.iter().zip(&many.states) {
        let exact: Vec<f64> = motions(9, n, 1, *t).iter().map(|&w| SinhSde::exact(*t, 0.3, w, &P)).collect();
        let error = mean_distance(y, &exact);
        assert!(error < 5e-4, "{t}: {error}");
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let sde = RingSde { dim: 3, noise: NoiseKind::Separable, calculus: Calculus::Ito };
    let y0: Vec<f32> = (0..3 * (2 * TILE + 9)).map(|i| (i as f32 * 0.37).sin()).collect();
    let options = AdaptiveOptions::new(SdeMethod::Sriw1, Tolerance::new(1e-3, 1e-3), 4);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| simulate_adaptive(&sde, &[0.7], &y0, (0.5, 2.0), &[0.8, 2.0], &options).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
    assert!(one.states[1].iter().all(|y| y.is_finite()) && one.accepted > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn same_bits_for_any_chunking(n in 1..2 * TILE, cut in 0.0..1.0_f64, first in 0_u64..1 << 40, seed: u64) {
        let sde = RingSde { dim: 2, noise: NoiseKind::Additive, calculus: Calculus::Ito };
        let y0: Vec<f64> = (0..2 * n).map(|i| (i as f64 * 0.37).sin()).collect();
        let run = |from: usize, to: usize| {
            let options = AdaptiveOptions { first_trajectory: first + from as u64, ..options(SdeMethod::Sra1, 1e-2, seed) };
            simulate_adaptive(&sde, &[0.7], &y0[2 * from..2 * to], SPAN, &[0.4], &options).unwrap()
        };
        let cut = (cut * n as f64) as usize;
        let (all, a, b) = (run(0, n), run(0, cut), run(cut, n));
        prop_assert_eq!(&all.states[0], &[&a.states[0][..], &b.states[0][..]].concat());
        prop_assert_eq!((all.accepted, all.rejected), (a.accepted + b.accepted, a.rejected + b.rejected));
    }
}

/// `dX = f(X) dt + 0.1 dW` with a field that is undefined, or infinite, above a bound.
#[derive(Clone)]
struct Bounded {
    bound: f64,
    fatal: bool,
}
impl VectorField<f64> for Bounded {
    fn dim(&self) -> usize {
        1
    }
    fn eval(&mut self, t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        for (dy, &y) in dy.iter_mut().zip(y) {
            if y > self.bound {
                let what = "above the bound";
                return Err(if self.fatal {
                    FieldError::Fatal { t, what }
                } else {
                    FieldError::Recoverable { t, what }
                });
            }
            *dy = -40.0 * y; // one long step overshoots
        }
        Ok(())
    }
}
impl Diffusion<f64> for Bounded {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Additive
    }
    fn diffusion(&mut self, _t: f64, _y: &[f64], _p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        g.fill(0.1);
        Ok(())
    }
}

#[test]
fn errors_say_where_and_short_steps_mend() {
    let run = |sde: &Bounded, y0: &[f64], options: &AdaptiveOptions<'_, f64>| {
        simulate_adaptive(sde, &[], y0, SPAN, &[1.0], options)
    };
    let loose = AdaptiveOptions { h0: Some(1.0), ..options(SdeMethod::Sra1, 10.0, 1) };
    // From -1 a step of 1 asks for the drift at 29, far above the bound.
    let mended = run(&Bounded { bound: 2.0, fatal: false }, &[-1.0; 3], &loose).unwrap();
    assert!(mended.rejected >= 3 && mended.states[0].iter().all(|y| y.abs() < 2.0), "{mended:?}");
    assert!(matches!(
        run(&Bounded { bound: 2.0, fatal: true }, &[-1.0; 3], &loose),
        Err(SolveError::Field(FieldError::Fatal { .. }))
    ));
    let never = run(&Bounded { bound: -5.0, fatal: false }, &[-1.0], &loose);
    assert!(matches!(never, Err(SolveError::Field(FieldError::Recoverable { .. }))), "{never:?}");
    let calm = Bounded { bound: 1e9, fatal: false };
    let few = AdaptiveOptions { max_steps: 5, ..options(SdeMethod::Sra1, 1e-3, 1) };
    assert!(matches!(run(&calm, &[1.0], &few), Err(SolveError::TooManySteps { max_steps: 5, .. })));
    let strict =
        AdaptiveOptions { tolerance: Tolerance::new(0.0, 1e-30), ..options(SdeMethod::Sra1, 1.0, 1) };
    assert!(matches!(run(&calm, &[1.0], &strict), Err(SolveError::StepSizeTooSmall { .. })));
    let mut y0 = vec![0.0; 2 * TILE + 5];
    y0[TILE + 3] = f64::NAN;
    assert!(matches!(
        run(&calm, &y0, &options(SdeMethod::Sra1, 1e-2, 1)),
        Err(SolveError::NonFinite { t: 0.0, trajectory, coordinate: 0 }) if trajectory == TILE as u64 + 3
    ));
    for method in [SdeMethod::EulerMaruyama, SdeMethod::Milstein] {
        assert_eq!(run(&calm, &[1.0], &options(method, 1e-2, 1)), Err(SolveError::NoErrorEstimate));
    }
    let sinh = |method, span, save_at: &[f64], tol| {
        simulate_adaptive(&SinhSde { dim: 1 }, &P, &[0.3], span, save_at, &options(method, tol, 1))
    };
    for method in [SdeMethod::Sra1, SdeMethod::StochasticHeun] {
        assert!(matches!(sinh(method, SPAN, &[], 1e-2), Err(SolveError::UnsupportedNoise { .. })));
    }
    for (span, save_at, tol) in
        [((1.0, 1.0), &[][..], 1e-2), ((1.0, 0.0), &[], 1e-2), (SPAN, &[], 0.0), (SPAN, &[], f64::NAN)]
    {
        assert!(
            matches!(sinh(SdeMethod::Sriw1, span, save_at, tol), Err(SolveError::InvalidOption { .. })),
            "{span:?} {tol}"
        );
    }
    for save_at in [&[0.5, 0.5][..], &[-0.1], &[1.1]] {
        assert!(matches!(sinh(SdeMethod::Sriw1, SPAN, save_at, 1e-2), Err(SolveError::InvalidTime { .. })));
    }
    assert_eq!(sinh(SdeMethod::Sriw1, SPAN, &[], 1e-2).unwrap().states.len(), 0);
}

/// A hook shapes every accepted state, and the saved ones.
#[test]
fn after_step() {
    let clamp = |_t: f64, y: &mut [f64]| y[1] = 2.0;
    let sde = RingSde { dim: 2, noise: NoiseKind::Separable, calculus: Calculus::Ito };
    let held = AdaptiveOptions { after_step: Some(&clamp), ..options(SdeMethod::Sriw1, 1e-3, 1) };
    let run = simulate_adaptive(&sde, &[0.7], &[0.1, 2.0].repeat(20), SPAN, &[0.3, 1.0], &held).unwrap();
    for y in run.states.iter().flat_map(|s| s.chunks_exact(2)) {
        assert!(y[1] == 2.0 && y[0] != 0.1);
    }
}
