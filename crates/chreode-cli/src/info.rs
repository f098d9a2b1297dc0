//! `chreode info`: what the program sees of the machine it runs on.

use std::fmt::Write as _;

use serde_json::json;

use crate::Context;

/// The instruction sets that the kernels know, with whether this processor has them.
fn cpu_features() -> Vec<(&'static str, bool)> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        vec![
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512dq", is_x86_feature_detected!("avx512dq")),
        ]
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec![("neon", std::arch::is_aarch64_feature_detected!("neon"))]
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

/// One line of `/proc/meminfo`, in bytes; `None` where there is no such file.
pub(crate) fn meminfo(key: &str) -> Option<u64> {
    kilobytes("/proc/meminfo", key)
}

/// The most memory that this process has taken so far, in bytes; `None` where the system does not say.
pub(crate) fn peak_memory() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM")
}

fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(key))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The processor's name as Linux gives it.
fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}

fn gib(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |b| format!("{:.1} GiB", b as f64 / (1_u64 << 30) as f64))
}

/// Prints the program's version, processor features, threads and memory.
pub(crate) fn run(context: &Context) {
    let features = cpu_features();
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = rayon::current_num_threads();
    let (total, free) = (meminfo("MemTotal"), meminfo("MemAvailable"));
    let mut text = format!("chreode {}\n", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "system      {} {}", std::env::consts::OS, std::env::consts::ARCH);
    let _ = writeln!(text, "processor   {}", cpu_name().as_deref().unwrap_or("unknown"));
    let list = |present: bool| {
        let names: Vec<_> = features.iter().filter(|f| f.1 == present).map(|f| f.0).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let _ = writeln!(text, "features    {} (missing: {})", list(true), list(false));
    let _ = writeln!(text, "threads     {threads} in use, {available} available");
    let _ = write!(text, "memory      {}, {} available", gib(total), gib(free));
    context.console.result(
        &text,
        "info",
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "processor": cpu_name(),
            "features": features.iter().map(|&(n, v)| (n.to_owned(), v.into())).collect::<serde_json::Map<_, _>>(),
            "threads": threads,
            "threads_available": available,
            "memory_bytes": total,
            "memory_available_bytes": free,
        }),
    );
}
