//! Residual networks, which are explicit Euler of a field, and back.

use chreode_core::{FieldError, ParamLayout, Real, VectorField, Vjp};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, ModelError, Stored};

/// A residual network `x_{k+1} = x_k + h f(k h, x_k; p_k)` with a field `f` as its block and parameters of their own in each block.
///
/// With the same parameters in all blocks it is explicit Euler of the field, to the bit. As a field itself it is `f` with the
/// parameters of block `floor(t/h)`: explicit Euler of that, from zero in steps of `h`, gives the network.
///
/// # Shapes
/// States `[n, d]`, parameters `[blocks, n_params of the block]`.
///
/// ```
/// use chreode_core::field;
/// use chreode_model::ResidualNet;
/// let decay = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = -y[0]);
/// let mut net = ResidualNet::<f64, _>::new(decay, 3, 0.5)?;
/// let mut y = [0.0];
/// net.forward(&[1.0], &[], &mut y)?;
/// assert_eq!(y, [0.125]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ResidualNet<T, F> {
    block: F,
    blocks: usize,
    h: f64,
    /// States before each block, `[blocks, n, d]`; a derivative or an adjoint, and one times `h`, `[n, d]`.
    states: Vec<T>,
    work: Vec<T>,
    scaled: Vec<T>,
}

impl<T: Real, F: VectorField<T>> ResidualNet<T, F> {
    /// So many blocks of a field, each a step of `h`.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no block, or `h` is not above zero.
    pub fn new(block: F, blocks: usize, h: f64) -> Result<Self, ConfigError> {
        crate::config::positive("h", h)?;
        crate::config::widths("blocks", &[blocks])?;
        Ok(Self { block, blocks, h, states: Vec::new(), work: Vec::new(), scaled: Vec::new() })
    }

    /// The field of a block.
    pub fn block(&self) -> &F {
        &self.block
    }

    /// The field of a block, by value: the way back from a network whose blocks are the same.
    pub fn into_block(self) -> F {
        self.block
    }

    /// The parameters of a network whose blocks are the same.
    pub fn tied(&self, p: &[T]) -> Vec<T> {
        p.repeat(self.blocks)
    }

    /// Sets `y`, `[n, d]`, the network's outputs for the inputs `x`, `[n, d]`.
    ///
    /// # Errors
    /// [`ModelError::Length`]; [`ModelError::Field`] if the block is undefined at a state.
    pub fn forward(&mut self, x: &[T], p: &[T], y: &mut [T]) -> Result<(), ModelError> {
        self.check(x, p, y.len())?;
        let own = self.block.n_params();
        self.states.resize(self.blocks * x.len(), T::ZERO);
        self.work.resize(x.len(), T::ZERO);
        y.copy_from_slice(x);
        for k in 0..self.blocks {
            self.states[k * x.len()..][..x.len()].copy_from_slice(y);
            self.block.eval(self.start(k), y, &p[k * own..(k + 1) * own], &mut self.work)?;
            for (y, &f) in y.iter_mut().zip(&self.work) {
                *y += T::c(self.h) * f;
            }
        }
        Ok(())
    }

    fn start(&self, k: usize) -> f64 {
        k as f64 * self.h
    }

    /// The block in which a time lies; a start that rounding has put a little too early belongs to its block.
    fn at(&self, t: f64) -> usize {
        ((t / self.h + 1e-6).floor().max(0.0) as usize).min(self.blocks - 1)
    }

    fn check(&self, x: &[T], p: &[T], found: usize) -> Result<(), ModelError> {
        if found != x.len() || !x.len().is_multiple_of(self.block.dim()) {
            return Err(ModelError::Length { what: "y", found, expected: x.len() });
        }
        let expected = self.blocks * self.block.n_params();
        if p.len() != expected {
            return Err(ModelError::Length { what: "p", found: p.len(), expected });
        }
        Ok(())
    }
}

impl<T: Real, F: Vjp<T>> ResidualNet<T, F> {
    /// Sets `x_bar = y_barᵀ ∂y/∂x`, `[n, d]`, and ADDS `y_barᵀ ∂y/∂p`, summed over the rows, to `p_bar`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &mut self,
        x: &[T],
        p: &[T],
        y_bar: &[T],
        x_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), ModelError> {
        self.check(x, p, y_bar.len())?;
        self.check(x, p_bar, x_bar.len())?;
        let own = self.block.n_params();
        self.forward(x, p, x_bar)?;
        x_bar.copy_from_slice(y_bar);
        self.scaled.resize(x.len(), T::ZERO);
        for k in (0..self.blocks).rev() {
            self.scaled.iter_mut().zip(&*x_bar).for_each(|(s, &bar)| *s = T::c(self.h) * bar);
            let (state, range) = (&self.states[k * x.len()..][..x.len()], k * own..(k + 1) * own);
            let t = k as f64 * self.h;
            self.block.vjp(t, state, &p[range.clone()], &self.scaled, &mut self.work, &mut p_bar[range])?;
            x_bar.iter_mut().zip(&self.work).for_each(|(bar, &more)| *bar += more);
        }
        Ok(())
    }
}

impl<T: Real, F: VectorField<T>> VectorField<T> for ResidualNet<T, F> {
    fn dim(&self) -> usize {
        self.block.dim()
    }
    fn n_params(&self) -> usize {
        self.blocks * self.block.n_params()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        if p.len() != self.n_params() {
            return Err(FieldError::Fatal { t, what: "residual: the parameters are not [blocks, block's]" });
        }
        let (k, own) = (self.at(t), self.block.n_params());
        self.block.eval(t, y, &p[k * own..(k + 1) * own], dy)
    }
}

impl<T: Real, F: Vjp<T>> Vjp<T> for ResidualNet<T, F> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        if p.len() != self.n_params() || p_bar.len() != p.len() {
            return Err(FieldError::Fatal { t, what: "residual: the parameters are not [blocks, block's]" });
        }
        let own = self.block.n_params();
        let range = self.at(t) * own..(self.at(t) + 1) * own;
        self.block.vjp(t, y, &p[range.clone()], lambda, y_bar, &mut p_bar[range])
    }
}

/// What a stored [`ResidualNet`] is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualConfig<C> {
    /// The field of a block.
    pub block: C,
    /// Number of blocks.
    pub blocks: usize,
    /// The step of a block.
    pub h: f64,
}

impl<T: Real, F: VectorField<T> + Stored> Stored for ResidualNet<T, F> {
    type Config = ResidualConfig<F::Config>;
    const FORMAT: &'static str = "chreode-residual/1";
    fn from_config(config: Self::Config) -> Result<Self, ConfigError> {
        Self::new(F::from_config(config.block)?, config.blocks, config.h)
    }
    fn config(&self) -> Self::Config {
        ResidualConfig { block: self.block.config(), blocks: self.blocks, h: self.h }
    }
    fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::new();
        for k in 0..self.blocks {
            layout.append(&format!("blocks.{k}"), &self.block.layout());
        }
        layout
    }
}
