//! Squared distances of points to a whole cloud, and sums over lanes.
//!
//! The cloud is stored as [`Columns`]: 16 points side by side, one coordinate after the other, so that 16
//! distances are computed at once; four rows share each load.

use chreode_core::Real;

/// Points handled side by side.
pub(crate) const LANES: usize = 16;
/// Rows that share one pass over the columns.
pub(crate) const ROWS: usize = 4;

/// A cloud transposed in groups of [`LANES`] points; missing points of the last group lie at the origin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns<T> {
    d: usize,
    data: Vec<[T; LANES]>,
}

impl<T: Real> Columns<T> {
    pub(crate) fn set(&mut self, states: &[T], d: usize) {
        let groups = (states.len() / d).div_ceil(LANES);
        self.d = d;
        self.data.resize(groups * d, [T::ZERO; LANES]);
        if let Some(last) = groups.checked_sub(1) {
            self.data[last * d..].fill([T::ZERO; LANES]);
        }
        for (j, y) in states.chunks_exact(d).enumerate() {
            let group = &mut self.data[j / LANES * d..(j / LANES + 1) * d];
            for (lane, &v) in group.iter_mut().zip(y) {
                lane[j % LANES] = v;
            }
        }
    }

    /// Coordinates of a point.
    pub(crate) fn dim(&self) -> usize {
        self.d
    }

    /// The points of one group: `[d]` of lanes.
    #[inline(always)]
    pub(crate) fn group(&self, g: usize) -> &[[T; LANES]] {
        &self.data[g * self.d..(g + 1) * self.d]
    }

    /// Number of groups of [`LANES`] points.
    pub(crate) fn groups(&self) -> usize {
        self.data.len() / self.d.max(1)
    }
}

/// Copies `values` into groups of [`LANES`], the rest zero.
pub(crate) fn set_lanes<T: Real>(values: &[T], lanes: &mut Vec<[T; LANES]>) {
    lanes.resize(values.len().div_ceil(LANES), [T::ZERO; LANES]);
    if let Some(last) = lanes.last_mut() {
        *last = [T::ZERO; LANES];
    }
    lanes.as_flattened_mut()[..values.len()].copy_from_slice(values);
}

/// Squared distances of four points to one group of columns.
#[inline(always)]
fn squared_distances<T: Real>(x: [&[T]; ROWS], group: &[[T; LANES]]) -> [[T; LANES]; ROWS] {
    let mut r2 = [[T::ZERO; LANES]; ROWS];
    for (k, y) in group.iter().enumerate() {
        for q in 0..ROWS {
            let xk = x[q][k];
            for l in 0..LANES {
                let e = xk - y[l];
                r2[q][l] += e * e;
            }
        }
    }
    r2
}

/// The four rows from `i` on; past the end the last row is repeated.
#[inline(always)]
fn four_rows<T>(x: &[T], d: usize, i: usize) -> [&[T]; ROWS] {
    let last = x.len() / d - 1;
    std::array::from_fn(|q| {
        let r = (i + q).min(last);
        &x[r * d..(r + 1) * d]
    })
}

/// For each row `i` of `x` (`[n, d]`): calls `distances(i, r2)` with its squared distances to all columns,
/// `[groups]` of lanes. `scratch` holds `ROWS * groups` lanes.
#[inline(always)]
pub(crate) fn each_row<T: Real>(
    x: &[T],
    columns: &Columns<T>,
    scratch: &mut [[T; LANES]],
    mut distances: impl FnMut(usize, &mut [[T; LANES]]),
) {
    let (d, groups) = (columns.d, columns.groups());
    let n = x.len() / d;
    for i in (0..n).step_by(ROWS) {
        let rows = four_rows(x, d, i);
        for g in 0..groups {
            let r2 = squared_distances(rows, columns.group(g));
            for q in 0..ROWS {
                scratch[q * groups + g] = r2[q];
            }
        }
        for q in 0..ROWS.min(n - i) {
            distances(i + q, &mut scratch[q * groups..(q + 1) * groups]);
        }
    }
}

/// The sum of the lanes, halves first.
#[inline(always)]
pub(crate) fn add_lanes<T: Real>(v: &[T; LANES]) -> T {
    let mut s = *v;
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            s[l] += s[l + half];
        }
        half /= 2;
    }
    s[0]
}
