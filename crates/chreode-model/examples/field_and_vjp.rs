//! The model alone: a perceptron as a vector field, its vector-Jacobian product beside finite differences, and a
//! file that keeps it. Run with `cargo run --release -p chreode-model --example field_and_vjp`.

use chreode_core::{VectorField, Vjp};
use chreode_model::{ModelConfig, NeuralSde, load, save};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = ModelConfig::new(vec![0.0, 1.0, 2.0], vec![1.0, 0.5, 2.0]);
    config.drift.hidden = vec![64, 64];
    let mut model = NeuralSde::<f64>::new(config)?;
    let p = model.init(1);
    println!("{} parameters:", p.len());
    for tensor in model.layout().entries() {
        println!("  {:<28} {:?}", tensor.name, tensor.shape);
    }

    // λᵀ f at four cells, and its gradient to states and parameters.
    let y: Vec<f64> = (0..12).map(|i| f64::from(i) * 0.2 - 0.5).collect();
    let lambda: Vec<f64> = (0..12).map(|i| 1.0 - f64::from(i) * 0.1).collect();
    let (mut y_bar, mut p_bar, mut f) = (vec![0.0; 12], vec![0.0; p.len()], vec![0.0; 12]);
    model.vjp(0.0, &y, &p, &lambda, &mut y_bar, &mut p_bar)?;
    let mut value = |y: &[f64], p: &[f64]| -> Result<f64, Box<dyn std::error::Error>> {
        model.eval(0.0, y, p, &mut f)?;
        Ok(f.iter().zip(&lambda).map(|(f, l)| f * l).sum())
    };
    let h = 1e-5;
    let moved = |x: &[f64], i: usize, h: f64| {
        let mut x = x.to_vec();
        x[i] += h;
        x
    };
    println!("\n              derivative   differences");
    for i in [0, 5, 11] {
        let difference = (value(&moved(&y, i, h), &p)? - value(&moved(&y, i, -h), &p)?) / (2.0 * h);
        println!("state {i:5} {:13.8} {difference:13.8}", y_bar[i]);
        assert!((y_bar[i] - difference).abs() < 1e-7);
    }
    for i in [0, 200, 4000] {
        let difference = (value(&y, &moved(&p, i, h))? - value(&y, &moved(&p, i, -h))?) / (2.0 * h);
        println!("param {i:5} {:13.8} {difference:13.8}", p_bar[i]);
        assert!((p_bar[i] - difference).abs() < 1e-7);
    }

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    save(&path, &model, &p)?;
    let (again, kept) = load::<f64>(&path)?;
    assert!(again.config() == model.config() && kept == p);
    println!("\nwritten and read again: {} bytes", std::fs::metadata(&path)?.len());
    Ok(())
}
