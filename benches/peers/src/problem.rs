//! A problem as every solver, ours and theirs, sees it: behind the same calls, which count and watch the time.
//!
//! The field lies in a slot of the thread, so that a [`Problem`] is a small handle that can be cloned into whatever form a
//! solver asks for, and every solver pays the same for an evaluation.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use chreode_core::{FieldError, Jacobian, Sparsity};

use crate::clock::cpu_time;

/// Which family of solvers a problem is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Explicit methods.
    NonStiff,
    /// Implicit methods with dense matrices.
    Stiff,
    /// Implicit methods with sparse or banded matrices.
    Sparse,
}

/// What does not change of a problem.
pub struct Data {
    /// Start state.
    pub y0: Vec<f64>,
    /// Start and end time.
    pub span: (f64, f64),
    /// `atol / rtol` of a run.
    pub floor: f64,
    /// Family.
    pub kind: Kind,
    /// Diagonals below and above the main one, where a band is narrow.
    pub band: Option<(usize, usize)>,
    /// Where the Jacobian is not zero, column by column.
    pub pattern: Sparsity,
    /// What the field says of it.
    pub told: Option<Sparsity>,
    /// Evaluations between two looks at the clock, less one; one less than a power of two.
    unwatched: u64,
}

/// A problem in the thread's slot.
#[derive(Clone)]
pub struct Problem(Arc<Data>);

/// The run took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

struct Slot {
    field: Box<dyn Jacobian<f64>>,
    p: Vec<f64>,
    /// Values as the field gives them, and where those of the pattern lie among them.
    values: Vec<f64>,
    places: Vec<usize>,
    /// Where `values` were computed last.
    at: (f64, Vec<f64>),
}

thread_local! {
    /// Left empty by whoever uses it, as long as that takes: a look at it costs no more than one at a counter.
    static SLOT: Cell<Option<&'static mut Slot>> = const { Cell::new(None) };
    static EVALS: Cell<u64> = const { Cell::new(0) };
    static JACOBIANS: Cell<u64> = const { Cell::new(0) };
    static DEADLINE: Cell<Duration> = const { Cell::new(Duration::MAX) };
}

/// Sets the counters to zero, and the CPU time in which the next run must end.
pub fn begin(limit: Duration) {
    EVALS.set(0);
    JACOBIANS.set(0);
    DEADLINE.set(cpu_time().saturating_add(limit));
}

/// Evaluations and Jacobians since [`begin`].
pub fn counts() -> (u64, u64) {
    (EVALS.get(), JACOBIANS.get())
}

impl Problem {
    /// Puts a field, with its parameters `p`, into the slot.
    pub fn new(
        mut field: Box<dyn Jacobian<f64>>,
        p: Vec<f64>,
        y0: Vec<f64>,
        span: (f64, f64),
        floor: f64,
        stiff: bool,
    ) -> Result<Self, String> {
        let d = y0.len();
        let told = field.sparsity().cloned();
        let kind = match (&told, stiff) {
            (_, false) => Kind::NonStiff,
            (None, true) => Kind::Stiff,
            (Some(_), true) => Kind::Sparse,
        };
        let mut values = vec![0.0; told.as_ref().map_or(d * d, Sparsity::len)];
        let (pattern, places) = match &told {
            Some(pattern) => (pattern.clone(), (0..values.len()).collect()),
            // Structural zeros are those at every one of some states without symmetry.
            None => {
                let mut used = vec![!stiff; d * d];
                for k in 0..3 {
                    let y: Vec<f64> = (0..d).map(|i| 0.3 + 0.11 * ((i * 7 + k * 3) % 13) as f64).collect();
                    if stiff {
                        field.jacobian(0.0, &y, &p, &mut values).map_err(|e| e.to_string())?;
                        used.iter_mut().zip(&values).for_each(|(used, &x)| *used |= x != 0.0);
                    }
                }
                let entries = (0..d * d).filter(|&k| used[k]).map(|k| (k / d, k % d));
                let pattern = Sparsity::new(d, d, entries).map_err(|e| e.to_string())?;
                let columns = (0..d).flat_map(|j| pattern.column(j).iter().map(move |&i| i * d + j));
                let places = columns.collect();
                (pattern, places)
            }
        };
        let (lower, upper) = pattern.bandwidths();
        let band = (kind == Kind::Sparse && lower + upper <= 12).then_some((lower, upper));
        let at = (f64::NAN, vec![f64::NAN; d]);
        // It lasts as long as the process, which has few problems.
        SLOT.set(Some(Box::leak(Box::new(Slot { field, p, values, places, at }))));
        // A look at the clock costs up to a microsecond.
        let unwatched = (16_384 / d.max(1) as u64 + 1).next_power_of_two() - 1;
        let unwatched = if d > 500 { 0 } else { unwatched };
        Ok(Self(Arc::new(Data { y0, span, floor, kind, band, pattern, told, unwatched })))
    }

    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.0.y0.len()
    }

    /// What does not change.
    pub fn data(&self) -> &Data {
        &self.0
    }

    fn watch(&self, count: u64) -> Result<(), TooLong> {
        if count & self.0.unwatched == 0 && cpu_time() > DEADLINE.get() {
            return Err(TooLong);
        }
        Ok(())
    }

    /// The derivative; an error when the time is up. In the place of each call, so that no solver pays for one more.
    #[inline(always)]
    pub fn try_rhs(&self, t: f64, y: &[f64], dy: &mut [f64]) -> Result<(), TooLong> {
        let count = EVALS.get() + 1;
        EVALS.set(count);
        self.watch(count)?;
        with_slot(|slot| slot.field.eval(t, y, &slot.p, dy)).map_err(|_| TooLong)
    }

    /// The derivative.
    ///
    /// # Panics
    /// When the time is up: most solvers have no other way to be stopped.
    #[inline(always)]
    pub fn rhs(&self, t: f64, y: &[f64], dy: &mut [f64]) {
        if let Err(late) = self.try_rhs(t, y, dy) {
            std::panic::panic_any(late);
        }
    }

    /// The Jacobian's values as the field gives them; an error when the time is up.
    pub fn try_raw_jacobian(&self, t: f64, y: &[f64], values: &mut [f64]) -> Result<(), TooLong> {
        JACOBIANS.set(JACOBIANS.get() + 1);
        self.watch(0)?;
        with_slot(|slot| slot.field.jacobian(t, y, &slot.p, values)).map_err(|_| TooLong)
    }

    /// Hands every `(row, column, value)` of the Jacobian to `put`, column by column; an error when the time is up.
    pub fn try_jacobian(
        &self,
        t: f64,
        y: &[f64],
        mut put: impl FnMut(usize, usize, f64),
    ) -> Result<(), TooLong> {
        self.with_values(t, y, |values, places| {
            let pattern = &self.0.pattern;
            let mut next = 0;
            for j in 0..self.dim() {
                for &i in pattern.column(j) {
                    put(i, j, values[places[next]]);
                    next += 1;
                }
            }
        })
    }

    /// As [`try_jacobian`](Self::try_jacobian).
    ///
    /// # Panics
    /// When the time is up.
    pub fn jacobian(&self, t: f64, y: &[f64], put: impl FnMut(usize, usize, f64)) {
        if let Err(late) = self.try_jacobian(t, y, put) {
            std::panic::panic_any(late);
        }
    }

    /// `out = J v`. Products at one state after the other cost one Jacobian.
    ///
    /// # Panics
    /// When the time is up.
    pub fn product(&self, t: f64, y: &[f64], v: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        let done = self.with_values(t, y, |values, places| {
            let pattern = &self.0.pattern;
            for (j, &v) in v.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                let from = pattern.col_starts()[j];
                for (&i, &place) in pattern.column(j).iter().zip(&places[from..]) {
                    out[i] += values[place] * v;
                }
            }
        });
        if let Err(late) = done {
            std::panic::panic_any(late);
        }
    }

    fn with_values(&self, t: f64, y: &[f64], then: impl FnOnce(&[f64], &[usize])) -> Result<(), TooLong> {
        self.watch(0)?;
        with_slot(|slot| {
            if slot.at.0 != t || slot.at.1 != y {
                JACOBIANS.set(JACOBIANS.get() + 1);
                slot.field.jacobian(t, y, &slot.p, &mut slot.values)?;
                slot.at.0 = t;
                slot.at.1.copy_from_slice(y);
            }
            then(&slot.values, &slot.places);
            Ok(())
        })
        .map_err(|_: FieldError| TooLong)
    }
}

/// # Panics
/// On a thread that has no field.
#[inline(always)]
fn with_slot<R>(then: impl FnOnce(&mut Slot) -> R) -> R {
    let Some(slot) = SLOT.take() else { panic!("an evaluation on another thread") };
    let done = then(slot);
    SLOT.set(Some(slot));
    done
}
