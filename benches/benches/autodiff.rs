//! Derivatives from one generic function beside the same by hand, on the corpus and on a sparse model. The aim: at most
//! three times as long, called through the same trait.

use std::hint::black_box;
use std::time::{Duration, Instant};

use chreode_autodiff::{Auto, Dual, Program, Tape};
use chreode_benches::by_hand::{self, Hand, HandField};
use chreode_core::{Dynamics, FieldError, Jacobian, Jvp, Number, Sparsity, VectorField, Vjp};
use chreode_testkit::{
    Brusselator, BrusselatorLine, Duffing, E5, Hires, Lorenz, LotkaVolterra, Orego, Pollu, Rational,
    RingModulator, Robertson, Scaffold, Stiff, StiffField, StiffModel, Toggle, VanDerPol, corpus, nonstiff,
    stiff_corpus,
};
use criterion::{BenchmarkGroup, Criterion, criterion_group, measurement::WallTime};

/// Nested, for second derivatives.
type Second = Dual<Dual<f64, 1>, 1>;

/// By hand, behind the traits.
#[derive(Clone)]
struct ByHand(BrusselatorLine, Sparsity);

impl VectorField<f64> for ByHand {
    fn dim(&self) -> usize {
        2 * self.0.points
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        for (y, dy) in y.chunks_exact(self.dim()).zip(dy.chunks_exact_mut(self.dim())) {
            self.0.eval(t, y, p, dy);
        }
        Ok(())
    }
}
impl Jvp<f64> for ByHand {
    fn jvp(&mut self, _t: f64, y: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        jv.fill(0.0);
        self.0.jacobian(y, p, |i, j, value| jv[i] += value * v[j]);
        Ok(())
    }
}
impl Jacobian<f64> for ByHand {
    fn sparsity(&self) -> Option<&Sparsity> {
        Some(&self.1)
    }
    fn jacobian(&mut self, _t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        let mut next = values.iter_mut();
        self.0.jacobian(y, p, |_, _, value| {
            if let Some(v) = next.next() {
                *v = value;
            }
        });
        Ok(())
    }
}
impl Vjp<f64> for ByHand {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let d = self.dim();
        let rows = y.chunks_exact(d).zip(lambda.chunks_exact(d));
        for ((y, lambda), y_bar) in rows.zip(y_bar.chunks_exact_mut(d)) {
            self.0.vjp(y, p, lambda, y_bar, p_bar);
        }
        Ok(())
    }
}

/// The products that are timed.
const PRODUCTS: [&str; 5] = ["field", "Jv", "Jacobian", "VJP", "VJP of 64"];
/// Rounds of each, in turns, of whose ratios the median counts, and about how long one takes.
const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(1);

/// Seconds of a call, in a round of so many.
fn seconds(calls: u32, call: &mut dyn FnMut()) -> f64 {
    let begin = Instant::now();
    (0..calls).for_each(|_| call());
    begin.elapsed().as_secs_f64() / f64::from(calls)
}

/// Medians over some rounds of both in turn: of the ratio of the second to the first, and of the seconds of the first.
fn compared(calls: &mut [Box<dyn FnMut() + '_>; 2]) -> [f64; 2] {
    let numbers = calls.each_mut().map(|call| {
        let mut n = 1_u32;
        while seconds(n, call) * f64::from(n) < ROUND.as_secs_f64() {
            n *= 2;
        }
        n
    });
    let (mut ratios, mut firsts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [first, second] = [0, 1].map(|k: usize| seconds(numbers[k], &mut calls[k]));
        ratios.push(second / first);
        firsts.push(first);
    }
    [ratios, firsts].map(|mut of| {
        of.sort_by(f64::total_cmp);
        of[ROUNDS / 2]
    })
}

/// One of the [`PRODUCTS`] as something to call.
fn product<'a, F: Jvp<f64> + Jacobian<f64> + Vjp<f64> + ?Sized>(
    f: &'a mut F,
    which: usize,
    t: f64,
    y: &'a [f64],
    p: &'a [f64],
) -> Box<dyn FnMut() + 'a> {
    let (d, rows) = (y.len(), if which == 4 { 64 } else { 1 });
    let y = y.repeat(rows);
    let v: Vec<f64> = (0..y.len()).map(|i| 1.0 + (i % d) as f64).collect();
    let (mut out, mut p_bar) = (vec![0.0; y.len()], vec![0.0; p.len()]);
    let mut values = vec![0.0; f.sparsity().map_or(d * d, Sparsity::len)];
    // A field of these models cannot fail.
    match which {
        0 => Box::new(move || drop(f.eval(t, black_box(&y), p, black_box(&mut out)))),
        1 => Box::new(move || drop(f.jvp(t, black_box(&y), p, &v, black_box(&mut out)))),
        2 => Box::new(move || drop(f.jacobian(t, black_box(&y), p, black_box(&mut values)))),
        _ => Box::new(move || drop(f.vjp(t, black_box(&y), p, &v, black_box(&mut out), &mut p_bar))),
    }
}

/// One line of the table: what each product takes from the generic function in units of that by hand, and nanoseconds of the latter;
/// returns the largest.
fn line<F, G>(name: &str, by_hand: &mut F, auto: &mut G, y: &[f64], p: &[f64]) -> f64
where
    F: Jvp<f64> + Jacobian<f64> + Vjp<f64> + ?Sized,
    G: Jvp<f64> + Jacobian<f64> + Vjp<f64> + ?Sized,
{
    print!("| {name} |");
    let mut most = 0.0_f64;
    for which in 0..PRODUCTS.len() {
        let [ratio, hand] =
            compared(&mut [product(by_hand, which, 0.5, y, p), product(auto, which, 0.5, y, p)]);
        most = most.max(ratio);
        print!(" {ratio:.2} ({:.1}) |", 1e9 * hand);
    }
    println!();
    most
}

/// The same of a small problem.
fn small<H, D, const N: usize, const NP: usize>(name: &str, hand: H, model: D, y: &[f64], p: &[f64]) -> f64
where
    H: Hand<N, NP> + Send + Sync,
    D: Dynamics,
{
    line(name, &mut HandField(hand), &mut Auto::<_>::new(model), y, p)
}

/// The same of a large problem of the stiff corpus, by the entries of its Jacobian.
fn stiff<P: Stiff + Copy>(name: &str, problem: P, y: &[f64]) -> f64 {
    line(name, &mut StiffField::new(problem), &mut Auto::<_>::new(StiffModel(problem)), y, &[])
}

/// Every product of every problem, by hand and from one function.
fn table() {
    println!("| time over that by hand (ns by hand) | {} |", PRODUCTS.join(" | "));
    println!("|{}", "---|".repeat(1 + PRODUCTS.len()));
    let mut most = 0.0_f64;
    let stars = nonstiff().into_iter().filter(|case| ["Arenstorf", "Pleiades"].contains(&case.name));
    for case in corpus().into_iter().chain(stars) {
        let (name, y, p) = (case.name, &case.y0, &case.p);
        let of = match name {
            "rational" => small(name, by_hand::Rational, Rational, y, p),
            "Lotka-Volterra" => small(name, by_hand::LotkaVolterra, LotkaVolterra, y, p),
            "Lorenz" => small(name, by_hand::Lorenz, Lorenz, y, p),
            "Brusselator" => small(name, by_hand::Brusselator, Brusselator, y, p),
            "Duffing" => small(name, by_hand::Duffing, Duffing, y, p),
            "Arenstorf" => small(name, by_hand::Arenstorf, by_hand::ArenstorfModel, y, p),
            "Pleiades" => {
                let mut auto: Auto<_> = Auto::new(by_hand::PleiadesModel);
                line(name, &mut by_hand::Pleiades, &mut auto, y, p)
            }
            _ => continue,
        };
        most = most.max(of);
    }
    for points in [50, 500] {
        let model = BrusselatorLine { points };
        let mut auto: Auto<_> = Auto::new(model);
        if let Some(sparsity) = auto.sparsity().cloned() {
            let mut by_hand = ByHand(model, sparsity);
            let (y, p) = (model.start(), [1.0, 3.0, 50.0]);
            let name = format!("Brusselator, {points} points");
            most = most.max(line(&name, &mut by_hand, &mut auto, &y, &p));
        }
    }
    for case in stiff_corpus() {
        let (name, y) = (case.name, &case.y0);
        let of = match name {
            "Robertson" => small(name, by_hand::Robertson, StiffModel(Robertson), y, &[]),
            "HIRES" => small(name, by_hand::Hires, StiffModel(Hires), y, &[]),
            "OREGO" => small(name, by_hand::Orego, StiffModel(Orego), y, &[]),
            "van der Pol 1e3" => small(name, by_hand::VanDerPol, StiffModel(VanDerPol { eps: 1e-6 }), y, &[]),
            "E5" => small(name, by_hand::E5, StiffModel(E5), y, &[]),
            "POLLU" => stiff(name, Pollu, y),
            "ring modulator" => stiff(name, RingModulator, y),
            "scaffold" => stiff(name, Scaffold, y),
            _ => continue,
        };
        most = most.max(of);
    }
    println!("\nthe most: {most:.2}");
}

/// Jacobian and pull-backs of one trajectory and of 64.
fn field<F: Jacobian<f64> + Vjp<f64> + ?Sized>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    how: &str,
    f: &mut F,
    y: &[f64],
    p: &[f64],
) {
    let d = y.len();
    let mut values = vec![0.0; f.sparsity().map_or(d * d, Sparsity::len)];
    let lambda: Vec<f64> = (0..d).map(|i| 1.0 + i as f64).collect();
    let (mut y_bar, mut p_bar) = (vec![0.0; 64 * d], vec![0.0; p.len()]);
    let (ys, lambdas) = (y.repeat(64), lambda.repeat(64));
    group.bench_function(format!("Jacobian/{how}"), |b| {
        b.iter(|| f.jacobian(0.5, black_box(y), p, &mut values));
    });
    group.bench_function(format!("VJP/{how}"), |b| {
        b.iter(|| f.vjp(0.5, black_box(y), p, &lambda, &mut y_bar[..d], &mut p_bar));
    });
    group.bench_function(format!("VJP of 64/{how}"), |b| {
        b.iter(|| f.vjp(0.5, black_box(&ys), p, &lambdas, &mut y_bar, &mut p_bar));
    });
}

fn settings(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(700));
}

/// The other ways, on a model with powers, exponentials and branches.
fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("autodiff/toggle");
    settings(&mut group);
    let model = Toggle { off: 5.0 };
    let (y, p) = ([0.7, 1.2], [3.0, 2.5, 2.7, 0.4, 0.8]);
    field(&mut group, "auto", &mut Auto::<_>::new(model), &y, &p);
    let (mut y_bar, mut p_bar) = ([0.0; 2], [0.0; 5]);
    group.bench_function("eval", |b| b.iter(|| model.eval(1.0, black_box(&y), &p, &mut y_bar)));
    let mut tape = Tape::new();
    group.bench_function("VJP/tape", |b| {
        b.iter(|| tape.vjp(&model, 1.0, black_box(&y), &p, &[1.0, 2.0], &mut y_bar, &mut p_bar));
    });
    let program = Program::record(&model);
    let mut replay = program.replay();
    group.bench_function("VJP/program", |b| {
        b.iter(|| program.vjp(&mut replay, 1.0, black_box(&y), &p, &[1.0, 2.0], &mut y_bar, &mut p_bar));
    });
    let (x, q) = (y.map(Second::c), p.map(Second::c));
    let mut dy = [Second::c(0.0); 2];
    group.bench_function("second derivative along one pair", |b| {
        b.iter(|| model.eval(Second::c(1.0), black_box(&x), &q, &mut dy));
    });
    group.finish();
}

criterion_group!(benches, routes);

/// The table, then criterion's part; with a name of that as argument, it alone.
fn main() {
    if std::env::args().skip(1).all(|a| a == "--bench") {
        table();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
