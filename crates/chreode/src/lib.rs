//! Neural differential equations of cell dynamics.
//!
//! chreode learns `dX = f(X) dt + g(X) dW` from snapshots of single cells: a drift, a noise that depends on the
//! state, growth. Then it simulates cells, predicts their fates, perturbs them, and says where the model must not
//! be trusted. Ordinary equations and single layers (solvers, adjoints, dense layers) are there for themselves.
//!
//! This crate is all of it under one name. The [`guide`] teaches it in seven short chapters; [`prelude`] holds the
//! names that they use. Whoever needs one layer only takes that crate alone.
//!
//! | module | crate | holds |
//! |---|---|---|
//! | [`core`] | `chreode-core` | the traits of fields and diffusions, counter-based noise |
//! | [`linalg`] | `chreode-linalg` | dense layers, activations, decompositions, randomised SVD |
//! | [`autodiff`] | `chreode-autodiff` | Jacobians and products with them, of a model that is written once |
//! | [`solve`] | `chreode-solve` | explicit and stiff solvers, events, stochastic methods, ensembles |
//! | [`adjoint`] | `chreode-adjoint` | exact gradients through explicit and stochastic solves |
//! | [`model`] | `chreode-model` | neural drift, diffusion and growth |
//! | [`train`] | `chreode-train` | losses between clouds of cells, optimisers, the trainer |
//! | [`cells`] | `chreode-cells` | `.h5ad` and tables, fates, perturbations, trust, virtual blood |
//! | [`kinetics`] | `chreode-kinetics` | models in SBML, measurements in PEtab: simulation and likelihood |
//! | [`report`] | `chreode-report` | figures and the page |
//!
//! # Conventions
//! * A state is `[n, d]` row-major: the `d` coordinates of one cell are adjacent, `n` cells lie in one slice.
//! * Parameters are one flat slice `p` that the caller owns.
//! * States are `f32` (training) or `f64`; time and step size are always `f64`.
//! * Units are the data's; a diffusion is in state per square root of time.
//! * Same seed, same bits, on any number of threads.
//!
//! # A first look
//! Bursts of a protein that decays: 1,000 cells, their mean after two days.
//! ```
//! use chreode::core::{FieldError, NoiseKind};
//! use chreode::prelude::*;
//!
//! #[derive(Clone)]
//! struct Protein; // dX = (2 - X) dt + 0.3 sqrt(X) dW
//!
//! impl VectorField<f64> for Protein {
//!     fn dim(&self) -> usize { 1 }
//!     fn eval(&mut self, _t: f64, x: &[f64], _p: &[f64], dx: &mut [f64]) -> Result<(), FieldError> {
//!         for (dx, x) in dx.iter_mut().zip(x) { *dx = 2.0 - x; }
//!         Ok(())
//!     }
//! }
//! impl Diffusion<f64> for Protein {
//!     fn noise_kind(&self) -> NoiseKind { NoiseKind::Diagonal }
//!     fn diffusion(&mut self, _t: f64, x: &[f64], _p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
//!         for (g, x) in g.iter_mut().zip(x) { *g = 0.3 * x.max(0.0).sqrt(); }
//!         Ok(())
//!     }
//! }
//!
//! let days = TimeGrid::new(0.0, &[1.0, 2.0], 0.01)?;
//! let cells = simulate(&Protein, &[], &[0.5; 1000], &days, &EnsembleOptions::new(7))?;
//! let mean = cells.states[1].iter().sum::<f64>() / 1000.0;
//! assert!((mean - (2.0 - 1.5 * (-2.0_f64).exp())).abs() < 0.05);
//! # Ok::<(), chreode::solve::SolveError>(())
//! ```

pub mod guide;

pub use chreode_adjoint as adjoint;
pub use chreode_autodiff as autodiff;
pub use chreode_cells as cells;
pub use chreode_core as core;
pub use chreode_kinetics as kinetics;
pub use chreode_linalg as linalg;
pub use chreode_model as model;
pub use chreode_report as report;
pub use chreode_solve as solve;
pub use chreode_train as train;

pub mod prelude {
    //! Twenty names that most programs need: `use chreode::prelude::*`.
    //!
    //! | to | take |
    //! |---|---|
    //! | write an equation | [`field`], [`VectorField`], [`Vjp`], [`Diffusion`] |
    //! | solve it | [`solve`], [`Erk`], [`TSIT5`], [`SolveOptions`] |
    //! | simulate many cells | [`simulate`], [`TimeGrid`], [`EnsembleOptions`] |
    //! | differentiate a solution | [`OdeAdjoint`] |
    //! | learn from snapshots | [`ModelConfig`], [`NeuralSde`], [`Snapshots`], [`States`], [`TrainConfig`], [`Trainer`] |
    //! | read off fates | [`LabelReadout`], [`Rollout`], [`Fates`] |
    //!
    //! Everything else is one module away: `chreode::train::Schedule`, `chreode::cells::Clamp`.

    pub use chreode_adjoint::OdeAdjoint;
    pub use chreode_cells::{Fates, LabelReadout, Rollout};
    pub use chreode_core::{Diffusion, VectorField, Vjp, field};
    pub use chreode_model::{ModelConfig, NeuralSde};
    pub use chreode_solve::{EnsembleOptions, Erk, SolveOptions, TSIT5, TimeGrid, simulate, solve};
    pub use chreode_train::{Snapshots, States, TrainConfig, Trainer};
}

/// The snippet of the README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
