//! Sums over pairs: energy distance, transport, neighbours.

use crate::lab::{close, lab, numbers, sizes, tries};
use chreode_cuda::{
    Cells, CudaError, TransportCost, energy_rows, nearest, softmin_rows, transport_rows, weighted_potential,
};
use chreode_train::{Cloud, CloudBar, Cost, EnergyDistance, SinkhornConfig, SinkhornDivergence, Statistic};
use proptest::prelude::*;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Positive, and of sum one.
fn weights(seed: u64, n: usize) -> Vec<f32> {
    let raw: Vec<f32> = numbers(seed, n).iter().map(|z| 1.2 + z).collect();
    let sum: f32 = raw.iter().sum();
    raw.iter().map(|w| w / sum).collect()
}

fn logs(w: &[f32]) -> Vec<f32> {
    w.iter().map(|w| w.ln()).collect()
}

proptest! {
    #![proptest_config(tries(16))]

    /// Value and gradient of the V-statistic, 2e-5; the twin in f64, since where two points nearly meet f32 loses the direction.
    #[test]
    fn energy_distance(d in 1_usize..12, n in sizes(), m in sizes(), seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let (x, y) = (numbers(seed, n * d), numbers(seed ^ 1, m * d));
        let (a, b) = (weights(seed ^ 2, n), weights(seed ^ 3, m));
        let got = lab.both_orders(|stream| {
            let [x, y, a, b] = [&x, &y, &a, &b].map(|v| stream.upload(v).unwrap());
            let mut cross = stream.zeros(n).unwrap();
            let mut own = stream.zeros(n).unwrap();
            let mut own_y = stream.zeros(m).unwrap();
            let [mut cross_pull, mut own_pull] = [(); 2].map(|()| stream.zeros(n * d).unwrap());
            energy_rows(d, &x, &y, &b, None, &mut cross, Some(&mut cross_pull)).unwrap();
            energy_rows(d, &x, &x, &a, None, &mut own, Some(&mut own_pull)).unwrap();
            energy_rows(d, &y, &y, &b, None, &mut own_y, None).unwrap();
            [cross, own, own_y, cross_pull, own_pull].map(|v| v.to_vec().unwrap()).to_vec()
        });
        if n == 0 || m == 0 {
            prop_assert!(got[0].iter().all(|&s| s == 0.0));
            return Ok(());
        }
        let value = 2.0 * dot(&a, &got[0]) - dot(&a, &got[1]) - dot(&b, &got[2]);
        let gradient: Vec<f32> =
            (0..n * d).map(|i| 2.0 * a[i / d] * (got[3][i] - got[4][i])).collect();
        let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (mut bar, a, b) = (vec![0.0; n * d], wide(&logs(&a)), wide(&logs(&b)));
        let want = EnergyDistance::new(d, Statistic::Biased).unwrap().evaluate(
            Cloud::weighted(&wide(&x), &a),
            Cloud::weighted(&wide(&y), &b),
            Some(CloudBar { states: &mut bar, log_weights: &mut [] }),
        ).unwrap();
        let bar: Vec<f32> = bar.iter().map(|&x| x as f32).collect();
        prop_assert!((value - want).abs() < 2e-5, "{} {}", value, want);
        close("gradient", &gradient, &bar, 2e-5);
    }

    /// Pairs of points of one cell are left out.
    #[test]
    fn pairs_of_one_cell(n in 2_usize..90, seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let (x, a) = (numbers(seed, n * 2), weights(seed ^ 2, n));
        let cells: Vec<u32> = (0..n as u32).map(|i| i / 3).collect();
        let got = lab.both_orders(|stream| {
            let (x, a, cells) = (stream.upload(&x).unwrap(), stream.upload(&a).unwrap(), stream.upload(&cells).unwrap());
            let (mut sums, mut pull) = (stream.zeros(n).unwrap(), stream.zeros(2 * n).unwrap());
            let own = Cells { x: &cells, y: &cells };
            energy_rows(2, &x, &x, &a, Some(own), &mut sums, Some(&mut pull)).unwrap();
            vec![sums.to_vec().unwrap(), pull.to_vec().unwrap()]
        });
        for i in 0..n {
            let want: f32 = (0..n).filter(|j| cells[*j] != cells[i]).map(|j| {
                let r = ((x[2 * i] - x[2 * j]).powi(2) + (x[2 * i + 1] - x[2 * j + 1]).powi(2)).sqrt();
                a[j] * r
            }).sum();
            prop_assert!((got[0][i] - want).abs() < 1e-5, "{} {}", got[0][i], want);
        }
        // What pulls one way pulls the other way too.
        for k in 0..2 {
            let total: f32 = (0..n).map(|i| a[i] * got[1][2 * i + k]).sum();
            prop_assert!(total.abs() < 1e-5);
        }
    }

    /// The update in the log domain, row by row, 1e-5.
    #[test]
    fn softmin(d in 1_usize..8, n in sizes(), m in 1_usize..140, half in any::<bool>(), log_epsilon in -5.0..1.0_f32, seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let epsilon = log_epsilon.exp();
        let cost = if half { TransportCost::HalfSquare } else { TransportCost::Distance };
        let (x, y) = (numbers(seed, n * d), numbers(seed ^ 1, m * d));
        let (g, b) = (numbers(seed ^ 2, m), weights(seed ^ 3, m));
        let got = lab.both_orders(|stream| {
            let [x, y, g, b] = [&x, &y, &g, &b].map(|v| stream.upload(v).unwrap());
            let (mut h, mut out) = (stream.zeros(m).unwrap(), stream.zeros(n).unwrap());
            weighted_potential(epsilon, &g, &b, &mut h).unwrap();
            softmin_rows(cost, d, epsilon, &x, &y, &h, false, &mut out).unwrap();
            let (f, h) = (out.to_vec().unwrap(), h.to_vec().unwrap());
            softmin_rows(cost, d, epsilon, &x, &y, &stream.upload(&h).unwrap(), true, &mut out).unwrap();
            vec![f, h, out.to_vec().unwrap()]
        });
        prop_assert_eq!(&got[0], &got[2]); // the mean of a number with itself
        for i in 0..n {
            let costs: Vec<f32> = (0..m).map(|j| {
                let r2: f32 = (0..d).map(|k| (x[i * d + k] - y[j * d + k]).powi(2)).sum();
                if half { r2 / 2.0 } else { (r2 + 1e-12).sqrt() - 1e-6 }
            }).collect();
            let want = chreode_linalg::softmin_row(&costs, &got[1], epsilon);
            prop_assert!((got[0][i] - want).abs() < 1e-5 * (1.0 + want.abs()), "{} {}", got[0][i], want);
        }
    }

    /// Masses and pulls of any potentials, over more than one tile of columns, 2e-4 of the largest.
    #[test]
    fn transport(d in 1_usize..7, n in sizes(), m in 1_usize..300, half in any::<bool>(), log_epsilon in -1.0..1.0_f32, seed: u64) {
        let Some(lab) = lab() else { return Ok(()) };
        let epsilon = log_epsilon.exp();
        let cost = if half { TransportCost::HalfSquare } else { TransportCost::Distance };
        let (x, y) = (numbers(seed, n * d), numbers(seed ^ 1, m * d));
        let (f, h) = (numbers(seed ^ 2, n), numbers(seed ^ 3, m));
        let got = lab.both_orders(|stream| {
            let [x, y, f, h] = [&x, &y, &f, &h].map(|v| stream.upload(v).unwrap());
            let [mut mass, mut again, mut pull] = [n, n, n * d].map(|len| stream.zeros(len).unwrap());
            transport_rows(cost, d, epsilon, &x, &y, &f, &h, &mut mass, Some(&mut pull)).unwrap();
            transport_rows(cost, d, epsilon, &x, &y, &f, &h, &mut again, None).unwrap();
            vec![mass.to_vec().unwrap(), again.to_vec().unwrap(), pull.to_vec().unwrap()]
        });
        let (mut mass, mut pull) = (vec![0.0; n], vec![0.0; n * d]);
        for i in 0..n {
            for j in 0..m {
                let away: Vec<f64> = (0..d).map(|k| f64::from(x[i * d + k]) - f64::from(y[j * d + k])).collect();
                let square: f64 = away.iter().map(|a| a * a).sum();
                let smooth = (square + 1e-12).sqrt();
                let of = if half { square / 2.0 } else { smooth - 1e-6 };
                let pi = ((f64::from(f[i]) + f64::from(h[j]) - of) / f64::from(epsilon)).exp();
                mass[i] += pi;
                for (p, a) in pull[i * d..].iter_mut().zip(&away) {
                    *p += pi * a / if half { 1.0 } else { smooth };
                }
            }
        }
        let largest = mass.iter().fold(1.0_f64, |s, x| s.max(*x));
        let unit = |v: &[f64]| v.iter().map(|v| (v / largest) as f32).collect::<Vec<f32>>();
        let seen = |v: &[f32]| v.iter().map(|&v| (f64::from(v) / largest) as f32).collect::<Vec<f32>>();
        prop_assert_eq!(&got[0], &got[1]);
        close("masses", &seen(&got[0]), &unit(&mass), 2e-4);
        close("pulls", &seen(&got[2]), &unit(&pull), 2e-4);
    }

    /// The nearest, nearest first, with the smaller number first where distances are equal, as they often are on a grid: the same numbers
    /// and the same bits. Up to three tiles of points and of coordinates, in splits.
    #[test]
    fn neighbours(
        d in prop_oneof![1_usize..7, prop::sample::select(vec![31, 32, 33, 65])],
        n in sizes(), m in prop_oneof![sizes(), 127_usize..400], k in 1_usize..=32, own in any::<bool>(), grid in any::<bool>(), seed: u64,
    ) {
        let Some(lab) = lab() else { return Ok(()) };
        let n = if own { m } else { n };
        let placed = |seed, len| -> Vec<f32> {
            numbers(seed, len).iter().map(|v| if grid { (v * 2.0).round() } else { *v }).collect()
        };
        let points = placed(seed, m * d);
        let queries = if own { points.clone() } else { placed(seed ^ 1, n * d) };
        let most = m.saturating_sub(usize::from(own));
        let [q, y] = [&queries, &points].map(|v| lab.upload(v));
        let (mut indices, mut distances) = (lab.stream.zeros(n * k).unwrap(), lab.stream.zeros(n * k).unwrap());
        if k > most {
            let refused = nearest(d, k, own, &q, &y, &mut indices, &mut distances);
            prop_assert_eq!(refused, Err(CudaError::TooLarge { what: "neighbours", got: k, most }));
            return Ok(());
        }
        let got = lab.both_orders(|stream| {
            let [q, y] = [&queries, &points].map(|v| stream.upload(v).unwrap());
            let (mut indices, mut distances) = (stream.zeros(n * k).unwrap(), stream.zeros(n * k).unwrap());
            nearest(d, k, own, &q, &y, &mut indices, &mut distances).unwrap();
            vec![indices.to_vec().unwrap().iter().map(|&i| i as f32).collect(), distances.to_vec().unwrap()]
        });
        for i in 0..n {
            let square = |j: usize| -> f32 {
                let away = (0..d).map(|k| queries[i * d + k] - points[j * d + k]);
                away.fold(0.0, |sum, v| v.mul_add(v, sum))
            };
            let mut all: Vec<usize> = (0..m).filter(|&j| !(own && i == j)).collect();
            all.sort_by(|&a, &b| square(a).total_cmp(&square(b)).then(a.cmp(&b)));
            for (r, &want) in all.iter().take(k).enumerate() {
                prop_assert_eq!(got[0][i * k + r] as usize, want);
                prop_assert_eq!(got[1][i * k + r], square(want).sqrt());
            }
        }
    }
}

/// What is not a number, or is out of reach, is near to nothing.
#[test]
fn neighbours_that_are_none() {
    let Some(lab) = lab() else { return };
    let mut points = numbers(1, 300);
    points[245] = f32::NAN;
    points[250] = f32::INFINITY;
    points[260..].fill(3e30);
    let (queries, points) = (lab.upload(&[0.0, f32::NAN]), lab.upload(&points[240..]));
    let (mut indices, mut distances) = (lab.stream.zeros(2 * 20).unwrap(), lab.stream.zeros(2 * 20).unwrap());
    nearest(1, 20, false, &queries, &points, &mut indices, &mut distances).unwrap();
    let (indices, distances) = (indices.to_vec().unwrap(), distances.to_vec().unwrap());
    assert!(indices[..18].iter().all(|&i| i < 20 && i != 5 && i != 10), "{indices:?}");
    assert!(indices[18..].iter().all(|&i| i == u32::MAX), "{indices:?}");
    assert!(distances[..18].is_sorted() && distances[17] <= 1.0);
    assert!(distances[18..].iter().all(|&r| r == f32::INFINITY));
}

/// A whole divergence from the device's sums, with its gradient, against the processor's iterations to convergence.
#[test]
fn sinkhorn_divergence() {
    let Some(lab) = lab() else { return };
    let (n, m, d) = (97, 65, 3);
    let (x, y) = (numbers(1, n * d), numbers(2, m * d).iter().map(|v| 0.8 * v + 0.3).collect::<Vec<f32>>());
    let (a, b) = (weights(3, n), weights(4, m));
    for (cost, twin, blur) in [
        (TransportCost::HalfSquare, Cost::HalfSquare, 0.4_f64),
        (TransportCost::Distance, Cost::Distance, 0.15),
    ] {
        let config = SinkhornConfig { cost: twin, blur, tolerance: 1e-5, ..SinkhornConfig::default() };
        let epsilon = if twin == Cost::HalfSquare { blur * blur } else { blur } as f32;
        let stream = &lab.stream;
        let [x_device, y_device, a_device, b_device] = [&x, &y, &a, &b].map(|v| lab.upload(v));
        // Potentials of one problem, and the pull of the first cloud's points.
        let solve = |p: &chreode_cuda::Buffer<f32>,
                     wp: &chreode_cuda::Buffer<f32>,
                     q: &chreode_cuda::Buffer<f32>,
                     wq: &chreode_cuda::Buffer<f32>| {
            let (mut f, mut g) =
                (stream.zeros::<f32>(wp.len()).unwrap(), stream.zeros::<f32>(wq.len()).unwrap());
            let (mut hf, mut hg) = (stream.zeros(wp.len()).unwrap(), stream.zeros(wq.len()).unwrap());
            for _ in 0..100 {
                weighted_potential(epsilon, &f, wp, &mut hf).unwrap();
                softmin_rows(cost, d, epsilon, q, p, &hf, false, &mut g).unwrap();
                weighted_potential(epsilon, &g, wq, &mut hg).unwrap();
                softmin_rows(cost, d, epsilon, p, q, &hg, false, &mut f).unwrap();
            }
            let (mut mass, mut pull) = (stream.zeros(wp.len()).unwrap(), stream.zeros(p.len()).unwrap());
            transport_rows(cost, d, epsilon, p, q, &f, &hg, &mut mass, Some(&mut pull)).unwrap();
            close("masses of converged rows", &mass.to_vec().unwrap(), &vec![1.0; wp.len()], 1e-4);
            (f.to_vec().unwrap(), g.to_vec().unwrap(), pull.to_vec().unwrap())
        };
        let (f, g, pull) = solve(&x_device, &a_device, &y_device, &b_device);
        let (fx, gx, own_pull) = solve(&x_device, &a_device, &x_device, &a_device);
        let (fy, gy, _) = solve(&y_device, &b_device, &y_device, &b_device);
        let value =
            dot(&a, &f) + dot(&b, &g) - 0.5 * (dot(&a, &fx) + dot(&a, &gx) + dot(&b, &fy) + dot(&b, &gy));
        let gradient: Vec<f32> = (0..n * d).map(|i| a[i / d] * (pull[i] - own_pull[i])).collect();
        let mut bar = vec![0.0; n * d];
        let want = SinkhornDivergence::new(d, config)
            .unwrap()
            .evaluate(
                Cloud::weighted(&x, &logs(&a)),
                Cloud::weighted(&y, &logs(&b)),
                Some(CloudBar { states: &mut bar, log_weights: &mut [] }),
            )
            .unwrap();
        assert!((value - want.value).abs() < 1e-4 * (1.0 + want.value.abs()), "{value} {}", want.value);
        let scale = bar.iter().fold(0.0_f32, |s, v| s.max(v.abs()));
        let unit = |v: &[f32]| v.iter().map(|v| v / scale).collect::<Vec<f32>>();
        close("gradient", &unit(&gradient), &unit(&bar), 2e-3);
    }
}
