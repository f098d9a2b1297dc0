//! The methods, one file each: order 1 to 5.

use super::tableau::ErkTableau;

pub(crate) mod bosh3;
pub(crate) mod euler;
pub(crate) mod heun;
pub(crate) mod midpoint;
pub(crate) mod rk4;
pub(crate) mod tsit5;

/// Every explicit Runge-Kutta method, by order.
pub const ALL_ERK: [&ErkTableau; 6] =
    [&euler::EULER, &heun::HEUN, &midpoint::MIDPOINT, &bosh3::BOSH3, &rk4::RK4, &tsit5::TSIT5];
