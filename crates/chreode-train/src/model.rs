//! What is trained: drift and diffusion, perhaps growth.

use chreode_core::{FieldError, Growth, GrowthVjp, Real};
use chreode_model::{GrowthNet, NeuralSde};

/// A differentiable SDE with an optional growth rate; both read one parameter slice.
#[derive(Debug, Clone)]
pub struct Model<S, G = NoGrowth> {
    /// Drift and diffusion.
    pub sde: S,
    /// The growth rate, if it is learned.
    pub growth: Option<G>,
    /// Whether states are amounts: negative coordinates are put to zero after every step.
    pub non_negative: bool,
    /// What tells the model from others with as many parameters: its form, sizes and constants, in any words. A
    /// checkpoint is restored only to a model of the same description.
    pub description: String,
}

impl<S> Model<S> {
    /// A model without growth whose states may have any sign, and without a description: a checkpoint knows
    /// it by the number of its parameters alone.
    pub fn new(sde: S) -> Self {
        Self { sde, growth: None, non_negative: false, description: String::new() }
    }
}

impl<T: Real> From<NeuralSde<T>> for Model<NeuralSde<T>, GrowthNet<T>> {
    fn from(sde: NeuralSde<T>) -> Self {
        let description = format!("{:?} {:?}", sde.config(), sde.forcing());
        Self { growth: sde.growth_net(), non_negative: sde.is_non_negative(), sde, description }
    }
}

/// The growth of a model that has none: zero.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGrowth;

impl<T: Real> Growth<T> for NoGrowth {
    fn growth(&mut self, _t: f64, _y: &[T], _p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        rate.fill(T::ZERO);
        Ok(())
    }
}

impl<T: Real> GrowthVjp<T> for NoGrowth {
    fn growth_vjp(
        &mut self,
        _t: f64,
        _y: &[T],
        _p: &[T],
        _rate_bar: &[T],
        _y_bar: &mut [T],
        _p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        Ok(())
    }
}
