//! A reaction that diffuses along a line: large, with a banded Jacobian. Source: [HW96] section IV.10.

use std::f64::consts::PI;
use std::ops::{Add, Mul, Neg, Sub};

use chreode_core::{Dynamics, Number, Real, take};

use super::stiff::{Stiff, StiffCase};

/// The Brusselator with diffusion, `u_t = a + u² v - (b + 1) u + α (u_left - 2 u + u_right)`, `v_t = b u - u² v + α (..)`, on inner
/// points between fixed ends, `u = 1` and `v = 3`: `y = [u_1, v_1, u_2, ..]`, of which each sees at most four; `p = [a, b, α]`.
///
/// As a [`Stiff`] problem it is that of [HW96]: `a = 1`, `b = 3`, and diffusion 1/50 on a line of length 1.
#[derive(Debug, Clone, Copy)]
pub struct BrusselatorLine {
    /// Number of inner points.
    pub points: usize,
}

/// What its right-hand side needs of a number: less than [`Real`] or [`Number`] have.
trait Ring: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self> {}
impl<S: Copy + Add<Output = S> + Sub<Output = S> + Mul<Output = S> + Neg<Output = S>> Ring for S {}

/// `a`, `b`, `α`, and 1, 2, 3.
type Constants<S> = ([S; 3], [S; 3]);

impl BrusselatorLine {
    /// The state at the start: a wave of the first substance over the steady state of `a = 1`, `b = 3`.
    pub fn start(&self) -> Vec<f64> {
        let wave = |i: usize| (2.0 * PI * i as f64 / (self.points + 1) as f64).sin();
        (1..=self.points).flat_map(|i| [1.0 + wave(i), 3.0]).collect()
    }

    /// The parameters of [HW96].
    pub fn parameters(&self) -> [f64; 3] {
        let n = (self.points + 1) as f64;
        [1.0, 3.0, 0.02 * (n * n)]
    }

    pub(super) fn case() -> StiffCase {
        let line = Self { points: 500 };
        let mut case = StiffCase::new("Brusselator 1-D", line, &line.start(), 10.0, 1.0, &[]);
        case.end = END.to_vec();
        case
    }

    #[inline(always)]
    fn rates<S: Ring>(self, y: &[S], ([a, b, alpha], [one, two, three]): Constants<S>, dy: &mut [S]) {
        let n = self.points;
        for i in 0..n {
            let (u, v) = (y[2 * i], y[2 * i + 1]);
            // Written out: a closure that is called twice is not inlined into a vector kernel for sure.
            let (ul, vl) = if i > 0 { (y[2 * i - 2], y[2 * i - 1]) } else { (one, three) };
            let (ur, vr) = if i + 1 < n { (y[2 * i + 2], y[2 * i + 3]) } else { (one, three) };
            let uuv = u * u * v;
            dy[2 * i] = a + uuv - (b + one) * u + alpha * (ul + ur - two * u);
            dy[2 * i + 1] = b * u - uuv + alpha * (vl + vr - two * v);
        }
    }

    /// Calls `entry(i, j, value)` for each entry of the Jacobian in the order of columns, then rows.
    #[inline(always)]
    fn entries<S: Ring>(
        self,
        y: &[S],
        ([_, b, alpha], [one, two, _]): Constants<S>,
        mut entry: impl FnMut(usize, usize, S),
    ) {
        let n = self.points;
        for i in 0..n {
            let (u, v) = (y[2 * i], y[2 * i + 1]);
            let (uv2, uu) = (two * u * v, u * u);
            let own = [[uv2 - (b + one) - two * alpha, b - uv2], [uu, -uu - two * alpha]];
            for (s, [above, below]) in own.into_iter().enumerate() {
                let j = 2 * i + s;
                if i > 0 {
                    entry(j - 2, j, alpha);
                }
                entry(2 * i, j, above);
                entry(2 * i + 1, j, below);
                if i + 1 < n {
                    entry(j + 2, j, alpha);
                }
            }
        }
    }

    /// The Jacobian by hand, calling `entry(i, j, value)` for each entry in the order of columns, then rows.
    #[inline(always)]
    pub fn jacobian(&self, y: &[f64], p: &[f64], entry: impl FnMut(usize, usize, f64)) {
        self.entries(y, (take(p), [1.0, 2.0, 3.0]), entry);
    }

    /// `y_bar = λᵀ ∂f/∂y` and `p_bar += λᵀ ∂f/∂p` by hand.
    #[inline(always)]
    pub fn vjp(&self, y: &[f64], p: &[f64], lambda: &[f64], y_bar: &mut [f64], p_bar: &mut [f64]) {
        let (b, alpha) = (p[1], p[2]);
        let n = self.points;
        for i in 0..n {
            let (u, v, lu, lv) = (y[2 * i], y[2 * i + 1], lambda[2 * i], lambda[2 * i + 1]);
            let (uv2, uu, difference) = (2.0 * u * v, u * u, lu - lv);
            let (mut du, mut dv) = (uv2 * difference - (b + 1.0) * lu + b * lv, uu * difference);
            p_bar[0] += lu;
            p_bar[1] -= u * difference;
            for j in [i.wrapping_sub(1), i + 1] {
                // Ends do not move.
                let (y, l) = if j < n {
                    ([y[2 * j], y[2 * j + 1]], [lambda[2 * j], lambda[2 * j + 1]])
                } else {
                    ([1.0, 3.0], [0.0; 2])
                };
                du += alpha * (l[0] - lu);
                dv += alpha * (l[1] - lv);
                p_bar[2] += lu * (y[0] - u) + lv * (y[1] - v);
            }
            (y_bar[2 * i], y_bar[2 * i + 1]) = (du, dv);
        }
    }
}

/// The second derivatives of `u² v`, which each pair `u, v` gains and loses.
pub(super) fn reaction<T: Real>(y: &[T], put: &mut impl FnMut(usize, [usize; 2], T)) {
    for (i, [u, v]) in y.as_chunks::<2>().0.iter().enumerate() {
        let (at_u, at_v) = (2 * i, 2 * i + 1);
        for (row, two) in [(at_u, T::c(2.0)), (at_v, T::c(-2.0))] {
            put(row, [at_u, at_u], two * *v);
            put(row, [at_u, at_v], two * *u);
            put(row, [at_v, at_u], two * *u);
        }
    }
}

impl Dynamics for BrusselatorLine {
    fn dim(&self) -> usize {
        2 * self.points
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        self.rates(y, (take(p), [1.0, 2.0, 3.0].map(S::c)), dy);
    }
}

impl Stiff for BrusselatorLine {
    const SPARSE: bool = true;

    fn dim(&self) -> usize {
        2 * self.points
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        self.rates(y, (self.parameters().map(S::c), [1.0, 2.0, 3.0].map(S::c)), dy);
    }
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], put: impl FnMut(usize, usize, T)) {
        self.entries(y, (self.parameters().map(T::c), [1.0, 2.0, 3.0].map(T::c)), put);
    }
    fn second<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        reaction(y, &mut put);
    }
}

const END: [(usize, f64); 33] = [
    (0, 0.9948251978971353),
    (31, 3.1036531724687877),
    (62, 0.83884103496503959),
    (93, 3.2892325210785409),
    (124, 0.70424235241011357),
    (155, 3.4382339911505575),
    (186, 0.60074550816157968),
    (217, 3.5444441424285564),
    (248, 0.5278654864623239),
    (279, 3.6128586816947954),
    (310, 0.47998746613210203),
    (341, 3.6532120923896225),
    (372, 0.45071275267926297),
    (403, 3.6751377996860426),
    (434, 0.43501655016152818),
    (465, 3.6856975283654849),
    (496, 0.42986327016885051),
    (527, 3.6884664727980909),
    (558, 0.43420797993317034),
    (589, 3.6833201428402256),
    (620, 0.44893557441952425),
    (651, 3.6664732092779913),
    (682, 0.47690769153776241),
    (713, 3.630746848622628),
    (744, 0.52296799889394374),
    (775, 3.5664601398683873),
    (806, 0.59338881725958403),
    (837, 3.4637410668418616),
    (868, 0.69387095555467837),
    (899, 3.3170741694687216),
    (930, 0.82542791492713041),
    (961, 3.131562646969547),
    (992, 0.97941646411657035),
];
