//! Jacobians of fields that have products only.

use chreode_core::{FieldError, Jacobian, Jvp, Real, VectorField, Vjp};

macro_rules! adaptor {
    ($(#[$doc:meta])* $Name:ident of $Trait:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $Name<F, T> {
            f: F,
            /// The state, once a direction: `[d, d]`.
            states: Vec<T>,
            /// The identity, `[d, d]`.
            directions: Vec<T>,
            /// Products, `[d, d]`, or derivatives with respect to parameters, `[n_params]`, that nobody asked for.
            scratch: Vec<T>,
        }

        impl<T: Real, F: $Trait<T>> VectorField<T> for $Name<F, T> {
            fn dim(&self) -> usize {
                self.f.dim()
            }
            fn n_params(&self) -> usize {
                self.f.n_params()
            }
            fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
                self.f.eval(t, y, p, dy)
            }
        }

        impl<T: Real, F: $Trait<T>> $Name<F, T> {
            fn with_scratch(f: F, scratch: usize) -> Self {
                let d = f.dim();
                let mut directions = vec![T::ZERO; d * d];
                directions.iter_mut().step_by(d + 1).for_each(|x| *x = T::ONE);
                Self { f, states: vec![T::ZERO; d * d], directions, scratch: vec![T::ZERO; scratch] }
            }

            fn set_state(&mut self, y: &[T]) {
                self.states.chunks_exact_mut(y.len().max(1)).for_each(|row| row.copy_from_slice(y));
            }
        }
    };
}

adaptor! {
    /// The dense Jacobian of a field with Jacobian-vector products, by one call with the `d` unit vectors.
    JvpJacobian of Jvp
}

adaptor! {
    /// The dense Jacobian of a field with vector-Jacobian products (a neural one of `chreode-model`), by one call with the `d`
    /// unit vectors. Parameters beyond the field's own number are not given to it.
    ///
    /// ```
    /// use chreode_solve::{VjpJacobian, divergence};
    /// use chreode_testkit::{LotkaVolterra, SmoothField};
    /// let f = VjpJacobian::new(SmoothField(LotkaVolterra));
    /// // (p0 - p1 y1) + (p2 y0 - p3) at (1, 2).
    /// assert_eq!(divergence(&f, &[1.5, 1.0, 0.75, 3.0], &[0.0], &[1.0, 2.0])?, [-2.75]);
    /// # Ok::<(), chreode_solve::DiagnoseError>(())
    /// ```
    VjpJacobian of Vjp
}

impl<T: Real, F: Jvp<T>> JvpJacobian<F, T> {
    /// Of this field.
    pub fn new(f: F) -> Self {
        let d = f.dim();
        Self::with_scratch(f, d * d)
    }
}

impl<T: Real, F: Jvp<T>> Jacobian<T> for JvpJacobian<F, T> {
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let d = self.f.dim();
        self.set_state(y);
        self.f.jvp(t, &self.states, p, &self.directions, &mut self.scratch)?;
        for i in 0..d {
            for j in 0..d {
                values[i * d + j] = self.scratch[j * d + i];
            }
        }
        Ok(())
    }
}

impl<T: Real, F: Vjp<T>> VjpJacobian<F, T> {
    /// Of this field.
    pub fn new(f: F) -> Self {
        let np = f.n_params();
        Self::with_scratch(f, np)
    }
}

impl<T: Real, F: Vjp<T>> Jacobian<T> for VjpJacobian<F, T> {
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let what = "fewer parameters than the field has";
        let p = p.get(..self.scratch.len()).ok_or(FieldError::Fatal { t, what })?;
        self.set_state(y);
        // Row i of the Jacobian is the pull-back of the i-th unit vector.
        self.f.vjp(t, &self.states, p, &self.directions, values, &mut self.scratch)
    }
}
