//! Mean and spread of coordinates over cells.

use chreode_train::{States, TrainError};

/// Mean and standard deviation of each of `d` coordinates over the cells of some times, one after the other, `[d]` each; the variance is the
/// sum of squares over the number of cells less `less` (0 for the spread of these cells, 1 for an estimate of all cells'). They are read twice.
///
/// Zeros without a cell.
///
/// # Errors
/// [`TrainError::States`] if they cannot be read.
pub fn mean_and_sd_of(
    states: &[&States<f32>],
    d: usize,
    less: usize,
) -> Result<(Vec<f64>, Vec<f64>), TrainError> {
    let n: usize = states.iter().map(|states| states.cells(d)).sum();
    let (mut mean, mut sd) = (vec![0.0; d], vec![0.0_f64; d]);
    let each = |f: &mut dyn FnMut(&[f32])| {
        states.iter().try_for_each(|states| {
            states.each_block(d, |_, block| {
                block.chunks_exact(d.max(1)).for_each(&mut *f);
                Ok::<_, TrainError>(())
            })
        })
    };
    each(&mut |row| mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x)))?;
    for m in &mut mean {
        *m /= n.max(1) as f64;
    }
    each(&mut |row| {
        sd.iter_mut().zip(&mean).zip(row).for_each(|((s, m), &x)| *s += (f64::from(x) - m).powi(2));
    })?;
    for s in &mut sd {
        *s = (*s / n.saturating_sub(less).max(1) as f64).sqrt();
    }
    Ok((mean, sd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_spread() {
        let rows = [1.0_f32, 5.0, 2.0, 5.0, 3.0, 5.0];
        let of = |n: usize, less| mean_and_sd_of(&[&States::from(rows[..2 * n].to_vec())], 2, less).unwrap();
        assert_eq!(of(3, 0), (vec![2.0, 5.0], vec![(2.0_f64 / 3.0).sqrt(), 0.0]));
        assert_eq!(of(3, 1), (vec![2.0, 5.0], vec![1.0, 0.0]));
        assert_eq!(of(1, 1), (vec![1.0, 5.0], vec![0.0, 0.0]));
        assert_eq!(of(0, 1), (vec![0.0, 0.0], vec![0.0, 0.0]));
    }
}
