//! Dense layers on one thread, forward and backward; elements are floating-point operations.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_benches::normals;
use chreode_linalg::{GemmScratch, LayerShape, layer_backward_input, layer_backward_params, layer_forward};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Inputs, outputs: the demo's net, and the layers of the default model on 50 principal components.
const SHAPES: [LayerShape; 4] = [
    LayerShape { inp: 11, out: 64 },
    LayerShape { inp: 64, out: 64 },
    LayerShape { inp: 50, out: 512 },
    LayerShape { inp: 512, out: 512 },
];

fn layers(c: &mut Criterion) {
    let n = 64;
    let mut group = c.benchmark_group("layer");
    for shape in SHAPES {
        let LayerShape { inp, out } = shape;
        let (x, w, b) = (normals::<f32>(n * inp), normals::<f32>(out * inp), normals::<f32>(out));
        let (mut z, mut x_bar) = (normals::<f32>(n * out), vec![0.0_f32; n * inp]);
        let (mut w_bar, mut b_bar) = (vec![0.0_f32; out * inp], vec![0.0_f32; out]);
        let mut scratch = GemmScratch::new();
        scratch.reserve(n, out);
        let name = format!("{n}x{inp}x{out}");
        group.throughput(Throughput::Elements((2 * n * inp * out) as u64));
        group.bench_function(BenchmarkId::new("backward_input", &name), |bench| {
            bench.iter(|| layer_backward_input(black_box(&z), &w, shape, &mut x_bar, &mut scratch));
        });
        group.bench_function(BenchmarkId::new("backward_params", &name), |bench| {
            bench.iter(|| {
                let b_bar = Some(&mut b_bar[..]);
                layer_backward_params(black_box(&z), &x, shape, &mut w_bar, b_bar, &mut scratch);
            });
        });
        group.bench_function(BenchmarkId::new("forward", &name), |bench| {
            bench.iter(|| layer_forward(black_box(&x), &w, Some(&b), shape, &mut z, &mut scratch));
        });
    }
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
