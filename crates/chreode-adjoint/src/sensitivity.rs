//! Which way to a gradient suits a problem, and why.

use crate::{AdjointError, Checkpoints, ContinuousMethod, recomputed_steps};

/// A way to a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    /// [`ForwardSensitivities`](crate::ForwardSensitivities).
    Forward,
    /// [`OdeAdjoint`](crate::OdeAdjoint) with these checkpoints.
    Discrete(Checkpoints),
    /// [`ContinuousAdjoint`](crate::ContinuousAdjoint) by this method.
    Continuous(ContinuousMethod),
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
    /// Whether the problem needs an implicit method.
    pub stiff: bool,
    /// Steps of a run, about.
    pub steps: usize,
    /// Bytes that states may take.
    pub bytes: usize,
}

impl Sensitivity {
    /// The way that takes the least time within the memory, and why, in one sentence.
    ///
    /// Times are in units of one forward run, as measured with Tsit5 and Radau5: sensitivities take about `8 + m` for `m` unknowns
    /// (stiff: `3 + 2 m`), whatever the number of objectives; a discrete adjoint two for each objective and the steps that are
    /// taken again (stiff: six, since stages are solved again to rounding, and three for a step that is taken again). Continuous adjoints
    /// are never chosen: where the problem is stiff they take half the time, but eight states a step and no checkpoints, and
    /// are as exact as their tolerance; nothing here says whether backsolve may be used.
    ///
    /// # Errors
    /// [`AdjointError::CheckpointsTooFew`] if not one state fits into the memory.
    ///
    /// ```
    /// use chreode_adjoint::{Checkpoints, Sensitivity, Task};
    /// let loss = Task { state_len: 50, value_bytes: 8, unknowns: 1000, objectives: 1, stiff: false, steps: 500, bytes: 1 << 20 };
    /// let (way, why) = Sensitivity::auto(&loss)?;
    /// assert_eq!(way, Sensitivity::Discrete(Checkpoints::All));
    /// assert!(why.contains("all 500 states"));
    /// # Ok::<(), chreode_adjoint::AdjointError>(())
    /// ```
    pub fn auto(task: &Task) -> Result<(Self, String), AdjointError> {
        let Task { unknowns, objectives, stiff, steps, bytes, .. } = *task;
        let state = (task.state_len * task.value_bytes).max(1);
        if bytes < state {
            return Err(AdjointError::CheckpointsTooFew { what: "bytes", got: bytes, least: state });
        }
        let forward = if stiff { 3 + 2 * unknowns } else { 8 + unknowns } as f64;
        let (back, retaken) = if stiff { (6.0, 3.0) } else { (2.0, 1.0) };
        let (checkpoints, adjoint, kept) = if steps.saturating_mul(state) <= bytes {
            (Checkpoints::All, back, format!("all {steps} states"))
        } else {
            let states = bytes / state;
            let again = recomputed_steps(steps, states);
            let kept = format!("{states} of {steps} states in {bytes} bytes, {again} steps taken again");
            (Checkpoints::Bytes(bytes), back + retaken * again as f64 / steps as f64, kept)
        };
        let adjoint = 1.0 + adjoint * objectives as f64;
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
        stiff: false,
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
        let stiff = Task { stiff: true, ..LOSS };
        let (way, why) = auto(stiff);
        assert_eq!(way, Sensitivity::Discrete(Checkpoints::All));
        assert!(why.contains("about 7.0 runs for 1 objectives, sensitivities 63"), "{why}");
        assert_eq!(auto(Task { bytes: 8000, ..stiff }).0, Sensitivity::Discrete(Checkpoints::Bytes(8000)));
        // Steps of implicit methods that are taken again cost more: here than sensitivities.
        assert_eq!(
            auto(Task { bytes: 800, unknowns: 5, ..LOSS }).0,
            Sensitivity::Discrete(Checkpoints::Bytes(800))
        );
        assert_eq!(auto(Task { bytes: 800, unknowns: 5, ..stiff }).0, Sensitivity::Forward);
        // Few unknowns of a stiff problem, or many objectives.
        assert_eq!(auto(Task { unknowns: 1, ..stiff }).0, Sensitivity::Forward);
        let error = Sensitivity::auto(&Task { bytes: 79, ..LOSS }).unwrap_err();
        assert_eq!(error, AdjointError::CheckpointsTooFew { what: "bytes", got: 79, least: 80 });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_chosen_fits(state_len in 1_usize..100, unknowns in 1_usize..50, objectives in 1_usize..50, stiff: bool, steps in 1_usize..3000, bytes in 1_usize..1_000_000) {
            let task = Task { state_len, value_bytes: 8, unknowns, objectives, stiff, steps, bytes };
            match Sensitivity::auto(&task) {
                Ok((Sensitivity::Discrete(Checkpoints::All), _)) => prop_assert!(steps * state_len * 8 <= bytes),
                Ok((Sensitivity::Discrete(checkpoints), _)) => {
                    prop_assert!(checkpoints.limit(8 * state_len).unwrap().is_some_and(|states| states < steps));
                }
                Ok((Sensitivity::Continuous(method), why)) => prop_assert!(false, "{:?}: {}", method, why),
                Ok((Sensitivity::Forward, why)) => prop_assert!(why.contains("sensitivities")),
                Err(_) => prop_assert!(8 * state_len > bytes),
            }
        }
    }
}
