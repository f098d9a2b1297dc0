//! The members of a run, one for each seed: trained side by side or in turn, and judged by one hold-out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use chreode_cells::run::{MemberResult, Members, RunConfig, RunFolder};
use chreode_cells::{Dataset, Memory};
use chreode_train::{DeviceChoice, Outcome};
use serde::Serialize;

use crate::Context;
use crate::device::describe_place;
use crate::failure::{Interrupted, Stopped, message};
use crate::fit::{resumed, trainer};
use crate::training::{Board, Place, RunTrainer, train};
use crate::{hints, interrupt};

/// What a training takes beside the cells, for nets, paths and their gradients, in bytes: generous for the default sizes.
pub(crate) const BESIDE_CELLS: usize = 256 << 20;

/// What a training has of each cell beside its state, in bytes: its row in the file, in the hold-out and where it is drawn from.
const ROWS: usize = 24;

/// How the training with one seed ended.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    /// Seed of the training.
    pub(crate) seed: u64,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// Trains every member of a run from its last checkpoint on, or from the start, and says how each came out. `first` is the first one of a
/// new run, in its place already.
///
/// As many are trained side by side as there are threads, so long as `memory` holds them; a device holds one.
/// The bits do not depend on it. With several members `members.json` is written when all have come to their end. One whose training
/// fails (a path, a loss or a gradient that is not finite) is set aside, and the others go on; any other error halts them all.
/// Returned are the outcomes of those that did not fail.
///
/// # Errors
/// The first that is of the run and not of one member, when all have stopped; [`Interrupted`]; how the first one failed, if all did.
pub(crate) fn train_members(
    context: &Context,
    run: &RunFolder,
    dataset: Dataset,
    config: &RunConfig,
    first: Option<RunTrainer>,
    device: DeviceChoice,
    memory: &Memory,
) -> anyhow::Result<Vec<Ended>> {
    let asked = interrupt::flag()?;
    let resume = format!("chreode fit --resume {}", run.path().display());
    let board = Board::new(context.console, config.members, config.training.steps);
    let halted = AtomicBool::new(false);
    let prepare = |member: usize| -> anyhow::Result<RunTrainer> {
        let config = RunConfig { training: config.training_of(member), ..config.clone() };
        let mut trainer = match run.member(member).last_checkpoint()? {
            Some((step, state)) => resumed(&dataset, &config, &state)
                .with_context(|| format!("the checkpoint of step {step}"))?,
            None => trainer(&dataset, &config)?,
        };
        let place = trainer.place(device)?;
        if member == 0 {
            describe_place(context, &place);
        }
        Ok(trainer)
    };

    if config.members == 1 {
        let mut trainer = if let Some(first) = first {
            first
        } else {
            let trainer = prepare(0)?;
            let (step, steps) = (trainer.steps_done(), config.training.steps);
            context.console.note(&format!("resuming at step {step} of {steps}"));
            trainer
        };
        drop(dataset);
        let place = Place { folder: run, member: 0, resume: &resume, board: &board, asked, halted: &halted };
        let outcome = train(place, &mut trainer)?;
        return Ok(vec![Ended { seed: config.training.seed, outcome }]);
    }

    let (threads, side) =
        (rayon::current_num_threads(), side_by_side(&dataset, config.members, device, memory));
    context.console.note(&format!("{} members, {side} side by side", config.members));
    let next = AtomicUsize::new(0);
    let first = Mutex::new(first);
    // Cells and hold-out are the same for all: the first one speaks for them.
    let noise = OnceLock::new();
    let results = Mutex::new(Vec::new());
    let work = |worker: usize| {
        let share = threads / side + usize::from(worker < threads % side);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(share.max(1)).build();
        loop {
            let member = next.fetch_add(1, Ordering::Relaxed);
            if member >= config.members || halted.load(Ordering::Relaxed) {
                break;
            }
            let ready =
                if member == 0 { first.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            let folder = run.member(member);
            let place =
                Place { folder: &folder, member, resume: &resume, board: &board, asked, halted: &halted };
            let one = || -> anyhow::Result<Outcome> {
                let mut trainer = ready.map_or_else(|| prepare(member), Ok)?;
                if member == 0 {
                    let _ = noise.set(trainer.hold_out_noise()?); // there is one first member
                }
                train(place, &mut trainer)
            };
            let result = match &pool {
                Ok(pool) => pool.install(one),
                Err(_) => one(), // no more threads to be had: those of the program must do
            };
            match &result {
                Ok(_) => {}
                Err(error) if is_own_failure(error) => place.warn(&format!(
                    "member {} (seed {}) failed and is set aside: {}",
                    member + 1,
                    config.training_of(member).seed,
                    message(error)
                )),
                Err(_) => halted.store(true, Ordering::Relaxed),
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push((member, result));
        }
    };
    std::thread::scope(|scope| {
        for worker in 1..side {
            scope.spawn(move || work(worker));
        }
        work(0);
    });
    drop(board);
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seed_of = |member: usize| config.training_of(member).seed;
    let (outcomes, members) = came_out(results, seed_of, noise.into_inner().flatten())?;
    run.save_members(&members)?;
    tell(context, &members);
    Ok(outcomes)
}

/// Whether an error is of the course that one member's training took, not of the disk, the device or the user's will.
fn is_own_failure(error: &anyhow::Error) -> bool {
    error.is::<Stopped>() && error.chain().any(hints::is_of_training)
}

/// What members came to, judged by the noise of their hold-out; a member that failed is set aside.
///
/// # Errors
/// The first that is of the run and not of one member, [`Interrupted`] after all others; where all failed, how the first one did.
fn came_out(
    mut results: Vec<(usize, anyhow::Result<Outcome>)>,
    seed_of: impl Fn(usize) -> u64,
    noise: Option<f64>,
) -> anyhow::Result<(Vec<Ended>, Members)> {
    results.sort_by_key(|(member, _)| *member);
    let of_run = |error: &anyhow::Error| !is_own_failure(error);
    // Members that were halted for the error of another one say that they were interrupted.
    let worst = results
        .iter()
        .position(|(_, r)| r.as_ref().is_err_and(|e| of_run(e) && !e.is::<Interrupted>()))
        .or_else(|| results.iter().position(|(_, r)| r.as_ref().is_err_and(of_run)));
    if let Some((_, Err(error))) = worst.map(|worst| results.swap_remove(worst)) {
        return Err(error);
    }
    let (all, trained) = (results.len(), results.iter().filter(|(_, r)| r.is_ok()).count());
    let (mut outcomes, mut members) = (Vec::with_capacity(all), Vec::with_capacity(all));
    for (m, result) in results {
        let none = MemberResult {
            seed: seed_of(m),
            steps: 0,
            best_step: 0,
            best_loss: None,
            astray: false,
            failed: None,
        };
        members.push(match result {
            Ok(outcome) => {
                let (steps, best_step, best_loss) = (outcome.step, outcome.best_step, outcome.best_loss);
                outcomes.push(Ended { seed: none.seed, outcome });
                MemberResult { steps, best_step, best_loss, ..none }
            }
            Err(error) if trained == 0 => {
                return Err(error.context(format!("none of {all} members came to its end")));
            }
            Err(error) => MemberResult {
                steps: error.downcast_ref::<Stopped>().map_or(0, |stopped| stopped.step),
                failed: Some(message(&error)),
                ..none
            },
        });
    }
    Ok((outcomes, Members::judged(members, noise)))
}

/// How many members are trained at one time.
fn side_by_side(dataset: &Dataset, members: usize, device: DeviceChoice, memory: &Memory) -> usize {
    if device.finds_device() {
        return 1;
    }
    // A trainer has the cells in memory by time; those in a file all read from it. Rows that it draws from are its own.
    let states = dataset.states.as_slice().map_or(0, size_of_val);
    let each = (states + ROWS * dataset.len() + BESIDE_CELLS) as u64;
    let others = memory.spare(dataset.len(), dataset.dim()) / each;
    members.min(rayon::current_num_threads()).min(1 + usize::try_from(others).unwrap_or(usize::MAX))
}

/// Says how the members came out, and which went astray.
fn tell(context: &Context, members: &Members) {
    if let ([_], true) = (&members.kept()[..], members.members.len() > 1) {
        context.console.warn("one member is left: nothing tells how far models of other seeds are from it");
    }
    // Of those that failed it was said when they did.
    for (m, member) in members.members.iter().enumerate().filter(|(_, member)| member.failed.is_none()) {
        let loss = member.best_loss.map_or_else(String::new, |loss| format!(", held-out loss {loss:.4}"));
        context.console.note(&format!(
            "member {} (seed {}): {} steps{loss} at step {}",
            m + 1,
            member.seed,
            member.steps,
            member.best_step
        ));
    }
    let (Some(median), Some(limit)) = (members.median, members.limit) else { return };
    for (m, member) in members.members.iter().enumerate().filter(|(_, m)| m.astray && m.failed.is_none()) {
        context.console.warn(&format!(
            "member {} (seed {}) went astray and is left out of what the run predicts: its held-out loss is {:.4}, above {limit:.4}; \
             the median of all is {median:.4}",
            m + 1,
            member.seed,
            member.best_loss.unwrap_or(f64::NAN)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_cells::run::RunError;
    use chreode_train::{StopReason, TrainError};

    fn trained(best_loss: f64) -> Outcome {
        Outcome {
            reason: StopReason::Finished,
            step: 9,
            best_step: 8,
            best_loss: Some(best_loss),
            seconds: 1.0,
        }
    }

    fn stopped(error: impl Into<anyhow::Error>) -> anyhow::Result<Outcome> {
        Err(error.into().context(Stopped { step: 4, resume: "chreode fit --resume r".to_owned() }))
    }

    fn diverged() -> anyhow::Result<Outcome> {
        stopped(TrainError::Gradient { step: 4, parameter: 0, value: f64::NAN })
    }

    fn judged(results: Vec<anyhow::Result<Outcome>>) -> anyhow::Result<(Vec<Ended>, Members)> {
        came_out(results.into_iter().enumerate().collect(), |m| 7 + m as u64, Some(0.01))
    }

    #[test]
    fn a_member_that_fails_is_set_aside() {
        let (outcomes, members) = judged(vec![Ok(trained(0.1)), diverged(), Ok(trained(0.2))]).unwrap();
        assert_eq!(members.kept(), [0, 2]);
        let told = serde_json::to_value(&outcomes).unwrap();
        assert_eq!(told[1]["seed"], 9);
        assert_eq!(told[1]["best_loss"], 0.2);
        let failed = &members.members[1];
        assert_eq!((failed.seed, failed.steps, failed.best_loss), (8, 4, None));
        assert!(failed.failed.as_ref().is_some_and(|why| why.contains("after step 4")), "{failed:?}");
        // One is a model as good as any of one seed.
        let (outcomes, members) = judged(vec![diverged(), Ok(trained(0.1))]).unwrap();
        assert_eq!((outcomes.len(), outcomes[0].seed, members.kept()), (1, 8, vec![1]));
        // Of none the error is that of the first, with its hint.
        let error = judged(vec![diverged(), diverged()]).unwrap_err();
        assert!(message(&error).starts_with("none of 2 members"), "{}", message(&error));
        assert!(error.downcast_ref::<Stopped>().is_some() && error.chain().any(hints::is_of_training));
    }

    #[test]
    fn an_error_of_the_run_is_that_of_the_run() {
        let full = || stopped(RunError::NoModel { path: "here".into() });
        let halted = || Err(Interrupted { step: 3, steps: 9, resume: String::new() }.into());
        // The member that met it, not one that was halted for it or failed on its own.
        let error = judged(vec![halted(), diverged(), full(), Ok(trained(0.1))]).unwrap_err();
        assert!(
            error.chain().any(|e| matches!(e.downcast_ref(), Some(RunError::NoModel { .. }))),
            "{error:?}"
        );
        let error = judged(vec![Ok(trained(0.1)), diverged(), halted()]).unwrap_err();
        assert!(error.is::<Interrupted>(), "{error:?}");
    }
}
