//! Problems with known answers, one file each. All are written for `f32` and `f64`.
//!
//! End points were computed with extrapolation (GBS, orders up to 22) in 45-digit arithmetic, from the
//! double-precision values of start state and parameters; two step sizes agree to 20 digits.

pub(crate) mod brusselator;
pub(crate) mod duffing;
pub(crate) mod lorenz;
pub(crate) mod lotka_volterra;
pub(crate) mod mixed_sinh_sde;
pub(crate) mod rational;
pub(crate) mod ring_sde;
pub(crate) mod sinh_sde;
pub(crate) mod smooth;
pub(crate) mod spin_sde;
pub(crate) mod well_sde;

use brusselator::Brusselator;
use duffing::Duffing;
use lorenz::Lorenz;
use lotka_volterra::LotkaVolterra;
use rational::Rational;
use smooth::Case;

/// Every ordinary differential equation with its reference end point.
pub fn corpus() -> Vec<Case> {
    vec![Rational::case(), LotkaVolterra::case(), Lorenz::case(), Brusselator::case(), Duffing::case()]
}
