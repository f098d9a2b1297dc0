//! A recorded model as C.

use std::fmt::Write;

use crate::graph::Op;
use crate::program::Program;

impl Program {
    /// C source (C99) of `void name(double t, const double *y, const double *p, double *dy)`: straight code, without
    /// loops and branches. A power of a negative base is NaN there too.
    ///
    /// ```
    /// use chreode_autodiff::Program;
    /// use chreode_core::{Dynamics, Number};
    /// struct Decay;
    /// impl Dynamics for Decay {
    ///     fn dim(&self) -> usize { 1 }
    ///     fn n_params(&self) -> usize { 1 }
    ///     fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) { dy[0] = -p[0] * y[0]; }
    /// }
    /// assert!(Program::record(&Decay).c_code("decay").contains("const double v4 = y[0] * v3;"));
    /// ```
    pub fn c_code(&self, name: &str) -> String {
        let mut code = String::from("#include <math.h>\n");
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = code.write_fmt(text);
            code.push('\n');
        };
        if self.steps.iter().any(|s| matches!(s.op, Op::Powf(..))) {
            line(format_args!(
                "static double {name}_pow(double x, double p) {{ return x < 0.0 ? NAN : pow(x, p); }}"
            ));
        }
        line(format_args!("void {name}(double t, const double *y, const double *p, double *dy) {{"));
        line(format_args!("  (void)t; (void)y; (void)p;"));
        let first_constant = 1 + self.d + self.np;
        let v = |i: u32| match i as usize {
            0 => "t".to_owned(),
            i if i <= self.d => format!("y[{}]", i - 1),
            i if i < first_constant => format!("p[{}]", i - 1 - self.d),
            i => self.constants.get(i - first_constant).map_or_else(|| format!("v{i}"), |&c| constant(c)),
        };
        for step in &self.steps {
            let call = |f: &str, a: u32| format!("{f}({})", v(a));
            let infix = |a: u32, op: &str, b: u32| format!("{} {op} {}", v(a), v(b));
            let value = match step.op {
                Op::Neg(a) => format!("-{}", v(a)),
                Op::Add(a, b) => infix(a, "+", b),
                Op::Sub(a, b) => infix(a, "-", b),
                Op::Mul(a, b) => infix(a, "*", b),
                Op::Div(a, b) => infix(a, "/", b),
                Op::Powf(a, b) => format!("{name}_pow({}, {})", v(a), v(b)),
                Op::Exp(a) => call("exp", a),
                Op::Ln(a) => call("log", a),
                Op::Sqrt(a) => call("sqrt", a),
                Op::Sin(a) => call("sin", a),
                Op::Cos(a) => call("cos", a),
                Op::Tanh(a) => call("tanh", a),
                Op::Floor(a) => call("floor", a),
                Op::Select(m, a, b) => format!("m{m} ? {} : {}", v(a), v(b)),
                Op::Lt(a, b) => infix(a, "<", b),
                Op::And(a, b) => format!("m{a} & m{b}"),
                Op::Or(a, b) => format!("m{a} | m{b}"),
                Op::Not(a) => format!("!m{a}"),
                Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => continue, // never a step
            };
            match step.op {
                Op::Lt(..) | Op::And(..) | Op::Or(..) | Op::Not(_) => {
                    line(format_args!("  const int m{} = {value};", step.to));
                }
                _ => line(format_args!("  const double v{} = {value};", step.to)),
            }
        }
        for (i, &out) in self.out.iter().enumerate() {
            line(format_args!("  dy[{i}] = {};", v(out)));
        }
        code.push_str("}\n");
        code
    }
}

/// A constant that C reads back to the bit.
fn constant(x: f64) -> String {
    if x.is_nan() {
        "NAN".into()
    } else if x.is_infinite() {
        if x > 0.0 { "INFINITY".into() } else { "(-INFINITY)".into() }
    } else if x.is_sign_negative() {
        format!("({x:?})")
    } else {
        format!("{x:?}")
    }
}
