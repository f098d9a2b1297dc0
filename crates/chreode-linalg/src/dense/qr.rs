//! Thin QR by Householder reflections.

use faer::dyn_stack::MemStack;
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_q,
};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::{Conj, Mat, MatRef, Par};

use crate::error::{LinalgError, check};

/// `A = Q R` with r = min(m, n) columns of Q.
#[derive(Clone, Debug)]
pub struct Qr {
    /// Orthonormal columns, `[m, r]` row-major; orthonormal also where A has a lower rank.
    pub q: Vec<f64>,
    /// Upper triangular (or trapezoidal), `[r, n]` row-major.
    pub r: Vec<f64>,
}

/// Thin QR of `a`, `[m, n]` row-major (faer at every size).
///
/// # Errors
/// [`LinalgError`] if the length is not `m * n` or an element is not finite.
pub fn qr(a: &[f64], m: usize, n: usize) -> Result<Qr, LinalgError> {
    check(a, m, n)?;
    let rank = m.min(n);
    if rank == 0 {
        return Ok(Qr { q: Vec::new(), r: Vec::new() });
    }
    let mut factors = MatRef::from_row_major_slice(a, m, n).to_owned();
    let block = recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::<f64>::zeros(block, rank);
    let mut memory =
        super::stack(qr_in_place_scratch::<f64>(m, n, block, Par::Seq, faer::prelude::default()));
    qr_in_place(
        factors.as_mut(),
        coefficients.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
        faer::prelude::default(),
    );
    let mut r = vec![0.0; rank * n];
    for i in 0..rank {
        for j in i..n {
            r[i * n + j] = factors[(i, j)];
        }
    }
    let mut q = Mat::<f64>::identity(m, rank);
    let mut memory = super::stack(apply_scratch::<f64>(m, block, rank));
    let basis = factors.as_ref().subcols(0, rank);
    let coefficients = coefficients.as_ref();
    apply_q(basis, coefficients, Conj::No, q.as_mut(), Par::Seq, MemStack::new(&mut memory));
    Ok(Qr { q: super::row_major(q.as_ref()), r })
}
