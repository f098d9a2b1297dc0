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

/// Its rates alone: the right-hand side is written out, since no compiler unrolls a loop over the table for derivatives.
const RATES: [f64; 18] = {
    let (mut rates, mut k) = ([0.0; 18], 0);
    while k < 18 {
        rates[k] = LINEAR[k].2;
        k += 1;
    }
    rates
};
/// What is always made, and how fast two species bind and let go.
const MADE: f64 = 0.0007;
const BIND: f64 = 280.0;
const LOOSE: f64 = 1.81;

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
        let (k, binding) = (RATES, f * h * BIND);
        let bound = binding - g * LOOSE;
        put(
            dy,
            [
                a * k[0] + b * k[1] + c * k[2] + MADE,
                a * k[3] + b * k[4],
                c * k[5] + d * k[6] + e * k[7],
                b * k[8] + c * k[9] + d * k[10],
                e * k[11] + f * k[12] + g * k[13],
                d * k[14] + e * k[15] + f * k[16] + g * k[17] - binding,
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
        let (by_5, by_7, loose) = (T::c(BIND) * y[7], T::c(BIND) * y[5], T::c(LOOSE));
        for (i, sign) in [(5, -T::ONE), (6, T::ONE), (7, -T::ONE)] {
            put(i, 5, sign * by_5);
            put(i, 7, sign * by_7);
        }
        put(6, 6, -loose);
        put(7, 6, loose);
    }
    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        for (row, rate) in [(5, -BIND), (6, BIND), (7, -BIND)] {
            product(row, [5, 7], T::c(rate), &mut put);
        }
    }
}
