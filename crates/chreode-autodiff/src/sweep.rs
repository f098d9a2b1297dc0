//! Forward sweeps of dual numbers: four or eight directions of a coloured Jacobian at a time.

use chreode_core::{Dynamics, Real, Sparsity};
use chreode_linalg::{Coloring, Kernel, Tuned, dispatch};

use crate::Dual;
use crate::scratch::Slot;

/// Directions in a sweep: few colours fill half a register of AVX-512, many a whole one.
const NARROW: usize = 4;
const WIDE: usize = 8;
/// Operations of a short model.
const SHORT: usize = 64;

/// Which directions the states of a model are moved in, and what is read off after each sweep.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Directions in a sweep.
    width: usize,
    /// Colour of each state.
    colors: Vec<usize>,
    /// The entries of each sweep; none of a dense Jacobian.
    sweeps: Vec<Vec<Entry>>,
}

/// An entry that is number `k` of its pattern, and where it lies among the directions of all rows.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: u32,
    k: u32,
}

impl Plan {
    /// Sweeps for a sparse Jacobian.
    pub(crate) fn sparse(pattern: &Sparsity, coloring: &Coloring) -> Self {
        let width = if coloring.n_colors() <= NARROW { NARROW } else { WIDE };
        let mut colors = vec![0; pattern.n_cols()];
        for color in 0..coloring.n_colors() {
            for &j in coloring.columns(color) {
                colors[j] = color;
            }
        }
        let mut sweeps = vec![Vec::new(); coloring.n_colors().div_ceil(width)];
        for (j, &color) in colors.iter().enumerate() {
            let (first, lane) = (pattern.col_starts()[j], color % width);
            let entry = |(i, &row): (usize, &usize)| Entry {
                place: (row * width + lane) as u32,
                k: (first + i) as u32,
            };
            sweeps[color / width].extend(pattern.column(j).iter().enumerate().map(entry));
        }
        Self { width, colors, sweeps }
    }

    /// One colour a column, in the order of the columns.
    pub(crate) fn dense(columns: usize) -> Self {
        let width = if columns <= NARROW { NARROW } else { WIDE };
        let sweeps = vec![Vec::new(); columns.div_ceil(width)];
        Self { width, colors: (0..columns).collect(), sweeps }
    }

    /// Number of sweeps.
    pub(crate) fn len(&self) -> usize {
        self.sweeps.len()
    }
}

/// What is done with the derivatives of a sweep.
pub(crate) enum Read<'a, T> {
    /// A row-major Jacobian `[d, d]`, of a [dense](Plan::dense) plan.
    Dense(&'a mut [T]),
    /// Its entries in the order of the pattern.
    Sparse(&'a mut [T]),
}

/// All sweeps of a plan at one point.
pub(crate) struct Sweep<'a, D, T> {
    pub(crate) model: &'a D,
    pub(crate) plan: &'a Plan,
    pub(crate) t: f64,
    pub(crate) y: &'a [T],
    pub(crate) p: &'a [T],
    pub(crate) read: Read<'a, T>,
}

type V<const W: usize, const ISA: u8> = Dual<Tuned<ISA>, W>;

/// Inputs and outputs of a model, with the directions of one sweep in them.
#[derive(Debug, Clone)]
pub(crate) struct Buffers<const W: usize, const ISA: u8> {
    y: Vec<V<W, ISA>>,
    p: Vec<V<W, ISA>>,
    dy: Vec<V<W, ISA>>,
    /// The derivatives of the last one, `[d, W]`.
    rows: Vec<[f64; W]>,
    seeded: usize,
}

impl<const W: usize, const ISA: u8> Buffers<W, ISA> {
    fn new(d: usize, np: usize) -> Self {
        let zeros = |len| vec![V::variable(Tuned(0.0), W); len];
        Self { y: zeros(d), p: zeros(np), dy: zeros(d), rows: vec![[0.0; W]; d], seeded: usize::MAX }
    }

    /// Sets the directions.
    #[cold]
    fn seed(&mut self, colors: &[usize], sweep: usize) {
        for (x, &color) in self.y.iter_mut().zip(colors) {
            *x = V::variable(x.v, if color / W == sweep { color % W } else { W });
        }
        self.seeded = sweep;
    }
}

/// Work space of a plan's sweeps.
#[derive(Debug, Clone)]
pub(crate) enum Memory {
    /// Of models so short that the way to the best instruction set would cost as much as it gains.
    Narrow(Buffers<NARROW, 0>),
    Wide(Buffers<WIDE, 0>),
    /// Made inside the kernel.
    Vectors(Slot),
}

impl Memory {
    /// For a model of `len` operations with `d` states and `np` parameters.
    pub(crate) fn new(plan: &Plan, len: usize, d: usize, np: usize) -> Self {
        match plan.width {
            _ if len > SHORT => Self::Vectors(Slot::default()),
            NARROW => Self::Narrow(Buffers::new(d, np)),
            _ => Self::Wide(Buffers::new(d, np)),
        }
    }
}

impl<D: Dynamics, T: Real> Sweep<'_, D, T> {
    /// Runs it.
    #[inline]
    pub(crate) fn run(self, memory: &mut Memory) {
        match memory {
            Memory::Narrow(buffers) => self.all(buffers),
            Memory::Wide(buffers) => self.all(buffers),
            Memory::Vectors(slot) => dispatch(OnVectors(self, slot)),
        }
    }
}

struct OnVectors<'a, D, T>(Sweep<'a, D, T>, &'a mut Slot);

impl<D: Dynamics, T: Real> Kernel for OnVectors<'_, D, T> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(self) {
        let Self(sweep, slot) = self;
        let (d, np) = (sweep.y.len(), sweep.p.len());
        // One width a plan, and so one type a slot.
        if sweep.plan.width == NARROW {
            sweep.all(slot.get(|| Buffers::<NARROW, ISA>::new(d, np)));
        } else {
            sweep.all(slot.get(|| Buffers::<WIDE, ISA>::new(d, np)));
        }
    }
}

impl<D: Dynamics, T: Real> Sweep<'_, D, T> {
    #[inline(always)]
    fn all<const W: usize, const ISA: u8>(mut self, buffers: &mut Buffers<W, ISA>) {
        let d = self.y.len();
        for (x, y) in buffers.y.iter_mut().zip(self.y) {
            x.v = Tuned(y.f64());
        }
        for (x, p) in buffers.p.iter_mut().zip(self.p) {
            x.v = Tuned(p.f64());
        }
        let t = V::<W, ISA>::variable(Tuned(self.t), W);
        for (sweep, entries) in self.plan.sweeps.iter().enumerate() {
            // Values alone change from call to call: derivatives that were just written as scalars and are read as
            // vectors would stall.
            if buffers.seeded != sweep {
                buffers.seed(&self.plan.colors, sweep);
            }
            self.model.eval(t, &buffers.y, &buffers.p, &mut buffers.dy);
            let dy = &buffers.dy[..d];
            match &mut self.read {
                Read::Dense(values) => {
                    let first = sweep * W;
                    let n = W.min(d - first);
                    for (row, dy) in values.chunks_exact_mut(d).zip(dy) {
                        for (value, x) in row[first..first + n].iter_mut().zip(&dy.d) {
                            *value = T::c(x.0);
                        }
                    }
                }
                Read::Sparse(values) => {
                    for (row, dy) in buffers.rows.iter_mut().zip(dy) {
                        *row = dy.d.map(|x| x.0);
                    }
                    let rows = buffers.rows.as_flattened();
                    if self.plan.sweeps.len() == 1 {
                        for (value, e) in values.iter_mut().zip(entries) {
                            *value = T::c(rows[e.place as usize]);
                        }
                    } else {
                        for e in entries {
                            values[e.k as usize] = T::c(rows[e.place as usize]);
                        }
                    }
                }
            }
        }
    }
}
