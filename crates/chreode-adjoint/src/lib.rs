//! Gradients of solutions with respect to their start state, parameters and times.
//!
//! # Where to start
//! * [`Sensitivity::auto`] says which of these suits a problem, and why.
//! * [`OdeAdjoint`]: the exact gradient of a computed solution, back through its steps, fixed or adaptive, explicit or implicit
//!   ([`OdeMethod`]), with jumps of the adjoint state at observations; [`Checkpoints`] bound its memory.
//! * [`BatchAdjoint`]: the same for many trajectories at once, in tiles on all threads, with no evaluation made twice.
//! * [`SdeAdjoint`]: the same for paths of Euler-Maruyama, Milstein and stochastic Heun, whose noise is drawn again.
//! * [`ForwardSensitivities`]: derivatives with respect to a few numbers, solved beside the state by any method, stiff ones too.
//! * [`OdeHessian`]: products of the Hessian with vectors, by forward over adjoint, through explicit Runge-Kutta steps.
//! * [`ContinuousAdjoint`]: the adjoint equation solved backward, by any method for any forward run: not exact, and needed where
//!   the method has no discrete adjoint here.
//! * [`SdeBacksolve`]: the same for Stratonovich equations, along one Brownian path in both directions, with nothing stored: not
//!   exact, and wrong where the flow forgets.
//!
//! Not here: derivatives of the fields themselves (`chreode-autodiff`, `chreode-model`), the solvers (`chreode-solve`).

mod checkpoint;
mod continuous;
mod discrete;
mod error;
mod event;
mod forward;
mod hessian;
mod sensitivity;

pub use checkpoint::{Checkpoints, recomputed_steps};
pub use continuous::sde::SdeBacksolve;
pub use continuous::{ContinuousAdjoint, ContinuousMethod};
pub use discrete::batch::{BatchAdjoint, BatchLoss, BatchRun};
pub use discrete::method::OdeMethod;
pub use discrete::sde::SdeAdjoint;
pub use discrete::sweep::OdeAdjoint;
pub use error::AdjointError;
pub use event::EventVjp;
pub use forward::ForwardSensitivities;
pub use hessian::{LossTangent, OdeHessian};
pub use sensitivity::{RunKind, Sensitivity, Task};
