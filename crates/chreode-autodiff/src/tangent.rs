//! Products in directions of states and parameters, and derivatives of pull-backs: the program, recorded once and replayed
//! backward, over dual numbers (forward over reverse).

use std::array::from_fn;

use chreode_core::{Dynamics, FieldError, Number, ParamJvp, Real, VjpTangent};
use chreode_linalg::{Kernel, Tuned, dispatch};

use crate::replay::Replay;
use crate::scratch::Slot;
use crate::{Auto, Dual, small};

/// Directions in a sweep.
const WIDE: usize = 8;
/// Fewer directions at one state go one by one.
const FEW: usize = 2;

impl<D: Dynamics, T: Real> ParamJvp<T> for Auto<D, T> {
    fn param_jvp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        jv: &mut [T],
    ) -> Result<(), FieldError> {
        let (d, np, nd) = (self.program.d, self.program.np, y.len());
        if nd == 0 {
            return Ok(());
        }
        let directions = v.len() / nd;
        if directions <= FEW {
            for (k, (v, jv)) in v.chunks_exact(nd).zip(jv.chunks_exact_mut(nd)).enumerate() {
                let q = &q[k * np..(k + 1) * np];
                if self.small {
                    small::jvp(&self.model, t, y, p, v, |k| Some(q[k].f64()), jv);
                } else {
                    self.directed(t, y, p, v, q, jv);
                }
            }
            return Ok(());
        }
        let (model, slot) = (&self.model, &mut self.many_directions);
        let p = &p[..np];
        for first in (0..directions).step_by(WIDE) {
            let lanes = WIDE.min(directions - first);
            for row in (0..nd).step_by(d) {
                let at = |lane: usize| (first + lane) * nd + row;
                let y = &y[row..row + d];
                dispatch(Directions { model, slot, t, y, p, v, q, jv, at, first, lanes });
            }
        }
        Ok(())
    }

    fn param_jvp_along(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        u: &[T],
        out: &mut [T],
    ) -> Result<bool, FieldError> {
        let (program, d, np, nd) = (&self.program, self.program.d, self.program.np, y.len());
        if nd == 0 {
            return Ok(true);
        }
        let directions = v.len() / nd;
        let SecondMemory { replay, inputs, dy } = self.second.get_or_insert_with(|| SecondMemory {
            replay: program.replay(),
            inputs: vec![Second::c(0.0); d + np],
            dy: vec![Second::c(0.0); d],
        });
        let (states, params) = inputs.split_at_mut(d);
        for first in (0..directions).step_by(WIDE) {
            let lanes = WIDE.min(directions - first);
            let lane = |of: &[T], len: usize, i: usize| -> [f64; WIDE] {
                from_fn(|l| if l < lanes { of[(first + l) * len + i].f64() } else { 0.0 })
            };
            for (k, (x, p)) in params.iter_mut().zip(p).enumerate() {
                *x = Dual { v: Dual { v: p.f64(), d: lane(q, np, k) }, d: [Dual::c(0.0)] };
            }
            for row in (0..nd).step_by(d) {
                for (i, x) in states.iter_mut().enumerate() {
                    let value = Dual { v: y[row + i].f64(), d: lane(v, nd, row + i) };
                    *x = Dual { v: value, d: [Dual::c(u[row + i].f64())] };
                }
                program.eval(replay, Second::c(t), states, params, dy);
                for l in 0..lanes {
                    let at = (first + l) * nd + row;
                    for (out, dy) in out[at..at + d].iter_mut().zip(&*dy) {
                        *out = T::c(dy.d[0].d[l]);
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Eight directions, and how what they make changes along one.
type Second = Dual<Dual<f64, WIDE>, 1>;

/// Work space of derivatives of products.
#[derive(Debug, Clone)]
pub(crate) struct SecondMemory {
    replay: Replay<Second>,
    /// States and parameters of one trajectory.
    inputs: Vec<Second>,
    dy: Vec<Second>,
}

/// Eight directions of one trajectory, `at` tells where each begins; lanes without one move nothing.
struct Directions<'a, D, T, At> {
    model: &'a D,
    slot: &'a mut Slot,
    t: f64,
    y: &'a [T],
    p: &'a [T],
    v: &'a [T],
    q: &'a [T],
    jv: &'a mut [T],
    at: At,
    first: usize,
    lanes: usize,
}

type Wide<const ISA: u8> = Dual<Tuned<ISA>, WIDE>;

impl<D: Dynamics, T: Real, At: Fn(usize) -> usize> Kernel for Directions<'_, D, T, At> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(self) {
        let (d, np, lanes) = (self.y.len(), self.p.len(), self.lanes);
        let buffer: &mut Vec<Wide<ISA>> = self.slot.get(|| vec![Wide::<ISA>::c(0.0); 2 * d + np]);
        let (inputs, dy) = buffer.split_at_mut(d + np);
        let (states, params) = inputs.split_at_mut(d);
        let lane = |from: &[T], at: usize| Tuned(from[at].f64());
        for (i, (x, y)) in states.iter_mut().zip(self.y).enumerate() {
            let moved = |l: usize| if l < lanes { lane(self.v, (self.at)(l) + i) } else { Tuned(0.0) };
            *x = Dual { v: Tuned(y.f64()), d: from_fn(moved) };
        }
        for (k, (x, p)) in params.iter_mut().zip(self.p).enumerate() {
            let moved =
                |l: usize| if l < lanes { lane(self.q, (self.first + l) * np + k) } else { Tuned(0.0) };
            *x = Dual { v: Tuned(p.f64()), d: from_fn(moved) };
        }
        self.model.eval(Dual::c(self.t), states, params, dy);
        for l in 0..lanes {
            let at = (self.at)(l);
            for (jv, dy) in self.jv[at..at + d].iter_mut().zip(&*dy) {
                *jv = T::c(dy.d[l].0);
            }
        }
    }
}

type D1 = Dual<f64, 1>;

/// Work space of second derivatives.
#[derive(Debug, Clone)]
pub(crate) struct TangentMemory {
    replay: Replay<D1>,
    /// Parameters; states, cotangents and sums of one trajectory.
    p: Vec<D1>,
    y: Vec<D1>,
    lambda: Vec<D1>,
    y_bar: Vec<D1>,
    p_bar: Vec<D1>,
}

fn dual<T: Real>((x, dot): (&T, &T)) -> D1 {
    Dual { v: x.f64(), d: [dot.f64()] }
}

fn load<T: Real>(to: &mut [D1], x: &[T], dot: &[T]) {
    for (to, from) in to.iter_mut().zip(x.iter().zip(dot)) {
        *to = dual(from);
    }
}

impl<D: Dynamics, T: Real> VjpTangent<T> for Auto<D, T> {
    fn vjp_tangent(
        &mut self,
        t: f64,
        (y, v): (&[T], &[T]),
        (p, q): (&[T], &[T]),
        (lambda, lambda_dot): (&[T], &[T]),
        (y_bar, y_bar_dot): (&mut [T], &mut [T]),
        (p_bar, p_bar_dot): (&mut [T], &mut [T]),
    ) -> Result<(), FieldError> {
        let (program, d, np) = (&self.program, self.program.d, self.program.np);
        if d == 0 {
            return Ok(());
        }
        let zeros = |len: usize| vec![D1::c(0.0); len];
        let m = self.tangent.get_or_insert_with(|| TangentMemory {
            replay: program.replay(),
            p: zeros(np),
            y: zeros(d),
            lambda: zeros(d),
            y_bar: zeros(d),
            p_bar: zeros(np),
        });
        load(&mut m.p, p, q);
        m.p_bar.fill(D1::c(0.0));
        for row in (0..y.len() / d).map(|i| i * d..(i + 1) * d) {
            load(&mut m.y, &y[row.clone()], &v[row.clone()]);
            load(&mut m.lambda, &lambda[row.clone()], &lambda_dot[row.clone()]);
            program.vjp(&mut m.replay, D1::c(t), &m.y, &m.p, &m.lambda, &mut m.y_bar, &mut m.p_bar);
            let out = y_bar[row.clone()].iter_mut().zip(&mut y_bar_dot[row]);
            for ((bar, dot), sum) in out.zip(&m.y_bar) {
                (*bar, *dot) = (T::c(sum.v), T::c(sum.d[0]));
            }
        }
        for ((bar, dot), sum) in p_bar.iter_mut().zip(p_bar_dot).zip(&m.p_bar) {
            *bar += T::c(sum.v);
            *dot += T::c(sum.d[0]);
        }
        Ok(())
    }
}
