//! Published data, where the folder named by `CHREODE_DATA` holds it.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::path::PathBuf;

use chreode_cells::{
    Column, Dataset, DatasetOptions, ExpressionKind, H5ad, Labels, StateSource, StateSpace, StateSpaceError,
};

/// State of one cell.
fn state_of(cells: &Dataset, row: usize) -> Vec<f32> {
    cells.states_of(&[row]).unwrap()
}

fn data(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CHREODE_DATA");
    if folder.is_none() {
        println!("skipped: CHREODE_DATA names no folder of data");
    }
    Some(PathBuf::from(folder?).join(file))
}

fn options(time: &str, state: StateSource) -> DatasetOptions {
    DatasetOptions { time: time.into(), state, ..DatasetOptions::default() }
}

fn cells_by_time(cells: &Dataset) -> Vec<(f64, usize)> {
    cells.time_points().iter().map(|p| (p.time, p.rows.len())).collect()
}

#[test]
fn larry_in_spring_space() {
    let (Some(path), Some(states)) = (data("larry/cells.csv.gz"), data("larry/states_781.csv")) else {
        return;
    };
    let mut wanted = options("day", StateSource::from_columns("spring_x,spring_y"));
    wanted.growth = Some("growth_score".into());
    wanted.labels = Some("state".into());
    wanted.labels_from = Some(states);
    let start = std::time::Instant::now();
    let cells = Dataset::load(path, &wanted).unwrap();
    let elapsed = start.elapsed();
    assert_eq!((cells.len(), cells.dim()), (130_887, 2));
    assert_eq!(cells_by_time(&cells), [(2.0, 28_249), (4.0, 48_498), (6.0, 54_140)]);
    let labels = cells.labels.as_ref().unwrap();
    assert_eq!((labels.names().len(), labels.counts().iter().sum::<usize>()), (12, 781));
    assert_eq!(labels.name(68), Some("Neutrophil"));
    assert!(cells.growth.as_ref().unwrap().iter().all(|g| g.is_finite()));
    cells.check_for_fitting().unwrap();
    println!("130,887 cells with growth and labels in {elapsed:.2?}");
    assert!(elapsed.as_secs() < 20, "{elapsed:?}");
}

#[test]
fn larry_with_expression() {
    let Some(path) = data("larry/larry_781.h5ad") else { return };
    let file = H5ad::open(&path).unwrap();
    assert_eq!((file.n_obs().unwrap(), file.n_vars().unwrap()), (781, 2481));
    assert_eq!(file.x_encoding().unwrap().as_deref(), Some("csr_matrix"));
    assert_eq!(file.obs_columns().unwrap(), ["time_info", "state_info", "n_counts"]);
    assert_eq!(file.obsm("X_clone").unwrap().cols, 339);
    let mut wanted = options("time_info", StateSource::Auto);
    wanted.labels = Some("state_info".into());
    let given = Dataset::load(&path, &wanted).unwrap();
    assert_eq!((given.len(), given.dim()), (781, 40));
    assert_eq!(given.labels.as_ref().unwrap().names().len(), 12);
    assert_eq!(given.time_points().iter().map(|p| p.time).collect::<Vec<_>>(), [2.0, 4.0, 6.0]);
    let refusal = given.space.gene_axis("Gata1").unwrap_err();
    assert!(matches!(refusal, StateSpaceError::NoGenes { .. }), "{refusal}");
    assert!(refusal.to_string().contains("--basis none"));

    wanted.state = StateSource::from_basis("none");
    wanted.preprocess.components = 40;
    let own = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(own.dim(), 40);
    let StateSpace::OwnPca(transform) = &own.space else { panic!("components") };
    println!("{}", transform.summary());
    assert!(transform.kind != ExpressionKind::Auto && transform.genes.len() <= 2000);
    own.space.gene_axis("Gata2").unwrap();
    // The file's components come from other genes and another normalisation, so its leading ones are compared as
    // a subspace: most of their variance is explained by ours.
    let explained = explained_by(&own, &given, 5);
    println!("share of the given components explained by ours: {explained:.2?}");
    assert!(explained[0] > 0.8 && explained.iter().sum::<f64>() / 5.0 > 0.6, "{explained:?}");
    let again = Dataset::load_into(&path, &wanted, &own.space).unwrap();
    assert_eq!(again.states, own.states);
}

/// R² of each of the first `k` coordinates of `b` by least squares on all coordinates of `a`, which are uncorrelated.
fn explained_by(a: &Dataset, b: &Dataset, k: usize) -> Vec<f64> {
    let n = a.len();
    let column = |d: &Dataset, j: usize| {
        let x: Vec<f64> = (0..n).map(|i| f64::from(state_of(d, i)[j])).collect();
        let mean = x.iter().sum::<f64>() / n as f64;
        x.into_iter().map(|v| v - mean).collect::<Vec<_>>()
    };
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>();
    let basis: Vec<Vec<f64>> = (0..a.dim()).map(|j| column(a, j)).collect();
    (0..k)
        .map(|j| {
            let y = column(b, j);
            let sum: f64 = basis.iter().map(|x| dot(x, &y).powi(2) / dot(x, x)).sum();
            sum / dot(&y, &y)
        })
        .collect()
}

#[test]
fn retinoic_acid_counts() {
    let Some(path) = data("semrau/counts.csv") else { return };
    let mut wanted = options("time_h", StateSource::Pca);
    wanted.exclude = vec!["RA".into()];
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(cells.len(), 2449);
    assert_eq!(cells.time_points().len(), 9);
    let StateSpace::OwnPca(transform) = &cells.space else { panic!("components") };
    assert_eq!((transform.kind, transform.genes.len()), (ExpressionKind::Counts, 41));
    assert!(cells.notes.iter().any(|n| n.contains("number of their row")));
    cells.check_for_fitting().unwrap();
    // Pluripotency is left behind: Pou5f1 falls from the first to the last time.
    let axis = cells.space.gene_axis("Pou5f1").unwrap();
    let mean = |t: f64| {
        let rows = cells.rows_at(t).unwrap();
        rows.iter().map(|&r| axis.value(&state_of(&cells, r))).sum::<f64>() / rows.len() as f64
    };
    let points = cells.time_points();
    assert!(mean(points[0].time) > mean(points[8].time) + 0.3);
    // Genes themselves.
    wanted.state = StateSource::Expression;
    assert_eq!(Dataset::load(&path, &wanted).unwrap().dim(), 41);
}

#[test]
fn time_courses() {
    let Some(path) = data("timecourse/reprogramming_250.h5ad") else { return };
    let mut wanted = options("day", StateSource::Auto);
    wanted.labels = Some("cell_type".into());
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(cells.len(), 250);
    assert_eq!(cells_by_time(&cells), [(10.0, 85), (10.5, 81), (11.0, 84)]);
    assert_eq!(cells.labels.as_ref().unwrap().names().len(), 5);
    assert!(cells.notes[0].contains("principal components"), "{:?}", cells.notes);
    cells.check_for_fitting().unwrap();

    let path = data("timecourse/pancreas_100.h5ad").unwrap();
    let mut wanted = options("age(days)", StateSource::Auto);
    wanted.labels = Some("clusters".into());
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!((cells.len(), cells.dim()), (100, 30));
    assert_eq!(cells_by_time(&cells), [(12.0, 35), (35.0, 65)]);
    let file = H5ad::open(&path).unwrap();
    assert_eq!((file.n_obs().unwrap(), file.n_vars().unwrap()), (100, 278));
    assert_eq!(file.layer("spliced").unwrap().rows(), 100);
    assert_eq!(file.layer("velocity").unwrap().cols(), 278);
    let Column::Labels(clusters) = file.obs("clusters").unwrap() else { panic!("categories") };
    assert_eq!(Labels::len(&clusters), 100);
    // Loadings without scaling: refused with the reason.
    assert!(
        cells
            .space
            .gene_axis(&file.var_names().unwrap()[0])
            .unwrap_err()
            .to_string()
            .contains("`var['mean']`")
    );

    let cells = Dataset::load(
        data("timecourse/emt_3d.csv").unwrap(),
        &options("samples", StateSource::from_columns("x1,x2,x3")),
    )
    .unwrap();
    assert_eq!((cells.len(), cells.dim(), cells.time_points().len()), (3133, 3, 5));
    let cells = Dataset::load(
        data("timecourse/larry_2d_standard.csv").unwrap(),
        &options("samples", StateSource::from_columns("x1,x2")),
    )
    .unwrap();
    assert_eq!((cells.len(), cells.dim(), cells.time_points().len()), (10_998, 2, 3));
}
