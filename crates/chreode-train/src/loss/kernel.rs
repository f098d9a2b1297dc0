//! The kernel of a transport problem, row by row: the groups of lanes that are not zero, and where they stand.
//!
//! At a small blur nearly all of a row is zero, and what is skipped would add nothing: not a bit changes.

use super::pairwise::{Columns, LANES, ROWS, add_lanes, each_row};
use super::sinkhorn::Cost;
use chreode_core::Real;
use chreode_linalg::vexp;

pub(crate) type Lanes<T> = [T; LANES];

/// Exponents of the kernel are cut off here: below is zero (and never subnormal), above is for weightless points.
const MAX_EXPONENT: f64 = 80.0;
/// Groups of lanes whose exponentials are taken in one call.
const PIECE: usize = 8;
/// Smoothing of distances at zero, for the cost `|x - y|`.
pub(crate) const DELTA: f64 = 1e-6;

/// The groups of lanes of a row that are not zero, and their places in it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a, T> {
    kernel: &'a [Lanes<T>],
    places: &'a [u32],
}

impl<T: Real> Row<'_, T> {
    #[inline(always)]
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Lanes<T>, usize)> {
        self.kernel.iter().zip(self.places.iter().map(|&g| g as usize))
    }

    /// The product with a whole row.
    #[inline(always)]
    pub(crate) fn dot(&self, other: &[Lanes<T>]) -> T {
        let mut sum = [T::ZERO; LANES];
        for (k, g) in self.groups() {
            for l in 0..LANES {
                sum[l] += k[l] * other[g][l];
            }
        }
        add_lanes(&sum)
    }

    /// Adds `s` times the row to a whole row.
    #[inline(always)]
    pub(crate) fn add_to(&self, s: T, out: &mut [Lanes<T>]) {
        for (k, g) in self.groups() {
            for l in 0..LANES {
                out[g][l] += s * k[l];
            }
        }
    }
}

/// Work space of a job: lanes, and places of one row.
pub(crate) type Scratch<'a, T> = (&'a mut [Lanes<T>], &'a mut [u32]);

/// A kernel that is kept: rows of `groups` lanes, each of which begins with its groups that are not zero.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a, T> {
    /// The rows, `[n, groups]`.
    pub(crate) kernel: &'a [Lanes<T>],
    /// Where the groups of the rows stand, `[n, groups]`.
    pub(crate) places: &'a [u32],
    /// How many there are in each row, `[n]`.
    pub(crate) counts: &'a [u32],
}

/// Where the rows of a kernel come from: storage, or the costs computed on the spot.
pub(crate) struct KernelRows<'a, T> {
    pub(crate) cost: Cost,
    pub(crate) columns: &'a Columns<T>,
    pub(crate) costs: &'a [Lanes<T>],
    pub(crate) stored: Option<Stored<'a, T>>,
    pub(crate) f: &'a [T],
    pub(crate) potential: &'a [Lanes<T>],
    pub(crate) epsilon: f64,
}

impl<T: Real> KernelRows<'_, T> {
    /// Calls `row(i, kernel, costs, spare)` for each row of `states`, which start at row `first` of the problem.
    pub(crate) fn each(
        &self,
        states: &[T],
        first: usize,
        (lanes, places): &mut Scratch<'_, T>,
        mut row: impl FnMut(usize, Row<'_, T>, &[Lanes<T>], &mut [Lanes<T>]),
    ) {
        let groups = self.columns.groups();
        let (costs, rest) = lanes.split_at_mut(ROWS * groups);
        let (kernel, spare) = rest.split_at_mut(groups);
        let spare = &mut spare[..self.columns.dim()];
        let Some(stored) = self.stored else {
            each_row(states, self.columns, costs, |i, r2| {
                self.cost.apply(r2);
                let f = self.f[first + i];
                let count = kernel_row(r2, f, self.potential, self.epsilon, kernel, places);
                row(i, Row { kernel: &kernel[..count], places: &places[..count] }, r2, spare);
            });
            return;
        };
        for i in 0..states.len() / self.columns.dim() {
            let (start, count) = ((first + i) * groups, stored.counts[first + i] as usize);
            let range = start..start + count;
            let kernel = Row { kernel: &stored.kernel[range.clone()], places: &stored.places[range] };
            row(i, kernel, &self.costs[start..start + groups], spare);
        }
    }
}

/// `K_j = exp((f + g_j - C_j) / ε)`: sets the first groups of `kernel` to those that are not all zero, and `places` to
/// where they stand; returns how many there are.
pub(crate) fn kernel_row<T: Real>(
    cost: &[Lanes<T>],
    f: T,
    g: &[Lanes<T>],
    epsilon: f64,
    kernel: &mut [Lanes<T>],
    places: &mut [u32],
) -> usize {
    let (inv, top) = (T::c(1.0 / epsilon), T::c(MAX_EXPONENT));
    let mut count = 0;
    for (j, (cost, g)) in cost.iter().zip(g).enumerate() {
        let exponent: Lanes<T> = std::array::from_fn(|l| {
            let v = (f + g[l] - cost[l]) * inv;
            if v > top { top } else { v }
        });
        // What is not a number is kept, to be noticed.
        if !exponent.iter().all(|&e| e < -top) {
            (kernel[count], places[count]) = (exponent, j as u32);
            count += 1;
        }
    }
    for kernel in kernel[..count].chunks_mut(PIECE) {
        let mut exponent = [[T::ZERO; LANES]; PIECE];
        let exponent = &mut exponent[..kernel.len()];
        exponent.copy_from_slice(kernel);
        vexp(exponent.as_flattened(), kernel.as_flattened_mut());
        for (k, e) in kernel.iter_mut().zip(exponent) {
            for l in 0..LANES {
                k[l] = if e[l] < -top { T::ZERO } else { k[l] };
            }
        }
    }
    count
}

impl Cost {
    /// Turns squared distances into costs.
    #[inline(always)]
    pub(crate) fn apply<T: Real>(self, r2: &mut [Lanes<T>]) {
        for lanes in r2 {
            for v in lanes {
                *v = match self {
                    Cost::HalfSquare => *v * T::c(0.5),
                    Cost::Distance => (*v + T::c(DELTA * DELTA)).sqrt() - T::c(DELTA),
                };
            }
        }
    }
}
