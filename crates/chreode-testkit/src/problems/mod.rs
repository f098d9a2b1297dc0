//! Problems with known answers, one file each. All are written for `f32` and `f64`.
//!
//! End points were computed with extrapolation (GBS, orders up to 22) in 45-digit arithmetic, from the
//! double-precision values of start state and parameters; two step sizes agree to 20 digits.

mod brusselator;
mod duffing;
mod lorenz;
mod lotka_volterra;
mod rational;
mod sinh_sde;
mod smooth;
mod well_sde;

pub use brusselator::Brusselator;
pub use duffing::Duffing;
pub use lorenz::Lorenz;
pub use lotka_volterra::LotkaVolterra;
pub use rational::Rational;
pub use sinh_sde::SinhSde;
pub use smooth::{Case, Differentiable, Smooth, SmoothField};
pub use well_sde::WellSde;

/// Every ordinary differential equation with its reference end point.
pub fn corpus() -> Vec<Case> {
    vec![Rational::case(), LotkaVolterra::case(), Lorenz::case(), Brusselator::case(), Duffing::case()]
}
