//! Diffusion nets `g(x)`, in state per square root of time: constant, scalar, diagonal, low rank + diagonal, general.
//!
//! One rule makes all of them: output `o` of the net is the value `g[place_o] = unit_o φ_o(z_o)`, where `φ` is softplus for the values
//! of a diagonal, which are positive, and the identity for columns, whose sign no path shows.

use chreode_core::{NoiseKind, ParamLayout, Real, sub_seed};
use chreode_linalg::Activation;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::config::{POSITIVE, elements, is_positive, positive, widths};
use crate::init::inverse_softplus;
use crate::mlp::{Mlp, MlpShape, TILE, TangentNet};
use crate::standardise::Standardise;
use crate::{ConfigError, NetConfig};

/// What a diffusion net is made of. It sees and drives the first `k` coordinates of a state; the others have no noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseConfig {
    /// Centre of each coordinate, `[k]`.
    pub shift: Vec<f64>,
    /// Spread of each coordinate, `[k]`.
    pub scale: Vec<f64>,
    /// The time in which a state typically moves by `scale`.
    #[serde(default = "one")]
    pub time_scale: f64,
    /// The structure.
    pub form: NoiseForm,
    /// The hidden layers; a constant has none.
    #[serde(default)]
    pub net: NetConfig,
    /// Size before training, in `scale / sqrt(time_scale)`.
    #[serde(default = "half")]
    pub initial_level: f64,
}

/// The structure of a diffusion net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseForm {
    /// One positive number a coordinate, wherever the state is: additive noise.
    Constant,
    /// One Brownian motion for all coordinates, of any sign in each.
    Scalar,
    /// One Brownian motion a coordinate, with a positive size.
    Diagonal,
    /// `rank` Brownian motions that drive all coordinates, after a positive one for each.
    LowRank {
        /// Number of columns beside the diagonal, at least one.
        rank: usize,
    },
    /// A matrix of any signs; before training it is a multiple of the identity, repeated or cut.
    General {
        /// Number of Brownian motions, at least one.
        motions: usize,
    },
}

impl NoiseConfig {
    /// Noise of this structure on coordinates of this centre and spread.
    pub fn new(shift: Vec<f64>, scale: Vec<f64>, form: NoiseForm) -> Self {
        Self { shift, scale, time_scale: 1.0, form, net: NetConfig::default(), initial_level: 0.5 }
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
        positive("initial_level", self.initial_level)?;
        widths("net.hidden", &self.net.hidden)?;
        match self.form {
            NoiseForm::LowRank { rank: columns } | NoiseForm::General { motions: columns } => {
                widths("form", &[columns])
            }
            _ => Ok(()),
        }
    }
}

/// A diffusion net as tile kernels; see [`NoisyField`](crate::NoisyField) for the equation that it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct NoiseNet<T: Real> {
    kind: NoiseKind,
    /// None if the noise is constant.
    net: Option<Mlp<T>>,
    tangents: Option<Box<TangentNet<T>>>,
    layout: ParamLayout,
    standardise: Standardise<T>,
    /// Coordinates of the state, and values of `g` a row.
    d: usize,
    values: usize,
    /// Of each output: its place among the values, and its unit. The first `positive` go through softplus.
    places: Vec<usize>,
    units: Vec<T>,
    positive: usize,
    /// The output bias before training, or the constants.
    initial: Vec<f64>,
    /// `φ` of the outputs and its derivatives, `[TILE, outputs]`.
    phi: Vec<T>,
    d1: Vec<T>,
    d2: Vec<T>,
}

impl<T: Real> NoiseNet<T> {
    /// The net of a valid configuration, for states of as many coordinates.
    pub(crate) fn new(config: &NoiseConfig) -> Self {
        Self::for_states(config, config.shift.len())
    }

    /// The net of a valid configuration, for states of `d` coordinates, at least its own.
    pub(crate) fn for_states(config: &NoiseConfig, d: usize) -> Self {
        let k = config.shift.len();
        let unit: Vec<f64> = config.scale.iter().map(|s| s / config.time_scale.sqrt()).collect();
        let level = config.initial_level;
        let (mut places, mut units, mut initial) = (Vec::new(), Vec::new(), Vec::new());
        let mut push = |coordinate: usize, place: usize, start: f64| {
            places.push(place);
            units.push(T::c(unit[coordinate]));
            initial.push(start);
        };
        let (kind, positive) = match config.form {
            NoiseForm::Constant | NoiseForm::Diagonal => {
                (0..k).for_each(|i| push(i, i, inverse_softplus(level)));
                let constant = config.form == NoiseForm::Constant;
                (if constant { NoiseKind::Additive } else { NoiseKind::Diagonal }, k)
            }
            NoiseForm::Scalar => {
                (0..k).for_each(|i| push(i, i, level));
                (NoiseKind::Scalar, 0)
            }
            NoiseForm::LowRank { rank } => {
                let motions = k + rank;
                (0..k).for_each(|i| push(i, i * motions + i, inverse_softplus(level)));
                for i in 0..k {
                    (0..rank).for_each(|r| push(i, i * motions + k + r, 0.0));
                }
                (NoiseKind::General { motions }, k)
            }
            NoiseForm::General { motions } => {
                for i in 0..k {
                    for j in 0..motions {
                        push(i, i * motions + j, if i % motions == j % k { level } else { 0.0 });
                    }
                }
                (NoiseKind::General { motions }, 0)
            }
        };
        let outputs = places.len();
        let (net, layout) = if config.form == NoiseForm::Constant {
            let mut layout = ParamLayout::new();
            layout.push("raw", &[k]);
            (None, layout)
        } else {
            let shape = MlpShape::new(k, &config.net.hidden, outputs, config.net.activation);
            let layout = shape.layout().clone();
            (Some(Mlp::new(shape)), layout)
        };
        let buffer = || vec![T::ZERO; TILE * outputs];
        Self {
            kind,
            net,
            tangents: None,
            layout,
            standardise: Standardise::new(&config.shift, &config.scale),
            d,
            values: kind.values(d),
            places,
            units,
            positive,
            initial,
            phi: buffer(),
            d1: buffer(),
            d2: buffer(),
        }
    }

    pub(crate) fn kind(&self) -> NoiseKind {
        self.kind
    }

    pub(crate) fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// Values of `g` of one trajectory.
    pub(crate) fn values(&self) -> usize {
        self.values
    }

    /// Sets the parameters before training.
    pub(crate) fn init(&self, seed: u64, p: &mut [f64]) {
        if let Some(net) = &self.net {
            net.shape().init(&mut Pcg64::seed_from_u64(sub_seed(seed, "weights.diffusion")), 0.1, p);
        }
        let bias = p.len() - self.initial.len(); // the output bias ends the net
        p[bias..].copy_from_slice(&self.initial);
    }

    /// Sets `φ` from the net's outputs, and its derivatives if they are asked for.
    fn activate(&mut self, z: &[T], slopes: bool) {
        let (phi, d1, d2) = (&mut self.phi[..z.len()], &mut self.d1[..z.len()], &mut self.d2[..z.len()]);
        if self.positive > 0 {
            Activation::Softplus.apply(z, phi);
            if slopes {
                Activation::Softplus.derivatives(z, phi, d1, d2);
            }
        }
        let outputs = self.places.len();
        if self.positive < outputs {
            for r in 0..z.len() / outputs {
                let rest = r * outputs + self.positive..(r + 1) * outputs;
                phi[rest.clone()].copy_from_slice(&z[rest.clone()]);
                d1[rest.clone()].fill(T::ONE);
                d2[rest].fill(T::ZERO);
            }
        }
    }

    fn forward_tile(&mut self, n: usize, y: &[T], p: &[T], slopes: bool) {
        let outputs = self.places.len();
        let Some(mut net) = self.net.take() else {
            return self.activate(p, slopes); // one row of outputs, for all
        };
        let k = net.shape().inputs();
        if k == self.d {
            self.standardise.apply(y, net.input(n));
        } else {
            for (y, x) in y.chunks_exact(self.d).zip(net.input(n).chunks_exact_mut(k)) {
                self.standardise.apply(&y[..k], x);
            }
        }
        net.forward_tile(n, p);
        self.activate(&net.output(n)[..n * outputs], slopes);
        self.net = Some(net);
    }

    /// Sets `g`, `[n, values]`.
    pub(crate) fn diffusion_tile(&mut self, n: usize, y: &[T], p: &[T], g: &mut [T]) {
        self.forward_tile(n, y, p, false);
        self.scatter(&self.phi, g);
    }

    /// Sets `g`, `[n, values]`, from outputs, `[n, outputs]`, or one row of them for all.
    fn scatter(&self, outputs: &[T], g: &mut [T]) {
        let width = self.places.len();
        g.fill(T::ZERO);
        for (r, g) in g.chunks_exact_mut(self.values).enumerate() {
            let from = if self.net.is_some() { r * width } else { 0 };
            let places = self.places.iter().zip(&self.units);
            for ((&place, &unit), &value) in places.zip(&outputs[from..from + width]) {
                g[place] = unit * value;
            }
        }
    }

    /// From here on pull-backs may keep back their part of `p_bar`, until [`settle`](Self::settle).
    pub(crate) fn defer(&mut self) {
        if let Some(net) = &mut self.net {
            net.defer();
        }
    }

    /// ADDS to `p_bar` what pull-backs kept back.
    pub(crate) fn settle(&mut self, p_bar: &mut [T]) {
        if let Some(net) = &mut self.net {
            net.settle(p_bar);
        }
    }

    /// ADDS to the adjoints of states and parameters.
    pub(crate) fn vjp_tile(
        &mut self,
        n: usize,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) {
        self.forward_tile(n, y, p, true);
        let Some(net) = &mut self.net else {
            for (o, &place) in self.places.iter().enumerate() {
                let column: T = g_bar.chunks_exact(self.values).map(|row| row[place]).sum();
                p_bar[o] += column * self.units[o] * self.d1[o];
            }
            return;
        };
        let (width, k) = (self.places.len(), net.shape().inputs());
        let out_bar = net.output_and_bar(n).1;
        for (r, g_bar) in g_bar.chunks_exact(self.values).enumerate() {
            for o in 0..width {
                out_bar[r * width + o] = self.units[o] * g_bar[self.places[o]] * self.d1[r * width + o];
            }
        }
        pull(&self.standardise, k, self.d, net.backward_tile(n, p, p_bar), y_bar);
    }

    /// Values and tangents of a tile; none if the noise is constant.
    fn tangents(&mut self, n: usize, y: &[T], p: &[T], v: &[T]) -> Option<Box<TangentNet<T>>> {
        let shape = self.net.as_ref()?.shape();
        let mut net = self.tangents.take().unwrap_or_else(|| Box::new(TangentNet::new(shape.clone())));
        let k = shape.inputs();
        for (y, x) in y.chunks_exact(self.d).zip(net.input(n).chunks_exact_mut(k)) {
            self.standardise.apply(&y[..k], x);
        }
        for (v, dx) in v.chunks_exact(self.d).zip(net.input_tangent(n).chunks_exact_mut(k)) {
            dx.fill(T::ZERO);
            self.standardise.pull_back(&v[..k], dx); // the map is diagonal: its own transpose
        }
        net.forward_tangents(n, p);
        let (z, _, _) = net.outputs_and_bars(n);
        self.activate(z, true);
        Some(net)
    }

    /// Sets `gv = ∂g/∂y · v`, `[n, values]`.
    pub(crate) fn jvp_tile(&mut self, n: usize, y: &[T], p: &[T], v: &[T], gv: &mut [T]) {
        let Some(mut net) = self.tangents(n, y, p, v) else {
            gv.fill(T::ZERO);
            return;
        };
        let (_, tangent, _) = net.outputs_and_bars(n);
        for (d1, &tangent) in self.d1.iter_mut().zip(tangent) {
            *d1 *= tangent;
        }
        self.scatter(&self.d1, gv);
        self.tangents = Some(net);
    }

    /// Pulls `gv_bar` back through [`Self::jvp_tile`]; ADDS.
    pub(crate) fn jvp_vjp_tile(
        &mut self,
        n: usize,
        y: &[T],
        p: &[T],
        v: &[T],
        gv_bar: &[T],
        y_bar: &mut [T],
        v_bar: &mut [T],
        p_bar: &mut [T],
    ) {
        let Some(mut net) = self.tangents(n, y, p, v) else { return };
        let (width, k) = (self.places.len(), self.standardise.len());
        let (_, tangent, bars) = net.outputs_and_bars(n);
        let (value_bar, tangent_bar) = bars.split_at_mut(n * width);
        for (r, gv_bar) in gv_bar.chunks_exact(self.values).enumerate() {
            for o in 0..width {
                let (at, bar) = (r * width + o, self.units[o] * gv_bar[self.places[o]]);
                value_bar[at] = bar * self.d2[at] * tangent[at];
                tangent_bar[at] = bar * self.d1[at];
            }
        }
        let (x_bar, dx_bar) = net.backward_tangents(n, p, p_bar);
        pull(&self.standardise, k, self.d, x_bar, y_bar);
        pull(&self.standardise, k, self.d, dx_bar, v_bar);
        self.tangents = Some(net);
    }
}

/// Adds to adjoints of states of `d` coordinates what comes from their first `k`.
fn pull<T: Real>(standardise: &Standardise<T>, k: usize, d: usize, x_bar: &[T], y_bar: &mut [T]) {
    for (x_bar, y_bar) in x_bar.chunks_exact(k).zip(y_bar.chunks_exact_mut(d)) {
        standardise.pull_back(x_bar, &mut y_bar[..k]);
    }
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}
