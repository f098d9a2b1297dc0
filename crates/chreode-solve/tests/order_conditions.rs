//! The order conditions, one for each rooted tree: `Σ_i b_i Φ_i(τ) = 1 / γ(τ)`. Source: [HNW93] section II.2.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{ALL_ERK, DenseOutput, ErkTableau};

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
