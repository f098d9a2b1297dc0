//! What clones say of descent: how much likelier a cell of one clone is an ancestor of a cell of another than any cell is.
//!
//! Cells of one clone at two times are relatives, not ancestor and descendant: each was taken out of the culture when it was seen. Where a
//! clone has many cells at the earlier time its later cells come from them. Where it has few, their ancestors were like those few, and
//! like the cells of clones that began alike, which went the same ways with the same chances. So a column is traced to the `neighbours` rows whose
//! clones were nearest to its own at the first time at which both were seen, its own clone first: with weights `1 - d²/h²`, `h` the
//! distance of the next row. Sisters of a clone that has so many are alone. Ancestors are taken
//! from relatives by [FS21] too, and clones that are alike are used together by [WHHKK22].

use crate::{Snapshots, split::Split};
use chreode_core::Real;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Part of the clones' evidence that may be wrong, as where two clones have one barcode: no pair is impossible.
const MISTAKEN: f64 = 0.01;
/// Times at which clones may be compared, the first ones.
const TIMES: usize = u64::BITS as usize;

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
    pub(crate) fn new(data: &Snapshots<T>, split: &Split, kept: &[usize], inverse_scale: &[T]) -> Self {
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
        for (bit, &t) in kept.iter().enumerate().take(TIMES) {
            let (mut sums, mut counts) = (vec![0.0; number.len() * d], vec![0.0; number.len()]);
            for &row in &split.train[t] {
                let row = row as usize;
                let Some(clone) = data.groups[t][row].and_then(|id| number.get(&id)) else { continue };
                let clone = *clone as usize;
                seen[clone] |= 1 << bit;
                counts[clone] += 1.0;
                let state = data.states[t][row * d..(row + 1) * d].iter().zip(inverse_scale);
                sums[clone * d..(clone + 1) * d]
                    .iter_mut()
                    .zip(state)
                    .for_each(|(s, (&x, &i))| *s += (x * i).f64());
            }
            means.push((0..sums.len()).map(|at| T::c(sums[at] / f64::max(counts[at / d], 1.0))).collect());
        }
        Self { dim: d, number, seen, means }
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

/// How much likelier each row is the ancestor of each column than rows are on average, as their clones say: one where they say nothing.
#[derive(Debug, Clone)]
pub(crate) struct Kinship<T> {
    /// For each row the list of its clone, none without a clone.
    list: Vec<Option<u32>>,
    /// For each column a bit for each time at which its clone was seen.
    columns: Vec<u64>,
    /// The same for each list.
    rows: Vec<u64>,
    /// For each list the columns that have more than the least, and the logarithm of how much more.
    near: Vec<Vec<(u32, T)>>,
}

impl<T: Real> Kinship<T> {
    /// Of cells of clones `rows`, `[n]`, and later ones, `columns`, `[m]`, where clones are compared at the `times` first times: those up to that of the rows.
    pub(crate) fn new(
        clones: &Clones<T>,
        rows: &[Option<u32>],
        columns: &[Option<u32>],
        times: usize,
        neighbours: usize,
    ) -> Self {
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
        let of_column: Vec<(u32, Vec<u32>)> = of_column.into_iter().collect();
        let lists: Vec<(u32, (u32, f64))> = lists.into_iter().collect();
        let found: Vec<Vec<(u32, f64)>> = of_column
            .par_iter()
            .map(|(column, _)| traced(clones, *column, &lists, times, neighbours))
            .collect();
        let mut kinship = Self {
            list: Vec::with_capacity(rows.len()),
            columns: columns.iter().map(|c| c.map_or(0, |c| clones.seen[c as usize] & until)).collect(),
            rows: vec![0; lists.len()],
            near: vec![Vec::new(); lists.len()],
        };
        for &(clone, (list, _)) in &lists {
            kinship.rows[list as usize] = clones.seen[clone as usize] & until;
        }
        for ((_, columns), found) in of_column.iter().zip(found) {
            for (list, factor) in found {
                let more = T::c((1.0 + (1.0 - MISTAKEN) / MISTAKEN * factor).ln());
                kinship.near[list as usize].extend(columns.iter().map(|&j| (j, more)));
            }
        }
        let list = |clone: u32| lists.binary_search_by_key(&clone, |l| l.0).ok().map(|at| lists[at].1.0);
        kinship.list = rows.iter().map(|clone| clone.and_then(list)).collect();
        kinship
    }

    /// Adds the logarithms of row `i`, times `factor`, to `out`, `[m]`.
    pub(crate) fn add_row(&self, i: usize, factor: T, out: &mut [T]) {
        let Some(list) = self.list[i] else { return };
        let (seen, least) = (self.rows[list as usize], factor * T::c(MISTAKEN.ln()));
        for (out, &columns) in out.iter_mut().zip(&self.columns) {
            if columns & seen != 0 {
                *out += least;
            }
        }
        for &(j, more) in &self.near[list as usize] {
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
        let weight = |square: f64| if square == 0.0 { 1.0 } else { (1.0 - square / width).max(0.0) };
        let all: f64 = same.iter().map(|s| s.3).sum();
        let mean = same.iter().map(|s| weight(s.1) * s.3).sum::<f64>() / all;
        out.extend(same.iter().filter(|s| weight(s.1) > 0.0).map(|s| (s.2, weight(s.1) / mean)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coupling, CouplingConfig};

    fn wave(n: usize, f: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * f + f).sin()).collect()
    }

    /// Three times; the clones of each time's cells by number, negative for none.
    fn snapshots(groups: [&[i64]; 3]) -> (Snapshots<f64>, Split) {
        let of = |groups: &[i64]| groups.iter().map(|&g| u64::try_from(g).ok()).collect::<Vec<_>>();
        let data = Snapshots {
            dim: 2,
            times: vec![0.0, 1.0, 2.0],
            states: groups.iter().enumerate().map(|(t, g)| wave(2 * g.len(), 0.7 + t as f64)).collect(),
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
    ) -> (Kinship<f64>, Vec<Vec<f64>>) {
        let clones = Clones::new(data, split, &[0, 1, 2], &[1.0, 1.0]);
        let [rows, columns] = [k, k + 1].map(|t| clones.of(data, t, &split.train[t]));
        let kinship = Kinship::new(&clones, &rows, &columns, k + 1, neighbours);
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
        for (k, neighbours) in [(0, 1), (0, 3), (1, 1), (1, 2), (1, 50)] {
            let (_, factors) = factors(&data, &split, k, neighbours);
            let seen = |t: usize, row: usize, at: usize| {
                data.groups[t][row].is_some_and(|id| data.groups[at].contains(&Some(id)))
            };
            for j in 0..data.cells(k + 1) {
                // Pairs by the first time at which both clones were seen.
                let mut by_time = vec![Vec::new(); k + 1];
                for (i, row) in factors.iter().enumerate() {
                    match (0..=k).find(|&at| seen(k, i, at) && seen(k + 1, j, at)) {
                        Some(at) => by_time[at].push(row[j]),
                        None => assert_eq!(row[j], 1.0, "{i} {j}"),
                    }
                }
                for known in by_time.iter().filter(|known| !known.is_empty()) {
                    let mean = known.iter().sum::<f64>() / known.len() as f64;
                    assert!((mean - 1.0).abs() < 1e-12, "{j}: {known:?}");
                }
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
        let (_, three) = factors(&data, &split, 0, 3);
        for (row, &clone) in three.iter().zip(&start) {
            for (j, &factor) in row.iter().enumerate() {
                // The last clone, of one cell, borrows from its neighbour, which is three more.
                let traced = clone == j as i64 || (j == 3 && clone == 2);
                assert_eq!(factor > 0.5, traced, "{clone} {j}: {factor}");
                assert!(traced || (factor - MISTAKEN).abs() < 1e-12);
            }
        }
        // At later times clones are compared where they were first seen, not where their cells are now.
        data.states[1] = vec![5.0; 8];
        let (_, later) = factors(&data, &split, 1, 2);
        assert!(later[0][1] > 0.5 && later[2][3] > 0.5 && later[0][2] < 0.02, "{later:?}");
    }

    /// Marginals are kept, and the plan is that of plain scalings of the whole kernel, also where clones leave a cell nothing but its sisters.
    #[test]
    fn plans_among_kin_keep_their_marginals() {
        let groups: Vec<i64> = (0..24).map(|i| if i % 7 == 3 { -1 } else { i % 6 }).collect();
        let later: Vec<i64> = (0..30).map(|i| if i % 9 == 4 { -1 } else { i * i % 6 }).collect();
        let (data, split) = snapshots([&groups, &later, &later]);
        for (neighbours, epsilon) in [(1, 0.05), (1, 0.5), (8, 0.05), (100, 0.1)] {
            let (kinship, factors) = factors(&data, &split, 0, neighbours);
            let [x, y] = [0, 1].map(|t| &data.states[t][..]);
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

    #[test]
    fn cells_of_no_clone_couple_as_without_clones() {
        let (data, split) = snapshots([&[-1; 12], &[-1; 15], &[-1; 15]]);
        let (kinship, _) = factors(&data, &split, 0, 3);
        let config = CouplingConfig::balanced(0.1);
        let [x, y] = [0, 1].map(|t| &data.states[t][..]);
        let with = Coupling::solve_among_kin(2, x, &[], y, Some(&kinship), &config).unwrap();
        let without = Coupling::solve(2, x, &[], y, &config).unwrap();
        assert_eq!(with.column_potentials(), without.column_potentials());
        // Rows of no clone beside others have one and the same shape, that of the potentials alone.
        let (data, split) = snapshots([&[-1, 0, 1, 2, -1, 0], &[0, 1, 2, 2, 1, 0], &[0; 6]]);
        let (_, factors) = factors(&data, &split, 0, 1);
        assert_eq!(factors[0], [1.0; 6]);
        assert_eq!(factors[4], [1.0; 6]);
    }

    /// Ends of bridges are those of the row's own clone.
    #[test]
    fn means_among_kin_are_those_of_the_plan() {
        let groups: Vec<i64> = (0..18).map(|i| if i == 5 { -1 } else { i % 4 }).collect();
        let (data, split) = snapshots([&groups, &groups, &groups]);
        let (kinship, _) = factors(&data, &split, 0, 2);
        let [x, y] = [0, 1].map(|t| &data.states[t][..]);
        let (m, epsilon) = (18, 0.3);
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
