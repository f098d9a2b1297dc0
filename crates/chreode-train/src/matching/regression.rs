//! One update: points on bridges, and the squares between what the model says there and what the bridges say.
//!
//! With `s` the part of the gap that has passed, the square of the drift's error has weight `(1 - s) span²` in units of the
//! scaled state: the variance of its target grows as `s / (1 - s)`, so that what is weighted stays bounded. The noise has the
//! Gaussian quasi-likelihood of its variance, which is scale-free.

use super::bridges::Bridges;
use super::descendants::count_error;
use crate::{Model, Snapshots, TermReport, TrainError};
use chreode_core::{BrownianIncrements, DiffusionVjp, FieldError, GrowthVjp, Real};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// Rows that one job works on; the jobs' gradients are added in order.
const JOB: usize = 128;
/// Parameters that are added up by one job.
const REDUCE: usize = 4096;

/// Rows on bridges with their own model and gradient.
#[derive(Debug, Clone)]
struct Job<T, S, G> {
    gap: usize,
    sde: S,
    growth: Option<G>,
    states: Vec<T>,
    noise: Vec<T>,
    drift_target: Vec<T>,
    variance: Vec<T>,
    growth_target: Vec<T>,
    weight: Vec<T>,
    drift: Vec<T>,
    diffusion: Vec<T>,
    rate: Vec<T>,
    y_bar: Vec<T>,
    p_bar: Vec<T>,
    result: Result<f64, FieldError>,
}

/// What an update by matching needs; sized once.
#[derive(Debug, Clone)]
pub(crate) struct Regression<T, S, G> {
    jobs: Vec<Job<T, S, G>>,
    /// Rows of each gap.
    rows: usize,
}

impl<T, S, G> Regression<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send + Sync,
    G: GrowthVjp<T> + Clone + Send + Sync,
{
    /// Buffers for `rows` points on the bridges of each gap.
    pub(crate) fn new(model: &Model<S, G>, bridges: &Bridges<T>, rows: usize) -> Self {
        let d = model.sde.dim();
        let mut jobs = Vec::new();
        for gap in 0..bridges.gaps.len() {
            for start in (0..rows).step_by(JOB) {
                let n = JOB.min(rows - start);
                let wide = || vec![T::ZERO; n * d];
                jobs.push(Job {
                    gap,
                    sde: model.sde.clone(),
                    growth: model.growth.clone(),
                    states: wide(),
                    noise: wide(),
                    drift_target: wide(),
                    variance: wide(),
                    growth_target: vec![T::ZERO; n],
                    weight: vec![T::ZERO; n],
                    drift: wide(),
                    diffusion: wide(),
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
        let d = data.dim;
        for (k, job) in self.jobs.iter_mut().enumerate() {
            job.draw(bridges, data, non_negative, noise, (step << 32) + (k * JOB) as u64, rng);
        }
        let share = 1.0 / self.rows as f64;
        self.jobs.par_iter_mut().for_each(|job| {
            let span = bridges.gaps[job.gap].span;
            job.result = job.pull_back(d, inverse_scale, span, share, params);
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
                Some(term) if term.start == start => term.loss += loss,
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
    fn draw(
        &mut self,
        bridges: &Bridges<T>,
        data: &Snapshots<T>,
        non_negative: bool,
        noise: BrownianIncrements,
        trajectory: u64,
        rng: &mut Pcg64,
    ) {
        let (d, gap) = (data.dim, &bridges.gaps[self.gap]);
        noise.fill(0, trajectory, d, 1.0, &mut self.noise);
        let starts = &data.states[gap.times[0]];
        let ends = &data.states[gap.times[1]];
        for i in 0..self.weight.len() {
            let pair = gap.pairs[rng.random_range(0..gap.pairs.len())];
            let s = rng.random::<f64>();
            let row = |states: &'_ [T], k: usize, r: u32| states[r as usize * d + k];
            for k in 0..d {
                let (x0, x1) = (row(starts, k, pair.start), row(ends, k, pair.end));
                let variance = row(&gap.variance, k, pair.source);
                let spread = (T::c(s * (1.0 - s)) * variance).sqrt();
                let mut x = x0 + T::c(s) * (x1 - x0) + spread * self.noise[i * d + k];
                if non_negative && x < T::ZERO {
                    x = T::ZERO;
                }
                self.states[i * d + k] = x;
                // 1 - s is at least 2^-53: the weight takes one of its powers away.
                self.drift_target[i * d + k] = (x1 - x) * T::c(1.0 / ((1.0 - s) * gap.span));
                self.variance[i * d + k] = variance * T::c(1.0 / gap.span);
            }
            self.growth_target[i] = gap.log_growth[pair.source as usize] * T::c(1.0 / gap.span);
            self.weight[i] = T::c(1.0 - s);
        }
    }

    /// Sets the gradient to the parameters; returns this job's part of the loss.
    fn pull_back(
        &mut self,
        d: usize,
        inverse_scale: &[T],
        span: f64,
        share: f64,
        params: &[T],
    ) -> Result<f64, FieldError> {
        self.p_bar.fill(T::ZERO);
        self.sde.drift_and_diffusion(0.0, &self.states, params, &mut self.drift, &mut self.diffusion)?;
        let mut loss = 0.0;
        let share_each = share / d as f64;
        for (i, weight) in self.weight.iter().enumerate() {
            for k in 0..d {
                let at = i * d + k;
                let factor = share_each * weight.f64() * (span * inverse_scale[k].f64()).powi(2);
                let error = (self.drift[at] - self.drift_target[at]).f64();
                loss += factor * error * error;
                self.drift[at] = T::c(2.0 * factor * error);
                let (g, v) = (self.diffusion[at].f64().max(1e-12), self.variance[at].f64());
                loss += share_each * (0.5 * v / (g * g) + g.ln() - 0.5 * v.ln() - 0.5);
                self.diffusion[at] = T::c(share_each * (1.0 / g - v / (g * g * g)));
            }
        }
        self.sde.drift_and_diffusion_vjp(
            0.0,
            &self.states,
            params,
            &self.drift,
            &self.diffusion,
            &mut self.y_bar,
            &mut self.p_bar,
        )?;
        if let Some(growth) = &mut self.growth {
            growth.growth(0.0, &self.states, params, &mut self.rate)?;
            // Bridges are drawn by the mass of the descendants, so that this is the error of their numbers.
            for (rate, &target) in self.rate.iter_mut().zip(&self.growth_target) {
                let (value, slope) = count_error(span * (*rate - target).f64());
                loss += share * value;
                *rate = T::c(share * span * slope);
            }
            growth.growth_vjp(0.0, &self.states, params, &self.rate, &mut self.y_bar, &mut self.p_bar)?;
        }
        Ok(loss)
    }
}
