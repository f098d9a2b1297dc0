//! The order conditions, one for each rooted tree: `Σ_i b_i Φ_i(τ) = 1 / γ(τ)`. Source: [HNW93] section II.2.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{ALL_ERK, DenseOutput, ErkTableau, EsdirkTableau, KENCARP4, RODAS5P, RosenbrockTableau};

/// A rooted tree: the subtrees at its root, in a canonical order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tree(Vec<Tree>);

impl Tree {
    fn order(&self) -> u32 {
        1 + self.0.iter().map(Tree::order).sum::<u32>()
    }

    fn sort(&mut self) {
        self.0.iter_mut().for_each(Tree::sort);
        self.0.sort();
    }

    fn density(&self) -> f64 {
        f64::from(self.order()) * self.0.iter().map(Tree::density).product::<f64>()
    }

    /// `Φ_i` for every row of `a`, and the same with absolute values, which says how much rounding to expect.
    fn weights(&self, a: &[&[f64]]) -> (Vec<f64>, Vec<f64>) {
        let children: Vec<_> = self.0.iter().map(|c| c.weights(a)).collect();
        let product = |i: usize, pick: &dyn Fn(&(Vec<f64>, Vec<f64>)) -> f64| -> f64 {
            assert!(i < a.len());
            children.iter().map(pick).product()
        };
        (0..a.len())
            .map(|i| {
                let exact = product(i, &|phi| dot(a[i], &phi.0));
                let size = product(i, &|phi| a[i].iter().zip(&phi.1).map(|(a, phi)| a.abs() * phi).sum());
                (exact, size)
            })
            .unzip()
    }
}

/// `Σ_i w_i Φ_i(τ) - exact`, and the rounding error that it may have.
fn residual(tree: &Tree, a: &[&[f64]], w: &[f64], exact: f64) -> (f64, f64) {
    let (phi, size) = tree.weights(a);
    let size: f64 = w.iter().zip(&size).map(|(w, s)| w.abs() * s).sum();
    (dot(w, &phi) - exact, 4.0 * f64::EPSILON * (1.0 + size))
}

/// All trees of `order` nodes: every tree of one node fewer with a leaf added anywhere.
fn trees(order: u32) -> Vec<Tree> {
    fn grown(tree: &Tree) -> Vec<Tree> {
        let mut at_root = tree.clone();
        at_root.0.push(Tree(vec![]));
        let deeper = (0..tree.0.len()).flat_map(|i| {
            grown(&tree.0[i]).into_iter().map(move |child| {
                let mut tree = tree.clone();
                tree.0[i] = child;
                tree
            })
        });
        deeper.chain([at_root]).collect()
    }
    if order == 1 {
        return vec![Tree(vec![])];
    }
    let mut all: Vec<Tree> = trees(order - 1).iter().flat_map(grown).collect();
    all.iter_mut().for_each(Tree::sort);
    all.sort();
    all.dedup();
    all
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn number_of_trees() {
    let counts: Vec<_> = (1..=10).map(|q| trees(q).len()).collect();
    assert_eq!(counts, [1, 1, 2, 4, 9, 20, 48, 115, 286, 719]);
}

/// Holds every tree up to `order` at zero, and finds one of the next order that is not.
fn has_order(what: &str, order: u32, a: &[&[f64]], w: &[f64], exact: impl Fn(&Tree) -> f64) {
    for tree in (1..=order).flat_map(trees) {
        let (r, rounding) = residual(&tree, a, w, exact(&tree));
        assert!(r.abs() < rounding, "{what} {tree:?}: {r:e} > {rounding:e}");
    }
    let worst = trees(order + 1).iter().map(|t| residual(t, a, w, exact(t)).0.abs()).fold(0.0, f64::max);
    println!("{what}: order {order}, largest condition of the next order {worst:.1e}");
    assert!(worst > 3e-8, "{what} has a higher order than it says: {worst:e}");
}

#[test]
fn solution_has_its_order_and_not_more() {
    for m in ALL_ERK {
        has_order(m.name, m.order, m.a, m.b, |tree| 1.0 / tree.density());
    }
}

/// `b - b_err` has the embedded order, so `b_err` alone gives zero up to it, and something at the next order.
#[test]
fn error_estimates_have_their_order_and_not_more() {
    for m in ALL_ERK.into_iter().filter(|m| m.embedded_order > 0) {
        has_order(m.name, m.embedded_order, m.a, m.b_err, |_| 0.0);
        if let Some((order, weights)) = m.lower {
            has_order(m.name, order, m.a, weights, |_| 0.0);
        }
    }
}

/// Rows of `a` of every stage, of the step's end and of the stages that the dense output adds.
fn all_rows(m: &ErkTableau) -> Vec<&'static [f64]> {
    let mut a = m.a.to_vec();
    if let DenseOutput::Extended { a: more, .. } = m.dense {
        a.push(m.b);
        a.extend(more);
    }
    a
}

/// Weights of the dense output, and their slopes by θ.
fn dense_weights(m: &ErkTableau, theta: f64) -> Option<(Vec<f64>, Vec<f64>)> {
    // Values and slopes of `Σ c_j x^j`.
    let horner = |row: &[f64], x: f64| row.iter().rev().fold((0.0, 0.0), |(v, d), &c| (v * x + c, d * x + v));
    match m.dense {
        DenseOutput::Weights(rows) => Some(
            rows.iter()
                .map(|r| {
                    let (v, d) = horner(r, theta);
                    (theta * v, v + theta * d)
                })
                .unzip(),
        ),
        DenseOutput::Extended { weights, .. } => Some(
            weights
                .iter()
                .map(|r| {
                    let (v, d) = horner(r, 2.0 * theta - 1.0);
                    (theta * v, v + 2.0 * theta * d)
                })
                .unzip(),
        ),
        _ => None,
    }
}

/// `Σ_i b_i(θ) Φ_i(τ) = θ^|τ| / γ(τ)` for every tree up to the order of the dense output: with a local error one
/// power of `h` higher, it is one order below that of the steps at least. It also leaves and enters a step with the
/// field's own slope.
#[test]
fn dense_outputs() {
    let mut seen = 0;
    for m in ALL_ERK {
        let order = match m.name {
            "TSIT5" | "DOPRI5" => 4,
            "VERN7" => 6,
            "DOP853" => 7,
            "VERN8" => 8,
            "VERN9" => 9,
            _ => {
                assert_eq!(m.dense, DenseOutput::Hermite, "{}", m.name);
                continue;
            }
        };
        seen += 1;
        let a = all_rows(m);
        for theta in [0.03, 0.25, 0.37, 0.6, 0.9] {
            let w = dense_weights(m, theta).unwrap().0;
            let exact = |tree: &Tree| theta.powi(tree.order() as i32) / tree.density();
            for tree in (1..=order).flat_map(trees) {
                let (r, rounding) = residual(&tree, &a, &w, exact(&tree));
                assert!(r.abs() < rounding, "{} at {theta} {tree:?}: {r:e} > {rounding:e}", m.name);
            }
        }
        let w = dense_weights(m, 0.37).unwrap().0;
        has_order(&format!("dense output of {}", m.name), order, &a, &w, |t| {
            0.37_f64.powi(t.order() as i32) / t.density()
        });
        let ((at_start, slope_at_start), (at_end, slope_at_end)) =
            (dense_weights(m, 0.0).unwrap(), dense_weights(m, 1.0).unwrap());
        let last = m.stages() - usize::from(m.fsal);
        for i in 0..a.len() {
            let b = m.b.get(i).copied().unwrap_or(0.0);
            for (what, is, must) in [
                ("start", at_start[i], 0.0),
                ("end", at_end[i], b),
                ("slope at the start", slope_at_start[i], f64::from(i == 0)),
                ("slope at the end", slope_at_end[i], f64::from(i == last)),
            ] {
                assert!((is - must).abs() < 1e-11, "{} row {i}: {what} {is:e}", m.name);
            }
        }
    }
    assert_eq!(seen, 6);
}

/// What rounding is allowed to hide is far below a wrong tenth digit.
#[test]
fn a_wrong_digit_is_seen() {
    let m = &chreode_solve::VERN9;
    let mut b = m.b.to_vec();
    (b[8], b[9]) = (b[8] + 1e-9, b[9] - 1e-9);
    let tree = &trees(2)[0];
    let (r, rounding) = residual(tree, m.a, &b, 1.0 / tree.density());
    assert!(r.abs() > 100.0 * rounding);
}

/// Stages by `α` and `Γ` instead of the form without products: `Γ = (I/γ - C)⁻¹`, `α = a Γ`, `b = m Γ`.
struct Classical {
    alpha: Vec<Vec<f64>>,
    gamma: Vec<Vec<f64>>,
}

impl Classical {
    fn of(m: &RosenbrockTableau) -> Self {
        let s = m.stages();
        let mut gamma = vec![vec![0.0; s]; s];
        for i in 0..s {
            for j in 0..=i {
                let before: f64 = (j..i).map(|k| m.coupling[i][k] * gamma[k][j]).sum();
                gamma[i][j] = m.gamma * (f64::from(i == j) + before);
            }
        }
        let alpha = m.a.iter().map(|a| Self::times(a, &gamma)).collect();
        Self { alpha, gamma }
    }

    fn times(w: &[f64], gamma: &[Vec<f64>]) -> Vec<f64> {
        (0..gamma.len()).map(|j| w.iter().zip(gamma).map(|(w, row)| w * row[j]).sum()).collect()
    }

    /// `Φ_i`: by `α` where branches meet, by `α + Γ` where there is one branch [HW96, section IV.7]; and the same with absolute values.
    fn weights(&self, tree: &Tree) -> (Vec<f64>, Vec<f64>) {
        let single = tree.0.len() == 1;
        let children: Vec<_> = tree.0.iter().map(|c| self.weights(c)).collect();
        (0..self.alpha.len())
            .map(|i| {
                let row: Vec<f64> = self.alpha[i]
                    .iter()
                    .zip(&self.gamma[i])
                    .map(|(a, g)| if single { a + g } else { *a })
                    .collect();
                let size: Vec<f64> =
                    self.alpha[i].iter().zip(&self.gamma[i]).map(|(a, g)| a.abs() + g.abs()).collect();
                let exact: f64 = children.iter().map(|phi| dot(&row, &phi.0)).product();
                let large: f64 = children.iter().map(|phi| dot(&size, &phi.1)).product();
                (exact, large)
            })
            .unzip()
    }

    /// `Σ_i w_i Φ_i(τ) - exact` for weights `m` of the stages `u`, and the rounding error that it may have.
    fn residual(&self, tree: &Tree, m: &[f64], exact: f64) -> (f64, f64) {
        let (phi, size) = self.weights(tree);
        let w = Self::times(m, &self.gamma);
        let size: f64 = w.iter().zip(&size).map(|(w, s)| w.abs() * s).sum();
        // Coefficients have sixteen digits, and those of the form without products are up to a thousand times as large.
        (dot(&w, &phi) - exact, 30.0 * f64::EPSILON * (1.0 + size))
    }

    fn has_order(&self, what: &str, order: u32, m: &[f64], exact: impl Fn(&Tree) -> f64) {
        for tree in (1..=order).flat_map(trees) {
            let (r, rounding) = self.residual(&tree, m, exact(&tree));
            assert!(r.abs() < rounding, "{what} {tree:?}: {r:e} > {rounding:e}");
            assert!(rounding < 1e-8, "{what} {tree:?}: {rounding:e}");
        }
        let worst =
            trees(order + 1).iter().map(|t| self.residual(t, m, exact(t)).0.abs()).fold(0.0, f64::max);
        println!("{what}: order {order}, largest condition of the next order {worst:.1e}");
        assert!(worst > 1e-6, "{what} has a higher order than it says: {worst:e}");
    }
}

/// Non-autonomous fields need no conditions of their own: nodes and `d` are the row sums (`RosenbrockTableau::is_consistent`).
#[test]
fn rosenbrock_methods() {
    let m = &RODAS5P;
    let classical = Classical::of(m);
    classical.has_order(m.name, m.order, m.m, |tree| 1.0 / tree.density());
    classical.has_order("RODAS5P's error estimate", m.embedded_order, m.m_err, |_| 0.0);
    for theta in [0.25, 0.37, 0.8] {
        let w: Vec<f64> = (0..m.stages())
            .map(|i| {
                let inside = m.dense.iter().rev().fold(0.0, |s, row| s * theta + row[i]);
                theta * (m.m[i] + (1.0 - theta) * inside)
            })
            .collect();
        let exact = |tree: &Tree| theta.powi(tree.order() as i32) / tree.density();
        classical.has_order("RODAS5P's dense output", 4, &w, exact);
    }
    // Stiffly accurate: the last stage's equation is that of the step's end.
    let last = m.stages() - 1;
    assert_eq!(&m.m[..last], m.a[last]);
    assert_eq!((m.m[last], m.c[last], m.d[last]), (1.0, 1.0, 0.0));
    // An error in the tenth digit is seen.
    let wrong: Vec<f64> = m.m.iter().enumerate().map(|(i, m)| if i == 2 { m + 1e-10 } else { *m }).collect();
    let tree = &trees(1)[0];
    let (r, rounding) = classical.residual(tree, &wrong, 1.0);
    assert!(r.abs() > 10.0 * rounding, "{r:e} {rounding:e}");
}

#[test]
fn diagonally_implicit_methods() {
    let m: &EsdirkTableau = &KENCARP4;
    let full: Vec<Vec<f64>> = (0..m.stages())
        .map(|i| {
            let mut row = m.a[i].to_vec();
            row.push(if i == 0 { 0.0 } else { m.gamma });
            row.resize(m.stages(), 0.0);
            row
        })
        .collect();
    let a: Vec<&[f64]> = full.iter().map(|row| &row[..]).collect();
    has_order(m.name, m.order, &a, a[m.stages() - 1], |tree| 1.0 / tree.density());
    has_order("KENCARP4's error estimate", m.embedded_order, &a, m.b_err, |_| 0.0);
    for theta in [0.25, 0.37, 0.8] {
        let horner = |row: &[f64]| theta * row.iter().rev().fold(0.0, |s, &c| s * theta + c);
        let w: Vec<f64> = m.dense.iter().map(|row| horner(row)).collect();
        has_order("KENCARP4's dense output", 3, &a, &w, |t| theta.powi(t.order() as i32) / t.density());
    }
    // Stage order 2.
    for (row, c) in full.iter().zip(m.c) {
        assert!((dot(row, m.c) - c * c / 2.0).abs() < 1e-14);
    }
}
