//! The hold-out: cells, or whole clones, that are put aside once and never trained on.

use crate::TrainError;
use crate::data::{Fnv, Snapshots};
use chreode_core::{Real, sub_seed};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is held out together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOutBy {
    /// Single cells: the fraction of each time.
    #[default]
    Cell,
    /// Whole clones, over all times: related cells never lie on both sides.
    Clone,
}

/// Which cells are trained on and which are held out, as row numbers within each time, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Rows to train on, for each time.
    pub train: Vec<Vec<u32>>,
    /// Rows held out, for each time.
    pub hold_out: Vec<Vec<u32>>,
}

impl Split {
    /// Draws the split: a function of the data's shape, its clones and populations, and the seed. Cells are held out of each population alike.
    ///
    /// # Errors
    /// [`TrainError::Setting`] if the fraction is not in [0, 0.9] or clones are asked for and there are none;
    /// [`TrainError::TooFewCells`] if a time is left with fewer than two cells on a side that has a use.
    pub fn draw<T: Real>(
        data: &Snapshots<T>,
        fraction: f64,
        by: HoldOutBy,
        seed: u64,
    ) -> Result<Self, TrainError> {
        if !(0.0..=0.9).contains(&fraction) {
            let rule = "must lie between 0 and 0.9";
            return Err(TrainError::Setting { name: "hold_out", value: fraction, rule });
        }
        let mut rng = Pcg64::seed_from_u64(sub_seed(seed, "hold-out"));
        let mut split = Self::default();
        let mut chosen_clones = None;
        if by == HoldOutBy::Clone {
            if data.groups.is_empty() {
                let rule = "the data name no clones";
                return Err(TrainError::Setting { name: "hold_out_by", value: fraction, rule });
            }
            // Every cell without a clone is a clone of its own, behind the named ones.
            let named = data.groups.iter().flatten().flatten().map(|&id| (id, false));
            let mut clones: BTreeMap<u64, bool> = named.collect();
            let single = data.groups.iter().flatten().filter(|id| id.is_none()).count();
            let total = clones.len() + single;
            let mut mark = vec![false; total];
            mark[..(fraction * total as f64).round() as usize].fill(true);
            shuffle(&mut mark, &mut rng);
            for (held, &m) in clones.values_mut().zip(&mark) {
                *held = m;
            }
            let rest = mark.split_off(clones.len());
            chosen_clones = Some((clones, rest.into_iter()));
        }
        for time in 0..data.times.len() {
            let n = data.cells(time);
            let mut held = vec![false; n];
            if let Some((clones, singles)) = &mut chosen_clones {
                for (h, id) in held.iter_mut().zip(&data.groups[time]) {
                    *h = match id {
                        Some(id) => clones.get(id).copied().unwrap_or(false),
                        None => singles.next().unwrap_or(false),
                    };
                }
            } else {
                let all: Vec<u32> = (0..n as u32).collect();
                for population in 0..data.n_populations() {
                    let rows = data.rows_of(population, time, &all);
                    let mut mark = vec![false; rows.len()];
                    mark[..(fraction * rows.len() as f64).round() as usize].fill(true);
                    shuffle(&mut mark, &mut rng);
                    rows.iter().zip(mark).for_each(|(&row, mark)| held[row as usize] = mark);
                }
            }
            let rows = |side: bool| (0..n as u32).filter(|&i| held[i as usize] == side).collect::<Vec<_>>();
            let (train, hold_out) = (rows(false), rows(true));
            for population in 0..data.n_populations() {
                let [train, hold_out] =
                    [&train, &hold_out].map(|rows| data.rows_of(population, time, rows).len());
                let smallest = if fraction > 0.0 { train.min(hold_out) } else { train };
                if smallest < 2 {
                    return Err(TrainError::TooFewHeldOut { time: data.times[time], train, hold_out });
                }
            }
            split.train.push(train);
            split.hold_out.push(hold_out);
        }
        Ok(split)
    }

    /// A number that depends on every row.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::default();
        for list in self.train.iter().chain(&self.hold_out) {
            hash.add(&(list.len() as u64).to_le_bytes());
            hash.add(bytemuck::cast_slice(list));
        }
        hash.0
    }
}

pub(crate) fn shuffle<V>(v: &mut [V], rng: &mut Pcg64) {
    for i in (1..v.len()).rev() {
        v.swap(i, rng.random_range(0..=i));
    }
}

/// Draws rows of one time: without replacement as far as it has that many, and the whole time repeated beyond.
///
/// A draw depends on the random numbers alone, not on earlier draws, so that a resumed run draws the same.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    rows: Vec<u32>,
    swaps: Vec<u32>,
}

impl Sampler {
    pub(crate) fn new(rows: &[u32]) -> Self {
        Self { rows: rows.to_vec(), swaps: Vec::with_capacity(rows.len()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Sets `out` to rows drawn; it may be longer than the number of rows. The order of whole copies is not random.
    pub(crate) fn draw(&mut self, rng: &mut Pcg64, out: &mut [u32]) {
        let n = self.rows.len();
        let whole = out.len() / n * n;
        let (copies, rest) = out.split_at_mut(whole);
        for copy in copies.chunks_exact_mut(n) {
            copy.copy_from_slice(&self.rows);
        }
        self.swaps.clear();
        for i in 0..rest.len() {
            let j = rng.random_range(i..n);
            self.rows.swap(i, j);
            self.swaps.push(j as u32);
            rest[i] = self.rows[i];
        }
        for (i, &j) in self.swaps.iter().enumerate().rev() {
            self.rows.swap(i, j as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(cells: &[usize], groups: Vec<Vec<Option<u64>>>) -> Snapshots<f64> {
        Snapshots {
            dim: 1,
            times: (0..cells.len()).map(|t| t as f64).collect(),
            states: crate::States::each(cells.iter().map(|&n| vec![0.0; n])),
            growth: vec![],
            groups,
            populations: vec![],
        }
    }

    proptest! {
        #[test]
        fn split_by_cell_is_a_partition(cells in proptest::collection::vec(20_usize..200, 2..5), fraction in 0.1..0.8_f64, seed: u64) {
            let data = data(&cells, vec![]);
            let split = Split::draw(&data, fraction, HoldOutBy::Cell, seed).unwrap();
            for (t, &n) in cells.iter().enumerate() {
                let mut all: Vec<u32> = split.train[t].iter().chain(&split.hold_out[t]).copied().collect();
                all.sort_unstable();
                prop_assert_eq!(all, (0..n as u32).collect::<Vec<_>>());
                prop_assert_eq!(split.hold_out[t].len(), (fraction * n as f64).round() as usize);
            }
            prop_assert_eq!(&split, &Split::draw(&data, fraction, HoldOutBy::Cell, seed).unwrap());
            prop_assert_ne!(split.fingerprint(), Split::draw(&data, fraction, HoldOutBy::Cell, seed ^ 1).unwrap().fingerprint());
        }

        #[test]
        fn clones_stay_together(ids in proptest::collection::vec(proptest::option::of(0_u64..40), 300), seed: u64) {
            let groups: Vec<Vec<_>> = ids.chunks(100).map(<[_]>::to_vec).collect();
            let data = data(&[100, 100, 100], groups.clone());
            let Ok(split) = Split::draw(&data, 0.3, HoldOutBy::Clone, seed) else { return Ok(()) };
            let of = |rows: &[Vec<u32>]| -> std::collections::BTreeSet<u64> {
                rows.iter().zip(&groups).flat_map(|(r, g)| r.iter().filter_map(|&i| g[i as usize])).collect()
            };
            prop_assert!(of(&split.train).is_disjoint(&of(&split.hold_out)));
            let held: usize = split.hold_out.iter().map(Vec::len).sum();
            prop_assert!(held > 20 && held < 180, "{held}");
        }

        #[test]
        fn draws_do_not_depend_on_history(n in 2_usize..30, k in 1_usize..70, seed: u64) {
            let rows: Vec<u32> = (0..n as u32).map(|i| 3 * i).collect();
            let mut sampler = Sampler::new(&rows);
            let (mut first, mut again, mut other) = (vec![0; k], vec![0; k], vec![0; 5]);
            sampler.draw(&mut Pcg64::seed_from_u64(seed), &mut first);
            sampler.draw(&mut Pcg64::seed_from_u64(seed ^ 9), &mut other);
            sampler.draw(&mut Pcg64::seed_from_u64(seed), &mut again);
            prop_assert_eq!(&first, &again);
            for &r in &rows {
                let count = first.iter().filter(|&&f| f == r).count();
                prop_assert!(count == k / n || count == k / n + 1);
            }
        }
    }

    #[test]
    fn refusals() {
        let d = data(&[30, 30], vec![]);
        assert!(matches!(Split::draw(&d, 0.95, HoldOutBy::Cell, 0), Err(TrainError::Setting { .. })));
        assert!(matches!(Split::draw(&d, 0.1, HoldOutBy::Clone, 0), Err(TrainError::Setting { .. })));
        let one_clone = data(&[30, 30], vec![vec![Some(1); 30], vec![Some(1); 30]]);
        assert!(matches!(
            Split::draw(&one_clone, 0.1, HoldOutBy::Clone, 0),
            Err(TrainError::TooFewHeldOut { hold_out: 0, .. })
        ));
        assert!(Split::draw(&d, 0.0, HoldOutBy::Cell, 0).is_ok());
    }
}
