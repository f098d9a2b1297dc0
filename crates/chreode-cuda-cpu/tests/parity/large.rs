//! Shapes of real work, which take too long for every change: they run when ignored tests are asked for. Tolerances are those of the small ones.

use crate::ensemble::{self, Case};
use crate::lab::{lab, numbers};
use crate::mlp;
use chreode_cuda::{Activation, NetShape, nearest};

#[test]
#[ignore = "a minute: cargo xtask ci sweep"]
fn a_field_of_fifty_coordinates() {
    let Some(lab) = lab() else { return };
    for n in [1031, 2048] {
        let shape = NetShape { widths: vec![50, 512, 512, 50], activation: Activation::Silu, offset: 0 };
        mlp::compare(&lab, &shape, n, 5);
    }
}

#[test]
#[ignore = "minutes: cargo xtask ci sweep"]
fn paths_of_fifty_coordinates() {
    let Some(lab) = lab() else { return };
    for (timed, n) in [(false, 521), (true, 1031)] {
        let case = Case {
            d: 50,
            drift: vec![512, 512],
            noise: Some(vec![64, 64]),
            growth: Some(vec![64]),
            activation: Activation::Silu,
            n,
            times: vec![0.9, 1.4],
            timed,
        };
        ensemble::compare(&lab, &case, 7, None);
    }
}

/// The same numbers and bits as sorting all distances gives.
#[test]
#[ignore = "a minute: cargo xtask ci sweep"]
fn neighbours_among_many() {
    let Some(lab) = lab() else { return };
    let (d, n, m, k) = (50, 257, 20_011, 30);
    let (queries, points) = (numbers(1, n * d), numbers(2, m * d));
    let got = lab.both_orders(|stream| {
        let [q, y] = [&queries, &points].map(|v| stream.upload(v).unwrap());
        let (mut indices, mut distances) = (stream.zeros(n * k).unwrap(), stream.zeros(n * k).unwrap());
        nearest(d, k, false, &q, &y, &mut indices, &mut distances).unwrap();
        vec![indices.to_vec().unwrap().iter().map(|&i| i as f32).collect(), distances.to_vec().unwrap()]
    });
    for (i, query) in queries.chunks(d).enumerate() {
        let square =
            |point: &[f32]| query.iter().zip(point).fold(0.0, |sum, (q, y)| (q - y).mul_add(q - y, sum));
        let mut all: Vec<(f32, usize)> = points.chunks(d).enumerate().map(|(j, y)| (square(y), j)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (r, &(square, j)) in all[..k].iter().enumerate() {
            assert_eq!((got[0][i * k + r] as usize, got[1][i * k + r]), (j, square.sqrt()));
        }
    }
}
