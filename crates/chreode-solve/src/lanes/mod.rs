//! Many trajectories of one model in the lanes of vectors, each with its own time and step size.
//!
//! Start with `ensemble` (what is asked and answered); `group` is 16 lanes and their steps, `seats` what befalls one
//! of them, `columns` the sums over stages.
//! Not here: noise (`sde`); fields that are not written as [`Dynamics`](chreode_core::Dynamics) (`solve`).

mod columns;
pub(crate) mod ensemble;
mod group;
mod seats;
