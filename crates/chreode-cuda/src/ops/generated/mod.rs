//! Kernels for a model that was written as CUDA C, such as `chreode_autodiff` writes of one: `Program::cuda_field`, `Program::cuda_code`,
//! `AutoSde::cuda_code`.
//!
//! Here: their source, and compiling it. `ensemble` solves ordinary equations, `paths` runs stochastic ones.

mod ensemble;
mod paths;

pub use ensemble::GeneratedEnsemble;
pub use paths::GeneratedPaths;

use std::fmt::Write as _;

use crate::device::OwnKernel;
use crate::error::{check_len, int};
use crate::{CudaError, Device, nvrtc};

/// What a generated kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GeneratedMethod {
    /// Ordinary equations by Tsitouras 5(4), each trajectory with its own steps.
    Tsit5,
    /// Stiff ones by `Rodas5P`, with exact Jacobians.
    Rodas5P,
    /// Stochastic ones, Itô, by Euler-Maruyama on given steps.
    EulerMaruyama,
}

impl GeneratedMethod {
    /// What its kernel is made of, after the device language: headers before the model, and the kernel after it.
    fn parts(self) -> (&'static [&'static str], &'static str) {
        const MATH: &str = include_str!("../../../kernels/math.cuh");
        const SHARED: &str = include_str!("../../../kernels/shared.cuh");
        const ADAPTIVE: &str = include_str!("../../../kernels/adaptive.cuh");
        match self {
            Self::Tsit5 => (
                &[MATH, SHARED, ADAPTIVE, include_str!("../../../kernels/tsit5.cuh")],
                include_str!("../../../kernels/generated_tsit5.cuh"),
            ),
            Self::Rodas5P => (
                &[MATH, SHARED, ADAPTIVE, include_str!("../../../kernels/rosenbrock.cuh")],
                include_str!("../../../kernels/generated_rodas5p.cuh"),
            ),
            Self::EulerMaruyama => (
                &[MATH, SHARED, include_str!("../../../kernels/philox.cuh")],
                include_str!("../../../kernels/generated_euler_maruyama.cuh"),
            ),
        }
    }
}

/// The source of a kernel for one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedSource {
    name: String,
    method: GeneratedMethod,
    d: usize,
    n_params: usize,
    model: String,
}

impl GeneratedSource {
    /// A kernel of this name for `model`, CUDA C with a structure `GeneratedField` of `d` states and `n_params` parameters: with its
    /// Jacobian for `Rodas5P` (`Program::cuda_code`), beside a structure `GeneratedNoise` for Euler-Maruyama (`AutoSde::cuda_code`), alone for
    /// `Tsit5` (`Program::cuda_field`).
    ///
    /// # Errors
    /// [`CudaError::BadName`]; [`CudaError::Shape`] without a state.
    pub fn new(
        name: &str,
        method: GeneratedMethod,
        d: usize,
        n_params: usize,
        model: &str,
    ) -> Result<Self, CudaError> {
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(letter) || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
            return Err(CudaError::BadName { name: name.to_owned() });
        }
        check_len("states of a model (at least)", d.min(1), 1)?;
        int("states", d)?;
        Ok(Self { name: name.to_owned(), method, d, n_params, model: model.to_owned() })
    }

    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it runs.
    pub fn method(&self) -> GeneratedMethod {
        self.method
    }

    /// The source but for the device language: what another compiler of it gives before.
    pub fn body(&self) -> String {
        let Self { name, method, d, n_params, model } = self;
        let (headers, kernel) = method.parts();
        let mut text: String = headers.iter().map(|h| without_directives(h)).collect();
        text.push_str(model);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "static_assert(GeneratedField::STATES == {d} && GeneratedField::PARAMETERS == {n_params}, \"the model has other sizes\");"
        );
        if *method == GeneratedMethod::EulerMaruyama {
            text.push_str(
                "static_assert(GeneratedNoise::STATES == GeneratedField::STATES, \"drift and noise have other sizes\");\n",
            );
        }
        let _ = writeln!(text, "#define GENERATED {name}\n{kernel}");
        text
    }

    /// The whole source as NVRTC or nvcc compile it: one text that includes nothing.
    pub fn text(&self) -> String {
        // Its functions name the number of threads.
        let language = without_directives(include_str!("../../../kernels/nvrtc.cuh"));
        language + &self.body()
    }

    /// Its PTX, by NVRTC.
    ///
    /// # Errors
    /// [`CudaError::NoRuntimeCompiler`] where the library is not; [`CudaError::DoesNotCompile`].
    pub fn compile(&self) -> Result<String, CudaError> {
        nvrtc::compile(&self.text())
    }

    /// Loads what a compiler made of the source.
    fn load(&self, device: &Device, ptx: &str) -> Result<OwnKernel, CudaError> {
        OwnKernel::load(device, &self.name, ptx)
    }

    /// The error unless the source runs one of these methods.
    fn must_run(&self, methods: &[GeneratedMethod]) -> Result<(), CudaError> {
        if methods.contains(&self.method) {
            Ok(())
        } else {
            Err(CudaError::OtherMethod { method: self.method })
        }
    }
}

/// A header's text without what one text of all headers does not need.
fn without_directives(header: &str) -> String {
    let kept = header.lines().filter(|l| !l.starts_with("#pragma once") && !l.starts_with("#include"));
    kept.flat_map(|l| [l, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes() {
        let new = |name: &str, d| GeneratedSource::new(name, GeneratedMethod::Tsit5, d, 0, "");
        for name in ["", "1st", "a b", "a;", "ä"] {
            assert_eq!(new(name, 1).err(), Some(CudaError::BadName { name: name.to_owned() }));
        }
        assert!(matches!(new("k", 0).err(), Some(CudaError::Shape { .. })));
    }

    #[test]
    fn one_text_includes_nothing() {
        for (method, needs) in [
            (GeneratedMethod::Tsit5, "struct Tsit5 {"),
            (GeneratedMethod::Rodas5P, "struct Rodas {"),
            (GeneratedMethod::EulerMaruyama, "DEVICE void normals("),
        ] {
            let source =
                GeneratedSource::new("kernel_7", method, 2, 3, "struct GeneratedField {};\n").unwrap();
            let text = source.text();
            assert!(!text.contains("#include") && !text.contains("#pragma once"));
            let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{method:?}: {part}"));
            assert!(
                at("__global__") < at("constexpr int THREADS") && at(needs) < at("struct GeneratedField")
            );
            assert!(at("struct GeneratedField") < at("#define GENERATED kernel_7"));
        }
    }
}
