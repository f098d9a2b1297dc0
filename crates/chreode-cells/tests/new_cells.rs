//! New cells for a run whose coordinates another program made: taken as they are, projected, or refused.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::path::{Path, PathBuf};

use chreode_cells::run::{
    Coordinates, DataConfig, ExistingRun, Fingerprint, RunConfig, RunError, RunFolder, TrainingCells,
};
use chreode_cells::{
    Column, DataError, Dataset, DatasetOptions, DenseMatrix, ExpressionKind, H5ad, H5adWriter, Matrix,
    PreprocessOptions, StateSource, StateSpace, Transform,
};
use chreode_model::ModelConfig;
use chreode_train::TrainConfig;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// What a file of cells holds.
#[derive(Clone)]
struct Cells {
    ids: Vec<String>,
    days: Vec<f64>,
    genes: Vec<String>,
    /// `[n, genes]`, logarithms.
    x: DenseMatrix,
    pca: DenseMatrix,
    /// `[genes, dim]`, mean and standard deviation, if the file says them.
    loadings: Option<(DenseMatrix, Vec<f64>, Vec<f64>)>,
}

impl Cells {
    fn write(&self, path: &Path) {
        let mut file = H5adWriter::new(self.ids.clone(), self.genes.clone());
        file.x(Matrix::Dense(self.x.clone()));
        file.obs("day", Column::Number(self.days.clone()));
        file.obsm("X_pca", self.pca.clone());
        if let Some((loadings, mean, sd)) = &self.loadings {
            file.varm("PCs", loadings.clone());
            file.var("mean", Column::Number(mean.clone())).var("std", Column::Number(sd.clone()));
        }
        file.write(path).unwrap();
    }

    /// Scaled principal components of these cells, as scanpy makes and stores them, large values cut at `clip`.
    fn with_pca(mut self, dim: usize, clip: Option<f64>) -> Self {
        let options = PreprocessOptions {
            kind: ExpressionKind::Log,
            genes: usize::MAX,
            clip,
            components: dim,
            ..PreprocessOptions::default()
        };
        let fitted = Transform::fit(Matrix::Dense(self.x.clone()), &self.genes, &options).unwrap();
        let t = fitted.transform;
        let mut loadings = vec![0.0; self.genes.len() * dim];
        let (mut mean, mut sd) = (vec![0.0; self.genes.len()], vec![0.0; self.genes.len()]);
        for (j, gene) in t.genes.iter().enumerate() {
            let g = self.genes.iter().position(|name| name == gene).unwrap();
            (mean[g], sd[g]) = (t.mean[j], t.sd[j]);
            for k in 0..dim {
                loadings[g * dim + k] = t.loadings[j * dim + k] as f32;
            }
        }
        self.pca = DenseMatrix::new(self.x.rows, dim, fitted.states).unwrap();
        self.loadings = Some((DenseMatrix::new(self.genes.len(), dim, loadings).unwrap(), mean, sd));
        self
    }

    /// Some of the cells, with what is known of all genes.
    fn select(&self, from: usize, to: usize) -> Self {
        let rows = from..to;
        let pick = |m: &DenseMatrix| {
            let values: Vec<f32> = rows.clone().flat_map(|i| m.row(i).to_vec()).collect();
            DenseMatrix::new(values.len() / m.cols, m.cols, values).unwrap()
        };
        Self {
            ids: rows.clone().map(|i| self.ids[i].clone()).collect(),
            days: rows.clone().map(|i| self.days[i]).collect(),
            x: pick(&self.x),
            pca: pick(&self.pca),
            ..self.clone()
        }
    }

    fn renamed(mut self) -> Self {
        self.ids.iter_mut().for_each(|id| id.insert_str(0, "new-"));
        self
    }

    fn flipped(mut self) -> Self {
        self.pca.values.iter_mut().step_by(self.pca.cols).for_each(|x| *x = -*x);
        self
    }

    /// Some of the genes, in that order.
    fn genes(mut self, order: &[usize]) -> Self {
        let x = Matrix::Dense(self.x).select_columns(order);
        self.x = x.into_dense();
        self.genes = order.iter().map(|&g| self.genes[g].clone()).collect();
        self.loadings = self.loadings.map(|(loadings, mean, sd)| {
            let values = order.iter().flat_map(|&g| loadings.row(g).to_vec()).collect();
            let pick = |v: &[f64]| order.iter().map(|&g| v[g]).collect::<Vec<_>>();
            (DenseMatrix::new(order.len(), loadings.cols, values).unwrap(), pick(&mean), pick(&sd))
        });
        self
    }
}

/// Logarithms of forty genes with three hidden factors, no components yet; cells of the days 2 and 4 in turn.
fn cells(n: usize) -> Cells {
    let m = 40;
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let weights: Vec<f64> = (0..3 * m).map(|_| uniform()).collect();
    let mut values = Vec::with_capacity(n * m);
    for _ in 0..n {
        let factors = [uniform(), uniform(), uniform()];
        for w in weights.chunks_exact(3) {
            let rate: f64 = factors.iter().zip(w).map(|(f, w)| f * w).sum();
            values.push((4.0 * rate + uniform()).ln_1p() as f32);
        }
    }
    Cells {
        ids: (0..n).map(|i| format!("cell{i}")).collect(),
        days: (0..n).map(|i| [2.0, 4.0][i % 2]).collect(),
        genes: (0..m).map(|g| format!("g{g}")).collect(),
        x: DenseMatrix::new(n, m, values).unwrap(),
        pca: DenseMatrix::new(n, 1, vec![0.0; n]).unwrap(),
        loadings: None,
    }
}

/// A run that was fitted to a file, without a model.
struct Run {
    dir: tempfile::TempDir,
    folder: RunFolder,
    space: StateSpace,
    options: DatasetOptions,
}

impl Run {
    fn fitted(file: &Path, time: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = DatasetOptions {
            time: time.into(),
            state: StateSource::Basis("X_pca".into()),
            ..DatasetOptions::default()
        };
        let dataset = Dataset::load(file, &options).unwrap();
        let config = RunConfig {
            format: RunConfig::FORMAT,
            chreode: "0.1.0".into(),
            device: chreode_train::DeviceChoice::default(),
            members: 1,
            data: DataConfig {
                file: file.to_owned(),
                fingerprint: Fingerprint::of(file).unwrap(),
                options: options.clone(),
            },
            model: ModelConfig::new(vec![0.0; dataset.dim()], vec![1.0; dataset.dim()]),
            training: TrainConfig::default(),
            growth_choice: None,
        };
        let training = TrainingCells {
            growth: None,
            populations: None,
            clones: None,
            dim: dataset.dim(),
            states: dataset.states.as_slice().unwrap().to_vec(),
            times: dataset.times.clone(),
            ids: dataset.ids.clone(),
            held_out: vec![false; dataset.len()],
            labels: None,
        };
        let folder = RunFolder::create(&dir.path().join("run"), ExistingRun::Keep, &config, |new| {
            training.save(&new.training_cells())
        })
        .unwrap();
        Self { dir, folder: folder.folder, space: dataset.space, options }
    }

    fn of(cells: &Cells) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cells.h5ad");
        cells.write(&file);
        Self::fitted(&file, "day")
    }

    fn load(&self, cells: &Cells) -> Result<(Dataset, Coordinates), DataError> {
        let file = self.dir.path().join("new.h5ad");
        cells.write(&file);
        self.load_file(&file)
    }

    fn load_file(&self, file: &Path) -> Result<(Dataset, Coordinates), DataError> {
        self.folder.load_cells(file, &self.options, &self.space).map_err(|error| match error {
            RunError::Data(error) => error,
            other => panic!("{other}"),
        })
    }
}

/// The error of a basis that is not the run's, in words.
fn refusal(found: Result<(Dataset, Coordinates), DataError>) -> String {
    let error = found.unwrap_err();
    assert!(matches!(error, DataError::OtherLoadings { .. } | DataError::MovedCells { .. }), "{error}");
    error.to_string()
}

#[test]
fn the_loadings_tell_whose_basis_it_is() {
    let fitted = cells(60).with_pca(4, None);
    let run = Run::of(&fitted);
    assert!(matches!(run.space, StateSpace::GivenPca(_)));
    let (dataset, coordinates) = run.load(&fitted).unwrap();
    assert_eq!((dataset.states.as_slice(), coordinates), (Some(&fitted.pca.values[..]), Coordinates::Known));
    // Other cells, some genes only, in another order: the loadings are the same.
    let other = fitted.select(10, 30).renamed().genes(&[7, 3, 31, 12]);
    let (dataset, coordinates) = run.load(&other).unwrap();
    assert_eq!((dataset.states.as_slice(), coordinates), (Some(&other.pca.values[..]), Coordinates::Known));
    // Components of these cells alone.
    let anew = fitted.select(10, 30).renamed().with_pca(4, None);
    let text = refusal(run.load(&anew));
    assert!(text.contains("new.h5ad: `obsm['X_pca']` is another basis than the run's"), "{text}");
    assert!(text.contains("of 40 genes in both, 40 have other loadings"), "{text}");
    // The library refuses without a run too.
    let path = run.dir.path().join("new.h5ad");
    assert!(matches!(
        Dataset::load_into(&path, &run.options, &run.space),
        Err(DataError::OtherLoadings { different: 40, compared: 40, .. })
    ));
    // A sign alone.
    let mut signed = fitted.select(10, 30).renamed().flipped();
    let (loadings, _, _) = signed.loadings.as_mut().unwrap();
    loadings.values.iter_mut().step_by(4).for_each(|w| *w = -*w);
    refusal(run.load(&signed));
    // Another number of coordinates.
    assert!(matches!(run.load(&fitted.clone().with_pca(3, None)), Err(DataError::Shape { .. })));
}

#[test]
fn without_loadings_the_cells_tell() {
    let mut fitted = cells(60).with_pca(4, None);
    for with_loadings in [true, false] {
        let run = Run::of(&fitted);
        assert_eq!(matches!(run.space, StateSpace::GivenPca(_)), with_loadings);
        fitted.loadings = None;
        let (dataset, coordinates) = run.load(&fitted.select(20, 40)).unwrap();
        let expected = Some(&fitted.pca.values[80..160]);
        assert_eq!((dataset.states.as_slice(), coordinates), (expected, Coordinates::Known));
        // Half precision is no move.
        let mut half = fitted.clone();
        half.pca.values.iter_mut().for_each(|x| *x *= 1.0005);
        assert_eq!(run.load(&half).unwrap().1, Coordinates::Known);
        let text = refusal(run.load(&fitted.select(20, 40).flipped()));
        assert!(text.contains("of 20 cells that the run was fitted on, 20 lie elsewhere"), "{text}");
        let (before, now) = (fitted.pca.row(20)[0], -fitted.pca.row(20)[0]);
        assert!(text.contains(&format!("(coordinate 1 of `cell20` is {now}, it was {before})")), "{text}");
        // Other cells, by name or by time.
        let unchecked = Coordinates::Unchecked { key: "X_pca".into() };
        assert_eq!(run.load(&fitted.clone().flipped().renamed()).unwrap().1, unchecked);
        let mut later = fitted.clone().flipped();
        later.days.iter_mut().for_each(|day| *day += 10.0);
        assert_eq!(run.load(&later).unwrap().1, unchecked);
    }
}

#[test]
fn expression_is_projected_where_cells_of_the_training_prove_its_unit() {
    let all = cells(90);
    let fitted = all.select(0, 60).with_pca(4, None);
    let run = Run::of(&fitted);
    // Thirty cells more, and a PCA of all.
    let grown = all.with_pca(4, None);
    let (dataset, coordinates) = run.load(&grown).unwrap();
    let Coordinates::Projected { key, cells, off } = coordinates else { panic!("{coordinates:?}") };
    assert_eq!((key.as_str(), cells), ("X_pca", 60));
    assert!(off < 1e-4, "{off}");
    let expected = run.space.project(&Matrix::Dense(grown.x.clone()), &grown.genes).unwrap();
    assert_eq!(dataset.states.as_slice(), Some(&expected[..]));
    for (a, b) in dataset.states.as_slice().unwrap().iter().zip(&fitted.pca.values) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    // Genes in another order are found by name.
    let turned = grown.clone().genes(&(0..40).rev().collect::<Vec<_>>());
    let (again, coordinates) = run.load(&turned).unwrap();
    assert!(matches!(coordinates, Coordinates::Projected { cells: 60, .. }));
    assert!(again.states.as_slice().unwrap().iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));

    // Expression in any other unit takes no cell to where it was: scaled, logarithms to another base or of another total.
    let mut scaled = grown.clone();
    let (_, mean, sd) = grown.loadings.as_ref().unwrap();
    for row in scaled.x.values.chunks_exact_mut(40) {
        row.iter_mut().zip(mean).zip(sd).for_each(|((x, m), s)| *x = ((f64::from(*x) - m) / s) as f32);
    }
    refusal(run.load(&scaled));
    let mut binary = grown.clone();
    binary.x.values.iter_mut().for_each(|x| *x /= std::f32::consts::LN_2);
    refusal(run.load(&binary));
    let mut total = grown.clone();
    total.x.values.iter_mut().for_each(|x| *x = (1.3 * x.exp_m1()).ln_1p());
    refusal(run.load(&total));
    // A gene missing, an entry that is no number, too few cells to prove anything.
    refusal(run.load(&grown.clone().genes(&(1..40).collect::<Vec<_>>())));
    let mut nan = grown.clone();
    nan.x.values[7] = f32::NAN;
    refusal(run.load(&nan));
    refusal(run.load(&grown.select(51, 90)));
    assert!(matches!(run.load(&grown.select(50, 90)).unwrap().1, Coordinates::Projected { cells: 10, .. }));

    // Scaled again, with the coordinates left as they were: the cells overrule the genes.
    let mut scaled_again = fitted.clone();
    let (_, mean, _) = scaled_again.loadings.as_mut().unwrap();
    for m in mean {
        *m += 0.1;
    }
    let (dataset, coordinates) = run.load(&scaled_again).unwrap();
    assert_eq!((dataset.states, coordinates), (fitted.pca.values.into(), Coordinates::Known));
}

#[test]
fn training_cells_of_another_run_are_named() {
    let fitted = cells(60).with_pca(4, None);
    let run = Run::of(&fitted);
    let path = run.folder.training_cells();
    let mut training = TrainingCells::load(&path).unwrap();
    (training.dim, training.states) = (3, vec![0.0; 180]);
    training.save(&path).unwrap();
    let mut bare = fitted;
    bare.loadings = None;
    let file = run.dir.path().join("new.h5ad");
    bare.write(&file);
    let error = run.folder.load_cells(&file, &run.options, &run.space).unwrap_err();
    assert!(matches!(error, RunError::Damaged { .. }), "{error}");
}

fn data(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CHREODE_DATA");
    if folder.is_none() {
        println!("skipped: CHREODE_DATA names no folder of data");
    }
    Some(PathBuf::from(folder?).join(file))
}

/// The cells of a real file with its coordinates alone.
fn coordinates_of(path: &Path, time: &str, dim: usize) -> Cells {
    let file = H5ad::open(path).unwrap();
    let options = DatasetOptions { time: time.into(), ..DatasetOptions::default() };
    let given = Dataset::load(path, &options).unwrap();
    assert_eq!(given.dim(), dim);
    Cells {
        x: file.x().unwrap().into_dense(),
        ids: given.ids,
        days: given.times,
        genes: file.var_names().unwrap(),
        pca: file.obsm("X_pca").unwrap(),
        loadings: None,
    }
}

#[test]
fn published_coordinates_without_loadings_or_scaling() {
    for (name, time, dim) in
        [("larry/larry_781.h5ad", "time_info", 40), ("timecourse/pancreas_100.h5ad", "age(days)", 30)]
    {
        let Some(path) = data(name) else { return };
        let mut run = Run::fitted(&path, time);
        assert!(matches!(run.space, StateSpace::GivenBasis(_)));
        assert_eq!(run.load_file(&path).unwrap().1, Coordinates::Known);
        run.options.time = "day".into();
        let cells = coordinates_of(&path, time, dim);
        assert_eq!(run.load(&cells.select(0, 50)).unwrap().1, Coordinates::Known);
        refusal(run.load(&cells.clone().flipped()));
        assert!(matches!(run.load(&cells.renamed()).unwrap().1, Coordinates::Unchecked { .. }));
    }
}

/// Root mean square difference of the worst coordinate, in its standard deviations about 0.
fn worst_rms(states: &[f32], pca: &DenseMatrix) -> f64 {
    let rms = |k: usize, f: &dyn Fn(usize) -> f32| {
        ((0..pca.rows).map(|i| f64::from(f(i * pca.cols + k)).powi(2)).sum::<f64>() / pca.rows as f64).sqrt()
    };
    let off = |k| rms(k, &|i| states[i] - pca.values[i]) / rms(k, &|i| pca.values[i]);
    (0..pca.cols).map(off).fold(0.0, f64::max)
}

#[test]
fn published_expression_with_components_computed_anew() {
    let Some(path) = data("larry/larry_781.h5ad") else { return };
    let mut all = coordinates_of(&path, "time_info", 40);
    all.x.values.iter_mut().for_each(|x| *x = x.ln_1p());
    // What cutting scaled values at ten, as scanpy's tutorials do, costs the projection.
    for clip in [None, Some(10.0)] {
        let fitted = all.select(0, 600).with_pca(20, clip);
        let run = Run::of(&fitted);
        assert_eq!(run.load(&fitted.select(100, 300).renamed()).unwrap().1, Coordinates::Known);
        refusal(run.load(&all.select(500, 781).renamed().with_pca(20, clip)));
        let grown = all.clone().with_pca(20, clip);
        match run.load(&grown) {
            Ok((dataset, Coordinates::Projected { cells, off, .. })) => {
                println!(
                    "clip {clip:?}: {cells} cells prove the projection, off by {off:.5} of a standard deviation"
                );
                assert_eq!(cells, 600);
                assert!(off < 1e-3, "{off}");
                // Taken as stored, the worst coordinate would have been off by more than a standard deviation.
                let differs = |k: usize| {
                    let stored = dataset.states.as_slice().unwrap();
                    (0..600).map(|i| (stored[i * 20 + k] - grown.pca.row(i)[k]).abs()).fold(0.0, f32::max)
                };
                assert!((0..20).map(differs).fold(0.0, f32::max) > 1.0);
            }
            other => {
                assert!(clip.is_some());
                refusal(other);
                let states = run.space.project(&Matrix::Dense(fitted.x.clone()), &fitted.genes).unwrap();
                let off = worst_rms(&states, &fitted.pca);
                println!("clip {clip:?}: refused, off by {off:.3} of a standard deviation");
                assert!(off > 0.05, "{off}");
            }
        }
    }
}
