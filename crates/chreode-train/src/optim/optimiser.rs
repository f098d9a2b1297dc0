//! Adam, `AdamW`, `RMSprop` and gradient descent with momentum, with PyTorch's definitions and defaults.
//!
//! References: [KB15] Kingma & Ba (2015), ICLR; [LH19] Loshchilov & Hutter (2019), ICLR; [TH12] Tieleman &
//! Hinton (2012), lecture 6.5; [SMDH13] Sutskever, Martens, Dahl & Hinton (2013), ICML, PMLR 28(3), 1139-1147.

use chreode_core::Real;
use serde::{Deserialize, Serialize};

/// Which optimiser, and its settings but the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimiserConfig {
    /// Adam; `AdamW` if `weight_decay` is not zero (the decay is decoupled: `p ← p - lr · weight_decay · p`).
    Adam {
        /// Memory of the mean.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Memory of the mean square.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the root of the mean square.
        #[serde(default = "default_eps")]
        eps: f64,
        /// Decoupled weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
    /// `RMSprop`, not centred.
    #[serde(rename = "rmsprop")]
    RmsProp {
        /// Memory of the mean square.
        #[serde(default = "default_alpha")]
        alpha: f64,
        /// Added to the root of the mean square.
        #[serde(default = "default_eps")]
        eps: f64,
        /// Memory of the velocity; zero for none.
        #[serde(default)]
        momentum: f64,
    },
    /// Stochastic gradient descent, with the velocity `v ← momentum · v + g`, `p ← p - lr · v` [SMDH13].
    Sgd {
        /// Memory of the velocity; zero for none.
        #[serde(default)]
        momentum: f64,
        /// Whether the gradient counts once more, as if it had been taken ahead (Nesterov): `p ← p - lr · (g + momentum · v)`.
        #[serde(default)]
        nesterov: bool,
    },
}

fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.999
}
fn default_eps() -> f64 {
    1e-8
}
fn default_alpha() -> f64 {
    0.99
}

impl OptimiserConfig {
    /// Adam with `β = (0.9, 0.999)`, `eps = 1e-8`, no weight decay.
    pub fn adam() -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }

    /// `RMSprop` with `alpha = 0.99`, `eps = 1e-8`, no momentum.
    pub fn rmsprop() -> Self {
        Self::RmsProp { alpha: 0.99, eps: 1e-8, momentum: 0.0 }
    }

    /// Gradient descent with momentum 0.9.
    pub fn sgd() -> Self {
        Self::Sgd { momentum: 0.9, nesterov: false }
    }

    /// Why the settings make no sense, if they do not: the setting, its value and the rule.
    pub(crate) fn check(&self) -> Result<(), (&'static str, f64, &'static str)> {
        let memory = |name, v: f64| {
            if (0.0..1.0).contains(&v) { Ok(()) } else { Err((name, v, "must be at least 0 and below 1")) }
        };
        let at_least_zero = |name, v: f64| {
            if v >= 0.0 && v.is_finite() { Ok(()) } else { Err((name, v, "must be at least 0")) }
        };
        // With zero, a parameter without a gradient would become 0/0.
        let above_zero = |name, v: f64| {
            if v > 0.0 && v.is_finite() { Ok(()) } else { Err((name, v, "must be finite and above zero")) }
        };
        match *self {
            Self::Adam { beta1, beta2, eps, weight_decay } => {
                memory("optimiser.beta1", beta1)?;
                memory("optimiser.beta2", beta2)?;
                above_zero("optimiser.eps", eps)?;
                at_least_zero("optimiser.weight_decay", weight_decay)
            }
            Self::RmsProp { alpha, eps, momentum } => {
                memory("optimiser.alpha", alpha)?;
                memory("optimiser.momentum", momentum)?;
                above_zero("optimiser.eps", eps)
            }
            Self::Sgd { momentum, .. } => memory("optimiser.momentum", momentum),
        }
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self::adam()
    }
}

/// Slices that do not fit the optimiser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("optimiser of {expected} parameters was given {got}")]
pub struct OptimiserError {
    /// Parameters or gradient that were given.
    pub got: usize,
    /// What the optimiser was made for.
    pub expected: usize,
}

/// An optimiser's state: two moments (or velocity and mean square, or no more than the velocity) and the number of updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser<T> {
    config: OptimiserConfig,
    pub(crate) first: Vec<T>,
    pub(crate) second: Vec<T>,
    pub(crate) updates: u64,
}

impl<T: Real> Optimiser<T> {
    /// For `n` parameters.
    pub fn new(config: OptimiserConfig, n: usize) -> Self {
        let first = match config {
            OptimiserConfig::RmsProp { momentum: 0.0, .. } | OptimiserConfig::Sgd { .. } => 0,
            _ => n,
        };
        Self { config, first: vec![T::ZERO; first], second: vec![T::ZERO; n], updates: 0 }
    }

    /// Number of updates made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Moves `p` against `gradient` with learning rate `rate`.
    ///
    /// # Errors
    /// [`OptimiserError`] if a slice is not as long as the optimiser was made for; nothing is changed then.
    pub fn update(&mut self, p: &mut [T], gradient: &[T], rate: f64) -> Result<(), OptimiserError> {
        for got in [p.len(), gradient.len()] {
            if got != self.second.len() {
                return Err(OptimiserError { got, expected: self.second.len() });
            }
        }
        self.updates += 1;
        match self.config {
            OptimiserConfig::Adam { beta1, beta2, eps, weight_decay } => {
                let k = self.updates as f64;
                let step = T::c(rate / (1.0 - beta1.powf(k)));
                let root = T::c((1.0 - beta2.powf(k)).sqrt().recip());
                let keep = T::c(1.0 - rate * weight_decay);
                let (b1, c1, b2, c2, eps) =
                    (T::c(beta1), T::c(1.0 - beta1), T::c(beta2), T::c(1.0 - beta2), T::c(eps));
                for (((p, &g), m), v) in p.iter_mut().zip(gradient).zip(&mut self.first).zip(&mut self.second)
                {
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * g * g;
                    *p = keep * *p - step * *m / (v.sqrt() * root + eps);
                }
            }
            OptimiserConfig::RmsProp { alpha, eps, momentum } => {
                let (rate, a, c, eps) = (T::c(rate), T::c(alpha), T::c(1.0 - alpha), T::c(eps));
                for ((p, &g), v) in p.iter_mut().zip(gradient).zip(&mut self.second) {
                    *v = a * *v + c * g * g;
                    if momentum == 0.0 {
                        *p -= rate * g / (v.sqrt() + eps);
                    }
                }
                let momentum = T::c(momentum);
                for (((p, &g), b), v) in p.iter_mut().zip(gradient).zip(&mut self.first).zip(&self.second) {
                    *b = momentum * *b + g / (v.sqrt() + eps); // no velocities are kept without momentum
                    *p -= rate * *b;
                }
            }
            OptimiserConfig::Sgd { momentum, nesterov } => {
                let (rate, momentum) = (T::c(rate), T::c(momentum));
                for ((p, &g), v) in p.iter_mut().zip(gradient).zip(&mut self.second) {
                    *v = momentum * *v + g;
                    *p -= rate * if nesterov { g + momentum * *v } else { *v };
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Schedule;
    use proptest::prelude::*;

    fn run(config: OptimiserConfig, rate: f64, gradients: &[f64]) -> Vec<f64> {
        let mut o = Optimiser::new(config, 1);
        let mut p = [1.0_f64];
        let mut path = Vec::new();
        for &g in gradients {
            o.update(&mut p, &[g], rate).unwrap();
            path.push(p[0]);
        }
        path
    }

    fn close(got: &[f64], want: &[f64]) {
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() < 1e-12, "{got:?} {want:?}");
        }
        assert_eq!(got.len(), want.len());
    }

    #[test]
    fn adam_by_hand() {
        // Step 1: m̂ = g, v̂ = g², so the step is the rate whatever g is (up to eps).
        // Step 2 with g = -1 after 0.5: m = .9·.05 - .1 = -.055, m̂ = -.055/.19;
        // v = .999·.00025 + .001 = .00124975, v̂ = .00124975/.001999.
        let second = 0.1 * (-0.055 / 0.19) / (0.00124975_f64 / 0.001999).sqrt();
        let config = OptimiserConfig::Adam { beta1: 0.9, beta2: 0.999, eps: 0.0, weight_decay: 0.0 };
        close(&run(config, 0.1, &[0.5, -1.0]), &[0.9, 0.9 - second]);
        // eps is added after the bias correction of the root.
        let config = OptimiserConfig::Adam { beta1: 0.9, beta2: 0.999, eps: 0.5, weight_decay: 0.0 };
        close(&run(config, 0.1, &[0.5]), &[1.0 - 0.1 * 0.5 / (0.5 + 0.5)]);
    }

    #[test]
    fn decay_is_decoupled() {
        let config = OptimiserConfig::Adam { beta1: 0.9, beta2: 0.999, eps: 0.0, weight_decay: 0.2 };
        close(&run(config, 0.1, &[2.0]), &[1.0 * (1.0 - 0.02) - 0.1]);
    }

    #[test]
    fn rmsprop_by_hand() {
        // v = .01·.25 = .0025, root .05: step .1·.5/.05 = 1. Then v = .99·.0025 + .01 = .012475.
        let config = OptimiserConfig::RmsProp { alpha: 0.99, eps: 0.0, momentum: 0.0 };
        let second = -0.1 / 0.012475_f64.sqrt();
        close(&run(config, 0.1, &[0.5, -1.0]), &[0.0, -second]);
        // Velocity: b = 10, then .5·10 - 1/root.
        let config = OptimiserConfig::RmsProp { alpha: 0.99, eps: 0.0, momentum: 0.5 };
        let b2 = 5.0 - 1.0 / 0.012475_f64.sqrt();
        close(&run(config, 0.1, &[0.5, -1.0]), &[0.0, -0.1 * b2]);
        let config = OptimiserConfig::RmsProp { alpha: 0.99, eps: 0.05, momentum: 0.0 };
        close(&run(config, 0.1, &[0.5]), &[0.5]);
    }

    #[test]
    fn descent_by_hand() {
        // Velocities .5, then .9·.5 - 1 = -.55; ahead of it the second step is of -1 - .9·.55, the first of .5 + .9·.5.
        close(&run(OptimiserConfig::sgd(), 0.1, &[0.5, -1.0]), &[0.95, 1.005]);
        let ahead = OptimiserConfig::Sgd { momentum: 0.9, nesterov: true };
        close(&run(ahead, 0.1, &[0.5, -1.0]), &[0.905, 1.0545]);
        let plain = OptimiserConfig::Sgd { momentum: 0.0, nesterov: true };
        close(&run(plain, 0.1, &[0.5, -1.0]), &[0.95, 1.05]);
        assert!(OptimiserConfig::Sgd { momentum: 1.0, nesterov: false }.check().is_err());
    }

    #[test]
    fn lengths_are_checked() {
        let mut o = Optimiser::<f32>::new(OptimiserConfig::adam(), 2);
        assert_eq!(o.update(&mut [0.0; 3], &[0.0; 2], 0.1), Err(OptimiserError { got: 3, expected: 2 }));
        assert_eq!(o.updates(), 0);
    }

    proptest! {
        /// Momentum finds the minimum of a bowl from far away, without and with a look ahead.
        #[test]
        fn descends(c in 0.1..10.0_f64, target in -2.0..2.0_f64, nesterov: bool) {
            let mut o = Optimiser::new(OptimiserConfig::Sgd { momentum: 0.9, nesterov }, 2);
            let mut p = [0.0, 0.0];
            for _ in 0..3000 {
                let g = [c * (p[0] - target), (p[1] + target) / c];
                o.update(&mut p, &g, 0.05).unwrap();
            }
            prop_assert!((p[0] - target).abs() < 1e-6 && (p[1] + target).abs() < 1e-6, "{p:?}");
        }

        /// Both find the minimum of a badly scaled bowl.
        #[test]
        fn minimises(c in 0.01..100.0_f64, target in -2.0..2.0_f64, rms: bool) {
            let config = if rms { OptimiserConfig::rmsprop() } else { OptimiserConfig::adam() };
            let mut o = Optimiser::new(config, 2);
            let mut p = [0.0, 0.0];
            for k in 0..3000 {
                let g = [c * (p[0] - target), (p[1] + target) / c];
                o.update(&mut p, &g, 0.02 * Schedule::Cosine { warm_up: 0, over: 3000, floor: 0.0 }.factor(k)).unwrap();
            }
            prop_assert!((p[0] - target).abs() < 1e-2 && (p[1] + target).abs() < 1e-2, "{p:?}");
        }
    }
}
