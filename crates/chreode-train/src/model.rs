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
}

impl<S> Model<S> {
    /// A model without growth whose states may have any sign.
    pub fn new(sde: S) -> Self {
        Self { sde, growth: None, non_negative: false }
    }
}

impl<T: Real> From<NeuralSde<T>> for Model<NeuralSde<T>, GrowthNet<T>> {
    fn from(sde: NeuralSde<T>) -> Self {
        Self { growth: sde.growth_net(), non_negative: sde.is_non_negative(), sde }
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
