//! This layer alone, in two small programs: a network fitted by its hand-written gradient, and the principal
//! components of a sparse matrix.
//!
//! `cargo run --release -p chreode-linalg --example layer_and_pca`

use chreode_linalg::{
    Activation, CsrOperator, GemmScratch, LayerShape, LinalgError, Standardised, layer_backward_input,
    layer_backward_params, layer_forward, truncated_svd,
};

/// A 2-64-1 network learns `sin(3 x) cos(2 y)` by gradient descent with momentum; returns first and last loss.
fn fit() -> (f64, f64) {
    let (first, second) = (LayerShape { inp: 2, out: 64 }, LayerShape { inp: 64, out: 1 });
    let points: Vec<[f32; 2]> =
        (0..256).map(|i| [(i % 16) as f32 / 8.0 - 0.94, (i / 16) as f32 / 8.0 - 0.94]).collect();
    let n = points.len();
    let x: Vec<f32> = points.concat();
    let target: Vec<f32> = points.iter().map(|[x, y]| (3.0 * x).sin() * (2.0 * y).cos()).collect();
    // One flat vector of parameters; its parts are cut out by their sizes: w1, b1, w2, b2.
    let sizes = [128, 64, 64, 1];
    let mut p: Vec<f32> =
        (0..257).map(|i| ((i * 7919 % 257) as f32 / 128.5 - 1.0) * if i < 192 { 1.0 } else { 0.1 }).collect();
    let (mut gradient, mut momentum) = (vec![0.0_f32; 257], vec![0.0_f32; 257]);
    let (mut z, mut a, mut a_bar) = (vec![0.0; n * 64], vec![0.0; n * 64], vec![0.0; n * 64]);
    let (mut out, mut out_bar) = (vec![0.0; n], vec![0.0; n]);
    let mut scratch = GemmScratch::new();
    let mut losses = Vec::new();
    for _ in 0..1500 {
        let [w1, b1, w2, b2] = parts(&p, sizes);
        layer_forward(&x, w1, Some(b1), first, &mut z, &mut scratch);
        Activation::Tanh.apply(&z, &mut a);
        layer_forward(&a, w2, Some(b2), second, &mut out, &mut scratch);
        let mut loss = 0.0;
        for i in 0..n {
            let miss = out[i] - target[i];
            loss += f64::from(miss * miss) / n as f64;
            out_bar[i] = 2.0 * miss / n as f32;
        }
        losses.push(loss);
        // Backwards, layer by layer; parameter gradients are added to what is there.
        gradient.fill(0.0);
        let (hidden, last) = gradient.split_at_mut(192);
        let (w2_bar, b2_bar) = last.split_at_mut(64);
        layer_backward_params(&out_bar, &a, second, w2_bar, Some(b2_bar), &mut scratch);
        layer_backward_input(&out_bar, w2, second, &mut a_bar, &mut scratch);
        Activation::Tanh.backward(&z, &a, &mut a_bar);
        let (w1_bar, b1_bar) = hidden.split_at_mut(128);
        layer_backward_params(&a_bar, &x, first, w1_bar, Some(b1_bar), &mut scratch);
        for ((p, v), g) in p.iter_mut().zip(&mut momentum).zip(&gradient) {
            *v = 0.9 * *v - 0.03 * g;
            *p += *v;
        }
    }
    (losses[0], losses[losses.len() - 1])
}

fn parts(p: &[f32], sizes: [usize; 4]) -> [&[f32]; 4] {
    let mut rest = p;
    sizes.map(|size| {
        let (part, tail) = rest.split_at(size);
        rest = tail;
        part
    })
}

/// One place in eleven, scattered.
fn present(place: usize) -> bool {
    let mixed = (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32).is_multiple_of(11)
}

/// Leading standard deviations of a sparse matrix of counts with two kinds of rows, without making it dense.
fn components() -> Result<Vec<f64>, LinalgError> {
    let (n, m) = (4_000_usize, 300_usize);
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    let mut mean = vec![0.0; m];
    for i in 0..n {
        for j in (0..m).filter(|j| present(i * m + j)) {
            let value = if (i % 2 == 0) == (j < m / 2) { 3.0 } else { 1.0 };
            indices.push(j as u32);
            values.push(value as f32);
            mean[j] += value / n as f64;
        }
        indptr.push(indices.len());
    }
    let matrix = CsrOperator::new(&indptr, &indices, &values, m)?;
    let svd = truncated_svd(&Standardised::new(matrix, &mean, None)?, 3, 10, 4, 0)?;
    Ok(svd.s.iter().map(|s| s / (n as f64 - 1.0).sqrt()).collect())
}

fn main() -> Result<(), LinalgError> {
    let (first, last) = fit();
    println!("mean squared error of the network: {first:.4} at first, {last:.2e} after 1500 steps");
    println!("standard deviations along the leading components: {:.3?}", components()?);
    Ok(())
}
