//! Derivatives of models that are written once, as a [`Dynamics`](chreode_core::Dynamics).
//!
//! Start with [`Auto`]: from one generic function it makes a field with Jacobian-vector products, the Jacobian (dense,
//! or sparse by colours), vector-Jacobian products and their derivatives, for one trajectory or many; [`AutoSde`] makes a stochastic
//! equation from two. What they are made of can be used by itself:
//!
//! * [`Dual`]: numbers that carry derivatives forward, also nested (second derivatives).
//! * [`Tape`] and [`Var`]: reverse mode for one call of any function, in memory that is used again.
//! * [`Program`]: a model recorded as a list of operations. It gives sparsity and C code, and is replayed forward and
//!   backward on any number type. A [`Map`] is what can be recorded; its Jacobian can be too.
//!
//! Reading path: `dual.rs`, `var.rs`, `graph.rs` (recording), `program.rs`, `schedule.rs` (the order of its steps) and `replay.rs`; `map.rs` and
//! `pull.rs` (derivatives as programs), `sweep.rs` (coloured sweeps), `auto.rs`, `tangent.rs` (second derivatives). Not here: gradients through a solve (`chreode-adjoint`), the models themselves.

mod auto;
mod batch;
mod c_code;
mod dual;
mod graph;
mod map;
mod program;
mod pull;
mod replay;
mod schedule;
mod scratch;
mod sde;
mod small;
mod sums;
mod sweep;
mod tangent;
mod var;

pub use auto::Auto;
pub use dual::Dual;
pub use map::Map;
pub use program::Program;
pub use replay::Replay;
pub use sde::{AutoSde, DimensionMismatch, NotIto};
pub use var::{Tape, Var};
