//! Euler's method. Source: Euler (1768), Institutionum calculi integralis I, section 650.
use crate::erk::tableau::{DenseOutput, ErkTableau};

/// Euler's method; order 1, no error estimate.
pub const EULER: ErkTableau = ErkTableau {
    name: "EULER",
    order: 1,
    embedded_order: 0,
    fsal: false,
    a: &[&[]],
    b: &[1.0],
    b_err: &[],
    lower: None,
    c: &[0.0],
    dense: DenseOutput::Hermite,
};
const _: () = assert!(EULER.is_consistent());
