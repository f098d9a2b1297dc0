//! Smoothed states and slopes of a measured series, which the warm start learns from.

use super::{Series, Trajectory};

/// States and slopes at the observation times of one trajectory, both `[times, d]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Smoothed {
    pub(super) states: Vec<f64>,
    pub(super) slopes: Vec<f64>,
}

/// Observations that a local fit sees at least; three determine a parabola.
const LEAST: usize = 5;

/// Local parabolas with tricube weights [CD88]: `span` is the part of a trajectory's observations that one fit sees.
///
/// A coordinate with fewer than two measurements in a trajectory is taken as constant, at `centre` if it has none.
pub(super) fn smooth(series: &Series, span: f64, centre: &[f64]) -> Vec<Smoothed> {
    let d = series.dim;
    let one = |trajectory: &Trajectory| {
        let m = trajectory.times.len();
        let mut smoothed = Smoothed { states: vec![0.0; m * d], slopes: vec![0.0; m * d] };
        let mut points = Vec::with_capacity(m);
        let mut distances = Vec::with_capacity(m);
        for j in 0..d {
            points.clear();
            let column = trajectory.values.iter().skip(j).step_by(d);
            points.extend(trajectory.times.iter().copied().zip(column.copied()).filter(|p| !p.1.is_nan()));
            let near = ((span * points.len() as f64).ceil() as usize).max(LEAST).min(points.len());
            for (i, &t) in trajectory.times.iter().enumerate() {
                (smoothed.states[i * d + j], smoothed.slopes[i * d + j]) = match points.as_slice() {
                    [] => (centre[j], 0.0),
                    [only] => (only.1, 0.0),
                    _ => local_parabola(&points, t, near, &mut distances),
                };
            }
        }
        smoothed
    };
    series.trajectories.iter().map(one).collect()
}

/// Value and slope at `t` of the parabola (a line, where two points are seen) through the `near` nearest points.
fn local_parabola(points: &[(f64, f64)], t: f64, near: usize, distances: &mut Vec<f64>) -> (f64, f64) {
    distances.clear();
    distances.extend(points.iter().map(|p| (p.0 - t).abs()));
    distances.sort_by(f64::total_cmp);
    // A little beyond the farthest point that is seen, so that its weight is not zero.
    let reach = 1.05 * distances[near - 1].max(f64::MIN_POSITIVE);
    // Moments of u = (time - t) / reach and of the values, weighted.
    let (mut s, mut b) = ([0.0; 5], [0.0; 3]);
    for &(time, value) in points {
        let u = (time - t) / reach;
        if u.abs() < 1.0 {
            let w = (1.0 - u.abs().powi(3)).powi(3);
            for (k, s) in s.iter_mut().enumerate() {
                *s += w * u.powi(k as i32);
            }
            for (k, b) in b.iter_mut().enumerate() {
                *b += w * value * u.powi(k as i32);
            }
        }
    }
    let parabola = near > 3;
    // Cramer's rule on the normal equations of 1, u, u²; without u² for few points.
    let line = s[0] * s[2] - s[1] * s[1];
    if parabola {
        let minor = [s[2] * s[4] - s[3] * s[3], s[1] * s[4] - s[2] * s[3], s[1] * s[3] - s[2] * s[2]];
        let determinant = s[0] * minor[0] - s[1] * minor[1] + s[2] * minor[2];
        if determinant > 1e-10 * s[0] * s[2] * s[4] {
            let value = b[0] * minor[0] - b[1] * minor[1] + b[2] * minor[2];
            let slope =
                -b[0] * minor[1] + b[1] * (s[0] * s[4] - s[2] * s[2]) - b[2] * (s[0] * s[3] - s[1] * s[2]);
            return (value / determinant, slope / determinant / reach);
        }
    }
    if line > 1e-12 * s[0] * s[2].max(f64::MIN_POSITIVE) {
        ((b[0] * s[2] - b[1] * s[1]) / line, (s[0] * b[1] - s[1] * b[0]) / line / reach)
    } else {
        (b[0] / s[0], 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(times: &[f64], f: impl Fn(f64) -> f64) -> Series {
        let values = times.iter().map(|&t| f(t)).collect();
        Series { dim: 1, trajectories: vec![Trajectory { times: times.to_vec(), values }] }
    }

    #[test]
    fn parabolas_are_kept_exactly() {
        let times = [0.0, 0.3, 0.5, 1.1, 1.2, 2.0, 2.9, 3.0];
        let s = smooth(&series(&times, |t| 1.0 - 2.0 * t + 0.5 * t * t), 0.7, &[0.0]);
        for (i, t) in times.iter().enumerate() {
            assert!((s[0].states[i] - (1.0 - 2.0 * t + 0.5 * t * t)).abs() < 1e-9);
            assert!((s[0].slopes[i] - (t - 2.0)).abs() < 1e-8);
        }
    }

    #[test]
    fn few_points_make_lines_and_constants() {
        let line = smooth(&series(&[0.0, 2.0], |t| 3.0 * t), 0.3, &[0.0]);
        assert!((line[0].slopes[0] - 3.0).abs() < 1e-9 && (line[0].states[1] - 6.0).abs() < 1e-9);
        let once = smooth(&series(&[0.0, 2.0], |t| if t > 0.0 { f64::NAN } else { 4.0 }), 0.3, &[0.0]);
        assert_eq!((once[0].states[1], once[0].slopes[1]), (4.0, 0.0));
        let never = smooth(&series(&[0.0, 2.0], |_| f64::NAN), 0.3, &[7.0]);
        assert_eq!((never[0].states[0], never[0].slopes[0]), (7.0, 0.0));
    }

    #[test]
    fn noise_is_smoothed_away() {
        let times: Vec<f64> = (0..200).map(|i| f64::from(i) * 0.05).collect();
        let jitter = |t: f64| 0.1 * (1e4 * t).sin();
        let s = smooth(&series(&times, |t| t.sin() + jitter(t)), 0.1, &[0.0]);
        let worst = (20..180).map(|i| (s[0].slopes[i] - times[i].cos()).abs()).fold(0.0, f64::max);
        assert!(worst < 0.3, "{worst}");
    }
}
