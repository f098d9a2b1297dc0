//! The problems: those of chreode-testkit, with its reference end points.

use chreode_core::Jacobian;
use chreode_testkit::{Case, StiffCase, nonstiff, stiff_corpus, stiff_squares};

use crate::problem::Problem;

/// A problem with its answer.
pub struct Entry {
    /// Name on the command line.
    pub name: String,
    /// What solvers see.
    make: Box<dyn FnOnce() -> Result<Problem, String>>,
    /// Coordinates at the end.
    end: Vec<(usize, f64)>,
    floor: f64,
    /// Number of coordinates.
    pub dim: usize,
    /// Whether it is stiff.
    pub stiff: bool,
}

impl Entry {
    /// Puts the problem into the thread's slot.
    pub fn problem(self) -> Result<(Problem, Answer), String> {
        Ok(((self.make)()?, Answer { end: self.end, floor: self.floor }))
    }

    fn of_case(case: Case) -> Self {
        let Case { name, field, p, y0, span, end } = case;
        let end = end.into_iter().enumerate().collect();
        let dim = y0.len();
        let make = Box::new(move || {
            let field: Box<dyn Jacobian<f64>> = field;
            Problem::new(field, p, y0, span, 1.0, false)
        });
        Self { name: word(name), make, end, floor: 1.0, dim, stiff: false }
    }

    fn of_stiff(case: StiffCase) -> Self {
        let StiffCase { name, field, y0, span, floor, end } = case;
        let dim = y0.len();
        let make = Box::new(move || Problem::new(field, Vec::new(), y0, span, floor, true));
        Self { name: word(name), make, end, floor, dim, stiff: true }
    }
}

/// The reference end point.
pub struct Answer {
    end: Vec<(usize, f64)>,
    floor: f64,
}

impl Answer {
    /// The largest of `|y_i - end_i| / (|end_i| + floor)`; NaN if anything is.
    pub fn error(&self, y: &[f64]) -> f64 {
        let of = |&(i, end): &(usize, f64)| (y[i] - end).abs() / (end.abs() + self.floor);
        self.end.iter().map(of).fold(0.0, |worst: f64, e| if e.is_nan() { e } else { worst.max(e) })
    }
}

/// Every problem.
pub fn corpus() -> Vec<Entry> {
    let stiff = stiff_corpus().into_iter().chain(stiff_squares());
    nonstiff().into_iter().map(Entry::of_case).chain(stiff.map(Entry::of_stiff)).collect()
}

/// `van der Pol 1e3` as `van-der-pol-1e3`.
fn word(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}
