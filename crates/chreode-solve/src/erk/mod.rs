//! Explicit Runge-Kutta methods.
//!
//! Start with `tableau` (the data of a method) and `tableaus/tsit5` (one method); `step` takes the steps,
//! `dense_output` the states between them, `combine` the weighted sums that both are made of.
//! Not here: step size control and the time loop (`solve`); reverse mode (`chreode-adjoint`).

mod combine;
mod dense_output;
mod step;
mod tableau;
mod tableaus {
    pub(super) mod bosh3;
    pub(super) mod euler;
    pub(super) mod heun;
    pub(super) mod midpoint;
    pub(super) mod rk4;
    pub(super) mod tsit5;
}

pub use step::Erk;
pub use tableau::{DenseOutput, ErkTableau};
pub use tableaus::bosh3::BOSH3;
pub use tableaus::euler::EULER;
pub use tableaus::heun::HEUN;
pub use tableaus::midpoint::MIDPOINT;
pub use tableaus::rk4::RK4;
pub use tableaus::tsit5::TSIT5;

/// Every explicit Runge-Kutta method.
pub const ALL_ERK: [&ErkTableau; 6] = [&EULER, &HEUN, &MIDPOINT, &BOSH3, &RK4, &TSIT5];
