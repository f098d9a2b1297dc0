//! Building the library.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::recipe::{Recipe, Source, at};

/// Why there is no stand-in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandInError {
    /// No compiler was found.
    #[error("there is no {compiler} to build the stand-in driver with")]
    NoCompiler {
        /// What was looked for.
        compiler: String,
    },
    /// The sources do not compile.
    #[error("the stand-in driver does not compile:\n{output}")]
    DoesNotCompile {
        /// What the compiler said.
        output: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// The library was built and cannot be loaded.
    #[error("{path}: {source}")]
    DoesNotLoad {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: libloading::Error,
    },
}

/// Which library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// With every call.
    Whole,
    /// Without `cuLaunchKernel`, as a driver that is too old.
    WithoutLaunch,
    /// With the tensor cores' operations lane by lane, in whose place there are plain loops otherwise.
    TensorCores,
}

/// Flags of the compiler.
const FLAGS: &[&str] = &[
    "-std=c++17",
    "-O2",
    "-march=native",
    "-ffp-contract=fast",
    "-fPIC",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-pthread",
];
/// Of the driver: the name is what makes the loader take the library for the driver's.
const NAME: &str = "-Wl,-soname,libcuda.so";

/// Number of a barrier that is left out, for the test that must notice.
pub const WITHOUT_BARRIER: &str = "CHREODE_CUDA_WITHOUT_BARRIER";
/// How kernels wait for each other.
const BARRIER: &str = "barrier();";

/// Asks for a library with GCC's `AddressSanitizer`, whose runtime the process must have been started with: [`sanitizer_runtime`].
pub const SANITIZED: &str = "CHREODE_CUDA_SANITIZED";
/// Flags of a library with it, behind the others.
const SANITIZER_FLAGS: &[&str] = &["-fsanitize=address", "-fno-omit-frame-pointer", "-g", "-O1"];

/// The compiler.
fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "g++".into())
}

/// The runtime of the compiler's `AddressSanitizer`, for `LD_PRELOAD`: a Rust program is not linked with it, and it must be loaded first. None
/// where it is not installed.
pub fn sanitizer_runtime() -> Option<PathBuf> {
    let out = Command::new(compiler()).arg("-print-file-name=libasan.so").output().ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    path.is_absolute().then_some(path) // a name alone is what was not found
}

/// The flags that the environment asks for.
fn flags() -> Vec<&'static str> {
    let sanitizer = if std::env::var_os(SANITIZED).is_some() { SANITIZER_FLAGS } else { &[] };
    [FLAGS, sanitizer].concat()
}

/// Where the kernels' barriers stand: file and line, in the order of their numbers.
///
/// # Errors
/// [`StandInError::File`].
pub fn barriers() -> Result<Vec<(String, usize)>, StandInError> {
    let mut found = Vec::new();
    for (name, text) in kernel_files()? {
        let lines = text.lines().enumerate().filter(|(_, l)| l.contains(BARRIER));
        found.extend(lines.map(|(i, _)| (name.clone(), i + 1)));
    }
    Ok(found)
}

/// Leaves out a barrier; they are counted as [`barriers`] does.
fn remove_barrier(kernels: &mut [Source], number: usize) {
    let mut count = 0;
    for (_, text) in kernels {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for line in lines.iter_mut().filter(|l| l.contains(BARRIER)) {
            if count == number {
                *line = line.replace(BARRIER, "(void)0;");
            }
            count += 1;
        }
        *text = lines.join("\n") + "\n";
    }
}

/// The kernels and their headers, but for the one that is clang's.
fn kernel_files() -> Result<Vec<Source>, StandInError> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chreode-cuda/kernels");
    let mut files = read_all(&dir, &["cu", "cuh"])?;
    // Those are the device languages of other compilers.
    files.retain(|(name, _)| name != "device.cuh" && name != "nvrtc.cuh");
    Ok(files)
}

/// The library's path, which is built unless one of these sources is there.
pub(crate) fn build(variant: Variant) -> Result<PathBuf, StandInError> {
    let mut files = read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("driver"), &["h", "cpp"])?;
    let mut kernels = kernel_files()?;
    if let Some(number) = std::env::var(WITHOUT_BARRIER).ok().and_then(|n| n.parse::<usize>().ok()) {
        remove_barrier(&mut kernels, number);
    }
    let (modules, headers) = kernels.into_iter().partition::<Vec<_>, _>(|(name, _)| !name.ends_with('h'));
    files.extend(headers);
    let variants = variants(&files);
    for (name, text) in modules {
        files.extend(wrappers(&name, &text, &variants));
        files.push((name, text));
    }
    let compiler = compiler();
    let mut flags = flags();
    match variant {
        Variant::Whole => {}
        // Of the driver alone, so that what was compiled of the kernels is of use for both.
        Variant::WithoutLaunch => {
            let driver = files.iter_mut().filter(|(name, _)| name == "libcuda.cpp");
            driver.for_each(|(_, text)| text.insert_str(0, "#define STANDIN_WITHOUT_LAUNCH\n"));
        }
        Variant::TensorCores => flags.push("-DSTANDIN_TENSOR_CORES"),
    }
    Recipe { compiler: &compiler, flags: &flags, last: &[NAME], files: &files }.library("libcuda.so")
}

/// The path of a library with one kernel more, whose source is without a device language; it is built unless it is there. It uses the fibers
/// and the list of kernels of `driver`, the library that was loaded.
pub(crate) fn build_kernel(driver: &Path, kernel: &str, source: &str) -> Result<PathBuf, StandInError> {
    let mut files = read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("driver"), &["h"])?;
    let unit = format!(
        "#include \"shim.h\"\n#include \"launch.h\"\n{source}\nstatic Registration {kernel}_registration(\"{kernel}\", &{kernel});\n"
    );
    files.push(("kernel.cpp".into(), unit));
    let (compiler, driver_text) = (compiler(), driver.to_string_lossy());
    Recipe { compiler: &compiler, flags: &flags(), last: &[&driver_text], files: &files }.library("kernel.so")
}

/// The files with these endings, in the order of their names.
fn read_all(dir: &Path, endings: &[&str]) -> Result<Vec<Source>, StandInError> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sources.push((name, std::fs::read_to_string(&path).map_err(at(&path))?));
        }
    }
    sources.sort();
    Ok(sources)
}

/// How kernels begin, and whether they are compiled for variants, and for those with a large tile.
const MARKS: [(&str, bool, bool); 3] =
    [("KERNEL ", false, false), ("PRECISION_KERNEL ", true, false), ("VARIANT_KERNEL ", true, true)];

/// Names and numbers of the variants, from the header that kernels and host share.
fn variants(files: &[Source]) -> Vec<(String, String)> {
    let lines = files.iter().filter(|(name, _)| name == "shared.cuh").flat_map(|(_, text)| text.lines());
    lines
        .filter_map(|l| {
            let (name, number) = l.strip_prefix("constexpr int VARIANT_")?.split_once(" = ")?;
            Some((name.to_lowercase(), number.trim_end_matches(';').to_owned()))
        })
        .collect()
}

/// Files that make the kernels of a file known to the driver: one, or one for each variant.
fn wrappers(name: &str, text: &str, variants: &[(String, String)]) -> Vec<Source> {
    let kernels: Vec<_> = kernels(text).collect();
    let by_variant = kernels.iter().any(|&(_, by_variant, _)| by_variant);
    let large = kernels.iter().any(|&(_, _, large)| large);
    let wrapper = |variant: Option<&(String, String)>| {
        let mut wrapper = String::new();
        let suffix = variant.map_or_else(String::new, |(suffix, _)| format!("_{suffix}"));
        // Writing to a String cannot fail.
        if let Some((_, number)) = variant {
            let _ = writeln!(wrapper, "#define VARIANT {number}");
            for (kernel, ..) in &kernels {
                let _ = writeln!(wrapper, "#define {kernel} {kernel}{suffix}");
            }
        }
        let _ = writeln!(wrapper, "#include \"shim.h\"\n#include \"launch.h\"\n#include \"{name}\"");
        for (kernel, ..) in &kernels {
            let known = format!("{kernel}{suffix}");
            let _ = writeln!(wrapper, "static Registration {known}_registration(\"{known}\", &{known});");
        }
        (format!("{name}{suffix}.cpp"), wrapper)
    };
    if !by_variant {
        return vec![wrapper(None)];
    }
    variants
        .iter()
        .filter(|(suffix, _)| large || !suffix.ends_with("_large"))
        .map(|v| wrapper(Some(v)))
        .collect()
}

/// The kernels of a file: their names, whether they are compiled for variants, and for those with a large tile.
fn kernels(text: &str) -> impl Iterator<Item = (&str, bool, bool)> {
    text.lines().filter_map(|l| {
        let find =
            |(mark, by_variant, large)| Some((l.strip_prefix(mark)?.split('(').next()?, by_variant, large));
        MARKS.iter().copied().find_map(find)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_their_names() {
        let text = "// KERNEL no\nKERNEL first(int n) {\n}\n  KERNEL neither(\nKERNEL second(int n,\n";
        assert_eq!(kernels(text).collect::<Vec<_>>(), [("first", false, false), ("second", false, false)]);
    }

    #[test]
    fn variants_have_files_of_their_own() {
        let header = "constexpr int VARIANT_F32 = 0;\nconstexpr int OTHER = 1;\nconstexpr int VARIANT_F32_LARGE = 1;\n";
        let variants = variants(&[("shared.cuh".to_owned(), header.to_owned())]);
        let names =
            |text: &str| wrappers("a.cu", text, &variants).into_iter().map(|w| w.0).collect::<Vec<_>>();
        assert_eq!(names("KERNEL a(int n) {"), ["a.cu.cpp"]);
        assert_eq!(names("PRECISION_KERNEL a(int n) {"), ["a.cu_f32.cpp"]);
        assert_eq!(names("VARIANT_KERNEL a(int n) {"), ["a.cu_f32.cpp", "a.cu_f32_large.cpp"]);
        let large = &wrappers("a.cu", "VARIANT_KERNEL a(int n) {", &variants)[1].1;
        for part in ["#define VARIANT 1\n", "#define a a_f32_large\n", "(\"a_f32_large\", &a_f32_large)"] {
            assert!(large.contains(part), "{large}");
        }
    }

    #[test]
    fn one_barrier_is_left_out() {
        let text = "f();\n    barrier();\nif (x) barrier();\n";
        let mut kernels = [("a.cu".to_owned(), text.to_owned()), ("b.cu".to_owned(), text.to_owned())];
        remove_barrier(&mut kernels, 2);
        assert_eq!(kernels[0].1, text);
        assert_eq!(kernels[1].1, "f();\n    (void)0;\nif (x) barrier();\n");
        assert!(barriers().unwrap().iter().any(|(file, _)| file == "mlp.cuh"));
    }
}
