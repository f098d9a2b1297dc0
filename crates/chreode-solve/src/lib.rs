//! Integrators of differential equations: ordinary ones with dense output, stochastic ones for ensembles.
//!
//! # Where to start
//! * [`solve`]: an ordinary differential equation, by any [`Stepper`]: [`Erk`] with [`TSIT5`] is the usual one.
//!   [`solve_with_jacobian`] for fields that know their derivatives.
//! * [`Radau5`], [`Radau`] (many digits) and [`Bdf`] (large): stiff equations, mass matrices; [`Bdf::with_krylov`]: no matrices at
//!   all. [`AutoSwitch`] where one does not know whether a problem is stiff.
//! * [`solve_events`]: the same, and what happens at sign changes of functions of the state. [`EveryStep`] looks on.
//! * [`simulate`]: many trajectories of an SDE in parallel, saved at the times of a [`TimeGrid`], with or
//!   without growth ([`simulate_weighted`]); with steps of their own, [`simulate_adaptive`].
//! * [`solve_lanes`]: many trajectories of one [`Dynamics`], in the lanes of vectors.
//! * [`jacobian_spectra`], [`log_norms`], [`divergence`], [`lyapunov`], [`local_sensitivity`] and [`fixed_points`]: what a field
//!   is like.
//! * [`EulerMaruyama`]: one step of one tile, for those who keep their own loop.
//!
//! What a field is, is said in `chreode-core`; its names that a solver's user needs are here too, so that this crate alone
//! is enough.
//!
//! Reading path: `solve.rs` (the time loop), `stops.rs` and `event.rs` (where steps end), `stepper.rs`, `erk/step.rs`,
//! `erk/tableaus/tsit5.rs`; `diagnose/`.
//! Not here: gradients (`chreode-adjoint`), models (`chreode-model`).

mod auto_switch;
mod bdf;
mod controller;
mod diagnose;
mod erk;
mod error;
mod error_norm;
mod esdirk;
mod event;
mod implicit;
mod initial_step;
mod lanes;
mod newton;
mod observer;
mod options;
mod precision;
mod radau;
mod rhs;
mod rosenbrock;
mod sde;
mod solve;
mod stats;
mod stepper;
mod stops;

pub use auto_switch::AutoSwitch;
pub use bdf::differences::BackwardDifferences;
pub use chreode_core::{
    Bound, BrownianIncrements, Calculus, Diffusion, DiffusionJvp, Dynamics, ErrorNorm, FieldError, Jacobian,
    Jvp, NoiseKind, Number, Sparsity, Tolerance, VectorField, field, put, take,
};
pub use controller::Controller;
pub use diagnose::error::DiagnoseError;
pub use diagnose::fixed_points::{FixedPoint, FixedPointOptions, FixedPoints, NewtonFailure, fixed_points};
pub use diagnose::jacobian::{JvpJacobian, VjpJacobian};
pub use diagnose::kind::FixedPointKind;
pub use diagnose::lyapunov::{LyapunovOptions, LyapunovSpectra, lyapunov};
pub use diagnose::sensitivity::{LocalSensitivity, local_sensitivity};
pub use diagnose::spectrum::{Spectra, divergence, jacobian_spectra};
pub use diagnose::stiffness::{LogNorms, log_norms};
pub use erk::step::Erk;
pub use erk::tableau::{DenseOutput, ErkTableau};
pub use erk::tableaus::ALL_ERK;
pub use erk::tableaus::bosh3::BOSH3;
pub use erk::tableaus::dop853::DOP853;
pub use erk::tableaus::dopri5::DOPRI5;
pub use erk::tableaus::euler::EULER;
pub use erk::tableaus::heun::HEUN;
pub use erk::tableaus::midpoint::MIDPOINT;
pub use erk::tableaus::rk4::RK4;
pub use erk::tableaus::tsit5::TSIT5;
pub use erk::tableaus::vern7::VERN7;
pub use erk::tableaus::vern8::VERN8;
pub use erk::tableaus::vern9::VERN9;
pub use error::SolveError;
pub use esdirk::kencarp4::KENCARP4;
pub use esdirk::tableau::EsdirkTableau;
pub use event::{Crossing, Event};
pub use implicit::{Bdf, Esdirk, Radau, Radau5, Radau9, Radau13, Rosenbrock};
pub use lanes::ensemble::{LaneError, LaneRuns, PerTrajectory, solve_lanes};
pub use newton::krylov::{KrylovOptions, Preconditioner};
pub use observer::{EveryStep, Observer, StepRecord};
pub use options::{SolveOptions, StepSize};
pub use radau::coefficients::RadauTableau;
pub use rhs::Rhs;
pub use rosenbrock::rodas5p::RODAS5P;
pub use rosenbrock::tableau::RosenbrockTableau;
pub use sde::adaptive::{AdaptiveEnsemble, AdaptiveOptions, simulate_adaptive};
pub use sde::branching::{BranchingOptions, Population, simulate_branching};
pub use sde::brownian_tree::BrownianTree;
pub use sde::ensemble::{AfterStep, Ensemble, EnsembleOptions, TILE, simulate, simulate_weighted};
pub use sde::euler_maruyama::EulerMaruyama;
pub use sde::milstein::Milstein;
pub use sde::scheme::{Increments, SdeMethod, SdeScheme, noise_term};
pub use sde::sra1::Sra1;
pub use sde::sriw1::Sriw1;
pub use sde::stochastic_heun::StochasticHeun;
pub use sde::time_grid::TimeGrid;
pub use solve::{solve, solve_events, solve_observed, solve_with_jacobian};
pub use stats::{Stats, Stopped, Work};
pub use stepper::{StepFailure, Stepper};
