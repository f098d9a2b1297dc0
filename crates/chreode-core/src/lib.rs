//! What every layer of chreode agrees on: vector fields and diffusions as narrow traits, the counter-based
//! random numbers that make runs repeatable, flat parameters with a layout, tolerances, errors, and files
//! that are written whole or not at all.
//!
//! Start with [`VectorField`]. An SDE is a vector field that also has a [`Diffusion`]; whatever can be
//! differentiated adds [`Vjp`] or [`DiffusionVjp`]. A model that is written once for every [`Number`] is a
//! [`Dynamics`]; `chreode-autodiff` makes a field with every derivative from it. Nothing here computes a solution.
//!
//! # Conventions
//! * A state is `[n, d]` row-major: the `d` coordinates of one trajectory are adjacent, `n >= 1` trajectories
//!   lie in one slice.
//! * Parameters are one flat slice `p`, owned by the caller; [`ParamLayout`] names its parts.
//! * States are `f32` or `f64` ([`Real`]); time and step size are always `f64`.

mod atomic;
mod diffusion;
mod dynamics;
mod error;
mod field;
mod forwarded;
mod growth;
mod linear;
mod literal;
mod number;
mod params;
mod philox;
mod real;
mod sparsity;
mod tolerance;

pub use atomic::write_atomically;
pub use diffusion::{Calculus, Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, NoiseKind};
pub use dynamics::{Dynamics, put, take};
pub use error::FieldError;
pub use field::{FieldResult, FnField, Jacobian, Jvp, ParamJvp, Slot, VectorField, Vjp, VjpTangent, field};
pub use growth::{BirthDeath, Growth, GrowthVjp};
pub use linear::{LinearSolver, SingularMatrix};
pub use literal::{Lit, c};
pub use number::{Number, Single};
pub use params::{ParamEntry, ParamLayout};
pub use philox::{BrownianIncrements, philox4x32, sub_seed};
pub use real::Real;
pub use sparsity::{Sparsity, SparsityError};
pub use tolerance::{Bound, ErrorNorm, Tolerance};
