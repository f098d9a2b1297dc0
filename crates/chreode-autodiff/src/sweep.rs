//! Forward sweeps of dual numbers: eight directions of a coloured Jacobian at a time.

use chreode_core::{Dynamics, Real, Sparsity};
use chreode_linalg::{Kernel, Tuned};

use crate::Dual;
use crate::coloring::Coloring;
use crate::scratch::Slot;

/// Directions in a sweep: a register of AVX-512.
pub(crate) const WIDTH: usize = 8;

/// Which directions the inputs of a model are moved in, and what is read off after each sweep.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Colour of each state and, if they are moved too, each parameter.
    colors: Vec<usize>,
    sweeps: Vec<Reading>,
}

#[derive(Debug, Clone, Default)]
struct Reading {
    /// Columns that are alone in their colour: a direction belongs to them altogether.
    alone: Vec<Column>,
    /// The others, with their entries.
    shared: Vec<(Column, Vec<Entry>)>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    j: u32,
    lane: u32,
}

/// An entry in row `row` that is number `k` of its pattern.
#[derive(Debug, Clone, Copy)]
struct Entry {
    row: u32,
    k: u32,
}

impl Plan {
    /// Sweeps for a pattern of `d` rows over the states, or over states and parameters.
    pub(crate) fn new(pattern: &Sparsity, coloring: &Coloring) -> Self {
        let mut members = vec![0; coloring.n_colors()];
        for j in 0..pattern.n_cols() {
            members[coloring.color(j)] += 1;
        }
        let mut sweeps = vec![Reading::default(); coloring.n_colors().div_ceil(WIDTH)];
        for j in 0..pattern.n_cols() {
            let color = coloring.color(j);
            let reading = &mut sweeps[color / WIDTH];
            let column = Column { j: j as u32, lane: (color % WIDTH) as u32 };
            if members[color] == 1 {
                reading.alone.push(column);
            } else {
                let first = pattern.col_starts()[j];
                let entry = |(i, &row): (usize, &usize)| Entry { row: row as u32, k: (first + i) as u32 };
                reading.shared.push((column, pattern.column(j).iter().enumerate().map(entry).collect()));
            }
        }
        Self { colors: (0..pattern.n_cols()).map(|j| coloring.color(j)).collect(), sweeps }
    }

    /// One colour a column.
    pub(crate) fn dense(columns: usize) -> Self {
        let mut sweeps = vec![Reading::default(); columns.div_ceil(WIDTH)];
        for j in 0..columns {
            sweeps[j / WIDTH].alone.push(Column { j: j as u32, lane: (j % WIDTH) as u32 });
        }
        Self { colors: (0..columns).collect(), sweeps }
    }

    /// Number of sweeps.
    pub(crate) fn len(&self) -> usize {
        self.sweeps.len()
    }
}

/// What is done with the derivatives of a sweep.
pub(crate) enum Read<'a, T> {
    /// A row-major Jacobian `[d, d]`.
    Dense(&'a mut [T]),
    /// Its entries in the order of the pattern.
    Sparse { starts: &'a [usize], rows: &'a [usize], values: &'a mut [T] },
    /// `λᵀ` times it: `y_bar` set, `p_bar` added to.
    Pull { lambda: &'a [T], y_bar: &'a mut [T], p_bar: &'a mut [T] },
}

/// All sweeps of a plan at one point.
pub(crate) struct Sweep<'a, D, T> {
    pub(crate) model: &'a D,
    pub(crate) plan: &'a Plan,
    pub(crate) scratch: &'a mut Slot,
    pub(crate) t: f64,
    pub(crate) y: &'a [T],
    pub(crate) p: &'a [T],
    pub(crate) read: Read<'a, T>,
}

type V<const ISA: u8> = Dual<Tuned<ISA>, WIDTH>;

/// Inputs and outputs of a model, with the directions of one sweep in them.
struct Buffers<const ISA: u8> {
    y: Vec<V<ISA>>,
    p: Vec<V<ISA>>,
    dy: Vec<V<ISA>>,
    seeded: usize,
}

impl<const ISA: u8> Buffers<ISA> {
    fn new(d: usize, np: usize) -> Self {
        let zeros = |len| vec![V::variable(Tuned(0.0), WIDTH); len];
        Self { y: zeros(d), p: zeros(np), dy: zeros(d), seeded: usize::MAX }
    }

    /// Sets the directions, unless they are there: values alone change from call to call, since derivatives written
    /// as scalars and read as vectors would stall.
    fn seed(&mut self, colors: &[usize], sweep: usize) {
        if self.seeded != sweep {
            for (x, &color) in self.y.iter_mut().chain(&mut self.p).zip(colors) {
                *x = V::variable(x.v, if color / WIDTH == sweep { color % WIDTH } else { WIDTH });
            }
            self.seeded = sweep;
        }
    }
}

impl<D: Dynamics, T: Real> Kernel for Sweep<'_, D, T> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(mut self) {
        let d = self.y.len();
        let buffers: &mut Buffers<ISA> = self.scratch.get(|| Buffers::new(d, self.p.len()));
        for (x, y) in buffers.y.iter_mut().zip(self.y).chain(buffers.p.iter_mut().zip(self.p)) {
            x.v = Tuned(y.f64());
        }
        if let Read::Pull { y_bar, .. } = &mut self.read {
            y_bar.fill(T::ZERO);
        }
        let t = V::<ISA>::variable(Tuned(self.t), WIDTH);
        for (sweep, reading) in self.plan.sweeps.iter().enumerate() {
            buffers.seed(&self.plan.colors, sweep);
            self.model.eval(t, &buffers.y, &buffers.p, &mut buffers.dy);
            let dy = buffers.dy.as_slice();
            match &mut self.read {
                Read::Dense(values) => {
                    for column in &reading.alone {
                        let (j, lane) = (column.j as usize, column.lane as usize);
                        for (i, dy) in dy.iter().enumerate() {
                            values[i * d + j] = T::c(dy.d[lane].0);
                        }
                    }
                }
                Read::Sparse { starts, rows, values } => {
                    for column in &reading.alone {
                        let j = column.j as usize;
                        for k in starts[j]..starts[j + 1] {
                            values[k] = T::c(dy[rows[k]].d[column.lane as usize].0);
                        }
                    }
                    for (column, entries) in &reading.shared {
                        for entry in entries {
                            values[entry.k as usize] =
                                T::c(dy[entry.row as usize].d[column.lane as usize % WIDTH].0);
                        }
                    }
                }
                Read::Pull { lambda, y_bar, p_bar } => {
                    let lambda = &lambda[..d];
                    if !reading.alone.is_empty() {
                        let mut sums = [0.0; WIDTH];
                        for (dy, l) in dy.iter().zip(lambda) {
                            for k in 0..WIDTH {
                                sums[k] += l.f64() * dy.d[k].0;
                            }
                        }
                        for column in &reading.alone {
                            let (j, sum) = (column.j as usize, T::c(sums[column.lane as usize % WIDTH]));
                            if j < d {
                                y_bar[j] = sum;
                            } else {
                                p_bar[j - d] += sum;
                            }
                        }
                    }
                    for (column, entries) in &reading.shared {
                        let (j, lane) = (column.j as usize, column.lane as usize % WIDTH);
                        let mut sum = 0.0;
                        for entry in entries {
                            let row = entry.row as usize;
                            sum += lambda[row].f64() * dy[row].d[lane].0;
                        }
                        if j < d {
                            y_bar[j] = T::c(sum);
                        } else {
                            p_bar[j - d] += T::c(sum);
                        }
                    }
                }
            }
        }
    }
}
