//! A recorded model as C.

use std::fmt::Write;

use chreode_core::{Dynamics, Number};

use crate::graph::Op;
use crate::map::Map;
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
        if self.steps.iter().any(|s| matches!(s.op, Op::Powf(..))) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                code,
                "static double {name}_pow(double x, double p) {{ return x < 0.0 ? NAN : pow(x, p); }}"
            );
        }
        let _ = writeln!(code, "void {name}(double t, const double *y, const double *p, double *dy) {{");
        code.push_str("  (void)t; (void)y; (void)p;\n");
        let double = Dialect {
            real: "double",
            functions: ["exp", "log", "sqrt", "sin", "cos", "tanh", "floor"],
            power: &format!("{name}_pow"),
            state: &|i| format!("y[{i}]"),
            constant: &constant,
        };
        let outs = self.statements(&double, "  ", &mut code);
        for (i, out) in outs.iter().enumerate() {
            let _ = writeln!(code, "  dy[{i}] = {out};");
        }
        code.push_str("}\n");
        code
    }

    /// CUDA C of the program in f32, for the explicit ensembles of `chreode-cuda` (`GeneratedSource`): a structure `GeneratedField` with the
    /// field alone.
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
    /// assert!(Program::record(&Decay).cuda_field().contains("const float v4 = y[0 * THREADS] * v3;"));
    /// ```
    pub fn cuda_field(&self) -> String {
        self.cuda_structure("GeneratedField", "", self.np) + "};\n"
    }

    /// CUDA C of a model in f32, for the stiff ensembles of `chreode-cuda` (`GeneratedSource`): a structure `GeneratedField` with the field, its exact
    /// Jacobian, and whether it depends on time.
    ///
    /// # Panics
    /// If it has more than 2³² operations.
    pub fn cuda_code<D: Dynamics>(model: &D) -> String {
        let field = Self::record(model);
        let (pattern, jacobian) = Self::record_jacobian(&TimeAsState(model));
        let timed = !pattern.column(field.d).is_empty();
        let constants = format!("    constexpr static bool TIMED = {timed};\n");
        let mut code = field.cuda_structure("GeneratedField", &constants, field.np);
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(code, "{text}");
        };
        line(format_args!(
            "    DEVICE_MEMBER void jacobian(double time, const float *y, const Matrix &m, float *slope) const {{\n        \
             const float t = (float)time;\n        (void)t;\n        \
             for (int i = 0; i < STATES; ++i)\n            \
             for (int j = 0; j < STATES; ++j) element(m, i, j) = 0.0f;\n        \
             for (int i = 0; TIMED && i < STATES; ++i) slope[i * THREADS] = 0.0f;"
        ));
        let entries = jacobian.statements(&single(&device_state(field.d)), "        ", &mut code);
        for j in 0..pattern.n_cols() {
            let start = pattern.col_starts()[j];
            for (k, &row) in pattern.column(j).iter().enumerate() {
                let entry = &entries[start + k];
                let _ = if j == field.d {
                    writeln!(code, "        slope[{row} * THREADS] = {entry};")
                } else {
                    writeln!(code, "        element(m, {row}, {j}) = {entry};")
                };
            }
        }
        code.push_str("    }\n};\n");
        code
    }

    /// A structure with these constants and the program as its call, `void operator()(double time, const float *y, float *dy) const`, without
    /// the structure's end. It reads the first of so many parameters.
    pub(crate) fn cuda_structure(&self, name: &str, constants: &str, n_params: usize) -> String {
        let mut code = format!(
            "struct {name} {{\n{constants}    constexpr static int STATES = {}, PARAMETERS = {n_params};\n    const float *p;\n    \
             DEVICE_MEMBER void operator()(double time, const float *y, float *dy) const {{\n        \
             const float t = (float)time;\n        (void)t;\n",
            self.d
        );
        let outs = self.statements(&single(&device_state(self.d)), "        ", &mut code);
        for (i, out) in outs.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(code, "        dy[{i} * THREADS] = {out};");
        }
        code.push_str("    }\n");
        code
    }

    /// Appends a line for each operation, and says what the outputs are called.
    fn statements(&self, c: &Dialect<'_>, indent: &str, code: &mut String) -> Vec<String> {
        let first_constant = 1 + self.d + self.np;
        let v = |i: u32| match i as usize {
            0 => "t".to_owned(),
            i if i <= self.d => (c.state)(i - 1),
            i if i < first_constant => format!("p[{}]", i - 1 - self.d),
            i => self.constants.get(i - first_constant).map_or_else(|| format!("v{i}"), |&k| (c.constant)(k)),
        };
        let [exp, ln, sqrt, sin, cos, tanh, floor] = c.functions;
        for step in &self.steps {
            let call = |f: &str, a: u32| format!("{f}({})", v(a));
            let infix = |a: u32, op: &str, b: u32| format!("{} {op} {}", v(a), v(b));
            let value = match step.op {
                Op::Neg(a) => format!("-{}", v(a)),
                Op::Add(a, b) => infix(a, "+", b),
                Op::Sub(a, b) => infix(a, "-", b),
                Op::Mul(a, b) => infix(a, "*", b),
                Op::Div(a, b) => infix(a, "/", b),
                Op::Powf(a, b) => format!("{}({}, {})", c.power, v(a), v(b)),
                Op::Exp(a) => call(exp, a),
                Op::Ln(a) => call(ln, a),
                Op::Sqrt(a) => call(sqrt, a),
                Op::Sin(a) => call(sin, a),
                Op::Cos(a) => call(cos, a),
                Op::Tanh(a) => call(tanh, a),
                Op::Floor(a) => call(floor, a),
                Op::Select(m, a, b) => format!("m{m} ? {} : {}", v(a), v(b)),
                Op::Lt(a, b) => infix(a, "<", b),
                Op::And(a, b) => format!("m{a} & m{b}"),
                Op::Or(a, b) => format!("m{a} | m{b}"),
                Op::Not(a) => format!("!m{a}"),
                Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => continue, // never a step
            };
            let (of, letter) = match step.op {
                Op::Lt(..) | Op::And(..) | Op::Or(..) | Op::Not(_) => ("int", 'm'),
                _ => (c.real, 'v'),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(code, "{indent}const {of} {letter}{} = {value};", step.to);
        }
        self.out.iter().map(|&out| v(out)).collect()
    }
}

/// A model whose last state is its time: its Jacobian has the derivative in time as the last column.
struct TimeAsState<'a, D>(&'a D);

impl<D: Dynamics> Map for TimeAsState<'_, D> {
    fn dim(&self) -> usize {
        self.0.dim() + 1
    }
    fn n_params(&self) -> usize {
        self.0.n_params()
    }
    fn n_out(&self) -> usize {
        self.0.dim()
    }
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], out: &mut [S]) {
        let d = self.0.dim();
        self.0.eval(y[d], &y[..d], p, out);
    }
}

/// How a C of some precision names things.
struct Dialect<'a> {
    real: &'a str,
    /// exp, ln, sqrt, sin, cos, tanh, floor.
    functions: [&'a str; 7],
    power: &'a str,
    state: &'a dyn Fn(usize) -> String,
    constant: &'a dyn Fn(f64) -> String,
}

/// What states are called on a device; behind the last of `d` stands the time.
fn device_state(d: usize) -> impl Fn(usize) -> String {
    move |i| if i == d { "t".to_owned() } else { format!("y[{i} * THREADS]") }
}

/// C of a device, in f32.
fn single(state: &dyn Fn(usize) -> String) -> Dialect<'_> {
    Dialect {
        real: "float",
        functions: [
            "exponential",
            "logarithm_of",
            "root",
            "sine",
            "cosine",
            "hyperbolic_tangent",
            "floor_of",
        ],
        power: "power_of",
        state,
        constant: &single_constant,
    }
}

/// A constant in f32; infinite where it has no room.
fn single_constant(x: f64) -> String {
    let x = x as f32;
    if x.is_nan() {
        "bits_to_float(0x7fc00000u)".into()
    } else if x.is_infinite() {
        format!("bits_to_float(0x{:08x}u)", x.to_bits())
    } else if x.is_sign_negative() {
        format!("({x:?}f)")
    } else {
        format!("{x:?}f")
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
