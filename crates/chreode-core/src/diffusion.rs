//! The noise of a stochastic differential equation `dX = f(t, X) dt + g(t, X) dW`.

use crate::{FieldError, Real, VectorField, Vjp};

/// The structure of `g`, which decides what a scheme may do and how `g` is stored.
///
/// With a Brownian motion for each coordinate `g` is one value a coordinate, and so it is with one motion for
/// all. A scheme whose order rests on a structure refuses the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoiseKind {
    /// Diagonal and independent of the state, though not always of time: one value a coordinate, `[n, d]`.
    Additive,
    /// Diagonal, and `g_i` depends on coordinate `i` (and time) alone, `[n, d]`. [KP92] calls this diagonal.
    Separable,
    /// Diagonal: coordinate `i` is driven by its own Brownian motion with `g_i(t, x)`, which may depend on every
    /// coordinate, `[n, d]`. Not commutative: without Lévy areas no scheme has a strong order above 1/2.
    Diagonal,
    /// One Brownian motion drives all coordinates of a trajectory, `[n, d]`.
    Scalar,
    /// A matrix for each trajectory, `[n, d, motions]`; of low rank where `motions < d`.
    General {
        /// Number of Brownian motions of one trajectory, at least one.
        motions: usize,
    },
}

impl NoiseKind {
    /// The structure in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Additive => "additive",
            Self::Separable => "separable",
            Self::Diagonal => "diagonal",
            Self::Scalar => "scalar",
            Self::General { .. } => "general",
        }
    }

    /// Number of Brownian motions that drive one trajectory of `d` coordinates.
    pub fn motions(self, d: usize) -> usize {
        match self {
            Self::Additive | Self::Separable | Self::Diagonal => d,
            Self::Scalar => 1,
            Self::General { motions } => motions,
        }
    }

    /// Number of values of `g` of one trajectory of `d` coordinates.
    pub fn values(self, d: usize) -> usize {
        match self {
            Self::General { motions } => d * motions,
            _ => d,
        }
    }

    /// Sets `size`, `[n, d]`, to how much noise each coordinate has: the root of the diagonal of `g gᵀ`, from `g` as it is stored.
    ///
    /// # Panics
    /// If `g` and `size` have not the same number of rows.
    pub fn sizes<T: Real>(self, d: usize, g: &[T], size: &mut [T]) {
        assert_eq!(g.len() * d, size.len() * self.values(d), "noise and its sizes");
        match self {
            Self::General { motions } => {
                for (size, g) in size.iter_mut().zip(g.chunks_exact(motions)) {
                    *size = g.iter().map(|&g| g * g).sum::<T>().sqrt();
                }
            }
            Self::Scalar => size.iter_mut().zip(g).for_each(|(size, &g)| *size = g.abs()),
            _ => size.copy_from_slice(g),
        }
    }
}

/// Which stochastic integral `g dW` means. For additive noise the two agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Calculus {
    /// `g` is taken at the start of each instant. Models of cells are meant so here.
    #[default]
    Ito,
    /// `g` is taken at its middle, `g ∘ dW`: the limit of equations with smooth noise.
    Stratonovich,
}

/// An SDE: a vector field (the drift) with a diffusion. Units: state per square root of time.
pub trait Diffusion<T: Real>: VectorField<T> {
    /// The structure of the noise.
    fn noise_kind(&self) -> NoiseKind;

    /// The calculus in which drift and diffusion are meant.
    fn calculus(&self) -> Calculus {
        Calculus::Ito
    }

    /// The same SDE with products of the derivative of `g`, if it has them. Override it with `Some(self)`.
    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        None
    }

    /// Sets `g`, stored as [`noise_kind`](Self::noise_kind) says, from the states `y`, `[n, d]`.
    ///
    /// # Errors
    /// [`FieldError`] if the diffusion is undefined at a state.
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError>;

    /// Sets drift `f`, `[n, d]`, and diffusion `g` at once: what a scheme calls.
    ///
    /// Override it where the two share work, as in chemical Langevin noise.
    ///
    /// # Errors
    /// [`FieldError`] if drift or diffusion is undefined at a state.
    fn drift_and_diffusion(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f: &mut [T],
        g: &mut [T],
    ) -> Result<(), FieldError> {
        self.eval(t, y, p, f)?;
        self.diffusion(t, y, p, g)
    }
}

/// An SDE with products of the derivative of its diffusion, which Milstein's scheme prefers to differences.
pub trait DiffusionJvp<T: Real>: Diffusion<T> {
    /// Sets `gv = ∂g/∂y · v`, stored as `g` is, from the direction `v`, `[n, d]`.
    ///
    /// # Errors
    /// [`FieldError`] if the diffusion is undefined at a state.
    fn diffusion_jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], gv: &mut [T]) -> Result<(), FieldError>;
}

/// A differentiable SDE.
pub trait DiffusionVjp<T: Real>: Diffusion<T> + Vjp<T> {
    /// The same SDE with pull-backs of products of the derivative of `g`, if it has them. Override it with `Some(self)`.
    fn with_jvp_vjp(&mut self) -> Option<&mut dyn DiffusionJvpVjp<T>> {
        None
    }

    /// Adds `g_barᵀ ∂g/∂y` to `y_bar` (`[n, d]`) and `g_barᵀ ∂g/∂p` to `p_bar`, summed over the `n` rows.
    ///
    /// # Errors
    /// [`FieldError`] if the diffusion is undefined at a state.
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError>;

    /// Sets `y_bar = f_barᵀ ∂f/∂y + g_barᵀ ∂g/∂y` (`[n, d]`) and ADDS the same in `∂p` to `p_bar`.
    ///
    /// # Errors
    /// [`FieldError`] if drift or diffusion is undefined at a state.
    fn drift_and_diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f_bar: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.vjp(t, y, p, f_bar, y_bar, p_bar)?;
        self.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
    }
}

/// An SDE with second derivatives of its diffusion, as products: what the adjoint of Milstein's scheme needs, which has
/// `∂g/∂y · g` in its step.
pub trait DiffusionJvpVjp<T: Real>: DiffusionJvp<T> + DiffusionVjp<T> {
    /// Pulls `gv_bar`, stored as `g` is, back through `gv = ∂g/∂y · v` of [`DiffusionJvp::diffusion_jvp`]: ADDS
    /// `gv_barᵀ ∂gv/∂y` to `y_bar` and `gv_barᵀ ∂g/∂y` to `v_bar`, `[n, d]` each, and `gv_barᵀ ∂gv/∂p`, summed over the
    /// rows, to `p_bar`.
    ///
    /// # Errors
    /// [`FieldError`] if the diffusion is undefined at a state.
    fn diffusion_jvp_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        gv_bar: &[T],
        y_bar: &mut [T],
        v_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError>;
}
