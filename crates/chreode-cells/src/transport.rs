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
//! so that cells with many descendants count for more, and its fates are `h(i)` over its sum. (Kept as that and the logarithm of the sum, which for
//! an outlying cell may be below any number.) A cell that was not drawn takes the row that the
//! column potentials `g` give it, `π(x, j) ∝ b_j exp((g_j - C(x, y_j)) / ε)`: the extension of the plan to all states
//! [PNW21]. Memory and time grow with the drawn cells squared, and linearly with all others.
//! Not here: the read-out (`fate`), couplings that predict a time (`leave_out`).

use chreode_core::sub_seed;
use chreode_train::{
    Between, Coupling, CouplingConfig, Extension, MatchingConfig, Snapshots, TrainError, blur_over,
};
use rand::SeedableRng;
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
/// Part of the largest weight in a row below which one adds nothing.
const NOTHING: f32 = 1e-17;

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
    /// A start cell is so far from the cells of the next time that distances overflow.
    #[error("start cell number {cell}, from zero, is too far from all cells of the next time")]
    TooFar {
        /// Its row.
        cell: usize,
    },
}

/// The cells of the times from a start to an end, by which cells of the start are followed.
#[derive(Debug, Clone, Copy)]
pub struct TransportFates<'a> {
    /// The cells; rates of growth, if there are any, weigh them, and those of a population are coupled among themselves.
    pub data: &'a Snapshots<f32>,
    /// One over the scale of each coordinate, `[d]`.
    pub inverse_scale: &'a [f32],
    /// Seed of the cells that are drawn.
    pub seed: u64,
}

/// What becomes of some cells.
struct Descendants {
    /// Logarithm of their number of descendants, in units of any number, `[n]`: no cell has so few that its fates are lost.
    log_mass: Vec<f32>,
    /// Their descendants by label, `[n, labels]`; rows sum to one.
    shares: Vec<f64>,
}

impl TransportFates<'_> {
    /// The blur of a mean gap by which the cells of each time between two others are met best: they are coupled over that time with open numbers of
    /// descendants, and the Brownian bridges between coupled cells, whose noise is the blur, are compared with the cells that were seen there
    /// ([`Between`], eight draws). Labels have no part in it. With two times only, [`MatchingConfig::epsilon`].
    ///
    /// # Errors
    /// [`TransportError::Coupling`] where a coupling or a comparison fails.
    pub fn choose_blur(&self) -> Result<f64, TransportError> {
        let kept: Vec<usize> = (0..self.data.times.len()).collect();
        let rows: Vec<Vec<u32>> = kept.iter().map(|&k| (0..self.data.cells(k) as u32).collect()).collect();
        let default = MatchingConfig::default();
        let between = Between {
            data: self.data,
            kept: &kept,
            rows: &rows,
            inverse_scale: self.inverse_scale,
            relaxation: default.relaxation,
            cells: TRIED_CELLS,
            seed: self.seed,
        };
        if between.inner().is_empty() {
            return Ok(default.epsilon);
        }
        let mut best = (f64::INFINITY, BLURS[0]);
        for blur in BLURS {
            let mut sum = 0.0;
            for at in between.inner() {
                for draw in 0..TRIES {
                    sum += between.distances(at, blur, draw)?[1];
                }
            }
            // Distances are finite, or there is an error.
            if sum < best.0 {
                best = (sum, blur);
            }
        }
        Ok(best.1)
    }

    /// Fates at the last time of cells `start`, `[n, d]`, of the first, by couplings with a blur (see
    /// [`choose_blur`](Self::choose_blur)); `populations`, `[n]`, are theirs, and empty where the data name none.
    ///
    /// # Errors
    /// [`TransportError::Coupling`] where a coupling fails, those of the read-out, [`TransportError::TooFar`].
    pub fn predict(
        &self,
        readout: &LabelReadout,
        start: &[f32],
        populations: &[u32],
        blur: f64,
    ) -> Result<Fates, TransportError> {
        let (d, labels) = (self.data.dim, readout.names().len());
        let cells = start.len() / d.max(1);
        let expected = if self.data.populations.is_empty() { 0 } else { cells };
        if populations.len() != expected {
            let (what, got) = ("populations of start cells", populations.len());
            return Err(TrainError::Length { what, got, expected }.into());
        }
        if populations.is_empty() {
            return Ok(Fates::of_readout(readout, self.within(readout, start, blur)?));
        }
        let mut all = vec![0.0; cells * labels];
        for population in 0..self.data.n_populations() {
            let rows: Vec<usize> = (0..cells).filter(|&i| populations[i] as usize == population).collect();
            let start: Vec<f32> = rows.iter().flat_map(|i| &start[i * d..(i + 1) * d]).copied().collect();
            let data = self.data.population(population);
            let found =
                TransportFates { data: &data, ..*self }.within(readout, &start, blur).map_err(|error| {
                    match error {
                        TransportError::TooFar { cell } => TransportError::TooFar { cell: rows[cell] },
                        other => other,
                    }
                })?;
            for (row, found) in rows.iter().zip(found.chunks_exact(labels)) {
                all[row * labels..(row + 1) * labels].copy_from_slice(found);
            }
        }
        Ok(Fates::of_readout(readout, all))
    }

    /// The same of one population, `[n, labels]`.
    fn within(&self, readout: &LabelReadout, start: &[f32], blur: f64) -> Result<Vec<f64>, TransportError> {
        let (d, labels, data) = (self.data.dim, readout.names().len(), self.data);
        let config = MatchingConfig::default();
        let times = data.times.len();
        let most = (0..times).map(|k| data.cells(k)).max().unwrap_or(0);
        let draws = most.div_ceil(config.cells).clamp(1, config.couplings);
        let start = scaled(start, self.inverse_scale);
        let mut sum = vec![0.0; start.len() / d * labels];
        for draw in 0..draws as u64 {
            let mut rng = Pcg64::seed_from_u64(sub_seed(self.seed, "transport fates").wrapping_add(draw));
            let rows: Vec<Vec<usize>> =
                (0..times).map(|k| drawn(data.cells(k), config.cells, &mut rng)).collect();
            let ends = self.picked(times - 1, &rows[times - 1])?;
            let mut ahead = Descendants {
                log_mass: vec![0.0; rows[times - 1].len()],
                shares: readout.probabilities(&ends)?,
            };
            for gap in (0..times - 1).rev() {
                let picked = |time: usize| -> Result<_, TrainError> {
                    Ok(scaled(&self.picked(time, &rows[time])?, self.inverse_scale))
                };
                let (x, y) = (picked(gap)?, picked(gap + 1)?);
                let span = data.times[gap + 1] - data.times[gap];
                let epsilon = blur_over(blur, span, &data.times);
                let log_weights: Vec<f32> = match data.growth.get(gap) {
                    Some(rates) => rows[gap].iter().map(|&row| span as f32 * rates[row]).collect(),
                    None => Vec::new(),
                };
                let coupling = unbalanced(d, &x, &log_weights, &y, epsilon)?;
                if gap == 0 {
                    let found = extended(d, &coupling, &start, &y, epsilon, &ahead, labels);
                    sum.iter_mut().zip(&found).for_each(|(sum, f)| *sum += f);
                } else {
                    ahead = descendants(&coupling, rows[gap].len(), &ahead, labels);
                }
            }
        }
        for (cell, row) in sum.chunks_exact_mut(labels).enumerate() {
            let total: f64 = row.iter().sum();
            if !total.is_finite() {
                return Err(TransportError::TooFar { cell });
            }
            row.iter_mut().for_each(|p| *p /= total);
        }
        Ok(sum)
    }

    /// States of some cells of a time, `[rows, d]`.
    fn picked(&self, time: usize, rows: &[usize]) -> Result<Vec<f32>, TrainError> {
        let d = self.data.dim;
        Ok(self.data.states[time].select(d, rows).all(d)?.into_owned())
    }
}

/// Couples as fits by matching do where cells grow.
pub(crate) fn unbalanced(
    d: usize,
    x: &[f32],
    log_weights: &[f32],
    y: &[f32],
    epsilon: f64,
) -> Result<Coupling<f32>, TrainError> {
    let balanced = Coupling::solve(d, x, log_weights, y, &CouplingConfig::balanced(epsilon))?;
    let open = CouplingConfig::open(&balanced, epsilon, MatchingConfig::default().relaxation);
    Coupling::solve(d, x, log_weights, y, &open)
}

/// Those of the `n` drawn cells of a time, from those of the cells of the next.
fn descendants(coupling: &Coupling<f32>, n: usize, ahead: &Descendants, labels: usize) -> Descendants {
    let mut found = Descendants { log_mass: vec![0.0; n], shares: vec![0.0; n * labels] };
    let tasks = found.shares.par_chunks_mut(ROWS * labels).zip(found.log_mass.par_chunks_mut(ROWS));
    tasks.enumerate().for_each(|(task, (shares, log_mass))| {
        let mut weight = vec![0.0; ahead.log_mass.len()];
        for (i, (shares, log_mass)) in shares.chunks_exact_mut(labels).zip(log_mass).enumerate() {
            coupling.log_row(task * ROWS + i, &mut weight);
            weight.iter_mut().zip(&ahead.log_mass).for_each(|(w, mass)| *w += mass);
            let top = weight.iter().fold(f32::NEG_INFINITY, |top, &w| top.max(w));
            weight.iter_mut().for_each(|w| *w = (*w - top).exp());
            *log_mass = top + weight.iter().sum::<f32>().ln();
            share_out(&weight, &ahead.shares, shares);
        }
    });
    found
}

/// Fates of any scaled states `x`, `[n, d]`, by the columns `y` of a coupling: `[n, labels]`, rows sum to one.
fn extended(
    d: usize,
    coupling: &Coupling<f32>,
    x: &[f32],
    y: &[f32],
    epsilon: f64,
    ahead: &Descendants,
    labels: usize,
) -> Vec<f64> {
    let potentials: Vec<f32> =
        coupling.column_potentials().iter().zip(&ahead.log_mass).map(|(g, mass)| g + mass).collect();
    let extension = Extension::new(d, y, &potentials, epsilon);
    let mut out = vec![0.0; x.len() / d * labels];
    out.par_chunks_mut(ROWS * labels).zip(x.par_chunks(ROWS * d)).for_each(|(out, x)| {
        let mut scratch = vec![0.0; 2 * potentials.len()];
        for (out, x) in out.chunks_exact_mut(labels).zip(x.chunks_exact(d)) {
            extension.weights(x, 0.0, &mut scratch);
            share_out(&scratch[..potentials.len()], &ahead.shares, out);
        }
    });
    out
}

/// Sets `out`, `[labels]`, to the mean of `shares`, `[m, labels]`, by weights of which the largest is one.
fn share_out(weights: &[f32], shares: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (&w, shares) in weights.iter().zip(shares.chunks_exact(out.len())) {
        // Not `>`: what is not a number must be seen.
        if !(w < NOTHING) {
            out.iter_mut().zip(shares).for_each(|(out, h)| *out += f64::from(w) * h);
        }
    }
    let total: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= total);
}

/// At most `most` different numbers below `n`.
fn drawn(n: usize, most: usize, rng: &mut Pcg64) -> Vec<usize> {
    rand::seq::index::sample(rng, n, most.min(n)).into_vec()
}

fn scaled(states: &[f32], inverse_scale: &[f32]) -> Vec<f32> {
    states.iter().zip(inverse_scale.iter().cycle()).map(|(x, s)| x * s).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;
    use chreode_core::Real as _;
    use chreode_train::States;
    use rand::RngExt as _;

    /// Times 0, 1, 2 of cells that go left or right and up; at time 2 the right ones are three times as many.
    struct Arms {
        data: Snapshots<f32>,
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
            let (times, states) = (vec![0.0, 1.0, 2.0], States::each(states));
            let data = Snapshots { dim: 2, times, states, ..Snapshots::default() };
            Self { data, readout }
        }

        /// One more cell at time 1.
        fn add(&mut self, state: &[f32]) {
            let mut states = self.data.states[1].as_slice().unwrap().to_vec();
            states.extend_from_slice(state);
            self.data.states[1] = states.into();
        }

        fn transport(&self) -> TransportFates<'_> {
            TransportFates { data: &self.data, inverse_scale: &[0.5, 0.5], seed: 4 }
        }
    }

    #[test]
    fn cells_keep_to_their_side_and_open_ones_follow_growth() {
        let arms = Arms::new(150);
        let start = [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let fates = arms.transport().predict(&arms.readout, &start, &[], 0.05).unwrap();
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
        let scaled = |k: usize| scaled(arms.data.states[k].as_slice().unwrap(), transport.inverse_scale);
        let (x, y) = (scaled(0), scaled(1));
        let coupling = unbalanced(2, &x, &[], &y, 0.1).unwrap();
        let m = y.len() / 2;
        let shares = (0..m).flat_map(|j| [(j % 3) as f64 / 2.0, 1.0 - (j % 3) as f64 / 2.0]).collect();
        let ahead = Descendants { log_mass: (0..m).map(|j| (j % 5) as f32).collect(), shares };
        let rows = descendants(&coupling, x.len() / 2, &ahead, 2);
        let all = extended(2, &coupling, &x, &y, 0.1, &ahead, 2);
        let mut plan = vec![0.0; m];
        for (i, (row, other)) in rows.shares.chunks(2).zip(all.chunks(2)).enumerate() {
            assert!((row[0] - other[0]).abs() < 1e-4, "{row:?} {other:?}");
            coupling.row(i, &mut plan);
            let mass: f32 = plan.iter().zip(&ahead.log_mass).map(|(p, mass)| p * mass.exp()).sum();
            assert!((rows.log_mass[i] - mass.ln()).abs() < 1e-4, "{} {}", rows.log_mass[i], mass.ln());
        }
    }

    /// Two populations whose arms are crossed: each cell follows its own, and where there is one population all is as without.
    #[test]
    fn populations_do_not_mix() {
        let mut arms = Arms::new(100);
        let start = [-1.0, 0.0, -1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let alone = arms.transport().predict(&arms.readout, &start, &[], 0.05).unwrap();
        let one = |states: &States<f32>| vec![0; states.cells(2)];
        arms.data.populations = arms.data.states.iter().map(one).collect();
        assert_eq!(arms.transport().predict(&arms.readout, &start, &[0; 4], 0.05).unwrap(), alone);
        // At the first time left and right are of one population each; later the other way round.
        let of = |(time, states): (usize, &States<f32>)| {
            states.as_slice().unwrap().chunks(2).map(|x| u32::from((x[0] > 0.0) != (time > 0))).collect()
        };
        arms.data.populations = arms.data.states.iter().enumerate().map(of).collect();
        let crossed = arms.transport().predict(&arms.readout, &start, &[0, 1, 0, 1], 0.05).unwrap();
        for (i, right) in [1.0, 0.0, 1.0, 0.0].into_iter().enumerate() {
            assert!((crossed.of(i)[1] - right).abs() < 0.15, "{crossed:?}");
        }
        let few = arms.transport().predict(&arms.readout, &start, &[0], 0.05);
        assert!(
            matches!(few, Err(TransportError::Coupling(TrainError::Length { expected: 4, .. }))),
            "{few:?}"
        );
    }

    /// A cell far from all others has hardly a descendant; those that start beside it have fates nevertheless.
    #[test]
    fn outlying_cells_have_fates() {
        let mut arms = Arms::new(60);
        arms.add(&[900.0, 900.0]);
        let fates = arms.transport().predict(&arms.readout, &[890.0, 890.0, -1.0, 0.0], &[], 0.05).unwrap();
        for i in 0..2 {
            assert!((fates.of(i).iter().sum::<f64>() - 1.0).abs() < 1e-12, "{fates:?}");
        }
        let far = arms.transport().predict(&arms.readout, &[-1.0, 0.0, 1e20, 0.0], &[], 0.05);
        assert!(matches!(far, Err(TransportError::TooFar { cell: 1 })), "{far:?}");
        arms.add(&[1e20, 0.0]);
        assert!(matches!(arms.transport().choose_blur(), Err(TransportError::Coupling(_))));
    }

    #[test]
    fn bits_are_the_same_on_any_threads() {
        let arms = Arms::new(60);
        let start = arms.data.states[0].as_slice().unwrap();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| arms.transport().predict(&arms.readout, start, &[], 0.1).unwrap())
        };
        assert_eq!(on(1), on(2));
    }

    /// Without a time between there is nothing to choose by; a blur as wide as the clouds is not chosen.
    #[test]
    fn the_blur_is_chosen_by_the_times_between() {
        let arms = Arms::new(150);
        let transport = arms.transport();
        assert!(transport.choose_blur().unwrap() < 0.4);
        let two =
            Snapshots { times: vec![0.0, 1.0], states: arms.data.states[..2].to_vec(), ..arms.data.clone() };
        let two = TransportFates { data: &two, ..transport };
        assert_eq!(two.choose_blur().unwrap(), MatchingConfig::default().epsilon);
    }
}
