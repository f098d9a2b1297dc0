//! Exponential moving average of the parameters.

use chreode_core::Real;

/// The average `ē ← β ē + (1 - β) p`, where `β` starts small and rises to `decay`: after `k` updates it is
/// `min(decay, (1 + k) / (10 + k))`, so that the first parameters are soon forgotten.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamAverage<T> {
    pub(crate) values: Vec<T>,
    pub(crate) updates: u64,
    decay: f64,
}

impl<T: Real> ParamAverage<T> {
    /// Starts at `p`. `decay` in [0, 1).
    pub fn new(p: &[T], decay: f64) -> Self {
        Self { values: p.to_vec(), updates: 0, decay }
    }

    /// Moves the average towards `p`, which must be as long as the first.
    pub fn update(&mut self, p: &[T]) {
        debug_assert_eq!(p.len(), self.values.len());
        let k = self.updates as f64;
        let keep = self.decay.min((1.0 + k) / (10.0 + k));
        let (keep, take) = (T::c(keep), T::c(1.0 - keep));
        for (e, &p) in self.values.iter_mut().zip(p) {
            *e = keep * *e + take * p;
        }
        self.updates += 1;
    }

    /// The average.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut e = ParamAverage::new(&[1.0_f64], 0.5);
        e.update(&[0.0]); // β = 1/10
        assert!((e.values()[0] - 0.1).abs() < 1e-15);
        e.update(&[1.0]); // β = 2/11
        assert!((e.values()[0] - (0.1 * 2.0 / 11.0 + 9.0 / 11.0)).abs() < 1e-15);
        for _ in 0..200 {
            e.update(&[3.0]);
        }
        assert!((e.values()[0] - 3.0).abs() < 1e-12);
    }
}
