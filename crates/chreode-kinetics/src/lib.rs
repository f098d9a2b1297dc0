//! Measured concentrations: kinetic models in SBML, and problems in PEtab that say under which conditions what was measured.
//!
//! Start with [`Model::open`] and a [`Simulator`], or with a [`Problem`] for measurements.
//!
//! Not here: solvers (`chreode-solve`), derivatives of recorded models (`chreode-autodiff`).

mod error;
mod math;
mod model;
mod petab;
mod sbml;
mod simulate;

pub use error::{KineticsError, SimulationError};
pub use math::MathError;
pub use model::{Model, QuantityKind};
pub use petab::{
    Likelihood, Measurement, NoiseDistribution, ParameterRow, PetabError, Problem, Scale, Simulation,
    Transformation,
};
pub use sbml::SbmlError;
pub use simulate::{Simulator, Tolerances, Trajectory};
