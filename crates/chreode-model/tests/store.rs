//! Models on disk: round trips, and files that are not what they should be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::fs;

use chreode_linalg::Activation;
use chreode_model::{
    BirthDeathConfig, BirthDeathNet, ChemicalNoise, FieldEnsemble, Hybrid, HybridConfig, MlpField,
    MlpFieldConfig, ModelConfig, NetConfig, NeuralSde, NoiseConfig, NoiseForm, NoisyField, RateLaw, RatePart,
    ResidualNet, StoreError, Stored, load, load_as, save,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

#[test]
fn every_kind_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (i, config) in common::all_kinds(3, Activation::Tanh).into_iter().enumerate() {
        let (a, b) = (folder.path().join(format!("{i}.safetensors")), folder.path().join("copy"));
        let model = NeuralSde::<f32>::new(config.clone()).unwrap();
        let p = model.init(i as u64);
        save(&a, &model, &p).unwrap();
        let (back, q) = load::<f32>(&a).unwrap();
        assert_eq!((back.config(), &q), (&config, &p));
        save(&b, &back, &q).unwrap();
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap(), "equal models give equal files");

        let wide: Vec<f64> = p.iter().map(|&x| f64::from(x)).collect();
        assert_eq!(load::<f64>(&a).unwrap().1, wide);
        save(&b, &NeuralSde::<f64>::new(config).unwrap(), &wide).unwrap();
        assert_eq!(load::<f32>(&b).unwrap().1, p);
    }
}

/// Writes a model with numbers of its own, reads it, and compares configuration, names and bits.
fn round_trip<M: Stored<Config: PartialEq + std::fmt::Debug>>(model: &M) {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let p = common::uniform("p", 1, model.layout().len(), -1.0..1.0);
    save(&a, model, &p).unwrap();
    let (back, q) = load_as::<f64, M>(&a).unwrap();
    assert_eq!((back.config(), back.layout(), &q), (model.config(), model.layout(), &p));
    save(&b, &back, &q).unwrap();
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap(), "equal models give equal files");
    let single: Vec<f32> = load_as::<f32, M>(&a).unwrap().1;
    assert!(single.iter().zip(&p).all(|(&a, &b)| a == b as f32));
    // No model takes another's file.
    assert!(matches!(load::<f64>(&a), Err(StoreError::Format { .. })));
}

#[test]
fn models_of_every_other_kind_come_back() {
    let mut config = MlpFieldConfig::new(vec![0.0, 1.0], vec![1.0, 2.0]);
    config.time = Some((1.0, 2.0));
    config.covariates = vec![(0.5, 0.25)];
    config.net = NetConfig { hidden: vec![4], activation: Activation::Quadratic };
    let field = || MlpField::<f64>::new(config.clone()).unwrap();
    round_trip(&field());
    round_trip(&ResidualNet::<f64, _>::new(field(), 3, 0.25).unwrap());
    round_trip(&FieldEnsemble::<f64, _>::new(vec![field(), field()]).unwrap());
    let noise = |form| NoiseConfig::new(vec![0.0, 1.0], vec![1.0, 2.0], form);
    let forms = [NoiseForm::Constant, NoiseForm::LowRank { rank: 2 }, NoiseForm::General { motions: 3 }];
    for form in forms {
        round_trip(&NoisyField::<f64, _>::new(field(), noise(form)).unwrap());
    }
    let noisy = NoisyField::<f64, _>::new(field(), noise(NoiseForm::Scalar)).unwrap();
    assert_eq!(noisy.layout().entries()[0].name, "field.layers.0.weight");
    round_trip(&FieldEnsemble::<f64, _>::new(vec![noisy]).unwrap());
    let mut network = HybridConfig::new(vec![1.0, 2.0]);
    network.noise = Some(ChemicalNoise { molecule: 0.1, smoothing: 0.01 });
    network.push("a", &[(0, -1), (1, 1)], RatePart::Multiply, Some(RateLaw::hill(1.0, 2.0, 3.0, 0)));
    network.push("b", &[(1, -1), (0, 1)], RatePart::Neural, None);
    round_trip(&Hybrid::<f64>::from_laws(network).unwrap());
    let growth = BirthDeathConfig {
        shift: vec![0.0],
        scale: vec![1.0],
        dim: 2,
        max_birth: 1.0,
        max_death: 2.0,
        net: NetConfig::default(),
    };
    round_trip(&BirthDeathNet::<f64>::new(growth).unwrap());
}

#[cfg(unix)]
#[test]
fn a_saved_model_has_the_mode_of_an_ordinary_file_and_leaves_nothing_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, plain) = (folder.path().join("m"), folder.path().join("plain"));
    let model = NeuralSde::<f32>::new(ModelConfig::new(vec![0.0], vec![1.0])).unwrap();
    save(&path, &model, &model.init(0)).unwrap();
    fs::write(&plain, "").unwrap();
    let mode = |p| fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain) & 0o100_644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// A small stored model, its tensors and its metadata, to be broken by the tests.
fn stored() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let mut config = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
    config.drift.hidden = vec![3];
    config.diffusion = chreode_model::DiffusionConfig::Constant { initial_level: 0.5 };
    let model = NeuralSde::<f32>::new(config).unwrap();
    save(&path, &model, &model.init(1)).unwrap();
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

/// Writes the model again with one tensor left out, replaced or added.
fn rewrite(
    bytes: &[u8],
    path: &std::path::Path,
    name: &str,
    tensor: Option<&(Dtype, Vec<usize>, Vec<u8>)>,
) -> StoreError {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let metadata = SafeTensors::read_metadata(bytes).unwrap().1.metadata().clone();
    let mut tensors: Vec<_> = file.tensors();
    tensors.retain(|(n, _)| n != name);
    if let Some((dtype, shape, data)) = tensor {
        tensors.push((name.to_owned(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    }
    fs::write(path, safetensors::serialize(tensors, metadata).unwrap()).unwrap();
    load::<f32>(path).unwrap_err()
}

#[test]
fn broken_files_are_named_with_their_tensor() {
    let (_folder, path, bytes) = stored();
    let at = path.display();
    let name = "drift.layers.0.bias";
    let floats = |x: [f32; 3]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    assert_eq!(rewrite(&bytes, &path, name, None).to_string(), format!("{at}: tensor `{name}` is missing"));
    assert_eq!(
        rewrite(&bytes, &path, name, Some(&(Dtype::F32, vec![3, 1], floats([0.0; 3])))).to_string(),
        format!("{at}: tensor `{name}` has shape [3, 1], expected [3]")
    );
    assert_eq!(
        rewrite(&bytes, &path, name, Some(&(Dtype::F32, vec![3], floats([0.0, f32::NAN, 0.0])))).to_string(),
        format!("{at}: tensor `{name}` holds NaN at index 1")
    );
    assert_eq!(
        rewrite(&bytes, &path, name, Some(&(Dtype::I32, vec![3], vec![0; 12]))).to_string(),
        format!("{at}: tensor `{name}` is of type I32, expected F32 or F64")
    );
    assert_eq!(
        rewrite(&bytes, &path, "encoder.weight", Some(&(Dtype::F32, vec![3], vec![0; 12]))).to_string(),
        format!("{at}: tensor `encoder.weight` does not belong to the model")
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let (_folder, path, bytes) = stored();
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = load::<f32>(&path).unwrap_err();
        assert!(matches!(error, StoreError::Safetensors { .. }), "{len}: {error}");
    }
}

#[test]
fn foreign_and_newer_files_are_refused() {
    let (_folder, path, _) = stored();
    let write = |metadata: Option<HashMap<String, String>>| {
        let none: Vec<(String, TensorView)> = Vec::new();
        fs::write(&path, safetensors::serialize(none, metadata).unwrap()).unwrap();
        load::<f32>(&path).unwrap_err()
    };
    let entry = |text: &str| Some(HashMap::from([("chreode".to_owned(), text.to_owned())]));
    assert!(matches!(write(None), StoreError::Format { found: None, .. }));
    let newer = write(entry(r#"{"format": "chreode-model/9", "config": {"sun": 1}}"#));
    assert!(newer.to_string().ends_with("`format` is \"chreode-model/9\", expected \"chreode-model/1\""));
    let broken = write(entry(r#"{"format": "chreode-model/1", "config": {"shift": [0.0]}}"#));
    assert!(matches!(broken, StoreError::ConfigJson { .. }));
    let wrong = write(entry(r#"{"format": "chreode-model/1", "config": {"shift": [0.0], "scale": [-1.0]}}"#));
    assert!(matches!(wrong, StoreError::Config { .. }), "{wrong}");
    let missing = load::<f32>(&path.with_extension("gone")).unwrap_err();
    assert!(matches!(missing, StoreError::Io { .. }));
}

#[test]
fn what_cannot_be_saved_leaves_the_old_file() {
    let (_folder, path, bytes) = stored();
    let (model, mut p) = load::<f32>(&path).unwrap();
    assert!(matches!(save(&path, &model, &p[1..]), Err(StoreError::Model(_))));
    p[2] = f32::INFINITY;
    assert!(matches!(save(&path, &model, &p), Err(StoreError::NonFinite { index: 2, .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
