//! Each kernel against its twin on the processor, at random shapes, with the threads of a block in both orders.
//!
//! On the stand-in driver, or with `CHREODE_CUDA=gpu` on the GPU that the driver finds. Without either every test says that it was skipped.

mod clouds;
mod ensemble;
mod faults;
mod lab;
mod mlp;
mod noise;
mod optimiser;
