//! Pull-backs of many trajectories by their program: eight at once, in the lanes of vectors.

use std::array::from_fn;

use chreode_core::{Number, Real};
use chreode_linalg::{Kernel, Lanes};

use crate::pull::PullBack;
use crate::replay::Replay;
use crate::scratch::Slot;

/// Trajectories that are replayed together.
pub(crate) const LANES: usize = 8;

/// `y_bar = λᵀ ∂f/∂y` of `n` trajectories, `[n, d]`, and `p_bar += Σ λᵀ ∂f/∂p`.
pub(crate) struct BatchVjp<'a, T> {
    pub(crate) pulled: &'a PullBack,
    pub(crate) scratch: &'a mut Slot,
    pub(crate) t: f64,
    pub(crate) y: &'a [T],
    pub(crate) p: &'a [T],
    pub(crate) lambda: &'a [T],
    pub(crate) y_bar: &'a mut [T],
    pub(crate) p_bar: &'a mut [T],
}

struct Memory<const ISA: u8> {
    replay: Replay<Lanes<LANES, ISA>>,
    p_bar: Vec<Lanes<LANES, ISA>>,
}

impl<T: Real> Kernel for BatchVjp<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(self) {
        let program = &self.pulled.program;
        let (d, np) = (program.d / 2, program.np);
        let Memory { replay, p_bar }: &mut Memory<ISA> =
            self.scratch.get(|| Memory { replay: program.replay(), p_bar: vec![Lanes::c(0.0); np] });
        replay.values[0] = Lanes::c(self.t);
        for (v, &p) in replay.values[1 + 2 * d..].iter_mut().zip(&self.p[..np]) {
            *v = Lanes::c(p.f64());
        }
        p_bar.fill(Lanes::c(0.0));
        let states = self.y.chunks(LANES * d).zip(self.lambda.chunks(LANES * d));
        for ((y, lambda), y_bar) in states.zip(self.y_bar.chunks_mut(LANES * d)) {
            let rows = y.len() / d;
            for j in 0..d {
                // Lanes without a trajectory repeat the last one, and nothing is owed to them.
                replay.values[1 + j] = Lanes(from_fn(|l| y[l.min(rows - 1) * d + j].f64()));
                let owed = |l: usize| if l < rows { lambda[l * d + j].f64() } else { 0.0 };
                replay.values[1 + d + j] = Lanes(from_fn(owed));
            }
            program.forward(replay);
            for (l, y_bar) in y_bar.chunks_exact_mut(d).enumerate() {
                for (y_bar, &i) in y_bar.iter_mut().zip(&program.out) {
                    *y_bar = T::c(replay.values[i as usize][l]);
                }
            }
            for (sum, owed) in p_bar.iter_mut().zip(self.pulled.owed::<_, 2>(&replay.values)) {
                *sum += owed;
            }
        }
        for (p_bar, sum) in self.p_bar.iter_mut().zip(p_bar) {
            *p_bar += T::c(sum.iter().sum());
        }
    }
}
