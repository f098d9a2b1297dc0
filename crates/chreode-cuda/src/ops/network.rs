//! Ensembles of small networks, each trajectory with its own steps.
//!
//! References: [Tsi11] Tsitouras (2011), Comput. Math. Appl. 62, 770-775; [HNW93] section II.4.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::{at_most, check_len, int};
use crate::kernels::{THREADS, tsit5_ensemble};

const FLOAT: usize = size_of::<f32>();
/// Vectors of a trajectory: seven stages, the state, and that of the stage.
const SLOTS: usize = 9;

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

/// How precise, and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tsit5Options {
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
    /// [`CudaError::TooLarge`] for more coordinates than fit the shared memory (24 on an H100), and for a term that names a coordinate which
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
    /// [`CudaError::Shape`] for other lengths, or for times that do not ascend; [`CudaError::OtherStream`]; the launch's.
    pub fn solve(
        &self,
        options: Tsit5Options,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        times: &[f64],
        saved: &mut Buffer<f32>,
    ) -> Result<Vec<TrajectoryEnd>, CudaError> {
        let n = start.len() / self.d;
        check_len("start states", start.len(), n * self.d)?;
        let each = p.len() != self.terms;
        if each {
            check_len("parameters (of all trajectories, or of each)", p.len(), n * self.terms)?;
        }
        check_len("times (at least)", times.len().min(1), 1)?;
        let ascending = times.windows(2).filter(|w| w[0] < w[1]).count();
        check_len("times that ascend", ascending, times.len() - 1)?;
        check_len("saved states", saved.len(), ascending * n * self.d)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        let times = self.stream.upload(times)?;
        let (mut steps, mut status) = (self.stream.zeros(2 * n)?, self.stream.zeros(n)?);
        let blocks = (int("trajectories", n)? as u32).div_ceil(THREADS as u32);
        let grid = Grid { blocks: (blocks, 1), shared: FLOAT * SLOTS * THREADS * self.d };
        // SAFETY: all lengths are checked above; terms name coordinates below `d`, checked in `new`.
        unsafe {
            tsit5_ensemble(
                &self.stream,
                grid,
                self.d as i32,
                n as i32,
                int("terms", self.terms)?,
                int("times", ascending)?,
                i32::from(each),
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
        let (steps, status) = (steps.to_vec()?, status.to_vec()?);
        let end = |row: usize, status: i32| match status {
            0 => TrajectoryEnd::Done { accepted: steps[row] as usize, rejected: steps[n + row] as usize },
            1 => TrajectoryEnd::TooManySteps,
            2 => TrajectoryEnd::StepTooSmall,
            _ => TrajectoryEnd::NonFiniteStart,
        };
        Ok(status.iter().enumerate().map(|(row, &s)| end(row, s)).collect())
    }
}
