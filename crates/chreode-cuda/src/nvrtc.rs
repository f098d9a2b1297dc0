//! Compiling kernels at run time, by NVIDIA's NVRTC where it is there.

#![allow(unsafe_code, reason = "calls of NVRTC")]

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use cudarc::nvrtc::{result, sys};

use crate::CudaError;

/// Every function that is called; cudarc panics at the first call of one that is missing.
const SYMBOLS: &[&str] = &[
    "nvrtcCreateProgram",
    "nvrtcCompileProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetPTXSize",
    "nvrtcGetPTX",
    "nvrtcGetProgramLogSize",
    "nvrtcGetProgramLog",
];

/// Looks for the library, once in a process.
fn probe() -> Result<(), CudaError> {
    static FOUND: OnceLock<Result<(), CudaError>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            // SAFETY: loads NVRTC, whose initialisers are its own.
            if !unsafe { sys::is_culib_present() } {
                return Err(CudaError::NoRuntimeCompiler);
            }
            for &symbol in SYMBOLS {
                // SAFETY: the library was found above; the symbol is only looked for, not called, so that its type does not matter.
                if unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_err() {
                    return Err(CudaError::RuntimeCompilerLacks { symbol });
                }
            }
            Ok(())
        })
        .clone()
}

/// PTX of a CUDA source for compute capability 8.0 and more.
///
/// # Errors
/// [`CudaError::NoRuntimeCompiler`], [`CudaError::RuntimeCompilerLacks`]; [`CudaError::DoesNotCompile`] with what it says.
pub(crate) fn compile(source: &str) -> Result<String, CudaError> {
    probe()?;
    let refused = |what: &str| CudaError::DoesNotCompile { log: what.to_owned() };
    let text = CString::new(source).map_err(|_| refused("the source holds a zero byte"))?;
    let program = result::create_program(&text, None).map_err(|e| refused(&e.to_string()))?;
    let options = ["--gpu-architecture=compute_80", "--std=c++17", "--fmad=true"];
    // SAFETY: the program was made above and is destroyed once, below; the source outlives it.
    unsafe {
        let compiled = result::compile_program(program, &options);
        let out = match compiled {
            Ok(()) => result::get_ptx(program).map(|ptx| text_of(&ptx)).map_err(|e| refused(&e.to_string())),
            Err(error) => {
                let log =
                    result::get_program_log(program).map_or_else(|_| error.to_string(), |log| text_of(&log));
                Err(CudaError::DoesNotCompile { log })
            }
        };
        let _ = result::destroy_program(program); // nothing is to be done about a program that is left
        out
    }
}

/// The text before the first zero.
fn text_of(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c.cast_unsigned()).take_while(|&b| b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
