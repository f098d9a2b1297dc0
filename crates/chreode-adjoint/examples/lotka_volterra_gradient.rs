//! The adjoint alone: the gradient of a squared error over observations of predator and prey, with a field and
//! its derivative written by hand, beside finite differences.

use chreode_adjoint::{AdjointError, OdeAdjoint};
use chreode_core::{FieldError, VectorField, Vjp};
use chreode_solve::{SolveOptions, TSIT5};

/// `u' = a u - b u v`, `v' = c u v - e v`; `p = [a, b, c, e]`; one trajectory.
struct LotkaVolterra;

impl VectorField<f64> for LotkaVolterra {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        4
    }
    fn eval(&mut self, _t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy[0] = p[0] * y[0] - p[1] * y[0] * y[1];
        dy[1] = p[2] * y[0] * y[1] - p[3] * y[1];
        Ok(())
    }
}

impl Vjp<f64> for LotkaVolterra {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let ([u, v], [l, m]) = ([y[0], y[1]], [lambda[0], lambda[1]]);
        y_bar[0] = l * (p[0] - p[1] * v) + m * p[2] * v;
        y_bar[1] = -l * p[1] * u + m * (p[2] * u - p[3]);
        for (p_bar, g) in p_bar.iter_mut().zip([l * u, -l * u * v, m * u * v, -m * v]) {
            *p_bar += g;
        }
        Ok(())
    }
}

const TIMES: [f64; 4] = [0.5, 1.3, 2.0, 3.1];
const OBSERVED: [[f64; 2]; 4] = [[1.9, 0.2], [5.0, 0.4], [3.0, 3.5], [0.8, 1.1]];

/// Squared error over the observations, its gradient in the start state, and in the parameters.
fn squared_error(y0: [f64; 2], p: &[f64; 4]) -> Result<(f64, [f64; 2], [f64; 4]), AdjointError> {
    let (mut error, mut bars) = (0.0, [[0.0; 2]; 4]);
    let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 2);
    let options = SolveOptions { save_at: &TIMES, ..SolveOptions::tolerance(1e-10, 1e-10) };
    adjoint.forward(&mut LotkaVolterra, p, &mut { y0 }, (0.0, 3.1), &options, &mut |i, _t, y| {
        for j in 0..2 {
            let residual = y[j] - OBSERVED[i][j];
            error += residual * residual;
            bars[i][j] = 2.0 * residual; // the adjoint state jumps by this at observation i
        }
    })?;
    let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
    let bars = bars.each_ref().map(|bar| &bar[..]);
    adjoint.backward(&mut LotkaVolterra, p, &bars, &mut y0_bar, &mut p_bar)?;
    Ok((error, y0_bar, p_bar))
}

fn main() -> Result<(), AdjointError> {
    let (y0, p) = ([1.0, 0.5], [1.5, 1.0, 0.75, 3.0]);
    let (error, y0_bar, p_bar) = squared_error(y0, &p)?;
    println!("squared error {error:.6}");
    println!("            adjoint    finite differences");
    let h = 1e-4;
    for (j, bar) in y0_bar.into_iter().enumerate() {
        let (mut up, mut down) = (y0, y0);
        (up[j], down[j]) = (y0[j] + h, y0[j] - h);
        let difference = (squared_error(up, &p)?.0 - squared_error(down, &p)?.0) / (2.0 * h);
        println!("y0[{j}] {bar:14.6} {difference:14.6}");
    }
    for (j, bar) in p_bar.into_iter().enumerate() {
        let (mut up, mut down) = (p, p);
        (up[j], down[j]) = (p[j] + h, p[j] - h);
        let difference = (squared_error(y0, &up)?.0 - squared_error(y0, &down)?.0) / (2.0 * h);
        println!(" p[{j}] {bar:14.6} {difference:14.6}");
    }
    Ok(())
}
