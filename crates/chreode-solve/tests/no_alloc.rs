//! Work arrays are sized once: nothing allocates inside a step.

use chreode_core::BrownianIncrements;
use chreode_solve::EulerMaruyama;
use chreode_testkit::{CountingAllocator, SinhSde, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn euler_maruyama_steps() {
    let (mut sde, noise) = (SinhSde { dim: 5 }, BrownianIncrements::new(1));
    let mut scheme = EulerMaruyama::new(64, 5);
    let mut y = vec![0.1_f32; 64 * 5];
    let (count, ()) = allocations_in(|| {
        for k in 0..100 {
            let t = k as f64 * 0.01;
            scheme.step(&mut sde, &noise, 7, k, t, 0.01, &mut y, &[0.5, 0.3]).unwrap();
        }
    });
    assert_eq!(count, 0);
}
