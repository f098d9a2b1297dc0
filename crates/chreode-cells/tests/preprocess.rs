//! The way from expression to coordinates: against plain formulas, sparse against dense, new cells against old.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use chreode_cells::{DenseMatrix, ExpressionKind, Matrix, PreprocessError, PreprocessOptions, Transform};
use common::sparse;
use proptest::prelude::*;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

fn genes(m: usize) -> Vec<String> {
    (0..m).map(|j| format!("g{j}")).collect()
}

/// Counts with three hidden factors, about half of them zero.
fn counts(n: usize, m: usize, seed: u64) -> DenseMatrix {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let factors: Vec<f64> = (0..3 * (n + m)).map(|_| uniform()).collect();
    let mut values = Vec::with_capacity(n * m);
    for i in 0..n {
        for j in 0..m {
            let rate: f64 = (0..3).map(|f| factors[3 * i + f] * factors[3 * (n + j) + f]).sum();
            values.push((6.0 * rate * rate * uniform()).floor() as f32);
        }
    }
    DenseMatrix::new(n, m, values).unwrap()
}

fn options(genes: usize, components: usize) -> PreprocessOptions {
    PreprocessOptions { genes, components, ..PreprocessOptions::default() }
}

/// The scaled, clipped, centred matrix by the plain formulas, in f64.
fn plain(x: &DenseMatrix, t: &Transform) -> Vec<Vec<f64>> {
    (0..x.rows)
        .map(|i| {
            let sum: f64 = x.row(i).iter().map(|&v| f64::from(v)).sum();
            t.genes
                .iter()
                .enumerate()
                .map(|(j, gene)| {
                    let column: usize = gene[1..].parse().unwrap();
                    let v = (f64::from(x.row(i)[column]) * t.target_sum / sum.max(1e-300)).ln_1p();
                    ((v - t.mean[j]) / t.sd[j]).min(t.clip.unwrap_or(f64::INFINITY)) - t.centre[j]
                })
                .collect()
        })
        .collect()
}

#[test]
fn coordinates_are_what_the_formula_says() {
    // Few genes (exact covariances) and many (randomised).
    for (n, m, kept) in [(120, 30, 2000), (150, 700, 500)] {
        let x = counts(n, m, 5);
        let fitted = Transform::fit(Matrix::Dense(x.clone()), &genes(m), &options(kept, 8)).unwrap();
        let t = &fitted.transform;
        assert_eq!((t.dim(), t.kind), (8, ExpressionKind::Counts));
        let z = plain(&x, t);
        let k = t.dim();
        for (i, row) in z.iter().enumerate() {
            for c in 0..k {
                let sum: f64 = row.iter().enumerate().map(|(j, z)| z * t.loadings[j * k + c]).sum();
                assert!((sum - f64::from(fitted.states[i * k + c])).abs() < 1e-3, "{i} {c} {sum}");
            }
        }
        for j in 0..t.genes.len() {
            let mean: f64 = z.iter().map(|r| r[j]).sum::<f64>() / n as f64;
            assert!(mean.abs() < 1e-5, "gene {j} is not centred: {mean}");
        }
        // Components are centred, uncorrelated, orthonormal, and carry their variances.
        for a in 0..k {
            for b in 0..=a {
                let dot: f64 =
                    (0..t.genes.len()).map(|j| t.loadings[j * k + a] * t.loadings[j * k + b]).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-9);
                let cov: f64 = (0..n)
                    .map(|i| f64::from(fitted.states[i * k + a]) * f64::from(fitted.states[i * k + b]))
                    .sum::<f64>()
                    / (n - 1) as f64;
                let expected = if a == b { t.variances[a] } else { 0.0 };
                assert!((cov - expected).abs() < 1e-2 * t.variances[0], "{a} {b} {cov} {expected}");
            }
        }
        assert!(t.variances.windows(2).all(|w| w[0] >= w[1]));
    }
}

#[test]
fn randomised_components_are_the_exact_ones() {
    // 300 genes are decomposed exactly; a copy of a constant gene more makes it randomised, with the same result.
    let x = counts(200, 300, 9);
    let exact = Transform::fit(Matrix::Dense(x.clone()), &genes(300), &options(2000, 5)).unwrap();
    let mut wider = Vec::new();
    for i in 0..200 {
        wider.extend_from_slice(x.row(i));
        wider.extend((0..40).map(|j| f32::from(u8::from(i == j))));
    }
    let wide = DenseMatrix::new(200, 340, wider).unwrap();
    let mut settings = options(2000, 5);
    settings.target_sum = Some(exact.transform.target_sum);
    let wide = Transform::fit(Matrix::Dense(wide), &genes(340), &settings).unwrap();
    assert!(wide.transform.genes.len() > 300);
    // Leading variances of nearly the same matrix agree closely.
    for c in 0..2 {
        let (a, b) = (exact.transform.variances[c], wide.transform.variances[c]);
        assert!((a / b - 1.0).abs() < 0.05, "{c}: {a} {b}");
    }
}

#[test]
fn sparse_and_dense_agree_and_new_cells_go_the_same_way() {
    for m in [40, 400] {
        let x = counts(100, m, 3);
        let names = genes(m);
        let dense = Transform::fit(Matrix::Dense(x.clone()), &names, &options(350, 6)).unwrap();
        let from_sparse = Transform::fit(sparse(&x), &names, &options(350, 6)).unwrap();
        assert_eq!(dense.transform.genes, from_sparse.transform.genes);
        for (a, b) in dense.states.iter().zip(&from_sparse.states) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        assert_eq!(dense.transform.apply(&Matrix::Dense(x.clone()), &names).unwrap(), dense.states);
        assert_eq!(from_sparse.transform.apply(&sparse(&x), &names).unwrap(), from_sparse.states);
        // Genes in another order, a few cells alone.
        let order: Vec<usize> = (0..m).rev().collect();
        let turned: Vec<String> = order.iter().map(|&j| names[j].clone()).collect();
        let few: Vec<f32> =
            (10..13).flat_map(|i| order.iter().map(move |&j| (i, j))).map(|(i, j)| x.row(i)[j]).collect();
        let few = Matrix::Dense(DenseMatrix::new(3, m, few).unwrap());
        let states = dense.transform.apply(&few, &turned).unwrap();
        for (a, b) in states.iter().zip(&dense.states[10 * 6..13 * 6]) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

/// The first columns of `x`, then others made of `more(row, column)`, in an order that mixes both.
fn wider(
    x: &DenseMatrix,
    names: &[String],
    extra: usize,
    more: impl Fn(usize, usize) -> f32,
) -> (Matrix, Vec<String>) {
    let all = x.cols + extra;
    // 7 has no divisor in common with the widths used here.
    let order: Vec<usize> = (0..all).map(|j| j * 7 % all).collect();
    let values = (0..x.rows)
        .flat_map(|i| {
            order.iter().map(|&j| if j < x.cols { x.row(i)[j] } else { more(i, j) }).collect::<Vec<_>>()
        })
        .collect();
    let name = |&j: &usize| names.get(j).cloned().unwrap_or_else(|| format!("new{j}"));
    (Matrix::Dense(DenseMatrix::new(x.rows, all, values).unwrap()), order.iter().map(name).collect())
}

#[test]
fn totals_are_over_the_genes_of_the_fit() {
    let (n, m) = (100, 40);
    let x = counts(n, m, 3);
    let names = genes(m);
    let fitted = Transform::fit(Matrix::Dense(x.clone()), &names, &options(25, 6)).unwrap();
    let t = &fitted.transform;
    assert_eq!((&t.counted, t.genes.len()), (&names, 25));
    assert!((t.counted_share.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    // Genes that the fit did not know change nothing, however many counts they have, and whatever they hold.
    for more in [|i: usize, j: usize| (100 * i + j) as f32, |_, _| -0.5] {
        let (more, order) = wider(&x, &names, 11, more);
        assert_eq!(t.apply(&more, &order).unwrap(), fitted.states);
    }
    // Of those that it knew, genes without a part in the components may be missing, up to a tenth of the counts.
    let mut spare: Vec<usize> = (0..m).filter(|&j| !t.genes.contains(&names[j])).collect();
    spare.sort_by(|&a, &b| t.counted_share[a].total_cmp(&t.counted_share[b]));
    let share_of = |genes: &[usize]| genes.iter().map(|&j| t.counted_share[j]).sum::<f64>();
    let without = |gone: &[usize]| {
        let kept: Vec<usize> = (0..m).filter(|j| !gone.contains(j)).collect();
        let names: Vec<String> = kept.iter().map(|&j| names[j].clone()).collect();
        (Matrix::Dense(x.clone()).select_columns(&kept), names)
    };
    let gone = (1..spare.len()).rev().find(|&k| share_of(&spare[..k]) < 0.1).unwrap();
    let share = share_of(&spare[..gone]);
    let (fewer, few) = without(&spare[..gone]);
    let missing = t.missing_counts(&few);
    assert!(missing.genes == gone && (missing.share - share).abs() < 1e-12 && share > 0.05, "{missing:?}");
    let states = t.apply(&fewer, &few).unwrap();
    let off = |states: &[f32]| {
        states.iter().zip(&fitted.states).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    // Nearer to the truth than with the whole target for the genes that are left.
    let naive = Transform { counted: few.clone(), ..t.clone() };
    let whole = naive.apply(&fewer, &few).unwrap();
    println!(
        "{gone} genes with {share:.3} of the counts: off by {:.3}, not {:.3}",
        off(&states),
        off(&whole)
    );
    assert!(off(&states) < 0.9 * off(&whole));
    let less = Transform { target_sum: t.target_sum * (1.0 - missing.share), ..naive };
    assert_eq!(less.apply(&fewer, &few).unwrap(), states);
    let (fewer, few) = without(&spare);
    let share = t.missing_counts(&few).share;
    assert!(share > 0.1);
    let refusal = t.apply(&fewer, &few).unwrap_err();
    assert_eq!(refusal, PreprocessError::MissingCounts { missing: 15, all: 40, share });
    assert!(refusal.to_string().contains(&format!("{:.1} % of the counts", 100.0 * share)), "{refusal}");
}

#[test]
fn a_name_that_two_genes_share_is_no_gene() {
    let x = counts(80, 30, 4);
    let mut names = genes(30);
    let all = Transform::fit(Matrix::Dense(x.clone()), &names, &options(100, 5)).unwrap().transform.genes;
    let [a, b, c] = [0, 1, 2].map(|j| names.iter().position(|g| *g == all[j]).unwrap());
    names[b] = names[a].clone();
    let fitted = Transform::fit(Matrix::Dense(x.clone()), &names, &options(100, 5)).unwrap();
    let t = &fitted.transform;
    assert_eq!(t.genes, all[2..]);
    assert_eq!(t.apply(&Matrix::Dense(x.clone()), &names).unwrap(), fitted.states);
    names[b] = all[2].clone();
    assert_eq!(names[b], names[c]);
    let refusal = t.apply(&Matrix::Dense(x), &names).unwrap_err();
    assert_eq!(refusal, PreprocessError::AmbiguousGene { gene: all[2].clone() });
}

#[test]
fn threads_and_seeds() {
    let x = counts(400, 600, 1);
    let on = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let settings = PreprocessOptions { seed, ..options(550, 10) };
        pool.install(|| Transform::fit(sparse(&x), &genes(600), &settings).unwrap())
    };
    assert_eq!(on(1, 0), on(3, 0), "the number of threads changes no bit");
    // Another seed finds the same components to rounding of the iteration.
    for (a, b) in on(1, 0).transform.variances.iter().zip(&on(1, 7).transform.variances).take(3) {
        assert!((a / b - 1.0).abs() < 1e-4);
    }
}

#[test]
fn what_cannot_be_preprocessed() {
    let fit = |x: DenseMatrix, settings: &PreprocessOptions| {
        let m = x.cols;
        Transform::fit(Matrix::Dense(x), &genes(m), settings)
    };
    let flat = DenseMatrix::new(5, 3, vec![2.0; 15]).unwrap();
    assert_eq!(fit(flat, &options(10, 2)).unwrap_err(), PreprocessError::NoVariation { cells: 5 });
    let mut nan = counts(5, 3, 1);
    nan.values[7] = f32::NAN;
    assert!(matches!(fit(nan, &options(10, 2)), Err(PreprocessError::BadEntry { row: 2, .. })));
    let mut minus = counts(5, 3, 1);
    minus.values[4] = -1.0;
    let log = PreprocessOptions { kind: ExpressionKind::Log, ..options(10, 2) };
    assert!(fit(minus.clone(), &log).is_ok());
    assert!(matches!(fit(minus, &options(10, 2)), Err(PreprocessError::BadEntry { row: 1, .. })));
}

#[test]
fn what_numbers_are_taken_for() {
    let kind = |values: &[f32]| {
        let x = Matrix::Dense(DenseMatrix::new(1, values.len(), values.to_vec()).unwrap());
        ExpressionKind::Auto.resolve(&x, &genes(values.len())).unwrap()
    };
    assert_eq!(kind(&[0.0, 3.0, 50_000.0]), ExpressionKind::Counts);
    assert_eq!(kind(&[0.0, 3.2, 8.5]), ExpressionKind::Log);
    assert_eq!(kind(&[0.0, 3.2, 850.5]), ExpressionKind::Normalised);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any counts give finite coordinates, or say that nothing varies.
    #[test]
    fn any_counts(n in 2_usize..20, m in 1_usize..12, raw in prop::collection::vec(0_u16..40, 240), k in 1_usize..10) {
        let values = raw[..n * m].iter().map(|&c| f32::from(c.saturating_sub(20))).collect();
        let x = DenseMatrix::new(n, m, values).unwrap();
        match Transform::fit(sparse(&x), &genes(m), &options(8, k)) {
            Ok(fitted) => {
                prop_assert!(fitted.states.iter().all(|s| s.is_finite()));
                prop_assert_eq!(fitted.states.len(), n * fitted.transform.dim());
                prop_assert!(fitted.transform.dim() <= k.min(m));
            }
            Err(e) => prop_assert_eq!(e, PreprocessError::NoVariation { cells: n }),
        }
    }
}
