//! The classical method. Source: Kutta (1901), Z. Math. Phys. 46, 435-453; [HNW93] table II.1.2.
use crate::erk::tableau::{DenseOutput, ErkTableau};

/// The classical Runge-Kutta method; order 4, 4 stages, no error estimate.
pub const RK4: ErkTableau = ErkTableau {
    name: "RK4",
    order: 4,
    embedded_order: 0,
    fsal: false,
    a: &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    b: &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    b_err: &[],
    lower: None,
    c: &[0.0, 0.5, 0.5, 1.0],
    dense: DenseOutput::Hermite,
};
const _: () = assert!(RK4.is_consistent());
