//! Known rates: what a caller may bring, and laws with hand-derived pull-backs.

use chreode_core::{FieldError, ParamLayout, Real};

use super::config::{Factor, HybridConfig};
use crate::ConfigError;

/// The known rates of all reactions of a network, `[n, reactions]`, and their pull-backs.
///
/// [`RateLaws`] computes laws of a [`HybridConfig`]; implement it to bring others, from a file or by automatic derivatives. A rate
/// of a reaction that consumes a species must not be positive where that species' concentration is zero or below, or
/// concentrations may become negative.
pub trait Rates<T: Real> {
    /// Names and shapes of the parameters.
    fn layout(&self) -> ParamLayout;

    /// Sets `rates`, `[n, reactions]`, amount per time, from the states `y`, `[n, d]`. Rates that the net replaces are not read.
    ///
    /// # Errors
    /// [`FieldError`] if a rate is undefined at a state.
    fn rates(&mut self, t: f64, y: &[T], p: &[T], rates: &mut [T]) -> Result<(), FieldError>;

    /// ADDS `rates_barᵀ ∂r/∂y` to `y_bar`, `[n, d]`, and `rates_barᵀ ∂r/∂p`, summed over the rows, to `p_bar`.
    ///
    /// # Errors
    /// As [`rates`](Self::rates).
    fn rates_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rates_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError>;
}

impl<T: Real, R: Rates<T> + ?Sized> Rates<T> for Box<R> {
    fn layout(&self) -> ParamLayout {
        (**self).layout()
    }
    fn rates(&mut self, t: f64, y: &[T], p: &[T], rates: &mut [T]) -> Result<(), FieldError> {
        (**self).rates(t, y, p, rates)
    }
    fn rates_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rates_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        (**self).rates_vjp(t, y, p, rates_bar, y_bar, p_bar)
    }
}

/// The rate laws of a [`HybridConfig`]; zero for a reaction without one. Parameters are logarithms of the constants.
#[derive(Debug, Clone)]
pub struct RateLaws<T> {
    d: usize,
    layout: ParamLayout,
    /// Factors of each reaction with a law, with the place of its first constant.
    laws: Vec<Option<(usize, Vec<Factor>)>>,
    initial: Vec<f64>,
    /// Values of the factors in hand, and their derivatives.
    values: Vec<Slopes<T>>,
}

/// A factor and its derivatives: in the state, and in the logarithms of its constants.
#[derive(Debug, Clone, Copy)]
struct Slopes<T> {
    value: T,
    x: T,
    logs: [T; 2],
}

impl<T: Real> RateLaws<T> {
    /// The laws of a network.
    ///
    /// # Errors
    /// [`ConfigError`], if the network is wrong or a reaction that is not all neural has no law.
    pub fn new(config: &HybridConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let (mut layout, mut initial) = (ParamLayout::new(), Vec::new());
        let mut laws = Vec::with_capacity(config.reactions.len());
        for reaction in &config.reactions {
            match &reaction.law {
                Some(law) => {
                    let range =
                        layout.push(format!("{}.log_constants", reaction.name), &[law.constants.len()]);
                    initial.extend(law.constants.iter().map(|k| k.ln()));
                    laws.push(Some((range.start, law.factors.clone())));
                }
                None if reaction.part == super::RatePart::Neural => laws.push(None),
                None => return Err(ConfigError::NoLaw { reaction: reaction.name.clone() }),
            }
        }
        let most = laws.iter().flatten().map(|(_, f)| f.len()).max().unwrap_or(0);
        let nothing = Slopes { value: T::ZERO, x: T::ZERO, logs: [T::ZERO; 2] };
        Ok(Self { d: config.dim(), layout, laws, initial, values: vec![nothing; most] })
    }

    /// Logarithms of the constants of the configuration.
    pub fn init(&self) -> Vec<T> {
        self.initial.iter().map(|&x| T::c(x)).collect()
    }
}

/// `x^power`.
fn power_of<T: Real>(x: T, power: u32) -> T {
    (0..power).fold(T::ONE, |product, _| product * x)
}

/// A factor at a state; `logs` are those of its constants.
fn factor<T: Real>(factor: Factor, y: &[T], logs: &[T]) -> Slopes<T> {
    let x = y[factor.species()];
    let none = [T::ZERO; 2];
    if x <= T::ZERO {
        // All functions are those of max(x, 0); the derivative is that from above, but for Hill's, which may be infinite.
        let (value, slope) = match factor {
            Factor::Power { power, .. } => (T::ZERO, if power == 1 { T::ONE } else { T::ZERO }),
            Factor::Saturation { .. } => (T::ZERO, T::ONE / logs[0].exp()),
            Factor::Hill { .. } => (T::ZERO, T::ZERO),
            Factor::Repression { .. } => (T::ONE, T::ZERO),
        };
        return Slopes { value, x: if x < T::ZERO { T::ZERO } else { slope }, logs: none };
    }
    match factor {
        Factor::Power { power, .. } => {
            let below = power_of(x, power - 1);
            Slopes { value: below * x, x: T::c(f64::from(power)) * below, logs: none }
        }
        Factor::Saturation { .. } => {
            let k = logs[0].exp();
            let below = T::ONE / (k + x);
            let slope = k * below * below;
            Slopes { value: x * below, x: slope, logs: [-x * slope, T::ZERO] }
        }
        Factor::Hill { .. } | Factor::Repression { .. } => {
            // s = 1/(1 + exp(-u)), u = n (ln x - ln K).
            let n = logs[1].exp();
            let u = n * (x.ln() - logs[0]);
            let e = (-u.abs()).exp();
            let (small, large) = (e / (T::ONE + e), T::ONE / (T::ONE + e));
            let (s, rest) = if u > T::ZERO { (large, small) } else { (small, large) };
            let (value, slope) =
                if matches!(factor, Factor::Hill { .. }) { (s, s * rest) } else { (rest, -s * rest) };
            Slopes { value, x: slope * n / x, logs: [-slope * n, slope * u] }
        }
    }
}

impl<T: Real> Rates<T> for RateLaws<T> {
    fn layout(&self) -> ParamLayout {
        self.layout.clone()
    }

    fn rates(&mut self, _t: f64, y: &[T], p: &[T], rates: &mut [T]) -> Result<(), FieldError> {
        for (y, rates) in y.chunks_exact(self.d).zip(rates.chunks_exact_mut(self.laws.len())) {
            for (rate, law) in rates.iter_mut().zip(&self.laws) {
                let Some((start, factors)) = law else {
                    *rate = T::ZERO;
                    continue;
                };
                let mut at = start + 1;
                let mut product = p[*start].exp();
                for &f in factors {
                    product *= factor(f, y, &p[at..at + f.constants()]).value;
                    at += f.constants();
                }
                *rate = product;
            }
        }
        Ok(())
    }

    fn rates_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        rates_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let m = self.laws.len();
        let rows = y.chunks_exact(self.d).zip(rates_bar.chunks_exact(m)).zip(y_bar.chunks_exact_mut(self.d));
        for ((y, rates_bar), y_bar) in rows {
            for (&bar, law) in rates_bar.iter().zip(&self.laws) {
                let Some((start, factors)) = law else { continue };
                let k = p[*start].exp();
                let mut at = start + 1;
                let mut product = k;
                for (slopes, &f) in self.values.iter_mut().zip(factors) {
                    *slopes = factor(f, y, &p[at..at + f.constants()]);
                    product *= slopes.value;
                    at += f.constants();
                }
                p_bar[*start] += bar * product;
                at = start + 1;
                for (a, &f) in factors.iter().enumerate() {
                    // Without this factor; laws have few, and any may be zero.
                    let others = (0..factors.len()).filter(|&b| b != a);
                    let others = others.fold(bar * k, |product, b| product * self.values[b].value);
                    y_bar[f.species()] += others * self.values[a].x;
                    for (p_bar, &slope) in p_bar[at..at + f.constants()].iter_mut().zip(&self.values[a].logs)
                    {
                        *p_bar += others * slope;
                    }
                    at += f.constants();
                }
            }
        }
        Ok(())
    }
}
