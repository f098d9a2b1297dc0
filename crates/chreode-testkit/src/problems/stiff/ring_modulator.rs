//! An electrical circuit that mixes two signals: stiff, driven, and oscillating fast.

use std::f64::consts::PI;

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase};

/// The ring modulator [MM08] with parasitic capacity 2e-12 F: voltages, then currents. Not autonomous.
#[derive(Debug, Clone, Copy, Default)]
pub struct RingModulator;

const C: f64 = 1.6e-8;
const C_S: f64 = 2e-12;
const C_P: f64 = 1e-8;
const R: f64 = 25e3;
const R_P: f64 = 50.0;
const L_H: f64 = 4.45;
const L_S1: f64 = 0.002;
const L_S2: f64 = 5e-4;
/// Resistances of the three transformer sides and of what drives and loads the circuit.
const R_G1: f64 = 36.3;
const R_G2: f64 = 17.3;
const R_I: f64 = 50.0;
const R_C: f64 = 600.0;
/// A diode's current is `GAMMA (exp(DELTA u) - 1)`.
const GAMMA: f64 = 40.67286402e-9;
const DELTA: f64 = 17.7493332;

/// Linear part: row, column, coefficient.
const LINEAR: [(usize, usize, f64); 33] = [
    (0, 7, 1.0 / C),
    (0, 9, -0.5 / C),
    (0, 10, 0.5 / C),
    (0, 13, 1.0 / C),
    (0, 0, -1.0 / (R * C)),
    (1, 8, 1.0 / C),
    (1, 11, -0.5 / C),
    (1, 12, 0.5 / C),
    (1, 14, 1.0 / C),
    (1, 1, -1.0 / (R * C)),
    (2, 9, 1.0 / C_S),
    (3, 10, -1.0 / C_S),
    (4, 11, 1.0 / C_S),
    (5, 12, -1.0 / C_S),
    (6, 6, -1.0 / (R_P * C_P)),
    (7, 0, -1.0 / L_H),
    (8, 1, -1.0 / L_H),
    (9, 0, 0.5 / L_S2),
    (9, 2, -1.0 / L_S2),
    (9, 9, -R_G2 / L_S2),
    (10, 0, -0.5 / L_S2),
    (10, 3, 1.0 / L_S2),
    (10, 10, -R_G2 / L_S2),
    (11, 1, 0.5 / L_S2),
    (11, 4, -1.0 / L_S2),
    (11, 11, -R_G2 / L_S2),
    (12, 1, -0.5 / L_S2),
    (12, 5, 1.0 / L_S2),
    (12, 12, -R_G2 / L_S2),
    (13, 0, -1.0 / L_S1),
    (13, 13, -(R_I + R_G1) / L_S1),
    (14, 1, -1.0 / L_S1),
    (14, 14, -(R_C + R_G1) / L_S1),
];

/// Coordinates and coefficients.
type Terms = [(usize, f64); 3];

/// A diode: how its voltage depends on the state and on the second signal, and whose derivatives its current enters.
struct Diode(Terms, f64, Terms);

#[rustfmt::skip]
const DIODES: [Diode; 4] = [
    Diode([(2, 1.0), (4, -1.0), (6, -1.0)], -1.0, [(2, -1.0 / C_S), (4, 1.0 / C_S), (6, 1.0 / C_P)]),
    Diode([(3, -1.0), (5, 1.0), (6, -1.0)], -1.0, [(3, 1.0 / C_S), (5, -1.0 / C_S), (6, 1.0 / C_P)]),
    Diode([(3, 1.0), (4, 1.0), (6, 1.0)], 1.0, [(3, -1.0 / C_S), (4, -1.0 / C_S), (6, -1.0 / C_P)]),
    Diode([(2, -1.0), (5, -1.0), (6, 1.0)], 1.0, [(2, 1.0 / C_S), (5, 1.0 / C_S), (6, -1.0 / C_P)]),
];

#[inline(always)]
fn second_signal<S: Number>(t: S) -> S {
    (t * (2e4 * PI)).sin() * 2.0
}

impl RingModulator {
    /// Computed in 113-bit arithmetic by linearly implicit Euler steps, extrapolated to order 12, with steps controlled to 1e-13. In double
    /// precision, `Radau13` at 1e-14 agrees with it to 3e-12 in every coordinate, and `Radau9` at 1e-13 to 1e-11: eleven digits
    /// are confirmed. The end point that [MM08] publishes differs by up to 3e-10 of a coordinate and `floor`.
    pub(super) fn case() -> StiffCase {
        let end = [
            -0.023390573584371757,
            -0.007367485486008321,
            0.25829567099847645,
            -0.4064465720595216,
            -0.4039455664462639,
            0.26079667661173417,
            0.11067618612732946,
            2.9399043424330057e-07,
            -2.8400299330663957e-08,
            0.0007267198267292064,
            0.0007929487197022555,
            -0.0007255283495765155,
            -0.0007941401968549463,
            7.088495416875652e-05,
            2.3900590752771342e-05,
        ];
        StiffCase::new("ring modulator", Self, &[0.0; 15], 1e-3, 1e-4, &end)
    }
}

impl Stiff for RingModulator {
    fn dim(&self) -> usize {
        15
    }
    #[inline(always)]
    fn f<S: Number>(&self, t: S, y: &[S], dy: &mut [S]) {
        let (y, dy) = (&y[..15], &mut dy[..15]);
        dy.fill(S::c(0.0));
        for (i, j, a) in LINEAR {
            dy[i] += S::c(a) * y[j];
        }
        dy[13] += (t * (2e3 * PI)).sin() * 0.5 / L_S1;
        for Diode(voltage, of_signal, into) in &DIODES {
            let driven = second_signal(t) * *of_signal;
            let u = voltage.iter().fold(driven, |u, &(j, a)| u + S::c(a) * y[j]);
            let current = S::c(GAMMA) * ((S::c(DELTA) * u).exp() - S::c(1.0));
            for &(i, a) in into {
                dy[i] += S::c(a) * current;
            }
        }
    }
    fn jacobian<T: Real>(&self, t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        for (i, j, a) in LINEAR {
            put(i, j, T::c(a));
        }
        for Diode(voltage, of_signal, into) in &DIODES {
            let driven = T::c(of_signal * second_signal(t));
            let u = voltage.iter().fold(driven, |u, &(j, a)| u + T::c(a) * y[j]);
            let slope = T::c(GAMMA * DELTA) * (T::c(DELTA) * u).exp();
            for &(i, a) in into {
                for &(j, b) in voltage {
                    put(i, j, T::c(a * b) * slope);
                }
            }
        }
    }
    fn second<T: Real>(&self, t: f64, y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        for Diode(voltage, of_signal, into) in &DIODES {
            let driven = T::c(of_signal * second_signal(t));
            let u = voltage.iter().fold(driven, |u, &(j, a)| u + T::c(a) * y[j]);
            let curvature = T::c(GAMMA * DELTA * DELTA) * (T::c(DELTA) * u).exp();
            for &(i, a) in into {
                for &(j, b) in voltage {
                    for &(k, c) in voltage {
                        put(i, [j, k], T::c(a * b * c) * curvature);
                    }
                }
            }
        }
    }
}
