//! Implicit methods as their users hold them: boxes around steps whose code is compiled in this crate, once for each precision, and
//! not again in every crate that solves something.
//!
//! The steps themselves: `radau`, `bdf`, `rosenbrock`, `esdirk`.

use std::fmt::Debug;

use chreode_core::{FieldError, Real, Sparsity, Tolerance};

use crate::bdf::step::BdfSteps;
use crate::error::SolveError;
use crate::esdirk::step::EsdirkSteps;
use crate::esdirk::tableau::EsdirkTableau;
use crate::newton::krylov::{KrylovOptions, Preconditioner};
use crate::newton::linearisation::Linearisation;
use crate::precision::of_precision;
use crate::radau::step::RadauSteps;
use crate::rhs::Rhs;
use crate::rosenbrock::step::RosenbrockSteps;
use crate::rosenbrock::tableau::RosenbrockTableau;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// The steps of an implicit method. What has a body here is compiled where a method is boxed: in this crate.
pub(crate) trait Implicit<T: Real>: Stepper<T> + Debug + Send {
    /// The order of the next step.
    fn order(&self) -> usize;

    fn system(&mut self) -> (&mut Linearisation<T>, &mut Work);

    fn set_mass(&mut self, mass: &[T]) {
        self.system().0.set_mass(mass);
    }

    fn set_mass_diagonal(&mut self, mass: &[T]) {
        self.system().0.set_mass_diagonal(mass);
    }

    fn set_sparsity(&mut self, pattern: &Sparsity) {
        self.system().0.set_sparsity(pattern);
    }

    fn set_staggered(&mut self) {
        self.system().0.set_staggered();
    }
}

/// What [`Bdf`] can do more.
pub(crate) trait Multistep<T: Real>: Implicit<T> {
    fn set_max_order(&mut self, order: usize);
    fn set_krylov(&mut self, options: KrylovOptions, preconditioner: Option<Box<dyn Preconditioner<T>>>);
}

/// A public method around boxed steps.
macro_rules! method {
    (
        $(#[$doc:meta])*
        $Name:ident holds $Trait:ident of $Single:ty, $Double:ty;
        $(#[$new_doc:meta])*
        new($($arg:ident: $Arg:ty),*);
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $Name<T: Real>(Box<dyn $Trait<T>>);

        impl<T: Real> $Name<T> {
            $(#[$new_doc])*
            pub fn new($($arg: $Arg),*) -> Self {
                type New<T> = fn($($Arg),*) -> Box<dyn $Trait<T>>;
                static SINGLE: New<f32> = |$($arg),*| Box::new(<$Single>::new($($arg),*));
                static DOUBLE: New<f64> = |$($arg),*| Box::new(<$Double>::new($($arg),*));
                Self(of_precision::<T, New<T>>(&SINGLE, &DOUBLE)($($arg),*))
            }

            /// Solves `M dy/dt = f` with this mass matrix, `[d, d]` row-major. It may be singular: its null rows are
            /// algebraic equations (of index 1), which the start state must fulfil:
            /// [`consistent_start`](Self::consistent_start) finds one. Without `d²` elements, runs end before they start.
            #[must_use]
            pub fn with_mass(mut self, mass: &[T]) -> Self {
                self.0.set_mass(mass);
                self
            }

            /// As [`with_mass`](Self::with_mass), for a diagonal mass matrix, `[d]`.
            #[must_use]
            pub fn with_mass_diagonal(mut self, mass: &[T]) -> Self {
                self.0.set_mass_diagonal(mass);
                self
            }

            /// The sparsity of the Jacobian of fields that do not tell it themselves: differences then take one evaluation a
            /// colour, and systems are solved in banded or sparse form where that is faster. If the pattern has not `d` rows and
            /// columns, runs end before they start.
            #[must_use]
            pub fn with_sparsity(mut self, pattern: &Sparsity) -> Self {
                self.0.set_sparsity(pattern);
                self
            }

            /// Moves `y`, `[n, d]`, to a state near it where the algebraic equations hold (null rows of the mass matrix), by Newton's
            /// iteration on the variables that they determine; returns the iterations. Without algebraic equations `y` stays.
            ///
            /// # Errors
            /// Sizes that do not fit, the field's, [`SolveError::NonFinite`], [`SolveError::Unsolved`].
            pub fn consistent_start(
                &mut self,
                f: &mut Rhs<'_, T>,
                t: f64,
                y: &mut [T],
                p: &[T],
                tol: Tolerance<'_>,
            ) -> Result<u32, SolveError> {
                let (system, work) = self.0.system();
                system.consistent_start(f, t, y, p, tol, work)
            }

            /// The order of the next step.
            pub fn order(&self) -> usize {
                self.0.order()
            }
        }

        impl<T: Real> Stepper<T> for $Name<T> {
            fn state_len(&self) -> usize {
                self.0.state_len()
            }
            fn dim(&self) -> usize {
                self.0.dim()
            }
            fn error_order(&self) -> Option<u32> {
                self.0.error_order()
            }
            fn work(&self) -> Work {
                self.0.work()
            }
            fn fixed_steps(&mut self, fixed: bool) {
                self.0.fixed_steps(fixed);
            }
            fn has_mass(&self) -> bool {
                self.0.has_mass()
            }
            fn check(
                &mut self,
                f: &mut Rhs<'_, T>,
                t: f64,
                y: &[T],
                p: &[T],
                tol: Tolerance<'_>,
            ) -> Result<(), SolveError> {
                self.0.check(f, t, y, p, tol)
            }
            fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
                self.0.start(f, t, y, p)
            }
            fn initial_step(
                &mut self,
                f: &mut Rhs<'_, T>,
                t: f64,
                t_end: f64,
                y: &[T],
                p: &[T],
                tol: Tolerance<'_>,
            ) -> Result<f64, FieldError> {
                self.0.initial_step(f, t, t_end, y, p, tol)
            }
            fn step(
                &mut self,
                f: &mut Rhs<'_, T>,
                t: f64,
                t_end: f64,
                y: &[T],
                p: &[T],
                tol: Tolerance<'_>,
            ) -> Result<f64, FieldError> {
                self.0.step(f, t, t_end, y, p, tol)
            }
            fn proposed(&self) -> &[T] {
                self.0.proposed()
            }
            fn prepare_dense(
                &mut self,
                f: &mut Rhs<'_, T>,
                t: f64,
                t_end: f64,
                y: &[T],
                p: &[T],
            ) -> Result<(), FieldError> {
                self.0.prepare_dense(f, t, t_end, y, p)
            }
            fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
                self.0.dense(theta, h, y)
            }
            fn accept(&mut self, y: &mut [T]) {
                self.0.accept(y);
            }
            fn memory(&self) -> &[T] {
                self.0.memory()
            }
            fn correct(&mut self, y: &[T], memory: &[T]) {
                self.0.correct(y, memory);
            }
            fn reject(&mut self) {
                self.0.reject();
            }
            fn step_ratio(&mut self, err: f64) -> Option<f64> {
                self.0.step_ratio(err)
            }
            fn failure(&self) -> Option<StepFailure> {
                self.0.failure()
            }
        }
    };
}

method! {
    /// Radau IIA of order 5 with its work arrays: the method of choice for stiff problems that are to be solved to few or many digits,
    /// also with a mass matrix (index-1 differential-algebraic equations). [`Radau9`] and [`Radau13`] have other orders, [`Radau`] chooses.
    ///
    /// L-stable; order `2 s - 1` at the steps' ends and `s + 1` inside a step (the collocation polynomial) with `s` stages, here 3.
    /// Since the error estimate has order `s` only, it is held to `0.1 rtol^((s + 1) / (2 s))` (and `atol` in proportion), which brings
    /// the true error near `rtol`.
    ///
    /// ```
    /// use chreode_core::field;
    /// use chreode_solve::{Radau5, SolveOptions, solve};
    /// // Robertson's reactions: rates differ by nine orders of magnitude.
    /// let mut robertson = field(3, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
    ///     let (slow, fast, back) = (0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]);
    ///     (dy[0], dy[1], dy[2]) = (back - slow, slow - back - fast, fast);
    /// });
    /// let mut y = [1.0, 0.0, 0.0];
    /// let options = SolveOptions::tolerance(1e-6, 1e-14);
    /// let stats = solve(&mut robertson, &[], &mut y, (0.0, 1e11), &mut Radau5::new(1, 3), &options, &mut |_, _, _| {})?;
    /// assert!((y[0] / 2.0833401e-8 - 1.0).abs() < 1e-4 && stats.accepted < 500);
    /// # Ok::<(), chreode_solve::SolveError>(())
    /// ```
    Radau5 holds Implicit of RadauSteps<f32, 5, 5>, RadauSteps<f64, 5, 5>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    new(n: usize, d: usize);
}

method! {
    /// Radau IIA of order 9: as [`Radau5`], with five stages.
    Radau9 holds Implicit of RadauSteps<f32, 9, 9>, RadauSteps<f64, 9, 9>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    new(n: usize, d: usize);
}

method! {
    /// Radau IIA of order 13: as [`Radau5`], with seven stages, for many digits of smooth stiff problems.
    Radau13 holds Implicit of RadauSteps<f32, 13, 13>, RadauSteps<f64, 13, 13>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    new(n: usize, d: usize);
}

method! {
    /// Radau IIA of order 5, 9 or 13, chosen step by step by how fast Newton's iteration converges: stiff problems that are to be solved to
    /// many digits. Loose tolerances keep it mostly at order 5, fixed steps always. Order 13 factors three complex matrices beside a real one, and holds them.
    Radau holds Implicit of RadauSteps<f32, 5, 13>, RadauSteps<f64, 5, 13>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    new(n: usize, d: usize);
}

method! {
    /// The numerical differentiation formulas (a BDF family) of orders 1 to 5 with their work arrays: the method of choice for
    /// large stiff problems and low to middle accuracy, also with a mass matrix (index-1 differential-algebraic equations).
    ///
    /// L-stable up to order 2, A(α)-stable with α = 80°, 66°, 51° for orders 3 to 5. Order and step length vary; dense output
    /// has the order of the step. The field is not evaluated at the states where steps end: if it refuses states beyond a bound, the bound
    /// must leave room for errors of the tolerance's size.
    Bdf holds Multistep of BdfSteps<f32>, BdfSteps<f64>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    new(n: usize, d: usize);
}

method! {
    /// A Rosenbrock method with its work arrays: no iteration, but a Jacobian in every step. The method of choice for small
    /// stiff problems whose Jacobian is cheap, also with a mass matrix (index-1 differential-algebraic equations).
    ///
    /// The order needs Jacobians that are right: from the field, from products with it, or from differences, whose errors
    /// matter below a tolerance of 1e-9 or so. `∂f/∂t` always comes from differences, one or two evaluations a step.
    ///
    /// ```
    /// use chreode_core::field;
    /// use chreode_solve::{RODAS5P, Rosenbrock, SolveOptions, solve};
    /// // A fast variable that follows a slow one.
    /// let mut f = field(2, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
    ///     (dy[0], dy[1]) = (-y[1], 1e6 * (y[0] - y[1]) - t.sin());
    /// });
    /// let (mut y, mut rodas) = ([1.0, 1.0], Rosenbrock::new(&RODAS5P, 1, 2));
    /// let options = SolveOptions::tolerance(1e-6, 1e-9);
    /// let stats = solve(&mut f, &[], &mut y, (0.0, 1.0), &mut rodas, &options, &mut |_, _, _| {})?;
    /// assert!((y[0] - (-1.0_f64).exp()).abs() < 1e-5 && stats.accepted < 30);
    /// # Ok::<(), chreode_solve::SolveError>(())
    /// ```
    Rosenbrock holds Implicit of RosenbrockSteps<f32>, RosenbrockSteps<f64>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    ///
    /// # Panics
    /// If the tableau is not [consistent](RosenbrockTableau::is_consistent): a programming error, best caught at compile
    /// time by `const _: () = assert!(..)`.
    new(tableau: &'static RosenbrockTableau, n: usize, d: usize);
}

method! {
    /// A diagonally implicit Runge-Kutta method with its work arrays: one real factorisation for all stages, so that it does well
    /// on middling accuracy where factorisations are what costs, also with a mass matrix (index-1 differential-algebraic
    /// equations).
    ///
    /// The field is not evaluated at the states where steps end: if it refuses states beyond a bound, the bound must leave room for
    /// errors of the tolerance's size.
    ///
    /// ```
    /// use chreode_core::field;
    /// use chreode_solve::{Esdirk, KENCARP4, SolveOptions, solve};
    /// // A fast variable that follows a slow one.
    /// let mut f = field(2, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
    ///     (dy[0], dy[1]) = (-y[1], 1e6 * (y[0] - y[1]) - t.sin());
    /// });
    /// let (mut y, mut kencarp) = ([1.0, 1.0], Esdirk::new(&KENCARP4, 1, 2));
    /// let options = SolveOptions::tolerance(1e-6, 1e-9);
    /// let stats = solve(&mut f, &[], &mut y, (0.0, 1.0), &mut kencarp, &options, &mut |_, _, _| {})?;
    /// assert!((y[0] - (-1.0_f64).exp()).abs() < 1e-5 && stats.accepted < 50);
    /// # Ok::<(), chreode_solve::SolveError>(())
    /// ```
    Esdirk holds Implicit of EsdirkSteps<f32>, EsdirkSteps<f64>;
    /// Work arrays for `n` trajectories of `d` coordinates.
    ///
    /// # Panics
    /// If the tableau is not [consistent](EsdirkTableau::is_consistent): a programming error, best caught at compile
    /// time by `const _: () = assert!(..)`.
    new(tableau: &'static EsdirkTableau, n: usize, d: usize);
}

/// The methods that iterate for each part with the same factorisations.
macro_rules! staggered {
    ($($Name:ident),*) => {$(
        impl<T: Real> $Name<T> {
            /// Of a field whose Jacobian has equal blocks, the first of which depends on no other, iterates for it alone and then, with
            /// the same factorisations, for the others: sensitivities by the staggered corrector method [FTB97]. Where the field
            /// evaluates its first block alone ([`Jacobian::eval_first_block`](chreode_core::Jacobian::eval_first_block)), no evaluation
            /// of all is spent while that converges, and what the others depend on stays while they do. Other fields are solved as ever.
            #[must_use]
            pub fn staggered(mut self) -> Self {
                self.0.set_staggered();
                self
            }
        }
    )*};
}

staggered!(Radau5, Radau9, Radau13, Radau, Esdirk);

impl<T: Real> Bdf<T> {
    /// Uses orders up to `order` (1 to 5) only: 2 keeps L-stability, where eigenvalues lie near the imaginary axis. With any
    /// other number, runs end before they start.
    #[must_use]
    pub fn with_max_order(mut self, order: usize) -> Self {
        self.0.set_max_order(order);
        self
    }

    /// Of a field whose Jacobian has equal blocks, iterates for the first block alone, and solves the others, which must be linear
    /// in themselves, once with a Jacobian of the new state: sensitivities by the staggered direct method [CS85]. One Jacobian and
    /// factorisation a step, instead of an iteration of all blocks. Other fields, and GMRES, are solved as ever.
    #[must_use]
    pub fn staggered(mut self) -> Self {
        self.0.set_staggered();
        self
    }

    /// Solves the Newton systems by GMRES, with no matrix: products with the Jacobian are the field's
    /// ([`Rhs::Jvp`]) or, for any other field, differences of it. For systems too large for a factorisation; most stiff ones then
    /// need a [preconditioner](Self::with_preconditioner). With options out of their bounds, runs end before they start.
    #[must_use]
    pub fn with_krylov(mut self, options: KrylovOptions) -> Self {
        self.0.set_krylov(options, None);
        self
    }

    /// As [`with_krylov`](Self::with_krylov), with a preconditioner.
    #[must_use]
    pub fn with_preconditioner(
        mut self,
        options: KrylovOptions,
        preconditioner: impl Preconditioner<T> + 'static,
    ) -> Self {
        self.0.set_krylov(options, Some(Box::new(preconditioner)));
        self
    }
}
