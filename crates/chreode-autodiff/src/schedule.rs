//! The order in which a program is replayed: many operations of one kind in turn.
//!
//! A processor guesses which operation comes next; where kinds change from one to the next in a program of thousands, it guesses wrong
//! most of the time, which takes longer than the operations themselves. Within a turn, what came about in the same way stands side by side, in the
//! order of its operands: those of the points of a grid lie at equal distances then, and are replayed without their places, as vectors.
//! What is computed of all pairs has no such distances between its first operands, but results of it that stay in one order have.
//! Where these distances are those of one species from point to point, states are copied first so that each species lies side by side.
//! Values do not depend on the order; derivatives pulled back are summed in that of the replay.

use std::mem::{Discriminant, discriminant};
use std::ops::Range;

use chreode_core::Number;

use crate::graph::Op;
use crate::program::{Step, is_mask, mask_operands, operands, renamed};

/// Programs of fewer operations stay in the order of the recording.
const SHORT: usize = 16;
/// Least number of steps that are worth a run with strides.
const LEAST: usize = 8;

/// Steps of one kind in a row, none of which needs the result of another: these lie side by side from `to` on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) op: Op,
    pub(crate) from: usize,
    pub(crate) len: usize,
    pub(crate) to: usize,
    /// The operands of the first step.
    pub(crate) first: [u32; 2],
    /// How far the two operands of each step are from those of the step before, where that is the same for all steps.
    pub(crate) strides: Option<[usize; 2]>,
}

/// Operations that run as one where operands lie side by side, about: what a vector holds.
const TOGETHER: usize = 4;

/// Which operations on one kind of values are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Alike {
    /// Those whose operands are as far apart: of a point and its neighbours.
    AtDistance,
    /// All: of pairs, of which each has parameters of its own. They come in the order of the results that they take, so that what is
    /// computed of these lies side by side again.
    Anywhere,
}

/// The order of a program's steps, and where their results lie then.
pub(crate) struct Schedule {
    pub(crate) runs: Vec<Run>,
    /// Of each step, in this order.
    pub(crate) operands: Vec<[u32; 3]>,
    /// Runs and steps of parameters and constants alone, which come first.
    pub(crate) fixed_runs: usize,
    pub(crate) n_fixed: usize,
    /// New places of values and masks, by the old ones.
    pub(crate) values: Vec<u32>,
    pub(crate) masks: Vec<u32>,
    /// What operations take in place of the states, if not themselves; the outputs and `values` have the states.
    pub(crate) copies: Option<Copies>,
}

/// Copies of all states: of every `stride`-th, then of those after them, and so on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Copies {
    /// A divisor of their number, more than one.
    pub(crate) stride: usize,
    /// Where the first copy lies.
    pub(crate) to: usize,
}

impl Copies {
    /// Where the copy of the `i`-th of `d` states lies.
    pub(crate) fn place(self, d: usize, i: usize) -> usize {
        self.to + i % self.stride * (d / self.stride) + i / self.stride
    }

    /// Copies the states.
    #[inline(always)]
    pub(crate) fn run<V: Copy>(self, d: usize, values: &mut [V]) {
        let (before, copies) = values.split_at_mut(self.to);
        let (states, copies) = (&before[1..=d], &mut copies[..d]);
        let points = d / self.stride;
        if self.stride == 2 {
            let (first, second) = copies.split_at_mut(points); // in one pass, which becomes shuffles of vectors
            for ((first, second), point) in first.iter_mut().zip(second).zip(states.chunks_exact(2)) {
                (*first, *second) = (point[0], point[1]);
            }
            return;
        }
        for (species, copies) in copies.chunks_exact_mut(points).enumerate() {
            for (copy, point) in copies.iter_mut().zip(states.chunks_exact(self.stride)) {
                *copy = point[species];
            }
        }
    }

    /// Gives what copies are owed to the states.
    #[inline(always)]
    pub(crate) fn pull_back<V: Number>(self, d: usize, bars: &mut [V]) {
        let (before, copies) = bars.split_at_mut(self.to);
        let of_species = copies[..d].chunks_exact(d / self.stride);
        for (species, copies) in of_species.enumerate() {
            for (bar, &copy) in before[1 + species..=d].iter_mut().step_by(self.stride).zip(copies) {
                *bar += copy;
            }
        }
    }
}

impl Schedule {
    /// Each step comes after what it needs. Values from `first` on are results; of those before, time is the first and then come `d`
    /// states.
    pub(crate) fn new(steps: &[Step], first: usize, (d, np): (usize, usize)) -> Self {
        let with = |alike, copies| Self::with(steps, first, (d, np), alike, copies);
        let mut best = with(Alike::AtDistance, None);
        let copies = best.stride_of_states(d).map(|stride| Copies { stride, to: first });
        let others = [Some((Alike::Anywhere, None)), copies.map(|copies| (Alike::AtDistance, Some(copies)))];
        for (alike, copies) in others.into_iter().flatten() {
            let other = with(alike, copies);
            if other.cost(d) < best.cost(d) {
                best = other;
            }
        }
        best
    }

    /// About how long a replay takes, with the copies of `d` states.
    fn cost(&self, d: usize) -> usize {
        cost(&self.runs) + self.copies.map_or(0, |_| d)
    }

    /// The distance, more than one, at which most operations take states, if states have it.
    fn stride_of_states(&self, d: usize) -> Option<usize> {
        let mut votes: Vec<(usize, usize)> = Vec::new();
        for run in &self.runs {
            for (k, stride) in run.strides.into_iter().flatten().enumerate() {
                if stride < 2 || !d.is_multiple_of(stride) || self.operands[run.from][k] as usize > d {
                    continue;
                }
                match votes.iter_mut().find(|(s, _)| *s == stride) {
                    Some((_, n)) => *n += run.len,
                    None => votes.push((stride, run.len)),
                }
            }
        }
        votes.into_iter().max_by_key(|&(_, n)| n).map(|(stride, _)| stride)
    }

    fn with(
        steps: &[Step],
        first: usize,
        (d, np): (usize, usize),
        alike: Alike,
        copies: Option<Copies>,
    ) -> Self {
        let varying = 0..1 + d;
        let n_masks = steps.iter().filter(|step| is_mask(step.op)).count();
        let n_values = first + steps.len() - n_masks;
        // By place of result: whether it changes with time and states.
        let (mut value_varies, mut mask_varies) = (vec![false; n_values], vec![false; n_masks]);
        value_varies[varying.clone()].fill(true);
        let (mut fixed, mut moving) = (Vec::new(), Vec::new());
        for step in steps {
            let varies = inputs(step.op).any(|(i, mask)| if mask { mask_varies[i] } else { value_varies[i] });
            let to = step.to as usize;
            *(if is_mask(step.op) { &mut mask_varies[to] } else { &mut value_varies[to] }) = varies;
            if varies { moving.push(*step) } else { fixed.push(*step) }
        }
        let mut order = Order::new(first, n_values, n_masks, varying, np, alike);
        if let Some(copies) = copies {
            order.copy_states(d, copies);
        }
        order.place_all(&fixed);
        let (fixed_runs, n_fixed) = (order.runs.len(), fixed.len());
        order.next_run = fixed_runs;
        if moving.len() < SHORT {
            order.place_all(&moving);
        } else {
            order.place_by_kind(&moving);
        }
        let Order { runs, operands, mut values, masks, .. } = order;
        values.iter_mut().zip(0..=d as u32).for_each(|(place, state)| *place = state);
        Self { runs, operands, fixed_runs, n_fixed, values, masks, copies }
    }
}

/// About how long a replay takes, in operations that are done one by one.
pub(crate) fn cost(runs: &[Run]) -> usize {
    let vector = |run: &Run| run.strides.is_some_and(|s| s.iter().all(|&s| s < 2));
    runs.iter().map(|run| if vector(run) { run.len.div_ceil(TOGETHER) } else { run.len }).sum()
}

/// Operands by their places, and whether each is a mask.
fn inputs(op: Op) -> impl Iterator<Item = (usize, bool)> {
    operands(op).enumerate().map(move |(k, i)| (i as usize, k < mask_operands(op)))
}

/// What was placed so far.
struct Order {
    runs: Vec<Run>,
    operands: Vec<[u32; 3]>,
    /// By old places.
    values: Vec<u32>,
    masks: Vec<u32>,
    next_value: usize,
    next_mask: usize,
    /// Steps join no run before this one.
    next_run: usize,
    /// By new places of values: what came about in the same way has the same number.
    classes: Vec<u32>,
    n_classes: u32,
    alike: Alike,
    /// Values from here on are results.
    first: u32,
}

/// A step of a turn: its classes and how far its operands are apart, new places of operands, and which step it is.
type Waiting = ([u32; 3], [u32; 3], usize);

impl Order {
    fn new(
        first: usize,
        n_values: usize,
        n_masks: usize,
        varying: Range<usize>,
        n_params: usize,
        alike: Alike,
    ) -> Self {
        // Constants are classes of their own, and so are parameters if not anything may be alike; time and the states are one.
        let mut classes: Vec<u32> = (0..n_values as u32).collect();
        if alike == Alike::Anywhere {
            classes[varying.end..varying.end + n_params].fill(varying.end as u32);
        }
        classes[varying].fill(0);
        Self {
            runs: Vec::new(),
            operands: Vec::new(),
            values: (0..n_values as u32).collect(),
            masks: vec![0; n_masks],
            next_value: first,
            next_mask: 0,
            next_run: 0,
            classes,
            n_classes: n_values as u32,
            alike,
            first: first as u32,
        }
    }

    /// States are taken from their copies, which lie where the first result would.
    fn copy_states(&mut self, d: usize, copies: Copies) {
        for (j, place) in self.values[1..=d].iter_mut().enumerate() {
            *place = copies.place(d, j) as u32;
        }
        self.classes.splice(copies.to..copies.to, std::iter::repeat_n(0, d));
        self.next_value = copies.to + d;
    }

    /// Gives the result of a step the next place.
    fn place(&mut self, step: &Step) -> usize {
        self.operands.push(renamed(step.op, &self.values, &self.masks));
        let (next, of) = if is_mask(step.op) {
            (&mut self.next_mask, &mut self.masks)
        } else {
            (&mut self.next_value, &mut self.values)
        };
        let to = *next;
        of[step.to as usize] = to as u32;
        *next += 1;
        to
    }

    /// In the order given, steps of one kind in a row as runs.
    fn place_all(&mut self, steps: &[Step]) {
        for step in steps {
            let (op, from) = (step.op, self.operands.len());
            let to = self.place(step);
            let needed @ [a, b, _] = self.operands[from];
            // A step that needs the result of one of the same run begins another.
            let goes_on = self.runs[self.next_run..].last_mut().filter(|run| {
                let needs = |k: usize| (k < mask_operands(op)) == is_mask(op) && needed[k] as usize >= run.to;
                discriminant(&run.op) == discriminant(&op) && !(0..operands(op).count()).any(needs)
            });
            match goes_on {
                Some(run) => run.len += 1,
                None => self.runs.push(Run { op, from, len: 1, to, first: [a, b], strides: None }),
            }
        }
    }

    /// In each turn, of the kind that most steps wait for, all that can be done.
    fn place_by_kind(&mut self, steps: &[Step]) {
        // Which step makes a value or a mask.
        let (mut of_value, mut of_mask) =
            (vec![usize::MAX; self.values.len()], vec![usize::MAX; self.masks.len()]);
        for (s, step) in steps.iter().enumerate() {
            let made = if is_mask(step.op) { &mut of_mask } else { &mut of_value };
            made[step.to as usize] = s;
        }
        let mut waits = vec![0_u32; steps.len()];
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
        for (s, step) in steps.iter().enumerate() {
            for (i, mask) in inputs(step.op) {
                let maker = if mask { of_mask[i] } else { of_value[i] };
                if maker != usize::MAX {
                    waits[s] += 1;
                    users[maker].push(s);
                }
            }
        }
        let mut ready: Vec<(Discriminant<Op>, Vec<usize>)> = Vec::new();
        let offer = |s: usize, ready: &mut Vec<(Discriminant<Op>, Vec<usize>)>| {
            let kind = discriminant(&steps[s].op);
            match ready.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, waiting)) => waiting.push(s),
                None => ready.push((kind, vec![s])),
            }
        };
        (0..steps.len()).filter(|&s| waits[s] == 0).for_each(|s| offer(s, &mut ready));
        while let Some((_, most)) = ready.iter_mut().max_by_key(|(_, waiting)| waiting.len()) {
            let turn = std::mem::take(most);
            if turn.is_empty() {
                break;
            }
            self.place_turn(steps, &turn);
            for s in turn {
                for &user in &users[s] {
                    waits[user] -= 1;
                    if waits[user] == 0 {
                        offer(user, &mut ready);
                    }
                }
            }
        }
    }

    /// Steps of one kind, none of which needs another: those with operands at equal distances first.
    fn place_turn(&mut self, steps: &[Step], turn: &[usize]) {
        let op = steps[turn[0]].op;
        if is_mask(op) || mask_operands(op) > 0 {
            self.place_run(steps, turn.iter().copied(), None);
            return;
        }
        let binary = operands(op).count() == 2;
        let mut waiting: Vec<Waiting> = Vec::with_capacity(turn.len());
        for &s in turn {
            let places = renamed(steps[s].op, &self.values, &self.masks);
            let [a, b] = [0, 1].map(|k| self.classes[places[k] as usize]);
            let of = if !binary {
                [a, 0, 0]
            } else if a == b && self.alike == Alike::AtDistance {
                [a, b, places[1].wrapping_sub(places[0])]
            } else {
                [a, b, 0]
            };
            waiting.push((of, places, s));
        }
        match self.alike {
            Alike::AtDistance => waiting.sort_unstable(),
            Alike::Anywhere => {
                let by = |[a, b, _]: [u32; 3]| if a < self.first && binary { [b, a] } else { [a, b] };
                waiting.sort_unstable_by_key(|&(of, places, _)| (of, by(places)));
                // All results that are taken more than once come once, then a second time.
                let (mut before, mut times) = (None, 0);
                for (of, places, _) in &mut waiting {
                    let this = Some((*of, by(*places)[0])).filter(|&(_, result)| result >= self.first);
                    times = if this.is_some() && this == before { times + 1 } else { 0 };
                    (before, of[2]) = (this, times);
                }
                waiting.sort_by_key(|&(of, ..)| of);
            }
        }
        let mut alone = Vec::new();
        for group in waiting.chunk_by(|x, y| x.0 == y.0) {
            self.n_classes += 1;
            let mut rest = group;
            while let Some(&(_, places, s)) = rest.first() {
                let (len, strides) = with_strides(rest);
                if len < LEAST {
                    alone.push((self.n_classes, s, places));
                    rest = &rest[1..];
                } else {
                    let (these, others) = rest.split_at(len);
                    let class = self.n_classes;
                    self.classes[self.next_value..self.next_value + len].fill(class);
                    self.place_run(steps, these.iter().map(|w| w.2), Some(strides));
                    rest = others;
                }
            }
        }
        for (i, &(class, ..)) in alone.iter().enumerate() {
            self.classes[self.next_value + i] = class;
        }
        if !alone.is_empty() {
            self.place_run(steps, alone.iter().map(|w| w.1), None);
        }
    }

    fn place_run(&mut self, steps: &[Step], which: impl Iterator<Item = usize>, strides: Option<[usize; 2]>) {
        let from = self.operands.len();
        let mut first = None;
        for s in which {
            let to = self.place(&steps[s]);
            first.get_or_insert((steps[s].op, to));
        }
        if let Some((op, to)) = first {
            let [a, b, _] = self.operands[from];
            self.runs.push(Run { op, from, len: self.operands.len() - from, to, first: [a, b], strides });
        }
    }
}

/// How many of the first steps have operands at equal distances, which are not negative.
fn with_strides(steps: &[Waiting]) -> (usize, [usize; 2]) {
    let step = |w: &[Waiting]| [0, 1].map(|k| i64::from(w[1].1[k]) - i64::from(w[0].1[k]));
    let mut pairs = steps.windows(2).map(step);
    let Some(strides) = pairs.next().filter(|s| s.iter().all(|&s| s >= 0)) else { return (1, [0; 2]) };
    let len = 2 + pairs.take_while(|&s| s == strides).count();
    (len, strides.map(|s| s as usize))
}

#[cfg(test)]
pub(crate) mod tests {
    use chreode_core::{Dynamics, Number};

    use crate::program::is_mask;
    use crate::{Program, Tape};

    /// Sums of products, quotients and selections of neighbours, and of parameters alone.
    struct Ring;

    impl Dynamics for Ring {
        fn dim(&self) -> usize {
            40
        }
        fn n_params(&self) -> usize {
            2
        }
        fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
            let rate = (p[0] * p[1]).exp() + S::c(1.0);
            for i in 0..40 {
                let (a, b) = (y[i], y[(i + 1) % 40]);
                let flow = rate * a * b / (S::c(1.0) + a * a) - p[1] * b;
                dy[i] = S::select(a.lt(b) & t.lt(p[0]), flow, -flow) + a.sin();
            }
        }
    }

    #[test]
    fn long_programs_go_kind_by_kind() {
        let program = Program::record(&Ring);
        assert!(program.runs() < 25, "{} of {}", program.runs(), program.len());
        assert_eq!(program.n_fixed(), 3);
        assert!(program.steps.iter().any(|s| is_mask(s.op)));
    }

    #[test]
    fn results_are_those_of_the_model_to_the_bit() {
        let program = Program::record(&Ring);
        let mut memory = program.replay::<f64>();
        let (mut dy, mut exact) = (vec![0.0; 40], vec![0.0; 40]);
        for k in 0..4 {
            let y: Vec<f64> = (0..40).map(|i| 1.0 + (f64::from(k * 7 + i)).sin()).collect();
            let p = [0.5 + 0.1 * f64::from(k / 2), 0.3];
            let t = 0.2 * f64::from(k);
            Ring.eval(t, &y, &p, &mut exact);
            if k % 2 == 0 {
                program.eval(&mut memory, t, &y, &p, &mut dy);
            } else {
                program.eval_again(&mut memory, t, &y, &mut dy);
            }
            assert_eq!(dy, exact);
        }
    }

    /// Three species that react at each of 20 points and spread to neighbours.
    struct Line;

    impl Dynamics for Line {
        fn dim(&self) -> usize {
            60
        }
        fn n_params(&self) -> usize {
            2
        }
        fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
            for (i, dy) in dy.chunks_exact_mut(3).enumerate() {
                let at = |i: usize, species: usize| y[3 * (i % 20) + species];
                let flow = p[0] * at(i, 0) * at(i, 1);
                let spread = |species: usize| p[1] * (at(i + 1, species) - at(i, species));
                (dy[0], dy[1]) = (spread(0) - flow, spread(1) - flow * t);
                dy[2] = at(i + 19, 2); // a state as it is
            }
        }
    }

    #[test]
    fn species_lie_side_by_side() {
        let program = Program::record(&Line);
        assert_eq!(program.copies.map(|c| c.stride), Some(3));
        let mut memory = program.replay::<f64>();
        let y: Vec<f64> = (0..60).map(|i| 1.0 + f64::from(i * i).sin()).collect();
        let lambda: Vec<f64> = (0..60).map(|i| f64::from(i).cos()).collect();
        let (t, p) = (0.7, [0.4, 1.3]);
        let (mut dy, mut exact) = ([0.0; 60], [0.0; 60]);
        program.eval(&mut memory, t, &y, &p, &mut dy);
        Line.eval(t, &y, &p, &mut exact);
        assert_eq!(dy, exact);
        let (mut y_bar, mut p_bar) = ([0.0; 60], [0.0; 2]);
        program.vjp(&mut memory, t, &y, &p, &lambda, &mut y_bar, &mut p_bar);
        let (mut by_tape, mut p_by_tape) = ([0.0; 60], [0.0; 2]);
        Tape::new().vjp(&Line, t, &y, &p, &lambda, &mut by_tape, &mut p_by_tape);
        let pairs = y_bar.iter().zip(&by_tape).chain(p_bar.iter().zip(&p_by_tape));
        for (a, b) in pairs {
            assert!((a - b).abs() <= 1e-14 * (1.0 + b.abs()), "{a} {b}");
        }
        let y: Vec<f64> = y.iter().map(|y| 2.0 - y).collect();
        program.eval_again(&mut memory, t, &y, &mut dy);
        Line.eval(t, &y, &p, &mut exact);
        assert_eq!(dy, exact);
    }

    /// Bodies on a plane that attract each other by their masses, each pair looked at from both sides.
    pub(crate) struct Bodies;
    pub(crate) const BODIES: usize = 6;

    impl Dynamics for Bodies {
        fn dim(&self) -> usize {
            2 * BODIES
        }
        fn n_params(&self) -> usize {
            BODIES
        }
        fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
            dy.fill(S::c(0.0));
            for i in 0..BODIES {
                for j in (0..BODIES).filter(|&j| j != i) {
                    let (x, y) = (y[j] - y[i], y[BODIES + j] - y[BODIES + i]);
                    let r2 = x * x + y * y;
                    let w = p[j] / (r2 * r2.sqrt());
                    dy[i] += w * x;
                    dy[BODIES + i] += w * y;
                }
            }
        }
    }

    #[test]
    fn what_pairs_have_stays_in_one_order() {
        let program = Program::record(&Bodies);
        let strided = |program: &Program| -> usize {
            program.runs.iter().filter(|run| run.strides.is_some()).map(|run| run.len).sum()
        };
        // All but what is taken of places and masses, and the sums of what belongs to one body.
        assert!(2 * strided(&program) > program.len(), "{} of {}", strided(&program), program.len());
        let mut memory = program.replay::<f64>();
        let y: Vec<f64> = (0..2 * BODIES).map(|i| (i as f64 * 1.7).sin() * 3.0).collect();
        let p: Vec<f64> = (0..BODIES).map(|i| 1.0 + i as f64).collect();
        let (mut dy, mut exact) = ([0.0; 2 * BODIES], [0.0; 2 * BODIES]);
        program.eval(&mut memory, 0.0, &y, &p, &mut dy);
        Bodies.eval(0.0, &y, &p, &mut exact);
        assert_eq!(dy, exact);
    }
}
