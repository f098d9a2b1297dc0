//! Virtual blood as a benchmark of any method that learns from snapshots: a method of your own, scored beside
//! references that need no learning. Run with `cargo run --release -p chreode-cells --example benchmark_blood`.

use chreode_cells::virtual_blood::{
    CELLS_PER_TIME, D, Fate, Reference, Run, SNAPSHOT_TIMES, VirtualBlood, cross_entropy, fate_counts,
    fate_fractions, field_cells, field_score, simulate_to, snapshots, start_states, true_ends,
};
use chreode_core::{Diffusion, FieldError, NoiseKind, VectorField};

/// The method: each factor by itself goes from its mean of one day to its mean of the next, with a noise that
/// makes up for the lost variance. It knows nothing of other factors, so it cannot know of fates.
#[derive(Debug, Clone)]
struct Independent {
    /// For each gap between snapshots: its end, then rate of the mean and noise of each factor.
    gaps: Vec<(f64, [f32; D], [f32; D])>,
}

impl Independent {
    fn learn(cells: &[Vec<f32>]) -> Self {
        let moments = |states: &[f32], i: usize| {
            let column = || states.iter().skip(i).step_by(D);
            let n = column().count() as f32;
            let mean = column().sum::<f32>() / n;
            (mean, column().map(|x| (x - mean).powi(2)).sum::<f32>() / n)
        };
        let gaps = SNAPSHOT_TIMES.windows(2).zip(cells.windows(2)).map(|(t, cells)| {
            let span = (t[1] - t[0]) as f32;
            let of = |i| (moments(&cells[0], i), moments(&cells[1], i));
            let rate = std::array::from_fn(|i| (of(i).1.0 - of(i).0.0) / span);
            let noise = std::array::from_fn(|i| ((of(i).1.1 - of(i).0.1).max(0.0) / span).sqrt());
            (t[1], rate, noise)
        });
        Self { gaps: gaps.collect() }
    }

    fn at(&self, t: f64) -> &(f64, [f32; D], [f32; D]) {
        let gap = self.gaps.partition_point(|gap| gap.0 <= t);
        &self.gaps[gap.min(self.gaps.len() - 1)]
    }
}

impl VectorField<f32> for Independent {
    fn dim(&self) -> usize {
        D
    }
    fn eval(&mut self, t: f64, _y: &[f32], _p: &[f32], dy: &mut [f32]) -> Result<(), FieldError> {
        let rate = self.at(t).1;
        dy.chunks_exact_mut(D).for_each(|dy| dy.copy_from_slice(&rate));
        Ok(())
    }
}

impl Diffusion<f32> for Independent {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Additive
    }
    fn diffusion(&mut self, t: f64, _y: &[f32], _p: &[f32], g: &mut [f32]) -> Result<(), FieldError> {
        let noise = self.at(t).2;
        g.chunks_exact_mut(D).for_each(|g| g.copy_from_slice(&noise));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What a method may see: cells of five days, none seen twice.
    let seen = snapshots::<f32>(CELLS_PER_TIME, 1)?;
    let method = Independent::learn(&seen);

    // What it is asked for: fates of 200 progenitors, the fate fractions, and the fields.
    let progenitors = start_states::<f32>(200, 2);
    let cells = field_cells::<f32>(2000, 3)?;
    let start = start_states::<f32>(2000, 4);
    let truth = fate_counts(&VirtualBlood::wild_type(), &[], &progenitors, 200, Run::truth(1))?;
    let again = fate_counts(&VirtualBlood::wild_type(), &[], &progenitors, 200, Run::truth(2))?;
    let total: [f64; 5] = std::array::from_fn(|k| truth.iter().map(|c| c[k]).sum());
    let (base, oracle) = (cross_entropy(&truth, &vec![total; 200]), cross_entropy(&truth, &again));

    println!("fates of 200 progenitors: base rate {base:.3} nats, oracle {oracle:.3}");
    print!("\n{:<20} {:>8} {:>8} {:>8} ", "", "fates", "cos f", "corr g");
    for fate in Fate::ALL {
        print!("{:>6}", fate.name());
    }
    println!();
    let show = |name: &str, entropy: f64, score: Option<[f64; 2]>, ends: &[f32]| {
        let [cosine, correlation] =
            score.map_or(["-".into(), "-".into()], |score| score.map(|v| format!("{v:.2}")));
        print!("{name:<20} {entropy:>8.3} {cosine:>8} {correlation:>8} ");
        for fraction in fate_fractions(ends) {
            print!("{fraction:>6.2}");
        }
        println!();
    };
    show("the truth", oracle, Some([1.0, 1.0]), &true_ends(&start, 5)?);
    let run = Run { dt: 1.0 / 32.0, ..Run::truth(6) };
    let nearest = Reference::nearest_attractor(&true_ends(&start, 5)?);
    let references = [
        ("constant diffusion", Reference::constant_diffusion(&cells)?),
        ("g = c sqrt(x)", Reference::square_root(&cells)?),
        ("nearest attractor", nearest),
    ];
    let mut best = f64::INFINITY;
    for (name, mut reference) in references {
        let entropy = cross_entropy(&truth, &fate_counts(&reference, &[], &progenitors, 200, run)?);
        let score = field_score(&mut reference, &[], &cells)?;
        let ends = simulate_to(&reference, &[], &start, 6.0, run)?;
        show(name, entropy, Some([score.cosine_per_cell, score.log_g_correlation]), &ends);
        best = best.min(entropy);
    }
    let entropy = cross_entropy(&truth, &fate_counts(&method, &[], &progenitors, 200, run)?);
    // Its fields depend on the day, which a score over cells of all days does not know.
    show("factor by factor", entropy, None, &simulate_to(&method, &[], &start, 6.0, run)?);
    assert!(oracle < best && best < base, "true dynamics with a wrong noise know more than the base rate");
    assert!(entropy > base, "without interactions between factors, fates cannot be told");
    Ok(())
}
