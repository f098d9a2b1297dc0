//! What befalls single lanes: saved states, ends, failures, and the next trajectory.

use chreode_core::Dynamics;

use super::columns::V;
use super::ensemble::Tile;
use super::group::{Group, LANES, Seat, Step};
use crate::SolveError;
use crate::erk::tableau::DenseOutput;
use crate::erk::tableaus::tsit5::TSIT5;
use crate::error::check_finite;
use crate::options::StepSize;
use crate::stats::{Stats, Work};
use crate::stops::Stops;

/// Coefficients of the weights of Tsit5's dense output.
const DENSE: &[&[f64]] = match TSIT5.dense {
    DenseOutput::Weights(rows) => rows,
    _ => panic!("the lanes' method has dense output of its own"),
};

impl<D: Dynamics, const ISA: u8> Group<'_, D, ISA> {
    /// Deals with the lanes in which something happened at this step.
    #[inline(always)]
    pub(super) fn events(&mut self, step: &mut Step<ISA>) {
        let mut any = false;
        let mut happened = [false; LANES];
        for l in 0..LANES {
            let t_end = step.t_end[l];
            let saves = self.next_save[l] <= t_end * self.sign[l];
            let stops = self.stop[l] <= t_end * self.sign[l];
            let fails = step.h[l] < least_step(self.t[l]);
            let stands = t_end == self.t[l];
            let tired = self.accepted[l] + self.rejected[l] >= self.max_steps[l];
            happened[l] =
                self.active.0[l] & (if step.accept.0[l] { saves | stops } else { fails } | tired | stands);
            any |= happened[l];
        }
        if any {
            for l in 0..LANES {
                if happened[l] {
                    self.event(l, step);
                }
            }
        }
    }

    /// Saves what is due, crosses a discontinuity, and empties the lane if its run is over.
    #[inline(never)]
    fn event(&mut self, l: usize, step: &mut Step<ISA>) {
        let Some(row) = self.seats[l].row else { return };
        let d = self.d;
        let t = self.t[l];
        let stands = step.t_end[l] == t;
        let accepted = step.accept.0[l] && !stands;
        let mut crosses = false;
        if accepted {
            self.save(l, row, step);
            if let Some(after) = self.seats[l].stops.cross(step.t_end[l]) {
                (crosses, step.t_end[l]) = (true, after);
                self.save_end(l, row, after);
            }
        }
        let t_end = step.t_end[l];
        let (taken, refused) = (self.accepted[l], self.rejected[l]);
        let outcome = if stands {
            Err(SolveError::StepSizeTooSmall { t, h: self.h[l], h_min: least_step(t) })
        } else if accepted && t_end == self.t1[l] {
            Ok(Stats {
                work: Work {
                    evals: 2 * self.seats[l].starts + 6 * (taken + refused) as u64,
                    ..Work::default()
                },
                accepted: taken as u64,
                rejected: refused as u64,
                h_next: self.sign[l] * step.h[l],
                ..Stats::default()
            })
        } else if !accepted && step.h[l] < least_step(t) {
            Err(self.failure(l, row, step))
        } else if taken + refused >= self.max_steps[l] {
            let t = if accepted { t_end } else { t };
            Err(SolveError::TooManySteps { t, max_steps: self.max_steps[l] as u64 })
        } else {
            if crosses {
                self.start_anew(l, row);
            }
            return;
        };
        let from = if accepted { &self.y1 } else { &self.y };
        for (y, from) in self.tile.y[row * d..(row + 1) * d].iter_mut().zip(from) {
            *y = from[l];
        }
        self.tile.outcomes[row] = outcome;
        self.seats[l].row = None;
    }

    /// The states at save times up to the end of an accepted step.
    fn save(&mut self, l: usize, row: usize, step: &Step<ISA>) {
        let (d, sign) = (self.d, self.sign[l]);
        let (t, t_end, h) = (self.t[l], step.t_end[l], step.dt[l]);
        let options = self.tile.options.of(self.tile.first + row);
        let mut i = self.seats[l].saves;
        while let Some(&at) = options.save_at.get(i).filter(|&&at| sign * (at - t_end) <= 0.0) {
            let out = self.tile.save(row, i, d);
            if at == t_end {
                for (out, y1) in out.iter_mut().zip(&self.y1) {
                    *out = y1[l];
                }
            } else {
                let theta = (at - t) / (t_end - t);
                for (j, out) in out.iter_mut().enumerate() {
                    let mut sum = 0.0;
                    for (m, row) in DENSE.iter().enumerate() {
                        let w = theta * row.iter().rev().fold(0.0, |s, &c| s * theta + c);
                        sum += w * self.k[m * d + j][l];
                    }
                    *out = self.y[j][l] + h * sum;
                }
            }
            i += 1;
        }
        self.seats[l].saves = i;
        self.next_stops(l, row);
    }

    /// The end of an accepted step at save times up to `until`, across a discontinuity.
    fn save_end(&mut self, l: usize, row: usize, until: f64) {
        let options = self.tile.options.of(self.tile.first + row);
        let (d, sign) = (self.d, self.sign[l]);
        while options.save_at.get(self.seats[l].saves).is_some_and(|&at| sign * (at - until) <= 0.0) {
            let out = self.tile.save(row, self.seats[l].saves, d);
            out.iter_mut().zip(&self.y1).for_each(|(out, y1)| *out = y1[l]);
            self.seats[l].saves += 1;
        }
    }

    /// Behind a discontinuity, as at the start, but for a first step that was given.
    fn start_anew(&mut self, l: usize, row: usize) {
        self.seats[l].starts += 1;
        self.fresh.0[l] = true;
        self.h0[l] = 0.0;
        self.before.iter_mut().for_each(|before| before[l] = 0.0);
        self.most[l] = self.max_factor[l];
        self.next_stops(l, row);
    }

    /// Where the lane saves and stops next.
    fn next_stops(&mut self, l: usize, row: usize) {
        let options = self.tile.options.of(self.tile.first + row);
        let save = options.save_at.get(self.seats[l].saves).copied();
        self.next_save[l] = save.map_or(f64::INFINITY, |t| self.sign[l] * t);
        self.stop[l] = self.sign[l] * self.seats[l].stops.next(save);
    }

    /// Why no step size would do.
    fn failure(&self, l: usize, row: usize, step: &Step<ISA>) -> SolveError {
        let (t, t_end) = (self.t[l], step.t_end[l]);
        let trajectory = (self.tile.first + row) as u64;
        if let Some(coordinate) = self.y1.iter().position(|y| !y[l].is_finite()) {
            return SolveError::NonFinite { t: t_end, trajectory, coordinate };
        }
        if let Some(at) = self.k.iter().position(|k| !k[l].is_finite()) {
            let (what, coordinate) = ("the field", at % self.d);
            return SolveError::NonFiniteDerivative { what, t: t_end, trajectory, coordinate };
        }
        SolveError::StepSizeTooSmall { t, h: step.h[l], h_min: least_step(t) }
    }

    /// Gives every lane whose run is over the next one.
    #[inline(always)]
    pub(super) fn refill_empty(&mut self) {
        for l in 0..LANES {
            if self.active.0[l] && self.seats[l].row.is_none() {
                self.refill(l);
            }
        }
    }

    /// Puts the next trajectory that has somewhere to go into a lane. Without one, the lane goes on in an
    /// arbitrary state that nobody looks at.
    #[inline(never)]
    pub(super) fn refill(&mut self, l: usize) {
        let d = self.d;
        self.active.0[l] = false;
        while self.next < self.tile.outcomes.len() {
            let row = self.next;
            self.next += 1;
            if let Some(outcome) = start(&mut self.tile, row, d) {
                self.tile.outcomes[row] = outcome;
                continue;
            }
            let i = self.tile.first + row;
            let ((t0, t1), options) = (self.tile.span.of(i), self.tile.options.of(i));
            let mut stops = Stops::new(&options, (t0, t1));
            let t0 = stops.cross(t0).unwrap_or(t0);
            let saves = usize::from(options.save_at.first() == Some(&self.tile.span.of(i).0));
            self.seats[l] = Seat { row: Some(row), saves, stops, starts: 1 };
            (self.active.0[l], self.fresh.0[l]) = (true, true);
            self.sign[l] = if t1 >= t0 { 1.0 } else { -1.0 };
            (self.t[l], self.t1[l]) = (t0, t1);
            self.next_stops(l, row);
            let (h0, h_max) = match options.step {
                StepSize::Adaptive { h0, h_max } => (h0.unwrap_or(0.0), h_max),
                StepSize::Fixed(h) => (h, h), // refused by `solve_lanes`
            };
            (self.h0[l], self.h_max[l]) = (h0, h_max);
            let c = options.controller.unwrap_or_default();
            (self.min_factor[l], self.max_factor[l]) = (c.min_factor, c.max_factor);
            let order = f64::from(TSIT5.embedded_order + 1);
            self.aim[l] = order * c.safety.ln();
            for (gain, g) in self.gains.iter_mut().zip(c.gains) {
                gain[l] = g / order;
            }
            self.before.iter_mut().for_each(|before| before[l] = 0.0);
            self.most[l] = c.max_factor;
            (self.accepted[l], self.rejected[l]) = (0.0, 0.0);
            self.max_steps[l] = options.max_steps as f64;
            for j in 0..self.tolerance.rtol.len() {
                self.tolerance.rtol[j][l] = options.tolerance.rtol.of(j);
                self.tolerance.atol[j][l] = options.tolerance.atol.of(j);
            }
            set(&mut self.y, l, self.tile.state(row, d));
            let np = self.p.len();
            let p = self.tile.p;
            set(&mut self.p, l, if p.len() == np { p } else { &p[i * np..(i + 1) * np] });
            return;
        }
    }
}

fn set<const ISA: u8>(to: &mut [V<ISA>], l: usize, from: &[f64]) {
    for (to, &from) in to.iter_mut().zip(from) {
        to[l] = from;
    }
}

/// No step is shorter.
pub(super) fn least_step(t: f64) -> f64 {
    (16.0 * f64::EPSILON * t.abs()).max(1e-290)
}

/// Saves the start state if asked for. The outcome of a trajectory that takes no step.
fn start<D>(tile: &mut Tile<'_, D>, row: usize, d: usize) -> Option<Result<Stats, SolveError>> {
    let i = tile.first + row;
    let ((t0, t1), options) = (tile.span.of(i), tile.options.of(i));
    let y = &tile.y[row * d..(row + 1) * d];
    if let Err(e) = check_finite(y, d, i as u64, t0) {
        return Some(Err(e));
    }
    if options.save_at.first() == Some(&t0) {
        let at = (tile.starts[i] - tile.starts[tile.first]) * d;
        tile.saved[at..at + d].copy_from_slice(y);
    }
    // Behind a discontinuity at the start there may be nothing left.
    if Stops::new(&options, (t0, t1)).cross(t0).unwrap_or(t0) == t1 {
        let y = &tile.y[row * d..(row + 1) * d];
        let saved = &mut tile.saved[(tile.starts[i] - tile.starts[tile.first]) * d..];
        saved[..options.save_at.len() * d].chunks_exact_mut(d).for_each(|to| to.copy_from_slice(y));
        return Some(Ok(Stats::default()));
    }
    (options.max_steps == 0).then_some(Err(SolveError::TooManySteps { t: t0, max_steps: 0 }))
}
