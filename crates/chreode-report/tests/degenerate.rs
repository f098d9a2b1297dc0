//! Little, odd or missing data: every figure draws something finite and says what it left out.

#![allow(clippy::unwrap_used, reason = "helpers of tests; the lint exempts test functions alone")]

use chreode_report::{
    BarSeries, Bars, Calibration, ColourBy, FateBars, Figure, Forest, ForestRow, HeatMap, Histogram, Lattice,
    Lines, Matrix, Ridgelines, ScalarGrid, Scatter, Series, ShapeError, Streamlines, VectorGrid,
};
use proptest::prelude::*;

/// Values as they come: ordinary, huge, tiny, equal, missing.
fn odd() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -10.0..10.0_f64,
        1 => Just(0.0),
        1 => Just(1e300),
        1 => Just(-1e-300),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ]
}

fn numbers_are_finite(figure: &Figure) {
    let html = figure.html();
    for bad in ["NaN", "inf", "e+", "e-3"] {
        // Names of classes hold none of these; numbers in attributes must not either.
        for part in html.split(" d=\"").skip(1) {
            let d = part.split('"').next().unwrap();
            assert!(!d.contains(bad), "{bad} in {d}");
        }
    }
    assert!(!html.contains("=\"NaN") && !html.contains("=\"inf"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_values_draw(values in prop::collection::vec(odd(), 0..40), groups in 1usize..5) {
        let points: Vec<[f64; 2]> = values.iter().zip(values.iter().rev()).map(|(a, b)| [*a, *b]).collect();
        let names: Vec<String> = (0..groups).map(|g| format!("g{g}")).collect();
        let of: Vec<Option<usize>> = (0..points.len()).map(|i| Some(i % (groups + 1))).collect();
        let scatter = Scatter::new(&points);
        numbers_are_finite(&scatter.clone().draw().unwrap());
        numbers_are_finite(&scatter.clone().colour(ColourBy::Value { title: "v", values: &values }).draw().unwrap());
        numbers_are_finite(&scatter.colour(ColourBy::Ordered { title: "o", labels: &names, of: &of }).draw_by(&names, &of).unwrap());
        let lattice = Lattice::covering(&points, 12);
        numbers_are_finite(&HeatMap::new(&ScalarGrid::smooth(lattice, &points, &values).unwrap(), "v").draw());
        let field = VectorGrid::smooth(lattice, &points, &points).unwrap();
        numbers_are_finite(&Streamlines::new(&field, &points).draw().unwrap());
        let series = Series::new("s", points.clone()).band(points.iter().map(|p| [p[0], p[1], p[0]]).collect());
        numbers_are_finite(&Lines::new(vec![series.clone()]).mark(values.first().copied().unwrap_or(0.0), "m").draw());
        numbers_are_finite(&Lines::new(vec![series]).log_x().log_y().draw());
        numbers_are_finite(&Histogram::new(vec![("h".into(), &values), ("none".into(), &[])]).mark(3.0, "m").draw());
        numbers_are_finite(&Ridgelines::new(vec![("r".into(), &values), ("none".into(), &[])]).references("x", vec![values.first().copied(), None]).draw());
        let intervals = values.iter().map(|v| (*v, v + 1.0)).collect();
        let labels: Vec<String> = values.iter().map(f64::to_string).collect();
        numbers_are_finite(&Bars::new(labels.clone(), vec![BarSeries::new("b", values.clone()).intervals(intervals)]).draw().unwrap());
        let rows = values.iter().map(|v| ForestRow::new("f", *v).interval(*v, v + 1.0).truth(-v)).collect();
        numbers_are_finite(&Forest::new().group("", rows).draw());
        numbers_are_finite(&Calibration::new().pairs("c", &values, &values, 7).unwrap().draw());
        numbers_are_finite(&Matrix::new(&labels, &names[..1], &values, "m").unwrap().draw());
        numbers_are_finite(&Matrix::new(&labels, &names[..1], &values, "m").unwrap().change().draw());
        numbers_are_finite(&FateBars::new(&names[..1], &values).unwrap().draw());
    }
}

#[test]
fn nothing_says_so() {
    let empty: [Figure; 6] = [
        Scatter::new(&[]).draw().unwrap(),
        Lines::new(vec![]).draw(),
        Bars::new(vec![], vec![]).draw().unwrap(),
        Forest::new().draw(),
        Calibration::new().draw(),
        Histogram::new(vec![]).draw(),
    ];
    for figure in empty {
        assert!(figure.html().contains("No data to show"), "{}", figure.html());
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let points = [[0.0, 1.0], [f64::NAN, 0.0], [2.0, f64::INFINITY], [1.0, 1.0]];
    let figure = Scatter::new(&points).draw().unwrap();
    assert_eq!(figure.notes(), ["2 points without a finite value are left out."]);
    let log = Lines::new(vec![Series::new("s", vec![[1.0, 1.0], [2.0, 0.0], [3.0, 2.0]])]).log_y().draw();
    assert_eq!(log.notes(), ["1 point without a finite value is left out."]);
}

#[test]
fn lengths_that_differ_are_errors_with_both_numbers() {
    let points = [[0.0, 1.0]; 3];
    let error =
        Scatter::new(&points).colour(ColourBy::Value { title: "v", values: &[1.0] }).draw().unwrap_err();
    assert_eq!(error, ShapeError { what: "values of the points", expected: 3, found: 1 });
    assert_eq!(error.to_string(), "values of the points: 3 needed, 1 given");
    let names = ["a".to_string(), "b".to_string()];
    assert!(FateBars::new(&names, &[0.5; 3]).is_err());
    assert!(FateBars::new(&[], &[0.5; 3]).is_err());
    assert!(Matrix::new(&names, &names, &[0.0; 3], "m").is_err());
    assert!(Bars::new(names.to_vec(), vec![BarSeries::new("b", vec![1.0])]).draw().is_err());
    assert!(Calibration::new().pairs("c", &[0.1], &[], 5).is_err());
}

#[test]
fn lattices_without_extent_are_no_panic() {
    for (nx, ny) in [(0, 0), (1, 5), (5, 1), (1, 1)] {
        let lattice = Lattice { x0: 0.0, y0: 0.0, dx: 1.0, dy: 1.0, nx, ny };
        let field = VectorGrid::new(lattice, vec![[1.0, 0.0]; nx * ny]).unwrap();
        assert!(Streamlines::new(&field, &[[0.0, 0.0]]).draw().unwrap().html().contains("No data"));
        numbers_are_finite(&HeatMap::new(&ScalarGrid::new(lattice, vec![1.0; nx * ny]).unwrap(), "v").draw());
        numbers_are_finite(
            &HeatMap::new(&ScalarGrid::smooth(lattice, &[[0.0, 0.0]], &[1.0]).unwrap(), "v").draw(),
        );
    }
}
