//! Replaying a program: forward for values, backward for what is owed to them.

use std::array::from_fn;

use chreode_core::{Number, Real};
use chreode_linalg::{Kernel, dispatch};

use crate::dual::power;
use crate::graph::Op;
use crate::program::{Program, is_mask};
use crate::schedule::Run;

/// Memory for replaying a [`Program`] on numbers of one type.
#[derive(Debug, Clone)]
pub struct Replay<V: Number> {
    pub(crate) values: Vec<V>,
    pub(crate) bars: Vec<V>,
    pub(crate) masks: Vec<V::Mask>,
}

/// Operations of a program for which the way to the best instruction set would cost as much as it gains.
const SHORT: usize = 256;

/// All values of a program.
struct Forward<'a>(&'a Program, &'a mut Replay<f64>);

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(self) {
        self.0.forward(self.1);
    }
}

/// Runs that are so long that what surrounds their loops does not matter.
const LONG: usize = 64;

/// Sets results four at a time: unrolled further, most of a short run would be left over.
#[inline(always)]
fn fours<V, A: Copy>(to: &mut [V], a: &[A], f: impl Fn(A) -> V + Copy) {
    let ((to, to_rest), (a, a_rest)) = (to.as_chunks_mut::<4>(), a.as_chunks::<4>());
    to.iter_mut().zip(a).for_each(|(to, a)| *to = a.map(f));
    to_rest.iter_mut().zip(a_rest).for_each(|(to, &a)| *to = f(a));
}

/// Sets results of what lies side by side.
#[inline(always)]
fn each<V: Number>(to: &mut [V], a: &[V], f: impl Fn(V) -> V + Copy) {
    if to.len() < LONG {
        fours(to, a, f);
    } else {
        to.iter_mut().zip(a).for_each(|(to, &a)| *to = f(a));
    }
}

/// As [`each`], of two values.
#[inline(always)]
fn each_of_both<V: Number>(to: &mut [V], a: &[V], b: &[V], f: impl Fn(V, V) -> V + Copy) {
    if to.len() < LONG {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
        let (to, to_rest) = to.as_chunks_mut::<4>();
        to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = from_fn(|k| f(a[k], b[k])));
        to_rest.iter_mut().zip(a_rest.iter().zip(b_rest)).for_each(|(to, (&a, &b))| *to = f(a, b));
    } else {
        to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (&a, &b))| *to = f(a, b));
    }
}

impl<V: Number> Replay<V> {
    /// Sets time and then these inputs, one after the other.
    #[inline]
    pub(crate) fn load<T: Real, const N: usize>(&mut self, t: f64, inputs: [&[T]; N]) {
        self.values[0] = V::c(t);
        let mut at = 1;
        for inputs in inputs {
            for (to, x) in self.values[at..at + inputs.len()].iter_mut().zip(inputs) {
                *to = V::c(x.f64());
            }
            at += inputs.len();
        }
    }
}

impl Program {
    /// Memory for replaying on numbers of type `V`.
    pub fn replay<V: Number>(&self) -> Replay<V> {
        let zero = V::c(0.0);
        let mut values = vec![zero; self.n_values];
        for (v, &c) in values[1 + self.d + self.np..].iter_mut().zip(&self.constants) {
            *v = V::c(c);
        }
        Replay { values, bars: vec![zero; self.n_values], masks: vec![zero.lt(zero); self.n_masks] }
    }

    /// Sets `dy`, `[n_out]`, as the model would.
    ///
    /// # Panics
    /// If a slice has not the program's length.
    pub fn eval<V: Number>(&self, memory: &mut Replay<V>, t: V, y: &[V], p: &[V], dy: &mut [V]) {
        self.load(memory, t, y, p);
        self.forward(memory);
        self.read(memory, dy);
    }

    /// As [`eval`](Self::eval), with the parameters of the last call with this memory: what depends on them alone is not computed again.
    ///
    /// # Panics
    /// If a slice has not the program's length.
    pub fn eval_again<V: Number>(&self, memory: &mut Replay<V>, t: V, y: &[V], dy: &mut [V]) {
        memory.values[0] = t;
        memory.values[1..=self.d].copy_from_slice(y);
        self.replay_runs(&self.runs[self.fixed_runs..], memory);
        self.read(memory, dy);
    }

    fn read<V: Number>(&self, memory: &Replay<V>, dy: &mut [V]) {
        assert_eq!(dy.len(), self.out.len(), "results of a program");
        for (dy, &i) in dy.iter_mut().zip(&self.out) {
            *dy = memory.values[i as usize];
        }
    }

    /// Sets `y_bar = λᵀ ∂f/∂y` and adds `λᵀ ∂f/∂p` to `p_bar`.
    ///
    /// # Panics
    /// If a slice has not the program's length.
    pub fn vjp<V: Number>(
        &self,
        memory: &mut Replay<V>,
        t: V,
        y: &[V],
        p: &[V],
        lambda: &[V],
        y_bar: &mut [V],
        p_bar: &mut [V],
    ) {
        self.load(memory, t, y, p);
        self.forward(memory);
        self.seed(memory, |i| lambda[i]);
        self.backward(memory);
        y_bar.copy_from_slice(&memory.bars[1..=self.d]);
        for (p_bar, &bar) in p_bar.iter_mut().zip(&memory.bars[1 + self.d..]) {
            *p_bar += bar;
        }
    }

    #[inline(always)]
    fn load<V: Number>(&self, memory: &mut Replay<V>, t: V, y: &[V], p: &[V]) {
        memory.values[0] = t;
        memory.values[1..=self.d].copy_from_slice(y);
        memory.values[1 + self.d..=self.d + self.np].copy_from_slice(&p[..self.np]);
    }

    /// As [`forward`](Self::forward), on the best instruction set where that pays.
    pub(crate) fn run(&self, memory: &mut Replay<f64>) {
        if self.len() > SHORT {
            dispatch(Forward(self, memory));
        } else {
            self.forward(memory);
        }
    }

    /// Clears the bars and sets those of the outputs.
    #[inline(always)]
    pub(crate) fn seed<V: Number>(&self, memory: &mut Replay<V>, lambda: impl Fn(usize) -> V) {
        memory.bars.fill(V::c(0.0));
        for (i, &out) in self.out.iter().enumerate() {
            memory.bars[out as usize] += lambda(i); // two outputs may be one value
        }
    }

    /// All values, from those of time, states and parameters.
    #[inline(always)]
    pub(crate) fn forward<V: Number>(&self, memory: &mut Replay<V>) {
        self.replay_runs(&self.runs, memory);
    }

    #[inline(always)]
    fn replay_runs<V: Number>(&self, runs: &[Run], memory: &mut Replay<V>) {
        let Replay { values, masks, .. } = memory;
        if let Some(copies) = self.copies {
            copies.run(self.d, values);
        }
        for run in runs {
            let operands = || &self.operands[run.from..run.from + run.len];
            // Results of values, all of which lie before them.
            macro_rules! results {
                (|$a:ident| $x:expr) => {
                    results!(|$a, _b| $x)
                };
                (|$a:ident, $b:ident| $x:expr) => {{
                    let (before, results) = values.split_at_mut(run.to);
                    let results = &mut results[..run.len];
                    let [a, b] = run.first.map(|place| place as usize);
                    // Operands side by side, or one for all, are vectors.
                    match run.strides {
                        None => {
                            let one = |[a, b, _]: [u32; 3]| {
                                let ($a, $b) = (before[a as usize], before[b as usize]);
                                $x
                            };
                            // One or two, as most are without vectors: a loop takes longer to leave than they do.
                            match (&mut *results, operands()) {
                                ([to], &[from]) => *to = one(from),
                                ([to, to_2], &[from, from_2]) => (*to, *to_2) = (one(from), one(from_2)),
                                (results, operands) => fours(results, operands, one),
                            }
                        }
                        Some([1, 1]) => {
                            let (a, b) = (&before[a..a + run.len], &before[b..b + run.len]);
                            each_of_both(results, a, b, |$a, $b| $x);
                        }
                        Some([1, 0]) => {
                            let $b = before[b];
                            each(results, &before[a..a + run.len], |$a| $x);
                        }
                        Some([0, 1]) => {
                            let $a = before[a];
                            each(results, &before[b..b + run.len], |$b| $x);
                        }
                        Some([by_a, by_b]) if by_a > 0 && by_b > 0 => {
                            let both = before[a..].iter().step_by(by_a).zip(before[b..].iter().step_by(by_b));
                            for (to, (&$a, &$b)) in results.iter_mut().zip(both) {
                                *to = $x;
                            }
                        }
                        Some([by_a, by_b]) => {
                            for (i, to) in results.iter_mut().enumerate() {
                                let ($a, $b) = (before[a + i * by_a], before[b + i * by_b]);
                                *to = $x;
                            }
                        }
                    }
                }};
            }
            // Masks of masks.
            macro_rules! masks {
                (|$a:ident, $b:ident| $x:expr) => {
                    for (i, operands) in operands().iter().enumerate() {
                        let ($a, $b) = (masks[operands[0] as usize], masks[operands[1] as usize]);
                        masks[run.to + i] = $x;
                    }
                };
            }
            match run.op {
                Op::Neg(_) => results!(|a| -a),
                Op::Add(..) => results!(|a, b| a + b),
                Op::Sub(..) => results!(|a, b| a - b),
                Op::Mul(..) => results!(|a, b| a * b),
                Op::Div(..) => results!(|a, b| a / b),
                Op::Powf(..) => results!(|a, b| a.powf(b)),
                Op::Exp(_) => results!(|a| a.exp()),
                Op::Ln(_) => results!(|a| a.ln()),
                Op::Sqrt(_) => results!(|a| a.sqrt()),
                Op::Sin(_) => results!(|a| a.sin()),
                Op::Cos(_) => results!(|a| a.cos()),
                Op::Tanh(_) => results!(|a| a.tanh()),
                Op::Floor(_) => results!(|a| a.floor()),
                Op::Select(..) => {
                    let (before, results) = values.split_at_mut(run.to);
                    for (to, &[m, a, b]) in results[..run.len].iter_mut().zip(operands()) {
                        *to = V::select(masks[m as usize], before[a as usize], before[b as usize]);
                    }
                }
                Op::Lt(..) => {
                    for (to, &[a, b, _]) in masks[run.to..run.to + run.len].iter_mut().zip(operands()) {
                        *to = values[a as usize].lt(values[b as usize]);
                    }
                }
                Op::And(..) => masks!(|a, b| a & b),
                Op::Or(..) => masks!(|a, b| a | b),
                Op::Not(_) => masks!(|a, _b| !a),
                Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => {} // never a step
            }
        }
    }

    /// All bars, from those of the outputs; the values are those of the last `forward`.
    #[inline(always)]
    pub(crate) fn backward<V: Number>(&self, memory: &mut Replay<V>) {
        let Replay { values, masks, bars } = memory;
        for run in self.runs.iter().rev().filter(|run| !is_mask(run.op)) {
            let operands = &self.operands[run.from..run.from + run.len];
            let (before, own) = bars.split_at_mut(run.to);
            let results = &values[run.to..run.to + run.len];
            let steps = own[..run.len].iter().zip(results).zip(operands).rev();
            // What the results of steps owe to their operands.
            macro_rules! owed {
                (|$a:ident, $v:ident, $bar:ident| $x:expr) => {
                    for ((&$bar, &$v), operands) in steps {
                        let a = operands[0] as usize;
                        let $a = values[a];
                        before[a] += $x;
                    }
                };
                (|$a:ident, $b:ident, $v:ident, $bar:ident| $x:expr, $y:expr) => {
                    for ((&$bar, &$v), operands) in steps {
                        let (a, b) = (operands[0] as usize, operands[1] as usize);
                        let ($a, $b) = (values[a], values[b]);
                        before[a] += $x;
                        before[b] += $y;
                    }
                };
            }
            match run.op {
                Op::Neg(_) => owed!(|_a, _v, bar| -bar),
                Op::Add(..) => owed!(|_a, _b, _v, bar| bar, bar),
                Op::Sub(..) => owed!(|_a, _b, _v, bar| bar, -bar),
                Op::Mul(..) => owed!(|a, b, _v, bar| bar * b, bar * a),
                Op::Div(..) => {
                    for ((&bar, &v), &[a, b, _]) in steps {
                        let q = bar / values[b as usize];
                        before[a as usize] += q;
                        before[b as usize] += -(q * v);
                    }
                }
                Op::Powf(..) => {
                    for ((&bar, &v), &[a, b, _]) in steps {
                        let (by_base, by_exponent) = power(values[a as usize], values[b as usize], v);
                        before[a as usize] += bar * by_base;
                        before[b as usize] += bar * by_exponent;
                    }
                }
                Op::Exp(_) => owed!(|_a, v, bar| bar * v),
                Op::Ln(_) => owed!(|a, _v, bar| bar / a),
                Op::Sqrt(_) => owed!(|_a, v, bar| bar / (v + v)),
                Op::Sin(_) => owed!(|a, _v, bar| bar * a.cos()),
                Op::Cos(_) => owed!(|a, _v, bar| -(bar * a.sin())),
                Op::Tanh(_) => owed!(|_a, v, bar| bar - bar * v * v),
                Op::Select(..) => {
                    let zero = V::c(0.0);
                    for ((&bar, _), &[m, a, b]) in steps {
                        let m = masks[m as usize];
                        before[a as usize] += V::select(m, bar, zero);
                        before[b as usize] += V::select(m, zero, bar);
                    }
                }
                _ => {} // what is flat
            }
        }
        if let Some(copies) = self.copies {
            copies.pull_back(self.d, bars);
        }
    }
}
