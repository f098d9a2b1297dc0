//! Chapter 3: stochastic equations.
//!
//! `dX = f(X) dt + g(X) dW` (Itô) is a type with two methods: the drift in [`VectorField`](crate::core::VectorField)
//! and the noise in [`Diffusion`](crate::core::Diffusion), each for `n` cells at once. Here noise is
//! separable: coordinate `i` has its own Brownian motion with size `g_i(X_i)`, in state per square root of time. Say
//! `Diagonal` where `g_i` depends on other coordinates too.
//! ```
//! use chreode::core::{FieldError, NoiseKind, Tolerance};
//! use chreode::prelude::*;
//! use chreode::solve::{AdaptiveOptions, SdeMethod, simulate_adaptive};
//!
//! /// A cell decides between two states, x = ±1, and is noisier before it has.
//! #[derive(Clone)]
//! struct Decision;
//!
//! impl VectorField<f32> for Decision {
//!     fn dim(&self) -> usize { 1 }
//!     fn eval(&mut self, _t: f64, x: &[f32], _p: &[f32], dx: &mut [f32]) -> Result<(), FieldError> {
//!         for (dx, x) in dx.iter_mut().zip(x) { *dx = 2.0 * (x - x * x * x); }
//!         Ok(())
//!     }
//! }
//! impl Diffusion<f32> for Decision {
//!     fn noise_kind(&self) -> NoiseKind { NoiseKind::Separable }
//!     fn diffusion(&mut self, _t: f64, x: &[f32], _p: &[f32], g: &mut [f32]) -> Result<(), FieldError> {
//!         for (g, x) in g.iter_mut().zip(x) { *g = 0.2 + 0.4 * (-2.0 * x * x).exp(); }
//!         Ok(())
//!     }
//! }
//!
//! // Where the cells are looked at, and the longest step between.
//! let grid = TimeGrid::new(0.0, &[0.5, 3.0], 0.02)?;
//! let run = |start: f32, seed| simulate(&Decision, &[], &[start; 2000], &grid, &EnsembleOptions::new(seed));
//! let right = |x: &[f32]| x.iter().filter(|x| **x > 0.0).count() as f64 / x.len() as f64;
//!
//! let undecided = run(0.0, 1)?;
//! assert!((right(&undecided.states[1]) - 0.5).abs() < 0.05);
//!
//! // The same seed is the same noise: cell i of both runs differs by its start alone. Such pairs say what a
//! // change does with far fewer cells than independent runs would.
//! let pushed = run(0.2, 1)?;
//! assert_eq!(undecided, run(0.0, 1)?);
//! let lost = pushed.states[1].iter().zip(&undecided.states[1]).filter(|(a, b)| **a < 0.0 && **b > 0.0).count();
//! assert!(right(&pushed.states[1]) > 0.6 && lost == 0); // no cell that went right is lost
//!
//! // What must hold after every step, for each cell by itself: here, x stays above zero.
//! let positive = |_t: f64, x: &mut [f32]| x.iter_mut().for_each(|x| *x = x.max(0.0));
//! let options = EnsembleOptions { after_step: Some(&positive), ..EnsembleOptions::new(1) };
//! let bounded = simulate(&Decision, &[], &[0.0; 100], &grid, &options)?;
//! assert!(bounded.states.iter().flatten().all(|x| *x >= 0.0));
//!
//! // Other methods than Euler-Maruyama have a higher order; some choose the steps of each cell by its error. A method
//! // refuses noise on which it would lose its order.
//! let options = EnsembleOptions { method: SdeMethod::Milstein, ..EnsembleOptions::new(1) };
//! let milstein = simulate(&Decision, &[], &[0.0; 100], &grid, &options)?;
//! let options = AdaptiveOptions::new(SdeMethod::Sriw1, Tolerance::new(1e-3, 1e-3), 1);
//! let adaptive = simulate_adaptive(&Decision, &[], &[0.0; 100], (0.0, 3.0), &[0.5, 3.0], &options)?;
//! assert!(milstein.states[1].iter().chain(&adaptive.states[1]).all(|x| x.is_finite()));
//! assert!(simulate(&Decision, &[], &[0.0], &grid, &EnsembleOptions { method: SdeMethod::Sra1, ..EnsembleOptions::new(1) }).is_err());
//! # Ok::<(), chreode::solve::SolveError>(())
//! ```
//! Work is cut into tiles of 64 cells, and the noise of a cell depends on its number, the step and the seed alone:
//! one thread and many give the same bits.
