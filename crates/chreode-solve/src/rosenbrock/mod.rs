//! Rosenbrock methods: implicit in the linearised equation alone, so that a step takes linear systems but no iteration.
//!
//! Start with `tableau`; `step` makes a step of any of them. Not here: the Jacobian and its factorisations (`newton`).

pub(crate) mod rodas5p;
pub(crate) mod step;
pub(crate) mod tableau;
