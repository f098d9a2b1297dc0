//! The pairs of cells that couplings join, drawn once.

use super::{BridgeNoise, MatchingConfig};
use crate::coupling::{Clones, Coupling, CouplingConfig, Extension, Kinship, Relatives, blur_over};
use crate::split::{Sampler, Split};
use crate::trainer::scale;
use crate::{GrowthUse, Snapshots, TrainError};
use chreode_core::{Real, sub_seed};
use chreode_linalg::{Cholesky, LinalgError, symmetric_eigen};
use rand::{RngExt as _, SeedableRng};
use rand_pcg::Pcg64;

/// Pairs that are drawn for a start cell of mean weight.
const PAIRS: f64 = 16.0;
/// Least variance of a bridge as part of the blur: the logarithm of the noise stays bounded.
const LEAST: f64 = 1e-3;
/// Coupled cells with a smaller part of a start cell's mass add nothing to a covariance.
const LEAST_PART: f64 = 1e-9;

/// Start and end of a bridge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Row of [`Gap::variance`] and [`Gap::log_growth`].
    pub(crate) source: u32,
}

/// The bridges of a population between two neighbouring times.
#[derive(Debug, Clone)]
pub(crate) struct Gap<T> {
    /// Numbers of the two times.
    pub(crate) times: [usize; 2],
    /// Time between them.
    pub(crate) span: f64,
    /// The population's part of the cells at the first.
    pub(crate) share: f64,
    pub(crate) pairs: Vec<Pair>,
    /// Number of the first pair of each coupled start cell, which has one at least, `[sources]`.
    pub(crate) first: Vec<usize>,
    /// For each coupled start cell the variance of a bridge over the whole gap, `[sources, d]`, in squared units of the state.
    /// Empty where coordinates have noise in common.
    pub(crate) variance: Vec<T>,
    /// Where they have, Cholesky's factor of the covariance instead, its lower triangle row by row: `[sources, d (d + 1) / 2]`.
    pub(crate) factor: Vec<T>,
    /// For each coupled start cell the logarithm of its descendants relative to the mean, `[sources]`.
    pub(crate) log_growth: Vec<T>,
    /// Largest residual of the couplings.
    pub(crate) residual: f64,
    /// Where bridges with the noise of the blur end, a coupling each; empty with other noise.
    pub(crate) ends: Vec<Extension<T>>,
    /// Start cells of each coupling.
    pub(crate) sources: usize,
}

/// The bridges of all gaps, of all populations over one gap after another.
#[derive(Debug, Clone)]
pub(crate) struct Bridges<T> {
    pub(crate) gaps: Vec<Gap<T>>,
}

impl<T: Real> Bridges<T> {
    /// Couples the training cells of neighbouring times `kept`, of each population alone: a function of data, split, settings and seed. With `correlated`, bridges have
    /// the covariance of the cells to which their start is coupled.
    ///
    /// # Errors
    /// Those of [`Coupling::solve`].
    pub(crate) fn new(
        data: &Snapshots<T>,
        split: &Split,
        kept: &[usize],
        inverse_scale: &[T],
        growth: GrowthUse,
        config: &MatchingConfig,
        correlated: bool,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let mut rng = Pcg64::seed_from_u64(sub_seed(seed, "couplings"));
        let clones =
            config.clone_neighbours.map(|_| Clones::new(data, split, kept, inverse_scale)).transpose()?;
        let clones = clones.as_ref();
        let gaps = kept
            .windows(2)
            .flat_map(|times| {
                (0..data.n_populations()).map(move |population| ([times[0], times[1]], population))
            })
            .map(|(times, population)| {
                let cells = (data, split, clones, population);
                gap(cells, kept, times, inverse_scale, growth, config, correlated, &mut rng)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { gaps })
    }
}

fn gap<T: Real>(
    (data, split, clones, population): (&Snapshots<T>, &Split, Option<&Clones<T>>, usize),
    kept: &[usize],
    times: [usize; 2],
    inverse_scale: &[T],
    growth: GrowthUse,
    config: &MatchingConfig,
    correlated: bool,
    rng: &mut Pcg64,
) -> Result<Gap<T>, TrainError> {
    let d = data.dim;
    let span = data.times[times[1]] - data.times[times[0]];
    let mut samplers = times.map(|t| Sampler::new(&data.rows_of(population, t, &split.train[t])));
    let sizes = [0, 1].map(|k| samplers[k].len().min(config.cells));
    let all = samplers[0].len().max(samplers[1].len());
    let couplings = all.div_ceil(config.cells).min(config.couplings);
    let until = kept.iter().take_while(|&&k| k <= times[0]).count();
    let kept: Vec<f64> = kept.iter().map(|&k| data.times[k]).collect();
    let epsilon = blur_over(config.epsilon, span, &kept);
    let mut solver = CouplingConfig::balanced(epsilon);
    let mut gap = Gap {
        times,
        span,
        share: data.share(population, times[0]),
        pairs: Vec::new(),
        first: Vec::new(),
        variance: Vec::new(),
        factor: Vec::new(),
        log_growth: Vec::new(),
        residual: 0.0,
        ends: Vec::new(),
        sources: sizes[0],
    };
    let mut rows = sizes.map(|n| vec![0; n]);
    let mut states = sizes.map(|n| vec![T::ZERO; n * d]);
    let mut plan = vec![T::ZERO; sizes[1]];
    let (mut mean, mut square) = (vec![0.0; d], vec![0.0; d]);
    let mut covariance = vec![0.0; d * d];
    for _ in 0..couplings {
        for k in 0..2 {
            samplers[k].draw(rng, &mut rows[k]);
            data.states[times[k]].gather(d, &rows[k], &mut states[k])?;
            scale(&mut states[k], inverse_scale);
        }
        let log_weights: Vec<T> = match growth {
            GrowthUse::Column => {
                rows[0].iter().map(|&r| T::c(span) * data.growth[times[0]][r as usize]).collect()
            }
            GrowthUse::None | GrowthUse::Learned => Vec::new(),
        };
        let solve = |solver: &CouplingConfig, kinship: Option<&Kinship<T>>| {
            Coupling::solve_among_kin(d, &states[0], &log_weights, &states[1], kinship, solver)
        };
        if growth != GrowthUse::None && solver.relaxation.is_infinite() {
            // What transport alone costs: growth has the same price with clones as without.
            solver = CouplingConfig::open(&solve(&solver, None)?, epsilon, config.relaxation);
        }
        let of_clones = clones.zip(config.clone_neighbours).map(|(clones, neighbours)| {
            (clones, neighbours, [0, 1].map(|k| clones.of(data, times[k], &rows[k])))
        });
        let kin = |potentials: &[T]| {
            of_clones.as_ref().map(|(clones, neighbours, [before, after])| {
                let [x, y] = [&states[0][..], &states[1]];
                let relatives = Relatives { rows: before, columns: after, x, y, epsilon, potentials };
                Kinship::new(clones, &relatives, until, *neighbours)
            })
        };
        let mut kinship = kin(&[]);
        let mut coupling = solve(&solver, kinship.as_ref())?;
        for _ in 1..if kinship.is_some() { Kinship::<T>::PASSES } else { 1 } {
            kinship = kin(coupling.row_potentials());
            coupling = solve(&solver, kinship.as_ref())?;
        }
        gap.residual = gap.residual.max(coupling.residual);
        if config.noise == BridgeNoise::Blur {
            let ends = Extension::new(d, &states[1], coupling.column_potentials(), epsilon);
            gap.ends.push(ends.among_kin(kinship));
        }
        // Stratified over rows and within them: every cell gets the pairs that its mass deserves, up to one, and one at least.
        let mut carry = rng.random::<f64>();
        for (i, &start) in rows[0].iter().enumerate() {
            coupling.row(i, &mut plan);
            let mass: f64 = plan.iter().map(|p| p.f64()).sum();
            let mass = mass.max(f64::MIN_POSITIVE);
            let source = gap.log_growth.len() as u32;
            gap.first.push(gap.pairs.len());
            gap.log_growth.push(T::c((mass * sizes[0] as f64).ln()));
            mean.fill(0.0);
            square.fill(0.0);
            for (p, y) in plan.iter().zip(states[1].chunks_exact(d)) {
                let p = p.f64() / mass;
                if p > 0.0 {
                    for k in 0..d {
                        let y = y[k].f64();
                        mean[k] += p * y;
                        square[k] += p * y * y;
                    }
                }
            }
            if correlated {
                covariance.fill(0.0);
                for (p, y) in plan.iter().zip(states[1].chunks_exact(d)) {
                    let p = p.f64() / mass;
                    if p > LEAST_PART {
                        for i in 0..d {
                            let from = p * (y[i].f64() - mean[i]);
                            for j in 0..=i {
                                covariance[i * d + j] += from * (y[j].f64() - mean[j]);
                            }
                        }
                    }
                }
                push_factor(&covariance, epsilon, inverse_scale, &mut gap.factor)
                    .map_err(|source| TrainError::Covariance { source })?;
            }
            let variance = |k: usize| {
                let variance = square[k] - mean[k] * mean[k];
                let unit = inverse_scale[k].f64().powi(2);
                let variance = match config.noise {
                    BridgeNoise::Spread => variance.clamp(LEAST * epsilon, epsilon),
                    BridgeNoise::Blur => epsilon,
                };
                T::c(variance / unit)
            };
            if !correlated {
                gap.variance.extend((0..d).map(variance));
            }
            let wanted = carry + PAIRS * mass * sizes[0] as f64;
            let count = wanted.floor().max(1.0);
            carry = wanted - count;
            let (mut sum, mut j) = (plan[0].f64(), 0);
            let shift = rng.random::<f64>();
            for k in 0..count as usize {
                let at = (k as f64 + shift) / count * mass;
                while sum < at && j + 1 < plan.len() {
                    j += 1;
                    sum += plan[j].f64();
                }
                gap.pairs.push(Pair { start, end: rows[1][j], source });
            }
        }
    }
    Ok(gap)
}

/// Appends the factor of a covariance of scaled states, `[d, d]`, in units of the state. Along each of its axes the variance is at most that
/// of the blur, as a coordinate's is, and not zero.
fn push_factor<T: Real>(
    covariance: &[f64],
    epsilon: f64,
    inverse_scale: &[T],
    factor: &mut Vec<T>,
) -> Result<(), LinalgError> {
    let d = inverse_scale.len();
    let axes = symmetric_eigen(covariance, d)?;
    let mut bounded = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let of = |(k, value): (usize, &f64)| {
                value.clamp(LEAST * epsilon, epsilon) * axes.vectors[i * d + k] * axes.vectors[j * d + k]
            };
            bounded[i * d + j] = axes.values.iter().enumerate().map(of).sum();
        }
    }
    let l = Cholesky::factor(&bounded, d)?;
    for (i, scale) in inverse_scale.iter().enumerate() {
        factor.extend((0..=i).map(|j| T::c(l.l(i, j) / scale.f64())));
    }
    Ok(())
}
