//! One update: points on bridges, and the squares between what the model says there and what the bridges say.
//!
//! With `s` the part of the gap that has passed, the square of the drift's error has weight `(1 - s) span²` in units of the
//! scaled state: the variance of its target grows as `s / (1 - s)`, so that what is weighted stays bounded. A target that is the mean of
//! ends grows as `1 / √(1 - s)`, and its error has weight `√(1 - s)`: gradients stay bounded. The noise has the Gaussian quasi-likelihood of its
//! variance, or of its covariance where coordinates share motions (`gaussian.rs`), which is scale-free.

use super::bridges::{Bridges, Gap};
use super::descendants::count_error;
use crate::coupling::Extension;
use crate::gaussian::{Gaussian, SINGULAR};
use crate::trainer::part_of;
use crate::{Model, Snapshots, TermReport, TrainError};
use chreode_core::{BrownianIncrements, DiffusionVjp, FieldError, GrowthVjp, Real};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// Rows that one job works on; the jobs' gradients are added in order.
const JOB: usize = 128;
/// Part of a gap before which every point of a bridge lies.
const LATEST: f64 = 1.0 - 1e-9;
/// Rows of a job that share their time: a field is asked for one time at once. Groups as large as a tile of the nets were no faster.
const GROUP: usize = 32;
/// Parameters that are added up by one job.
const REDUCE: usize = 4096;

/// Rows on bridges with their own model and gradient.
#[derive(Debug, Clone)]
struct Job<T, S, G> {
    gap: usize,
    /// Number of its first row in the gap, and of all rows there.
    first: usize,
    all: usize,
    /// The time of each group of rows, in the data's.
    times: Vec<f64>,
    sde: S,
    growth: Option<G>,
    states: Vec<T>,
    noise: Vec<T>,
    drift_target: Vec<T>,
    variance: Vec<T>,
    growth_target: Vec<T>,
    /// Start and end cell of each bridge, their rows and states.
    rows: [Vec<u32>; 2],
    ends: [Vec<T>; 2],
    /// Row of the gap's cells that each began at.
    source: Vec<usize>,
    /// Part of the gap that has passed at each.
    part: Vec<f64>,
    point: Vec<T>,
    scratch: Vec<T>,
    weight: Vec<T>,
    drift: Vec<T>,
    diffusion: Vec<T>,
    gaussian: Gaussian,
    /// Noise and moment of one row, motions first, `[motions, d]` and `[d, d]`; empty where coordinates have their own noise.
    columns: Vec<f64>,
    moment: Vec<f64>,
    rate: Vec<T>,
    y_bar: Vec<T>,
    p_bar: Vec<T>,
    result: Result<f64, FieldError>,
}

/// What an update by matching needs; sized once.
#[derive(Debug, Clone)]
pub(crate) struct Regression<T, S, G> {
    jobs: Vec<Job<T, S, G>>,
    /// Rows from each time, of all populations.
    rows: usize,
}

impl<T, S, G> Regression<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send + Sync,
    G: GrowthVjp<T> + Clone + Send + Sync,
{
    /// Buffers for `rows` points on the bridges from each time, shared out among populations by their cells.
    pub(crate) fn new(model: &Model<S, G>, bridges: &Bridges<T>, rows: usize) -> Self {
        let (d, values) = (model.sde.dim(), model.sde.noise_kind().values(model.sde.dim()));
        let mut jobs = Vec::new();
        for gap in 0..bridges.gaps.len() {
            let rows = part_of(rows, bridges.gaps[gap].share);
            let correlated = !bridges.gaps[gap].factor.is_empty();
            for start in (0..rows).step_by(JOB) {
                let n = JOB.min(rows - start);
                let wide = || vec![T::ZERO; n * d];
                jobs.push(Job {
                    gap,
                    first: start,
                    all: rows,
                    times: vec![0.0; n.div_ceil(GROUP)],
                    sde: model.sde.clone(),
                    growth: model.growth.clone(),
                    states: wide(),
                    noise: wide(),
                    drift_target: wide(),
                    variance: wide(),
                    growth_target: vec![T::ZERO; n],
                    rows: [vec![0; n], vec![0; n]],
                    ends: [wide(), wide()],
                    source: vec![0; n],
                    part: vec![0.0; n],
                    point: vec![T::ZERO; 2 * d],
                    scratch: vec![T::ZERO; 2 * bridges.gaps[gap].ends.first().map_or(0, Extension::columns)],
                    weight: vec![T::ZERO; n],
                    drift: wide(),
                    diffusion: vec![T::ZERO; n * values],
                    gaussian: Gaussian::default(),
                    columns: vec![0.0; if correlated { values } else { 0 }],
                    moment: vec![0.0; if correlated { d * d } else { 0 }],
                    rate: vec![T::ZERO; n],
                    y_bar: wide(),
                    p_bar: vec![T::ZERO; model.sde.n_params()],
                    result: Ok(0.0),
                });
            }
        }
        Self { jobs, rows }
    }

    /// Draws points, sets `gradient` and `terms`, and returns the loss.
    ///
    /// # Errors
    /// [`TrainError::Matching`] if the model has no value at a point.
    pub(crate) fn step(
        &mut self,
        bridges: &Bridges<T>,
        data: &Snapshots<T>,
        inverse_scale: &[T],
        non_negative: bool,
        params: &[T],
        noise: BrownianIncrements,
        (step, rng): (u64, &mut Pcg64),
        gradient: &mut [T],
        terms: &mut Vec<TermReport>,
    ) -> Result<f64, TrainError> {
        for (k, job) in self.jobs.iter_mut().enumerate() {
            let trajectory = (step << 32) + (k * JOB) as u64;
            job.draw(bridges, data, non_negative, noise, trajectory, rng)?;
        }
        let share = 1.0 / self.rows as f64;
        self.jobs.par_iter_mut().for_each(|job| {
            let gap = &bridges.gaps[job.gap];
            if !gap.ends.is_empty() {
                job.aim_at_means(gap, inverse_scale);
            }
            job.result = job.pull_back(gap, inverse_scale, share, params);
        });
        let mut sum = 0.0;
        terms.clear();
        for job in &mut self.jobs {
            let gap = &bridges.gaps[job.gap];
            let loss = std::mem::replace(&mut job.result, Ok(0.0))
                .map_err(|source| TrainError::Matching { step, source })?;
            if !loss.is_finite() {
                let source =
                    FieldError::Fatal { t: data.times[gap.times[0]], what: "the loss is not finite" };
                return Err(TrainError::Matching { step, source });
            }
            sum += loss;
            let [start, target] = gap.times.map(|t| data.times[t]);
            match terms.last_mut() {
                Some(term) if term.start == start => {
                    term.loss += loss;
                    term.marginal_error = term.marginal_error.max(gap.residual);
                }
                _ => terms.push(TermReport {
                    start,
                    target,
                    loss,
                    marginal_error: gap.residual,
                    effective: 1.0,
                }),
            }
        }
        let jobs = &self.jobs;
        gradient.par_chunks_mut(REDUCE).enumerate().for_each(|(k, out)| {
            out.fill(T::ZERO);
            for job in jobs {
                for (o, &g) in out.iter_mut().zip(&job.p_bar[k * REDUCE..]) {
                    *o += g;
                }
            }
        });
        Ok(sum)
    }
}

impl<T, S, G> Job<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T>,
    G: GrowthVjp<T>,
{
    /// Points on bridges of the gap, with their targets.
    ///
    /// # Errors
    /// [`TrainError::States`] if cells cannot be read.
    fn draw(
        &mut self,
        bridges: &Bridges<T>,
        data: &Snapshots<T>,
        non_negative: bool,
        noise: BrownianIncrements,
        trajectory: u64,
        rng: &mut Pcg64,
    ) -> Result<(), TrainError> {
        let (d, gap) = (data.dim, &bridges.gaps[self.gap]);
        noise.fill(0, trajectory, d, 1.0, &mut self.noise);
        let (start, groups) = (data.times[gap.times[0]], self.all.div_ceil(GROUP) as f64);
        let mut s = 0.0;
        for i in 0..self.weight.len() {
            let pair = gap.pairs[rng.random_range(0..gap.pairs.len())];
            if i.is_multiple_of(GROUP) {
                // Stratified: the groups of the gap share it out.
                s = ((((self.first + i) / GROUP) as f64 + rng.random::<f64>()) / groups).min(LATEST);
                self.times[i / GROUP] = start + s * gap.span;
            }
            (self.rows[0][i], self.rows[1][i], self.source[i]) = (pair.start, pair.end, pair.source as usize);
            self.part[i] = s;
        }
        for (k, time) in gap.times.iter().enumerate() {
            data.states[*time].gather(d, &self.rows[k], &mut self.ends[k])?;
        }
        for i in 0..self.weight.len() {
            let (source, s) = (self.source[i], self.part[i]);
            for k in 0..d {
                let (x0, x1) = (self.ends[0][i * d + k], self.ends[1][i * d + k]);
                let by = if gap.factor.is_empty() {
                    let variance = gap.variance[source * d + k];
                    self.variance[i * d + k] = variance * T::c(1.0 / gap.span);
                    (T::c(s * (1.0 - s)) * variance).sqrt() * self.noise[i * d + k]
                } else {
                    let noise = &self.noise[i * d..=i * d + k];
                    let sum = factor_row(&gap.factor, d, source, k).iter().zip(noise).map(|(&l, &z)| l * z);
                    T::c((s * (1.0 - s)).sqrt()) * sum.sum::<T>()
                };
                let mut x = x0 + T::c(s) * (x1 - x0) + by;
                if non_negative && x < T::ZERO {
                    x = T::ZERO;
                }
                self.states[i * d + k] = x;
                // 1 - s is above zero: the weight takes one of its powers away.
                self.drift_target[i * d + k] = (x1 - x) * T::c(1.0 / ((1.0 - s) * gap.span));
            }
            self.growth_target[i] = gap.log_growth[source] * T::c(1.0 / gap.span);
            self.weight[i] = T::c(1.0 - s);
        }
        Ok(())
    }

    /// Aims at the mean of the ends of all bridges through a point instead of the end of its own.
    fn aim_at_means(&mut self, gap: &Gap<T>, inverse_scale: &[T]) {
        let d = inverse_scale.len();
        let (point, mean) = self.point.split_at_mut(d);
        for (i, (x, target)) in
            self.states.chunks_exact(d).zip(self.drift_target.chunks_exact_mut(d)).enumerate()
        {
            point.iter_mut().zip(x.iter().zip(inverse_scale)).for_each(|(p, (&x, &scale))| *p = x * scale);
            let left = self.weight[i].f64();
            let (coupling, row) = (self.source[i] / gap.sources, self.source[i] % gap.sources);
            gap.ends[coupling].mean(row, point, 1.0 - left, &mut self.scratch, mean);
            let rate = T::c(1.0 / (left * gap.span));
            // Without the scatter of single ends later points may count for more.
            self.weight[i] = T::c(left.sqrt());
            for k in 0..d {
                target[k] = (mean[k] - point[k]) / inverse_scale[k] * rate;
            }
        }
    }

    /// Sets the gradient to the parameters; returns this job's part of the loss.
    fn pull_back(
        &mut self,
        gap: &Gap<T>,
        inverse_scale: &[T],
        share: f64,
        params: &[T],
    ) -> Result<f64, FieldError> {
        let (d, span) = (inverse_scale.len(), gap.span);
        let values = self.diffusion.len() / self.weight.len();
        self.p_bar.fill(T::ZERO);
        for (k, &t) in self.times.iter().enumerate() {
            let at = rows_of(k, self.weight.len(), d);
            let of_noise = rows_of(k, self.weight.len(), values);
            let (f, g) = (&mut self.drift[at.clone()], &mut self.diffusion[of_noise]);
            self.sde.drift_and_diffusion(t, &self.states[at], params, f, g)?;
        }
        let mut loss = 0.0;
        let share_each = share / d as f64;
        for (i, weight) in self.weight.iter().enumerate() {
            for k in 0..d {
                let at = i * d + k;
                let factor = share_each * weight.f64() * (span * inverse_scale[k].f64()).powi(2);
                let error = (self.drift[at] - self.drift_target[at]).f64();
                loss += factor * error * error;
                self.drift[at] = T::c(2.0 * factor * error);
                if !gap.factor.is_empty() {
                    continue;
                }
                let (g, v) = (self.diffusion[at].f64().max(1e-12), self.variance[at].f64());
                loss += share_each * (0.5 * v / (g * g) + g.ln() - 0.5 * v.ln() - 0.5);
                self.diffusion[at] = T::c(share_each * (1.0 / g - v / (g * g * g)));
            }
        }
        if !gap.factor.is_empty() {
            for i in 0..self.weight.len() {
                loss += share_each * self.covariance(gap, d, i, share_each)?;
            }
        }
        for (k, &t) in self.times.iter().enumerate() {
            let (at, one) = (rows_of(k, self.weight.len(), d), rows_of(k, self.weight.len(), 1));
            let (y, y_bar) = (&self.states[at.clone()], &mut self.y_bar[at.clone()]);
            let of_noise = rows_of(k, self.weight.len(), values);
            let (f_bar, g_bar) = (&self.drift[at], &self.diffusion[of_noise]);
            self.sde.drift_and_diffusion_vjp(t, y, params, f_bar, g_bar, y_bar, &mut self.p_bar)?;
            let Some(growth) = &mut self.growth else { continue };
            growth.growth(t, y, params, &mut self.rate[one.clone()])?;
            // Bridges are drawn by the mass of the descendants, so that this is the error of their numbers.
            for (rate, &target) in self.rate[one.clone()].iter_mut().zip(&self.growth_target[one.clone()]) {
                let (value, slope) = count_error(span * (*rate - target).f64());
                loss += share * value;
                *rate = T::c(share * span * slope);
            }
            growth.growth_vjp(t, y, params, &self.rate[one], y_bar, &mut self.p_bar)?;
        }
        Ok(loss)
    }

    /// How far the covariance of the noise of row `i` is from that of its bridge, zero at best; sets the noise to its gradient, times `share`.
    fn covariance(&mut self, gap: &Gap<T>, d: usize, i: usize, share: f64) -> Result<f64, FieldError> {
        let values = self.diffusion.len() / self.weight.len();
        let (motions, g) = (values / d, &mut self.diffusion[i * values..(i + 1) * values]);
        let (columns, moment) = (&mut self.columns, &mut self.moment);
        columns.iter_mut().enumerate().for_each(|(at, column)| *column = g[at % d * motions + at / d].f64());
        moment.fill(0.0);
        let (unit, mut ln_det) = (1.0 / gap.span.sqrt(), 0.0);
        for k in 0..d {
            let row = factor_row(&gap.factor, d, self.source[i], k);
            row.iter().enumerate().for_each(|(j, l)| moment[j * d + k] = l.f64() * unit);
            ln_det += moment[k * d + k].ln();
        }
        let value = self.gaussian.evaluate(d, columns, moment);
        let value = value.ok_or(FieldError::Fatal { t: self.times[i / GROUP], what: SINGULAR })?;
        for (at, &bar) in self.gaussian.g_bar.iter().enumerate() {
            g[at % d * motions + at / d] = T::c(share * bar);
        }
        Ok(value - ln_det - 0.5 * d as f64)
    }
}

/// Row `k` of the factor of a cell's covariance, up to its diagonal.
fn factor_row<T>(factor: &[T], d: usize, source: usize, k: usize) -> &[T] {
    let at = source * (d * (d + 1) / 2) + k * (k + 1) / 2;
    &factor[at..=at + k]
}

/// Where the numbers of group `k` of `n` rows lie, `width` a row.
fn rows_of(k: usize, n: usize, width: usize) -> std::ops::Range<usize> {
    k * GROUP * width..((k + 1) * GROUP).min(n) * width
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Split;
    use crate::{GrowthUse, MatchingConfig};
    use chreode_core::Diffusion;
    use chreode_model::{DiffusionConfig, ModelConfig, NeuralSde};
    use chreode_testkit::check_gradient;
    use rand::SeedableRng;

    /// The loss of an update with noise of every form that bridges can show, against differences.
    #[test]
    fn gradients_are_those_of_differences() {
        let wave = |n: usize, f: f64| (0..n).map(|i| (i as f64 * f + f).sin()).collect::<Vec<f64>>();
        let (dim, n) = (3, 40);
        let data = Snapshots {
            dim,
            times: vec![0.0, 0.5],
            states: crate::States::each([wave(n * dim, 1.3), wave(n * dim, 0.7)]),
            ..Snapshots::default()
        };
        let rows: Vec<u32> = (0..40).collect();
        let split = Split { train: vec![rows.clone(), rows], hold_out: vec![] };
        let inverse_scale = [1.0, 0.5, 2.0];
        let (hidden, activation, initial_level) = (vec![4], chreode_linalg::Activation::Silu, 0.5);
        for (diffusion, correlated) in [
            (DiffusionConfig::Diagonal { hidden: hidden.clone(), activation, initial_level }, false),
            (DiffusionConfig::LowRank { rank: 2, hidden: hidden.clone(), activation, initial_level }, true),
            (DiffusionConfig::General { hidden, activation, initial_level }, true),
        ] {
            let mut config = ModelConfig { diffusion, ..ModelConfig::new(vec![0.0; 3], vec![1.0; 3]) };
            config.drift.hidden = vec![5];
            let sde = NeuralSde::<f64>::new(config).unwrap();
            assert_eq!(crate::gaussian::is_correlated(sde.noise_kind()), correlated);
            let p = sde.init(3);
            let settings = MatchingConfig::default();
            let growth = GrowthUse::None;
            let bridges =
                Bridges::new(&data, &split, &[0, 1], &inverse_scale, growth, &settings, correlated, 5)
                    .unwrap();
            let model = Model::from(sde);
            let mut regression = Regression::new(&model, &bridges, 150);
            let mut step = |p: &[f64], gradient: &mut [f64]| {
                let (noise, mut rng) = (BrownianIncrements::new(2), Pcg64::seed_from_u64(4));
                let at = (0, &mut rng);
                regression
                    .step(&bridges, &data, &inverse_scale, false, p, noise, at, gradient, &mut Vec::new())
                    .unwrap()
            };
            let (mut gradient, mut rest) = (vec![0.0; p.len()], vec![0.0; p.len()]);
            step(&p, &mut gradient);
            check_gradient("p", &gradient, &p, 1e-6, |p| step(p, &mut rest)).unwrap();
            assert!(gradient.iter().all(|g| *g != 0.0));
        }
    }
}
