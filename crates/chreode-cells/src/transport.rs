//! Fates without a model: cells of one time are coupled with those of the next by transport, and the couplings are chained.
//!
//! What a learned model must be as good as, and a check of it: both know the same snapshots. The couplings are those of fits by
//! matching (unbalanced entropic transport, [`chreode_train::Coupling`]): draws of at most [`MatchingConfig::cells`] cells a time,
//! each drawn by the seed. With `π_k` the coupling of times `k` and `k + 1` and `V` the votes of labelled cells at the last, the
//! descendants of a cell by label are
//!
//! ```text
//! h_last = V,    h_k(i) = n_k Σ_j π_k(i, j) h_{k+1}(j),
//! ```
//!
//! so that cells with many descendants count for more, and its fates are `h(i)` over its sum. A cell that was not drawn takes the row that the
//! column potentials `g` give it, `π(x, j) ∝ b_j exp((g_j - C(x, y_j)) / ε)`: the extension of the plan to all states
//! [PNW21]. Memory and time grow with the drawn cells squared, and linearly with all others.
//! Not here: the read-out (`fate`), couplings that predict a time (`leave_out`).

use chreode_core::{Real, sub_seed};
use chreode_train::{Cloud, CloudLoss, Coupling, CouplingConfig, LossConfig, MatchingConfig, TrainError};
use rand::{RngExt as _, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use crate::{AnalysisError, Fates, LabelReadout};

/// Blurs that are tried for the mean gap between times, in squared units of the scaled state.
const BLURS: [f64; 6] = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8];
/// Cells of a time in the couplings by which a blur is chosen, and how often each is tried.
const TRIED_CELLS: usize = 1024;
const TRIES: u64 = 8;
/// Rows of one task.
const ROWS: usize = 64;

/// Why fates by transport could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A coupling of two times or a comparison with the cells between them failed.
    #[error(transparent)]
    Coupling(#[from] TrainError),
    /// The read-out failed.
    #[error(transparent)]
    Readout(#[from] AnalysisError),
}

/// The cells of the times from a start to an end, by which cells of the start are followed.
#[derive(Debug, Clone, Copy)]
pub struct TransportFates<'a> {
    /// Number of coordinates.
    pub dim: usize,
    /// The times, ascending; two at least.
    pub times: &'a [f64],
    /// States of the cells of each time, `[n, d]`.
    pub states: &'a [Vec<f32>],
    /// Growth rates of the cells of each time, `[n]`, per time; empty for none known.
    pub growth: &'a [Vec<f32>],
    /// One over the scale of each coordinate, `[d]`.
    pub inverse_scale: &'a [f32],
    /// Seed of the cells that are drawn.
    pub seed: u64,
}

impl TransportFates<'_> {
    /// The blur of a mean gap by which the cells of each time between two others are met best: they are coupled over that time, and the
    /// Brownian bridges between coupled cells, whose noise is the blur, are compared with the cells that were seen there (energy
    /// distance, over eight draws). Labels have no part in it. With two times only, [`MatchingConfig::epsilon`].
    ///
    /// # Errors
    /// [`TransportError::Coupling`] where a coupling or a comparison fails.
    pub fn choose_blur(&self) -> Result<f64, TransportError> {
        if self.times.len() < 3 {
            return Ok(MatchingConfig::default().epsilon);
        }
        let mut best = (f64::INFINITY, BLURS[0]);
        for blur in BLURS {
            let mut sum = 0.0;
            for middle in 1..self.times.len() - 1 {
                for draw in 0..TRIES {
                    sum += self.missed(blur, middle, draw)?;
                }
            }
            if sum < best.0 {
                best = (sum, blur);
            }
        }
        Ok(best.1)
    }

    /// Fates at the last time of cells `start`, `[n, d]`, of the first, by couplings with a blur (see
    /// [`choose_blur`](Self::choose_blur)).
    ///
    /// # Errors
    /// [`TransportError::Coupling`] where a coupling fails, those of the read-out.
    pub fn predict(&self, readout: &LabelReadout, start: &[f32], blur: f64) -> Result<Fates, TransportError> {
        let (d, labels) = (self.dim, readout.names().len());
        let config = MatchingConfig::default();
        let most = self.states.iter().map(|s| s.len() / d).max().unwrap_or(0);
        let draws = most.div_ceil(config.cells).clamp(1, config.couplings);
        let start = scaled(start, self.inverse_scale);
        let mut sum = vec![0.0; start.len() / d * labels];
        for draw in 0..draws as u64 {
            let mut rng = Pcg64::seed_from_u64(sub_seed(self.seed, "transport fates").wrapping_add(draw));
            let rows: Vec<Vec<usize>> =
                self.states.iter().map(|s| drawn(s.len() / d, config.cells, &mut rng)).collect();
            let last = self.states.len() - 1;
            let mut ahead = readout.probabilities(&self.picked(last, &rows[last], false))?;
            for gap in (0..last).rev() {
                let (x, y) = (self.picked(gap, &rows[gap], true), self.picked(gap + 1, &rows[gap + 1], true));
                let coupling = self.couple(blur, [gap, gap + 1], &rows[gap], &x, &y)?;
                if gap == 0 {
                    let found =
                        extended(d, &coupling, &start, &y, self.blur_of(blur, [0, 1]), &ahead, labels);
                    sum.iter_mut().zip(&found).for_each(|(sum, f)| *sum += f);
                } else {
                    ahead = descendants(&coupling, rows[gap].len(), &ahead, labels);
                }
            }
        }
        for row in sum.chunks_exact_mut(labels) {
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= total);
        }
        Ok(Fates::of_readout(readout, sum))
    }

    /// Energy distance of the cells of a time to bridges over it.
    fn missed(&self, blur: f64, middle: usize, draw: u64) -> Result<f64, TransportError> {
        let d = self.dim;
        let mut rng = Pcg64::seed_from_u64(sub_seed(self.seed, "transport blur").wrapping_add(draw));
        let ends = [middle - 1, middle + 1];
        let mut at = |time: usize| {
            let rows = drawn(self.states[time].len() / d, TRIED_CELLS, &mut rng);
            let states = self.picked(time, &rows, true);
            (rows, states)
        };
        let ((rows, mut x), (_, end), (_, seen)) = (at(ends[0]), at(ends[1]), at(middle));
        let coupling = self.couple(blur, ends, &rows, &x, &end)?;
        let span = self.times[ends[1]] - self.times[ends[0]];
        let part = (self.times[middle] - self.times[ends[0]]) / span;
        let spread = (part * (1.0 - part) * self.blur_of(blur, ends)).sqrt();
        let mut plan = vec![0.0; end.len() / d];
        let n = rows.len();
        let mut log_weights = Vec::with_capacity(n);
        for (i, x) in x.chunks_exact_mut(d).enumerate() {
            coupling.row(i, &mut plan);
            let mass: f32 = plan.iter().sum();
            log_weights.push(part as f32 * (mass * n as f32).max(f32::MIN_POSITIVE).ln());
            let j = pick(&plan, rng.random::<f32>() * mass);
            for (x, &e) in x.iter_mut().zip(&end[j * d..(j + 1) * d]) {
                *x += (part * f64::from(e - *x) + spread * f64::normal_pair(rng.random(), rng.random()).0)
                    as f32;
            }
        }
        let mut loss = CloudLoss::new(d, &LossConfig::default()).map_err(TrainError::from)?;
        let value = loss.evaluate(Cloud::weighted(&x, &log_weights), Cloud::equal(&seen), None);
        Ok(value.map_err(TrainError::from)?.value)
    }

    /// The blur between two times: noise grows with time.
    fn blur_of(&self, blur: f64, [from, to]: [usize; 2]) -> f64 {
        let last = self.times.len() - 1;
        let mean_gap = (self.times[last] - self.times[0]) / last as f64;
        blur * (self.times[to] - self.times[from]) / mean_gap
    }

    /// The unbalanced coupling of scaled `x`, cells `rows` of a time, with scaled `y` of another.
    fn couple(
        &self,
        blur: f64,
        times: [usize; 2],
        rows: &[usize],
        x: &[f32],
        y: &[f32],
    ) -> Result<Coupling<f32>, TrainError> {
        let span = (self.times[times[1]] - self.times[times[0]]) as f32;
        let log_weights: Vec<f32> = match self.growth.get(times[0]) {
            Some(rates) => rows.iter().map(|&row| span * rates[row]).collect(),
            None => Vec::new(),
        };
        unbalanced(self.dim, x, &log_weights, y, self.blur_of(blur, times))
    }

    /// States of some cells of a time, `[rows, d]`.
    fn picked(&self, time: usize, rows: &[usize], scale: bool) -> Vec<f32> {
        let d = self.dim;
        let states = &self.states[time];
        let picked: Vec<f32> =
            rows.iter().flat_map(|&row| &states[row * d..(row + 1) * d]).copied().collect();
        if scale { self::scaled(&picked, self.inverse_scale) } else { picked }
    }
}

/// Couples as fits by matching do where growth is open: mass is as dear as the way that it saves.
pub(crate) fn unbalanced(
    d: usize,
    x: &[f32],
    log_weights: &[f32],
    y: &[f32],
    epsilon: f64,
) -> Result<Coupling<f32>, TrainError> {
    let balanced = CouplingConfig { epsilon, relaxation: f64::INFINITY, tolerance: 1e-3, iterations: 500 };
    let coupling = Coupling::solve(d, x, log_weights, y, &balanced)?;
    let relaxation = MatchingConfig::default().relaxation * coupling.mean_cost(epsilon).max(1e-3 * epsilon);
    Coupling::solve(d, x, log_weights, y, &CouplingConfig { relaxation, ..balanced })
}

/// `h_k` of the drawn cells of a time, `[n, labels]`, from `ahead` of those of the next.
fn descendants(coupling: &Coupling<f32>, n: usize, ahead: &[f64], labels: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * labels];
    out.par_chunks_mut(ROWS * labels).enumerate().for_each(|(task, out)| {
        let mut plan = vec![0.0; ahead.len() / labels];
        for (i, out) in out.chunks_exact_mut(labels).enumerate() {
            coupling.row(task * ROWS + i, &mut plan);
            for (&p, ahead) in plan.iter().zip(ahead.chunks_exact(labels)) {
                let p = n as f64 * f64::from(p);
                out.iter_mut().zip(ahead).for_each(|(out, h)| *out += p * h);
            }
        }
    });
    out
}

/// Fates of any scaled states `x`, `[n, d]`, by the columns `y` of a coupling: `[n, labels]`, rows sum to one.
fn extended(
    d: usize,
    coupling: &Coupling<f32>,
    x: &[f32],
    y: &[f32],
    epsilon: f64,
    ahead: &[f64],
    labels: usize,
) -> Vec<f64> {
    let inverse = (0.5 / epsilon) as f32;
    let mut out = vec![0.0; x.len() / d * labels];
    out.par_chunks_mut(ROWS * labels).zip(x.par_chunks(ROWS * d)).for_each(|(out, x)| {
        let mut exponent = vec![0.0_f32; y.len() / d];
        for (out, x) in out.chunks_exact_mut(labels).zip(x.chunks_exact(d)) {
            let mut top = f32::NEG_INFINITY;
            for ((e, y), &g) in exponent.iter_mut().zip(y.chunks_exact(d)).zip(coupling.column_potentials()) {
                let squares: f32 = x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum();
                *e = g - inverse * squares;
                top = top.max(*e);
            }
            for (&e, ahead) in exponent.iter().zip(ahead.chunks_exact(labels)) {
                // Below this a term adds nothing.
                if e - top > -40.0 {
                    let p = f64::from((e - top).exp());
                    out.iter_mut().zip(ahead).for_each(|(out, h)| *out += p * h);
                }
            }
            let total: f64 = out.iter().sum();
            out.iter_mut().for_each(|p| *p /= total);
        }
    });
    out
}

/// At most `most` different numbers below `n`.
fn drawn(n: usize, most: usize, rng: &mut Pcg64) -> Vec<usize> {
    rand::seq::index::sample(rng, n, most.min(n)).into_vec()
}

fn scaled(states: &[f32], inverse_scale: &[f32]) -> Vec<f32> {
    states.iter().zip(inverse_scale.iter().cycle()).map(|(x, s)| x * s).collect()
}

/// The column at which the running sum of a row passes `left`.
pub(crate) fn pick(row: &[f32], mut left: f32) -> usize {
    let passed = row.iter().position(|&p| {
        left -= p;
        left < 0.0
    });
    passed.unwrap_or(row.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    /// Times 0, 1, 2 of cells that go left or right and up; at time 2 the right ones are three times as many.
    struct Arms {
        times: Vec<f64>,
        states: Vec<Vec<f32>>,
        readout: LabelReadout,
    }

    impl Arms {
        fn new(n: usize) -> Self {
            let mut rng = Pcg64::seed_from_u64(9);
            let mut cloud = |t: f32, right: usize| -> Vec<f32> {
                let sides = (0..n).map(|_| -1.0).chain((0..right).map(|_| 1.0));
                sides
                    .flat_map(|side: f32| {
                        let mut jitter = || 0.4 * f32::normal_pair(rng.random(), rng.random()).0;
                        [side * (1.0 + t) + jitter(), 2.0 * t + jitter()]
                    })
                    .collect()
            };
            let states = vec![cloud(0.0, n), cloud(1.0, 2 * n), cloud(2.0, 3 * n)];
            let text: Vec<&str> =
                states[2].chunks(2).map(|x| if x[0] < 0.0 { "left" } else { "right" }).collect();
            let readout = LabelReadout::new(&states[2], 2, &Labels::from_text(&text), Some(5)).unwrap();
            Self { times: vec![0.0, 1.0, 2.0], states, readout }
        }

        fn transport(&self) -> TransportFates<'_> {
            TransportFates {
                dim: 2,
                times: &self.times,
                states: &self.states,
                growth: &[],
                inverse_scale: &[0.5, 0.5],
                seed: 4,
            }
        }
    }

    #[test]
    fn cells_keep_to_their_side_and_open_ones_follow_growth() {
        let arms = Arms::new(150);
        let start = [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let fates = arms.transport().predict(&arms.readout, &start, 0.05).unwrap();
        assert_eq!(fates.names(), ["left", "right"]);
        assert!(fates.of(0)[0] > 0.9 && fates.of(1)[1] > 0.9, "{fates:?}");
        // Between both, where descendants on the right are three times as many.
        assert!(fates.of(2)[1] > 0.75, "{fates:?}");
        for i in 0..3 {
            assert!((fates.of(i).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    /// The extension to cells that were not drawn agrees with the plan's own rows where the iterations came to their end.
    #[test]
    fn the_extension_is_the_plan_at_its_own_cells() {
        let arms = Arms::new(100);
        let transport = arms.transport();
        let scaled = |k: usize| scaled(&arms.states[k], transport.inverse_scale);
        let (x, y) = (scaled(0), scaled(1));
        let coupling = unbalanced(2, &x, &[], &y, 0.1).unwrap();
        let ahead: Vec<f64> = (0..y.len() / 2).flat_map(|j| [1.0 + (j % 3) as f64, (j % 5) as f64]).collect();
        let rows = descendants(&coupling, x.len() / 2, &ahead, 2);
        let all = extended(2, &coupling, &x, &y, 0.1, &ahead, 2);
        for (row, other) in rows.chunks(2).zip(all.chunks(2)) {
            assert!((row[0] / (row[0] + row[1]) - other[0]).abs() < 1e-4, "{row:?} {other:?}");
        }
    }

    #[test]
    fn bits_are_the_same_on_any_threads() {
        let arms = Arms::new(60);
        let start = &arms.states[0];
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| arms.transport().predict(&arms.readout, start, 0.1).unwrap())
        };
        assert_eq!(on(1), on(2));
    }

    /// Without a time between there is nothing to choose by; a blur as wide as the clouds is not chosen.
    #[test]
    fn the_blur_is_chosen_by_the_times_between() {
        let arms = Arms::new(150);
        let transport = arms.transport();
        assert!(transport.choose_blur().unwrap() < 0.4);
        let two = TransportFates { times: &arms.times[..2], states: &arms.states[..2], ..transport };
        assert_eq!(two.choose_blur().unwrap(), MatchingConfig::default().epsilon);
    }
}
