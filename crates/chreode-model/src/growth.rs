//! The growth rate `γ(x) = max_rate/time_scale · tanh(net(x̂))`.

use std::ops::Range;

use chreode_core::{FieldError, Growth, GrowthVjp, ParamLayout, Real};
use chreode_linalg::Activation;

use crate::mlp::{Mlp, MlpShape, TILE};
use crate::standardise::Standardise;
use crate::{GrowthConfig, ModelConfig};

/// The growth net of a model, with the scratch of one worker.
///
/// It takes the parameters of the whole model and reads its own part of them.
#[derive(Debug, Clone)]
pub struct GrowthNet<T: Real> {
    net: Mlp<T>,
    standardise: Standardise<T>,
    unit: T,
    /// `tanh(net)`, `[TILE]`.
    tanh: Vec<T>,
    range: Range<usize>,
}

impl<T: Real> GrowthNet<T> {
    /// The growth of a model; appends its tensors to the model's layout.
    pub(crate) fn new(config: &ModelConfig, growth: &GrowthConfig, layout: &mut ParamLayout) -> Self {
        let standardise = Standardise::new(&config.shift, &config.scale).with_times(config.times.as_deref());
        let shape = MlpShape::new(standardise.inputs(), &growth.hidden, 1, growth.activation);
        Self {
            range: layout.append("growth", shape.layout()),
            net: Mlp::new(shape),
            standardise,
            unit: T::c(growth.max_rate / config.time_scale),
            tanh: vec![T::ZERO; TILE],
        }
    }

    pub(crate) fn net_shape(&self) -> (&MlpShape, Range<usize>) {
        (self.net.shape(), self.range.clone())
    }

    fn check(&self, t: f64, y: &[T], p: &[T], n: usize) -> Result<(), FieldError> {
        if y.len() != n * self.standardise.len() {
            return Err(FieldError::Fatal {
                t,
                what: "growth: states and rates do not have the same number of rows",
            });
        }
        if p.len() < self.range.end {
            return Err(FieldError::Fatal { t, what: "growth: too few parameters" });
        }
        Ok(())
    }

    fn forward_tile(&mut self, n: usize, y: &[T], p: &[T]) {
        self.standardise.apply(y, self.net.input(n));
        self.net.forward_tile(n, p);
        Activation::Tanh.apply(self.net.output(n), &mut self.tanh[..n]);
    }
}

impl<T: Real> Growth<T> for GrowthNet<T> {
    fn growth(&mut self, t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, rate.len())?;
        self.standardise.set_time(t);
        let d = self.standardise.len();
        let p = &p[self.range.clone()];
        for (y, rate) in y.chunks(TILE * d).zip(rate.chunks_mut(TILE)) {
            self.forward_tile(rate.len(), y, p);
            for (rate, &tanh) in rate.iter_mut().zip(&self.tanh) {
                *rate = self.unit * tanh;
            }
        }
        Ok(())
    }
}

impl<T: Real> GrowthVjp<T> for GrowthNet<T> {
    fn growth_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rate_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, rate_bar.len())?;
        if y_bar.len() != y.len() || p_bar.len() != p.len() {
            return Err(FieldError::Fatal {
                t,
                what: "growth: an adjoint has another length than its value",
            });
        }
        self.standardise.set_time(t);
        let d = self.standardise.len();
        let (p, p_bar) = (&p[self.range.clone()], &mut p_bar[self.range.clone()]);
        let tiles = y.chunks(TILE * d).zip(y_bar.chunks_mut(TILE * d)).zip(rate_bar.chunks(TILE));
        for ((y, y_bar), rate_bar) in tiles {
            let n = rate_bar.len();
            self.forward_tile(n, y, p);
            let (out, out_bar) = self.net.output_and_bar(n);
            for (out_bar, &rate_bar) in out_bar.iter_mut().zip(rate_bar) {
                *out_bar = self.unit * rate_bar;
            }
            Activation::Tanh.backward(out, &self.tanh[..n], out_bar);
            self.standardise.pull_back(self.net.backward_tile(n, p, p_bar), y_bar);
        }
        Ok(())
    }
}
