//! Discrete adjoints: the exact gradient of what a method computed, one file a family of methods.

pub(crate) mod erk;
pub(crate) mod euler_maruyama;
pub(crate) mod event;
mod tape;
