//! Derivatives against finite differences, in `f64`.
//!
//! A 4-point central difference of step `h` has error of order `h⁴` and rounding error `ε / h`; with `h` near
//! `1e-3` of the value's scale both are about `1e-12`, so agreement to `1e-6` is a real test.

use chreode_core::{
    DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, FieldError, GrowthVjp, Jacobian, Jvp, Sparsity, Vjp,
};

use crate::Curved;

/// A derivative that is not what finite differences say.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientMismatch {
    /// Which derivative.
    pub what: &'static str,
    /// Position in its slice.
    pub index: usize,
    /// The value under test.
    pub value: f64,
    /// The finite difference.
    pub difference: f64,
}

impl std::fmt::Display for GradientMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, index, value, difference } = self;
        write!(f, "{what}[{index}] is {value:e}, finite differences give {difference:e}")
    }
}

impl std::error::Error for GradientMismatch {}

/// `∂φ/∂x_i` for all `i` by 4-point central differences, with a step of `1e-3 max(|x_i|, 0.1)`.
pub fn central_difference(x: &[f64], phi: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    central_difference_by(x, 1e-3, phi)
}

/// As [`central_difference`], with a step of `relative * max(|x_i|, 0.1)`: smaller for strongly curved functions.
pub fn central_difference_by(x: &[f64], relative: f64, mut phi: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut z = x.to_vec();
    (0..x.len())
        .map(|i| {
            let h = relative * x[i].abs().max(0.1);
            let mut at = |by: f64| {
                z[i] = x[i] + by;
                phi(&z)
            };
            let (p1, m1, p2, m2) = (at(h), at(-h), at(2.0 * h), at(-2.0 * h));
            z[i] = x[i];
            (8.0 * (p1 - m1) - (p2 - m2)) / (12.0 * h)
        })
        .collect()
}

/// Compares a gradient with the central difference of `phi` at `x`, to `rtol` of the gradient's largest entry.
///
/// # Errors
/// [`GradientMismatch`] names the first entry that is off. NaN is a mismatch.
pub fn check_gradient(
    what: &'static str,
    gradient: &[f64],
    x: &[f64],
    rtol: f64,
    phi: impl FnMut(&[f64]) -> f64,
) -> Result<(), GradientMismatch> {
    compare(what, gradient, &central_difference(x, phi), rtol)
}

/// Compares derivatives with finite differences, to `rtol` of the largest entry (at least `1e-3`).
///
/// # Errors
/// [`GradientMismatch`] names the first entry that is off. NaN is a mismatch.
///
/// # Panics
/// If the lengths differ.
pub fn compare(
    what: &'static str,
    value: &[f64],
    difference: &[f64],
    rtol: f64,
) -> Result<(), GradientMismatch> {
    assert_eq!(value.len(), difference.len(), "{what}");
    let scale = difference.iter().fold(1e-3, |s: f64, d| s.max(d.abs()));
    for (index, (&value, &difference)) in value.iter().zip(difference).enumerate() {
        let close = (value - difference).abs() <= rtol * scale;
        if !close {
            return Err(GradientMismatch { what, index, value, difference });
        }
    }
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What a check may come back with: a mismatch as text, or the field's own error.
type Check = Result<(), Box<dyn std::error::Error>>;

/// Checks that `p_bar` is added to and not set: it starts at this value.
const START: f64 = 0.25;

fn without_start(bar: &[f64]) -> Vec<f64> {
    bar.iter().map(|b| b - START).collect()
}

/// Checks [`Vjp::vjp`] at one point: `y_bar` is set, `p_bar` added to, both the gradient of `λ·f`.
///
/// # Errors
/// [`GradientMismatch`], or the field's error.
pub fn check_vjp<F: Vjp<f64> + ?Sized>(
    f: &mut F,
    t: f64,
    y: &[f64],
    p: &[f64],
    lambda: &[f64],
    rtol: f64,
) -> Check {
    let (mut y_bar, mut p_bar) = (vec![f64::NAN; y.len()], vec![START; p.len()]);
    f.vjp(t, y, p, lambda, &mut y_bar, &mut p_bar)?;
    let (dy, dp) = differences(y, p, |y, p| {
        let mut dy = vec![0.0; y.len()];
        f.eval(t, y, p, &mut dy)?;
        Ok(dot(&dy, lambda))
    })?;
    compare("y_bar", &y_bar, &dy, rtol)?;
    Ok(compare("p_bar", &without_start(&p_bar), &dp, rtol)?)
}

/// Checks [`DiffusionVjp::diffusion_vjp`] at one point: both gradients are added. Also that the combined calls
/// equal the separate ones.
///
/// # Errors
/// [`GradientMismatch`], or the field's error.
pub fn check_diffusion_vjp<F: DiffusionVjp<f64> + ?Sized>(
    f: &mut F,
    t: f64,
    y: &[f64],
    p: &[f64],
    g_bar: &[f64],
    rtol: f64,
) -> Check {
    let (mut y_bar, mut p_bar) = (vec![START; y.len()], vec![START; p.len()]);
    f.diffusion_vjp(t, y, p, g_bar, &mut y_bar, &mut p_bar)?;
    let (dy, dp) = differences(y, p, |y, p| {
        let mut g = vec![0.0; g_bar.len()];
        f.diffusion(t, y, p, &mut g)?;
        Ok(dot(&g, g_bar))
    })?;
    compare("y_bar of the diffusion", &without_start(&y_bar), &dy, rtol)?;
    compare("p_bar of the diffusion", &without_start(&p_bar), &dp, rtol)?;

    let f_bar: Vec<f64> = (0..y.len()).map(|i| 0.5 - g_bar[i]).collect();
    let (mut y_bar, mut p_bar) = (vec![f64::NAN; y.len()], vec![START; p.len()]);
    f.drift_and_diffusion_vjp(t, y, p, &f_bar, g_bar, &mut y_bar, &mut p_bar)?;
    let (dy, dp) = differences(y, p, |y, p| {
        let (mut dy, mut g) = (vec![0.0; y.len()], vec![0.0; g_bar.len()]);
        f.drift_and_diffusion(t, y, p, &mut dy, &mut g)?;
        Ok(dot(&dy, &f_bar) + dot(&g, g_bar))
    })?;
    compare("y_bar of drift and diffusion", &y_bar, &dy, rtol)?;
    Ok(compare("p_bar of drift and diffusion", &without_start(&p_bar), &dp, rtol)?)
}

/// Checks [`DiffusionJvpVjp::diffusion_jvp_vjp`] at one point: all three gradients are added.
///
/// # Errors
/// [`GradientMismatch`], or the SDE's error.
pub fn check_diffusion_jvp_vjp<S: DiffusionJvpVjp<f64> + ?Sized>(
    sde: &mut S,
    t: f64,
    y: &[f64],
    p: &[f64],
    v: &[f64],
    gv_bar: &[f64],
    rtol: f64,
) -> Check {
    let (mut y_bar, mut v_bar) = (vec![START; y.len()], vec![START; y.len()]);
    let mut p_bar = vec![START; p.len()];
    sde.diffusion_jvp_vjp(t, y, p, v, gv_bar, &mut y_bar, &mut v_bar, &mut p_bar)?;
    let mut phi = |y: &[f64], v: &[f64], p: &[f64]| {
        let mut gv = vec![0.0; gv_bar.len()];
        sde.diffusion_jvp(t, y, p, v, &mut gv)?;
        Ok(dot(&gv, gv_bar))
    };
    let (dy, dp) = differences(y, p, |y, p| phi(y, v, p))?;
    let (dv, _) = differences(v, &[], |v, _| phi(y, v, p))?;
    compare("y_bar of the derivative", &without_start(&y_bar), &dy, rtol)?;
    compare("v_bar of the derivative", &without_start(&v_bar), &dv, rtol)?;
    Ok(compare("p_bar of the derivative", &without_start(&p_bar), &dp, rtol)?)
}

/// Checks [`GrowthVjp::growth_vjp`] at one point, for `rate_bar` of `[n]`: both gradients are added.
///
/// # Errors
/// [`GradientMismatch`], or the field's error.
pub fn check_growth_vjp<F: GrowthVjp<f64> + ?Sized>(
    f: &mut F,
    t: f64,
    y: &[f64],
    p: &[f64],
    rate_bar: &[f64],
    rtol: f64,
) -> Check {
    let (mut y_bar, mut p_bar) = (vec![START; y.len()], vec![START; p.len()]);
    f.growth_vjp(t, y, p, rate_bar, &mut y_bar, &mut p_bar)?;
    let (dy, dp) = differences(y, p, |y, p| {
        let mut rate = vec![0.0; rate_bar.len()];
        f.growth(t, y, p, &mut rate)?;
        Ok(dot(&rate, rate_bar))
    })?;
    compare("y_bar of the growth", &without_start(&y_bar), &dy, rtol)?;
    Ok(compare("p_bar of the growth", &without_start(&p_bar), &dp, rtol)?)
}

/// Checks [`Jvp::jvp`] along `v` at one point.
///
/// # Errors
/// [`GradientMismatch`], or the field's error.
pub fn check_jvp<F: Jvp<f64> + ?Sized>(
    f: &mut F,
    t: f64,
    y: &[f64],
    p: &[f64],
    v: &[f64],
    rtol: f64,
) -> Check {
    let mut jv = vec![f64::NAN; y.len()];
    f.jvp(t, y, p, v, &mut jv)?;
    check_along("jv", &jv, y, v, rtol, |y, out| f.eval(t, y, p, out))
}

/// Checks [`DiffusionJvp::diffusion_jvp`] along `v` at one point.
///
/// # Errors
/// [`GradientMismatch`], or the SDE's error.
pub fn check_diffusion_jvp<S: DiffusionJvp<f64> + ?Sized>(
    sde: &mut S,
    t: f64,
    y: &[f64],
    p: &[f64],
    v: &[f64],
    rtol: f64,
) -> Check {
    let mut gv = vec![f64::NAN; y.len() / sde.dim() * sde.noise_kind().values(sde.dim())];
    sde.diffusion_jvp(t, y, p, v, &mut gv)?;
    check_along("gv", &gv, y, v, rtol, |y, out| sde.diffusion(t, y, p, out))
}

/// Compares a derivative of `phi` along `v`, as long as its values, with differences.
fn check_along(
    what: &'static str,
    given: &[f64],
    y: &[f64],
    v: &[f64],
    rtol: f64,
    mut phi: impl FnMut(&[f64], &mut [f64]) -> Result<(), FieldError>,
) -> Check {
    let mut failed = None;
    let difference: Vec<f64> = (0..given.len())
        .map(|i| {
            let along = |s: &[f64]| {
                let y: Vec<f64> = y.iter().zip(v).map(|(y, v)| y + s[0] * v).collect();
                let mut out = vec![0.0; given.len()];
                if let Err(e) = phi(&y, &mut out) {
                    failed = Some(e);
                }
                out[i]
            };
            central_difference(&[0.0], along)[0]
        })
        .collect();
    failed.map_or(Ok(()), Err)?;
    Ok(compare(what, given, &difference, rtol)?)
}

/// Checks [`Jacobian::jacobian`] of one trajectory, dense or sparse.
///
/// # Errors
/// [`GradientMismatch`] (index `i * d + k` for `∂f_i/∂y_k`), or the field's error.
pub fn check_jacobian<F: Jacobian<f64> + ?Sized>(
    f: &mut F,
    t: f64,
    y: &[f64],
    p: &[f64],
    rtol: f64,
) -> Check {
    let d = y.len();
    let pattern = f.sparsity().cloned();
    let mut values = vec![f64::NAN; pattern.as_ref().map_or(d * d, Sparsity::len)];
    f.jacobian(t, y, p, &mut values)?;
    if let Some(pattern) = pattern {
        let mut dense = vec![0.0; d * d];
        let mut next = values.into_iter();
        for j in 0..d {
            for &i in pattern.column(j) {
                dense[i * d + j] = next.next().unwrap_or(f64::NAN);
            }
        }
        values = dense;
    }
    let mut difference = Vec::with_capacity(d * d);
    for i in 0..d {
        let (dy, _) = differences(y, &[], |y, _| {
            let mut dy = vec![0.0; d];
            f.eval(t, y, p, &mut dy)?;
            Ok(dy[i])
        })?;
        difference.extend(dy);
    }
    Ok(compare("Jacobian", &values, &difference, rtol)?)
}

/// Checks [`Curved::second`] of one trajectory: its products with directions `u` and `v`, of all rows, against the derivative along `v` of the
/// Jacobian's product with `u`.
///
/// # Errors
/// [`GradientMismatch`], or the field's error.
pub fn check_second<F: Curved<f64> + ?Sized>(
    f: &mut F,
    t: f64,
    y: &[f64],
    (u, v): (&[f64], &[f64]),
    rtol: f64,
) -> Check {
    let d = y.len();
    let mut given = vec![0.0; d];
    f.second(t, y, &mut |i, [j, k], x| given[i] += x * u[j] * v[k]);
    let pattern = f.sparsity().cloned();
    let mut values = vec![f64::NAN; pattern.as_ref().map_or(d * d, Sparsity::len)];
    check_along("second derivative", &given, y, v, rtol, |y, out| {
        f.jacobian(t, y, &[], &mut values)?;
        match &pattern {
            Some(pattern) => {
                out.fill(0.0);
                for (j, &u) in u.iter().enumerate() {
                    let first = pattern.col_starts()[j];
                    let rows = pattern.column(j).iter();
                    rows.zip(&values[first..]).for_each(|(&i, value)| out[i] += value * u);
                }
            }
            None => {
                for (out, row) in out.iter_mut().zip(values.chunks_exact(d)) {
                    *out = dot(row, u);
                }
            }
        }
        Ok(())
    })
}

/// Differences of `phi(y, p)` in both arguments; the first error stops the check.
fn differences(
    y: &[f64],
    p: &[f64],
    mut phi: impl FnMut(&[f64], &[f64]) -> Result<f64, FieldError>,
) -> Result<(Vec<f64>, Vec<f64>), FieldError> {
    let mut failed = None;
    let mut value = |y: &[f64], p: &[f64]| {
        phi(y, p).unwrap_or_else(|e| {
            failed = Some(e);
            f64::NAN
        })
    };
    let dy = central_difference(y, |y| value(y, p));
    let dp = central_difference(p, |p| value(y, p));
    failed.map_or(Ok((dy, dp)), Err)
}
