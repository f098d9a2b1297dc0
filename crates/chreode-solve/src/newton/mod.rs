//! What implicit methods share: the field's Jacobian, by the best route that the field offers, and the linear systems of
//! their Newton iterations, in the form (dense, banded, sparse) that solves them fastest, or without matrices (`krylov`).
//!
//! Start with `linearisation`; `convergence` judges an iteration, `part` says what it is for. Not here: when a Jacobian is too old (each method's file), factorisations (`chreode-linalg`).

mod consistency;
pub(crate) mod convergence;
pub(crate) mod differences;
pub(crate) mod krylov;
pub(crate) mod linearisation;
pub(crate) mod part;
pub(crate) mod weights;
