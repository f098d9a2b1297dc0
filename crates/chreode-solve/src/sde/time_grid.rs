//! The steps of a run that stops at every observation time.

use crate::SolveError;

/// Times at which a path stops to be observed, split into equal steps no longer than `dt`.
///
/// Step numbers run through the whole grid, so that (step, trajectory) names one Brownian increment.
///
/// ```
/// use chreode_solve::TimeGrid;
/// let grid = TimeGrid::new(2.0, &[4.0, 5.0], 0.6)?;
/// assert_eq!(grid.steps(), 4 + 2); // four steps of 0.5, two of 0.5
/// assert_eq!(grid.step(4), (4.0, 0.5));
/// assert_eq!((grid.observed_after(2), grid.observed_after(3), grid.observed_after(5)), (None, Some(0), Some(1)));
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TimeGrid {
    t0: f64,
    observe: Vec<f64>,
    /// Number of steps up to each observation.
    ends: Vec<usize>,
}

impl TimeGrid {
    /// Steps from `t0` to the last of `observe` (strictly increasing, after `t0`), none longer than `dt`.
    ///
    /// A step length that divides a segment but for rounding (one part in 10⁹) counts as dividing it.
    ///
    /// # Errors
    /// [`SolveError::InvalidTime`] for times that are not finite or not in order, [`SolveError::InvalidOption`]
    /// if `dt` is not positive and finite or the grid has 2³² steps or more.
    pub fn new(t0: f64, observe: &[f64], dt: f64) -> Result<Self, SolveError> {
        if !(dt > 0.0 && dt.is_finite()) {
            return Err(SolveError::InvalidOption { what: "dt", must: "positive and finite", got: dt });
        }
        if !t0.is_finite() {
            return Err(SolveError::InvalidOption { what: "t0", must: "finite", got: t0 });
        }
        let (mut from, mut steps) = (t0, 0.0);
        let mut ends = Vec::with_capacity(observe.len());
        for (index, &t) in observe.iter().enumerate() {
            if !(t.is_finite() && t > from) {
                return Err(SolveError::InvalidTime { index, t, must: "after", bound: from });
            }
            steps += ((t - from) / dt * (1.0 - 1e-9)).ceil().max(1.0);
            if steps >= f64::from(u32::MAX) {
                return Err(SolveError::InvalidOption { what: "dt", must: "larger: 2^32 steps", got: dt });
            }
            ends.push(steps as usize);
            from = t;
        }
        Ok(Self { t0, observe: observe.to_vec(), ends })
    }

    /// Number of steps; 0 if nothing is observed.
    pub fn steps(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Start and length of step `k`.
    ///
    /// # Panics
    /// If `k` is not below [`steps`](Self::steps).
    pub fn step(&self, k: usize) -> (f64, f64) {
        let i = self.ends.partition_point(|&end| end <= k);
        let (first, from) = if i == 0 { (0, self.t0) } else { (self.ends[i - 1], self.observe[i - 1]) };
        let h = (self.observe[i] - from) / (self.ends[i] - first) as f64;
        (from + (k - first) as f64 * h, h)
    }

    /// The observation that step `k` ends at, if it ends at one.
    pub fn observed_after(&self, k: usize) -> Option<usize> {
        self.ends.binary_search(&(k + 1)).ok()
    }

    /// Where the run starts.
    pub fn t0(&self) -> f64 {
        self.t0
    }

    /// The observation times.
    pub fn observe(&self) -> &[f64] {
        &self.observe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Steps join up, none is longer than dt, every observation is met once and exactly.
        #[test]
        fn steps_tile_the_span(t0 in -5.0..5.0_f64, gaps in prop::collection::vec(1e-3..3.0_f64, 1..6), dt in 0.01..2.0_f64) {
            let observe: Vec<f64> = gaps.iter().scan(t0, |t, g| { *t += g; Some(*t) }).collect();
            let grid = TimeGrid::new(t0, &observe, dt).unwrap();
            let (mut now, mut seen) = (t0, 0);
            for k in 0..grid.steps() {
                let (t, h) = grid.step(k);
                prop_assert!(h > 0.0 && h <= dt * (1.0 + 1e-8));
                prop_assert!((t - now).abs() < 1e-12 * (1.0 + now.abs()) * 100.0);
                now = t + h;
                if let Some(i) = grid.observed_after(k) {
                    prop_assert_eq!(i, seen);
                    prop_assert!((now - observe[i]).abs() < 1e-11);
                    now = observe[i];
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, observe.len());
        }
    }

    #[test]
    fn dt_that_divides_but_for_rounding() {
        assert_eq!(TimeGrid::new(0.0, &[0.3], 0.1).unwrap().steps(), 3); // 0.3 / 0.1 is 2.9999999999999996
        assert_eq!(TimeGrid::new(0.0, &[0.7], 0.1).unwrap().steps(), 7);
        assert_eq!(TimeGrid::new(0.0, &[0.1 + 0.2], 0.1).unwrap().steps(), 3); // 3.0000000000000004
    }

    #[test]
    fn bad_times() {
        for (observe, index) in
            [(&[1.0, 1.0][..], 1), (&[0.0], 0), (&[f64::NAN], 0), (&[1.0, f64::INFINITY], 1)]
        {
            match TimeGrid::new(0.0, observe, 0.1) {
                Err(SolveError::InvalidTime { index: i, .. }) => assert_eq!(i, index),
                other => panic!("{other:?}"),
            }
        }
        for dt in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-12] {
            assert!(matches!(
                TimeGrid::new(0.0, &[1.0], dt),
                Err(SolveError::InvalidOption { what: "dt", .. })
            ));
        }
        assert_eq!(TimeGrid::new(0.0, &[], 0.1).unwrap().steps(), 0);
    }
}
