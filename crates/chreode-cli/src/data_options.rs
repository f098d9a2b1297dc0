//! `chreode fit`: what the parts of the data mean.

use std::path::PathBuf;

use chreode_cells::{DatasetOptions, ExpressionKind, PreprocessOptions, StateSource};
use clap::{Args, ValueEnum};

use crate::values;

/// What a matrix of expression holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Expression {
    /// By looking: whole numbers are counts, others up to 20 logarithms, larger ones normalised
    Auto,
    /// Counts, to be normalised and log-transformed
    Counts,
    /// Counts that were scaled to one sum per cell, to be log-transformed
    Normalised,
    /// Logarithms, or other values to be taken as they are
    Log,
}

/// What the parts of the data mean.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataArgs {
    /// Column of the times: numbers, or numbers in words such as `day 2`; all rates are per their unit
    #[arg(long, value_name = "COLUMN", required_unless_present = "resume")]
    pub(crate) time: Option<String>,
    /// State of the cells: a key of obsm such as `X_pca`, `none` for principal components of expression made here, or
    /// `X` for expression itself [default: `X_pca` if it is there, else none]
    #[arg(long, value_name = "KEY", conflicts_with = "state")]
    basis: Option<String>,
    /// State of the cells: columns of a table (of obs, or genes, in .h5ad), or `all` for all columns of genes
    #[arg(long, value_name = "COLUMN,..")]
    pub(crate) state: Option<String>,
    /// Column that names the cells of a table [default: the first of cell, `cell_id`, `cell_idx`, barcode, index that
    /// exists, else the row's number]
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Columns of a table that are genes [default: all columns of numbers that mean nothing else]
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    genes: Vec<String>,
    /// Columns of a table that hold numbers but are no genes
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Layer of an .h5ad file that holds expression [default: X]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// What the numbers of expression are
    #[arg(long, value_enum, default_value = "auto")]
    expression: Expression,
    /// Principal components to make from expression
    #[arg(long, value_name = "N", default_value_t = PreprocessOptions::default().components,
          value_parser = values::count)]
    components: usize,
    /// Most variable genes to make them from
    #[arg(long, value_name = "N", default_value_t = PreprocessOptions::default().genes,
          value_parser = values::count)]
    variable_genes: usize,
    /// Column of growth: the rate at which a cell's descendants multiply, per unit of time
    #[arg(long, value_name = "COLUMN")]
    pub(crate) growth: Option<String>,
    /// Column of populations that do not mix, such as sorted fractions, wells, mice or conditions: a cell becomes one of its own population only.
    /// Each needs cells at every time
    #[arg(long, value_name = "COLUMN")]
    pub(crate) within: Option<String>,
    /// Column of clones, such as barcodes: cells of one clone at different times couple, as far as its cells were sampled, and whole clones are
    /// held out. Cells with no entry are of no known clone, and couple with each other
    #[arg(long, value_name = "COLUMN")]
    pub(crate) clone: Option<String>,
    /// Entry of that column, beside an empty one, that means no known clone
    #[arg(long, value_name = "ENTRY", requires = "clone")]
    no_clone: Option<String>,
    /// Column of labels such as `cell_type`, for the report alone: training never sees them
    #[arg(long, value_name = "COLUMN")]
    labels: Option<String>,
    /// Table that holds the labels and the cells' names, if the data do not
    #[arg(long, value_name = "FILE", requires = "labels")]
    labels_from: Option<PathBuf>,
    /// Column of that table that names the cells [default: the first of cell, `cell_id`, `cell_idx`, barcode, index that
    /// exists]
    #[arg(long, value_name = "COLUMN", requires = "labels_from")]
    labels_id: Option<String>,
}

impl DataArgs {
    /// What to read, with the column of clones by which cells are coupled, or else that by which alone the hold-out goes.
    pub(crate) fn options(&self, held_out_by: Option<&str>, seed: u64) -> DatasetOptions {
        DatasetOptions {
            time: self.time.clone().unwrap_or_default(), // required unless a run is resumed
            id: self.id.clone(),
            state: match (&self.basis, &self.state) {
                (Some(basis), _) => StateSource::from_basis(basis),
                (None, Some(columns)) => StateSource::from_columns(columns),
                (None, None) => StateSource::Auto,
            },
            genes: (!self.genes.is_empty()).then(|| self.genes.clone()),
            exclude: self.exclude.clone(),
            layer: self.layer.clone(),
            labels: self.labels.clone(),
            labels_from: self.labels_from.clone(),
            labels_id: self.labels_id.clone(),
            growth: self.growth.clone(),
            clone: self.clone.clone().or_else(|| held_out_by.map(str::to_owned)),
            no_clone: self.no_clone.clone(),
            within: self.within.clone(),
            preprocess: PreprocessOptions {
                kind: match self.expression {
                    Expression::Auto => ExpressionKind::Auto,
                    Expression::Counts => ExpressionKind::Counts,
                    Expression::Normalised => ExpressionKind::Normalised,
                    Expression::Log => ExpressionKind::Log,
                },
                genes: self.variable_genes,
                components: self.components,
                seed,
                ..PreprocessOptions::default()
            },
        }
    }
}
