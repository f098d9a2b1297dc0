//! What kernels give to the tensor cores, on the stand-in that multiplies lane by lane as these do: which number of a matrix a lane holds, how it is rounded, and
//! what comes out where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use chreode_cuda::{Activation, Device, Ensemble, EnsembleShape, Mlp, NetShape, Precision, Steps, Stream};
use chreode_cuda_cpu::{StandIn, StandInError, Variant};

const PRECISIONS: [(Precision, f32); 3] =
    [(Precision::F32, 2e-5), (Precision::Tf32, 3e-3), (Precision::Bf16, 2.4e-2)];

fn stream() -> Option<Stream> {
    match StandIn::load(Variant::TensorCores) {
        Ok(_) => Some(Device::open(0).unwrap().stream().unwrap()),
        Err(error @ StandInError::NoCompiler { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    chreode_core::BrownianIncrements::new(seed).fill(0, 0, 1, 1.0, &mut out);
    out.iter().map(|x: &f32| (x * 0.6).clamp(-1.0, 1.0)).collect()
}

/// In units of the largest number that is wanted, or of one.
fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let scale = want.iter().fold(1.0_f32, |m, w| m.max(w.abs()));
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * scale, "{what}: {g} {w} of {scale}");
    }
    assert_eq!(got.len(), want.len());
}

/// Values and gradients, in each precision to what it allows; small tiles of 16 and of 32 rows, layers whose widths are a multiple of four and not.
#[test]
fn perceptrons() {
    let Some(stream) = stream() else { return };
    // Rows that are not a whole tile; the stand-in has four multiprocessors.
    for (n, widths) in [(37, vec![5, 40, 129, 7]), (131, vec![8, 36, 3]), (3, vec![1, 2])] {
        let shape = NetShape { widths, activation: Activation::Silu, offset: 0 };
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let p: Vec<f32> = numbers(1, shape.n_params()).iter().map(|z| 0.4 * z).collect();
        let (x, y_bar) = (numbers(2, n * inputs), numbers(3, n * outputs));
        let hidden = &shape.widths[1..shape.widths.len() - 1];
        let activation = chreode_linalg::Activation::ALL[shape.activation as usize];
        let mut twin =
            chreode_model::Mlp::<f32>::new(chreode_model::MlpShape::new(inputs, hidden, outputs, activation));
        let (mut y, mut x_bar, mut p_bar) =
            (vec![0.0; n * outputs], vec![0.0; n * inputs], vec![0.0; p.len()]);
        twin.forward(&x, &p, &mut y);
        twin.vjp(&x, &p, &y_bar, &mut x_bar, &mut p_bar);
        let mut net = Mlp::new(&stream, shape.clone(), n).unwrap();
        let [p, x, y_bar] = [&p, &x, &y_bar].map(|v| stream.upload(v).unwrap());
        for (precision, tolerance) in PRECISIONS {
            let [mut got, mut got_x, mut got_p] =
                [y.len(), x.len(), p.len()].map(|len| stream.zeros(len).unwrap());
            net.set_precision(precision);
            net.forward(&p, &x, &mut got).unwrap();
            net.backward(&p, &x, &y_bar, &mut got_x, &mut got_p).unwrap();
            close("values", &got.to_vec().unwrap(), &y, tolerance);
            close("adjoints of the inputs", &got_x.to_vec().unwrap(), &x_bar, tolerance);
            close("adjoints of the parameters", &got_p.to_vec().unwrap(), &p_bar, tolerance);
        }
    }
}

/// Large tiles have the bits of small ones: values, and gradients of paths, whose layers they compute for many steps at once.
#[test]
fn large_tiles() {
    let Some(stream) = stream() else { return };
    for widths in [vec![3, 40, 2], vec![7, 140, 290, 1]] {
        let shape = NetShape { widths, activation: Activation::Tanh, offset: 0 };
        let (n, d, last) = (517, shape.inputs(), shape.outputs());
        let p: Vec<f32> = numbers(1, shape.n_params()).iter().map(|z| 0.3 * z).collect();
        let x = numbers(2, n * d);
        let p = stream.upload(&p).unwrap();
        let mut net = Mlp::new(&stream, shape, n).unwrap();
        for (precision, _) in PRECISIONS {
            net.set_precision(precision);
            let mut values = |rows: std::ops::Range<usize>| {
                let mut y = stream.zeros(rows.len() * last).unwrap();
                let x = stream.upload(&x[rows.start * d..rows.end * d]).unwrap();
                net.forward(&p, &x, &mut y).unwrap();
                y.to_vec().unwrap()
            };
            let all = values(0..n);
            assert_eq!(all[..20 * last], values(0..20), "{precision:?}");
            assert_eq!(all[(n - 9) * last..], values(n - 9..n), "{precision:?}");
        }
    }
    let (d, n, count) = (3, 90, 6);
    let net = |offset| NetShape { widths: vec![d, 20, 24, d], activation: Activation::Silu, offset };
    let n_params = 2 * net(0).n_params();
    let [zeros, ones] = [0.0, 1.0].map(|v| vec![v; d]);
    let shape = EnsembleShape {
        drift: net(0),
        noise: net(net(0).n_params()),
        growth: None,
        n_params,
        shift: zeros,
        inv_scale: ones.clone(),
        drift_unit: ones.clone(),
        noise_unit: ones,
    };
    let observed = (1..=count).map(|k| if k == count { Some(0) } else { None }).collect();
    let steps = Steps { h: vec![0.1; count], observed, seen: Vec::new() };
    let p: Vec<f32> = numbers(2, n_params).iter().map(|v| 0.3 * v).collect();
    let start = stream.upload(&numbers(3, n * d)).unwrap();
    let (p, bar) = (stream.upload(&p).unwrap(), stream.upload(&numbers(4, n * d)).unwrap());
    let weight_bar = stream.zeros(n).unwrap();
    let mut in_f32 = Vec::new();
    for (precision, tolerance) in PRECISIONS {
        let run = |memory: Option<usize>| {
            let mut ensemble = Ensemble::new(&stream, shape.clone(), &steps, n, true, memory).unwrap();
            ensemble.set_precision(precision);
            let [mut start_bar, mut p_bar] = [n * d, n_params].map(|len| stream.zeros(len).unwrap());
            ensemble.forward(&p, 5, 0, &start).unwrap();
            ensemble.backward(&p, &bar, &weight_bar, &mut start_bar, &mut p_bar).unwrap();
            ([&start_bar, &p_bar].map(|b| b.to_vec().unwrap()), ensemble.steps_at_a_time())
        };
        let (all, at_a_time) = run(None);
        assert!(at_a_time * n >= 512);
        let refused = Ensemble::new(&stream, shape.clone(), &steps, n, true, Some(1000));
        let Err(chreode_cuda::CudaError::DoesNotFit { needed, .. }) = refused else { panic!("it fits") };
        let (few, at_a_time) = run(Some(needed));
        assert_eq!((at_a_time, &few[0]), (1, &all[0]), "{precision:?}");
        close("adjoints of the parameters", &few[1], &all[1], 1e-5);
        if in_f32.is_empty() {
            in_f32.clone_from(&all[1]);
        }
        close("adjoints of the parameters, beside f32", &all[1], &in_f32, 2.0 * tolerance);
    }
}
