//! Activation functions of layers, with the derivatives that training and second-order models need.

use std::fmt;
use std::str::FromStr;

use chreode_core::Real;

use crate::simd::elementary;
use crate::simd::slices::{pointwise, pointwise_op, vsigmoid, vsilu, vsoftplus, vtanh};

/// An elementwise nonlinearity φ between two layers.
///
/// All functions run vectorised on the best instruction set of the machine; the result at one position does
/// not depend on the position. Accuracy: see [`vtanh`](crate::vtanh) and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// φ(z) = z.
    Identity,
    /// φ(z) = tanh z.
    Tanh,
    /// φ(z) = 1 / (1 + exp(-z)).
    Sigmoid,
    /// φ(z) = ln(1 + exp z).
    Softplus,
    /// φ(z) = z / (1 + exp(-z)).
    Silu,
    /// φ(z) = z for z > 0, else 0.01 z; its derivative at 0 is 0.01.
    LeakyRelu,
    /// φ(z) = z²: products of inputs, exactly, by ab = ((a + b)² - (a - b)²) / 4.
    Quadratic,
}

/// Slope of [`Activation::LeakyRelu`] below zero.
const LEAK: f64 = 0.01;

impl Activation {
    /// Every activation, in the order of the enum.
    pub const ALL: [Self; 7] = [
        Self::Identity,
        Self::Tanh,
        Self::Sigmoid,
        Self::Softplus,
        Self::Silu,
        Self::LeakyRelu,
        Self::Quadratic,
    ];

    /// The name in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Silu => "silu",
            Self::LeakyRelu => "leaky_relu",
            Self::Quadratic => "quadratic",
        }
    }

    /// `a = φ(z)`, elementwise.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn apply<T: Real>(self, z: &[T], a: &mut [T]) {
        match self {
            Self::Identity => a.copy_from_slice(z),
            Self::Tanh => vtanh(z, a),
            Self::Sigmoid => vsigmoid(z, a),
            Self::Softplus => vsoftplus(z, a),
            Self::Silu => vsilu(z, a),
            Self::LeakyRelu => pointwise(LeakyRelu, [z], [a]),
            Self::Quadratic => pointwise(Quadratic, [z], [a]),
        }
    }

    /// Pulls an adjoint back through φ, in place: `a_bar *= φ'(z)`. `a` must hold `φ(z)`. Accuracy as in
    /// [`derivatives`](Self::derivatives).
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn backward<T: Real>(self, z: &[T], a: &[T], a_bar: &mut [T]) {
        match self {
            Self::Identity => {
                assert!(z.len() == a_bar.len() && a.len() == a_bar.len(), "slices of different lengths");
            }
            Self::Tanh => pointwise(TanhBackward, [z, a], [a_bar]),
            Self::Sigmoid => pointwise(SigmoidBackward, [z, a], [a_bar]),
            Self::Softplus => pointwise(SoftplusBackward, [z, a], [a_bar]),
            Self::Silu => pointwise(SiluBackward, [z, a], [a_bar]),
            Self::LeakyRelu => pointwise(LeakyReluBackward, [z, a], [a_bar]),
            Self::Quadratic => pointwise(QuadraticBackward, [z, a], [a_bar]),
        }
    }

    /// Whether [`backward`](Self::backward) reads `a` alone: whatever `z` then is, it need not be kept.
    pub fn slope_from_output(self) -> bool {
        matches!(self, Self::Identity | Self::Tanh | Self::Sigmoid)
    }

    /// First and second derivatives: `d1 = φ'(z)`, `d2 = φ''(z)`. `a` must hold `φ(z)`.
    ///
    /// Errors of φ' are at most 3 ε (of φ'' 4 ε), ε the distance from one to the next number: tanh and sigmoid take theirs from
    /// `a`, so that what is far below ε is lost where they saturate. Softplus's first is within 4 ulp over the whole range.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn derivatives<T: Real>(self, z: &[T], a: &[T], d1: &mut [T], d2: &mut [T]) {
        match self {
            Self::Identity => {
                assert!(z.len() == d1.len() && a.len() == d1.len() && d2.len() == d1.len());
                d1.fill(T::ONE);
                d2.fill(T::ZERO);
            }
            Self::Tanh => pointwise(TanhSlopes, [z, a], [d1, d2]),
            Self::Sigmoid => pointwise(SigmoidSlopes, [z, a], [d1, d2]),
            Self::Softplus => pointwise(SoftplusSlopes, [z, a], [d1, d2]),
            Self::Silu => pointwise(SiluSlopes, [z, a], [d1, d2]),
            Self::LeakyRelu => pointwise(LeakyReluSlopes, [z, a], [d1, d2]),
            Self::Quadratic => pointwise(QuadraticSlopes, [z, a], [d1, d2]),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no activation has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown activation `{name}`; known: identity, tanh, sigmoid, softplus, silu, leaky_relu, quadratic")]
pub struct UnknownActivation {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Activation {
    type Err = UnknownActivation;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|activation| activation.name() == name)
            .ok_or_else(|| UnknownActivation { name: name.to_owned() })
    }
}

pointwise_op!(LeakyRelu, 1 -> 1, |[z], _, T, FMA| [if z > T::ZERO { z } else { z * T::c(LEAK) }]);

pointwise_op!(Quadratic, 1 -> 1, |[z], _, T, FMA| [z * z]);

/// An operation for (φ', φ''), and one for `a_bar *= φ'`, in which φ'' is dead code.
macro_rules! slopes {
    ($op:ident, $backward:ident, |$z:ident, $a:ident, $t:ident, $fma:ident| $body:expr) => {
        pointwise_op!($op, 2 -> 2, |[$z, $a], _, $t, $fma| $body);
        pointwise_op!($backward, 2 -> 1, |x, [bar], T, FMA| {
            let [d1, _] = $crate::simd::slices::Pointwise::at::<T, FMA>($op, x, [T::ZERO; 2]);
            [bar * d1]
        });
    };
}

slopes!(TanhSlopes, TanhBackward, |_z, a, T, FMA| {
    let d1 = (T::ONE - a) * (T::ONE + a);
    [d1, T::c(-2.0) * a * d1]
});
slopes!(SigmoidSlopes, SigmoidBackward, |_z, a, T, FMA| {
    let d1 = a * (T::ONE - a);
    [d1, d1 * (T::ONE - a - a)]
});
slopes!(SoftplusSlopes, SoftplusBackward, |z, _a, T, FMA| {
    let (s, rest) = elementary::sigmoids::<T, FMA>(z);
    [s, s * rest]
});
// With s the sigmoid: φ' = s (1 + z (1 - s)), φ'' = s (1 - s) (2 + z (1 - 2 s)).
slopes!(SiluSlopes, SiluBackward, |z, _a, T, FMA| {
    let z = elementary::bounded(z);
    let (s, rest) = elementary::sigmoids::<T, FMA>(z);
    [s * T::fma::<FMA>(z, rest, T::ONE), s * rest * T::fma::<FMA>(z, rest - s, T::c(2.0))]
});
slopes!(LeakyReluSlopes, LeakyReluBackward, |z, _a, T, FMA| {
    [if z > T::ZERO { T::ONE } else { T::c(LEAK) }, T::ZERO]
});
slopes!(QuadraticSlopes, QuadraticBackward, |z, _a, T, FMA| [z + z, T::c(2.0)]);
