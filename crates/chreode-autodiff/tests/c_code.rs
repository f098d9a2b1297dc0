//! Generated C, compiled where there is a compiler, gives the model's values.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::process::Command;

use chreode_autodiff::{AutoSde, NotIto, Program};
use chreode_core::{Calculus, Dynamics, NoiseKind, Number, put};
use chreode_testkit::{BrusselatorLine, Duffing, Lorenz, Toggle};

/// Every operation, and constants that are hard to write.
#[derive(Clone, Copy)]
struct Everything;
impl Dynamics for Everything {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let mask = y[0].lt(y[1]) & !t.lt(p[0]) | y[2].lt(S::c(-1e-300));
        let functions = y[0].exp() + y[1].abs().ln() + y[2].abs().sqrt() + t.sin() - y[0].cos() * y[1].tanh();
        let far = S::select(y[0].lt(S::c(f64::INFINITY)), y[0], S::c(f64::NEG_INFINITY));
        put(
            dy,
            [
                S::select(mask, functions, -functions * 0.1),
                far.max(y[1]) / (y[2] * y[2] + 1e-7) - 1.2345678901234567e-17 + (y[1] * 0.3).floor(),
                (y[0] * y[0] + 0.5).powf(p[0]) + y[1].powf(p[0]),
            ],
        );
    }
}

/// Values by the compiled program for each of the points `[t, y, p]`.
fn compiled<D: Dynamics>(model: &D, points: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (d, np) = (model.dim(), model.n_params());
    let mut code = Program::record(model).c_code("model");
    code.push_str("#include <stdio.h>\nint main(void) {\n");
    let _ = writeln!(code, "  double y[{d}], p[{}], dy[{d}];", np.max(1));
    for point in points {
        let _ = writeln!(code, "  {{ static const double x[] = {{{}}};", joined(point));
        let _ = writeln!(code, "    for (int i = 0; i < {d}; i++) y[i] = x[1 + i];");
        let _ = writeln!(code, "    for (int i = 0; i < {np}; i++) p[i] = x[1 + {d} + i];");
        let _ = writeln!(code, "    model(x[0], y, p, dy);");
        let _ = writeln!(code, "    for (int i = 0; i < {d}; i++) printf(\"%.17g\\n\", dy[i]); }}");
    }
    code.push_str("  return 0;\n}\n");
    let dir = tempfile::tempdir().expect("a folder");
    let (source, program) = (dir.path().join("model.c"), dir.path().join("model"));
    std::fs::write(&source, code).expect("written");
    let output = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Werror", "-ffp-contract=off", "-O1", "-o"])
        .args([&program, &source])
        .arg("-lm")
        .output()
        .expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().expect("the program runs");
    let values: Vec<f64> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|l| l.trim().parse().expect("a number"))
        .collect();
    values.chunks(d).map(<[f64]>::to_vec).collect()
}

fn joined(x: &[f64]) -> String {
    x.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ")
}

fn check<D: Dynamics>(model: &D, y: &[f64], p: &[f64]) {
    let (d, np) = (model.dim(), model.n_params());
    let points: Vec<Vec<f64>> = (0..5)
        .map(|k| {
            let x = y[..d].iter().map(|y| y * (1.0 - 0.4 * k as f64));
            std::iter::once(1.5 * k as f64).chain(x).chain(p[..np].iter().copied()).collect()
        })
        .collect();
    for (point, values) in points.iter().zip(compiled(model, &points)) {
        let mut dy = vec![0.0; d];
        model.eval(point[0], &point[1..=d], &point[1 + d..], &mut dy);
        for (value, dy) in values.iter().zip(&dy) {
            let close =
                (value - dy).abs() <= 1e-14 * dy.abs() || value == dy || value.is_nan() && dy.is_nan();
            assert!(close, "{value:e} in C, {dy:e} here, at {point:?}");
        }
    }
}

#[test]
fn the_values_of_the_model() {
    if Command::new("cc").arg("--version").output().is_err() {
        println!("skipped: there is no C compiler `cc`");
        return;
    }
    check(&Lorenz, &[1.0, 2.0, 3.0], &[10.0, 28.0, 8.0 / 3.0]);
    check(&Duffing, &[0.5, 0.1], &[0.2, -1.0, 1.0, 0.3, 1.2]);
    check(&Toggle { off: 2.0 }, &[0.7, 1.2], &[3.0, 2.5, 2.7, 0.4, 0.8]);
    let line = BrusselatorLine { points: 20 };
    check(&line, &line.start(), &[1.0, 3.0, 0.5]);
    check(&Everything, &[0.3, 0.8, -0.6], &[2.0]);
}

#[test]
fn straight_code_without_what_is_not_needed() {
    let code = Program::record(&Toggle { off: 2.0 }).c_code("toggle");
    assert!(code.contains("const int m"), "{code}");
    assert!(!code.contains("if") && !code.contains("for"), "{code}");
    assert!(code.lines().count() < 45, "{code}");
}

/// For a device: the derivative in time is there where it is, and no arithmetic is in f64.
#[test]
fn cuda_has_the_derivatives() {
    let code = Program::cuda_code(&Duffing);
    assert!(code.contains("TIMED = true") && code.contains("slope[1 * THREADS] = "), "{code}");
    assert!(
        code.contains("STATES = 2, PARAMETERS = 5") && code.contains("element(m, 0, 1) = 1.0f"),
        "{code}"
    );
    assert!(!code.contains("const double") && !code.contains("y[2 * THREADS]"), "{code}");
    let code = Program::cuda_code(&Lorenz);
    assert!(
        code.contains("TIMED = false") && !code.contains("] = slope") && !code.contains("slope[0 *"),
        "{code}"
    );
}

/// Explicit methods need no derivative; the field is the same.
#[test]
fn cuda_has_the_field_alone() {
    let (alone, whole) = (Program::record(&Duffing).cuda_field(), Program::cuda_code(&Duffing));
    assert!(!alone.contains("jacobian") && !alone.contains("TIMED"), "{alone}");
    let field = |code: &str| {
        let from = code.find("void operator()").unwrap();
        code[from..].split_once("\n    }\n").unwrap().0.to_owned()
    };
    assert_eq!(field(&alone), field(&whole));
    assert!(alone.contains("STATES = 2, PARAMETERS = 5") && alone.ends_with("};\n"), "{alone}");
}

/// Drift and noise read the same parameters, as many as the one that has more.
#[test]
fn cuda_has_drift_and_noise() {
    let sde: AutoSde<_, _> = AutoSde::new(Lorenz, Constants).unwrap();
    let code = sde.cuda_code().unwrap();
    assert_eq!(code.matches("STATES = 3, PARAMETERS = 4").count(), 2, "{code}");
    assert!(code.contains("SCALAR = false") && code.contains("struct GeneratedNoise"), "{code}");
    let scalar: AutoSde<_, _> = AutoSde::scalar(Lorenz, Constants).unwrap();
    assert!(scalar.cuda_code().unwrap().contains("SCALAR = true"));
    let error = scalar.in_calculus(Calculus::Stratonovich).cuda_code().unwrap_err();
    assert_eq!(error, NotIto { noise: NoiseKind::Scalar });
    assert!(error.to_string().contains("scalar noise"));
}

struct Constants;

impl Dynamics for Constants {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        4
    }
    fn eval<S: Number>(&self, _t: S, _y: &[S], p: &[S], g: &mut [S]) {
        g.iter_mut().for_each(|g| *g = p[3]);
    }
}
