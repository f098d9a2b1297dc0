//! Which way to a gradient suits a problem, and why.

use crate::{AdjointError, Checkpoints, OdeMethod, recomputed_steps};

/// A way to a gradient. [`ContinuousAdjoint`](crate::ContinuousAdjoint) is none that is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    /// [`ForwardSensitivities`](crate::ForwardSensitivities).
    Forward,
    /// [`OdeAdjoint`](crate::OdeAdjoint), or [`SdeAdjoint`](crate::SdeAdjoint) for a stochastic equation, with these checkpoints.
    Discrete(Checkpoints),
}

/// What kind of run a problem needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunKind {
    /// Steps of this method.
    Ode(OdeMethod),
    /// Paths of a stochastic equation on a fixed grid.
    Stochastic,
}

/// Times in units of one forward run.
struct Costs {
    /// Of the way back, with what a run costs more that records.
    back: f64,
    /// What is added where not every state is kept: stages are solved from a step's start alone, ahead and back; explicit ones are
    /// evaluated again.
    few: f64,
    /// Of all steps once more.
    again: f64,
}

impl RunKind {
    /// Medians of what `benches/sensitivities.rs` prints.
    fn costs(self) -> Costs {
        let (back, few, again) = match self {
            Self::Ode(OdeMethod::Erk(_)) => (2.0, 0.5, 1.0),
            Self::Ode(OdeMethod::Bdf) => (4.5, 2.5, 2.0),
            Self::Ode(OdeMethod::Esdirk(_)) => (5.0, 2.5, 3.0),
            Self::Ode(OdeMethod::Rosenbrock(_)) => (4.0, 0.0, 1.0),
            Self::Ode(_) => (4.5, 4.0, 3.5),
            Self::Stochastic => (2.4, 0.0, 1.0),
        };
        Costs { back, few, again }
    }

    /// About how many forward runs a gradient by the discrete adjoint takes, all states kept; each of so many objectives goes back alone.
    pub fn adjoint_runs(self, objectives: usize) -> f64 {
        1.0 + self.costs().back * objectives as f64
    }

    /// About how many forward runs sensitivities to so many numbers take; none of a stochastic equation, which has none here.
    pub fn forward_runs(self, unknowns: usize) -> Option<f64> {
        let m = unknowns as f64;
        match self {
            Self::Ode(OdeMethod::Erk(_)) => Some(2.0 + 0.6 * m),
            Self::Ode(OdeMethod::Bdf) => Some(1.0 + m),
            Self::Ode(OdeMethod::Esdirk(_) | OdeMethod::Rosenbrock(_)) => Some(1.0 + 1.7 * m),
            Self::Ode(_) => Some(1.0 + 1.25 * m),
            Self::Stochastic => None,
        }
    }

    /// States that one step takes the room of where all are kept, with its stages; and one state where few are.
    fn room(self) -> (usize, usize) {
        match self {
            Self::Ode(OdeMethod::Bdf) => (1, 6),
            Self::Ode(method) => (1 + method.kept_stages(), 1),
            Self::Stochastic => (1, 1),
        }
    }
}

/// What [`Sensitivity::auto`] is to know.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    /// Bytes that states and stages may take ([`OdeAdjoint::stored_bytes`](crate::OdeAdjoint::stored_bytes)); evaluations that are kept
    /// beside have a limit of their own ([`OdeAdjoint::keep_evaluations`](crate::OdeAdjoint::keep_evaluations)).
    pub bytes: usize,
}

impl Sensitivity {
    /// The way that takes the least time within the memory, and why, in one sentence.
    ///
    /// Times are in units of one forward run to the same tolerance, as measured on five problems ([`RunKind::adjoint_runs`],
    /// [`RunKind::forward_runs`]; most problems differ by less than a half, some by much more: docs/METHODS.md). A discrete adjoint takes a way back for each objective, and the steps
    /// that are taken again; implicit methods then also solve their stages from less. Sensitivities take about one run for each unknown,
    /// whatever the number of objectives, but the room of a state for each, and have no derivatives by times; stochastic equations have
    /// no sensitivities here. Continuous adjoints are never chosen: they take eight states a step and no checkpoints, and are as exact as their
    /// tolerance; nothing here says whether backsolve may be used.
    ///
    /// # Errors
    /// [`AdjointError::CheckpointsTooFew`] if not one state fits into the memory; [`AdjointError::NoTimeGradient`] for times of a
    /// stochastic run.
    ///
    /// ```
    /// use chreode_adjoint::{Checkpoints, RunKind, Sensitivity, Task};
    /// use chreode_solve::TSIT5;
    /// let run = RunKind::Ode((&TSIT5).into());
    /// let loss = Task { state_len: 50, value_bytes: 8, unknowns: 1000, objectives: 1, run, times: false, steps: 500, bytes: 1 << 20 };
    /// let (way, why) = Sensitivity::auto(&loss)?;
    /// assert_eq!(way, Sensitivity::Discrete(Checkpoints::All));
    /// assert!(why.contains("all 500 steps"));
    /// # Ok::<(), chreode_adjoint::AdjointError>(())
    /// ```
    pub fn auto(task: &Task) -> Result<(Self, String), AdjointError> {
        let Task { unknowns, objectives, run, steps, bytes, .. } = *task;
        if task.times && run == RunKind::Stochastic {
            return Err(AdjointError::NoTimeGradient);
        }
        let state = task.state_len.saturating_mul(task.value_bytes).max(1);
        let (all, few) = run.room();
        let kept_one = state.saturating_mul(few);
        let whole = steps.saturating_mul(state.saturating_mul(all)) <= bytes;
        let forward = run.forward_runs(unknowns);
        let has_room = state.saturating_mul(unknowns.saturating_add(1)) <= bytes;
        if bytes < kept_one && !whole {
            return match forward.filter(|_| has_room && !task.times) {
                Some(runs) => Ok((
                    Self::Forward,
                    format!(
                        "sensitivities beside the state: about {runs:.0} runs for {unknowns} unknowns; an adjoint has no room in {bytes} \
                         bytes, it needs {kept_one}"
                    ),
                )),
                None => Err(AdjointError::CheckpointsTooFew { what: "bytes", got: bytes, least: kept_one }),
            };
        }
        let mut adjoint = run.adjoint_runs(objectives);
        let (checkpoints, kept) = if whole {
            let with = if all > 1 { " with their stages" } else { "" };
            (Checkpoints::All, format!("the states of all {steps} steps{with}"))
        } else {
            // Of methods whose stages have no room all states may have it.
            let states = (bytes / kept_one).min(steps);
            let again = recomputed_steps(steps, states);
            let costs = run.costs();
            adjoint += (costs.few + costs.again * again as f64 / steps as f64) * objectives as f64;
            let with = match (few, all) {
                (2.., _) => " with the differences of each",
                (_, 2..) => " without their stages",
                _ => "",
            };
            (
                Checkpoints::Bytes(bytes),
                format!("{states} of {steps} states{with} in {bytes} bytes, {again} steps taken again"),
            )
        };
        let Some(forward) = forward else {
            let why = format!(
                "discrete adjoint of the paths, exact: about {adjoint:.1} runs for {objectives} objectives, noise drawn again; there are \
                 no sensitivities beside a path; keeps {kept}"
            );
            return Ok((Self::Discrete(checkpoints), why));
        };
        Ok(if forward < adjoint && has_room && !task.times {
            let why = format!(
                "sensitivities beside the state: about {forward:.0} runs for {unknowns} unknowns, an adjoint {adjoint:.0} for \
                 {objectives} objectives"
            );
            (Self::Forward, why)
        } else {
            let sensitivities = if task.times {
                "sensitivities have no derivatives by times".into()
            } else if !has_room {
                format!("sensitivities to {unknowns} unknowns have no room in {bytes} bytes")
            } else {
                format!("sensitivities {forward:.0} for {unknowns} unknowns")
            };
            let why = format!(
                "discrete adjoint, exact: about {adjoint:.1} runs for {objectives} objectives, {sensitivities}; keeps {kept}"
            );
            (Self::Discrete(checkpoints), why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_solve::{KENCARP4, RODAS5P, TSIT5};
    use proptest::prelude::*;

    const EXPLICIT: RunKind = RunKind::Ode(OdeMethod::Erk(&TSIT5));
    const RADAU5: RunKind = RunKind::Ode(OdeMethod::Radau5);
    const BDF: RunKind = RunKind::Ode(OdeMethod::Bdf);
    const LOSS: Task = Task {
        state_len: 10,
        value_bytes: 8,
        unknowns: 30,
        objectives: 1,
        run: EXPLICIT,
        times: false,
        steps: 1000,
        bytes: 100_000,
    };
    const ALL: Sensitivity = Sensitivity::Discrete(Checkpoints::All);
    const fn within(bytes: usize) -> Sensitivity {
        Sensitivity::Discrete(Checkpoints::Bytes(bytes))
    }

    fn auto(task: Task) -> (Sensitivity, String) {
        Sensitivity::auto(&task).unwrap()
    }

    #[test]
    fn each_condition_changes_the_way() {
        assert_eq!(auto(LOSS).0, ALL);
        let (way, why) = auto(Task { bytes: 8000, ..LOSS });
        assert_eq!(way, within(8000));
        let again = recomputed_steps(1000, 100);
        assert!(why.contains(&format!("100 of 1000 states in 8000 bytes, {again} steps")), "{why}");
        // A Jacobian of many rows by few unknowns.
        let rows = Task { objectives: 100, ..LOSS };
        assert_eq!(auto(rows).0, Sensitivity::Forward);
        // Derivatives by times, which sensitivities have not; and no room for thirty of them.
        let (way, why) = auto(Task { times: true, ..rows });
        assert!(way == ALL && why.contains("no derivatives by times"), "{why}");
        let (way, why) = auto(Task { bytes: 31 * 80 - 1, ..rows });
        assert!(way == within(31 * 80 - 1) && why.contains("no room"), "{why}");
        assert_eq!(auto(Task { bytes: 31 * 80, ..rows }).0, Sensitivity::Forward);
        // The stages of a step take the room of three states more.
        let stiff = Task { run: RADAU5, bytes: 320_000, ..LOSS };
        let (way, why) = auto(stiff);
        assert_eq!(way, ALL);
        assert!(why.contains("about 5.5 runs for 1 objectives, sensitivities 38"), "{why}");
        assert!(why.contains("all 1000 steps with their stages"), "{why}");
        let (way, why) = auto(Task { bytes: 319_999, ..stiff });
        assert_eq!(way, within(319_999));
        assert!(why.contains("1000 of 1000 states without their stages in 319999 bytes, 0 steps"), "{why}");
        // Steps of implicit methods that are taken again cost more: here than sensitivities.
        let tight = Task { bytes: 1600, unknowns: 11, ..LOSS };
        assert_eq!(auto(tight).0, within(1600));
        assert_eq!(auto(Task { run: RADAU5, ..tight }).0, Sensitivity::Forward);
        // Few unknowns of a stiff problem.
        let few = |run, unknowns| auto(Task { unknowns, run, ..stiff }).0;
        assert_eq!((few(RADAU5, 3), few(RADAU5, 4)), (Sensitivity::Forward, ALL));
        assert_eq!((few(BDF, 4), few(BDF, 5)), (Sensitivity::Forward, ALL));
        let rosenbrock = RunKind::Ode(OdeMethod::Rosenbrock(&RODAS5P));
        assert_eq!((few(rosenbrock, 2), few(rosenbrock, 3)), (Sensitivity::Forward, ALL));
        let error = Sensitivity::auto(&Task { bytes: 79, ..LOSS }).unwrap_err();
        assert_eq!(error, AdjointError::CheckpointsTooFew { what: "bytes", got: 79, least: 80 });
        let (way, why) = auto(Task { run: BDF, bytes: 8000, unknowns: 300, ..LOSS });
        assert_eq!(way, within(8000));
        assert!(why.contains("16 of 1000 states with the differences"), "{why}");
        // A table of differences has no room where a sensitivity has.
        let (way, why) = auto(Task { run: BDF, bytes: 479, unknowns: 4, ..LOSS });
        assert!(way == Sensitivity::Forward && why.contains("an adjoint has no room in 479 bytes"), "{why}");
        let error = Sensitivity::auto(&Task { run: BDF, bytes: 479, ..LOSS }).unwrap_err();
        assert_eq!(error, AdjointError::CheckpointsTooFew { what: "bytes", got: 479, least: 480 });
        // A path has no sensitivities beside it, nor derivatives by times.
        let path = Task { run: RunKind::Stochastic, unknowns: 1, objectives: 100, ..LOSS };
        let (way, why) = auto(path);
        assert_eq!(way, ALL);
        assert!(why.contains("noise drawn again"), "{why}");
        let error = Sensitivity::auto(&Task { times: true, ..path }).unwrap_err();
        assert_eq!(error, AdjointError::NoTimeGradient);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_chosen_fits(state_len in 1_usize..100, unknowns in 1_usize..50, objectives in 1_usize..50, kind in 0_usize..6, steps in 1_usize..3000, bytes in 1_usize..1_000_000) {
            // With the states that a step takes the room of with its stages, and one that is kept alone.
            let (run, all, few) = [
                (EXPLICIT, 1, 1),
                (RADAU5, 4, 1),
                (BDF, 1, 6),
                (RunKind::Ode(OdeMethod::Esdirk(&KENCARP4)), 7, 1),
                (RunKind::Ode(OdeMethod::Rosenbrock(&RODAS5P)), 1, 1),
                (RunKind::Stochastic, 1, 1),
            ][kind];
            let task = Task { state_len, value_bytes: 8, unknowns, objectives, run, times: false, steps, bytes };
            let state = 8 * state_len;
            let sensitivities_fit = run != RunKind::Stochastic && (1 + unknowns) * state <= bytes;
            match Sensitivity::auto(&task) {
                Ok((ALL, _)) => prop_assert!(steps * all * state <= bytes),
                Ok((Sensitivity::Discrete(checkpoints), _)) => {
                    prop_assert!(steps * all * state > bytes);
                    prop_assert!(checkpoints.limit(few * state).unwrap().is_some_and(|states| all > 1 || states < steps));
                }
                Ok((Sensitivity::Forward, why)) => prop_assert!(sensitivities_fit && why.contains("sensitivities")),
                Err(_) => prop_assert!(few * state > bytes && !sensitivities_fit),
            }
        }
    }
}
