#![allow(missing_docs, clippy::all)]
use chreode_train::*;
fn normals(n: usize, seed: u64) -> Vec<f32> { let mut z = vec![0.0f64; n]; chreode_core::BrownianIncrements::new(seed).fill(0, 0, 1, 1.0, &mut z); z.iter().map(|v| *v as f32).collect() }
fn main() {
    for (n, m, d) in [(64, 64, 2), (512, 512, 50), (59, 60, 2), (240, 200, 50), (1000, 1000, 2), (1000, 1000, 10)] { for tol in [1e-3, 1e-6] { for blur in [0.05, 0.2, 1.0] {
        let x = normals(n * d, 1); let y: Vec<f32> = normals(m * d, 2).iter().map(|v| v + 0.5).collect();
        let mut loss = SinkhornDivergence::new(d, SinkhornConfig { tolerance: tol, max_iterations: 5000, blur, ..Default::default() }).unwrap();
        if std::env::var("ONLY").is_ok() && !(n==59 && tol==1e-3 && blur==0.05) {continue;} let t = std::time::Instant::now();
        let r = loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), None).unwrap();
        println!("{n} {m} {d} blur {blur} tol {tol:e}: {} {:.1e} {:.6} {:?}", r.iterations, r.marginal_error, r.value, t.elapsed());
    } } }
}
