//! Discrete adjoints: the exact gradient of what a method computed, one file a family of methods.

pub(crate) mod erk;

pub(crate) mod event;
pub(crate) mod sde;
pub(crate) mod sde_step;
mod tape;
