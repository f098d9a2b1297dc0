//! Sparse and banded factorisations against the dense one.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::{LinearSolver, Real, SingularMatrix, Sparsity};
use chreode_linalg::{BandLu, Complex, Lu, Scalar, SparseLu};
use chreode_testkit::{CountingAllocator, allocations_in};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Values of a pattern as a dense row-major matrix.
fn dense<S: Scalar>(pattern: &Sparsity, values: &[S]) -> Vec<S> {
    let n = pattern.n_cols();
    let mut a = vec![S::ZERO; n * n];
    let mut at = 0;
    for j in 0..n {
        for &i in pattern.column(j) {
            a[i * n + j] = values[at];
            at += 1;
        }
    }
    a
}

/// `a x - b` and `aᵀ x - b` of the solver's own solutions, in units of rounding.
fn residuals<S: Scalar>(a: &[S], solver: &mut dyn LinearSolver<S>, b: &[S]) -> f64 {
    let n = b.len();
    let mut ratio = 0.0_f64;
    for transpose in [false, true] {
        let mut x = b.to_vec();
        if transpose {
            solver.solve_transpose(&mut x);
        } else {
            solver.solve(&mut x);
        }
        let (mut worst, mut scale) = (0.0_f64, 0.0_f64);
        for i in 0..n {
            let (mut sum, mut size) = (-b[i], b[i].magnitude().f64());
            for j in 0..n {
                let a = if transpose { a[j * n + i] } else { a[i * n + j] };
                sum += a * x[j];
                size += a.magnitude().f64() * x[j].magnitude().f64();
            }
            assert!(size.is_finite());
            worst = worst.max(sum.magnitude().f64());
            scale = scale.max(size);
        }
        ratio = ratio.max(worst / scale.max(1e-300));
    }
    ratio / S::Part::EPSILON.f64()
}

/// A square pattern with its diagonal or a shuffled one, and more entries.
fn patterns(n: usize) -> impl Strategy<Value = Sparsity> {
    let diagonal = (Just((0..n).collect::<Vec<_>>()).prop_shuffle(), any::<bool>());
    (diagonal, prop::collection::vec((0..n, 0..n), 0..4 * n)).prop_map(move |((order, shuffled), more)| {
        let diagonal = (0..n).map(|j| (if shuffled { order[j] } else { j }, j));
        Sparsity::new(n, n, diagonal.chain(more)).unwrap()
    })
}

fn numbers(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0_f64, n)
}

/// A solver agrees with the dense one: both factor and solve, or the matrix is as good as singular.
fn check<S: Scalar>(
    pattern: &Sparsity,
    values: &[S],
    b: &[S],
    solver: &mut dyn LinearSolver<S>,
    most: f64,
) -> Result<(), TestCaseError> {
    let a = dense(pattern, values);
    let n = pattern.n_cols();
    let mut reference = Lu::new(n);
    if reference.factor(&a).is_err() {
        return Ok(()); // exactly singular: rounding may hide it from another order of elimination
    }
    let mut x = b.to_vec();
    reference.solve(&mut x);
    let largest = x.iter().map(|x| x.magnitude().f64()).fold(0.0, f64::max);
    if largest > 1e6 {
        return Ok(());
    }
    prop_assert!(solver.factor(values).is_ok());
    let r = residuals(&a, solver, b);
    prop_assert!(r < most, "{r}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Random values on random patterns: nothing dominates, so that many matrices need rows from anywhere.
    #[test]
    fn sparse_lu_of_anything((pattern, v, b) in (2..30_usize).prop_flat_map(|n| (patterns(n), numbers(10 * n), numbers(2 * n)))) {
        let (n, m) = (pattern.n_cols(), pattern.len());
        let real = v[..m].to_vec();
        let complex: Vec<_> = (0..m).map(|i| Complex::new(v[i], v[v.len() - 1 - i])).collect();
        let single: Vec<_> = real.iter().map(|&x| x as f32).collect();
        let mut lu = SparseLu::new(&pattern);
        let cb: Vec<_> = b.chunks_exact(2).map(|b| Complex::new(b[0], b[1])).collect();
        let sb: Vec<_> = b[..n].iter().map(|&x| x as f32).collect();
        check(&pattern, &complex, &cb, &mut lu.of_same_pattern(), 1e5)?;
        check(&pattern, &single, &sb, &mut lu.of_same_pattern(), 1e5)?;
        check(&pattern, &real, &b[..n], &mut lu, 1e5)?;
        let once_more = [&real[1..], &real[..1]].concat();
        check(&pattern, &once_more, &b[..n], &mut lu, 1e5)?;
    }

    /// Rows and columns in units that differ by up to 2^80: the solution is that of the matrix without units, in units.
    #[test]
    fn sparse_lu_of_badly_scaled_matrices((pattern, v, b, units) in (2..30_usize).prop_flat_map(|n| {
        (patterns(n), numbers(10 * n), numbers(n), prop::collection::vec(-40..40_i32, 2 * n))
    })) {
        let n = pattern.n_cols();
        let mut reference = Lu::new(n);
        if reference.factor(&dense(&pattern, &v[..pattern.len()])).is_err() {
            return Ok(());
        }
        let unit = |k: usize| 2.0_f64.powi(units[k]);
        let entries = (0..n).flat_map(|j| pattern.column(j).iter().map(move |&i| (i, j)));
        let values: Vec<f64> = entries.zip(&v).map(|((i, j), &v)| unit(i) * v * unit(n + j)).collect();
        let (mut x, mut scaled) = (b.clone(), (0..n).map(|i| unit(i) * b[i]).collect::<Vec<_>>());
        reference.solve(&mut x);
        let largest = x.iter().fold(0.0, |most, x| x.abs().max(most));
        if largest > 1e4 {
            return Ok(());
        }
        let mut lu = SparseLu::new(&pattern);
        lu.factor(&values).unwrap();
        lu.solve(&mut scaled);
        for j in 0..n {
            let x_j = scaled[j] * unit(n + j);
            prop_assert!((x_j - x[j]).abs() < 1e-8 * largest.max(1.0), "{j}: {x_j} {}", x[j]);
        }
    }

    /// Shifted Jacobians: the diagonal is large, the pattern's own pivots serve.
    #[test]
    fn sparse_lu_of_shifted_matrices((pattern, v, b) in (2..60_usize).prop_flat_map(|n| (patterns(n), numbers(10 * n), numbers(n)))) {
        let n = pattern.n_cols();
        let with_diagonal = (0..n).flat_map(|j| pattern.column(j).iter().map(move |&i| (i, j))).chain((0..n).map(|i| (i, i)));
        let pattern = Sparsity::new(n, n, with_diagonal).unwrap();
        let mut values = v[..pattern.len()].to_vec();
        let mut at = 0;
        for j in 0..n {
            for &i in pattern.column(j) {
                if i == j {
                    values[at] += 8.0;
                }
                at += 1;
            }
        }
        let mut lu = SparseLu::new(&pattern);
        check(&pattern, &values, &b, &mut lu, 50.0)?;
        prop_assert!(!lu.is_pivoted_by_column());
        let complex: Vec<_> = values.iter().zip(&v).map(|(&x, &y)| Complex::new(x, y)).collect();
        let b: Vec<_> = b.iter().map(|&b| Complex::new(b, 0.5)).collect();
        let mut lu = lu.of_same_pattern();
        check(&pattern, &complex, &b, &mut lu, 50.0)?;
        prop_assert!(!lu.is_pivoted_by_column());
    }

    #[test]
    fn band_lu((n, lower, upper, v, b) in (1..30_usize, 0..5_usize, 0..5_usize).prop_flat_map(|(n, l, u)| {
        (Just(n), Just(l), Just(u), numbers(10 * n), numbers(2 * n))
    })) {
        let pattern = Sparsity::banded(n, lower, upper);
        let m = pattern.len();
        check(&pattern, &v[..m], &b[..n], &mut BandLu::new(&pattern), 100.0)?;
        let complex: Vec<_> = (0..m).map(|i| Complex::new(v[i], v[v.len() - 1 - i])).collect();
        let b: Vec<_> = b.chunks_exact(2).map(|b| Complex::new(b[0], b[1])).collect();
        check(&pattern, &complex, &b, &mut BandLu::new(&pattern), 100.0)?;
    }
}

/// Unknowns of a square grid of cells with periodic neighbours, two in a cell: fronts of all sizes.
#[test]
fn a_large_grid() {
    for n in [3_usize, 8, 24] {
        let d = 2 * n * n;
        let mut entries = Vec::new();
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let cell = |i: usize, j: usize| 2 * ((i % n) * n + j % n);
            let c = cell(i, j);
            for k in [cell(i + 1, j), cell(i + n - 1, j), cell(i, j + 1), cell(i, j + n - 1), c] {
                entries.extend([(k, c), (k + 1, c + 1)]);
            }
            entries.extend([(c, c + 1), (c + 1, c)]);
        }
        let pattern = Sparsity::new(d, d, entries).unwrap();
        let mut at = 0;
        let mut values = Vec::new();
        for j in 0..d {
            for &i in pattern.column(j) {
                at += 1;
                let x = (f64::from(at) * 0.7).sin();
                values.push(if i == j { 6.0 + x } else { x });
            }
        }
        let b: Vec<f64> = (0..d).map(|i| (i as f64).cos()).collect();
        let mut lu = SparseLu::new(&pattern);
        for _ in 0..2 {
            lu.factor(&values).unwrap();
            assert!(!lu.is_pivoted_by_column());
            let r = residuals(&dense(&pattern, &values), &mut lu, &b);
            assert!(r < 100.0, "{n}: {r}");
        }
        let values: Vec<_> = values.iter().map(|&x| Complex::new(x, 0.3 * x * x - 1.0)).collect();
        let b: Vec<_> = b.iter().map(|&x| Complex::new(x, 1.0)).collect();
        let mut lu = lu.of_same_pattern();
        lu.factor(&values).unwrap();
        assert!(!lu.is_pivoted_by_column());
        let r = residuals(&dense(&pattern, &values), &mut lu, &b);
        assert!(r < 100.0, "{n}, complex: {r}");
    }
}

#[test]
fn singular_matrices() {
    let pattern = Sparsity::new(3, 3, [(0, 0), (1, 1), (2, 2), (1, 2), (2, 1)]).unwrap();
    let singular = |pivots: &[usize], e: Result<(), SingularMatrix>| {
        let e = e.unwrap_err();
        assert!(e.n == 3 && pivots.contains(&e.pivot), "{e}");
    };
    // By values, by a row of zeros, by something that is not finite; then a good one.
    let mut lu = SparseLu::new(&pattern);
    singular(&[1, 2], lu.factor(&[1.0, 2.0, 4.0, 1.0, 2.0]));
    singular(&[0], lu.factor(&[0.0, 2.0, 4.0, 1.0, 3.0]));
    singular(&[1, 2], lu.factor(&[1.0, f64::NAN, 4.0, 1.0, 3.0]));
    singular(&[1, 2], lu.factor(&[1.0, 2.0, f64::INFINITY, 1.0, 3.0]));
    singular(&[1, 2], lu.factor(&[1.0, f64::NAN, 4.0, 1.0, 3.0]));
    singular(&[1, 2], lu.factor(&[1.0, 2.0, 4.0, f64::NAN, 3.0]));
    lu.factor(&[1.0, 2.0, 4.0, 1.0, 3.0]).unwrap();
    // By structure.
    let mut lu = SparseLu::new(&Sparsity::new(3, 3, [(0, 0), (0, 1), (0, 2), (1, 1)]).unwrap());
    assert!(lu.factor(&[1.0; 4]).is_err());
    let mut band = BandLu::new(&Sparsity::banded(3, 1, 1));
    singular(&[1, 2], band.factor(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]));
    singular(&[1, 2], band.factor(&[1.0, 1.0, 1.0, f64::NAN, 0.0, 0.0, 1.0]));
}

/// Factors three times: after the first time nothing is allocated. Returns whether faer did it, and the residual.
fn three_times(pattern: &Sparsity, values: &[f64]) -> (bool, f64) {
    let n = pattern.n_cols();
    let mut lu = SparseLu::new(pattern);
    for round in 0..3 {
        let (allocations, ()) = allocations_in(|| lu.factor(values).unwrap());
        assert!(round == 0 || allocations == 0, "{round}: {allocations}");
    }
    (lu.is_pivoted_by_column(), residuals(&dense(pattern, values), &mut lu, &vec![1.0; n]))
}

#[test]
fn a_tiny_diagonal_gives_way_to_large_entries() {
    let pattern = Sparsity::banded(12, 2, 2);
    let mut values = Vec::new();
    for j in 0..12 {
        values
            .extend(pattern.column(j).iter().map(|&i| if i == j { 1e-9 } else { 1.0 + (i * j % 7) as f64 }));
    }
    let (by_library, r) = three_times(&pattern, &values);
    assert!(!by_library && r < 100.0, "{by_library} {r}");
}

/// An order that another matrix asked for changes rounding; without it a solver is as good as new, to the last bit.
#[test]
fn orders_can_be_forgotten() {
    let pattern = Sparsity::banded(12, 2, 2);
    let values = |diagonal: f64| -> Vec<f64> {
        let entries = (0..12).flat_map(|j| pattern.column(j).iter().map(move |&i| (i, j)));
        entries.map(|(i, j)| if i == j { diagonal } else { 1.0 + (i * j % 7) as f64 }).collect()
    };
    let solved = |lu: &mut SparseLu<f64>| {
        lu.factor(&values(10.0)).unwrap();
        let mut x: Vec<f64> = (0..12).map(|i| f64::from(i).sin()).collect();
        lu.solve(&mut x);
        x
    };
    let fresh = solved(&mut SparseLu::new(&pattern));
    let mut lu = SparseLu::new(&pattern);
    lu.factor(&values(1e-9)).unwrap();
    assert_ne!(solved(&mut lu), fresh);
    lu.forget_order();
    assert_eq!(solved(&mut lu), fresh);
}

/// Pairs of unknowns whose second pivot is almost nothing, whichever comes first, and which both act on all of three others.
#[test]
fn pivots_that_vanish_on_the_way() {
    for (pairs, library) in [(1, false), (3, false), (40, true)] {
        let n = 2 * pairs + 3;
        let mut entries = Vec::new();
        for k in 0..pairs {
            let (a, b) = (2 * k, 2 * k + 1);
            entries.extend([(a, a, 1.0), (a, b, 1.0), (b, a, 1.0), (b, b, 1.0 + 1e-9)]);
            for i in 2 * pairs..n {
                let x = 0.3 * ((k + 3 * i) as f64).sin();
                entries.extend([(i, a, x), (i, b, x - 0.9), (a, i, 0.2 * x), (b, i, 0.8 - x)]);
            }
        }
        for i in 2 * pairs..n {
            entries.extend((2 * pairs..n).map(|j| (i, j, if i == j { 1.0 } else { 0.1 })));
        }
        entries.sort_by_key(|e| (e.1, e.0));
        let pattern = Sparsity::new(n, n, entries.iter().map(|e| (e.0, e.1))).unwrap();
        let values: Vec<f64> = entries.iter().map(|e| e.2).collect();
        let (by_library, r) = three_times(&pattern, &values);
        assert!(by_library == library && r < 1e3, "{pairs}: {by_library} {r}");
    }
}
