//! Chapter 2: which solver?
//!
//! | the equation | take |
//! |---|---|
//! | smooth, any size, up to six digits | [`TSIT5`](crate::solve::TSIT5), the default |
//! | smooth, seven digits and more | [`VERN7`](crate::solve::VERN7), [`VERN8`](crate::solve::VERN8); beyond ten [`VERN9`](crate::solve::VERN9) |
//! | one digit, or a field with kinks | [`BOSH3`](crate::solve::BOSH3) |
//! | a neural field in training | fixed steps of [`RK4`](crate::solve::RK4), or `TSIT5` |
//! | stiff, up to some hundred coordinates | [`Radau5`](crate::solve::Radau5) |
//! | stiff, eight digits and more | [`Radau`](crate::solve::Radau), which chooses orders 5, 9 and 13 |
//! | stiff, and large or costly to evaluate | [`Bdf`](crate::solve::Bdf); too large for a matrix: [`Bdf::with_krylov`](crate::solve::Bdf::with_krylov) |
//! | stiff and oscillating, with an exact Jacobian | [`Rosenbrock`](crate::solve::Rosenbrock) with [`RODAS5P`](crate::solve::RODAS5P) |
//! | stiff, three digits, factorisations that dominate | [`Esdirk`](crate::solve::Esdirk) with [`KENCARP4`](crate::solve::KENCARP4), or `Bdf` |
//! | stiff now and then, or you do not know | [`AutoSwitch`](crate::solve::AutoSwitch) of `TSIT5` and `Radau5` |
//! | algebraic equations among differential ones (index 1) | `Radau5` or `Bdf` with a mass matrix |
//! | thousands of trajectories of one small model | [`solve_lanes`](crate::solve::solve_lanes) |
//! | with noise | [`SdeMethod`](crate::solve::SdeMethod) lists the methods; Euler-Maruyama for nets, SRIW1 for accurate paths |
//!
//! # Is it stiff?
//! Reactions of a microsecond beside changes of an hour: an explicit method must follow the fast ones although nothing
//! happens there any more. It shows in the statistics: hundreds of thousands of steps for a smooth curve, or
//! [`TooManySteps`](crate::solve::SolveError::TooManySteps). Van der Pol's oscillator, both ways:
//! ```
//! use chreode::prelude::*;
//! use chreode::solve::{Radau5, Stepper};
//!
//! let mut oscillator = field(2, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| {
//!     dy[0] = y[1];
//!     dy[1] = p[0] * (1.0 - y[0] * y[0]) * y[1] - y[0];
//! });
//! let options = SolveOptions::tolerance(1e-6, 1e-6);
//! let mut steps = |stepper: &mut dyn Stepper<f64>| {
//!     let mut y = [2.0, 0.0];
//!     let stats = solve(&mut oscillator, &[1e3], &mut y, (0.0, 100.0), stepper, &options, &mut |_, _, _| {})?;
//!     Ok::<_, chreode::solve::SolveError>((y[0], stats.accepted + stats.rejected))
//! };
//! let (explicit, many) = steps(&mut Erk::new(&TSIT5, 1, 2))?;
//! let (implicit, few) = steps(&mut Radau5::new(1, 2))?;
//! assert!((explicit - implicit).abs() < 1e-4);
//! assert!(many > 20_000 && few < 100);
//! # Ok::<(), chreode::solve::SolveError>(())
//! ```
//!
//! # The Jacobian
//! Stiff methods need ∂f/∂y. Without one they take differences of the field, which is right for most uses. A model written
//! once as a [`Dynamics`](crate::core::Dynamics) has an exact one, with its sparsity, from
//! [`Auto`](crate::autodiff::Auto); a field of your own may implement [`Jacobian`](crate::core::Jacobian). Either goes to
//! [`solve_with_jacobian`](crate::solve::solve_with_jacobian). With a sparsity the method decides by itself whether its
//! systems are dense, banded or sparse, and differences then take one evaluation a colour instead of one a coordinate:
//! ```
//! use chreode::core::Sparsity;
//! use chreode::prelude::*;
//! use chreode::solve::Bdf;
//!
//! // Heat in a rod of 400 points: each knows its neighbours.
//! let d = 400;
//! let mut rod = field(d, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
//!     for i in 0..y.len() {
//!         let (left, right) = (if i > 0 { y[i - 1] } else { 1.0 }, if i + 1 < y.len() { y[i + 1] } else { 0.0 });
//!         dy[i] = 1e4 * (left - 2.0 * y[i] + right);
//!     }
//! });
//! let (mut y, options) = (vec![0.0; d], SolveOptions::tolerance(1e-5, 1e-8));
//! let mut bdf = Bdf::new(1, d).with_sparsity(&Sparsity::banded(d, 1, 1));
//! let stats = solve(&mut rod, &[], &mut y, (0.0, 100.0), &mut bdf, &options, &mut |_, _, _| {})?;
//! assert!((y[199] - 201.0 / 401.0).abs() < 1e-3); // a straight line in the end
//! assert!(stats.work.evals < 2_000, "{stats:?}");
//! # Ok::<(), chreode::solve::SolveError>(())
//! ```
//!
//! # Tolerances
//! A step is accepted when its estimated error is below `atol + rtol |y|`, in the root mean square over the coordinates of a
//! trajectory; the worst trajectory counts. Errors of a run add up: at 1e-6 expect 1e-5 to 1e-6 of most methods. Coordinates of
//! different size have tolerances of their own: `SolveOptions::tolerance(1e-6, &[1e-6, 1e-12, 1e-6])`. An `atol` above what a
//! coordinate ever reaches switches it off.
//!
//! # When something happens
//! [`Event`](crate::solve::Event)s are found to the last digits of time: crossings of thresholds, doses, divisions of cells. Times
//! at which the field itself jumps (a stimulus that is switched on) belong into
//! [`discontinuities`](crate::solve::SolveOptions::discontinuities): a method that steps over them loses its order there.
//! ```
//! use chreode::prelude::*;
//! use chreode::solve::{EveryStep, Event, Rhs, solve_events};
//!
//! // A drug decays, and is given again whenever it falls to a quarter.
//! let mut drug = field(1, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| dy[0] = -p[0] * y[0]);
//! let mut dose = [Event::new(|_t, y: &[f64], _p| y[0] - 0.25).reset(|_t, y, _p| y[0] += 0.75)];
//! let (mut y, mut tsit5, options) = ([1.0], Erk::new(&TSIT5, 1, 1), SolveOptions::tolerance(1e-8, 1e-8));
//! let (rhs, mut peak) = (&mut Rhs::Field(&mut drug), 0.0_f64);
//! let mut watch = EveryStep(|_t, y: &[f64]| peak = peak.max(y[0]));
//! let stats = solve_events(rhs, &[1.0], &mut y, (0.0, 10.0), &mut tsit5, &options, &mut dose, &mut watch)?;
//! assert_eq!(stats.events, (10.0 / 4.0_f64.ln()) as u64);
//! # Ok::<(), chreode::solve::SolveError>(())
//! ```
//!
//! # When it fails
//! Every error carries its numbers: [`NonFinite`](crate::solve::SolveError::NonFinite) the trajectory, the coordinate and the
//! time; [`Unsolved`](crate::solve::SolveError::Unsolved) the step and why Newton's iteration gave up. A field that is undefined
//! somewhere (a logarithm of a concentration) returns [`FieldError::Recoverable`](crate::core::FieldError::Recoverable): the step
//! is tried again, smaller.
