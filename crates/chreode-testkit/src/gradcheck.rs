//! Derivatives against finite differences, in `f64`.
//!
//! A 4-point central difference of step `h` has error of order `h⁴` and rounding error `ε / h`; with `h` near
//! `1e-3` of the value's scale both are about `1e-12`, so agreement to `1e-6` is a real test.

use chreode_core::{DiffusionVjp, FieldError, GrowthVjp, Jacobian, Jvp, Vjp};

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
        let mut g = vec![0.0; y.len()];
        f.diffusion(t, y, p, &mut g)?;
        Ok(dot(&g, g_bar))
    })?;
    compare("y_bar of the diffusion", &without_start(&y_bar), &dy, rtol)?;
    compare("p_bar of the diffusion", &without_start(&p_bar), &dp, rtol)?;

    let f_bar: Vec<f64> = g_bar.iter().map(|g| 0.5 - g).collect();
    let (mut y_bar, mut p_bar) = (vec![f64::NAN; y.len()], vec![START; p.len()]);
    f.drift_and_diffusion_vjp(t, y, p, &f_bar, g_bar, &mut y_bar, &mut p_bar)?;
    let (dy, dp) = differences(y, p, |y, p| {
        let (mut dy, mut g) = (vec![0.0; y.len()], vec![0.0; y.len()]);
        f.drift_and_diffusion(t, y, p, &mut dy, &mut g)?;
        Ok(dot(&dy, &f_bar) + dot(&g, g_bar))
    })?;
    compare("y_bar of drift and diffusion", &y_bar, &dy, rtol)?;
    Ok(compare("p_bar of drift and diffusion", &without_start(&p_bar), &dp, rtol)?)
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
    let mut failed = None;
    let difference: Vec<f64> = (0..y.len())
        .map(|i| {
            let along = |s: &[f64]| {
                let y: Vec<f64> = y.iter().zip(v).map(|(y, v)| y + s[0] * v).collect();
                let mut dy = vec![0.0; y.len()];
                if let Err(e) = f.eval(t, &y, p, &mut dy) {
                    failed = Some(e);
                }
                dy[i]
            };
            central_difference(&[0.0], along)[0]
        })
        .collect();
    failed.map_or(Ok(()), Err)?;
    Ok(compare("jv", &jv, &difference, rtol)?)
}

/// Checks [`Jacobian::jacobian`] of one trajectory.
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
    let values = match f.sparsity().cloned() {
        None => {
            let mut values = vec![f64::NAN; d * d];
            f.jacobian(t, y, p, &mut values)?;
            values
        }
        Some(pattern) => {
            // What the pattern leaves out must be zero.
            let mut entries = vec![f64::NAN; pattern.len()];
            f.jacobian(t, y, p, &mut entries)?;
            let mut values = vec![0.0; d * d];
            let columns = (0..d).flat_map(|j| pattern.column(j).iter().map(move |&i| i * d + j));
            columns.zip(entries).for_each(|(at, x)| values[at] = x);
            values
        }
    };
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
