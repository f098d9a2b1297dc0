//! Cells of a time that was left out of the training, beside predictions that learn little or nothing.
//!
//! Start with [`LeftOut`]. [`Reference`] makes a cloud from the cells of the times around; how far a cloud is from the cells
//! that were left out is told by three distances at once. Not here: training (`chreode_train`), whose
//! [`distance_to_time`](chreode_train::distance_to_time) does the same for a learned model.

use chreode_core::sub_seed;
use chreode_train::{
    Cloud, CloudLoss, Comparison, Coupling, CouplingConfig, LossConfig, MmdConfig, SamplingFloor,
    SinkhornConfig, Snapshots, Statistic, TrainError, blur_over, sampling_floor,
};
use rand::{RngExt as _, SeedableRng};
use rand_pcg::Pcg64;

use crate::transport::unbalanced;

/// Names and losses of the distances, in the order in which they are told.
pub const MEASURES: [&str; 3] = ["energy distance", "Sinkhorn divergence", "MMD"];

/// Blur of the Sinkhorn divergence and of balanced couplings that interpolate, as a part of the spread of a coordinate.
const BLUR: f64 = 0.1;

/// The losses of [`MEASURES`].
pub fn measures() -> [LossConfig; 3] {
    [
        LossConfig::Energy { statistic: Statistic::Unbiased },
        LossConfig::Sinkhorn(SinkhornConfig { blur: BLUR, ..SinkhornConfig::default() }),
        LossConfig::Mmd(MmdConfig::default()),
    ]
}

/// A prediction that needs no training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The cells of the time before, as they are.
    Previous,
    /// Halfway, by time, between cells that balanced transport couples: displacement interpolation.
    Transport,
    /// The same with unbalanced transport and its growth, as fits by matching couple cells.
    UnbalancedTransport,
}

impl Reference {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Previous, Self::Transport, Self::UnbalancedTransport];

    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Previous => "time before",
            Self::Transport => "transport, interpolated",
            Self::UnbalancedTransport => "unbalanced transport, interpolated",
        }
    }
}

/// A time that is left out, and what a prediction of it is compared by.
#[derive(Debug, Clone, Copy)]
pub struct LeftOut<'a> {
    /// All cells.
    pub data: &'a Snapshots<f32>,
    /// Number of the time.
    pub time: usize,
    /// Number of the time before it that was trained on.
    pub before: usize,
    /// Number of the time after it that was trained on, if there is one.
    pub after: Option<usize>,
    /// The times that were trained on, ascending.
    pub trained: &'a [f64],
    /// Blur of unbalanced couplings for a mean gap of those times: that of the fit.
    pub blur: f64,
    /// One over the scale of each coordinate, `[d]`.
    pub inverse_scale: &'a [f32],
    /// Most cells of a cloud.
    pub cells: usize,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl LeftOut<'_> {
    /// How a learned model is compared in one draw; `measure` counts [`MEASURES`].
    pub fn comparison(&self, measure: usize, draw: u64) -> Comparison<'_, f32> {
        Comparison {
            loss: measures()[measure],
            inverse_scale: self.inverse_scale,
            cells: self.cells,
            seed: self.seed_of(draw),
        }
    }

    /// What a perfect prediction is at: the distances of two samples of the cells that were left out.
    ///
    /// # Errors
    /// Those of [`sampling_floor`].
    pub fn floor(&self, repeats: usize) -> Result<[SamplingFloor; 3], TrainError> {
        let floor = |measure| {
            let states = &self.data.states[self.time];
            sampling_floor(states, self.data.dim, &self.comparison(measure, 0), repeats)
        };
        Ok([floor(0)?, floor(1)?, floor(2)?])
    }

    /// The distances of a reference in one draw of cells; none if there is no later time to interpolate to.
    ///
    /// # Errors
    /// [`TrainError::Coupling`] and those of the losses.
    pub fn distances(&self, reference: Reference, draw: u64) -> Result<Option<[f64; 3]>, TrainError> {
        let d = self.data.dim;
        let mut rng = Pcg64::seed_from_u64(self.seed_of(draw));
        let mut x = self.drawn(self.before, &mut rng)?;
        let y = self.drawn(self.time, &mut rng)?;
        let mut log_weights = Vec::new();
        if reference != Reference::Previous {
            let Some(after) = self.after else { return Ok(None) };
            let end = self.drawn(after, &mut rng)?;
            let times = &self.data.times;
            let part = (times[self.time] - times[self.before]) / (times[after] - times[self.before]);
            let coupling = if reference == Reference::UnbalancedTransport {
                let span = times[after] - times[self.before];
                unbalanced(d, &x, &[], &end, blur_over(self.blur, span, self.trained))?
            } else {
                Coupling::solve(d, &x, &[], &end, &CouplingConfig::balanced(BLUR * BLUR))?
            };
            log_weights = coupling.between(d, &mut x, &end, part, 0.0, rng.random());
        }
        let mut found = [0.0; 3];
        for (value, loss) in found.iter_mut().zip(measures()) {
            let x = Cloud::weighted(&x, &log_weights);
            *value = CloudLoss::new(d, &loss)?.evaluate(x, Cloud::equal(&y), None)?.value;
        }
        Ok(Some(found))
    }

    fn seed_of(&self, draw: u64) -> u64 {
        sub_seed(self.seed, "left out").wrapping_add(draw)
    }

    /// Different cells of a time, scaled.
    fn drawn(&self, time: usize, rng: &mut Pcg64) -> Result<Vec<f32>, TrainError> {
        let (d, states) = (self.data.dim, &self.data.states[time]);
        let n = states.cells(d);
        let mut rows: Vec<u32> = (0..n as u32).collect();
        let count = self.cells.min(n);
        for i in 0..count {
            let j = rng.random_range(i..n);
            rows.swap(i, j);
        }
        let mut out = vec![0.0; count * d];
        states.gather(d, &rows[..count], &mut out)?;
        out.iter_mut().zip(self.inverse_scale.iter().cycle()).for_each(|(x, s)| *x *= s);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_train::States;

    /// Two arms, of which one grows threefold while both move up by two.
    fn arms() -> Snapshots<f32> {
        let mut rng = Pcg64::seed_from_u64(4);
        let cloud = |t: f32, grown: usize, rng: &mut Pcg64| -> Vec<f32> {
            let mut states = Vec::new();
            for i in 0..400 + grown {
                let side = if i < 200 { -2.0 } else { 2.0 };
                states.extend([side + 0.3 * rng.random::<f32>(), t + 0.3 * rng.random::<f32>()]);
            }
            states
        };
        let states =
            States::each([cloud(0.0, 0, &mut rng), cloud(1.0, 146, &mut rng), cloud(2.0, 400, &mut rng)]);
        Snapshots { dim: 2, times: vec![0.0, 1.0, 2.0], states, ..Snapshots::default() }
    }

    #[test]
    fn references_are_ordered_as_they_must_be() {
        let data = arms();
        let left_out = LeftOut {
            data: &data,
            time: 1,
            before: 0,
            after: Some(2),
            trained: &[0.0, 2.0],
            blur: 0.6,
            inverse_scale: &[1.0, 1.0],
            cells: 300,
            seed: 1,
        };
        let of = |reference| left_out.distances(reference, 0).unwrap().unwrap();
        let [before, balanced, unbalanced] = Reference::ALL.map(of);
        for (measure, name) in MEASURES.iter().enumerate() {
            assert!(balanced[measure] < 0.5 * before[measure], "{name}: {balanced:?} {before:?}");
            assert!(unbalanced[measure] < 0.5 * balanced[measure], "{name}: {unbalanced:?} {balanced:?}");
        }
        let floor = left_out.floor(10).unwrap();
        assert!(floor[0].mean.abs() < 0.01 && unbalanced[0] < 0.1, "{floor:?} {unbalanced:?}");
        // The blur is that of a mean gap of the times trained on, here twice as long as the one bridged.
        let unequal = LeftOut { trained: &[0.0, 2.0, 8.0], ..left_out };
        let distance =
            |left: LeftOut<'_>| left.distances(Reference::UnbalancedTransport, 0).unwrap().unwrap();
        assert_eq!(distance(LeftOut { blur: 1.2, ..unequal }), unbalanced);
        assert_ne!(distance(unequal), unbalanced);
        let last = LeftOut { time: 2, before: 1, after: None, ..left_out };
        assert_eq!(last.distances(Reference::Transport, 0).unwrap(), None);
    }
}
