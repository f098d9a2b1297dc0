//! Cells that divide and die: numbers against formulas and weights, and bits that depend on nothing but the lineage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use chreode_core::{BirthDeath, Diffusion, FieldError, Growth, NoiseKind, VectorField};
use chreode_solve::{
    BranchingOptions, EnsembleOptions, SolveError, TimeGrid, simulate, simulate_branching, simulate_weighted,
};

/// `dX = -X dt + 0.6 dW`, in two coordinates; cells on the right divide, cells on the left die.
#[derive(Clone)]
struct Ou;

impl VectorField<f64> for Ou {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = -y);
        Ok(())
    }
}

impl Diffusion<f64> for Ou {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Additive
    }
    fn diffusion(&mut self, _t: f64, _y: &[f64], _p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        g.fill(0.6);
        Ok(())
    }
}

impl BirthDeath<f64> for Ou {
    fn birth_and_death(
        &mut self,
        _t: f64,
        y: &[f64],
        p: &[f64],
        birth: &mut [f64],
        death: &mut [f64],
    ) -> Result<(), FieldError> {
        for ((y, b), d) in y.chunks_exact(2).zip(birth).zip(death) {
            (*b, *d) = (p[0] * y[0].exp(), p[1] * (-y[0]).exp());
        }
        Ok(())
    }
}

impl Growth<f64> for Ou {
    fn growth(&mut self, _t: f64, y: &[f64], p: &[f64], rate: &mut [f64]) -> Result<(), FieldError> {
        for (y, rate) in y.chunks_exact(2).zip(rate) {
            *rate = p[0] * y[0].exp() - p[1] * (-y[0]).exp();
        }
        Ok(())
    }
}

fn starts(n: usize) -> Vec<f64> {
    (0..2 * n).map(|i| if i % 2 == 0 { 0.4 } else { -0.2 }).collect()
}

#[test]
fn cells_are_as_many_as_weights_say_and_where_they_say() {
    let (n, p) = (20_000, [0.6, 0.4]);
    let grid = TimeGrid::new(0.0, &[1.0, 2.0], 0.05).unwrap();
    let cells = simulate_branching(&Ou, &Ou, &p, &starts(n), &grid, &BranchingOptions::new(1)).unwrap();
    let paths = simulate_weighted(&Ou, &Ou, &p, &starts(n), &grid, &EnsembleOptions::new(2)).unwrap();
    for k in 0..2 {
        let weights: Vec<f64> = paths.log_weights[k].iter().map(|w| w.exp()).collect();
        let total = weights.iter().sum::<f64>() / n as f64;
        let count = cells[k].founders.len() as f64 / n as f64;
        let mean = |x: &mut dyn Iterator<Item = (f64, f64)>| {
            let (mut sum, mut of) = (0.0, 0.0);
            x.for_each(|(w, x)| (sum, of) = (sum + w * x, of + w));
            sum / of
        };
        let weighted = mean(&mut weights.iter().copied().zip(paths.states[k].iter().step_by(2).copied()));
        let branched = mean(&mut cells[k].states.iter().step_by(2).map(|&x| (1.0, x)));
        // Founders are independent: five standard errors of their numbers of cells and of their weights.
        let mut clades = vec![0.0; n];
        cells[k].founders.iter().for_each(|&f| clades[f] += 1.0);
        let variance =
            |x: &[f64], mean: f64| x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n * n) as f64;
        let error = (variance(&clades, count) + variance(&weights, total)).sqrt();
        assert!((count - total).abs() < 5.0 * error, "{count} cells, weight {total}, error {error}");
        assert!(error < 0.05);
        assert!((weighted - branched).abs() < 0.02, "{weighted} {branched}");
        assert!((total - 1.0).abs() > 0.2, "growth must be seen: {total}");
    }
}

#[test]
fn a_clade_has_the_same_bits_whoever_else_there_is() {
    let (n, p) = (150, [0.9, 0.3]);
    let grid = TimeGrid::new(0.0, &[0.5, 2.0], 0.1).unwrap();
    let y0 = starts(n);
    let options = BranchingOptions::new(3);
    let all = simulate_branching(&Ou, &Ou, &p, &y0, &grid, &options).unwrap();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let again = one_thread.install(|| simulate_branching(&Ou, &Ou, &p, &y0, &grid, &options).unwrap());
    assert_eq!(all, again);
    let founder = 77;
    let alone = BranchingOptions { first_trajectory: founder as u64, ..options };
    let alone = simulate_branching(&Ou, &Ou, &p, &y0[..2], &grid, &alone).unwrap();
    for (all, alone) in all.iter().zip(&alone) {
        let mine: Vec<f64> = all
            .founders
            .iter()
            .zip(all.states.chunks_exact(2))
            .filter(|(f, _)| **f == founder)
            .flat_map(|(_, y)| y.to_vec())
            .collect();
        assert_eq!(mine, alone.states);
    }
    assert!(all[1].founders.len() > all[0].founders.len() && all[0].founders.is_sorted());
    // Sisters part: only those of the last step, about one in eight, are where their mother is.
    let mut places: Vec<u64> = all[1].states.iter().step_by(2).map(|x| x.to_bits()).collect();
    let cells = places.len();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > cells * 3 / 4, "{} places of {cells}", places.len());
    let other = simulate_branching(&Ou, &Ou, &p, &y0, &grid, &BranchingOptions::new(4)).unwrap();
    assert_ne!(all, other);
}

#[test]
fn without_rates_it_is_the_plain_simulation() {
    let grid = TimeGrid::new(0.0, &[1.0], 0.1).unwrap();
    let y0 = starts(100);
    let cells = simulate_branching(&Ou, &Ou, &[0.0, 0.0], &y0, &grid, &BranchingOptions::new(5)).unwrap();
    let plain = simulate(&Ou, &[0.0, 0.0], &y0, &grid, &EnsembleOptions::new(5)).unwrap();
    assert_eq!(cells[0].states, plain.states[0]);
    assert_eq!(cells[0].founders, (0..100).collect::<Vec<_>>());
}

#[test]
fn what_cannot_go_on_is_an_error() {
    let grid = TimeGrid::new(0.0, &[50.0], 0.1).unwrap();
    let options = BranchingOptions { max_cells: 1000, ..BranchingOptions::new(5) };
    let error = simulate_branching(&Ou, &Ou, &[1.0, 0.0], &starts(4), &grid, &options).unwrap_err();
    assert!(matches!(error, SolveError::TooManyCells { max_cells: 1000, .. }), "{error}");
    let error = simulate_branching(&Ou, &Ou, &[-1.0, 0.0], &starts(4), &grid, &options).unwrap_err();
    assert!(matches!(error, SolveError::InvalidRate { trajectory: 0, .. }), "{error}");
    let gone = simulate_branching(&Ou, &Ou, &[0.0, 2.0], &starts(4), &grid, &options).unwrap();
    assert!(gone[0].founders.is_empty() && gone[0].states.is_empty());
}
