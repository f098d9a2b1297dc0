//! Inputs that the benchmarks share. The benchmarks are in `benches/`, one file a hot path:
//! `cargo bench -p chreode-benches`.

pub mod by_hand;

use chreode_core::{BrownianIncrements, Real};

/// `len` standard normals, the same in every run.
pub fn normals<T: Real>(len: usize) -> Vec<T> {
    let mut z = vec![T::ZERO; len];
    BrownianIncrements::new(0).fill(0, 0, 1, 1.0, &mut z);
    z
}
