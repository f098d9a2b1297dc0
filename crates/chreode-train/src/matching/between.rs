//! Times between others, met by couplings over them: what a blur and open numbers of descendants are worth, without labels and without training.

use crate::coupling::{Coupling, CouplingConfig, blur_over};
use crate::split::Sampler;
use crate::trainer::scale;
use crate::{Cloud, CloudLoss, LossConfig, Snapshots, Statistic, TrainError};
use chreode_core::{Real, sub_seed};
use rand::{RngExt as _, SeedableRng};
use rand_pcg::Pcg64;

/// Cells of successive times, of which each inner one can be predicted from its neighbours.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a, T> {
    /// The cells.
    pub data: &'a Snapshots<T>,
    /// Numbers of the times that count, ascending.
    pub kept: &'a [usize],
    /// Rows of the cells that count, for each time of the data; two at least of each that is kept.
    pub rows: &'a [Vec<u32>],
    /// One over the scale of each coordinate, `[d]`.
    pub inverse_scale: &'a [T],
    /// The price of growth, as in [`MatchingConfig::relaxation`](crate::MatchingConfig::relaxation).
    pub relaxation: f64,
    /// Most cells of a population at a time in a draw, which has half of them at most, but two.
    pub cells: usize,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl<T: Real> Between<'_, T> {
    /// The inner times, as positions in `kept`.
    pub fn inner(&self) -> std::ops::Range<usize> {
        1..self.kept.len().saturating_sub(1).max(1)
    }

    /// Energy distances of the cells of an inner time from bridges over it, in one draw of cells: the times before and after it are coupled
    /// with the blur (for a mean gap) and bridged with its noise, once with row sums that are kept and once with open ones. Both are seen in the same
    /// cells and the same noise. Rates of the data weigh the cells of the time before. Of several populations, each within itself, it is the mean by their
    /// parts of the inner time's cells.
    ///
    /// # Errors
    /// [`TrainError::Coupling`], those of the loss, which is finite.
    ///
    /// # Panics
    /// If `at` is not one of [`inner`](Self::inner), or a time has fewer than two rows.
    pub fn distances(&self, at: usize, blur: f64, draw: u64) -> Result<[f64; 2], TrainError> {
        let mut rng = Pcg64::seed_from_u64(sub_seed(self.seed, "times between").wrapping_add(draw));
        let mut mean = [0.0; 2];
        for population in 0..self.data.n_populations() {
            let share = self.data.share(population, self.kept[at]);
            let distances = self.of_population(population, at, blur, &mut rng)?;
            mean.iter_mut().zip(distances).for_each(|(mean, distance)| *mean += share * distance);
        }
        Ok(mean)
    }

    /// The same of one population.
    fn of_population(
        &self,
        population: usize,
        at: usize,
        blur: f64,
        rng: &mut Pcg64,
    ) -> Result<[f64; 2], TrainError> {
        let d = self.data.dim;
        let times = [self.kept[at - 1], self.kept[at], self.kept[at + 1]];
        let [before, middle, after] = times.map(|k| self.data.times[k]);
        let mut drawn = |time: usize| -> Result<_, TrainError> {
            let mut rows = vec![0; self.drawn(population, time)];
            Sampler::new(&self.rows_of(population, time)).draw(rng, &mut rows);
            let mut states = vec![T::ZERO; rows.len() * d];
            self.data.states[time].gather(d, &rows, &mut states)?;
            scale(&mut states, self.inverse_scale);
            Ok((rows, states))
        };
        let [(rows, start), (_, seen), (_, end)] = [drawn(times[0])?, drawn(times[1])?, drawn(times[2])?];
        let log_weights: Vec<T> = match self.data.growth.get(times[0]) {
            Some(rates) => rows.iter().map(|&r| T::c(after - before) * rates[r as usize]).collect(),
            None => Vec::new(),
        };
        let kept: Vec<f64> = self.kept.iter().map(|&k| self.data.times[k]).collect();
        let epsilon = blur_over(blur, after - before, &kept);
        let part = (middle - before) / (after - before);
        let seed: u64 = rng.random();
        let mut loss = CloudLoss::new(d, &ENERGY)?;
        let mut distance = |coupling: &Coupling<T>| -> Result<f64, TrainError> {
            let mut x = start.clone();
            let weights = coupling.between(d, &mut x, &end, part, part * (1.0 - part) * epsilon, seed);
            Ok(loss.evaluate(Cloud::weighted(&x, &weights), Cloud::equal(&seen), None)?.value)
        };
        let solve = |config: &CouplingConfig| Coupling::solve(d, &start, &log_weights, &end, config);
        // Samples differ by more than this.
        let rough = |config| CouplingConfig { tolerance: 1e-2, ..config };
        let balanced = solve(&rough(CouplingConfig::balanced(epsilon)))?;
        let open = solve(&rough(CouplingConfig::open(&balanced, epsilon, self.relaxation)))?;
        Ok([distance(&balanced)?, distance(&open)?])
    }

    /// Rows of the cells of a population that count.
    pub(crate) fn rows_of(&self, population: usize, time: usize) -> Vec<u32> {
        self.data.rows_of(population, time, &self.rows[time])
    }

    /// Cells of a population at a time in a draw.
    pub(crate) fn drawn(&self, population: usize, time: usize) -> usize {
        self.cells.min(self.rows_of(population, time).len() / 2).max(2)
    }
}

/// The distance that is told.
pub(crate) const ENERGY: LossConfig = LossConfig::Energy { statistic: Statistic::Unbiased };
