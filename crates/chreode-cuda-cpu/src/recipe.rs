//! Compiling: each source by itself, side by side, and only where it or what it includes has changed.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use crate::build::StandInError;

/// A source file: its name and text.
pub(crate) type Source = (String, String);

/// Flags that make a library of what was compiled.
const LIBRARY: &[&str] = &["-shared"];
/// Libraries that this process has begun to build: threads that build the same one do not share a folder.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// What a library is made of.
pub(crate) struct Recipe<'a> {
    pub(crate) compiler: &'a str,
    pub(crate) flags: &'a [&'a str],
    /// What stands behind the sources when they are put together: what they need is looked for in the libraries after them.
    pub(crate) last: &'a [&'a str],
    pub(crate) files: &'a [Source],
}

impl Recipe<'_> {
    /// The path of the library, which is built unless it is there.
    pub(crate) fn library(&self, name: &str) -> Result<PathBuf, StandInError> {
        let target = target(self.compiler);
        let files = self.files.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
        let flags = self.flags.iter().chain(LIBRARY).chain(self.last).copied();
        let print = fingerprint(files.chain(flags).chain([self.compiler, target.as_str()]));
        let dir = folder().join(format!("{print:016x}"));
        let library = dir.join(name);
        if !library.exists() {
            self.build(&target, &dir, &library)?;
        }
        Ok(library)
    }

    /// Compiles in a folder of its own what is not there from another time, and puts the result in its place at once.
    fn build(&self, target: &str, dir: &Path, library: &Path) -> Result<(), StandInError> {
        let own = format!("{}-{}", std::process::id(), BEGUN.fetch_add(1, Ordering::Relaxed));
        let (work, objects) = (dir.with_extension(own), folder().join("objects"));
        for made in [&work, &objects, dir] {
            std::fs::create_dir_all(made).map_err(at(made))?;
        }
        for (name, text) in self.files {
            let path = work.join(name);
            std::fs::write(&path, text).map_err(at(&path))?;
        }
        let names = self.files.iter().map(|(name, _)| name.as_str());
        let units: Vec<&str> =
            names.filter(|n| Path::new(n).extension().is_some_and(|e| e == "cpp")).collect();
        let next = AtomicUsize::new(0);
        let compile = || -> Result<Vec<(usize, PathBuf)>, StandInError> {
            let mut made = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(unit) = units.get(i) else { return Ok(made) };
                made.push((i, self.object(unit, target, &work, &objects)?));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(units.len());
        let parts: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(compile)).collect();
            let join =
                |worker: ScopedJoinHandle<_>| worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            workers.into_iter().map(join).collect()
        });
        let mut made = parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        made.sort();
        let mut command = Command::new(self.compiler);
        command.args(made.iter().map(|(_, object)| object)).args(self.flags).args(LIBRARY).args(self.last);
        self.run(command.args(["-o", "library.so"]), &work)?;
        std::fs::rename(work.join("library.so"), library).map_err(at(library))?;
        // What is left is of no use, and in nobody's way.
        let _ = std::fs::remove_dir_all(&work);
        Ok(())
    }

    /// The object of one source, compiled unless it is there: of the same text, the same headers, the same compiler.
    fn object(&self, unit: &str, target: &str, work: &Path, objects: &Path) -> Result<PathBuf, StandInError> {
        let mut texts = Vec::new();
        self.included(unit, &mut texts);
        let parts = texts.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
        let print = fingerprint(parts.chain(self.flags.iter().copied()).chain([self.compiler, target]));
        let object = objects.join(format!("{print:016x}.o"));
        if !object.exists() {
            let built = format!("{unit}.o");
            let mut command = Command::new(self.compiler);
            self.run(command.args(["-c", unit, "-o", &built]).args(self.flags), work)?;
            let built = work.join(built);
            std::fs::rename(&built, &object).map_err(at(&object))?;
        }
        Ok(object)
    }

    /// Adds a file and all that it includes, each once.
    fn included<'a>(&'a self, name: &str, texts: &mut Vec<&'a Source>) {
        let Some(file) = self.files.iter().find(|file| file.0 == name) else { return };
        if texts.iter().any(|known| known.0 == name) {
            return;
        }
        texts.push(file);
        for line in file.1.lines() {
            if let Some(header) =
                line.trim_start().strip_prefix("#include \"").and_then(|rest| rest.split('"').next())
            {
                self.included(header, texts);
            }
        }
    }

    /// Runs the compiler in a folder.
    fn run(&self, command: &mut Command, folder: &Path) -> Result<(), StandInError> {
        let out = match command.current_dir(folder).output() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(StandInError::NoCompiler { compiler: self.compiler.into() });
            }
            out => out.map_err(at(Path::new(self.compiler)))?,
        };
        if out.status.success() {
            return Ok(());
        }
        Err(StandInError::DoesNotCompile { output: String::from_utf8_lossy(&out.stderr).into_owned() })
    }
}

/// An error of a file.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StandInError + use<> {
    let path = path.to_owned();
    move |source| StandInError::File { path, source }
}

/// Beside the test programs: the target folder's own.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(Path::new(".")).join("stand-in")
}

/// What the compiler says of itself and of this processor, by the macros that it defines; the library of another is not this one's. Where it
/// cannot be asked, compiling fails too, and says why.
fn target(compiler: &str) -> String {
    let macros = Command::new(compiler).args(["-march=native", "-dM", "-E", "-x", "c", "/dev/null"]).output();
    macros.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
}

/// FNV-1a.
fn fingerprint<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    parts
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source is compiled again where a header changed that it includes, and not where another did.
    #[test]
    fn what_a_source_includes() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let files = [
            file("a.cpp", "#include \"a.cu\"\n#include <cmath>\n"),
            file("a.cu", "#include \"b.cuh\"\n"),
            file("b.cuh", "#pragma once\n#include \"b.cuh\"\n"),
            file("c.cuh", ""),
        ];
        let recipe = Recipe { compiler: "", flags: &[], last: &[], files: &files };
        let mut texts = Vec::new();
        recipe.included("a.cpp", &mut texts);
        let names: Vec<&str> = texts.iter().map(|file| file.0.as_str()).collect();
        assert_eq!(names, ["a.cpp", "a.cu", "b.cuh"]);
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        assert_ne!(fingerprint(["ab", "c"].into_iter()), fingerprint(["a", "bc"].into_iter()));
    }
}
