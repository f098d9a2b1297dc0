//! The order in which a program is replayed: many operations of one kind in turn.
//!
//! A processor guesses which operation comes next; where kinds change from one to the next in a program of thousands, it guesses wrong
//! most of the time, which takes longer than the operations themselves. Values do not depend on the order;
//! derivatives pulled back are summed in that of the replay.

use std::mem::{Discriminant, discriminant};

use crate::graph::Op;
use crate::program::{Step, is_mask, mask_operands, operands};

/// Programs of fewer operations are remembered whole by the processor.
const SHORT: usize = 64;

/// The steps, each after what it needs: first those of constants and parameters alone, which are so many. Values from `first` on are
/// results; of those before, `varying` are time and states.
pub(crate) fn schedule(steps: &[Step], first: usize, varying: std::ops::Range<usize>) -> (Vec<Step>, usize) {
    // By place of result: whether it changes with time and states.
    let (n_values, n_masks) = steps.iter().fold((first, 0), |(values, masks), step| {
        if is_mask(step.op) { (values, masks + 1) } else { (values + 1, masks) }
    });
    let (mut value_varies, mut mask_varies) = (vec![false; n_values], vec![false; n_masks]);
    value_varies[varying].fill(true);
    let (mut fixed, mut moving) = (Vec::new(), Vec::new());
    for step in steps {
        let varies = inputs(step.op).any(|(i, mask)| if mask { mask_varies[i] } else { value_varies[i] });
        let to = step.to as usize;
        *(if is_mask(step.op) { &mut mask_varies[to] } else { &mut value_varies[to] }) = varies;
        if varies { moving.push(*step) } else { fixed.push(*step) }
    }
    let n_fixed = fixed.len();
    fixed.extend(by_kind(moving, n_values, n_masks));
    (fixed, n_fixed)
}

/// Operands by their places, and whether each is a mask.
fn inputs(op: Op) -> impl Iterator<Item = (usize, bool)> {
    operands(op).enumerate().map(move |(k, i)| (i as usize, k < mask_operands(op)))
}

/// In each turn, of the kind that most steps wait for, all that can be done.
fn by_kind(steps: Vec<Step>, n_values: usize, n_masks: usize) -> Vec<Step> {
    if steps.len() < SHORT {
        return steps;
    }
    // Which step makes a value or a mask.
    let (mut of_value, mut of_mask) = (vec![usize::MAX; n_values], vec![usize::MAX; n_masks]);
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
    let mut order = Vec::with_capacity(steps.len());
    while let Some((_, most)) = ready.iter_mut().max_by_key(|(_, waiting)| waiting.len()) {
        let turn = std::mem::take(most);
        if turn.is_empty() {
            break;
        }
        for s in turn {
            order.push(steps[s]);
            for &user in &users[s] {
                waits[user] -= 1;
                if waits[user] == 0 {
                    offer(user, &mut ready);
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use chreode_core::{Dynamics, Number};

    use crate::Program;
    use crate::program::is_mask;

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
}
