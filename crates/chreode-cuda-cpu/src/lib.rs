//! A stand-in for NVIDIA's driver, for tests alone.
//!
//! The kernel sources of `chreode-cuda` are compiled by g++ behind a shim: threads of a block are fibers, a barrier gives the processor to the
//! next one, shared memory is the block's. With the driver's calls that `chreode-cuda` makes around them this is a `libcuda.so`, which
//! [`StandIn::load`] builds (once for the same sources, in the target folder) and loads, so that the unchanged host code finds it. What
//! passes here shows logic and numbers, never speed.
//!
//! It is stricter than a GPU in what it sees: memory that nobody wrote is not a number, the end of an allocation is a page that nobody
//! may touch, a barrier that some threads do not reach is a failed launch, and threads run from the first to the last or from the last to
//! the first ([`StandIn::reversed`]), a warp as far as it goes without the others, so that a missing barrier shows. It does not model what happens at the same time: streams beside each
//! other, races between blocks, weak memory, the rounding of the hardware's approximations. In the place of the tensor cores there are plain loops, or
//! ([`Variant::TensorCores`]) their operations lane by lane.
//!
//! With [`SANITIZED`] in the environment it is built with `AddressSanitizer`, which sees more: reads and writes beside the arrays of a thread, the shared
//! memory of a block, and the allocations of a device, also inside of their pages.
//!
//! No NVIDIA header, library or compiled code is involved.

mod build;
mod control;
mod recipe;

pub use build::{SANITIZED, StandInError, Variant, WITHOUT_BARRIER, barriers, sanitizer_runtime};
pub use control::{Fault, StandIn};
