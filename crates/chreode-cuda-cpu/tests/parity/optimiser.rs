//! Updates of parameters.

use crate::lab::{close, lab, numbers, sizes, tries};
use chreode_cuda::{Adam, CudaError, RmsProp, adam, rmsprop};
use chreode_train::{Optimiser, OptimiserConfig};
use proptest::prelude::*;

proptest! {
    #![proptest_config(tries(16))]

    /// Twelve updates, 2e-6 of the parameters.
    #[test]
    fn adam_updates(n in sizes(), decay in prop_oneof![Just(0.0), Just(0.1)], seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let config = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: decay };
        let twin = OptimiserConfig::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: decay };
        let start = numbers(seed, n);
        let got = lab.both_orders(|stream| {
            let mut p = stream.upload(&start).unwrap();
            let [mut first, mut second] = [(); 2].map(|()| stream.zeros(n).unwrap());
            for k in 1..=12 {
                let gradient = stream.upload(&numbers(seed ^ k, n)).unwrap();
                adam(config, k, 0.01, &gradient, &mut first, &mut second, &mut p).unwrap();
            }
            vec![p.to_vec().unwrap()]
        });
        let (mut p, mut optimiser) = (start, Optimiser::new(twin, n));
        for k in 1..=12 {
            optimiser.update(&mut p, &numbers(seed ^ k, n), 0.01).unwrap();
        }
        close("parameters", &got[0], &p, 2e-6);
        let mut all = [(); 4].map(|()| lab.stream.zeros(n).unwrap());
        let [gradient, first, second, p] = &mut all;
        let none = adam(config, 0, 0.01, gradient, first, second, p);
        prop_assert!(matches!(none, Err(CudaError::Setting { .. })), "{:?}", none);
    }

    #[test]
    fn rmsprop_updates(n in sizes(), momentum in prop_oneof![Just(0.0), Just(0.7)], seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let config = RmsProp { alpha: 0.99, eps: 1e-8, momentum };
        let start = numbers(seed, n);
        let got = lab.both_orders(|stream| {
            let mut p = stream.upload(&start).unwrap();
            let mut velocity = stream.zeros(if momentum == 0.0 { 0 } else { n }).unwrap();
            let mut second = stream.zeros(n).unwrap();
            for k in 1..=12 {
                let gradient = stream.upload(&numbers(seed ^ k, n)).unwrap();
                rmsprop(config, 0.01, &gradient, &mut velocity, &mut second, &mut p).unwrap();
            }
            vec![p.to_vec().unwrap()]
        });
        let twin = OptimiserConfig::RmsProp { alpha: 0.99, eps: 1e-8, momentum };
        let (mut p, mut optimiser) = (start, Optimiser::new(twin, n));
        for k in 1..=12 {
            optimiser.update(&mut p, &numbers(seed ^ k, n), 0.01).unwrap();
        }
        close("parameters", &got[0], &p, 5e-6);
    }
}
