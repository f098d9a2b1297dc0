//! PEtab, version 1: measurements, the conditions under which they were made, and what a model has to do with them.
//!
//! `read.rs` and `tables.rs` read the files, `problem.rs` checks what they say against the model, `simulate.rs` computes what was
//! measured, `likelihood.rs` compares; `gradient.rs` and `adjoint.rs` differentiate that; `outer.rs` fits what only
//! observables see; `along.rs` follows runs, `elsewhere.rs` hands them to other integrators, `idle.rs` finds what nothing depends on. Not here: fits (`fit`).

mod adjoint;
mod along;
mod curves;
pub mod elsewhere;
mod error;
mod gradient;
mod idle;
mod langevin;
mod likelihood;
mod observables;
mod outer;
mod prior;
mod problem;
mod read;
mod simulate;
mod tables;

pub(crate) use along::{Path, Sizes};
pub use curves::Curve;
pub use error::PetabError;
pub use gradient::{Evaluation, Objective};
pub use likelihood::Likelihood;
pub use prior::Prior;
pub use problem::Problem;
pub use simulate::Simulation;
pub use tables::{Measurement, NoiseDistribution, ParameterRow, Scale, Transformation};
