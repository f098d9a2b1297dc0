//! All distances, tile by tile, for more dimensions than a tree is good for.
//!
//! Tiles come from a kernel whose rounding is its own, so they only choose candidates: whoever might be among
//! the nearest within that rounding is measured again by [`sq_dist`], which decides.

use chreode_linalg::{GemmScratch, pairwise_sq_dists};

use super::{BURST, Best, Block, sq_dist};

/// Points of one tile.
const TILE: usize = 1024;

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    tile: Vec<f32>,
    gemm: GemmScratch<f32>,
}

impl Block<'_> {
    pub(super) fn scan(&mut self, points: &[f32], d: usize, queries: &[f32], scratch: &mut Scratch) {
        let m = queries.len() / d;
        let mut best: Vec<Best> = vec![Best::new(self.k, BURST); m];
        // Both sums of d squares are within (d + 2) / 2 units of rounding of the truth.
        let slack = 1.0 + (d as f32 + 4.0) * f32::EPSILON;
        for (t, tile) in points.chunks(TILE * d).enumerate() {
            let cols = tile.len() / d;
            scratch.tile.resize(m * cols, 0.0);
            pairwise_sq_dists(queries, tile, d, &mut scratch.tile, &mut scratch.gemm);
            for (i, row) in scratch.tile.chunks_exact(cols).enumerate() {
                let q = &queries[i * d..(i + 1) * d];
                let skip = self.skip(i);
                let best = &mut best[i];
                let mut limit = best.worst() * slack;
                for (part, eight) in row.chunks(8).enumerate() {
                    if eight.iter().all(|&s| s > limit) {
                        continue;
                    }
                    for (j, &s) in eight.iter().enumerate() {
                        let local = part * 8 + j;
                        let index = (t * TILE + local) as u32;
                        if s <= limit && index != skip {
                            let exact = sq_dist(q, &tile[local * d..(local + 1) * d]);
                            best.offer(exact, index, exact <= best.worst());
                            best.settle();
                            limit = best.worst() * slack;
                        }
                    }
                }
            }
        }
        for (i, best) in best.iter_mut().enumerate() {
            let range = i * self.k..(i + 1) * self.k;
            best.write(&mut self.indices[range.clone()], &mut self.distances[range]);
        }
    }
}
