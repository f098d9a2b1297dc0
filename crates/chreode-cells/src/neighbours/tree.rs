//! A k-d tree for few dimensions: millions of queries a second and core in the plane.
//!
//! Balanced and implicit: all leaves are at one depth and of almost one size; nodes hold bounding boxes. A leaf's
//! points lie coordinate by coordinate, so that their distances are computed side by side.
//! Source: Friedman, Bentley & Finkel (1977), ACM Trans. Math. Softw. 3, 209-226.

use super::best::Best;

/// Most points of a leaf.
const LEAF: usize = 24;

/// Lower and upper corner.
#[derive(Debug, Clone, Copy)]
struct Bounds<const D: usize> {
    low: [f32; D],
    high: [f32; D],
}

impl<const D: usize> Bounds<D> {
    /// Squared distance to the nearest point of the box, in the order of operations of [`super::sq_dist`]: since
    /// rounding is monotone, no point inside can come out nearer.
    #[inline(always)]
    fn sq_dist(&self, q: &[f32; D]) -> f32 {
        let mut sum = 0.0;
        for k in 0..D {
            let gap = (self.low[k] - q[k]).max(q[k] - self.high[k]).max(0.0);
            sum += gap * gap;
        }
        sum
    }
}

/// Points of one leaf; unused places are infinitely far away.
#[derive(Debug, Clone)]
struct Leaf<const D: usize> {
    coordinates: [[f32; LEAF]; D],
    index: [u32; LEAF],
}

/// The tree over points of `D` coordinates.
#[derive(Debug, Clone)]
pub(super) struct Tree<const D: usize> {
    /// Node `i` has the children `2 i + 1` and `2 i + 2`; the last `leaves.len()` nodes are the leaves.
    bounds: Vec<Bounds<D>>,
    leaves: Vec<Leaf<D>>,
    /// Points of the smallest leaf.
    fewest: usize,
}

impl<const D: usize> Tree<D> {
    /// Builds the tree; `points` is `[n, D]` with `n >= 1`, all finite.
    pub(super) fn new(points: &[f32]) -> Self {
        let n = points.len() / D;
        let leaves = n.div_ceil(LEAF).next_power_of_two();
        let mut order: Vec<u32> = (0..n as u32).collect();
        let empty = Bounds { low: [f32::INFINITY; D], high: [f32::NEG_INFINITY; D] };
        let mut tree = Self {
            bounds: vec![empty; 2 * leaves - 1],
            leaves: vec![Leaf { coordinates: [[f32::INFINITY; LEAF]; D], index: [u32::MAX; LEAF] }; leaves],
            fewest: n / leaves,
        };
        tree.split(points, &mut order, 0);
        tree
    }

    fn split(&mut self, points: &[f32], order: &mut [u32], node: usize) {
        let at = |i: u32, k: usize| points[i as usize * D + k];
        let bounds = &mut self.bounds[node];
        for &i in &*order {
            for k in 0..D {
                bounds.low[k] = bounds.low[k].min(at(i, k));
                bounds.high[k] = bounds.high[k].max(at(i, k));
            }
        }
        let first_leaf = self.leaves.len() - 1;
        if node >= first_leaf {
            let leaf = &mut self.leaves[node - first_leaf];
            order.sort_unstable();
            for (place, &i) in order.iter().enumerate() {
                leaf.index[place] = i;
                for k in 0..D {
                    leaf.coordinates[k][place] = at(i, k);
                }
            }
            return;
        }
        let width = |k: usize| bounds.high[k] - bounds.low[k];
        let widest = (1..D).fold(0, |w, k| if width(k) > width(w) { k } else { w });
        let middle = order.len() / 2;
        if middle < order.len() {
            let key = |i: &u32| (at(*i, widest), *i);
            order.select_nth_unstable_by(middle, |a, b| {
                let (a, b) = (key(a), key(b));
                a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
            });
        }
        let (left, right) = order.split_at_mut(middle);
        self.split(points, left, 2 * node + 1);
        self.split(points, right, 2 * node + 2);
    }

    /// Leaves `best` with at least the `k` points nearest to `q`, leaving out the point number `skip`.
    pub(super) fn search(&self, q: &[f32; D], skip: u32, k: usize, best: &mut Best) {
        best.clear();
        let first_leaf = self.leaves.len() - 1;
        // One entry a level, and fewer than 32 levels.
        let mut stack = [(0.0_f32, 0_u32); 32];
        let mut depth = 0;
        // The smallest part around `q` that holds k points for certain: all of it, then cut to the best.
        let mut node = 0;
        let mut leaves = self.leaves.len();
        while node < first_leaf && self.fewest * (leaves / 2) > k {
            let (near, far) = self.children(node, q);
            stack[depth] = (far.0, far.1 as u32);
            depth += 1;
            node = near.1;
            leaves /= 2;
        }
        let mut from = node;
        while from < first_leaf {
            from = 2 * from + 1;
        }
        for leaf in &self.leaves[from - first_leaf..][..leaves] {
            leaf.offer(q, skip, best);
            best.settle();
        }
        best.cut();
        // Then whatever may be nearer than the k-th, nearest parts first on the way down.
        while depth > 0 {
            depth -= 1;
            // Equally far points are decided by their number, so only what is farther is left out.
            if stack[depth].0 > best.worst() {
                continue;
            }
            node = stack[depth].1 as usize;
            while node < first_leaf {
                let (near, far) = self.children(node, q);
                stack[depth] = (far.0, far.1 as u32);
                depth += usize::from(far.0 <= best.worst());
                node = near.1;
            }
            self.leaves[node - first_leaf].offer(q, skip, best);
            best.settle();
        }
    }

    /// The nearer and the farther child, each with its squared distance.
    #[inline(always)]
    fn children(&self, node: usize, q: &[f32; D]) -> ((f32, usize), (f32, usize)) {
        let (a, b) = (2 * node + 1, 2 * node + 2);
        let (a, b) = ((self.bounds[a].sq_dist(q), a), (self.bounds[b].sq_dist(q), b));
        if a.0 <= b.0 { (a, b) } else { (b, a) }
    }
}

impl<const D: usize> Leaf<D> {
    #[inline(always)]
    fn offer(&self, q: &[f32; D], skip: u32, best: &mut Best) {
        let mut distances = [0.0_f32; LEAF];
        for k in 0..D {
            for (s, &x) in distances.iter_mut().zip(&self.coordinates[k]) {
                let gap = x - q[k];
                *s += gap * gap;
            }
        }
        let worst = best.worst();
        #[allow(clippy::needless_bitwise_bool, reason = "a branch would be mispredicted half of the time")]
        for (&s, &i) in distances.iter().zip(&self.index) {
            best.offer(s, i, (s <= worst) & (i != skip) & (i != u32::MAX));
        }
    }
}
