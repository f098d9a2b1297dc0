//! Options of the commands that read fates off labels.

use std::path::PathBuf;

use clap::Args;

use crate::values;

/// Which labels tell the fates.
#[derive(Debug, Args)]
#[command(next_help_heading = "Labels")]
pub(crate) struct LabelArgs {
    /// Column of the cells' labels, such as `cell_type`; cells without a label are left out
    #[arg(long, value_name = "COLUMN")]
    pub(crate) labels: String,
    /// Table that holds this column and the cells' names, if the cells' own file does not
    #[arg(long, value_name = "FILE")]
    pub(crate) labels_from: Option<PathBuf>,
    /// Column of that table that names the cells [default: the first of cell, `cell_id`, `cell_idx`, barcode, index that
    /// exists]
    #[arg(long, value_name = "COLUMN", requires = "labels_from")]
    pub(crate) labels_id: Option<String>,
    /// Count these labels only, and let their probabilities sum to one [default: all labels]
    #[arg(long, value_name = "LABEL,..", value_delimiter = ',')]
    pub(crate) fates: Vec<String>,
    /// Labelled cells that vote alike where a path ends [default: votes, alike or falling with the distance, that predict left-out
    /// labelled cells best]
    #[arg(long, value_name = "K", value_parser = values::count)]
    pub(crate) neighbours: Option<usize>,
}
