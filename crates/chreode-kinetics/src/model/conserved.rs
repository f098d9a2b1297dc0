//! What a model conserves: exact integer laws of its stoichiometry.

use chreode_linalg::left_null_space;

use super::{Coefficient, Derivative, Model};

impl Model {
    /// Conserved sums: states and integer weights, of which `Σ w y` never changes by itself. Only states that nothing but reactions
    /// of integer stoichiometry changes take part: these are amounts. None if the integers overflow.
    pub(crate) fn conserved(&self) -> Vec<Vec<(usize, i64)>> {
        if let Some(before) = &self.conserved_before {
            return before.clone();
        }
        let set_by_event =
            |q: usize| self.events.iter().any(|e| e.assignments.iter().any(|(assigned, _)| *assigned == q));
        let mut rows = Vec::new();
        let mut matrix = Vec::new();
        for (i, derivative) in self.derivatives.iter().enumerate() {
            let Derivative::Reactions(reactions, None) = derivative else { continue };
            if set_by_event(self.states[i]) {
                continue;
            }
            let mut row = vec![0_i64; self.laws.len()];
            let whole = reactions.iter().all(|(r, coefficient)| match coefficient {
                Coefficient::Number(n) if n.fract() == 0.0 && n.abs() < 1e6 => {
                    row[*r] += *n as i64;
                    true
                }
                _ => false,
            });
            if whole {
                rows.push(i);
                matrix.extend(row);
            }
        }
        let laws = left_null_space(&matrix, rows.len(), self.laws.len()).unwrap_or_default();
        let weighted = |law: Vec<i64>| rows.iter().copied().zip(law).filter(|(_, w)| *w != 0).collect();
        laws.into_iter().map(weighted).collect()
    }

    /// A conserved sum as text, `A + 2 B`.
    pub(crate) fn sum_text(&self, law: &[(usize, i64)]) -> String {
        let mut text = String::new();
        for (k, &(i, w)) in law.iter().enumerate() {
            let sign = match (k, w < 0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            text.push_str(sign);
            if w.abs() != 1 {
                text.push_str(&w.abs().to_string());
                text.push(' ');
            }
            text.push_str(&self.quantities[self.states[i]].id);
        }
        text
    }
}
