//! A driver that lacks a function: in a process of its own, since what is found is remembered.

use chreode_cuda::{CudaError, Device, probe};
use chreode_cuda_cpu::{StandIn, StandInError, Variant};

#[test]
fn a_missing_function_is_an_error_and_no_panic() {
    match StandIn::load(Variant::WithoutLaunch) {
        Ok(_) => {}
        Err(error @ StandInError::NoCompiler { .. }) => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(probe(), Err(CudaError::DriverLacks { symbol: "cuLaunchKernel" }));
    assert!(matches!(Device::open(0), Err(CudaError::DriverLacks { .. })));
}
