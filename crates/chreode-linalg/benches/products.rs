//! Products of dense layers beside faer's on one thread, and beside the machine's peak of fused multiply-adds.
//!
//! It is here, and not in `chreode-benches`, because faer is this crate's alone.

mod turns;

use std::hint::black_box;

use chreode_linalg::{
    Activation, Bf16Layer, GemmScratch, LayerShape, layer_backward_input, layer_backward_params,
    layer_forward,
};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use turns::{Routine, seconds};

/// Inputs, outputs: wide, thin on either side, and the demo's.
const SHAPES: [(usize, usize); 5] = [(512, 512), (512, 50), (50, 512), (64, 64), (11, 64)];
const ROWS: [usize; 3] = [64, 256, 1024];

fn numbers(len: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// 2^12 rounds of 12 independent multiply-adds of registers, which with both operands leave two of sixteen registers free; returns the
/// floating-point operations of a round.
struct Peak;
impl WithSimd for Peak {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (a, b) = (simd.splat_f32s(black_box(0.99)), simd.splat_f32s(black_box(0.01)));
        let mut x: [S::f32s; 12] = std::array::from_fn(|i| simd.splat_f32s(i as f32));
        for _ in 0..1 << 12 {
            for x in &mut x {
                *x = simd.mul_add_e_f32s(*x, a, b);
            }
        }
        black_box(x);
        2 * 12 * size_of::<S::f32s>() / size_of::<f32>()
    }
}

fn products() {
    println!(
        "{:>5} {:>9} {:<14} {:>9} {:>8} {:>10}",
        "rows", "layer", "product", "GFLOP/s", "of peak", "over faer"
    );
    for (inp, out) in SHAPES {
        for n in ROWS {
            shape(LayerShape { inp, out }, n);
        }
    }
}

/// All products of a layer on `n` rows. A routine whose name ends in "faer" is compared with the one before it.
fn shape(shape: LayerShape, n: usize) {
    let LayerShape { inp, out } = shape;
    let (x, w, b, z_bar) = (numbers(n * inp), numbers(out * inp), numbers(out), numbers(n * out));
    let (mut z, mut z_faer, mut z_half) = (vec![0.0; n * out], vec![0.0; n * out], vec![0.0; n * out]);
    let (mut x_bar, mut x_bar_faer) = (vec![0.0; n * inp], vec![0.0; n * inp]);
    let (mut w_bar, mut w_bar_faer, mut b_bar) = (vec![0.0; out * inp], vec![0.0; out * inp], vec![0.0; out]);
    let x_m = MatRef::from_row_major_slice(&x, n, inp);
    let w_m = MatRef::from_row_major_slice(&w, out, inp);
    let z_bar_m = MatRef::from_row_major_slice(&z_bar, n, out);
    let scratch = || {
        let mut scratch = GemmScratch::new();
        scratch.reserve(n, inp.max(out));
        scratch
    };
    let mut s: [GemmScratch<f32>; 4] = std::array::from_fn(|_| scratch());
    let [s0, s1, s2, s3] = &mut s;
    let mut operations = 0;
    let mut routines: Vec<Routine<'_>> = vec![
        ("peak".into(), Box::new(|| operations = Arch::new().dispatch(Peak) << 12)),
        ("forward".into(), Box::new(|| layer_forward(black_box(&x), &w, Some(&b), shape, &mut z, s0))),
        (
            "forward faer".into(),
            Box::new(|| {
                let to = MatMut::from_row_major_slice_mut(&mut z_faer, n, out);
                matmul(to, Accum::Replace, black_box(x_m), w_m.transpose(), 1.0, Par::Seq);
            }),
        ),
        ("input".into(), Box::new(|| layer_backward_input(black_box(&z_bar), &w, shape, &mut x_bar, s1))),
        (
            "input faer".into(),
            Box::new(|| {
                let to = MatMut::from_row_major_slice_mut(&mut x_bar_faer, n, inp);
                matmul(to, Accum::Replace, black_box(z_bar_m), w_m, 1.0, Par::Seq);
            }),
        ),
        (
            "params".into(),
            Box::new(|| {
                layer_backward_params(black_box(&z_bar), &x, shape, &mut w_bar, Some(&mut b_bar), s2);
            }),
        ),
        (
            "params faer".into(),
            Box::new(|| {
                let to = MatMut::from_row_major_slice_mut(&mut w_bar_faer, out, inp);
                matmul(to, Accum::Add, black_box(z_bar_m.transpose()), x_m, 1.0, Par::Seq);
            }),
        ),
    ];
    if let Ok(layer) = Bf16Layer::new(&w, shape) {
        let (x, b, z) = (&x, &b, &mut z_half);
        routines.push(("forward bf16".into(), Box::new(move || layer.forward(black_box(x), Some(b), z, s3))));
    }
    let times = seconds(&mut routines);
    let names: Vec<String> = routines.into_iter().map(|r| r.0).collect();
    let speed =
        |i: usize| if i == 0 { operations as f64 } else { (2 * n * inp * out) as f64 } / times[i] / 1e9;
    for (i, name) in names.iter().enumerate() {
        let over = match names.get(i + 1) {
            Some(next) if next.ends_with("faer") => format!("{:.2}", times[i + 1] / times[i]),
            _ => String::new(),
        };
        let layer = format!("{inp}->{out}");
        println!("{n:>5} {layer:>9} {name:<14} {:>9.1} {:>8.3} {over:>10}", speed(i), speed(i) / speed(0));
    }
}

/// What a pass of its own costs the activation behind a layer's product, which leaves `z` for the way back: beside the product alone,
/// and beside the same number of activations on numbers that never leave the first cache, which is the least that a product with the
/// activation inside could add.
fn activations() {
    println!(
        "\n{:>5} {:<10} {:>12} {:>12} {:>12} {:>12}",
        "rows", "512->512", "product", "and a pass", "in L1", "gain at most"
    );
    let shape = LayerShape { inp: 512, out: 512 };
    for n in ROWS {
        for activation in [Activation::Silu, Activation::Tanh] {
            let (x, w, b) = (numbers(n * 512), numbers(512 * 512), numbers(512));
            let (mut z, mut z_too) = (vec![0.0_f32; n * 512], vec![0.0_f32; n * 512]);
            let (mut a, small, mut small_a) = (vec![0.0_f32; n * 512], numbers(2048), vec![0.0_f32; 2048]);
            let (mut scratch, mut scratch_too) = (GemmScratch::new(), GemmScratch::new());
            scratch.reserve(n, 512);
            scratch_too.reserve(n, 512);
            let mut routines: Vec<Routine<'_>> = vec![
                (
                    "product".into(),
                    Box::new(|| layer_forward(black_box(&x), &w, Some(&b), shape, &mut z, &mut scratch)),
                ),
                (
                    "and a pass".into(),
                    Box::new(|| {
                        layer_forward(black_box(&x), &w, Some(&b), shape, &mut z_too, &mut scratch_too);
                        activation.apply(&z_too, &mut a);
                    }),
                ),
                (
                    "in L1".into(),
                    Box::new(|| (0..n / 4).for_each(|_| activation.apply(black_box(&small), &mut small_a))),
                ),
            ];
            let t: Vec<f64> = seconds(&mut routines).iter().map(|t| 1e6 * t).collect();
            let gain = 1.0 - (t[0] + t[2]) / t[1];
            println!(
                "{n:>5} {:<10} {:>9.1} us {:>9.1} us {:>9.1} us {:>11.1} %",
                activation.name(),
                t[0],
                t[1],
                t[2],
                100.0 * gain
            );
        }
    }
}

fn main() {
    products();
    activations();
}
