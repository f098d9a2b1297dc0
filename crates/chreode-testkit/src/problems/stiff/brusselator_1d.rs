//! A reaction that diffuses along a line: large, with a banded Jacobian.

use chreode_core::Real;

use super::{Stiff, StiffCase};

/// The Brusselator with diffusion, `u_t = 1 + u² v - 4 u + u_xx / 50`, `v_t = 3 u - u² v + v_xx / 50` on [0, 1] with `u = 1`, `v = 3`
/// at both ends, on `points` inner points; `y = [u_1, v_1, u_2, v_2, ..]` [HW96, section IV.10].
#[derive(Debug, Clone, Copy)]
pub struct Brusselator1d {
    /// Number of inner grid points.
    pub points: usize,
}

impl Brusselator1d {
    pub(super) fn case() -> StiffCase {
        let points = 500;
        let y0: Vec<f64> = (1..=points)
            .flat_map(|i| [1.0 + (2.0 * std::f64::consts::PI * i as f64 / (points + 1) as f64).sin(), 3.0])
            .collect();
        let mut case = StiffCase::new("Brusselator 1-D", Self { points }, &y0, 10.0, 1.0, &[]);
        case.end = END.to_vec();
        case
    }

    /// Diffusion over the squared distance of two points.
    fn coupling<T: Real>(self) -> T {
        let n = (self.points + 1) as f64;
        T::c(0.02 * (n * n))
    }
}

impl Stiff for Brusselator1d {
    const SPARSE: bool = true;

    fn dim(&self) -> usize {
        2 * self.points
    }
    fn f<T: Real>(&self, _t: f64, y: &[T], dy: &mut [T]) {
        let (g, ends) = (self.coupling::<T>(), [T::ONE, T::c(3.0)]);
        let at = |i: usize| [y[2 * i], y[2 * i + 1]];
        for i in 0..self.points {
            let [u, v] = at(i);
            let [ul, vl] = if i > 0 { at(i - 1) } else { ends };
            let [ur, vr] = if i + 1 < self.points { at(i + 1) } else { ends };
            let uuv = u * u * v;
            dy[2 * i] = T::ONE + uuv - T::c(4.0) * u + g * (ul - T::c(2.0) * u + ur);
            dy[2 * i + 1] = T::c(3.0) * u - uuv + g * (vl - T::c(2.0) * v + vr);
        }
    }
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        let g = self.coupling::<T>();
        for i in 0..self.points {
            let (a, b) = (2 * i, 2 * i + 1);
            let (uu, uv2) = (y[a] * y[a], T::c(2.0) * y[a] * y[b]);
            let own =
                [(a, [uv2 - T::c(4.0) - T::c(2.0) * g, T::c(3.0) - uv2]), (b, [uu, -uu - T::c(2.0) * g])];
            for (column, [of_u, of_v]) in own {
                if i > 0 {
                    put(column - 2, column, g);
                }
                put(a, column, of_u);
                put(b, column, of_v);
                if i + 1 < self.points {
                    put(column + 2, column, g);
                }
            }
        }
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
