//! How good a model of virtual blood is: its fields, its spreads, its effects of interventions, its calibration.
//!
//! Every score stands beside references that need no learning, because some of them are easy to reach: a
//! diffusion that grows with the square root of a factor's level correlates well with the truth untrained.

use chreode_core::{Diffusion, FieldError, NoiseKind, Real, VectorField};
use chreode_solve::SolveError;

use super::network::{D, Fate, Intervention, VirtualBlood};
use super::protocol::{END, Run, fate_fractions, simulate_to, start_states};

/// Below this level a diffusion counts as this level when its logarithm is taken.
const G_FLOOR: f64 = 0.02;

/// Agreement of a model's drift and diffusion with the truth over cells of days 0.5 to 6.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldScore {
    /// Mean over cells of the cosine between model's and true drift.
    pub cosine_per_cell: f64,
    /// Cosine between all drifts stacked into one vector.
    pub cosine_pooled: f64,
    /// Correlation of `ln g` with the truth, over cells and factors.
    pub log_g_correlation: f64,
    /// Root mean square error of `ln g`.
    pub log_g_rms: f64,
    /// Mean error of `ln g`: negative when the model's noise is too small.
    pub log_g_bias: f64,
}

/// `n` true cells spread evenly over days 0.5, 1, ..., 6: where [`field_score`] compares.
///
/// # Errors
/// [`SolveError`] if a state is not finite, which the network excludes.
pub fn field_cells<T: Real>(n: usize, seed: u64) -> Result<Vec<T>, SolveError> {
    const TIMES: usize = 12;
    let mut cells = Vec::with_capacity(n * D);
    for k in 0..TIMES {
        let count = n * (k + 1) / TIMES - n * k / TIMES;
        let seed = chreode_core::sub_seed(seed, &format!("field-{k}"));
        let start = start_states::<T>(count, seed);
        let t = 0.5 * (k + 1) as f64;
        cells.extend(simulate_to(&VirtualBlood::wild_type(), &[], &start, t, Run::truth(seed))?);
    }
    Ok(cells)
}

/// Scores drift and diffusion of `model` against the truth at the states `cells`, `[n, 11]`.
///
/// # Errors
/// [`FieldError`] if the model is undefined at a state.
pub fn field_score<T: Real>(
    model: &mut dyn Diffusion<T>,
    p: &[T],
    cells: &[T],
) -> Result<FieldScore, FieldError> {
    let zeros = || vec![T::ZERO; cells.len()];
    let (mut f, mut g, mut f_true, mut g_true) = (zeros(), zeros(), zeros(), zeros());
    let kind = model.noise_kind();
    let mut noise = vec![T::ZERO; cells.len() / D * kind.values(D)];
    model.drift_and_diffusion(0.0, cells, p, &mut f, &mut noise)?;
    kind.sizes(D, &noise, &mut g);
    VirtualBlood::wild_type().drift_and_diffusion(0.0, cells, &[], &mut f_true, &mut g_true)?;
    let dot = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum::<f64>();
    let cosine = |a: &[T], b: &[T]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE);
    let rows = f.chunks_exact(D).zip(f_true.chunks_exact(D));
    let n = (cells.len() / D) as f64;
    let logs = |g: &[T]| g.iter().map(|g| g.f64().max(G_FLOOR).ln()).collect::<Vec<_>>();
    let (log_g, log_true) = (logs(&g), logs(&g_true));
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (m, m_true) = (mean(&log_g), mean(&log_true));
    let moment = |a: &[f64], ma: f64, b: &[f64], mb: f64| {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>() / a.len() as f64
    };
    let error: Vec<f64> = log_g.iter().zip(&log_true).map(|(a, b)| a - b).collect();
    Ok(FieldScore {
        cosine_per_cell: rows.map(|(a, b)| cosine(a, b)).sum::<f64>() / n,
        cosine_pooled: cosine(&f, &f_true),
        log_g_correlation: moment(&log_g, m, &log_true, m_true)
            / (moment(&log_g, m, &log_g, m) * moment(&log_true, m_true, &log_true, m_true))
                .sqrt()
                .max(f64::MIN_POSITIVE),
        log_g_rms: moment(&error, 0.0, &error, 0.0).sqrt(),
        log_g_bias: mean(&error),
    })
}

/// Standard deviation of each factor within each of the four mature fates: `[4][11]`, NaN below 20 cells.
pub fn spreads<T: Real>(states: &[T]) -> [[f64; D]; 4] {
    std::array::from_fn(|fate| {
        let rows: Vec<&[T]> = states.chunks_exact(D).filter(|row| Fate::of(row) as usize == fate).collect();
        if rows.len() < 20 {
            return [f64::NAN; D];
        }
        let n = rows.len() as f64;
        std::array::from_fn(|i| {
            let mean = rows.iter().map(|row| row[i].f64()).sum::<f64>() / n;
            (rows.iter().map(|row| (row[i].f64() - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
        })
    })
}

/// The change of the fate fractions by one intervention, against the unperturbed cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Change of each fraction, in the order of [`Fate::ALL`].
    pub change: [f64; 5],
    /// Standard errors of the changes, paired by cell.
    pub se: [f64; 5],
}

impl Effect {
    /// Of the final states of the same cells with and without an intervention, both `[n, 11]`.
    pub fn of<T: Real>(perturbed: &[T], control: &[T]) -> Self {
        let n = (control.len() / D) as f64;
        let (a, b) = (fate_fractions(perturbed), fate_fractions(control));
        // The variance of a difference of two indicators needs how often both cells agree.
        let mut joint = [0.0; 5];
        for (x, y) in perturbed.chunks_exact(D).zip(control.chunks_exact(D)) {
            let fate = Fate::of(x);
            if fate == Fate::of(y) {
                joint[fate as usize] += 1.0 / n;
            }
        }
        let change = std::array::from_fn(|k| a[k] - b[k]);
        let se = std::array::from_fn(|k| {
            ((a[k] + b[k] - 2.0 * joint[k] - (a[k] - b[k]).powi(2)) / n).max(0.0).sqrt()
        });
        Self { change, se }
    }

    /// Index of the fate that changes most.
    pub fn largest(&self) -> usize {
        (0..5).fold(0, |best, k| if self.change[k].abs() > self.change[best].abs() { k } else { best })
    }
}

/// The interventions that a model without knowledge of production can imitate: each factor clamped at zero,
/// and over-expressed at levels 0.2 and 0.5.
pub fn imitable_interventions() -> Vec<Intervention> {
    let kinds: [fn(usize) -> Intervention; 3] =
        [Intervention::Clamp, |i| Intervention::OverExpress(i, 0.2), |i| Intervention::OverExpress(i, 0.5)];
    kinds.iter().flat_map(|kind| (0..D).map(kind)).collect()
}

/// One bin of a calibration curve: cells to which the model gave about the same probability of a fate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Mean probability that the model gave.
    pub predicted: f64,
    /// Mean fraction in the truth.
    pub observed: f64,
    /// Pairs of cell and fate in the bin.
    pub count: usize,
}

/// Calibration over all pairs of cell and fate, in `bins` bins of equal width; empty bins are left out.
///
/// The second value is the expected calibration error, the mean of `|predicted - observed|` weighted by count.
pub fn calibration(truth: &[[f64; 5]], model: &[[f64; 5]], bins: usize) -> (Vec<CalibrationBin>, f64) {
    let mut sums = vec![(0.0, 0.0, 0_usize); bins];
    for (t, m) in truth.iter().zip(model) {
        let (runs_t, runs_m): (f64, f64) = (t.iter().sum(), m.iter().sum());
        for k in 0..5 {
            let predicted = m[k] / runs_m;
            let bin = &mut sums[((predicted * bins as f64) as usize).min(bins - 1)];
            *bin = (bin.0 + predicted, bin.1 + t[k] / runs_t, bin.2 + 1);
        }
    }
    let total: usize = sums.iter().map(|s| s.2).sum();
    let curve: Vec<CalibrationBin> = sums
        .iter()
        .filter(|s| s.2 > 0)
        .map(|&(p, o, count)| CalibrationBin {
            predicted: p / count as f64,
            observed: o / count as f64,
            count,
        })
        .collect();
    let error = curve.iter().map(|b| (b.predicted - b.observed).abs() * b.count as f64).sum::<f64>();
    (curve, error / total.max(1) as f64)
}

/// References that need no learning: the truth with its noise replaced, or a plain pull to the attractors.
#[derive(Debug, Clone)]
pub enum Reference {
    /// True drift; the diffusion of each factor is a constant, its root mean square over the cells.
    ConstantDiffusion([f64; D]),
    /// True drift; `g_i = c sqrt(x_i)`, with one `c` for all factors.
    SquareRoot(f64),
    /// A pull of unit rate to the nearest of the final states given, `[m, 11]`; true diffusion.
    NearestAttractor(Vec<[f64; D]>),
}

impl Reference {
    /// Constant diffusion fitted to the truth at `cells`, `[n, 11]`.
    ///
    /// # Errors
    /// [`FieldError`], which the network excludes.
    pub fn constant_diffusion<T: Real>(cells: &[T]) -> Result<Self, FieldError> {
        let mut g = vec![T::ZERO; cells.len()];
        VirtualBlood::wild_type().diffusion(0.0, cells, &[], &mut g)?;
        let n = (cells.len() / D) as f64;
        Ok(Self::ConstantDiffusion(std::array::from_fn(|i| {
            (g.iter().skip(i).step_by(D).map(|g| g.f64() * g.f64()).sum::<f64>() / n).sqrt()
        })))
    }

    /// `g = c sqrt(x)` with the mean square of the truth at `cells`, `[n, 11]`.
    ///
    /// # Errors
    /// [`FieldError`], which the network excludes.
    pub fn square_root<T: Real>(cells: &[T]) -> Result<Self, FieldError> {
        let mut g = vec![T::ZERO; cells.len()];
        VirtualBlood::wild_type().diffusion(0.0, cells, &[], &mut g)?;
        let sum = |x: &[T], f: fn(f64) -> f64| x.iter().map(|x| f(x.f64())).sum::<f64>();
        Ok(Self::SquareRoot((sum(&g, |g| g * g) / sum(cells, |x| x)).sqrt()))
    }

    /// Pull to the mean state of each mature fate among final states, `[n, 11]`; fates that no cell has are left out.
    pub fn nearest_attractor<T: Real>(ends: &[T]) -> Self {
        let centre = |&fate: &Fate| {
            let rows: Vec<&[T]> = ends.chunks_exact(D).filter(|row| Fate::of(row) == fate).collect();
            let mean = |i: usize| rows.iter().map(|row| row[i].f64()).sum::<f64>() / rows.len() as f64;
            (!rows.is_empty()).then(|| std::array::from_fn(mean))
        };
        Self::NearestAttractor(Fate::ALL[..4].iter().filter_map(centre).collect())
    }
}

impl<T: Real> VectorField<T> for Reference {
    fn dim(&self) -> usize {
        D
    }

    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let Self::NearestAttractor(centres) = self else {
            return VirtualBlood::wild_type().eval(t, y, p, dy);
        };
        for (y, dy) in y.chunks_exact(D).zip(dy.chunks_exact_mut(D)) {
            let distance = |c: &[f64; D]| (0..D).map(|i| (c[i] - y[i].f64()).powi(2)).sum::<f64>();
            let nearest = centres.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
            for i in 0..D {
                dy[i] = nearest.map_or(T::ZERO, |c| T::c(c[i]) - y[i]);
            }
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for Reference {
    fn noise_kind(&self) -> NoiseKind {
        match self {
            Self::ConstantDiffusion(_) => NoiseKind::Additive,
            _ => NoiseKind::Diagonal,
        }
    }

    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        match self {
            Self::ConstantDiffusion(c) => {
                g.chunks_exact_mut(D)
                    .for_each(|row| row.iter_mut().zip(&*c).for_each(|(g, &c)| *g = T::c(c)));
                Ok(())
            }
            Self::SquareRoot(c) => {
                g.iter_mut().zip(y).for_each(|(g, y)| *g = T::c(*c) * y.max(T::ZERO).sqrt());
                Ok(())
            }
            Self::NearestAttractor(_) => VirtualBlood::wild_type().diffusion(t, y, p, g),
        }
    }
}

/// States at [`END`] of `n` true cells: the sample that fractions and spreads are compared with.
///
/// # Errors
/// [`SolveError`] if a state is not finite, which the network excludes.
pub fn true_ends<T: Real>(start: &[T], seed: u64) -> Result<Vec<T>, SolveError> {
    simulate_to(&VirtualBlood::wild_type(), &[], start, END, Run::truth(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The truth scores perfectly; the references score what was published for them.
    #[test]
    fn references_score_as_published() {
        let cells = field_cells::<f64>(4000, 3).unwrap();
        let truth = field_score(&mut VirtualBlood::wild_type(), &[], &cells).unwrap();
        assert!((truth.cosine_per_cell - 1.0).abs() < 1e-9 && truth.log_g_rms < 1e-12);
        let constant = field_score(&mut Reference::constant_diffusion(&cells).unwrap(), &[], &cells).unwrap();
        assert!((constant.log_g_correlation - 0.27).abs() < 0.06, "{constant:?}");
        assert!((constant.log_g_rms - 0.77).abs() < 0.06, "{constant:?}");
        let root = field_score(&mut Reference::square_root(&cells).unwrap(), &[], &cells).unwrap();
        assert!(
            (root.log_g_correlation - 0.974).abs() < 0.01 && (root.log_g_rms - 0.20).abs() < 0.03,
            "{root:?}"
        );
        let ends = true_ends(&start_states::<f64>(2000, 1), 1).unwrap();
        let pull = field_score(&mut Reference::nearest_attractor(&ends), &[], &cells).unwrap();
        assert!((0.55..0.75).contains(&pull.cosine_per_cell) && pull.cosine_pooled < 0.5, "{pull:?}");
    }

    #[test]
    fn effects_are_paired() {
        let start = start_states::<f32>(3000, 1);
        let control = true_ends(&start, 7).unwrap();
        let none = Effect::of(&control, &control);
        assert!(none.change.iter().chain(&none.se).all(|&v| v.abs() < 1e-6));
        let clamped = super::super::protocol::intervene(Some(Intervention::Clamp(3)), &start, 7).unwrap();
        let effect = Effect::of(&clamped, &control);
        assert_eq!(effect.largest(), Fate::Meg as usize);
        assert!((effect.change[1] - 0.258).abs() < 4.0 * effect.se[1] && effect.se[1] < 0.012, "{effect:?}");
    }

    #[test]
    fn calibration_of_the_truth_is_the_diagonal() {
        let counts = vec![[10.0, 20.0, 30.0, 40.0, 0.0]; 7];
        let (curve, error) = calibration(&counts, &counts, 10);
        assert!(error < 1e-12 && curve.len() == 5);
        let (_, off) = calibration(&counts, &[[100.0, 0.0, 0.0, 0.0, 0.0]; 7], 10);
        // Certain of the first fate (true 0.1), and zero for the others (true 0.2, 0.3, 0.4, 0, pooled in one bin).
        assert!((off - (0.9 + 4.0 * 0.225) / 5.0).abs() < 1e-12, "{off}");
    }

    #[test]
    fn small_fates_have_no_spread() {
        let ends = true_ends(&start_states::<f32>(400, 1), 1).unwrap();
        assert!(spreads(&ends).iter().flatten().all(|s| s.is_finite() && *s > 0.0));
        assert!(spreads(&ends[..5 * D]).iter().flatten().all(|s| s.is_nan()));
    }
}
