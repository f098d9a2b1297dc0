//! Help, version, usage errors and `chreode info`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::chreode;

const COMMANDS: &[&str] =
    &["fit", "simulate", "fate", "evaluate", "perturb", "kinetics", "report", "demo", "info"];

fn stdout(args: &[&str], code: i32) -> String {
    let dir = tempfile::tempdir().unwrap();
    let assert = chreode(dir.path()).args(args).assert().code(code);
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

#[test]
fn every_command_is_listed_and_explained() {
    let help = stdout(&["--help"], 0);
    assert!(help.contains("Exit codes"));
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in\n{help}");
        let own = stdout(&[command, "--help"], 0);
        for option in ["--threads", "--seed", "--quiet", "--json"] {
            assert!(own.contains(option), "{option} in chreode {command} --help");
        }
        // Every option has a sentence of help, on its own line or on the next.
        let lines: Vec<&str> = own.lines().map(str::trim).collect();
        let options: Vec<usize> =
            (0..lines.len()).filter(|&i| lines[i].starts_with('-') && !lines[i].starts_with("- ")).collect();
        assert!(options.len() >= 5, "options of {command}");
        for i in options {
            let below = lines.get(i + 1).is_some_and(|l| !l.is_empty() && !l.starts_with('-'));
            // clap puts two spaces between an option and its help; short and long forms have a comma.
            assert!(lines[i].contains("  ") || below, "chreode {command}: no help for {}", lines[i]);
        }
    }
}

#[test]
fn set_and_clamp_say_how_they_differ() {
    let help = stdout(&["perturb", "--help"], 0).split_whitespace().collect::<Vec<_>>().join(" ");
    let [set, clamp] = ["--set <", "--clamp <"].map(|option| help.find(option).unwrap());
    assert!(set < clamp);
    for words in ["SD times the gene's loadings", "is projected", "squared length of the loadings", "once"] {
        assert!(help[set..clamp].contains(words), "{words} in\n{help}");
    }
    for words in ["after every step", "decoded from the coordinates is SD", "farther than --set"] {
        assert!(help[clamp..].contains(words), "{words} in\n{help}");
    }
}

#[test]
fn version_and_usage() {
    assert_eq!(stdout(&["--version"], 0), format!("chreode {}\n", env!("CARGO_PKG_VERSION")));
    let dir = tempfile::tempdir().unwrap();
    for args in [&[][..], &["fti"], &["fit"], &["info", "--threads", "0"], &["info", "--treads", "2"]] {
        let assert = chreode(dir.path()).args(args).assert().code(2);
        assert!(!assert.get_output().stderr.is_empty());
        assert!(assert.get_output().stdout.is_empty());
    }
}

#[test]
fn info_says_what_it_sees() {
    let text = stdout(&["info", "--threads", "1"], 0);
    for word in ["chreode 0.", "processor", "features", "threads     1 in use", "memory"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&["info", "--json", "--threads", "1"], 0)).unwrap();
    assert_eq!(json["event"], "info");
    assert_eq!(json["threads"], 1);
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}
