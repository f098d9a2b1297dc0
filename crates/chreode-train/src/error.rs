//! Why training stopped, with the numbers that say where.

use crate::LossError;
use chreode_adjoint::AdjointError;
use chreode_solve::SolveError;

/// Errors of the trainer and its engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data do not fit together; `time` and `row` are positions.
    #[error("training data: {what} (time number {time}, row {row})")]
    Data {
        /// What is wrong.
        what: &'static str,
        /// Number of the time, from zero.
        time: usize,
        /// Row within the time, from zero.
        row: usize,
    },
    /// Snapshots at one time say nothing of change.
    #[error("found {found} training times; at least two are needed to learn how cells change")]
    TooFewTimes {
        /// Times found, those left out not counted.
        found: usize,
    },
    /// A time has too few cells.
    #[error("time {time} has {found} cells; at least {needed} are needed")]
    TooFewCells {
        /// The time.
        time: f64,
        /// Its cells.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A population has too few cells at a time.
    #[error(
        "population {population} has {found} cells at time {time}; each needs {needed} at least at every time, since none becomes another"
    )]
    TooFewOfPopulation {
        /// Its number, from zero.
        population: usize,
        /// The time.
        time: f64,
        /// Its cells there.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The hold-out leaves a side of a time nearly empty.
    #[error(
        "time {time}: {train} cells to train on and {hold_out} held out; both need two (change `hold_out`, or hold out by cell)"
    )]
    TooFewHeldOut {
        /// The time.
        time: f64,
        /// Cells to train on.
        train: usize,
        /// Cells held out.
        hold_out: usize,
    },
    /// Cells that lie in a file cannot be read from it.
    #[error("reading cells from the file that holds them: {source}")]
    States {
        /// What happened.
        source: std::io::Error,
    },
    /// A setting is out of its range.
    #[error("{name} = {value}: {rule}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        rule: &'static str,
    },
    /// A slice has the wrong length.
    #[error("{what} has length {got}, expected {expected}")]
    Length {
        /// The slice.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A simulated path left the numbers: the model is too stiff for `dt`, or the learning rate too high.
    #[error(
        "step {step}: path from cell {cell} of time {start} failed ({source}); try a smaller `dt` or `learning_rate`"
    )]
    Path {
        /// Training step, from zero.
        step: u64,
        /// Time at which the path starts.
        start: f64,
        /// Row of the start cell in its snapshot.
        cell: usize,
        /// What happened.
        source: AdjointError,
    },
    /// A path that a device simulated left the numbers.
    #[error(
        "step {step}: path from cell {cell} of time {start} failed ({source}); try a smaller `dt` or `learning_rate`"
    )]
    DevicePath {
        /// Training step, from zero.
        step: u64,
        /// Time at which the path starts.
        start: f64,
        /// Row of the start cell in its snapshot.
        cell: usize,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The device on which paths are simulated failed.
    #[error("step {step}: the device failed: {source}")]
    Device {
        /// Training step, from zero.
        step: u64,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Simulation or its gradient failed, but not for one path.
    #[error("step {step}: {source}")]
    Simulation {
        /// Training step, from zero.
        step: u64,
        /// What happened.
        source: AdjointError,
    },
    /// A loss has no value.
    #[error("step {step}: loss from time {start} to time {target}: {source}")]
    Loss {
        /// Training step, from zero.
        step: u64,
        /// Time at which the paths start.
        start: f64,
        /// Time at which they are compared.
        target: f64,
        /// What happened.
        source: LossError,
    },
    /// The gradient to a parameter is infinite or NaN though all losses were finite.
    #[error(
        "step {step}: the gradient to parameter {parameter} is {value}; try a smaller `dt` or `learning_rate`"
    )]
    Gradient {
        /// Training step, from zero.
        step: u64,
        /// Index in the flat parameter slice.
        parameter: usize,
        /// Its gradient.
        value: f64,
    },
    /// A coupling of two times has no finite potentials.
    #[error(
        "the coupling of two times failed (residual {residual} after {iterations} iterations); try a larger `matching.epsilon`"
    )]
    Coupling {
        /// Part by which the last iteration moved the row sums.
        residual: f64,
        /// Iterations done.
        iterations: usize,
    },
    /// A structure of the noise that a way of training cannot learn.
    #[error("{form} noise cannot be learned by {route}: {why}")]
    NoiseForm {
        /// The structure.
        form: &'static str,
        /// The way of training.
        route: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// The covariance of the cells to which one is coupled could not be taken apart.
    #[error("the covariance of coupled cells: {source}")]
    Covariance {
        /// What happened.
        source: chreode_linalg::LinalgError,
    },
    /// The model has no value at a point of a bridge, or its loss is not finite.
    #[error("step {step}: matching: {source}; try a smaller `learning_rate`")]
    Matching {
        /// Training step, from zero.
        step: u64,
        /// What happened.
        source: chreode_core::FieldError,
    },
    /// A simulation outside training failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A loss outside training failed.
    #[error(transparent)]
    Compare(#[from] LossError),
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The observer could not do its part, such as writing a checkpoint.
    #[error("at step {step}: {source}")]
    Observer {
        /// Steps done.
        step: u64,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is no checkpoint, or damaged.
    #[error("not a whole checkpoint: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// It was written by another version.
    #[error("the checkpoint has format {found}, this version reads {expected}")]
    Format {
        /// Its format.
        found: u32,
        /// The format that is read.
        expected: u32,
    },
    /// It belongs to another run.
    #[error("the checkpoint belongs to another run: its {what} differs")]
    OtherRun {
        /// What differs.
        what: &'static str,
    },
}
