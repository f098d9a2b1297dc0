//! Step size from the error norm. Sources: [Gus91], [Sod03].

/// A proportional-integral-derivative controller.
///
/// With `e` the error norms of the last three steps, newest first, and an error that scales with `h^k`, the next step is
/// the last times `Π (safety^k / e_i)^(gains_i / k)`, within bounds. So a run whose steps are `safety` times those that
/// would just meet the tolerance keeps its step size, whatever the gains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Controller {
    /// Weights of the last error, the one before and the one before that.
    pub gains: [f64; 3],
    /// Length of a step over that at which its error would be the tolerance; at most 1.
    pub safety: f64,
    /// Smallest factor.
    pub min_factor: f64,
    /// Largest factor.
    pub max_factor: f64,
}

impl Controller {
    /// Looks at the last error alone: the classical controller. Quick to grow, rejects most.
    pub const I: Self = Self::new([1.0, 0.0, 0.0]);
    /// Proportional-integral: damped by the error before, for smooth step sizes and few rejections.
    pub const PI: Self = Self::new([0.7, -0.4, 0.0]);
    /// The digital filter H312: the smoothest step sizes, slow to react.
    pub const PID: Self = Self::new([1.0 / 18.0, 1.0 / 9.0, 1.0 / 18.0]);

    /// Work at equal error hardly depends on the error aimed at: 4 % between 0.1 and 0.5 for orders up to 5; at orders 7 to
    /// 9, 0.5 costs 4 to 6 % more than 0.1 (`tests/controllers.rs`). A safety of 0.75 aims at 0.24 and at 0.1.
    const fn new(gains: [f64; 3]) -> Self {
        Self { gains, safety: 0.75, min_factor: 0.2, max_factor: 10.0 }
    }
}

impl Controller {
    /// What a method uses whose error estimate falls with `h^order`: [`I`](Self::I) from order 7 on, [`PI`](Self::PI) below. The steps of high orders
    /// are long beside what the solution does, and looking back misleads; the program of [HNW93] for order 8 looks at the last error
    /// alone too.
    pub fn of_order(order: u32) -> Self {
        if order >= 7 { Self::I } else { Self::PI }
    }
}

impl Default for Controller {
    /// [`PI`](Self::PI). At equal error, averaged over nine problems, [`I`](Self::I) takes 0.94 to 1.00 of its work at orders up
    /// to 5, and [`PID`](Self::PID) 1.01 to 1.10 (`tests/controllers.rs`).
    fn default() -> Self {
        Self::PI
    }
}

/// A controller at work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Control {
    rule: Controller,
    safety: f64,
    /// Logarithms (base 2) of the two errors before the last, relative to what is aimed at.
    before: [f64; 2],
    /// Largest factor after an accepted step: none after a rejection.
    most: f64,
}

/// An error below a thousandth of what is aimed at counts as that in the steps that follow: one lucky step must not make
/// the next ones tiny.
pub(crate) const LUCKY: f64 = -10.0;

/// Largest factor of a rejected step.
pub(crate) const MOST_WHEN_REJECTED: f64 = 0.9;

impl Control {
    pub(crate) fn new(rule: Controller) -> Self {
        Self { rule, safety: log2(rule.safety), before: [0.0; 2], most: rule.max_factor }
    }

    /// Factor after an accepted step; one that was cut short (not `whole`) leaves no trace.
    #[inline(always)]
    pub(crate) fn accepted(&mut self, err: f64, k: f64, whole: bool) -> f64 {
        // What does not need the error first: the next step waits for this.
        let [g0, g1, g2] = self.rule.gains.map(|g| -g / k);
        let before = g1 * self.before[0] + g2 * self.before[1];
        let e = log2(err) - k * self.safety;
        let factor = exp2(before + g0 * e);
        if whole {
            self.before = [e.max(LUCKY), self.before[0]];
        }
        factor.clamp(self.rule.min_factor, std::mem::replace(&mut self.most, self.rule.max_factor))
    }

    /// Factor after a rejected step, whose error is above one, or NaN.
    pub(crate) fn rejected(&mut self, err: f64, k: f64) -> f64 {
        self.most = 1.0;
        if err.is_nan() {
            return self.rule.min_factor;
        }
        exp2(self.safety - log2(err) / k).clamp(self.rule.min_factor, MOST_WHEN_REJECTED)
    }
}

/// Entries of the tables, a power of two.
const ENTRIES: usize = 1 << ENTRY_BITS;
const ENTRY_BITS: u32 = 6;

/// What the functions below need of numbers that lie close enough, so that three terms of a series are left: the next step waits for
/// them, and a division or five terms more would be a twentieth of a step of a small problem.
struct Tables {
    /// The inverse of the middle of each part of 1..2, and the logarithm to base 2 of what that is the inverse of.
    inverse: [f64; ENTRIES],
    log2: [f64; ENTRIES],
    /// Powers of two with exponents from 0 to 1.
    exp2: [f64; ENTRIES],
}

static TABLES: Tables = {
    let mut tables = Tables { inverse: [0.0; ENTRIES], log2: [0.0; ENTRIES], exp2: [0.0; ENTRIES] };
    let mut i = 0;
    while i < ENTRIES {
        let middle = 1.0 + (i as f64 + 0.5) / ENTRIES as f64;
        tables.inverse[i] = 1.0 / middle;
        // ln m = 2 artanh((m - 1) / (m + 1)), of which the argument is below 1/3.
        let s = (middle - 1.0) / (middle + 1.0);
        let (mut power, mut sum, mut k) = (s, 0.0, 1);
        while k < 40 {
            sum += power / k as f64;
            (power, k) = (power * s * s, k + 2);
        }
        tables.log2[i] = 2.0 * sum * std::f64::consts::LOG2_E;
        let x = i as f64 / ENTRIES as f64 * std::f64::consts::LN_2;
        let (mut term, mut sum, mut k) = (1.0, 0.0, 1);
        while k < 25 {
            sum += term;
            (term, k) = (term * x / k as f64, k + 1);
        }
        tables.exp2[i] = sum;
        i += 1;
    }
    tables
};

/// Logarithm to base 2 of a number that is not negative, to 1e-7; at least -100, and at most 1000.
///
/// The library's `ln` and `exp` are 15 % of a run of the Lorenz system, and no step needs their last digits.
#[inline(always)]
fn log2(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.clamp(1e-30, 1e300).to_bits();
    let i = (bits >> (52 - ENTRY_BITS)) as usize % ENTRIES;
    let exponent = (bits >> 52) as i64 - 1023;
    let m = f64::from_bits(bits & MANTISSA | 1.0_f64.to_bits());
    let r = m * TABLES.inverse[i] - 1.0;
    let whole = exponent as f64 + TABLES.log2[i];
    whole + std::f64::consts::LOG2_E * (r - (r * r) * (0.5 - r * (1.0 / 3.0)))
}

/// 2 to the power of a finite `x`, to 1e-7; the power is held in -1000..1000.
#[inline(always)]
fn exp2(x: f64) -> f64 {
    /// Numbers of this size are multiples of the distance of entries, and count in their last bits.
    const WHOLE: f64 = 1.5 * (1_u64 << (52 - ENTRY_BITS)) as f64;
    let x = x.clamp(-1000.0, 1000.0);
    let rounded = x + WHOLE;
    let f = (x - (rounded - WHOLE)) * std::f64::consts::LN_2;
    let bits = rounded.to_bits();
    let entry = TABLES.exp2[bits as usize % ENTRIES];
    let power = f64::from_bits(entry.to_bits().wrapping_add((bits >> ENTRY_BITS) << 52));
    power * (1.0 + (f + (f * f) * 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Controller; 3] = [Controller::I, Controller::PI, Controller::PID];

    proptest! {
        #[test]
        fn elementary_functions(x in -99.0..990.0_f64, y in -900.0..900.0_f64) {
            prop_assert!((log2(x.exp2()) - x).abs() < 1e-7, "{x}");
            prop_assert!((exp2(y) / y.exp2() - 1.0).abs() < 2e-7, "{y}");
        }

        #[test]
        fn factors_stay_in_bounds(errs in prop::collection::vec(0.0..1.0_f64, 1..6), over in 1.0..1e300_f64, k in 1.0..9.0_f64) {
            for rule in ALL {
                let mut control = Control::new(rule);
                for &err in &errs {
                    let f = control.accepted(err, k, true);
                    prop_assert!((0.2..=10.0).contains(&f), "{f}");
                }
                let f = control.rejected(over * 1.000001, k);
                prop_assert!((0.2..=0.9).contains(&f), "{f}");
                let f = control.accepted(0.0, k, true);
                prop_assert!(f <= 1.0, "no growth after a rejection: {f}");
            }
        }

        /// Where `err = (h / scale)^k`, steps settle at what is aimed at, without oscillating for ever.
        #[test]
        fn steps_settle(scale in 0.1..10.0_f64, k in 2.0..9.0_f64) {
            for rule in ALL {
                let (mut control, mut h) = (Control::new(rule), 0.05 * scale);
                let mut err = f64::NAN;
                for _ in 0..60 {
                    err = (h / scale).powf(k);
                    h *= if err <= 1.0 { control.accepted(err, k, true) } else { control.rejected(err, k) };
                }
                prop_assert!((err / rule.safety.powf(k) - 1.0).abs() < 1e-3, "{rule:?} {err}");
            }
        }
    }

    #[test]
    fn extremes() {
        for rule in ALL {
            let mut c = Control::new(rule);
            assert!(c.accepted(0.0, 5.0, true) > 2.0);
            assert_eq!(c.rejected(f64::NAN, 5.0), 0.2);
            assert_eq!(c.rejected(f64::INFINITY, 5.0), 0.2);
        }
        let mut c = Control::new(Controller::PI);
        let first = c.accepted(0.3, 5.0, false);
        assert_eq!(c.accepted(0.3, 5.0, true), first, "a step cut short leaves no trace");
    }
}
