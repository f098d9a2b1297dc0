//! CUDA kernels: PTX and typed launchers from the `.cu` sources, and whether the committed ones are those of the sources.
//!
//! `parse` reads what the sources share with the host, `launchers` writes it in Rust, `record` says of what the committed files were
//! made, `report` asks NVIDIA's assembler about registers and instructions, `limits` says what follows.

mod launchers;
mod limits;
mod parse;
mod record;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::ci::run::system;
use crate::workspace::Workspace;
use parse::{Module, Source, modules};
use record::Record;

pub(crate) use report::run as report;

/// Where the kernels are, from the root.
const DIR: &str = "crates/chreode-cuda/kernels";
/// The folder of the launchers, from the root.
const LAUNCHERS: &str = "crates/chreode-cuda/src/kernels";
/// The compiler; a package of Debian.
const CLANG: &str = "clang-19";
/// PTX 7.8 loads on every driver since CUDA 11.8. No header of NVIDIA is read. Loops are unrolled where the sources say so.
const FLAGS: &[&str] = &[
    "-x",
    "cuda",
    "--cuda-device-only",
    "--cuda-gpu-arch=sm_80",
    "--cuda-feature=+ptx78",
    "-nocudainc",
    "-nocudalib",
    "-std=c++17",
    "-include",
    "device.cuh",
    "-O3",
    "-fno-unroll-loops",
    "-ffp-contract=fast",
    "-S",
];

/// Writes the launchers, compiles every kernel file, and notes of what.
pub(crate) fn build() -> Result<bool> {
    let root = Workspace::load()?.root;
    let sources = sources(&root)?;
    std::fs::create_dir_all(root.join(LAUNCHERS))?;
    for (name, text) in launchers::write(&sources, &root)? {
        std::fs::write(root.join(LAUNCHERS).join(name), text)?;
    }
    println!("wrote {LAUNCHERS}");
    let Some(version) = clang_version() else {
        println!("{CLANG} is not installed (on Debian: apt-get install {CLANG}): no PTX was made");
        return Ok(false);
    };
    let dir = root.join(DIR).join("ptx");
    std::fs::create_dir_all(&dir)?;
    for module in modules(&sources) {
        let ptx = compile(&root, &module)?;
        println!("wrote {DIR}/ptx/{}.ptx, {} kB", module.stem, ptx.len() / 1000);
        std::fs::write(dir.join(format!("{}.ptx", module.stem)), ptx)?;
    }
    let record = Record::of(&sources, &version, &root);
    std::fs::write(root.join(DIR).join(record::FILE), record.to_text())?;
    Ok(true)
}

/// What [`check`] found.
pub(crate) struct Check {
    pub(crate) fresh: bool,
    /// Why the kernels were not compiled again.
    pub(crate) skipped: Option<String>,
}

/// Says whether launchers and PTX are those of the sources. Without the compiler by the record, with it by compiling again.
pub(crate) fn check() -> Result<Check> {
    let root = Workspace::load()?.root;
    let sources = sources(&root)?;
    let mut stale = Vec::new();
    for (name, text) in launchers::write(&sources, &root)? {
        if std::fs::read_to_string(root.join(LAUNCHERS).join(&name)).unwrap_or_default() != text {
            stale.push(format!("{LAUNCHERS}/{name} is not that of the kernels' signatures"));
        }
    }
    let recorded = std::fs::read_to_string(root.join(DIR).join(record::FILE)).unwrap_or_default();
    let version = Record::version(&recorded).unwrap_or_default();
    let now = Record::of(&sources, version, &root);
    stale.extend(now.differences(&recorded));
    let skipped = match clang_version() {
        Some(installed) if installed == version => {
            for module in modules(&sources) {
                let path = format!("{DIR}/ptx/{}.ptx", module.stem);
                if std::fs::read(root.join(&path)).unwrap_or_default() != compile(&root, &module)? {
                    stale.push(format!("{path} is not what {version} makes"));
                }
            }
            println!("kernels: compiled again by {version}");
            None
        }
        Some(other) => Some(format!("they were made by {version}, here is {other}")),
        None => Some(format!("{CLANG} is not installed")),
    };
    if let Some(why) = &skipped {
        println!("kernels: skipped: compiling them again: {why}");
    }
    for problem in &stale {
        println!("stale: {problem}");
    }
    if !stale.is_empty() {
        println!("run `cargo xtask kernels build`");
    }
    Ok(Check { fresh: stale.is_empty(), skipped })
}

/// The kernel files in the order of their names: headers that are shared, and modules.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(root.join(DIR))
        .with_context(|| format!("cannot list {DIR}"))?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    names.retain(|p| p.extension().is_some_and(|e| e == "cu" || e == "cuh"));
    names.sort();
    names
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Source::parse(&name, &text).with_context(|| format!("{DIR}/{name}"))
        })
        .collect()
}

/// The PTX of one module.
fn compile(root: &Path, module: &Module) -> Result<Vec<u8>> {
    let name = &module.source.name;
    let out = Command::new(CLANG)
        .args(FLAGS)
        .args(module.flags())
        .args([name, "-o", "-"])
        .current_dir(root.join(DIR))
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{CLANG} did not start"))?;
    ensure!(out.status.success(), "{CLANG} cannot compile {name}");
    Ok(out.stdout)
}

/// What the compiler calls itself, if it is there.
fn clang_version() -> Option<String> {
    let out = system(CLANG).arg("--version").output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).lines().next()?.trim().to_owned())
}
