//! Lanes: accuracy of their functions over a sweep, special values, lanes that do not see each other, and the same
//! arithmetic as plain numbers.

use chreode_core::{Dynamics, Number, c, put, take};
use chreode_linalg::{Kernel, LaneMask, Lanes, Tuned, dispatch};
use proptest::prelude::*;

/// Runs a function of the number type over points, on the machine's instruction set or on the baseline.
struct Sweep<'a> {
    name: &'a str,
    x: &'a [f64],
}

impl Kernel for Sweep<'_> {
    type Output = Vec<f64>;
    #[inline(always)]
    fn run<const ISA: u8>(self) -> Vec<f64> {
        let (chunks, rest) = self.x.as_chunks::<8>();
        assert!(rest.is_empty());
        let mut out = Vec::with_capacity(self.x.len());
        for chunk in chunks {
            let x = Lanes::<8, ISA>(*chunk);
            let y = match self.name {
                "exp" => x.exp(),
                "ln" => x.ln(),
                "tanh" => x.tanh(),
                "sin" => x.sin(),
                "cos" => x.cos(),
                "sqrt" => x.sqrt(),
                name => panic!("{name}"),
            };
            out.extend_from_slice(&y.0);
        }
        out
    }
}

type Function = (&'static str, fn(f64) -> f64, f64);
const FUNCTIONS: [Function; 6] = [
    ("exp", f64::exp, 2.0),
    ("ln", f64::ln, 3.0),
    ("tanh", f64::tanh, 4.0),
    ("sin", f64::sin, 2.0),
    ("cos", f64::cos, 2.0),
    ("sqrt", f64::sqrt, 0.0),
];

fn ulps(value: f64, exact: f64) -> f64 {
    if value == exact || value.is_nan() && exact.is_nan() {
        return 0.0;
    }
    // Below 1e-28 sin and cos are at a zero, and their absolute error counts.
    let exponent = exact.abs().max(1e-28).log2().floor();
    (value - exact).abs() / (exponent - 52.0).exp2()
}

#[test]
fn functions_are_accurate_on_both_paths() {
    let spans = [1.0, 10.0, 700.0, 1e5, 1.6e6, 1e15];
    let mut x: Vec<f64> =
        spans.iter().flat_map(|s| (0..80_000).map(move |i| (f64::from(i) / 40_000.0 - 1.0) * s)).collect();
    // Beside the zeros of sin and cos.
    x.extend((0..80_000).map(|i| f64::from(i) * std::f64::consts::FRAC_PI_2));
    x.extend([0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-310, 5e-324, 1e300]);
    for (name, exact, bound) in FUNCTIONS {
        for (path, out) in
            [("dispatched", dispatch(Sweep { name, x: &x })), ("baseline", Sweep { name, x: &x }.run::<0>())]
        {
            for (&x, &y) in x.iter().zip(&out) {
                let exact = exact(x);
                // Where exp is subnormal its last place is larger.
                let bound = if exact.abs() < 1e-300 { f64::MAX } else { bound };
                assert!(ulps(y, exact) <= bound, "{path} {name}({x:e}) = {y:e}, exactly {exact:e}");
            }
        }
    }
}

#[test]
fn masks() {
    let (a, b) = (Lanes::<4, 0>([1.0, 2.0, f64::NAN, 4.0]), Lanes([2.0, 2.0, 2.0, 2.0]));
    let less = a.lt(b);
    assert_eq!(less, LaneMask([true, false, false, false]));
    assert_eq!(!less & LaneMask([true; 4]), LaneMask([false, true, true, true]));
    assert_eq!((less | LaneMask([false, true, false, false])).0, [true, true, false, false]);
    assert!(less.any() && !(less & !less).any());
    assert_eq!(Lanes::select(less, a, b).0, [1.0, 2.0, 2.0, 2.0]);
}

/// Every operation that a model may do.
struct Everything;
impl Dynamics for Everything {
    fn dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], _p: &[S], dy: &mut [S]) {
        let [a, b] = take(y);
        let mut sum = (a * b - 2.0) / (b.abs() + 1.5) + (c(2.0) - a) * (t * 0.5).sin();
        sum += (c(3.0) * a.abs() + 0.1).powf(b * 0.3) + a.powi(-3);
        sum -= (c(1.0) / (a * a + 1.0)).sqrt().ln().max(-b);
        sum *= (a * 0.1).exp() + b.cos();
        sum /= a.tanh().min(b) + 4.0;
        sum += (b * 0.7).floor();
        put(dy, [sum, S::select(a.lt(b) | !b.lt(t), a.mul_add(b, t), -a)]);
    }
}

struct Once<'a>(f64, &'a [[f64; 2]; 8]);
impl Kernel for Once<'_> {
    type Output = ([[f64; 8]; 2], [[f64; 2]; 8]);
    #[inline(always)]
    fn run<const ISA: u8>(self) -> Self::Output {
        let Self(t, y) = self;
        let lanes = [0, 1].map(|j| Lanes::<8, ISA>(std::array::from_fn(|l| y[l][j])));
        let mut dy = [Lanes([0.0; 8]); 2];
        Everything.eval(Lanes::c(t), &lanes, &[], &mut dy);
        let tuned = y.map(|y| {
            let mut dy = [Tuned::<ISA>(0.0); 2];
            Everything.eval(Tuned(t), &y.map(Tuned), &[], &mut dy);
            dy.map(|x| x.0)
        });
        (dy.map(|x| x.0), tuned)
    }
}

proptest! {
    #[test]
    fn the_same_numbers_as_one_at_a_time(
        t in -3.0..3.0_f64,
        flat in prop::array::uniform16(0.2..3.0_f64),
        sign in prop::array::uniform16(prop::bool::ANY),
    ) {
        let at = |i: usize| if sign[i] { -flat[i] } else { flat[i] };
        let y: [[f64; 2]; 8] = std::array::from_fn(|l| [at(2 * l), at(2 * l + 1)]);
        let (lanes, tuned) = dispatch(Once(t, &y));
        for l in 0..8 {
            let mut plain = [0.0; 2];
            Everything.eval(t, &y[l], &[], &mut plain);
            for j in 0..2 {
                let close = |x: f64| (x - plain[j]).abs() <= 1e-12 * plain[j].abs().max(1.0);
                prop_assert!(close(lanes[j][l]) && close(tuned[l][j]), "{} {} {}", lanes[j][l], tuned[l][j], plain[j]);
            }
        }
        // A lane sees nothing of the others.
        let mut others = [y[0]; 8];
        others[5] = y[3];
        let (alone, _) = dispatch(Once(t, &others));
        prop_assert_eq!(alone[0][5].to_bits(), lanes[0][3].to_bits());
        prop_assert_eq!(alone[1][5].to_bits(), lanes[1][3].to_bits());
    }
}
