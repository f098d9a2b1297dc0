//! Which way to a gradient suits a problem, and why.

use crate::{AdjointError, Checkpoints, recomputed_steps};

/// A way to a gradient. [`ContinuousAdjoint`](crate::ContinuousAdjoint) is none that is chosen: it is no faster where it is as exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    /// [`ForwardSensitivities`](crate::ForwardSensitivities).
    Forward,
    /// [`OdeAdjoint`](crate::OdeAdjoint), or [`SdeAdjoint`](crate::SdeAdjoint) for a stochastic equation, with these checkpoints.
    Discrete(Checkpoints),
}

/// What kind of run a problem needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// Explicit steps.
    Explicit,
    /// Steps of Radau, ESDIRK or Rosenbrock methods.
    Implicit,
    /// Steps of [`Bdf`](chreode_solve::Bdf).
    Bdf,
    /// Paths of a stochastic equation on a fixed grid.
    Stochastic,
}

impl RunKind {
    /// In units of one forward run: a reverse sweep, and a step that is taken again over one of the run.
    fn costs(self) -> (f64, f64) {
        match self {
            Self::Explicit => (2.0, 1.0),
            Self::Implicit => (6.0, 3.0),
            Self::Bdf => (2.0, 2.0),
            Self::Stochastic => (2.4, 1.0),
        }
    }

    /// Of sensitivities to so many numbers, if there are any.
    fn forward(self, unknowns: usize) -> Option<f64> {
        let each = match self {
            Self::Explicit => 0.6,
            Self::Implicit => 1.25,
            Self::Bdf => 0.9,
            Self::Stochastic => return None,
        };
        Some(2.0 + each * unknowns as f64)
    }

    /// States that one takes the room of where not all are kept.
    fn room(self) -> usize {
        if self == Self::Bdf { 6 } else { 1 }
    }
}

/// What [`Sensitivity::auto`] is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Values of a state, `n d`.
    pub state_len: usize,
    /// Bytes of one value: 4 or 8.
    pub value_bytes: usize,
    /// Start coordinates and parameters to differentiate by.
    pub unknowns: usize,
    /// Functions of the solution to differentiate: one for a loss, the number of rows for a Jacobian.
    pub objectives: usize,
    /// The kind of the forward run.
    pub run: RunKind,
    /// Whether derivatives by the observation times are asked for.
    pub times: bool,
    /// Steps of a run, about.
    pub steps: usize,
    /// Bytes that states may take.
    pub bytes: usize,
}

impl Sensitivity {
    /// The way that takes the least time within the memory, and why, in one sentence.
    ///
    /// Times are in units of one forward run, as measured with Tsit5, Radau5 and Euler-Maruyama (for Bdf the sweep alone is measured). Sensitivities take about
    /// `2 + 0.6 m` for `m` unknowns (implicit: `2 + 1.25 m`, Bdf: `2 + 0.9 m`), whatever the number of objectives; stochastic equations
    /// have none here. A discrete adjoint takes two for each objective and the steps that are taken again (implicit: six, since
    /// stages are solved again to rounding, and three for a step that is taken again; Bdf, which solves nothing again where all states
    /// are kept: two, and two for a step that is taken again, with room for six states each; stochastic: 2.4). Continuous
    /// adjoints are never chosen: where the problem is stiff they take half the time of Radau's, but eight states a step and no
    /// checkpoints, and are as exact as their tolerance; nothing here says whether backsolve may be used.
    ///
    /// # Errors
    /// [`AdjointError::CheckpointsTooFew`] if not one state fits into the memory; [`AdjointError::NoTimeGradient`] for times of a
    /// stochastic run.
    ///
    /// ```
    /// use chreode_adjoint::{Checkpoints, RunKind, Sensitivity, Task};
    /// let loss = Task { state_len: 50, value_bytes: 8, unknowns: 1000, objectives: 1, run: RunKind::Explicit, times: false, steps: 500, bytes: 1 << 20 };
    /// let (way, why) = Sensitivity::auto(&loss)?;
    /// assert_eq!(way, Sensitivity::Discrete(Checkpoints::All));
    /// assert!(why.contains("all 500 states"));
    /// # Ok::<(), chreode_adjoint::AdjointError>(())
    /// ```
    pub fn auto(task: &Task) -> Result<(Self, String), AdjointError> {
        let Task { unknowns, objectives, run, steps, bytes, .. } = *task;
        if task.times && run == RunKind::Stochastic {
            return Err(AdjointError::NoTimeGradient);
        }
        let all = (task.state_len * task.value_bytes).max(1);
        let state = all.saturating_mul(run.room());
        let whole = steps.saturating_mul(all) <= bytes;
        if bytes < state && !whole {
            return Err(AdjointError::CheckpointsTooFew { what: "bytes", got: bytes, least: state });
        }
        let (back, retaken) = run.costs();
        let (checkpoints, adjoint, kept) = if whole {
            (Checkpoints::All, back, format!("all {steps} states"))
        } else {
            let states = bytes / state;
            let again = recomputed_steps(steps, states);
            let with = if run == RunKind::Bdf { " with the differences of each" } else { "" };
            let kept =
                format!("{states} of {steps} states{with} in {bytes} bytes, {again} steps taken again");
            (Checkpoints::Bytes(bytes), back + retaken * again as f64 / steps as f64, kept)
        };
        let adjoint = 1.0 + adjoint * objectives as f64;
        let Some(forward) = run.forward(unknowns) else {
            let why = format!(
                "discrete adjoint of the paths, exact: about {adjoint:.1} runs for {objectives} objectives, noise drawn again; there are \
                 no sensitivities beside a path; keeps {kept}"
            );
            return Ok((Self::Discrete(checkpoints), why));
        };
        Ok(if forward < adjoint {
            let why = format!(
                "sensitivities beside the state: about {forward:.0} runs for {unknowns} unknowns, an adjoint {adjoint:.0} for \
                 {objectives} objectives"
            );
            (Self::Forward, why)
        } else {
            let why = format!(
                "discrete adjoint, exact: about {adjoint:.1} runs for {objectives} objectives, sensitivities {forward:.0} for \
                 {unknowns} unknowns; keeps {kept}"
            );
            (Self::Discrete(checkpoints), why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOSS: Task = Task {
        state_len: 10,
        value_bytes: 8,
        unknowns: 30,
        objectives: 1,
        run: RunKind::Explicit,
        times: false,
        steps: 1000,
        bytes: 100_000,
    };

    fn auto(task: Task) -> (Sensitivity, String) {
        Sensitivity::auto(&task).unwrap()
    }

    #[test]
    fn each_condition_changes_the_way() {
        assert_eq!(auto(LOSS).0, Sensitivity::Discrete(Checkpoints::All));
        let (way, why) = auto(Task { bytes: 8000, ..LOSS });
        assert_eq!(way, Sensitivity::Discrete(Checkpoints::Bytes(8000)));
        let again = recomputed_steps(1000, 100);
        assert!(why.contains(&format!("100 of 1000 states in 8000 bytes, {again} steps")), "{why}");
        // A Jacobian of many rows by few unknowns.
        assert_eq!(auto(Task { objectives: 100, ..LOSS }).0, Sensitivity::Forward);
        let stiff = Task { run: RunKind::Implicit, ..LOSS };
        let (way, why) = auto(stiff);
        assert_eq!(way, Sensitivity::Discrete(Checkpoints::All));
        assert!(why.contains("about 7.0 runs for 1 objectives, sensitivities 40"), "{why}");
        assert_eq!(auto(Task { bytes: 8000, ..stiff }).0, Sensitivity::Discrete(Checkpoints::Bytes(8000)));
        // Steps of implicit methods that are taken again cost more: here than sensitivities.
        assert_eq!(
            auto(Task { bytes: 800, unknowns: 10, ..LOSS }).0,
            Sensitivity::Discrete(Checkpoints::Bytes(800))
        );
        assert_eq!(auto(Task { bytes: 800, unknowns: 10, ..stiff }).0, Sensitivity::Forward);
        // Few unknowns of a stiff problem, or many objectives.
        assert_eq!(auto(Task { unknowns: 1, ..stiff }).0, Sensitivity::Forward);
        let error = Sensitivity::auto(&Task { bytes: 79, ..LOSS }).unwrap_err();
        assert_eq!(error, AdjointError::CheckpointsTooFew { what: "bytes", got: 79, least: 80 });
        // The adjoint of Bdf solves nothing again, where that of Radau does.
        let bdf = Task { run: RunKind::Bdf, ..LOSS };
        let few = |task: Task| auto(Task { unknowns: 3, ..task }).0;
        assert_eq!((few(stiff), few(bdf)), (Sensitivity::Forward, Sensitivity::Discrete(Checkpoints::All)));
        let (way, why) = auto(Task { bytes: 8000, unknowns: 300, ..bdf });
        assert_eq!(way, Sensitivity::Discrete(Checkpoints::Bytes(8000)));
        assert!(why.contains("16 of 1000 states with the differences"), "{why}");
        let error = Sensitivity::auto(&Task { bytes: 479, ..bdf }).unwrap_err();
        assert_eq!(error, AdjointError::CheckpointsTooFew { what: "bytes", got: 479, least: 480 });
        // A path has no sensitivities beside it, nor derivatives by times.
        let path = Task { run: RunKind::Stochastic, unknowns: 1, objectives: 100, ..LOSS };
        let (way, why) = auto(path);
        assert_eq!(way, Sensitivity::Discrete(Checkpoints::All));
        assert!(why.contains("noise drawn again"), "{why}");
        let error = Sensitivity::auto(&Task { times: true, ..path }).unwrap_err();
        assert_eq!(error, AdjointError::NoTimeGradient);
        assert!(Sensitivity::auto(&Task { times: true, ..LOSS }).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_chosen_fits(state_len in 1_usize..100, unknowns in 1_usize..50, objectives in 1_usize..50, kind in 0_usize..4, steps in 1_usize..3000, bytes in 1_usize..1_000_000) {
            let run = [RunKind::Explicit, RunKind::Implicit, RunKind::Bdf, RunKind::Stochastic][kind];
            let task = Task { state_len, value_bytes: 8, unknowns, objectives, run, times: false, steps, bytes };
            match Sensitivity::auto(&task) {
                Ok((Sensitivity::Discrete(Checkpoints::All), _)) => prop_assert!(steps * state_len * 8 <= bytes),
                Ok((Sensitivity::Discrete(checkpoints), _)) => {
                    prop_assert!(checkpoints.limit(8 * state_len * run.room()).unwrap().is_some_and(|states| states < steps));
                }
                Ok((Sensitivity::Forward, why)) => prop_assert!(why.contains("sensitivities")),
                Err(_) => prop_assert!(8 * state_len * run.room() > bytes),
            }
        }
    }
}
