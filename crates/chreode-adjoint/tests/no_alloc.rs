//! Buffers are kept: a second pass of as many steps allocates nothing.

use chreode_adjoint::{Checkpoints, ContinuousAdjoint, ContinuousMethod, OdeAdjoint};
use chreode_solve::{Erk, Rhs, SolveOptions, TSIT5};
use chreode_testkit::{CountingAllocator, LotkaVolterra, SmoothField, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn forward_and_backward_again() {
    use Checkpoints::{All, Bytes, Every, States};
    for (checkpoints, fixed) in
        [(All, false), (Every(7), false), (States(5), false), (States(5), true), (Bytes(100), true)]
    {
        let mut f = SmoothField(LotkaVolterra);
        let p = [1.5, 1.0, 0.75, 3.0];
        let mut adjoint = OdeAdjoint::with_checkpoints(&TSIT5, 1, 2, checkpoints).unwrap();
        let options = if fixed { SolveOptions::fixed(0.01) } else { SolveOptions::tolerance(1e-8, 1e-8) };
        let options = SolveOptions { save_at: &[1.0, 2.0], ..options };
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        let bars: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let mut pass = || {
            let mut y = [1.0, 0.5];
            adjoint.forward(&mut f, &p, &mut y, (0.0, 2.0), &options, &mut |_, _, _| {}).unwrap();
            adjoint.backward(&mut f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap();
        };
        let (first, ()) = allocations_in(&mut pass);
        let (second, ()) = allocations_in(&mut pass);
        assert!(first > 0, "the counter works");
        assert_eq!(second, 0);
    }
}

#[test]
fn continuous_again() {
    use ContinuousMethod::{Backsolve, Gauss, Interpolating};
    for method in [Interpolating, Gauss, Backsolve] {
        let mut f = SmoothField(LotkaVolterra);
        let p = [1.5, 1.0, 0.75, 3.0];
        let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
        let (mut ahead, mut back) = (Erk::new(&TSIT5, 1, 2), Erk::new(&TSIT5, 1, adjoint.backward_len()));
        let options = SolveOptions::tolerance(1e-8, 1e-8);
        let saving = SolveOptions { save_at: &[1.0, 2.0], ..options };
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        let bars: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let mut pass = || {
            let rhs = &mut Rhs::Field(&mut f);
            let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
            adjoint.forward(rhs, &p, &mut [1.0, 0.5], (0.0, 2.0), &mut ahead, &saving, nothing).unwrap();
            adjoint.backward(&mut f, &p, &mut back, &options, &bars, &mut y0_bar, &mut p_bar).unwrap();
        };
        let (first, ()) = allocations_in(&mut pass);
        let (second, ()) = allocations_in(&mut pass);
        assert!(first > 0, "the counter works");
        assert_eq!(second, 0, "{method:?}");
    }
}
