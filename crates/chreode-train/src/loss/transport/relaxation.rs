//! Steps beyond the plain update, as long as they pay.

/// Over-relaxation [TCDP21], the factor chosen as for linear systems: the contraction that was seen gives the
/// rate of the plain iteration, and that the best factor [Young 1971]. It turns a rate of `1 - δ` into about
/// `1 - 2 √δ`, which at a small blur is the difference between thousands of iterations and a hundred.
/// Reference: [TCDP21] Thibault, Chizat, Dossal & Papadakis (2021), Algorithms 14(5), 143.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relaxation {
    omega: f64,
    since: usize,
    reference: f64,
}

impl Relaxation {
    /// Iterations between two looks at the contraction.
    const WINDOW: usize = 12;

    /// Begins with a factor that served a level before.
    pub(super) fn from(omega: f64) -> Self {
        Self { omega, since: 0, reference: f64::INFINITY }
    }

    pub(super) fn omega(&self) -> f64 {
        self.omega
    }

    pub(super) fn observe(&mut self, error: f64) {
        self.since += 1;
        if self.since < Self::WINDOW {
            return;
        }
        if self.reference.is_finite() {
            let rate = (error / self.reference).powf(1.0 / self.since as f64);
            if rate < 1.0 {
                let plain = (rate + self.omega - 1.0).powi(2) / (rate * self.omega * self.omega);
                let best = 2.0 / (1.0 + (1.0 - plain.min(1.0)).sqrt());
                self.omega = best.clamp(self.omega, 1.98);
            } else {
                self.omega = 1.0 + (self.omega - 1.0) * 0.5; // it grew: too bold, or not yet in the linear phase
            }
        }
        self.since = 0;
        self.reference = error;
    }
}
