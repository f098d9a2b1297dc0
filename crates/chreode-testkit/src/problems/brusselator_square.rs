//! The Brusselator with diffusion on a square: a large stiff system with a sparse Jacobian. On a line: `brusselator_line`.
//! Source: [HW96] section IV.10, with a source that is always on.

use chreode_core::{FieldError, Jacobian, Real, Sparsity, VectorField};

use super::brusselator_line::reaction;
use super::brusselator_square_ends::{END_32, END_64, END_128};
use super::stiff::{Curved, StiffCase};

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

impl<T: Real> Curved<T> for BrusselatorSquare {
    fn second(&self, _t: f64, y: &[T], mut put: &mut dyn FnMut(usize, [usize; 2], T)) {
        reaction(y, &mut put);
    }
}
