//! The members of a run, one for each seed: trained side by side or in turn, and judged by one hold-out.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use chreode_cells::Dataset;
use chreode_cells::run::{MemberResult, Members, RunConfig, RunFolder};
use chreode_train::{DeviceChoice, Outcome};

use crate::Context;
use crate::fit::{describe_place, trainer};
use crate::info::meminfo;
use crate::interrupt;
use crate::training::{Board, Place, RunTrainer, train};

/// What a training takes beside the cells, for nets, paths and their gradients, in bytes: generous for the default sizes.
const BESIDE_CELLS: usize = 256 << 20;

/// Trains every member of a run from its last checkpoint on, or from the start, and says how each came out. `first` is the first one of a
/// new run, in its place already.
///
/// As many are trained side by side as there are threads, so long as half of the memory that is free holds them; a device holds one.
/// The bits do not depend on it. With several members `members.json` is written when all have come to their end.
///
/// # Errors
/// The first of a member, when all have stopped: [`Interrupted`](crate::failure::Interrupted), what trainer or disk say.
pub(crate) fn train_members(
    context: &Context,
    run: &RunFolder,
    dataset: Dataset,
    config: &RunConfig,
    first: Option<RunTrainer>,
    device: DeviceChoice,
) -> anyhow::Result<Vec<Outcome>> {
    let asked = interrupt::flag()?;
    let resume = format!("chreode fit --resume {}", run.path().display());
    let board = Board::new(context.console, config.members, config.training.steps);
    let prepare = |member: usize| -> anyhow::Result<RunTrainer> {
        let training = config.training_of(member);
        let mut trainer = trainer(&dataset, &RunConfig { training, ..config.clone() })?;
        if let Some((step, state)) = run.member(member).last_checkpoint()? {
            trainer.restore(&state).with_context(|| format!("the checkpoint of step {step}"))?;
        }
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
        return Ok(vec![train(
            Place { folder: run, member: 0, resume: &resume, board: &board, asked },
            &mut trainer,
        )?]);
    }

    let (threads, side) = (rayon::current_num_threads(), side_by_side(&dataset, config.members, device));
    context.console.note(&format!("{} members, {side} side by side", config.members));
    let noise = match &first {
        Some(trainer) => trainer.hold_out_noise()?,
        None => trainer(&dataset, &RunConfig { training: config.training_of(0), ..config.clone() })?
            .hold_out_noise()?,
    };
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let first = Mutex::new(first);
    let results = Mutex::new(Vec::new());
    let work = |worker: usize| {
        let share = threads / side + usize::from(worker < threads % side);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(share.max(1)).build();
        loop {
            let member = next.fetch_add(1, Ordering::Relaxed);
            if member >= config.members || failed.load(Ordering::Relaxed) {
                break;
            }
            let ready =
                if member == 0 { first.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
            let folder = run.member(member);
            let one = || -> anyhow::Result<Outcome> {
                let mut trainer = ready.map_or_else(|| prepare(member), Ok)?;
                train(Place { folder: &folder, member, resume: &resume, board: &board, asked }, &mut trainer)
            };
            let result = match &pool {
                Ok(pool) => pool.install(one),
                Err(_) => one(), // no more threads to be had: those of the program must do
            };
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
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
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(member, _)| *member);
    let outcomes: Vec<Outcome> =
        results.into_iter().map(|(_, outcome)| outcome).collect::<anyhow::Result<_>>()?;
    let member = |(m, outcome): (usize, &Outcome)| MemberResult {
        seed: config.training_of(m).seed,
        steps: outcome.step,
        best_step: outcome.best_step,
        best_loss: outcome.best_loss,
        astray: false,
    };
    let members = Members::judged(outcomes.iter().enumerate().map(member).collect(), noise);
    run.save_members(&members)?;
    tell(context, &members);
    Ok(outcomes)
}

/// How many members are trained at one time.
fn side_by_side(dataset: &Dataset, members: usize, device: DeviceChoice) -> usize {
    if device != DeviceChoice::Cpu {
        return 1;
    }
    // A trainer has the cells once; it makes a second copy of those that it draws from.
    let bytes = 2 * size_of_val(&dataset.states[..]) + BESIDE_CELLS;
    let fit = meminfo("MemAvailable")
        .map_or(usize::MAX, |free| usize::try_from(free / 2).unwrap_or(usize::MAX) / bytes);
    members.min(rayon::current_num_threads()).min(fit).max(1)
}

/// Says how the members came out, and which went astray.
fn tell(context: &Context, members: &Members) {
    for (m, member) in members.members.iter().enumerate() {
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
    for (m, member) in members.members.iter().enumerate().filter(|(_, member)| member.astray) {
        context.console.warn(&format!(
            "member {} (seed {}) went astray and is left out of what the run predicts: its held-out loss is {:.4}, above {limit:.4}; \
             the median of all is {median:.4}",
            m + 1,
            member.seed,
            member.best_loss.unwrap_or(f64::NAN)
        ));
    }
}
