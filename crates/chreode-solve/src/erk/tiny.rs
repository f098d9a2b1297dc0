//! Steps of states of a few values by the methods of this crate, with all sums unrolled.
//!
//! Such a state is ruled by how soon each number is ready, and by what surrounds the field: weights are constants here, zeros
//! among them cost nothing, and no loop is left. One instance a method, length and number type, compiled in this crate.
//! Not here: other tableaus and longer states (`step`, `combine`).

use std::any::Any;
use std::array::from_fn;

use chreode_core::{Bound, FieldError, Real, Tolerance, VectorField};

use super::combine::MOST_VALUES;
use super::tableau::ErkTableau;
use super::tableaus::{
    dop853::DOP853, dopri5::DOPRI5, tsit5::TSIT5, vern7::VERN7, vern8::VERN8, vern9::VERN9,
};
use crate::error_norm::{error_norm, pair_norm, row_norm};

/// A step that is to be made.
pub(super) struct Proposal<'a, T> {
    /// Stages as rows; the first is there.
    pub(super) k: &'a mut [T],
    /// State at the end.
    pub(super) y1: &'a mut [T],
    pub(super) evals: &'a mut u64,
    pub(super) field: &'a mut dyn VectorField<T>,
    pub(super) t: f64,
    pub(super) t_end: f64,
    pub(super) y: &'a [T],
    pub(super) p: &'a [T],
    pub(super) tol: Tolerance<'a>,
    /// Coordinates of a trajectory.
    pub(super) dim: usize,
    /// The numbers from zero on, in which the compiler must not see neighbours.
    pub(super) places: &'a [usize; MOST_VALUES],
}

/// Makes it, and returns its error norm.
pub(super) type UnrolledStep<T> = for<'a> fn(Proposal<'a, T>) -> Result<f64, FieldError>;

/// The unrolled step of a method for states of `len` values, if there is one.
pub(super) fn unrolled<T: Real>(tableau: &ErkTableau, len: usize) -> Option<UnrolledStep<T>> {
    let (double, single) = (unrolled_f64(tableau, len)?, unrolled_f32(tableau, len)?);
    let step = (&double as &dyn Any).downcast_ref().or((&single as &dyn Any).downcast_ref());
    step.copied()
}

/// A tableau that is known to the compiler.
trait Method {
    const TABLEAU: ErkTableau;
}

macro_rules! methods {
    ($($method:ident = $tableau:ident;)*) => {
        $(
            struct $method;
            impl Method for $method {
                const TABLEAU: ErkTableau = $tableau;
            }
        )*

        // Not generic, so that the steps are compiled in this crate, and not in each that solves.
        methods!(@of f64 unrolled_f64 $($method)*);
        methods!(@of f32 unrolled_f32 $($method)*);
    };
    (@of $t:ident $name:ident $($method:ident)*) => {
        #[inline(never)]
        fn $name(tableau: &ErkTableau, len: usize) -> Option<UnrolledStep<$t>> {
            $(
                if tableau.name == $method::TABLEAU.name && *tableau == $method::TABLEAU {
                    return match len {
                        1 => Some(step::<$t, $method, 1>),
                        2 => Some(step::<$t, $method, 2>),
                        3 => Some(step::<$t, $method, 3>),
                        MOST_VALUES => Some(step::<$t, $method, MOST_VALUES>),
                        _ => None,
                    };
                }
            )*
            None
        }
    };
}
methods! {
    Tsit5 = TSIT5;
    Dopri5 = DOPRI5;
    Dop853 = DOP853;
    Vern7 = VERN7;
    Vern8 = VERN8;
    Vern9 = VERN9;
}

#[inline(never)]
fn step<T: Real, M: Method, const D: usize>(of: Proposal<'_, T>) -> Result<f64, FieldError> {
    let Proposal { k, y1, evals, field, t, t_end, y, p, tol, dim, places } = of;
    let last = const { M::TABLEAU.last_row() };
    const { assert!(M::TABLEAU.last_row() <= MOST_ROWS && !M::TABLEAU.b_err.is_empty()) };
    let (k, _) = k.as_chunks_mut::<D>();
    let k = &mut k[..=last];
    let (dt, h) = (t_end - t, T::c(t_end - t));
    let y: [T; D] = from_fn(|j| y[j]);
    let mut input = y;
    macro_rules! stages {
        ($($i:literal)*) => {
            $(
                if $i <= last {
                    input = Sum::<M, $i>::of(Some(&y), h, k, places);
                    let at = const { if $i < M::TABLEAU.stages() { M::TABLEAU.c[$i] } else { 1.0 } };
                    let at = if at == 1.0 { t_end } else { t + at * dt };
                    *evals += 1;
                    field.eval(at, &input, p, &mut k[$i])?;
                }
            )*
        };
    }
    stages!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    y1[..D].copy_from_slice(&input);
    let mut errors = [[T::ZERO; D]; 2];
    errors[0] = Sum::<M, ERROR>::of(None, h, k, places);
    let two = const { M::TABLEAU.lower.is_some() };
    if two {
        errors[1] = Sum::<M, LOWER>::of(None, h, k, places);
    }
    let estimates = &mut errors[..=usize::from(two)];
    if dim == D
        && let (Bound::Same(rtol), Bound::Same(atol)) = (tol.rtol, tol.atol)
    {
        return Ok(row_norm(estimates, &y, &input, rtol, atol));
    }
    let scratch = &mut [T::ZERO; D];
    Ok(match estimates {
        [err, low] => pair_norm(err, low, &y, &input, dim, tol, scratch),
        [err, ..] => error_norm(err, &y, &input, dim, tol, scratch),
        [] => f64::NAN,
    })
}

/// Most rows that a sum has: the stages of the method of order 9.
const MOST_ROWS: usize = 16;
/// Numbers of the sums that estimate the error; those before are the inputs of stages.
const ERROR: usize = MOST_ROWS + 1;
const LOWER: usize = MOST_ROWS + 2;

/// A sum of a method: the input of stage `I` (the step's end after the last), or an estimate of the error.
struct Sum<M, const I: usize>(M);

impl<M: Method, const I: usize> Sum<M, I> {
    const WEIGHTS: [f64; MOST_ROWS] = {
        let weights = match (I, M::TABLEAU.lower) {
            (ERROR, _) => M::TABLEAU.b_err,
            (LOWER, Some((_, weights))) => weights,
            (LOWER, None) => &[],
            _ => M::TABLEAU.stage_weights(I),
        };
        let (mut all, mut i) = ([0.0; MOST_ROWS], 0);
        while i < weights.len() {
            all[i] = weights[i];
            i += 1;
        }
        all
    };
    /// The last row whose weight is not zero.
    const NEWEST: usize = {
        let mut i = MOST_ROWS - 1;
        while i > 0 && Self::WEIGHTS[i] == 0.0 {
            i -= 1;
        }
        i
    };

    /// `base + h Σ w k`, with the bits of [`weighted_sum`](chreode_linalg::weighted_sum): all but the newest row is summed before
    /// that one has arrived.
    ///
    /// The field has just stored the newest row, value by value. A load of two of them at once would wait until both have
    /// left the store buffer, as long as ten multiplications; one by one, at `places`, they are forwarded.
    #[inline(always)]
    fn of<T: Real, const D: usize>(
        base: Option<&[T; D]>,
        h: T,
        k: &[[T; D]],
        places: &[usize; MOST_VALUES],
    ) -> [T; D] {
        let mut older = [T::ZERO; D];
        macro_rules! rows {
            ($($i:literal)*) => {
                $(
                    if const { $i < Self::NEWEST && Self::WEIGHTS[$i] != 0.0 } {
                        let (w, k) = (T::c(const { Self::WEIGHTS[$i] }), &k[$i]);
                        for j in 0..D {
                            older[j] += w * k[j];
                        }
                    }
                )*
            };
        }
        rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        let (w, row) = (h * T::c(const { Self::WEIGHTS[Self::NEWEST] }), &k[const { Self::NEWEST }]);
        let mut out = [T::ZERO; D];
        for j in 0..D {
            out[j] = row[places[j]];
        }
        for j in 0..D {
            let older = h * older[j];
            out[j] = base.map_or(older, |base| base[j] + older) + w * out[j];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BOSH3, Erk, SolveOptions, solve};
    use chreode_core::field;

    /// The end of a run, its steps and its evaluations.
    fn run<T: Real>(tableau: &'static ErkTableau, d: usize, tol: Tolerance<'_>) -> (Vec<T>, u64, u64) {
        let mut f = field(d, |t, y: &[T], _p: &[T], dy: &mut [T]| {
            for (y, dy) in y.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
                for j in 0..d {
                    dy[j] = y[(j + 1) % d] * T::c(t.cos()) - y[j] * y[j] * T::c(0.5);
                }
            }
        });
        let mut y: Vec<T> = (0..4 / d * d).map(|j| T::c(1.0 - 0.2 * j as f64)).collect();
        let mut erk = Erk::new(tableau, y.len() / d, d);
        let options = SolveOptions { tolerance: tol, ..SolveOptions::default() };
        let stats = solve(&mut f, &[], &mut y, (0.0, 5.0), &mut erk, &options, &mut |_, _, _| {}).unwrap();
        (y, stats.accepted + stats.rejected, stats.work.evals)
    }

    fn same_bits<T: Real>() {
        for known in [&TSIT5, &DOPRI5, &DOP853, &VERN7, &VERN8, &VERN9] {
            // Of another name, and so with loops over its weights.
            let looped = &*Box::leak(Box::new(ErkTableau { name: "another", ..*known }));
            for d in 1..=4 {
                assert!(unrolled::<T>(known, d).is_some() && unrolled::<T>(looped, d).is_none());
                for tol in [Tolerance::new(1e-5, 1e-6), Tolerance::new(&[1e-5, 1e-4, 1e-5, 1e-6][..d], 1e-5)]
                {
                    assert_eq!(run::<T>(known, d, tol), run::<T>(looped, d, tol), "{} {d}", known.name);
                }
            }
        }
    }

    #[test]
    fn unrolled_steps_have_the_bits_of_others() {
        same_bits::<f64>();
        same_bits::<f32>();
    }

    #[test]
    fn only_what_is_known_is_unrolled() {
        assert!(unrolled::<f64>(&TSIT5, 5).is_none());
        assert!(unrolled::<f64>(&BOSH3, 2).is_none());
        let disguised = ErkTableau { name: TSIT5.name, ..DOPRI5 };
        assert!(unrolled::<f64>(&disguised, 2).is_none());
    }

    #[test]
    fn a_field_that_refuses_has_its_evaluations_counted() {
        let mut count = 0;
        let mut field = field(2, move |_t, _y: &[f64], _p: &[f64], dy: &mut [f64]| {
            count += 1;
            dy.fill(1.0);
            if count == 3 { Err(FieldError::Recoverable { t: 0.0, what: "not here" }) } else { Ok(()) }
        });
        let (mut k, mut y1, mut evals) = ([0.0; 14], [0.0; 2], 0);
        let result = unrolled::<f64>(&TSIT5, 2).unwrap()(Proposal {
            k: &mut k,
            y1: &mut y1,
            evals: &mut evals,
            field: &mut field,
            t: 0.0,
            t_end: 0.1,
            y: &[1.0, 2.0],
            p: &[],
            tol: Tolerance::new(1e-3, 1e-3),
            dim: 2,
            places: &[0, 1, 2, 3],
        });
        assert!(result.is_err() && evals == 3, "{result:?} {evals}");
    }
}
