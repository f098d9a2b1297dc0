//! The gradient of a sum over many trajectories: in tiles of them, each forward and back before the next.
//!
//! What a tile keeps of its run is small, and the next one uses the same room: evaluations need not be made twice, however many
//! trajectories there are. Tiles go side by side; their partition, and the order of sums, depend on the number of trajectories alone.

use std::sync::{Mutex, PoisonError};

use chreode_core::{Real, Vjp};
use chreode_solve::{SolveOptions, TILE};
use rayon::prelude::*;

use super::method::OdeMethod;
use super::sweep::OdeAdjoint;
use crate::AdjointError;
use crate::error::{check_gradient, check_len};

/// Tiles are summed in at most so many groups, each with a gradient of its own.
const GROUPS: usize = 16;

/// The gradient of a loss that is a sum over trajectories, by the discrete adjoint of [`OdeAdjoint`], on all threads.
///
/// Trajectories are cut into tiles of 64 rows, each of which takes steps of its own (if they are adaptive), goes forward, and back. The
/// evaluations of a run are kept on its way back, as far as the room of all threads together allows
/// ([`OdeAdjoint::keep_evaluations`]): through a net the gradient takes about three runs. The same bits come out on any number of
/// threads, and with any room.
///
/// ```
/// use chreode_adjoint::BatchAdjoint;
/// use chreode_solve::{SolveOptions, TSIT5};
/// use chreode_testkit::{LotkaVolterra, SmoothField};
/// let mut batch = BatchAdjoint::new(&TSIT5, SmoothField(LotkaVolterra), 10_000_000);
/// let (p, mut y) = ([1.5, 1.0, 0.75, 3.0], vec![1.0; 1000 * 2]);
/// let options = SolveOptions { save_at: &[1.0, 2.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
/// // Half the sum of all squares at both times.
/// let loss = |_time: usize, _first: usize, y: &[f64], y_bar: &mut [f64]| {
///     y_bar.copy_from_slice(y);
///     y.iter().map(|y| 0.5 * y * y).sum()
/// };
/// let (mut y0_bar, mut p_bar) = (vec![0.0; y.len()], [0.0; 4]);
/// let run = batch.gradient(&p, &mut y, (0.0, 2.0), &options, &loss, &mut y0_bar, &mut p_bar)?;
/// assert!(run.loss > 0.0 && p_bar[0] > 0.0);
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
#[derive(Debug)]
pub struct BatchAdjoint<T, F> {
    method: OdeMethod,
    field: F,
    bytes: usize,
    /// At most as many as threads have worked at the same time.
    idle: Mutex<Vec<Worker<T, F>>>,
    groups: Vec<Group<T>>,
}

/// What a call of [`BatchAdjoint::gradient`] came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchRun {
    /// The sum of what the loss returned, at every time of every tile.
    pub loss: f64,
    /// Accepted steps, each of one tile.
    pub steps: u64,
}

/// A loss of the states `y`, `[rows, d]`, at a saved time: `loss(i, first, y, y_bar)` returns its value and sets `y_bar` to its gradient,
/// where `i` counts `save_at` and the rows are trajectories `first..`.
pub type BatchLoss<'a, T> = dyn Fn(usize, usize, &[T], &mut [T]) -> f64 + Sync + 'a;

#[derive(Debug)]
struct Worker<T, F> {
    field: F,
    /// Of whole tiles, and of the last one, which has so many rows.
    whole: Option<OdeAdjoint<T>>,
    last: Option<(usize, OdeAdjoint<T>)>,
    /// Gradients with respect to the states at the saved times, `[saves, rows, d]`.
    bars: Vec<T>,
}

#[derive(Debug)]
struct Group<T> {
    p_bar: Vec<T>,
    run: Result<BatchRun, AdjointError>,
}

impl<T: Real, F: Vjp<T> + Clone + Send + Sync> BatchAdjoint<T, F> {
    /// For this field, clones of which the threads use. `bytes`, shared by all threads, may be taken by evaluations that are kept; every
    /// state of the tiles in work is stored beside.
    pub fn new(method: impl Into<OdeMethod>, field: F, bytes: usize) -> Self {
        Self { method: method.into(), field, bytes, idle: Mutex::new(Vec::new()), groups: Vec::new() }
    }

    /// Solves for the trajectories `y`, `[n, d]`, from their starts to their ends, as [`OdeAdjoint::forward`] does; sets `y0_bar`,
    /// `[n, d]`, to the gradient of the summed loss with respect to the starts and ADDS that with respect to the parameters to `p_bar`.
    ///
    /// # Errors
    /// Those of [`OdeAdjoint::forward`] and [`OdeAdjoint::backward`], of the first trajectories that had one.
    ///
    /// # Panics
    /// If a tableau is not consistent, as [`OdeAdjoint::new`].
    pub fn gradient(
        &mut self,
        p: &[T],
        y: &mut [T],
        span: (f64, f64),
        options: &SolveOptions<'_>,
        loss: &BatchLoss<'_, T>,
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<BatchRun, AdjointError> {
        let d = self.field.dim().max(1);
        let n = y.len() / d;
        check_len("start states (a multiple of the dimension)", y.len(), n * d)?;
        check_len("y0_bar", y0_bar.len(), y.len())?;
        check_len("p_bar", p_bar.len(), p.len())?;
        let tiles_per_group = n.div_ceil(TILE).div_ceil(GROUPS).max(1);
        let rows_per_group = tiles_per_group * TILE;
        let groups = n.div_ceil(rows_per_group);
        self.groups
            .resize_with(groups, || Group { p_bar: Vec::new(), run: Err(AdjointError::NoForwardPass) });
        // What no tile of this call uses keeps nothing.
        for worker in self.idle.get_mut().unwrap_or_else(PoisonError::into_inner) {
            worker.whole = worker.whole.take().filter(|_| n >= TILE);
            worker.last = worker.last.take().filter(|last| last.0 == n % TILE);
        }
        let kept_rows = if n < TILE { n } else { TILE + n % TILE };
        let threads = rayon::current_num_threads().min(groups).max(1);
        let job = Job { p, span, options, loss, d, kept_rows, bytes: self.bytes / threads };
        let (idle, method, field) = (&self.idle, self.method, &self.field);
        let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let states = y.par_chunks_mut(rows_per_group * d).zip(y0_bar.par_chunks_mut(rows_per_group * d));
        self.groups.par_iter_mut().zip(states).enumerate().for_each(|(g, (group, (y, y0_bar)))| {
            let waiting = {
                let mut idle = lock();
                // One that has seen the last tile for who will, the others for the others.
                let at = idle.iter().position(|worker| (g + 1 == groups) == worker.last.is_some());
                at.map(|at| idle.swap_remove(at)).or_else(|| idle.pop())
            };
            let mut worker = waiting.unwrap_or_else(|| Worker {
                field: field.clone(),
                whole: None,
                last: None,
                bars: Vec::new(),
            });
            group.p_bar.clear();
            group.p_bar.resize(p.len(), T::ZERO);
            let tiles = y.chunks_mut(TILE * d).zip(y0_bar.chunks_mut(TILE * d)).enumerate();
            let mut whole = BatchRun { loss: 0.0, steps: 0 };
            group.run = Ok(whole);
            for (k, (y, y0_bar)) in tiles {
                let first = g * rows_per_group + k * TILE;
                match worker.tile(method, &job, first, y, y0_bar, &mut group.p_bar) {
                    Ok(tile) => {
                        whole.loss += tile.loss;
                        whole.steps += tile.steps;
                        group.run = Ok(whole);
                    }
                    Err(error) => {
                        group.run = Err(error.after(first as u64));
                        break;
                    }
                }
            }
            lock().push(worker);
        });
        let mut whole = BatchRun { loss: 0.0, steps: 0 };
        for group in &mut self.groups {
            let run = std::mem::replace(&mut group.run, Err(AdjointError::NoForwardPass))?;
            whole.loss += run.loss;
            whole.steps += run.steps;
        }
        for group in &self.groups {
            p_bar.iter_mut().zip(&group.p_bar).for_each(|(sum, &bar)| *sum += bar);
        }
        check_gradient(p_bar, (0, n), span.0)?;
        Ok(whole)
    }
}

/// What is the same for all tiles of a call.
struct Job<'a, T> {
    p: &'a [T],
    span: (f64, f64),
    options: &'a SolveOptions<'a>,
    loss: &'a BatchLoss<'a, T>,
    d: usize,
    /// Rows of a whole tile and of the last one: what a worker may keep evaluations for.
    kept_rows: usize,
    bytes: usize,
}

impl<T: Real, F: Vjp<T>> Worker<T, F> {
    /// The trajectories from `first` on, forward and back.
    fn tile(
        &mut self,
        method: OdeMethod,
        job: &Job<'_, T>,
        first: usize,
        y: &mut [T],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<BatchRun, AdjointError> {
        let (len, rows) = (y.len(), y.len() / job.d);
        let make = || OdeAdjoint::new(method, rows, job.d);
        let adjoint = if rows == TILE {
            self.whole.get_or_insert_with(make)
        } else {
            &mut self.last.get_or_insert_with(|| (rows, make())).1
        };
        // Both keep what they have: each its part, for as many steps.
        adjoint.keep_evaluations(job.bytes / job.kept_rows * rows);
        self.bars.clear();
        let (bars, mut loss) = (&mut self.bars, 0.0);
        let mut save = |i: usize, _t: f64, y: &[T]| {
            let start = bars.len();
            bars.resize(start + len, T::ZERO);
            loss += (job.loss)(i, first, y, &mut bars[start..]);
        };
        let stats = adjoint.forward(&mut self.field, job.p, y, job.span, job.options, &mut save)?;
        adjoint.backward_flat(&mut self.field, job.p, &self.bars, y0_bar, p_bar)?;
        Ok(BatchRun { loss, steps: stats.accepted })
    }
}
