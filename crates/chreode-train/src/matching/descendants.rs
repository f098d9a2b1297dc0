//! Simulated paths beside what their start cells became: the energy score of the coupling's conditional law.
//!
//! Two paths `x, x'` start at one cell, which the coupling joined to `y`. The mean of `(|x - y| + |x' - y|) / 2 - |x - x'| / 2` is
//! smallest if and only if paths from a cell are distributed as its descendants [Gneiting & Raftery 2007, JASA 102, 359]. Clouds
//! alone do not say which cell became which; pairs do.

use super::bridges::Bridges;
use crate::trainer::scale;
use crate::{Snapshots, TrainError};
use chreode_core::Real;
use rand::RngExt as _;
use rand_pcg::Pcg64;

/// Paths from each start cell.
const PATHS: usize = 2;

/// Pairs that an update compares its paths with; sized once.
#[derive(Debug, Clone)]
pub(crate) struct Descendants<T> {
    gaps: Vec<Drawn<T>>,
}

/// The pairs of one gap.
#[derive(Debug, Clone)]
pub(crate) struct Drawn<T> {
    /// Start cell of each path, `[paths]`: neighbours share one, and an odd last path has that of the one before.
    start_rows: Vec<u32>,
    end_rows: Vec<u32>,
    /// What became of each start cell, scaled, `[paths / 2, d]`.
    ends: Vec<T>,
    /// Logarithm of the descendants of each start cell relative to the mean, `[paths / 2]`.
    log_growth: Vec<T>,
}

impl<T: Real> Descendants<T> {
    /// Buffers for so many paths in each gap.
    pub(crate) fn new(paths: impl Iterator<Item = usize>, d: usize) -> Self {
        let drawn = |paths: usize| {
            let cells = paths / PATHS;
            Drawn {
                start_rows: vec![0; paths],
                end_rows: vec![0; cells],
                ends: vec![T::ZERO; cells * d],
                log_growth: vec![T::ZERO; cells],
            }
        };
        Self { gaps: paths.map(drawn).collect() }
    }

    /// Draws coupled start cells, all with the same chance, and for each a descendant by the mass of its pairs.
    ///
    /// # Errors
    /// [`TrainError::States`] if cells cannot be read.
    pub(crate) fn draw(
        &mut self,
        bridges: &Bridges<T>,
        data: &Snapshots<T>,
        inverse_scale: &[T],
        rng: &mut Pcg64,
    ) -> Result<(), TrainError> {
        for (drawn, gap) in self.gaps.iter_mut().zip(&bridges.gaps) {
            let mut start = 0;
            let cells = drawn.start_rows.chunks_exact_mut(PATHS).zip(&mut drawn.end_rows);
            for ((starts, end), log_growth) in cells.zip(&mut drawn.log_growth) {
                let source = rng.random_range(0..gap.first.len());
                let after = gap.first.get(source + 1).copied().unwrap_or(gap.pairs.len());
                let pair = gap.pairs[rng.random_range(gap.first[source]..after)];
                start = pair.start;
                starts.fill(start);
                *end = pair.end;
                *log_growth = gap.log_growth[source];
            }
            let even = drawn.start_rows.len() / PATHS * PATHS;
            drawn.start_rows[even..].fill(start);
            data.states[gap.times[1]].gather(data.dim, &drawn.end_rows, &mut drawn.ends)?;
            scale(&mut drawn.ends, inverse_scale);
        }
        Ok(())
    }

    /// The pairs of a gap.
    pub(crate) fn of(&self, gap: usize) -> &Drawn<T> {
        &self.gaps[gap]
    }
}

impl<T: Real> Drawn<T> {
    /// Start cell of each path, `[paths]`.
    pub(crate) fn start_rows(&self) -> &[u32] {
        &self.start_rows
    }

    /// The energy score of scaled end states `x`, `[paths, d]`, whose gradient is added to `bar`.
    pub(crate) fn score(&self, d: usize, x: &[T], bar: &mut [T]) -> f64 {
        let share = 1.0 / self.end_rows.len() as f64;
        let mut sum = 0.0;
        for ((x, y), bar) in
            x.chunks_exact(PATHS * d).zip(self.ends.chunks_exact(d)).zip(bar.chunks_exact_mut(PATHS * d))
        {
            let ((a, b), (a_bar, b_bar)) = (x.split_at(d), bar.split_at_mut(d));
            let mut add = |u: &[T], v: &[T], factor: f64, u_bar: &mut [T], v_bar: Option<&mut [T]>| {
                let distance = u.iter().zip(v).map(|(&u, &v)| (u - v).f64().powi(2)).sum::<f64>().sqrt();
                sum += factor * distance;
                if distance == 0.0 {
                    return; // no direction is better than another
                }
                let slope = T::c(factor / distance);
                u_bar.iter_mut().zip(u.iter().zip(v)).for_each(|(g, (&u, &v))| *g += slope * (u - v));
                if let Some(v_bar) = v_bar {
                    v_bar.iter_mut().zip(u.iter().zip(v)).for_each(|(g, (&u, &v))| *g -= slope * (u - v));
                }
            };
            add(a, y, 0.5 * share, a_bar, None);
            add(b, y, 0.5 * share, b_bar, None);
            add(a, b, -0.5 * share, a_bar, Some(b_bar));
        }
        sum
    }

    /// How far the weights of the paths, `exp(log_weights)`, are from the numbers of descendants; its gradient is added to `bar`.
    pub(crate) fn growth_error(&self, log_weights: &[T], bar: &mut [T]) -> f64 {
        let share = 1.0 / (PATHS * self.log_growth.len()).max(1) as f64;
        let targets = self.log_growth.iter().flat_map(|&g| [g; PATHS]);
        let mut sum = 0.0;
        for ((&w, target), bar) in log_weights.iter().zip(targets).zip(bar) {
            let weight = share * target.f64().exp();
            let (value, slope) = count_error((w - target).f64());
            sum += weight * value;
            *bar += T::c(weight * slope);
        }
        sum
    }
}

/// `exp(e) - 1 - e` and its slope, for the error `e` of the logarithm of a number that is expected with mean one: the deviance of a
/// Poisson count. Means of numbers are then right where those of their logarithms would be too small. Linear above `e = 3`.
pub(crate) fn count_error(e: f64) -> (f64, f64) {
    const MOST: f64 = 3.0;
    let slope = e.min(MOST).exp() - 1.0;
    (slope - e.min(MOST) + slope * (e - MOST).max(0.0), slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(cells: usize, ends: Vec<f64>) -> Drawn<f64> {
        Drawn {
            start_rows: vec![0; 2 * cells],
            end_rows: vec![0; cells],
            ends,
            log_growth: (0..cells).map(|i| i as f64).collect(),
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let wave = |n: usize, f: f64| (0..n).map(|i| (i as f64 * f + f).sin()).collect::<Vec<f64>>();
        let (d, cells) = (3, 4);
        let drawn = drawn(cells, wave(cells * d, 1.3));
        let mut x = wave(2 * cells * d, 0.7);
        let mut bar = vec![0.0; x.len()];
        drawn.score(d, &x, &mut bar);
        let mut rest = vec![0.0; x.len()];
        for k in 0..x.len() {
            let (at, h) = (x[k], 1e-5);
            x[k] = at + h;
            let up = drawn.score(d, &x, &mut rest);
            x[k] = at - h;
            let down = drawn.score(d, &x, &mut rest);
            x[k] = at;
            assert!(
                ((up - down) / (2.0 * h) - bar[k]).abs() < 1e-8,
                "{k}: {} {}",
                (up - down) / (2.0 * h),
                bar[k]
            );
        }
        // The last lies where the error of a count is a line.
        let mut w: Vec<f64> = wave(2 * cells, 0.4);
        w[2 * cells - 1] = 8.0;
        let mut bar = vec![0.0; w.len()];
        drawn.growth_error(&w, &mut bar);
        let mut rest = bar.clone();
        for k in 0..w.len() {
            let (at, h) = (w[k], 1e-5);
            w[k] = at + h;
            let up = drawn.growth_error(&w, &mut rest);
            w[k] = at - h;
            let down = drawn.growth_error(&w, &mut rest);
            w[k] = at;
            assert!(((up - down) / (2.0 * h) - bar[k]).abs() < 1e-6 * (1.0 + bar[k].abs()));
        }
    }

    /// Two clusters far apart: no cell becomes one of the other, and each has the growth of its own.
    #[test]
    fn descendants_are_those_of_their_start() {
        let cluster = |left: usize, right: usize| -> Vec<f64> {
            (0..left + right).map(|i| if i < left { -3.0 } else { 3.0 } + 0.01 * (i as f64).sin()).collect()
        };
        let states = crate::States::each([cluster(60, 60), cluster(30, 90)]);
        let data = Snapshots { dim: 1, times: vec![0.0, 1.0], states, ..Snapshots::default() };
        let rows = |n: u32| (0..n).collect::<Vec<_>>();
        let split = crate::Split { train: vec![rows(120), rows(120)], hold_out: vec![] };
        let config = crate::MatchingConfig { epsilon: 0.1, ..crate::MatchingConfig::default() };
        let growth = crate::GrowthUse::Learned;
        let bridges = Bridges::new(&data, &split, &[0, 1], &[1.0], growth, &config, false, 5).unwrap();
        let mut drawn = Descendants::new([401].into_iter(), 1);
        drawn.draw(&bridges, &data, &[1.0], &mut rand::SeedableRng::seed_from_u64(2)).unwrap();
        let drawn = drawn.of(0);
        assert_eq!(drawn.start_rows.len(), 401);
        let mut different = std::collections::BTreeSet::new();
        for ((start, end), growth) in drawn.start_rows.chunks_exact(2).zip(&drawn.ends).zip(&drawn.log_growth)
        {
            let right = start[0] >= 60;
            assert!(start[0] == start[1] && (*end > 0.0) == right, "{start:?} {end}");
            assert!((*growth > 0.0) == right, "{start:?} {growth}");
            different.insert(start[0]);
        }
        assert!(different.len() > 60, "{}", different.len());
    }

    /// Ends are 0 or 1: paths that split as they do score better than paths to one of them, or to the middle.
    #[test]
    fn paths_that_split_as_descendants_do_score_best() {
        let cells = 4096;
        let bit = |i: usize, salt: usize| {
            f64::from(u8::from((i.wrapping_mul(2_654_435_761) >> (7 + salt)) & 1 == 1))
        };
        let drawn = drawn(cells, (0..cells).map(|i| bit(i, 0)).collect());
        let score = |x: Vec<f64>| drawn.score(1, &x, &mut vec![0.0; 2 * cells]);
        let split = score((0..2 * cells).map(|k| bit(k / 2, 1 + k % 2)).collect());
        let (one, middle) = (score(vec![1.0; 2 * cells]), score(vec![0.5; 2 * cells]));
        assert!(
            (split - 0.25).abs() < 0.02 && split + 0.2 < one && split + 0.2 < middle,
            "{split} {one} {middle}"
        );
    }
}
