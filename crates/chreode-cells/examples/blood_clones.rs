//! What clones are worth in virtual blood: fits of 2,000 clones with five sister cells, once as cells of no known clone and once
//! among clones, by fates of 200 progenitors and by held-out clones.
//! Run with `cargo run --release -p chreode-cells --example blood_clones [seeds [blur [updates]]]`.

use chreode_cells::virtual_blood::{
    CLONES, D, Run, SNAPSHOT_TIMES, VirtualBlood, clone_snapshots, cross_entropy, fate_counts, start_states,
};
use chreode_model::{GrowthNet, ModelConfig, NeuralSde};
use chreode_train::{
    BridgeNoise, CloneCells, HoldOutBy, MatchingConfig, NoObserver, Schedule, Snapshots, States, TrainConfig,
    Trainer, clone_scores,
};
use std::error::Error;
use std::sync::atomic::AtomicBool;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<f64> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    let seeds = args.first().map_or(3, |&a| a as u64);
    let epsilon = args.get(1).copied().unwrap_or(0.5);
    let steps = args.get(2).map_or(300, |&a| a as u64);
    let progenitors = start_states::<f32>(200, 2);
    let truth = fate_counts(&VirtualBlood::wild_type(), &[], &progenitors, 400, Run::truth(1))?;
    let again = fate_counts(&VirtualBlood::wild_type(), &[], &progenitors, 400, Run::truth(2))?;
    let total: [f64; 5] = std::array::from_fn(|k| truth.iter().map(|c| c[k]).sum());
    let (base, oracle) = (cross_entropy(&truth, &vec![total; 200]), cross_entropy(&truth, &again));
    println!("fates of 200 progenitors: base rate {base:.3} nats, oracle {oracle:.3}");
    for seed in 0..seeds {
        let states = States::each(clone_snapshots::<f32>(CLONES, seed)?);
        let ids: Vec<_> = (0..CLONES as u64).map(Some).collect();
        let times = SNAPSHOT_TIMES.to_vec();
        let data = Snapshots { dim: D, times, states, groups: vec![ids; 5], ..Snapshots::default() };
        for neighbours in [None, Some(MatchingConfig::CLONE_NEIGHBOURS)] {
            let begin = std::time::Instant::now();
            let trainer = fit(data.clone(), neighbours, epsilon, steps, seed)?;
            let seconds = begin.elapsed().as_secs_f64();
            let (model, p) = (trainer.model(), trainer.best_params());
            let run = Run { dt: 1.0 / 12.0, seed: 3, clamp: None };
            let entropy = cross_entropy(&truth, &fate_counts(&model.sde, p, &progenitors, 400, run)?);
            let cells = CloneCells {
                data: trainer.data(),
                rows: &trainer.split().hold_out,
                inverse_scale: trainer.inverse_scale(),
                dt: trainer.config().dt,
                paths: 8,
                seed: 5,
            };
            let clones = if neighbours.is_some() { "clones" } else { "no clones" };
            print!("seed {seed}, {clones:>9}: fates {entropy:.3} nats ({seconds:.0} s); held-out clones");
            for s in clone_scores(model, p, &cells)? {
                print!("  {}-{} {:.4}", s.start, s.target, s.score);
            }
            println!();
        }
    }
    Ok(())
}

/// Couplings with the noise of the blur, and few updates: a minute of one processor.
fn fit(
    data: Snapshots<f32>,
    clone_neighbours: Option<usize>,
    epsilon: f64,
    steps: u64,
    seed: u64,
) -> Result<Trainer<f32, NeuralSde<f32>, GrowthNet<f32>>, Box<dyn Error>> {
    let cells = data.states.iter().filter_map(States::as_slice).flat_map(|s| s.chunks_exact(D));
    let n = cells.clone().count() as f64;
    let mean = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        (0..D).map(|k| cells.clone().map(|c| f(k, f64::from(c[k]))).sum::<f64>() / n).collect()
    };
    let shift = mean(&|_, x| x);
    let sd: Vec<f64> = mean(&|k, x| (x - shift[k]).powi(2)).into_iter().map(f64::sqrt).collect();
    let mut model =
        ModelConfig { times: Some(data.times.clone()), time_scale: 1.5, ..ModelConfig::new(shift, sd) };
    model.drift.hidden = vec![128, 128];
    let sde = NeuralSde::<f32>::new(model)?;
    let config = TrainConfig {
        seed,
        steps,
        batch: 256,
        evaluate_every: 100,
        dt: 0.15,
        matching: Some(MatchingConfig {
            epsilon,
            noise: BridgeNoise::Blur,
            clone_neighbours,
            ..MatchingConfig::default()
        }),
        learning_rate: 5e-3,
        schedule: Schedule::Cosine { warm_up: 0, over: steps, floor: 0.01 },
        hold_out_by: HoldOutBy::Clone,
        ..TrainConfig::default()
    };
    let first = sde.init(seed);
    let mut trainer = Trainer::new(sde, first, data, config)?;
    trainer.run(&mut NoObserver, &AtomicBool::new(false))?;
    Ok(trainer)
}
