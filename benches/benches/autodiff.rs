//! Derivatives from one generic function beside the same by hand, on the corpus and on a sparse model. The aim: at most
//! three times as long, called through the same trait.

use std::hint::black_box;

use chreode_autodiff::{Auto, Dual, Program, Tape};
use chreode_core::{Dynamics, FieldError, Jacobian, Number, Sparsity, VectorField, Vjp};
use chreode_testkit::{
    Brusselator, BrusselatorLine, Differentiable, Duffing, Lorenz, LotkaVolterra, Rational, Toggle, corpus,
};
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};

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
    group.sample_size(20).warm_up_time(std::time::Duration::from_millis(300));
    group.measurement_time(std::time::Duration::from_millis(700));
}

fn by_hand(c: &mut Criterion) {
    for mut case in corpus() {
        let mut group = c.benchmark_group(format!("autodiff/{}", case.name));
        settings(&mut group);
        field(&mut group, "by hand", &mut *case.field, &case.y0, &case.p);
        let mut auto: Box<dyn Differentiable<f64>> = match case.name {
            "rational" => Box::new(Auto::<_>::new(Rational)),
            "Lotka-Volterra" => Box::new(Auto::<_>::new(LotkaVolterra)),
            "Lorenz" => Box::new(Auto::<_>::new(Lorenz)),
            "Brusselator" => Box::new(Auto::<_>::new(Brusselator)),
            "Duffing" => Box::new(Auto::<_>::new(Duffing)),
            _ => continue,
        };
        field(&mut group, "auto", &mut *auto, &case.y0, &case.p);
        group.finish();
    }
    let line = BrusselatorLine { points: 50 };
    let (y, p) = (line.start(), [1.0, 3.0, 50.0]);
    let mut group = c.benchmark_group("autodiff/Brusselator line");
    settings(&mut group);
    let mut auto: Auto<_> = Auto::new(line);
    if let Some(sparsity) = auto.sparsity().cloned() {
        field(&mut group, "by hand", &mut ByHand(line, sparsity), &y, &p);
    }
    field(&mut group, "auto", &mut auto, &y, &p);
    group.finish();
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

criterion_group!(benches, by_hand, routes);
criterion_main!(benches);
