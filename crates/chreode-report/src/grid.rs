//! Regular lattices over a plane of two coordinates, and kernel means of per-cell values on them.

use crate::figures::ShapeError;

/// Nodes of a regular lattice: `x[i] = x0 + i dx`, `y[j] = y0 + j dy`; node `(i, j)` is stored at `j * nx + i`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    /// Least x of the nodes, in the data's units.
    pub x0: f64,
    /// Least y of the nodes.
    pub y0: f64,
    /// Distance between nodes along x; positive.
    pub dx: f64,
    /// Distance between nodes along y; positive.
    pub dy: f64,
    /// Nodes along x; at least 2.
    pub nx: usize,
    /// Nodes along y; at least 2.
    pub ny: usize,
}

impl Lattice {
    /// A lattice with about `n` nodes along the longer side that covers the finite `points` with a margin of 4 %.
    ///
    /// Without a finite point it covers the unit square.
    pub fn covering(points: &[[f64; 2]], n: usize) -> Self {
        let n = n.clamp(2, 400);
        let range = |k: usize| {
            let finite = points.iter().filter(|p| p[0].is_finite() && p[1].is_finite()).map(|p| p[k]);
            let (lo, hi) = crate::scale::extent(finite).unwrap_or((0.0, 1.0));
            let (lo, hi) = (lo.clamp(-1e300, 1e300), hi.clamp(-1e300, 1e300));
            let margin = if hi > lo { 0.04 * (hi - lo) } else { 0.5 * lo.abs().max(1.0) };
            (lo - margin, hi + margin)
        };
        let ((x_lo, x_hi), (y_lo, y_hi)) = (range(0), range(1));
        let (width, height) = (x_hi - x_lo, y_hi - y_lo);
        // Axes with very different ranges keep at least a third of the nodes each.
        let share = (height / width).clamp(1.0 / 3.0, 3.0);
        let (nx, ny) =
            if share <= 1.0 { (n, (n as f64 * share) as usize) } else { ((n as f64 / share) as usize, n) };
        let (nx, ny) = (nx.max(2), ny.max(2));
        Self { x0: x_lo, y0: y_lo, dx: width / (nx - 1) as f64, dy: height / (ny - 1) as f64, nx, ny }
    }

    /// Coordinates of node `(i, j)`.
    pub fn node(&self, i: usize, j: usize) -> [f64; 2] {
        [self.x0 + i as f64 * self.dx, self.y0 + j as f64 * self.dy]
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nx * self.ny
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One value per node of a lattice; `NaN` where there is nothing to show.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalarGrid {
    pub(crate) lattice: Lattice,
    pub(crate) values: Vec<f64>,
}

impl ScalarGrid {
    /// Wraps values `[ny, nx]`, row by row from the least y.
    ///
    /// # Errors
    /// [`ShapeError`] when their number is not that of the nodes.
    pub fn new(lattice: Lattice, values: Vec<f64>) -> Result<Self, ShapeError> {
        ShapeError::check("values of the grid", lattice.len(), values.len())?;
        Ok(Self { lattice, values })
    }

    /// Gaussian-kernel mean of one value per point, `NaN` where fewer than about one point lies within a kernel's width.
    ///
    /// # Errors
    /// [`ShapeError`] when `values` is not as long as `points`.
    pub fn smooth(lattice: Lattice, points: &[[f64; 2]], values: &[f64]) -> Result<Self, ShapeError> {
        ShapeError::check("values of the points", points.len(), values.len())?;
        let rows: Vec<[f64; 1]> = values.iter().map(|&v| [v]).collect();
        Ok(Self { lattice, values: kernel_mean(&lattice, points, &rows).into_iter().map(|[v]| v).collect() })
    }
}

/// One vector per node of a lattice, in data units per unit of time; `NaN` where there is nothing to show.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorGrid {
    pub(crate) lattice: Lattice,
    pub(crate) vectors: Vec<[f64; 2]>,
}

impl VectorGrid {
    /// Wraps vectors `[ny, nx]`, row by row from the least y.
    ///
    /// # Errors
    /// [`ShapeError`] when their number is not that of the nodes.
    pub fn new(lattice: Lattice, vectors: Vec<[f64; 2]>) -> Result<Self, ShapeError> {
        ShapeError::check("vectors of the grid", lattice.len(), vectors.len())?;
        Ok(Self { lattice, vectors })
    }

    /// Gaussian-kernel mean of one vector per point, `NaN` where fewer than about one point lies within a kernel's width.
    ///
    /// # Errors
    /// [`ShapeError`] when `vectors` is not as long as `points`.
    pub fn smooth(lattice: Lattice, points: &[[f64; 2]], vectors: &[[f64; 2]]) -> Result<Self, ShapeError> {
        ShapeError::check("vectors of the points", points.len(), vectors.len())?;
        Ok(Self { lattice, vectors: kernel_mean(&lattice, points, vectors) })
    }

    /// Length that two per cent of the vectors exceed, which keeps single ones from setting a scale; 0 without vectors.
    pub fn fastest(&self) -> f64 {
        let mut speeds: Vec<f64> =
            self.vectors.iter().map(|v| v[0].hypot(v[1])).filter(|s| s.is_finite()).collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len().saturating_sub(1 + speeds.len() / 50)).copied().unwrap_or(0.0)
    }

    /// Bilinear value at a point; `None` outside the lattice or where a corner has no vector.
    pub(crate) fn at(&self, p: [f64; 2]) -> Option<[f64; 2]> {
        let l = &self.lattice;
        let (gx, gy) = ((p[0] - l.x0) / l.dx, (p[1] - l.y0) / l.dy);
        if !(gx >= 0.0 && gy >= 0.0 && gx <= (l.nx - 1) as f64 && gy <= (l.ny - 1) as f64) {
            return None;
        }
        let (i, j) = ((gx as usize).min(l.nx - 2), (gy as usize).min(l.ny - 2));
        let (a, b) = (gx - i as f64, gy - j as f64);
        let corner = |i: usize, j: usize| self.vectors[j * l.nx + i];
        let (p00, p10, p01, p11) = (corner(i, j), corner(i + 1, j), corner(i, j + 1), corner(i + 1, j + 1));
        let v = [0, 1]
            .map(|k| (1.0 - b) * ((1.0 - a) * p00[k] + a * p10[k]) + b * ((1.0 - a) * p01[k] + a * p11[k]));
        (v[0].is_finite() && v[1].is_finite()).then_some(v)
    }
}

/// Means with a Gaussian kernel of one lattice step, cut at three. Points with a value that is not finite are skipped.
fn kernel_mean<const K: usize>(l: &Lattice, points: &[[f64; 2]], rows: &[[f64; K]]) -> Vec<[f64; K]> {
    const REACH: isize = 3;
    // A node farther than this from every point shows nothing, however many points lie beyond.
    const CLOSE: f64 = 1.2;
    let mut sums = vec![[0.0; K]; l.len()];
    let mut mass = vec![0.0; l.len()];
    let mut close = vec![false; l.len()];
    for (p, row) in points.iter().zip(rows) {
        let (gx, gy) = ((p[0] - l.x0) / l.dx, (p[1] - l.y0) / l.dy);
        let inside = gx > -1.0 && gy > -1.0 && gx < l.nx as f64 && gy < l.ny as f64;
        if !inside || row.iter().any(|v| !v.is_finite()) {
            continue;
        }
        let (ci, cj) = (gx.round() as isize, gy.round() as isize);
        for j in (cj - REACH).max(0)..=(cj + REACH).min(l.ny as isize - 1) {
            for i in (ci - REACH).max(0)..=(ci + REACH).min(l.nx as isize - 1) {
                let r2 = (gx - i as f64).powi(2) + (gy - j as f64).powi(2);
                let w = (-0.5 * r2).exp();
                let node = j as usize * l.nx + i as usize;
                mass[node] += w;
                close[node] |= r2 < CLOSE * CLOSE;
                for (s, v) in sums[node].iter_mut().zip(row) {
                    *s += w * v;
                }
            }
        }
    }
    let mut filled: Vec<f64> = mass.iter().copied().filter(|&m| m > 0.5).collect();
    filled.sort_by(f64::total_cmp);
    // A stray cell in a sea of thousands is no evidence: ask for a share of a typical node's mass as well.
    let typical = filled.get(filled.len() / 2).copied().unwrap_or(0.0);
    let least = (0.03 * typical).max(0.6);
    let filled = mass.iter().zip(&close).map(|(&m, &c)| c && m >= least);
    sums.iter()
        .zip(&mass)
        .zip(filled)
        .map(|((s, m), f)| if f { s.map(|v| v / m) } else { [f64::NAN; K] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cloud() -> Vec<[f64; 2]> {
        (0..2000).map(|i| [f64::from(i % 50) / 49.0, f64::from(i / 50) / 39.0]).collect()
    }

    #[test]
    fn a_constant_is_its_own_mean_and_empty_places_are_masked() {
        let points: Vec<[f64; 2]> = cloud().into_iter().filter(|p| p[0] < 0.4 || p[0] > 0.8).collect();
        let lattice = Lattice::covering(&points, 30);
        let grid = ScalarGrid::smooth(lattice, &points, &vec![2.5; points.len()]).unwrap();
        assert!(grid.values.iter().all(|v| v.is_nan() || (v - 2.5).abs() < 1e-12));
        let middle = grid.values[(lattice.ny / 2) * lattice.nx + (0.6 * lattice.nx as f64) as usize];
        assert!(middle.is_nan());
        assert!(grid.values.iter().filter(|v| v.is_finite()).count() > lattice.len() / 3);
    }

    #[test]
    fn vectors_are_interpolated_bilinearly() {
        let lattice = Lattice { x0: 0.0, y0: 0.0, dx: 0.5, dy: 0.25, nx: 5, ny: 9 };
        let vectors =
            (0..45).map(|k| lattice.node(k % 5, k / 5)).map(|[x, y]| [x + 2.0 * y, x * y]).collect();
        let grid = VectorGrid::new(lattice, vectors).unwrap();
        let v = grid.at([0.7, 1.1]).unwrap();
        assert!((v[0] - 2.9).abs() < 1e-12 && (v[1] - 0.77).abs() < 1e-12, "{v:?}");
        assert!(grid.at([2.1, 1.0]).is_none() && grid.at([f64::NAN, 0.0]).is_none());
    }

    #[test]
    fn lengths_are_checked() {
        let lattice = Lattice::covering(&[[0.0, 0.0], [1.0, 1.0]], 10);
        let error = ScalarGrid::new(lattice, vec![0.0; 3]).unwrap_err();
        assert_eq!(error, ShapeError { what: "values of the grid", expected: 100, found: 3 });
    }

    proptest! {
        #[test]
        fn a_covering_lattice_covers(points in prop::collection::vec([-1e3..1e3_f64, -1e3..1e3_f64], 0..20), n in 2usize..60) {
            let l = Lattice::covering(&points, n);
            let far = l.node(l.nx - 1, l.ny - 1);
            for p in &points {
                prop_assert!(p[0] >= l.x0 && p[1] >= l.y0 && p[0] <= far[0] && p[1] <= far[1]);
            }
            prop_assert!(l.dx > 0.0 && l.dy > 0.0 && l.nx >= 2 && l.ny >= 2 && l.nx.max(l.ny) <= n.max(2));
        }
    }
}
