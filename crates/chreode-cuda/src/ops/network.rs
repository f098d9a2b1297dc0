//! Ensembles of small networks, each trajectory with its own steps.
//!
//! References: [Tsi11] Tsitouras (2011), Comput. Math. Appl. 62, 770-775; [Ste23] Steinebach (2023), BIT Numer. Math. 63, 27; [HNW93]
//! section II.4.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::{at_most, check_len, int, positive};
use crate::kernels::{THREADS, rosenbrock_ensemble, tsit5_ensemble};

const FLOAT: usize = size_of::<f32>();
/// Vectors of a trajectory: seven stages, the state, and that of the stage.
pub(super) const SLOTS: usize = 9;
/// Of a stiff one: eight stages, the state, that of the stage, row exchanges.
const STIFF_SLOTS: usize = 11;

/// A term of a polynomial field: its parameter times the product of its factors, added to some coordinates.
///
/// A reaction of mass action is one term: its factors are the reactants, its effects their changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Term {
    /// Coordinates that are multiplied, each as often as it stands here.
    pub factors: Vec<usize>,
    /// Coordinates that it changes, and by how much for each unit of its rate.
    pub effects: Vec<(usize, f32)>,
}

/// How precise, and how long, where each trajectory has its own steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveOptions {
    /// Relative tolerance; below 1e-6 the states' f32 has no digits for it.
    pub rtol: f32,
    /// Absolute tolerance, above zero.
    pub atol: f32,
    /// The most steps of a trajectory, tried or accepted.
    pub max_steps: usize,
}

/// Why a trajectory stopped, or its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrajectoryEnd {
    /// It came to the last time.
    Done {
        /// Steps that were accepted.
        accepted: usize,
        /// Steps that were tried again.
        rejected: usize,
    },
    /// It took as many steps as it may.
    TooManySteps,
    /// Its steps became too small to move time: stiff, or running away.
    StepTooSmall,
    /// Its start is not finite.
    NonFiniteStart,
}

/// A polynomial field on a device.
#[derive(Debug)]
pub struct Network {
    stream: Stream,
    d: usize,
    terms: usize,
    factor_starts: Buffer<i32>,
    factors: Buffer<i32>,
    effect_starts: Buffer<i32>,
    effect_rows: Buffer<i32>,
    effects: Buffer<f32>,
}

impl Network {
    /// Of `d` coordinates and these terms, whose rates are the parameters, in their order.
    ///
    /// # Errors
    /// [`CudaError::TooLarge`] for more coordinates than fit the shared memory (25 on an H100), and for a term that names a coordinate which
    /// there is not; [`CudaError::Shape`] without a coordinate.
    pub fn new(stream: &Stream, d: usize, terms: &[Term]) -> Result<Self, CudaError> {
        check_len("coordinates of a network (at least)", d.min(1), 1)?;
        let room = stream.device().info().shared_memory / (FLOAT * SLOTS * THREADS);
        at_most("coordinates of a network", d, room)?;
        let (mut factor_starts, mut effect_starts) = (vec![0], vec![0]);
        let (mut factors, mut rows, mut effects) = (Vec::new(), Vec::new(), Vec::new());
        for term in terms {
            for &factor in &term.factors {
                at_most("coordinate of a factor", factor, d - 1)?;
                factors.push(factor as i32);
            }
            for &(row, effect) in &term.effects {
                at_most("coordinate of an effect", row, d - 1)?;
                rows.push(row as i32);
                effects.push(effect);
            }
            factor_starts.push(int("factors", factors.len())?);
            effect_starts.push(int("effects", rows.len())?);
        }
        Ok(Self {
            stream: stream.clone(),
            d,
            terms: terms.len(),
            factor_starts: stream.upload(&factor_starts)?,
            factors: stream.upload(&factors)?,
            effect_starts: stream.upload(&effect_starts)?,
            effect_rows: stream.upload(&rows)?,
            effects: stream.upload(&effects)?,
        })
    }

    /// Solves from `start`, `[n, d]`, at the first of `times` to the last, by Tsitouras 5(4), and sets `saved`, `[times - 1, n, d]`, to the
    /// states at the times after the first. `p` is `[terms]`, the same for all, or `[n, terms]`. A trajectory that stops on its way is zero
    /// from there on.
    ///
    /// # Errors
    /// [`CudaError::Shape`] for other lengths, or for times that do not ascend; [`CudaError::Setting`] for tolerances that are not positive,
    /// or times that are not finite; [`CudaError::OtherStream`]; the launch's.
    pub fn solve(
        &self,
        options: AdaptiveOptions,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        times: &[f64],
        saved: &mut Buffer<f32>,
    ) -> Result<Vec<TrajectoryEnd>, CudaError> {
        let Run { n, saves, each } = Run::check(options, self.d, self.terms, p, start, times, saved)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        let times = self.stream.upload(times)?;
        let (mut steps, mut status) = (self.stream.zeros(2 * n)?, self.stream.zeros(n)?);
        let blocks = (n as u32).div_ceil(THREADS as u32);
        let grid = Grid { blocks: (blocks, 1), shared: FLOAT * SLOTS * THREADS * self.d };
        // SAFETY: all lengths are checked above; terms name coordinates below `d`, checked in `new`.
        unsafe {
            tsit5_ensemble(
                &self.stream,
                grid,
                self.d as i32,
                n as i32,
                int("terms", self.terms)?,
                saves,
                each,
                int("steps", options.max_steps)?,
                options.rtol,
                options.atol,
                &self.factor_starts,
                &self.factors,
                &self.effect_starts,
                &self.effect_rows,
                &self.effects,
                p,
                start,
                &times,
                saved,
                &mut steps,
                &mut status,
            )?;
        }
        ends(&steps, &status)
    }

    /// As [`solve`](Self::solve), of a stiff network: by `Rodas5P` with the field's exact Jacobian, one linear system of `d` unknowns a stage and
    /// trajectory. States are f32: relative tolerances below 1e-5 have no digits.
    ///
    /// # Errors
    /// As [`solve`](Self::solve); [`CudaError::TooLarge`] for more coordinates than fit the shared memory (20 on an H100).
    pub fn solve_stiff(
        &self,
        options: AdaptiveOptions,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        times: &[f64],
        saved: &mut Buffer<f32>,
    ) -> Result<Vec<TrajectoryEnd>, CudaError> {
        let d = self.d;
        let Run { n, saves, each } = Run::check(options, d, self.terms, p, start, times, saved)?;
        let Room { blocks, outside, shared, matrices } = Room::of(&self.stream, d, n, STIFF_SLOTS)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        let mut matrices = self.stream.zeros(matrices)?;
        let times = self.stream.upload(times)?;
        let (mut steps, mut status) = (self.stream.zeros(2 * n)?, self.stream.zeros(n)?);
        // SAFETY: all lengths are checked above, the systems have room; terms name coordinates below `d`, checked in `new`.
        unsafe {
            rosenbrock_ensemble(
                &self.stream,
                Grid { blocks: (blocks, 1), shared },
                d as i32,
                n as i32,
                int("terms", self.terms)?,
                saves,
                each,
                i32::from(outside),
                int("steps", options.max_steps)?,
                options.rtol,
                options.atol,
                &self.factor_starts,
                &self.factors,
                &self.effect_starts,
                &self.effect_rows,
                &self.effects,
                p,
                start,
                &times,
                &mut matrices,
                saved,
                &mut steps,
                &mut status,
            )?;
        }
        ends(&steps, &status)
    }
}

/// A run whose lengths fit: trajectories, save times, and whether each has its own parameters.
pub(super) struct Run {
    pub(super) n: usize,
    pub(super) saves: i32,
    pub(super) each: i32,
}

impl Run {
    pub(super) fn check(
        options: AdaptiveOptions,
        d: usize,
        n_params: usize,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        times: &[f64],
        saved: &Buffer<f32>,
    ) -> Result<Self, CudaError> {
        positive("the relative tolerance", f64::from(options.rtol))?;
        positive("the absolute tolerance", f64::from(options.atol))?;
        if let Some(&value) = times.iter().find(|t| !t.is_finite()) {
            return Err(CudaError::Setting { name: "a time", value, rule: "must be finite" });
        }
        let n = start.len() / d;
        check_len("start states", start.len(), n * d)?;
        let each = p.len() != n_params;
        if each {
            check_len("parameters (of all trajectories, or of each)", p.len(), n * n_params)?;
        }
        check_len("times (at least)", times.len().min(1), 1)?;
        let ascending = times.windows(2).filter(|w| w[0] < w[1]).count();
        check_len("times that ascend", ascending, times.len() - 1)?;
        check_len("saved states", saved.len(), ascending * n * d)?;
        int("trajectories", n)?;
        Ok(Self { n, saves: int("times", ascending)?, each: i32::from(each) })
    }
}

/// Where the vectors and linear systems of stiff trajectories are.
pub(super) struct Room {
    pub(super) blocks: u32,
    /// Whether the systems do not fit the shared memory beside the vectors.
    pub(super) outside: bool,
    /// Bytes of shared memory of a block.
    pub(super) shared: usize,
    /// Numbers of the systems outside of it.
    pub(super) matrices: usize,
}

impl Room {
    pub(super) fn of(stream: &Stream, d: usize, n: usize, slots: usize) -> Result<Self, CudaError> {
        let room = stream.device().info().shared_memory / (FLOAT * THREADS);
        at_most("coordinates of a stiff network", d, room / slots)?;
        let outside = (slots + d) * d > room;
        let threads = n.div_ceil(THREADS) * THREADS;
        Ok(Self {
            blocks: int("trajectories", n)? as u32 / THREADS as u32 + u32::from(!n.is_multiple_of(THREADS)),
            outside,
            shared: FLOAT * THREADS * d * if outside { slots } else { slots + d },
            matrices: if outside { threads * d * d } else { 0 },
        })
    }
}

/// What became of the trajectories, from the kernels' `steps`, `[2, n]`, and `status`, `[n]`.
pub(super) fn ends(steps: &Buffer<i32>, status: &Buffer<i32>) -> Result<Vec<TrajectoryEnd>, CudaError> {
    let (steps, status) = (steps.to_vec()?, status.to_vec()?);
    let n = status.len();
    let end = |row: usize, status: i32| match status {
        0 => TrajectoryEnd::Done { accepted: steps[row] as usize, rejected: steps[n + row] as usize },
        1 => TrajectoryEnd::TooManySteps,
        2 => TrajectoryEnd::StepTooSmall,
        _ => TrajectoryEnd::NonFiniteStart,
    };
    Ok(status.iter().enumerate().map(|(row, &s)| end(row, s)).collect())
}
