//! The difference of two predictions that were judged by the same fits' seeds and the same draws of cells.
//!
//! Not here: the distances themselves (`leave_out`).

/// Mean difference of two rows of distances, with a 95 % interval for other seeds and other draws.
///
/// Seeds and draws are crossed: a lucky seed is lucky in all draws, an odd draw is odd for all seeds. The variance of the mean
/// is therefore estimated from the mean squares of a table of seeds by draws, `(MS_seeds + MS_draws - MS_rest) / (seeds draws)`,
/// with the degrees of freedom of Satterthwaite 1946, Biometrics Bull. 2, 110. Cells that were never measured are beyond any draw: with few
/// cells the interval is too narrow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Mean of `a - b`.
    pub mean: f64,
    /// Half the width of the interval; none from a single seed or a single draw, which says nothing of others.
    pub half_width: Option<f64>,
}

/// What an interval says of two distances, the smaller of which is the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first is nearer.
    First,
    /// The second is nearer.
    Second,
    /// The interval holds zero, or there is none.
    Open,
}

impl PairedDifference {
    /// Of `a` and `b`, `[seeds, draws]` each; nothing if they do not have this shape.
    pub fn of(a: &[f64], b: &[f64], seeds: usize) -> Option<Self> {
        let n = a.len();
        if n == 0 || n != b.len() || seeds == 0 || !n.is_multiple_of(seeds) {
            return None;
        }
        let draws = n / seeds;
        let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let mean = difference.iter().sum::<f64>() / n as f64;
        if seeds < 2 || draws < 2 {
            return Some(Self { mean, half_width: None });
        }
        let by_seed: Vec<f64> =
            difference.chunks(draws).map(|row| row.iter().sum::<f64>() / draws as f64).collect();
        let by_draw: Vec<f64> = (0..draws)
            .map(|k| difference.iter().skip(k).step_by(draws).sum::<f64>() / seeds as f64)
            .collect();
        let squares = |means: &[f64]| means.iter().map(|m| (m - mean).powi(2)).sum::<f64>();
        let (s, d) = ((seeds - 1) as f64, (draws - 1) as f64);
        let of_seeds = draws as f64 * squares(&by_seed) / s;
        let of_draws = seeds as f64 * squares(&by_draw) / d;
        let mut rest = 0.0;
        for (row, m) in difference.chunks(draws).zip(&by_seed) {
            rest += row.iter().zip(&by_draw).map(|(x, k)| (x - m - k + mean).powi(2)).sum::<f64>() / (s * d);
        }
        // Never below either part alone, which the difference of estimates can be.
        let variance = (of_seeds + of_draws - rest).max(of_seeds).max(of_draws);
        let spread = of_seeds.powi(2) / s + of_draws.powi(2) / d + rest.powi(2) / (s * d);
        let freedom = if spread > 0.0 { variance.powi(2) / spread } else { s };
        let half_width = student(freedom) * (variance / n as f64).sqrt();
        Some(Self { mean, half_width: Some(half_width) })
    }

    /// The ends of the interval; none from a single seed or draw.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width.map(|h| (self.mean - h, self.mean + h))
    }

    /// Which of the two distances is the smaller one.
    pub fn verdict(&self) -> Verdict {
        match self.interval() {
            Some((_, high)) if high < 0.0 => Verdict::First,
            Some((low, _)) if low > 0.0 => Verdict::Second,
            _ => Verdict::Open,
        }
    }
}

/// The 97.5 % quantile of Student's distribution; for degrees of freedom between whole numbers that of the next lower.
fn student(freedom: f64) -> f64 {
    const SMALL: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let whole = freedom.floor().max(1.0);
    if whole <= SMALL.len() as f64 {
        return SMALL[whole as usize - 1];
    }
    // Abramowitz & Stegun 26.7.5, two terms: off by 0.002 at eleven, less beyond.
    let z = 1.959_964_f64;
    z + (z.powi(3) + z) / (4.0 * whole)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * whole.powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng};
    use rand_pcg::Pcg64;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [(1.0, 12.706), (2.9, 4.303), (11.0, 2.201), (30.0, 2.042), (1e9, 1.960)] {
            assert!((student(freedom) - expected).abs() < 3e-3, "{freedom}");
        }
    }

    #[test]
    fn with_draws_all_alike_it_is_the_interval_of_a_mean() {
        // Differences 1, 2, 3: mean 2, standard error 1/√3.
        let (a, b) = ([2.0, 2.0, 4.0, 4.0, 6.0, 6.0], [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        let paired = PairedDifference::of(&a, &b, 3).unwrap();
        assert!((paired.mean - 2.0).abs() < 1e-12);
        assert!((paired.half_width.unwrap() - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(paired.verdict(), Verdict::Open);
        let paired = PairedDifference::of(&[1.0, 1.1, 1.0, 1.1], &[2.0, 2.1, 2.0, 2.1], 2).unwrap();
        assert_eq!(paired.verdict(), Verdict::First);
        // One seed says nothing of other seeds, one draw nothing of other cells.
        for seeds in [1, 3] {
            let paired = PairedDifference::of(&[1.0; 3], &[2.0; 3], seeds).unwrap();
            assert_eq!((paired.mean, paired.interval()), (-1.0, None));
            assert_eq!(paired.verdict(), Verdict::Open);
        }
        assert_eq!(PairedDifference::of(&[1.0; 3], &[2.0; 3], 2), None);
        assert_eq!(PairedDifference::of(&[], &[], 2), None);
    }

    /// Where seeds or draws move all their differences together, nine or ten of ten intervals hold the truth.
    #[test]
    fn intervals_hold_the_truth() {
        let mut rng = Pcg64::seed_from_u64(3);
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        for (of_seed, of_draw) in [(1.0, 0.1), (0.1, 1.0), (0.5, 0.5)] {
            let held = (0..400)
                .filter(|_| {
                    let draws: Vec<f64> = (0..10).map(|_| of_draw * normal()).collect();
                    let mut a = Vec::new();
                    for _ in 0..4 {
                        let seed = of_seed * normal();
                        a.extend(draws.iter().map(|d| 0.3 + seed + d + 0.2 * normal()));
                    }
                    let paired = PairedDifference::of(&a, &[0.0; 40], 4).unwrap();
                    (paired.mean - 0.3).abs() <= paired.half_width.unwrap()
                })
                .count();
            assert!((370..=398).contains(&held), "{of_seed} {of_draw}: {held} of 400");
        }
    }
}
