//! Which paths are simulated and where they are compared.

use super::config::{Paths, TrainConfig};
use crate::TrainError;
use chreode_solve::TimeGrid;

/// A time at which paths are compared with cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Number of the time in the data.
    pub time: usize,
    /// Factor of this loss in the sum.
    pub weight: f64,
}

/// Paths from the cells of one time to one or more later ones.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedSegment {
    /// Number of the start time in the data.
    pub start: usize,
    /// Where they are compared, in order.
    pub targets: Vec<Target>,
    /// The steps.
    pub grid: TimeGrid,
}

/// Numbers of the times that are trained on.
///
/// # Errors
/// [`TrainError::Setting`] if a time that should be left out does not exist; [`TrainError::TooFewTimes`].
pub(crate) fn training_times(times: &[f64], leave_out: &[f64]) -> Result<Vec<usize>, TrainError> {
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    for &t in leave_out {
        if !times.iter().any(|&u| same(t, u)) {
            return Err(TrainError::Setting {
                name: "leave_out_times",
                value: t,
                rule: "the data have no such time",
            });
        }
    }
    let kept: Vec<usize> =
        (0..times.len()).filter(|&i| !leave_out.iter().any(|&t| same(t, times[i]))).collect();
    if kept.len() < 2 {
        return Err(TrainError::TooFewTimes { found: kept.len() });
    }
    Ok(kept)
}

/// The segments of a run over the times `kept`.
///
/// # Errors
/// [`TrainError::Solve`] if `dt` gives too many steps.
pub(crate) fn plan(
    times: &[f64],
    kept: &[usize],
    config: &TrainConfig,
) -> Result<Vec<PlannedSegment>, TrainError> {
    let segment = |from: usize, horizon: usize, weight: f64| {
        let targets: Vec<Target> =
            kept[from + 1..].iter().take(horizon).map(|&time| Target { time, weight }).collect();
        let observe: Vec<f64> = targets.iter().map(|t| times[t.time]).collect();
        let grid = TimeGrid::new(times[kept[from]], &observe, config.dt)?;
        Ok::<_, TrainError>(PlannedSegment { start: kept[from], targets, grid })
    };
    let intervals =
        |horizon, weight| (0..kept.len() - 1).map(move |from| (from, horizon, weight)).collect::<Vec<_>>();
    let all = match config.paths {
        Paths::Intervals { horizon } => intervals(horizon, 1.0),
        Paths::FromStart => vec![(0, kept.len(), 1.0)],
        Paths::Mixed { from_start, horizon } => {
            let mut all = intervals(horizon, 1.0 - from_start);
            all.push((0, kept.len(), from_start));
            all
        }
    };
    all.into_iter().map(|(from, horizon, weight)| segment(from, horizon, weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(paths: Paths, leave_out: &[f64]) -> Vec<(usize, Vec<usize>)> {
        let times = [0.0, 1.0, 2.0, 4.0];
        let config = TrainConfig { paths, dt: 0.5, ..TrainConfig::default() };
        let kept = training_times(&times, leave_out).unwrap();
        let segments = plan(&times, &kept, &config).unwrap();
        segments.iter().map(|s| (s.start, s.targets.iter().map(|t| t.time).collect())).collect()
    }

    #[test]
    fn segments_by_scheme() {
        assert_eq!(shape(Paths::default(), &[]), [(0, vec![1]), (1, vec![2]), (2, vec![3])]);
        assert_eq!(
            shape(Paths::Intervals { horizon: 2 }, &[]),
            [(0, vec![1, 2]), (1, vec![2, 3]), (2, vec![3])]
        );
        assert_eq!(shape(Paths::FromStart, &[]), [(0, vec![1, 2, 3])]);
        assert_eq!(shape(Paths::default(), &[2.0]), [(0, vec![1]), (1, vec![3])]);
        let mixed = shape(Paths::Mixed { from_start: 0.3, horizon: 1 }, &[]);
        assert_eq!(mixed, [(0, vec![1]), (1, vec![2]), (2, vec![3]), (0, vec![1, 2, 3])]);
    }

    #[test]
    fn times_that_do_not_fit() {
        assert!(matches!(training_times(&[0.0, 1.0], &[3.0]), Err(TrainError::Setting { value: 3.0, .. })));
        assert!(matches!(training_times(&[0.0, 1.0], &[1.0]), Err(TrainError::TooFewTimes { found: 1 })));
    }
}
