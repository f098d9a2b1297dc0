//! Fields behind references and boxes: every trait is forwarded.

use crate::{
    BirthDeath, Calculus, Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, FieldError, Growth,
    GrowthVjp, Jacobian, Jvp, NoiseKind, ParamJvp, Real, Slot, Sparsity, VectorField, Vjp, VjpTangent,
};

macro_rules! forward {
    ($Pointer:ty) => {
        impl<T: Real, F: VectorField<T> + ?Sized> VectorField<T> for $Pointer {
            fn dim(&self) -> usize {
                (**self).dim()
            }
            fn n_params(&self) -> usize {
                (**self).n_params()
            }
            #[inline]
            fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
                (**self).eval(t, y, p, dy)
            }
        }

        impl<T: Real, F: Jvp<T> + ?Sized> Jvp<T> for $Pointer {
            #[inline]
            fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
                (**self).jvp(t, y, p, v, jv)
            }
        }

        impl<T: Real, F: ParamJvp<T> + ?Sized> ParamJvp<T> for $Pointer {
            #[inline]
            fn param_jvp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                v: &[T],
                q: &[T],
                jv: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).param_jvp(t, y, p, v, q, jv)
            }
            fn param_jvp_along(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                v: &[T],
                q: &[T],
                u: &[T],
                out: &mut [T],
            ) -> Result<bool, FieldError> {
                (**self).param_jvp_along(t, y, p, v, q, u, out)
            }
        }

        impl<T: Real, F: Jacobian<T> + ?Sized> Jacobian<T> for $Pointer {
            fn sparsity(&self) -> Option<&Sparsity> {
                (**self).sparsity()
            }
            fn blocks(&self) -> usize {
                (**self).blocks()
            }
            fn eval_first_block(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
                (**self).eval_first_block(t, y, p, dy)
            }
            fn add_below_first_block(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                u: &[T],
                out: &mut [T],
            ) -> Result<bool, FieldError> {
                (**self).add_below_first_block(t, y, p, u, out)
            }
            #[inline]
            fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
                (**self).jacobian(t, y, p, values)
            }
            fn jacobians(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
                (**self).jacobians(t, y, p, values)
            }
        }

        impl<T: Real, F: Vjp<T> + ?Sized> Vjp<T> for $Pointer {
            #[inline]
            fn vjp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                lambda: &[T],
                y_bar: &mut [T],
                p_bar: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).vjp(t, y, p, lambda, y_bar, p_bar)
            }
            #[inline]
            fn eval_kept(
                &mut self,
                slot: Slot,
                t: f64,
                y: &[T],
                p: &[T],
                dy: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).eval_kept(slot, t, y, p, dy)
            }
            fn kept_bytes(&self, n: usize) -> usize {
                (**self).kept_bytes(n)
            }
            #[inline]
            fn vjp_kept(
                &mut self,
                slot: Slot,
                t: f64,
                y: &[T],
                p: &[T],
                lambda: &[T],
                y_bar: &mut [T],
                p_bar: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).vjp_kept(slot, t, y, p, lambda, y_bar, p_bar)
            }
            fn defer(&mut self) {
                (**self).defer();
            }
            fn settle(&mut self, p_bar: &mut [T]) {
                (**self).settle(p_bar);
            }
            fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
                (**self).as_jacobian()
            }
            fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<T>> {
                (**self).as_vjp_tangent()
            }
        }

        impl<T: Real, F: VjpTangent<T> + ?Sized> VjpTangent<T> for $Pointer {
            #[inline]
            fn vjp_tangent(
                &mut self,
                t: f64,
                y_v: (&[T], &[T]),
                p_q: (&[T], &[T]),
                lambdas: (&[T], &[T]),
                y_bars: (&mut [T], &mut [T]),
                p_bars: (&mut [T], &mut [T]),
            ) -> Result<(), FieldError> {
                (**self).vjp_tangent(t, y_v, p_q, lambdas, y_bars, p_bars)
            }
        }

        impl<T: Real, F: Diffusion<T> + ?Sized> Diffusion<T> for $Pointer {
            fn noise_kind(&self) -> NoiseKind {
                (**self).noise_kind()
            }
            fn calculus(&self) -> Calculus {
                (**self).calculus()
            }
            fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
                (**self).with_jvp()
            }
            #[inline]
            fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
                (**self).diffusion(t, y, p, g)
            }
            #[inline]
            fn drift_and_diffusion(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                f: &mut [T],
                g: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).drift_and_diffusion(t, y, p, f, g)
            }
        }

        impl<T: Real, F: DiffusionJvp<T> + ?Sized> DiffusionJvp<T> for $Pointer {
            #[inline]
            fn diffusion_jvp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                v: &[T],
                gv: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).diffusion_jvp(t, y, p, v, gv)
            }
        }

        impl<T: Real, F: DiffusionVjp<T> + ?Sized> DiffusionVjp<T> for $Pointer {
            fn with_jvp_vjp(&mut self) -> Option<&mut dyn DiffusionJvpVjp<T>> {
                (**self).with_jvp_vjp()
            }
            #[inline]
            fn diffusion_vjp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                g_bar: &[T],
                y_bar: &mut [T],
                p_bar: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
            }
            #[inline]
            fn drift_and_diffusion_vjp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                f_bar: &[T],
                g_bar: &[T],
                y_bar: &mut [T],
                p_bar: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).drift_and_diffusion_vjp(t, y, p, f_bar, g_bar, y_bar, p_bar)
            }
        }

        impl<T: Real, F: DiffusionJvpVjp<T> + ?Sized> DiffusionJvpVjp<T> for $Pointer {
            #[inline]
            fn diffusion_jvp_vjp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                v: &[T],
                gv_bar: &[T],
                y_bar: &mut [T],
                v_bar: &mut [T],
                p_bar: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).diffusion_jvp_vjp(t, y, p, v, gv_bar, y_bar, v_bar, p_bar)
            }
        }

        impl<T: Real, F: Growth<T> + ?Sized> Growth<T> for $Pointer {
            #[inline]
            fn growth(&mut self, t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
                (**self).growth(t, y, p, rate)
            }
        }

        impl<T: Real, F: BirthDeath<T> + ?Sized> BirthDeath<T> for $Pointer {
            #[inline]
            fn birth_and_death(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                birth: &mut [T],
                death: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).birth_and_death(t, y, p, birth, death)
            }
        }

        impl<T: Real, F: GrowthVjp<T> + ?Sized> GrowthVjp<T> for $Pointer {
            #[inline]
            fn growth_vjp(
                &mut self,
                t: f64,
                y: &[T],
                p: &[T],
                rate_bar: &[T],
                y_bar: &mut [T],
                p_bar: &mut [T],
            ) -> Result<(), FieldError> {
                (**self).growth_vjp(t, y, p, rate_bar, y_bar, p_bar)
            }
        }
    };
}

forward!(&mut F);
forward!(Box<F>);

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that overrides what a trait provides.
    #[derive(Default)]
    struct Own {
        deferred: bool,
    }

    impl VectorField<f64> for Own {
        fn dim(&self) -> usize {
            1
        }
        fn n_params(&self) -> usize {
            7
        }
        fn eval(&mut self, _t: f64, _y: &[f64], _p: &[f64], _dy: &mut [f64]) -> Result<(), FieldError> {
            Ok(())
        }
    }

    impl Jvp<f64> for Own {
        fn jvp(&mut self, _: f64, _: &[f64], _: &[f64], _: &[f64], _: &mut [f64]) -> Result<(), FieldError> {
            Ok(())
        }
    }

    impl ParamJvp<f64> for Own {
        fn param_jvp(
            &mut self,
            _: f64,
            _: &[f64],
            _: &[f64],
            _: &[f64],
            _: &[f64],
            _: &mut [f64],
        ) -> Result<(), FieldError> {
            Ok(())
        }
        fn param_jvp_along(
            &mut self,
            _: f64,
            _: &[f64],
            _: &[f64],
            _: &[f64],
            _: &[f64],
            _: &[f64],
            out: &mut [f64],
        ) -> Result<bool, FieldError> {
            out[0] = 8.0;
            Ok(true)
        }
    }

    impl Jacobian<f64> for Own {
        fn blocks(&self) -> usize {
            3
        }
        fn eval_first_block(
            &mut self,
            _: f64,
            _: &[f64],
            _: &[f64],
            dy: &mut [f64],
        ) -> Result<(), FieldError> {
            dy[0] = 9.0;
            Ok(())
        }
        fn add_below_first_block(
            &mut self,
            _: f64,
            _: &[f64],
            _: &[f64],
            _: &[f64],
            out: &mut [f64],
        ) -> Result<bool, FieldError> {
            out[0] += 10.0;
            Ok(true)
        }
        fn jacobian(&mut self, _: f64, _: &[f64], _: &[f64], _: &mut [f64]) -> Result<(), FieldError> {
            Ok(())
        }
        fn jacobians(&mut self, _: f64, _: &[f64], _: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
            values[0] = 6.0;
            Ok(())
        }
    }

    impl Vjp<f64> for Own {
        fn vjp(
            &mut self,
            _: f64,
            _: &[f64],
            _: &[f64],
            _: &[f64],
            _: &mut [f64],
            _: &mut [f64],
        ) -> Result<(), FieldError> {
            Ok(())
        }
        fn eval_kept(
            &mut self,
            slot: Slot,
            _: f64,
            _: &[f64],
            _: &[f64],
            dy: &mut [f64],
        ) -> Result<(), FieldError> {
            dy[0] = slot.index() as f64;
            Ok(())
        }
        fn kept_bytes(&self, n: usize) -> usize {
            5 * n
        }
        fn vjp_kept(
            &mut self,
            slot: Slot,
            _: f64,
            _: &[f64],
            _: &[f64],
            _: &[f64],
            y_bar: &mut [f64],
            _: &mut [f64],
        ) -> Result<(), FieldError> {
            y_bar[0] = -(slot.index() as f64);
            Ok(())
        }
        fn defer(&mut self) {
            self.deferred = true;
        }
        fn settle(&mut self, p_bar: &mut [f64]) {
            p_bar[0] = if self.deferred { 11.0 } else { 0.0 };
        }
        fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<f64>> {
            Some(self)
        }
        fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<f64>> {
            Some(self)
        }
    }

    impl VjpTangent<f64> for Own {
        fn vjp_tangent(
            &mut self,
            _: f64,
            _: (&[f64], &[f64]),
            _: (&[f64], &[f64]),
            _: (&[f64], &[f64]),
            _: (&mut [f64], &mut [f64]),
            _: (&mut [f64], &mut [f64]),
        ) -> Result<(), FieldError> {
            Ok(())
        }
    }

    /// What forward sensitivities ask for.
    fn beside(f: &mut (impl ParamJvp<f64> + Jacobian<f64>)) -> ([f64; 3], [bool; 2]) {
        let (mut out, mut dy, mut below) = ([0.0], [0.0], [0.0]);
        let along = f.param_jvp_along(0.0, &[], &[], &[], &[], &[], &mut out).unwrap();
        f.eval_first_block(0.0, &[], &[], &mut dy).unwrap();
        let told = f.add_below_first_block(0.0, &[], &[], &[], &mut below).unwrap();
        ([out[0], dy[0], below[0]], [along, told])
    }

    fn overrides(
        mut f: impl Vjp<f64> + ParamJvp<f64> + Jacobian<f64>,
    ) -> (usize, usize, usize, [f64; 3], bool, bool) {
        assert_eq!(beside(&mut f), ([8.0, 9.0, 10.0], [true; 2]));
        let (mut dy, mut y_bar, mut values) = ([0.0], [0.0], [0.0]);
        let slot = Slot::of_new_run().plus(2);
        f.eval_kept(slot, 0.0, &[], &[], &mut dy).unwrap();
        f.vjp_kept(slot, 0.0, &[], &[], &[], &mut y_bar, &mut []).unwrap();
        f.jacobians(0.0, &[], &[], &mut values).unwrap();
        let mut p_bar = [0.0];
        f.defer();
        f.settle(&mut p_bar);
        assert_eq!(p_bar, [11.0]);
        let shows = (f.as_jacobian().is_some(), f.as_vjp_tangent().is_some());
        (f.n_params(), f.blocks(), f.kept_bytes(2), [dy[0], y_bar[0], values[0]], shows.0, shows.1)
    }

    #[test]
    fn what_a_field_overrides_is_forwarded() {
        let expected = (7, 3, 10, [2.0, -2.0, 6.0], true, true);
        assert_eq!(overrides(Own::default()), expected);
        assert_eq!(overrides(&mut Own::default()), expected);
        assert_eq!(overrides(Box::new(Own::default())), expected);
    }
}
