//! What the sweep asks of a method, and the methods to choose from.

use std::any::{Any, TypeId};

use chreode_core::{Real, Vjp};
use chreode_solve::{
    ErkTableau, EsdirkTableau, Radau, Radau5, Radau9, Radau13, Rhs, RosenbrockTableau, SolveError, Stats,
    Stepper,
};

use super::bdf::BdfAdjoint;
use super::erk::ErkAdjoint;
use super::esdirk::EsdirkAdjoint;
use super::radau::RadauAdjoint;
use super::rosenbrock::RosenbrockAdjoint;
use super::tape::Taken;
use crate::AdjointError;

/// A method whose steps [`OdeAdjoint`](crate::OdeAdjoint) differentiates. References to tableaus are methods too: `&TSIT5`, `&KENCARP4`,
/// `&RODAS5P`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum OdeMethod {
    /// [`Erk`](chreode_solve::Erk).
    Erk(&'static ErkTableau),
    /// [`Radau5`].
    Radau5,
    /// [`Radau9`].
    Radau9,
    /// [`Radau13`].
    Radau13,
    /// [`Radau`], of order 5, 9 or 13.
    Radau,
    /// [`Esdirk`](chreode_solve::Esdirk).
    Esdirk(&'static EsdirkTableau),
    /// [`Bdf`](chreode_solve::Bdf), of orders 1 to 5.
    Bdf,
    /// [`Rosenbrock`](chreode_solve::Rosenbrock).
    Rosenbrock(&'static RosenbrockTableau),
}

impl From<&'static ErkTableau> for OdeMethod {
    fn from(tableau: &'static ErkTableau) -> Self {
        Self::Erk(tableau)
    }
}

impl From<&'static EsdirkTableau> for OdeMethod {
    fn from(tableau: &'static EsdirkTableau) -> Self {
        Self::Esdirk(tableau)
    }
}

impl From<&'static RosenbrockTableau> for OdeMethod {
    fn from(tableau: &'static RosenbrockTableau) -> Self {
        Self::Rosenbrock(tableau)
    }
}

impl OdeMethod {
    /// Its steps, forward and backward, for `n` trajectories of `d` coordinates. They are compiled in this crate, for both precisions,
    /// and not again in every crate that takes a gradient.
    pub(super) fn steps<T: Real>(self, n: usize, d: usize) -> Box<dyn StepAdjoint<T>> {
        #[inline(never)]
        fn single(method: OdeMethod, n: usize, d: usize) -> Box<dyn StepAdjoint<f32>> {
            method.make(n, d)
        }
        #[inline(never)]
        fn double(method: OdeMethod, n: usize, d: usize) -> Box<dyn StepAdjoint<f64>> {
            method.make(n, d)
        }
        let made: Box<dyn Any> = if TypeId::of::<T>() == TypeId::of::<f32>() {
            Box::new(single(self, n, d))
        } else {
            Box::new(double(self, n, d))
        };
        #[allow(clippy::expect_used, reason = "`Real` is sealed: f32 and f64 alone have it")]
        let made = made.downcast().expect("one of both is for this type");
        *made
    }

    /// States of stages that are kept with each step where all are: those that a way back would have to solve again.
    pub(crate) fn kept_stages(self) -> usize {
        match self {
            Self::Erk(_) | Self::Bdf | Self::Rosenbrock(_) => 0,
            Self::Radau5 => 3,
            Self::Radau9 => 5,
            Self::Radau13 | Self::Radau => 7,
            Self::Esdirk(tableau) => tableau.stages(),
        }
    }

    fn make<T: Real>(self, n: usize, d: usize) -> Box<dyn StepAdjoint<T>> {
        match self {
            Self::Erk(tableau) => Box::new(ErkAdjoint::new(tableau, n, d)),
            Self::Radau5 => Box::new(RadauAdjoint::new(Radau5::new(n, d), &[3], n, d)),
            Self::Radau9 => Box::new(RadauAdjoint::new(Radau9::new(n, d), &[5], n, d)),
            Self::Radau13 => Box::new(RadauAdjoint::new(Radau13::new(n, d), &[7], n, d)),
            Self::Radau => Box::new(RadauAdjoint::new(Radau::new(n, d), &[3, 5, 7], n, d)),
            Self::Esdirk(tableau) => Box::new(EsdirkAdjoint::new(tableau, n, d)),
            Self::Bdf => Box::new(BdfAdjoint::new(n, d)),
            Self::Rosenbrock(tableau) => Box::new(RosenbrockAdjoint::new(tableau, n, d)),
        }
    }
}

/// A run of the forward method: what is done with the field as the method sees it.
pub(super) type Run<'a, T> =
    dyn FnMut(&mut Rhs<'_, T>, &mut dyn Stepper<T>) -> Result<Stats, SolveError> + 'a;

/// The steps of a method as the sweep needs them.
pub(super) trait StepAdjoint<T: Real>: std::fmt::Debug + Send {
    /// Calls `run` with the method and the field as it wants it. `whole`: no event will cut a step short.
    fn with_stepper(
        &mut self,
        f: &mut dyn Vjp<T>,
        whole: bool,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError>;

    /// Few states will be kept: forward runs shall take their steps as [`again`](Self::again) does, so that the same bits come out.
    fn take_again(&mut self) {}

    /// Lets runs keep evaluations in so many bytes, if the method can.
    fn keep_evaluations(&mut self, _bytes: usize) {}

    /// Bytes of the evaluations that are kept of the last run, by the field too.
    fn evaluation_bytes(&self) -> usize {
        0
    }

    /// Values of the stages that are kept of the last run, if every state is.
    fn kept_values(&self) -> usize {
        0
    }

    /// Values that the method remembers beside a state, which taking steps again from there needs.
    fn memory(&self) -> usize {
        0
    }

    /// Whether [`inside`](Self::inside) pulls back the states inside steps, which dense output gives.
    fn interpolates(&self) -> bool {
        false
    }

    /// A reverse sweep begins.
    fn begin(&mut self) {}

    /// Takes a step of the forward run again: `y`, and behind it what the method remembers, from its start to its end. `goes_on`: it begins where the last one that was taken
    /// again ended, in the same state.
    fn again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        goes_on: bool,
        p: &[T],
        y: &mut [T],
    ) -> Result<(), AdjointError>;

    /// Before [`inside`](Self::inside) of a step from `y`: takes it again if that needs its dense output, or if `states` are asked for,
    /// for [`state_inside`](Self::state_inside).
    ///
    /// # Panics
    /// If the method does not [interpolate](Self::interpolates).
    fn open(
        &mut self,
        _f: &mut dyn Vjp<T>,
        _step: Taken,
        _p: &[T],
        _y: &[T],
        _states: bool,
    ) -> Result<(), AdjointError> {
        unreachable!("steps of a method without it end where the solution is observed")
    }

    /// The state at `t + θ h` of the step from `y` that was [opened](Self::open) for states.
    ///
    /// # Panics
    /// As [`open`](Self::open).
    fn state_inside(&mut self, _step: Taken, _y: &[T], _theta: f64) -> &[T] {
        unreachable!("steps of a method without it end where the solution is observed")
    }

    /// Before [`back`](Self::back) of a step from `y` to `y_end` that was [opened](Self::open): the states at `t + θ h` inside it have
    /// gradients. Adds to `a`, the adjoint state at the step's end, what they ask of it; [`back`](Self::back) adds the rest.
    ///
    /// # Panics
    /// As [`open`](Self::open).
    fn inside(
        &mut self,
        _f: &mut dyn Vjp<T>,
        _step: Taken,
        _p: &[T],
        _ends: (&[T], &[T]),
        _bars: &mut dyn Iterator<Item = (f64, &[T])>,
        _a: &mut [T],
        _p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        unreachable!("steps of a method without it end where the solution is observed")
    }

    /// Pulls the adjoint state `a` back through a step from `y` to about `y_end`, and adds to `p_bar`. Behind `y` stands what the method
    /// remembers there, if that is kept.
    fn back(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        y_end: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError>;
}
