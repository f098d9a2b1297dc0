//! Everything that the demo measures of a fitted model, against the truth and against references.

use chreode_core::{Diffusion, sub_seed};
use chreode_model::{DiffusionConfig, GrowthNet, NeuralSde};
use chreode_train::{Cloud, CloudBar, EnergyDistance, OptimiserConfig, Snapshots, Statistic, Trainer};

use super::DemoError;
use super::result::{
    DemoResult, EffectRow, FateFraction, HeldOutDistance, OutsideRow, ScoreRow, Scores, SignScore, SpreadRow,
};
use super::settings::{DemoSettings, HELD_OUT, MODEL_DT};
use crate::trust::Manifold;
use crate::virtual_blood as blood;
use crate::virtual_blood::{D, Effect, FACTORS, Fate, Intervention, Reference, Run, VirtualBlood};

/// Runs of the truth that the sampling floor of the held-out day is averaged over.
const FLOOR_SAMPLES: u64 = 8;
/// True cells at which drift and diffusion are compared.
const FIELD_CELLS: usize = 2000;
/// Bins of the calibration curve.
const BINS: usize = 10;
/// Effects smaller than this in the truth are not asked for their sign.
const EFFECT: f64 = 0.05;

type Fit = Trainer<f32, NeuralSde<f32>, GrowthNet<f32>>;

pub(super) struct Judge<'a> {
    settings: &'a DemoSettings,
    fit: &'a Fit,
    model: &'a NeuralSde<f32>,
    p: &'a [f32],
    /// Parameters before training.
    first: Vec<f32>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(settings: &'a DemoSettings, fit: &'a Fit, first: Vec<f32>) -> Self {
        Self { settings, fit, model: &fit.model().sde, p: fit.best_params(), first }
    }

    fn seed(&self, name: &str) -> u64 {
        sub_seed(self.settings.seed, name)
    }

    fn model_run(&self, name: &str) -> Run {
        Run { dt: MODEL_DT, seed: self.seed(name), clamp: None }
    }

    pub(super) fn result(
        &self,
        losses: Vec<(u64, f64)>,
        holdout_losses: Vec<(u64, f64)>,
        seconds: f64,
        stage: &mut dyn FnMut(&str) -> Result<(), DemoError>,
    ) -> Result<DemoResult, DemoError> {
        stage("comparing the held-out day")?;
        let (held_out_distance, held_out_cells) = self.held_out()?;
        stage("reading fates and spreads")?;
        let start = blood::start_states::<f32>(self.settings.judged_cells, self.seed("judged cells"));
        // The same noise seed in every arm: the difference is the intervention's.
        let true_ends = blood::intervene(None, &start, self.seed("truth"))?;
        let model_ends = self.intervene(None, &start)?;
        stage("clamping and over-expressing every factor")?;
        let effects = self.effects(&start, &true_ends, &model_ends)?;
        stage("following single progenitors")?;
        let field_cells = blood::field_cells::<f32>(FIELD_CELLS, self.seed("field cells"))?;
        let fates = self.progenitors(&field_cells)?;
        let (drift, diffusion) = fields(&mut self.model.clone(), self.p, &field_cells)?;
        let (true_drift, true_diffusion) = fields(&mut VirtualBlood::wild_type(), &[], &field_cells)?;
        let (calibration, calibration_error) = blood::calibration(&fates.truth, &fates.model, BINS);
        let probabilities = |counts: &[[f64; 5]]| {
            counts.iter().map(|c| c.map(|v| v / c.iter().sum::<f64>())).collect::<Vec<_>>()
        };
        Ok(DemoResult {
            times: self.fit.data().times.clone(),
            held_out: self.fit.data().times[HELD_OUT],
            snapshots: snapshots(self.fit.data())?,
            settings: self.settings_in_words(),
            losses,
            holdout_losses,
            seconds,
            held_out_distance,
            held_out_cells,
            fractions: fractions(&true_ends, &model_ends),
            spreads: spreads(&true_ends, &model_ends),
            sign: sign(&effects),
            effects,
            calibration,
            calibration_error,
            progenitor_truth: probabilities(&fates.truth),
            progenitor_model: probabilities(&fates.model),
            scores: fates.scores,
            outside: self.outside(&start)?,
            true_ends,
            model_ends,
            field_cells,
            drift,
            diffusion,
            true_drift,
            true_diffusion,
        })
    }

    /// Energy distance of two clouds in the scale of the training loss.
    fn distance(&self, x: &[f32], y: &[f32]) -> Result<f64, DemoError> {
        let scaled = |x: &[f32]| -> Vec<f32> {
            x.iter().enumerate().map(|(k, v)| v * self.fit.inverse_scale()[k % D]).collect()
        };
        let mut energy = EnergyDistance::<f32>::new(D, Statistic::Unbiased)?;
        Ok(energy.evaluate(Cloud::equal(&scaled(x)), Cloud::equal(&scaled(y)), None::<CloudBar<'_, f32>>)?)
    }

    /// From the cells of the snapshot before to the held-out day.
    fn held_out(&self) -> Result<(HeldOutDistance, Vec<f32>), DemoError> {
        let data = self.fit.data();
        let seen = &data.states[HELD_OUT].all(D)?;
        let before = &data.states[HELD_OUT - 1].all(D)?;
        let gap = data.times[HELD_OUT] - data.times[HELD_OUT - 1];
        let cells = blood::simulate_to(self.model, self.p, before, gap, self.model_run("held-out day"))?;
        let floor = (0..FLOOR_SAMPLES)
            .map(|k| {
                let seed = sub_seed(self.seed("sampling floor"), &k.to_string());
                let start = blood::start_states::<f32>(self.settings.cells, seed);
                let sample = blood::simulate_to(
                    &VirtualBlood::wild_type(),
                    &[],
                    &start,
                    data.times[HELD_OUT],
                    Run::truth(seed),
                )?;
                self.distance(&sample, seen)
            })
            .collect::<Result<Vec<f64>, DemoError>>()?;
        let n = floor.len() as f64;
        let mean = floor.iter().sum::<f64>() / n;
        let variance = floor.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let distance = HeldOutDistance {
            model: self.distance(&cells, seen)?,
            floor: mean,
            floor_sd: variance.sqrt(),
            previous_time: self.distance(before, seen)?,
        };
        Ok((distance, cells))
    }

    /// The model's states at day 6 under an intervention, as the network's [`blood::intervene`].
    fn intervene(&self, intervention: Option<Intervention>, start: &[f32]) -> Result<Vec<f32>, DemoError> {
        let (mut model, mut run) = (self.model.clone(), self.model_run("judged noise"));
        match intervention {
            Some(Intervention::Clamp(i)) => run.clamp = Some(i),
            Some(Intervention::OverExpress(i, level)) => {
                let mut forcing = vec![0.0; D];
                forcing[i] = model.decay_rates(self.p)?[i] * level as f32;
                model.set_forcing(Some(forcing))?;
            }
            // A model that knows no production of its own cannot switch it off: not among the imitable ones.
            Some(Intervention::KnockOut(_)) | None => {}
        }
        Ok(blood::simulate_to(&model, self.p, start, blood::END, run)?)
    }

    fn effects(
        &self,
        start: &[f32],
        true_ends: &[f32],
        model_ends: &[f32],
    ) -> Result<Vec<EffectRow>, DemoError> {
        blood::imitable_interventions()
            .into_iter()
            .map(|intervention| {
                let truth = blood::intervene(Some(intervention), start, self.seed("truth"))?;
                let model = self.intervene(Some(intervention), start)?;
                let (kind, factor) = match intervention {
                    Intervention::KnockOut(i) => ("knocked out", i),
                    Intervention::Clamp(i) => ("clamp at 0", i),
                    Intervention::OverExpress(i, level) if level < 0.35 => ("over-expressed at 0.2", i),
                    Intervention::OverExpress(i, _) => ("over-expressed at 0.5", i),
                };
                Ok(EffectRow {
                    kind,
                    factor: FACTORS[factor],
                    truth: Effect::of(&truth, true_ends),
                    model: Effect::of(&model, model_ends),
                })
            })
            .collect()
    }

    fn progenitors(&self, cells: &[f32]) -> Result<Progenitors, DemoError> {
        let runs = self.settings.runs;
        let start = blood::start_states::<f32>(self.settings.progenitors, self.seed("progenitors"));
        let network = VirtualBlood::wild_type();
        // Two independent halves: one is the truth, the other what an oracle with as many runs would say.
        let truth = blood::fate_counts(&network, &[], &start, runs, Run::truth(self.seed("truth of fates")))?;
        let oracle = blood::fate_counts(&network, &[], &start, runs, Run::truth(self.seed("oracle")))?;
        let run = self.model_run("fates");
        let model = blood::fate_counts(self.model, self.p, &start, runs, run)?;
        let untrained = blood::fate_counts(self.model, &self.first, &start, runs, run)?;
        let constant = Reference::constant_diffusion(cells).map_err(crate::AnalysisError::from)?;
        let constant_fates = blood::fate_counts(&constant, &[], &start, runs, run)?;
        let root = Reference::square_root(cells).map_err(crate::AnalysisError::from)?;
        let ends = blood::intervene(None, &start, self.seed("attractors"))?;
        let pull = Reference::nearest_attractor(&ends);
        let mean: [f64; 5] = std::array::from_fn(|k| truth.iter().map(|c| c[k]).sum());

        let score = |counts: &[[f64; 5]]| blood::cross_entropy(&truth, counts);
        let row = |name: &str, cross_entropy, fields| ScoreRow { name: name.into(), cross_entropy, fields };
        let fields = |sde: &mut dyn Diffusion<f32>, p: &[f32]| -> Result<_, DemoError> {
            Ok(Some(blood::field_score(sde, p, cells).map_err(crate::AnalysisError::from)?))
        };
        let scores = Scores {
            model: row("this fit", score(&model), fields(&mut self.model.clone(), self.p)?),
            oracle: row("oracle: the true process", score(&oracle), fields(&mut network.clone(), &[])?),
            base_rate: row("base rate for every cell", score(&vec![mean; truth.len()]), None),
            references: vec![
                row(
                    "true drift, constant diffusion",
                    score(&constant_fates),
                    fields(&mut constant.clone(), &[])?,
                ),
                row(
                    "no learning: the model before training",
                    score(&untrained),
                    fields(&mut self.model.clone(), &self.first)?,
                ),
                row("no learning: g = c √x, true drift", f64::NAN, fields(&mut root.clone(), &[])?),
                row(
                    "no learning: pull to the nearest attractor, true diffusion",
                    f64::NAN,
                    fields(&mut pull.clone(), &[])?,
                ),
            ],
        };
        Ok(Progenitors { truth, model, scores })
    }

    /// Fractions of the model's and of true cells from the same start that are outside the training cells.
    fn outside(&self, start: &[f32]) -> Result<Vec<OutsideRow>, DemoError> {
        let data = self.fit.data();
        let mut cells = snapshots(data)?;
        cells.remove(HELD_OUT);
        let manifold = Manifold::new(cells.concat(), D)?;
        data.times[1..]
            .iter()
            .map(|&t| {
                let model = blood::simulate_to(self.model, self.p, start, t, self.model_run("outside"))?;
                let run = Run::truth(self.seed("outside in truth"));
                let truth = blood::simulate_to(&VirtualBlood::wild_type(), &[], start, t, run)?;
                let outside = |states: &[f32]| Ok::<_, DemoError>(manifold.distances(states)?.outside());
                Ok(OutsideRow { time: t, model: outside(&model)?, truth: outside(&truth)? })
            })
            .collect()
    }

    fn settings_in_words(&self) -> Vec<(String, String)> {
        let (config, train) = (self.model.config(), self.fit.config());
        let noise = match (&config.diffusion, config.diffusion.net()) {
            (DiffusionConfig::Langevin { initial_level, .. }, _) => {
                format!("chemical Langevin, one free scale a factor, started at {initial_level} × its spread")
            }
            (other, Some((hidden, _))) => format!("{}, hidden layers {hidden:?}", other.name()),
            (other, None) => other.name().into(),
        };
        let optimiser = match &train.optimiser {
            OptimiserConfig::Adam { weight_decay, .. } => format!("Adam, weight decay {weight_decay}"),
            OptimiserConfig::RmsProp { .. } => "RMSprop".into(),
            OptimiserConfig::Sgd { momentum, .. } => format!("gradient descent, momentum {momentum}"),
        };
        [
            ("seed", self.settings.seed.to_string()),
            ("cells of a snapshot", self.settings.cells.to_string()),
            ("drift", format!("{}, hidden layers {:?}", config.drift.kind, config.drift.hidden)),
            ("diffusion", noise),
            ("parameters", self.p.len().to_string()),
            ("loss", "unbiased energy distance, all coordinates in one scale".into()),
            ("optimiser", format!("{optimiser}, learning rate {}", train.learning_rate)),
            ("updates", train.steps.to_string()),
            ("cells in a minibatch", format!("{} per time", train.batch)),
            ("step in training", format!("{} days", train.dt)),
            ("step in prediction", format!("{MODEL_DT} days")),
            ("held-out cells", format!("{} of each training time", train.hold_out)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

struct Progenitors {
    truth: Vec<[f64; 5]>,
    model: Vec<[f64; 5]>,
    scores: Scores,
}

fn fields(sde: &mut dyn Diffusion<f32>, p: &[f32], cells: &[f32]) -> Result<(Vec<f32>, Vec<f32>), DemoError> {
    let (mut f, mut size) = (vec![0.0; cells.len()], vec![0.0; cells.len()]);
    let kind = sde.noise_kind();
    let mut g = vec![0.0; cells.len() / D * kind.values(D)];
    sde.drift_and_diffusion(0.0, cells, p, &mut f, &mut g).map_err(crate::AnalysisError::from)?;
    kind.sizes(D, &g, &mut size);
    Ok((f, size))
}

fn fractions(true_ends: &[f32], model_ends: &[f32]) -> Vec<FateFraction> {
    let (truth, model) = (blood::fate_fractions(true_ends), blood::fate_fractions(model_ends));
    let se = |p: f64, ends: &[f32]| (p * (1.0 - p) / (ends.len() / D) as f64).sqrt();
    Fate::ALL
        .iter()
        .enumerate()
        .map(|(k, fate)| FateFraction {
            fate: fate.name(),
            truth: truth[k],
            truth_se: se(truth[k], true_ends),
            model: model[k],
            model_se: se(model[k], model_ends),
        })
        .collect()
}

fn spreads(true_ends: &[f32], model_ends: &[f32]) -> Vec<SpreadRow> {
    let (truth, model) = (blood::spreads(true_ends), blood::spreads(model_ends));
    let row = |fate: usize, i: usize| SpreadRow {
        fate: Fate::ALL[fate].name(),
        factor: FACTORS[i],
        truth: truth[fate][i],
        model: model[fate][i],
    };
    (0..4).flat_map(|fate| (0..D).map(move |i| (fate, i))).map(|(fate, i)| row(fate, i)).collect()
}

/// Signs, correlation and slope over all changes that are larger than [`EFFECT`] in the truth.
fn sign(effects: &[EffectRow]) -> SignScore {
    let pairs: Vec<(f64, f64)> = effects
        .iter()
        .flat_map(|e| e.truth.change.into_iter().zip(e.model.change))
        .filter(|(truth, _)| truth.abs() > EFFECT)
        .collect();
    let n = pairs.len() as f64;
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
    let xy = mean(&|p| (p.0 - mx) * (p.1 - my));
    let (xx, yy) = (mean(&|p| (p.0 - mx).powi(2)), mean(&|p| (p.1 - my).powi(2)));
    SignScore {
        right: pairs.iter().filter(|(x, y)| x * y > 0.0).count(),
        of: pairs.len(),
        correlation: xy / (xx * yy).sqrt(),
        slope: xy / xx,
    }
}

/// The states of the cells, a list for each time.
fn snapshots(data: &Snapshots<f32>) -> Result<Vec<Vec<f32>>, DemoError> {
    data.states.iter().map(|states| Ok(states.all(D)?.into_owned())).collect()
}
