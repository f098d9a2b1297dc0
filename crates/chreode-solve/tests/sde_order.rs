//! Strong and weak order of Euler-Maruyama, over thousands of Brownian paths, on equations that are neither
//! linear nor autonomous.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::BrownianIncrements;
use chreode_solve::{EnsembleOptions, EulerMaruyama, TimeGrid, simulate};
use chreode_testkit::{SinhSde, WellSde, observed_order};

const P: [f64; 2] = [0.8, 0.6];

/// End states, and the Brownian motion that the same increments reach, for `n` trajectories of [`SinhSde`].
fn sinh_paths(seed: u64, n: usize, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let grid = TimeGrid::new(0.0, &[1.0], 1.0 / steps as f64).unwrap();
    let options = EnsembleOptions::new(seed);
    let y = simulate(&SinhSde { dim: 1 }, &P, &vec![0.3; n], &grid, &options).unwrap();
    let (mut w, mut dw) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..grid.steps() {
        options.noise.fill(k as u64, 0, 1, grid.step(k).1, &mut dw);
        w.iter_mut().zip(&dw).for_each(|(w, dw)| *w += dw);
    }
    (y.states.into_iter().next().unwrap(), w)
}

#[test]
fn strong_order_is_one_half() {
    let points: Vec<_> = [16, 32, 64, 128, 256]
        .map(|steps| {
            let (y, w) = sinh_paths(11, 4000, steps);
            let error =
                y.iter().zip(&w).map(|(y, &w)| (y - SinhSde::exact(1.0, 0.3, w, &P)).abs()).sum::<f64>();
            (-(steps as f64).log2(), (error / y.len() as f64).log2())
        })
        .to_vec();
    let order = observed_order(&points);
    println!("strong order, state-dependent noise: {order:.3}");
    assert!((order - 0.5).abs() < 0.06, "{order}");
}

/// The mean of the error over each path, so that the variance of the solution itself cancels.
#[test]
fn weak_order_is_one() {
    let points: Vec<_> = [2, 4, 8, 16]
        .map(|steps| {
            let (y, w) = sinh_paths(12, 200_000, steps);
            let error = y.iter().zip(&w).map(|(y, &w)| y - SinhSde::exact(1.0, 0.3, w, &P)).sum::<f64>();
            (-(steps as f64).log2(), (error / y.len() as f64).abs().log2())
        })
        .to_vec();
    let order = observed_order(&points);
    println!("weak order of the mean: {order:.3}");
    assert!((order - 1.0).abs() < 0.15, "{order}");
    let (y, _) = sinh_paths(13, 200_000, 64);
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let sd = (y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / y.len() as f64).sqrt();
    let exact = SinhSde::mean(1.0, 0.3, &P);
    assert!((mean - exact).abs() < 0.02 + 5.0 * sd / (y.len() as f64).sqrt(), "{mean} {exact}");
}

/// Against a fine solution driven by the same Brownian path, whose increments are summed for the coarse ones.
#[test]
fn strong_order_is_one_for_additive_noise() {
    let (p, n, fine_steps) = ([1.0, 0.7, 0.5, 0.0], 64, 8192);
    let mut sde = WellSde { dim: 1 };
    let mut scheme = EulerMaruyama::new(n, 1);
    let coarse: [usize; 4] = [32, 64, 128, 256];
    let mut errors = [0.0; 4];
    for seed in 0..20 {
        let noise = BrownianIncrements::new(seed);
        let h = 1.0 / fine_steps as f64;
        let dw: Vec<Vec<f64>> = (0..fine_steps)
            .map(|k| {
                let mut dw = vec![0.0; n];
                noise.fill(k, 0, 1, h, &mut dw);
                dw
            })
            .collect();
        let mut end = |steps: usize| {
            let m = fine_steps as usize / steps;
            let mut y = vec![0.2; n];
            for (k, fine) in dw.chunks_exact(m).enumerate() {
                let sum: Vec<f64> = (0..n).map(|i| fine.iter().map(|dw| dw[i]).sum()).collect();
                let h = 1.0 / steps as f64;
                scheme.step_with_increments(&mut sde, &sum, k as f64 * h, h, &mut y, &p).unwrap();
            }
            y
        };
        let reference = end(fine_steps as usize);
        for (steps, error) in coarse.iter().zip(&mut errors) {
            *error += end(*steps).iter().zip(&reference).map(|(a, b)| (a - b).abs()).sum::<f64>();
        }
    }
    let points: Vec<_> = coarse
        .iter()
        .zip(errors)
        .map(|(&s, e)| (-(s as f64).log2(), (e / f64::from(20 * 64)).log2()))
        .collect();
    let order = observed_order(&points);
    println!("strong order, additive noise: {order:.3}");
    assert!((order - 1.0).abs() < 0.1, "{order}");
}
