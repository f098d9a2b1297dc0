//! The training loop: minibatches by time, losses at every target time, hold-out, early stopping, checkpoints.
//!
//! Start with `trainer.rs`: [`Trainer::step`] is one update, [`Trainer::run`] the loop around it. `plan.rs` says
//! which paths are simulated, `batch.rs` draws cells and holds the buffers, `pass.rs`
//! simulates them and sums the losses, `state.rs` is what a checkpoint keeps,
//! `place.rs` moves the simulation to a device, `astray.rs` compares runs of several seeds.
//! Not here: simulation and its gradient (`engine`), the losses (`loss`), files (the observer's).

mod astray;
mod batch;
mod config;
mod observer;
mod pass;
mod place;
mod plan;
mod state;
#[expect(clippy::module_inception, reason = "the type of the module's name")]
mod trainer;

pub use astray::Astray;
pub use config::{GrowthUse, Paths, Standardise, TrainConfig};
pub use observer::{Evaluation, NoObserver, Observer, Outcome, StepReport, StopReason, TermReport};
pub use plan::{PlannedSegment, Target};
pub use trainer::Trainer;

pub(crate) use batch::{inverse_scales, scale};
pub(crate) use plan::{part_of, training_times};
