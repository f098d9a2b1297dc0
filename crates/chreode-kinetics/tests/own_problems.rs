//! Problems written here: gradients through events, switches and steady states against differences, fits and intervals that are known.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chreode_kinetics::{
    End, FitMethod, FitOptions, Objective, Problem, ProfileOptions, Tolerances, elsewhere, fit, fit_page,
    profile,
};
use chreode_train::StoppedBy;

fn apply(op: &str, operands: &[&str]) -> String {
    format!("<apply><{op}/>{}</apply>", operands.concat())
}

fn ci(id: &str) -> String {
    format!("<ci>{id}</ci>")
}

fn cn(x: f64) -> String {
    format!("<cn>{x}</cn>")
}

const TIME: &str =
    r#"<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>"#;

fn math(x: &str) -> String {
    format!(r#"<math xmlns="http://www.w3.org/1998/Math/MathML">{x}</math>"#)
}

/// A ⇌ B with a sum that is conserved, rates `kf` and `kb`; C is made at `make`, and more after `late`, and decays at `lose`. `events`
/// as text.
fn model(events: &str) -> String {
    let reaction = |id: &str, from: &str, to: &str, law: &str| {
        let side = |list: &str, species: &str| match species {
            "" => String::new(),
            s => format!(
                "<listOf{list}><speciesReference species=\"{s}\" stoichiometry=\"1\" constant=\"true\"/></listOf{list}>"
            ),
        };
        format!(
            "<reaction id=\"{id}\" reversible=\"false\" fast=\"false\">{}{}<kineticLaw>{}</kineticLaw></reaction>",
            side("Reactants", from),
            side("Products", to),
            math(law)
        )
    };
    let species = |id: &str, x: f64| {
        format!(
            "<species id=\"{id}\" compartment=\"c\" initialConcentration=\"{x}\" hasOnlySubstanceUnits=\"false\" boundaryCondition=\"false\" constant=\"false\"/>"
        )
    };
    let later = apply("geq", &[TIME, &ci("late")]);
    let boost = format!(
        "<piecewise><piece>{}{later}</piece><otherwise>{}</otherwise></piecewise>",
        ci("boost"),
        cn(0.0)
    );
    let c = ci("c");
    let laws = [
        reaction("forth", "A", "B", &apply("times", &[&c, &ci("kf"), &ci("A")])),
        reaction("back", "B", "A", &apply("times", &[&c, &ci("kb"), &ci("B")])),
        reaction(
            "make",
            "",
            "C",
            &apply("times", &[&c, &apply("plus", &[&apply("times", &[&ci("make_rate"), &ci("A")]), &boost])]),
        ),
        reaction("lose", "C", "", &apply("times", &[&c, &ci("lose_rate"), &ci("C")])),
    ];
    let parameters = ["kf", "kb", "make_rate", "boost", "late", "lose_rate", "total", "limit", "dose"]
        .map(|id| format!("<parameter id=\"{id}\" value=\"1\" constant=\"false\"/>"))
        .concat();
    let assignment = math(&apply("times", &[&ci("total"), &cn(0.75)]));
    format!(
        "<sbml xmlns=\"http://www.sbml.org/sbml/level3/version1/core\" level=\"3\" version=\"1\"><model id=\"m\">
<listOfCompartments><compartment id=\"c\" size=\"2\" constant=\"true\"/></listOfCompartments>
<listOfSpecies>{}{}{}</listOfSpecies><listOfParameters>{parameters}</listOfParameters>
<listOfInitialAssignments><initialAssignment symbol=\"A\">{assignment}</initialAssignment></listOfInitialAssignments>
<listOfReactions>{}</listOfReactions>{events}</model></sbml>",
        species("A", 0.0),
        species("B", 0.5),
        species("C", 0.1),
        laws.concat()
    )
}

/// When `C` passes `limit`, half of it and `dose` are left, and `make_rate` doubles.
fn event() -> String {
    let trigger = math(&apply("gt", &[&ci("C"), &ci("limit")]));
    let left = math(&apply("plus", &[&apply("times", &[&cn(0.5), &ci("C")]), &ci("dose")]));
    let doubled = math(&apply("times", &[&cn(2.0), &ci("make_rate")]));
    format!(
        "<listOfEvents><event id=\"e\" useValuesFromTriggerTime=\"true\"><trigger initialValue=\"false\" persistent=\"true\">{trigger}</trigger>
<listOfEventAssignments><eventAssignment variable=\"C\">{left}</eventAssignment>
<eventAssignment variable=\"make_rate\">{doubled}</eventAssignment></listOfEventAssignments></event></listOfEvents>"
    )
}

const PARAMETERS: &str = "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\tobjectivePriorType\tobjectivePriorParameters
kf\tlog10\t0.001\t1000\t0.7\t1\t\t
kb\tlog\t0.001\t1000\t0.4\t1\tparameterScaleNormal\t-1;0.5
make_rate\tlin\t0.001\t100\t1.3\t1\tnormal\t1;0.3
boost\tlog10\t0.001\t1000\t0.9\t1\t\t
late\tlin\t0.1\t9\t1.7\t1\t\t
lose_rate\tlog10\t0.001\t1000\t0.6\t1\tlogNormal\t-0.5;0.4
total\tlog10\t0.001\t1000\t2.2\t1\tlaplace\t2;0.5
limit\tlin\t0.1\t100\tLIMIT\t1\t\t
dose\tlin\t0\t10\t0.2\t1\t\t
sigma\tlog10\t0.001\t100\t0.3\t1\t\t
scale\tlin\t0.01\t100\t1.6\t1\t\t
";

fn open(
    folder: &Path,
    model: &str,
    parameters: &str,
    conditions: &str,
    observables: &str,
    measurements: &str,
) -> Objective {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("model.xml", model);
    write(
        "problem.yaml",
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
    );
    write("p.tsv", parameters);
    write("c.tsv", conditions);
    write("o.tsv", observables);
    write("m.tsv", measurements);
    let tolerances = Tolerances { rtol: 1e-11, atol: 1e-13 };
    Objective::new(Problem::open(&folder.join("problem.yaml"), tolerances).unwrap()).unwrap()
}

const OBSERVABLES: &str =
    "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\tnoiseDistribution
a\tscale * A\tsigma\tlin\tnormal
c\tobservableParameter1_c * C + 0.1 * scale\tnoiseParameter1_c * (1 + 0.1 * C)\tlog10\tnormal
l\tB + C\tsigma\tlog\tlaplace
";

fn measurements(rows: &[(&str, &str, f64, &str)]) -> String {
    let header = "observableId\tpreequilibrationConditionId\tsimulationConditionId\tmeasurement\ttime\tobservableParameters\tnoiseParameters\n";
    let row = |(i, (o, before, t, more)): (usize, &(&str, &str, f64, &str))| {
        format!("{o}\t{before}\tx\t{}\t{t}\t{more}\n", 0.8 + 0.3 * (i as f64).sin())
    };
    header.to_owned() + &rows.iter().enumerate().map(row).collect::<String>()
}

/// Largest difference to central differences, relative to the largest element; and of the adjoint to sensitivities, if there is one.
fn check(mut objective: Objective, has_adjoint: bool) {
    check_to(&mut objective, has_adjoint, 1e-4, 2e-6);
}

fn check_to(objective: &mut Objective, has_adjoint: bool, h: f64, most: f64) {
    let x = objective.nominal();
    let evaluation = objective.evaluate(&x).unwrap();
    assert!((evaluation.value - objective.value(&x).unwrap()).abs() < 1e-7 * evaluation.value.abs());
    let largest = evaluation.gradient.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    for j in 0..x.len() {
        let mut at = |h: f64| {
            let mut moved = x.clone();
            moved[j] += h;
            objective.value(&moved).unwrap()
        };
        let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let error = (difference - evaluation.gradient[j]).abs() / largest;
        let id = &objective.row(j).id;
        assert!(
            error < most,
            "{id}: {} by sensitivities, {difference} by differences",
            evaluation.gradient[j]
        );
    }
    let mut gradient = vec![0.0; x.len()];
    let value = objective.gradient_by_adjoint(&x, &mut gradient).unwrap();
    assert_eq!(value.is_some(), has_adjoint);
    if value.is_some() {
        for (a, b) in gradient.iter().zip(&evaluation.gradient) {
            assert!((a - b).abs() < 1e-6 * largest, "{gradient:?} {:?}", evaluation.gradient);
        }
    }
    // The curvature is symmetric and positive.
    let n = x.len();
    for i in 0..n {
        assert!(evaluation.curvature[i * n + i] >= 0.0);
        for j in 0..i {
            let (a, b) = (evaluation.curvature[i * n + j], evaluation.curvature[j * n + i]);
            assert!((a - b).abs() <= 1e-12 * (a.abs() + b.abs()));
        }
    }
}

const ROWS: [(&str, &str, f64, &str); 8] = [
    ("a", "", 0.0, "\t"),
    ("a", "", 1.0, "\t"),
    ("c", "", 0.5, "scale\tsigma"),
    ("c", "", 3.0, "1.5\t0.2"),
    ("c", "", 6.0, "scale\tsigma"),
    ("l", "", 2.0, "\t"),
    ("l", "", 5.0, "\t"),
    ("a", "", 8.0, "\t"),
];

#[test]
fn gradients_go_through_switches_whose_time_is_estimated() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = PARAMETERS.replace("LIMIT", "50");
    check(
        open(folder.path(), &model(""), &parameters, "conditionId\nx\n", OBSERVABLES, &measurements(&ROWS)),
        false,
    );
}

#[test]
fn gradients_go_through_events_whose_trigger_and_reset_are_estimated() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = PARAMETERS.replace("LIMIT", "1.1");
    check(
        open(
            folder.path(),
            &model(&event()),
            &parameters,
            "conditionId\nx\n",
            OBSERVABLES,
            &measurements(&ROWS),
        ),
        false,
    );
}

#[test]
fn gradients_go_through_rest_before_a_condition_and_at_the_end() {
    // A and B rest where their sum says: the Jacobian is singular, and sensitivities run to rest.
    let folder = tempfile::tempdir().unwrap();
    let parameters = PARAMETERS.replace("LIMIT", "50");
    let conditions =
        "conditionId\tlose_rate\tmake_rate\tlate\nbefore\t0.5\tmake_rate\t100\nx\tlose_rate\t2\t0.01\n";
    let rows = ROWS.map(|(o, _, t, more)| (o, "before", t, more));
    let text = measurements(&rows);
    // Rest cannot be told from rounding at the tolerances of the others.
    let open = |text: &str| {
        drop(open(folder.path(), &model(""), &parameters, conditions, OBSERVABLES, text));
        let tolerances = Tolerances { rtol: 1e-9, atol: 1e-12 };
        Objective::new(Problem::open(&folder.path().join("problem.yaml"), tolerances).unwrap()).unwrap()
    };
    check_to(&mut open(&text), false, 1e-3, 1e-5);
    let mut rows = rows.to_vec();
    rows.extend([("a", "before", f64::INFINITY, "\t"), ("c", "", f64::INFINITY, "scale\tsigma")]);
    check_to(&mut open(&measurements(&rows)), false, 1e-3, 1e-5);
}

#[test]
fn gradients_go_to_rest_after_an_event_in_between() {
    // The run to rest is long: what happens in it happens at its time, not at the start.
    let folder = tempfile::tempdir().unwrap();
    let trigger = math(&apply("geq", &[TIME, &cn(1.0)]));
    let half = math(&apply("times", &[&cn(0.5), &ci("A")]));
    let event = format!(
        "<listOfEvents><event id=\"e\" useValuesFromTriggerTime=\"true\"><trigger initialValue=\"true\" persistent=\"true\">{trigger}</trigger>
<listOfEventAssignments><eventAssignment variable=\"A\">{half}</eventAssignment></listOfEventAssignments></event></listOfEvents>"
    );
    let parameters = PARAMETERS.replace("LIMIT", "50");
    let rows = [("a", "", 0.5, "\t"), ("a", "", f64::INFINITY, "\t"), ("l", "", f64::INFINITY, "\t")];
    drop(open(
        folder.path(),
        &model(&event),
        &parameters,
        "conditionId\nx\n",
        OBSERVABLES,
        &measurements(&rows),
    ));
    let tolerances = Tolerances { rtol: 1e-9, atol: 1e-12 };
    let problem = Problem::open(&folder.path().join("problem.yaml"), tolerances).unwrap();
    check_to(&mut Objective::new(problem).unwrap(), false, 1e-3, 1e-5);
}

/// X is made from nothing and lost by pairs, in units of `u`; the law also asks for a part that has no value at the start.
fn from_nothing(folder: &Path, u: f64) -> Objective {
    let x = format!(
        "<apply><divide/>{}<cn type=\"e-notation\">1<sep/>{}</cn></apply>",
        ci("X"),
        u.log10().round()
    );
    let pairs = apply("times", &[&ci("lose"), &x, &x]);
    // From 0/0 up: never below a half, where the law would change.
    let part = apply("divide", &[&ci("X"), &apply("plus", &[&ci("X"), &ci("X")])]);
    let known = apply("gt", &[&part, &cn(0.4)]);
    let rate = format!(
        "<piecewise><piece>{}{known}</piece><otherwise>{}</otherwise></piecewise>",
        apply("minus", &[&ci("make"), &pairs]),
        ci("make")
    );
    let rate =
        apply("times", &[&format!("<cn type=\"e-notation\">1<sep/>{}</cn>", u.log10().round()), &rate]);
    let model = format!(
        "<sbml xmlns=\"http://www.sbml.org/sbml/level3/version1/core\" level=\"3\" version=\"1\"><model id=\"m\"><listOfParameters>
<parameter id=\"X\" value=\"0\" constant=\"false\"/><parameter id=\"make\" value=\"1\" constant=\"true\"/><parameter id=\"lose\" value=\"1\" constant=\"true\"/></listOfParameters>
<listOfRules><rateRule variable=\"X\">{}</rateRule></listOfRules></model></sbml>",
        math(&rate)
    );
    let parameters = "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate
make\tlog10\t0.001\t1000\t0.7\t1\nlose\tlog10\t0.001\t1000\t0.4\t1\n";
    let observables = format!("observableId\tobservableFormula\tnoiseFormula\nx\tX / {u:e}\t0.1\n");
    let rows = [("x", "", 0.5, "\t"), ("x", "", 2.0, "\t"), ("x", "x", 1.0, "\t")];
    open(folder, &model, parameters, "conditionId\nx\n", &observables, &measurements(&rows))
}

#[test]
fn what_starts_from_nothing_is_as_exact_in_any_unit() {
    let folder = tempfile::tempdir().unwrap();
    let of = |u: f64| {
        let mut objective = from_nothing(folder.path(), u);
        let x = objective.nominal();
        let evaluation = objective.evaluate(&x).unwrap();
        assert!((evaluation.value - objective.value(&x).unwrap()).abs() < 1e-8 * evaluation.value.abs());
        evaluation
    };
    let (one, pico) = (of(1.0), of(1e-12));
    assert!((one.value - pico.value).abs() < 1e-8 * one.value.abs(), "{} {}", one.value, pico.value);
    for (a, b) in one.gradient.iter().zip(&pico.gradient) {
        assert!((a - b).abs() < 1e-6 * one.gradient[0].abs(), "{:?} {:?}", one.gradient, pico.gradient);
    }
}

#[test]
fn adjoints_are_exact_where_rest_is_regular() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = PARAMETERS.replace("LIMIT", "50").replace("1.7\t1", "1.7\t0");
    // Without a way back from B, all of A goes: the sum is not conserved.
    let text = model("").replace("<listOfProducts><speciesReference species=\"A\" stoichiometry=\"1\" constant=\"true\"/></listOfProducts>", "");
    let conditions = "conditionId\tlose_rate\tA\nbefore\t0.5\t\nx\tlose_rate\ttotal\n";
    let rows = ROWS.map(|(o, _, t, more)| (o, if o == "c" { "before" } else { "" }, t, more));
    check(open(folder.path(), &text, &parameters, conditions, OBSERVABLES, &measurements(&rows)), true);
}

/// `y = a` measured at ten times, and `z = b t` without noise in the times.
fn line(folder: &Path) -> Objective {
    let text = format!(
        "<sbml xmlns=\"http://www.sbml.org/sbml/level2/version4\" level=\"2\" version=\"4\"><model id=\"m\">
<listOfParameters><parameter id=\"a\" value=\"1\"/><parameter id=\"b\" value=\"1\"/><parameter id=\"loose\" value=\"1\"/><parameter id=\"z\" value=\"0\" constant=\"false\"/></listOfParameters>
<listOfRules><rateRule variable=\"z\">{}</rateRule></listOfRules></model></sbml>",
        math(&apply("plus", &[&ci("b"), &apply("times", &[&cn(0.0), &ci("loose")])]))
    );
    let parameters = "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\na\tlin\t-10\t10\t0\t1\nb\tlin\t0\t1.5\t1\t1\nloose\tlog10\t0.1\t10\t1\t1\n";
    let mut rows = String::from("observableId\tsimulationConditionId\tmeasurement\ttime\n");
    for i in 0..10 {
        let (y, z) = (if i % 2 == 0 { 2.5 } else { 3.5 }, 1.45 * f64::from(i));
        writeln!(rows, "y\tx\t{y}\t{i}\nz\tx\t{z}\t{i}").unwrap();
    }
    let observables = "observableId\tobservableFormula\tnoiseFormula\ny\ta\t0.5\nz\tz\t1\n";
    open(folder, &text, parameters, "conditionId\nx\n", observables, &rows)
}

#[test]
fn fits_and_intervals_are_those_of_least_squares() {
    let folder = tempfile::tempdir().unwrap();
    let mut objective = line(folder.path());
    let options = FitOptions { starts: 5, from_nominal: true, ..FitOptions::default() };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut fits = pool.install(|| fit(&objective, &options, &AtomicBool::new(false), &|_, _| {}));
        fits.seconds = 0.0;
        fits.fits.iter_mut().for_each(|fit| fit.seconds = 0.0);
        fits
    };
    let fits = run(1);
    assert_eq!(format!("{:?}", run(3)), format!("{fits:?}"));
    assert_eq!((fits.fits.len(), fits.near_best(1e-6)), (6, 6));
    let best = &fits.best().unwrap().minimum;
    assert!((best.x[0] - 3.0).abs() < 1e-5 && (best.x[1] - 1.45).abs() < 1e-5, "{best:?}");
    let by_bfgs = fit(
        &objective,
        &FitOptions { method: FitMethod::Lbfgs, ..options.clone() },
        &AtomicBool::new(false),
        &|_, _| {},
    );
    assert!((by_bfgs.best().unwrap().minimum.value - best.value).abs() < 1e-5);

    // Variances: 0.25 / 10, and 1 / Σ t² = 1 / 285; the upper bound of b is nearer than its interval's end.
    let profiles =
        profile(&objective, &best.x, &[0, 1, 2], &ProfileOptions::default(), &AtomicBool::new(false), &|| {});
    let z = 1.959_963_984_540_054;
    let closed = |end: End| if let End::Closed(x) = end { x } else { f64::NAN };
    for (end, expected) in
        [(profiles[0].ends.0, 3.0 - z * 0.025_f64.sqrt()), (profiles[0].ends.1, 3.0 + z * 0.025_f64.sqrt())]
    {
        assert!((closed(end) - expected).abs() < 1e-3, "{end:?} {expected}");
    }
    assert!((closed(profiles[1].ends.0) - (1.45 - z / 285_f64.sqrt())).abs() < 1e-3, "{:?}", profiles[1]);
    assert_eq!((profiles[1].ends.1, profiles[2].ends), (End::Bound, (End::Bound, End::Bound)));

    let page =
        fit_page(&mut objective, "line", &fits, &profiles, ProfileOptions::default().threshold).unwrap();
    let html = page.render().unwrap();
    for word in ["Waterfall", "not identified", "identified on one side", "Least determined directions"] {
        assert!(html.contains(word), "{word}");
    }
}

/// Who asks to stop when the second of many starts has ended keeps these, and gets no profile.
#[test]
fn what_is_cancelled_is_counted_apart() {
    let stop = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let objective = line(folder.path());
    let options = FitOptions { starts: 2000, draws: 5, ..FitOptions::default() };
    let fits = fit(&objective, &options, &stop, &|done, _| stop.store(done >= 2, Ordering::Relaxed));
    let cut = fits.fits.iter().filter(|fit| fit.minimum.stopped == StoppedBy::Watcher).count();
    assert!((2..1000).contains(&fits.finished()), "{}", fits.finished());
    assert_eq!((fits.fits.len(), cut), (2000, 2000 - fits.finished()));
    let best = &fits.best().unwrap().minimum;
    assert!((best.x[0] - 3.0).abs() < 1e-5, "{best:?}");
    let options = ProfileOptions::default();
    assert!(profile(&objective, &best.x, &[0, 1], &options, &stop, &|| {}).is_empty());
}

/// What another integrator finds, here the exact states, makes the simulation and the gradient of the objective.
#[test]
fn runs_are_handed_to_other_integrators() {
    let folder = tempfile::tempdir().unwrap();
    let mut objective = line(folder.path());
    let x = [2.0, 0.7, 0.1];
    let tasks = elsewhere::tasks(&mut objective, &x).unwrap();
    let [task] = &tasks[..] else { panic!("one condition, {} runs", tasks.len()) };
    assert_eq!((task.times.len(), task.times[9], task.y0.len(), task.stops.len()), (10, 9.0, 1, 0));
    let states: Vec<Vec<f64>> = task.times.iter().map(|t| vec![x[1] * t]).collect();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs() + 1e-9;
    let found = elsewhere::observe(&mut objective, &x, &tasks, std::slice::from_ref(&states));
    let ours = objective.simulate(&x).unwrap();
    assert!(found.values.iter().zip(&ours.values).all(|(a, b)| close(*a, *b)), "{found:?} {ours:?}");
    let pull = elsewhere::pull(&objective, &x, task, &states);
    let mut exact = vec![0.0; 3];
    let value = objective.gradient(&x, &mut exact).unwrap();
    assert!(close(pull.value, value), "{} {value}", pull.value);
    let (np, b) = (task.p.len(), objective.problem().model().param_ids().position(|id| id == "b").unwrap());
    let mut gradient = pull.gradient.clone();
    for (k, &j) in task.directions.iter().enumerate() {
        let q = &task.q[k * np..(k + 1) * np];
        gradient[j] += q.iter().zip(&pull.params).map(|(q, bar)| q * bar).sum::<f64>();
        // The state is b t.
        gradient[j] += task.times.iter().zip(&pull.states).map(|(t, bar)| t * q[b] * bar[0]).sum::<f64>();
    }
    assert!(gradient.iter().zip(&exact).all(|(a, b)| close(*a, *b)), "{gradient:?} {exact:?}");
    assert!(exact[0].abs() > 1.0 && exact[1].abs() > 1.0);
    let code = elsewhere::field_code(&objective);
    assert!(
        ["field", "jacobian", "derivatives"].iter().all(|name| code.source.contains(&format!(" {name}(")))
    );
}

#[test]
fn what_observables_alone_see_is_fitted_without_a_run() {
    let folder = tempfile::tempdir().unwrap();
    drop(line(folder.path()));
    for (file, from, to) in [("o.tsv", "y\ta\t0.5", "y\tlevel\t0.5"), ("p.tsv", "\na\tlin", "\nlevel\tlin")] {
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }
    let problem = Problem::open(&folder.path().join("problem.yaml"), Tolerances::default()).unwrap();
    let mut objective = Objective::new(problem).unwrap();
    let (low, high) = objective.bounds();
    for scan in [false, true] {
        let mut x = [-7.0, 0.5, 0.2];
        let value = objective.value_refined(&mut x, (&low, &high), scan).unwrap();
        // The mean of what is measured of `y`; the model has the others.
        assert!((x[0] - 3.0).abs() < 1e-6, "{x:?}");
        assert_eq!(x[1..], [0.5, 0.2]);
        assert_eq!(value, objective.value(&x).unwrap());
    }
    // Bounds hold.
    let mut x = [-7.0, 0.5, 0.2];
    objective.value_refined(&mut x, (&[-7.0, 0.0, -1.0], &[-7.0, 1.5, 1.0]), true).unwrap();
    assert_eq!(x, [-7.0, 0.5, 0.2]);
    objective.value_refined(&mut x, (&[-8.0, 0.0, -1.0], &[2.0, 1.5, 1.0]), true).unwrap();
    assert_eq!(x, [2.0, 0.5, 0.2]);
}

#[test]
fn starts_that_fail_are_drawn_again_or_said() {
    // The noise is not positive below a = 0: half of the first starts have no likelihood.
    let folder = tempfile::tempdir().unwrap();
    drop(line(folder.path()));
    let path = folder.path().join("o.tsv");
    let text = std::fs::read_to_string(&path).unwrap().replace("y\ta\t0.5", "y\ta\t0.5 * sqrt(a)");
    std::fs::write(&path, text).unwrap();
    let problem = Problem::open(&folder.path().join("problem.yaml"), Tolerances::default()).unwrap();
    let objective = Objective::new(problem).unwrap();
    let fits = fit(
        &objective,
        &FitOptions { starts: 8, ..FitOptions::default() },
        &AtomicBool::new(false),
        &|_, _| {},
    );
    assert!(fits.fits.iter().all(|fit| fit.minimum.value.is_finite() && fit.start[0] > 0.0), "{fits:?}");
    let none = FitOptions { starts: 2, at_most: Some(std::time::Duration::ZERO), ..FitOptions::default() };
    assert!(fit(&objective, &none, &AtomicBool::new(false), &|_, _| {}).best().is_none());
}

/// Where the method is not asked for, it changes with the number of parameters: sensitivities to 110 of them take more than twenty
/// gradients by the adjoint.
#[test]
fn the_method_changes_with_the_number_of_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let rows = measurements(&[("a", "", 0.0, "\t"), ("a", "", 1.0, "\t")]);
    for (n, method, why) in [
        (109, FitMethod::LevenbergMarquardt, "109 parameters; sensitivities"),
        (110, FitMethod::Lbfgs, "110 parameters are many"),
    ] {
        // Eleven that the model has, and offsets.
        let mut parameters = PARAMETERS.replace("LIMIT", "50");
        let mut formula = "scale * A".to_owned();
        for i in 11..n {
            writeln!(parameters, "o{i}\tlin\t-10\t10\t0\t1\t\t").unwrap();
            write!(formula, " + o{i}").unwrap();
        }
        let observables = format!(
            "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\tnoiseDistribution\na\t{formula}\tsigma\tlin\tnormal\n"
        );
        let objective = open(folder.path(), &model(""), &parameters, "conditionId\nx\n", &observables, &rows);
        assert_eq!(objective.n(), n);
        let options = FitOptions { starts: 0, ..FitOptions::default() };
        let fits = fit(&objective, &options, &AtomicBool::new(false), &|_, _| {});
        assert!(fits.method == method && fits.why.starts_with(why), "{:?}: {}", fits.method, fits.why);
    }
}
