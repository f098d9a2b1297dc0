//! Options of every command that simulates cells of a data file with a run's model: which cells, from when, how far.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use chreode_cells::run::{Coordinates, Members, RunConfig, RunError, RunFolder};
use chreode_cells::{Dataset, DatasetOptions, StateSpace};
use chreode_model::NeuralSde;
use chreode_train::GrowthUse;
use clap::Args;

use crate::Context;
use crate::failure::bad_input;
use crate::labels::LabelArgs;
use crate::values::{self, ColumnValue};

/// Which cells start, when, and how far they go.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Run folder that `chreode fit` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Cells: a file with the columns that the run was fitted on; it may hold new cells
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// Start from the cells of this time, such as day=2
    #[arg(long, value_name = "COLUMN=VALUE", help_heading = "Paths")]
    pub(crate) start: ColumnValue,
    /// Of these start from some only: names separated by commas, or a file with one name a line
    #[arg(long, value_name = "NAME,..|FILE", help_heading = "Paths")]
    pub(crate) cells: Option<String>,
    /// Time at which the paths end, in the data's unit
    #[arg(long, value_name = "TIME", help_heading = "Paths", value_parser = values::finite)]
    pub(crate) until: f64,
    /// Longest step of the simulation, in the data's unit of time [default: as in the training]
    #[arg(long, value_name = "STEP", help_heading = "Paths", value_parser = values::positive)]
    pub(crate) dt: Option<f64>,
}

/// The names that `--cells` gives: those of a file if there is one of that name, else those between its commas.
pub(crate) fn cell_names(text: &str) -> anyhow::Result<Vec<String>> {
    let path = Path::new(text);
    let names: Vec<String> = if path.is_file() {
        std::fs::read_to_string(path)
            .map_err(|e| bad_input(format!("cannot read {}: {e}", path.display()), "give one name a line"))?
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    } else {
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    if names.is_empty() {
        return Err(bad_input(
            format!("--cells {text} names no cell"),
            "give names separated by commas, or a file with one name a line",
        ));
    }
    Ok(names)
}

/// A run, opened with all that simulation needs.
pub(crate) struct OpenRun {
    pub(crate) folder: RunFolder,
    pub(crate) config: RunConfig,
    pub(crate) space: StateSpace,
    pub(crate) model: NeuralSde<f32>,
    /// Parameters of the members that did not go astray, one at least; of a run of one seed those of its model.
    pub(crate) params: Vec<Vec<f32>>,
    /// How all members came out, if there are several.
    pub(crate) members: Option<Members>,
}

/// Cells that paths start from, all of one time.
pub(crate) struct Starts {
    /// All cells of the file.
    pub(crate) dataset: Dataset,
    /// Rows of the start cells in it.
    pub(crate) rows: Vec<usize>,
    /// Their states, `[rows.len(), dim]`.
    pub(crate) states: Vec<f32>,
    /// Their time.
    pub(crate) time: f64,
}

impl OpenRun {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let (folder, config) = RunFolder::open(path)?;
        let space = folder.load_state_space()?;
        let members = folder.load_members(&config)?;
        let kept = members.as_ref().map_or_else(|| vec![0], Members::kept);
        let mut model = None;
        let mut params = Vec::with_capacity(kept.len());
        for m in kept {
            let (one, p) = folder.member(m).load_model()?;
            if one.config() != &config.model || space.dim() != config.model.dim() {
                return Err(RunError::Damaged {
                    path: folder.path().to_owned(),
                    detail: "its files are not of one run".to_owned(),
                }
                .into());
            }
            params.push(p);
            model.get_or_insert(one);
        }
        let model = model.ok_or_else(|| RunError::NoModel { path: folder.path().to_owned() })?;
        Ok(Self { folder, config, space, model, params, members })
    }

    /// The name under which `obsm` holds states of this run.
    pub(crate) fn basis_key(&self) -> &str {
        match &self.space {
            StateSpace::GivenPca(s) => &s.key,
            StateSpace::GivenBasis(s) => &s.key,
            StateSpace::OwnPca(_) => "X_pca",
            _ => "X_state",
        }
    }

    /// Reads the cells of a file into the run's state space, with `labels` if there are any and `populations` if they are wanted, and
    /// says what was to be decided.
    pub(crate) fn read(
        &self,
        context: &Context,
        data: &Path,
        labels: Option<&LabelArgs>,
        populations: bool,
    ) -> anyhow::Result<Dataset> {
        let options = DatasetOptions {
            labels: labels.map(|l| l.labels.clone()),
            labels_from: labels.and_then(|l| l.labels_from.clone()),
            labels_id: labels.and_then(|l| l.labels_id.clone()),
            // What training alone needs, new cells need not have.
            clone: None,
            within: self.config.data.options.within.clone().filter(|_| populations),
            growth: match self.config.training.growth {
                GrowthUse::Column => self.config.data.options.growth.clone(),
                _ => None,
            },
            ..self.config.data.options.clone()
        };
        let (dataset, coordinates) = self.folder.load_cells(data, &options, &self.space)?;
        for note in &dataset.notes {
            context.console.note(note);
        }
        match coordinates {
            Coordinates::Projected { key, cells, off } => context.console.note(&format!(
                "`{key}` of {} is another PCA than the run's: its expression is projected through the run's loadings \
                 instead, which takes {cells} cells of the fit to where they were (off by {:.2} % of a coordinate's \
                 spread at most)",
                data.display(),
                100.0 * off
            )),
            Coordinates::Unchecked { key } => context.console.warn(&format!(
                "nothing in {} tells whether its `{key}` is the basis that the run was fitted in; if it was computed \
                 anew, its axes are others and what follows means nothing",
                data.display()
            )),
            _ => {}
        }
        Ok(dataset)
    }

    /// The seed of a command on this run.
    pub(crate) fn seed(&self, asked: Option<u64>) -> u64 {
        asked.unwrap_or(self.config.training.seed)
    }

    /// The longest step of a simulation.
    pub(crate) fn dt(&self, args: &StartArgs) -> f64 {
        args.dt.unwrap_or(self.config.training.dt)
    }
}

/// The cells of a file that paths start from.
pub(crate) fn starts(args: &StartArgs, dataset: Dataset) -> anyhow::Result<Starts> {
    let (column, time) = (&args.start.column, args.start.value);
    if *column != dataset.time_column {
        return Err(bad_input(
            format!(
                "--start {}: the run has no column of times `{column}`, but `{}`",
                args.start, dataset.time_column
            ),
            format!("write --start {}={time}", dataset.time_column),
        ));
    }
    let mut rows = dataset.rows_at(time)?;
    if args.until <= time {
        return Err(bad_input(
            format!("--until {} does not lie after the start at {time}", args.until),
            "give a later time; models are simulated forward only",
        ));
    }
    if let Some(text) = &args.cells {
        let names = cell_names(text)?;
        let row_of: HashMap<&str, usize> = rows.iter().map(|&row| (dataset.ids[row].as_str(), row)).collect();
        rows = names
            .iter()
            .map(|name| {
                row_of.get(name.as_str()).copied().ok_or_else(|| {
                    bad_input(
                        format!(
                            "--cells: no cell `{name}` with {} in {}",
                            args.start,
                            dataset.path.display()
                        ),
                        "names are those of the cells' column or of obs; upper and lower case differ",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        rows.sort_unstable();
        rows.dedup();
    }
    let states = dataset.states_of(&rows)?;
    Ok(Starts { dataset, rows, states, time })
}

impl Starts {
    /// Name of one start cell.
    pub(crate) fn id(&self, i: usize) -> &str {
        &self.dataset.ids[self.rows[i]]
    }

    /// Number of start cells.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_list_or_a_file() {
        assert_eq!(cell_names("a, b,,c").unwrap(), ["a", "b", "c"]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids.txt");
        std::fs::write(&path, "x\n\n y \r\n").unwrap();
        assert_eq!(cell_names(path.to_str().unwrap()).unwrap(), ["x", "y"]);
        std::fs::write(&path, "\n").unwrap();
        assert!(cell_names(path.to_str().unwrap()).is_err());
        assert!(cell_names(",").is_err());
    }
}
