//! Compiles the C drivers of CVODE and CVODES where SUNDIALS is asked for.

/// What the drivers are linked with: CVODES has all of CVODE.
const LIBRARIES: [&str; 10] = [
    "sundials_cvodes",
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
    println!("cargo:rerun-if-changed=csrc");
    if std::env::var_os("CARGO_FEATURE_SUNDIALS").is_some() {
        cc::Build::new()
            .files(["csrc/cvode.c", "csrc/cvodes.c"])
            .include("/usr/include/suitesparse")
            .opt_level(3)
            .compile("peers_cvode");
        for library in LIBRARIES {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}
