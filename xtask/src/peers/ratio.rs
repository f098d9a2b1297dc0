//! Times of ours and theirs at equal error.
//!
//! A solver's curve runs through its points (error, time) in the order of tolerances, straight in logarithms. Its time at an error
//! is the least on the curve with that error or a smaller one; where all its errors are larger it has none.

use super::rows::{Row, time};

/// The fastest of one side at an error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Best {
    solver: String,
    /// Nanoseconds of CPU time.
    time: f64,
}

/// Ours and theirs on one problem at one error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    problem: String,
    error: f64,
    ours: Option<Best>,
    theirs: Option<Best>,
}

impl Comparison {
    /// Their time over ours: above 1 ours is faster.
    fn ratio(&self) -> Option<f64> {
        Some(self.theirs.as_ref()?.time / self.ours.as_ref()?.time)
    }
}

/// Compares at every power of ten between the largest and the smallest error measured on a problem. What says the same as the next
/// smaller one is left out: there nobody has anything cheaper.
pub(super) fn compare(rows: &[Row]) -> Vec<Comparison> {
    let mut problems: Vec<&str> = Vec::new();
    for row in rows {
        if !problems.contains(&row.problem.as_str()) {
            problems.push(&row.problem);
        }
    }
    let mut all = Vec::new();
    for problem in problems {
        let rows: Vec<&Row> = rows.iter().filter(|r| r.problem == problem).collect();
        let curves = curves(&rows);
        let errors = || curves.iter().flat_map(|c| &c.points).map(|p| p.0).filter(|e| *e <= 1.0);
        let mut found: Vec<Comparison> = Vec::new();
        let (least, most) = (errors().fold(f64::INFINITY, f64::min), errors().fold(0.0, f64::max));
        for exponent in 1..=15 {
            let error = 10.0_f64.powi(-exponent);
            if error > most || error < least {
                continue;
            }
            let best = |ours: bool| {
                let times = curves.iter().filter(|c| c.ours == ours);
                times
                    .filter_map(|c| Some(Best { solver: c.solver.to_owned(), time: c.time_at(error)? }))
                    .min_by(|a, b| a.time.total_cmp(&b.time))
            };
            let (ours, theirs) = (best(true), best(false));
            found.pop_if(|looser| looser.ours == ours && looser.theirs == theirs);
            found.push(Comparison { problem: problem.to_owned(), error, ours, theirs });
        }
        all.append(&mut found);
    }
    all
}

struct Curve<'a> {
    solver: &'a str,
    ours: bool,
    /// Errors and times, from the loosest tolerance to the tightest.
    points: Vec<(f64, f64)>,
}

fn curves<'a>(rows: &[&'a Row]) -> Vec<Curve<'a>> {
    let mut curves: Vec<Curve<'a>> = Vec::new();
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| b.rtol.total_cmp(&a.rtol));
    for row in sorted {
        let Ok(m) = &row.outcome else { continue };
        if !m.error.is_finite() {
            continue;
        }
        // An error of exactly zero has no logarithm.
        let point = (m.error.max(1e-17), m.cpu);
        match curves.iter_mut().find(|c| c.solver == row.solver) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { solver: &row.solver, ours: row.ours, points: vec![point] }),
        }
    }
    curves
}

impl Curve<'_> {
    fn time_at(&self, error: f64) -> Option<f64> {
        let reached = self.points.iter().filter(|p| p.0 <= error).map(|p| p.1);
        let between = self.points.windows(2).filter_map(|w| {
            let ((e0, t0), (e1, t1)) = (w[0], w[1]);
            let inside = e0.min(e1) < error && error < e0.max(e1);
            let theta = (error.ln() - e0.ln()) / (e1.ln() - e0.ln());
            inside.then(|| (t0.ln() + theta * (t1.ln() - t0.ln())).exp())
        });
        reached.chain(between).min_by(f64::total_cmp)
    }
}

/// Prints a line for each comparison.
pub(super) fn print(all: &[Comparison]) {
    println!(
        "problem                error  ours                      best peer                                   ratio"
    );
    for c in all {
        let side = |best: &Option<Best>, width: usize| match best {
            Some(b) => format!("{:width$} {:>8}", b.solver, time(b.time)),
            None => format!("{:width$} {:>8}", "not reached", ""),
        };
        let ratio = c.ratio().map_or_else(|| "-".into(), |r| format!("{r:.2}"));
        println!(
            "{:20} {:7.0e}  {} {}  {ratio:>6}",
            c.problem,
            c.error,
            side(&c.ours, 16),
            side(&c.theirs, 34)
        );
    }
}

/// Prints how often ours is faster, and by how much.
pub(super) fn print_summary(all: &[Comparison]) {
    for line in summary(all) {
        println!("{line}");
    }
}

fn summary(all: &[Comparison]) -> Vec<String> {
    let both: Vec<(&Comparison, f64)> = all.iter().filter_map(|c| Some((c, c.ratio()?))).collect();
    let count = |least: f64| both.iter().filter(|(_, r)| *r >= least).count();
    let mean = (both.iter().map(|(_, r)| r.ln()).sum::<f64>() / both.len().max(1) as f64).exp();
    let alone = |reached: fn(&Comparison) -> bool| all.iter().filter(|c| reached(c)).count();
    let mut lines = vec![
        format!(
            "ratio = the best peer's time over ours: {} rows, {} at 1 or above, {} at 2 or above, geometric mean {mean:.2}",
            both.len(),
            count(1.0),
            count(2.0)
        ),
        format!(
            "reached by ours alone: {} rows; by peers alone: {}",
            alone(|c| c.ours.is_some() && c.theirs.is_none()),
            alone(|c| c.ours.is_none() && c.theirs.is_some())
        ),
    ];
    let slower: Vec<String> = both
        .iter()
        .filter(|(_, r)| *r < 1.0)
        .map(|(c, r)| format!("{} at {:.0e} ({r:.2})", c.problem, c.error))
        .collect();
    lines.push(format!("below 1: {}", if slower.is_empty() { "none".into() } else { slower.join(", ") }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(problem: &str, solver: &str, rtol: f64, outcome: Option<(f64, f64)>) -> Row {
        let line = match outcome {
            Some((e, t)) => format!("{problem},{solver},{},{rtol:e},{e:e},{t},{t},3,1,1,1,", solver == "us"),
            None => format!("{problem},{solver},{},{rtol:e},,,,0,,,,failed", solver == "us"),
        };
        Row::parse(&line).unwrap().unwrap()
    }

    /// Half a decade of time for each decade of error, and a peer three times as slow that stops at 1e-6.
    #[test]
    fn times_are_compared_at_equal_error() {
        let mut rows = Vec::new();
        for k in [3, 5, 7] {
            let e = 10.0_f64.powi(-k);
            rows.push(row("p", "us", e, Some((e, 1000.0 * e.powf(-0.5)))));
            let tenth = 10.0_f64.powi(-k - 1);
            rows.push(row("p", "peer", e, (k < 7).then_some((tenth, 3000.0 * tenth.powf(-0.5)))));
        }
        let all = compare(&rows);
        assert_eq!(all.len(), 5, "{all:?}"); // 1e-3 to 1e-7
        // At 1e-3 the peer has nothing cheaper than its loosest run, whose error is 1e-4.
        assert!((all[0].ratio().unwrap() - 3.0 * 10.0_f64.sqrt()).abs() < 1e-9, "{all:?}");
        for c in &all[1..4] {
            assert!((c.ratio().unwrap() - 3.0).abs() < 1e-9, "{c:?}");
        }
        assert_eq!((all[4].ratio(), &all[4].theirs), (None, &None));
        let said = summary(&all);
        assert!(said[0].contains("4 rows, 4 at 1 or above, 4 at 2 or above"), "{said:?}");
        assert!(said[1].contains("ours alone: 1 rows; by peers alone: 0"), "{said:?}");
        assert_eq!(said[2], "below 1: none");
    }

    #[test]
    fn errors_without_news_are_left_out() {
        // Our first run costs more than the second, so that nothing is cheaper above 1e-5.
        let rows = [
            row("p", "peer", 1e-5, Some((1e-5, 20.0))),
            row("p", "us", 1e-3, Some((1e-1, 50.0))),
            row("p", "us", 1e-6, Some((1e-6, 30.0))),
        ];
        let errors: Vec<f64> = compare(&rows).iter().map(|c| c.error).collect();
        assert_eq!(errors, [10.0_f64.powi(-5), 10.0_f64.powi(-6)]);
    }

    #[test]
    fn slower_rows_are_named() {
        let rows = [
            row("p", "us", 1e-4, Some((1e-4, 500.0))),
            row("p", "peer", 1e-4, Some((1e-4, 100.0))),
            row("q", "peer", 1e-4, Some((1e-4, 100.0))),
            row("q", "us", 1e-4, None),
        ];
        let said = summary(&compare(&rows));
        assert!(said[1].contains("by peers alone: 1"), "{said:?}");
        assert_eq!(said[2], "below 1: p at 1e-4 (0.20)");
        assert!(summary(&[])[0].contains("0 rows"));
    }

    proptest! {
        /// A smaller error never costs less, and no time lies outside of those measured.
        #[test]
        fn times_rise_as_errors_fall(points in proptest::collection::vec((-12.0_f64..0.0, 1.0_f64..9.0), 1..8)) {
            let points: Vec<_> = points.into_iter().map(|(e, t)| (10.0_f64.powf(e), 10.0_f64.powf(t))).collect();
            let curve = Curve { solver: "s", ours: true, points: points.clone() };
            let least = points.iter().map(|p| p.0).fold(1.0, f64::min);
            let mut before = 0.0;
            for k in 0..130 {
                let error = 10.0_f64.powf(-0.1 * f64::from(k));
                match curve.time_at(error) {
                    Some(t) => {
                        prop_assert!(t >= before * (1.0 - 1e-12) && error >= least);
                        let (low, high) = points.iter().fold((f64::MAX, 0.0_f64), |(l, h), p| (l.min(p.1), h.max(p.1)));
                        prop_assert!(t >= low * (1.0 - 1e-12) && t <= high * (1.0 + 1e-12));
                        before = t;
                    }
                    None => prop_assert!(error < least),
                }
            }
        }
    }
}
