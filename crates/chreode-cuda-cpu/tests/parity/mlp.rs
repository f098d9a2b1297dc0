//! Perceptrons: values and gradients.

use crate::lab::{Lab, close, difference, lab, numbers, sizes, tries};
use chreode_cuda::{Activation, Mlp, NetShape, Precision};
use proptest::prelude::*;

/// The processor's name of an activation.
pub(crate) fn twin(activation: Activation) -> chreode_linalg::Activation {
    chreode_linalg::Activation::ALL[activation as usize]
}

fn shapes(activations: Vec<Activation>) -> impl Strategy<Value = NetShape> {
    let widths = prop::collection::vec(prop_oneof![1_usize..40, Just(64), Just(129), Just(300)], 2..5);
    (widths, prop::sample::select(activations)).prop_map(|(widths, activation)| NetShape {
        widths,
        activation,
        offset: 0,
    })
}

/// Those whose slope does not jump, by which a rounded sum near zero would change a gradient by any amount.
pub(crate) fn smooth() -> Vec<Activation> {
    let jumps = |a: &Activation| *a == Activation::LeakyRelu;
    Activation::ALL.into_iter().filter(|a| !jumps(a)).collect()
}

/// Values and gradients of both: 2e-5 of the largest value.
pub(crate) fn compare(lab: &Lab, shape: &NetShape, n: usize, seed: u64) {
    compare_in(lab, shape, n, seed, 1.0, Precision::F32, 2e-5);
}

/// The same with parameters up to `size`, and with factors that are rounded so on the device.
fn compare_in(
    lab: &Lab,
    shape: &NetShape,
    n: usize,
    seed: u64,
    size: f32,
    precision: Precision,
    tolerance: f32,
) {
    let (inputs, outputs) = (shape.inputs(), shape.outputs());
    let p: Vec<f32> = numbers(seed, shape.n_params()).iter().map(|z| size * z).collect();
    let x = numbers(seed ^ 1, n * inputs);
    let y_bar = numbers(seed ^ 2, n * outputs);

    let hidden = &shape.widths[1..shape.widths.len() - 1];
    let twin = chreode_model::MlpShape::new(inputs, hidden, outputs, twin(shape.activation));
    let mut net = chreode_model::Mlp::<f32>::new(twin);
    let (mut y, mut x_bar, mut p_bar) = (vec![0.0; n * outputs], vec![0.0; n * inputs], vec![0.0; p.len()]);
    net.forward(&x, &p, &mut y);
    net.vjp(&x, &p, &y_bar, &mut x_bar, &mut p_bar);

    let got = lab.both_orders(|stream| {
        let mut net = Mlp::new(stream, shape.clone(), n + 3).unwrap();
        net.set_precision(precision);
        let [p, x, y_bar] = [&p, &x, &y_bar].map(|v| stream.upload(v).unwrap());
        let [mut y, mut x_bar, mut p_bar] =
            [n * outputs, n * inputs, p.len()].map(|len| stream.zeros(len).unwrap());
        net.forward(&p, &x, &mut y).unwrap();
        net.backward(&p, &x, &y_bar, &mut x_bar, &mut p_bar).unwrap();
        [y, x_bar, p_bar].map(|b| b.to_vec().unwrap()).to_vec()
    });
    close("values", &got[0], &y, tolerance);
    close("adjoints of the inputs", &got[1], &x_bar, tolerance);
    close("adjoints of the parameters", &got[2], &p_bar, tolerance);
}

proptest! {
    #![proptest_config(tries(24))]

    /// Sums of up to 300 products, and of 131 rows: 2e-5 of the largest value.
    #[test]
    fn values_and_gradients(shape in shapes(Activation::ALL.to_vec()), n in sizes(), seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        compare(&lab, &shape, n, seed);
    }

    /// With rounded factors, in large tiles too (as many rows as two for each multiprocessor of the stand-in): 3e-3 and 2.4e-2.
    #[test]
    fn rounded_values_and_gradients(
        shape in shapes(smooth()),
        n in prop_oneof![5 => sizes(), 1 => 513_usize..600],
        seed: u64,
    ) {
        let Some(lab) = lab() else { return Ok(()) };
        let size = 2.0 / (shape.widths.iter().copied().max().unwrap() as f32).sqrt();
        for (precision, tolerance) in [(Precision::Tf32, 3e-3), (Precision::Bf16, 2.4e-2)] {
            compare_in(&lab, &shape, n, seed, size, precision, tolerance);
        }
    }
}

/// More rows than a split of the gradient has, and rows that need all of the device.
#[test]
fn many_rows() {
    let Some(lab) = lab() else { return };
    let shape = NetShape { widths: vec![3, 20, 2], activation: Activation::Tanh, offset: 0 };
    let n = 3001;
    let (p, x, y_bar) = (numbers(1, shape.n_params()), numbers(2, n * 3), numbers(3, n * 2));
    let mut twin =
        chreode_model::Mlp::<f32>::new(chreode_model::MlpShape::new(3, &[20], 2, twin(shape.activation)));
    let (mut x_bar, mut p_bar) = (vec![0.0; n * 3], vec![0.0; p.len()]);
    twin.vjp(&x, &p, &y_bar, &mut x_bar, &mut p_bar);
    let mut net = Mlp::new(&lab.stream, shape, n).unwrap();
    let [p, x, y_bar] = [&p, &x, &y_bar].map(|v| lab.upload(v));
    let [mut got_x, mut got_p] = [n * 3, p.len()].map(|len| lab.stream.zeros(len).unwrap());
    net.backward(&p, &x, &y_bar, &mut got_x, &mut got_p).unwrap();
    close("adjoints of the inputs", &got_x.to_vec().unwrap(), &x_bar, 1e-5);
    close("adjoints of the parameters", &got_p.to_vec().unwrap(), &p_bar, 2e-5);
}

/// Factors of 10 bits: 3e-3 of the largest value; of 7 bits: 2.4e-2; more than in f32, and f32 again when that is asked for.
#[test]
fn rounded_factors() {
    let Some(lab) = lab() else { return };
    let n = 37;
    let widths = vec![19, 130, 67, 5];
    let shape = NetShape { widths, activation: Activation::Silu, offset: 0 };
    let p: Vec<f32> = numbers(1, shape.n_params()).iter().map(|z| 0.3 * z).collect();
    let (x, y_bar) = (numbers(2, n * 19), numbers(3, n * 5));
    let runs = lab.both_orders(|stream| {
        let mut net = Mlp::new(stream, shape.clone(), n).unwrap();
        let [p, x, y_bar] = [&p, &x, &y_bar].map(|v| stream.upload(v).unwrap());
        let [mut y, mut x_bar, mut p_bar] = [n * 5, n * 19, p.len()].map(|len| stream.zeros(len).unwrap());
        let mut all = Vec::new();
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::F32] {
            net.set_precision(precision);
            net.forward(&p, &x, &mut y).unwrap();
            net.backward(&p, &x, &y_bar, &mut x_bar, &mut p_bar).unwrap();
            all.extend([&y, &x_bar, &p_bar].map(|b| b.to_vec().unwrap()));
        }
        all
    });
    for i in 0..3 {
        for (rounded, least, most) in [(3 + i, 1e-5, 3e-3), (6 + i, 1e-4, 2.4e-2)] {
            let off = difference(&runs[rounded], &runs[i]);
            assert!(off > least && off < most, "{rounded} of {n}: {off}");
        }
        assert_eq!(runs[i], runs[9 + i]);
    }
}

/// A large tile gives a row the bits that small ones give; widths with and without columns left over, up to all that a large tile has.
#[test]
fn large_tiles() {
    let Some(lab) = lab() else { return };
    let n = 128 * lab.stream.device().info().multiprocessors + 5;
    for widths in [vec![3, 40, 2], vec![7, 300, 512, 1], vec![20, 100, 200, 70]] {
        let shape = NetShape { widths, activation: Activation::Silu, offset: 0 };
        let (d, last) = (shape.inputs(), shape.outputs());
        let p: Vec<f32> = numbers(1, shape.n_params()).iter().map(|z| 0.3 * z).collect();
        let x = numbers(2, n * d);
        let runs = lab.both_orders(|stream| {
            let mut net = Mlp::new(stream, shape.clone(), n).unwrap();
            let p = stream.upload(&p).unwrap();
            let mut values = |rows: std::ops::Range<usize>, precision| {
                net.set_precision(precision);
                let mut y = stream.zeros(rows.len() * last).unwrap();
                net.forward(&p, &stream.upload(&x[rows.start * d..rows.end * d]).unwrap(), &mut y).unwrap();
                y.to_vec().unwrap()
            };
            let mut all = Vec::new();
            for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
                all.extend([0..n, 0..20, n - 70..n].map(|rows| values(rows, precision)));
            }
            all
        });
        for of_precision in runs.chunks(3) {
            let [all, first, end] = of_precision else { panic!("three runs of a precision") };
            assert_eq!(all[..20 * last], first[..]);
            assert_eq!(all[(n - 70) * last..], end[..]);
        }
    }
}

/// The gradient by itself: central differences of the device's own values, 1e-2 in f32.
#[test]
fn gradient_against_differences() {
    let Some(lab) = lab() else { return };
    for activation in Activation::ALL {
        let shape = NetShape { widths: vec![2, 5, 1], activation, offset: 0 };
        let (p, x) = (numbers(4, shape.n_params()), numbers(5, 2));
        let mut net = Mlp::new(&lab.stream, shape, 1).unwrap();
        let mut y = lab.stream.zeros(1).unwrap();
        let x_device = lab.upload(&x);
        let mut value = |p: &[f32]| {
            net.forward(&lab.upload(p), &x_device, &mut y).unwrap();
            y.to_vec().unwrap()[0]
        };
        let differences: Vec<f32> = (0..p.len())
            .map(|i| {
                let mut moved = [p.clone(), p.clone()];
                moved[0][i] += 1e-2;
                moved[1][i] -= 1e-2;
                (value(&moved[0]) - value(&moved[1])) / 2e-2
            })
            .collect();
        let (mut x_bar, mut p_bar) = (lab.stream.zeros(2).unwrap(), lab.stream.zeros(p.len()).unwrap());
        net.backward(&lab.upload(&p), &x_device, &lab.upload(&[1.0]), &mut x_bar, &mut p_bar).unwrap();
        close(&format!("{activation:?}"), &p_bar.to_vec().unwrap(), &differences, 1e-2);
    }
}
