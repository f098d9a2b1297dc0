//! The corpus's own derivatives against finite differences, at random points; and that a wrong one is caught.

use chreode_core::{Calculus, FieldError, NoiseKind, VectorField, Vjp};
use chreode_testkit::{
    BrusselatorLine, BrusselatorSquare, Case, MixedSinhSde, RingSde, Scaffold, SinhSde, SpinSde, StiffField,
    WellSde, check_diffusion_jvp, check_diffusion_jvp_vjp, check_diffusion_vjp, check_growth_vjp,
    check_jacobian, check_jvp, check_second, check_vjp, corpus, nonstiff, stiff_corpus,
};
use proptest::prelude::*;

const RTOL: f64 = 1e-8;

fn numbers(n: usize, span: std::ops::Range<f64>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(span, n)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fields(t in 0.0..3.0_f64, y in numbers(24, 0.2..2.0), p in numbers(8, 0.2..2.0), l in numbers(24, -2.0..2.0)) {
        for Case { name, mut field, y0, p: own, .. } in corpus() {
            let (d, n) = (y0.len(), 4); // four trajectories
            let (y, l, p) = (&y[..n * d], &l[..n * d], &p[..own.len()]);
            let checks = [
                check_vjp(&mut *field, t, y, p, l, RTOL),
                check_jvp(&mut *field, t, y, p, l, RTOL),
                check_jacobian(&mut *field, t, &y[..d], p, RTOL),
            ];
            for check in checks {
                prop_assert!(check.is_ok(), "{name}: {:?}", check);
            }
        }
    }

    /// Near the start of the long runs, where no two bodies are close.
    #[test]
    fn fields_of_long_runs(shift in numbers(28, -0.1..0.1), l in numbers(28, -2.0..2.0)) {
        for Case { name, mut field, y0, p, .. } in nonstiff() {
            let d = y0.len();
            let y: Vec<f64> = y0.iter().zip(&shift).map(|(y, s)| y + s + if d == 4 { 0.4 } else { 0.0 }).collect();
            let checks = [
                check_vjp(&mut *field, 0.0, &y, &p, &l[..d], 1e-7),
                check_jvp(&mut *field, 0.0, &y, &p, &l[..d], 1e-7),
                check_jacobian(&mut *field, 0.0, &y, &p, 1e-7),
            ];
            for check in checks {
                prop_assert!(check.is_ok(), "{name}: {:?}", check);
            }
        }
    }

    #[test]
    fn stiff_fields(t in 0.0..1e-4_f64, y in numbers(20, 0.02..0.2), l in numbers(22, -2.0..2.0)) {
        for case in stiff_corpus() {
            let mut field = if case.y0.len() > 20 { Box::new(StiffField::new(BrusselatorLine { points: 6 })) } else { case.field };
            let d = field.dim();
            let check = check_jacobian(&mut *field, t, &y[..d], &[], RTOL);
            prop_assert!(check.is_ok(), "{}: {:?}", case.name, check);
            // Differences are exact for polynomials, and the better the longer; the diodes' exponentials bend.
            let (by, rtol) = if case.name == "ring modulator" { (0.3, 1e-6) } else { (1e3, RTOL) };
            let along: Vec<f64> = l[2..2 + d].iter().map(|l| by * l).collect();
            let check = check_second(&mut *field, t, &y[..d], (&l[..d], &along), rtol);
            prop_assert!(check.is_ok(), "{}: {:?}", case.name, check);
        }
    }

    #[test]
    fn fields_with_diffusion(y in numbers(32, 0.2..2.0), l in numbers(33, -2.0..2.0)) {
        let (mut line, mut square) = (StiffField::new(BrusselatorLine { points: 16 }), BrusselatorSquare::new(4));
        let along = (&l[..32], &l[1..]);
        for check in [
            check_jacobian(&mut line, 0.0, &y, &[], 1e-7),
            check_jacobian(&mut square, 0.0, &y, &[], 1e-7),
            check_second(&mut line, 0.0, &y, along, 1e-7),
            check_second(&mut square, 0.0, &y, along, 1e-7),
        ] {
            prop_assert!(check.is_ok(), "{:?}", check);
        }
    }

    #[test]
    fn stochastic(t in 0.0..3.0_f64, d in 1_usize..4, y in numbers(12, -2.0..2.0), p in numbers(4, 0.2..2.0), l in numbers(12, -2.0..2.0)) {
        let (y, r, l) = (&y[..4 * d], &l[..4], &l[..4 * d]);
        let (mut sinh, mut well) = (SinhSde { dim: d }, WellSde { dim: d });
        for check in [
            check_vjp(&mut sinh, t, y, &p[..2], l, RTOL),
            check_diffusion_vjp(&mut sinh, t, y, &p[..2], l, RTOL),
            check_vjp(&mut well, t, y, &p, l, RTOL),
            check_diffusion_vjp(&mut well, t, y, &p, l, RTOL),
            check_growth_vjp(&mut well, t, y, &p, r, RTOL),
        ] {
            prop_assert!(check.is_ok(), "{:?}", check);
        }
        let (pairs, pair_bars) = (&y[..4 * d / 2 * 2], &l[..4 * d / 2 * 2]);
        let turned: Vec<f64> = pair_bars.iter().rev().map(|v| v + 0.1).collect();
        for calculus in [Calculus::Ito, Calculus::Stratonovich] {
            let mut spin = SpinSde { calculus };
            let mut mixed = MixedSinhSde { mixing: vec![0.4, -0.2, 0.1, 0.3, 0.2, -0.5], motions: 3, calculus };
            let g_bar: Vec<f64> = (0..3 * pairs.len()).map(|i| pair_bars[i / 3] + 0.1 * (i % 3) as f64).collect();
            for check in [
                check_vjp(&mut spin, t, pairs, &p[..2], pair_bars, RTOL),
                check_diffusion_vjp(&mut spin, t, pairs, &p[..2], pair_bars, RTOL),
                check_diffusion_jvp(&mut spin, t, pairs, &p[..2], pair_bars, RTOL),
                check_diffusion_jvp_vjp(&mut spin, t, pairs, &p[..2], &turned, pair_bars, RTOL),
                check_vjp(&mut mixed, t, pairs, &p[..1], pair_bars, RTOL),
                check_diffusion_vjp(&mut mixed, t, pairs, &p[..1], &g_bar, RTOL),
            ] {
                prop_assert!(check.is_ok(), "{:?}", check);
            }
            for noise in [NoiseKind::Additive, NoiseKind::Separable, NoiseKind::Diagonal] {
                let mut ring = RingSde { dim: d, noise, calculus };
                for check in [
                    check_vjp(&mut ring, t, y, &p[..1], l, RTOL),
                    check_diffusion_vjp(&mut ring, t, y, &p[..1], l, RTOL),
                ] {
                    prop_assert!(check.is_ok(), "{:?}", check);
                }
            }
        }
        let v: Vec<f64> = l.iter().rev().map(|v| v + 0.1).collect();
        for check in [
            check_diffusion_jvp(&mut sinh, t, y, &p[..2], l, RTOL),
            check_diffusion_jvp_vjp(&mut sinh, t, y, &p[..2], &v, l, RTOL),
        ] {
            prop_assert!(check.is_ok(), "{:?}", check);
        }
    }
}

/// `y' = p y²`, with a derivative that is wrong by a factor, or that sets `p_bar` instead of adding.
struct Wrong {
    y_factor: f64,
    keep: f64,
}
impl VectorField<f64> for Wrong {
    fn dim(&self) -> usize {
        1
    }
    fn eval(&mut self, _t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy[0] = p[0] * y[0] * y[0];
        Ok(())
    }
}
impl Vjp<f64> for Wrong {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        y_bar[0] = self.y_factor * 2.0 * lambda[0] * p[0] * y[0];
        p_bar[0] = self.keep * p_bar[0] + lambda[0] * y[0] * y[0];
        Ok(())
    }
}

#[test]
fn wrong_derivatives_are_caught() {
    let check = |y_factor, keep| check_vjp(&mut Wrong { y_factor, keep }, 0.0, &[0.7], &[1.3], &[0.9], 1e-6);
    assert!(check(1.0, 1.0).is_ok());
    for (y_factor, keep) in [(1.00001, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, 0.0)] {
        assert!(check(y_factor, keep).is_err(), "{y_factor} {keep}");
    }
}

#[test]
fn a_network() {
    let y: Vec<f64> = (0..253).map(|i| 1.1 + 0.9 * f64::from(i * i).sin()).collect();
    let mut field = StiffField::new(Scaffold);
    let check = check_jacobian(&mut field, 0.0, &y, &[], 1e-6);
    assert!(check.is_ok(), "{check:?}");
    let along: Vec<f64> = (0..254).map(|i| f64::from(i).cos()).collect();
    let check = check_second(&mut field, 0.0, &y, (&along[..253], &along[1..]), 1e-6);
    assert!(check.is_ok(), "{check:?}");
    // What is conserved: the scaffold and, of partner 1, what is bound and free.
    let mut dy = vec![0.0; 253];
    field.eval(0.0, &y, &[], &mut dy).unwrap();
    let size: f64 = dy.iter().map(|x| x.abs()).sum();
    let sums = [
        dy[..243].iter().sum::<f64>(),
        (0..243).filter(|c| c / 3 % 3 > 0).map(|c| dy[c]).sum::<f64>() + dy[244] + dy[249],
    ];
    assert!(sums.iter().all(|sum| sum.abs() < 1e-12 * size), "{sums:?} of {size}");
}
