//! Running a model: `field.rs` is what is integrated, `switches.rs` where formulas jump, `events.rs` what happens there, `run.rs` the
//! loop over the pieces between (`piece.rs`), `steady.rs` runs until nothing changes, `sensitivity/` takes derivatives
//! along, `langevin/` adds chemical noise.

mod events;
mod field;
mod langevin;
mod piece;
mod run;
mod sensitivity;
mod steady;
mod switches;
mod trajectory;

pub(crate) use field::Recorded;
pub use langevin::{LangevinOptions, LangevinRun};
pub(crate) use run::MOST_STEPS;
pub use run::{Simulator, Tolerances};
pub(crate) use sensitivity::{Derivatives, Tangent};
pub(crate) use steady::rests;
pub use trajectory::Trajectory;
pub(crate) use trajectory::number;
