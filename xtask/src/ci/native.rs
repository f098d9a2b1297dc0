//! A fresh machine has Rust and a C compiler: no dependency may need more to build.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::{Context, Outcome};
use crate::workspace::cargo;

/// Crates that look for, or build, what a fresh machine does not have.
const NEEDS_MORE: &[(&str, &[&str])] = &[
    ("cmake or another build system", &["cmake", "autotools", "meson", "vcpkg", "libz-ng-sys"]),
    ("libclang", &["bindgen", "clang-sys"]),
    (
        "HDF5 or netCDF",
        &["hdf5", "hdf5-sys", "hdf5-src", "hdf5-metno", "hdf5-metno-sys", "hdf5-metno-src", "netcdf-sys"],
    ),
    ("Python", &["pyo3", "pyo3-ffi", "pyo3-build-config", "numpy", "cpython", "python3-sys"]),
    ("CUDA", &["cuda-sys", "cuda-runtime-sys", "cust", "cust_raw", "rustacuda", "cublas-sys"]),
    (
        "BLAS or LAPACK",
        &[
            "blas-src",
            "lapack-src",
            "openblas-src",
            "openblas-build",
            "netlib-src",
            "intel-mkl-src",
            "accelerate-src",
        ],
    ),
    ("MPI", &["mpi", "mpi-sys"]),
    (
        "other system libraries",
        &[
            "openssl-sys",
            "fontconfig-sys",
            "servo-fontconfig-sys",
            "yeslogic-fontconfig-sys",
            "freetype-sys",
            "expat-sys",
            "libxml",
            "protobuf-src",
            "prost-build",
        ],
    ),
];

/// Features of cudarc that ask for the toolkit at build time; it must load the driver when it runs.
const CUDARC_AT_BUILD: &[&str] = &["dynamic-linking", "static-linking"];

/// Looks through `cargo tree` with normal and build dependencies.
pub(super) fn check(_: &mut Context) -> Result<Outcome> {
    let args = ["tree", "--workspace", "-e", "normal,build", "--prefix", "none", "--format", "{p}|{f}"];
    println!("$ cargo {}", args.join(" "));
    let out = cargo().args(args).output()?;
    ensure!(out.status.success(), "cargo tree: {}", String::from_utf8_lossy(&out.stderr));
    let tree = String::from_utf8_lossy(&out.stdout);
    let (count, found) = search(&tree);
    for (need, names) in NEEDS_MORE {
        println!("{need}: none of {}", names.join(", "));
    }
    println!("CUDA: cudarc, if there, without {}", CUDARC_AT_BUILD.join(", "));
    if found.is_empty() {
        Ok(Outcome::Passed(format!("{count} packages")))
    } else {
        Ok(Outcome::Failed(found.join("; ")))
    }
}

/// The number of packages in a tree of `name vX.Y.Z|features` lines, and those that need more than they may.
fn search(tree: &str) -> (usize, Vec<String>) {
    let lines: BTreeSet<&str> =
        tree.lines().map(|l| l.trim_end_matches(" (*)")).filter(|l| !l.is_empty()).collect();
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    for line in lines {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let name = package.split_whitespace().next().unwrap_or_default();
        names.insert(package);
        if let Some((need, _)) = NEEDS_MORE.iter().find(|(_, all)| all.contains(&name)) {
            found.insert(format!("{name} needs {need}"));
        }
        if name == "cudarc" && features.split(',').any(|f| CUDARC_AT_BUILD.contains(&f)) {
            found.insert("cudarc needs CUDA when it is built: take its feature dynamic-loading".into());
        }
    }
    (names.len(), found.into_iter().collect())
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn what_needs_more_is_found() {
        let good = "chreode-core v0.1.0 (/w/crates/chreode-core)|\nserde v1.0.1|default,std\nserde v1.0.1|default,std (*)\n";
        assert_eq!(search(good), (2, vec![]));
        assert_eq!(search("a v1.0.0|\ncmake v0.1.50|\n").1, ["cmake needs cmake or another build system"]);
        assert_eq!(search("hdf5-metno-sys v0.10.0|\n").1, ["hdf5-metno-sys needs HDF5 or netCDF"]);
        assert!(search("cudarc v0.19.1|driver,dynamic-loading\n").1.is_empty());
        assert_eq!(search("cudarc v0.19.1|driver,dynamic-linking\n").1.len(), 1);
    }
}
