//! What the reverse of implicit methods shares: Jacobians of any field (`field`), the linear systems of a step's stages (`system`,
//! `decoupled`), and their nonlinear equations solved to rounding, with the adjoint ones (`stages`).

mod decoupled;
pub(super) mod field;
pub(super) mod stages;
pub(super) mod system;
