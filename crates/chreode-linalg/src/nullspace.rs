//! Exact left null spaces of integer matrices. Source: [Coh93] section 2.4 for reduction by unimodular row operations.

use crate::error::LinalgError;

/// A basis of all integer vectors `w` with `wᵀ A = 0`, for `a`, `[rows, columns]` row-major.
///
/// The conservation laws of a stoichiometric matrix `[species, reactions]`: every returned row of `[rows]` numbers is the
/// weights of a sum of species that no reaction changes. The basis spans all integer solutions (not only a part of the
/// lattice), its vectors have no common divisor, are made short by subtracting one from another, and begin with a positive
/// number; they are sorted. Nothing is rounded.
///
/// # Errors
/// [`LinalgError::Length`]; [`LinalgError::IntegerOverflow`] if a number leaves 128 bits on the way, or 64 at the end.
///
/// ```
/// use chreode_linalg::left_null_space;
/// // An enzyme: E + S <-> C -> E + P; species E, S, C, P.
/// let stoichiometry = [-1, 1, 1, -1, 1, 0, 1, -1, -1, 0, 0, 1];
/// // E + C is conserved, and E - S - P; so is their difference, S + C + P.
/// assert_eq!(left_null_space(&stoichiometry, 4, 3)?, [[1, -1, 0, -1], [1, 0, 1, 0]]);
/// # Ok::<(), chreode_linalg::LinalgError>(())
/// ```
pub fn left_null_space(a: &[i64], rows: usize, columns: usize) -> Result<Vec<Vec<i64>>, LinalgError> {
    if a.len() != rows * columns {
        return Err(LinalgError::Length { what: "matrix", found: a.len(), expected: rows * columns });
    }
    // [A | I]: what is done to the rows of A is done to I, so that rows of zeros stand beside their combinations.
    let width = columns + rows;
    let mut table: Vec<Vec<i128>> = (0..rows)
        .map(|i| {
            let mut row: Vec<i128> = a[i * columns..(i + 1) * columns].iter().map(|&x| x.into()).collect();
            row.extend((0..rows).map(|j| i128::from(i == j)));
            row
        })
        .collect();
    let mut rank = 0;
    for j in 0..columns {
        // Euclid's algorithm down the column: the smallest number divides the others until they are zero.
        loop {
            let live = (rank..rows).filter(|&i| table[i][j] != 0);
            let Some(pivot) = live.min_by_key(|&i| table[i][j].unsigned_abs()) else {
                break;
            };
            table.swap(rank, pivot);
            let (head, tail) = table.split_at_mut(rank + 1);
            let top = &head[rank];
            let mut done = true;
            for row in tail.iter_mut().filter(|row| row[j] != 0) {
                let times = nearest(row[j], top[j]);
                subtract(row, times, top, j, width)?;
                done &= row[j] == 0;
            }
            if done {
                rank += 1;
                break;
            }
        }
        if rank == rows {
            break;
        }
    }
    let mut basis: Vec<Vec<i128>> = table.drain(rank..).map(|row| row[columns..].to_vec()).collect();
    shorten(&mut basis)?;
    for w in &mut basis {
        if w.iter().find(|&&x| x != 0).is_some_and(|&x| x < 0) {
            for x in w {
                *x = -*x;
            }
        }
    }
    basis.sort_unstable();
    let narrow = |w: Vec<i128>| {
        let all = w.into_iter().enumerate();
        all.map(|(column, x)| i64::try_from(x).map_err(|_| LinalgError::IntegerOverflow { column })).collect()
    };
    basis.into_iter().map(narrow).collect()
}

/// `a / b`, rounded so that the rest is as small as can be.
fn nearest(a: i128, b: i128) -> i128 {
    let (q, r) = (a / b, a % b);
    // |r| < |b|, and |b| is far from the type's end unless r is: no sum is needed for the comparison.
    if r.unsigned_abs() > b.unsigned_abs() / 2 { q + if (r < 0) == (b < 0) { 1 } else { -1 } } else { q }
}

/// `row -= times other`, from column `from` on.
fn subtract(
    row: &mut [i128],
    times: i128,
    other: &[i128],
    from: usize,
    width: usize,
) -> Result<(), LinalgError> {
    for column in from..width {
        let less = times.checked_mul(other[column]).and_then(|x| row[column].checked_sub(x));
        row[column] = less.ok_or(LinalgError::IntegerOverflow { column })?;
    }
    Ok(())
}

/// Subtracts vectors from one another as long as that makes one shorter (in the sum of its moduli).
fn shorten(basis: &mut [Vec<i128>]) -> Result<(), LinalgError> {
    let length = |w: &[i128]| w.iter().fold(0_u128, |s, x| s.saturating_add(x.unsigned_abs()));
    let mut better = true;
    while better {
        better = false;
        for i in 0..basis.len() {
            for j in 0..basis.len() {
                if i == j {
                    continue;
                }
                let (mut best, mut size) = (None, length(&basis[i]));
                for (&x, &y) in basis[i].iter().zip(&basis[j]).filter(|&(&x, &y)| x != 0 && y != 0) {
                    let times = nearest(x, y);
                    if times == 0 {
                        continue;
                    }
                    let mut trial = basis[i].clone();
                    let width = trial.len();
                    subtract(&mut trial, times, &basis[j], 0, width)?;
                    let trial_size = length(&trial);
                    if trial_size < size {
                        (best, size) = (Some(trial), trial_size);
                    }
                }
                if let Some(trial) = best {
                    basis[i] = trial;
                    better = true;
                }
            }
        }
    }
    Ok(())
}
