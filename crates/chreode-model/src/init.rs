//! Parameters before training: almost no drift, noise of a chosen size, no growth.

use std::ops::Range;

use chreode_core::{ParamLayout, Real, sub_seed};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::diffusion::Noise;
use crate::drift::Drift;
use crate::mlp::MlpShape;
use crate::{DiffusionConfig, GrowthNet, ModelConfig};

/// Output layers start this much smaller than the signal that they receive.
const OUTPUT_GAIN: f64 = 0.1;

/// Parts of a model and where their parameters lie.
pub(crate) struct Parts<'a, T: Real> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) layout: &'a ParamLayout,
    pub(crate) drift: (&'a Drift<T>, Range<usize>),
    pub(crate) noise: (&'a Noise<T>, Range<usize>),
    pub(crate) growth: Option<&'a GrowthNet<T>>,
}

impl<T: Real> Parts<'_, T> {
    /// Initial parameters; drawn in f64, so that f32 and f64 models start alike.
    pub(crate) fn init(&self, seed: u64) -> Vec<T> {
        let mut p = vec![0.0; self.layout.len()];
        self.init_drift(seed, &mut p);
        self.init_noise(seed, &mut p);
        if let Some(growth) = self.growth {
            let (shape, range) = growth.net_shape();
            init_net(shape, seed, "weights.growth", &mut p[range]);
        }
        p.into_iter().map(T::c).collect()
    }

    fn init_drift(&self, seed: u64, p: &mut [f64]) {
        let p = &mut p[self.drift.1.clone()];
        match self.drift.0 {
            Drift::Free(drift) => init_net(drift.net_shape(), seed, "weights.drift", p),
            Drift::Potential(drift) => init_net(drift.net_shape(), seed, "weights.drift", p),
            Drift::Production(drift) => {
                let (shape, range) = drift.net_shape();
                let v_start = range.end;
                init_net(shape, seed, "weights.drift", &mut p[range]);
                // With decay 1/time_scale and a maximum of two spreads above the centre, the bias puts the
                // balance of production and decay at the centre. log_decay stays zero.
                let d = self.config.dim();
                for i in 0..d {
                    let (centre, scale) = self.centre_and_scale(i);
                    p[v_start - d + i] = (centre / (2.0 * scale)).ln(); // the output bias ends the net
                    p[v_start + i] = ((centre + 2.0 * scale) / scale).ln();
                }
            }
        }
    }

    fn init_noise(&self, seed: u64, p: &mut [f64]) {
        let p = &mut p[self.noise.1.clone()];
        match (&self.config.diffusion, self.noise.0) {
            (_, Noise::Net(noise)) => noise.init(seed, p),
            (DiffusionConfig::Langevin { initial_level, .. }, Noise::Langevin(_)) => {
                // s (P + δx) = level² scale²/time_scale where P = δx and x is one spread above the centre.
                for (i, p) in p.iter_mut().enumerate() {
                    let (centre, scale) = self.centre_and_scale(i);
                    *p = (initial_level.powi(2) * scale / (2.0 * (centre + scale))).ln();
                }
            }
            (_, Noise::Langevin(_)) => {} // the noise was built from this configuration
        }
    }

    /// A centre that is never quite zero, and the spread.
    fn centre_and_scale(&self, i: usize) -> (f64, f64) {
        let scale = self.config.scale[i];
        (self.config.shift[i].max(0.05 * scale), scale)
    }
}

fn init_net(shape: &MlpShape, seed: u64, name: &str, p: &mut [f64]) {
    shape.init(&mut Pcg64::seed_from_u64(sub_seed(seed, name)), OUTPUT_GAIN, p);
}

/// `x` with `softplus(x) = y`, for `y > 0`; stable for small and large `y`.
pub(crate) fn inverse_softplus(y: f64) -> f64 {
    y + (-(-y).exp_m1()).ln()
}
