//! Many paths of a learned model from each of some cells.

use chreode_core::Real;
use chreode_linalg::Cholesky;
use chreode_model::NeuralSde;
use chreode_solve::{AfterStep, Ensemble, EnsembleOptions, TimeGrid, simulate, simulate_weighted};
use chreode_train::Simulator;

use crate::AnalysisError;

/// Final states that a chunk of cells may hold: 16 MB.
const CHUNK_VALUES: usize = 1 << 22;

/// Directions of the state that are held at given values along a path.
///
/// A gene is a direction `v` of the state, and holding it at `c` means `v·x = c`. After each step the state
/// moves the least it can: `x += Vᵀ (V Vᵀ)⁻¹ (c - V x)`. Where genes are coordinates this sets them.
#[derive(Debug, Clone, PartialEq)]
pub struct Clamp {
    d: usize,
    /// `V`, `[k, d]`.
    directions: Vec<f64>,
    /// `c`, `[k]`.
    targets: Vec<f64>,
    /// `Vᵀ (V Vᵀ)⁻¹`, `[d, k]`.
    lift: Vec<f64>,
}

impl Clamp {
    /// Holds each direction, `[d]`, at its target.
    ///
    /// # Errors
    /// [`AnalysisError::DependentClamps`] if the directions are linearly dependent, or one is zero.
    pub fn new(d: usize, held: &[(Vec<f64>, f64)]) -> Result<Self, AnalysisError> {
        let k = held.len();
        let directions: Vec<f64> = held.iter().flat_map(|(v, _)| v.iter().copied()).collect();
        let mut gram = vec![0.0; k * k];
        for a in 0..k {
            for b in 0..k {
                gram[a * k + b] = (0..d).map(|i| directions[a * d + i] * directions[b * d + i]).sum();
            }
        }
        let gram = Cholesky::factor(&gram, k).map_err(|_| AnalysisError::DependentClamps { k })?;
        // Row i of the lift solves (V Vᵀ) x = V e_i.
        let mut lift: Vec<f64> = (0..d * k).map(|j| directions[j % k * d + j / k]).collect();
        lift.chunks_exact_mut(k.max(1)).for_each(|row| gram.solve(row));
        Ok(Self { d, directions, targets: held.iter().map(|h| h.1).collect(), lift })
    }

    /// Moves each state of `y`, `[n, d]`, to where the directions have their targets.
    pub fn apply(&self, y: &mut [f32]) {
        let k = self.targets.len();
        for row in y.chunks_exact_mut(self.d) {
            for a in 0..k {
                // One direction at a time, each lifted so that the others stay: `V lift = 1`.
                let v = &self.directions[a * self.d..(a + 1) * self.d];
                let gap = self.targets[a] - v.iter().zip(&*row).map(|(v, x)| v * x.f64()).sum::<f64>();
                for (i, x) in row.iter_mut().enumerate() {
                    *x += (self.lift[i * k + a] * gap) as f32;
                }
            }
        }
    }
}

/// How a learned model is run forward from cells.
#[derive(Debug, Clone, Copy)]
pub struct Rollout<'a> {
    /// The model.
    pub model: &'a NeuralSde<f32>,
    /// Its parameters.
    pub p: &'a [f32],
    /// Longest step, in the data's time.
    pub dt: f64,
    /// Paths from each cell.
    pub paths: usize,
    /// Seed of the noise. Path `j` of cell `i` has the same noise in every run with this seed and number of
    /// paths, so that a perturbed run is compared with its control path by path.
    pub seed: u64,
    /// Directions that are held.
    pub clamp: Option<&'a Clamp>,
    /// Where the paths are; the processor's without it.
    pub place: Option<&'a Simulator>,
}

/// Paths of a chunk of consecutive cells: row `i * paths + j` is path `j` of the chunk's cell `i`.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Number of the chunk's first cell.
    pub first_cell: usize,
    /// Number of cells.
    pub cells: usize,
    /// States and log-weights at the observed times.
    pub ensemble: Ensemble<f32>,
}

impl Rollout<'_> {
    /// Runs from `start`, `[n, d]`, at time `t0`, and hands over the paths in chunks of cells, in order.
    ///
    /// How the cells are cut into chunks changes no bit of the result.
    ///
    /// # Errors
    /// [`AnalysisError`] if a path leaves the finite numbers, if directions are to be held on a device, or what `each` returns.
    pub fn run(
        &self,
        start: &[f32],
        t0: f64,
        observe: &[f64],
        mut each: impl FnMut(Chunk) -> Result<(), AnalysisError>,
    ) -> Result<(), AnalysisError> {
        let d = self.model.config().dim();
        let grid = TimeGrid::new(t0, observe, self.dt)?;
        let non_negative = self.model.is_non_negative();
        let after_step = |_t: f64, y: &mut [f32]| {
            if let Some(clamp) = self.clamp {
                clamp.apply(y);
            }
            if non_negative {
                for x in y.iter_mut() {
                    *x = x.max(0.0); // also what a clamp below zero comes to: no amount is negative
                }
            }
        };
        let growth = self.model.growth_net();
        let per_chunk = (CHUNK_VALUES / (self.paths * d * observe.len()).max(1)).max(1);
        for (index, cells) in start.chunks(per_chunk * d).enumerate() {
            let first_cell = index * per_chunk;
            let mut y0: Vec<f32> = cells
                .chunks_exact(d)
                .flat_map(|row| std::iter::repeat_n(row, self.paths).flatten())
                .copied()
                .collect();
            after_step(t0, &mut y0);
            let first_trajectory = (first_cell * self.paths) as u64;
            if let Some(ensemble) = self.on_device(&y0, &grid, first_trajectory)? {
                each(Chunk { first_cell, cells: cells.len() / d, ensemble })?;
                continue;
            }
            let options = EnsembleOptions {
                first_trajectory,
                after_step: Some(&after_step as &AfterStep<'_, f32>),
                ..EnsembleOptions::new(self.seed)
            };
            let ensemble = match &growth {
                Some(growth) => simulate_weighted(self.model, growth, self.p, &y0, &grid, &options)?,
                None => simulate(self.model, self.p, &y0, &grid, &options)?,
            };
            each(Chunk { first_cell, cells: cells.len() / d, ensemble })?;
        }
        Ok(())
    }

    /// The paths of a chunk on a device; nothing where they are the processor's.
    fn on_device(
        &self,
        y0: &[f32],
        grid: &TimeGrid,
        first_trajectory: u64,
    ) -> Result<Option<Ensemble<f32>>, AnalysisError> {
        let Some(place) = self.place.filter(|place| place.is_device()) else { return Ok(None) };
        if self.clamp.is_some() {
            return Err(AnalysisError::HeldOnDevice);
        }
        Ok(place.simulate(self.model, self.p, y0, grid, self.seed, first_trajectory)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_model::ModelConfig;
    use proptest::prelude::*;

    fn small_model() -> (NeuralSde<f32>, Vec<f32>) {
        let mut config = ModelConfig::new(vec![0.0; 3], vec![1.0; 3]);
        config.drift.hidden = vec![8];
        let model = NeuralSde::new(config).unwrap();
        let p = model.init(1);
        (model, p)
    }

    proptest! {
        #[test]
        fn clamped_directions_have_their_targets(
            v in proptest::collection::vec(-1.0..1.0_f64, 10),
            x in proptest::collection::vec(-3.0..3.0_f32, 15),
        ) {
            let (mut a, mut b) = (v[..5].to_vec(), v[5..].to_vec());
            a[0] += 2.0; // independent by construction
            b[1] -= 2.0;
            let clamp = Clamp::new(5, &[(a.clone(), 0.5), (b.clone(), -1.0)]).unwrap();
            let mut y = x;
            clamp.apply(&mut y);
            for row in y.chunks_exact(5) {
                let dot = |v: &[f64]| v.iter().zip(row).map(|(v, &x)| v * f64::from(x)).sum::<f64>();
                prop_assert!((dot(&a) - 0.5).abs() < 1e-4 && (dot(&b) + 1.0).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn dependent_clamps_are_refused() {
        let held = [(vec![1.0, 2.0], 0.0), (vec![2.0, 4.0], 1.0)];
        assert!(matches!(Clamp::new(2, &held), Err(AnalysisError::DependentClamps { k: 2 })));
    }

    /// The same cells run alone, with the numbers they have in the whole, give the same bits.
    #[test]
    fn chunks_change_nothing() {
        let (model, p) = small_model();
        let rollout =
            Rollout { model: &model, p: &p, dt: 0.25, paths: 70, seed: 5, clamp: None, place: None };
        let start: Vec<f32> = (0..30).map(|i| i as f32 * 0.1).collect();
        let mut all = Vec::new();
        rollout
            .run(&start, 0.0, &[1.0], |c| {
                all.extend(c.ensemble.states[0].clone());
                Ok(())
            })
            .unwrap();
        let options = EnsembleOptions { first_trajectory: 3 * 70, ..EnsembleOptions::new(5) };
        let y0: Vec<f32> = start[9..12].repeat(70);
        let alone = simulate(&model, &p, &y0, &TimeGrid::new(0.0, &[1.0], 0.25).unwrap(), &options).unwrap();
        assert_eq!(alone.states[0][..], all[3 * 70 * 3..4 * 70 * 3]);
    }
}
