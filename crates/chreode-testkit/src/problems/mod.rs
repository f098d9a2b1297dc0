//! Problems with known answers, one file each. All are written for `f32` and `f64`.
//!
//! End points were computed with extrapolation (GBS, orders up to 22) in 45-digit arithmetic, from the
//! double-precision values of start state and parameters; two step sizes agree to 20 digits.

pub(crate) mod arenstorf;
pub(crate) mod brusselator;
pub(crate) mod brusselator_line;
pub(crate) mod brusselator_square;
mod brusselator_square_ends;
pub(crate) mod duffing;
pub(crate) mod lorenz;
pub(crate) mod lotka_volterra;
pub(crate) mod mixed_sinh_sde;
pub(crate) mod models;
pub(crate) mod pleiades;
pub(crate) mod rational;
pub(crate) mod ring_sde;
pub(crate) mod sinh_sde;
pub(crate) mod smooth;
pub(crate) mod spin_sde;
pub(crate) mod stiff;
pub(crate) mod well_sde;

use arenstorf::Arenstorf;
use brusselator::Brusselator;
use duffing::Duffing;
use lorenz::Lorenz;
use lotka_volterra::LotkaVolterra;
use pleiades::Pleiades;
use rational::Rational;
use smooth::Case;

/// Every ordinary differential equation with its reference end point.
pub fn corpus() -> Vec<Case> {
    vec![Rational::case(), LotkaVolterra::case(), Lorenz::case(), Brusselator::case(), Duffing::case()]
}

/// Long runs that explicit solvers are measured on: Lorenz, Lotka-Volterra, Arenstorf, Pleiades.
///
/// End points belong to the double-precision values of start state, parameters and end time, and to exact arithmetic: two
/// runs of different order agree to 18 digits. The Arenstorf orbit multiplies rounding by a million, so that no run
/// in double precision comes closer than about 1e-10.
pub fn nonstiff() -> Vec<Case> {
    vec![Lorenz::long_case(), LotkaVolterra::long_case(), Arenstorf::case(), Pleiades::case()]
}
