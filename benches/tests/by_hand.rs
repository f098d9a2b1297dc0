//! What is written by hand for the benchmarks against the models that it is measured beside.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Jacobian, Jvp, VectorField, Vjp};

use chreode_benches::by_hand::{
    Arenstorf, ArenstorfModel, Brusselator, Duffing, E5, Hand, HandField, Hires, Lorenz, LotkaVolterra,
    Orego, Pleiades, PleiadesModel, Rational, Robertson, VanDerPol,
};
use chreode_testkit::StiffModel;

/// Every product of 11 trajectories against that of the function written once, whose terms are about as large as `terms` at
/// states and directions of these sizes.
fn same<H, M: Dynamics, const D: usize, const NP: usize>(hand: H, model: M, terms: f64, sizes: [f64; D])
where
    H: Hand<D, NP> + Send + Sync,
{
    same_fields(&mut HandField(hand), &mut Auto::<_>::new(model), terms, &sizes);
}

fn same_fields<F, G>(hand: &mut F, auto: &mut G, terms: f64, sizes: &[f64])
where
    F: Jvp<f64> + Jacobian<f64> + Vjp<f64>,
    G: Jvp<f64> + Jacobian<f64> + Vjp<f64>,
{
    let (d, np) = (sizes.len(), auto.n_params());
    assert_eq!((hand.dim(), hand.n_params()), (auto.dim(), auto.n_params()));
    let numbers = |n: usize, by: f64| -> Vec<f64> { (1..=n).map(|i| (by * i as f64).sin()).collect() };
    let (n, t) = (11 * d, 0.7);
    let sized = |by: f64| numbers(n, by).iter().zip(sizes.iter().cycle()).map(|(x, size)| x * size).collect();
    let (y, v, lambda, p): (Vec<f64>, Vec<f64>, _, _) =
        (sized(1.3), sized(0.9), numbers(n, 0.9), numbers(np, 2.1));
    let near = |what: &str, a: &[f64], b: &[f64]| {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-14 * (terms + b.abs()), "{what}: {a} {b}");
        }
    };
    let (mut a, mut b) = (vec![f64::NAN; n], vec![0.0; n]);
    hand.eval(t, &y, &p, &mut a).unwrap();
    auto.eval(t, &y, &p, &mut b).unwrap();
    near("field", &a, &b);
    hand.jvp(t, &y, &p, &v, &mut a).unwrap();
    auto.jvp(t, &y, &p, &v, &mut b).unwrap();
    near("J v", &a, &b);
    let (mut by_hand, mut by_auto) = (vec![f64::NAN; d * d], vec![0.0; d * d]);
    hand.jacobian(t, &y[..d], &p, &mut by_hand).unwrap();
    auto.jacobian(t, &y[..d], &p, &mut by_auto).unwrap();
    near("Jacobian", &by_hand, &by_auto);
    let (mut by_hand, mut by_auto) = (vec![0.5; np], vec![0.5; np]);
    hand.vjp(t, &y, &p, &lambda, &mut a, &mut by_hand).unwrap();
    auto.vjp(t, &y, &p, &lambda, &mut b, &mut by_auto).unwrap();
    near("pull-back by state", &a, &b);
    near("pull-back by parameters", &by_hand, &by_auto);
}

#[test]
fn products_by_hand_are_those_of_the_model() {
    same(Rational, chreode_testkit::Rational, 1.0, [1.0; 1]);
    same(LotkaVolterra, chreode_testkit::LotkaVolterra, 1.0, [1.0; 2]);
    same(Lorenz, chreode_testkit::Lorenz, 1.0, [1.0; 3]);
    same(Brusselator, chreode_testkit::Brusselator, 1.0, [1.0; 2]);
    same(Duffing, chreode_testkit::Duffing, 1.0, [1.0; 2]);
    same(Arenstorf, ArenstorfModel, 10.0, [1.0, 2.0, 1.0, 1.0]);
    same_fields(&mut Pleiades, &mut Auto::<_>::new(PleiadesModel), 10.0, &[3.0; 28]);
    same(Robertson, StiffModel(chreode_testkit::Robertson), 6e7, [1.0; 3]);
    same(Hires, StiffModel(chreode_testkit::Hires), 280.0, [1.0; 8]);
    same(Orego, StiffModel(chreode_testkit::Orego), 77.0, [1.0; 3]);
    same(VanDerPol, StiffModel(chreode_testkit::VanDerPol { eps: 1e-6 }), 1e6, [1.0; 2]);
    // So that all of its terms, of rates from 1e-9 to 1e9, are about 1e-9.
    same(E5, StiffModel(chreode_testkit::E5), 1e-9, [1.0, 1e-18, 1e-17, 1e-12]);
}
