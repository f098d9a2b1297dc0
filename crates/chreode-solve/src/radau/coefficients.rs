//! Coefficients of Radau IIA with three, five and seven stages. Source: [HW96] sections IV.5 and IV.8.
// tidy: data

/// A method with `S` stages, of order `2 S - 1`.
///
/// The tables were computed with 60 digits from the definition: `c` are the zeros of `P_S - P_{S-1}` (Legendre polynomials on
/// [0, 1]), `A` is collocation at them, and `A⁻¹ = T Λ T⁻¹`, where `Λ` has a real eigenvalue and blocks `[[α, -β], [β, α]]` on its diagonal.
#[derive(Debug)]
pub(super) struct Coefficients<const S: usize> {
    /// Nodes.
    pub(super) c: [f64; S],
    /// Real eigenvalue of `A⁻¹`, and the complex pairs `α ± i β`, `(S - 1) / 2` of them.
    pub(super) gamma: f64,
    pub(super) pairs: [(f64, f64); 3],
    /// `Z = T W`.
    pub(super) t: [[f64; S]; S],
    /// `W = T⁻¹ Z`.
    pub(super) t_inv: [[f64; S]; S],
    /// Weights of `Z / h` in the error estimate, which is exact for polynomials up to degree `S`.
    pub(super) e: [f64; S],
    /// `1 / (c_k Π (c_k - c_m))`: of the collocation polynomial, which also passes through 0 at 0.
    scale: [f64; S],
}

impl<const S: usize> Coefficients<S> {
    const fn new(
        c: [f64; S],
        gamma: f64,
        pairs: [(f64, f64); 3],
        t: [[f64; S]; S],
        t_inv: [[f64; S]; S],
        e: [f64; S],
    ) -> Self {
        let (mut scale, mut k) = ([0.0; S], 0);
        while k < S {
            let (mut product, mut m) = (c[k], 0);
            while m < S {
                product *= if m == k { 1.0 } else { c[k] - c[m] };
                m += 1;
            }
            scale[k] = 1.0 / product;
            k += 1;
        }
        Self { c, gamma, pairs, t, t_inv, e, scale }
    }

    /// Weights of the stages `Z` in the collocation polynomial at `x` steps after the start.
    #[inline]
    pub(super) fn weights(&self, x: f64) -> [f64; S] {
        std::array::from_fn(|k| {
            let mut weight = self.scale[k] * x;
            for m in 0..S {
                if m != k {
                    weight *= x - self.c[m];
                }
            }
            weight
        })
    }
}

/// Radau IIA with `s` stages, of order `2 s - 1`, as data: collocation at `c`, whose matrix `A` has the inverse
/// `A⁻¹ = T Λ T⁻¹`, with a real eigenvalue and blocks `[[α, -β], [β, α]]` on the diagonal of `Λ` [HW96, section IV.8].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RadauTableau {
    /// Nodes; the last one is 1.
    pub c: &'static [f64],
    /// The real eigenvalue.
    pub gamma: f64,
    /// `(α, β)`, for `(s - 1) / 2` complex pairs.
    pub pairs: &'static [(f64, f64)],
    /// `T`, `[s, s]` row-major.
    pub t: &'static [f64],
    /// `T⁻¹`, `[s, s]` row-major.
    pub t_inv: &'static [f64],
}

impl RadauTableau {
    /// The one with this number of stages: 3, 5 or 7, else none.
    pub fn with_stages(stages: usize) -> Option<Self> {
        fn of<const S: usize>(table: &'static Coefficients<S>) -> RadauTableau {
            let (t, t_inv) = (table.t.as_flattened(), table.t_inv.as_flattened());
            RadauTableau { c: &table.c, gamma: table.gamma, pairs: &table.pairs[..S / 2], t, t_inv }
        }
        match stages {
            3 => Some(of(&THREE)),
            5 => Some(of(&FIVE)),
            7 => Some(of(&SEVEN)),
            _ => None,
        }
    }
}

/// Order 5.
#[rustfmt::skip]
pub(super) static THREE: Coefficients<3> = Coefficients::new(
    [0.1550510257216822, 0.6449489742783178, 1.0],
    3.637834252744496,
    [(2.6810828736277523, 3.0504301992474105), (0.0, 0.0), (0.0, 0.0)],
    [
        [0.09123239487089295, -0.1412552950209542, -0.030029194105147424],
        [0.241717932707107, 0.20412935229379994, 0.3829421127572619],
        [0.966048182615093, 1.0, 0.0],
    ],
    [
        [4.325579890063155, 0.33919925181580984, 0.5417705399358749],
        [-4.178718591551905, -0.32768282076106237, 0.47662355450055044],
        [-0.5028726349457868, 2.571926949855605, -0.5960392048282249],
    ],
    [-10.048809399827416, 1.382142733160749, -0.3333333333333333],
);
/// Order 9.
#[rustfmt::skip]
pub(super) static FIVE: Coefficients<5> = Coefficients::new(
    [0.05710419611451768, 0.2768430136381238, 0.5835904323689168, 0.8602401356562195, 1.0],
    6.2867047517292765,
    [(5.70095329867179, 3.2102656003085497), (3.655694325463572, 6.543736899360077), (0.0, 0.0)],
    [
        [0.012517586220501045, -0.011478515255229515, -0.01401985889287541, -0.010242047817908826, 0.04767387729029572],
        [0.0014916701518953824, -0.007668830749180163, 0.024708578426518527, 0.05017286451737106, -0.09433181918161143],
        [0.07298187638808715, 0.01939846399882895, 0.08180035370375117, -0.23053953404341795, 0.1027030453801259],
        [0.3800914400035681, 0.40760117128019907, 0.19968242788680252, 0.37789390224886127, 0.46674413033249434],
        [0.9219789736812105, 1.0, 0.0, 1.0, 0.0],
    ],
    [
        [30.0415677215444, 13.865107856271413, 3.4800027747951856, -1.0320087978252634, 0.8043030450739899],
        [-33.041880213519, -17.376953479063566, -0.17212906325400557, -0.09916977798254265, 0.5312281158383066],
        [-8.611443979875292, 9.699991409528808, 1.9147286396968743, 2.41869200608494, -1.0474634879353375],
        [5.344186437834912, 4.593615567759161, -3.0363603234594243, 1.050660190231459, -0.27277861186429625],
        [3.748059807439805, -3.984965736343885, -1.0444156416080188, 1.1840985681379486, -0.44991777015678036],
    ],
    [-27.78093394406464, 3.641478498049213, -1.2525477211691187, 0.5920031671845428, -0.2],
);
/// Order 13.
#[rustfmt::skip]
pub(super) static SEVEN: Coefficients<7> = Coefficients::new(
    [0.029316427159784893, 0.1480785996684843, 0.3369846902811543, 0.5586715187715501, 0.7692338620300545, 0.9269456713197411, 1.0],
    8.936832788405216,
    [(8.511834825102946, 3.281013624325059), (7.14105521918764, 6.623045922639276), (4.378693561506806, 10.169693283795011)],
    [
        [0.0021537546273105264, -0.0012386461879528741, -0.0027606174805438525, -0.004055161452331024, 0.004427232753268285, 0.021567551351320772, 0.008783567925144144],
        [-0.0016000250778804286, -6.666635339396339e-05, 0.00318547482516621, 0.00841556827655959, -0.00403194957022455, -0.03813164813441155, -0.021525560594006874],
        [0.004059107301947683, -0.0023521809829433384, 0.00041690777252975626, -0.008560431061603433, -0.006923212665023909, 0.05739650893938172, 0.05885052920842679],
        [0.015750488079376845, 0.0031150711523461752, 0.025116604913438822, -0.03737124230238446, 0.00823900729850772, -0.03821469359696835, -0.16573681127294385],
        [0.11297766102422081, 0.10171773248171515, 0.09504502035604623, 0.0053667613791817705, 0.19321111610126201, -0.2491742124652637, 0.27356330579866234],
        [0.4583810431839315, 0.5217519452747653, 0.1280719446355439, 0.5265742264584493, 0.27553439498962584, 0.5315846490836285, 0.4863228366175729],
        [0.8813915783538184, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
    ],
    [
        [258.13192631998226, 189.0737630813985, 49.08731481793013, 4.110647469661428, 4.053447889315564, -3.112755366607346, 1.6467749135584446],
        [-299.1862480282521, -243.04074536874478, -48.77710407803787, -2.0386719057419342, 1.673560239861085, -1.0873740320571061, 0.9019382492960993],
        [-93.0765028974353, 23.881631056281144, 39.278880730813846, 14.38891568549108, -3.5104383993993613, 4.8632848855661805, -2.2464827295912397],
        [74.6783322350227, 87.40858897990081, 4.024158737379998, -3.714806315158364, -3.4300939859823174, 2.6966048097653124, -0.9386927436075462],
        [58.356528851906575, -10.06877395780018, -30.36638884256667, -1.020020865184866, -0.11241750037842496, 1.8906408310003777, -0.9716486393831483],
        [-3.007390169451292, -11.015866078765772, 1.4877994561316563, 2.1303881595592826, -1.8161410868175656, 1.134325587895161, -0.41469904594330353],
        [-8.441963188321084, -0.650525274057515, 6.9406707303698765, -3.2050475255978985, 1.0712809435464785, -0.3548507491216222, 0.09198549132786554],
    ],
    [-54.374436894128614, 7.000024004259187, -2.355661091987557, 1.1322890661061344, -0.6468913267673587, 0.38753338537535237, -0.14285714285714285],
);

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix<const S: usize> = [[f64; S]; S];

    fn product<const S: usize>(a: &Matrix<S>, b: &Matrix<S>) -> Matrix<S> {
        let mut m = [[0.0; S]; S];
        for i in 0..S {
            for j in 0..S {
                m[i][j] = (0..S).map(|k| a[i][k] * b[k][j]).sum();
            }
        }
        m
    }

    fn assert_identity<const S: usize>(a: &Matrix<S>, tolerance: f64) {
        for (i, row) in a.iter().enumerate() {
            for (j, a) in row.iter().enumerate() {
                assert!((a - f64::from(u8::from(i == j))).abs() < tolerance, "{S} stages, ({i}, {j}): {a}");
            }
        }
    }

    /// `A` of collocation: integrals of the Lagrange polynomials from 0 to each node, by the coefficients of the polynomials.
    fn collocation<const S: usize>(c: &[f64; S]) -> Matrix<S> {
        let mut a = [[0.0; S]; S];
        for j in 0..S {
            let mut polynomial = vec![1.0];
            for m in (0..S).filter(|&m| m != j) {
                polynomial.push(0.0);
                for k in (0..polynomial.len()).rev() {
                    let below = if k > 0 { polynomial[k - 1] } else { 0.0 };
                    polynomial[k] = (below - c[m] * polynomial[k]) / (c[j] - c[m]);
                }
            }
            for i in 0..S {
                let terms = polynomial.iter().enumerate();
                a[i][j] = terms.map(|(k, p)| p * c[i].powi(k as i32 + 1) / (k as f64 + 1.0)).sum();
            }
        }
        a
    }

    /// Legendre polynomial `P_n` at `2 x - 1`.
    fn legendre(n: usize, x: f64) -> f64 {
        let (x, mut before, mut p) = (2.0 * x - 1.0, 0.0, 1.0);
        for k in 0..n {
            let k = k as f64;
            (before, p) = (p, ((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0));
        }
        p
    }

    fn definition<const S: usize>(table: &Coefficients<S>) {
        let Coefficients { c, gamma, pairs, t, t_inv, e, .. } = table;
        // The condition of T is 10, 100 and 1,200.
        let rounding = 1e-15 * [10.0, 100.0, 1200.0][(S - 3) / 2];
        for &c in c {
            let radau = legendre(S, c) - legendre(S - 1, c);
            assert!(radau.abs() < 1e-13, "node {c}: {radau:e}");
        }
        let mut lambda = [[0.0; S]; S];
        lambda[0][0] = *gamma;
        for (q, &(alpha, beta)) in pairs[..(S - 1) / 2].iter().enumerate() {
            let (r, s) = (2 * q + 1, 2 * q + 2);
            (lambda[r][r], lambda[r][s], lambda[s][r], lambda[s][s]) = (alpha, -beta, beta, alpha);
        }
        assert_identity(&product(t, t_inv), 10.0 * rounding);
        let a = collocation(c);
        assert_identity(&product(&product(&product(t, &lambda), t_inv), &a), 100.0 * rounding);
        // B(2S - 1), C(S) and D(S - 1), which give order 2S - 1 [HW96, theorem IV.5.1].
        let b = a[S - 1]; // stiffly accurate: the last stage is the step
        let sum = |f: &dyn Fn(usize) -> f64| -> f64 { (0..S).map(f).sum() };
        let close = |x: f64, y: f64, what: &str| {
            assert!((x - y).abs() < 10.0 * rounding, "{S} stages, {what}: {x} {y}");
        };
        for k in 1..2 * S as i32 {
            close(sum(&|i| b[i] * c[i].powi(k - 1)), 1.0 / f64::from(k), "B");
        }
        let missed = sum(&|i| b[i] * c[i].powi(2 * S as i32 - 1)) - 0.5 / S as f64;
        assert!(missed.abs() > 1e-9, "B(2S) does not hold: {missed:e}");
        for k in 1..=S as i32 {
            for i in 0..S {
                close(sum(&|j| a[i][j] * c[j].powi(k - 1)), c[i].powi(k) / f64::from(k), "C");
                if k < S as i32 {
                    let integral = b[i] * (1.0 - c[i].powi(k)) / f64::from(k);
                    close(sum(&|j| b[j] * c[j].powi(k - 1) * a[j][i]), integral, "D");
                }
            }
        }
        // The estimate `f(y₀) + Σ E_i Z_i / h` vanishes for polynomials up to degree S: y = t^k has Z_i = c_i^k, and f(0) = 1 for
        // k = 1 only.
        for k in 1..=S as i32 + 1 {
            let estimate = f64::from(u8::from(k == 1)) + sum(&|i| e[i] * c[i].powi(k));
            assert_eq!(estimate.abs() < 1e-13, k <= S as i32, "degree {k}: {estimate:e}");
        }
        // The collocation polynomial reproduces polynomials up to degree S that vanish at 0.
        for x in [0.0, 0.3, 1.0, 2.5] {
            let weights = table.weights(x);
            for k in 1..=S as i32 {
                let value = sum(&|i| weights[i] * c[i].powi(k));
                assert!((value - x.powi(k)).abs() < 1e-10 * x.powi(k).max(1.0), "degree {k} at {x}: {value}");
            }
        }
    }

    #[test]
    fn tables_are_what_their_definition_says() {
        definition(&THREE);
        definition(&FIVE);
        definition(&SEVEN);
    }

    #[test]
    fn three_stages_have_closed_forms() {
        let root = 6.0_f64.sqrt();
        for (c, exact) in THREE.c.into_iter().zip([(4.0 - root) / 10.0, (4.0 + root) / 10.0, 1.0]) {
            assert!((c - exact).abs() < 1e-15);
        }
        let weights = [-(13.0 + 7.0 * root) / 3.0, (-13.0 + 7.0 * root) / 3.0, -1.0 / 3.0];
        for (e, exact) in THREE.e.into_iter().zip(weights) {
            assert!((e - exact).abs() < 4e-15, "{e} {exact}");
        }
    }
}
