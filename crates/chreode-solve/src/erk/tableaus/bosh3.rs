//! Bogacki-Shampine 3(2), FSAL. Source: [BS89].
use crate::erk::tableau::{DenseOutput, ErkTableau};

/// Bogacki-Shampine 3(2) pair; 4 stages, 3 evaluations per accepted step. The cubic Hermite polynomial is a
/// dense output of its full order.
#[rustfmt::skip]
pub const BOSH3: ErkTableau = ErkTableau {
    name: "BOSH3", order: 3, embedded_order: 2, fsal: true,
    a: &[&[], &[1.0 / 2.0], &[0.0, 3.0 / 4.0], &[2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0]],
    b:     &[2.0 / 9.0,    1.0 / 3.0,  4.0 / 9.0,  0.0],
    b_err: &[-5.0 / 72.0,  1.0 / 12.0, 1.0 / 9.0, -1.0 / 8.0], // b - b̂
    lower: None,
    c:     &[0.0,          1.0 / 2.0,  3.0 / 4.0,  1.0],
    dense: DenseOutput::Hermite,
};
const _: () = assert!(BOSH3.is_consistent());
