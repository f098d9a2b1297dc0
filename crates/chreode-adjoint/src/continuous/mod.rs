//! Continuous adjoints: the adjoint equation, solved backward by any method with its own steps, with jumps at observations and events.
//!
//! The gradient is that of the solution, and has the error of two runs; that of the computed numbers is in `discrete`.

mod field;
pub(crate) mod sde;
mod track;
mod transposed;

use chreode_core::{FieldError, Real, Vjp};
use chreode_solve::{
    Observer, Rhs, SolveError, SolveOptions, Stats, StepRecord, Stepper, Stopped, solve_events,
    solve_observed,
};

use crate::AdjointError;
use crate::discrete::sweep::dot;
use crate::error::{check_finite, check_gradient, check_len};
use crate::event::{Ending, Endings, EventJump, EventVjp, watch};
use field::AdjointField;
use track::{Recording, Track};
use transposed::Transposed;

/// Where the backward run has the state from, and how it sums the gradient with respect to the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContinuousMethod {
    /// The state from the forward run's dense output; `μ`, one value a parameter, is solved beside `λ` and its error counts.
    Interpolating,
    /// The state as before; the integral over each step of the backward run by five-point Gauss-Legendre quadrature on its
    /// dense output [ND23]. The system to solve has the size of the state alone: for many parameters, and for stiff methods.
    Gauss,
    /// The state is solved backward too, and nothing is stored [CRBD18].
    ///
    /// Wrong where the flow forgets: what contracts forward by `e^{-c}` multiplies every error by `e^{c}` backward. With
    /// a rate of 100 over one unit of time that is `1e43`, whatever the tolerance: dissipative, stiff and chaotic problems fail,
    /// often with finite values that are plainly wrong. For short runs of mild problems alone.
    Backsolve,
}

/// Gradients by the continuous adjoint equation for `n` trajectories of `d` coordinates, with jumps at saved times.
///
/// The backward run uses any [`Stepper`] of [`backward_len`](Self::backward_len) values, whatever the forward run used. Its
/// error falls with both tolerances, and the dense output's order limits it (four for implicit methods and cubic Hermite
/// interpolation). Where an exact gradient of the computed loss is needed, [`OdeAdjoint`](crate::OdeAdjoint) gives it.
///
/// Implicit methods go back with the Jacobian that the field shows ([`Vjp::as_jacobian`]), transposed, dense or sparse, and with differences if
/// it shows none. Interpolating, they also need `∂f/∂p`: one pull-back for each of the `n d` coordinates and each Jacobian, and a matrix of `n d + np`
/// rows. Backsolve takes differences, always.
///
/// Interpolating methods keep eight states a step of the forward run, Gauss quadrature also eight a step of the
/// backward run between two saved times.
///
/// ```
/// use chreode_adjoint::{ContinuousAdjoint, ContinuousMethod};
/// use chreode_solve::{Erk, Rhs, SolveOptions, TSIT5};
/// use chreode_testkit::{LotkaVolterra, SmoothField};
/// let mut f = SmoothField(LotkaVolterra);
/// let (p, mut y) = ([1.5, 1.0, 0.75, 3.0], [1.0, 0.5]);
/// let mut adjoint = ContinuousAdjoint::new(ContinuousMethod::Gauss, 1, 2, 4);
/// let (mut erk, options) = (Erk::new(&TSIT5, 1, 2), SolveOptions::tolerance(1e-8, 1e-8));
/// let saving = SolveOptions { save_at: &[1.0, 2.0], ..options };
/// adjoint.forward(&mut Rhs::Field(&mut f), &p, &mut y, (0.0, 2.0), &mut erk, &saving, &mut |_, _, _| {})?;
/// let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
/// let bars: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
/// adjoint.backward(&mut f, &p, &mut erk, &options, &bars, &mut y0_bar, &mut p_bar)?;
/// assert!(p_bar[0] > 0.0);
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ContinuousAdjoint<T> {
    method: ContinuousMethod,
    d: usize,
    nd: usize,
    np: usize,
    track: Track<T>,
    adjoint_track: Track<T>,
    /// What the backward run solves.
    z: Vec<T>,
    /// The last forward run: its span, saved times, discontinuities (last first) and end, if it succeeded.
    span: (f64, f64),
    saved: Vec<f64>,
    breaks: Vec<f64>,
    y_end: Vec<T>,
    endings: Endings<T>,
    jump: EventJump<T>,
    transposed: Transposed<T>,
    complete: bool,
    y: Vec<T>,
    lambda: Vec<T>,
    y_bar: Vec<T>,
    p_bar: Vec<T>,
}

/// Abscissae in `[-1, 1]` and weights of five-point Gauss-Legendre quadrature, exact to degree nine.
const GAUSS: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
    (0.906_179_845_938_664, 0.236_926_885_056_189_08),
];

/// Passes saved states on, and keeps what the backward run needs of them and of events.
struct Watcher<'a, T> {
    steps: usize,
    times: &'a mut Vec<f64>,
    endings: &'a mut Endings<T>,
    save: &'a mut dyn FnMut(usize, f64, &[T]),
}

impl<T: Real> Observer<T> for Watcher<'_, T> {
    fn step(&mut self, record: StepRecord<'_, T>) {
        self.endings.begin_step(self.steps, record.y);
        self.steps += 1;
    }
    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        self.times.push(t);
        (self.save)(i, t, y);
    }
    fn event(&mut self, index: usize, t: f64, y: &[T]) {
        // The step that it ends is told after it.
        self.endings.end(Ending { step: self.steps, index, t, moves: true }, y);
    }
    fn event_at_jump(&mut self, index: usize, t: f64, y: &[T]) {
        if let Some(step) = self.steps.checked_sub(1) {
            self.endings.end(Ending { step, index, t, moves: false }, y);
        }
    }
}

/// Of a backward run nothing is looked at.
struct Nobody;

impl<T: Real> Observer<T> for Nobody {
    fn step(&mut self, _record: StepRecord<'_, T>) {}
    fn save(&mut self, _i: usize, _t: f64, _y: &[T]) {}
}

impl<T: Real> ContinuousAdjoint<T> {
    /// Work arrays for `n` trajectories of `d` coordinates and `np` parameters.
    pub fn new(method: ContinuousMethod, n: usize, d: usize, np: usize) -> Self {
        let nd = n * d;
        let zeros = |len| vec![T::ZERO; len];
        let mut adjoint = Self {
            method,
            d,
            nd,
            np,
            track: Track::new(nd),
            adjoint_track: Track::new(nd),
            z: Vec::new(),
            span: (0.0, 0.0),
            saved: Vec::new(),
            breaks: Vec::new(),
            y_end: zeros(nd),
            endings: Endings::new(nd),
            jump: EventJump::new(nd),
            transposed: Transposed::new(method, n, d, np),
            complete: false,
            y: zeros(nd),
            lambda: zeros(nd),
            y_bar: zeros(nd),
            p_bar: zeros(np),
        };
        adjoint.z = zeros(adjoint.backward_len());
        adjoint
    }

    /// Number of values that the backward run solves. With [`Gauss`](ContinuousMethod::Gauss) these are `n` trajectories of `d`
    /// coordinates, with the other methods one trajectory: `n d` values of `λ`, one a parameter, and the state if that is
    /// solved backward.
    pub fn backward_len(&self) -> usize {
        match self.method {
            ContinuousMethod::Gauss => self.nd,
            ContinuousMethod::Interpolating => self.nd + self.np,
            ContinuousMethod::Backsolve => 2 * self.nd + self.np,
        }
    }

    /// Solves as [`chreode_solve::solve_observed`] does, and keeps what the backward run needs. `save(i, t, y)` is called
    /// at every saved time; the steps need not end there.
    ///
    /// # Errors
    /// Those of [`chreode_solve::solve`], and [`AdjointError::MassMatrix`].
    pub fn forward(
        &mut self,
        f: &mut Rhs<'_, T>,
        p: &[T],
        y: &mut [T],
        span: (f64, f64),
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        save: &mut dyn FnMut(usize, f64, &[T]),
    ) -> Result<Stats, AdjointError> {
        self.forward_events(f, p, y, span, stepper, options, &[], save)
    }

    /// As [`forward`](Self::forward), and watches for events, as [`chreode_solve::solve_events`] does. The states before and after
    /// each that resets or ends are kept, also for [`Backsolve`](ContinuousMethod::Backsolve), which goes on from there.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`AdjointError::EventsTogether`] for two at the same time: there is no derivative.
    pub fn forward_events(
        &mut self,
        f: &mut Rhs<'_, T>,
        p: &[T],
        y: &mut [T],
        span: (f64, f64),
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        events: &[&dyn EventVjp<T>],
        save: &mut dyn FnMut(usize, f64, &[T]),
    ) -> Result<Stats, AdjointError> {
        self.complete = false;
        if stepper.has_mass() {
            return Err(AdjointError::MassMatrix { what: "forward method" });
        }
        check_len("start states", y.len(), self.nd)?;
        check_len("parameters", p.len(), self.np)?;
        self.saved.clear();
        self.breaks.clear();
        self.breaks.extend(options.discontinuities.iter().rev());
        self.endings.begin(events);
        let mut watched: Vec<_> = events.iter().map(|&e| watch(e)).collect();
        let (times, endings) = (&mut self.saved, &mut self.endings);
        let observer = &mut Watcher { steps: 0, times, endings, save };
        let stats = if self.method == ContinuousMethod::Backsolve {
            solve_events(f, p, y, span, stepper, options, &mut watched, observer)?
        } else {
            let mut recording = Recording::new(stepper, &mut self.track);
            let stats = solve_events(f, p, y, span, &mut recording, options, &mut watched, observer)?;
            if let Stopped::Event { t, .. } = stats.stopped {
                recording.cut(t);
            }
            stats
        };
        if let Some(t) = self.endings.together {
            return Err(AdjointError::EventsTogether { t });
        }
        self.endings.finish(y);
        self.y_end.copy_from_slice(y);
        let end = if let Stopped::Event { t, .. } = stats.stopped { t } else { span.1 };
        self.span = (span.0, end);
        self.complete = true;
        Ok(stats)
    }

    /// Solves the adjoint equation of the last forward run, which had the same field and `p`.
    ///
    /// `state_bar[i]`, `[n, d]`, is the gradient of the objective with respect to the state at `save_at[i]`. Sets
    /// `y0_bar`, `[n, d]`, and ADDS the gradient with respect to the parameters to `p_bar`. Of the options, saved times and
    /// discontinuities are those of the forward run.
    ///
    /// # Errors
    /// [`AdjointError::NoForwardPass`], [`AdjointError::ShapeMismatch`], [`AdjointError::MassMatrix`],
    /// [`AdjointError::NonFinite`], [`AdjointError::NonFiniteGradient`], and [`AdjointError::Solve`] where the backward run fails.
    pub fn backward(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.sweep(f, p, &[], stepper, options, state_bar, None, y0_bar, p_bar, None)
    }

    /// As [`backward`](Self::backward); also sets `time_bar[i]` to the gradient with respect to the time `save_at[i]`,
    /// `state_bar[i] · f` there, and returns that with respect to the start time, `-λ · f`.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_with_times(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
        time_bar: &mut [T],
    ) -> Result<T, AdjointError> {
        self.with_times(f, p, &[], stepper, options, state_bar, None, y0_bar, p_bar, time_bar)
    }

    /// As [`backward`](Self::backward), through the last [`forward_events`](Self::forward_events), which had the same events.
    ///
    /// `end_bar` is the gradient with respect to the end of the run: the state there, after any reset, and the time, which
    /// counts if a terminal event ended it. The adjoint state jumps at each event that resets or ends, as in
    /// [`OdeAdjoint::backward_events`](crate::OdeAdjoint::backward_events).
    ///
    /// # Errors
    /// As [`backward`](Self::backward); the adjoint state is not finite where the root is tangent to zero.
    pub fn backward_events(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        state_bar: &[&[T]],
        end_bar: (&[T], T),
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        self.sweep(f, p, events, stepper, options, state_bar, Some(end_bar), y0_bar, p_bar, None)
    }

    /// As [`backward_events`](Self::backward_events), and tells the gradients with respect to times as
    /// [`backward_with_times`](Self::backward_with_times): events keep to their own.
    ///
    /// # Errors
    /// As [`backward_events`](Self::backward_events).
    pub fn backward_events_with_times(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        state_bar: &[&[T]],
        end_bar: (&[T], T),
        y0_bar: &mut [T],
        p_bar: &mut [T],
        time_bar: &mut [T],
    ) -> Result<T, AdjointError> {
        self.with_times(f, p, events, stepper, options, state_bar, Some(end_bar), y0_bar, p_bar, time_bar)
    }

    fn with_times(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        state_bar: &[&[T]],
        end_bar: Option<(&[T], T)>,
        y0_bar: &mut [T],
        p_bar: &mut [T],
        time_bar: &mut [T],
    ) -> Result<T, AdjointError> {
        if self.complete {
            check_len("time_bar", time_bar.len(), self.saved.len())?;
        }
        self.sweep(f, p, events, stepper, options, state_bar, end_bar, y0_bar, p_bar, Some(time_bar))?;
        self.slope(f, p, self.span.0)?;
        Ok(-dot(y0_bar, &self.y_bar))
    }

    /// Sets `self.y_bar` to the field at the time that the backward run has come to.
    fn slope(&mut self, f: &mut dyn Vjp<T>, p: &[T], t: f64) -> Result<(), FieldError> {
        if self.method == ContinuousMethod::Backsolve {
            self.y.copy_from_slice(&self.z[..self.nd]);
        } else {
            self.track.at(t, &mut self.y);
        }
        f.eval(t, &self.y, p, &mut self.y_bar)
    }

    fn sweep(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        events: &[&dyn EventVjp<T>],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        state_bar: &[&[T]],
        end_bar: Option<(&[T], T)>,
        y0_bar: &mut [T],
        p_bar: &mut [T],
        mut time_bar: Option<&mut [T]>,
    ) -> Result<(), AdjointError> {
        if !self.complete {
            return Err(AdjointError::NoForwardPass);
        }
        if stepper.has_mass() {
            return Err(AdjointError::MassMatrix { what: "backward method" });
        }
        check_len("state_bar (saved times)", state_bar.len(), self.saved.len())?;
        check_len("events", events.len(), self.endings.watched)?;
        check_len("dimension of the field", f.dim(), self.d)?;
        check_len("parameters", p.len(), self.np)?;
        check_len("y0_bar", y0_bar.len(), self.nd)?;
        check_len("p_bar", p_bar.len(), p.len())?;
        for bar in state_bar {
            check_len("an element of state_bar", bar.len(), self.nd)?;
        }
        let shows = self.method != ContinuousMethod::Backsolve && self.transposed.look(f, self.span.1)?;
        self.z.fill(T::ZERO);
        // λ comes after the state, if that is solved, and before μ.
        let at = if self.method == ContinuousMethod::Backsolve { self.nd } else { 0 };
        self.z[..at].copy_from_slice(&self.y_end[..at]);
        let mut end_time_bar = T::ZERO;
        if let Some((bar, time_bar)) = end_bar {
            check_len("end_bar", bar.len(), self.nd)?;
            check_finite(&[time_bar], 1, 0, self.span.1)?;
            self.z[at..at + self.nd].copy_from_slice(bar);
            end_time_bar = time_bar;
        }
        let sign = if self.span.1 >= self.span.0 { 1.0 } else { -1.0 };
        let (mut t, mut saves, mut left) = (self.span.1, state_bar.len(), self.endings.len());
        self.look_after_event(left, self.track.steps());
        loop {
            if left > 0 && self.endings.get(left - 1).0.t == t {
                left -= 1;
                let ended @ (ending, before, _) = self.endings.get(left);
                let lambda = &mut self.z[at..at + self.nd];
                self.jump.pull_back(f, p, events[ending.index], ended, end_time_bar, lambda, p_bar)?;
                self.z[..at].copy_from_slice(&before[..at]);
                self.look_after_event(left, ending.step + 1);
            }
            while saves > 0 && self.saved[saves - 1] == t {
                saves -= 1;
                let lambda = &mut self.z[at..at + self.nd];
                lambda.iter_mut().zip(state_bar[saves]).for_each(|(l, &bar)| *l += bar);
                if let Some(time_bar) = &mut time_bar {
                    self.slope(f, p, t)?;
                    time_bar[saves] = dot(state_bar[saves], &self.y_bar);
                }
            }
            check_finite(&self.z[at..at + self.nd], self.d, 0, t)?;
            if t == self.span.0 {
                break;
            }
            let mut to = if saves > 0 { self.saved[saves - 1] } else { self.span.0 };
            if left > 0 {
                let event = self.endings.get(left - 1).0.t;
                to = if sign * (event - to) > 0.0 { event } else { to };
            }
            self.back(f, p, stepper, options, (t, to), shows, p_bar)?;
            t = to;
        }
        y0_bar.copy_from_slice(&self.z[at..at + self.nd]);
        let mu = &self.z[at + self.nd..];
        p_bar.iter_mut().zip(mu).for_each(|(p_bar, &mu)| *p_bar += mu);
        Ok(())
    }

    /// Looks at the steps of the forward run before `end` that come after event number `left - 1`: of two states at its time, that after.
    fn look_after_event(&mut self, left: usize, end: usize) {
        let begin = left.checked_sub(1).map_or(0, |i| self.endings.get(i).0.step + 1);
        self.track.look_at(begin..end);
    }

    /// Solves backward from one jump to the next, with the Jacobian of a field that shows its own.
    fn back(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        stepper: &mut dyn Stepper<T>,
        options: &SolveOptions<'_>,
        span: (f64, f64),
        shows: bool,
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let sign = if span.1 >= span.0 { 1.0 } else { -1.0 };
        let from = self.breaks.partition_point(|&b| sign * (b - span.0) < 0.0);
        let to = self.breaks.partition_point(|&b| sign * (b - span.1) <= 0.0);
        let options = SolveOptions { save_at: &[], discontinuities: &self.breaks[from..to], ..*options };
        let mut field = AdjointField {
            method: self.method,
            f: &mut *f,
            track: &self.track,
            nd: self.nd,
            np: self.np,
            y: &mut self.y,
            p_bar: &mut self.p_bar,
            transposed: &mut self.transposed,
        };
        let rhs = &mut if shows { Rhs::Jacobian(&mut field) } else { Rhs::Field(&mut field) };
        let columns = stepper.dim();
        if self.method != ContinuousMethod::Gauss {
            let run = solve_observed(rhs, p, &mut self.z, span, stepper, &options, &mut Nobody);
            return run.map(|_| ()).map_err(|error| self.placed(error, columns));
        }
        let mut recording = Recording::new(stepper, &mut self.adjoint_track);
        let run = solve_observed(rhs, p, &mut self.z, span, &mut recording, &options, &mut Nobody);
        run.map_err(|error| self.placed(error, columns))?;
        for i in 0..self.adjoint_track.steps() {
            let (t, t_end) = self.adjoint_track.step(i);
            let h = t_end - t;
            for (x, weight) in GAUSS {
                let theta = 0.5 + 0.5 * x;
                self.adjoint_track.within(i, theta, &mut self.lambda);
                self.track.at(t + theta * h, &mut self.y);
                let scale = T::c(-0.5 * weight * h); // μ grows backward in time
                self.lambda.iter_mut().for_each(|l| *l *= scale);
                f.vjp(t + theta * h, &self.y, p, &self.lambda, &mut self.y_bar, p_bar)?;
            }
        }
        check_gradient(p_bar, (0, self.nd / self.d.max(1)), span.1)
    }

    /// The error of a backward run, whose method sees rows of so many `columns`: in terms of the trajectories that went forward.
    fn placed(&self, error: SolveError, columns: usize) -> AdjointError {
        let (t, row, column) = match &error {
            SolveError::NonFinite { t, trajectory, coordinate }
            | SolveError::NonFiniteDerivative { t, trajectory, coordinate, .. } => {
                (*t, *trajectory as usize, *coordinate)
            }
            _ => return error.into(),
        };
        let of = |i: usize| ((i / self.d) as u64, i % self.d);
        let at = row * columns + column;
        let before = if self.method == ContinuousMethod::Backsolve { self.nd } else { 0 };
        match at.checked_sub(before) {
            None => {
                let (trajectory, coordinate) = of(at);
                match error {
                    SolveError::NonFiniteDerivative { what, .. } => {
                        SolveError::NonFiniteDerivative { what, t, trajectory, coordinate }.into()
                    }
                    _ => SolveError::NonFinite { t, trajectory, coordinate }.into(),
                }
            }
            Some(i) if i < self.nd => {
                let (trajectory, coordinate) = of(i);
                AdjointError::NonFinite { t, trajectory, coordinate }
            }
            Some(i) => {
                let last = (self.nd / self.d.max(1)).saturating_sub(1) as u64;
                AdjointError::NonFiniteGradient { t, parameter: i - self.nd, first: 0, last }
            }
        }
    }
}
