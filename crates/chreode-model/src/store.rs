//! Models on disk: parameters by name in a safetensors file, the configuration in its metadata.
//!
//! The metadata has one entry, `chreode`: JSON with the format's version and the configuration. (One entry,
//! because safetensors writes entries in no fixed order, and equal models shall give equal files.)

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use chreode_core::{ParamEntry, ParamLayout, Real};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, ModelConfig, ModelError, NeuralSde, StoreError};

const ENTRY: &str = "chreode";

/// A model that a file can hold: it is built from a configuration, and its layout names the parameters.
pub trait Stored: Sized {
    /// What the model is built from.
    type Config: Serialize + DeserializeOwned;

    /// Name and version of the format, in the file's metadata.
    const FORMAT: &'static str;

    /// The model of a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming what is wrong.
    fn from_config(config: Self::Config) -> Result<Self, ConfigError>;

    /// What the model was built from.
    fn config(&self) -> Self::Config;

    /// Names, shapes and offsets of the parameters.
    fn layout(&self) -> ParamLayout;
}

impl<T: Real> Stored for NeuralSde<T> {
    type Config = ModelConfig;
    const FORMAT: &'static str = "chreode-model/1";
    fn from_config(config: ModelConfig) -> Result<Self, ConfigError> {
        Self::new(config)
    }
    fn config(&self) -> ModelConfig {
        self.config().clone()
    }
    fn layout(&self) -> ParamLayout {
        self.layout().clone()
    }
}

#[derive(Serialize, Deserialize)]
struct Header<C> {
    format: String,
    config: C,
}

/// Writes configuration and parameters to `path`, replacing it at once or not at all.
///
/// # Errors
/// [`StoreError`]: parameters of another length or not finite, or a file that cannot be written. `path` is
/// then as it was.
pub fn save<T: Real, M: Stored>(path: &Path, model: &M, p: &[T]) -> Result<(), StoreError> {
    let layout = model.layout();
    if p.len() != layout.len() {
        return Err(ModelError::Length { what: "p", found: p.len(), expected: layout.len() }.into());
    }
    for entry in layout.entries() {
        check_finite(path, entry, &p[entry.range()])?;
    }
    let header = Header { format: M::FORMAT.to_owned(), config: model.config() };
    let header = serde_json::to_string(&header)
        .map_err(|source| StoreError::ConfigJson { path: path.to_owned(), source })?;
    let dtype = if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 };
    let broken = |source| StoreError::Safetensors { path: path.to_owned(), source };
    // safetensors is little-endian; so is every machine that this is built for (see the assertion below).
    let tensors = layout.entries().iter().map(|e| {
        let bytes = bytemuck::cast_slice(&p[e.range()]);
        TensorView::new(dtype, e.shape.clone(), bytes).map(|view| (e.name.as_str(), view))
    });
    let tensors: Vec<_> = tensors.collect::<Result<_, _>>().map_err(broken)?;
    let metadata = HashMap::from([(ENTRY.to_owned(), header)]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(broken)?;
    chreode_core::write_atomically(path, |w| w.write_all(&bytes))
        .map_err(|source| StoreError::Io { path: path.to_owned(), source })
}

const _: () = assert!(cfg!(target_endian = "little"), "safetensors bytes are copied as they are");

/// Reads a cell model and its parameters: [`load_as`] for [`NeuralSde`].
///
/// # Errors
/// As [`load_as`].
pub fn load<T: Real>(path: &Path) -> Result<(NeuralSde<T>, Vec<T>), StoreError> {
    load_as(path)
}

/// Reads a model and its parameters; numbers are rounded if the file holds `f64` and `T` is `f32`.
///
/// # Errors
/// [`StoreError`], naming the file and, where there is one, the tensor: not a safetensors file or cut short,
/// another format, missing, unknown or misshapen tensors, values that are not finite.
pub fn load_as<T: Real, M: Stored>(path: &Path) -> Result<(M, Vec<T>), StoreError> {
    let bytes = fs::read(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    let broken = |source| StoreError::Safetensors { path: path.to_owned(), source };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let model = M::from_config(read_config::<M>(path, metadata.metadata().as_ref())?)
        .map_err(|source| StoreError::Config { path: path.to_owned(), source })?;
    let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
    let layout = model.layout();
    let mut unknown: Vec<&str> = file.names();
    unknown.retain(|name| layout.find(name).is_none());
    if let Some(tensor) = unknown.iter().min() {
        return Err(StoreError::UnknownTensor { path: path.to_owned(), tensor: (*tensor).to_owned() });
    }
    // All shapes before the first allocation, so that a strange configuration costs no memory.
    let mut views = Vec::with_capacity(layout.entries().len());
    for entry in layout.entries() {
        let (path, tensor) = (path.to_owned(), entry.name.clone());
        let Ok(view) = file.tensor(&entry.name) else {
            return Err(StoreError::MissingTensor { path, tensor });
        };
        if view.shape() != entry.shape {
            let (found, expected) = (view.shape().to_vec(), entry.shape.clone());
            return Err(StoreError::Shape { path, tensor, found, expected });
        }
        views.push(view);
    }
    let mut p = vec![T::ZERO; layout.len()];
    for (entry, view) in layout.entries().iter().zip(views) {
        let (path, tensor) = (path.to_owned(), entry.name.clone());
        let values = &mut p[entry.range()];
        match view.dtype() {
            Dtype::F32 => read_into(view.data(), values, |b| f64::from(f32::from_le_bytes(b))),
            Dtype::F64 => read_into(view.data(), values, f64::from_le_bytes),
            other => return Err(StoreError::Type { path, tensor, found: format!("{other:?}") }),
        }
        check_finite(&path, entry, values)?;
    }
    Ok((model, p))
}

fn read_config<M: Stored>(
    path: &Path,
    metadata: Option<&HashMap<String, String>>,
) -> Result<M::Config, StoreError> {
    let format =
        |found: Option<String>| StoreError::Format { path: path.to_owned(), found, expected: M::FORMAT };
    let json = |source| StoreError::ConfigJson { path: path.to_owned(), source };
    let text = metadata.and_then(|m| m.get(ENTRY)).ok_or_else(|| format(None))?;
    // The format first: another version may have another configuration.
    let header: Header<serde_json::Value> = serde_json::from_str(text).map_err(json)?;
    if header.format != M::FORMAT {
        return Err(format(Some(header.format)));
    }
    serde_json::from_value(header.config).map_err(json)
}

fn read_into<T: Real, const N: usize>(bytes: &[u8], values: &mut [T], read: fn([u8; N]) -> f64) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = T::c(read(*bytes));
    }
}

fn check_finite<T: Real>(path: &Path, entry: &ParamEntry, values: &[T]) -> Result<(), StoreError> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => Err(StoreError::NonFinite {
            path: path.to_owned(),
            tensor: entry.name.clone(),
            index,
            value: values[index].f64(),
        }),
    }
}
