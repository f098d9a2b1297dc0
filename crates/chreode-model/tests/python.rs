//! The script in the documentation loads a saved perceptron in Python, and finds the same derivatives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chreode_core::VectorField;
use chreode_linalg::Activation;
use chreode_model::{MlpField, MlpFieldConfig, NetConfig, save};
use common::uniform;

/// An interpreter that has numpy: the one named by `CHREODE_PYTHON`, or `python3`.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("CHREODE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    match Command::new(&python).args(["-c", "import numpy"]).output() {
        Ok(output) if output.status.success() => Some(python),
        _ => {
            println!("skipped: no Python with numpy (set CHREODE_PYTHON to one)");
            None
        }
    }
}

#[test]
fn a_saved_perceptron_is_the_same_in_python() {
    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/python/load_mlp.py");
    let folder = tempfile::tempdir().unwrap();
    for (i, activation) in Activation::ALL.into_iter().enumerate() {
        let mut config = MlpFieldConfig::new(vec![0.2, -0.4], vec![0.7, 1.6]);
        config.time_scale = 2.5;
        if i % 2 == 0 {
            config.time = Some((1.0, 2.0));
            config.covariates = vec![(0.1, 2.0), (3.0, 0.5)];
        }
        config.net = NetConfig { hidden: vec![16, 9, 8], activation };
        let mut field = MlpField::<f32>::new(config).unwrap();
        let mut p = field.init(1);
        p.iter_mut().zip(uniform("shake", 1, 10_000, -0.3..0.3)).for_each(|(p, e)| *p += e as f32);
        let path = folder.path().join("mlp.safetensors");
        save(&path, &field, &p).unwrap();

        let (n, d, t) = (7, field.dim(), 1.7);
        let y: Vec<f32> = uniform("y", 2, n * d, -2.0..2.0).into_iter().map(|y| y as f32).collect();
        let mut dy = vec![0.0_f32; n * d];
        field.eval(t, &y, &p, &mut dy).unwrap();
        let mut child = Command::new(&python)
            .arg(&script)
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for y in y.chunks_exact(d) {
            let row: Vec<String> = y.iter().map(f32::to_string).collect();
            writeln!(stdin, "{t},{}", row.join(",")).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), n);
        for (line, dy) in lines.iter().zip(dy.chunks_exact(d)) {
            let row: Vec<f64> = line.split(',').map(|x| x.parse().unwrap()).collect();
            assert_eq!(row.len(), 2);
            for (theirs, &ours) in row.iter().zip(dy) {
                let off = (theirs - f64::from(ours)).abs();
                assert!(off <= 1e-6 * (1.0 + theirs.abs()), "{activation}: {theirs} in Python, {ours} here");
            }
        }
    }
}
