//! Which states of a run are kept, and in which order the others are computed again.
//!
//! The schedules know steps by their number alone. Whatever is kept when the reverse sweep begins, the sweep itself
//! is that of Revolve [GW00] between one kept state and the next, with all free room. What differs is what the forward run keeps:
//! all, every k-th, the states Revolve would if the number of steps is known, and else those of [WMI09].
//! Not here: the steps themselves (`discrete`).

use chreode_core::Real;

use crate::AdjointError;

/// Which states a forward run keeps; the reverse sweep computes the others again. The gradient has the same bits, or, through methods
/// that iterate, is the same to their tolerance ([`OdeAdjoint`](crate::OdeAdjoint)).
///
/// A state of [`Bdf`](chreode_solve::Bdf) takes the room of six, with its differences, except by [`All`](Self::All).
/// Beside what is counted here are kept: the start, end and order of each step, 17 bytes a step; the last two states; the states
/// before and after events; the method's work arrays; with [`All`](Self::All), evaluations of explicit runs
/// ([`OdeAdjoint::keep_evaluations`](crate::OdeAdjoint::keep_evaluations)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoints {
    /// The state at the start of every step: nothing is computed again.
    #[default]
    All,
    /// The state at the start of every `k`-th step, and room for the `k - 1` between two of them: each step is taken
    /// at most once more. Near the square root of the number of steps memory is least.
    Every(usize),
    /// At most this many states, the start state among them. See [`recomputed_steps`] for what it costs.
    States(usize),
    /// As many states as fit into this many bytes.
    Bytes(usize),
}

impl Checkpoints {
    /// The most states that may be kept at once, of `state_bytes` each; none for no limit.
    pub(crate) fn limit(self, state_bytes: usize) -> Result<Option<usize>, AdjointError> {
        let too_small = |what, got, least| Err(AdjointError::CheckpointsTooFew { what, got, least });
        match self {
            Self::Every(0) => too_small("steps between checkpoints", 0, 1),
            Self::All | Self::Every(_) => Ok(None),
            Self::States(0) => too_small("states", 0, 1),
            Self::States(states) => Ok(Some(states)),
            Self::Bytes(bytes) if bytes < state_bytes.max(1) => too_small("bytes", bytes, state_bytes.max(1)),
            Self::Bytes(bytes) => Ok(Some(bytes / state_bytes.max(1))),
        }
    }
}

/// Steps that the reverse sweep of a run of `steps` known steps takes again with room for `states` states: the least
/// possible number, `r l - β(c + 1, r - 1) - (l - 1)` with `β(c, r) = (c + r)! / (c! r!)` and `β(c, r - 1) < l <= β(c, r)`
/// for `l` steps and `c` states. Source: [GW00], whose count includes the forward run's first `l - 1` steps.
///
/// A run of unknown length takes at most `r l` steps again.
///
/// ```
/// use chreode_adjoint::recomputed_steps;
/// assert_eq!(recomputed_steps(10, 10), 0);
/// assert_eq!(recomputed_steps(10, 1), 36); // from the start each time: 8 + 7 + .. + 1
/// assert_eq!(recomputed_steps(1_000_000, 100), 2_817_897);
/// ```
pub fn recomputed_steps(steps: usize, states: usize) -> u64 {
    if steps < 2 || states == 0 {
        return 0;
    }
    let (l, c) = (steps as u128, states as u128);
    let r = repetitions(l, c);
    let total = r * l - binomial(c + 1, r - 1);
    (total - (l - 1)) as u64
}

/// `β(c, r) = (c + r)! / (c! r!)`.
fn binomial(c: u128, r: u128) -> u128 {
    let (few, many) = (c.min(r), c.max(r));
    // Each quotient is a binomial coefficient itself.
    (1..=few).fold(1_u128, |b, i| b.saturating_mul(many + i) / i)
}

/// The least `r >= 1` with `β(c, r) >= l`, for `c >= 1`, `l >= 2`: how often a step is taken at most.
fn repetitions(l: u128, c: u128) -> u128 {
    if c == 1 {
        return l - 1;
    }
    let (mut r, mut b) = (1, c + 1);
    while b < l {
        r += 1;
        b = b.saturating_mul(c + r) / r;
    }
    r
}

/// How many steps after the first of `steps >= 2` the next state is to be kept, with room for `states >= 2`, that of the
/// first among them.
///
/// With `m` steps before it and `l - m` from it on, the cost `m + t(m, c) + t(l - m, c - 1)` is least where
/// `β(c, r-2) <= m <= β(c, r-1)` and `β(c-1, r-1) <= l - m <= β(c-1, r)`, since `t` is convex and has slope `r`
/// between `β(c, r-1)` and `β(c, r)`.
fn split(steps: usize, states: usize) -> usize {
    let (l, c) = (steps as u128, states as u128);
    let r = repetitions(l, c);
    binomial(c, r - 1).min(l - binomial(c - 1, r - 1)) as usize
}

/// A kept state: which step starts there, its level in the order of [WMI09], and the slot of the one before it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    step: usize,
    level: u32,
    before: usize,
}

/// What decides whether the state at the start of a step is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Plan {
    Every(usize),
    /// For a run of `steps`: the next state to keep.
    Known {
        steps: usize,
        next: usize,
    },
    /// For a run of unknown length: `dispensable` slots before `anchor` may be used again.
    Online {
        anchor: usize,
        dispensable: usize,
    },
}

/// Kept states, as a stack in the order of their steps.
#[derive(Debug, Clone)]
pub(crate) struct Store<T> {
    checkpoints: Checkpoints,
    limit: Option<usize>,
    len: usize,
    plan: Plan,
    /// The states, one a slot; what is known of each; slots without a state; the slot of the last one.
    states: Vec<T>,
    kept: Vec<Kept>,
    free: Vec<usize>,
    last: usize,
}

impl<T: Real> Store<T> {
    /// A store of states of `len` values.
    pub(crate) fn new(checkpoints: Checkpoints, len: usize) -> Result<Self, AdjointError> {
        Ok(Self {
            checkpoints,
            limit: checkpoints.limit(len * size_of::<T>())?,
            len,
            plan: Plan::Every(1),
            states: Vec::new(),
            kept: Vec::new(),
            free: Vec::new(),
            last: 0,
        })
    }

    /// Forgets everything; a run begins, of `steps` steps if that is known.
    pub(crate) fn begin(&mut self, steps: Option<usize>) {
        self.free.clear();
        self.free.extend((0..self.kept.len()).rev());
        self.plan = match (self.checkpoints, steps) {
            (Checkpoints::All, _) => Plan::Every(1),
            (Checkpoints::Every(k), _) => Plan::Every(k),
            (_, Some(steps)) => Plan::Known { steps, next: 0 },
            (_, None) => Plan::Online { anchor: 0, dispensable: 0 },
        };
    }

    /// Makes room for a run of `steps` known steps, so that neither direction allocates.
    pub(crate) fn reserve(&mut self, steps: usize) {
        let most = match (self.limit, self.checkpoints) {
            (Some(limit), _) => limit.min(steps),
            (None, Checkpoints::Every(k)) => steps.min(steps.div_ceil(k) + k - 1),
            (None, _) => steps,
        };
        self.states.reserve_exact(most * self.len);
        self.kept.reserve_exact(most);
        self.free.reserve_exact(most);
    }

    /// The state at the start of `step` of the last run, if every one is kept and none was dropped: slots are in order.
    pub(crate) fn of_all(&self, step: usize) -> Option<&[T]> {
        let all = self.checkpoints == Checkpoints::All;
        all.then(|| &self.states[step * self.len..][..self.len])
    }

    /// The state at the start of `step` of the last run, if that of every step was kept, dropped since or not: slots are in order, and a
    /// sweep fills none.
    pub(crate) fn in_order(&self, step: usize) -> Option<&[T]> {
        let at = step * self.len;
        if self.plan == Plan::Every(1) { self.states.get(at..at + self.len) } else { None }
    }

    /// Makes those that were dropped since a run of `steps` steps be there again, if all were kept.
    pub(crate) fn rewind(&mut self, steps: usize) {
        if self.checkpoints == Checkpoints::All && steps > 0 {
            // Slots were filled in the order of the steps, and a sweep fills none.
            self.free.clear();
            self.free.extend((steps..self.kept.len()).rev());
            self.last = steps - 1;
        }
    }

    /// Number of states kept now.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len() - self.free.len()
    }

    /// Shows the state at the start of `step`, in order, during the forward run.
    pub(crate) fn offer(&mut self, step: usize, y: &[T]) {
        match self.plan {
            Plan::Every(k) => {
                if step.is_multiple_of(k) {
                    self.push(step, 0, y);
                }
            }
            Plan::Known { steps, next } => {
                if step == next {
                    self.push(step, 0, y);
                    let room = self.room();
                    let left = steps.saturating_sub(step);
                    let next = if room > 0 && left > 1 { step + split(left, room + 1) } else { usize::MAX };
                    self.plan = Plan::Known { steps, next };
                }
            }
            Plan::Online { anchor, dispensable } => self.offer_online(anchor, dispensable, step, y),
        }
    }

    /// Keeps the newest state always. Once there is no room, a state before one of higher level goes; if there is none, the
    /// newest one goes, and its successor is one level higher. Source: [WMI09], algorithm 1.
    fn offer_online(&mut self, anchor: usize, dispensable: usize, step: usize, y: &[T]) {
        if step == 0 || self.room() > 0 {
            let level = if step == 0 { u32::MAX } else { 0 };
            self.push(step, level, y);
        } else if dispensable > 0 {
            let gone = self.kept[anchor].before;
            self.kept[anchor].before = self.kept[gone].before;
            self.free.push(gone);
            self.push(step, 0, y);
            self.plan = Plan::Online { anchor, dispensable: dispensable - 1 };
        } else if self.kept() > 1 {
            let level = self.kept[self.last].level + 1;
            self.pop();
            let (mut at, mut dispensable) = (self.last, 0);
            while self.kept[at].level < level {
                dispensable += 1;
                at = self.kept[at].before;
            }
            self.push(step, level, y);
            self.plan = Plan::Online { anchor: self.last, dispensable };
        }
    }

    /// The last kept state, if there is one: the step it starts, and the state.
    pub(crate) fn last(&self) -> Option<(usize, &[T])> {
        (self.kept() > 0)
            .then(|| (self.kept[self.last].step, &self.states[self.last * self.len..][..self.len]))
    }

    /// How many more states may be kept. With [`Checkpoints::Every`], those between two.
    fn room(&self) -> usize {
        match (self.limit, self.checkpoints) {
            (Some(limit), _) => limit - self.kept(),
            (None, Checkpoints::Every(k)) => k - 1,
            (None, _) => usize::MAX - 1,
        }
    }

    /// In the reverse sweep that has come to `end`: the step before which the next state is to be kept, if any, so
    /// that the steps from the last kept state, at least two, are gone back through with the least work.
    pub(crate) fn next(&self, from: usize, end: usize) -> Option<usize> {
        let room = self.room();
        (room > 0).then(|| from + split(end - from, room.min(end - from) + 1))
    }

    /// Keeps the state at the start of `step`.
    pub(crate) fn push(&mut self, step: usize, level: u32, y: &[T]) {
        let kept = Kept { step, level, before: self.last };
        if let Some(slot) = self.free.pop() {
            self.states[slot * self.len..][..self.len].copy_from_slice(y);
            self.kept[slot] = kept;
            self.last = slot;
        } else {
            self.last = self.kept.len();
            // Not by doubling, and not beyond the budget.
            let left = self.limit.map_or(usize::MAX, |limit| limit.saturating_sub(self.kept.len()));
            let more = grown(self.kept.len()).min(left.max(1));
            if self.states.capacity() < self.states.len() + self.len {
                self.states.reserve_exact(more * self.len);
            }
            self.states.extend_from_slice(y);
            self.kept.push(kept);
            self.free.reserve(self.kept.len());
        }
    }

    /// Drops the last one.
    pub(crate) fn pop(&mut self) {
        self.free.push(self.last);
        self.last = self.kept[self.last].before;
    }
}

/// For how many more an array that is full with so many gets room: what is not used is at most an eighth, or four.
pub(crate) fn grown(len: usize) -> usize {
    (len / 8).max(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn room_grows_by_an_eighth_and_not_beyond_the_budget() {
        for (checkpoints, most) in [(Checkpoints::All, usize::MAX), (Checkpoints::States(70), 3 * 70)] {
            let mut store = Store::<f64>::new(checkpoints, 3).unwrap();
            store.begin(None);
            for step in 0..1000 {
                store.offer(step, &[step as f64; 3]);
                let (used, room) = (store.states.len(), store.states.capacity());
                assert!(room <= most && room - used <= (used / 8).max(12), "{room} for {used}");
            }
            assert_eq!(store.states.len(), most.min(3000));
        }
    }

    /// Goes through the schedule alone: returns the steps taken again and the most states kept at once.
    fn reverse(steps: usize, checkpoints: Checkpoints, known: Option<usize>) -> (u64, usize) {
        let mut store = Store::<f64>::new(checkpoints, 1).unwrap();
        store.begin(known);
        let mut most = 0;
        for step in 0..steps {
            store.offer(step, &[step as f64]);
            most = most.max(store.kept());
        }
        let (mut end, mut again) = (steps, 0);
        while end > 0 {
            let (from, y) = store.last().unwrap();
            assert_eq!(y, [from as f64]);
            if from + 1 == end {
                store.pop();
                end -= 1;
            } else if known == Some(end) {
                end -= 1; // the forward run has that state in hand
            } else if let Some(next) = store.next(from, end) {
                assert!(from < next && next < end, "{from} {next} {end}");
                again += (next - from) as u64;
                store.push(next, 0, &[next as f64]);
                most = most.max(store.kept());
            } else {
                again += (end - 1 - from) as u64;
                end -= 1;
            }
        }
        assert_eq!(store.kept(), usize::from(store.last().is_some()));
        (again, most)
    }

    /// The least number of steps taken again, by trying every place for every state.
    fn least(l: usize, c: usize) -> u64 {
        // t[c][l] counts the first sweep too.
        let mut t = vec![vec![0_u64; l + 1]; c + 1];
        for c in 1..=c {
            for l in 2..=l {
                t[c][l] = (l * (l - 1) / 2) as u64;
                if c > 1 {
                    t[c][l] = (1..l).map(|m| m as u64 + t[c][m] + t[c - 1][l - m]).min().unwrap();
                }
            }
        }
        t[c][l] - (l as u64 - 1)
    }

    #[test]
    fn known_lengths_take_the_least_number_of_steps() {
        for c in 1..8 {
            for l in 1..90 {
                let (again, most) = reverse(l, Checkpoints::States(c), Some(l));
                assert_eq!(again, least(l, c), "{l} {c}");
                assert_eq!(again, recomputed_steps(l, c), "{l} {c}");
                assert!(most <= c);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn long_runs_as_theory_says(l in 1_usize..60_000, c in 2_usize..200, wrong in 0.5..1.5_f64) {
            let (again, most) = reverse(l, Checkpoints::States(c), Some(l));
            prop_assert_eq!(again, recomputed_steps(l, c));
            prop_assert!(most <= c);
            let bound = repetitions(l.max(2) as u128, c as u128) as u64 * l as u64;
            let (again, most) = reverse(l, Checkpoints::States(c), None);
            prop_assert!(again >= recomputed_steps(l, c) && again <= bound, "{} {} {}", again, recomputed_steps(l, c), bound);
            prop_assert!(most <= c);
            // A wrong guess of the length costs time, and nothing else.
            reverse(l.min(3000), Checkpoints::States(c), Some((wrong * l.min(3000) as f64) as usize));
        }
    }

    #[test]
    fn every_kth_takes_each_step_once_more_at_most() {
        for k in 1..20 {
            for l in 1..100_usize {
                let (again, most) = reverse(l, Checkpoints::Every(k), None);
                assert_eq!(again, (0..l).step_by(k).map(|i| k.min(l - i) as u64 - 1).sum::<u64>());
                assert!(most < l.div_ceil(k) + k);
            }
        }
        assert_eq!(reverse(77, Checkpoints::All, None), (0, 77));
    }

    #[test]
    fn bytes_and_limits() {
        assert_eq!(Checkpoints::Bytes(100).limit(24).unwrap(), Some(4));
        let least = |c: Checkpoints| match c.limit(24) {
            Err(AdjointError::CheckpointsTooFew { least, .. }) => least,
            other => panic!("{other:?}"),
        };
        assert_eq!(least(Checkpoints::Bytes(23)), 24);
        assert_eq!(least(Checkpoints::States(0)), 1);
        assert_eq!(least(Checkpoints::Every(0)), 1);
    }
}
