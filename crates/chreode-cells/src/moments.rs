//! Mean and spread of coordinates over cells.

/// Mean and standard deviation of each of `d` coordinates over `rows`, `[d]` each; the variance is the sum of squares
/// over the number of rows less `less` (0 for the spread of these cells, 1 for an estimate of all cells').
///
/// Zeros without a row.
pub fn mean_and_sd<'a>(
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    d: usize,
    less: usize,
) -> (Vec<f64>, Vec<f64>) {
    let n = rows.clone().count();
    let (mut mean, mut sd) = (vec![0.0; d], vec![0.0_f64; d]);
    for row in rows.clone() {
        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
    }
    for m in &mut mean {
        *m /= n.max(1) as f64;
    }
    for row in rows {
        sd.iter_mut().zip(&mean).zip(row).for_each(|((s, m), &x)| *s += (f64::from(x) - m).powi(2));
    }
    for s in &mut sd {
        *s = (*s / n.saturating_sub(less).max(1) as f64).sqrt();
    }
    (mean, sd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_spread() {
        let rows = [1.0_f32, 5.0, 2.0, 5.0, 3.0, 5.0];
        let of = |n: usize, less| mean_and_sd(rows[..2 * n].chunks_exact(2), 2, less);
        assert_eq!(of(3, 0), (vec![2.0, 5.0], vec![(2.0_f64 / 3.0).sqrt(), 0.0]));
        assert_eq!(of(3, 1), (vec![2.0, 5.0], vec![1.0, 0.0]));
        assert_eq!(of(1, 1), (vec![1.0, 5.0], vec![0.0, 0.0]));
        assert_eq!(of(0, 1), (vec![0.0, 0.0], vec![0.0, 0.0]));
    }
}
