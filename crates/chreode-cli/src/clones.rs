//! `chreode fit --clone`: which clones are held out, and how well a model follows them.

use chreode_cells::run::{HeldOutClones, RunConfig, RunFolder, TrainingCells};
use chreode_cells::{Dataset, TimePoint};

use crate::Context;
use crate::data_options::DataArgs;
use crate::failure::bad_input;
use crate::start::OpenRun;
use crate::training::RunTrainer;
use crate::training_options::TrainingArgs;

/// Refuses a hold-out by another column than that of the clones.
pub(crate) fn check_options(cells: &DataArgs, training: &TrainingArgs) -> anyhow::Result<()> {
    if let (Some(clone), Some(by)) = (&cells.clone, &training.holdout_by)
        && clone != by
    {
        let what = format!("--holdout-by {by}: with --clone {clone} whole clones are held out");
        return Err(bad_input(what, "leave --holdout-by out"));
    }
    Ok(())
}

/// Says how many clones cells are coupled among, if they are.
pub(crate) fn describe(context: &Context, dataset: &Dataset, config: &RunConfig) {
    if let (Some(clones), Some(column)) = (&dataset.clones, &config.data.options.clone)
        && config.training.matching.as_ref().is_some_and(|m| m.clone_neighbours.is_some())
    {
        let counts = clones.counts();
        let (seen, cells) = (counts.iter().filter(|&&n| n > 0).count(), counts.iter().sum::<usize>());
        context
            .console
            .note(&format!("coupled among {seen} clones of `{column}`, which {cells} cells are of"));
    }
}

/// The clones that a run holds out whole, if it does.
pub(crate) fn held_out(dataset: &Dataset, trainer: &RunTrainer, config: &RunConfig) -> Option<HeldOutClones> {
    let (clones, column) = (dataset.clones.as_ref()?, config.data.options.clone.as_deref()?);
    let points = dataset.time_points();
    let of = |(point, rows): (&TimePoint, &Vec<u32>)| -> Vec<usize> {
        rows.iter().map(|&i| point.rows[i as usize]).collect()
    };
    let rows: Vec<usize> = points.iter().zip(&trainer.split().hold_out).flat_map(of).collect();
    let coupled = config.training.matching.as_ref().is_some_and(|m| m.clone_neighbours.is_some());
    Some(HeldOutClones::new(clones, &rows, column, coupled))
}

/// Follows the clones that were held out with the model, into the run folder.
pub(crate) fn follow(run: &RunFolder) -> anyhow::Result<Option<HeldOutClones>> {
    let Some(mut clones) = run.load_clones()? else { return Ok(None) };
    let trained = OpenRun::open(run.path())?;
    let cells = TrainingCells::load(&run.training_cells())?;
    let training = &trained.config.training;
    clones.measure(&trained.model, &trained.params[0], &cells, training.dt, training.seed)?;
    run.save_clones(&clones)?;
    Ok(Some(clones))
}
