//! A machine without a driver: in a process of its own, since what is found is remembered.

use chreode_cuda::{CudaError, Device, probe};

#[test]
fn no_driver_is_an_error_and_no_panic() {
    match probe() {
        Err(CudaError::NoDriver) => {
            assert_eq!(Device::count(), Err(CudaError::NoDriver));
            assert_eq!(Device::open(0).err(), Some(CudaError::NoDriver));
            assert!(CudaError::NoDriver.to_string().contains("no CUDA driver"));
        }
        found => println!("skipped: this machine has a driver ({found:?})"),
    }
}
