//! Products of dense layers beside faer's on one thread, and the machine's peak of fused multiply-adds in the same run.
//!
//! Elements are floating-point operations. It is here, and not in `chreode-benches`, because faer is this crate's alone.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::Duration;

use chreode_linalg::{
    Activation, Bf16Layer, GemmScratch, LayerShape, layer_backward_input, layer_backward_params,
    layer_forward,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};

/// Inputs, outputs: wide, thin on either side, and the demo's.
const SHAPES: [(usize, usize); 5] = [(512, 512), (512, 50), (50, 512), (64, 64), (11, 64)];
const ROWS: [usize; 4] = [64, 256, 1024, 2048];

fn numbers(len: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// 2^16 rounds of 16 independent multiply-adds of registers; returns the floating-point operations of a round.
struct Peak;
impl WithSimd for Peak {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (a, b) = (simd.splat_f32s(black_box(0.99)), simd.splat_f32s(black_box(0.01)));
        let mut x: [S::f32s; 16] = std::array::from_fn(|i| simd.splat_f32s(i as f32));
        for _ in 0..1 << 16 {
            for x in &mut x {
                *x = simd.mul_add_e_f32s(*x, a, b);
            }
        }
        black_box(x);
        2 * 16 * size_of::<S::f32s>() / size_of::<f32>()
    }
}

fn peak(c: &mut Criterion) {
    let mut group = c.benchmark_group("peak");
    let operations = Arch::new().dispatch(Peak) << 16;
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function("f32", |b| b.iter(|| Arch::new().dispatch(Peak)));
    group.finish();
}

fn products(c: &mut Criterion) {
    for (inp, out) in SHAPES {
        let shape = LayerShape { inp, out };
        let mut group = c.benchmark_group(format!("{inp}->{out}"));
        for n in ROWS {
            let (x, w, b) = (numbers(n * inp), numbers(out * inp), numbers(out));
            let z_bar = numbers(n * out);
            let (mut z, mut x_bar) = (vec![0.0_f32; n * out], vec![0.0_f32; n * inp]);
            let (mut w_bar, mut b_bar) = (vec![0.0_f32; out * inp], vec![0.0_f32; out]);
            let mut scratch = GemmScratch::new();
            scratch.reserve(n, out);
            let (x_m, w_m) =
                (MatRef::from_row_major_slice(&x, n, inp), MatRef::from_row_major_slice(&w, out, inp));
            let z_bar_m = MatRef::from_row_major_slice(&z_bar, n, out);
            group.throughput(Throughput::Elements((2 * n * inp * out) as u64));
            group.bench_function(BenchmarkId::new("forward", n), |bench| {
                bench.iter(|| layer_forward(black_box(&x), &w, Some(&b), shape, &mut z, &mut scratch));
            });
            if let Ok(layer) = Bf16Layer::new(&w, shape) {
                group.bench_function(BenchmarkId::new("forward_bf16", n), |bench| {
                    bench.iter(|| layer.forward(black_box(&x), Some(&b), &mut z, &mut scratch));
                });
            }
            group.bench_function(BenchmarkId::new("forward_faer", n), |bench| {
                bench.iter(|| {
                    let to = MatMut::from_row_major_slice_mut(&mut z, n, out);
                    matmul(to, Accum::Replace, black_box(x_m), w_m.transpose(), 1.0, Par::Seq);
                });
            });
            group.bench_function(BenchmarkId::new("input", n), |bench| {
                bench.iter(|| layer_backward_input(black_box(&z_bar), &w, shape, &mut x_bar, &mut scratch));
            });
            group.bench_function(BenchmarkId::new("input_faer", n), |bench| {
                bench.iter(|| {
                    let to = MatMut::from_row_major_slice_mut(&mut x_bar, n, inp);
                    matmul(to, Accum::Replace, black_box(z_bar_m), w_m, 1.0, Par::Seq);
                });
            });
            group.bench_function(BenchmarkId::new("params", n), |bench| {
                bench.iter(|| {
                    let b_bar = Some(&mut b_bar[..]);
                    layer_backward_params(black_box(&z_bar), &x, shape, &mut w_bar, b_bar, &mut scratch);
                });
            });
            group.bench_function(BenchmarkId::new("params_faer", n), |bench| {
                bench.iter(|| {
                    let to = MatMut::from_row_major_slice_mut(&mut w_bar, out, inp);
                    matmul(to, Accum::Add, black_box(z_bar_m.transpose()), x_m, 1.0, Par::Seq);
                });
            });
        }
        group.finish();
    }
}

/// What a pass of its own costs the activation behind a layer's product, which leaves `z` for the way back: beside the product alone,
/// and beside the same number of activations on numbers that never leave the first cache, which is the least that a product with the
/// activation inside could add.
fn activations(c: &mut Criterion) {
    let shape = LayerShape { inp: 512, out: 512 };
    let mut group = c.benchmark_group("activation behind 512->512");
    for n in [64, 1024] {
        let (x, w, b) = (numbers(n * 512), numbers(512 * 512), numbers(512));
        let (mut z, mut a) = (vec![0.0_f32; n * 512], vec![0.0_f32; n * 512]);
        let mut scratch = GemmScratch::new();
        scratch.reserve(n, 512);
        group.bench_function(BenchmarkId::new("product", n), |bench| {
            bench.iter(|| layer_forward(black_box(&x), &w, Some(&b), shape, &mut z, &mut scratch));
        });
        for activation in [Activation::Silu, Activation::Tanh] {
            group.bench_function(BenchmarkId::new(format!("product_and_{activation}"), n), |bench| {
                bench.iter(|| {
                    layer_forward(black_box(&x), &w, Some(&b), shape, &mut z, &mut scratch);
                    activation.apply(&z, &mut a);
                });
            });
            group.bench_function(BenchmarkId::new(format!("{activation}_in_first_cache"), n), |bench| {
                let (z, a) = (&z[..2048], &mut a[..2048]);
                bench.iter(|| (0..n / 4).for_each(|_| activation.apply(black_box(z), a)));
            });
        }
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600))
}

criterion_group!(name = benches; config = settings(); targets = peak, products, activations);
criterion_main!(benches);
