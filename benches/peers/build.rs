//! Compiles the C driver of CVODE where SUNDIALS is asked for.

/// What the driver is linked with.
const LIBRARIES: [&str; 10] = [
    "sundials_cvode",
    "sundials_nvecserial",
    "sundials_sunlinsoldense",
    "sundials_sunlinsolband",
    "sundials_sunlinsolklu",
    "sundials_sunnonlinsolfixedpoint",
    "sundials_sunmatrixdense",
    "sundials_sunmatrixband",
    "sundials_sunmatrixsparse",
    "klu",
];

fn main() {
    println!("cargo:rerun-if-changed=csrc/cvode.c");
    if std::env::var_os("CARGO_FEATURE_SUNDIALS").is_some() {
        cc::Build::new()
            .file("csrc/cvode.c")
            .include("/usr/include/suitesparse")
            .opt_level(3)
            .compile("peers_cvode");
        for library in LIBRARIES {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}
