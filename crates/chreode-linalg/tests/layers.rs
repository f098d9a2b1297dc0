//! Products against plain loops in f64; bits of a row wherever it stands.

use chreode_core::Real;
use chreode_linalg::{
    Bf16Layer, Bf16Unavailable, GemmScratch, LayerShape, Transpose, gemm, layer_backward_input,
    layer_backward_params, layer_forward, pairwise_sq_dists,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

fn numbers<T: Real>(rng: &mut Pcg64Mcg, len: usize) -> Vec<T> {
    (0..len).map(|_| T::c(rng.random_range(-1.0..1.0_f64))).collect()
}

/// |value - exact| in units of ε times the sum of the magnitudes that were added.
fn check<T: Real>(value: T, exact: f64, magnitude: f64, terms: usize, what: &str) {
    let bound = T::EPSILON.f64() * (terms as f64 + 2.0) * magnitude;
    assert!((value.f64() - exact).abs() <= bound, "{what}: {value} is not {exact} within {bound:e}");
}

fn layer_agrees<T: Real>(n: usize, inp: usize, out: usize, seed: u64) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let shape = LayerShape { inp, out };
    let (x, w, b) =
        (numbers::<T>(&mut rng, n * inp), numbers::<T>(&mut rng, out * inp), numbers::<T>(&mut rng, out));
    let z_bar = numbers::<T>(&mut rng, n * out);
    let mut scratch = GemmScratch::new();
    let mut z = vec![T::c(f64::NAN); n * out];
    layer_forward(&x, &w, Some(&b), shape, &mut z, &mut scratch);
    for r in 0..n {
        for o in 0..out {
            let terms: Vec<f64> = (0..inp).map(|i| x[r * inp + i].f64() * w[o * inp + i].f64()).collect();
            let exact = b[o].f64() + terms.iter().sum::<f64>();
            let magnitude = b[o].f64().abs() + terms.iter().map(|t| t.abs()).sum::<f64>();
            check(z[r * out + o], exact, magnitude, inp, "forward");
        }
    }
    let mut x_bar = vec![T::c(f64::NAN); n * inp];
    layer_backward_input(&z_bar, &w, shape, &mut x_bar, &mut scratch);
    for r in 0..n {
        for i in 0..inp {
            let terms: Vec<f64> = (0..out).map(|o| z_bar[r * out + o].f64() * w[o * inp + i].f64()).collect();
            let magnitude = terms.iter().map(|t| t.abs()).sum::<f64>();
            check(x_bar[r * inp + i], terms.iter().sum(), magnitude, out, "backward to the input");
        }
    }
    let before = (numbers::<T>(&mut rng, out * inp), numbers::<T>(&mut rng, out));
    let (mut w_bar, mut b_bar) = before.clone();
    layer_backward_params(&z_bar, &x, shape, &mut w_bar, Some(&mut b_bar), &mut scratch);
    for o in 0..out {
        for i in 0..inp {
            let terms: Vec<f64> = (0..n).map(|r| z_bar[r * out + o].f64() * x[r * inp + i].f64()).collect();
            let old = before.0[o * inp + i].f64();
            let magnitude = old.abs() + terms.iter().map(|t| t.abs()).sum::<f64>();
            check(
                w_bar[o * inp + i],
                old + terms.iter().sum::<f64>(),
                magnitude,
                n,
                "backward to the weights",
            );
        }
        let sum: f64 = (0..n).map(|r| z_bar[r * out + o].f64()).sum();
        let magnitude = before.1[o].f64().abs() + (0..n).map(|r| z_bar[r * out + o].f64().abs()).sum::<f64>();
        check(b_bar[o], before.1[o].f64() + sum, magnitude, n, "backward to the bias");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn layers_agree_with_plain_loops(n in 0_usize..80, inp in 1_usize..90, out in 1_usize..140, seed: u64) {
        layer_agrees::<f32>(n, inp, out, seed);
        layer_agrees::<f64>(n, inp, out, seed);
    }
}

#[test]
fn layers_agree_at_sizes_around_the_tiles() {
    // Depths around one packed panel (256), widths around registers and panels, swapped and unswapped products.
    for (n, inp, out) in [
        (1, 1, 1),
        (0, 3, 2),
        (7, 255, 65),
        (6, 256, 64),
        (13, 257, 63),
        (64, 513, 17),
        (3, 600, 600),
        (1, 512, 300),
        (300, 20, 33),
        (5, 0, 3),
        (600, 4, 5),
    ] {
        layer_agrees::<f32>(n, inp, out, 7);
        layer_agrees::<f64>(n, inp, out, 8);
    }
}

fn rows_keep_their_bits<T: Real>(inp: usize, out: usize) {
    let n = 200;
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let shape = LayerShape { inp, out };
    let (x, w, b) =
        (numbers::<T>(&mut rng, n * inp), numbers::<T>(&mut rng, out * inp), numbers::<T>(&mut rng, out));
    let z_bar = numbers::<T>(&mut rng, n * out);
    let mut scratch = GemmScratch::new();
    let (mut z, mut x_bar) = (vec![T::ZERO; n * out], vec![T::ZERO; n * inp]);
    layer_forward(&x, &w, Some(&b), shape, &mut z, &mut scratch);
    layer_backward_input(&z_bar, &w, shape, &mut x_bar, &mut scratch);
    for (first, rows) in [(0, 1), (17, 1), (199, 1), (3, 64), (64, 64), (128, 72), (50, 7), (1, 199)] {
        let (mut z_part, mut x_part) = (vec![T::ZERO; rows * out], vec![T::ZERO; rows * inp]);
        let cut = |s: &[T], width: usize| s[first * width..(first + rows) * width].to_vec();
        layer_forward(&cut(&x, inp), &w, Some(&b), shape, &mut z_part, &mut scratch);
        layer_backward_input(&cut(&z_bar, out), &w, shape, &mut x_part, &mut scratch);
        assert!(
            bits(&z_part) == bits(&cut(&z, out)),
            "forward: rows {first}.. of {rows} differ ({inp} -> {out})"
        );
        assert!(
            bits(&x_part) == bits(&cut(&x_bar, inp)),
            "backward: rows {first}.. of {rows} differ ({inp} -> {out})"
        );
    }
}

/// A number rounded to bf16 by the definition: the nearest with 8 significant bits, ties to even.
fn to_bf16(x: f32) -> f64 {
    let (low, high) =
        (f32::from_bits(x.to_bits() & 0xffff_0000), f32::from_bits((x.to_bits() & 0xffff_0000) + 0x1_0000));
    let (down, up) = ((x - low).abs(), (high - x).abs());
    f64::from(if down < up || down == up && low.to_bits() & 0x1_0000 == 0 { low } else { high })
}

#[test]
fn bf16_layers_keep_their_bound() {
    for (n, inp, out) in
        [(1, 1, 1), (7, 3, 65), (25, 50, 50), (64, 512, 130), (48, 33, 16), (3, 0, 5), (0, 4, 4), (5, 2, 31)]
    {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        let shape = LayerShape { inp, out };
        let (x, w, b) = (
            numbers::<f32>(&mut rng, n * inp),
            numbers::<f32>(&mut rng, out * inp),
            numbers::<f32>(&mut rng, out),
        );
        let layer = Bf16Layer::new(&w, shape);
        assert_eq!(layer.is_ok(), Bf16Layer::available());
        let Ok(layer) = layer else {
            println!("skipped: {Bf16Unavailable}");
            return;
        };
        let mut scratch = GemmScratch::new();
        let (mut z, mut single) = (vec![f32::NAN; n * out], vec![0.0_f32; n * out]);
        layer.forward(&x, Some(&b), &mut z, &mut scratch);
        layer_forward(&x, &w, Some(&b), shape, &mut single, &mut scratch);
        for r in 0..n {
            for o in 0..out {
                let at = r * out + o;
                let pairs = || (0..inp).map(|i| (x[r * inp + i], w[o * inp + i]));
                let rounded: f64 =
                    pairs().map(|(x, w)| to_bf16(x) * to_bf16(w)).sum::<f64>() + f64::from(b[o]);
                let sizes: f64 = pairs().map(|(x, w)| f64::from(x * w).abs()).sum();
                // Sums in f32 of exact products of the rounded numbers; and the documented bound against f32.
                let sums =
                    (inp as f64 + 2.0) * f64::from(f32::EPSILON) * (sizes * 1.01 + f64::from(b[o].abs()));
                assert!(
                    (f64::from(z[at]) - rounded).abs() <= sums,
                    "{n} {inp} {out} [{r}, {o}]: {} {rounded}",
                    z[at]
                );
                let bound = (1.0 / 128.0 + 1.0 / 65_536.0) * sizes + 2.0 * sums;
                assert!(f64::from(z[at] - single[at]).abs() <= bound, "{n} {inp} {out} [{r}, {o}]");
            }
        }
        // A row by itself has the same bits.
        for r in 0..n {
            let mut alone = vec![0.0; out];
            layer.forward(&x[r * inp..(r + 1) * inp], Some(&b), &mut alone, &mut scratch);
            assert_eq!(bits(&alone), bits(&z[r * out..(r + 1) * out]), "row {r} of {n}");
        }
        layer.forward(&x, None, &mut z, &mut scratch);
    }
}

fn bits<T: Real>(x: &[T]) -> Vec<u64> {
    x.iter().map(|x| x.f64().to_bits()).collect()
}

#[test]
fn a_row_has_the_same_bits_wherever_it_stands() {
    for (inp, out) in [(11, 64), (64, 64), (64, 11), (50, 300), (300, 50), (310, 290), (1, 5), (512, 512)] {
        rows_keep_their_bits::<f32>(inp, out);
        rows_keep_their_bits::<f64>(inp, out);
    }
}

#[test]
fn sums_run_in_ascending_order() {
    // 2^25 absorbs the ones that come after it, and not those that come before.
    let shape = LayerShape { inp: 8, out: 1 };
    let big = 33_554_432.0_f32;
    let mut z = [0.0_f32];
    let mut scratch = GemmScratch::new();
    layer_forward(&[1.0, 1.0, 1.0, 1.0, big, 1.0, 1.0, -big], &[1.0; 8], None, shape, &mut z, &mut scratch);
    assert_eq!(z, [4.0]);
    layer_forward(
        &[big, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -big],
        &[1.0; 8],
        Some(&[0.0]),
        shape,
        &mut z,
        &mut scratch,
    );
    assert_eq!(z, [0.0]);
}

#[test]
fn non_finite_numbers_stay_in_their_row() {
    let shape = LayerShape { inp: 3, out: 20 };
    let mut x = vec![1.0_f32; 3 * 70];
    (x[3 * 5], x[3 * 40 + 1]) = (f32::NAN, f32::INFINITY);
    let mut z = vec![0.0; 20 * 70];
    layer_forward(&x, &[1.0; 60], None, shape, &mut z, &mut GemmScratch::new());
    for (r, row) in z.chunks(20).enumerate() {
        let as_expected = match r {
            5 => row.iter().all(|z| z.is_nan()),
            40 => row.iter().all(|z| *z == f32::INFINITY),
            _ => row.iter().all(|z| *z == 3.0),
        };
        assert!(as_expected, "row {r}: {row:?}");
    }
}

#[test]
fn gemm_knows_its_transposes() {
    let (m, n, k) = (5, 7, 3);
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let (a, b) = (numbers::<f64>(&mut rng, m * k), numbers::<f64>(&mut rng, n * k));
    let mut scratch = GemmScratch::new();
    for transpose in [Transpose::None, Transpose::A, Transpose::B] {
        for add in [false, true] {
            let mut c = vec![0.5; m * n];
            gemm((m, n, k), transpose, &a, &b, add, &mut c, &mut scratch);
            for i in 0..m {
                for j in 0..n {
                    let exact: f64 = (0..k)
                        .map(|l| {
                            let x = if transpose == Transpose::A { a[l * m + i] } else { a[i * k + l] };
                            x * if transpose == Transpose::B { b[j * k + l] } else { b[l * n + j] }
                        })
                        .sum();
                    let exact = if add { exact + 0.5 } else { exact };
                    assert!((c[i * n + j] - exact).abs() < 1e-14, "{transpose:?} {add} [{i}, {j}]");
                }
            }
        }
    }
}

fn distances_agree<T: Real>(n: usize, m: usize, d: usize, seed: u64) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (x, mut y) = (numbers::<T>(&mut rng, n * d), numbers::<T>(&mut rng, m * d));
    if n > 0 && m > 0 {
        y[..d].copy_from_slice(&x[..d]);
    }
    let mut out = vec![T::c(f64::NAN); n * m];
    pairwise_sq_dists(&x, &y, d, &mut out, &mut GemmScratch::new());
    for i in 0..n {
        for j in 0..m {
            let exact: f64 = (0..d).map(|k| (x[i * d + k].f64() - y[j * d + k].f64()).powi(2)).sum();
            let bound = T::EPSILON.f64() * (d as f64 + 2.0) * 0.5 * 1.01 * exact + f64::MIN_POSITIVE;
            assert!(
                (out[i * m + j].f64() - exact).abs() <= bound + 1e-15 * exact,
                "[{i}, {j}]: {} {exact}",
                out[i * m + j]
            );
        }
    }
    if n > 0 && m > 0 {
        assert_eq!(out[0], T::ZERO);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn distances_agree_with_plain_loops(n in 0_usize..70, m in 0_usize..90, d in 1_usize..70, seed: u64) {
        distances_agree::<f32>(n, m, d, seed);
        distances_agree::<f64>(n, m, d, seed);
    }
}
