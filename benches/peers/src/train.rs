//! A whole training step, one line of input a run: 2,048 cells of 50 coordinates, nets 50-512-512-50 for drift and diffusion, 40
//! steps of Euler-Maruyama, Sinkhorn divergences (blur 0.05) at two later times, the gradient to the parameters, and Adam, in single
//! precision. `step WHAT` is answered as [`crate::turns`] says with the loss; `train.py` has the same sizes.

use chreode_core::BrownianIncrements;
use chreode_model::{DiffusionConfig, ModelConfig, NeuralSde};
use chreode_solve::TimeGrid;
use chreode_train::{
    Cloud, CloudBar, CpuEngine, Model, Optimiser, OptimiserConfig, Segment, SinkhornConfig,
    SinkhornDivergence,
};

use crate::gradient::noise;
use crate::turns::{Answer, Clock, serve_cases};

const CELLS: usize = 2048;
const DIM: usize = 50;
const WIDTH: usize = 512;

/// Reads cases, solves and answers, until the input ends.
pub fn serve() -> Result<(), String> {
    serve_cases(&["step"], |case, what, _| match (case, what) {
        ("step", "step") => step(),
        _ => Err(format!("no case {case} {what}")),
    })
}

fn step() -> Result<Answer, String> {
    let cloud = |k: usize| {
        let at = |i| (3.0_f64.sqrt() * noise(20 + k as u64, i) + 0.3 * k as f64) as f32;
        (0..CELLS * DIM).map(at).collect::<Vec<f32>>()
    };
    let mut config = ModelConfig::new(vec![0.0; DIM], vec![1.0; DIM]);
    config.drift.hidden = vec![WIDTH; 2];
    if let DiffusionConfig::Diagonal { hidden, .. } = &mut config.diffusion {
        *hidden = vec![WIDTH; 2];
    }
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let sde = NeuralSde::<f32>::new(config).map_err(|e| text(&e))?;
    let mut p = sde.init(1);
    let model: Model<_, _> = sde.into();
    let grid = TimeGrid::new(2.0, &[4.0, 6.0], 0.1).map_err(|e| text(&e))?;
    let starts = vec![cloud(0)];
    let targets = [cloud(1), cloud(2)];
    let noise = BrownianIncrements::new(2);
    let clock = Clock::start();
    let mut engine = CpuEngine::new(&model, vec![Segment { grid, rows: CELLS }]);
    let mut loss = SinkhornDivergence::new(DIM, SinkhornConfig::default()).map_err(|e| text(&e))?;
    let mut optimiser = Optimiser::new(OptimiserConfig::adam(), p.len());
    engine.simulate(&p, &noise, &[0], &starts).map_err(|e| text(&e))?;
    let mut bars = vec![vec![vec![0.0_f32; CELLS * DIM]; 2]];
    let mut value = 0.0;
    for (i, target) in targets.iter().enumerate() {
        let bar = CloudBar { states: &mut bars[0][i], log_weights: &mut [] };
        let x = Cloud::equal(engine.states(0, i));
        value += loss.evaluate(x, Cloud::equal(target), Some(bar)).map_err(|e| text(&e))?.value;
    }
    let mut p_bar = vec![0.0_f32; p.len()];
    let weights = vec![vec![vec![]; 2]];
    engine.pull_back(&p, &noise, &[0], &bars, &weights, &mut p_bar).map_err(|e| text(&e))?;
    optimiser.update(&mut p, &p_bar, 1e-5).map_err(|e| text(&e))?;
    Ok(clock.stop("chreode".into(), 40.0, vec![value]))
}
