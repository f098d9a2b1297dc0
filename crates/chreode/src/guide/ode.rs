//! Chapter 1: ordinary equations.
//!
//! # Solve
//! An equation `dy/dt = f(t, y; p)` is a closure over one trajectory. The state goes in as the start and comes
//! out as the end; states in between are handed to a closure.
//! ```
//! use chreode::prelude::*;
//!
//! // Selkov's glycolytic oscillator: y = [ADP, F6P], p = [a, b].
//! let mut selkov = field(2, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| {
//!     let turnover = (p[0] + y[0] * y[0]) * y[1];
//!     dy[0] = turnover - y[0];
//!     dy[1] = p[1] - turnover;
//! });
//! let (mut y, mut tsit5) = ([0.5, 1.5], Erk::new(&TSIT5, 1, 2)); // 1 trajectory of 2 coordinates
//! let options = SolveOptions { save_at: &[5.0, 10.0], ..SolveOptions::tolerance(1e-8, 1e-8) };
//! let mut adp = Vec::new();
//! let stats = solve(&mut selkov, &[0.08, 0.6], &mut y, (0.0, 20.0), &mut tsit5, &options, &mut |_i, _t, y| {
//!     adp.push(y[0]);
//! })?;
//! assert_eq!(adp.len(), 2);
//! assert!(stats.accepted < 200 && y.iter().all(|y| (0.1..3.0).contains(y)));
//! # Ok::<(), chreode::solve::SolveError>(())
//! ```
//! Many trajectories are one state `[n, d]`, with `Erk::new(&TSIT5, n, d)`: the closure above stays as it is.
//!
//! # Gradient
//! What is to be differentiated needs [`Vjp`](crate::core::Vjp). A neural drift has it, and an equation that you write once as a
//! [`Dynamics`](crate::core::Dynamics) has every derivative from [`Auto`](crate::autodiff::Auto) (the example `written_once`); by hand it is
//! written where that is too slow (the example of `chreode-adjoint`). [`OdeAdjoint`](crate::adjoint::OdeAdjoint) solves,
//! remembers its steps, and returns the exact gradient of any function of the states at the saved times: you
//! give that function's gradient to those states, and the adjoint state jumps by it there.
//! ```
//! use chreode::model::DiffusionConfig;
//! use chreode::prelude::*;
//! use chreode::train::{Optimiser, OptimiserConfig, squared_error};
//!
//! // A small neural drift in two dimensions. Its noise is not used by an ordinary equation.
//! let mut config = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
//! config.drift.hidden = vec![16];
//! config.diffusion = DiffusionConfig::Constant { initial_level: 1.0 };
//! let mut net = NeuralSde::<f64>::new(config)?;
//! let mut p = net.init(1);
//!
//! // Three measurements of something that turns by a quarter in a time of 1.5.
//! let (times, measured) = ([0.5, 1.0, 1.5], [0.87, 0.5, 0.5, 0.87, 0.0, 1.0]);
//! let options = SolveOptions { save_at: &times, ..SolveOptions::tolerance(1e-6, 1e-6) };
//! let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 2);
//! let mut adam = Optimiser::new(OptimiserConfig::adam(), p.len());
//! let (mut states, mut bars, mut y0_bar) = ([0.0; 6], [0.0; 6], [0.0; 2]);
//! let (mut p_bar, mut losses) = (vec![0.0; p.len()], Vec::new());
//! for _ in 0..100 {
//!     adjoint.forward(&mut net, &p, &mut [1.0, 0.0], (0.0, 1.5), &options, &mut |i, _t, y| {
//!         states[2 * i..2 * i + 2].copy_from_slice(y);
//!     })?;
//!     losses.push(squared_error(&states, &measured, &[0.1], &mut bars)?);
//!     let jumps: Vec<&[f64]> = bars.chunks_exact(2).collect();
//!     p_bar.fill(0.0); // gradients are added
//!     adjoint.backward(&mut net, &p, &jumps, &mut y0_bar, &mut p_bar)?;
//!     adam.update(&mut p, &p_bar, 0.02)?;
//! }
//! assert!(losses[99] < 0.05 * losses[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! The example `neural_ode` learns a spiral, predators and prey, and glycolysis from noisy, irregular series in this way, start
//! states included, checks the gradients against differences, continues each series by one period, and draws it.
