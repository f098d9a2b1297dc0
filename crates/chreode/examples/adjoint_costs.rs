//! What gradients cost: states kept, steps taken again and time by each way of checkpointing, against the steps of a run; time of a
//! gradient over that of the run alone, against the number of parameters of a net.
//!
//! Draws `adjoint_memory.svg`, `adjoint_again.svg`, `adjoint_time.svg` and `adjoint_parameters.svg` into the folder that is named, or here.
//! `cargo run --release -p chreode --example adjoint_costs -- docs/figures`

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use chreode::adjoint::{Checkpoints, ForwardSensitivities};
use chreode::autodiff::Auto;
use chreode::core::{BrownianIncrements, Dynamics, Number};
use chreode::prelude::*;
use chreode::report::{Lines, Series};
use chreode::solve::RK4;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Coordinates in a row, each pulled by its neighbours.
#[derive(Clone, Copy)]
struct Chain;

const LINKS: usize = 100;

impl Dynamics for Chain {
    fn dim(&self) -> usize {
        LINKS
    }
    fn n_params(&self) -> usize {
        2
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        for i in 0..LINKS {
            let (before, after) = (y[(i + LINKS - 1) % LINKS], y[(i + 1) % LINKS]);
            dy[i] = p[0] * (before - y[i]) + p[1] * (after - y[i]) * y[i] + t.sin() * p[0];
        }
    }
}

/// A net with two hidden layers of `width` and tanh, as a field of 10 coordinates.
#[derive(Clone, Copy)]
struct Net {
    width: usize,
}

const INPUTS: usize = 10;
/// Cells that go together through a net.
const CELLS: usize = 64;

impl Net {
    fn layers(self) -> [(usize, usize); 3] {
        [(INPUTS, self.width), (self.width, self.width), (self.width, INPUTS)]
    }
}

impl Dynamics for Net {
    fn dim(&self) -> usize {
        INPUTS
    }
    fn n_params(&self) -> usize {
        self.layers().iter().map(|(inp, out)| (inp + 1) * out).sum()
    }
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let mut x = y.to_vec();
        let mut p = p;
        for (l, (inp, out)) in self.layers().into_iter().enumerate() {
            let (w, rest) = p.split_at(inp * out);
            let (b, rest) = rest.split_at(out);
            p = rest;
            let sums =
                w.chunks_exact(inp).zip(b).map(|(w, &b)| w.iter().zip(&x).fold(b, |s, (&w, &x)| s + w * x));
            x = sums.map(|z| if l < 2 { z.tanh() } else { z }).collect();
        }
        dy.copy_from_slice(&x);
    }
}

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(PathBuf::new, PathBuf::from);
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(&folder)?;
    }
    let [memory, again, time] = checkpointing()?;
    std::fs::write(folder.join("adjoint_memory.svg"), memory.svg())?;
    std::fs::write(folder.join("adjoint_again.svg"), again.svg())?;
    std::fs::write(folder.join("adjoint_time.svg"), time.svg())?;
    std::fs::write(folder.join("adjoint_parameters.svg"), parameters()?.svg())?;
    Ok(())
}

/// Gradients of runs of more and more equal steps.
fn checkpointing() -> Result<[Lines; 3]> {
    let (mut ahead, mut f): (Auto<_>, Auto<_>) = (Auto::new(Chain), Auto::new(Chain));
    let ways = [
        ("all", Checkpoints::All),
        ("every 100th", Checkpoints::Every(100)),
        ("100 states", Checkpoints::States(100)),
        ("10 states", Checkpoints::States(10)),
    ];
    let (mut memory, mut again, mut time) = (Vec::new(), Vec::new(), Vec::new());
    println!("{:>7} {:>12} {:>10} {:>13} {:>12}", "steps", "way", "KiB kept", "steps again", "gradient/run");
    let mut exact = Vec::new();
    for (name, way) in ways {
        let (mut kept_at, mut again_at, mut time_at) = (Vec::new(), Vec::new(), Vec::new());
        for (k, steps) in [100_u32, 300, 1000, 3000, 10_000].into_iter().enumerate() {
            let mut adjoint = OdeAdjoint::with_checkpoints(&RK4, 1, LINKS, way)?;
            let options = SolveOptions { save_at: &[2.0], ..SolveOptions::fixed(2.0 / f64::from(steps)) };
            let (p, mut y0) = ([1.0, 0.3], [0.0; LINKS]);
            y0.iter_mut().zip(0_u32..).for_each(|(y, i)| *y = (0.37 * f64::from(i)).sin());
            let mut rk4 = Erk::new(&RK4, 1, LINKS);
            let run = || {
                let y = &mut y0.clone();
                solve(&mut ahead, &p, y, (0.0, 2.0), &mut rk4, &options, &mut |_, _, _| {})?;
                Ok(())
            };
            let (mut kept, mut evaluations, mut y_bar, mut p_bar) = (0, 0, [0.0; LINKS], [0.0; 2]);
            let gradient = || {
                let y = &mut y0.clone();
                adjoint.forward(&mut f, &p, y, (0.0, 2.0), &options, &mut |_i, _t, _y| {})?;
                (kept, evaluations) = (adjoint.stored_states(), adjoint.evaluation_bytes());
                p_bar = [0.0; 2];
                adjoint.backward(&mut f, &p, &[&[1.0; LINKS]], &mut y_bar, &mut p_bar)?;
                Ok(())
            };
            // Short runs often.
            let ratio = over((40_000 / steps).clamp(9, 99), run, gradient)?;
            // Every way gives the same bits.
            if exact.len() <= k {
                exact.push(p_bar);
            } else if exact[k] != p_bar {
                return Err(format!("{name}: {p_bar:?}, not {:?}", exact[k]).into());
            }
            // Of every 100th, the stretch in hand comes to those that the run kept.
            let stretch = if let Checkpoints::Every(k) = way { k - 1 } else { 0 };
            let kib = ((kept + stretch) * LINKS * 8 + evaluations) as f64 / 1024.0;
            let taken = adjoint.recomputed() as f64;
            println!("{steps:7} {name:>12} {kib:10.0} {taken:13} {ratio:12.2}");
            kept_at.push([f64::from(steps), kib]);
            again_at.push([f64::from(steps), 1.0 + taken / f64::from(steps)]);
            time_at.push([f64::from(steps), ratio]);
        }
        memory.push(Series::new(name, kept_at));
        again.push(Series::new(name, again_at));
        time.push(Series::new(name, time_at));
    }
    let memory = Lines::new(memory)
        .labels("steps of the run", "states and evaluations that are kept, KiB")
        .log_x()
        .log_y();
    let again = Lines::new(again)
        .labels("steps of the run", "steps taken, in units of the run's")
        .log_x()
        .from_zero();
    let time = Lines::new(time)
        .labels("steps of the run", "time of a gradient over that of the run")
        .log_x()
        .from_zero();
    Ok([memory, again, time])
}

/// Median, over some rounds, of the time that one call takes over the time of another right before it.
fn over(
    rounds: u32,
    mut run: impl FnMut() -> Result<()>,
    mut gradient: impl FnMut() -> Result<()>,
) -> Result<f64> {
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let begin = Instant::now();
        run()?;
        let there = begin.elapsed().as_secs_f64();
        gradient()?;
        ratios.push(begin.elapsed().as_secs_f64() / there - 1.0);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios[ratios.len() / 2])
}

/// Twenty steps of RK4 through nets of more and more parameters.
fn parameters() -> Result<Lines> {
    let options = SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(0.05) };
    let (mut adjoint, mut evaluating, mut sensitivities) = (Vec::new(), Vec::new(), Vec::new());
    println!("\nparameters  adjoint/run  evaluated again  sensitivities/run");
    for width in [4, 20, 90, 300, 980] {
        let net = Net { width };
        let n_params = net.n_params();
        let mut p = vec![0.0_f32; n_params];
        BrownianIncrements::new(1).fill(0, 0, 1, 1.0 / width as f64, &mut p);
        let mut y0 = vec![0.0_f32; CELLS * INPUTS];
        BrownianIncrements::new(1).fill(1, 0, 1, 1.0, &mut y0);

        // The adjoint, with kernels for nets.
        let mut config = ModelConfig::new(vec![0.0; INPUTS], vec![1.0; INPUTS]);
        config.drift.hidden = vec![width, width];
        config.drift.activation = chreode::linalg::Activation::Tanh;
        config.diffusion = chreode::model::DiffusionConfig::Constant { initial_level: 0.5 }; // not used
        let mut ahead = NeuralSde::<f32>::new(config.clone())?;
        let mut field = NeuralSde::<f32>::new(config)?;
        let weights = field.init(1);
        let mut rk4 = Erk::new(&RK4, CELLS, INPUTS);
        let mut run = || {
            let y = &mut y0.clone();
            solve(&mut ahead, &weights, y, (0.0, 1.0), &mut rk4, &options, &mut |_, _, _| {})?;
            Ok(())
        };
        let (mut y_bar, mut p_bar) = (vec![0.0; y0.len()], vec![0.0; weights.len()]);
        let bars = vec![1.0; y0.len()];
        // With evaluations kept from the way there, and made again on the way back.
        let mut costs = [0.0; 2];
        for (cost, keeps) in costs.iter_mut().zip([true, false]) {
            let mut reverse = OdeAdjoint::new(&RK4, CELLS, INPUTS);
            if !keeps {
                reverse.keep_evaluations(0);
            }
            *cost = over(if width > 100 { 9 } else { 25 }, &mut run, || {
                let y = &mut y0.clone();
                reverse.forward(&mut field, &weights, y, (0.0, 1.0), &options, &mut |_, _, _| {})?;
                reverse.backward(&mut field, &weights, &[&bars], &mut y_bar, &mut p_bar)?;
                Ok(())
            })?;
        }
        let [kept, again] = costs;
        adjoint.push([weights.len() as f64, kept]);
        evaluating.push([weights.len() as f64, again]);

        // Sensitivities of one cell, of a net that is written once.
        let mut ratio = f64::NAN;
        if n_params < 2000 {
            let p: Vec<f64> = p.iter().map(|&p| f64::from(p)).collect();
            let y0: Vec<f64> = y0[..INPUTS].iter().map(|&y| f64::from(y)).collect();
            let mut ahead: Auto<_> = Auto::new(net);
            let mut rk4 = Erk::new(&RK4, 1, INPUTS);
            let run = || {
                let y = &mut y0.clone();
                solve(&mut ahead, &p, y, (0.0, 1.0), &mut rk4, &options, &mut |_, _, _| {})?;
                Ok(())
            };
            let all: Vec<usize> = (0..n_params).collect();
            let mut f = ForwardSensitivities::new(Auto::<_>::new(net), &[], &all)?;
            let mut beside = Erk::new(&RK4, 1, f.dim());
            let mut z = vec![0.0; f.dim()];
            ratio = over(9, run, || {
                f.start(&y0, &mut z)?;
                solve(&mut f, &p, &mut z, (0.0, 1.0), &mut beside, &options, &mut |_, _, _| {})?;
                Ok(())
            })?;
            sensitivities.push([n_params as f64, ratio]);
        }
        println!("{:10} {kept:12.2} {again:16.2} {ratio:18.1}", weights.len());
    }
    let lines = vec![
        Series::new("discrete adjoint", adjoint),
        Series::new("evaluated again", evaluating),
        Series::new("sensitivities", sensitivities),
    ];
    Ok(Lines::new(lines).labels("parameters", "time of a gradient over that of the run").log_x().log_y())
}
