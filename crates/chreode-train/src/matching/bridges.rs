//! Bridges between the cells of neighbouring times.

use chreode_core::{FieldError, GrowthVjp, Real, sub_seed};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::Serialize;

use super::config::MatchingConfig;
use super::coupling::{Coupling, Regularisation};
use crate::data::Snapshots;
use crate::likelihood::Increments;
use crate::split::shuffle;
use crate::trainer::{gather, scale};
use rand::SeedableRng;

/// How the couplings between two times ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CouplingReport {
    /// The earlier time.
    pub from: f64,
    /// The later time.
    pub to: f64,
    /// Couplings of different cells.
    pub couplings: usize,
    /// Most iterations of one.
    pub iterations: usize,
    /// Largest change of a potential in a last iteration, over `ε`: about the relative error of the marginals.
    pub change: f64,
    /// Standard deviation over the cells of the logarithm of what they grew by.
    pub growth_spread: f64,
}

/// Pairs of cells of two neighbouring times.
#[derive(Debug, Clone)]
struct Interval {
    from: usize,
    to: usize,
    pairs: Vec<(u32, u32)>,
    /// Cells of the earlier time, and the rate at which each grew.
    growth: Vec<(u32, f64)>,
    /// Variance of the bridge's Brownian motion per time, for each coordinate of the scaled state.
    variance: f64,
}

/// Everything that bridges are drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Bridges<T> {
    intervals: Vec<Interval>,
    reports: Vec<CouplingReport>,
    pub(crate) batch: Increments<T>,
    growth_states: Vec<T>,
    growth_rates: Vec<T>,
    rate: Vec<T>,
    rate_bar: Vec<T>,
    y_bar: Vec<T>,
}

/// Pairs kept of each source cell of a coupling, on average.
const PAIRS_OF_A_CELL: usize = 8;
/// Bridges are asked at most at this part of their way: what is left then says little more.
const LATEST: f64 = 0.98;

impl<T: Real> Bridges<T> {
    /// Couples the training cells `rows` of neighbouring times among `kept`.
    ///
    /// With `weighted`, shares of the cells are those of the data's growth rates over the interval.
    pub(crate) fn new(
        data: &Snapshots<T>,
        kept: &[usize],
        rows: &[Vec<u32>],
        inverse_scale: &[T],
        config: &MatchingConfig,
        weighted: bool,
        seed: u64,
    ) -> Self {
        let d = data.dim;
        let seed = sub_seed(seed, "couplings");
        let (mut intervals, mut reports) = (Vec::new(), Vec::new());
        // One number a coordinate, so that a setting means the same in any dimension: squared distances grow with it.
        let epsilon = config.epsilon * d as f64;
        let by = Regularisation {
            epsilon,
            source: config.source_penalty * epsilon,
            target: config.target_penalty * epsilon,
        };
        for (k, pair) in kept.windows(2).enumerate() {
            let (from, to) = (pair[0], pair[1]);
            let span = data.times[to] - data.times[from];
            let most = rows[from].len().max(rows[to].len());
            let couplings = most.div_ceil(config.cells).min(config.couplings);
            let mut interval = Interval {
                from,
                to,
                pairs: Vec::new(),
                growth: Vec::new(),
                variance: epsilon / (2.0 * span),
            };
            let mut report = CouplingReport {
                from: data.times[from],
                to: data.times[to],
                couplings,
                ..CouplingReport::default()
            };
            let mut rng = Pcg64::seed_from_u64(seed.wrapping_add(k as u64));
            let (mut sources, mut targets) = (Deck::new(&rows[from]), Deck::new(&rows[to]));
            for c in 0..couplings {
                let cells = |deck: &mut Deck, time: usize, rng: &mut Pcg64| {
                    let rows = deck.deal(config.cells, rng);
                    let mut states = vec![T::ZERO; rows.len() * d];
                    gather(&data.states[time], d, &rows, &mut states);
                    scale(&mut states, inverse_scale);
                    (rows, states)
                };
                let (x_rows, x) = cells(&mut sources, from, &mut rng);
                let (y_rows, y) = cells(&mut targets, to, &mut rng);
                let mut log_a: Vec<f64> = x_rows
                    .iter()
                    .map(|&row| if weighted { span * data.growth[from][row as usize].f64() } else { 0.0 })
                    .collect();
                let total = log_sum(&log_a);
                log_a.iter_mut().for_each(|w| *w -= total);
                let coupling = Coupling::new(&x, &log_a, &y, d, by);
                let drawn = coupling
                    .pairs(PAIRS_OF_A_CELL * x_rows.len(), seed ^ ((k * config.couplings + c) as u64) << 20);
                interval.pairs.extend(drawn.iter().map(|&(i, j)| (x_rows[i as usize], y_rows[j as usize])));
                let rates = x_rows.iter().zip(&coupling.log_growth).zip(&log_a);
                // Against equal shares, so that what the data's rates say is in it.
                let even = (x_rows.len() as f64).ln();
                interval.growth.extend(rates.map(|((&row, w), a)| (row, (w + a + even) / span)));
                report.iterations = report.iterations.max(coupling.iterations);
                report.change = report.change.max(coupling.change);
            }
            let n = interval.growth.len() as f64;
            let mean = interval.growth.iter().map(|g| g.1).sum::<f64>() / n;
            report.growth_spread =
                span * (interval.growth.iter().map(|g| (g.1 - mean).powi(2)).sum::<f64>() / n).sqrt();
            intervals.push(interval);
            reports.push(report);
        }
        Self {
            intervals,
            reports,
            batch: Increments::default(),
            growth_states: Vec::new(),
            growth_rates: Vec::new(),
            rate: Vec::new(),
            rate_bar: Vec::new(),
            y_bar: Vec::new(),
        }
    }

    /// How the couplings ended, one an interval.
    pub(crate) fn reports(&self) -> &[CouplingReport] {
        &self.reports
    }

    /// Draws `each` bridges of every interval, and a place on each.
    pub(crate) fn draw(&mut self, data: &Snapshots<T>, inverse_scale: &[T], each: usize, rng: &mut Pcg64) {
        let d = data.dim;
        self.batch.clear();
        self.growth_states.clear();
        self.growth_rates.clear();
        for interval in &self.intervals {
            let span = data.times[interval.to] - data.times[interval.from];
            let state = |time: usize, row: u32| &data.states[time][row as usize * d..(row as usize + 1) * d];
            for _ in 0..each {
                let (i, j) = interval.pairs[rng.random_range(0..interval.pairs.len())];
                let (x, y) = (state(interval.from, i), state(interval.to, j));
                let s = LATEST * rng.random::<f64>();
                let left = span * (1.0 - s);
                // Of the scaled state, so that one number is the variance of all coordinates.
                let sd = (interval.variance * span * s * (1.0 - s)).sqrt();
                for k in 0..d {
                    let noise = T::c(sd * normal(rng)) / inverse_scale[k];
                    let at = x[k] + T::c(s) * (y[k] - x[k]) + noise;
                    self.batch.from.push(at);
                    self.batch.slope.push((y[k] - at) / T::c(left));
                }
                self.batch.h.push(left);
                let (row, rate) = interval.growth[rng.random_range(0..interval.growth.len())];
                self.growth_states.extend_from_slice(state(interval.from, row));
                self.growth_rates.push(T::c(rate));
            }
        }
    }

    /// Mean squared error of the growth rates of the drawn cells, in units of `1/span²` of the mean interval; ADDS its gradient.
    pub(crate) fn growth_loss<G: GrowthVjp<T>>(
        &mut self,
        growth: &mut G,
        p: &[T],
        time: f64,
        gradient: &mut [T],
    ) -> Result<f64, FieldError> {
        let n = self.growth_rates.len();
        self.rate.resize(n, T::ZERO);
        self.rate_bar.resize(n, T::ZERO);
        self.y_bar.resize(self.growth_states.len(), T::ZERO);
        self.y_bar.fill(T::ZERO);
        growth.growth(0.0, &self.growth_states, p, &mut self.rate)?;
        let factor = time * time / n as f64;
        let mut loss = 0.0;
        for ((bar, &rate), &wanted) in self.rate_bar.iter_mut().zip(&self.rate).zip(&self.growth_rates) {
            let r = rate - wanted;
            loss += factor * (r * r).f64();
            *bar = T::c(2.0 * factor) * r;
        }
        growth.growth_vjp(0.0, &self.growth_states, p, &self.rate_bar, &mut self.y_bar, gradient)?;
        Ok(loss)
    }
}

/// `ln Σ exp`.
fn log_sum(x: &[f64]) -> f64 {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + x.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut Pcg64) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Cells that are dealt without repetition, and shuffled again when they are used up.
struct Deck {
    rows: Vec<u32>,
    next: usize,
}

impl Deck {
    fn new(rows: &[u32]) -> Self {
        Self { rows: rows.to_vec(), next: rows.len() }
    }

    /// So many cells, or all.
    fn deal(&mut self, count: usize, rng: &mut Pcg64) -> Vec<u32> {
        let count = count.min(self.rows.len());
        if self.next + count > self.rows.len() {
            shuffle(&mut self.rows, rng);
            self.next = 0;
        }
        self.next += count;
        self.rows[self.next - count..self.next].to_vec()
    }
}
