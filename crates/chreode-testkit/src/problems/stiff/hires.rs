//! A plant's photoreceptor: eight reacting species.

use chreode_core::{Number, Real, put, take};

use super::{Stiff, StiffCase, product};

/// High irradiance responses of photomorphogenesis [HW96, section IV.10].
#[derive(Debug, Clone, Copy, Default)]
pub struct Hires;

/// Linear part: row, column, rate.
const LINEAR: [(usize, usize, f64); 18] = [
    (0, 0, -1.71),
    (0, 1, 0.43),
    (0, 2, 8.32),
    (1, 0, 1.71),
    (1, 1, -8.75),
    (2, 2, -10.03),
    (2, 3, 0.43),
    (2, 4, 0.035),
    (3, 1, 8.32),
    (3, 2, 1.71),
    (3, 3, -1.12),
    (4, 4, -1.745),
    (4, 5, 0.43),
    (4, 6, 0.43),
    (5, 3, 0.69),
    (5, 4, 1.71),
    (5, 5, -0.43),
    (5, 6, 0.69),
];

impl Hires {
    pub(super) fn case() -> StiffCase {
        let end = [
            7.3713125733255412e-4,
            1.4424857263161597e-4,
            5.8887297409673389e-5,
            1.1756513432831255e-3,
            2.3863561988309493e-3,
            6.2389682527415998e-3,
            2.8499983951855010e-3,
            2.8500016048144992e-3,
        ];
        let y0 = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057];
        StiffCase::new("HIRES", Self, &y0, 321.8122, 1e-4, &end)
    }
}

impl Stiff for Hires {
    fn dim(&self) -> usize {
        8
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        let [a, b, c, d, e, f, g, h] = take(y);
        let binding = f * h * 280.0;
        let bound = binding - g * 1.81;
        put(
            dy,
            [
                a * -1.71 + b * 0.43 + c * 8.32 + 0.0007,
                a * 1.71 - b * 8.75,
                c * -10.03 + d * 0.43 + e * 0.035,
                b * 8.32 + c * 1.71 - d * 1.12,
                e * -1.745 + f * 0.43 + g * 0.43,
                d * 0.69 + e * 1.71 - f * 0.43 + g * 0.69 - binding,
                bound,
                -bound,
            ],
        );
    }
    #[inline]
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        for (i, j, rate) in LINEAR {
            put(i, j, T::c(rate));
        }
        let (by_5, by_7, loose) = (T::c(280.0) * y[7], T::c(280.0) * y[5], T::c(1.81));
        for (i, sign) in [(5, -T::ONE), (6, T::ONE), (7, -T::ONE)] {
            put(i, 5, sign * by_5);
            put(i, 7, sign * by_7);
        }
        put(6, 6, -loose);
        put(7, 6, loose);
    }
    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        for (row, rate) in [(5, -280.0), (6, 280.0), (7, -280.0)] {
            product(row, [5, 7], T::c(rate), &mut put);
        }
    }
}
