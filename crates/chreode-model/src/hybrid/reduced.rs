//! Coordinates without the species that conservation laws determine.

use std::marker::PhantomData;

use chreode_core::{FieldError, Real, VectorField, Vjp};

use super::field::Hybrid;
use super::laws::Rates;
use crate::{ConfigError, ModelError};

/// A field in the coordinates that are left when each conservation law has given one species away.
///
/// Dependent species follow from the totals, `x = M totals + N z`, so that the laws hold to rounding however long the
/// solution, and the Jacobian is regular at rest. Totals are the last parameters: `p = [field's, totals]`, one set for all
/// trajectories; their gradient is that of the start state along the laws.
///
/// # Shapes
/// States `z` `[n, d - laws]`.
#[derive(Debug, Clone)]
pub struct Reduced<T, F> {
    field: F,
    d: usize,
    kept: Vec<usize>,
    dropped: Vec<usize>,
    /// `W`, `[laws, d]`, each row a law's weights times volumes.
    laws: Vec<T>,
    /// `[dropped, laws]` and `[dropped, kept]`.
    from_totals: Vec<T>,
    from_kept: Vec<T>,
    x: Vec<T>,
    dx: Vec<T>,
    x_bar: Vec<T>,
    number: PhantomData<T>,
}

impl<T: Real, R: Rates<T>> Hybrid<T, R> {
    /// The same network without its dependent species.
    ///
    /// # Errors
    /// [`ConfigError::Conservation`] if the integers of a law overflow.
    pub fn reduced(self) -> Result<Reduced<T, Self>, ConfigError> {
        let volumes = self.config().volumes();
        let laws = self.config().conservation_laws()?;
        Ok(Reduced::new(self, &laws, &volumes))
    }
}

impl<T: Real, F: VectorField<T>> Reduced<T, F> {
    /// A field whose `Σ w_i V_i x_i` is conserved for each of the independent integer laws `w`, `[d]`, and volumes `V`, `[d]`.
    ///
    /// # Panics
    /// If a law or the volumes do not have one number a coordinate.
    pub fn new(field: F, laws: &[Vec<i64>], volumes: &[f64]) -> Self {
        let (d, q) = (field.dim(), laws.len());
        assert!(
            volumes.len() == d && laws.iter().all(|w| w.len() == d),
            "laws and volumes are of {d} species"
        );
        // [W | I] in amounts becomes reduced: column `dropped[l]` is one in row `l` alone. Small integers stay exact.
        let mut table: Vec<Vec<f64>> = laws.iter().map(|w| w.iter().map(|&w| w as f64).collect()).collect();
        for (l, row) in table.iter_mut().enumerate() {
            row.extend((0..q).map(|k| f64::from(u8::from(k == l))));
        }
        let mut dropped = Vec::new();
        let mut l = 0;
        while l < table.len() {
            // The entry nearest to one in size, of the species with the fewest laws: then the next in order.
            let live = (0..d).filter(|&i| table[l][i].abs() > 1e-9);
            let Some(i) = live.min_by(|&a, &b| off(table[l][a]).total_cmp(&off(table[l][b]))) else {
                table.remove(l); // a law that follows from the others
                continue;
            };
            let pivot = table[l][i];
            table[l].iter_mut().for_each(|x| *x /= pivot);
            let top = table[l].clone();
            for (k, row) in table.iter_mut().enumerate() {
                let times = row[i];
                if k != l && times != 0.0 {
                    row.iter_mut().zip(&top).for_each(|(x, top)| *x -= times * top);
                }
            }
            dropped.push(i);
            l += 1;
        }
        let kept: Vec<usize> = (0..d).filter(|i| !dropped.contains(i)).collect();
        let mut from_totals = Vec::new();
        let mut from_kept = Vec::new();
        for (row, &i) in table.iter().zip(&dropped) {
            from_totals.extend(row[d..].iter().map(|x| T::c(x / volumes[i])));
            from_kept.extend(kept.iter().map(|&k| T::c(-row[k] * volumes[k] / volumes[i])));
        }
        let weights = laws.iter().flat_map(|w| w.iter().zip(volumes).map(|(&w, v)| T::c(w as f64 * v)));
        Self {
            d,
            kept,
            laws: weights.collect(),
            from_totals,
            from_kept,
            dropped,
            field,
            x: Vec::new(),
            dx: Vec::new(),
            x_bar: Vec::new(),
            number: PhantomData,
        }
    }

    /// The field in all species.
    pub fn field(&self) -> &F {
        &self.field
    }

    /// The species that are kept, in the order of the coordinates.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Number of totals.
    pub fn laws(&self) -> usize {
        self.laws.len() / self.d
    }

    /// The totals of one full state `x`, `[d]`: the last parameters.
    pub fn totals(&self, x: &[T]) -> Vec<T> {
        self.laws.chunks_exact(self.d).map(|w| w.iter().zip(x).map(|(&w, &x)| w * x).sum()).collect()
    }

    /// The coordinates `z`, `[n, kept]`, of full states, `[n, d]`.
    pub fn coordinates(&self, x: &[T]) -> Vec<T> {
        x.chunks_exact(self.d).flat_map(|x| self.kept.iter().map(|&i| x[i])).collect()
    }

    /// The full states, `[n, d]`, of coordinates `z`, `[n, kept]`, with these totals.
    ///
    /// # Errors
    /// [`ModelError::Length`].
    pub fn states(&self, z: &[T], totals: &[T]) -> Result<Vec<T>, ModelError> {
        let width = self.kept.len();
        if totals.len() != self.laws() {
            return Err(ModelError::Length { what: "totals", found: totals.len(), expected: self.laws() });
        }
        let n = z.len().checked_div(width).unwrap_or(1);
        if z.len() != n * width {
            return Err(ModelError::Length { what: "z", found: z.len(), expected: n * width });
        }
        let mut x = vec![T::ZERO; n * self.d];
        self.expand(z, totals, &mut x);
        Ok(x)
    }

    fn expand(&self, z: &[T], totals: &[T], x: &mut [T]) {
        let (width, q) = (self.kept.len(), self.laws());
        for (r, x) in x.chunks_exact_mut(self.d).enumerate() {
            let z = &z[r * width..(r + 1) * width];
            for (&i, &z) in self.kept.iter().zip(z) {
                x[i] = z;
            }
            for (l, &i) in self.dropped.iter().enumerate() {
                let of_totals = self.from_totals[l * q..(l + 1) * q].iter().zip(totals);
                let of_kept = self.from_kept[l * width..(l + 1) * width].iter().zip(z);
                x[i] = of_totals.chain(of_kept).map(|(&m, &x)| m * x).sum();
            }
        }
    }

    /// Fills the scratch with the full states; says how many rows there are.
    fn prepare(&mut self, t: f64, z: &[T], p: &[T], like_z: usize) -> Result<usize, FieldError> {
        let width = self.kept.len();
        if width == 0 || !z.len().is_multiple_of(width) || like_z != z.len() {
            return Err(FieldError::Fatal { t, what: "reduced: a slice of states is not [n, kept]" });
        }
        if p.len() != self.n_params() {
            return Err(FieldError::Fatal { t, what: "reduced: the parameters are not [field's, totals]" });
        }
        let n = z.len() / width;
        let mut x = std::mem::take(&mut self.x);
        x.resize(n * self.d, T::ZERO);
        self.expand(z, &p[p.len() - self.laws()..], &mut x);
        self.x = x;
        self.dx.resize(n * self.d, T::ZERO);
        self.x_bar.resize(n * self.d, T::ZERO);
        Ok(n)
    }
}

/// How far a size is from one.
fn off(x: f64) -> f64 {
    x.abs().ln().abs()
}

impl<T: Real, F: VectorField<T>> VectorField<T> for Reduced<T, F> {
    fn dim(&self) -> usize {
        self.kept.len()
    }
    fn n_params(&self) -> usize {
        self.field.n_params() + self.laws()
    }
    fn eval(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        self.prepare(t, z, p, dz.len())?;
        let own = self.field.n_params();
        self.field.eval(t, &self.x, &p[..own], &mut self.dx)?;
        for (dx, dz) in self.dx.chunks_exact(self.d).zip(dz.chunks_exact_mut(self.kept.len())) {
            dz.iter_mut().zip(&self.kept).for_each(|(dz, &i)| *dz = dx[i]);
        }
        Ok(())
    }
}

impl<T: Real, F: Vjp<T>> Vjp<T> for Reduced<T, F> {
    fn vjp(
        &mut self,
        t: f64,
        z: &[T],
        p: &[T],
        lambda: &[T],
        z_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.prepare(t, z, p, lambda.len())?;
        if z_bar.len() != z.len() || p_bar.len() != p.len() {
            return Err(FieldError::Fatal {
                t,
                what: "reduced: an adjoint has another length than its value",
            });
        }
        let (width, q, own) = (self.kept.len(), self.laws(), self.field.n_params());
        self.dx.fill(T::ZERO); // now the adjoint of the full derivative
        for (bar, lambda) in self.dx.chunks_exact_mut(self.d).zip(lambda.chunks_exact(width)) {
            lambda.iter().zip(&self.kept).for_each(|(&lambda, &i)| bar[i] = lambda);
        }
        let (own_bar, totals_bar) = p_bar.split_at_mut(own);
        self.field.vjp(t, &self.x, &p[..own], &self.dx, &mut self.x_bar, own_bar)?;
        for (x_bar, z_bar) in self.x_bar.chunks_exact(self.d).zip(z_bar.chunks_exact_mut(width)) {
            z_bar.iter_mut().zip(&self.kept).for_each(|(z_bar, &i)| *z_bar = x_bar[i]);
            for (l, &i) in self.dropped.iter().enumerate() {
                for (z_bar, &m) in z_bar.iter_mut().zip(&self.from_kept[l * width..]) {
                    *z_bar += m * x_bar[i];
                }
                for (bar, &m) in totals_bar.iter_mut().zip(&self.from_totals[l * q..]) {
                    *bar += m * x_bar[i];
                }
            }
        }
        Ok(())
    }
}
