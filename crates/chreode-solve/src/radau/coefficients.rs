//! Coefficients of Radau IIA with three stages. Source: [HW96] sections IV.5 and IV.8.

/// Nodes `(4 - √6) / 10`, `(4 + √6) / 10`, 1.
pub(super) const C: [f64; 3] = [0.155_051_025_721_682_2, 0.644_948_974_278_317_8, 1.0];
/// Real eigenvalue of `A⁻¹`, and the complex pair `ALPHA ± i BETA`.
pub(super) const GAMMA: f64 = 3.637_834_252_744_495_7;
pub(super) const ALPHA: f64 = 2.681_082_873_627_752_1;
pub(super) const BETA: f64 = 3.050_430_199_247_410_5;
/// `Z = T W`.
#[rustfmt::skip]
pub(super) const T: [[f64; 3]; 3] = [
    [9.1232394870892942792e-02, -0.14125529502095420843, -3.0029194105147424492e-02],
    [0.24171793270710701896,     0.20412935229379993199,  0.38294211275726193779],
    [0.96604818261509293619,     1.0,                     0.0],
];
/// `W = T⁻¹ Z`.
#[rustfmt::skip]
pub(super) const T_INV: [[f64; 3]; 3] = [
    [ 4.3255798900631553510,   0.33919925181580986954,  0.54177053993587487119],
    [-4.1787185915519047273,  -0.32768282076106238708,  0.47662355450055045196],
    [-0.50287263494578687595,  2.5719269498556054292,  -0.59603920482822492497],
];
/// Weights of `Z / h` in the error estimate: `-(13 + 7√6)/3`, `(-13 + 7√6)/3`, `-1/3`.
pub(super) const E: [f64; 3] = [-10.048_809_399_827_416, 1.382_142_733_160_748_9, -1.0 / 3.0];

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];

    fn product(a: &Matrix, b: &Matrix) -> Matrix {
        let mut m = [[0.0; 3]; 3];
        for i in 0..3 {
            for j in 0..3 {
                m[i][j] = (0..3).map(|k| a[i][k] * b[k][j]).sum();
            }
        }
        m
    }

    fn assert_close(a: &Matrix, b: &Matrix, tolerance: f64) {
        for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
            assert!((a - b).abs() < tolerance, "{a} {b}");
        }
    }

    /// `A⁻¹` from its eigenvalues and vectors.
    fn inverse_a() -> Matrix {
        let lambda = [[GAMMA, 0.0, 0.0], [0.0, ALPHA, -BETA], [0.0, BETA, ALPHA]];
        product(&product(&T, &lambda), &T_INV)
    }

    /// `A` of collocation at `C`: integrals of the Lagrange polynomials, from 0 to each node.
    fn collocation() -> Matrix {
        let mut a = [[0.0; 3]; 3];
        for j in 0..3 {
            let (p, q) = (C[(j + 1) % 3], C[(j + 2) % 3]);
            let scale = (C[j] - p) * (C[j] - q);
            for i in 0..3 {
                let c = C[i];
                a[i][j] = (c * c * c / 3.0 - (p + q) * c * c / 2.0 + p * q * c) / scale;
            }
        }
        a
    }

    #[test]
    fn nodes_and_estimate_are_what_their_formulas_say() {
        let root = 6.0_f64.sqrt();
        for (i, exact) in [(4.0 - root) / 10.0, (4.0 + root) / 10.0, 1.0].into_iter().enumerate() {
            assert!((C[i] - exact).abs() < 1e-15);
        }
        let weights = [-(13.0 + 7.0 * root) / 3.0, (-13.0 + 7.0 * root) / 3.0, -1.0 / 3.0];
        for (e, exact) in E.into_iter().zip(weights) {
            assert!((e - exact).abs() < 4e-15, "{e} {exact}");
        }
    }

    #[test]
    fn transformation_diagonalises_collocation() {
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_close(&product(&T, &T_INV), &identity, 1e-14);
        assert_close(&product(&inverse_a(), &collocation()), &identity, 1e-13);
    }

    /// The simplifying assumptions B(5), C(3) and D(2), which together give order 5 [HW96, theorem IV.5.1].
    #[test]
    fn order_conditions() {
        let a = collocation();
        let b = a[2]; // stiffly accurate: the last stage is the step
        for k in 1..=5 {
            let sum: f64 = (0..3).map(|i| b[i] * C[i].powi(k - 1)).sum();
            assert!((sum - 1.0 / f64::from(k)).abs() < 1e-15, "B({k}) {sum}");
        }
        let missed: f64 = (0..3).map(|i| b[i] * C[i].powi(5)).sum();
        assert!((missed - 1.0 / 6.0).abs() > 1e-4, "B(6) does not hold");
        for k in 1..=3 {
            for i in 0..3 {
                let sum: f64 = (0..3).map(|j| a[i][j] * C[j].powi(k - 1)).sum();
                assert!((sum - C[i].powi(k) / f64::from(k)).abs() < 1e-15, "C({k})");
            }
        }
        for k in 1..=2 {
            for j in 0..3 {
                let sum: f64 = (0..3).map(|i| b[i] * C[i].powi(k - 1) * a[i][j]).sum();
                assert!((sum - b[j] * (1.0 - C[j].powi(k)) / f64::from(k)).abs() < 1e-15, "D({k})");
            }
        }
    }

    /// The estimate `γ₀ h f(y₀) + Σ E_i Z_i`, times the `(γ₀ h)⁻¹ - J` of the solve, vanishes for polynomials up to degree 3.
    #[test]
    fn estimate_is_of_order_three() {
        for k in 1..=4 {
            // y = t^k: Z_i = c_i^k, and f(0) = 1 for k = 1 only.
            let estimate: f64 = f64::from(k == 1) + (0..3).map(|i| E[i] * C[i].powi(k)).sum::<f64>();
            if k < 4 {
                assert!(estimate.abs() < 1e-14, "degree {k}: {estimate}");
            } else {
                assert!(estimate.abs() > 1e-3);
            }
        }
    }
}
