//! Populations of cells that move, divide and die.
//!
//! In a step every cell moves by a stochastic method, and then leaves as many cells in its place as a birth-death process
//! of its rates at the step's start does in that time. That law is exact for constant rates (a modified geometric one), so that the
//! expected number of cells is the weight `exp(Σ (b - d) h)` of [`simulate_weighted`](crate::simulate_weighted), whatever the step.
//! Every draw is a function of the seed, the cell's lineage and the step: a founder's descendants have the same bits
//! whoever else is simulated, on any number of threads.
//!
//! Source of the law: [Ken48].

use chreode_core::{BirthDeath, BrownianIncrements, Diffusion, Real, philox4x32, sub_seed};
use rayon::prelude::*;

use super::ensemble::TILE;
use super::scheme::{Increments, SdeMethod, SdeScheme};
use super::time_grid::TimeGrid;
use crate::SolveError;
use crate::error::{check_finite, check_params, rows};

/// What [`simulate_branching`] may be told beside the equation, its rates and the grid.
#[derive(Debug, Clone, Copy)]
pub struct BranchingOptions {
    /// How a step is done.
    pub method: SdeMethod,
    /// Seed of movement, division and death.
    pub seed: u64,
    /// Founder `i` is trajectory `first_trajectory + i`: it moves as in [`simulate`](crate::simulate) until it divides.
    pub first_trajectory: u64,
    /// Largest number of descendants of [`TILE`] founders together: growth without bounds is an error.
    pub max_cells: usize,
}

impl BranchingOptions {
    /// Euler-Maruyama with this seed, founders numbered from 0, at most a million cells from 64 founders.
    pub fn new(seed: u64) -> Self {
        Self { method: SdeMethod::EulerMaruyama, seed, first_trajectory: 0, max_cells: 1_000_000 }
    }
}

/// The cells that live at one time, founder by founder.
#[derive(Debug, Clone, PartialEq)]
pub struct Population<T> {
    /// Their states, `[cells, d]`.
    pub states: Vec<T>,
    /// The row of each cell's founder in the start states, `[cells]`; not falling.
    pub founders: Vec<usize>,
}

/// Simulates cells that start at `y0`, `[n, d]`, move by the SDE, and divide and die at the given rates; saves who lives at the
/// grid's observation times.
///
/// Equation and rates read the same `p`.
///
/// # Errors
/// As [`simulate`](crate::simulate); [`SolveError::InvalidRate`] for a rate that is negative or not finite;
/// [`SolveError::TooManyCells`].
pub fn simulate_branching<T, S, G>(
    sde: &S,
    rates: &G,
    p: &[T],
    y0: &[T],
    grid: &TimeGrid,
    options: &BranchingOptions,
) -> Result<Vec<Population<T>>, SolveError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
    G: BirthDeath<T> + Clone + Send + Sync,
{
    let d = sde.dim();
    let n = rows(y0.len(), d)?;
    check_params(p.len(), sde.n_params())?;
    options.method.check(sde)?;
    let tiles: Vec<usize> = (0..n.div_ceil(TILE)).collect();
    let done: Vec<Result<Vec<Population<T>>, SolveError>> = tiles
        .into_par_iter()
        .map(|tile| {
            let first = tile * TILE;
            let y = &y0[first * d..(n.min(first + TILE)) * d];
            let mut clade = Clade {
                scheme: options.method.scheme(TILE, sde)?,
                sde: sde.clone(),
                rates: rates.clone(),
                y: y.to_vec(),
                founders: (first..first + y.len() / d).collect(),
                lineages: (0..y.len() / d).map(|i| options.first_trajectory + (first + i) as u64).collect(),
                spare: (Vec::new(), Vec::new(), Vec::new()),
            };
            clade.run(p, grid, options)
        })
        .collect();
    // All tiles finish before the first error is looked for, so that the error named is always the same.
    let none = || Population { states: Vec::new(), founders: Vec::new() };
    let mut populations: Vec<Population<T>> = grid.observe().iter().map(|_| none()).collect();
    for tile in done {
        for (all, part) in populations.iter_mut().zip(tile?) {
            all.states.extend(part.states);
            all.founders.extend(part.founders);
        }
    }
    Ok(populations)
}

/// The living descendants of a tile of founders.
struct Clade<T, S, G> {
    sde: S,
    rates: G,
    scheme: Box<dyn SdeScheme<T>>,
    y: Vec<T>,
    founders: Vec<usize>,
    lineages: Vec<u64>,
    /// The next generation of the three above.
    spare: (Vec<T>, Vec<usize>, Vec<u64>),
}

impl<T: Real, S: Diffusion<T>, G: BirthDeath<T>> Clade<T, S, G> {
    fn run(
        &mut self,
        p: &[T],
        grid: &TimeGrid,
        options: &BranchingOptions,
    ) -> Result<Vec<Population<T>>, SolveError> {
        let d = self.sde.dim();
        let motions = self.sde.noise_kind().motions(d);
        let noise = BrownianIncrements::new(options.seed);
        let key = sub_seed(options.seed, "branching");
        let key = [key as u32, (key >> 32) as u32];
        let mut dw = vec![T::ZERO; TILE * motions];
        let mut area = vec![T::ZERO; if self.scheme.needs_area() { TILE * motions } else { 0 }];
        let (mut birth, mut death) = (Vec::new(), Vec::new());
        let mut saved = Vec::with_capacity(grid.observe().len());
        if let Some(&first) = self.lineages.first() {
            check_finite(&self.y, d, first, grid.t0())?;
        }
        for k in 0..grid.steps() {
            let (t, h) = grid.step(k);
            birth.resize(self.lineages.len(), T::ZERO);
            death.resize(self.lineages.len(), T::ZERO);
            self.rates.birth_and_death(t, &self.y, p, &mut birth, &mut death)?;
            for first in (0..self.lineages.len()).step_by(TILE) {
                let cells = first..self.lineages.len().min(first + TILE);
                let dw = &mut dw[..cells.len() * motions];
                for (dw, &lineage) in dw.chunks_exact_mut(motions).zip(&self.lineages[cells.clone()]) {
                    noise.fill(k as u64, lineage, motions, h, dw);
                }
                let used = area.len().min(dw.len()); // none at all without areas
                let area = &mut area[..used];
                for (area, &lineage) in area.chunks_exact_mut(motions).zip(&self.lineages[cells.clone()]) {
                    noise.fill_area(k as u64, lineage, motions, h, area);
                }
                let y = &mut self.y[cells.start * d..cells.end * d];
                let lineage = self.lineages[cells.start];
                self.scheme.advance(&mut self.sde, Increments { dw, area }, lineage, t, h, y, p)?;
            }
            self.branch(k, t, h, key, &birth, &death, options.max_cells)?;
            if grid.observed_after(k).is_some() {
                saved.push(Population { states: self.y.clone(), founders: self.founders.clone() });
            }
        }
        Ok(saved)
    }

    /// Replaces every cell by its descendants after a step.
    fn branch(
        &mut self,
        k: usize,
        t: f64,
        h: f64,
        key: [u32; 2],
        birth: &[T],
        death: &[T],
        max_cells: usize,
    ) -> Result<(), SolveError> {
        let d = self.sde.dim();
        let (states, founders, lineages) = &mut self.spare;
        states.clear();
        founders.clear();
        lineages.clear();
        for (i, (&b, &q)) in birth.iter().zip(death).enumerate() {
            let (birth, death) = (b.f64(), q.f64());
            let lineage = self.lineages[i];
            if !(birth >= 0.0 && death >= 0.0 && birth.is_finite() && death.is_finite()) {
                return Err(SolveError::InvalidRate { t, trajectory: lineage, birth, death });
            }
            let id = [lineage as u32, (lineage >> 32) as u32];
            let [a, b, ..] = philox4x32([k as u32, 0, id[0], id[1]], key);
            // 52 bits and a half: strictly between zero and one.
            let u = ((f64::from(a) * 1_048_576.0 + f64::from(b >> 12)) + 0.5) / 4_503_599_627_370_496.0;
            for child in 0..descendants(birth, death, h, u) {
                if founders.len() == max_cells {
                    return Err(SolveError::TooManyCells { t: t + h, max_cells });
                }
                states.extend_from_slice(&self.y[i * d..(i + 1) * d]);
                founders.push(self.founders[i]);
                lineages.push(if child == 0 {
                    lineage
                } else {
                    let [a, b, ..] = philox4x32([k as u32, child as u32, id[0], id[1]], key);
                    u64::from(a) | u64::from(b) << 32
                });
            }
        }
        std::mem::swap(&mut self.y, states);
        std::mem::swap(&mut self.founders, founders);
        std::mem::swap(&mut self.lineages, lineages);
        Ok(())
    }
}

/// Number of cells that one has become after `h`, from a uniform number `u` in (0, 1): zero with probability `α`, else geometric with
/// ratio `β`, where `α = d φ/(1 + b φ)`, `β = b φ/(1 + b φ)`, `φ = (exp((b - d) h) - 1)/(b - d)`.
fn descendants(birth: f64, death: f64, h: f64, u: f64) -> u64 {
    let gamma = birth - death;
    let phi = if gamma.abs() * h < 1e-12 { h } else { (gamma * h).exp_m1() / gamma };
    let alpha = death * phi / (1.0 + birth * phi);
    let beta = birth * phi / (1.0 + birth * phi);
    if u < alpha {
        return 0;
    }
    if beta == 0.0 {
        return 1;
    }
    // The rest of the unit interval is uniform again; the larger the number, the more cells.
    let v = (1.0 - u) / (1.0 - alpha);
    1 + (v.min(1.0).ln() / beta.ln()) as u64 // a float's conversion saturates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and extinction against the formulas, by the law's own quantiles.
    #[test]
    fn descendants_follow_the_birth_death_law() {
        for (b, d, h) in [(1.3, 0.4, 0.7), (0.4, 1.3, 0.7), (0.8, 0.8, 1.1), (0.0, 0.5, 2.0), (0.9, 0.0, 1.0)]
        {
            let n = 400_000;
            let counts: Vec<u64> =
                (0..n).map(|i| descendants(b, d, h, (f64::from(i) + 0.5) / f64::from(n))).collect();
            let mean = counts.iter().sum::<u64>() as f64 / f64::from(n);
            let second = counts.iter().map(|c| (c * c) as f64).sum::<f64>() / f64::from(n);
            let gone = counts.iter().filter(|&&c| c == 0).count() as f64 / f64::from(n);
            let gamma: f64 = b - d;
            let e = (gamma * h).exp();
            assert!((mean / e - 1.0).abs() < 2e-4, "{b} {d}: mean {mean}, not {e}");
            let variance = if gamma == 0.0 { 2.0 * b * h } else { (b + d) / gamma * e * (e - 1.0) };
            assert!((second - mean * mean - variance).abs() < 3e-3 * (1.0 + variance), "{b} {d}: variance");
            let extinct = if gamma == 0.0 { b * h / (1.0 + b * h) } else { d * (e - 1.0) / (b * e - d) };
            assert!((gone - extinct).abs() < 1e-5, "{b} {d}: {gone} gone, not {extinct}");
        }
        assert_eq!(descendants(0.0, 0.0, 1.0, 0.999_999), 1);
    }
}
