//! Stiff ensembles of a field that was written as CUDA C, such as `chreode_autodiff::Program::cuda_code` writes of a model.
//!
//! References: [Ste23] Steinebach (2023), BIT Numer. Math. 63, 27.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::network::AdaptiveOptions;
use std::fmt::Write as _;

use super::network::{Room, Run, TrajectoryEnd, ends};
use crate::buffer::Buffer;
use crate::device::{Grid, OwnKernel, Stream};
use crate::error::{check_len, int};
use crate::{CudaError, nvrtc};

/// Vectors of a trajectory: eight stages, the state, that of the stage, row exchanges, the slope in time.
const SLOTS: usize = 12;

/// What the kernel is made of, after the device language and before the field.
const HEADERS: [&str; 4] = [
    include_str!("../../kernels/math.cuh"),
    include_str!("../../kernels/shared.cuh"),
    include_str!("../../kernels/adaptive.cuh"),
    include_str!("../../kernels/rosenbrock.cuh"),
];

/// The source of an ensemble's kernel for one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedSource {
    name: String,
    d: usize,
    n_params: usize,
    field: String,
}

impl GeneratedSource {
    /// A kernel of this name for `field`, CUDA C with a structure `GeneratedField` of `d` states and `n_params` parameters.
    ///
    /// # Errors
    /// [`CudaError::BadName`]; [`CudaError::Shape`] without a state.
    pub fn new(name: &str, d: usize, n_params: usize, field: &str) -> Result<Self, CudaError> {
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(letter) || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
            return Err(CudaError::BadName { name: name.to_owned() });
        }
        check_len("states of a field (at least)", d.min(1), 1)?;
        int("states", d)?;
        Ok(Self { name: name.to_owned(), d, n_params, field: field.to_owned() })
    }

    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source but for the device language: what another compiler of it gives before.
    pub fn body(&self) -> String {
        let Self { name, d, n_params, field } = self;
        let mut text = HEADERS.map(without_directives).concat();
        text.push_str(field);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "static_assert(GeneratedField::STATES == {d} && GeneratedField::PARAMETERS == {n_params}, \"the field has other sizes\");"
        );
        let _ = writeln!(text, "#define GENERATED {name}\n{}", include_str!("../../kernels/generated.cuh"));
        text
    }

    /// The whole source as NVRTC or nvcc compile it: one text that includes nothing.
    pub fn text(&self) -> String {
        // Its functions name the number of threads.
        let language = without_directives(include_str!("../../kernels/nvrtc.cuh"));
        language + &self.body()
    }

    /// Its PTX, by NVRTC.
    ///
    /// # Errors
    /// [`CudaError::NoRuntimeCompiler`] where the library is not; [`CudaError::DoesNotCompile`].
    pub fn compile(&self) -> Result<String, CudaError> {
        nvrtc::compile(&self.text())
    }
}

/// A header's text without what one text of all headers does not need.
fn without_directives(header: &str) -> String {
    let kept = header.lines().filter(|l| !l.starts_with("#pragma once") && !l.starts_with("#include"));
    kept.flat_map(|l| [l, "\n"]).collect()
}

/// A field on a device.
#[derive(Debug)]
pub struct GeneratedEnsemble {
    stream: Stream,
    d: usize,
    n_params: usize,
    kernel: OwnKernel,
}

impl GeneratedEnsemble {
    /// Compiles a source by NVRTC and loads it.
    ///
    /// # Errors
    /// As [`GeneratedSource::compile`] and [`from_ptx`](Self::from_ptx).
    pub fn new(stream: &Stream, source: &GeneratedSource) -> Result<Self, CudaError> {
        Room::of(stream, source.d, 0, SLOTS)?; // before anything is compiled
        Self::from_ptx(stream, source, &source.compile()?)
    }

    /// Loads what a compiler made of the source.
    ///
    /// # Errors
    /// [`CudaError::TooLarge`] for more states than fit the shared memory (18 on an H100); [`CudaError::BadModule`] if the driver refuses
    /// the PTX; [`CudaError::MissingKernel`] if it is of another source.
    pub fn from_ptx(stream: &Stream, source: &GeneratedSource, ptx: &str) -> Result<Self, CudaError> {
        Room::of(stream, source.d, 0, SLOTS)?;
        let kernel = OwnKernel::load(stream.device(), &source.name, ptx)?;
        Ok(Self { stream: stream.clone(), d: source.d, n_params: source.n_params, kernel })
    }

    /// Solves from `start`, `[n, d]`, at the first of `times` to the last, by `Rodas5P`, and sets `saved`, `[times - 1, n, d]`, to the states
    /// at the times after the first. `p` is `[n_params]`, the same for all, or `[n, n_params]`. A trajectory that stops on its way is zero
    /// from there on. States are f32: relative tolerances below 1e-5 have no digits.
    ///
    /// # Errors
    /// [`CudaError::Shape`] for other lengths, or for times that do not ascend; [`CudaError::Setting`] for tolerances that are not positive,
    /// or times that are not finite; [`CudaError::OtherStream`]; the launch's.
    pub fn solve_stiff(
        &self,
        options: AdaptiveOptions,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        times: &[f64],
        saved: &mut Buffer<f32>,
    ) -> Result<Vec<TrajectoryEnd>, CudaError> {
        let Run { n, saves, each } = Run::check(options, self.d, self.n_params, p, start, times, saved)?;
        let Room { blocks, outside, shared, matrices } = Room::of(&self.stream, self.d, n, SLOTS)?;
        for (what, buffer) in [("p", p), ("start", start), ("saved", &*saved)] {
            buffer.must_be_of(&self.stream, what)?;
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        let matrices = self.stream.zeros::<f32>(matrices)?;
        let times = self.stream.upload(times)?;
        let (steps, status) = (self.stream.zeros::<i32>(2 * n)?, self.stream.zeros::<i32>(n)?);
        let (rows, outside, max_steps) = (n as i32, i32::from(outside), int("steps", options.max_steps)?);
        let pointers = [
            p.address(),
            start.address(),
            times.address(),
            matrices.address(),
            saved.address(),
            steps.address(),
            status.address(),
        ];
        let mut arguments = [
            (&raw const rows).cast_mut().cast(),
            (&raw const saves).cast_mut().cast(),
            (&raw const each).cast_mut().cast(),
            (&raw const outside).cast_mut().cast(),
            (&raw const max_steps).cast_mut().cast(),
            (&raw const options.rtol).cast_mut().cast(),
            (&raw const options.atol).cast_mut().cast(),
            (&raw const pointers[0]).cast_mut().cast(),
            (&raw const pointers[1]).cast_mut().cast(),
            (&raw const pointers[2]).cast_mut().cast(),
            (&raw const pointers[3]).cast_mut().cast(),
            (&raw const pointers[4]).cast_mut().cast(),
            (&raw const pointers[5]).cast_mut().cast(),
            (&raw const pointers[6]).cast_mut().cast(),
        ];
        // SAFETY: types and order are those of `generated.cuh`; all lengths are checked above, the systems have room, and the source asserts
        // that the field has these sizes.
        unsafe {
            self.kernel.launch(&self.stream, Grid { blocks: (blocks, 1), shared }, &mut arguments)?;
        }
        ends(&steps, &status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes() {
        for name in ["", "1st", "a b", "a;", "ä"] {
            assert_eq!(
                GeneratedSource::new(name, 1, 0, "").err(),
                Some(CudaError::BadName { name: name.to_owned() })
            );
        }
        assert!(matches!(GeneratedSource::new("k", 0, 0, "").err(), Some(CudaError::Shape { .. })));
    }

    #[test]
    fn one_text_includes_nothing() {
        let source = GeneratedSource::new("kernel_7", 2, 3, "struct GeneratedField {};\n").unwrap();
        let text = source.text();
        assert!(!text.contains("#include") && !text.contains("#pragma once"));
        let at = |part: &str| text.find(part).unwrap();
        assert!(
            at("__global__") < at("constexpr int THREADS")
                && at("struct Rodas {") < at("struct GeneratedField")
        );
        assert!(at("struct GeneratedField") < at("#define GENERATED kernel_7"));
    }
}
