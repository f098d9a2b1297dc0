//! Heun's method with Euler's embedded. Source: Heun (1900), Z. Math. Phys. 45, 23-38.
use crate::erk::tableau::{DenseOutput, ErkTableau};

/// Heun's 2(1) pair (explicit trapezoidal rule); 2 stages.
pub const HEUN: ErkTableau = ErkTableau {
    name: "HEUN",
    order: 2,
    embedded_order: 1,
    fsal: false,
    a: &[&[], &[1.0]],
    b: &[0.5, 0.5],
    b_err: &[-0.5, 0.5],
    lower: None,
    c: &[0.0, 1.0],
    dense: DenseOutput::Hermite,
};
const _: () = assert!(HEUN.is_consistent());
