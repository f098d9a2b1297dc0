//! Problems with known answers, one file each. All are written for `f32` and `f64`.

mod sinh_sde;
mod well_sde;

pub use sinh_sde::SinhSde;
pub use well_sde::WellSde;
