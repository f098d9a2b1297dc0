//! Discrete adjoints: the exact gradient of what a method computed. One sweep (`sweep`) for all methods of ordinary equations,
//! and one file a family of methods for how its step goes backward.

mod erk;
pub(crate) mod euler_maruyama;
pub(crate) mod event;
pub(crate) mod method;
pub(crate) mod sweep;
mod tape;
