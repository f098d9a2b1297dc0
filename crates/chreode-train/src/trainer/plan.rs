//! Which paths are simulated and where they are compared.

use super::config::{Paths, TrainConfig};
use crate::{Snapshots, TrainError};
use chreode_core::Real;
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
    /// Number of the population whose cells start and are compared with.
    pub population: usize,
    /// The part of the start time's cells that is of it: its part of the paths, and of the weight of the losses.
    pub share: f64,
    /// Where they are compared, in order.
    pub targets: Vec<Target>,
    /// The steps.
    pub grid: TimeGrid,
}

impl PlannedSegment {
    /// Its part of `all` paths from a time, two at least.
    pub(crate) fn paths(&self, all: usize) -> usize {
        part_of(all, self.share)
    }
}

/// A population's part of so many cells, two at least.
pub(crate) fn part_of(all: usize, share: f64) -> usize {
    ((all as f64 * share).round() as usize).max(2)
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

/// The segments of a run over the times `kept`: those of all populations from one time stand together.
///
/// # Errors
/// [`TrainError::Solve`] if `dt` gives too many steps.
pub(crate) fn plan<T: Real>(
    data: &Snapshots<T>,
    kept: &[usize],
    config: &TrainConfig,
) -> Result<Vec<PlannedSegment>, TrainError> {
    let times = &data.times;
    let segment = |from: usize, horizon: usize, weight: f64, population: usize| {
        let (start, share) = (kept[from], data.share(population, kept[from]));
        let targets: Vec<Target> = kept[from + 1..]
            .iter()
            .take(horizon)
            .map(|&time| Target { time, weight: weight * share })
            .collect();
        let observe: Vec<f64> = targets.iter().map(|t| times[t.time]).collect();
        let grid = TimeGrid::new(times[start], &observe, config.dt)?;
        Ok::<_, TrainError>(PlannedSegment { start, population, share, targets, grid })
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
    let populations = 0..data.n_populations();
    all.into_iter()
        .flat_map(|all| populations.clone().map(move |population| (all, population)))
        .map(|((from, horizon, weight), population)| segment(from, horizon, weight, population))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(paths: Paths, leave_out: &[f64]) -> Vec<(usize, Vec<usize>)> {
        let times = [0.0, 1.0, 2.0, 4.0];
        let config = TrainConfig { paths, dt: 0.5, ..TrainConfig::default() };
        let kept = training_times(&times, leave_out).unwrap();
        let data = Snapshots::<f64> { times: times.to_vec(), ..Snapshots::default() };
        let segments = plan(&data, &kept, &config).unwrap();
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

    /// Each population has segments of its own, with its part of paths and weight.
    #[test]
    fn populations_have_segments_of_their_own() {
        let data = Snapshots::<f64> {
            times: vec![0.0, 1.0, 2.0],
            populations: vec![vec![0, 1, 1, 1], vec![0, 0, 1, 1], vec![1, 0]],
            ..Snapshots::default()
        };
        let segments = plan(&data, &[0, 1, 2], &TrainConfig { dt: 0.5, ..TrainConfig::default() }).unwrap();
        let told: Vec<_> =
            segments.iter().map(|s| (s.start, s.population, s.targets[0].weight, s.paths(100))).collect();
        assert_eq!(told, [(0, 0, 0.25, 25), (0, 1, 0.75, 75), (1, 0, 0.5, 50), (1, 1, 0.5, 50)]);
        assert_eq!(segments[0].paths(2), 2);
    }

    #[test]
    fn times_that_do_not_fit() {
        assert!(matches!(training_times(&[0.0, 1.0], &[3.0]), Err(TrainError::Setting { value: 3.0, .. })));
        assert!(matches!(training_times(&[0.0, 1.0], &[1.0]), Err(TrainError::TooFewTimes { found: 1 })));
    }
}
