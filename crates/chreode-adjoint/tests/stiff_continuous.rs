//! Continuous adjoints of the stiff corpus against the discrete gradient of a tight run, as the tolerance falls, and where they find no
//! way back.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use chreode_adjoint::{AdjointError, ContinuousAdjoint, ContinuousMethod, OdeAdjoint, OdeMethod};
use chreode_solve::{
    Bdf, Esdirk, KENCARP4, RODAS5P, Radau5, Rhs, Rosenbrock, SolveError, SolveOptions, Stepper, Work,
};
use chreode_testkit::{BrusselatorLine, StiffField};
use frozen::{Problem, Rated, difference, problems};

use ContinuousMethod::{Gauss, Interpolating};

type Maker = fn(usize, usize) -> Box<dyn Stepper<f64>>;
const RADAU5_BY: Maker = |n, d| Box::new(Radau5::new(n, d));
const BDF_BY: Maker = |n, d| Box::new(Bdf::new(n, d));
const KENCARP4_BY: Maker = |n, d| Box::new(Esdirk::new(&KENCARP4, n, d));
const RODAS5P_BY: Maker = |n, d| Box::new(Rosenbrock::new(&RODAS5P, n, d));
/// Of the Radau, BDF, ESDIRK and Rosenbrock methods, in this order.
const METHODS: [(&str, Maker); 4] =
    [("Radau5", RADAU5_BY), ("Bdf", BDF_BY), ("KenCarp4", KENCARP4_BY), ("Rodas5P", RODAS5P_BY)];

/// A problem of the corpus over a part of its span.
fn of_the_corpus(name: &str, t_end: f64) -> Problem {
    problems(&[(name, t_end)], OdeMethod::Radau5).remove(0)
}

/// A run of a problem with observations at four times, the start and the end among them, and its gradient.
struct Study {
    problem: Problem,
    p: Vec<f64>,
    at: [f64; 4],
    /// By coordinates in units of their sizes, then by parameters.
    exact: Vec<f64>,
    /// Whether the run ahead has the field's own Jacobian, or differences.
    own: bool,
}

impl Study {
    /// The gradient comes from steps of `reference` to this tolerance.
    fn new(problem: Problem, reference: OdeMethod, tolerance: f64) -> Self {
        let (d, np, end) = (problem.y0.len(), problem.f.np(), problem.t_end);
        let p: Vec<f64> = (0..np).map(|k| 1.0 + 0.02 * k as f64).collect();
        let mut study =
            Self { problem, p, at: [0.0, 0.31 * end, 0.62 * end, end], exact: Vec::new(), own: false };
        let (mut y, mut states) = (study.problem.y0.clone(), Vec::new());
        let absolute = tolerance * study.problem.floor;
        let options = SolveOptions { save_at: &study.at, ..SolveOptions::tolerance(tolerance, absolute) };
        let mut adjoint = OdeAdjoint::new(reference, 1, d);
        let save = &mut |_: usize, _: f64, y: &[f64]| states.push(y.to_vec());
        adjoint.forward(&mut study.problem.f, &study.p, &mut y, (0.0, end), &options, save).unwrap();
        let bars = study.bars(&states);
        let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
        let (mut y0_bar, mut p_bar) = (vec![0.0; d], vec![0.0; np]);
        adjoint.backward(&mut study.problem.f, &study.p, &bars, &mut y0_bar, &mut p_bar).unwrap();
        study.exact = study.told(&y0_bar, &p_bar);
        study
    }

    /// With the field's own Jacobian in the run ahead too.
    fn with_its_jacobian(self) -> Self {
        Self { own: true, ..self }
    }

    /// Of coordinates in units of their sizes, near half of which the cosine is neither 0 nor 1.
    fn bars(&self, states: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let bar = |(y, s): (&f64, &f64)| (y / s).cos() / s;
        states.iter().map(|y| y.iter().zip(&self.problem.scale).map(bar).collect()).collect()
    }

    fn told(&self, y0_bar: &[f64], p_bar: &[f64]) -> Vec<f64> {
        let sized = y0_bar.iter().zip(&self.problem.scale).map(|(a, s)| a * s);
        sized.chain(p_bar.iter().copied()).collect()
    }

    /// The error of a continuous adjoint over the tolerance of its two runs.
    fn error(&mut self, make: Maker, method: ContinuousMethod, tolerance: f64) -> Result<f64, AdjointError> {
        let (told, _) = self.gradient(make, method, tolerance)?;
        Ok(difference(&told, &self.exact) / tolerance)
    }

    /// The gradient, and what the backward run did.
    fn gradient(
        &mut self,
        make: Maker,
        method: ContinuousMethod,
        tolerance: f64,
    ) -> Result<(Vec<f64>, Work), AdjointError> {
        let (d, np, span) = (self.problem.y0.len(), self.p.len(), (0.0, self.problem.t_end));
        let mut adjoint = ContinuousAdjoint::new(method, 1, d, np);
        let (mut y, mut states) = (self.problem.y0.clone(), Vec::new());
        let ahead = SolveOptions::tolerance(tolerance, tolerance * self.problem.floor);
        let saving = SolveOptions { save_at: &self.at, ..ahead };
        let f = &mut self.problem.f;
        let rhs = &mut if self.own { Rhs::Jacobian(f) } else { Rhs::Field(f) };
        let save = &mut |_: usize, _: f64, y: &[f64]| states.push(y.to_vec());
        adjoint.forward(rhs, &self.p, &mut y, span, &mut *make(1, d), &saving, save).unwrap();
        let bars = self.bars(&states);
        let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
        let (mut y0_bar, mut p_bar) = (vec![0.0; d], vec![0.0; np]);
        // The adjoint state is as large as one over a coordinate's size; the integrals are about one.
        let mut atol: Vec<f64> = self.problem.scale.iter().map(|s| 1e-3 * tolerance / s).collect();
        if method == Interpolating {
            atol.resize(d + np, tolerance);
        }
        let back = SolveOptions::tolerance(tolerance, &atol[..]);
        let mut stepper = make(1, adjoint.backward_len());
        let (f, p) = (&mut self.problem.f, &self.p);
        adjoint.backward(f, p, &mut *stepper, &back, &bars, &mut y0_bar, &mut p_bar)?;
        Ok((self.told(&y0_bar, &p_bar), stepper.work()))
    }

    /// Over three decades of the tolerance, from `loosest` down, errors stay below these constants times it; none: not by this method.
    fn hold(&mut self, loosest: f64, most: [Option<f64>; 4]) {
        for method in [Gauss, Interpolating] {
            self.hold_by(method, loosest, most);
        }
    }

    fn hold_by(&mut self, method: ContinuousMethod, loosest: f64, most: [Option<f64>; 4]) {
        for ((name, make), most) in METHODS.into_iter().zip(most) {
            if let Some(most) = most {
                let errors = [1.0, 0.1, 0.01, 0.001].map(|part| {
                    self.error(make, method, part * loosest).unwrap_or_else(|e| panic!("{name}: {e}"))
                });
                let of = self.problem.name;
                println!("{method:?} {name} {of:15} error / tolerance: {errors:.1?}");
                assert!(errors.iter().all(|&e| e < most), "{method:?} {name} {of}: {errors:?}");
            }
        }
    }

    /// By this method and tolerance there is no step back from that time.
    fn ends(&mut self, make: Maker, tolerance: f64, from: f64) {
        for method in [Gauss, Interpolating] {
            let told = self.error(make, method, tolerance);
            match told {
                Err(AdjointError::Solve(SolveError::StepSizeTooSmall { t, .. })) => {
                    assert!((t - from).abs() < 1e-9 * from, "{method:?} {tolerance:e}: {t}");
                }
                other => panic!("{method:?} {tolerance:e}: {other:?}"),
            }
        }
    }
}

fn hold(name: &str, t_end: f64, loosest: f64, most: [Option<f64>; 4]) {
    Study::new(of_the_corpus(name, t_end), OdeMethod::Radau13, 1e-5 * loosest).hold(loosest, most);
}

/// Problems of chemistry and relaxation, before their jumps, and a circuit.
#[test]
fn errors_fall_with_the_tolerance() {
    let all = |most: [f64; 4]| most.map(Some);
    hold("Robertson", 40.0, 1e-5, all([40.0, 30.0, 300.0, 20.0]));
    hold("HIRES", 30.0, 1e-5, all([40.0, 30.0, 300.0, 20.0]));
    hold("OREGO", 5.0, 1e-5, all([40.0, 30.0, 300.0, 20.0]));
    // KenCarp4's errors fall more slowly than the tolerance here and there.
    hold("van der Pol 1e3", 0.5, 1e-5, all([40.0, 30.0, 1500.0, 20.0]));
    hold("van der Pol 1e6", 0.5, 1e-5, [Some(130.0), None, Some(1600.0), Some(19.0)]);
    hold("E5", 1e3, 1e-5, all([320.0, 230.0, 3.3e4, 140.0]));
    hold("ring modulator", 2e-6, 1e-5, all([20.0, 140.0, 110.0, 0.8]));
    hold("POLLU", 5.0, 1e-5, [Some(20.0), None, Some(19.0), Some(6.0)]);
    hold("POLLU", 60.0, 1e-5, [None, None, None, Some(19.0)]);
}

/// With a band, which the backward systems have too.
#[test]
fn on_a_line() {
    line(50, 1e-10).hold(1e-5, [13.0, 39.0, 28.0, 2.8].map(Some));
}

/// Of a thousand coordinates; errors fall more slowly than the tolerance.
#[test]
fn on_a_long_line() {
    line(500, 1e-10).with_its_jacobian().hold_by(Gauss, 1e-5, [440.0, 97.0, 970.0, 280.0].map(Some));
}

/// The Brusselator on so many points, to 3.
fn line(points: usize, tolerance: f64) -> Study {
    let line = BrusselatorLine { points };
    let (y0, f) = (line.start(), Rated::new(Box::new(StiffField::new(line)), 4));
    let scale = vec![3.0; y0.len()];
    let problem = Problem { name: "Brusselator", f, scale, y0, t_end: 3.0, floor: 1.0 };
    Study::new(problem, OdeMethod::Radau13, tolerance)
}

/// Of 253 species, with sparse systems in both directions.
#[test]
fn a_scaffold() {
    let problem = of_the_corpus("scaffold", 1.0);
    let mut study = Study::new(problem, OdeMethod::Radau9, 1e-10).with_its_jacobian();
    study.hold_by(Gauss, 1e-5, [27.0, 56.0, 210.0, 1.8].map(Some));
    study.hold_by(Interpolating, 1e-5, [None, Some(360.0), None, None]);
}

/// A field that shows its Jacobian saves the pull-backs of differences, one for each coordinate and Jacobian, and has the same gradient.
#[test]
fn the_fields_jacobian_saves_differences() {
    let tolerance = 1e-6;
    let mut studies = vec![line(50, 1e-10)];
    studies.extend(
        [("HIRES", 30.0), ("POLLU", 5.0)]
            .map(|(name, end)| Study::new(of_the_corpus(name, end), OdeMethod::Radau13, 1e-10)),
    );
    for mut study in studies {
        let (name, d) = (study.problem.name, study.problem.y0.len() as u64);
        for (by, make) in METHODS.into_iter().filter(|&(by, _)| (name, by) != ("POLLU", "Bdf")) {
            let mut run = |shows| {
                study.problem.f.shows = shows;
                study.gradient(make, Gauss, tolerance).unwrap()
            };
            let ((told, work), (hidden, before)) = (run(true), run(false));
            let off = difference(&told, &hidden) / tolerance;
            println!("{name} {by}: {} evaluations for {}, {off:.2}", work.evals, before.evals);
            let without = before.evals - d * before.jacobians;
            assert!(work.evals as f64 <= 1.02 * without as f64, "{name} {by}: {work:?} {before:?}");
            assert!(off < 1.2, "{name} {by}: {off}");
        }
    }
}

/// Over a pulse of the Oregonator, which multiplies what is off by a thousand and more: from tolerances on that leave digits.
#[test]
fn over_a_pulse() {
    hold("OREGO", 20.0, 1e-7, [3e4, 7.5e5, 5e4, 1.1e4].map(Some));
}

/// What an observation adds to the adjoint state decays within some 1e-12 of the time: steps that resolve that are near rounding, which
/// is said.
#[test]
fn what_decays_within_rounding_of_the_time_is_an_error() {
    let mut pollution = Study::new(of_the_corpus("POLLU", 60.0), OdeMethod::Radau13, 1e-10);
    let mut relaxation = Study::new(of_the_corpus("van der Pol 1e6", 0.5), OdeMethod::Radau13, 1e-10);
    for tolerance in [1e-5, 1e-6, 1e-7, 1e-8] {
        pollution.ends(BDF_BY, tolerance, 60.0);
    }
    for tolerance in [1e-6, 1e-7, 1e-8] {
        relaxation.ends(BDF_BY, tolerance, 0.5);
    }
    pollution.ends(KENCARP4_BY, 1e-8, 60.0);
}
