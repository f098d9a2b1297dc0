//! Priors of parameters: parts of the objective, and where fits start.

use super::error::PetabError;
use super::read::{Row, is_nothing, number};
use super::tables::Scale;

/// The kind of a distribution, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uniform,
    Normal,
    Laplace,
}

/// What a distribution is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The parameter on its linear scale.
    Linear,
    /// Its natural logarithm; the density is still that of the parameter.
    Logarithm,
    /// The parameter on the scale that it is estimated on.
    Scaled,
}

/// A prior, with its two numbers: bounds, or mean (median) and standard deviation (scale).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    kind: Kind,
    of: Of,
    first: f64,
    second: f64,
}

/// A function of one parameter on its scale, with its slope and a positive curvature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Term {
    pub(crate) value: f64,
    pub(crate) slope: f64,
    pub(crate) curvature: f64,
}

impl Prior {
    /// A normal prior of a parameter on its linear scale.
    pub(crate) fn normal(mean: f64, sd: f64) -> Self {
        Self { kind: Kind::Normal, of: Of::Linear, first: mean, second: sd }
    }

    /// A uniform prior on the scale that a parameter is estimated on.
    pub(crate) fn uniform_scaled(low: f64, high: f64) -> Self {
        Self { kind: Kind::Uniform, of: Of::Scaled, first: low, second: high }
    }

    /// The prior in the columns `{which}PriorType` and `{which}PriorParameters`, if there is one.
    pub(super) fn read(row: Row<'_>, which: &str) -> Result<Option<Self>, PetabError> {
        let column = format!("{which}PriorType");
        let text = row.text(&column);
        if is_nothing(text) {
            return Ok(None);
        }
        let (kind, of) = match text {
            "uniform" => (Kind::Uniform, Of::Linear),
            "normal" => (Kind::Normal, Of::Linear),
            "laplace" => (Kind::Laplace, Of::Linear),
            "logNormal" => (Kind::Normal, Of::Logarithm),
            "logLaplace" => (Kind::Laplace, Of::Logarithm),
            "parameterScaleUniform" => (Kind::Uniform, Of::Scaled),
            "parameterScaleNormal" => (Kind::Normal, Of::Scaled),
            "parameterScaleLaplace" => (Kind::Laplace, Of::Scaled),
            _ => return Err(row.wrong(&column, "a prior of PEtab")),
        };
        let column = format!("{which}PriorParameters");
        let wrong = || row.wrong(&column, "two numbers with a semicolon between, that make a prior");
        let text = row.text(&column);
        if is_nothing(text) && of == Of::Scaled && kind == Kind::Uniform {
            return Ok(None); // over the bounds, as without a prior
        }
        let numbers: Option<Vec<f64>> = text.split(';').map(|x| number(x.trim())).collect();
        let [first, second] = numbers.ok_or_else(wrong)?[..] else { return Err(wrong()) };
        let sound = first.is_finite()
            && second.is_finite()
            && if kind == Kind::Uniform { first < second } else { second > 0.0 };
        if sound { Ok(Some(Self { kind, of, first, second })) } else { Err(wrong()) }
    }

    /// The negative logarithm of its density, where the parameter is `x` on its scale; infinite where the density is zero. The
    /// curvature is that of a normal distribution as wide.
    pub(crate) fn term(&self, scale: Scale, x: f64) -> Term {
        let theta = scale.linear(x);
        // What the distribution is of, and the derivative of that.
        let (v, dv) = match self.of {
            Of::Linear => (theta, scale.slope(theta)),
            Of::Logarithm => (theta.ln(), scale.slope(theta) / theta),
            Of::Scaled => (x, 1.0),
        };
        let z = (v - self.first) / self.second;
        let (value, slope, curvature) = match self.kind {
            Kind::Uniform if v >= self.first && v <= self.second => {
                ((self.second - self.first).ln(), 0.0, 0.0)
            }
            Kind::Uniform => (f64::INFINITY, 0.0, 0.0),
            Kind::Normal => {
                let constant = 0.5 * (2.0 * std::f64::consts::PI).ln() + self.second.ln();
                (0.5 * z * z + constant, z / self.second, self.second.powi(-2))
            }
            Kind::Laplace => {
                let sign = if z == 0.0 { 0.0 } else { z.signum() };
                (z.abs() + (2.0 * self.second).ln(), sign / self.second, self.second.powi(-2))
            }
        };
        // The density of the parameter, not of its logarithm.
        let jacobian = if self.of == Of::Logarithm { (v, 1.0) } else { (0.0, 0.0) };
        Term { value: value + jacobian.0, slope: (slope + jacobian.1) * dv, curvature: curvature * dv * dv }
    }

    /// The value on the parameter's scale that a part `u` of the distribution lies below.
    pub(crate) fn quantile(&self, scale: Scale, u: f64) -> f64 {
        let v = match self.kind {
            Kind::Uniform => self.first + u * (self.second - self.first),
            Kind::Normal => self.first + self.second * normal_quantile(u),
            Kind::Laplace if u < 0.5 => self.first + self.second * (2.0 * u).ln(),
            Kind::Laplace => self.first - self.second * (2.0 * (1.0 - u)).ln(),
        };
        match self.of {
            Of::Linear => scale.scaled(v),
            Of::Logarithm => scale.scaled(v.exp()),
            Of::Scaled => v,
        }
    }
}

/// The quantile of the standard normal distribution, to a relative error of 1e-9. Source: P. J. Acklam's rational approximation.
fn normal_quantile(u: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let poly = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    if u < 0.02425 {
        let q = (-2.0 * u.ln()).sqrt();
        poly(&C, q) / poly(&D, q)
    } else if u > 1.0 - 0.02425 {
        -normal_quantile(1.0 - u)
    } else {
        let q = u - 0.5;
        let r = q * q;
        poly(&A, r) * q / poly(&B, r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Kind, Of); 5] = [
        (Kind::Normal, Of::Linear),
        (Kind::Laplace, Of::Linear),
        (Kind::Normal, Of::Logarithm),
        (Kind::Laplace, Of::Logarithm),
        (Kind::Normal, Of::Scaled),
    ];

    #[test]
    fn slopes_are_those_of_differences() {
        for (kind, of) in ALL {
            for scale in [Scale::Lin, Scale::Log, Scale::Log10] {
                let prior = Prior { kind, of, first: 0.4, second: 0.7 };
                let at = |x: f64| prior.term(scale, x).value;
                let x = 0.23;
                let difference = (at(x + 1e-5) - at(x - 1e-5)) / 2e-5;
                let slope = prior.term(scale, x).slope;
                assert!((difference - slope).abs() < 1e-7 * slope.abs().max(1.0), "{prior:?} {scale:?}");
            }
        }
        let uniform = Prior { kind: Kind::Uniform, of: Of::Linear, first: 1.0, second: 2.0 };
        assert_eq!(uniform.term(Scale::Log10, 0.5).value, f64::INFINITY);
        assert_eq!(uniform.term(Scale::Lin, 1.5).value, 0.0);
    }

    #[test]
    fn quantiles_are_known() {
        for (u, z) in [(0.5, 0.0), (0.975, 1.959_963_984_540_054), (0.001, -3.090_232_306_167_813)] {
            assert!((normal_quantile(u) - z).abs() < 1e-7, "{u}");
        }
        let laplace = Prior { kind: Kind::Laplace, of: Of::Scaled, first: 1.0, second: 2.0 };
        assert_eq!(laplace.quantile(Scale::Lin, 0.5), 1.0);
        assert!((laplace.quantile(Scale::Lin, 0.25) - (1.0 - 2.0 * 2_f64.ln())).abs() < 1e-12);
        let log = Prior { kind: Kind::Normal, of: Of::Logarithm, first: 2.0, second: 1.0 };
        assert!((log.quantile(Scale::Log, 0.5) - 2.0).abs() < 1e-12);
    }
}
