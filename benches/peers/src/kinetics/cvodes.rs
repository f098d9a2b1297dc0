//! SUNDIALS CVODES through `csrc/cvodes.c`.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::path::Path;

use chreode_kinetics::elsewhere::{FieldCode, Pull, Task};

type ModelFn = unsafe extern "C" fn(f64, *const f64, *const f64, *mut f64);

/// As in `csrc/cvodes.c`.
#[repr(C)]
struct CTask {
    field: Option<ModelFn>,
    jacobian: Option<ModelFn>,
    derivatives: Option<ModelFn>,
    n: c_long,
    np: c_long,
    m: c_long,
    n_times: c_long,
    entries: c_long,
    all: c_long,
    starts: *const c_long,
    rows: *const c_long,
    sparse: c_int,
    rtol: f64,
    atol: f64,
    t0: f64,
    from: f64,
    to: f64,
    y0: *const f64,
    p: *const f64,
    s0: *const f64,
    times: *const f64,
    moved_starts: *const c_long,
    moved_at: *const c_long,
    moved: *const f64,
    values: *mut f64,
}

unsafe extern "C" {
    fn peers_open(path: *const c_char) -> *mut c_void;
    fn peers_model(library: *mut c_void, name: *const c_char) -> Option<ModelFn>;
    fn peers_cvodes(
        task: *const CTask,
        mode: c_int,
        states: *mut f64,
        sensitivities: *mut f64,
        counts: *mut c_long,
        run: *mut *mut c_void,
    ) -> c_int;
    fn peers_cvodes_back(run: *mut c_void, bars: *const f64, y_bar: *mut f64, q_bar: *mut f64) -> c_int;
    fn peers_cvodes_free(run: *mut c_void);
}

/// As in `csrc/cvodes.c`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    Plain = 0,
    Staggered = 1,
    Simultaneous = 2,
    Adjoint = 3,
}

/// A compiled model.
pub(super) struct Model {
    functions: [Option<ModelFn>; 3],
    starts: Vec<c_long>,
    rows: Vec<c_long>,
    d: usize,
    values: Vec<f64>,
}

impl Model {
    pub(super) fn open(library: &Path, code: &FieldCode) -> Result<Self, String> {
        let path = CString::new(library.display().to_string()).map_err(|e| e.to_string())?;
        // SAFETY: a library of plain functions, which stays open.
        let functions = unsafe {
            let library = peers_open(path.as_ptr());
            if library.is_null() {
                return Err("the compiled model does not load".into());
            }
            [c"field", c"jacobian", c"derivatives"].map(|name| peers_model(library, name.as_ptr()))
        };
        if functions.iter().any(Option::is_none) {
            return Err("the compiled model lacks a function".into());
        }
        let longs = |of: &[usize]| of.iter().map(|&k| k as c_long).collect::<Vec<_>>();
        let pattern = &code.pattern;
        let (starts, rows) = (longs(pattern.col_starts()), longs(pattern.row_indices()));
        Ok(Self { functions, starts, rows, d: pattern.n_rows(), values: vec![0.0; pattern.len()] })
    }

    /// Runs a task, from one jump to the next.
    pub(super) fn run<'a>(
        &'a mut self,
        task: &'a Task,
        way: Way,
        sparse: bool,
        rtol: f64,
        counts: &mut [i64; 3],
    ) -> Result<Solved<'a>, String> {
        let (d, np, m) = (self.d, task.p.len(), task.directions.len());
        let mut moved = Moved { starts: vec![0], at: Vec::new(), by: Vec::new() };
        for q in task.q.chunks_exact(np.max(1)) {
            for (k, &by) in q.iter().enumerate().filter(|(_, by)| **by != 0.0) {
                moved.at.push(k as c_long);
                moved.by.push(by);
            }
            moved.starts.push(moved.at.len() as c_long);
        }
        let [field, jacobian, derivatives] = self.functions;
        let forward = way == Way::Staggered || way == Way::Simultaneous;
        let mut solved = Solved { pieces: Vec::new(), moved, task, way, d };
        let last = task.times.last().copied().unwrap_or(0.0);
        let (mut from, mut first, mut y0, mut s0) = (0.0, 0, task.y0.clone(), task.s0.clone());
        for &to in task.stops.iter().chain([&last]) {
            let count = task.times[first..].iter().take_while(|&&t| t <= to).count();
            let mut times = task.times[first..first + count].to_vec();
            if times.last() != Some(&to) {
                times.push(to);
            }
            let n_times = times.len();
            let mut piece = Box::new(Piece {
                states: vec![0.0; n_times * d],
                sensitivities: vec![0.0; if forward { n_times * m * d } else { 0 }],
                run: std::ptr::null_mut(),
                c: CTask {
                    field,
                    jacobian,
                    derivatives,
                    n: d as c_long,
                    np: np as c_long,
                    m: m as c_long,
                    n_times: n_times as c_long,
                    entries: self.starts[d],
                    all: self.rows.len() as c_long,
                    starts: self.starts.as_ptr(),
                    rows: self.rows.as_ptr(),
                    sparse: c_int::from(sparse),
                    rtol,
                    atol: task.atol,
                    t0: from,
                    from,
                    to: if to < last { to.next_down() } else { to },
                    y0: y0.as_ptr(),
                    p: task.p.as_ptr(),
                    s0: s0.as_ptr(),
                    times: times.as_ptr(),
                    moved_starts: solved.moved.starts.as_ptr(),
                    moved_at: solved.moved.at.as_ptr(),
                    moved: solved.moved.by.as_ptr(),
                    values: self.values.as_mut_ptr(),
                },
                first,
                count,
                times,
                y0,
                s0,
            });
            // SAFETY: the piece, its task and this model hold all that is pointed to, with the lengths that the driver expects; a vector's
            // elements stay in place when it is moved.
            let flag = unsafe {
                peers_cvodes(
                    &raw const piece.c,
                    way as c_int,
                    piece.states.as_mut_ptr(),
                    piece.sensitivities.as_mut_ptr(),
                    counts.as_mut_ptr(),
                    &raw mut piece.run,
                )
            };
            y0 = piece.states[(n_times - 1) * d..].to_vec();
            s0 = if forward {
                piece.sensitivities[(n_times - 1) * m * d..].to_vec()
            } else {
                piece.s0.clone()
            };
            solved.pieces.push(piece);
            (from, first) = (to, first + count);
            if flag < 0 {
                return Err(format!("CVODES' flag {flag}"));
            }
        }
        Ok(solved)
    }
}

/// Parameters that directions move, direction by direction.
struct Moved {
    starts: Vec<c_long>,
    at: Vec<c_long>,
    by: Vec<f64>,
}

/// A run from one jump to the next, which can be gone back through.
struct Piece {
    /// `[times, d]`.
    states: Vec<f64>,
    /// `[times, m, d]`.
    sensitivities: Vec<f64>,
    run: *mut c_void,
    c: CTask,
    /// Its measured times among those of the task: from here on, so many.
    first: usize,
    count: usize,
    /// What the run points to: the measured times, and that of the end.
    times: Vec<f64>,
    #[expect(dead_code, reason = "what C reads")]
    y0: Vec<f64>,
    s0: Vec<f64>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: it is freed once, before what it points to.
        unsafe { peers_cvodes_free(self.run) }
    }
}

/// A whole run.
pub(super) struct Solved<'a> {
    pieces: Vec<Box<Piece>>,
    /// What the pieces point to.
    moved: Moved,
    task: &'a Task,
    way: Way,
    d: usize,
}

impl Solved<'_> {
    pub(super) fn states(&self) -> Vec<Vec<f64>> {
        let of = |piece: &Piece| -> Vec<Vec<f64>> {
            piece.states.chunks_exact(self.d).take(piece.count).map(<[f64]>::to_vec).collect()
        };
        self.pieces.iter().flat_map(|piece| of(piece)).collect()
    }

    /// The gradient in the task's directions, as far as it comes through states and parameters.
    pub(super) fn gradient(&mut self, pull: &Pull) -> Result<Vec<f64>, String> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (d, m, np) = (self.d, self.task.directions.len(), self.task.p.len());
        let mut gradient: Vec<f64> =
            (0..m).map(|j| dot(&pull.params, &self.task.q[j * np..(j + 1) * np])).collect();
        let mut lambda = vec![0.0; d];
        for piece in self.pieces.iter_mut().rev() {
            let own = &pull.states[piece.first..piece.first + piece.count];
            if self.way != Way::Adjoint {
                for (k, bar) in own.iter().enumerate() {
                    for (j, gradient) in gradient.iter_mut().enumerate() {
                        *gradient += dot(bar, &piece.sensitivities[(k * m + j) * d..][..d]);
                    }
                }
                continue;
            }
            let mut bars = own.concat();
            bars.resize(piece.times.len() * d, 0.0);
            let end = (piece.times.len() - 1) * d;
            bars[end..].iter_mut().zip(&lambda).for_each(|(bar, later)| *bar += later);
            let mut q_bar = vec![0.0; m];
            // SAFETY: the run was made for the adjoint, and all it points to is alive.
            let flag = unsafe {
                peers_cvodes_back(piece.run, bars.as_ptr(), lambda.as_mut_ptr(), q_bar.as_mut_ptr())
            };
            if flag < 0 {
                return Err(format!("CVODES' flag {flag} on the way back"));
            }
            gradient.iter_mut().zip(&q_bar).for_each(|(gradient, q)| *gradient += q);
        }
        if self.way == Way::Adjoint {
            for (j, gradient) in gradient.iter_mut().enumerate() {
                *gradient += dot(&lambda, &self.task.s0[j * d..(j + 1) * d]);
            }
        }
        Ok(gradient)
    }
}
