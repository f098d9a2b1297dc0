//! Measured concentrations: kinetic models in SBML, and problems in PEtab that say under which conditions what was measured.
//!
//! Start with [`Model::open`] and a [`Simulator`], or with a [`Problem`] for measurements.
//!
//! ```no_run
//! use chreode_kinetics::{Model, Problem, Simulator, Tolerances};
//! let model = Model::open("model.xml".as_ref())?;
//! let run = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 0.5, 1.0], false)?;
//! run.write_csv(&mut std::io::stdout())?;
//! let mut problem = Problem::open("problem.yaml".as_ref(), Tolerances::default())?;
//! let nominal = problem.nominal();
//! let simulation = problem.simulate(&nominal)?;
//! println!("{:?}", problem.likelihood(&simulation));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading path: `sbml/read.rs` (what a file says), `model/compile.rs` (what it means), `model/evaluate.rs` (computed on any number),
//! `simulate/run.rs` (run between switches and events), `petab/problem.rs`, `petab/simulate.rs`, `petab/likelihood.rs`.
//!
//! For a fit: [`Objective`], [`fit`](fit()), [`profile`](profile()), [`fit_page`]; `petab/gradient.rs`, `fit/multi.rs`.
//!
//! Not here: solvers (`chreode-solve`), minimisers (`chreode-train`), derivatives of recorded models (`chreode-autodiff`).

mod error;
mod fit;
mod hybrid;
mod math;
mod model;
mod petab;
mod sbml;
mod simulate;
mod text;

pub use error::{KineticsError, SimulationError};
pub use fit::{
    End, Fit, FitMethod, FitOptions, Fits, Profile, ProfileOptions, ProfilePoint, fit, fit_page, profile,
};
pub use hybrid::{
    Along, AlongNet, Drift, Gate, HybridConfig, HybridError, HybridRequest, NetInput, NetOptions, NetRun,
    Part, RateNet, RateRequest, Target, hybrid_section,
};
pub use math::MathError;
pub use model::{Model, QuantityKind};
pub use petab::{
    Curve, Evaluation, Likelihood, Measurement, NoiseDistribution, Objective, ParameterRow, PetabError,
    Prior, Problem, Scale, Simulation, Transformation, elsewhere,
};
pub use sbml::SbmlError;
pub use simulate::{LangevinOptions, LangevinRun, Simulator, Tolerances, Trajectory};
