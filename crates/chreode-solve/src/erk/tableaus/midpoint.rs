//! Runge's midpoint method with Euler's embedded. Source: Runge (1895), Math. Ann. 46, 167-178; [HNW93] II.1.
use crate::erk::tableau::{DenseOutput, ErkTableau};

/// Midpoint 2(1) pair; 2 stages.
pub const MIDPOINT: ErkTableau = ErkTableau {
    name: "MIDPOINT",
    order: 2,
    embedded_order: 1,
    fsal: false,
    a: &[&[], &[0.5]],
    b: &[0.0, 1.0],
    b_err: &[-1.0, 1.0],
    lower: None,
    c: &[0.0, 0.5],
    dense: DenseOutput::Hermite,
};
const _: () = assert!(MIDPOINT.is_consistent());
