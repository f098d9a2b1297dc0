//! What the reverse of implicit methods shares: Jacobians of any field (`field`), the linear systems of a step's stages (`system`,
//! `decoupled`), their nonlinear equations solved to rounding, with the adjoint ones (`stages`), forward runs of such steps (`exact`),
//! and what these leave for the way back (`kept`).

mod decoupled;
pub(super) mod exact;
pub(super) mod field;
pub(super) mod kept;
pub(super) mod stages;
pub(super) mod system;
