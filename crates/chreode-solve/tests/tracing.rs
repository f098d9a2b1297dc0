//! What runs tell through `tracing`: one event for each, with its statistics or its error.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use chreode_core::{Calculus, NoiseKind, Tolerance, field};
use chreode_solve::{
    AdaptiveOptions, EnsembleOptions, Erk, PerTrajectory, SdeMethod, SolveOptions, TSIT5, TimeGrid, simulate,
    simulate_adaptive, solve, solve_lanes,
};
use chreode_testkit::{Lorenz, RingSde, SmoothField};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Fields by name, each as it is written.
type Told = BTreeMap<&'static str, String>;

/// Keeps the events of this crate.
#[derive(Default, Clone)]
struct Listener(Arc<Mutex<Vec<Told>>>);

struct Fields<'a>(&'a mut Told);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("chreode_solve")
    }
    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut told = Told::new();
        event.record(&mut Fields(&mut told));
        self.0.lock().unwrap().push(told);
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// The one event that `run` tells, and what it returns.
fn told<R>(run: impl FnOnce() -> R) -> (Told, R) {
    let listener = Listener::default();
    let result = tracing::subscriber::with_default(listener.clone(), run);
    let mut events = listener.0.lock().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    (events.remove(0), result)
}

#[track_caller]
fn says<const N: usize>(told: &Told, fields: [(&str, String); N]) {
    for (name, value) in fields {
        assert_eq!(told.get(name), Some(&value), "{name} in {told:?}");
    }
}

const P: [f64; 3] = [10.0, 28.0, 8.0 / 3.0];

#[test]
fn a_run_tells_its_statistics() {
    let mut y = [1.0, 2.0, 3.0];
    let options = SolveOptions::tolerance(1e-6, 1e-6);
    let mut lorenz = SmoothField(Lorenz);
    let mut tsit5 = Erk::new(&TSIT5, 1, 3);
    let (event, stats) =
        told(|| solve(&mut lorenz, &P, &mut y, (0.0, 2.0), &mut tsit5, &options, &mut |_, _, _| {}));
    let stats = stats.unwrap();
    says(
        &event,
        [
            ("message", "a run ended".into()),
            ("start", "0.0".into()),
            ("end", "2.0".into()),
            ("stopped", "End".into()),
            ("accepted", stats.accepted.to_string()),
            ("rejected", stats.rejected.to_string()),
            ("evals", stats.work.evals.to_string()),
            ("h_next", format!("{:?}", stats.h_next)),
        ],
    );
    assert!(stats.accepted > 20);
}

#[test]
fn a_run_that_fails_tells_its_error() {
    let mut blow_up = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = y[0] * y[0]);
    let options = SolveOptions { max_steps: 5, ..SolveOptions::tolerance(1e-6, 1e-6) };
    let mut tsit5 = Erk::new(&TSIT5, 1, 1);
    let (event, error) =
        told(|| solve(&mut blow_up, &[], &mut [1.0], (0.0, 2.0), &mut tsit5, &options, &mut |_, _, _| {}));
    says(&event, [("message", "a run failed".into()), ("error", error.unwrap_err().to_string())]);
    assert_ne!(event["evals"], "0");
}

#[test]
fn an_ensemble_in_lanes_tells_its_totals() {
    let p: Vec<f64> = (0..40).flat_map(|_| P).collect();
    let mut y = [1.0, 2.0, 3.0].repeat(40);
    y[3 * 7] = f64::NAN;
    let options = SolveOptions::tolerance(1e-6, 1e-6);
    let (event, runs) = told(|| {
        let (span, options) = (PerTrajectory::Same((0.0, 1.0)), PerTrajectory::Same(options));
        solve_lanes(&Lorenz, &p, &mut y, span, options)
    });
    let runs = runs.unwrap();
    let accepted: u64 = runs.outcomes().iter().flatten().map(|stats| stats.accepted).sum();
    let evals: u64 = runs.outcomes().iter().flatten().map(|stats| stats.work.evals).sum();
    says(
        &event,
        [
            ("message", "an ensemble ended".into()),
            ("trajectories", "40".into()),
            ("failed", "1".into()),
            ("accepted", accepted.to_string()),
            ("evals", evals.to_string()),
        ],
    );
    assert!(accepted > 400);
}

#[test]
fn stochastic_ensembles_tell_theirs() {
    let sde = RingSde { dim: 3, noise: NoiseKind::Additive, calculus: Calculus::Ito };
    let y0 = [0.1; 30];
    let grid = TimeGrid::new(0.0, &[0.5, 1.0], 0.1).unwrap();
    let (event, _) = told(|| simulate(&sde, &[0.5], &y0, &grid, &EnsembleOptions::new(3)).unwrap());
    says(
        &event,
        [
            ("message", "a stochastic ensemble ended".into()),
            ("trajectories", "10".into()),
            ("accepted", "100".into()),
            ("rejected", "0".into()),
        ],
    );
    let options = AdaptiveOptions::new(SdeMethod::Sra1, Tolerance::new(1e-3, 1e-3), 1);
    let run = |y0: &[f64]| simulate_adaptive(&sde, &[0.5], y0, (0.0, 1.0), &[1.0], &options);
    let (event, ensemble) = told(|| run(&y0).unwrap());
    says(
        &event,
        [
            ("method", "\"SRA1\"".into()),
            ("accepted", ensemble.accepted.to_string()),
            ("rejected", ensemble.rejected.to_string()),
        ],
    );
    let (event, error) = told(|| run(&[0.1, f64::NAN, 0.1]).unwrap_err());
    says(&event, [("message", "a stochastic ensemble failed".into()), ("error", error.to_string())]);
}
