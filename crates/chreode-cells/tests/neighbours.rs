//! Neighbours against the plainest search, both ways of looking, any number of threads.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_cells::{NeighbourError, NeighbourIndex};
use proptest::prelude::*;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Sorts everything: distance as the crate documents it, ties by number.
fn plainest(points: &[f32], queries: &[f32], d: usize, k: usize, skip_self: bool) -> (Vec<u32>, Vec<f32>) {
    let (mut indices, mut distances) = (Vec::new(), Vec::new());
    for (i, q) in queries.chunks(d).enumerate() {
        let mut all: Vec<(f32, u32)> = points
            .chunks(d)
            .enumerate()
            .filter(|&(j, _)| !(skip_self && i == j))
            .map(|(j, p)| (p.iter().zip(q).fold(0.0, |s, (x, y)| s + (x - y) * (x - y)), j as u32))
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        indices.extend(all[..k].iter().map(|a| a.1));
        distances.extend(all[..k].iter().map(|a| a.0.sqrt()));
    }
    (indices, distances)
}

fn uniform(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    (0..n).map(|_| (rng.next_u64() >> 40) as f32 / (1 << 24) as f32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any dimension (tree and scan), with many equal points and equal distances.
    #[test]
    fn equals_the_plainest_search(
        d in 1_usize..9,
        raw in prop::collection::vec(-4_i8..4, 8..1200),
        queries in prop::collection::vec(-5.0_f32..5.0, 8..100),
        jitter in prop::option::of(0.0_f32..1e-3),
        k in 1_usize..12,
    ) {
        let n = raw.len() / d;
        let points: Vec<f32> = raw[..n * d].iter().enumerate().map(|(i, &x)| f32::from(x) + jitter.unwrap_or(0.0) * (i % 97) as f32).collect();
        let queries = &queries[..queries.len() / d * d];
        let index = NeighbourIndex::new(points.clone(), d).unwrap();
        let k = k.min(n);
        let found = index.query(queries, k).unwrap();
        prop_assert_eq!((found.indices, found.distances), plainest(&points, queries, d, k, false));
        if n > k {
            let found = index.query_self(k).unwrap();
            prop_assert_eq!((found.indices, found.distances), plainest(&points, &points, d, k, true));
        }
    }
}

#[test]
fn large_sets_of_either_kind() {
    for (n, d, k) in [(20_000, 2, 30), (5_000, 3, 15), (3_000, 30, 15), (2_500, 50, 5)] {
        let points = uniform(n * d, 1);
        let queries = uniform(200 * d, 2);
        let found = NeighbourIndex::new(points.clone(), d).unwrap().query(&queries, k).unwrap();
        assert_eq!((found.indices, found.distances), plainest(&points, &queries, d, k, false), "d = {d}");
    }
}

#[test]
fn threads_change_nothing() {
    for d in [2, 12] {
        let index = NeighbourIndex::new(uniform(3000 * d, 3), d).unwrap();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| index.query_self(7).unwrap())
        };
        assert_eq!(on(1), on(3));
    }
}

#[test]
fn far_and_degenerate_points() {
    // Squares that overflow still give an answer, and ends of the range do not confuse the tree.
    let far = NeighbourIndex::new(vec![3e38, -3e38, 0.0, 1e-40, 1.0, 1.0], 2).unwrap();
    let found = far.query(&[0.0, 0.0], 3).unwrap();
    assert_eq!(found.indices, [1, 2, 0]);
    let same = NeighbourIndex::new(vec![1.5; 2 * 500], 2).unwrap();
    assert_eq!(same.query(&[0.0, 0.0], 4).unwrap().indices, [0, 1, 2, 3]);
    assert_eq!(same.query_self(2).unwrap().of(1).0, [0, 2]);
}

#[test]
fn what_is_no_point() {
    assert_eq!(NeighbourIndex::new(vec![0.0; 3], 2).unwrap_err(), NeighbourError::Shape { len: 3, d: 2 });
    assert!(NeighbourIndex::new(vec![], 2).is_err());
    assert!(NeighbourIndex::new(vec![1.0], 0).is_err());
    assert_eq!(
        NeighbourIndex::new(vec![0.0, 0.0, 1.0, f32::NAN], 2).unwrap_err(),
        NeighbourError::NotFinite { row: 1 }
    );
    let one = NeighbourIndex::new(vec![0.0, 0.0], 2).unwrap();
    assert_eq!(one.query(&[f32::INFINITY, 0.0], 1).unwrap_err(), NeighbourError::NotFinite { row: 0 });
    assert_eq!(one.query(&[1.0, 0.0], 2).unwrap_err(), NeighbourError::TooMany { k: 2, n: 1 });
    assert_eq!(one.query_self(1).unwrap_err(), NeighbourError::TooMany { k: 1, n: 0 });
    assert!(one.query(&[], 1).unwrap().is_empty());
}
