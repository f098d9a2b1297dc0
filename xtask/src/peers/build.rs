//! Builds the program of `benches/peers`, in a folder of its own in the target folder; cargo keeps what it has built.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::ci::run::{passes, system};
use crate::workspace::{Workspace, cargo};

/// A project that needs more than Rust and crates.io.
struct Optional {
    feature: &'static str,
    what: &'static str,
    /// A C program that compiles where it can be built.
    probe: &'static str,
    flags: &'static [&'static str],
    install: &'static str,
}

const OPTIONAL: &[Optional] = &[
    Optional {
        feature: "sundials",
        what: "SUNDIALS CVODE and CVODES",
        probe: "#include <cvodes/cvodes.h>\n#include <sundials/sundials_config.h>\n#include <sunlinsol/sunlinsol_klu.h>\n\
                #if SUNDIALS_VERSION_MAJOR != 6\n#error not version 6\n#endif\n\
                int main(void) { return CVodeCreate(CV_BDF, 0) != 0; }\n",
        flags: &["-I/usr/include/suitesparse", "-lsundials_cvodes", "-lsundials_sunlinsolklu", "-lklu"],
        install: "SUNDIALS 6 with KLU (Debian: libsundials-dev)",
    },
    Optional {
        feature: "russell",
        what: "russell_ode",
        probe: "#include <cblas.h>\n#include <lapacke.h>\n#include <umfpack.h>\n\
                int main(void) { return LAPACKE_get_nancheck() + cblas_idamax(0, 0, 1) > 9; }\n",
        flags: &["-I/usr/include/suitesparse", "-lopenblas", "-llapacke", "-lumfpack"],
        install: "OpenBLAS, LAPACKE and UMFPACK (Debian: libopenblas-dev liblapacke-dev libsuitesparse-dev)",
    },
];

/// The program, built.
pub(super) struct Program {
    path: PathBuf,
    /// Projects that were not built in, and why.
    left_out: Vec<String>,
}

impl Program {
    /// To run it, all libraries on one thread.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        for pool in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
            command.env(pool, "1");
        }
        command
    }

    pub(super) fn left_out_or_none(&self) -> String {
        if self.left_out.is_empty() { "none".into() } else { self.left_out.join("; ") }
    }
}

/// Builds what is not built yet, and says what is left out.
pub(super) fn build(workspace: &Workspace) -> Result<Program> {
    let manifest = workspace.root.join("benches/peers/Cargo.toml");
    if !manifest.is_file() {
        bail!("{} is missing: the peers are built from a checkout of the repository", manifest.display());
    }
    let target = workspace.target.join("peers");
    std::fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    if let Err(e) = system("cc").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        bail!("no C compiler `cc` ({e}): Rust links with it, and some peers compile C");
    }
    let mut features = Vec::new();
    let mut left_out = Vec::new();
    for optional in OPTIONAL {
        match probe(optional, &target)? {
            None => features.push(optional.feature),
            Some(why) => left_out.push(format!("{}: needs {} ({why})", optional.what, optional.install)),
        }
    }
    for line in &left_out {
        println!("left out: {line}");
    }
    let mut command = cargo();
    command
        .args(["build", "--release", "--features", &features.join(",")])
        .arg("--manifest-path")
        .arg(&manifest);
    command.env("CARGO_TARGET_DIR", &target);
    if !passes(&mut command)? {
        bail!(
            "the peers did not build: see above. The first time they are fetched from crates.io, which needs the network; what was \
             built is kept in {}",
            target.display()
        );
    }
    let path = target.join("release").join(format!("chreode-peers{}", std::env::consts::EXE_SUFFIX));
    Ok(Program { path, left_out })
}

/// Why the probe does not compile, in the compiler's words; `None` if it does.
fn probe(optional: &Optional, target: &Path) -> Result<Option<String>> {
    let mut child = system("cc")
        .args(["-x", "c", "-", "-o"])
        .arg(target.join(format!("probe-{}", optional.feature)))
        .args(optional.flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cc did not start")?;
    if let Some(mut input) = child.stdin.take() {
        // A compiler that ends early says why by itself.
        let _ = input.write_all(optional.probe.as_bytes());
    }
    let out = child.wait_with_output()?;
    if out.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let error =
        said.lines().find(|l| l.contains("error") || l.contains("cannot find")).unwrap_or("cc failed");
    Ok(Some(error.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_says_what_is_missing() {
        let folder = std::env::temp_dir();
        let probe_of = |probe, flags| {
            let optional = Optional { feature: "of-a-test", what: "", probe, flags, install: "" };
            probe_at(&optional, &folder)
        };
        assert_eq!(probe_of("int main(void) { return 0; }", &[]), None);
        let header = probe_of("#include <no_such_header.h>\n", &[]).unwrap();
        assert!(header.contains("no_such_header.h"), "{header}");
        let library = probe_of("int main(void) { return 0; }", &["-lno_such_library"]).unwrap();
        assert!(library.contains("no_such_library"), "{library}");
        let _ = std::fs::remove_file(folder.join("probe-of-a-test"));
    }

    fn probe_at(optional: &Optional, folder: &Path) -> Option<String> {
        probe(optional, folder).unwrap()
    }
}
