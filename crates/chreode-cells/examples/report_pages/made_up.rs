//! A demo result without a training: from a slightly wrong copy of the true network.

use chreode_cells::demo::{
    DemoResult, EffectRow, FateFraction, HeldOutDistance, OutsideRow, ScoreRow, Scores, SignScore, SpreadRow,
};
use chreode_cells::virtual_blood::{
    D, END, Effect, FACTORS, Fate, Intervention, Reference, Run, SNAPSHOT_TIMES, VirtualBlood, calibration,
    cross_entropy, fate_counts, fate_fractions, field_cells, field_score, imitable_interventions, intervene,
    simulate_to, snapshots, spreads, start_states, true_ends,
};
use chreode_core::{Diffusion, FieldError, NoiseKind, VectorField};
use chreode_train::{Cloud, CloudLoss, LossConfig};

/// Whatever goes wrong.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// How many cells of each kind; all figures scale with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Cells of a snapshot.
    pub(crate) snapshot: usize,
    /// Cells of day 6, and of each intervention.
    pub(crate) ends: usize,
    /// Progenitors, and runs of each.
    pub(crate) progenitors: (usize, usize),
    /// Cells at which the fields are compared.
    pub(crate) field: usize,
}

/// The network with a weaker, tilted drift and stronger noise: what a mediocre fit looks like.
#[derive(Debug, Clone)]
pub(crate) struct Slanted(VirtualBlood);

impl VectorField<f32> for Slanted {
    fn dim(&self) -> usize {
        D
    }

    fn eval(&mut self, t: f64, y: &[f32], p: &[f32], dy: &mut [f32]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)?;
        for (dy, y) in dy.chunks_exact_mut(D).zip(y.chunks_exact(D)) {
            for i in 0..D {
                dy[i] = 0.9 * dy[i] + 0.08 * (y[(i + 1) % D] - 0.4);
            }
        }
        Ok(())
    }
}

impl Diffusion<f32> for Slanted {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Diagonal
    }

    fn diffusion(&mut self, t: f64, y: &[f32], p: &[f32], g: &mut [f32]) -> Result<(), FieldError> {
        self.0.diffusion(t, y, p, g)?;
        for g in g {
            *g = 1.1 * *g + 0.012;
        }
        Ok(())
    }
}

/// A factor name and the kind of an intervention, in the words of the report.
fn words(intervention: Intervention) -> (&'static str, &'static str) {
    match intervention {
        Intervention::KnockOut(i) => ("knock-out", FACTORS[i]),
        Intervention::Clamp(i) => ("clamp at 0", FACTORS[i]),
        Intervention::OverExpress(i, level) if level < 0.3 => ("over-expressed at 0.2", FACTORS[i]),
        Intervention::OverExpress(i, _) => ("over-expressed at 0.5", FACTORS[i]),
    }
}

fn energy(a: &[f32], b: &[f32]) -> Result<f64, Failure> {
    let mut loss = CloudLoss::new(D, &LossConfig::default())?;
    Ok(loss.evaluate(Cloud::equal(a), Cloud::equal(b), None)?.value)
}

/// A demo result as a mediocre fit would give it.
pub(crate) fn demo(sizes: Sizes) -> Result<DemoResult, Failure> {
    let model = Slanted(VirtualBlood::wild_type());
    let seen = snapshots::<f32>(sizes.snapshot, 1)?;
    let start = start_states::<f32>(sizes.ends, 2);
    let (truth, ends) = (
        true_ends(&start, 3)?,
        simulate_to(&model, &[], &start, END, Run { dt: 1.0 / 16.0, seed: 3, clamp: None })?,
    );
    let at_two = simulate_to(&model, &[], &seen[1], 1.0, Run { dt: 1.0 / 16.0, seed: 4, clamp: None })?;
    let floors = (0..6)
        .map(|k| {
            let other = simulate_to(
                &VirtualBlood::wild_type(),
                &[],
                &start_states::<f32>(sizes.snapshot, 50 + k),
                2.0,
                Run::truth(60 + k),
            )?;
            energy(&seen[2], &other)
        })
        .collect::<Result<Vec<f64>, Failure>>()?;
    let floor = floors.iter().sum::<f64>() / floors.len() as f64;
    let floor_sd = (floors.iter().map(|f| (f - floor).powi(2)).sum::<f64>() / 5.0).sqrt();

    let (p_true, p_model) = (fate_fractions(&truth), fate_fractions(&ends));
    let se = |p: f64| (p * (1.0 - p) / sizes.ends as f64).sqrt();
    let fractions = Fate::ALL
        .iter()
        .enumerate()
        .map(|(k, f)| FateFraction {
            fate: f.name(),
            truth: p_true[k],
            truth_se: se(p_true[k]),
            model: p_model[k],
            model_se: se(p_model[k]),
        })
        .collect();
    let (sd_true, sd_model) = (spreads(&truth), spreads(&ends));
    let spreads = (0..4)
        .flat_map(|f| (0..D).map(move |i| (f, i)))
        .map(|(f, i)| SpreadRow {
            fate: Fate::ALL[f].name(),
            factor: FACTORS[i],
            truth: sd_true[f][i],
            model: sd_model[f][i],
        })
        .collect();

    let mut effects = Vec::new();
    for intervention in imitable_interventions() {
        let (kind, factor) = words(intervention);
        let changed = intervene(Some(intervention), &start, 3)?;
        let effect = Effect::of(&changed, &truth);
        // The model's effects: shrunk, and wrong for one factor.
        let tilt = if factor == "Gfi1" { -0.4 } else { 0.8 };
        let mut model = effect;
        model.change.iter_mut().for_each(|c| *c *= tilt);
        effects.push(EffectRow { kind, factor, truth: effect, model });
    }
    let clear: Vec<[f64; 2]> = effects
        .iter()
        .flat_map(|e| (0..5).map(|k| [e.truth.change[k], e.model.change[k]]))
        .filter(|c| c[0].abs() > 0.05)
        .collect();
    let dot = |a: usize, b: usize| clear.iter().map(|c| c[a] * c[b]).sum::<f64>();
    let sign = SignScore {
        right: clear.iter().filter(|c| c[0] * c[1] > 0.0).count(),
        of: clear.len(),
        correlation: dot(0, 1) / (dot(0, 0) * dot(1, 1)).sqrt(),
        slope: dot(0, 1) / dot(0, 0),
    };

    let (n, runs) = sizes.progenitors;
    let progenitors = start_states::<f32>(n, 5);
    let counts = fate_counts(&VirtualBlood::wild_type(), &[], &progenitors, runs, Run::truth(6))?;
    let again = fate_counts(&VirtualBlood::wild_type(), &[], &progenitors, runs, Run::truth(7))?;
    let predicted =
        fate_counts(&model, &[], &progenitors, runs, Run { dt: 1.0 / 16.0, seed: 8, clamp: None })?;
    let (bins, calibration_error) = calibration(&counts, &predicted, 10);
    let shares = |counts: &[[f64; 5]]| -> Vec<[f64; 5]> {
        counts.iter().map(|c| c.map(|v| v / runs as f64)).collect()
    };
    let mean: [f64; 5] =
        std::array::from_fn(|k| counts.iter().map(|c| c[k] / (n * runs) as f64).sum::<f64>());
    let base_rate = -mean.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>();

    let cells = field_cells::<f32>(sizes.field, 9)?;
    let zeros = || vec![0.0_f32; cells.len()];
    let (mut drift, mut diffusion, mut true_drift, mut true_diffusion) = (zeros(), zeros(), zeros(), zeros());
    model.clone().drift_and_diffusion(0.0, &cells, &[], &mut drift, &mut diffusion)?;
    VirtualBlood::wild_type().drift_and_diffusion(0.0, &cells, &[], &mut true_drift, &mut true_diffusion)?;
    let score = |sde: &mut dyn Diffusion<f32>| field_score(sde, &[], &cells).map(Some);
    let row = |name: &str, cross_entropy: f64, fields| ScoreRow { name: name.into(), cross_entropy, fields };
    let mut constant = Reference::constant_diffusion(&cells)?;
    let by_constant = fate_counts(&constant, &[], &progenitors, runs, Run::truth(8))?;
    let scores = Scores {
        model: row("this fit", cross_entropy(&counts, &predicted), score(&mut model.clone())?),
        oracle: row(
            "the true process",
            cross_entropy(&counts, &again),
            score(&mut VirtualBlood::wild_type())?,
        ),
        base_rate: row("base rate: mean fractions for every cell", base_rate, None),
        references: vec![
            row(
                "true drift, constant diffusion",
                cross_entropy(&counts, &by_constant),
                score(&mut constant)?,
            ),
            row("no learning: `g = c √x`", f64::NAN, score(&mut Reference::square_root(&cells)?)?),
            row(
                "no learning: pull to the nearest fate, true diffusion",
                f64::NAN,
                score(&mut Reference::nearest_attractor(&truth))?,
            ),
        ],
    };
    Ok(DemoResult {
        times: SNAPSHOT_TIMES.to_vec(),
        held_out: 2.0,
        held_out_distance: HeldOutDistance {
            model: energy(&at_two, &seen[2])?,
            floor,
            floor_sd,
            previous_time: energy(&seen[1], &seen[2])?,
        },
        snapshots: seen,
        settings: [
            ("model", "a slightly wrong copy of the network, not a fit"),
            ("drift", "production form, 2 × 64, SiLU"),
            ("diffusion", "diagonal, 32, softplus"),
            ("loss", "energy distance, unbiased"),
            ("step", "1/16 day, Euler-Maruyama (Itô)"),
            ("seed", "1"),
        ]
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .to_vec(),
        losses: (0..900).map(|i| (i, 0.02 + 0.8 * (-0.01 * i as f64).exp())).collect(),
        holdout_losses: (0..18).map(|i| (50 * i, 0.03 + 0.8 * (-0.5 * i as f64).exp())).collect(),
        seconds: 112.0,
        held_out_cells: at_two,
        fractions,
        true_ends: truth,
        model_ends: ends,
        spreads,
        effects,
        sign,
        calibration: bins,
        calibration_error,
        scores,
        progenitor_truth: shares(&counts),
        progenitor_model: shares(&predicted),
        field_cells: cells,
        drift,
        diffusion,
        true_drift,
        true_diffusion,
        outside: [(1.0, 0.012, 0.01), (2.0, 0.19, 0.17), (4.0, 0.055, 0.011), (6.0, 0.021, 0.009)]
            .map(|(time, model, truth)| OutsideRow { time, model, truth })
            .into(),
    })
}
