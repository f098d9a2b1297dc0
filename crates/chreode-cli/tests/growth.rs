//! Whether growth is learned where nobody says so: what is decided, told and kept.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fmt::Write as _;

use common::{SMALL, Uniform, chreode, refused};

/// Nobody said whether cells grow: the program finds it out, says why, keeps it for all members, and asks no time that is left out.
#[test]
fn growth_is_decided_by_the_times_between() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // The right side has a third of the cells, then half, then two thirds; in `level.csv` half always.
    let mut random = Uniform(3);
    let files = [("grown.csv", [40, 60, 80]), ("level.csv", [60, 60, 60])].map(|(name, right)| {
        let mut text = String::from("cell,day,x,y\n");
        for (day, right) in right.into_iter().enumerate() {
            for i in 0..120 {
                let side = if i < right { 2.0 } else { -2.0 };
                let (x, y) = (side + 0.4 * random.next(), day as f64 + 0.4 * random.next());
                writeln!(text, "c{day}_{i},{day},{x:.5},{y:.5}").unwrap();
            }
        }
        (name, text)
    });
    let two: Vec<&str> = files[0].1.lines().filter(|l| !l.contains(",1,")).collect();
    let two = two.join("\n");
    for (name, text) in files.iter().chain([&("two.csv", two)]) {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let fit = |file: &str, run: &str, options: &[&str]| -> (String, toml::Table) {
        let base = ["fit", file, "--time", "day", "--state", "x,y", "-o", run];
        let assert = chreode(dir).args(base).args(SMALL).args(options).assert().success();
        let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        (said, toml::from_str(&std::fs::read_to_string(dir.join(run).join("config.toml")).unwrap()).unwrap())
    };
    let learned = |config: &toml::Table| {
        let choice = config.get("growth_choice").map(|choice| choice["learned"].as_bool().unwrap());
        let net = config["model"].get("growth").is_some();
        assert_eq!(config["training"]["growth"].as_str().unwrap() == "learned", net);
        (choice, net)
    };
    let (said, config) = fit("grown.csv", "grown", &["--seeds", "2", "--growth-hidden", "8"]);
    assert_eq!(learned(&config), (Some(true), true));
    assert_eq!(said.matches("growth is learned: ").count(), 1, "{said}");
    for model in ["model.safetensors", "members/2/model.safetensors"] {
        let (sde, _) = chreode_model::load::<f32>(&dir.join("grown").join(model)).unwrap();
        assert!(sde.growth_net().is_some());
    }
    // It is taken up as it was decided.
    let text = std::fs::read_to_string(dir.join("grown/config.toml")).unwrap();
    std::fs::write(dir.join("grown/config.toml"), text.replace("steps = 30", "steps = 35")).unwrap();
    chreode(dir).args(["fit", "--resume", "grown", "--quiet"]).assert().success();
    chreode(dir).args(["report", "grown", "--quiet"]).assert().success();
    assert!(std::fs::read_to_string(dir.join("report.html")).unwrap().contains("growth is learned: "));

    let (said, config) = fit("level.csv", "level", &[]);
    assert_eq!(learned(&config), (Some(false), false));
    assert!(said.contains("growth is not learned: energy distance"), "{said}");
    let (said, config) = fit("two.csv", "two", &[]);
    assert_eq!(learned(&config), (Some(false), false));
    assert!(said.contains("growth is not learned: there is no time between"), "{said}");
    for (i, (options, expected)) in [
        (&["--learn-growth=no"][..], (None, false)),
        (&["--learn-growth"], (None, true)),
        (&["--route", "simulation"], (None, false)),
        (&["--leave-out", "day=1"], (Some(false), false)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(learned(&fit("grown.csv", &format!("told{i}"), options).1), expected, "{options:?}");
    }
    let base = ["fit", "grown.csv", "--time", "day", "--state", "x,y", "-o", "none"];
    for options in [
        &["--learn-growth=no", "--growth-hidden", "8"][..],
        &["--route", "simulation", "--growth-limit", "1"],
    ] {
        refused(dir, &[&base[..], options].concat(), &["growth that is learned"]);
    }
    // What is left out to judge by does not decide.
    let left_out = ["evaluate", "grown.csv", "--time", "day", "--state", "x,y", "--leave-out", "day=1"];
    let brief = ["--seeds", "1", "--draws", "2", "--compared", "40"];
    let assert = chreode(dir).args(left_out).args(brief).args(SMALL).assert().success();
    let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(said.contains("growth is not learned: there is no time between"), "{said}");
}
