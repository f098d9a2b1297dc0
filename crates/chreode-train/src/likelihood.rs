//! The likelihood of increments of a stochastic equation, taken as one Euler-Maruyama step each.
//!
//! Of an increment from `x` to `x'` in the time `h`, a coordinate with noise of its own has `½ ((x' - x - f h)/(g √h))² + ln g + ½ ln h`.
//! Where coordinates share motions, those that were measured are normal with their part of `g gᵀ h` (`gaussian.rs`). Rows are cut into tiles of one size, whose sums are added in their order: the bits do not depend on threads.

use crate::gaussian::{Gaussian, SINGULAR, is_correlated};
use chreode_core::{DiffusionVjp, FieldError, NoiseKind, Real};
use rayon::prelude::*;

/// Increments, row by row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Increments<T> {
    /// Where they begin, `[n, d]`.
    pub(crate) from: Vec<T>,
    /// `(x' - x) / h`, `[n, d]`; NaN where it was not measured.
    pub(crate) slope: Vec<T>,
    /// Their times, `[n]`.
    pub(crate) h: Vec<f64>,
}

impl<T: Real> Increments<T> {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.h.len()
    }

    pub(crate) fn clear(&mut self) {
        self.from.clear();
        self.slope.clear();
        self.h.clear();
    }

    /// Sets these to some rows of others.
    pub(crate) fn gather(&mut self, all: &Self, rows: &[u32], d: usize) {
        self.clear();
        for &row in rows {
            let row = row as usize;
            self.from.extend_from_slice(&all.from[row * d..(row + 1) * d]);
            self.slope.extend_from_slice(&all.slope[row * d..(row + 1) * d]);
            self.h.push(all.h[row]);
        }
    }
}

/// Rows of one piece of work.
const TILE: usize = 128;

/// One tile's field and sums.
#[derive(Debug, Clone)]
struct Worker<T, S> {
    sde: S,
    kind: NoiseKind,
    gaussian: Gaussian,
    f: Vec<T>,
    g: Vec<T>,
    y_bar: Vec<T>,
    p_bar: Vec<T>,
    loss: f64,
    outcome: Result<(), FieldError>,
}

/// Computes likelihoods and their gradients; sized once.
#[derive(Debug, Clone)]
pub(crate) struct Likelihood<T, S> {
    workers: Vec<Worker<T, S>>,
    d: usize,
}

impl<T, S> Likelihood<T, S>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send,
{
    /// Work arrays for up to `rows` increments at a time; more are taken in turn.
    pub(crate) fn new(sde: &S, rows: usize) -> Self {
        let (d, n_params, kind) = (sde.dim(), sde.n_params(), sde.noise_kind());
        let worker = || Worker {
            sde: sde.clone(),
            kind,
            gaussian: Gaussian::default(),
            f: vec![T::ZERO; TILE * d],
            g: vec![T::ZERO; TILE * kind.values(d)],
            y_bar: vec![T::ZERO; TILE * d],
            p_bar: vec![T::ZERO; n_params],
            loss: 0.0,
            outcome: Ok(()),
        };
        Self { workers: (0..rows.div_ceil(TILE)).map(|_| worker()).collect(), d }
    }

    /// Mean negative log-likelihood of a coordinate's increment, without `½ ln 2π`, and its gradient if one is asked for (set).
    pub(crate) fn evaluate(
        &mut self,
        p: &[T],
        increments: &Increments<T>,
        mut gradient: Option<&mut [T]>,
    ) -> Result<f64, FieldError> {
        let d = self.d;
        let count = increments.slope.iter().filter(|s| !s.f64().is_nan()).count().max(1) as f64;
        if let Some(gradient) = gradient.as_deref_mut() {
            gradient.fill(T::ZERO);
        }
        let with_gradient = gradient.is_some();
        let round = self.workers.len() * TILE;
        let mut loss = 0.0;
        for first in (0..increments.len()).step_by(round.max(1)) {
            let tiles = (increments.len() - first).min(round).div_ceil(TILE);
            self.workers[..tiles].par_iter_mut().enumerate().for_each(|(i, worker)| {
                let from = first + i * TILE;
                let rows = from..(from + TILE).min(increments.len());
                worker.outcome = worker.tile(p, increments, rows, d, count, with_gradient);
            });
            for worker in &mut self.workers[..tiles] {
                std::mem::replace(&mut worker.outcome, Ok(()))?;
                loss += worker.loss;
                if let Some(gradient) = gradient.as_deref_mut() {
                    gradient.iter_mut().zip(&worker.p_bar).for_each(|(sum, &b)| *sum += b);
                }
            }
        }
        Ok(loss / count)
    }
}

impl<T: Real, S: DiffusionVjp<T>> Worker<T, S> {
    /// Sets `loss`, the sum over the rows, and `p_bar`, the gradient of it over `count`.
    fn tile(
        &mut self,
        p: &[T],
        increments: &Increments<T>,
        rows: std::ops::Range<usize>,
        d: usize,
        count: f64,
        with_gradient: bool,
    ) -> Result<(), FieldError> {
        let len = rows.len() * d;
        let values = rows.start * d..rows.end * d;
        let (x, slope) = (&increments.from[values.clone()], &increments.slope[values]);
        let noise = rows.len() * self.kind.values(d);
        let (f, g) = (&mut self.f[..len], &mut self.g[..noise]);
        self.sde.drift_and_diffusion(0.0, x, p, f, g)?;
        self.loss = 0.0;
        if is_correlated(self.kind) {
            let share = 1.0 / count;
            for (i, row) in rows.enumerate() {
                let (h, slope) = (increments.h[row], &slope[i * d..(i + 1) * d]);
                self.loss += self.correlated(d, i, slope, h, share)?;
            }
        } else {
            self.own(slope, &increments.h[rows], d, count);
        }
        if with_gradient {
            self.p_bar.fill(T::ZERO);
            let y_bar = &mut self.y_bar[..len];
            let (f_bar, g_bar) = (&self.f[..len], &self.g[..noise]);
            self.sde.drift_and_diffusion_vjp(0.0, x, p, f_bar, g_bar, y_bar, &mut self.p_bar)?;
        }
        Ok(())
    }

    /// Where each coordinate has noise of its own: adds to `loss` and sets drift and diffusion to their gradients.
    fn own(&mut self, slope: &[T], h: &[f64], d: usize, count: f64) {
        let (f, g) = (&mut self.f[..slope.len()], &mut self.g[..slope.len()]);
        for (i, (f, g)) in f.iter_mut().zip(g.iter_mut()).enumerate() {
            let h = T::c(h[i / d]);
            if slope[i].f64().is_nan() {
                (*f, *g) = (T::ZERO, T::ZERO);
                continue;
            }
            let r = (slope[i] - *f) * h.sqrt() / *g;
            self.loss += 0.5 * (r * r).f64() + (*g).f64().ln() + 0.5 * h.f64().ln();
            let each = T::c(1.0 / count);
            (*f, *g) = (-r * h.sqrt() / *g * each, (T::ONE - r * r) / *g * each);
        }
    }

    /// The value of row `i`, of whose coordinates some may not be measured, where they share motions. Sets drift and diffusion of the row to
    /// their gradients.
    fn correlated(&mut self, d: usize, i: usize, slope: &[T], h: f64, share: f64) -> Result<f64, FieldError> {
        let (motions, root) = (self.kind.motions(d), h.sqrt());
        let f = &mut self.f[i * d..(i + 1) * d];
        let g = &mut self.g[i * d * motions..(i + 1) * d * motions];
        let known: Vec<usize> = (0..d).filter(|&k| !slope[k].f64().is_nan()).collect();
        let columns: Vec<f64> = (0..motions)
            .flat_map(|j| known.iter().map(move |&k| k * motions + j))
            .map(|at| g[at].f64())
            .collect();
        let residual: Vec<f64> = known.iter().map(|&k| (slope[k] - f[k]).f64() * root).collect();
        f.fill(T::ZERO);
        g.fill(T::ZERO);
        if known.is_empty() {
            return Ok(0.0);
        }
        let value = self.gaussian.evaluate(known.len(), &columns, &residual);
        let value = value.ok_or(FieldError::Fatal { t: 0.0, what: SINGULAR })?;
        for (at, &k) in known.iter().enumerate() {
            f[k] = T::c(-self.gaussian.solved[at] * root * share);
            for (j, column) in self.gaussian.g_bar.chunks_exact(known.len()).enumerate() {
                g[k * motions + j] = T::c(column[at] * share);
            }
        }
        Ok(value + 0.5 * known.len() as f64 * h.ln())
    }
}
