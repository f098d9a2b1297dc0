//! Counter-based random numbers: every Brownian increment is a pure function of where it is used.
//!
//! Philox4x32-10 [SMDS11] keyed by the run's seed and counted by (trajectory, step, coordinate), so that a
//! simulation has the same bits on any number of threads, in any chunking and when it is repeated backward.
//! Normals come from Box-Muller.
//! Not here: sequential sampling (minibatches, initial weights), which uses `rand_pcg` seeded by [`sub_seed`].

use crate::Real;

/// Philox4x32 with ten rounds: four random words from a counter and a key.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [c0, c1, c2, c3] = counter.map(|c| [c]);
    philox_lanes([c0, c1, c2, c3], key).map(|[w]| w)
}

/// `L` Philox blocks at once, counters and words by position: `[4][L]`.
#[inline(always)]
fn philox_lanes<const L: usize>(mut c: [[u32; L]; 4], mut key: [u32; 2]) -> [[u32; L]; 4] {
    const M: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        for l in 0..L {
            let p0 = M[0] * u64::from(c[0][l]);
            let p1 = M[1] * u64::from(c[2][l]);
            let (hi0, lo0) = ((p0 >> 32) as u32, p0 as u32);
            let (hi1, lo1) = ((p1 >> 32) as u32, p1 as u32);
            c[0][l] = hi1 ^ c[1][l] ^ key[0];
            c[1][l] = lo1;
            c[2][l] = hi0 ^ c[3][l] ^ key[1];
            c[3][l] = lo0;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    c
}

/// A seed for one named purpose (`"minibatch"`, `"weights"`), independent of every other name's.
pub fn sub_seed(seed: u64, name: &str) -> u64 {
    // FNV-1a of the name is the counter, the run's seed the key.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, ..] = philox4x32(
        [hash as u32, (hash >> 32) as u32, name.len() as u32, u32::MAX],
        [seed as u32, (seed >> 32) as u32],
    );
    u64::from(a) | u64::from(b) << 32
}

/// `ln u` for `u` in (0, 1], relative error below 2e-7: exponent plus `2 atanh((m - 1) / (m + 1))`.
#[inline(always)]
fn ln_unit_f32(u: f32) -> f32 {
    // Move the mantissa to [sqrt(1/2), sqrt(2)), so that the series is short and exact near one.
    let shifted = u.to_bits().wrapping_sub(0x3F35_04F3);
    let e = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(0x3F35_04F3));
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = 2.0 * s + 2.0 * s * s2 * (1.0 / 3.0 + s2 * (0.2 + s2 * (1.0 / 7.0 + s2 * (1.0 / 9.0))));
    e * std::f32::consts::LN_2 + series
}

/// `(cos, sin)` of `2π b / 2^32` by Taylor polynomials on [-π/4, π/4] and quarter turns.
#[inline(always)]
fn cos_sin_turn_f32(b: u32) -> (f32, f32) {
    let quarter = b.wrapping_add(1 << 29) >> 30;
    let x = (b.wrapping_sub(quarter << 30) as i32) as f32
        * (std::f32::consts::FRAC_PI_2 / 1_073_741_824.0/* 2^30 */);
    let x2 = x * x;
    let sin = x + x * x2 * (-1.0 / 6.0 + x2 * (1.0 / 120.0 + x2 * (-1.0 / 5040.0 + x2 * (1.0 / 362_880.0))));
    let cos = 1.0 + x2 * (-0.5 + x2 * (1.0 / 24.0 + x2 * (-1.0 / 720.0 + x2 * (1.0 / 40_320.0))));
    let swap = quarter & 1 == 1;
    let (c, s) = if swap { (sin, cos) } else { (cos, sin) };
    // cos is negative in quarters 1 and 2, sin in quarters 2 and 3.
    let c_sign = (quarter.wrapping_add(1) & 2) << 30;
    let s_sign = (quarter & 2) << 30;
    (f32::from_bits(c.to_bits() ^ c_sign), f32::from_bits(s.to_bits() ^ s_sign))
}

#[inline(always)]
pub(crate) fn normal_pair_f32(a: u32, b: u32) -> (f32, f32) {
    const SCALE: f32 = 1.0 / 4_294_967_296.0; // 2^-32
    let u = (a as f32 + 0.5) * SCALE;
    // The argument is 0 at u = 1; rounding may put it at -0, never above.
    let r = (-2.0 * ln_unit_f32(u)).sqrt();
    let (c, s) = cos_sin_turn_f32(b);
    (r * c, r * s)
}

#[inline(always)]
pub(crate) fn normal_pair_f64(a: u32, b: u32) -> (f64, f64) {
    const SCALE: f64 = 1.0 / 4_294_967_296.0; // 2^-32
    let r = (-2.0 * ((f64::from(a) + 0.5) * SCALE).ln()).sqrt();
    let (s, c) = (f64::from(b) * (std::f64::consts::TAU * SCALE)).sin_cos();
    (r * c, r * s)
}

/// The Brownian increments of all trajectories of a run, on a fixed grid of steps.
///
/// The increment of a trajectory, step and coordinate depends on those three and the seed alone. Give the
/// same trajectory numbers to two runs and they share their noise (common random numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrownianIncrements {
    key: [u32; 2],
}

impl BrownianIncrements {
    /// The noise of a run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// Sets `dw`, `[n, d]`, to increments over a step of length `h`: independent, normal, variance `h`.
    ///
    /// Row `i` belongs to trajectory `first_trajectory + i`. `step` is the number of the step in the run and
    /// must fit 32 bits; `d` is the number of Brownian motions of a trajectory.
    pub fn fill<T: Real>(&self, step: u64, first_trajectory: u64, d: usize, h: f64, dw: &mut [T]) {
        self.normals(0, step, first_trajectory, d, h.sqrt(), dw);
    }

    /// Sets `area`, `[n, d]`, to the space-time Lévy areas of the same steps: with `w` the Brownian motion since the
    /// start of the step, `1/h ∫ w dt − Δw / 2`. Normal, variance `h / 12`, independent of [`fill`](Self::fill)'s.
    ///
    /// The iterated integral `I_(1,0) = ∫ w dt` of a step is `h (Δw / 2 + area)`.
    pub fn fill_area<T: Real>(&self, step: u64, first_trajectory: u64, d: usize, h: f64, area: &mut [T]) {
        self.normals(AREA, step, first_trajectory, d, (h / 12.0).sqrt(), area);
    }

    /// `stream` keeps normals for different uses apart; blocks of coordinates count below it.
    #[inline]
    fn normals<T: Real>(
        self,
        stream: u32,
        step: u64,
        first_trajectory: u64,
        d: usize,
        scale: f64,
        out: &mut [T],
    ) {
        const L: usize = 8;
        debug_assert!(u32::try_from(step).is_ok() && d > 0 && out.len().is_multiple_of(d));
        let scale = T::c(scale);
        let blocks = d.div_ceil(4);
        let total = out.len() / d * blocks;
        for start in (0..total).step_by(L) {
            let mut c = [[0; L]; 4];
            c[1] = [step as u32; L];
            for l in 0..L {
                let trajectory = first_trajectory + ((start + l) / blocks) as u64;
                c[0][l] = ((start + l) % blocks) as u32 | stream;
                c[2][l] = trajectory as u32;
                c[3][l] = (trajectory >> 32) as u32;
            }
            let w = philox_lanes(c, self.key);
            let mut z = [[T::ZERO; L]; 4];
            for l in 0..L {
                (z[0][l], z[1][l]) = T::normal_pair(w[0][l], w[1][l]);
                (z[2][l], z[3][l]) = T::normal_pair(w[2][l], w[3][l]);
            }
            for l in 0..L.min(total - start) {
                let (row, block) = ((start + l) / blocks, (start + l) % blocks);
                for k in 0..4.min(d - 4 * block) {
                    out[row * d + 4 * block + k] = z[k][l] * scale;
                }
            }
        }
    }
}

/// The stream of space-time Lévy areas: no dimension has so many blocks of coordinates.
const AREA: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Known answers of the authors' reference implementation (Random123, `kat_vectors`).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    proptest! {
        /// The f32 polynomials against the platform's f64 functions, from the same words.
        #[test]
        fn normals_agree_between_types(a: u32, b: u32) {
            let (x, y) = normal_pair_f32(a, b);
            let (u, v) = normal_pair_f64(a, b);
            prop_assert!((f64::from(x) - u).abs() < 4e-6 && (f64::from(y) - v).abs() < 4e-6, "{x} {u} {y} {v}");
        }

        #[test]
        fn rows_do_not_depend_on_their_chunk(d in 1_usize..12, n in 1_usize..20, first in 0_u64..1 << 40, step in 0_u64..1000) {
            let noise = BrownianIncrements::new(7);
            let mut all = vec![0.0_f32; n * d];
            noise.fill(step, first, d, 0.25, &mut all);
            for i in 0..n {
                let mut row = vec![0.0_f32; d];
                noise.fill(step, first + i as u64, d, 0.25, &mut row);
                prop_assert_eq!(&all[i * d..(i + 1) * d], &row[..]);
            }
        }
    }

    #[test]
    fn extreme_words_are_finite() {
        for a in [0, 1, u32::MAX, u32::MAX - 1, 1 << 31] {
            for b in [0, 1 << 29, 1 << 30, 3 << 30, u32::MAX] {
                let (x, y) = normal_pair_f32(a, b);
                assert!(x.is_finite() && y.is_finite(), "{a} {b}");
            }
        }
    }

    /// Mean, variance, kurtosis and lag correlations of a million normals, each within five standard errors.
    #[test]
    fn moments() {
        let (n, d) = (200_000, 5);
        let mut z = vec![0.0_f32; n * d];
        BrownianIncrements::new(3).fill(0, 0, d, 1.0, &mut z);
        let m = |f: &dyn Fn(f64) -> f64| z.iter().map(|&x| f(f64::from(x))).sum::<f64>() / z.len() as f64;
        let se = 5.0 / (z.len() as f64).sqrt();
        assert!(m(&|x| x).abs() < se);
        assert!((m(&|x| x * x) - 1.0).abs() < se * 2.0_f64.sqrt());
        assert!((m(&|x| x.powi(4)) - 3.0).abs() < se * 96.0_f64.sqrt());
        for lag in [1, 2, 3, 4, 5, 7] {
            let c: f64 = z.iter().zip(&z[lag..]).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            assert!((c / (z.len() - lag) as f64).abs() < se, "lag {lag}");
        }
    }

    /// Areas have variance `h / 12` and no correlation with the increments of their steps.
    #[test]
    fn areas() {
        let (n, d, h) = (100_000, 5, 0.3);
        let (mut dw, mut area) = (vec![0.0_f32; n * d], vec![0.0_f32; n * d]);
        BrownianIncrements::new(3).fill(7, 0, d, h, &mut dw);
        BrownianIncrements::new(3).fill_area(7, 0, d, h, &mut area);
        let mean = |f: &dyn Fn(f64, f64) -> f64| {
            let sum: f64 = dw.iter().zip(&area).map(|(&w, &a)| f(f64::from(w), f64::from(a))).sum();
            sum / dw.len() as f64
        };
        let se = 5.0 / (dw.len() as f64).sqrt();
        assert!(mean(&|_, a| a).abs() < se * (h / 12.0).sqrt());
        assert!((mean(&|_, a| a * a) - h / 12.0).abs() < se * (h / 12.0) * 2.0_f64.sqrt());
        assert!(mean(&|w, a| w * a).abs() < se * h / 12.0_f64.sqrt());
        assert!((mean(&|w, a| w * w * a * a) - h * h / 12.0).abs() < se * 3.0 * h * h / 12.0);
    }

    #[test]
    fn sub_seeds_differ() {
        assert_ne!(sub_seed(1, "weights"), sub_seed(1, "minibatch"));
        assert_ne!(sub_seed(1, "weights"), sub_seed(2, "weights"));
    }
}
