//! Each kernel against its twin on the processor, at random shapes, with the threads of a block in both orders.
//!
//! On the stand-in driver, or with `CHREODE_CUDA=gpu` on the GPU that the driver finds. Without either every test says that it was skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod clouds;
mod divergence;
mod engine;
mod ensemble;
mod faults;
mod generated;
mod host;
mod lab;
mod large;
mod mlp;
mod network;
mod noise;
mod optimiser;
mod step;
mod stiff;
mod trainer;
