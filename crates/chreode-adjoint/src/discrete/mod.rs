//! Discrete adjoints: the exact gradient of what a method computed. One sweep (`sweep`) for all methods of ordinary equations,
//! and one file a family of methods for how its step goes backward.

pub(crate) mod batch;
mod bdf;
mod erk;
mod esdirk;
mod implicit;
mod keep;
pub(crate) mod method;
mod radau;
mod rosenbrock;
pub(crate) mod sde;
pub(crate) mod sde_step;
pub(crate) mod sweep;
mod tape;

pub(crate) use implicit::field::whole;
