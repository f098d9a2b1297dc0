//! What clones say of descent: how much likelier a cell of one clone is an ancestor of a cell of another than any cell is.
//!
//! Cells of one clone at two times are relatives, not ancestor and descendant: each was taken out of the culture when it was seen. Where a
//! clone has many cells at the earlier time its later cells come from them. Where it has few, their ancestors were like those few, and
//! like the cells of clones that began alike, which went the same ways with the same chances. So a column is traced to the `neighbours` rows whose
//! clones were nearest to its own at the first time at which both were seen, its own clone first: with weights `1 - d²/h²`, `h` the
//! distance of the next row. Sisters of a clone that has so many are alone. Ancestors are taken
//! from relatives by [FS21] too, and clones that are alike are used together by [WHHKK22].
//!
//! A clone may be wrong, and is known of some cells alone. So each column has a mixture of two laws of its ancestors: that of transport among the rows to which
//! it is traced, and, for a hundredth, that of transport among all rows. Both have the same sum: that the kin of a column are far from it does not
//! make it anyone else's. What transport gives to a column is known with the potentials of the rows alone, so that cells are coupled several times. What has no known clone in common with the others is traced to rows of which the same is true: descendants have the clone of their
//! ancestors, and were they free to come from any row, cells of no clone would take what is nearest, and leave clones' cells nothing but the ways on which they would have met.

use crate::{Snapshots, TrainError, split::Split};
use chreode_core::Real;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Part of a cell's ancestors that are taken as if its clone were not known, since it may be wrong: two clones may have one barcode.
const MISTAKEN: f64 = 0.01;
/// Times at which clones may be compared, the first ones.
const TIMES: usize = u64::BITS as usize;
/// Cells that are read at once.
const BLOCK: usize = 4096;

/// Where clones were seen among the cells that are trained on.
#[derive(Debug, Clone)]
pub(crate) struct Clones<T> {
    dim: usize,
    number: BTreeMap<u64, u32>,
    /// For each clone a bit for each time at which it was seen, the first time lowest.
    seen: Vec<u64>,
    /// For each time the mean scaled state of each clone, `[clones, d]`; zero where it was not seen.
    means: Vec<Vec<T>>,
}

impl<T: Real> Clones<T> {
    /// Of the training cells of the times `kept`.
    ///
    /// # Errors
    /// [`TrainError::States`] if cells cannot be read.
    pub(crate) fn new(
        data: &Snapshots<T>,
        split: &Split,
        kept: &[usize],
        inverse_scale: &[T],
    ) -> Result<Self, TrainError> {
        let d = data.dim;
        let mut number = BTreeMap::new();
        for &t in kept {
            for &row in &split.train[t] {
                if let Some(id) = data.groups[t][row as usize] {
                    let next = number.len() as u32;
                    number.entry(id).or_insert(next);
                }
            }
        }
        let mut seen = vec![0_u64; number.len()];
        let mut means = Vec::new();
        let mut block = Vec::new();
        for (bit, &t) in kept.iter().enumerate().take(TIMES) {
            let (mut sums, mut counts) = (vec![0.0; number.len() * d], vec![0.0; number.len()]);
            for rows in split.train[t].chunks(BLOCK) {
                block.resize(rows.len() * d, T::ZERO);
                data.states[t].gather(d, rows, &mut block)?;
                for (&row, state) in rows.iter().zip(block.chunks_exact(d)) {
                    let id = data.groups[t][row as usize];
                    let Some(clone) = id.and_then(|id| number.get(&id)) else { continue };
                    let clone = *clone as usize;
                    seen[clone] |= 1 << bit;
                    counts[clone] += 1.0;
                    let scaled = state.iter().zip(inverse_scale);
                    sums[clone * d..(clone + 1) * d]
                        .iter_mut()
                        .zip(scaled)
                        .for_each(|(s, (&x, &i))| *s += (x * i).f64());
                }
            }
            means.push((0..sums.len()).map(|at| T::c(sums[at] / f64::max(counts[at / d], 1.0))).collect());
        }
        Ok(Self { dim: d, number, seen, means })
    }

    /// The numbers of the clones of some rows of a time.
    pub(crate) fn of(&self, data: &Snapshots<T>, time: usize, rows: &[u32]) -> Vec<Option<u32>> {
        let clone = |&row: &u32| data.groups[time][row as usize].and_then(|id| self.number.get(&id).copied());
        rows.iter().map(clone).collect()
    }

    /// The first time at which two clones were both seen, among the `times` first ones, and the square of their distance then.
    fn distance(&self, a: u32, b: u32, times: usize) -> Option<(u32, f64)> {
        let (a, b) = (a as usize, b as usize);
        let until = if times >= TIMES { u64::MAX } else { (1 << times) - 1 };
        let common = self.seen[a] & self.seen[b] & until;
        if common == 0 {
            return None;
        }
        let (time, d) = (common.trailing_zeros(), self.dim);
        let means = &self.means[time as usize];
        let of = |clone: usize| &means[clone * d..(clone + 1) * d];
        Some((time, of(a).iter().zip(of(b)).map(|(&a, &b)| (a - b).f64().powi(2)).sum()))
    }
}

/// How much likelier each row is the ancestor of each column than by transport alone, as their clones say: one where they say nothing.
#[derive(Debug, Clone)]
pub(crate) struct Kinship<T> {
    /// For each row the list of its clone; the last one is of those that have none in common with any column.
    list: Vec<u32>,
    /// For each column the logarithm of the factor of rows to which it is not traced.
    least: Vec<T>,
    /// For each list the columns that have more than the least, and the logarithm of how much more.
    near: Vec<Vec<(u32, T)>>,
}

/// What is coupled among clones: cells of clones `rows`, `[n]`, at the scaled states `x`, `[n, d]`, and later ones, `columns` (`[m]`) at `y`, with the blur `epsilon`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relatives<'a, T> {
    pub(crate) rows: &'a [Option<u32>],
    pub(crate) columns: &'a [Option<u32>],
    pub(crate) x: &'a [T],
    pub(crate) y: &'a [T],
    pub(crate) epsilon: f64,
    /// Potentials of the rows of a coupling of the same cells, `[n]`; empty for none.
    pub(crate) potentials: &'a [T],
}

impl<T: Real> Kinship<T> {
    /// Times that cells are coupled among clones, each with the row potentials of the time before: what transport gives a column is known only with them.
    pub(crate) const PASSES: usize = 4;

    /// Clones are compared at the `times` first times: those up to that of the rows.
    pub(crate) fn new(
        clones: &Clones<T>,
        relatives: &Relatives<'_, T>,
        times: usize,
        neighbours: usize,
    ) -> Self {
        let Relatives { rows, columns, .. } = *relatives;
        let until = if times >= TIMES { u64::MAX } else { (1 << times) - 1 };
        // Cells of a clone are alike here: pairs of clones are compared, and count for all their cells.
        let mut lists: BTreeMap<u32, (u32, f64)> = BTreeMap::new();
        for &clone in rows.iter().flatten() {
            let next = lists.len() as u32;
            lists.entry(clone).or_insert((next, 0.0)).1 += 1.0;
        }
        let mut of_column: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (j, clone) in columns.iter().enumerate() {
            if let &Some(clone) = clone {
                of_column.entry(clone).or_default().push(j as u32);
            }
        }
        let lists: Vec<(u32, (u32, f64))> = lists.into_iter().collect();
        let seen = |clone: u32| clones.seen[clone as usize] & until;
        let [by_rows, by_columns] =
            [rows, columns].map(|clones| clones.iter().flatten().fold(0, |all, &clone| all | seen(clone)));
        let rest = lists.len();
        let list = |clone: u32| {
            let at = lists.binary_search_by_key(&clone, |l| l.0).ok()?;
            (seen(clone) & by_columns != 0).then(|| lists[at].1.0)
        };
        let list: Vec<u32> = rows.iter().map(|c| c.and_then(list).unwrap_or(rest as u32)).collect();
        let mut kinship =
            Self { list, least: vec![T::ZERO; columns.len()], near: vec![Vec::new(); rest + 1] };
        of_column.retain(|&clone, _| seen(clone) & by_rows != 0);
        if of_column.is_empty() {
            return kinship;
        }
        // The columns that are traced to the same lists, and the weights of these.
        let traced =
            |(clone, cells): (u32, Vec<u32>)| (cells, traced(clones, clone, &lists, times, neighbours));
        let mut alike: Vec<(Vec<u32>, Vec<(u32, f64)>)> =
            of_column.into_iter().collect::<Vec<_>>().into_par_iter().map(traced).collect();
        if kinship.list.iter().any(|&list| list as usize == rest) {
            let known = |j: usize| columns[j].is_some_and(|clone| seen(clone) & by_rows != 0);
            let others = (0..columns.len()).filter(|&j| !known(j)).map(|j| j as u32).collect();
            alike.push((others, vec![(rest as u32, 1.0)]));
        }
        let shares: Vec<Vec<f64>> = alike
            .par_iter()
            .map(|(cells, found)| {
                let mut weight = vec![0.0; rest + 1];
                found.iter().for_each(|&(list, w)| weight[list as usize] = w);
                cells.iter().map(|&j| kinship.share(clones.dim, relatives, j as usize, &weight)).collect()
            })
            .collect();
        let odds = ((1.0 - MISTAKEN) / MISTAKEN).ln();
        for ((cells, found), shares) in alike.into_iter().zip(shares) {
            for &j in &cells {
                kinship.least[j as usize] = T::c(MISTAKEN.ln());
            }
            for (list, weight) in found {
                let more = |(&j, share): (&u32, &f64)| (j, T::c(soft_plus(odds + weight.ln() - share)));
                kinship.near[list as usize].extend(cells.iter().zip(&shares).map(more));
            }
        }
        kinship
    }

    /// The logarithm of the mean weight of the rows, by list, where each counts what transport gives it of column `j`.
    fn share(&self, d: usize, relatives: &Relatives<'_, T>, j: usize, weight: &[f64]) -> f64 {
        let y = &relatives.y[j * d..(j + 1) * d];
        let (mut kin, mut all) = (Vec::new(), Vec::with_capacity(self.list.len()));
        for (i, (&list, x)) in self.list.iter().zip(relatives.x.chunks_exact(d)).enumerate() {
            let square: T = x.iter().zip(y).map(|(&x, &y)| (x - y) * (x - y)).sum();
            let potential = relatives.potentials.get(i).map_or(0.0, |u| u.f64());
            let exponent = potential - 0.5 * square.f64() / relatives.epsilon;
            all.push(exponent);
            let weight = weight[list as usize];
            if weight > 0.0 {
                kin.push(exponent + weight.ln());
            }
        }
        log_sum(&kin) - log_sum(&all)
    }

    /// Adds the logarithms of row `i`, times `factor`, to `out`, `[m]`.
    pub(crate) fn add_row(&self, i: usize, factor: T, out: &mut [T]) {
        for (out, &least) in out.iter_mut().zip(&self.least) {
            *out += factor * least;
        }
        for &(j, more) in &self.near[self.list[i] as usize] {
            out[j as usize] += factor * more;
        }
    }
}

/// The lists to which cells of a clone are traced, and how much likelier their rows are than those that were compared at the same time.
fn traced<T: Real>(
    clones: &Clones<T>,
    column: u32,
    lists: &[(u32, (u32, f64))],
    times: usize,
    neighbours: usize,
) -> Vec<(u32, f64)> {
    // First time at which they were seen, distance, list and its rows.
    let mut all: Vec<(u32, f64, u32, f64)> = lists
        .iter()
        .filter_map(|&(clone, (list, rows))| {
            clones.distance(clone, column, times).map(|(time, square)| (time, square, list, rows))
        })
        .collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut out = Vec::new();
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let mut before = 0.0;
        let next = same.iter().position(|&(_, _, _, rows)| {
            let enough = before >= neighbours as f64;
            before += rows;
            enough
        });
        // All are nearer than no one.
        let width = next.map_or(f64::INFINITY, |next| same[next].1);
        // Where the nearest are as far as the next one, they are all there is.
        let tied = same[0].1 == width;
        let weight = |square: f64| {
            if square == 0.0 || (tied && square == width) { 1.0 } else { (1.0 - square / width).max(0.0) }
        };
        let all: f64 = same.iter().map(|s| s.3).sum();
        let mean = same.iter().map(|s| weight(s.1) * s.3).sum::<f64>() / all;
        out.extend(same.iter().filter(|s| weight(s.1) > 0.0).map(|s| (s.2, weight(s.1) / mean)));
    }
    out
}

/// `ln Σ exp(e)` of one number at least.
fn log_sum(exponents: &[f64]) -> f64 {
    let top = exponents.iter().fold(f64::NEG_INFINITY, |top, &e| top.max(e));
    top + exponents.iter().map(|e| (e - top).exp()).sum::<f64>().ln()
}

/// `ln(1 + exp(x))`.
fn soft_plus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coupling, CouplingConfig, States};

    fn wave(n: usize, f: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * f + f).sin()).collect()
    }

    /// Three times; the clones of each time's cells by number, negative for none.
    fn snapshots(groups: [&[i64]; 3]) -> (Snapshots<f64>, Split) {
        let of = |groups: &[i64]| groups.iter().map(|&g| u64::try_from(g).ok()).collect::<Vec<_>>();
        let data = Snapshots {
            dim: 2,
            times: vec![0.0, 1.0, 2.0],
            states: States::each(groups.iter().enumerate().map(|(t, g)| wave(2 * g.len(), 0.7 + t as f64))),
            groups: groups.iter().map(|g| of(g)).collect(),
            ..Snapshots::default()
        };
        let train = groups.iter().map(|g| (0..g.len() as u32).collect()).collect();
        (data, Split { train, hold_out: vec![vec![]; 3] })
    }

    /// The factors of rows at time `k` for columns at the next, `[n, m]`.
    fn factors(
        data: &Snapshots<f64>,
        split: &Split,
        k: usize,
        neighbours: usize,
        epsilon: f64,
    ) -> (Kinship<f64>, Vec<Vec<f64>>) {
        let clones = Clones::new(data, split, &[0, 1, 2], &[1.0, 1.0]).unwrap();
        let [rows, columns] = [k, k + 1].map(|t| clones.of(data, t, &split.train[t]));
        let [x, y] = [k, k + 1].map(|t| data.states[t].as_slice().unwrap());
        let relatives = Relatives { rows: &rows, columns: &columns, x, y, epsilon, potentials: &[] };
        let kinship = Kinship::new(&clones, &relatives, k + 1, neighbours);
        let row = |i| {
            let mut row = vec![0.0; columns.len()];
            kinship.add_row(i, 1.0, &mut row);
            row.into_iter().map(f64::exp).collect()
        };
        let all = (0..rows.len()).map(row).collect();
        (kinship, all)
    }

    #[test]
    fn factors_are_one_on_average_and_where_nothing_is_known() {
        let (data, split) = snapshots([
            &[0, 1, 2, 3, 4, -1, 0],
            &[0, 1, 5, 2, -1, 6, 3, 3, 4, 0],
            &[0, 5, 5, 7, -1, 3, 1, 2, 6, 4],
        ]);
        for (k, neighbours, epsilon) in [(0, 1, 0.4), (0, 3, 0.1), (1, 1, 0.4), (1, 2, 1.0), (1, 50, 0.4)] {
            let (_, factors) = factors(&data, &split, k, neighbours, epsilon);
            let clone = |t: usize, row: usize| data.groups[t][row];
            let before = |id: Option<u64>| id.is_some() && (0..=k).any(|at| data.groups[at].contains(&id));
            let [x, y] = [k, k + 1].map(|t| data.states[t].as_slice().unwrap());
            for j in 0..data.cells(k + 1) {
                let (mut with, mut without) = (0.0, 0.0);
                for (i, row) in factors.iter().enumerate() {
                    let square = (x[2 * i] - y[2 * j]).powi(2) + (x[2 * i + 1] - y[2 * j + 1]).powi(2);
                    with += (-0.5 * square / epsilon).exp() * row[j];
                    without += (-0.5 * square / epsilon).exp();
                    // A clone that was seen before is traced to clones, all else to what has none.
                    if before(clone(k + 1, j)) != clone(k, i).is_some() {
                        assert!((row[j] - MISTAKEN).abs() < 1e-12, "{i} {j}: {}", row[j]);
                    } else if clone(k, i).is_none() || clone(k, i) == clone(k + 1, j) {
                        assert!(row[j] > 0.9, "{i} {j}: {}", row[j]);
                    }
                }
                assert!((with / without - 1.0).abs() < 1e-12, "{j}: {with} {without}");
            }
        }
    }

    #[test]
    fn enough_sisters_are_alone_and_few_are_joined_by_the_nearest() {
        let start = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3];
        let (mut data, split) = snapshots([&start, &[0, 1, 2, 3], &[0, 1, 2, 3]]);
        // Clones at 0, 1, 10 and 11.
        let at = [0.0, 1.0, 10.0, 11.0];
        data.states[0] = start.iter().flat_map(|&clone| [at[clone as usize], 0.0]).collect();
        let (_, three) = factors(&data, &split, 0, 3, 2.0);
        for (row, &clone) in three.iter().zip(&start) {
            for (j, &factor) in row.iter().enumerate() {
                // The last clone, of one cell, borrows from its neighbour, which is three more.
                let traced = clone == j as i64 || (j == 3 && clone == 2);
                assert_eq!(factor > 0.5, traced, "{clone} {j}: {factor}");
                assert!(traced || (factor - MISTAKEN).abs() < 1e-12);
            }
        }
        // At later times clones are compared where they were first seen, not where their cells are now.
        data.states[1] = vec![5.0; 8].into();
        let (_, later) = factors(&data, &split, 1, 2, 2.0);
        assert!(later[0][1] > 0.5 && later[2][3] > 0.5 && later[0][2] < 0.02, "{later:?}");
    }

    /// Marginals are kept, and the plan is that of plain scalings of the whole kernel, also where clones leave a cell nothing but its sisters.
    #[test]
    fn plans_among_kin_keep_their_marginals() {
        let groups: Vec<i64> = (0..24).map(|i| if i % 7 == 3 { -1 } else { i % 6 }).collect();
        let later: Vec<i64> = (0..30).map(|i| if i % 9 == 4 { -1 } else { i * i % 6 }).collect();
        let (data, split) = snapshots([&groups, &later, &later]);
        for (neighbours, epsilon) in [(1, 0.05), (1, 0.5), (8, 0.05), (100, 0.1)] {
            let (kinship, factors) = factors(&data, &split, 0, neighbours, epsilon);
            let [x, y] = [0, 1].map(|t| data.states[t].as_slice().unwrap());
            let config =
                CouplingConfig { tolerance: 1e-10, iterations: 100_000, ..CouplingConfig::balanced(epsilon) };
            let coupling = Coupling::solve_among_kin(2, x, &[], y, Some(&kinship), &config).unwrap();
            assert!(coupling.residual <= 1e-10, "{}", coupling.residual);
            let (n, m) = (24, 30);
            let mut plan = vec![vec![0.0; m]; n];
            plan.iter_mut().enumerate().for_each(|(i, row)| coupling.row(i, row));
            for row in &plan {
                assert!((row.iter().sum::<f64>() * n as f64 - 1.0).abs() < 1e-8);
            }
            for j in 0..m {
                assert!((plan.iter().map(|row| row[j]).sum::<f64>() * m as f64 - 1.0).abs() < 1e-12);
            }
            let kernel = |i: usize, j: usize| {
                let square = (x[2 * i] - y[2 * j]).powi(2) + (x[2 * i + 1] - y[2 * j + 1]).powi(2);
                (-0.5 * square / epsilon).exp() * factors[i][j]
            };
            let (mut u, mut v) = (vec![1.0; n], vec![1.0; m]);
            for _ in 0..20_000 {
                for i in 0..n {
                    u[i] = 1.0 / n as f64 / (0..m).map(|j| kernel(i, j) * v[j]).sum::<f64>();
                }
                for j in 0..m {
                    v[j] = 1.0 / m as f64 / (0..n).map(|i| kernel(i, j) * u[i]).sum::<f64>();
                }
            }
            for (i, row) in plan.iter().enumerate() {
                for (j, &p) in row.iter().enumerate() {
                    let expected = u[i] * kernel(i, j) * v[j];
                    assert!((p - expected).abs() < 1e-8, "{neighbours} {epsilon}: {p} instead of {expected}");
                }
            }
        }
    }

    /// Two clones that change places: however far that is, all but a hundredth goes with its clone.
    #[test]
    fn clones_decide_at_any_distance() {
        let groups: Vec<i64> = (0..40).map(|i| i % 2).collect();
        let (mut data, split) = snapshots([&groups, &groups, &groups]);
        for far in [1.0, 5.0, 30.0] {
            let at = |side: f64| {
                let state = |(i, &g): (usize, &i64)| [side * far * (2 * g - 1) as f64, (i as f64).sin()];
                groups.iter().enumerate().flat_map(state).collect::<Vec<f64>>()
            };
            let (x, y) = (at(1.0), at(-1.0));
            data.states[0] = x.clone().into();
            data.states[1] = y.clone().into();
            let (kinship, _) = factors(&data, &split, 0, 5, 0.1);
            let config = CouplingConfig::balanced(0.1);
            let coupling = Coupling::solve_among_kin(2, &x, &[], &y, Some(&kinship), &config).unwrap();
            assert!(coupling.residual <= config.tolerance, "{}", coupling.residual);
            let mut row = vec![0.0; 40];
            let mut own = 0.0;
            for (i, clone) in groups.iter().enumerate() {
                coupling.row(i, &mut row);
                own += (0..40).filter(|&j| groups[j] == *clone).map(|j| row[j]).sum::<f64>();
            }
            assert!((own - (1.0 - MISTAKEN)).abs() < 1e-3, "{far}: {own}");
        }
    }

    /// A clone that is not among the rows has no nearest one where all began as far from it: it is traced to these alike.
    #[test]
    fn clones_that_are_as_near_count_alike() {
        let (mut data, split) = snapshots([&[0, 1, 2, 3, 4], &[1, 2, 3, 4], &[0, 1, 2, 3, 4]]);
        data.states[0] = vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 4.0, 0.0].into();
        let (_, factors) = factors(&data, &split, 1, 2, 0.5);
        assert!(factors[..3].iter().all(|row| row[0] > 0.9 && row[0] == factors[0][0]), "{factors:?}");
        assert!(factors[3][0] < 0.5);
    }

    #[test]
    fn cells_of_no_clone_couple_as_without_clones() {
        let (data, split) = snapshots([&[-1; 12], &[-1; 15], &[-1; 15]]);
        let (kinship, _) = factors(&data, &split, 0, 3, 0.1);
        let config = CouplingConfig::balanced(0.1);
        let [x, y] = [0, 1].map(|t| data.states[t].as_slice().unwrap());
        let with = Coupling::solve_among_kin(2, x, &[], y, Some(&kinship), &config).unwrap();
        let without = Coupling::solve(2, x, &[], y, &config).unwrap();
        assert_eq!(with.column_potentials(), without.column_potentials());
        // Beside others their rows have one and the same shape, that of the potentials alone, but for columns of no clone, which are theirs.
        let (data, split) = snapshots([&[-1, 0, 1, 2, -1, 0], &[0, 1, 2, -1, 1, 0], &[0; 6]]);
        let (_, factors) = factors(&data, &split, 0, 1, 0.1);
        for (i, row) in factors.iter().enumerate() {
            let none = i == 0 || i == 4;
            assert!((0..6).all(|j| !none || j == 3 || row[j] == MISTAKEN.ln().exp()), "{i}: {row:?}");
            assert_eq!(row[3] > 0.9, none, "{i}: {row:?}");
        }
    }

    /// Ends of bridges are those of the row's own clone.
    #[test]
    fn means_among_kin_are_those_of_the_plan() {
        let groups: Vec<i64> = (0..18).map(|i| if i == 5 { -1 } else { i % 4 }).collect();
        let (data, split) = snapshots([&groups, &groups, &groups]);
        let (m, epsilon) = (18, 0.3);
        let (kinship, _) = factors(&data, &split, 0, 2, epsilon);
        let [x, y] = [0, 1].map(|t| data.states[t].as_slice().unwrap());
        let config =
            CouplingConfig { tolerance: 1e-10, iterations: 10_000, ..CouplingConfig::balanced(epsilon) };
        let coupling = Coupling::solve_among_kin(2, x, &[], y, Some(&kinship), &config).unwrap();
        let ends =
            crate::Extension::new(2, y, coupling.column_potentials(), epsilon).among_kin(Some(kinship));
        let (mut row, mut mean, mut scratch) = (vec![0.0; m], [0.0; 2], vec![0.0; 2 * m]);
        for (i, x) in x.chunks_exact(2).enumerate() {
            coupling.row(i, &mut row);
            let mass: f64 = row.iter().sum();
            ends.mean(i, x, 0.0, &mut scratch, &mut mean);
            for k in 0..2 {
                let expected: f64 = row.iter().zip(y.chunks_exact(2)).map(|(p, y)| p * y[k] / mass).sum();
                assert!((mean[k] - expected).abs() < 1e-12, "{i}: {} instead of {expected}", mean[k]);
            }
        }
    }
}
