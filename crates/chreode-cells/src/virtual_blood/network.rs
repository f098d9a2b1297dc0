//! Equations of virtual blood: an 11-factor myeloid network as an Itô SDE with state-dependent noise.
//!
//! The Boolean network is that of [KMST11]; Boolean rules become products of Hill functions in the manner of
//! [WKST09]. Rates, thresholds and noise are chosen for balanced fates, they are not measured biology. The
//! equations are written out in `docs/METHODS.md`.

use chreode_core::{Diffusion, FieldError, NoiseKind, Real, VectorField};

/// The factors, in the order of the state's coordinates.
pub const FACTORS: [&str; D] =
    ["Gata2", "Gata1", "Fog1", "EKLF", "Fli1", "SCL", "Cebpa", "Pu1", "cJun", "EgrNab", "Gfi1"];

/// Decay rates per day; the maximal production of a factor equals its decay rate, so that "on" is about 1.
pub const DECAY: [f64; D] = [1.5, 1.0, 2.0, 1.5, 1.5, 1.5, 1.0, 2.0, 2.0, 2.0, 1.0];

/// Number of factors.
pub const D: usize = 11;
/// Production that remains when every regulator is off, as a fraction of the maximum.
const LEAK: f64 = 0.05;
/// System size: the variance of the noise is `1/OMEGA` of the sum of production and decay.
const OMEGA: f64 = 40.0;
/// Below this level the production's share of the noise fades out, so that states stay positive.
const KAPPA: f64 = 0.1;
/// Trajectories computed at once, coordinate by coordinate, so that the compiler can vectorise.
const L: usize = 8;

/// An intervention on one factor, named by its index, from the start to the end of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Intervention {
    /// Production stops; what protein there is decays.
    KnockOut(usize),
    /// The factor is held at zero, the start included.
    Clamp(usize),
    /// The drift is raised by `decay * level`: the factor's level may rise to `1 + level`.
    OverExpress(usize, f64),
}

/// The network as an SDE: `dx_i = δ_i (F_i(x) - x_i) dt + g_i(x) dW_i`, time in days.
#[derive(Debug, Clone, Default)]
pub struct VirtualBlood {
    intervention: Option<Intervention>,
}

type Block<T> = [[T; L]; D];

/// `x^4 / (x^4 + K^4)`.
#[inline(always)]
fn hill<T: Real>(x: &[T; L], k: f64) -> [T; L] {
    let k4 = T::c(k * k * k * k);
    x.map(|x| {
        let x4 = (x * x) * (x * x);
        x4 / (x4 + k4)
    })
}

#[inline(always)]
fn and<T: Real>(a: [T; L], b: [T; L]) -> [T; L] {
    std::array::from_fn(|l| a[l] * b[l])
}

#[inline(always)]
fn not<T: Real>(a: [T; L]) -> [T; L] {
    a.map(|a| T::ONE - a)
}

#[inline(always)]
fn or<T: Real>(a: [T; L], b: [T; L]) -> [T; L] {
    not(and(not(a), not(b)))
}

impl VirtualBlood {
    /// The unperturbed network.
    pub fn wild_type() -> Self {
        Self::default()
    }

    /// The network under an intervention.
    pub fn with(intervention: Intervention) -> Self {
        Self { intervention: Some(intervention) }
    }

    /// Production `F_i(x)` as a fraction of its maximum, for `L` trajectories.
    #[inline(always)]
    fn production<T: Real>(&self, x: &Block<T>) -> Block<T> {
        let [gata2, gata1, fog1, eklf, fli1, scl, cebpa, pu1, cjun, egrnab, gfi1] = x;
        let h = |x| hill(x, 0.5);
        let (hgata1, hgata2, hfog1, hpu1) = (h(gata1), h(gata2), h(fog1), h(pu1));
        let boolean = [
            and(and(hill(gata2, 0.4), not(and(hgata1, hfog1))), not(hpu1)),
            and(or(or(hill(gata1, 0.4), hgata2), h(fli1)), not(hill(pu1, 0.6))),
            hill(gata1, 0.6),
            and(hgata1, not(h(fli1))),
            and(hgata1, not(h(eklf))),
            and(hgata1, not(hpu1)),
            and(hill(cebpa, 0.4), not(and(and(hgata1, hfog1), h(scl)))),
            and(and(or(h(cebpa), hill(pu1, 0.4)), not(hgata1)), not(hgata2)),
            and(hpu1, not(h(gfi1))),
            and(and(hill(pu1, 0.6), h(cjun)), not(h(gfi1))),
            and(hill(cebpa, 0.6), not(hill(egrnab, 0.3))),
        ];
        let mut f = boolean.map(|b| b.map(|b| T::c(LEAK) + T::c(1.0 - LEAK) * b));
        if let Some(Intervention::KnockOut(i)) = self.intervention {
            f[i] = [T::ZERO; L];
        }
        f
    }

    /// Sets `outs[k][row, i] = f[k](i, F_i, x_i)` for every row, in blocks of up to `L` rows.
    #[inline(always)]
    fn blocks<T: Real, const K: usize>(
        &self,
        y: &[T],
        outs: &mut [&mut [T]; K],
        f: impl Fn(usize, T, T) -> [T; K],
    ) {
        for (block, y) in y.chunks(L * D).enumerate() {
            let mut x = [[T::ZERO; L]; D];
            for (l, row) in y.chunks_exact(D).enumerate() {
                for i in 0..D {
                    x[i][l] = row[i];
                }
            }
            let production = self.production(&x);
            let mut values = [[[T::ZERO; K]; L]; D];
            for i in 0..D {
                for l in 0..L {
                    values[i][l] = f(i, production[i][l], x[i][l]);
                }
            }
            for l in 0..y.len() / D {
                for i in 0..D {
                    for k in 0..K {
                        outs[k][block * L * D + l * D + i] = values[i][l][k];
                    }
                }
            }
        }
    }

    /// What over-expression adds to the production of each factor.
    fn extra<T: Real>(&self) -> [T; D] {
        let mut extra = [T::ZERO; D];
        if let Some(Intervention::OverExpress(i, level)) = self.intervention {
            extra[i] = T::c(level);
        }
        extra
    }
}

/// `g² = δ/Ω (F x/(x + κ) + x)`: the chemical-Langevin variance, whose production part fades out near zero.
#[inline(always)]
fn noise<T: Real>(i: usize, f: T, x: T) -> T {
    (T::c(DECAY[i] / OMEGA) * (f * x / (x + T::c(KAPPA)) + x)).max(T::ZERO).sqrt()
}

impl<T: Real> VectorField<T> for VirtualBlood {
    fn dim(&self) -> usize {
        D
    }

    fn eval(&mut self, _t: f64, y: &[T], _p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let extra = self.extra::<T>();
        self.blocks(y, &mut [dy], |i, f, x| [T::c(DECAY[i]) * (f + extra[i] - x)]);
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for VirtualBlood {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Diagonal
    }

    fn diffusion(&mut self, _t: f64, y: &[T], _p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.blocks(y, &mut [g], |i, f, x| [noise(i, f, x)]);
        Ok(())
    }

    fn drift_and_diffusion(
        &mut self,
        _t: f64,
        y: &[T],
        _p: &[T],
        drift: &mut [T],
        g: &mut [T],
    ) -> Result<(), FieldError> {
        let extra = self.extra::<T>();
        self.blocks(y, &mut [drift, g], |i, f, x| [T::c(DECAY[i]) * (f + extra[i] - x), noise(i, f, x)]);
        Ok(())
    }
}

/// A cell's fate: the four mature types, or a state that is none of them (arrested, mixed, undecided).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// Erythrocyte.
    Ery,
    /// Megakaryocyte.
    Meg,
    /// Monocyte.
    Mono,
    /// Granulocyte.
    Gran,
    /// None of the four.
    Other,
}

impl Fate {
    /// All fates, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Ery, Self::Meg, Self::Mono, Self::Gran, Self::Other];

    /// Name for tables and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ery => "Ery",
            Self::Meg => "Meg",
            Self::Mono => "Mono",
            Self::Gran => "Gran",
            Self::Other => "other",
        }
    }

    /// The fate of a state `[11]`, by thresholds on the factors that define the attractors.
    ///
    /// On resolved wild-type cells at day 6 this agrees with the nearest attractor in 99.9 % of cells.
    pub fn of<T: Real>(x: &[T]) -> Self {
        let [_, gata1, _, eklf, fli1, _, cebpa, pu1, _, egrnab, gfi1] = std::array::from_fn(|i| x[i].f64());
        if gata1 >= pu1 {
            if gata1 < 0.4 || cebpa >= 0.5 || eklf.max(fli1) < 0.4 {
                Self::Other
            } else if eklf >= fli1 {
                Self::Ery
            } else {
                Self::Meg
            }
        } else if pu1 < 0.4 || egrnab.max(gfi1) < 0.4 {
            Self::Other
        } else if egrnab >= gfi1 {
            Self::Mono
        } else {
            Self::Gran
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN_START: [f64; D] = [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.8, 0.9, 0.1, 0.1, 0.1];

    /// Drift and diffusion at three states, from an independent implementation.
    #[test]
    fn test_vectors() {
        #[rustfmt::skip]
        let cases: [([f64; D], [f64; D], [f64; D]); 3] = [
            (MEAN_START,
             [-1.1557156951, 0.0931467281, -0.0985350810, -0.0727272785, -0.0727272785, -0.0748020145, 0.1441176434, -1.5358323492, 1.6319769582, -0.0974695472, 0.6628609684],
             [0.1952470150, 0.0701023117, 0.0791726688, 0.0686724764, 0.0686724764, 0.0684833908, 0.2024361432, 0.2257072709, 0.1670320687, 0.0792567389, 0.1097076210]),
            ([0.5; D],
             [-0.2959030931, 0.1443570111, -0.2818323790, -0.31875, -0.31875, -0.31875, 0.1397062997, -0.4940124858, -0.425, -0.7454580947, -0.4145385430],
             [0.1679593767, 0.1610096407, 0.1999045408, 0.1665364074, 0.1665364074, 0.1665364074, 0.1607084770, 0.1885242864, 0.1922996793, 0.1740774436, 0.1195008244]),
            ([0.2, 0.9, 0.7, 0.3, 0.6, 0.8, 0.4, 0.1, 0.05, 0.25, 0.15],
             [-0.2019389947, 0.0879589118, 0.2865979381, 0.0483020208, 0.3267892095, 0.1739827187, -0.1735558728, -0.0527351138, 0.0030107566, -0.3999998547, 0.0057181343],
             [0.0955737939, 0.2114924952, 0.2681311804, 0.1435031808, 0.2208808281, 0.2460344474, 0.1205358144, 0.0827091958, 0.0579519022, 0.1195228718, 0.0780113582]),
        ];
        // All three as one batch, and one of them repeated so that a block is partly filled twice.
        let y: Vec<f64> = (0..11).flat_map(|i| cases[i % 3].0).collect();
        let (mut dy, mut g) = (vec![0.0; y.len()], vec![0.0; y.len()]);
        let mut sde = VirtualBlood::wild_type();
        sde.drift_and_diffusion(0.0, &y, &[], &mut dy, &mut g).unwrap();
        let (mut dy_alone, mut g_alone) = (dy.clone(), g.clone());
        sde.eval(0.0, &y, &[], &mut dy_alone).unwrap();
        sde.diffusion(0.0, &y, &[], &mut g_alone).unwrap();
        assert!(dy == dy_alone && g == g_alone);
        for row in 0..11 {
            for i in 0..D {
                let (_, f_ref, g_ref) = cases[row % 3];
                assert!((dy[row * D + i] - f_ref[i]).abs() < 1e-9, "drift {row} {}", FACTORS[i]);
                assert!((g[row * D + i] - g_ref[i]).abs() < 1e-9, "diffusion {row} {}", FACTORS[i]);
            }
        }
    }

    /// The four attractors are fixed points of the drift and are classified as what they are.
    #[test]
    fn attractors() {
        #[rustfmt::skip]
        let attractors: [(Fate, [f64; D]); 4] = [
            (Fate::Ery,  [0.0500, 0.9737, 0.8803, 0.9356, 0.1170, 0.9382, 0.0501, 0.0500, 0.0501, 0.0500, 0.0500]),
            (Fate::Meg,  [0.0500, 0.9982, 0.8903, 0.1159, 0.9412, 0.9436, 0.0501, 0.0500, 0.0501, 0.0500, 0.0500]),
            (Fate::Mono, [0.0500, 0.0500, 0.0500, 0.0501, 0.0501, 0.0500, 0.9737, 0.9983, 0.9435, 0.8287, 0.0640]),
            (Fate::Gran, [0.0500, 0.0500, 0.0500, 0.0501, 0.0501, 0.0500, 0.9737, 0.9983, 0.1345, 0.0504, 0.8796]),
        ];
        for (fate, x) in attractors {
            assert_eq!(Fate::of(&x), fate);
            let mut dy = [0.0; D];
            VirtualBlood::wild_type().eval(0.0, &x, &[], &mut dy).unwrap();
            assert!(dy.iter().all(|v| v.abs() < 4e-4), "{fate:?} {dy:?}"); // the table has four digits
        }
        assert_eq!(Fate::of(&MEAN_START), Fate::Other);
    }

    #[test]
    fn interventions_act_on_one_factor() {
        let (mut wild, mut changed) = ([0.0; D], [0.0; D]);
        let x = [0.5; D];
        VirtualBlood::wild_type().eval(0.0, &x, &[], &mut wild).unwrap();
        VirtualBlood::with(Intervention::OverExpress(3, 0.2)).eval(0.0, &x, &[], &mut changed).unwrap();
        assert!((changed[3] - wild[3] - 1.5 * 0.2).abs() < 1e-12);
        VirtualBlood::with(Intervention::KnockOut(7)).eval(0.0, &x, &[], &mut changed).unwrap();
        assert!((changed[7] + 2.0 * 0.5).abs() < 1e-12);
        assert!((0..D).filter(|&i| i != 7).all(|i| changed[i] == wild[i]));
    }
}
