//! Where steps must end.

use crate::options::SolveOptions;

/// The stops of a run: its end, times where the field is discontinuous, saved times if it lands on them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stops<'a> {
    discontinuities: &'a [f64],
    land: bool,
    end: f64,
    /// 1 or -1: the direction of time.
    pub(crate) sign: f64,
}

impl<'a> Stops<'a> {
    pub(crate) fn new(options: &SolveOptions<'a>, span: (f64, f64)) -> Self {
        Self {
            discontinuities: options.discontinuities,
            land: options.land_on_saves,
            end: span.1,
            sign: if span.1 >= span.0 { 1.0 } else { -1.0 },
        }
    }

    /// Whether `a` comes before `b`.
    pub(crate) fn before(&self, a: f64, b: f64) -> bool {
        self.sign * (a - b) < 0.0
    }

    /// The next number after `t`, in the direction `forward` of the run.
    fn neighbour(&self, t: f64, forward: bool) -> f64 {
        if forward == (self.sign > 0.0) { t.next_up() } else { t.next_down() }
    }

    /// The next stop; `save` is the next saved time. Steps end on the last number before a discontinuity, so that
    /// no stage sees the other side, however the field decides what holds at the very time.
    pub(crate) fn next(&self, save: Option<f64>) -> f64 {
        let mut stop = self.end;
        if let Some(&at) = self.discontinuities.first() {
            let at = self.neighbour(at, false);
            stop = if self.before(at, stop) { at } else { stop };
        }
        if let Some(at) = save.filter(|_| self.land) {
            stop = if self.before(at, stop) { at } else { stop };
        }
        stop
    }

    /// If `t` is where a step ends before a discontinuity, the first number after it, where the method starts anew.
    pub(crate) fn cross(&mut self, mut t: f64) -> Option<f64> {
        let begin = self.discontinuities.len();
        while let Some(&at) = self.discontinuities.first()
            && !self.before(t, self.neighbour(at, false))
        {
            self.discontinuities = &self.discontinuities[1..];
            let after = self.neighbour(at, true);
            t = if self.before(t, after) { after } else { t };
        }
        let t = if self.before(self.end, t) { self.end } else { t };
        (self.discontinuities.len() < begin).then_some(t)
    }
}

/// From one stop to the next.
pub(crate) struct Segment {
    from: f64,
    pub(crate) stop: f64,
    /// Equal steps taken, and in all.
    done: u64,
    steps: u64,
}

impl Segment {
    pub(crate) fn new(from: f64, stop: f64, h: f64) -> Self {
        let steps = ((stop - from).abs() / h * (1.0 - 1e-9)).ceil().max(1.0) as u64;
        Self { from, stop, done: 0, steps }
    }

    /// How many equal steps there are.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// End of the next of the equal steps.
    pub(crate) fn equal_step(&mut self) -> (f64, bool) {
        self.done += 1;
        if self.done >= self.steps {
            return (self.stop, true);
        }
        (self.from + (self.stop - self.from) * (self.done as f64 / self.steps as f64), true)
    }

    /// End of a step no longer than `h`, and whether it has that length: two equal steps before a stop rather
    /// than a long and a tiny one.
    pub(crate) fn reach(&self, t: f64, h: f64, sign: f64) -> (f64, bool) {
        let left = (self.stop - t).abs();
        if left <= h {
            (self.stop, left == h)
        } else if left < 2.0 * h {
            (t + 0.5 * (self.stop - t), false)
        } else {
            (t + sign * h, true)
        }
    }
}
