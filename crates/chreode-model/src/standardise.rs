//! Inputs of the nets: `x̂ = (x - shift) / scale`, and what they see of the time.

use chreode_core::Real;

/// Numbers that a net sees of the time.
pub(crate) const OF_TIME: usize = 2;

#[derive(Debug, Clone)]
pub(crate) struct Standardise<T> {
    shift: Vec<T>,
    inv_scale: Vec<T>,
    /// Ends of the gaps; empty for a net that does not see the time.
    times: Vec<f64>,
    of_time: [T; OF_TIME],
}

impl<T: Real> Standardise<T> {
    pub(crate) fn new(shift: &[f64], scale: &[f64]) -> Self {
        Self {
            shift: shift.iter().map(|&x| T::c(x)).collect(),
            inv_scale: scale.iter().map(|&x| T::c(1.0 / x)).collect(),
            times: Vec::new(),
            of_time: [T::ZERO; OF_TIME],
        }
    }

    /// Inputs that show, behind the state, where in all of `times` and where in its own gap a time lies.
    pub(crate) fn with_times(mut self, times: Option<&[f64]>) -> Self {
        self.times = times.unwrap_or_default().to_vec();
        if let Some(&first) = self.times.first() {
            self.set_time(first);
        }
        self
    }

    /// Number of coordinates.
    pub(crate) fn len(&self) -> usize {
        self.shift.len()
    }

    /// Numbers that go into the net.
    pub(crate) fn inputs(&self) -> usize {
        self.len() + if self.times.is_empty() { 0 } else { OF_TIME }
    }

    /// Shows this time to the net from now on.
    pub(crate) fn set_time(&mut self, t: f64) {
        if let Some(of_time) = self.of_time(t) {
            self.of_time = of_time;
        }
    }

    /// What the net sees of this time; nothing if it does not see the time. Outside of `times` it is held at their ends; what is not a number
    /// counts as the first.
    pub(crate) fn of_time(&self, t: f64) -> Option<[T; OF_TIME]> {
        let [first, .., last] = self.times[..] else { return None };
        let t = t.max(first).min(last);
        // A time that ends a gap begins the next, but for the last; also if sums of steps missed it by a rounding.
        let later = t + 1e-9 * (last - first);
        let gap = self.times[1..self.times.len() - 1].partition_point(|&end| end <= later);
        let (start, end) = (self.times[gap], self.times[gap + 1]);
        // Uniform in time, both have mean zero and variance one, as the coordinates have.
        let unit = |part: f64| T::c(3.0_f64.sqrt() * (2.0 * part - 1.0));
        Some([unit((t - first) / (last - first)), unit(((t - start) / (end - start)).max(0.0))])
    }

    /// Sets `x`, `[n, inputs]`, from the states `y`, `[n, d]`.
    pub(crate) fn apply(&self, y: &[T], x: &mut [T]) {
        let d = self.shift.len();
        for (y, x) in y.chunks_exact(d).zip(x.chunks_exact_mut(self.inputs())) {
            for i in 0..d {
                x[i] = (y[i] - self.shift[i]) * self.inv_scale[i];
            }
            x[d..].iter_mut().zip(self.of_time).for_each(|(x, t)| *x = t);
        }
    }

    /// Adds to the adjoint of the states what comes from that of the inputs.
    pub(crate) fn pull_back(&self, x_bar: &[T], y_bar: &mut [T]) {
        let d = self.shift.len();
        for (x_bar, y_bar) in x_bar.chunks_exact(self.inputs()).zip(y_bar.chunks_exact_mut(d)) {
            for i in 0..d {
                y_bar[i] += x_bar[i] * self.inv_scale[i];
            }
        }
    }
}

/// A vector of constants in this type.
pub(crate) fn constants<T: Real>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::c).collect()
}
