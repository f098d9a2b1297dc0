//! The user guide: seven chapters, each read in a few minutes. All code in it runs as a test.
//!
//! 1. [`ode`]: solve an ordinary equation, and fit one to a measured series.
//! 2. [`solvers`]: which solver for which equation; stiffness, Jacobians, tolerances, events.
//! 3. [`sde`]: write a stochastic equation and simulate many cells.
//! 4. [`snapshots`]: learn one from cells that were each seen once.
//! 5. [`fates`]: what cells of today become.
//! 6. [`perturbation`]: what they become when something is changed.
//! 7. [`kinetics`]: models in SBML, measured concentrations in PEtab.
//!
//! Most have an example that does the whole job with checks:
//! `cargo run --release -p chreode --example neural_ode` (or `neural_sde`, `fates`, `perturbation`).
//!
//! A biologist with a file of cells needs none of this: the program `chreode` does the job from the shell.

pub mod fates;
pub mod kinetics;
pub mod ode;
pub mod perturbation;
pub mod sde;
pub mod snapshots;
pub mod solvers;
