//! The order conditions, one for each rooted tree: `Σ_i b_i Φ_i(τ) = 1 / γ(τ)`. Source: [HNW93] section II.2.

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

    /// `Φ_i` for every stage.
    fn weights(&self, m: &ErkTableau) -> Vec<f64> {
        let children: Vec<Vec<f64>> = self.0.iter().map(|c| c.weights(m)).collect();
        (0..m.stages())
            .map(|i| {
                let inner = |phi: &Vec<f64>| m.a[i].iter().zip(phi).map(|(a, phi)| a * phi).sum::<f64>();
                children.iter().map(inner).product()
            })
            .collect()
    }
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
    assert_eq!([1, 2, 3, 4, 5, 6].map(|q| trees(q).len()), [1, 1, 2, 4, 9, 20]);
}

#[test]
fn solution_has_its_order_and_not_more() {
    for m in ALL_ERK {
        for q in 1..=m.order {
            for tree in trees(q) {
                let residual = dot(m.b, &tree.weights(m)) - 1.0 / tree.density();
                assert!(residual.abs() < 1e-13, "{} {tree:?}: {residual:e}", m.name);
            }
        }
        let above = trees(m.order + 1);
        let worst =
            above.iter().map(|t| (dot(m.b, &t.weights(m)) - 1.0 / t.density()).abs()).fold(0.0, f64::max);
        assert!(worst > 1e-5, "{} has a higher order than it says", m.name);
    }
}

/// `b - b_err` has the embedded order, so `b_err` alone gives zero up to it, and something at the next order.
#[test]
fn error_estimate_has_its_order_and_not_more() {
    for m in ALL_ERK.into_iter().filter(|m| m.embedded_order > 0) {
        for q in 1..=m.embedded_order {
            for tree in trees(q) {
                let residual = dot(m.b_err, &tree.weights(m));
                assert!(residual.abs() < 1e-13, "{} {tree:?}: {residual:e}", m.name);
            }
        }
        let above = trees(m.embedded_order + 1);
        assert!(above.iter().any(|t| dot(m.b_err, &t.weights(m)).abs() > 1e-5), "{}", m.name);
    }
}

/// `Σ_i b_i(θ) Φ_i(τ) = θ^|τ| / γ(τ)` up to order 4: with a local error of `O(h⁵)` the dense output keeps the
/// order 5 of the steps. It also leaves and enters a step with the field's own slope.
#[test]
fn dense_output_of_tsit5() {
    let m = &chreode_solve::TSIT5;
    let DenseOutput::Weights(rows) = m.dense else { panic!("no weights") };
    let at = |theta: f64| -> Vec<f64> {
        rows.iter().map(|r| r.iter().rev().fold(0.0, |s, c| (s + c) * theta)).collect()
    };
    for theta in [0.1, 0.25, 0.5, 0.6, 0.9, 1.0] {
        for tree in (1..=4).flat_map(trees) {
            let exact = f64::powi(theta, tree.order() as i32) / tree.density();
            let residual = dot(&at(theta), &tree.weights(m)) - exact;
            assert!(residual.abs() < 1e-13, "{theta} {tree:?}: {residual:e}");
        }
    }
    for (i, row) in rows.iter().enumerate() {
        let slope_at_end: f64 = row.iter().enumerate().map(|(j, c)| (j + 1) as f64 * c).sum();
        assert!((row[0] - f64::from(i == 0)).abs() < 1e-13, "{i}");
        assert!((slope_at_end - f64::from(i == 6)).abs() < 1e-12, "{i}: {slope_at_end}");
    }
}
