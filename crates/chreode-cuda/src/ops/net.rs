//! Perceptrons as the kernels see them.

use crate::CudaError;
use crate::error::{at_most, int};
use crate::kernels::{MAX_LAYERS, Net, PRECISION_BF16, PRECISION_F32, PRECISION_TF32, STAGE, Variant};

/// The activation of hidden layers, in the order of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 6] =
        [Self::Identity, Self::Tanh, Self::Sigmoid, Self::Softplus, Self::Silu, Self::LeakyRelu];
}

/// How the factors of products in nets are rounded; sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Each factor as the sum of two numbers of TF32: within 2^-20 of the product.
    #[default]
    F32,
    /// Each factor to the 10 bits of TF32, within 2^-11 of it: a third of the multiplications.
    Tf32,
    /// Each factor to the 7 bits of bfloat16, within 2^-8 of it: half of the multiplications of [`Tf32`](Self::Tf32), half of the bytes of
    /// weights.
    Bf16,
}

impl Precision {
    /// Its number in the kernels.
    pub(crate) fn number(self) -> i32 {
        let number = match self {
            Self::F32 => PRECISION_F32,
            Self::Tf32 => PRECISION_TF32,
            Self::Bf16 => PRECISION_BF16,
        };
        number as i32 // 2 at most
    }

    /// What a block without a large tile runs.
    pub(crate) fn small(self) -> Variant {
        match self {
            Self::F32 => Variant::F32,
            Self::Tf32 => Variant::Tf32,
            Self::Bf16 => Variant::Bf16,
        }
    }

    /// What a block with a large tile runs; in f32 there is none.
    pub(crate) fn large(self) -> Option<Variant> {
        match self {
            Self::F32 => None,
            Self::Tf32 => Some(Variant::Tf32Large),
            Self::Bf16 => Some(Variant::Bf16Large),
        }
    }
}

/// A perceptron: its widths, and where its parameters begin in the model's.
///
/// The layers' tensors lie one behind the other: weight, `[out, in]`, and bias, `[out]`. Hidden layers are followed by the activation,
/// the last layer is linear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetShape {
    /// Inputs, hidden layers, outputs. No inputs at all make the outputs of a single layer constants.
    pub widths: Vec<usize>,
    /// The activation of the hidden layers.
    pub activation: Activation,
    /// Number of the first parameter.
    pub offset: usize,
}

impl NetShape {
    /// Parameters.
    pub fn n_params(&self) -> usize {
        self.widths.windows(2).map(|w| w[1] * (w[0] + 1)).sum()
    }

    /// Numbers that go in.
    pub fn inputs(&self) -> usize {
        self.widths.first().copied().unwrap_or(0)
    }

    /// Numbers that come out.
    pub fn outputs(&self) -> usize {
        self.widths.last().copied().unwrap_or(0)
    }

    /// The widest of all layers, inputs and outputs included.
    pub(crate) fn widest(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(0)
    }

    /// Numbers that a row keeps for the backward pass: inputs and adjoints of every layer.
    pub(crate) fn kept(&self) -> usize {
        self.widths.windows(2).map(|w| w[0] + w[1]).sum()
    }

    /// Numbers of the packed weights, whichever way, without the slack behind the last net's: widths are padded.
    pub(crate) fn packed(&self) -> usize {
        let width = |w: usize| w.next_multiple_of(STAGE);
        self.widths.windows(2).map(|w| width(w[0]) * width(w[1])).sum()
    }

    /// The description that the kernels read.
    ///
    /// # Errors
    /// [`CudaError::Shape`] without a layer, or with a layer of no outputs; [`CudaError::TooLarge`].
    pub(crate) fn describe(&self) -> Result<Net, CudaError> {
        let layers = self.widths.len().saturating_sub(1);
        if layers == 0 {
            return Err(CudaError::Shape { what: "layers of a net (at least)", expected: 1, got: 0 });
        }
        at_most("layers of a net", layers, MAX_LAYERS)?;
        // Only the inputs of a single layer may be none.
        let empty = self.widths.iter().enumerate().any(|(i, &w)| w == 0 && (i > 0 || layers > 1));
        if empty {
            return Err(CudaError::Shape { what: "width of a layer (at least)", expected: 1, got: 0 });
        }
        let mut width = [0; MAX_LAYERS + 1];
        for (to, &from) in width.iter_mut().zip(&self.widths) {
            *to = int("width of a layer", from)?;
        }
        int("parameters of a net", self.offset + self.n_params())?;
        Ok(Net {
            layers: layers as i32,
            activation: self.activation as i32,
            offset: self.offset as i32,
            width,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Layers lie one behind the other, and a row keeps both sides of each.
        #[test]
        fn sizes_add_up(widths in proptest::collection::vec(1_usize..50, 2..=MAX_LAYERS + 1), offset in 0_usize..1000) {
            let shape = NetShape { widths: widths.clone(), activation: Activation::Silu, offset };
            let net = shape.describe().unwrap();
            let (mut params, mut kept) = (0, 0);
            for l in 0..net.layers as usize {
                let (inp, out) = (net.width[l] as usize, net.width[l + 1] as usize);
                params += inp * out + out;
                kept += inp + out;
            }
            prop_assert_eq!((shape.n_params(), shape.kept()), (params, kept));
            prop_assert_eq!((net.offset as usize, net.activation), (offset, 4));
            prop_assert!(shape.widest() >= shape.inputs().max(shape.outputs()));
        }
    }

    #[test]
    fn impossible_nets_are_refused() {
        let net = |widths: &[usize]| {
            NetShape { widths: widths.to_vec(), activation: Activation::Tanh, offset: 0 }.describe()
        };
        assert!(net(&[0, 3]).is_ok());
        for widths in [&[][..], &[3], &[3, 0], &[0, 3, 1], &[1; MAX_LAYERS + 2]] {
            assert!(net(widths).is_err(), "{widths:?}");
        }
    }
}
