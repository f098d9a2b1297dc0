//! Brownian paths that can be asked for any interval: a virtual tree of halved intervals.
//!
//! Of each interval the tree has the increment `w` and the space-time Lévy area `a = 1/h ∫ (W − W₀) dt − w / 2`, which
//! is independent of it. Given both, those of the two halves are normal [FLO20]: with `z ~ N(0, h/16)` and
//! `n ~ N(0, h/12)`
//!
//! ```text
//! w_left  = w/2 + 3a/2 + z        a_left  = a/4 − z/2 + n/2
//! w_right = w/2 − 3a/2 − z        a_right = a/4 − z/2 − n/2
//! ```
//!
//! `z` and `n` are drawn by the interval's place in the tree [JFK24], so nothing is stored and every order of questions
//! gets the same path.

use chreode_core::{Real, philox4x32, sub_seed};

use crate::SolveError;
use crate::error::check_len;

/// Halvings of the span down to the shortest interval. A place in the tree fits 48 bits, a block of two motions 16.
const DEPTH: u32 = 48;
/// Most intervals ahead: one half of each halving, and the nearest.
const SLOTS: usize = DEPTH as usize + 1;
const MOST_MOTIONS: usize = 2 << 16;

/// Brownian motions of many trajectories on one span of time, each a pure function of seed, trajectory, motion and time.
///
/// The path is exact (in distribution, jointly at all times) at the multiples of the span over 2⁴⁸; other times are
/// taken to the nearest one. Holds work arrays; a question allocates nothing.
///
/// ```
/// use chreode_solve::BrownianTree;
/// let mut tree = BrownianTree::<f64>::new(7, 1, (0.0, 10.0))?;
/// let mut w = |from, to| -> Result<f64, chreode_solve::SolveError> {
///     let (mut dw, mut area) = ([0.0], [0.0]);
///     tree.increment(0, from, to, &mut dw, &mut area)?;
///     Ok(dw[0])
/// };
/// assert!((w(1.0, 3.0)? + w(3.0, 3.1)? - w(1.0, 3.1)?).abs() < 1e-12); // one path, whatever is asked first
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BrownianTree<T> {
    key: [u32; 2],
    motions: usize,
    t0: f64,
    t1: f64,
    trajectory: u64,
    /// The intervals still ahead, the nearest one last, and their noise in slots of `motions` values.
    ahead: [Node; SLOTS],
    count: usize,
    dw: Vec<T>,
    area: Vec<T>,
}

/// Interval `index` of the `2^level` that halving has made.
#[derive(Debug, Clone, Copy)]
struct Node {
    level: u32,
    index: u64,
}

impl Node {
    /// Ends as multiples of the shortest interval.
    fn ends(self) -> (u64, u64) {
        let shift = DEPTH - self.level;
        (self.index << shift, (self.index + 1) << shift)
    }
}

impl<T: Real> BrownianTree<T> {
    /// Paths of `motions` Brownian motions from `span.0` to `span.1`.
    ///
    /// # Errors
    /// [`SolveError::InvalidOption`] for a span that is not finite or not forward in time, or more than 131,072
    /// motions.
    pub fn new(seed: u64, motions: usize, span: (f64, f64)) -> Result<Self, SolveError> {
        let (t0, t1) = span;
        for (what, got) in [("start time", t0), ("end time", t1), ("length of the span", t1 - t0)] {
            if !got.is_finite() {
                return Err(SolveError::InvalidOption { what, must: "finite", got });
            }
        }
        if t1 <= t0 {
            return Err(SolveError::InvalidOption { what: "end time", must: "after the start", got: t1 });
        }
        if motions > MOST_MOTIONS {
            let got = motions as f64;
            return Err(SolveError::InvalidOption { what: "Brownian motions", must: "131072 at most", got });
        }
        let seed = sub_seed(seed, "Brownian tree");
        Ok(Self {
            key: [seed as u32, (seed >> 32) as u32],
            motions,
            t0,
            t1,
            trajectory: 0,
            ahead: [Node { level: 0, index: 0 }; SLOTS],
            count: 0,
            dw: vec![T::ZERO; SLOTS * motions],
            area: vec![T::ZERO; SLOTS * motions],
        })
    }

    /// Sets `dw` to `W(to) − W(from)` of a trajectory and `area` to the interval's space-time Lévy area, `[motions]`.
    ///
    /// # Errors
    /// [`SolveError::InvalidTime`] unless `t0 ≤ from ≤ to ≤ t1`; [`SolveError::ShapeMismatch`].
    pub fn increment(
        &mut self,
        trajectory: u64,
        from: f64,
        to: f64,
        dw: &mut [T],
        area: &mut [T],
    ) -> Result<(), SolveError> {
        check_len("dw", dw.len(), self.motions)?;
        check_len("area", area.len(), self.motions)?;
        for (index, (t, bound)) in [(from, self.t0), (to, from)].into_iter().enumerate() {
            if t.is_nan() || t < bound {
                return Err(SolveError::InvalidTime { index, t, must: "not before", bound });
            }
        }
        if to > self.t1 {
            return Err(SolveError::InvalidTime { index: 1, t: to, must: "not after", bound: self.t1 });
        }
        self.start(trajectory);
        self.gather(self.nearest(from), self.nearest(to), dw, area);
        Ok(())
    }

    /// The time within `distance` of `t` (of the span, if `t` is not in it) where the longest interval of the tree ends.
    ///
    /// A question costs a draw for each halving down to its two ends: about 96 for any times, and `2 log2(span / distance)` for
    /// two of these.
    ///
    /// ```
    /// let tree = chreode_solve::BrownianTree::<f64>::new(7, 1, (0.0, 10.0))?;
    /// assert_eq!(tree.time_near(3.3, 0.2), 3.125); // 5/16 of the span
    /// assert_eq!(tree.time_near(9.9, 0.2), 10.0);
    /// assert!((tree.time_near(3.3, 0.0) - 3.3).abs() < 1e-12); // to the tree's resolution
    /// # Ok::<(), chreode_solve::SolveError>(())
    /// ```
    pub fn time_near(&self, t: f64, distance: f64) -> f64 {
        let units = distance / (self.t1 - self.t0) * (1_u64 << DEPTH) as f64;
        let index = self.nearest(t.clamp(self.t0, self.t1));
        let candidates = (1..=DEPTH).rev().map(|level| {
            let half = 1_u64 << (level - 1);
            (index + half) >> level << level
        });
        candidates.into_iter().find(|&at| at.abs_diff(index) as f64 <= units).map_or(t, |at| self.time(at))
    }

    /// The multiple of the shortest interval that is nearest to `t`.
    pub(crate) fn nearest(&self, t: f64) -> u64 {
        ((t - self.t0) / (self.t1 - self.t0) * (1_u64 << DEPTH) as f64).round() as u64
    }

    /// The time of that multiple.
    pub(crate) fn time(&self, index: u64) -> f64 {
        if index == 1 << DEPTH {
            return self.t1;
        }
        self.t0 + (self.t1 - self.t0) * (index as f64 / (1_u64 << DEPTH) as f64)
    }

    /// Start and end of the paths.
    pub(crate) fn span(&self) -> (f64, f64) {
        (self.t0, self.t1)
    }

    /// Places the whole span of a trajectory ahead.
    pub(crate) fn start(&mut self, trajectory: u64) {
        self.trajectory = trajectory;
        self.ahead[0] = Node { level: 0, index: 0 };
        self.count = 1;
        let h = self.t1 - self.t0;
        let (dw_scale, area_scale) = (T::c(h.sqrt()), T::c((h / 12.0).sqrt()));
        for block in 0..self.motions.div_ceil(2) {
            let normals = self.normals(0, block);
            let first = 2 * block;
            for i in 0..2.min(self.motions - first) {
                self.dw[first + i] = normals[2 * i] * dw_scale;
                self.area[first + i] = normals[2 * i + 1] * area_scale;
            }
        }
    }

    /// Places what is nearest in `other` ahead, alone.
    pub(crate) fn start_within(&mut self, other: &Self) {
        self.trajectory = other.trajectory;
        self.count = other.count.min(1);
        if let Some(last) = other.count.checked_sub(1) {
            let slot = last * self.motions;
            self.ahead[0] = other.ahead[last];
            self.dw[..self.motions].copy_from_slice(&other.dw[slot..slot + self.motions]);
            self.area[..self.motions].copy_from_slice(&other.area[slot..slot + self.motions]);
        }
    }

    /// Ends of the nearest interval, as multiples of the shortest; none at the end of the span.
    pub(crate) fn next(&self) -> Option<(u64, u64)> {
        self.ahead[..self.count].last().map(|node| node.ends())
    }

    /// Increments and areas of the nearest interval, `[motions]` each.
    ///
    /// # Panics
    /// If none is ahead.
    pub(crate) fn noise(&self) -> (&[T], &[T]) {
        let slot = (self.count - 1) * self.motions;
        (&self.dw[slot..slot + self.motions], &self.area[slot..slot + self.motions])
    }

    /// Leaves the nearest interval behind.
    pub(crate) fn pass(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Halves the nearest interval; false if it is the shortest, or there is none.
    pub(crate) fn halve(&mut self) -> bool {
        let Some(last) = self.count.checked_sub(1) else { return false };
        let node = self.ahead[last];
        if node.level == DEPTH {
            return false;
        }
        let m = self.motions;
        let slot = last * m;
        let (level, index) = (node.level + 1, 2 * node.index);
        self.ahead[last] = Node { level, index: index + 1 };
        self.ahead[last + 1] = Node { level, index }; // each slot holds a deeper level: no more slots than levels
        self.count += 1;
        let h = (self.t1 - self.t0) / (1_u64 << node.level) as f64;
        let (z_scale, n_scale) = (T::c(h.sqrt() / 4.0), T::c((h / 12.0).sqrt()));
        let place = (1_u64 << node.level) + node.index;
        let [half, quarter, three_halves] = [0.5, 0.25, 1.5].map(T::c);
        for block in 0..m.div_ceil(2) {
            let normals = self.normals(place, block);
            for i in 0..2.min(m - 2 * block) {
                let right = slot + 2 * block + i; // the right half takes the place of the whole
                let left = right + m;
                let (z, n) = (normals[2 * i] * z_scale, normals[2 * i + 1] * n_scale);
                let (dw, area) = (self.dw[right], self.area[right]);
                let (middle, bend) = (half * dw, three_halves * area + z);
                (self.dw[left], self.dw[right]) = (middle + bend, middle - bend);
                let mean = quarter * area - half * z;
                (self.area[left], self.area[right]) = (mean + half * n, mean - half * n);
            }
        }
        true
    }

    /// The noise from `from` to `to`, multiples of the shortest interval, of what is ahead; passes it.
    pub(crate) fn gather(&mut self, from: u64, to: u64, dw: &mut [T], area: &mut [T]) {
        // `area` holds the sum of `∫ (W − W(from)) dt` at first.
        dw.fill(T::ZERO);
        area.fill(T::ZERO);
        while let Some((start, end)) = self.next() {
            if start >= to {
                break;
            }
            if end <= from {
                self.pass();
            } else if from <= start && end <= to {
                let h = T::c((end - start) as f64);
                let (piece_dw, piece_area) = self.noise();
                for i in 0..dw.len() {
                    area[i] += h * (dw[i] + T::c(0.5) * piece_dw[i] + piece_area[i]);
                    dw[i] += piece_dw[i];
                }
                self.pass();
            } else {
                // An interval that straddles a multiple of the shortest is not the shortest.
                self.halve();
            }
        }
        let whole = T::c(1.0 / (to - from).max(1) as f64);
        for (area, &dw) in area.iter_mut().zip(&*dw) {
            *area = *area * whole - T::c(0.5) * dw;
        }
    }

    /// Four normals for motions `2 block` and `2 block + 1` at a place of the tree: 0 is the span, `2^level + index`
    /// the division of an interval.
    fn normals(&self, place: u64, block: usize) -> [T; 4] {
        let word = (place >> 32) as u32 | (block as u32) << 16;
        let counter = [place as u32, word, self.trajectory as u32, (self.trajectory >> 32) as u32];
        let [a, b, c, d] = philox4x32(counter, self.key);
        let ((x, y), (z, w)) = (T::normal_pair(a, b), T::normal_pair(c, d));
        [x, y, z, w]
    }
}
