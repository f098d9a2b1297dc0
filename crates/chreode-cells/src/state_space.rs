//! What a state's coordinates are, and how genes are read off them and moved in them.
//!
//! A model knows coordinates alone. A [`StateSpace`] is stored with it, so that new cells reach the same
//! coordinates, a gene can be shifted or held ([`GeneAxis`]), and simulated states can be read as expression
//! ([`StateSpace::decode`]). Where the file does not say how its coordinates came about, these are refused with the reason.

use chreode_train::{States, TrainError};
use serde::{Deserialize, Serialize};

use crate::matrix::Matrix;
use crate::moments::mean_and_sd_of;
use crate::names::Known;
use crate::preprocess::{PreprocessError, Transform};

/// What the coordinates of a state are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "space", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StateSpace {
    /// Columns of a table, or genes, as they are.
    Columns(ColumnSpace),
    /// Principal components of an `.h5ad` file with the loadings they came from.
    GivenPca(GivenPca),
    /// Coordinates of an `.h5ad` file of which nothing more is known.
    GivenBasis(GivenBasis),
    /// Principal components made here.
    OwnPca(Transform),
}

/// Coordinates that are columns of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSpace {
    /// Their names.
    pub names: Vec<String>,
    /// Mean of each over the fitted cells.
    pub mean: Vec<f64>,
    /// Standard deviation of each over the fitted cells (with n - 1).
    pub sd: Vec<f64>,
}

/// Principal components with what scanpy stores of them: `X_pca = ((x - mean) / std) · PCs`, where `x` is the
/// logarithm of expression before it was scaled.
///
/// Scaled genes have mean 0, so that PCA subtracts nothing; where scanpy cut large scaled values it subtracts their small
/// mean, which is neglected in [`StateSpace::project`] and [`StateSpace::decode`] and has no part in an axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GivenPca {
    /// Key in `obsm`.
    pub key: String,
    /// All genes of the file.
    pub genes: Vec<String>,
    /// `varm['PCs']`, `[genes, dim]`; zeros for genes that PCA left out.
    pub loadings: Vec<f32>,
    /// `var['mean']`.
    pub mean: Vec<f64>,
    /// `var['std']`.
    pub sd: Vec<f64>,
    /// Number of coordinates.
    pub dim: usize,
}

/// Coordinates of which nothing is known but their key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBasis {
    /// Key in `obsm`.
    pub key: String,
    /// Number of coordinates.
    pub dim: usize,
    /// What is missing.
    pub missing: MissingLoadings,
}

/// Why a given basis says nothing of genes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MissingLoadings {
    /// The basis is not made of principal components.
    #[error("it is no `X_pca`, so `varm['PCs']` does not belong to it")]
    NotPca,
    /// No loadings.
    #[error("the file has no loadings `varm['PCs']`")]
    Loadings,
    /// No scaling.
    #[error("the file has loadings but neither `var['mean']` nor `var['std']` of the genes' scaling")]
    Scaling,
    /// Loadings for another number of components.
    #[error("`varm['PCs']` has another number of components than the basis")]
    Components,
}

/// How one gene lies in the state space.
///
/// Its scaled value (in standard deviations from the mean of the fitted cells) in a state is `readout · state + offset`; one
/// standard deviation more is `state + direction`.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneAxis {
    /// The gene.
    pub gene: String,
    /// Change of the state for one standard deviation more of the gene.
    pub direction: Vec<f64>,
    /// Reads the scaled value off a state.
    pub readout: Vec<f64>,
    /// Scaled value where `readout · state` is 0.
    pub offset: f64,
    /// Mean of the gene (of its logarithm, or as the column has it) over the fitted cells.
    pub mean: f64,
    /// Standard deviation likewise.
    pub sd: f64,
}

impl GeneAxis {
    /// The gene's scaled value in a state.
    pub fn value(&self, state: &[f32]) -> f64 {
        self.readout.iter().zip(state).fold(self.offset, |sum, (r, &x)| sum + r * f64::from(x))
    }

    /// The gene's scaled value for a value in its own units.
    pub fn scaled(&self, value: f64) -> f64 {
        (value - self.mean) / self.sd
    }

    /// Moves a state by `amount` standard deviations of the gene.
    pub fn shift(&self, amount: f64, state: &mut [f32]) {
        for (x, d) in state.iter_mut().zip(&self.direction) {
            *x = (f64::from(*x) + amount * d) as f32;
        }
    }

    /// How much of a change of this gene the coordinates hold: its scaled value moves by so much for each
    /// standard deviation of [`shift`](Self::shift). 1 for a column, the squared length of its loadings for components.
    pub fn held(&self) -> f64 {
        self.readout.iter().zip(&self.direction).map(|(r, d)| r * d).sum()
    }

    /// Moves a state along `direction` until the gene's scaled value is `value`.
    pub fn clamp(&self, value: f64, state: &mut [f32]) {
        self.shift((value - self.value(state)) / self.held(), state);
    }
}

/// In which units [`StateSpace::decode`] gives expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneUnit {
    /// Standard deviations from the mean of the fitted cells.
    Scaled,
    /// The data's own: logarithms of expression, or as the column has it.
    Data,
}

/// Why a state space could not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateSpaceError {
    /// The basis says nothing of genes.
    #[error(
        "genes cannot be set or read in the basis `{key}`: {missing}; fit with `--basis none`, and chreode makes components with known loadings"
    )]
    NoGenes {
        /// Key of the basis.
        key: String,
        /// What is missing.
        missing: MissingLoadings,
    },
    /// There is no such gene.
    #[error("the model has no gene `{gene}`; {known}")]
    NoSuchGene {
        /// The gene asked for.
        gene: String,
        /// The genes there are.
        known: Box<Known>,
    },
    /// The gene was not among those that PCA used, or never varied.
    #[error(
        "gene `{gene}` has no part in the coordinates (not among the variable genes, or named more than once), so it cannot be set or read"
    )]
    Unused {
        /// The gene.
        gene: String,
    },
    /// New cells do not fit the transform.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
}

impl StateSpace {
    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        match self {
            Self::Columns(s) => s.names.len(),
            Self::GivenPca(s) => s.dim,
            Self::GivenBasis(s) => s.dim,
            Self::OwnPca(s) => s.dim(),
        }
    }

    /// Names of the coordinates, as axes of a plot show them.
    pub fn coordinate_names(&self) -> Vec<String> {
        let numbered = |name: &str, n: usize| (1..=n).map(|i| format!("{name}{i}")).collect();
        match self {
            Self::Columns(s) => s.names.clone(),
            Self::GivenPca(s) => numbered("PC", s.dim),
            Self::GivenBasis(s) => numbered(&format!("{}_", s.key.trim_start_matches("X_")), s.dim),
            Self::OwnPca(s) => numbered("PC", s.dim()),
        }
    }

    /// Genes that [`gene_axis`](Self::gene_axis) knows; none if the basis says nothing of genes.
    pub fn genes(&self) -> Vec<&str> {
        match self {
            Self::Columns(s) => pick_names(&s.names, |j| s.sd[j] > 0.0),
            Self::GivenPca(s) => pick_names(&s.genes, |j| s.used(j)),
            Self::GivenBasis(_) => Vec::new(),
            Self::OwnPca(s) => pick_names(&s.genes, |_| true),
        }
    }

    /// How a gene lies in the state space.
    ///
    /// # Errors
    /// [`StateSpaceError::NoGenes`], [`StateSpaceError::NoSuchGene`], [`StateSpaceError::Unused`].
    pub fn gene_axis(&self, gene: &str) -> Result<GeneAxis, StateSpaceError> {
        let names = match self {
            Self::Columns(s) => &s.names,
            Self::GivenPca(s) => &s.genes,
            Self::OwnPca(s) => &s.genes,
            Self::GivenBasis(s) => {
                return Err(StateSpaceError::NoGenes { key: s.key.clone(), missing: s.missing });
            }
        };
        let unused = Err(StateSpaceError::Unused { gene: gene.to_owned() });
        let Some(j) = names.iter().position(|g| g == gene) else {
            return match self {
                Self::OwnPca(s) if s.counted.iter().any(|g| g == gene) => unused,
                _ => Err(StateSpaceError::NoSuchGene {
                    gene: gene.to_owned(),
                    known: Box::new(Known::near(gene, names.iter().map(String::as_str))),
                }),
            };
        };
        let pca = |loadings: Vec<f64>, offset: f64, mean: f64, sd: f64| GeneAxis {
            gene: gene.to_owned(),
            direction: loadings.clone(),
            readout: loadings,
            offset,
            mean,
            sd,
        };
        Ok(match self {
            Self::Columns(s) if s.sd[j] > 0.0 => {
                let unit = |x: f64| (0..s.names.len()).map(|i| if i == j { x } else { 0.0 }).collect();
                GeneAxis {
                    gene: gene.to_owned(),
                    direction: unit(s.sd[j]),
                    readout: unit(1.0 / s.sd[j]),
                    offset: -s.mean[j] / s.sd[j],
                    mean: s.mean[j],
                    sd: s.sd[j],
                }
            }
            Self::GivenPca(s) if s.used(j) => {
                let row = s.row(j).iter().map(|&x| f64::from(x)).collect();
                pca(row, 0.0, s.mean[j], s.sd[j])
            }
            Self::OwnPca(s) => {
                let k = s.dim();
                pca(s.loadings[j * k..(j + 1) * k].to_vec(), s.centre[j], s.mean[j], s.sd[j])
            }
            _ => return unused,
        })
    }

    /// Expression of some genes in states `[n, dim]`: `[n, genes]`. Of principal components it is what they
    /// keep of the expression.
    ///
    /// # Errors
    /// As [`gene_axis`](Self::gene_axis).
    pub fn decode(
        &self,
        states: &[f32],
        genes: &[&str],
        unit: GeneUnit,
    ) -> Result<Vec<f32>, StateSpaceError> {
        let axes = genes.iter().map(|g| self.gene_axis(g)).collect::<Result<Vec<_>, _>>()?;
        let mut out = Vec::with_capacity(states.len() / self.dim().max(1) * genes.len());
        for state in states.chunks_exact(self.dim().max(1)) {
            out.extend(axes.iter().map(|axis| {
                let z = axis.value(state);
                let x = match unit {
                    GeneUnit::Scaled => z,
                    GeneUnit::Data => axis.mean + axis.sd * z,
                };
                x as f32
            }));
        }
        Ok(out)
    }

    /// States `[n, dim]` of new cells from their expression, genes matched by name.
    ///
    /// Expression is in the units of the fitted file: what its matrix held for components made here, logarithms before scaling
    /// for given ones, the columns themselves for columns.
    ///
    /// # Errors
    /// [`StateSpaceError::NoGenes`] for a basis without loadings, [`StateSpaceError::NoSuchGene`] for a column that is missing,
    /// [`StateSpaceError::Preprocess`].
    pub fn project(&self, expression: &Matrix, genes: &[String]) -> Result<Vec<f32>, StateSpaceError> {
        let place = |gene: &String| {
            genes.iter().position(|g| g == gene).ok_or_else(|| StateSpaceError::NoSuchGene {
                gene: gene.clone(),
                known: Box::new(Known::near(gene, genes.iter().map(String::as_str))),
            })
        };
        match self {
            Self::Columns(s) => {
                let columns = s.names.iter().map(place).collect::<Result<Vec<_>, _>>()?;
                Ok(expression.select_columns(&columns).into_dense().values)
            }
            Self::GivenBasis(s) => Err(StateSpaceError::NoGenes { key: s.key.clone(), missing: s.missing }),
            Self::OwnPca(s) => Ok(s.apply(expression, genes)?),
            Self::GivenPca(s) => {
                let used: Vec<usize> = (0..s.genes.len()).filter(|&j| s.used(j)).collect();
                let columns = used.iter().map(|&j| place(&s.genes[j])).collect::<Result<Vec<_>, _>>()?;
                let x = expression.select_columns(&columns);
                let mut zero = vec![0.0; s.dim];
                for &j in &used {
                    for (sum, &w) in zero.iter_mut().zip(s.row(j)) {
                        *sum -= s.mean[j] / s.sd[j] * f64::from(w);
                    }
                }
                let mut states = Vec::with_capacity(x.rows() * s.dim);
                for i in 0..x.rows() {
                    let mut sum = zero.clone();
                    x.for_row(i, |c, v| {
                        let z = f64::from(v) / s.sd[used[c]];
                        for (sum, &w) in sum.iter_mut().zip(s.row(used[c])) {
                            *sum += z * f64::from(w);
                        }
                    });
                    states.extend(sum.iter().map(|&x| x as f32));
                }
                Ok(states)
            }
        }
    }
}

impl ColumnSpace {
    /// Columns with the mean and standard deviation of `states`, `[n, names.len()]`.
    ///
    /// # Errors
    /// [`TrainError::States`] if they cannot be read.
    pub fn of(names: Vec<String>, states: &States<f32>) -> Result<Self, TrainError> {
        let (mean, sd) = mean_and_sd_of(&[states], names.len(), 1)?;
        Ok(Self { names, mean, sd })
    }
}

impl GivenPca {
    fn row(&self, gene: usize) -> &[f32] {
        &self.loadings[gene * self.dim..(gene + 1) * self.dim]
    }

    fn used(&self, gene: usize) -> bool {
        self.sd[gene] > 0.0 && self.mean[gene].is_finite() && self.row(gene).iter().any(|&w| w != 0.0)
    }
}

fn pick_names(names: &[String], keep: impl Fn(usize) -> bool) -> Vec<&str> {
    names.iter().enumerate().filter(|&(j, _)| keep(j)).map(|(_, n)| n.as_str()).collect()
}
