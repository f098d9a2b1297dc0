//! What goes wrong is an error that says what: on the stand-in alone, which can be told to fail.

use crate::lab::stand_in;
use chreode_cuda::{
    Activation, Buffer, CudaError, Device, Mlp, NetShape, RmsProp, Stream, brownian_increments, nearest,
    rmsprop,
};
use chreode_cuda_cpu::{Fault, StandIn};

/// The fault's thread meets it from here on, and is well again afterwards.
struct Struck(&'static StandIn);

impl Struck {
    fn with(stand_in: &'static StandIn, fault: Fault, spared: u32) -> Self {
        stand_in.fault(fault, spared);
        Self(stand_in)
    }
}

impl Drop for Struck {
    fn drop(&mut self) {
        self.0.fault(Fault::None, 0);
    }
}

fn stream() -> Stream {
    Device::open(0).unwrap().stream().unwrap()
}

#[test]
fn devices_that_cannot_be_opened() {
    let Some(stand_in) = stand_in() else { return };
    assert_eq!(Device::count(), Ok(1));
    assert_eq!(Device::open(3).err(), Some(CudaError::NoSuchDevice { ordinal: 3, count: 1 }));
    {
        let _struck = Struck::with(stand_in, Fault::NoDevice, 0);
        assert_eq!(Device::open(0).err(), Some(CudaError::NoDevice));
    }
    {
        let _struck = Struck::with(stand_in, Fault::OldDevice, 0);
        let refused = Device::open(0).err();
        assert!(
            matches!(refused, Some(CudaError::UnsupportedDevice { major: 7, minor: 0, .. })),
            "{refused:?}"
        );
    }
    assert_eq!(Device::open(0).unwrap().info().capability, (9, 0));
}

#[test]
fn out_of_memory() {
    let Some(stand_in) = stand_in() else { return };
    let stream = stream();
    let huge = stream.zeros::<f32>(3 << 30).err();
    assert!(
        matches!(huge, Some(CudaError::OutOfMemory { requested, total, .. }) if requested == 12 << 30 && total == 4 << 30),
        "{huge:?}"
    );
    assert!(matches!(stream.zeros::<f32>(usize::MAX).err(), Some(CudaError::OutOfMemory { .. })));
    // Wherever it strikes, what was taken before is given back, and the next run is well.
    let shape = NetShape { widths: vec![3, 5, 2], activation: Activation::Tanh, offset: 0 };
    for spared in 0..3 {
        let _struck = Struck::with(stand_in, Fault::OutOfMemory, spared);
        let failed = Mlp::new(&stream, shape.clone(), 10).err();
        assert!(matches!(failed, Some(CudaError::OutOfMemory { .. })), "{spared} {failed:?}");
    }
    assert!(Mlp::new(&stream, shape, 10).is_ok());
    let _struck = Struck::with(stand_in, Fault::OutOfMemory, 0);
    let locked = stream.host_zeros::<f32>(7).err();
    assert_eq!(locked, Some(CudaError::HostMemory { requested: 28 }));
}

#[test]
fn failed_launches() {
    let Some(stand_in) = stand_in() else { return };
    let stream = stream();
    let mut dw = stream.zeros::<f32>(8).unwrap();
    {
        let _struck = Struck::with(stand_in, Fault::LaunchFailed, 1);
        assert_eq!(brownian_increments(1, 0, 0, 2, 1.0, &mut dw), Ok(()));
        let failed = brownian_increments(1, 0, 0, 2, 1.0, &mut dw);
        assert_eq!(failed, Err(CudaError::LaunchFailed { kernel: "brownian_increments", code: 719 }));
        // The context is of no use any more, and says so at every call.
        let after = dw.to_vec().err();
        assert!(matches!(after, Some(CudaError::DeviceLost { code: 719, .. })), "{after:?}");
    }
    assert!(dw.to_vec().is_ok());
}

#[test]
fn missing_kernels() {
    let Some(stand_in) = stand_in() else { return };
    let stream = stream();
    let mut dw = stream.zeros::<f32>(8).unwrap();
    {
        let _struck = Struck::with(stand_in, Fault::MissingKernel, 0);
        let failed = brownian_increments(1, 0, 0, 2, 1.0, &mut dw);
        assert_eq!(failed, Err(CudaError::MissingKernel { kernel: "brownian_increments" }));
    }
    assert_eq!(brownian_increments(1, 0, 0, 2, 1.0, &mut dw), Ok(()));
}

#[test]
fn lost_devices() {
    let Some(stand_in) = stand_in() else { return };
    // Each call in turn is the first to meet it: no panic, and always the same error.
    for spared in 0..12 {
        let _struck = Struck::with(stand_in, Fault::DeviceLost, spared);
        let run = || {
            let stream = Device::open(0)?.stream()?;
            let mut dw = stream.zeros::<f32>(8)?;
            brownian_increments(1, 0, 0, 2, 1.0, &mut dw)?;
            dw.to_vec()
        };
        let failed = run().err();
        assert!(matches!(failed, Some(CudaError::DeviceLost { code: 46, .. })), "{spared}: {failed:?}");
    }
}

/// The same while copies are under way that nobody waited for, at each call up to the last: their memory is given back all the same.
#[test]
fn lost_devices_with_copies_under_way() {
    let Some(stand_in) = stand_in() else { return };
    let run = || {
        let stream = Device::open(0)?.stream()?;
        let [mut from, mut back] = [stream.host_zeros::<f32>(8)?, stream.host_zeros(8)?];
        let mut dw = stream.zeros::<f32>(8)?;
        dw.write_from(&mut from)?;
        brownian_increments(1, 0, 0, 2, 1.0, &mut dw)?;
        dw.read_into(&mut back)?;
        back.wait()
    };
    let (before, mut spared) = (stand_in.locked(), 0);
    loop {
        let _struck = Struck::with(stand_in, Fault::DeviceLost, spared);
        let ended = run();
        assert_eq!(stand_in.locked(), before, "{spared}");
        match ended {
            Ok(()) => break,
            Err(failed) => {
                assert!(matches!(failed, CudaError::DeviceLost { code: 46, .. }), "{spared}: {failed:?}");
            }
        }
        spared += 1;
    }
    assert!(spared >= 20, "{spared} calls could have struck");
}

/// The stand-in notices what the wrappers never do.
#[test]
fn hosts_that_do_not_wait() {
    let Some(stand_in) = stand_in() else { return };
    assert_eq!([false, true].map(|frees| stand_in.hasty_host(frees)), [719, 719]);
}

#[test]
fn wrong_sizes_and_streams() {
    let Some(stand_in) = stand_in() else { return };
    let (one, other) = (stream(), stream());
    let launches = stand_in.launches();
    let mut p: Buffer<f32> = one.zeros(4).unwrap();
    let (g3, g4) = (one.zeros(3).unwrap(), other.zeros(4).unwrap());
    let (mut none, mut second) = (one.zeros(0).unwrap(), one.zeros(4).unwrap());
    let config = RmsProp { alpha: 0.9, eps: 1e-8, momentum: 0.0 };
    let short = rmsprop(config, 0.1, &g3, &mut none, &mut second, &mut p);
    assert_eq!(short, Err(CudaError::Shape { what: "gradient", expected: 4, got: 3 }));
    let foreign = rmsprop(config, 0.1, &g4, &mut none, &mut second, &mut p);
    assert_eq!(foreign, Err(CudaError::OtherStream { what: "gradient" }));
    assert!(matches!(p.write(&[0.0; 5]), Err(CudaError::Shape { expected: 4, got: 5, .. })));

    let (mut indices, mut distances) = (one.zeros(40).unwrap(), one.zeros(40).unwrap());
    let (queries, points) = (one.zeros(1).unwrap(), one.zeros(100).unwrap());
    let many = nearest(1, 40, false, &queries, &points, &mut indices, &mut distances);
    assert_eq!(many, Err(CudaError::TooLarge { what: "neighbours", got: 40, most: 32 }));
    let wide = NetShape { widths: vec![1, 100_000, 1], activation: Activation::Tanh, offset: 0 };
    assert!(matches!(Mlp::new(&one, wide, 1).err(), Some(CudaError::TooLarge { got: 100_000, .. })));
    assert_eq!(stand_in.launches(), launches); // none of it reached the device
}
