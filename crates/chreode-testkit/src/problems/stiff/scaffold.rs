//! A protein that others bind to, in all combinations: large, with a Jacobian that no band and no dense matrix suits.

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase, product};

const SITES: usize = 5;
/// Combinations of the states of all sites.
const COMPLEXES: usize = 243;
/// Complexes, free partners, free modified partners.
const SPECIES: usize = COMPLEXES + 2 * SITES;

/// Mass action in a network such as models of signalling have: a scaffold of five sites, each of which is empty, or holds its partner, or
/// holds it modified. Partners bind and leave, are modified (thirty times as fast beside a modified neighbour), leave when
/// modified, bind again, and lose the modification when free. Rate constants span nine orders of magnitude, and the amounts of
/// the scaffold and of each partner are conserved. The state is the complexes, site 0 first (`Σ s_k 3^k`), then the free
/// partners, then the free modified ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scaffold;

/// Binding, leaving, modification, leaving when modified, binding when modified, loss of the modification; for each site.
const BIND: [f64; SITES] = [1e4, 3e5, 20.0, 1e6, 500.0];
const LEAVE: [f64; SITES] = [10.0, 1e-2, 3.0, 1e2, 1e-3];
const MODIFY: [f64; SITES] = [0.1, 5.0, 40.0, 1e-2, 0.3];
const RELEASE: [f64; SITES] = [1.0, 0.05, 8.0, 0.3, 0.1];
const REBIND: [f64; SITES] = [2e3, 1e4, 5.0, 3e4, 80.0];
const LOSE: [f64; SITES] = [0.02, 0.5, 1e-3, 4.0, 0.1];
/// What a modified neighbour does to the modification.
const BESIDE: f64 = 30.0;
/// Amounts of the scaffold and of the partners.
const START: (f64, [f64; SITES]) = (0.1, [1.0, 0.3, 2.0, 0.05, 0.7]);

const fn place(site: usize) -> usize {
    3_usize.pow(site as u32)
}

/// The state of a site of a complex.
fn state(complex: usize, site: usize) -> usize {
    complex / place(site) % 3
}

/// The rate constant of the modification at a site of a complex.
fn modify(complex: usize, site: usize) -> f64 {
    let neighbour = state(complex, (site + SITES - 1) % SITES);
    if neighbour == 2 { BESIDE * MODIFY[site] } else { MODIFY[site] }
}

impl Scaffold {
    pub(super) fn case() -> StiffCase {
        let mut y0 = [0.0; SPECIES];
        y0[0] = START.0;
        y0[COMPLEXES..COMPLEXES + SITES].copy_from_slice(&START.1);
        let mut case = StiffCase::new("scaffold", Self, &y0, 100.0, 1e-6, &[]);
        case.end = END.to_vec();
        case
    }
}

impl Stiff for Scaffold {
    fn dim(&self) -> usize {
        SPECIES
    }

    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        dy.fill(S::c(0.0));
        for k in 0..SITES {
            let (step, free, modified) = (place(k), COMPLEXES + k, COMPLEXES + SITES + k);
            for empty in (0..COMPLEXES).filter(|&c| state(c, k) == 0) {
                let (bound, done) = (empty + step, empty + 2 * step);
                let on = S::c(BIND[k]) * y[empty] * y[free] - S::c(LEAVE[k]) * y[bound];
                let turn = S::c(modify(empty, k)) * y[bound];
                let off = S::c(RELEASE[k]) * y[done] - S::c(REBIND[k]) * y[empty] * y[modified];
                dy[empty] += off - on;
                dy[bound] += on - turn;
                dy[done] += turn - off;
                dy[free] -= on;
                dy[modified] += off;
            }
            let lost = S::c(LOSE[k]) * y[modified];
            dy[free] += lost;
            dy[modified] -= lost;
        }
    }

    const SPARSE: bool = true;

    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        for c in 0..COMPLEXES {
            // At most four entries for each site, and the diagonal.
            let mut entries = [(usize::MAX, T::ZERO); 4 * SITES + 1];
            let (mut len, mut own) = (1, T::ZERO);
            for k in 0..SITES {
                let (step, free, modified) = (place(k), COMPLEXES + k, COMPLEXES + SITES + k);
                let mut add = |row: usize, value: T| {
                    entries[len] = (row, value);
                    len += 1;
                };
                match state(c, k) {
                    0 => {
                        let (on, again) = (T::c(BIND[k]) * y[free], T::c(REBIND[k]) * y[modified]);
                        own -= on + again;
                        add(c + step, on);
                        add(c + 2 * step, again);
                        add(free, -on);
                        add(modified, -again);
                    }
                    1 => {
                        let (leave, turn) = (T::c(LEAVE[k]), T::c(modify(c, k)));
                        own -= leave + turn;
                        add(c - step, leave);
                        add(c + step, turn);
                        add(free, leave);
                    }
                    _ => {
                        let off = T::c(RELEASE[k]);
                        own -= off;
                        add(c - 2 * step, off);
                        add(modified, off);
                    }
                }
            }
            entries[0] = (c, own);
            entries[..len].sort_unstable_by_key(|e| e.0);
            entries[..len].iter().for_each(|&(row, value)| put(row, c, value));
        }
        for (rate, holds, first) in [(BIND, 1, COMPLEXES), (REBIND, 2, COMPLEXES + SITES)] {
            for k in 0..SITES {
                let (rate, column, mut sum) = (T::c(rate[k]), first + k, T::ZERO);
                for c in 0..COMPLEXES {
                    let held = state(c, k);
                    if held == 0 {
                        sum += rate * y[c];
                        put(c, column, -(rate * y[c]));
                    } else if held == holds {
                        put(c, column, rate * y[c - holds * place(k)]);
                    }
                }
                let lost = T::c(if holds == 2 { LOSE[k] } else { 0.0 });
                if holds == 2 {
                    put(COMPLEXES + k, column, lost);
                }
                put(column, column, -(sum + lost));
            }
        }
    }

    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        for k in 0..SITES {
            let (step, free, modified) = (place(k), COMPLEXES + k, COMPLEXES + SITES + k);
            let (bind, rebind) = (T::c(BIND[k]), T::c(REBIND[k]));
            for empty in (0..COMPLEXES).filter(|&c| state(c, k) == 0) {
                for (partner, rate, held) in
                    [(free, bind, empty + step), (modified, rebind, empty + 2 * step)]
                {
                    for (row, sign) in [(empty, -T::ONE), (held, T::ONE), (partner, -T::ONE)] {
                        product(row, [empty, partner], sign * rate, &mut put);
                    }
                }
            }
        }
    }
}

/// By Radau of orders 13 and 9 at rtol 1e-13 and by `Rodas5P` at 1e-11, which agree to what is given here (to 1e-12 of all species above
/// 1e-6): methods and Newton iterations of which none shares its formulas with another.
const END: [(usize, f64); 6] = [
    (0, 3.303_020_656_529e-15),
    (121, 4.947_487_195_4e-12),
    (242, 2.541_470_093_374e-2),
    (COMPLEXES, 1.389_934_273_307e-1),
    (COMPLEXES + 3, 4.699_346_696_089e-7),
    (COMPLEXES + 2 * SITES - 1, 8.934_889_059_351e-2),
];
