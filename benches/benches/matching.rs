//! One update by matching, couplings made before, on all threads; elements are points on bridges.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use chreode_benches::normals;
use chreode_model::{ModelConfig, NeuralSde};
use chreode_train::{BridgeNoise, MatchingConfig, Snapshots, TrainConfig, Trainer};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CELLS: usize = 1024;
const TIMES: [f64; 3] = [0.0, 1.0, 2.0];

/// Fields of the state alone, and those of time, whose drift is regressed on means of ends.
fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("matching/step");
    group.sample_size(20);
    for (d, of_time) in [(2, false), (50, false), (2, true), (50, true)] {
        let all = normals::<f32>(TIMES.len() * CELLS * d);
        let states = all.chunks(CELLS * d).map(<[f32]>::to_vec).collect();
        let data = Snapshots { dim: d, times: TIMES.to_vec(), states, growth: vec![], groups: vec![] };
        let mut model = ModelConfig::new(vec![0.0; d], vec![1.0; d]);
        model.drift.hidden = vec![128, 128];
        model.times = of_time.then(|| TIMES.to_vec());
        let noise = if of_time { BridgeNoise::Blur } else { BridgeNoise::Spread };
        let matching = Some(MatchingConfig { noise, cells: CELLS, ..MatchingConfig::default() });
        let config = TrainConfig { matching, ..TrainConfig::default() };
        let Ok(sde) = NeuralSde::<f32>::new(model) else { unreachable!("the sizes are above zero") };
        let first = sde.init(1);
        group.throughput(Throughput::Elements(((TIMES.len() - 1) * config.batch) as u64));
        let Ok(mut trainer) = Trainer::new(sde, first, data, config) else {
            unreachable!("data and settings fit")
        };
        let name = format!("{d} {}", if of_time { "of time" } else { "of the state" });
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| assert!(trainer.step().is_ok()));
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
