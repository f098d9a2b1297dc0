//! Whole pages: well-formed, self-contained, the same bytes every time, safe against what names contain.

#![allow(clippy::unwrap_used, reason = "helpers of tests; the lint exempts test functions alone")]

use std::collections::HashSet;
use std::fs;

use chreode_report::{
    BarSeries, Bars, Calibration, ColourBy, Column, FateBars, Figure, Forest, ForestRow, HeatMap, Histogram,
    Lattice, Lines, Matrix, Page, PageError, Ridgelines, Row, RowKind, ScalarGrid, Scatter, Series, Severity,
    Status, Streamlines, Table, Tile, VectorGrid, Warning,
};
use quick_xml::events::Event;

/// A name with everything that breaks markup, attributes, scripts and XML.
const HOSTILE: &str = "</title><script>alert('x')</script> \"&amp; <!-- ]]> \u{0}\u{1b}\u{ffff} é 細胞";

/// Element names in order; panics when the text is not well-formed XML.
fn elements(text: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut names = Vec::new();
    let mut depth = 0;
    loop {
        match reader.read_event() {
            Ok(Event::Start(e)) => {
                depth += 1;
                assert!(e.attributes().all(|a| a.is_ok()), "attribute of {e:?}");
                names.push(e.name().as_ref().to_string());
            }
            Ok(Event::Empty(e)) => {
                assert!(e.attributes().all(|a| a.is_ok()), "attribute of {e:?}");
                names.push(e.name().as_ref().to_string());
            }
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(e) => panic!("{e} at {}", reader.buffer_position()),
        }
    }
    assert_eq!(depth, 0, "unclosed elements");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "control character");
    names
}

fn attribute_values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let open = format!(" {attribute}=\"");
    html.split(&open).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn ring(n: usize) -> Vec<[f64; 2]> {
    (0..n).map(|i| i as f64 * 0.7).map(|a| [a.cos() * (1.0 + 0.1 * (7.3 * a).sin()), a.sin()]).collect()
}

/// Every figure, with names that are all hostile.
fn every_figure(name: &str) -> Vec<Figure> {
    let names: Vec<String> = (0..4).map(|i| format!("{name} {i}")).collect();
    let points = ring(500);
    let of: Vec<Option<usize>> = (0..500).map(|i| (i % 5 < 4).then_some(i % 5)).collect();
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    let lattice = Lattice::covering(&points, 30);
    let field =
        VectorGrid::smooth(lattice, &points, &points.iter().map(|p| [-p[1], p[0]]).collect::<Vec<_>>())
            .unwrap();
    let map = ScalarGrid::smooth(lattice, &points, &values).unwrap();
    let category = ColourBy::Category { title: name, labels: &names, of: &of };
    let scatter = |colour| Scatter::new(&points).colour(colour).labels(name, name);
    let row = |i: usize| ForestRow::new(&names[i], 0.1 * i as f64).interval(-0.1, 0.3).truth(0.2);
    vec![
        scatter(category).draw().unwrap(),
        scatter(ColourBy::Ordered { title: name, labels: &names, of: &of }).draw_by(&names, &of).unwrap(),
        scatter(ColourBy::Value { title: name, values: &values }).draw().unwrap(),
        Streamlines::new(&field, &points).colour(category).unit(name).labels(name, name).draw().unwrap(),
        HeatMap::new(&map, name).labels(name, name).draw(),
        Lines::new(vec![
            Series::new(name, points[..30].to_vec()).note(name).band(vec![[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]),
        ])
        .mark(0.5, name)
        .draw(),
        Bars::new(
            names.clone(),
            vec![
                BarSeries::new(name, vec![1.0, -2.0, f64::NAN, 3.0]),
                BarSeries::new(name, vec![1.0; 4]).as_marker(),
            ],
        )
        .label(name)
        .draw()
        .unwrap(),
        Forest::new().group(name, (0..4).map(row).collect()).label(name).names(name, name).draw(),
        Calibration::new().pairs(name, &[0.1, 0.9], &[0.0, 1.0], 5).unwrap().labels(name, name).draw(),
        Histogram::new(vec![(name.into(), &values)]).label(name).mark(3.0, name).draw(),
        Ridgelines::new(vec![(name.into(), &values)]).label(name).references(name, vec![Some(2.0)]).draw(),
        FateBars::new(&names, &[0.1, 0.2, 0.3, 0.4, 1.0, 0.0, 0.0, 0.0]).unwrap().draw(),
        Matrix::new(&names, &names, &values[..16], name).unwrap().change().draw(),
        Figure::grid(&[(name.into(), Lines::new(vec![]).draw())]),
    ]
}

fn page(name: &str) -> Page {
    let mut page = Page::new(name);
    page.subtitle(name).kicker(name).footer(name);
    page.tile(Tile::new(name, name).unit(name).note(name).status(Status::Bad));
    let s = page.section(name, name);
    s.text(name).warn(vec![
        Warning::new(Severity::Note, name, name, ""),
        Warning::new(Severity::Serious, name, name, name).see(name),
    ]);
    for figure in every_figure(name) {
        s.figure(name, name, &figure).half_figure(name, name, &figure);
    }
    let mut table =
        Table::new(name, vec![Column::text(name), Column::numeric(name).hint(name)]).caption(name);
    table.row(Row::new([name]).kind(RowKind::Reference)).row(Row::new([name, name, "dropped"]));
    page.section(name, name).table(table).settings(name, [(name, name)]);
    page
}

#[test]
fn pages_are_well_formed_whatever_the_names() {
    for name in ["plain", HOSTILE, "", "`` ** [](#) `<b>` **&** [<](#\">)"] {
        let html = page(name).render().unwrap();
        let names = elements(&html);
        assert_eq!(names.iter().filter(|n| *n == "script").count(), 1, "a name made a script");
        assert!(!html.contains("dropped"));
        let ids = attribute_values(&html, "id");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "ids repeat");
        for target in attribute_values(&html, "href") {
            assert!(target.starts_with('#'), "{target} leaves the page");
        }
    }
}

#[test]
fn figures_alone_are_well_formed_and_bounded() {
    for name in ["Ery", HOSTILE] {
        for figure in every_figure(name) {
            elements(figure.html());
            assert!(!figure.html().contains("NaN") && !figure.html().contains("inf"), "{}", figure.html());
        }
    }
}

#[test]
fn structure_is_what_a_reader_needs() {
    let html = page("plain").render().unwrap();
    let names = elements(&html);
    let n = |name: &str| names.iter().filter(|n| *n == name).count();
    assert_eq!((n("h1"), n("main"), n("nav"), n("section"), n("table")), (1, 1, 1, 2, 1));
    assert_eq!(n("figure"), 28);
    for k in 1..=28 {
        assert_eq!(html.matches(&format!(">Figure {k}<")).count(), 1);
    }
    assert!(html.contains("1 serious warning: read before"));
    // The most serious warning comes first.
    assert!(html.find("warning serious").unwrap() < html.find("warning note").unwrap());
    assert_eq!(attribute_values(&html, "id").iter().filter(|i| i.starts_with("plain")).count(), 2);
}

#[test]
fn same_input_same_bytes_and_no_network() {
    let html = page("Ery").render().unwrap();
    assert_eq!(html, page("Ery").render().unwrap());
    for remote in ["https:", "url(", "@import", "<link", "<img", " src="] {
        assert!(!html.contains(remote), "{remote}");
    }
    // The only address is the name space of SVG, which nothing fetches.
    assert_eq!(html.matches("http:").count(), html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
}

/// Figures that are read beside each other mean the same by the same colour or width.
#[test]
fn colours_and_widths_can_be_compared() {
    let labels: Vec<String> = ["Ery", "Meg", "Mono"].map(String::from).into();
    let fill = |figure: &Figure, class: &str| figure.html().contains(&format!("{class}\""));
    let last = [Some(2); 3];
    let colour = ColourBy::Category { title: "fate", labels: &labels, of: &last };
    let scatter = Scatter::new(&[[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]).colour(colour).draw().unwrap();
    assert!(
        fill(&scatter, "k2") && !fill(&scatter, "k0"),
        "a label keeps its colour where the others are absent"
    );

    let matrix = |values: &[f64], reach: f64| {
        let matrix = Matrix::new(&labels[..1], &labels[..2], values, "change").unwrap().change();
        matrix.range(-reach, reach).draw().html().to_string()
    };
    let weak = matrix(&[0.1, -0.1], 0.4);
    assert!(weak.contains("+0.40") && weak.contains("−0.40"), "{weak}");
    let class = |html: &str| html.split("class=\"d").nth(1).unwrap()[..2].to_string();
    assert_eq!(class(&weak), class(&matrix(&[0.1, 0.4], 0.4)));

    let bars =
        Bars::new(vec!["a".into()], vec![BarSeries::new("share", vec![0.34])]).percent().draw().unwrap();
    assert!(
        bars.html().contains(">10\u{202f}%<") && !bars.html().contains(">0.1<"),
        "axis and bars in one unit"
    );

    let chart = |reach| {
        let series = BarSeries::new("s", vec![0.34]);
        Bars::new(vec!["a".into()], vec![series]).reach(reach).draw().unwrap()
    };
    assert!(chart(0.9).html().contains(">0.8<") && !chart(0.0).html().contains(">0.8<"));

    let lattice = Lattice::covering(&ring(100), 20);
    let field = VectorGrid::new(lattice, vec![[1.0, 0.0]; lattice.len()]).unwrap();
    assert_eq!(field.fastest(), 1.0);
    let own = Streamlines::new(&field, &[]).unit("per day").draw().unwrap();
    let wide = Streamlines::new(&field, &[]).unit("per day").widest_at(4.0).draw().unwrap();
    assert!(own.html().contains("near 1.0 per day") && wide.html().contains("near 4.0 per day"));
    assert!(own.html().contains("class=\"w4\"") && !wide.html().contains("class=\"w4\""));
}

#[test]
fn many_cells_stay_small() {
    let n = 130_000;
    let points: Vec<[f64; 2]> =
        (0..n).map(|i| i as f64).map(|i| [(i * 0.618_034).fract(), (i * 0.414_214).fract()]).collect();
    let values: Vec<f64> = points.iter().map(|p| p[0] + p[1]).collect();
    let labels: Vec<String> = (0..100).map(|i| format!("label {i}")).collect();
    let of: Vec<Option<usize>> = (0..n).map(|i| Some(i % 100)).collect();
    let by_value =
        Scatter::new(&points).colour(ColourBy::Value { title: "v", values: &values }).draw().unwrap();
    let by_label = Scatter::new(&points)
        .colour(ColourBy::Category { title: "l", labels: &labels, of: &of })
        .draw()
        .unwrap();
    let panels = Scatter::new(&points)
        .draw_by(&labels[..6], &(0..n).map(|i| Some(i % 6)).collect::<Vec<_>>())
        .unwrap();
    let lattice = Lattice::covering(&points, 60);
    let map = ScalarGrid::smooth(lattice, &points, &values).unwrap();
    let field = VectorGrid::smooth(lattice, &points, &points).unwrap();
    let figures = [
        by_value,
        by_label,
        panels,
        HeatMap::new(&map, "v").draw(),
        Streamlines::new(&field, &points).draw().unwrap(),
    ];
    for (k, figure) in figures.iter().enumerate() {
        assert!(figure.html().len() < 400_000, "figure {k}: {} bytes", figure.html().len());
    }
    assert!(figures[0].notes()[0].contains("of 130,000 points"));
    assert!(figures[1].html().contains("89 rarer labels"));
    let long = (0..200_000).map(|i| [f64::from(i), f64::from(i % 977)]).collect();
    assert!(Lines::new(vec![Series::new("loss", long)]).draw().html().len() < 60_000);
    let p = vec![0.25; 4 * n];
    assert!(FateBars::new(&labels[..4], &p).unwrap().draw().html().len() < 150_000);
}

#[test]
fn writing_replaces_in_one_step_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    fs::write(&path, "old").unwrap();
    Page::new("new").write(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("<h1>new</h1>"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let nowhere = folder.path().join("missing").join("report.html");
    let error = Page::new("x").write(&nowhere).unwrap_err();
    assert!(matches!(&error, PageError::Write { path, .. } if *path == nowhere), "{error}");
    // A folder of that name cannot be replaced: the temporary file must be gone.
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("inside")).unwrap();
    assert!(Page::new("x").write(&taken).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
