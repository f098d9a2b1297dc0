//! A perceptron as the right-hand side of a differential equation, with time and covariates among its inputs.

use chreode_core::{FieldError, Jvp, ParamLayout, Real, Slot, VectorField, Vjp, sub_seed};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::config::{POSITIVE, elements, is_positive, positive, widths};
use crate::mlp::{Mlp, MlpShape, TILE, TangentNet};
use crate::standardise::constants;
use crate::{ConfigError, NetConfig, Stored};

/// What an [`MlpField`] is made of. Inputs are `(x - shift) / scale`, outputs in units of `scale / time_scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpFieldConfig {
    /// Centre of each coordinate that moves, `[d]`.
    pub shift: Vec<f64>,
    /// Spread of each coordinate that moves, `[d]`.
    pub scale: Vec<f64>,
    /// The time in which a state typically moves by `scale`.
    #[serde(default = "one")]
    pub time_scale: f64,
    /// Centre and spread of the time, if it is an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<(f64, f64)>,
    /// Centre and spread of each covariate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covariates: Vec<(f64, f64)>,
    /// The hidden layers.
    #[serde(default)]
    pub net: NetConfig,
}

impl MlpFieldConfig {
    /// An autonomous field without covariates.
    pub fn new(shift: Vec<f64>, scale: Vec<f64>) -> Self {
        Self { shift, scale, time_scale: 1.0, time: None, covariates: Vec::new(), net: NetConfig::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`], naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.shift.is_empty() {
            return Err(ConfigError::NoCoordinates);
        }
        elements("shift", &self.shift, self.shift.len(), f64::is_finite, "finite")?;
        elements("scale", &self.scale, self.shift.len(), is_positive, POSITIVE)?;
        positive("time_scale", self.time_scale)?;
        for (field, pairs) in [("time", self.time.as_slice()), ("covariates", &self.covariates)] {
            let (shift, scale): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            elements(field, &shift, pairs.len(), f64::is_finite, "finite")?;
            elements(field, &scale, pairs.len(), is_positive, "of a spread that is finite and above zero")?;
        }
        widths("net.hidden", &self.net.hidden)
    }
}

/// `dx/dt = scale/time_scale ⊙ net(x̂, t̂, ĉ)`.
///
/// # Shapes
/// States are `[n, d + covariates]`: each trajectory carries its covariates as its last coordinates, which do not move. So they
/// may differ between trajectories, in any solver and any tile, and every gradient tells theirs.
///
/// ```
/// use chreode_core::VectorField;
/// use chreode_model::{MlpField, MlpFieldConfig};
/// let mut config = MlpFieldConfig::new(vec![0.0, 0.0], vec![1.0, 1.0]);
/// config.time = Some((5.0, 3.0)); // centre and spread
/// config.covariates = vec![(0.0, 1.0)]; // a dose
/// let mut field = MlpField::<f64>::new(config)?;
/// let p = field.init(1);
/// let mut dx = [0.0; 6];
/// field.eval(2.0, &[0.1, 0.2, 0.0, 0.1, 0.2, 1.0], &p, &mut dx)?; // two doses
/// assert!(dx[0] != dx[3] && dx[2] == 0.0 && dx[5] == 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct MlpField<T: Real> {
    config: MlpFieldConfig,
    net: Mlp<T>,
    tangents: Option<Box<TangentNet<T>>>,
    inputs: Inputs<T>,
    unit: Vec<T>,
}

/// Standardised inputs: the state's coordinates, with the time after the first `d` of them.
#[derive(Debug, Clone)]
struct Inputs<T> {
    d: usize,
    shift: Vec<T>,
    inv_scale: Vec<T>,
    time: Option<(f64, f64)>,
}

impl<T: Real> Inputs<T> {
    fn width(&self) -> usize {
        self.shift.len() + usize::from(self.time.is_some())
    }

    fn apply(&self, t: f64, y: &[T], x: &mut [T]) {
        let time = self.time.map(|(shift, scale)| T::c((t - shift) / scale));
        let gap = usize::from(time.is_some());
        for (y, x) in y.chunks_exact(self.shift.len()).zip(x.chunks_exact_mut(self.width())) {
            for i in 0..y.len() {
                let at = if i < self.d { i } else { i + gap };
                x[at] = (y[i] - self.shift[i]) * self.inv_scale[i];
            }
            if let Some(time) = time {
                x[self.d] = time;
            }
        }
    }

    /// Tangents of the inputs from those of the states.
    fn push(&self, v: &[T], dx: &mut [T]) {
        let gap = self.width() - self.shift.len();
        for (v, dx) in v.chunks_exact(self.shift.len()).zip(dx.chunks_exact_mut(self.width())) {
            dx.fill(T::ZERO);
            for i in 0..v.len() {
                dx[if i < self.d { i } else { i + gap }] = v[i] * self.inv_scale[i];
            }
        }
    }

    /// Adds to the adjoint of the states.
    fn pull(&self, x_bar: &[T], y_bar: &mut [T]) {
        let gap = self.width() - self.shift.len();
        for (x_bar, y_bar) in x_bar.chunks_exact(self.width()).zip(y_bar.chunks_exact_mut(self.shift.len())) {
            for i in 0..y_bar.len() {
                y_bar[i] += x_bar[if i < self.d { i } else { i + gap }] * self.inv_scale[i];
            }
        }
    }
}

impl<T: Real> MlpField<T> {
    /// The field of a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field that is wrong.
    pub fn new(config: MlpFieldConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let covariates = &config.covariates;
        let inputs = Inputs {
            d: config.shift.len(),
            shift: constants(config.shift.iter().copied().chain(covariates.iter().map(|c| c.0))),
            inv_scale: constants(
                config.scale.iter().copied().chain(covariates.iter().map(|c| c.1)).map(|s| 1.0 / s),
            ),
            time: config.time,
        };
        let net = &config.net;
        Ok(Self {
            net: Mlp::new(MlpShape::new(inputs.width(), &net.hidden, inputs.d, net.activation)),
            tangents: None,
            unit: constants(config.scale.iter().map(|s| s / config.time_scale)),
            inputs,
            config,
        })
    }

    /// Parameters before training: a field near zero.
    pub fn init(&self, seed: u64) -> Vec<T> {
        let mut p = vec![0.0; self.net.shape().layout().len()];
        self.net.shape().init(&mut Pcg64::seed_from_u64(sub_seed(seed, "weights.field")), 0.1, &mut p);
        p.into_iter().map(T::c).collect()
    }

    /// What the field was built from.
    pub fn config(&self) -> &MlpFieldConfig {
        &self.config
    }

    /// Names, shapes and offsets of the parameters: those of the net.
    pub fn layout(&self) -> &ParamLayout {
        self.net.shape().layout()
    }

    fn run(&mut self, slot: Option<Slot>, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[dy.len()])?;
        let (d, width) = (self.inputs.d, self.inputs.shift.len());
        for (tile, (y, dy)) in y.chunks(TILE * width).zip(dy.chunks_mut(TILE * width)).enumerate() {
            let n = y.len() / width;
            self.inputs.apply(t, y, self.net.input(n));
            self.net.forward_tile(n, p);
            for (dy, out) in dy.chunks_exact_mut(width).zip(self.net.output(n).chunks_exact(d)) {
                for i in 0..d {
                    dy[i] = self.unit[i] * out[i];
                }
                dy[d..].fill(T::ZERO);
            }
            if let Some(slot) = slot {
                self.net.swap_kept(slot, tile);
            }
        }
        Ok(())
    }

    fn pull_back(
        &mut self,
        slot: Option<Slot>,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, &[lambda.len(), y_bar.len()])?;
        self.check(t, y, p_bar, &[])?;
        let slot = slot.filter(|&slot| self.net.holds(slot));
        let (d, width) = (self.inputs.d, self.inputs.shift.len());
        let tiles =
            y.chunks(TILE * width).zip(lambda.chunks(TILE * width)).zip(y_bar.chunks_mut(TILE * width));
        for (tile, ((y, lambda), y_bar)) in tiles.enumerate() {
            let n = y.len() / width;
            if let Some(slot) = slot {
                self.net.swap_kept(slot, tile);
            } else {
                self.inputs.apply(t, y, self.net.input(n));
                self.net.forward_tile(n, p);
            }
            let out_bar = self.net.output_and_bar(n).1;
            for (lambda, out_bar) in lambda.chunks_exact(width).zip(out_bar.chunks_exact_mut(d)) {
                for i in 0..d {
                    out_bar[i] = self.unit[i] * lambda[i];
                }
            }
            y_bar.fill(T::ZERO);
            self.inputs.pull(self.net.backward_tile(n, p, p_bar), y_bar);
            if let Some(slot) = slot {
                self.net.swap_kept(slot, tile);
            }
        }
        Ok(())
    }

    fn check(&self, t: f64, y: &[T], p: &[T], like_y: &[usize]) -> Result<(), FieldError> {
        if !y.len().is_multiple_of(self.inputs.shift.len()) || like_y.iter().any(|&len| len != y.len()) {
            return Err(FieldError::Fatal { t, what: "a slice of states is not [n, d + covariates]" });
        }
        if p.len() != self.layout().len() {
            return Err(FieldError::Fatal { t, what: "the parameters are not those of this field" });
        }
        Ok(())
    }
}

impl<T: Real> Stored for MlpField<T> {
    type Config = MlpFieldConfig;
    const FORMAT: &'static str = "chreode-mlp/1";
    fn from_config(config: MlpFieldConfig) -> Result<Self, ConfigError> {
        Self::new(config)
    }
    fn config(&self) -> MlpFieldConfig {
        self.config.clone()
    }
    fn layout(&self) -> ParamLayout {
        self.net.shape().layout().clone()
    }
}

impl<T: Real> VectorField<T> for MlpField<T> {
    fn dim(&self) -> usize {
        self.inputs.shift.len()
    }
    fn n_params(&self) -> usize {
        self.layout().len()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.run(None, t, y, p, dy)
    }
}

impl<T: Real> Vjp<T> for MlpField<T> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.pull_back(None, t, y, p, lambda, y_bar, p_bar)
    }
    fn eval_kept(&mut self, slot: Slot, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.run(Some(slot), t, y, p, dy)
    }
    fn kept_bytes(&self, n: usize) -> usize {
        self.net.kept_bytes(n)
    }
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
        self.pull_back(Some(slot), t, y, p, lambda, y_bar, p_bar)
    }
    fn defer(&mut self) {
        self.net.defer();
    }
    fn settle(&mut self, p_bar: &mut [T]) {
        self.net.settle(p_bar);
    }
}

impl<T: Real> Jvp<T> for MlpField<T> {
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, &[v.len(), jv.len()])?;
        let shape = self.net.shape();
        let net = self.tangents.get_or_insert_with(|| Box::new(TangentNet::new(shape.clone())));
        let (d, width) = (self.inputs.d, self.inputs.shift.len());
        for ((y, v), jv) in
            y.chunks(TILE * width).zip(v.chunks(TILE * width)).zip(jv.chunks_mut(TILE * width))
        {
            let n = y.len() / width;
            self.inputs.apply(t, y, net.input(n));
            self.inputs.push(v, net.input_tangent(n));
            net.forward_tangents(n, p);
            let (_, tangent, _) = net.outputs_and_bars(n);
            for (jv, tangent) in jv.chunks_exact_mut(width).zip(tangent.chunks_exact(d)) {
                for i in 0..d {
                    jv[i] = self.unit[i] * tangent[i];
                }
                jv[d..].fill(T::ZERO);
            }
        }
        Ok(())
    }
}

fn one() -> f64 {
    1.0
}
