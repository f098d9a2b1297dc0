#![allow(missing_docs, clippy::all)]
use chreode_train::*;
use std::time::Instant;
fn main() {
    let args: Vec<f64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (n, blur, tol, mem) = (args[0] as usize, args[1], args[2], args[3] as usize);
    let d = 50;
    let mut z = vec![0.0f64; 2 * n * d];
    chreode_core::BrownianIncrements::new(5).fill(0, 0, 1, 1.0, &mut z);
    let s = |k: usize| 3.0 - 2.5 * k as f64 / 49.0;
    let x: Vec<f32> = (0..n * d).map(|i| (z[i] * s(i % d)) as f32).collect();
    let y: Vec<f32> = (0..n * d).map(|i| ((z[n * d + i] + 0.3) * s(i % d)) as f32).collect();
    let mut bar = vec![0.0f32; n * d];
    let c = SinkhornConfig { blur, tolerance: tol, memory_mib: mem, ..Default::default() };
    let mut loss = SinkhornDivergence::<f32>::new(d, c).unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    for _ in 0..2 {
        let t = Instant::now();
        let r = loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), Some(CloudBar { states: &mut bar, log_weights: &mut [] })).unwrap();
        println!("{:?} {:?} g {:?}", t.elapsed(), r, &bar[..2]);
    }
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
