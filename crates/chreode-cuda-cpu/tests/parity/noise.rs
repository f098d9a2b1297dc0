//! The same words as the processor's, normals to rounding.

use crate::lab::{lab, sizes, tries};
use chreode_core::{BrownianIncrements, philox4x32};
use chreode_cuda::{brownian_increments, philox_words};
use proptest::prelude::*;

proptest! {
    #![proptest_config(tries(24))]

    /// Bit for bit.
    #[test]
    fn words(seed: u64, counters in prop::collection::vec(any::<[u32; 4]>(), 0..300)) {
        let Some(lab) = lab() else { return Ok(()) };
        let want: Vec<u32> =
            counters.iter().flat_map(|&c| philox4x32(c, [seed as u32, (seed >> 32) as u32])).collect();
        let counters = lab.upload(&counters.concat());
        let mut words = lab.stream.zeros(want.len()).unwrap();
        philox_words(seed, &counters, &mut words).unwrap();
        prop_assert_eq!(words.to_vec().unwrap(), want);
    }

    /// Normals are below 7; 4e-6 is the bound of the processor's own polynomials.
    #[test]
    fn increments(seed: u64, n in sizes(), d in 1_usize..10, step in 0_u32..1000, first in 0_u64..1 << 40) {
        let Some(lab) = lab() else { return Ok(()) };
        let mut dw = lab.stream.zeros(n * d).unwrap();
        brownian_increments(seed, step, first, d, 0.25, &mut dw).unwrap();
        let mut want = vec![0.0_f32; n * d];
        BrownianIncrements::new(seed).fill(u64::from(step), first, d, 0.25, &mut want);
        for (got, want) in dw.to_vec().unwrap().iter().zip(&want) {
            prop_assert!((got - want).abs() < 4e-6, "{} {}", got, want);
        }
    }
}
