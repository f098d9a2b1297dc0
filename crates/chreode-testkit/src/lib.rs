//! What the tests of every crate share: problems with known answers, order estimation, an allocation counter.

mod alloc;
mod order;
mod problems;

pub use alloc::{CountingAllocator, allocations_in};
pub use order::observed_order;
pub use problems::{SinhSde, WellSde};
