//! Several models as one: their mean, and how far they are apart.

use std::ops::Range;

use chreode_core::{
    Diffusion, DiffusionVjp, FieldError, Growth, GrowthVjp, Jvp, NoiseKind, ParamLayout, Real, VectorField,
    Vjp,
};

use crate::{ConfigError, ModelError, Stored};

/// The mean of several fields, as a field; parameters are those of the members, one after the other.
///
/// The noise has the members' mean covariance: the root mean square of diagonals, or all columns side by side, each divided by
/// the root of the number of members.
///
/// ```
/// use chreode_model::{FieldEnsemble, MlpField, MlpFieldConfig};
/// let member = || MlpField::<f64>::new(MlpFieldConfig::new(vec![0.0], vec![1.0]));
/// let mut models = FieldEnsemble::new(vec![member()?, member()?])?;
/// let p = [models.members()[0].init(1), models.members()[1].init(2)].concat();
/// let (mut mean, mut spread) = ([0.0], [0.0]);
/// models.mean_and_spread(0.0, &[0.3], &p, &mut mean, &mut spread)?;
/// assert!(spread[0] > 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct FieldEnsemble<T, F> {
    members: Vec<F>,
    one: Vec<T>,
    two: Vec<T>,
    g: Vec<T>,
}

impl<T: Real, F: VectorField<T>> FieldEnsemble<T, F> {
    /// The ensemble of these fields.
    ///
    /// # Errors
    /// [`ConfigError`] if there is none, or they have different dimensions.
    pub fn new(members: Vec<F>) -> Result<Self, ConfigError> {
        crate::config::widths("members", &[members.len()])?;
        let expected = members[0].dim();
        if let Some(other) = members.iter().find(|m| m.dim() != expected) {
            return Err(ConfigError::Length { field: "members", found: other.dim(), expected });
        }
        Ok(Self { members, one: Vec::new(), two: Vec::new(), g: Vec::new() })
    }

    /// The members.
    pub fn members(&self) -> &[F] {
        &self.members
    }

    /// Where the parameters of member `m` lie.
    ///
    /// # Panics
    /// If there is no such member.
    pub fn params_of(&self, m: usize) -> Range<usize> {
        let start = self.members[..m].iter().map(VectorField::n_params).sum();
        start..start + self.members[m].n_params()
    }

    /// Sets the mean of the members' fields and their standard deviation about it, `[n, d]` each.
    ///
    /// # Errors
    /// [`ModelError::Length`]; [`ModelError::Field`] if a member is undefined at a state.
    pub fn mean_and_spread(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        mean: &mut [T],
        spread: &mut [T],
    ) -> Result<(), ModelError> {
        if spread.len() != y.len() {
            return Err(ModelError::Length { what: "spread", found: spread.len(), expected: y.len() });
        }
        self.eval(t, y, p, mean)?;
        spread.fill(T::ZERO);
        for m in 0..self.members.len() {
            let range = self.params_of(m);
            self.members[m].eval(t, y, &p[range], &mut self.one)?;
            for ((spread, &f), &mean) in spread.iter_mut().zip(&self.one).zip(&*mean) {
                *spread += (f - mean) * (f - mean);
            }
        }
        let share = self.share();
        spread.iter_mut().for_each(|s| *s = (*s * share).sqrt());
        Ok(())
    }

    /// One over the number of members.
    fn share(&self) -> T {
        T::c(1.0 / self.members.len() as f64)
    }

    fn check(&self, t: f64, p: &[T], lens: &[(usize, usize)]) -> Result<(), FieldError> {
        if p.len() != self.n_params() || lens.iter().any(|(a, b)| a != b) {
            return Err(FieldError::Fatal { t, what: "ensemble: a slice does not have its length" });
        }
        Ok(())
    }
}

impl<T: Real, F: VectorField<T>> VectorField<T> for FieldEnsemble<T, F> {
    fn dim(&self) -> usize {
        self.members[0].dim()
    }
    fn n_params(&self) -> usize {
        self.members.iter().map(VectorField::n_params).sum()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, p, &[(dy.len(), y.len())])?;
        self.one.resize(y.len(), T::ZERO);
        dy.fill(T::ZERO);
        for m in 0..self.members.len() {
            let range = self.params_of(m);
            self.members[m].eval(t, y, &p[range], &mut self.one)?;
            dy.iter_mut().zip(&self.one).for_each(|(dy, &f)| *dy += f);
        }
        let share = self.share();
        dy.iter_mut().for_each(|dy| *dy *= share);
        Ok(())
    }
}

impl<T: Real, F: Jvp<T>> Jvp<T> for FieldEnsemble<T, F> {
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        self.check(t, p, &[(v.len(), y.len()), (jv.len(), y.len())])?;
        self.one.resize(y.len(), T::ZERO);
        jv.fill(T::ZERO);
        let share = self.share();
        for m in 0..self.members.len() {
            let range = self.params_of(m);
            self.members[m].jvp(t, y, &p[range], v, &mut self.one)?;
            jv.iter_mut().zip(&self.one).for_each(|(jv, &one)| *jv += share * one);
        }
        Ok(())
    }
}

impl<T: Real, F: Vjp<T>> Vjp<T> for FieldEnsemble<T, F> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, p, &[(lambda.len(), y.len()), (y_bar.len(), y.len()), (p_bar.len(), p.len())])?;
        let share = self.share();
        self.one.resize(y.len(), T::ZERO);
        self.two.clear();
        self.two.extend(lambda.iter().map(|&l| share * l));
        y_bar.fill(T::ZERO);
        for m in 0..self.members.len() {
            let range = self.params_of(m);
            let p_bar = &mut p_bar[range.clone()];
            self.members[m].vjp(t, y, &p[range], &self.two, &mut self.one, p_bar)?;
            y_bar.iter_mut().zip(&self.one).for_each(|(bar, &one)| *bar += one);
        }
        Ok(())
    }
}

/// Whether the members' noises are summed as squares, in place; else their columns stand side by side.
fn is_diagonal(kind: NoiseKind) -> bool {
    matches!(kind, NoiseKind::Additive | NoiseKind::Separable | NoiseKind::Diagonal)
}

impl<T: Real, F: Diffusion<T>> FieldEnsemble<T, F> {
    /// Sets `g` from all members', and says how many values a row of one member has.
    fn gather(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<usize, FieldError> {
        let (d, kind, count) = (self.dim(), self.members[0].noise_kind(), self.members.len());
        if self.members.iter().any(|m| m.noise_kind() != kind) {
            return Err(FieldError::Fatal { t, what: "ensemble: members have noises of different kinds" });
        }
        let values = kind.values(d);
        self.check(t, p, &[(g.len(), y.len() / d * self.noise_kind().values(d))])?;
        self.one.resize(y.len() / d * values, T::ZERO);
        g.fill(T::ZERO);
        let root = self.share().sqrt();
        for m in 0..count {
            let range = self.params_of(m);
            self.members[m].diffusion(t, y, &p[range], &mut self.one)?;
            if is_diagonal(kind) {
                g.iter_mut().zip(&self.one).for_each(|(g, &one)| *g += one * one);
            } else {
                for (at, &one) in self.one.iter().enumerate() {
                    g[place(at, m, kind.motions(d), count)] = root * one;
                }
            }
        }
        if is_diagonal(kind) {
            let share = self.share();
            g.iter_mut().for_each(|g| *g = (*g * share).sqrt());
        }
        Ok(values)
    }
}

/// Where value `at` of member `m` stands among the columns of all.
fn place(at: usize, m: usize, motions: usize, count: usize) -> usize {
    at / motions * motions * count + m * motions + at % motions
}

impl<T: Real, F: Diffusion<T>> Diffusion<T> for FieldEnsemble<T, F> {
    fn noise_kind(&self) -> NoiseKind {
        let kind = self.members[0].noise_kind();
        if is_diagonal(kind) {
            return kind;
        }
        NoiseKind::General { motions: kind.motions(self.dim()) * self.members.len() }
    }
    fn calculus(&self) -> chreode_core::Calculus {
        self.members[0].calculus()
    }
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.gather(t, y, p, g).map(|_| ())
    }
}

impl<T: Real, F: DiffusionVjp<T>> DiffusionVjp<T> for FieldEnsemble<T, F> {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, p, &[(y_bar.len(), y.len()), (p_bar.len(), p.len())])?;
        let mut g = std::mem::take(&mut self.g);
        g.resize(g_bar.len(), T::ZERO);
        let values = self.gather(t, y, p, &mut g);
        self.g = g;
        let values = values?;
        let (d, kind, count) = (self.dim(), self.members[0].noise_kind(), self.members.len());
        let (share, root) = (self.share(), self.share().sqrt());
        self.two.resize(y.len() / d * values, T::ZERO);
        for m in 0..count {
            let range = self.params_of(m);
            if is_diagonal(kind) {
                self.members[m].diffusion(t, y, &p[range.clone()], &mut self.one)?;
            }
            for (at, bar) in self.two.iter_mut().enumerate() {
                *bar = if !is_diagonal(kind) {
                    root * g_bar[place(at, m, kind.motions(d), count)]
                } else if self.g[at] > T::ZERO {
                    share * self.one[at] / self.g[at] * g_bar[at]
                } else {
                    T::ZERO
                };
            }
            let p_bar = &mut p_bar[range.clone()];
            self.members[m].diffusion_vjp(t, y, &p[range], &self.two, y_bar, p_bar)?;
        }
        Ok(())
    }
}

impl<T: Real, F: Growth<T> + VectorField<T>> Growth<T> for FieldEnsemble<T, F> {
    fn growth(&mut self, t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        self.check(t, p, &[])?;
        self.one.resize(rate.len(), T::ZERO);
        rate.fill(T::ZERO);
        let share = self.share();
        for m in 0..self.members.len() {
            let range = self.params_of(m);
            self.members[m].growth(t, y, &p[range], &mut self.one)?;
            rate.iter_mut().zip(&self.one).for_each(|(rate, &one)| *rate += share * one);
        }
        Ok(())
    }
}

impl<T: Real, F: GrowthVjp<T> + VectorField<T>> GrowthVjp<T> for FieldEnsemble<T, F> {
    fn growth_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rate_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, p, &[(p_bar.len(), p.len())])?;
        let share = self.share();
        self.two.clear();
        self.two.extend(rate_bar.iter().map(|&bar| share * bar));
        for m in 0..self.members.len() {
            let range = self.params_of(m);
            let p_bar = &mut p_bar[range.clone()];
            self.members[m].growth_vjp(t, y, &p[range], &self.two, y_bar, p_bar)?;
        }
        Ok(())
    }
}

impl<T: Real, F: VectorField<T> + Stored> Stored for FieldEnsemble<T, F> {
    type Config = Vec<F::Config>;
    const FORMAT: &'static str = "chreode-ensemble/1";
    fn from_config(config: Self::Config) -> Result<Self, ConfigError> {
        Self::new(config.into_iter().map(F::from_config).collect::<Result<_, _>>()?)
    }
    fn config(&self) -> Self::Config {
        self.members.iter().map(Stored::config).collect()
    }
    fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::new();
        for (m, member) in self.members.iter().enumerate() {
            layout.append(&format!("members.{m}"), &member.layout());
        }
        layout
    }
}
