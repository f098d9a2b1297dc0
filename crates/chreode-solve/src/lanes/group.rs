//! Sixteen lanes and their steps.

use std::f64::consts::LN_2;

use chreode_core::{Dynamics, Number};
use chreode_linalg::{LaneMask, Lanes};

use super::columns::{Scales, V, combine};
use super::ensemble::Tile;
use super::seats::least_step;
use crate::controller::{LUCKY, MOST_WHEN_REJECTED};
use crate::erk::tableaus::tsit5::TSIT5;
use crate::initial_step::{first_guess, refined};
use crate::stops::Stops;

/// Lanes that run together. More than a register holds: their chains of operations overlap.
pub(super) const LANES: usize = 16;

const STAGES: usize = TSIT5.stages();
const ORDER: u32 = TSIT5.embedded_order + 1;
/// [`TSIT5`]'s, with its length in the type.
const B_ERR: [f64; STAGES] = {
    let mut w = [0.0; STAGES];
    let mut i = 0;
    while i < STAGES {
        w[i] = TSIT5.b_err[i];
        i += 1;
    }
    w
};

type Mask = LaneMask<LANES>;

/// What a lane holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seat<'a> {
    /// The tile's trajectory in it; none if there are no more.
    pub(super) row: Option<usize>,
    /// States saved so far.
    pub(super) saves: usize,
    /// Where its steps must end.
    pub(super) stops: Stops<'a>,
    /// How often it started: anew after each discontinuity.
    pub(super) starts: u64,
}

pub(super) struct Group<'a, D, const ISA: u8> {
    pub(super) tile: Tile<'a, D>,
    pub(super) d: usize,
    /// The next trajectory that has no lane yet.
    pub(super) next: usize,
    pub(super) seats: [Seat<'a>; LANES],
    /// Lanes that hold a trajectory, and those that have just taken it or crossed a discontinuity.
    pub(super) active: Mask,
    pub(super) fresh: Mask,
    /// 1, or -1 where time runs backward.
    pub(super) sign: V<ISA>,
    pub(super) t: V<ISA>,
    pub(super) t1: V<ISA>,
    /// Where the run must stop next, and where a state is saved next, both times `sign`.
    pub(super) stop: V<ISA>,
    pub(super) next_save: V<ISA>,
    /// Length of the next step, of the first where it is given (else 0), and of the longest.
    pub(super) h: V<ISA>,
    pub(super) h0: V<ISA>,
    pub(super) h_max: V<ISA>,
    /// Logarithms of the two errors before the last, relative to what is aimed at, as in `controller`.
    pub(super) before: [V<ISA>; 2],
    /// The largest factor after an accepted step: 1 after a rejected one.
    pub(super) most: V<ISA>,
    /// Logarithm of the error aimed at.
    pub(super) aim: V<ISA>,
    pub(super) min_factor: V<ISA>,
    pub(super) max_factor: V<ISA>,
    /// The controller's gains over the order of the error.
    pub(super) gains: [V<ISA>; 3],
    pub(super) accepted: V<ISA>,
    pub(super) rejected: V<ISA>,
    pub(super) max_steps: V<ISA>,
    pub(super) tolerance: Scales<ISA>,
    pub(super) p: Vec<V<ISA>>,
    pub(super) y: Vec<V<ISA>>,
    pub(super) y1: Vec<V<ISA>>,
    /// Stages as rows.
    pub(super) k: Vec<V<ISA>>,
    input: Vec<V<ISA>>,
}

/// A step that was tried.
pub(super) struct Step<const ISA: u8> {
    pub(super) t_end: V<ISA>,
    /// `t_end - t`.
    pub(super) dt: V<ISA>,
    pub(super) accept: Mask,
    /// Length of the next step.
    pub(super) h: V<ISA>,
}

#[inline(always)]
fn mask(f: impl FnMut(usize) -> bool) -> Mask {
    LaneMask(std::array::from_fn(f))
}

impl<'a, D: Dynamics, const ISA: u8> Group<'a, D, ISA> {
    pub(super) fn new(tile: Tile<'a, D>) -> Self {
        let d = tile.model.dim();
        let zero = V::c(0.0);
        let zeros = |len| vec![zero; len];
        let stride = usize::from((0..tile.outcomes.len()).any(|row| {
            let tolerance = tile.options.of(tile.first + row).tolerance;
            [tolerance.rtol, tolerance.atol].iter().any(|b| matches!(b, chreode_core::Bound::Each(_)))
        }));
        let scales = if stride == 0 { 1 } else { d };
        Self {
            d,
            next: 0,
            seats: [Seat::default(); LANES],
            active: LaneMask([false; LANES]),
            fresh: LaneMask([false; LANES]),
            sign: V::c(1.0),
            t: zero,
            t1: zero,
            stop: zero,
            next_save: V::c(f64::INFINITY),
            h: zero,
            h0: zero,
            h_max: zero,
            before: [zero; 2],
            most: zero,
            aim: zero,
            min_factor: zero,
            max_factor: zero,
            gains: [zero; 3],
            accepted: zero,
            rejected: zero,
            max_steps: zero,
            tolerance: Scales { stride, rtol: zeros(scales), atol: zeros(scales) },
            p: zeros(tile.model.n_params()),
            y: zeros(d),
            y1: zeros(d),
            k: zeros(STAGES * d),
            input: zeros(d),
            tile,
        }
    }

    /// All trajectories of the tile.
    #[inline(always)]
    pub(super) fn run(mut self) {
        for lane in 0..LANES {
            self.refill(lane);
        }
        while self.active.any() {
            let mut step = self.step();
            self.events(&mut step);
            for j in 0..self.d {
                self.y[j] = V::select(step.accept, self.y1[j], self.y[j]);
                self.k[j] = V::select(step.accept, self.k[(STAGES - 1) * self.d + j], self.k[j]);
            }
            self.t = V::select(step.accept, step.t_end, self.t);
            self.h = step.h;
            self.refill_empty();
        }
    }

    /// Tries a step in every lane. Lanes that are fresh get their first derivative and step size before; the others
    /// repeat that evaluation with the same result.
    #[inline(always)]
    fn step(&mut self) -> Step<ISA> {
        let d = self.d;
        let (mut t_end, mut step, mut whole) = (self.t, V::c(0.0), self.active);
        // Evaluations 0 and 1 are the derivative at the start and the probe of `initial_step`; the rest are stages 1
        // to 6. The model is called at ONE place, so that it is inlined into the code of each instruction set.
        let first = if self.fresh.any() { 0 } else { 2 };
        for e in first..=STAGES {
            let (time, into) = match e {
                0 => {
                    self.input.copy_from_slice(&self.y);
                    (self.t, 0)
                }
                1 => (self.probe(), 1),
                _ => {
                    if e == 2 {
                        if first == 0 {
                            self.first_steps();
                        }
                        (t_end, whole) = self.reach();
                        step = t_end - self.t;
                    }
                    let stage = e - 1;
                    combine(&self.y, step, TSIT5.a[stage], &self.k, &mut self.input);
                    let node = TSIT5.c[stage];
                    let time = if node == 1.0 { t_end } else { step.mul_add(V::c(node), self.t) };
                    (time, stage)
                }
            };
            self.tile.model.eval(time, &self.input, &self.p, &mut self.k[into * d..(into + 1) * d]);
        }
        std::mem::swap(&mut self.y1, &mut self.input); // the last stage is at the step's end
        self.judge(t_end, step, whole)
    }

    /// End of each lane's step, and whether it has the planned length: two equal steps before a stop rather than a
    /// long and a tiny one.
    #[inline(always)]
    fn reach(&self) -> (V<ISA>, Mask) {
        let stop = self.stop * self.sign;
        let left = self.stop - self.t * self.sign;
        let near = !self.h.lt(left);
        let halved = left.lt(self.h * 2.0);
        let planned = self.sign.mul_add(self.h, self.t);
        let half = (stop - self.t).mul_add(V::c(0.5), self.t);
        let t_end = V::select(near, stop, V::select(halved, half, planned));
        (t_end, mask(|l| if near.0[l] { left[l] == self.h[l] } else { !halved.0[l] }))
    }

    /// Whether the step is accepted, and the length of the next.
    #[inline(always)]
    fn judge(&mut self, t_end: V<ISA>, step: V<ISA>, whole: Mask) -> Step<ISA> {
        let err = self.tolerance.error(step, &B_ERR, &self.k, &self.y, &self.y1);
        let accept = mask(|l| err[l] <= 1.0); // not where it is NaN
        let ln_err = err.ln() - self.aim;
        let [g0, g1, g2] = self.gains;
        let exponent = V::select(
            accept,
            -g2.mul_add(self.before[1], g1.mul_add(self.before[0], g0 * ln_err)),
            ln_err * (-1.0 / f64::from(ORDER)),
        );
        let factor = exponent.exp();
        let most = V::select(accept, self.most, V::c(MOST_WHEN_REJECTED));
        let factor = V::select(factor.lt(most), factor, most);
        // NaN after a step into something that is not finite: the least.
        let factor = V::select(self.min_factor.lt(factor), factor, self.min_factor);
        let factor =
            Lanes(std::array::from_fn(|l| if err[l].is_nan() { self.min_factor[l] } else { factor[l] }));
        let tried = step.abs();
        let h = tried * factor;
        // The error of a step cut short by a stop, which may be rounding alone, must not shrink the plan.
        let h = V::select(accept & !whole, h.max(self.h), h);
        let h = V::select(accept, h.min(self.h_max), h);
        let newest = [ln_err.max(V::c(LUCKY * LN_2)), self.before[0]];
        self.before = [0, 1].map(|i| V::select(accept & whole, newest[i], self.before[i]));
        self.most = V::select(accept, self.max_factor, V::c(1.0));
        self.accepted = V::select(accept, self.accepted + 1.0, self.accepted);
        self.rejected = V::select(accept, self.rejected, self.rejected + 1.0);
        Step { t_end, dt: step, accept, h }
    }

    /// The state of the probe at the first guess of each lane's step, which goes to `h`; its time.
    #[inline(always)]
    fn probe(&mut self) -> V<ISA> {
        let size = self.tolerance.norm(|j| self.y[j], &self.y);
        let slope = self.tolerance.norm(|j| self.k[j], &self.y);
        let mut guess = V::c(0.0);
        for l in 0..LANES {
            if self.fresh.0[l] {
                let span = (self.stop[l] - self.t[l] * self.sign[l]).abs(); // to the first stop
                guess[l] = first_guess(size[l], slope[l], span);
                self.h[l] = guess[l];
            }
        }
        let step = guess * self.sign;
        for j in 0..self.d {
            self.input[j] = self.k[j].mul_add(step, self.y[j]);
        }
        self.t + step
    }

    /// The first step of each fresh lane, from the derivative of its probe.
    #[inline(always)]
    fn first_steps(&mut self) {
        let d = self.d;
        let slope = self.tolerance.norm(|j| self.k[j], &self.y);
        let change = self.tolerance.norm(|j| self.k[d + j] - self.k[j], &self.y);
        for l in 0..LANES {
            if self.fresh.0[l] {
                let given = self.h0[l];
                let proposed = || refined(self.h[l], slope[l], change[l], ORDER).max(least_step(self.t[l]));
                let h = if given > 0.0 { given } else { proposed() };
                self.h[l] = h.min(self.h_max[l]);
            }
        }
        self.fresh = LaneMask([false; LANES]);
    }
}
