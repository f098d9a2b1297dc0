//! Exact nearest neighbours in the state space (Euclidean).
//!
//! [`NeighbourIndex`] chooses inside: a k-d tree (`tree`) for up to four coordinates, blocks of all distances
//! (`brute`) above. Both give the same answer to the bit: distances are the root of [`sq_dist`], equally near points come in
//! the order of their numbers. Queries run in fixed blocks, so the number of threads changes nothing.
//! Not here: what neighbours are good for (`fate`, `trust`).

mod best;
mod brute;
mod tree;

use rayon::prelude::*;

use best::Best;
use tree::Tree;

/// Queries of one task.
const BLOCK: usize = 64;
/// Pairs offered at most between two cuts to the best.
const BURST: usize = 32;
/// Up to this many coordinates the tree is used.
const TREE_DIM: usize = 4;

/// Why neighbours could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NeighbourError {
    /// The points are not `[n, d]` with `n >= 1` and `d >= 1`, or more than 2^32 - 2.
    #[error("{len} values are no points of {d} coordinates")]
    Shape {
        /// Number of values.
        len: usize,
        /// Coordinates of a point.
        d: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("point {row} has a coordinate that is not finite")]
    NotFinite {
        /// Number of the point or query.
        row: usize,
    },
    /// There are fewer points than neighbours asked for.
    #[error("{k} neighbours asked for among {n} points")]
    TooMany {
        /// Neighbours asked for.
        k: usize,
        /// Points there are (without the query itself).
        n: usize,
    },
}

/// The nearest points of each query, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Neighbours of each query.
    pub k: usize,
    /// Numbers of the points, `[n, k]`.
    pub indices: Vec<u32>,
    /// Distances in units of the state, `[n, k]`.
    pub distances: Vec<f32>,
}

impl Neighbours {
    /// Numbers and distances of one query's neighbours.
    pub fn of(&self, query: usize) -> (&[u32], &[f32]) {
        let range = query * self.k..(query + 1) * self.k;
        (&self.indices[range.clone()], &self.distances[range])
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.indices.len() / self.k
    }

    /// Whether there were no queries.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Points in which neighbours are sought.
///
/// ```
/// use chreode_cells::NeighbourIndex;
///
/// let cells = NeighbourIndex::new(vec![0.0, 0.0, 3.0, 4.0, 1.0, 0.0], 2)?;
/// let near = cells.query(&[0.0, 0.0], 2)?;
/// assert_eq!(near.of(0), (&[0, 2][..], &[0.0, 1.0][..]));
/// # Ok::<(), chreode_cells::NeighbourError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NeighbourIndex {
    points: Vec<f32>,
    d: usize,
    search: Search,
}

#[derive(Debug, Clone)]
enum Search {
    One(Tree<1>),
    Two(Tree<2>),
    Three(Tree<3>),
    Four(Tree<4>),
    All,
}

impl NeighbourIndex {
    /// Takes points, `[n, d]`.
    ///
    /// # Errors
    /// [`NeighbourError::Shape`], [`NeighbourError::NotFinite`].
    pub fn new(points: Vec<f32>, d: usize) -> Result<Self, NeighbourError> {
        check(&points, d)?;
        if points.is_empty() || points.len() / d >= u32::MAX as usize {
            return Err(NeighbourError::Shape { len: points.len(), d });
        }
        let search = match d {
            1 => Search::One(Tree::new(&points)),
            2 => Search::Two(Tree::new(&points)),
            3 => Search::Three(Tree::new(&points)),
            TREE_DIM => Search::Four(Tree::new(&points)),
            _ => Search::All,
        };
        Ok(Self { points, d, search })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len() / self.d
    }

    /// Whether there are no points: never.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Coordinates of a point.
    pub fn dim(&self) -> usize {
        self.d
    }

    /// The points, `[n, d]`.
    pub fn points(&self) -> &[f32] {
        &self.points
    }

    /// The `k` nearest points of each query, `[n, d]`.
    ///
    /// # Errors
    /// [`NeighbourError`].
    pub fn query(&self, queries: &[f32], k: usize) -> Result<Neighbours, NeighbourError> {
        check(queries, self.d)?;
        self.run(queries, k, self.len(), false)
    }

    /// The `k` nearest other points of each point; a copy at distance 0 is another point.
    ///
    /// # Errors
    /// [`NeighbourError::TooMany`].
    pub fn query_self(&self, k: usize) -> Result<Neighbours, NeighbourError> {
        self.run(&self.points, k, self.len() - 1, true)
    }

    fn run(
        &self,
        queries: &[f32],
        k: usize,
        available: usize,
        skip_self: bool,
    ) -> Result<Neighbours, NeighbourError> {
        if k > available || k == 0 {
            return Err(NeighbourError::TooMany { k, n: available });
        }
        let n = queries.len() / self.d;
        let mut out = Neighbours { k, indices: vec![0; n * k], distances: vec![0.0; n * k] };
        out.indices
            .par_chunks_mut(BLOCK * k)
            .zip(out.distances.par_chunks_mut(BLOCK * k))
            .zip(queries.par_chunks(BLOCK * self.d))
            .enumerate()
            .for_each_init(
                || (Best::new(k, BURST), brute::Scratch::default()),
                |(best, scratch), (block, ((indices, distances), queries))| {
                    let first = skip_self.then_some((block * BLOCK) as u32);
                    let mut out = Block { k, first, indices, distances, best };
                    match &self.search {
                        Search::One(tree) => out.walk(tree, queries),
                        Search::Two(tree) => out.walk(tree, queries),
                        Search::Three(tree) => out.walk(tree, queries),
                        Search::Four(tree) => out.walk(tree, queries),
                        Search::All => out.scan(&self.points, self.d, queries, scratch),
                    }
                },
            );
        Ok(out)
    }
}

/// The answers of one block of queries.
struct Block<'a> {
    k: usize,
    /// The first query's own number among the points, if they are to be left out.
    first: Option<u32>,
    indices: &'a mut [u32],
    distances: &'a mut [f32],
    best: &'a mut Best,
}

impl Block<'_> {
    /// The number to leave out for query `i` of the block.
    fn skip(&self, i: usize) -> u32 {
        self.first.map_or(u32::MAX, |first| first + i as u32)
    }

    fn store(&mut self, i: usize) {
        let range = i * self.k..(i + 1) * self.k;
        self.best.write(&mut self.indices[range.clone()], &mut self.distances[range]);
    }

    fn walk<const D: usize>(&mut self, tree: &Tree<D>, queries: &[f32]) {
        for (i, q) in queries.as_chunks().0.iter().enumerate() {
            tree.search(q, self.skip(i), self.k, self.best);
            self.store(i);
        }
    }
}

/// Squared distance of two points, summed in the order of their coordinates.
#[inline(always)]
pub(crate) fn sq_dist(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + (y - x) * (y - x))
}

fn check(points: &[f32], d: usize) -> Result<(), NeighbourError> {
    if d == 0 || !points.len().is_multiple_of(d) {
        return Err(NeighbourError::Shape { len: points.len(), d });
    }
    match points.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(NeighbourError::NotFinite { row: i / d }),
        None => Ok(()),
    }
}
