//! Virtual blood: a published blood-development network with known truth, for judging any method that
//! learns from snapshots.
//!
//! `network`: the equations, the interventions, the classifier of fates. `protocol`: the start, the
//! destructive snapshots, of clones too, and the fates of named progenitors. Truth tables with standard errors are in the
//! tests of `protocol`.
//! `score`: how good a model of it is, beside references that need no learning.
//! References: [KMST11], [WKST09], [Gil00].

mod network;
mod protocol;
mod score;

pub use network::{D, DECAY, FACTORS, Fate, Intervention, VirtualBlood};
pub use protocol::{
    CELLS_PER_TIME, CLONES, DT, END, Run, SNAPSHOT_TIMES, clone_snapshots, cross_entropy, fate_counts,
    fate_fractions, intervene, simulate_to, snapshots, start_states,
};
pub use score::{
    CalibrationBin, Effect, FieldScore, Reference, calibration, field_cells, field_score,
    imitable_interventions, spreads, true_ends,
};
