//! Which points of a cloud stem from one and the same cell: pairs that an unbiased self-term leaves out.

use chreode_core::Real;

/// The points of a cloud by their cells; empty if every point has a cell of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    /// Points by cell, then by number.
    order: Vec<u32>,
    /// For each point, where those of its cell stand in `order`.
    span: Vec<(u32, u32)>,
    /// For each point, the weight of all points of its cell.
    mass: Vec<f64>,
}

impl Origins {
    /// Takes the cell of each point, `[n]` or none at all, and the normalised weights, `[n]`.
    pub(crate) fn set<T: Real>(&mut self, cells: &[u32], weights: &[T]) {
        let n = cells.len();
        self.order.clear();
        self.order.extend(0..n as u32);
        self.order.sort_unstable_by_key(|&i| (cells[i as usize], i));
        self.span.resize(n, (0, 0));
        self.mass.resize(n, 0.0);
        let mut start = 0;
        for same in self.order.chunk_by(|&i, &j| cells[i as usize] == cells[j as usize]) {
            let mass = same.iter().map(|&i| weights[i as usize].f64()).sum();
            let end = start + same.len() as u32;
            for &i in same {
                self.span[i as usize] = (start, end);
                self.mass[i as usize] = mass;
            }
            start = end;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The weight of all points of each point's cell, `[n]`; empty if every point has a cell of its own.
    pub(crate) fn mass(&self) -> &[f64] {
        &self.mass
    }

    /// Puts to zero the entries of a row of a matrix whose columns are the points from `first` on: those of the
    /// points that share the cell of point `i`.
    pub(crate) fn clear_same<T: Real>(&self, i: usize, first: usize, row: &mut [T]) {
        let (start, end) = self.span[i];
        let same = &self.order[start as usize..end as usize];
        let from = same.partition_point(|&j| (j as usize) < first);
        for &j in &same[from..] {
            match row.get_mut(j as usize - first) {
                Some(v) => *v = T::ZERO,
                None => break,
            }
        }
    }
}
