//! SUNDIALS CVODE through `csrc/cvode.c`.

use std::ffi::{c_int, c_long, c_void};

use crate::problem::{Kind, Problem, TooLong};
use crate::solvers::{Solution, Solver};

type Callback = extern "C" fn(f64, *const f64, *mut f64, *mut c_void) -> c_int;

unsafe extern "C" {
    fn peers_cvode(
        n: c_long,
        y: *mut f64,
        t0: f64,
        t1: f64,
        rtol: f64,
        atol: f64,
        rhs: Callback,
        jacobian: Callback,
        user: *mut c_void,
        kind: c_int,
        entries: c_long,
        column_starts: *const c_long,
        rows: *const c_long,
        lower: c_long,
        upper: c_long,
        steps: *mut c_long,
    ) -> c_int;
}

/// As in `csrc/cvode.c`.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Dense = 0,
    Sparse = 1,
    Band = 2,
    Adams = 3,
}

/// What the callbacks are handed back.
struct User<'a> {
    problem: &'a Problem,
    form: Form,
    /// Rows of the band storage above its main diagonal, and its column length.
    above: usize,
    column: usize,
}

extern "C" fn rhs(t: f64, y: *const f64, dy: *mut f64, user: *mut c_void) -> c_int {
    // SAFETY: `run` passes a `User`, and CVODE vectors of the problem's length.
    let (user, y, dy) = unsafe {
        let user = &*user.cast::<User<'_>>();
        let n = user.problem.dim();
        (user, std::slice::from_raw_parts(y, n), std::slice::from_raw_parts_mut(dy, n))
    };
    flag(user.problem.try_rhs(t, y, dy))
}

extern "C" fn jacobian(t: f64, y: *const f64, values: *mut f64, user: *mut c_void) -> c_int {
    // SAFETY: `run` passes a `User`; the state has the problem's length and the values the form's.
    let (user, y, values) = unsafe {
        let user = &*user.cast::<User<'_>>();
        let n = user.problem.dim();
        let len = match user.form {
            Form::Dense => n * n,
            Form::Band => n * user.column,
            Form::Sparse => user.problem.data().pattern.len(),
            Form::Adams => 0,
        };
        (user, std::slice::from_raw_parts(y, n), std::slice::from_raw_parts_mut(values, len))
    };
    let n = user.problem.dim();
    let mut next = 0;
    flag(user.problem.try_jacobian(t, y, |i, j, value| {
        let place = match user.form {
            Form::Dense => j * n + i,
            Form::Band => j * user.column + i + user.above - j,
            Form::Sparse | Form::Adams => next,
        };
        values[place] = value;
        next += 1;
    }))
}

fn flag(done: Result<(), TooLong>) -> c_int {
    if done.is_ok() { 0 } else { -1 }
}

fn run(form: Form, problem: &Problem, rtol: f64, atol: f64) -> Result<Solution, String> {
    let data = problem.data();
    let n = problem.dim();
    let mut y = data.y0.clone();
    let (lower, upper) = data.band.unwrap_or((0, 0));
    // Pivoting fills rows above the band.
    let above = (n - 1).min(lower + upper);
    let mut user = User { problem, form, above, column: above + lower + 1 };
    let longs = |of: &[usize]| of.iter().map(|&k| k as c_long).collect::<Vec<_>>();
    let (starts, rows) = (longs(data.pattern.col_starts()), longs(data.pattern.row_indices()));
    let mut steps = 0;
    // SAFETY: every pointer outlives the call, with the lengths that the driver expects; the callbacks do not unwind.
    let flag = unsafe {
        peers_cvode(
            n as c_long,
            y.as_mut_ptr(),
            data.span.0,
            data.span.1,
            rtol,
            atol,
            rhs,
            jacobian,
            (&raw mut user).cast(),
            form as c_int,
            rows.len() as c_long,
            starts.as_ptr(),
            rows.as_ptr(),
            lower as c_long,
            upper as c_long,
            &raw mut steps,
        )
    };
    match flag {
        0.. => Ok(Solution { y, steps: steps as u64 }),
        // CV_RHSFUNC_FAIL, CV_LSETUP_FAIL: callbacks fail when the time is up alone.
        -8 | -6 => Err(format!("too long, or no solution (flag {flag})")),
        _ => Err(format!("CVODE's flag {flag}")),
    }
}

pub(super) fn solvers(problem: &Problem) -> Vec<Solver> {
    let with = |name, form| Solver::peer(name, move |p, rtol, atol| run(form, p, rtol, atol));
    let mut all = vec![match problem.data().kind {
        Kind::NonStiff => with("CVODE adams", Form::Adams),
        Kind::Stiff => with("CVODE bdf", Form::Dense),
        Kind::Sparse => with("CVODE bdf KLU", Form::Sparse),
    }];
    if problem.data().band.is_some() {
        all.push(with("CVODE bdf band", Form::Band));
    }
    all
}
