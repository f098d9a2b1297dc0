//! The methods, one file each: order 1 to 9.

use super::tableau::ErkTableau;

pub(crate) mod bosh3;
pub(crate) mod dop853;
pub(crate) mod dopri5;
pub(crate) mod euler;
pub(crate) mod heun;
pub(crate) mod midpoint;
pub(crate) mod rk4;
pub(crate) mod tsit5;
pub(crate) mod vern7;
pub(crate) mod vern8;
pub(crate) mod vern9;

/// Every explicit Runge-Kutta method, by order.
pub const ALL_ERK: [&ErkTableau; 11] = [
    &euler::EULER,
    &heun::HEUN,
    &midpoint::MIDPOINT,
    &bosh3::BOSH3,
    &rk4::RK4,
    &dopri5::DOPRI5,
    &tsit5::TSIT5,
    &vern7::VERN7,
    &dop853::DOP853,
    &vern8::VERN8,
    &vern9::VERN9,
];
