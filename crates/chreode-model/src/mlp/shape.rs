//! What a perceptron's parameters are: sizes, layout, initial values.

use std::ops::Range;

use chreode_core::ParamLayout;
use chreode_linalg::{Activation, LayerShape};
use rand::{Rng, RngExt};

/// Where one dense layer's tensors lie in the net's parameter slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) shape: LayerShape,
    pub(crate) w: Range<usize>,
    pub(crate) b: Option<Range<usize>>,
}

/// Sizes and activation of a perceptron, and the layout of its parameters.
///
/// Tensors are named `layers.0.weight`, `[out, in]`, and `layers.0.bias`, `[out]`, and so on. Hidden layers
/// are followed by the activation, the output layer is linear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlpShape {
    pub(crate) layers: Vec<Layer>,
    activation: Activation,
    layout: ParamLayout,
}

impl MlpShape {
    /// A net from `inputs` through `hidden` to `outputs` numbers, with a bias in every layer.
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> Self {
        Self::build(inputs, hidden, outputs, activation, true)
    }

    /// The same with one output and no output bias, which a gradient would not see.
    pub(crate) fn scalar_potential(inputs: usize, hidden: &[usize], activation: Activation) -> Self {
        Self::build(inputs, hidden, 1, activation, false)
    }

    fn build(
        inputs: usize,
        hidden: &[usize],
        outputs: usize,
        activation: Activation,
        output_bias: bool,
    ) -> Self {
        let mut layout = ParamLayout::new();
        let mut layers = Vec::with_capacity(hidden.len() + 1);
        let mut inp = inputs;
        for (i, &out) in hidden.iter().chain([&outputs]).enumerate() {
            let w = layout.push(format!("layers.{i}.weight"), &[out, inp]);
            let b =
                (i < hidden.len() || output_bias).then(|| layout.push(format!("layers.{i}.bias"), &[out]));
            layers.push(Layer { shape: LayerShape { inp, out }, w, b });
            inp = out;
        }
        Self { layers, activation, layout }
    }

    /// Numbers that go in.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |l| l.shape.inp)
    }

    /// Numbers that come out.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |l| l.shape.out)
    }

    /// The activation of the hidden layers.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Names, shapes and offsets of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// The widest of all layers, inputs and outputs included.
    pub(crate) fn max_width(&self) -> usize {
        self.layers.iter().map(|l| l.shape.out).max().unwrap_or(0).max(self.inputs())
    }

    /// Sets initial parameters for inputs of unit variance.
    ///
    /// Weights are uniform with variance `gain² / fan_in` [HZRS15], where the gain keeps the second moment of the
    /// signal through the activation before the layer (one before the first layer). Biases are uniform in
    /// `±1/sqrt(fan_in)`, so that the units of a low-dimensional input do not all switch at its mean. The output
    /// layer is `output_gain` times smaller and has no bias yet.
    pub(crate) fn init(&self, rng: &mut impl Rng, output_gain: f64, p: &mut [f64]) {
        let last = self.layers.len() - 1; // `build` makes at least the output layer
        for (i, layer) in self.layers.iter().enumerate() {
            let fan_in = layer.shape.inp as f64;
            let mut gain = if i == 0 { 1.0 } else { activation_gain(self.activation) };
            if i == last {
                gain *= output_gain;
            }
            let bound = gain * (3.0 / fan_in).sqrt();
            p[layer.w.clone()].fill_with(|| rng.random_range(-bound..bound));
            if let Some(b) = &layer.b {
                let bound = 1.0 / fan_in.sqrt();
                if i == last {
                    p[b.clone()].fill(0.0);
                } else {
                    p[b.clone()].fill_with(|| rng.random_range(-bound..bound));
                }
            }
        }
    }
}

/// `1 / sqrt(E[φ(z)²])` for a standard normal `z`, by quadrature.
fn activation_gain(activation: Activation) -> f64 {
    match activation {
        Activation::Identity => 1.0,
        Activation::Tanh => 1.593,
        Activation::Sigmoid => 1.846,
        Activation::Softplus => 1.042,
        Activation::Silu => 1.677,
        Activation::LeakyRelu => 1.414,
        Activation::Quadratic => 0.577,
    }
}
