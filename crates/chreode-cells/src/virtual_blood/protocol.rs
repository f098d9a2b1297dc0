//! How virtual blood is sampled: start, destructive snapshots, fates of single progenitors.

use chreode_core::{BrownianIncrements, Diffusion, Real, sub_seed};
use chreode_solve::{AfterStep, EnsembleOptions, SolveError, TimeGrid, simulate};

use super::network::{D, Fate, Intervention, VirtualBlood};

/// Times of the snapshots, in days.
pub const SNAPSHOT_TIMES: [f64; 5] = [0.0, 1.0, 2.0, 4.0, 6.0];
/// Cells of a snapshot.
pub const CELLS_PER_TIME: usize = 1200;
/// Step of the Euler-Maruyama scheme that defines the truth, in days.
pub const DT: f64 = 1.0 / 64.0;
/// The day on which fates are read.
pub const END: f64 = 6.0;

/// Mean of the log-normal start, by factor.
const START_MEAN: [f64; D] = [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.8, 0.9, 0.1, 0.1, 0.1];
/// Standard deviation of the logarithm of the start, by factor.
const START_LOG_SD: [f64; D] = [0.35, 0.5, 0.5, 0.5, 0.5, 0.5, 0.35, 0.35, 0.5, 0.5, 0.5];

/// `n` cells of day 0, `[n, 11]`: independent log-normal levels, with Gata2, Cebpa and Pu1 on.
pub fn start_states<T: Real>(n: usize, seed: u64) -> Vec<T> {
    let mut z = vec![0.0_f64; n * D];
    BrownianIncrements::new(sub_seed(seed, "virtual-blood-start")).fill(0, 0, D, 1.0, &mut z);
    z.iter()
        .enumerate()
        .map(|(k, z)| {
            let (m, s) = (START_MEAN[k % D], START_LOG_SD[k % D]);
            T::c(m * (s * z - 0.5 * s * s).exp())
        })
        .collect()
}

/// How a run of the network, or of a model of it, is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Step of Euler-Maruyama, in days.
    pub dt: f64,
    /// Seed of the noise: row `i` of the cells uses the same noise in every run with this seed.
    pub seed: u64,
    /// A factor held at zero at all times.
    pub clamp: Option<usize>,
}

impl Run {
    /// The scheme that defines the truth, no factor clamped.
    pub fn truth(seed: u64) -> Self {
        Self { dt: DT, seed, clamp: None }
    }
}

/// States `[n, 11]` of the cells `start`, `[n, 11]`, at day `t`; negative values are set to zero after each step.
///
/// `sde` is [`VirtualBlood`], or a model of it that is judged by the same protocol, with parameters `p`.
///
/// # Errors
/// [`SolveError`] if `t` is not positive or a state is not finite.
pub fn simulate_to<T: Real, S: Diffusion<T> + Clone + Send + Sync>(
    sde: &S,
    p: &[T],
    start: &[T],
    t: f64,
    run: Run,
) -> Result<Vec<T>, SolveError> {
    let project = |y: &mut [T]| {
        for v in y.iter_mut() {
            *v = v.max(T::ZERO);
        }
        if let Some(i) = run.clamp {
            y.chunks_exact_mut(D).for_each(|row| row[i] = T::ZERO);
        }
    };
    let after_step = |_t: f64, y: &mut [T]| project(y);
    let mut start = start.to_vec();
    project(&mut start);
    let options = EnsembleOptions {
        after_step: Some(&after_step as &AfterStep<'_, T>),
        ..EnsembleOptions::new(sub_seed(run.seed, "virtual-blood-noise"))
    };
    let grid = TimeGrid::new(0.0, &[t], run.dt)?;
    let mut ensemble = simulate(sde, p, &start, &grid, &options)?;
    Ok(ensemble.states.swap_remove(0))
}

/// The truth under an intervention: states at [`END`] of the cells `start`.
///
/// # Errors
/// [`SolveError`] as [`simulate_to`].
pub fn intervene<T: Real>(
    intervention: Option<Intervention>,
    start: &[T],
    seed: u64,
) -> Result<Vec<T>, SolveError> {
    let mut run = Run::truth(seed);
    if let Some(Intervention::Clamp(i)) = intervention {
        run.clamp = Some(i);
    }
    let network = intervention.map_or_else(VirtualBlood::wild_type, VirtualBlood::with);
    simulate_to(&network, &[], start, END, run)
}

/// Destructive snapshots: `cells` independent cells at each of [`SNAPSHOT_TIMES`], each `[cells, 11]`.
///
/// No cell is seen twice, so that no trajectory can be read from them.
///
/// # Errors
/// [`SolveError`] if a state is not finite, which the network excludes.
pub fn snapshots<T: Real>(cells: usize, seed: u64) -> Result<Vec<Vec<T>>, SolveError> {
    SNAPSHOT_TIMES
        .iter()
        .enumerate()
        .map(|(k, &t)| {
            let seed = sub_seed(seed, &format!("snapshot-{k}"));
            let start = start_states::<T>(cells, seed);
            if t == 0.0 {
                Ok(start)
            } else {
                simulate_to(&VirtualBlood::wild_type(), &[], &start, t, Run::truth(seed))
            }
        })
        .collect()
}

/// Progenitors that are followed by clones.
pub const CLONES: usize = 2000;

/// Destructive snapshots of `clones` clones: at each of [`SNAPSHOT_TIMES`] one cell of each, `[clones, 11]`, row `i` of clone `i`.
///
/// The five sisters of a clone begin in one state, that of its cell of day 0, and have noise of their own: what one became says of the
/// others only what their common start does.
///
/// # Errors
/// [`SolveError`] if a state is not finite, which the network excludes.
pub fn clone_snapshots<T: Real>(clones: usize, seed: u64) -> Result<Vec<Vec<T>>, SolveError> {
    let start = start_states::<T>(clones, sub_seed(seed, "clones"));
    let sisters = |(k, &t): (usize, &f64)| {
        let run = Run::truth(sub_seed(seed, &format!("sisters-{k}")));
        if t == 0.0 {
            Ok(start.clone())
        } else {
            simulate_to(&VirtualBlood::wild_type(), &[], &start, t, run)
        }
    };
    SNAPSHOT_TIMES.iter().enumerate().map(sisters).collect()
}

/// Fraction of each fate, in the order of [`Fate::ALL`], among states `[n, 11]`.
pub fn fate_fractions<T: Real>(states: &[T]) -> [f64; 5] {
    let mut counts = [0.0; 5];
    for row in states.chunks_exact(D) {
        counts[Fate::of(row) as usize] += 1.0;
    }
    let n = (states.len() / D).max(1) as f64;
    counts.map(|c| c / n)
}

/// Fates of each cell of `start`, `[n, 11]`, over `runs` runs: counts by cell, in the order of [`Fate::ALL`].
///
/// # Errors
/// [`SolveError`] as [`simulate_to`].
pub fn fate_counts<T: Real, S: Diffusion<T> + Clone + Send + Sync>(
    sde: &S,
    p: &[T],
    start: &[T],
    runs: usize,
    run: Run,
) -> Result<Vec<[f64; 5]>, SolveError> {
    let repeated: Vec<T> =
        start.chunks_exact(D).flat_map(|row| std::iter::repeat_n(row, runs).flatten()).copied().collect();
    let ends = simulate_to(sde, p, &repeated, END, run)?;
    Ok(ends.chunks_exact(runs * D).map(|cell| fate_fractions(cell).map(|f| f * runs as f64)).collect())
}

/// Mean cross-entropy in nats of fate counts `model` against fate counts `truth` of the same cells.
///
/// The model's probabilities are `(count + 0.5) / (runs + 2.5)`, so that an empty class is not an infinite
/// surprise; the truth's are plain fractions. Given two halves of the truth, this is the oracle's score.
pub fn cross_entropy(truth: &[[f64; 5]], model: &[[f64; 5]]) -> f64 {
    let cell = |(t, m): (&[f64; 5], &[f64; 5])| {
        let (runs_t, runs_m): (f64, f64) = (t.iter().sum(), m.iter().sum());
        t.iter().zip(m).map(|(t, m)| -t / runs_t * ((m + 0.5) / (runs_m + 2.5)).ln()).sum::<f64>()
    };
    truth.iter().zip(model).map(cell).sum::<f64>() / truth.len() as f64
}

#[cfg(test)]
#[allow(clippy::approx_constant, reason = "the tables hold measured values")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `|p - truth|` within three standard errors of both samples.
    fn assert_fractions(what: &str, got: [f64; 5], truth: [f64; 5], n: f64, n_truth: f64) {
        for (i, (&p, &q)) in got.iter().zip(&truth).enumerate() {
            // A fraction near zero still has the error of about one cell.
            let se = ((q * (1.0 - q)).max(1.0 / n) * (1.0 / n + 1.0 / n_truth)).sqrt();
            assert!((p - q).abs() < 3.5 * se, "{what} {}: {p} instead of {q} ± {se}", Fate::ALL[i].name());
        }
    }

    fn relative_moments(states: &[f64], i: usize) -> (f64, f64) {
        let n = (states.len() / D) as f64;
        let mean = states.iter().skip(i).step_by(D).sum::<f64>() / n;
        let var = states.iter().skip(i).step_by(D).map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        (mean, var.sqrt())
    }

    #[test]
    fn moments_of_the_snapshots() {
        #[rustfmt::skip]
        let table: [(usize, [f64; D], [f64; D]); 3] = [
            (0, [0.899, 0.100, 0.100, 0.100, 0.100, 0.099, 0.798, 0.904, 0.100, 0.100, 0.100],
                [0.326, 0.052, 0.053, 0.053, 0.053, 0.052, 0.285, 0.322, 0.053, 0.053, 0.053]),
            (2, [0.374, 0.452, 0.324, 0.263, 0.265, 0.342, 0.848, 0.514, 0.314, 0.202, 0.554],
                [0.305, 0.366, 0.293, 0.231, 0.234, 0.309, 0.225, 0.425, 0.318, 0.249, 0.264]),
            (4, [0.054, 0.523, 0.461, 0.289, 0.294, 0.492, 0.523, 0.517, 0.304, 0.241, 0.288],
                [0.034, 0.476, 0.419, 0.359, 0.364, 0.448, 0.442, 0.483, 0.379, 0.331, 0.328]),
        ];
        let n = 6000;
        let cells = snapshots::<f64>(n, 5).unwrap();
        for (k, means, sds) in table {
            for i in 0..D {
                let (mean, sd) = relative_moments(&cells[k], i);
                let se = sds[i] / (n as f64).sqrt() * (1.0 + n as f64 / 20_000.0).sqrt() + 5e-4;
                assert!((mean - means[i]).abs() < 4.0 * se, "mean of {i} at {k}: {mean}");
                assert!((sd / sds[i] - 1.0).abs() < 0.12, "sd of {i} at {k}: {sd}"); // log-normal tails
            }
        }
    }

    #[test]
    fn wild_type_fates() {
        let start = start_states::<f32>(20_000, 9);
        for (t, truth) in [
            (1.0, [0.002, 0.002, 0.112, 0.271, 0.612]),
            (2.0, [0.022, 0.022, 0.207, 0.256, 0.493]),
            (4.0, [0.201, 0.204, 0.248, 0.238, 0.109]),
            (6.0, [0.2524, 0.2560, 0.2479, 0.2324, 0.0114]),
        ] {
            let states = simulate_to(&VirtualBlood::wild_type(), &[], &start, t, Run::truth(4)).unwrap();
            assert_fractions(&format!("day {t}"), fate_fractions(&states), truth, 20_000.0, 20_000.0);
        }
    }

    #[test]
    fn fates_of_named_cells() {
        for (factor, level, truth) in [
            (0, 0.9, [0.2650, 0.2798, 0.1148, 0.3255, 0.0149]),
            (0, 1.4, [0.4726, 0.4826, 0.0036, 0.0285, 0.0128]),
            (7, 1.5, [0.0410, 0.0438, 0.5263, 0.3802, 0.0087]),
            (6, 0.4, [0.3180, 0.3206, 0.2671, 0.0793, 0.0149]),
            (10, 0.3, [0.2680, 0.2777, 0.0487, 0.3906, 0.0149]),
        ] {
            let mut cell = START_MEAN.map(|m| m as f32);
            cell[factor] = level as f32;
            let counts = fate_counts(&VirtualBlood::wild_type(), &[], &cell, 4000, Run::truth(1)).unwrap();
            assert_fractions("named cell", counts[0].map(|c| c / 4000.0), truth, 4000.0, 20_000.0);
        }
    }

    #[test]
    fn fates_under_interventions() {
        use Intervention::{Clamp, KnockOut, OverExpress};
        let n = 5000;
        let start = start_states::<f32>(n, 1);
        for (intervention, truth) in [
            (KnockOut(0), [0.0465, 0.0493, 0.4088, 0.4844, 0.0109]),
            (KnockOut(6), [0.2916, 0.2903, 0.4033, 0.0000, 0.0149]),
            (KnockOut(7), [0.4366, 0.4422, 0.0000, 0.0000, 0.1212]),
            (Clamp(0), [0.0000, 0.0001, 0.7143, 0.2812, 0.0043]),
            (Clamp(7), [0.4893, 0.4941, 0.0000, 0.0000, 0.0167]),
            (Clamp(3), [0.0000, 0.5109, 0.2525, 0.2268, 0.0098]),
            (OverExpress(0, 0.2), [0.4048, 0.4028, 0.0874, 0.0708, 0.0341]),
            (OverExpress(6, 0.5), [0.0010, 0.0016, 0.1757, 0.3236, 0.4982]),
            (OverExpress(9, 0.2), [0.2529, 0.2531, 0.4753, 0.0076, 0.0112]),
        ] {
            let states = intervene(Some(intervention), &start, 7).unwrap();
            assert_fractions(
                &format!("{intervention:?}"),
                fate_fractions(&states),
                truth,
                n as f64,
                20_000.0,
            );
        }
    }

    /// 200 progenitors: the oracle's cross-entropy and the entropy of the base rate.
    #[test]
    fn oracle_of_the_progenitors() {
        let start = start_states::<f32>(200, 2);
        let halves = [1, 2]
            .map(|seed| fate_counts(&VirtualBlood::wild_type(), &[], &start, 500, Run::truth(seed)).unwrap());
        let oracle = cross_entropy(&halves[0], &halves[1]);
        // The published value is of another 200 cells; its standard error over their choice is 0.021.
        assert!((oracle - 1.004).abs() < 3.0 * 0.021 * 2.0_f64.sqrt() + 0.01, "{oracle}");
        let mean: [f64; 5] = std::array::from_fn(|k| halves[0].iter().map(|c| c[k]).sum());
        let base = cross_entropy(&halves[0], &vec![mean; 200]);
        assert!((base - 1.428).abs() < 0.08, "{base}");
    }

    #[test]
    fn snapshots_repeat_to_the_bit() {
        assert_eq!(snapshots::<f32>(70, 3).unwrap(), snapshots::<f32>(70, 3).unwrap());
        assert_ne!(snapshots::<f32>(70, 3).unwrap()[4], snapshots::<f32>(70, 4).unwrap()[4]);
    }

    /// Sisters share a start and no noise: fates at the end go with it, and given it are independent of those of the sisters of day 4.
    #[test]
    fn sisters_share_their_start_alone() {
        let n = 3000;
        let cells = clone_snapshots::<f32>(n, 6).unwrap();
        assert_eq!(cells, clone_snapshots::<f32>(n, 6).unwrap());
        let truth = [0.2524, 0.2560, 0.2479, 0.2324, 0.0114];
        assert_fractions("day 6 of clones", fate_fractions(&cells[4]), truth, n as f64, 100_000.0);
        let red = |row: &[f32]| f64::from(u8::from(row[1] >= row[7]));
        let of = |k: usize| cells[k].chunks_exact(D).map(red).collect::<Vec<f64>>();
        let (fourth, last) = (of(3), of(4));
        // The chance of red by the truth's runs from the starts of some clones.
        let some = 300;
        let counts =
            fate_counts(&VirtualBlood::wild_type(), &[], &cells[0][..some * D], 200, Run::truth(8)).unwrap();
        let chance: Vec<f64> = counts.iter().map(|c| (c[0] + c[1]) / 200.0).collect();
        let product = |a: &[f64], b: &[f64]| {
            let sum: f64 = (0..some).map(|i| (a[i] - chance[i]) * (b[i] - chance[i])).sum();
            sum / some as f64
        };
        let spread = product(&last, &last);
        assert!(product(&fourth, &last).abs() < 4.0 * spread / (some as f64).sqrt(), "{spread}");
        let mean = chance.iter().sum::<f64>() / some as f64;
        let of_start = (0..some).map(|i| (chance[i] - mean) * (last[i] - mean)).sum::<f64>() / some as f64;
        assert!(of_start > 0.03, "{of_start}");
    }

    proptest! {
        #[test]
        fn states_stay_non_negative(seed in 0_u64..50, i in 0..D, level in 0.0..1.0_f64) {
            let start = start_states::<f32>(16, seed);
            let states = intervene(Some(Intervention::OverExpress(i, level)), &start, seed).unwrap();
            prop_assert!(states.iter().all(|&x| (0.0..6.0).contains(&x)));
        }
    }
}
