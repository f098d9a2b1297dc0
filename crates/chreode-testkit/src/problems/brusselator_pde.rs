//! The Brusselator with diffusion, in one and two dimensions: large stiff systems with sparse Jacobians.
//! Source: [HW96] section IV.10, the square with a source that is always on.

use std::f64::consts::PI;

use chreode_core::{FieldError, Jacobian, Real, Sparsity, VectorField};

use super::brusselator_square_ends::{END_32, END_64, END_128};
use super::stiff::StiffCase;

/// On a line of inner points between fixed ends: `u' = 1 + u² v - 4 u + u_xx / 50`, `v' = 3 u - u² v + v_xx / 50`;
/// `u`, `v` of a point are adjacent, so that the Jacobian has two diagonals on each side.
#[derive(Debug, Clone)]
pub struct BrusselatorLine {
    points: usize,
    pattern: Sparsity,
}

impl BrusselatorLine {
    /// Start and end time.
    pub const SPAN: (f64, f64) = (0.0, 10.0);

    /// With so many inner points.
    pub fn new(points: usize) -> Self {
        let d = 2 * points;
        let band = (0..d).flat_map(|i| [(i, i), (i, i + 2), (i + 2, i), (i, i ^ 1)]);
        let inside = band.filter(|&(i, j)| i < d && j < d);
        // All entries lie inside.
        let pattern = Sparsity::new(d, d, inside).unwrap_or_else(|_| Sparsity::banded(d, 2, 2));
        Self { points, pattern }
    }

    /// The state at the start.
    pub fn start(&self) -> Vec<f64> {
        let wave = |i: usize| (2.0 * PI * (i + 1) as f64 / (self.points + 1) as f64).sin();
        (0..self.points).flat_map(|i| [1.0 + wave(i), 3.0]).collect()
    }

    fn coupling<T: Real>(&self) -> T {
        T::c(((self.points + 1) as f64).powi(2) / 50.0)
    }
}

impl<T: Real> VectorField<T> for BrusselatorLine {
    fn dim(&self) -> usize {
        2 * self.points
    }

    fn eval(&mut self, _t: f64, y: &[T], _p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let d = 2 * self.points;
        let g = self.coupling::<T>();
        let [one, two, three, four] = [1.0, 2.0, 3.0, 4.0].map(T::c);
        for (y, dy) in y.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
            let ends = (one, three);
            let cell = |i: usize| (y[2 * i], y[2 * i + 1]);
            for i in 0..self.points {
                let (u, v) = cell(i);
                let (ul, vl) = if i > 0 { cell(i - 1) } else { ends };
                let (ur, vr) = if i + 1 < self.points { cell(i + 1) } else { ends };
                let made = u * u * v;
                dy[2 * i] = one + made - four * u + g * (ul - two * u + ur);
                dy[2 * i + 1] = three * u - made + g * (vl - two * v + vr);
            }
        }
        Ok(())
    }
}

impl<T: Real> Jacobian<T> for BrusselatorLine {
    fn sparsity(&self) -> Option<&Sparsity> {
        Some(&self.pattern)
    }

    fn jacobian(&mut self, _t: f64, y: &[T], _p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let g = self.coupling::<T>();
        let [two, three, four] = [2.0, 3.0, 4.0].map(T::c);
        let mut out = values.iter_mut();
        // Rows ascend within a column.
        let mut put = |x: T| out.next().into_iter().for_each(|out| *out = x);
        for i in 0..self.points {
            let (first, last) = (i == 0, i + 1 == self.points);
            let (uv2, uu) = (two * y[2 * i] * y[2 * i + 1], y[2 * i] * y[2 * i]);
            for (above, below) in [(uv2 - four - two * g, three - uv2), (uu, -uu - two * g)] {
                if !first {
                    put(g);
                }
                put(above);
                put(below);
                if !last {
                    put(g);
                }
            }
        }
        Ok(())
    }
}

/// On a periodic square of cells, with a source of 5 in a disc: `u' = 1 + u² v - 4.4 u + Δu / 10 + source`,
/// `v' = 3.4 u - u² v + Δv / 10`; `u`, `v` of a cell are adjacent.
#[derive(Debug, Clone)]
pub struct BrusselatorSquare {
    side: usize,
    pattern: Sparsity,
    /// Where the entries of each cell's two columns lie: both diagonal blocks row by row, then the four neighbours.
    places: Vec<[usize; 12]>,
}

impl BrusselatorSquare {
    /// Start and end time.
    pub const SPAN: (f64, f64) = (0.0, 11.5);

    /// With so many cells a side, at least three.
    pub fn new(side: usize) -> Self {
        let side = side.max(3);
        let cells = side * side;
        let d = 2 * cells;
        let entries = (0..cells).flat_map(|c| {
            let block = [(2 * c, 2 * c), (2 * c, 2 * c + 1), (2 * c + 1, 2 * c), (2 * c + 1, 2 * c + 1)];
            let around =
                neighbours(c, side).into_iter().flat_map(move |k| [(2 * k, 2 * c), (2 * k + 1, 2 * c + 1)]);
            block.into_iter().chain(around)
        });
        let all: Vec<(usize, usize)> = entries.collect();
        // All entries lie inside.
        let pattern = Sparsity::new(d, d, all.iter().copied()).unwrap_or_else(|_| Sparsity::banded(d, 0, 0));
        let place = |&(i, j): &(usize, usize)| {
            pattern.col_starts()[j] + pattern.column(j).partition_point(|&k| k < i)
        };
        let places = all.as_chunks::<12>().0.iter().map(|cell| cell.each_ref().map(place)).collect();
        Self { side, pattern, places }
    }

    /// The state at the start.
    pub fn start(&self) -> Vec<f64> {
        let bump = |x: f64| x * (1.0 - x).powf(1.5);
        let at = |i: usize| i as f64 / self.side as f64;
        let cells = (0..self.side).flat_map(|j| (0..self.side).map(move |i| (i, j)));
        cells.flat_map(|(i, j)| [22.0 * bump(at(j)), 27.0 * bump(at(i))]).collect()
    }

    fn case(name: &'static str, side: usize, end: &[(usize, f64)]) -> StiffCase {
        let square = Self::new(side);
        let y0 = square.start();
        StiffCase { name, field: Box::new(square), y0, span: Self::SPAN, floor: 1.0, end: end.to_vec() }
    }

    fn coupling<T: Real>(&self) -> T {
        T::c(0.1 * (self.side as f64).powi(2))
    }
}

/// The square with 32, 64 and 128 cells a side, each with its reference end point.
pub fn stiff_squares() -> Vec<StiffCase> {
    vec![
        BrusselatorSquare::case("Brusselator 2-D 32", 32, &END_32),
        BrusselatorSquare::case("Brusselator 2-D 64", 64, &END_64),
        BrusselatorSquare::case("Brusselator 2-D 128", 128, &END_128),
    ]
}

/// The cells left, right, below and above.
fn neighbours(c: usize, side: usize) -> [usize; 4] {
    let (i, j) = (c % side, c / side);
    let (before, after) = (|k: usize| (k + side - 1) % side, |k: usize| (k + 1) % side);
    [j * side + before(i), j * side + after(i), before(j) * side + i, after(j) * side + i]
}

impl<T: Real> VectorField<T> for BrusselatorSquare {
    fn dim(&self) -> usize {
        2 * self.side * self.side
    }

    fn eval(&mut self, _t: f64, y: &[T], _p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let side = self.side;
        let g = self.coupling::<T>();
        let [one, a, b, four] = [1.0, 4.4, 3.4, 4.0].map(T::c);
        let h = 1.0 / side as f64;
        let d = 2 * side * side;
        for (y, dy) in y.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
            for j in 0..side {
                let row = |j: usize| &y[2 * side * j..2 * side * (j + 1)];
                let (here, below, above) = (row(j), row((j + side - 1) % side), row((j + 1) % side));
                for i in 0..side {
                    let left = 2 * if i == 0 { side - 1 } else { i - 1 };
                    let right = 2 * if i + 1 == side { 0 } else { i + 1 };
                    let at = 2 * i;
                    let (u, v) = (here[at], here[at + 1]);
                    let made = u * u * v;
                    let (x, z) = (i as f64 * h - 0.3, j as f64 * h - 0.6);
                    let source = if x * x + z * z <= 0.01 { T::c(5.0) } else { T::ZERO };
                    let flow = |k: usize, w: T| {
                        g * (here[left + k] + here[right + k] + below[at + k] + above[at + k] - four * w)
                    };
                    let to = 2 * side * j + at;
                    dy[to] = one + made - a * u + flow(0, u) + source;
                    dy[to + 1] = b * u - made + flow(1, v);
                }
            }
        }
        Ok(())
    }
}

impl<T: Real> Jacobian<T> for BrusselatorSquare {
    fn sparsity(&self) -> Option<&Sparsity> {
        Some(&self.pattern)
    }

    fn jacobian(&mut self, _t: f64, y: &[T], _p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let g = self.coupling::<T>();
        let [two, a, b, four] = [2.0, 4.4, 3.4, 4.0].map(T::c);
        for (places, y) in self.places.iter().zip(y.as_chunks::<2>().0) {
            let (uv2, uu) = (two * y[0] * y[1], y[0] * y[0]);
            let block = [uv2 - a - four * g, uu, b - uv2, -uu - four * g];
            for (&place, x) in places.iter().zip(block.into_iter().chain([g; 8])) {
                values[place] = x;
            }
        }
        Ok(())
    }
}
