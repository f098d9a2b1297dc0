//! What to do about an error: one sentence for each that a user can mend.

use std::error::Error;
use std::io::ErrorKind;

use chreode_cells::demo::DemoError;
use chreode_cells::run::RunError;
use chreode_cells::{AnalysisError, DataError, PreprocessError, StateSpaceError, TransportError, TrustError};
use chreode_kinetics::{KineticsError, SimulationError};
use chreode_model::{ConfigError, StoreError};
use chreode_report::PageError;
use chreode_solve::SolveError;
use chreode_train::{CheckpointError, PlaceError, SeriesError, SimulatorError, TrainError};

/// What to do about an error; nothing for those that are no user's fault.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    let text = if let Some(error) = error.downcast_ref::<RunError>() {
        return Some(run(error));
    } else if let Some(error) = error.downcast_ref::<DataError>() {
        data(error)
    } else if let Some(error) = error.downcast_ref::<StateSpaceError>() {
        state_space(error)
    } else if let Some(error) = error.downcast_ref::<AnalysisError>() {
        analysis(error)
    } else if let Some(error) = error.downcast_ref::<TrainError>() {
        train(error)
    } else if let Some(error) = error.downcast_ref::<PlaceError>() {
        place(error)
    } else if let Some(error) = error.downcast_ref::<SeriesError>() {
        series(error)
    } else if let Some(error) = error.downcast_ref::<KineticsError>() {
        kinetics(error)
    } else if let Some(error) = error.downcast_ref::<SimulationError>() {
        simulation(error)
    } else if let Some(error) = error.downcast_ref::<SolveError>() {
        solve(error)
    } else if let Some(PageError::Write { source, .. }) = error.downcast_ref::<PageError>() {
        write(source)
    } else if let Some(error) = error.downcast_ref::<StoreError>() {
        store(error)
    } else if let Some(error) = error.downcast_ref::<TrustError>() {
        trust(error)
    } else if let Some(error) = error.downcast_ref::<TransportError>() {
        match error {
            TransportError::Coupling(error) => train(error),
            TransportError::Readout(error) => analysis(error),
            TransportError::TooFar { .. } => "leave the cell out with --cells, or look at its coordinates",
            _ => return None,
        }
    } else if let Some(error) = error.downcast_ref::<DemoError>() {
        match error {
            DemoError::Train(error) => train(error),
            DemoError::Analysis(error) => analysis(error),
            DemoError::Solve(error) => solve(error),
            _ => return None,
        }
    } else if error.is::<ConfigError>() {
        "see the options under `Model` in `chreode fit --help`"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// What to do about an error of a gene or basis.
fn state_space(error: &StateSpaceError) -> &'static str {
    match error {
        StateSpaceError::NoGenes { .. } => {
            "fit again with --basis none, or with a file that has varm['PCs'], var['mean'] and var['std']"
        }
        StateSpaceError::NoSuchGene { .. } => "choose a gene that exists; upper and lower case differ",
        StateSpaceError::Unused { .. } => {
            "choose a gene among the variable ones, or fit with more --variable-genes"
        }
        _ => "new cells must have the genes that the run was fitted on",
    }
}

/// What to do about an error of fates and perturbations.
fn analysis(error: &AnalysisError) -> &'static str {
    match error {
        AnalysisError::Solve(error) => solve(error),
        AnalysisError::Device(SimulatorError::Device { .. }) | AnalysisError::HeldOnDevice => {
            "leave --device out"
        }
        AnalysisError::FewLabels { .. } => "label more cells, or let fewer --neighbours vote",
        AnalysisError::UnknownFate { .. } => "choose a label that exists; upper and lower case differ",
        AnalysisError::DependentClamps { .. } => "hold one gene of a set that always moves together",
        _ => "check the cells' states for values that are no numbers",
    }
}

/// What to do about an error of the training.
fn train(error: &TrainError) -> &'static str {
    match error {
        TrainError::TooFewTimes { .. } => "leave out fewer times",
        TrainError::TooFewCells { .. } => "leave the time's cells out of the file, or add cells",
        TrainError::States { .. } => {
            "look whether the disk is sound; a run that began continues with `chreode fit --resume`"
        }
        TrainError::TooFewOfPopulation { .. } => "leave the population's cells out of the file, or --within",
        TrainError::TooFewHeldOut { .. } => "change --hold-out, or leave out --clone or --holdout-by",
        TrainError::NoiseForm { .. } => "choose --route simulation, or another --diffusion",
        TrainError::Covariance { .. } => "choose another --coupling-blur, or --diffusion diagonal",
        TrainError::Device { .. } => "continue the run with `chreode fit --resume` and --device cpu",
        TrainError::Path { .. }
        | TrainError::DevicePath { .. }
        | TrainError::Simulation { .. }
        | TrainError::Loss { .. }
        | TrainError::Matching { .. }
        | TrainError::Gradient { .. } => "fit again with a smaller --lr or a smaller --dt",
        TrainError::Solve(error) => solve(error),
        TrainError::Checkpoint(error) => checkpoint(error),
        _ => "see the options under `Training` in `chreode fit --help`",
    }
}

/// What to do about a checkpoint that cannot be used.
fn checkpoint(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::OtherRun { .. } => "restore the run folder as it was, or fit a new run",
        _ => "restore the checkpoint from a copy, or fit the run again",
    }
}

/// What to do where a device cannot be used.
fn place(error: &PlaceError) -> &'static str {
    match error {
        PlaceError::NotBuilt => "leave --device out, or install chreode with `--features cuda`",
        _ => "leave --device out, or let --device auto choose",
    }
}

/// What to do about measured series that could not be learned from.
fn series(error: &SeriesError) -> &'static str {
    match error {
        SeriesError::Setting { .. } => "see the options in `chreode fit --help`",
        SeriesError::Checkpoint(error) => checkpoint(error),
        SeriesError::Simulation { .. } | SeriesError::Field { .. } | SeriesError::NotFinite { .. } => {
            "fit again with a smaller --lr or a smaller --window"
        }
        _ => "correct the table: each trajectory needs observations at two times, and each column a value",
    }
}

/// Whether an error is one of the training's course, which the same settings would bring again.
pub(crate) fn is_of_training(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            TrainError::Path { .. }
                | TrainError::DevicePath { .. }
                | TrainError::Simulation { .. }
                | TrainError::Loss { .. }
                | TrainError::Matching { .. }
                | TrainError::Gradient { .. }
        )
    )
}

/// What to do about a measurement of trust that failed.
fn trust(error: &TrustError) -> &'static str {
    match error {
        TrustError::Analysis(error) => analysis(error),
        TrustError::Comparison(error) => train(error),
        _ => "try a smaller --dt in a new fit",
    }
}

/// What to do about a kinetic model or problem.
fn kinetics(error: &KineticsError) -> &'static str {
    match error {
        KineticsError::Read { .. } => "is the path right?",
        KineticsError::Condition { source, .. } => simulation(source),
        KineticsError::NoCondition { .. } => "give one of them with --condition",
        KineticsError::Parameters { .. } => "correct the parameter table of the problem",
        _ => "correct the file; what chreode reads of SBML and PEtab is said in docs/METHODS.md",
    }
}

/// What to do about a kinetic model that cannot be run.
fn simulation(error: &SimulationError) -> &'static str {
    match error {
        SimulationError::NoValue { .. } | SimulationError::NoRate { .. } => {
            "give every quantity that is used a value, in the model or in the problem's tables"
        }
        SimulationError::NotSteady { .. } => "a condition that is to settle needs a model that does",
        SimulationError::NotDifferentiable { .. } => {
            "fits need derivatives: change the bounds so that events stay apart, or --simulate alone"
        }
        SimulationError::Noise { .. }
        | SimulationError::NoiseRate { .. }
        | SimulationError::NoiseAmount { .. }
        | SimulationError::NoiseOption { .. } => "change that, or leave out --langevin",
        SimulationError::NoiseSize { .. } => "give fewer --paths or --points",
        SimulationError::Delay { .. } | SimulationError::TooManyEvents { .. } => "correct the model's events",
        _ => "try other tolerances: --rtol, --atol",
    }
}

/// What to do about a simulation that failed.
fn solve(error: &SolveError) -> &'static str {
    match error {
        SolveError::InvalidOption { .. } | SolveError::InvalidTime { .. } => "change --dt or the times",
        _ => "try a smaller --dt",
    }
}

/// What to do about an error in data.
fn data(error: &DataError) -> &'static str {
    match error {
        DataError::Read { source, .. } => match source.kind() {
            ErrorKind::NotFound => "is the path right?",
            ErrorKind::PermissionDenied => "ask for permission to read it",
            _ => "copy the file to a disk of this machine and try again",
        },
        DataError::Write { source, .. } => write(source),
        DataError::MovedAside { .. } => "move it back by hand before you try again",
        DataError::Scratch { .. } => "free some space there, or allow more --memory",
        DataError::Stored(error) => train(error),
        DataError::LittleMemory { .. } => "allow more with --memory, or give fewer cells",
        DataError::ByColumns { .. } => {
            "allow more with --memory, or write the matrix by rows: adata.X = adata.X.tocsr()"
        }
        DataError::Foreign { .. } => "chreode reads .h5ad of AnnData, and CSV or TSV, plain or gzipped",
        DataError::Damaged { .. } => "copy or export the file again",
        DataError::NoRows { .. } => "a table needs a header and one row a cell",
        DataError::DuplicateColumn { .. } => "rename one of the two",
        DataError::RaggedRow { .. } => "a text that holds the delimiter must stand in quotes",
        DataError::BadField { .. } => "correct the field, or leave the row out",
        DataError::NoSuchName { .. } => "choose one of the names that exist; upper and lower case differ",
        DataError::Hdf5 { .. }
        | DataError::Encoding { .. }
        | DataError::Shape { .. }
        | DataError::Matrix { .. } => "write the file again with a current anndata: adata.write_h5ad(...)",
        DataError::BadTime { .. } => "write every time as a number in one unit, such as 2 or `day 2`",
        DataError::BadEntry { .. } => "correct the entry, or leave the cell out",
        DataError::DuplicateId { .. } => "rename one of them, or name another column with --id",
        DataError::NoIdColumn { .. } => "name the column of the cells' names with --labels-id",
        DataError::NoLabelJoins { .. } => {
            "let both files name the cells alike; --labels-id names the column of the labels' table, --id that of the data"
        }
        DataError::OneTime { .. } => "give cells of another time too, or another column with --time",
        DataError::FewCells { .. } => "leave the time's cells out of the file, or add cells",
        DataError::NoPopulation { .. } => "leave the cell out of the file, or --within",
        DataError::NoCloneLasts { .. } => {
            "name the column that follows clones over time, or leave out --clone"
        }
        DataError::NoSuchClone { .. } => {
            "choose an entry that exists, or leave out --no-clone: empty entries are no clones"
        }
        DataError::FewOfPopulation { .. } => {
            "leave the population's cells out of the file, name another column, or leave out --within"
        }
        DataError::NoSuchTime { .. } => "choose one of the times that exist",
        DataError::OtherLoadings { .. } => {
            "give the new cells the coordinates of the fitted file (scanpy: sc.tl.ingest), or fit again: on all cells \
             together, or with --basis none, which takes new cells from their counts"
        }
        DataError::MovedCells { .. } => {
            "give the new cells the coordinates of the fitted file, or fit again on all cells together; cells that are \
             others need other names"
        }
        DataError::ColumnTwice { .. } => "name every column once",
        DataError::ColumnTaken { .. } => {
            "name columns of coordinates or of genes; each column has one meaning"
        }
        DataError::NoState { .. } | DataError::TableHasNoBasis { .. } => {
            "for example --state x,y, or --basis none for a table of counts"
        }
        DataError::Preprocess { source, .. } => match source {
            PreprocessError::BadEntry { .. } => {
                "correct the entry, or say what the numbers are with --expression"
            }
            PreprocessError::AmbiguousGene { .. } => "give every gene a name of its own",
            PreprocessError::MissingGenes { .. } => {
                "new cells must have the genes that the run was fitted on"
            }
            PreprocessError::MissingCounts { .. } => {
                "give the counts of all genes, as they were before genes were left out"
            }
            _ => "check that the matrix holds expression; --layer names another one",
        },
        _ => "see `chreode fit --help` for what the data must hold",
    }
}

/// What to do about a model file.
fn store(error: &StoreError) -> &'static str {
    match error {
        StoreError::Io { source, .. } => write(source),
        _ => "restore the file from a copy, or fit the run again",
    }
}

/// What to do about a file that cannot be written.
pub(crate) fn write(error: &std::io::Error) -> &'static str {
    // The writer of tables wraps the disk's error, and its kind with it.
    let table = error.get_ref().and_then(|inner| inner.downcast_ref::<csv::Error>());
    let kind = match table.map(csv::Error::kind) {
        Some(csv::ErrorKind::Io(inner)) => inner.kind(),
        _ => error.kind(),
    };
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room on the disk, or choose another place, and try again"
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => "make the folder first",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "choose a place where you may write",
        _ => "choose another place and try again",
    }
}

/// What to do about an error of a run folder.
fn run(error: &RunError) -> String {
    match error {
        RunError::NotARun { .. } => "give the folder that `chreode fit --out` made".to_owned(),
        RunError::OtherFormat { written_by, .. } if written_by.is_empty() => "fit the run again".to_owned(),
        RunError::OtherFormat { written_by, .. } => {
            format!("use chreode {written_by} for this run, or fit it again")
        }
        RunError::Damaged { .. } => "restore the file from a copy, or fit the run again".to_owned(),
        RunError::Exists { path } => format!(
            "continue it with `chreode fit --resume {}`, or put a new run in its place with --overwrite",
            path.display()
        ),
        RunError::NotEmpty { .. } => "choose a new or an empty folder".to_owned(),
        RunError::Locked { .. } => "wait until it ends, or choose another folder".to_owned(),
        RunError::DataChanged { .. } => "restore the file as it was, or fit a new run to it".to_owned(),
        RunError::NoModel { path } | RunError::Untrained { path, .. } => {
            format!("train on with `chreode fit --resume {}`", path.display())
        }
        RunError::Data(error) => data(error).to_owned(),
        RunError::Model(error) => store(error).to_owned(),
        _ => "see `chreode fit --help`".to_owned(),
    }
}
