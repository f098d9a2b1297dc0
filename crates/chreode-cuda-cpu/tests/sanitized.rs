//! GCC's `AddressSanitizer` over the kernels: the parity tests once more, on a stand-in driver that is built with it. Long: it runs when ignored
//! tests are asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod beside;

use std::process::{Command, Output};

use chreode_cuda::{
    AdaptiveOptions, Device, GeneratedEnsemble, GeneratedMethod, GeneratedSource, TrajectoryEnd,
};
use chreode_cuda_cpu::{SANITIZED, StandIn, Variant, sanitizer_runtime};

/// Which fault the test `seeded` shall run.
const SEED: &str = "CHREODE_CUDA_SEED";

/// Runs a test program with the sanitizer, which ends the process at the first fault; none where it is not installed.
fn sanitized(program: &mut Command) -> Option<Output> {
    let Some(runtime) = sanitizer_runtime() else {
        println!("skipped: the compiler has no AddressSanitizer (libasan.so)");
        return None;
    };
    program.env("LD_PRELOAD", runtime).env(SANITIZED, "1");
    // What the process holds at its end is not asked for: the driver's handles stay as long as it does.
    program.env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0");
    Some(program.output().unwrap())
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|s| String::from_utf8_lossy(s).into_owned()).concat()
}

#[test]
#[ignore = "builds the stand-in driver with AddressSanitizer: cargo xtask ci sweep"]
fn kernels_touch_what_is_theirs() {
    let Some(output) = sanitized(Command::new(beside::parity()).arg("--show-output")) else { return };
    let text = text(&output);
    for line in text.lines().filter(|l| l.starts_with("test ")) {
        println!("AddressSanitizer: {line}");
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("mlp::") && !text.contains("skipped"), "{text}");
}

/// Faults of a kernel: what it does where its first parameter says to, and what the sanitizer calls it. All are behind what they may touch, and
/// none leaves the pages of its memory or, but for the last one, writes: on a stack that may end the process by itself.
const FAULTS: [(&str, &str, &str); 6] = [
    (
        "read behind an array",
        "float own[4] = {y[0], p[0], p[1], 1.0f}; dy[0] = own[at + 4];",
        "stack-buffer-overflow",
    ),
    (
        "read before an array",
        "float own[4] = {y[0], p[0], p[1], 1.0f}; dy[0] = own[-at - 1];",
        // Under this array or over the one before it: the compiler lays them out.
        "stack-buffer-",
    ),
    ("read behind shared memory", "dy[0] = y[at + 2 * THREADS];", "use-after-poison"),
    ("read behind the parameters", "dy[0] = p[at + 2];", "use-after-poison"),
    ("read before the parameters", "dy[0] = p[at - 1];", "use-after-poison"),
    ("write behind the parameters", "((float *)p)[at + 2] = y[0]; dy[0] = p[1];", "use-after-poison"),
];

/// A kernel with the fault, or without one.
fn source(fault: Option<usize>) -> GeneratedSource {
    let does = fault.map_or("dy[0] = p[at + 1] * y[0];", |i| FAULTS[i].1);
    let field = format!(
        "struct GeneratedField {{\n    constexpr static int STATES = 1, PARAMETERS = 2;\n    const float *p;\n    \
         DEVICE_MEMBER void operator()(double, const float *y, float *dy) const {{\n        \
         const int at = (int)p[0];\n        {does}\n    }}\n}};\n"
    );
    let name = fault.map_or("faultless".to_owned(), |i| format!("fault_{i}"));
    GeneratedSource::new(&name, GeneratedMethod::Tsit5, 1, 2, &field).unwrap()
}

#[test]
#[ignore = "what the next test runs in processes of its own"]
fn seeded() {
    let Ok(seed) = std::env::var(SEED) else { return };
    let stand_in = StandIn::load(Variant::Whole).unwrap();
    let source = source(seed.parse().ok());
    let ptx = stand_in.add_kernel(source.name(), &source.body()).unwrap();
    let stream = Device::open(0).unwrap().stream().unwrap();
    let ensemble = GeneratedEnsemble::from_ptx(&stream, &source, &ptx).unwrap();
    let (p, start) = (stream.upload(&[0.0, 0.5]).unwrap(), stream.upload(&[1.0; 256]).unwrap());
    let mut saved = stream.zeros(256).unwrap();
    let options = AdaptiveOptions { rtol: 1e-4, atol: 1e-6, max_steps: 3 };
    let ends = ensemble.solve(options, &p, &start, &[0.0, 1.0], &mut saved).unwrap();
    assert!(!ends.contains(&TrajectoryEnd::NonFiniteStart));
    println!("the kernel ran");
}

/// Each fault is noticed, and only with the sanitizer: without it the kernel runs to its end.
#[test]
#[ignore = "builds the stand-in driver with AddressSanitizer: cargo xtask ci sweep"]
fn seeded_faults_are_noticed() {
    let run = |seed: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "seeded", "--ignored", "--nocapture"]).env(SEED, seed);
        command
    };
    let Some(clean) = sanitized(&mut run("none")) else { return };
    assert!(clean.status.success() && text(&clean).contains("the kernel ran"), "{}", text(&clean));
    for (i, (what, _, name)) in FAULTS.iter().enumerate() {
        let seed = i.to_string();
        let blind = run(&seed).output().unwrap();
        assert!(text(&blind).contains("the kernel ran"), "{what}: {}", text(&blind));
        let Some(seen) = sanitized(&mut run(&seed)) else { return };
        let said = text(&seen);
        let noticed = !seen.status.success() && said.contains("AddressSanitizer") && said.contains(name);
        assert!(noticed && !said.contains("the kernel ran"), "{what}: {said}");
        println!("AddressSanitizer: noticed: {what} ({name})");
    }
}
