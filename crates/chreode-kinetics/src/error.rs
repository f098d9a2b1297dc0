//! Why reading or running a model failed.

use std::path::PathBuf;

use chreode_model::StoreError;
use chreode_solve::SolveError;

use crate::hybrid::HybridError;
use crate::petab::PetabError;
use crate::sbml::SbmlError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KineticsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An SBML file is wrong, or says something that is not supported.
    #[error("{}: {source}", .path.display())]
    Sbml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<SbmlError>,
    },
    /// A file of a PEtab problem is wrong, or says something that is not supported.
    #[error("{}: {source}", .path.display())]
    Petab {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<PetabError>,
    },
    /// Parameters that cannot be fitted as the table has them.
    #[error("{what}{}", named(.ids))]
    Parameters {
        /// Which.
        ids: Vec<String>,
        /// What is wrong with them.
        what: &'static str,
    },
    /// Nets that a model cannot have.
    #[error(transparent)]
    Hybrid {
        /// Why not.
        source: HybridError,
    },
    /// A file of nets could not be written or read.
    #[error(transparent)]
    Store {
        /// Why not.
        source: StoreError,
    },
    /// A condition that a problem does not have.
    #[error("the problem has no condition `{id}`; it has {}", .known.join(", "))]
    NoCondition {
        /// What was asked for.
        id: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A model could not be run under a condition of a problem.
    #[error("condition `{condition}`: {source}")]
    Condition {
        /// The condition.
        condition: String,
        /// Why not.
        source: Box<SimulationError>,
    },
}

/// Errors of running a model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The integrator failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A state has no value at the start.
    #[error("`{id}` has no initial value{}", unset(.needs))]
    NoValue {
        /// The state.
        id: String,
        /// What has no value either, and may be why.
        needs: Vec<String>,
    },
    /// The rate of change of a state is not finite at the start.
    #[error("the rate of change of `{id}` is {value} at t = {t}{}", unset(.needs))]
    NoRate {
        /// The state.
        id: String,
        /// The rate.
        value: f64,
        /// The time.
        t: f64,
        /// What has no value, and may be why.
        needs: Vec<String>,
    },
    /// A delay that is negative or not a number.
    #[error("the delay of event `{event}` is {delay} at t = {t}")]
    Delay {
        /// The event.
        event: String,
        /// The delay.
        delay: f64,
        /// The time.
        t: f64,
    },
    /// Events or switches that never end.
    #[error("more than {limit} events and switches up to t = {t}")]
    TooManyEvents {
        /// The limit.
        limit: u64,
        /// The time.
        t: f64,
    },
    /// No steady state was reached.
    #[error("no steady state: after {t} units of time `{id}` still changes, at {rate:e} per unit of time")]
    NotSteady {
        /// How long was waited.
        t: f64,
        /// The quantity that changes most.
        id: String,
        /// Its rate of change.
        rate: f64,
    },
    /// A run whose derivative does not exist, or is not computed here.
    #[error("no derivative at t = {t}: {why}")]
    NotDifferentiable {
        /// The time.
        t: f64,
        /// Why not.
        why: &'static str,
    },
    /// Something that has no chemical noise.
    #[error("chemical Langevin noise is for reactions of fixed stoichiometry: {what} is not supported")]
    Noise {
        /// What it is.
        what: String,
    },
    /// A rate whose noise nobody knows.
    #[error(
        "the rate of reaction `{reaction}` is {rate} at t = {t}: chemical Langevin noise needs rates that are finite and not \
         negative (what runs both ways is a difference whose second part depends on the products, or two reactions)"
    )]
    NoiseRate {
        /// The reaction.
        reaction: String,
        /// The rate, of one of its ways if it has two.
        rate: f64,
        /// The time.
        t: f64,
    },
    /// An amount that no number of molecules has.
    #[error(
        "the amount of `{id}` is {value} at t = {t}: chemical Langevin noise needs amounts that are not negative"
    )]
    NoiseAmount {
        /// The species.
        id: String,
        /// Its amount.
        value: f64,
        /// The time.
        t: f64,
    },
    /// Options of noise that mean nothing.
    #[error("{what} must be {must}, got {got}")]
    NoiseOption {
        /// The option.
        what: &'static str,
        /// What it must be.
        must: &'static str,
        /// What it is.
        got: f64,
    },
    /// Paths that memory cannot hold.
    #[error("{paths} paths, each of {values} numbers, are too many for memory: at most {most}")]
    NoiseSize {
        /// How many were asked for.
        paths: usize,
        /// The numbers of one: as many as it has columns, at each of its times.
        values: usize,
        /// How many could be.
        most: usize,
    },
    /// Times are not finite, or not ascending.
    #[error("times must be finite and ascend from {start}: got {t}")]
    Times {
        /// The start.
        start: f64,
        /// The first time that is wrong.
        t: f64,
    },
}

fn named(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!(": {}", ids.join(", ")) }
}

fn unset(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!("; these have no value: {}", ids.join(", ")) }
}
