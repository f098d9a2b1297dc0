//! Copies that nobody waits for, from page-locked memory of the host and to it.

use crate::lab::{lab, numbers, sizes, tries};
use chreode_cuda::CudaError;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

proptest! {
    #![proptest_config(tries(16))]

    /// There, on to another buffer and back, twice through the same memory: what comes back is what went, and nobody sees it before it is there.
    #[test]
    fn there_and_back(n in sizes(), seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let stream = &lab.stream;
        let [mut from, mut back] = [(); 2].map(|()| stream.host_zeros::<f32>(n).unwrap());
        prop_assert!(from.len() == n && from.is_empty() == (n == 0) && from.values().iter().all(|&v| v == 0.0));
        let [mut there, mut beside] = [(); 2].map(|()| stream.zeros::<f32>(n).unwrap());
        for round in 0..2 {
            let sent = numbers(seed ^ round, n);
            from.fill_from(&sent).unwrap();
            there.write_from(&mut from).unwrap();
            beside.copy_from(&there).unwrap();
            beside.read_into(&mut back).unwrap();
            // What is put on the stream afterwards does not show in what was read before.
            there.fill_zero().unwrap();
            beside.copy_from(&there).unwrap();
            let early = catch_unwind(AssertUnwindSafe(|| back.values().len()));
            prop_assert_eq!(early.is_err(), n > 0);
            back.wait().unwrap();
            prop_assert_eq!(back.values(), &sent[..]);
            prop_assert_eq!(beside.to_vec().unwrap(), vec![0.0; n]);
        }
        // On from the host's memory without a wait: what came there before goes.
        let sent = numbers(seed ^ 2, n);
        from.fill_from(&sent).unwrap();
        there.write_from(&mut from).unwrap();
        there.read_into(&mut back).unwrap();
        beside.write_from(&mut back).unwrap();
        prop_assert_eq!(beside.to_vec().unwrap(), sent);
        prop_assert_eq!(back.values_mut().unwrap().len(), n);
    }
}

#[test]
fn wrong_sizes_and_streams() {
    let Some(lab) = lab() else { return };
    let other = lab.stream.device().stream().unwrap();
    let mut there = lab.stream.zeros::<f32>(4).unwrap();
    let [mut short, mut foreign] =
        [(&lab.stream, 3), (&other, 4)].map(|(s, n)| s.host_zeros::<f32>(n).unwrap());
    assert!(matches!(there.write_from(&mut short), Err(CudaError::Shape { expected: 4, got: 3, .. })));
    assert!(matches!(there.read_into(&mut short), Err(CudaError::Shape { expected: 4, got: 3, .. })));
    assert!(matches!(there.write_from(&mut foreign), Err(CudaError::OtherStream { .. })));
    assert!(matches!(there.read_into(&mut foreign), Err(CudaError::OtherStream { .. })));
    assert!(matches!(short.fill_from(&[0.0; 2]), Err(CudaError::Shape { expected: 3, got: 2, .. })));
    // None of it is under way.
    assert_eq!((short.values(), foreign.values()), (&[0.0; 3][..], &[0.0; 4][..]));
    let huge = lab.stream.host_zeros::<f32>(usize::MAX).err();
    assert_eq!(huge, Some(CudaError::HostMemory { requested: usize::MAX }));
}
