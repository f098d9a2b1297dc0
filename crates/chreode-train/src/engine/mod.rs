//! Engines: simulate many paths and pull a loss's gradient back to the parameters.
//!
//! Two calls, `simulate` and `pull_back`. There is one engine, on the processor's cores: [`CpuEngine`].

mod cpu;

pub use cpu::{CpuEngine, EngineError, Segment};
