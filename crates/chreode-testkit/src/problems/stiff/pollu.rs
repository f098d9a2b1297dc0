//! Air pollution: 25 reactions of 20 species.

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase, product};

/// The chemical part of an air pollution model [Ver94].
#[derive(Debug, Clone, Copy, Default)]
pub struct Pollu;

/// Rate constant, reactants, and how many of which species are made or used up.
/// Species are numbered from 1, as in [Ver94].
struct Reaction(f64, &'static [usize], &'static [(usize, f64)]);

#[rustfmt::skip]
const REACTIONS: [Reaction; 25] = [
    Reaction(0.35, &[1], &[(1, -1.0), (2, 1.0), (3, 1.0)]),
    Reaction(26.6, &[2, 4], &[(2, -1.0), (4, -1.0), (1, 1.0)]),
    Reaction(1.23e4, &[2, 5], &[(2, -1.0), (5, -1.0), (1, 1.0), (6, 1.0)]),
    Reaction(8.6e-4, &[7], &[(7, -1.0), (5, 2.0), (8, 1.0)]),
    Reaction(8.2e-4, &[7], &[(7, -1.0), (8, 1.0)]),
    Reaction(1.5e4, &[7, 6], &[(7, -1.0), (6, -1.0), (5, 1.0), (8, 1.0)]),
    Reaction(1.3e-4, &[9], &[(9, -1.0), (5, 1.0), (8, 1.0), (10, 1.0)]),
    Reaction(2.4e4, &[9, 6], &[(9, -1.0), (6, -1.0), (11, 1.0)]),
    Reaction(1.65e4, &[11, 2], &[(11, -1.0), (2, -1.0), (1, 1.0), (10, 1.0), (12, 1.0)]),
    Reaction(9e3, &[11, 1], &[(11, -1.0), (1, -1.0), (13, 1.0)]),
    Reaction(0.022, &[13], &[(13, -1.0), (1, 1.0), (11, 1.0)]),
    Reaction(1.2e4, &[10, 2], &[(10, -1.0), (2, -1.0), (1, 1.0), (14, 1.0)]),
    Reaction(1.88, &[14], &[(14, -1.0), (5, 1.0), (7, 1.0)]),
    Reaction(1.63e4, &[1, 6], &[(1, -1.0), (6, -1.0), (15, 1.0)]),
    Reaction(4.8e6, &[3], &[(3, -1.0), (4, 1.0)]),
    Reaction(3.5e-4, &[4], &[(4, -1.0), (16, 1.0)]),
    Reaction(0.0175, &[4], &[(4, -1.0), (3, 1.0)]),
    Reaction(1e8, &[16], &[(16, -1.0), (6, 2.0)]),
    Reaction(4.44e11, &[16], &[(16, -1.0), (3, 1.0)]),
    Reaction(1240.0, &[17, 6], &[(17, -1.0), (6, -1.0), (5, 1.0), (18, 1.0)]),
    Reaction(2.1, &[19], &[(19, -1.0), (2, 1.0)]),
    Reaction(5.78, &[19], &[(19, -1.0), (1, 1.0), (3, 1.0)]),
    Reaction(0.0474, &[1, 4], &[(1, -1.0), (4, -1.0), (19, 1.0)]),
    Reaction(1780.0, &[19, 1], &[(19, -1.0), (1, -1.0), (20, 1.0)]),
    Reaction(3.12, &[20], &[(20, -1.0), (1, 1.0), (19, 1.0)]),
];

impl Pollu {
    pub(super) fn case() -> StiffCase {
        let mut y0 = [0.0; 20];
        for (species, value) in [(2, 0.2), (4, 0.04), (7, 0.1), (8, 0.3), (9, 0.01), (17, 0.007)] {
            y0[species - 1] = value;
        }
        let end = [
            5.6462554800227695e-2,
            1.3424841304223386e-1,
            4.1397343310994269e-9,
            5.5231402074843592e-3,
            2.0189772623021960e-7,
            1.4645418634939658e-7,
            7.7842491189979646e-2,
            3.2450753533960181e-1,
            7.4940133838804057e-3,
            1.6222931573015603e-8,
            1.1358638332570748e-8,
            2.2305059757213599e-3,
            2.0871628827986301e-4,
            1.3969210168401578e-5,
            8.9648848568982945e-3,
            4.3528463693301030e-18,
            6.8992196962634055e-3,
            1.0078030373659460e-4,
            1.7721465139699842e-6,
            5.6829432923163925e-5,
        ];
        StiffCase::new("POLLU", Self, &y0, 60.0, 1e-4, &end)
    }
}

impl Stiff for Pollu {
    fn dim(&self) -> usize {
        20
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        let (y, dy) = (&y[..20], &mut dy[..20]);
        dy.fill(S::c(0.0));
        for Reaction(k, reactants, changes) in &REACTIONS {
            let rate = reactants.iter().fold(S::c(*k), |rate, &s| rate * y[s - 1]);
            for &(species, change) in *changes {
                dy[species - 1] += S::c(change) * rate;
            }
        }
    }
    #[inline]
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        for Reaction(k, reactants, changes) in &REACTIONS {
            for &by in *reactants {
                let others = reactants.iter().filter(|&&s| s != by);
                let slope = others.fold(T::c(*k), |slope, &s| slope * y[s - 1]);
                for &(species, change) in *changes {
                    put(species - 1, by - 1, T::c(change) * slope);
                }
            }
        }
    }
    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        for Reaction(k, reactants, changes) in &REACTIONS {
            if let [first, second] = **reactants {
                for &(species, change) in *changes {
                    product(species - 1, [first - 1, second - 1], T::c(change * k), &mut put);
                }
            }
        }
    }
}
