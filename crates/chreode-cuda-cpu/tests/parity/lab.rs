//! A device to test on, and how to compare.

use chreode_cuda::{Buffer, Device, Element, Stream};
use chreode_cuda_cpu::{StandIn, Variant};

/// Names the driver that tests use: the stand-in, unless it is `gpu`.
const CHOICE: &str = "CHREODE_CUDA";

/// A stream, and the stand-in if it is one.
pub(crate) struct Lab {
    pub(crate) stream: Stream,
    pub(crate) stand_in: Option<&'static StandIn>,
}

/// The stand-in; none, with a line that says why, if it cannot be built or a GPU was asked for.
pub(crate) fn stand_in() -> Option<&'static StandIn> {
    if std::env::var_os(CHOICE).is_some_and(|v| v == "gpu") {
        println!("skipped: {CHOICE} asks for a GPU");
        return None;
    }
    match StandIn::load(Variant::Whole) {
        Ok(stand_in) => Some(stand_in),
        Err(error @ chreode_cuda_cpu::StandInError::NoCompiler { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A device; none, with a line that says why, if there is none.
pub(crate) fn lab() -> Option<Lab> {
    let stand_in =
        if std::env::var_os(CHOICE).is_some_and(|v| v == "gpu") { None } else { Some(stand_in()?) };
    let stream = Device::open(0).expect("the device opens").stream().expect("the device has room");
    Some(Lab { stream, stand_in })
}

impl Lab {
    /// Runs `f` with the threads of a block in both orders: the same bits, or a barrier is missing.
    pub(crate) fn both_orders(&self, f: impl Fn(&Stream) -> Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        let bits = |all: &[Vec<f32>]| -> Vec<Vec<u32>> {
            all.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
        };
        let once = f(&self.stream);
        if let Some(stand_in) = self.stand_in {
            stand_in.reversed(true);
        }
        let again = f(&self.stream);
        if let Some(stand_in) = self.stand_in {
            stand_in.reversed(false);
        }
        assert_eq!(
            bits(&once),
            bits(&again),
            "the order of threads shows in the result, or the run is not repeatable"
        );
        once
    }

    pub(crate) fn upload<T: Element>(&self, values: &[T]) -> Buffer<T> {
        self.stream.upload(values).unwrap()
    }
}

/// The largest difference in units of the largest value of `want` (of one, if that is smaller).
pub(crate) fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0_f32, |m, w| m.max(w.abs()));
    got.iter().zip(want).fold(0.0, |m, (g, w)| {
        let d = (g - w).abs() / scale;
        if d > m || d.is_nan() { d } else { m }
    })
}

/// Whether they agree; NaN agrees with nothing.
pub(crate) fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let d = difference(got, want);
    assert!(d <= tolerance, "{what}: off by {d:e}, {tolerance:e} is allowed");
}

/// In units of the largest, however small that is.
pub(crate) fn close_in_units(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let scale = want.iter().fold(1e-6_f32, |s, v| s.max(v.abs()));
    let unit = |v: &[f32]| v.iter().map(|v| v / scale).collect::<Vec<f32>>();
    close(what, &unit(got), &unit(want), tolerance);
}

/// Numbers between -1 and 1 that look random, the same at every run.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    chreode_core::BrownianIncrements::new(seed).fill(0, 0, 1, 1.0, &mut out);
    out.iter().map(|x: &f32| (x * 0.6).clamp(-1.0, 1.0)).collect()
}

/// So many random shapes; no more than `CHREODE_CASES` says, under tools that slow every launch down.
pub(crate) fn tries(n: u32) -> proptest::prelude::ProptestConfig {
    let most = std::env::var("CHREODE_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(n);
    proptest::prelude::ProptestConfig::with_cases(n.min(most))
}

/// Sizes where tiles end: none, one, around a warp and a tile, primes.
pub(crate) fn sizes() -> impl proptest::strategy::Strategy<Value = usize> {
    use proptest::prelude::*;
    prop_oneof![
        prop::sample::select(vec![0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 131]),
        1_usize..140
    ]
}
