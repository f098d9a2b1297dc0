//! Forward and backward of a perceptron on tiles of rows.

use chreode_core::{Real, Slot};
use chreode_linalg::{GemmScratch, LayerShape, layer_backward_input, layer_backward_params, layer_forward};

use super::{MlpShape, TILE};

/// A multi-layer perceptron with the scratch of one worker.
///
/// Parameters are passed to every call, in the layout of its [`MlpShape`].
///
/// ```
/// use chreode_linalg::Activation;
/// use chreode_model::{Mlp, MlpShape};
/// let mut net = Mlp::<f64>::new(MlpShape::new(1, &[2], 1, Activation::LeakyRelu));
/// let p = [1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 0.5]; // hidden weight and bias, output weight and bias
/// let mut y = [0.0; 2];
/// net.forward(&[3.0, -2.0], &p, &mut y);
/// assert!((y[0] - 3.47).abs() < 1e-12 && (y[1] - 2.48).abs() < 1e-12);
/// ```
#[derive(Debug, Clone)]
pub struct Mlp<T: Real> {
    shape: MlpShape,
    layers: Layers<T>,
    /// Pre-activations of a hidden layer that nothing else needs, `[TILE, widest]`.
    z: Vec<T>,
    kept: KeptSlots<T>,
    /// Adjoints of the layer in hand and of the one before, `[TILE, widest]`.
    bar: Vec<T>,
    next_bar: Vec<T>,
    /// Of each layer.
    deferred: Vec<Deferred<T>>,
    /// Rows that are there, and whether more come.
    deferred_rows: usize,
    defers: bool,
    scratch: GemmScratch<T>,
}

/// Inputs of a layer and adjoints of its pre-activations, `[DEFERRED, width]`, whose product is to be added to the adjoints of the
/// weights. Nothing, if the layer has few, or before pull-backs are deferred first.
#[derive(Debug, Clone)]
struct Deferred<T> {
    x: Vec<T>,
    z_bar: Vec<T>,
}

/// Rows whose products with each other are made at once, as many as one pass of the kernel sums over: a pass reads and writes the
/// adjoints of all weights.
const DEFERRED: usize = 256;
const _: () = assert!(TILE <= DEFERRED, "a tile is kept back as a whole");
/// Fewer weights than these stay in the nearer caches from one tile to the next, so that nothing would be saved.
const DEFERRED_FROM: usize = 1 << 16;

/// What the layers made of a tile: pre-activations and activations of each, `[TILE, width]`; `a[l]` goes into layer `l`. Hidden layers
/// whose slopes follow from their activations have no pre-activations.
#[derive(Debug, Clone)]
struct Layers<T> {
    z: Vec<Vec<T>>,
    a: Vec<Vec<T>>,
}

/// In the place of each slot, the layers of each tile. They may be large, and are the run's that filled them: a copy of the net has none.
#[derive(Debug)]
struct KeptSlots<T>(Vec<KeptLayers<T>>);

impl<T> Clone for KeptSlots<T> {
    fn clone(&self) -> Self {
        Self(Vec::new())
    }
}

#[derive(Debug)]
struct KeptLayers<T> {
    /// Whose they are.
    of: Slot,
    tiles: Vec<Layers<T>>,
}

impl<T: Real> Layers<T> {
    fn new(shape: &MlpShape) -> Self {
        let buffer = |width: usize| vec![T::ZERO; TILE * width];
        let (hidden, without) = (shape.layers.len() - 1, shape.activation().slope_from_output());
        let width = |l: usize| if without && l < hidden { 0 } else { shape.layers[l].shape.out };
        Self {
            z: (0..=hidden).map(|l| buffer(width(l))).collect(),
            a: shape.layers.iter().map(|l| buffer(l.shape.inp)).collect(),
        }
    }
}

impl<T: Real> Mlp<T> {
    /// A net of this shape, with scratch for [`TILE`] rows.
    pub fn new(shape: MlpShape) -> Self {
        let buffer = |width: usize| vec![T::ZERO; TILE * width];
        let mut scratch = GemmScratch::new();
        scratch.reserve(TILE, shape.max_width());
        Self {
            layers: Layers::new(&shape),
            z: buffer(shape.max_width()),
            kept: KeptSlots(Vec::new()),
            bar: buffer(shape.max_width()),
            next_bar: buffer(shape.max_width()),
            deferred: shape.layers.iter().map(|_| Deferred { x: Vec::new(), z_bar: Vec::new() }).collect(),
            deferred_rows: 0,
            defers: false,
            scratch,
            shape,
        }
    }

    /// Sizes and layout.
    pub fn shape(&self) -> &MlpShape {
        &self.shape
    }

    /// Sets `y`, `[n, outputs]`, from `x`, `[n, inputs]`, and the parameters `p`.
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn forward(&mut self, x: &[T], p: &[T], y: &mut [T]) {
        let (inp, out) = (self.shape.inputs(), self.shape.outputs());
        assert_eq!(x.len() * out, y.len() * inp, "x is [n, {inp}], y is [n, {out}]");
        for (x, y) in x.chunks(TILE * inp).zip(y.chunks_mut(TILE * out)) {
            let n = x.len() / inp;
            self.input(n).copy_from_slice(x);
            self.forward_tile(n, p);
            y.copy_from_slice(self.output(n));
        }
    }

    /// Sets `x_bar = y_barᵀ ∂y/∂x`, `[n, inputs]`, and ADDS `y_barᵀ ∂y/∂p`, summed over the rows, to `p_bar`.
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn vjp(&mut self, x: &[T], p: &[T], y_bar: &[T], x_bar: &mut [T], p_bar: &mut [T]) {
        let (inp, out) = (self.shape.inputs(), self.shape.outputs());
        assert_eq!(x.len() * out, y_bar.len() * inp, "x is [n, {inp}], y_bar is [n, {out}]");
        assert_eq!(x.len(), x_bar.len(), "x and x_bar are [n, {inp}]");
        let tiles = x.chunks(TILE * inp).zip(y_bar.chunks(TILE * out));
        for ((x, y_bar), x_bar) in tiles.zip(x_bar.chunks_mut(TILE * inp)) {
            let n = x.len() / inp;
            self.input(n).copy_from_slice(x);
            self.forward_tile(n, p);
            self.output_and_bar(n).1.copy_from_slice(y_bar);
            x_bar.copy_from_slice(self.backward_tile(n, p, p_bar));
        }
    }

    /// Bytes that a slot of [`forward_kept`](Self::forward_kept) takes for `n` rows.
    pub fn kept_bytes(&self, n: usize) -> usize {
        let Layers { z, a } = &self.layers;
        n.div_ceil(TILE) * z.iter().chain(a).map(|x| size_of_val(&**x)).sum::<usize>()
    }

    /// As [`forward`](Self::forward), and keeps in `slot` what [`vjp_kept`](Self::vjp_kept) needs of the layers.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_kept(&mut self, slot: Slot, x: &[T], p: &[T], y: &mut [T]) {
        let (inp, out) = (self.shape.inputs(), self.shape.outputs());
        assert_eq!(x.len() * out, y.len() * inp, "x is [n, {inp}], y is [n, {out}]");
        for (tile, (x, y)) in x.chunks(TILE * inp).zip(y.chunks_mut(TILE * out)).enumerate() {
            let n = x.len() / inp;
            self.input(n).copy_from_slice(x);
            self.forward_tile(n, p);
            y.copy_from_slice(self.output(n));
            self.swap_kept(slot, tile);
        }
    }

    /// As [`vjp`](Self::vjp) at the rows and parameters of [`forward_kept`](Self::forward_kept) with this slot, whose layers are not
    /// computed again, unless those of another run's slot took their place.
    ///
    /// ```
    /// use chreode_core::Slot;
    /// use chreode_linalg::Activation;
    /// use chreode_model::{Mlp, MlpShape};
    /// let mut net = Mlp::<f64>::new(MlpShape::new(1, &[2], 1, Activation::Tanh));
    /// let (x, p) = ([3.0, -2.0], [1.0, -1.0, 0.1, 0.2, 1.0, 0.5, 0.5]);
    /// let (mut y, mut x_bar, mut p_bar) = ([0.0; 2], [[0.0; 2]; 2], [[0.0; 7]; 2]);
    /// let slot = Slot::of_new_run();
    /// net.forward_kept(slot, &x, &p, &mut y);
    /// net.forward(&[7.0], &p, &mut [0.0]);
    /// net.vjp_kept(slot, &[f64::NAN; 2], &p, &[1.0, 2.0], &mut x_bar[0], &mut p_bar[0]);
    /// net.vjp(&x, &p, &[1.0, 2.0], &mut x_bar[1], &mut p_bar[1]);
    /// assert_eq!((x_bar[0], p_bar[0]), (x_bar[1], p_bar[1])); // the inputs were not asked again
    /// ```
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn vjp_kept(&mut self, slot: Slot, x: &[T], p: &[T], y_bar: &[T], x_bar: &mut [T], p_bar: &mut [T]) {
        if !self.holds(slot) {
            return self.vjp(x, p, y_bar, x_bar, p_bar);
        }
        let (inp, out) = (self.shape.inputs(), self.shape.outputs());
        assert_eq!(x_bar.len() * out, y_bar.len() * inp, "x_bar is [n, {inp}], y_bar is [n, {out}]");
        let tiles = y_bar.chunks(TILE * out).zip(x_bar.chunks_mut(TILE * inp));
        for (tile, (y_bar, x_bar)) in tiles.enumerate() {
            let n = y_bar.len() / out;
            self.swap_kept(slot, tile);
            self.output_and_bar(n).1.copy_from_slice(y_bar);
            x_bar.copy_from_slice(self.backward_tile(n, p, p_bar));
            self.swap_kept(slot, tile);
        }
    }

    /// From here on pull-backs may keep back their part of `p_bar`, until [`settle`](Self::settle).
    pub(crate) fn defer(&mut self) {
        for (layer, Deferred { x, z_bar }) in self.shape.layers.iter().zip(&mut self.deferred) {
            let LayerShape { inp, out } = layer.shape;
            if inp * out >= DEFERRED_FROM {
                x.resize(DEFERRED * inp, T::ZERO);
                z_bar.resize(DEFERRED * out, T::ZERO);
            }
        }
        (self.defers, self.deferred_rows) = (true, 0);
    }

    /// ADDS to `p_bar` what pull-backs kept back.
    pub(crate) fn settle(&mut self, p_bar: &mut [T]) {
        self.add_deferred(p_bar);
        self.defers = false;
    }

    fn add_deferred(&mut self, p_bar: &mut [T]) {
        let n = std::mem::take(&mut self.deferred_rows);
        let layers = self.shape.layers.iter().zip(&self.deferred);
        for (layer, Deferred { x, z_bar }) in layers.filter(|(_, deferred)| n > 0 && !deferred.x.is_empty()) {
            let (x, z_bar) = (&x[..n * layer.shape.inp], &z_bar[..n * layer.shape.out]);
            let (w_bar, b_bar) = tensors_mut(p_bar, &layer.w, layer.b.as_ref());
            layer_backward_params(z_bar, x, layer.shape, w_bar, b_bar, &mut self.scratch);
        }
    }

    /// Whether the layers of this slot are kept, and not those of another run's in its place.
    pub(crate) fn holds(&self, slot: Slot) -> bool {
        self.kept.0.get(slot.index()).is_some_and(|kept| kept.of == slot)
    }

    /// Exchanges the layers in hand and those that are kept of a tile, which are this slot's from now on.
    pub(crate) fn swap_kept(&mut self, slot: Slot, tile: usize) {
        let slots = &mut self.kept.0;
        if slots.len() <= slot.index() {
            slots.resize_with(slot.index() + 1, || KeptLayers { of: slot, tiles: Vec::new() });
        }
        let kept = &mut slots[slot.index()];
        kept.of = slot;
        while kept.tiles.len() <= tile {
            kept.tiles.push(Layers::new(&self.shape));
        }
        std::mem::swap(&mut self.layers, &mut kept.tiles[tile]);
    }

    /// The inputs of a tile of `n` rows, to be written before [`Self::forward_tile`].
    pub(crate) fn input(&mut self, n: usize) -> &mut [T] {
        &mut self.layers.a[0][..n * self.shape.inputs()]
    }

    /// The outputs of the last [`Self::forward_tile`].
    pub(crate) fn output(&self, n: usize) -> &[T] {
        &self.layers.z[self.layers.z.len() - 1][..n * self.shape.outputs()]
    }

    /// The outputs, and their adjoints to be written before [`Self::backward_tile`].
    pub(crate) fn output_and_bar(&mut self, n: usize) -> (&[T], &mut [T]) {
        let len = n * self.shape.outputs();
        (&self.layers.z[self.layers.z.len() - 1][..len], &mut self.bar[..len])
    }

    pub(crate) fn forward_tile(&mut self, n: usize, p: &[T]) {
        let phi = self.shape.activation();
        for (l, layer) in self.shape.layers.iter().enumerate() {
            let z = &mut self.layers.z[l];
            let z = if z.is_empty() { &mut self.z } else { z };
            let z = &mut z[..n * layer.shape.out];
            let x = &self.layers.a[l][..n * layer.shape.inp];
            let b = layer.b.clone().map(|b| &p[b]);
            layer_forward(x, &p[layer.w.clone()], b, layer.shape, z, &mut self.scratch);
            if let Some(a) = self.layers.a.get_mut(l + 1) {
                phi.apply(z, &mut a[..n * layer.shape.out]);
            }
        }
    }

    /// From the adjoints of the outputs: adds those of the parameters (or defers some of them), returns those of the inputs.
    pub(crate) fn backward_tile(&mut self, n: usize, p: &[T], p_bar: &mut [T]) -> &[T] {
        if self.defers && self.deferred_rows + n > DEFERRED {
            self.add_deferred(p_bar);
        }
        let (phi, at) = (self.shape.activation(), self.deferred_rows);
        for (l, layer) in self.shape.layers.iter().enumerate().rev() {
            let bar = &mut self.bar[..n * layer.shape.out];
            if let Some(a) = self.layers.a.get(l + 1) {
                let z = &self.layers.z[l];
                let z = if z.is_empty() { a } else { z };
                phi.backward(&z[..n * layer.shape.out], &a[..n * layer.shape.out], bar);
            }
            let x = &self.layers.a[l][..n * layer.shape.inp];
            let deferred = &mut self.deferred[l];
            if self.defers && !deferred.x.is_empty() {
                deferred.x[at * layer.shape.inp..][..x.len()].copy_from_slice(x);
                deferred.z_bar[at * layer.shape.out..][..bar.len()].copy_from_slice(bar);
            } else {
                let (w_bar, b_bar) = tensors_mut(p_bar, &layer.w, layer.b.as_ref());
                layer_backward_params(bar, x, layer.shape, w_bar, b_bar, &mut self.scratch);
            }
            let x_bar = &mut self.next_bar[..n * layer.shape.inp];
            layer_backward_input(bar, &p[layer.w.clone()], layer.shape, x_bar, &mut self.scratch);
            std::mem::swap(&mut self.bar, &mut self.next_bar);
        }
        if self.defers {
            self.deferred_rows += n;
        }
        &self.bar[..n * self.shape.inputs()]
    }
}

/// Weight and bias of a layer, which lie next to each other in this order.
pub(super) fn tensors_mut<'a, T>(
    p: &'a mut [T],
    w: &std::ops::Range<usize>,
    b: Option<&std::ops::Range<usize>>,
) -> (&'a mut [T], Option<&'a mut [T]>) {
    match b {
        None => (&mut p[w.clone()], None),
        Some(b) => {
            let (w, b) = p[w.start..b.end].split_at_mut(w.len());
            (w, Some(b))
        }
    }
}
