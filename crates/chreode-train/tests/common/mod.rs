//! A process whose snapshots are known exactly, and small neural models.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests, not all of which use all of it"
)]

use chreode_core::{
    BrownianIncrements, Diffusion, DiffusionVjp, FieldError, NoiseKind, Real, VectorField, Vjp,
};
use chreode_model::{DiffusionConfig, DriftConfig, GrowthConfig, ModelConfig, NeuralSde};
use chreode_testkit::central_difference_by;
use chreode_train::{Snapshots, States};
use proptest::prelude::*;

/// Two coordinates that relax: `dx = r (m - x) dt + s dW`; parameters `ln r, m, ln s` of each.
#[derive(Clone)]
pub struct Relaxation;

impl<T: Real> VectorField<T> for Relaxation {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        6
    }
    fn eval(&mut self, _t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        for (i, (dy, &y)) in dy.iter_mut().zip(y).enumerate() {
            let q = &p[i % 2 * 3..];
            *dy = q[0].exp() * (q[1] - y);
        }
        Ok(())
    }
}

impl<T: Real> Vjp<T> for Relaxation {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        l: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        for i in 0..y.len() {
            let k = i % 2 * 3;
            let r = p[k].exp();
            y_bar[i] = -r * l[i];
            p_bar[k] += l[i] * r * (p[k + 1] - y[i]);
            p_bar[k + 1] += l[i] * r;
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for Relaxation {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Additive
    }
    fn diffusion(&mut self, _t: f64, _y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        for (i, g) in g.iter_mut().enumerate() {
            *g = p[i % 2 * 3 + 2].exp();
        }
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for Relaxation {
    fn diffusion_vjp(
        &mut self,
        _t: f64,
        _y: &[T],
        p: &[T],
        g_bar: &[T],
        _y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        for (i, &g) in g_bar.iter().enumerate() {
            let k = i % 2 * 3 + 2;
            p_bar[k] += g * p[k].exp();
        }
        Ok(())
    }
}

/// `ln r, m, ln s` of the truth.
pub const TRUTH: [f64; 6] = [-0.2, 1.5, -0.7, 0.4, -1.0, -0.2];

/// Exact snapshots of [`Relaxation`] from a standard normal start.
pub fn snapshots<T: Real>(times: &[f64], cells: usize, seed: u64) -> Snapshots<T> {
    let states = times
        .iter()
        .enumerate()
        .map(|(k, &t)| {
            let mut z = vec![0.0_f64; cells * 4];
            BrownianIncrements::new(seed).fill(k as u64, 0, 4, 1.0, &mut z);
            z.chunks_exact(4)
                .flat_map(|z| {
                    [0, 1].map(|i| {
                        let (r, m, s) = (TRUTH[3 * i].exp(), TRUTH[3 * i + 1], TRUTH[3 * i + 2].exp());
                        let e = (-r * (t - times[0])).exp();
                        let sd = s * ((1.0 - e * e) / (2.0 * r)).sqrt();
                        T::c(m + (z[i] - m) * e + sd * z[2 + i])
                    })
                })
                .collect()
        })
        .collect();
    Snapshots { dim: 2, times: times.to_vec(), states, ..Snapshots::default() }
}

/// Changes states that are in memory.
pub fn changed<T: Real>(states: &mut States<T>, change: impl FnOnce(&mut Vec<T>)) {
    let mut all = states.as_slice().unwrap().to_vec();
    change(&mut all);
    *states = all.into();
}

/// A small neural SDE in two dimensions.
pub fn neural<T: Real>(growth: bool) -> NeuralSde<T> {
    NeuralSde::new(ModelConfig {
        time_scale: 1.0,
        shift: vec![0.5, -0.5],
        scale: vec![1.0, 1.0],
        times: None,
        drift: DriftConfig { hidden: vec![6], ..DriftConfig::default() },
        diffusion: DiffusionConfig::Diagonal {
            hidden: vec![3],
            activation: "silu".parse().unwrap(),
            initial_level: 0.5,
        },
        growth: growth.then(|| GrowthConfig { hidden: vec![3], ..GrowthConfig::default() }),
    })
    .unwrap()
}

/// [`neural`] with another noise, and no growth.
pub fn neural_with<T: Real>(diffusion: DiffusionConfig) -> NeuralSde<T> {
    NeuralSde::new(ModelConfig { diffusion, ..neural::<T>(false).config().clone() }).unwrap()
}

/// Noise of every form with a net of its own.
pub fn noises() -> [DiffusionConfig; 4] {
    let (hidden, activation, initial_level) = (vec![3], "silu".parse().unwrap(), 0.5);
    [
        DiffusionConfig::Diagonal { hidden: hidden.clone(), activation, initial_level },
        DiffusionConfig::Scalar { hidden: hidden.clone(), activation, initial_level },
        DiffusionConfig::LowRank { rank: 1, hidden: hidden.clone(), activation, initial_level },
        DiffusionConfig::General { hidden, activation, initial_level },
    ]
}

/// Every entry of a gradient at `x` is within `close` of the central difference, with steps of `relative * |x_i|`.
pub fn check_slopes(
    what: &str,
    gradient: &[f64],
    x: &[f64],
    (relative, close): (f64, f64),
    at: impl FnMut(&[f64]) -> f64,
) -> Result<(), TestCaseError> {
    let difference = central_difference_by(x, relative, at);
    for (i, (g, fd)) in gradient.iter().zip(difference).enumerate() {
        prop_assert!((g - fd).abs() < close, "{what} {i}: {g} {fd}");
    }
    Ok(())
}
