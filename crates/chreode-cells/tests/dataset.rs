//! Data sets from tables and AnnData files: what is found without being told, and one clear error for each defect.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chreode_cells::{
    Column, DataError, Dataset, DatasetOptions, DenseMatrix, GeneUnit, H5adWriter, Labels, Matrix,
    StateSource, StateSpace, StateSpaceError,
};

/// State of one cell.
fn state_of(cells: &Dataset, row: usize) -> Vec<f32> {
    cells.states_of(&[row]).unwrap()
}

fn options(state: StateSource) -> DatasetOptions {
    DatasetOptions { time: "day".into(), state, ..DatasetOptions::default() }
}

fn xy() -> StateSource {
    StateSource::from_columns("x,y")
}

/// Forty cells, twenty at each of the days 2 and 4; two of five genes make two groups of cells.
fn table() -> String {
    let mut text = String::from("cell_id,day,x,y,g0,g1,g2,g3,g4,growth,state,clone\n");
    for i in 0..40_i32 {
        let group = i % 2;
        let counts: Vec<String> = (0..5)
            .map(|g| (if g < 2 { 30 * group + i % 3 } else { 5 + (i * (g + 3)) % 4 }).to_string())
            .collect();
        let state = ["Mono", "Neu", ""][i as usize % 3];
        writeln!(
            text,
            "c{i},{},{},{}.5,{},1.{i},{state},{}",
            2 + 2 * (i / 20),
            i,
            -i,
            counts.join(","),
            i / 4
        )
        .unwrap();
    }
    text
}

fn put(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn message(dir: &Path, error: &DataError) -> String {
    error.to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn a_table_of_coordinates() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "cells.csv", &table());
    let mut wanted = options(xy());
    wanted.growth = Some("growth".into());
    wanted.labels = Some("state".into());
    wanted.clone = Some("clone".into());
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!((cells.len(), cells.dim()), (40, 2));
    assert_eq!(cells.ids[..2], ["c0", "c1"]);
    assert_eq!(state_of(&cells, 3), [3.0, -3.5]);
    let labels = cells.labels.as_ref().unwrap();
    assert_eq!(labels.names(), ["Mono", "Neu"]);
    assert_eq!((labels.name(0), labels.name(2)), (Some("Mono"), None));
    assert_eq!(cells.clones.as_ref().unwrap().names().len(), 10);
    assert_eq!(cells.growth.as_ref().unwrap()[10], 1.10);
    let points = cells.time_points();
    assert_eq!(points.iter().map(|p| (p.time, p.rows.len())).collect::<Vec<_>>(), [(2.0, 20), (4.0, 20)]);
    assert_eq!(cells.rows_at(4.0).unwrap()[0], 20);
    assert!(matches!(cells.rows_at(3.0), Err(DataError::NoSuchTime { .. })));
    cells.check_for_fitting().unwrap();
    // The same space takes the same file to the same bits.
    let again = Dataset::load_into(&path, &wanted, &cells.space).unwrap();
    assert_eq!(again.states, cells.states);
}

#[test]
fn a_table_of_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "cells.csv", &table());
    let mut wanted = options(StateSource::from_basis("none"));
    wanted.exclude = ["x", "y", "growth", "clone"].map(String::from).to_vec();
    wanted.preprocess.components = 3;
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(cells.dim(), 3);
    let StateSpace::OwnPca(transform) = &cells.space else { panic!("components") };
    assert_eq!(transform.genes, ["g0", "g1", "g2", "g3", "g4"]);
    // The two groups lie apart on the first component.
    let first =
        |group: usize| (0..40).filter(|i| i % 2 == group).map(|i| state_of(&cells, i)[0]).collect::<Vec<_>>();
    let (low, high) = (first(0), first(1));
    let apart = |a: &[f32], b: &[f32]| a.iter().all(|x| b.iter().all(|y| x < y));
    assert!(apart(&low, &high) || apart(&high, &low));
    let again = Dataset::load_into(&path, &wanted, &cells.space).unwrap();
    assert_eq!(again.states, cells.states, "new cells go the same way, to the bit");
    // The space survives being stored.
    let stored: StateSpace = serde_json::from_str(&serde_json::to_string(&cells.space).unwrap()).unwrap();
    assert_eq!(stored, cells.space);
    // Genes themselves as state.
    wanted.state = StateSource::from_columns("all");
    let genes = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(genes.space.coordinate_names(), ["g0", "g1", "g2", "g3", "g4"]);
    assert_eq!(state_of(&genes, 1), [31.0, 31.0, 6.0, 7.0, 8.0]);
}

#[test]
fn labels_from_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "cells.csv", &table());
    let from = put(dir.path(), "states.tsv", "barcode\tfate\nc3\tMast\nc39\tBaso\nother\tMast\n");
    let mut wanted = options(xy());
    wanted.labels = Some("fate".into());
    wanted.labels_from = Some(from.clone());
    let labels = Dataset::load(&path, &wanted).unwrap().labels.unwrap();
    assert_eq!(labels.counts(), [1, 1]);
    assert_eq!((labels.name(3), labels.name(39), labels.name(0)), (Some("Mast"), Some("Baso"), None));
    wanted.labels_from = Some(put(dir.path(), "s.csv", "cell,fate\n17,Mast\n"));
    assert_eq!(
        message(dir.path(), &Dataset::load(&path, &wanted).unwrap_err()),
        "no cell of cells.csv is in s.csv: the names there are like `17`, here like `c0`; do both name the cells by the same column?"
    );
    wanted.labels_from = Some(put(dir.path(), "s.csv", "cell,fate\nc1,Mast\nc1,Baso\n"));
    assert!(matches!(Dataset::load(&path, &wanted), Err(DataError::DuplicateId { .. })));
    wanted.labels_from = Some(from);
    wanted.labels = Some("fates".into());
    assert!(
        message(dir.path(), &Dataset::load(&path, &wanted).unwrap_err()).contains("did you mean `fate`?")
    );
}

#[test]
fn the_column_that_names_the_cells_of_a_table_of_labels() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "cells.csv", &table());
    let mut wanted = options(xy());
    wanted.labels = Some("fate".into());
    let from = |wanted: &mut DatasetOptions, text: &str, id: Option<&str>| {
        wanted.labels_from = Some(put(dir.path(), "s.csv", text));
        wanted.labels_id = id.map(str::to_owned);
        Dataset::load(&path, wanted).map(|cells| cells.labels.unwrap()).map_err(|e| message(dir.path(), &e))
    };
    // `cell` is there, but another column is asked for.
    let text = "cell,name,fate\nc1,c3,Mast\nc2,c39,Baso\n";
    let labels = from(&mut wanted, text, Some("name")).unwrap();
    assert_eq!((labels.name(3), labels.name(39), labels.name(1)), (Some("Mast"), Some("Baso"), None));
    assert_eq!(from(&mut wanted, text, None).unwrap().name(1), Some("Mast"));
    assert_eq!(
        from(&mut wanted, text, Some("nmae")).unwrap_err(),
        "s.csv has no column `nmae`; did you mean `name`? there are: cell, name, fate"
    );
    // None of the usual names: rows are not joined by their number.
    let numbers = "name,fate\nc3,Mast\n";
    assert_eq!(
        from(&mut wanted, numbers, None).unwrap_err(),
        "s.csv: no column names the cells (none of cell, cell_id, cell_idx, barcode, index); there are: name, fate"
    );
    // Except where the cells themselves are named by it.
    let path = put(dir.path(), "cells.csv", &table().replace("cell_id,", "who,"));
    wanted.labels_from = Some(put(dir.path(), "s.csv", numbers));
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(cells.labels.unwrap().name(0), Some("Mast"));
    // An `.h5ad` file names its cells itself, but a column can be asked for.
    let mut file = H5adWriter::new(vec!["a".into(), "b".into()], vec![]);
    file.obs("name", Column::Text(vec!["c3".into(), "c39".into()]));
    file.obs("fate", Column::Text(vec!["Mast".into(), "Baso".into()]));
    file.write(&dir.path().join("s.h5ad")).unwrap();
    wanted.labels_from = Some(dir.path().join("s.h5ad"));
    wanted.id = Some("who".into());
    assert!(matches!(Dataset::load(&path, &wanted), Err(DataError::NoLabelJoins { .. })));
    wanted.labels_id = Some("name".into());
    assert_eq!(Dataset::load(&path, &wanted).unwrap().labels.unwrap().name(39), Some("Baso"));
}

#[test]
fn a_column_has_one_meaning() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "cells.csv", &table());
    let fails = |options: &DatasetOptions| message(dir.path(), &Dataset::load(&path, options).unwrap_err());
    let state = |names: &str| options(StateSource::from_columns(names));
    assert_eq!(fails(&state("x,y,x")), "cells.csv: `x` is named twice among the columns of the state");
    let full = DatasetOptions {
        growth: Some("growth".into()),
        clone: Some("clone".into()),
        labels: Some("g3".into()),
        ..state("x")
    };
    Dataset::load(&path, &full).unwrap();
    for (column, holds) in [
        ("day", "times"),
        ("cell_id", "cells' names"),
        ("growth", "growth"),
        ("clone", "clones"),
        ("g3", "labels"),
    ] {
        let state = StateSource::Columns(vec!["x".into(), column.into()]);
        assert_eq!(
            fails(&DatasetOptions { state, ..full.clone() }),
            format!(
                "cells.csv: column `{column}` holds the {holds} and cannot be among the columns of the state"
            )
        );
    }
    // Labels of another file are no column of this one.
    let from = put(dir.path(), "labels.csv", "cell,g3\nc1,A\nc2,B\n");
    let other = DatasetOptions { labels_from: Some(from), state: state("x,g3").state, ..full.clone() };
    Dataset::load(&path, &other).unwrap();
    let genes = |names: &[&str]| DatasetOptions {
        genes: Some(names.iter().map(|&n| n.to_owned()).collect()),
        ..options(StateSource::Pca)
    };
    assert_eq!(
        fails(&genes(&["g0", "g1", "g0"])),
        "cells.csv: `g0` is named twice among the columns of the genes"
    );
    assert!(fails(&genes(&["g0", "day"])).contains("column `day` holds the times"));
    Dataset::load(&path, &genes(&["g1", "g0"])).unwrap();

    let path = dir.path().join("cells.h5ad");
    anndata().write(&path).unwrap();
    let fails = |names| message(dir.path(), &Dataset::load(&path, &state(names)).unwrap_err());
    assert!(fails("u,u").contains("`u` is named twice") && fails("Kit,Kit").contains("`Kit` is named twice"));
    assert!(fails("u,day").contains("`day` holds the times"));
}

#[test]
fn a_table_of_new_counts_may_have_other_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "cells.csv", &table());
    let mut wanted = options(StateSource::Pca);
    wanted.exclude = ["x", "y", "growth", "clone"].map(String::from).to_vec();
    wanted.preprocess.components = 3;
    wanted.preprocess.genes = 4;
    let cells = Dataset::load(&path, &wanted).unwrap();
    let StateSpace::OwnPca(transform) = &cells.space else { panic!("components") };
    let spare = transform.counted.iter().find(|g| !transform.genes.contains(g)).unwrap().clone();
    // The columns that were excluded are gone, others are there: none of them is a gene.
    let mut other = String::from("cell_id,day,n_counts,g4,g3,g2,g1,g0\n");
    for line in table().lines().skip(1) {
        let f: Vec<&str> = line.split(',').collect();
        writeln!(other, "{},{},1e6,{},{},{},{},{}", f[0], f[1], f[8], f[7], f[6], f[5], f[4]).unwrap();
    }
    let new = put(dir.path(), "new.csv", &other);
    assert_eq!(Dataset::load_into(&new, &wanted, &cells.space).unwrap().states, cells.states);
    // A gene of the totals that is missing is told, or refused if it had many counts.
    let new = put(dir.path(), "new.csv", &other.replace(&spare, "else"));
    match Dataset::load_into(&new, &wanted, &cells.space) {
        Ok(less) => assert!(less.notes[0].contains("1 of the 5 genes"), "{:?}", less.notes),
        Err(e) => assert!(e.to_string().contains("1 of the 5 genes"), "{e}"),
    }
    let new = put(dir.path(), "new.csv", &other.replace(",g0\n", ",G0\n"));
    let text = message(dir.path(), &Dataset::load_into(&new, &wanted, &cells.space).unwrap_err());
    assert!(text.contains("1 of the 4 genes needed are missing, first `g0`; did you mean `G0`?"), "{text}");
}

#[test]
fn each_defect_of_a_table_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &str, options: &DatasetOptions| {
        let cells = Dataset::load(put(dir.path(), "cells.csv", text), options);
        cells.and_then(|c| c.check_for_fitting().map(|()| c)).map_err(|e| message(dir.path(), &e))
    };
    let fails = |text: &str, options: &DatasetOptions| load(text, options).unwrap_err();
    let good = table();
    load(&good, &options(xy())).unwrap();
    assert_eq!(
        fails(&good, &DatasetOptions { time: "dya".into(), ..options(xy()) }),
        "cells.csv has no column `dya`; did you mean `day`? there are: cell_id, day, x, y, g0, g1, g2, g3, g4, growth, state, clone"
    );
    assert!(fails(&good, &options(StateSource::from_columns("x,z"))).contains("no column `z`"));
    assert!(fails(&good, &options(StateSource::Auto)).contains("--state a,b"));
    assert!(fails(&good, &options(StateSource::from_basis("X_pca"))).contains("is a table and has no basis"));
    assert!(
        fails(&good, &DatasetOptions { id: Some("barcod".into()), ..options(xy()) })
            .contains("no column `barcod`")
    );
    assert_eq!(
        fails(&good.replace("c7,2,7,", "c7,2,NaN,"), &options(xy())),
        "cells.csv, line 9, column `x`: `NaN` is not a finite number"
    );
    assert_eq!(
        fails(&good.replace("c7,", "c3,"), &options(xy())),
        "cells.csv: rows 3 and 7 (from 0) are both named `c3`; cells need different names"
    );
    assert_eq!(
        fails(&good.replace(",4,", ",2,"), &options(xy())),
        "cells.csv: all cells have `day` = 2; dynamics need two times at least"
    );
    assert_eq!(
        fails(&format!("{good}c40,6,1,1,1,1,1,1,1,1,Neu,1\n"), &options(xy())),
        "cells.csv: too few cells have `day` = 6: 1, where every time needs 10 at least; leave it out"
    );
    assert!(
        fails(&good.replace("c9,2,", "c9,soon,"), &options(xy())).contains("`soon` (in row 9) is not a time")
    );
    let mut counts = options(StateSource::Pca);
    counts.exclude = ["x", "y", "growth", "clone"].map(String::from).to_vec();
    load(&good, &counts).unwrap();
    let negative = good.replace("c1,2,1,-1.5,31", "c1,2,1,-1.5,-31");
    assert!(
        fails(&negative, &counts).contains("cell 1, gene `g0`: -31 is not a number >= 0"),
        "{}",
        fails(&negative, &counts)
    );
    counts.preprocess.kind = chreode_cells::ExpressionKind::Counts;
    let half = good.replace("c1,2,1,-1.5,31", "c1,2,1,-1.5,30.5");
    assert_eq!(
        fails(&half, &counts),
        "cells.csv: cell 1, gene `g0`: 30.5 is not a count (a whole number >= 0)"
    );
    counts.exclude.push("g9".into());
    assert!(fails(&good, &counts).contains("no column `g9`"));
}

/// Thirty cells of three days, four genes, two given components of them.
fn anndata() -> H5adWriter {
    let n = 30;
    let mut file = H5adWriter::new(
        (0..n).map(|i| format!("cell{i}")).collect(),
        ["Gata1", "Spi1", "Kit", "Flat"].map(String::from).to_vec(),
    );
    let x: Vec<f32> =
        (0..n * 4).map(|k| if k % 4 == 3 { 0.0 } else { ((k * 7) % 11) as f32 * 0.25 }).collect();
    file.x(Matrix::Dense(DenseMatrix::new(n, 4, x).unwrap()));
    let days: Vec<String> = (0..n).map(|i| format!("day {}", 2 + 2 * (i / 10))).collect();
    file.obs("day", Column::Labels(Labels::from_text(&days)));
    file.obs("type", Column::Text((0..n).map(|i| ["A", "B"][i % 2].to_owned()).collect()));
    file.obs("u", Column::Number((0..n).map(|i| i as f64).collect()));
    let pca = (0..n * 2).map(|k| k as f32 * 0.1).collect();
    file.obsm("X_pca", DenseMatrix::new(n, 2, pca).unwrap());
    file
}

fn with_loadings() -> H5adWriter {
    let mut file = anndata();
    file.varm("PCs", DenseMatrix::new(4, 2, vec![0.6, 0.8, 0.8, -0.6, 0.0, 0.0, 0.0, 0.0]).unwrap());
    file.var("mean", Column::Number(vec![1.0, 2.0, 3.0, 0.0]));
    file.var("std", Column::Number(vec![0.5, 0.25, 1.0, 0.0]));
    file
}

#[test]
fn anndata_with_loadings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    with_loadings().write(&path).unwrap();
    let mut wanted = options(StateSource::Auto);
    wanted.labels = Some("type".into());
    let cells = Dataset::load(&path, &wanted).unwrap();
    assert_eq!(cells.time_points().iter().map(|p| p.time).collect::<Vec<_>>(), [2.0, 4.0, 6.0]);
    assert_eq!(cells.labels.as_ref().unwrap().counts(), [15, 15]);
    assert_eq!(cells.space.genes(), ["Gata1", "Spi1"]);
    let axis = cells.space.gene_axis("Gata1").unwrap();
    let mut state = [1.0_f32, 2.0];
    assert!((axis.value(&state) - 2.2).abs() < 1e-6);
    axis.shift(2.0, &mut state);
    assert!((axis.value(&state) - 4.2).abs() < 1e-6 && (state[0] - 2.2).abs() < 1e-6);
    axis.clamp(-1.0, &mut state);
    assert!((axis.value(&state) + 1.0).abs() < 1e-6);
    // Orthogonal loadings: the other gene keeps its value.
    let other = cells.space.gene_axis("Spi1").unwrap();
    assert!((other.value(&state) - other.value(&[1.0, 2.0])).abs() < 1e-6);
    let decoded = cells.space.decode(&[1.0, 2.0], &["Gata1", "Spi1"], GeneUnit::Data).unwrap();
    assert!((decoded[0] - (1.0 + 0.5 * 2.2)).abs() < 1e-6 && (decoded[1] - (2.0 - 0.25 * 0.4)).abs() < 1e-6);
    // Expression of one cell, through the scaling and the loadings.
    let x = Matrix::Dense(DenseMatrix::new(1, 2, vec![2.0, 1.5]).unwrap());
    let state = cells.space.project(&x, &["Spi1".into(), "Gata1".into()]).unwrap();
    assert!((state[0] - 0.6).abs() < 1e-6 && (state[1] - 0.8).abs() < 1e-6);
    assert!(matches!(cells.space.gene_axis("Kit"), Err(StateSpaceError::Unused { .. })));
    assert!(matches!(cells.space.gene_axis("Flat"), Err(StateSpaceError::Unused { .. })));
    let unknown = cells.space.gene_axis("gata1").unwrap_err().to_string();
    assert!(unknown.contains("did you mean `Gata1`?"), "{unknown}");
}

#[test]
fn a_basis_without_loadings_refuses_genes_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    let says = |file: &H5adWriter, key: &str| {
        file.write(&path).unwrap();
        let cells = Dataset::load(&path, &options(StateSource::from_basis(key))).unwrap();
        assert_eq!(cells.dim(), 2);
        assert!(cells.space.genes().is_empty());
        assert!(cells.notes.iter().any(|n| n.contains("genes cannot be set")));
        cells.space.gene_axis("Gata1").unwrap_err().to_string()
    };
    let mut file = anndata();
    assert!(says(&file, "X_pca").contains("no loadings `varm['PCs']`"));
    file.varm("PCs", DenseMatrix::new(4, 2, vec![0.5; 8]).unwrap());
    assert!(says(&file, "X_pca").contains("neither `var['mean']` nor `var['std']`"));
    let mut umap = with_loadings();
    umap.obsm("X_umap", DenseMatrix::new(30, 2, vec![0.5; 60]).unwrap());
    let text = says(&umap, "X_umap");
    assert!(text.contains("no `X_pca`") && text.contains("--basis none"), "{text}");
    let mut three = anndata();
    three.varm("PCs", DenseMatrix::new(4, 3, vec![0.5; 12]).unwrap());
    three.var("mean", Column::Number(vec![1.0; 4])).var("std", Column::Number(vec![1.0; 4]));
    assert!(says(&three, "X_pca").contains("another number of components"));
}

#[test]
fn anndata_states_of_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    with_loadings().write(&path).unwrap();
    let load = |state| Dataset::load(&path, &options(state));
    assert_eq!(state_of(&load(StateSource::from_columns("u")).unwrap(), 7), [7.0]);
    let genes = load(StateSource::from_columns("Kit,Gata1")).unwrap();
    assert_eq!(state_of(&genes, 0), [0.75, 0.0]);
    let all = load(StateSource::from_basis("X")).unwrap();
    assert_eq!(all.dim(), 4);
    assert!(matches!(all.space.gene_axis("Flat"), Err(StateSpaceError::Unused { .. })));
    let axis = all.space.gene_axis("Kit").unwrap();
    let mut state = state_of(&all, 5);
    axis.clamp(axis.scaled(1.25), &mut state);
    assert!((state[2] - 1.25).abs() < 1e-6 && state[0] == state_of(&all, 5)[0]);
    let own = load(StateSource::from_basis("none")).unwrap();
    assert_eq!(own.dim(), 3, "the constant gene has no part");
    assert!(
        own.notes[0]
            .contains("3 principal components of 3 of 4 genes (Gata1, Spi1, Kit), taken for logarithms"),
        "{}",
        own.notes[0]
    );
    let again = Dataset::load_into(&path, &options(StateSource::Auto), &own.space).unwrap();
    assert_eq!(again.states, own.states);
    // With all components nothing is lost.
    let read =
        own.space.decode(own.states.as_slice().unwrap(), &["Gata1", "Spi1", "Kit"], GeneUnit::Data).unwrap();
    for i in 0..30 {
        for (j, &x) in state_of(&all, i)[..3].iter().enumerate() {
            assert!((read[3 * i + j] - x).abs() < 1e-4, "cell {i} gene {j}: {} {x}", read[3 * i + j]);
        }
    }
}

#[test]
fn each_defect_of_anndata_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cells.h5ad");
    let fails = |file: &H5adWriter, wanted: &DatasetOptions| {
        file.write(&path).unwrap();
        message(dir.path(), &Dataset::load(&path, wanted).unwrap_err())
    };
    let auto = options(StateSource::Auto);
    assert_eq!(
        fails(&anndata(), &DatasetOptions { time: "days".into(), ..auto.clone() }),
        "cells.h5ad has no obs column `days`; did you mean `day`? there are: day, type, u"
    );
    assert_eq!(
        fails(&anndata(), &options(StateSource::from_basis("X_pcaa"))),
        "cells.h5ad has no obsm key `X_pcaa`; did you mean `X_pca`? there are: X_pca"
    );
    assert!(
        fails(&anndata(), &DatasetOptions { time: "type".into(), ..auto.clone() })
            .contains("`A` (in row 0) is not a time")
    );
    assert!(
        fails(&anndata(), &DatasetOptions { growth: Some("type".into()), ..auto.clone() })
            .contains("expected numbers")
    );
    let mut nan = anndata();
    let mut values = vec![0.0; 60];
    values[13] = f32::NAN;
    nan.obsm("X_nan", DenseMatrix::new(30, 2, values).unwrap());
    assert_eq!(
        fails(&nan, &options(StateSource::from_basis("X_nan"))),
        "cells.h5ad, `obsm/X_nan[1]`, cell `cell6` (row 6): NaN is not a finite number"
    );
    let mut late = anndata();
    late.obs("when", Column::Number((0..30).map(|i| if i == 4 { f64::NAN } else { 2.0 }).collect()));
    assert_eq!(
        fails(&late, &DatasetOptions { time: "when".into(), ..auto.clone() }),
        "cells.h5ad, `obs/when`, cell `cell4` (row 4): NaN is not a finite number"
    );
    let mut twice = H5adWriter::new(vec!["a".into(), "b".into(), "a".into()], vec![]);
    twice.obs("day", Column::Number(vec![1.0, 2.0, 2.0]));
    twice.obsm("X_pca", DenseMatrix::new(3, 1, vec![0.0; 3]).unwrap());
    assert!(fails(&twice, &auto).contains("rows 0 and 2 (from 0) are both named `a`"));
    with_loadings().write(&path).unwrap();
    let cells = Dataset::load(&path, &options(StateSource::Pca)).unwrap();
    let mut fewer = H5adWriter::new(vec!["a".into()], vec!["Gata1".into(), "Kit".into()]);
    fewer.obs("day", Column::Number(vec![2.0]));
    fewer.x(Matrix::Dense(DenseMatrix::new(1, 2, vec![0.0; 2]).unwrap()));
    fewer.write(&path).unwrap();
    assert!(
        message(dir.path(), &Dataset::load_into(&path, &auto, &cells.space).unwrap_err())
            .starts_with("cells.h5ad: 1 of the 3 genes needed are missing, first `Spi1`")
    );
    std::fs::write(&path, "cell,day\n").unwrap();
    assert!(matches!(Dataset::load(&path, &auto), Err(DataError::Foreign { .. })));
}
