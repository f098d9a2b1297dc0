//! Vectorised elementary functions beside the standard library's in the same run, on one thread: nanoseconds an element.

mod turns;

use std::hint::black_box;

use chreode_core::Real;
use chreode_linalg::{log_sum_exp, vexp, vsigmoid, vsilu, vsoftplus, vtanh};
use turns::{Routine, seconds};

/// Stays in the first cache with its results.
const LEN: usize = 2048;

type Functions<T> = [(&'static str, fn(&[T], &mut [T]), fn(T) -> T); 5];

fn functions<T: Real>(number: &str) {
    let functions: Functions<T> = [
        ("exp", vexp, T::exp),
        ("tanh", vtanh, T::tanh),
        ("sigmoid", vsigmoid, |x| T::ONE / (T::ONE + (-x).exp())),
        ("softplus", vsoftplus, |x| (T::ONE + x.exp()).ln()),
        ("silu", vsilu, |x| x / (T::ONE + (-x).exp())),
    ];
    let x: Vec<T> = (0..LEN).map(|i| T::c((i * 1_031 % LEN) as f64 * (16.0 / LEN as f64) - 8.0)).collect();
    let x = &x;
    let mut results = vec![T::ZERO; 2 * functions.len() * LEN];
    let mut routines: Vec<Routine<'_>> = Vec::new();
    for ((name, vector, scalar), y) in functions.into_iter().zip(results.chunks_exact_mut(2 * LEN)) {
        let (y, y_std) = y.split_at_mut(LEN);
        routines.push((name.into(), Box::new(move || vector(black_box(x), y))));
        let std = move || black_box(x).iter().zip(&mut *y_std).for_each(|(&x, y)| *y = scalar(x));
        routines.push((name.into(), Box::new(std)));
    }
    routines.push(("log_sum_exp".into(), Box::new(|| _ = black_box(log_sum_exp(black_box(x))))));
    let std = || {
        let top = black_box(x).iter().fold(x[0], |top, &x| top.max(x));
        black_box(top + x.iter().map(|&x| (x - top).exp()).sum::<T>().ln());
    };
    routines.push(("log_sum_exp".into(), Box::new(std)));
    let times = seconds(&mut routines);
    for (pair, t) in routines.chunks_exact(2).zip(times.chunks_exact(2)) {
        let each = |t: f64| 1e9 * t / LEN as f64;
        println!("{number} {:<12} {:>8.3} ns, std {:>8.3} ns", pair[0].0, each(t[0]), each(t[1]));
    }
}

fn main() {
    functions::<f32>("f32");
    functions::<f64>("f64");
}
