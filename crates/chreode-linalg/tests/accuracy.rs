//! Elementary functions and derivatives of activations in units in the last place: `f32` over a stride of all bit patterns
//! (all of them in a test that is ignored for its length), `f64` over random and special points against a reference of twice
//! the precision that is computed here.

use std::sync::atomic::{AtomicU64, Ordering};

use chreode_linalg::{Activation, log_sum_exp, vexp, vln, vsigmoid, vsilu, vsoftplus, vtanh};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

/// An unevaluated sum of two numbers, the second below half a unit of the first [Dekker 1971].
#[derive(Clone, Copy, Debug)]
struct Double(f64, f64);

impl Double {
    fn of(x: f64) -> Self {
        Self(x, 0.0)
    }
    fn normal(a: f64, b: f64) -> Self {
        let s = a + b;
        Self(s, b - (s - a))
    }
    fn plus(self, o: Self) -> Self {
        let s = self.0 + o.0;
        let v = s - self.0;
        let rest = (self.0 - (s - v)) + (o.0 - v);
        Self::normal(s, rest + self.1 + o.1)
    }
    fn minus(self, o: Self) -> Self {
        self.plus(Self(-o.0, -o.1))
    }
    fn times(self, o: Self) -> Self {
        let p = self.0 * o.0;
        Self::normal(p, self.0.mul_add(o.0, -p) + (self.0 * o.1 + self.1 * o.0))
    }
    fn over(self, o: Self) -> Self {
        let first = Self::of(self.0 / o.0);
        let rest = self.minus(first.times(o));
        let second = Self::of(rest.0 / o.0);
        let rest = rest.minus(second.times(o));
        first.plus(second).plus(Self::of(rest.0 / o.0))
    }
    fn scaled(self, n: i32) -> Self {
        // Only used where nothing underflows.
        let by = f64::from(n).exp2();
        Self(self.0 * by, self.1 * by)
    }
}

const ONE: Double = Double(1.0, 0.0);
/// ln 2 in three parts, the first with 32 bits.
const LN2: [f64; 3] = [0.6931471803691238, 1.9082149292705877e-10, 1.1612227229362532e-26];

/// `exp(x) - 1` for |x| <= 0.4 by its series.
fn expm1_series(x: Double) -> Double {
    let (mut term, mut sum) = (x, x);
    for i in 2..40 {
        term = term.times(x).over(Double::of(f64::from(i)));
        sum = sum.plus(term);
    }
    sum
}

/// `exp(x) = m 2^n`.
fn exp(x: Double) -> (Double, i32) {
    let n = (x.0 / std::f64::consts::LN_2).round();
    let mut r = x;
    for part in LN2 {
        r = r.minus(Double::of(n).times(Double::of(part)));
    }
    (ONE.plus(expm1_series(r)), n as i32)
}

fn expm1(x: Double) -> Double {
    if x.0.abs() < 0.4 {
        return expm1_series(x);
    }
    let (m, n) = exp(x);
    m.scaled(n).minus(ONE)
}

/// `ln(1 + u)`, u >= 0, by a Newton step from the platform's.
fn ln_1p(u: Double) -> Double {
    let y = Double::of(u.0.ln_1p());
    let e = expm1(y);
    y.plus(u.minus(e).over(ONE.plus(e)))
}

/// Values as `m 2^n`, finite x.
fn reference(name: &str, x: f64) -> (Double, i32) {
    let (positive, d) = (x.max(0.0), Double::of(x));
    let (m, n) = exp(Double::of(-x.abs()));
    // exp(-|x|) where it does not underflow; else it adds nothing to one.
    let e = if n > -200 { m.scaled(n) } else { Double::of(0.0) };
    match name {
        "exp" => exp(d),
        "tanh" => {
            let e = expm1(Double::of(-2.0 * x.abs().min(40.0)));
            let t = Double(-e.0, -e.1).over(Double::of(2.0).plus(e));
            (if x < 0.0 { Double(-t.0, -t.1) } else { t }, 0)
        }
        "sigmoid" if x < 0.0 => (m.over(ONE.plus(e)), n),
        "sigmoid" => (ONE.over(ONE.plus(e)), 0),
        "softplus" if x < -40.0 => (m.times(ONE.minus(e.times(Double::of(0.5)))), n),
        "softplus" => (Double::of(positive).plus(ln_1p(e)), 0),
        "silu" if x < 0.0 => (m.times(d).over(ONE.plus(e)), n),
        "silu" => (d.over(ONE.plus(e)), 0),
        name => unreachable!("{name}"),
    }
}

/// `value - m 2^n` in units in the last place of the exact result.
fn ulps_f64(value: f64, (m, n): (Double, i32)) -> f64 {
    if m.0 == 0.0 {
        return if value == 0.0 { 0.0 } else { f64::INFINITY };
    }
    let exponent = m.0.abs().log2().floor() as i32 + n;
    if exponent >= 1024 {
        return if value.is_infinite() && (value > 0.0) == (m.0 > 0.0) { 0.0 } else { f64::INFINITY };
    }
    // In units of 2^(max(exponent, -1022) - 52): value and reference scaled by powers of two, in steps without underflow.
    let unit = exponent.max(-1022) - 52;
    let scale = |x: f64, by: i32| x * f64::from(by / 2).exp2() * f64::from(by - by / 2).exp2();
    let v = scale(value, -unit);
    let shift = n - unit;
    if shift < -900 {
        return v.abs();
    }
    ((v - scale(m.0, shift)) - scale(m.1, shift)).abs()
}

fn points_f64() -> Vec<f64> {
    let mut rng = Pcg64Mcg::seed_from_u64(20);
    let mut x: Vec<f64> = Vec::new();
    for span in [1e-3, 0.5, 1.0, 4.0, 40.0, 720.0, 760.0] {
        x.extend((0..12_000).map(|_| rng.random_range(-span..span)));
    }
    // All exponents, where the functions change, and the ends of their ranges.
    x.extend((0..20_000).map(|_| f64::from_bits(rng.random::<u64>())).filter(|x| x.is_finite()));
    for edge in [
        0.0,
        10.0,
        20.0,
        22.0,
        40.0,
        708.396_418_532_264_1,
        709.782_712_893_384,
        744.440_071_921_381_2,
        745.133_219_101_941_2,
        746.0,
        751.8,
        754.0,
        1000.0,
        1e300,
    ] {
        let mut up = edge;
        let mut down = edge;
        for _ in 0..20 {
            x.extend([up, -up, down, -down]);
            (up, down) = (f64::next_up(up), f64::next_down(down));
        }
    }
    x.extend([
        f64::MIN_POSITIVE,
        -f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(1),
        f64::MAX,
        f64::MIN,
    ]);
    x
}

#[test]
fn f64_within_four_ulp_of_twice_the_precision() {
    let x = points_f64();
    let functions: [(&str, fn(&[f64], &mut [f64]), f64); 5] = [
        ("exp", vexp, 2.0),
        ("tanh", vtanh, 4.0),
        ("sigmoid", vsigmoid, 4.0),
        ("softplus", vsoftplus, 4.0),
        ("silu", vsilu, 4.0),
    ];
    let mut y = vec![0.0; x.len()];
    for (name, function, bound) in functions {
        function(&x, &mut y);
        let (mut worst, mut at) = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y) {
            let ulps = ulps_f64(y, reference(name, x.clamp(-4000.0, 4000.0)));
            // Beyond the clamp the functions are 0, 1, ∞ or x itself.
            let ulps = if x.abs() <= 4000.0 { ulps } else { limit(name, x, y) };
            assert!(ulps <= bound, "{name}({x:e}) = {y:e}: {ulps} ulp");
            if ulps > worst {
                (worst, at) = (ulps, x);
            }
        }
        println!("f64 {name:8} worst {worst:.2} ulp at {at:e}");
    }
}

/// 0 if `y` is the limit of the function far out.
fn limit(name: &str, x: f64, y: f64) -> f64 {
    let exact = match (name, x > 0.0) {
        ("exp", true) => f64::INFINITY,
        ("tanh", _) => x.signum(),
        ("sigmoid", true) => 1.0,
        ("softplus" | "silu", true) => x,
        _ => 0.0,
    };
    if y == exact { 0.0 } else { f64::INFINITY }
}

#[test]
fn the_reference_agrees_with_known_digits() {
    // exp(1), tanh(1/2), ln(1 + e) to 32 digits (OEIS A001113; the others computed with 50 digits).
    let known = [
        ("exp", 1.0, Double(std::f64::consts::E, 1.4456468917292502e-16)),
        ("tanh", 0.5, Double(0.46211715726000974, 2.1916603238260928e-17)),
        ("softplus", 1.0, Double(1.3132616875182228, 2.515869523777819e-17)),
    ];
    for (name, x, exact) in known {
        let (m, n) = reference(name, x);
        let error = m.scaled(n).minus(exact);
        assert!(error.0.abs() < 1e-29, "{name}({x}): {m:?} 2^{n}, off by {:e}", error.0);
    }
}

type Single = (&'static str, fn(&[f32], &mut [f32]), fn(f64) -> f64, f64);
const SINGLES: [Single; 6] = [
    ("exp", vexp, f64::exp, 2.0),
    ("ln", vln, f64::ln, 3.0),
    ("tanh", vtanh, f64::tanh, 4.0),
    (
        "sigmoid",
        vsigmoid,
        |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) },
        4.0,
    ),
    ("softplus", vsoftplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), 4.0),
    (
        "silu",
        vsilu,
        |x| if x < 0.0 { x.max(-2000.0) * x.exp() / (1.0 + x.exp()) } else { x / (1.0 + (-x).exp()) },
        4.0,
    ),
];

fn ulps_f32(value: f32, exact: f64) -> f64 {
    if value.is_nan() || exact.is_nan() || value.is_infinite() {
        let same = value.is_nan() && exact.is_nan() || value == exact as f32;
        return if same { 0.0 } else { f64::INFINITY };
    }
    let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (f64::from(value) - exact).abs() / (exponent - 23.0).exp2()
}

/// All bit patterns `stride` apart: numbers, subnormals, infinities and NaN.
fn sweep_f32(stride: u32) {
    const CHUNK: u64 = 1 << 16;
    for (name, function, exact, bound) in SINGLES {
        let worst = AtomicU64::new(0);
        let chunks = (1_u64 << 32).div_ceil(CHUNK * u64::from(stride));
        (0..chunks).into_par_iter().for_each(|chunk| {
            let first = chunk * CHUNK;
            let x: Vec<f32> = (first..first + CHUNK)
                .map(|i| i * u64::from(stride))
                .take_while(|&bits| bits < 1 << 32)
                .map(|bits| f32::from_bits(bits as u32))
                .collect();
            let mut y = vec![0.0; x.len()];
            function(&x, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let exact = exact(f64::from(x));
                let ulps = ulps_f32(y, exact);
                assert!(ulps <= bound, "{name}({x:e}) = {y:e}, exactly {exact:e}: {ulps} ulp");
                worst.fetch_max((ulps * 1e6) as u64, Ordering::Relaxed);
            }
        });
        println!("f32 {name:8} worst {:.3} ulp", worst.into_inner() as f64 * 1e-6);
    }
}

#[test]
fn f32_within_four_ulp_over_a_stride_of_all_numbers() {
    sweep_f32(1_021);
}

#[test]
#[ignore = "every f32 takes many minutes: cargo xtask ci sweep"]
fn f32_within_four_ulp_everywhere() {
    sweep_f32(1);
}

/// Errors in units of ε; softplus' also in units in its last place.
#[test]
fn derivatives_keep_their_bounds() {
    let x = points_f64();
    let x: Vec<f64> = x.into_iter().filter(|x| x.abs() < 1e6).collect();
    let (mut a, mut d1, mut d2) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()]);
    for activation in
        [Activation::Tanh, Activation::Sigmoid, Activation::Softplus, Activation::Silu, Activation::LeakyRelu]
    {
        activation.apply(&x, &mut a);
        activation.derivatives(&x, &a, &mut d1, &mut d2);
        let mut worst = [0.0_f64; 2];
        for (i, &x) in x.iter().enumerate() {
            let value = |name: &str| {
                let (m, n) = reference(name, x.clamp(-600.0, 600.0));
                m.scaled(n)
            };
            let s = value("sigmoid");
            let rest = {
                // 1 - s without cancellation
                let (m, n) = reference("sigmoid", -x.clamp(-600.0, 600.0));
                m.scaled(n)
            };
            let (two, d) = (Double::of(2.0), Double::of(x.clamp(-600.0, 600.0)));
            let [first, second] = match activation {
                Activation::Tanh => {
                    let t = value("tanh");
                    let first = ONE.minus(t.times(t));
                    [first, two.times(t).times(first).times(Double::of(-1.0))]
                }
                Activation::Sigmoid => [s.times(rest), s.times(rest).times(rest.minus(s))],
                Activation::Softplus => [s, s.times(rest)],
                Activation::Silu => {
                    [s.times(ONE.plus(d.times(rest))), s.times(rest).times(two.plus(d.times(rest.minus(s))))]
                }
                _ => [Double::of(if x > 0.0 { 1.0 } else { 0.01 }), Double::of(0.0)],
            };
            for (order, (got, exact)) in [(d1[i], first), (d2[i], second)].into_iter().enumerate() {
                let error = ((got - exact.0) - exact.1).abs() / f64::EPSILON;
                worst[order] = worst[order].max(error);
                if order == 0 && activation == Activation::Softplus && x.abs() < 600.0 {
                    assert!(ulps_f64(got, (exact, 0)) <= 4.0, "softplus'({x:e}) = {got:e}");
                }
            }
        }
        println!("{activation:10} errors of its derivatives, in ε: {:.2} {:.2}", worst[0], worst[1]);
        assert!(worst[0] <= 3.0 && worst[1] <= 4.0, "{activation}: {worst:?} ε");
    }
}

#[test]
fn log_sum_exp_within_four_units() {
    let mut rng = Pcg64Mcg::seed_from_u64(21);
    for len in [1_usize, 2, 63, 64, 65, 300, 1000] {
        for span in [0.1, 5.0, 80.0, 700.0] {
            let x: Vec<f64> = (0..len).map(|_| rng.random_range(-span..span)).collect();
            let top = x.iter().copied().fold(f64::MIN, f64::max);
            let mut sum = Double::of(-1.0);
            for &x in &x {
                let (m, n) = exp(Double::of(x).minus(Double::of(top)));
                if n > -200 {
                    sum = sum.plus(m.scaled(n));
                }
            }
            let exact = Double::of(top).plus(ln_1p(sum));
            let error = ((log_sum_exp(&x) - exact.0) - exact.1).abs();
            let unit = ulp_f64(exact.0.abs().max(top.abs()).max(1.0));
            assert!(error <= 4.0 * unit, "{len} numbers within {span}: {} ulp", error / unit);
        }
    }
}

/// The unit in the last place of a positive normal number.
fn ulp_f64(x: f64) -> f64 {
    x.next_up() - x
}

/// Rows of all lengths and spans in single precision, against double precision: in ulp of the result, but for those that are less than
/// 1 or than their largest element, which are judged by the ulp of that.
#[test]
fn single_log_sum_exp_within_four_ulp() {
    let mut rng = Pcg64Mcg::seed_from_u64(22);
    let (mut worst, mut of_result) = (0.0_f64, 0);
    for case in 0..20_000 {
        let len = [1, 2, 3, 17, 63, 64, 65, 300, 1000][case % 9];
        let (span, shift) =
            ([0.1, 5.0, 30.0, 80.0, 1e3, 1e30][case / 9 % 6], [0.0, 0.4, -3.0, 60.0][case / 54 % 4]);
        let x: Vec<f32> = (0..len).map(|_| rng.random_range(-span..span) + shift).collect();
        let top = x.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = x.iter().map(|&x| (f64::from(x) - f64::from(top)).exp()).sum();
        let exact = f64::from(top) + sum.ln();
        let judge = exact.abs().max(top.abs().into()).max(1.0) as f32;
        of_result += usize::from(exact.abs() >= top.abs().max(1.0).into());
        let error = (f64::from(log_sum_exp(&x)) - exact).abs() / f64::from(judge.next_up() - judge);
        worst = worst.max(error);
        assert!(error <= 4.0, "{len} numbers within {span} of {shift}: {error} ulp, {exact}");
    }
    println!("f32 log_sum_exp worst {worst:.3} ulp");
    assert!(of_result > 5_000, "{of_result} rows were judged by their own ulp");
}
